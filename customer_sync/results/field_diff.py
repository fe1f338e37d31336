"""The fields in which two versions of a customer differ, with personal values masked."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from customer_sync.core.customer import looks_like_time
from customer_sync.core.pii import IMPERSONAL
from customer_sync.core.stored_value import kept_value
from customer_sync.results.page_result import counted

_LONGEST = 80
_TIMES = {"updated_at", "inserted_at"}
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that differs, each side masked where it is personal."""

    field: str
    pancake: str
    folkform: str


def differences(pancake: Mapping[str, Any], folkform: Mapping[str, Any]) -> list[Difference]:
    """Every field that differs once FolkForm has stored it, in Pancake's order."""
    found = []
    for name in dict.fromkeys((*pancake, *folkform)):
        ours, theirs = pancake.get(name, _ABSENT), folkform.get(name, _ABSENT)
        if _text(ours) != _text(theirs):
            shown = masked(name, ours), masked(name, theirs)
            found.append(Difference(name, shown[0], shown[1] if shown[0] != shown[1] else f"another {shown[1]}"))
    return found


def masked(name: str, value: Any) -> str:
    """The value of a field if it is not personal, else its kind."""
    if value is _ABSENT:
        return "absent"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, str):
        is_impersonal = name in IMPERSONAL and (name not in _TIMES or looks_like_time(value))
        return value[:_LONGEST] if is_impersonal else f"text of {counted(len(value), 'character')}"
    if isinstance(value, list):
        return f"list of {len(value):,}"
    return f"object of {counted(len(value), 'field')}" if isinstance(value, dict) else "number"


def _text(value: Any) -> str:
    """Equal for equal values only, unlike `==`, for which 1 equals true."""
    try:
        return "" if value is _ABSENT else json.dumps(kept_value(value), sort_keys=True)
    except RecursionError:
        return repr(value)
