"""Readers of settings: each returns the value of a text, or raises ValueError that says what to give."""

import re
from collections.abc import Callable
from math import ceil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_DURATION = r"\d{1,9}(\.\d{1,9})?[smhd]?"
_EXAMPLE = "https://example.com/api"
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def _reader(
    wanted: str,
    pattern: str = ".*",
    convert: Callable[[str], Any] = str,
    is_valid: Callable[[Any], bool] = lambda _: True,
) -> Callable[[str], Any]:
    """A reader of texts of this *pattern*, if the converted value *is_valid*."""

    def read(text: str) -> Any:
        if re.fullmatch(pattern, text, re.ASCII | re.DOTALL) and is_valid(value := convert(text)):
            return value
        raise ValueError(f"give {wanted}")

    return read


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """A reader of whole numbers from *low* to *high*."""
    return _reader(f"a whole number from {low} to {high}", r"\d{1,9}", int, lambda value: low <= value <= high)


def number(low: float, high: float) -> Callable[[str], float]:
    """A reader of decimal numbers from *low* to *high*."""
    pattern = r"\d{1,9}(\.\d{1,9})?"
    return _reader(f"a number from {low:g} to {high:g}", pattern, float, lambda value: low <= value <= high)


def _is_address(value: str) -> bool:
    try:
        parts = urlsplit(value)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # Its own text may quote a password.
        return False


def _address(example: str) -> Callable[[str], str]:
    return _reader(f"an address such as {example}", convert=lambda text: text.rstrip("/"), is_valid=_is_address)


def read_base_address(text: str, example: str = _EXAMPLE) -> str:
    """An address to which paths are added, so that nothing may follow its own path."""
    for character, what in (("?", "a query"), ("#", "a fragment"), ("\\", "a backslash")):
        if character in text:
            raise ValueError(f"give the address without {what}: nothing may come from {character} on")
    address: str = _address(example)(text)
    if "@" in urlsplit(address).netloc:
        raise ValueError("give the address without a login: tokens have their own variables")
    if not text.isprintable() or " " in text:
        raise ValueError("give the address without spaces and control characters")
    return address


def _seconds(text: str) -> float:
    digits = text.rstrip("smhd")
    return float(digits) * _UNITS[text.removeprefix(digits)]


def duration(low: float, high: float) -> Callable[[str], float]:
    """A reader of durations from *low* to *high* seconds, also with decimals."""
    wanted = f"a duration from {low:g} to {high:g} seconds, such as 30 or 30s"
    return _reader(wanted, _DURATION, _seconds, lambda value: low <= value <= high)


read_text = _reader("a text")
read_header_value = _reader("only characters of an HTTP header: no spaces, no accents", r"[\x21-\x7e]+")
read_switch = _reader("1 or 0", "[01]", lambda text: text == "1")
read_address = _address(_EXAMPLE)
read_url_path = _reader("a path such as /customer", r"(/[\w-]+)+")
read_duration: Callable[[str], int] = _reader(
    "a duration such as 30, 30s, 4m or 1.5h", _DURATION, lambda text: ceil(_seconds(text))
)


def read_local_path(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError("give an absolute path: that home directory is unknown") from None
