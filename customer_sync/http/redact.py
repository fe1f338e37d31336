"""Keeps secrets out of every text that leaves the program."""

import re
from urllib.parse import quote, quote_plus

HIDDEN = "***"
_BY_NAME = re.compile(
    r"""((?:access_?token|id_?token|password|authorization|api_?key|[?&]key)["']?\s*[=:]\s*["']?(?:Bearer\s+)?)"""
    r"""[^\s&"',;)}\]]+""",
    re.IGNORECASE,
)
_LOGIN_IN_ADDRESS = re.compile(r"//[^/@\s]*@")
# A shorter value may be part of an ordinary word.
_MIN_LENGTH = 6


class Redactor:
    """Hides the secrets of this run by value, and unknown ones by the name of their parameter."""

    def __init__(self) -> None:
        self._values: set[str] = set()

    def add(self, *secrets: str | None) -> None:
        """Hides these values from now on, plain and URL-encoded."""
        for secret in secrets:
            if secret and len(secret) >= _MIN_LENGTH:
                self._values |= {secret, quote(secret, safe=""), quote_plus(secret)}

    def __call__(self, text: str) -> str:
        """*text* without secrets."""
        for value in sorted(self._values, key=len, reverse=True):
            text = text.replace(value, HIDDEN)
        return _LOGIN_IN_ADDRESS.sub(f"//{HIDDEN}@", _BY_NAME.sub(rf"\g<1>{HIDDEN}", text))
