"""JSON that changes nothing on the way: integers of any size, unknown keys, the order of lists and keys."""

import json
from typing import Any, NoReturn

_READABLE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
_ESCAPED = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), allow_nan=False)
_SORTED = json.JSONEncoder(ensure_ascii=True, sort_keys=True)


def loads(text: str | bytes) -> Any:
    """The value of a JSON text; raises ValueError for anything else, however deep or long."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deep") from None


def dumps(value: Any) -> str:
    """Compact JSON that a person can read; raises ValueError for infinities and NaN, which JSON lacks."""
    text = _READABLE.encode(value)
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair is valid JSON but cannot be stored as text
        return _ESCAPED.encode(value)
    return text


def canonical(value: Any) -> str:
    """The same text for equal values only: 1, 1.0, true and "1" differ, the order of keys does not count."""
    return _SORTED.encode(value)


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
