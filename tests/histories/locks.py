"""The locks of one machine, in memory; an end of any kind releases them, and leaves the word that was in them."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from customer_sync.core.locks import PageLocked


@dataclass
class Lock:
    """A lock, and what its last holder left in it."""

    sure_until: int | None = None

    def note_sure_until(self, second: int) -> None:
        self.sure_until = second


class Locks:
    """One holder per pass and page."""

    def __init__(self) -> None:
        self._taken: set[tuple[str, str]] = set()
        self._locks: defaultdict[tuple[str, str], Lock] = defaultdict(Lock)

    @contextmanager
    def held(self, pass_name: str, page_id: str, wait: Callable[[], None] | None) -> Iterator[Lock]:
        """Holds a lock. Taken already: calls *wait* until it is free, or raises PageLocked."""
        lock = pass_name, page_id
        while lock in self._taken:
            if wait is None:
                raise PageLocked(f"another {pass_name} is at page {page_id}")
            wait()
        self._taken.add(lock)
        try:
            yield self._locks[lock]
        finally:
            self._taken.remove(lock)
