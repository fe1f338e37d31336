"""What one process does at once, without a thread: the plan decides what comes first."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, ParamSpec, TypeVar

from customer_sync.sync.writer import Outcome
from tests.histories.turns import Killed, Wrong

P = ParamSpec("P")
T = TypeVar("T")


class InFlight(Executor):
    """The upserts that were submitted; one arrives whenever the writer waits: *arrivals* decide which."""

    def __init__(self, workers: int, arrivals: Iterable[int]) -> None:
        self._workers = workers
        self._arrivals = iter(arrivals)
        self._waiting: list[Callable[[], Any]] = []
        self._killed = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        self._waiting.append(partial(fn, *args, **kwargs))
        return Future()

    def arrive(self) -> None:
        """One of those that have a worker arrives."""
        if self._killed:
            raise Killed
        if not self._waiting:
            raise Wrong("the writer waits, and nothing is in flight")
        at_work = min(len(self._waiting), self._workers)
        self._waiting.pop(next(self._arrivals, 0) % at_work)()

    def kill(self) -> None:
        """The process is gone: what had a worker may still arrive, without an outcome."""
        self._killed = True
        for upsert in self._waiting[: self._workers]:
            with suppress(Killed):
                upsert()


class Outcomes:
    """The outcomes of one writer's upserts; they arrive because it waits."""

    def __init__(self, in_flight: InFlight) -> None:
        self._in_flight = in_flight
        self._outcomes: deque[Outcome] = deque()

    def put(self, outcome: Outcome, /) -> None:
        self._outcomes.append(outcome)

    def get(self) -> Outcome:
        while not self._outcomes:
            self._in_flight.arrive()
        return self._outcomes.popleft()


@contextmanager
def read_ahead(batches: Iterable[Any], /, *, depth: int) -> Iterator[Iterator[Any]]:
    """Reads so many batches ahead, without a thread."""
    yield _ahead(iter(batches), depth)


def _ahead(batches: Iterator[Any], depth: int) -> Iterator[Any]:
    waiting: deque[Any] = deque()
    error: Exception | None = None
    while True:
        try:
            while len(waiting) <= depth and error is None:
                waiting.append(next(batches))
        except Exception as raised:
            error = raised
        if waiting:
            yield waiting.popleft()
        elif isinstance(error, StopIteration):
            return
        elif error is not None:
            raise error
