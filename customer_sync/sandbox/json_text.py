"""Lossless JSON: integers of any size, unknown keys, the order of lists and keys."""

import json
from typing import Any, NoReturn

_READABLE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
_ESCAPED = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), allow_nan=False)
_SORTED = json.JSONEncoder(ensure_ascii=True, sort_keys=True)


def loads(text: str | bytes) -> Any:
    """The value of a JSON text. Raises ValueError for anything else, also for too deep nesting."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deep") from None


def dumps(value: Any) -> str:
    """Compact JSON without escapes. Raises ValueError for infinities and NaN."""
    text = _READABLE.encode(value)
    try:
        text.encode()
    except UnicodeEncodeError:  # Half a surrogate pair is valid JSON but cannot be stored as text.
        return _ESCAPED.encode(value)
    return text


def canonical(value: Any) -> str:
    """The same text for equal values only: 1, 1.0, true and "1" differ; the order of keys is ignored."""
    return _SORTED.encode(value)


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
