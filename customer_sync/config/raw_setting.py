"""One setting as it was given: its text, where the text comes from, and its value or what is wrong with it."""

import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from customer_sync.config.env_file import source
from customer_sync.core.command_line import quoted
from customer_sync.core.regular_file import is_public, read_regular

_MAX_SECRET = 65536
_LOGIN_IN_ADDRESS = re.compile("//.*@", re.DOTALL)
# It may hold a token.
_QUERY_OF_ADDRESS = re.compile("(//[^?#]*[?#]).+", re.DOTALL)
IS_MISSING = "is missing"
_BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True, slots=True)
class Declaration:
    """What is known of a setting before it is given."""

    variable: str
    read: Callable[[str], Any]
    """Returns the value of a text. Raises ValueError that says what to give."""
    purpose: str
    default: str | None = None
    """As a user would write it."""
    required: bool = False
    secret: bool = False
    """Never printed, and may come from the file that the variable with `_FILE` names."""
    option: str = ""
    """The option that overrides the variable for one run."""


@dataclass(frozen=True, slots=True)
class SettingProblem:
    """What is wrong with a setting, and what to do about it."""

    variable: str
    """The setting's variable, or that variable with `_FILE`."""
    wrong: str
    step: str

    def __str__(self) -> str:
        return f"{self.variable} {self.wrong}: {self.step}"


@dataclass(frozen=True, slots=True)
class RawSetting:
    """What was given for one setting. *value* is ready to use; None where nothing was given, or with a *problem*."""

    name: str
    declaration: Declaration
    text: str | None = field(repr=False)
    source: str = "default"
    value: Any = field(default=None, repr=False)
    problem: SettingProblem | None = None
    warning: str = ""
    """What is unwise about the file of a secret."""

    @property
    def variable(self) -> str:
        return self.declaration.variable

    @property
    def is_missing(self) -> bool:
        """Whether nothing was given, and something must be."""
        return self.problem is not None and self.problem.wrong == IS_MISSING

    @property
    def shown(self) -> str:
        """The text as far as it may be shown; empty where nothing was given."""
        if self.text is None:
            return ""
        text = self.text.strip()
        if self.declaration.secret:
            return f"set, {len(text)} characters"
        return _QUERY_OF_ADDRESS.sub(r"\1***", _LOGIN_IN_ADDRESS.sub("//***@", text))

    def read(self) -> "RawSetting":
        """The same with its value, or with the problem of its text."""
        if self.text is None:
            return self
        text = self.text.strip()
        if self.declaration.secret and text.startswith(_BYTE_ORDER_MARK):
            return self.wrong(f"begins with a byte order mark (from {self.source})", "save it as UTF-8 without BOM")
        if self.declaration.secret and len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
            return self.wrong(f"is in quotes (from {self.source})", "remove the quotes")
        try:
            return replace(self, value=self.declaration.read(text))
        except ValueError as error:
            what = "is malformed" if self.declaration.secret else f"is {self.shown!r:.80}"
            return self.wrong(f"{what} (from {self.source})", str(error))

    def wrong(self, wrong: str, step: str, variable: str = "") -> "RawSetting":
        """The same with a problem."""
        return replace(self, problem=SettingProblem(variable or self.variable, wrong, step))


def read_setting(
    name: str, declaration: Declaration, environment: Mapping[str, str], options: Mapping[str, str | None]
) -> RawSetting:
    """One setting: an option takes precedence over the variable. A secret has a variable or a file, not both."""
    variable, file = declaration.variable, f"{declaration.variable}_FILE"
    if (text := options.get(name)) is not None:
        return RawSetting(name, declaration, text, declaration.option).read()
    if text := environment.get(variable):
        raw = RawSetting(name, declaration, text, source(variable))
        if declaration.secret and environment.get(file):
            return raw.wrong(f"is set (from {raw.source}), and so is {file} (from {source(file)})", "unset one of them")
        return raw.read()
    if declaration.secret and (path := environment.get(file)):
        return _read_file(RawSetting(name, declaration, None, f"the file of {file}"), file, path)
    raw = RawSetting(name, declaration, declaration.default)
    return raw.wrong(IS_MISSING, f"set {variable} ({declaration.purpose})") if declaration.required else raw.read()


def _read_file(secret: RawSetting, variable: str, path: str) -> RawSetting:
    """The secret in a file. A *path* that leads to no file is not shown: it may be the secret itself."""
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no path"
        return secret.wrong(f"names no file ({reason})", "give the path of the secret's file", variable)
    if not stat.S_ISREG(mode):
        return secret.wrong("names something else than a file", "give the path of the secret's file", variable)
    try:
        text = read_regular(Path(path), _MAX_SECRET).strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        return secret.wrong(f"{path} cannot be read ({reason})", "name a file that this user can read", variable)
    if not text:
        return secret.wrong(f"{path} is empty", "put the secret into it", variable)
    step = f"{variable} {path} can be read or changed by every user of this machine: chmod 600 {quoted(path)}"
    return replace(secret, text=text, warning=step if is_public(Path(path)) else "").read()
