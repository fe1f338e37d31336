"""What two versions of a customer differ in, field by field, without telling anything personal."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from customer_sync.core.customer import looks_like_time
from customer_sync.core.pii import IMPERSONAL
from customer_sync.core.stored_value import kept_value
from customer_sync.results.result import counted

_LONGEST = 80
_TIMES = {"updated_at", "inserted_at"}
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that is not the same on both sides, each side as it may be shown."""

    field: str
    pancake: str
    folkform: str


def differences(pancake: Mapping[str, Any], folkform: Mapping[str, Any]) -> list[Difference]:
    """Every field that differs from what FolkForm would keep of it, in Pancake's order."""
    found = []
    for name in dict.fromkeys((*pancake, *folkform)):
        ours, theirs = pancake.get(name, _ABSENT), folkform.get(name, _ABSENT)
        if _text(ours) != _text(theirs):
            shown = masked(name, ours), masked(name, theirs)
            found.append(Difference(name, shown[0], shown[1] if shown[0] != shown[1] else f"another {shown[1]}"))
    return found


def masked(name: str, value: Any) -> str:
    """What may be shown of a field: itself where that tells nobody who she is, else what kind of value it is."""
    if value is _ABSENT:
        return "absent"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, str):
        tells_nobody = name in IMPERSONAL and (name not in _TIMES or looks_like_time(value))
        return value[:_LONGEST] if tells_nobody else f"text of {counted(len(value), 'character')}"
    if isinstance(value, list):
        return f"list of {len(value):,}"
    return f"object of {counted(len(value), 'field')}" if isinstance(value, dict) else "number"


def _text(value: Any) -> str:
    """The same for equal values only, unlike `==`, for which 1 is true."""
    try:
        return "" if value is _ABSENT else json.dumps(kept_value(value), sort_keys=True)
    except RecursionError:
        return repr(value)
