"""The file of `--env-file`: its variables join the environment before anything else is read.

A line is accepted only where sh (`set -a; . FILE`) and systemd (`EnvironmentFile=`) read the same value.
"""

import os
import pwd
import re
import time
from collections.abc import MutableMapping
from dataclasses import dataclass
from pathlib import Path

from customer_sync.config.readers import read_local_path
from customer_sync.core.command_line import add_to_commands, quoted
from customer_sync.core.regular_file import is_public, read_regular

ENV_FILE = "CUSTOMER_SYNC_ENV_FILE"
_MAX_BYTES = 65536
_MOST_LINES = 3
_LINE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)")
_QUOTED = re.compile(r"""'([^']*)'|"((?:[^"\\$`]|\\["\\$`])*)\"""")
# Outside of quotes these mean something to a shell.
_SPECIAL = re.compile(r"""[\s'"\\$`;&|<>()#~]""")


@dataclass(frozen=True, slots=True)
class EnvFile:
    """What was read. Without `--env-file` all of it is empty."""

    path: str = ""
    variables: frozenset[str] = frozenset()
    """Those that the environment did not have, or had empty."""
    problems: tuple[str, ...] = ()
    warning: str = ""
    """What is unwise about it, and the step after a colon."""


_loaded = EnvFile()


def loaded() -> EnvFile:
    """The file of this process."""
    return _loaded


def source(variable: str) -> str:
    """Where the value of a variable comes from."""
    return _loaded.path if variable in _loaded.variables else f"environment variable {variable}"


def load_env_file(name: str, environment: MutableMapping[str, str]) -> None:
    """Adds the variables of the file to *environment*, which takes precedence; what is wrong is in `loaded()`."""
    global _loaded  # noqa: PLW0603 - as the environment, it is the process's
    path, text, problem, warning = _read(name)
    values, problems = _parse(text)
    problems = [problem] if problem else [f"{path} {one}" for one in problems]
    own = {variable: value for variable, value in values.items() if not environment.get(variable)}
    environment.update(own)
    _loaded = EnvFile(path, frozenset(own), tuple(problems), warning)
    time.tzset()
    add_to_commands("--env-file", path)


def _read(name: str) -> tuple[str, str, str, str]:
    """The file's absolute path, its text, why it cannot be read, and what is unwise about it."""
    path, step = Path(name), "name a file of lines such as VARIABLE='value'"
    try:
        path = read_local_path(name).absolute()
        text = read_regular(path, _MAX_BYTES)
        return str(path), text, "", _unwise(path)
    except PermissionError:
        owner = _owner(path)
        reason, step = "Permission denied", f"run the command {f'with sudo -u {owner}' if owner else 'as its user'}"
    except OSError as error:
        reason = error.strerror or type(error).__name__
    except ValueError as error:  # Not UTF-8, or no path at all.
        reason = "not UTF-8 text" if isinstance(error, UnicodeDecodeError) else "it is no path"
    return str(path), "", f"--env-file {str(path)!r:.200} cannot be read ({reason}): {step}", ""


def _unwise(path: Path) -> str:
    if is_public(path):
        return f"{path} can be read or changed by every user of this machine: chmod 600 {quoted(str(path))}"
    if os.geteuid() == 0 and (owner := _owner(path)):
        return f"{path} belongs to {owner}, and locks are per user: run the command with sudo -u {owner}"
    return ""


def _owner(path: Path) -> str:
    """The name of a file's owner; empty where that is this user or root, or has no name."""
    try:
        owner = path.stat().st_uid
        return "" if owner in (0, os.geteuid()) else pwd.getpwuid(owner).pw_name
    except (OSError, KeyError):
        return ""


def _parse(text: str) -> tuple[dict[str, str], list[str]]:
    """The variables of a file's text, and what is wrong with it: never a line's content, which may be a secret."""
    if text.startswith("\ufeff"):
        return {}, ["begins with a byte order mark: save it as UTF-8 without BOM"]
    if "\r\n" in text:
        return {}, ["has Windows line ends (CRLF): save it with line feeds only"]
    values: dict[str, str] = {}
    wrong: dict[str, list[int]] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        try:
            variable, value = _read_line(line.strip(" \t"))
            if variable in values:
                raise ValueError("sets a variable again: keep one of its lines")
        except ValueError as error:
            wrong.setdefault(str(error), []).append(number)
        else:
            values |= {variable: value} if variable else {}
    return values, [f"{_lines(numbers)} {what}" for what, numbers in wrong.items()]


def _read_line(line: str) -> tuple[str, str]:
    """Variable and value of a line; empty where it sets none. Raises ValueError."""
    if not line.isprintable():
        raise ValueError("has a control character or an invisible one: remove it")
    if not line or line.startswith("#"):
        if line.endswith("\\"):  # systemd takes the next line as a part of the comment.
            raise ValueError("is a comment that ends in a backslash: remove it")
        return "", ""
    found = _LINE.fullmatch(line)
    if not found:
        step = "remove the word export" if line.startswith("export ") else "write it so, without spaces around ="
        raise ValueError(f"is not VARIABLE=value: {step}")
    return found[1], _unquoted(found[2])


def _unquoted(value: str) -> str:
    if not _SPECIAL.search(value):
        return value
    if not re.fullmatch(f"(?:{_QUOTED.pattern})+", value):
        raise ValueError("has a value that shells read differently: put it in single quotes, with nothing behind them")
    parts = (single or re.sub(r"\\(.)", r"\1", double) for single, double in _QUOTED.findall(value))
    return "".join(parts)


def _lines(numbers: list[int]) -> str:
    first, *others = map(str, numbers)
    more = [f"{len(others) - _MOST_LINES} more"] if len(others) > _MOST_LINES else []
    return f"line {first} (also {', '.join([*others[:_MOST_LINES], *more])})" if others else f"line {first}"
