"""Reading the next batch while the last one is being written."""

import threading
from collections.abc import Iterable, Iterator
from queue import Full, Queue
from typing import Generic, TypeVar

T = TypeVar("T")
_POLL = 0.1


class _End:
    """The last thing in the queue; carries the error that ended the reading."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class ReadAhead(Generic[T]):
    """Iterates over *items* in a thread of its own, at most *depth* of them ahead. Raises what *items* raises.

    A context: leaving it ends the thread.
    """

    def __init__(self, items: Iterable[T], depth: int = 1) -> None:
        self._items = items
        self._queue: Queue[T | _End] = Queue(depth)
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._read, name="read-ahead", daemon=True)

    def __enter__(self) -> Iterator[T]:
        self._thread.start()
        return self._take()

    def __exit__(self, *_: object) -> None:
        self._left.set()
        self._thread.join()

    def _take(self) -> Iterator[T]:
        while not isinstance(item := self._queue.get(), _End):
            yield item
        if item.error is not None:
            raise item.error

    def _read(self) -> None:
        end = _End(None)
        try:
            for item in self._items:
                if not self._put(item):
                    return
        except BaseException as error:
            end = _End(error)
        self._put(end)

    def _put(self, item: T | _End) -> bool:
        while not self._left.is_set():
            try:
                self._queue.put(item, timeout=_POLL)
            except Full:
                continue
            return True
        return False
