"""Which time Pancake's window looks at: not documented, and worth knowing; the passes do not depend on it.

The same list is asked for again with an `until` between the known times: who should have been left out tells.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from customer_sync.core.customer import parse_customer_updated_at

_FREE = " (the passes do not depend on it)"
BY_UPDATE = "since and until look at updated_at"
BY_INSERT = f"since and until look at inserted_at{_FREE}"
IGNORED = f"since and until are ignored{_FREE}"
EITHER = "since and until are honoured, unknown by which time: nobody's two times differ"
NOT_UPDATE = f"since and until are ignored, or look at inserted_at, which is not listed{_FREE}"
UNKNOWN = "unknown which time since and until look at: no page lists two customers yet"


@dataclass(frozen=True, slots=True)
class Times:
    """A listed customer's times, whole Unix seconds; *inserted* is None where it is not readable."""

    updated: int
    inserted: int | None


def read_times(customers: Iterable[Any]) -> list[Times]:
    """The times of those listed who have been updated at a readable time."""
    rows = [row for row in customers if isinstance(row, dict)]
    times = [(_second(row.get("updated_at")), _second(row.get("inserted_at"))) for row in rows]
    return [Times(updated, inserted) for updated, inserted in times if updated is not None]


def look_at_window(known: Sequence[Times], ask: Callable[[int], list[Times]]) -> str:
    """What the window looks at, told by the *known* newest customers; *ask* lists those until a second, newest first.

    Asks once, or twice where one answer cannot tell.
    """
    inserted = [one.inserted for one in known if one.inserted is not None]
    last_insert = max(inserted, default=0)
    until = _edge(known, last_insert)
    listed = ask(until)
    if not any(one.updated > until for one in listed):
        told = any(one.inserted is not None and one.inserted <= until < one.updated for one in known)
        return BY_UPDATE if told else EITHER
    if not inserted:
        return NOT_UPDATE
    if last_insert <= until:  # Whoever came too late by one time came in time by the other: ask below that, too.
        until = last_insert - 1
        listed = ask(until)
    late = any(one.inserted is not None and one.inserted > until for one in listed)
    return IGNORED if late else BY_INSERT


def _edge(known: Sequence[Times], last_insert: int) -> int:
    """A second before which somebody was inserted who was updated after it; best, with others inserted after it."""
    changed = [one for one in known if one.inserted is not None and one.inserted < one.updated]
    for one in changed:
        if (until := min(one.updated, last_insert) - 1) >= (one.inserted or 0):
            return until
    return max(one.updated for one in changed or known) - 1


def _second(text: Any) -> int | None:
    try:
        return parse_customer_updated_at(text)
    except ValueError:
        return None
