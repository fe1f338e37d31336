"""Generates any number of customers quickly, evenly spread over time."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any
from uuid import NAMESPACE_URL, uuid5

DAY = 86_400
_MICROSECONDS = 1_000_000
_DIFFERENT = 500


@dataclass(frozen=True, slots=True)
class Ages:
    """How long ago the customers changed, in days."""

    youngest: float
    oldest: float


# With an empty FolkForm, an incremental copies the last 30 days, and the backfill the rest.
RECENT = Ages(0.01, 29.0)
OLD = Ages(31.0, 700.0)


def crowd(page_id: str, count: int, ages: Ages, now: int, notes: str | None = None) -> Iterator[dict[str, Any]]:
    """*count* customers of a page, oldest first, each with *notes*; *now* is Unix microseconds."""
    from customer_sync.sandbox.sample_data import SampleCustomers
    from customer_sync.sandbox.times import pancake_text

    samples = list(SampleCustomers(page_id, 1, now).take(min(count, _DIFFERENT)))
    first = now - int(ages.oldest * DAY * _MICROSECONDS)
    step = (ages.oldest - ages.youngest) * DAY * _MICROSECONDS / max(count - 1, 1)
    for number, sample in enumerate(islice(cycle(samples), count)):
        changed = pancake_text(first + int(number * step))
        yield {
            **sample,
            "id": str(uuid5(NAMESPACE_URL, f"{page_id}/{number}")),
            "psid": f"{25 * 10**15 + number}",
            "inserted_at": changed,
            "updated_at": changed,
            "notes": notes,  # Some sample notes have numbers beyond 64 bits, on which dlt fails.
        }
