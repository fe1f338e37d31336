"""A page's documents in the order of Pancake's time, whichever field this FolkForm keeps that in."""

import heapq
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from customer_sync.core.customer import parse_customer_updated_at
from customer_sync.core.errors import ContractBroken
from customer_sync.services.documents import (
    StoredVersion,
    TimeField,
    read_key,
    read_stored,
    read_time,
    read_version,
    value_at,
    version_time,
)
from customer_sync.services.folkform_access import SERVICE

LARGEST_LIMIT = 1000
# A text with a zone may sort this much before or after its true time.
_ZONES_EAST, _ZONES_WEST = 14 * 3600, 12 * 3600

Find = Callable[[dict[str, Any], dict[str, Any]], list[dict[str, Any]]]
"""Asks FolkForm for documents by filter and options."""


def in_order(
    find: Find, page_id: str, field: TimeField, *, newest_first: bool, batch: int, until: int | None = None
) -> Iterator[StoredVersion]:
    """A page's documents by Pancake's time. *batch* is how many a request asks for at least; documents after *until*
    (Unix seconds) are left out.
    """
    condition: dict[str, Any] = {"$gt": field.least}
    if until is not None:
        condition["$lte"] = _upper_bound(field, until)
    limit = LARGEST_LIMIT if field is TimeField.VERSION else batch
    filter_ = {"pageId": page_id, field.value: condition}
    documents = documents_in_order(find, filter_, field.value, newest_first=newest_first, limit=limit)
    if field is TimeField.VERSION:
        versions = _by_true_time(documents, newest_first)
    else:
        timed = ((document, read_time(document.get(field.value))) for document in documents)
        dated = ((document, time) for document, time in timed if time is not None)
        versions = (stored for document, time in dated if (stored := read_stored(document, time)))
    yield from (stored for stored in versions if until is None or stored.time <= until)


def documents_in_order(
    find: Find, filter_: dict[str, Any], path: str, *, newest_first: bool = False, limit: int = LARGEST_LIMIT
) -> Iterator[dict[str, Any]]:
    """The documents that *filter_* lets through, whose condition for *path* is an object, in the order of its values.

    A new request starts at the last value seen, so that none is missed between two; those that share it are read twice
    and yielded once.
    """
    options = {"sort": {path: -1 if newest_first else 1}, "limit": limit}
    at_edge: set[Any] = set()
    edge: Any = None
    skip = 0
    while True:
        found = find(filter_, options | {"skip": skip})
        for document in found:
            value = value_at(document, path)
            if value != edge or value is None:
                _check_order(edge, value, newest_first)
                at_edge, edge, skip = set(), value, 0
            record = document.get("id") or read_key(document)
            if record is not None and record not in at_edge:
                at_edge.add(record)
                yield document
        if len(found) < limit:
            return
        # More documents share one value than one answer holds: only there count places, not values.
        skip = skip + limit if value_at(found[0], path) == edge else 0
        filter_ = {**filter_, path: {**filter_[path], "$lte" if newest_first else "$gte": edge}}


def _check_order(before: Any, value: Any, newest_first: bool) -> None:
    """FolkForm sorts and filters, or what it seems to hold is wrong."""
    try:
        ordered = before is None or (value < before if newest_first else value > before)
    except TypeError:
        ordered = False
    if not ordered or value is None:
        raise ContractBroken(SERVICE, "answered customers out of the order asked for")


def _text_time(version: str) -> int:
    """Where the text of a readable version sorts: its time as if it named no zone."""
    try:
        return parse_customer_updated_at(version[:19])
    except ValueError:
        return 0  # In its own zone it was 1969 still.


def _upper_bound(field: TimeField, until: int) -> Any:
    """A bound of *field* that includes every document whose time is *until* or before."""
    if field is TimeField.VERSION:
        return datetime.fromtimestamp(until + 1 + _ZONES_EAST, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return until * 1000 + 999


def _by_true_time(documents: Iterator[dict[str, Any]], newest_first: bool) -> Iterator[StoredVersion]:
    """Documents sorted by the text of their version, sorted by its time: zones shift a text by hours."""
    sign = -1 if newest_first else 1
    slack = _ZONES_WEST if newest_first else _ZONES_EAST
    waiting: list[tuple[int, int, StoredVersion]] = []
    for number, document in enumerate(documents):
        time = version_time(document)
        if time is None:
            continue
        if stored := read_stored(document, time):
            heapq.heappush(waiting, (sign * time, number, stored))
        text_time = _text_time(str(read_version(document)))
        while waiting and waiting[0][0] < sign * text_time - slack:
            yield heapq.heappop(waiting)[2]
    while waiting:
        yield heapq.heappop(waiting)[2]
