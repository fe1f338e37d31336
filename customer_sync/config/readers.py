"""How the text of a setting is read: each reader returns the value, or raises ValueError that says what to give."""

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def read_text(value: str) -> str:
    return value


def read_header_value(value: str) -> str:
    if not re.fullmatch(r"[\x21-\x7e]+", value):
        raise ValueError("give only characters that an HTTP header can carry: no spaces, no accents")
    return value


def read_switch(value: str) -> bool:
    if value not in ("0", "1"):
        raise ValueError("give 1 or 0")
    return value == "1"


def read_address(value: str) -> str:
    try:
        parts = urlsplit(value)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # Its own text may quote a password.
        valid = False
    if not valid:
        raise ValueError("give an address such as https://example.com/api")
    return value.rstrip("/")


def read_url_path(value: str) -> str:
    if not re.fullmatch(r"(/[\w-]+)+", value):
        raise ValueError("give a path such as /customer")
    return value


def read_local_path(value: str) -> Path:
    try:
        return Path(value).expanduser()
    except RuntimeError:
        raise ValueError("give an absolute path: that home directory is unknown") from None


def read_duration(value: str) -> int:
    """Seconds of "90", "20s", "4m", "2h" or "1d"."""
    found = re.fullmatch(r"(\d{1,9})([smhd]?)", value, re.ASCII)
    if not found:
        raise ValueError("give a duration such as 20s, 4m or 2h")
    return int(found[1]) * _UNITS[found[2]]


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """A reader of whole numbers from *low* to *high*."""

    def read(value: str) -> int:
        if not re.fullmatch(r"\d{1,9}", value, re.ASCII) or not low <= int(value) <= high:
            raise ValueError(f"give a whole number from {low} to {high}")
        return int(value)

    return read


def number(low: float, high: float) -> Callable[[str], float]:
    """A reader of decimal numbers from *low* to *high*."""

    def read(value: str) -> float:
        if not re.fullmatch(r"\d+(\.\d+)?", value, re.ASCII) or not low <= float(value) <= high:
            raise ValueError(f"give a number from {low:g} to {high:g}")
        return float(value)

    return read
