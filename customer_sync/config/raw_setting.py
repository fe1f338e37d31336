"""One setting as it was given: its text, where that comes from, and what it means or why it means nothing."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

_LOGIN_IN_ADDRESS = re.compile("//.*@", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a setting, and what to do about it."""

    name: str
    """The setting's field name."""
    variable: str
    """Where it is wrong: the setting's variable, or the one with `_FILE` behind it."""
    wrong: str
    step: str

    def __str__(self) -> str:
        return f"{self.variable} {self.wrong}: {self.step}"


@dataclass(frozen=True, slots=True)
class RawSetting:
    """What was given for one setting. *value* is ready to use; None where there is none, or a *problem*."""

    name: str
    declaration: Mapping[str, Any] = field(repr=False)
    text: str | None = field(repr=False)
    source: str = "default"
    value: Any = field(default=None, repr=False)
    problem: Problem | None = None

    @property
    def variable(self) -> str:
        return str(self.declaration["variable"])

    @property
    def shown(self) -> str:
        """The text as far as it may be shown; empty where there is none."""
        if self.text is None:
            return ""
        text = self.text.strip()
        return f"set, {len(text)} characters" if self.declaration["secret"] else _LOGIN_IN_ADDRESS.sub("//***@", text)

    def read(self) -> "RawSetting":
        """The same with its value, or with the problem of its text."""
        if self.text is None:
            return self
        try:
            return replace(self, value=self.declaration["read"](self.text.strip()))
        except ValueError as error:
            what = "is malformed" if self.declaration["secret"] else f"is {self.shown!r:.80}"
            return self.wrong(f"{what} (from {self.source})", str(error))

    def wrong(self, wrong: str, step: str, variable: str = "") -> "RawSetting":
        """The same with a problem."""
        return replace(self, problem=Problem(self.name, variable or self.variable, wrong, step))


def option_name(name: str) -> str:
    """`pancake_rps` → `--pancake-rps`."""
    return "--" + name.replace("_", "-")


def read_setting(
    name: str, declaration: Mapping[str, Any], environment: Mapping[str, str], options: Mapping[str, str | None]
) -> RawSetting:
    """One setting: an option goes before the variable, the variable before the file of a secret."""
    variable = declaration["variable"]
    if (text := options.get(name)) is not None:
        return RawSetting(name, declaration, text, option_name(name)).read()
    if text := environment.get(variable):
        return RawSetting(name, declaration, text, f"environment variable {variable}").read()
    if declaration["secret"] and (path := environment.get(f"{variable}_FILE")):
        return _read_file(RawSetting(name, declaration, None, f"the file of {variable}_FILE"), f"{variable}_FILE", path)
    if declaration["required"]:
        step = f"set {variable} or {option_name(name)} ({declaration['purpose']})"
        return RawSetting(name, declaration, None).wrong("is missing", step)
    return RawSetting(name, declaration, declaration["default"]).read()


def _read_file(secret: RawSetting, variable: str, path: str) -> RawSetting:
    """A *secret* out of the file that *variable* names."""
    try:
        text = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        return secret.wrong(f"{path} cannot be read ({reason})", "name a file that this user can read", variable)
    if not text:
        return secret.wrong(f"{path} is empty", "put the secret into it", variable)
    return replace(secret, text=text).read()
