"""The locks of one machine, in memory; an end of any kind releases them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from customer_sync.core.locks import PageLocked


class Locks:
    """One holder per pass and page."""

    def __init__(self) -> None:
        self._taken: set[tuple[str, str]] = set()

    @contextmanager
    def held(self, pass_name: str, page_id: str, wait: Callable[[], None] | None) -> Iterator[None]:
        """Holds a lock. Taken already: calls *wait* until it is free, or raises PageLocked."""
        lock = pass_name, page_id
        while lock in self._taken:
            if wait is None:
                raise PageLocked(f"page {page_id} is locked by another {pass_name}")
            wait()
        self._taken.add(lock)
        try:
            yield
        finally:
            self._taken.remove(lock)
