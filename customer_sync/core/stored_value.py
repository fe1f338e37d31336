"""How FolkForm stores a value: half a surrogate pair becomes U+FFFD, a number beyond 64 bits floating point.

It refuses a customer with a number that no double can hold. Facts: two recorded servers (`tests/conformance/`).
"""

import math
import re
from collections.abc import Mapping
from typing import Any

_SURROGATE = re.compile("[\ud800-\udfff]")
INT64 = range(-(2**63), 2**63)


def kept_text(text: str) -> str:
    """A text as FolkForm stores it."""
    return _SURROGATE.sub("\ufffd", text)


def kept_value(value: Any) -> Any:
    """A value as FolkForm returns it: 1 for 1.0, and the nearest double for 2^63 and more."""
    if isinstance(value, str):
        return kept_text(value)
    if isinstance(value, dict):
        return {kept_text(key): kept_value(item) for key, item in value.items()}
    if isinstance(value, list):
        return [kept_value(item) for item in value]
    if isinstance(value, float) or (type(value) is int and value not in INT64):
        try:
            double = float(value)
        except OverflowError:  # FolkForm cannot store it.
            return value
        return int(double) if double.is_integer() and int(double) in INT64 else double
    return value


def unstorable(record: Mapping[str, Any]) -> str:
    """What of a record FolkForm cannot store, as words that follow its name; empty if it can store all."""
    field = next((field for field, value in record.items() if _is_beyond_double(value)), None)
    return "" if field is None else f"cannot store the number in {kept_text(field):.40}, which is too large"


def _is_beyond_double(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_is_beyond_double, value.values()))
    if isinstance(value, list):
        return any(map(_is_beyond_double, value))
    try:
        return isinstance(value, int | float) and math.isinf(value)
    except OverflowError:
        return True
