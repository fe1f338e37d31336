"""FolkForm's documents in the order of one of their values, however many there are."""

from collections.abc import Callable, Iterator
from typing import Any

from customer_sync.core.errors import ContractBroken
from customer_sync.services.documents import value_at
from customer_sync.services.folkform_access import SERVICE

LARGEST_LIMIT = 1000

Find = Callable[[dict[str, Any], dict[str, Any]], list[dict[str, Any]]]
"""Asks FolkForm for documents by filter and options."""


def documents_in_order(
    find: Find, filter_: dict[str, Any], path: str, *, newest_first: bool = False, limit: int = LARGEST_LIMIT
) -> Iterator[dict[str, Any]]:
    """The documents that *filter_* passes, whose condition for *path* is an object, in the order of the values there.

    Each request after the first starts at the last value seen, so that none is missed in between; documents that share
    it are read twice and yielded once. *limit* is how many a request asks for. Raises ContractBroken where FolkForm
    does not sort or filter.
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
            record = document.get("id") or repr(document)
            if record not in at_edge:
                at_edge.add(record)
                yield document
        if len(found) < limit:
            return
        # Where more documents share one value than an answer holds, places count instead of values.
        skip = skip + limit if value_at(found[0], path) == edge else 0
        filter_ = {**filter_, path: {**filter_[path], "$lte" if newest_first else "$gte": edge}}


def _check_order(before: Any, value: Any, newest_first: bool) -> None:
    """What is not sorted or not filtered would be taken for the newest."""
    try:
        ordered = before is None or (value < before if newest_first else value > before)
    except TypeError:
        ordered = False
    if not ordered or value is None:
        raise ContractBroken(SERVICE, "answered customers out of the order asked for")
