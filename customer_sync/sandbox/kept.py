"""How FolkForm stores a JSON value, in MongoDB by a Go service, as both recorded servers do.

Whole numbers up to 2^63 stay, larger ones become floating point; 1.0 becomes 1; half a surrogate pair becomes U+FFFD.
"""

import math
import re
from decimal import Decimal
from typing import Any

_INT64 = range(-(2**63), 2**63)
# From this number on, Go writes an exponent.
_EXPONENT_FROM = 1e21
_SURROGATE = re.compile("[\ud800-\udfff]")


def kept(value: Any) -> Any:
    """The value as FolkForm returns it. Raises ValueError for a number that it cannot store."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {kept(key): kept(item) for key, item in value.items()}
    if isinstance(value, list):
        return [kept(item) for item in value]
    if isinstance(value, float) or (type(value) is int and value not in _INT64):
        return _double(value)
    return value


def _double(value: float) -> float:
    """A double as Go writes it: the shortest digits, without a zero fraction."""
    try:
        double = float(value)
    except OverflowError:
        double = math.inf
    if not math.isfinite(double):
        raise ValueError("a number is out of range")
    return int(Decimal(repr(double))) if double.is_integer() and abs(double) < _EXPONENT_FROM else double
