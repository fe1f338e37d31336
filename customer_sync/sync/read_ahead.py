"""Reading the next batch while the last one is written."""

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
_END = object()


@contextmanager
def read_ahead(items: Iterable[T]) -> Iterator[Iterator[T]]:
    """Iterates over *items*, the next one read in a thread of its own meanwhile. Raises what *items* raises.

    Leaving the context waits for the item that is being read, and ends the thread.
    """
    iterator = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as thread:

        def read() -> Future[object]:
            return thread.submit(next, iterator, _END)

        def taken(coming: Future[object]) -> Iterator[T]:
            while (item := coming.result()) is not _END:
                coming = read()
                yield item  # type: ignore[misc]

        yield taken(read())
