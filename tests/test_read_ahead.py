"""Reading ahead in a thread that always ends."""

import itertools
import threading
from collections.abc import Iterator

import pytest

from customer_sync.core.errors import ExitCode, StopRequested
from customer_sync.sync.read_ahead import ReadAhead

_LONG = 30.0


class Source:
    """An endless source that records which thread reads it, and how far."""

    def __init__(self) -> None:
        self.read = 0
        self.closed = False
        self.reached: dict[int, threading.Event] = {number: threading.Event() for number in range(10)}
        self.reader: threading.Thread | None = None

    def __iter__(self) -> Iterator[int]:
        self.reader = threading.current_thread()
        try:
            for number in itertools.count():
                self.read += 1
                if number in self.reached:
                    self.reached[number].set()
                yield number
        finally:
            self.closed = True

    @property
    def is_being_read(self) -> bool:
        return self.reader is not None and self.reader.is_alive()


@pytest.mark.parametrize("depth", [1, 2, 100])
@pytest.mark.parametrize("source", [list(range(500)), [], [[], None, 0, [1]]], ids=["many", "none", "falsy items"])
def test_yields_all_items_in_order(depth: int, source: list[object]) -> None:
    """Nothing is lost or reordered; a falsy item does not end the reading."""
    with ReadAhead(source, depth) as items:
        assert list(items) == source


def test_reads_while_the_consumer_uses_the_last_item() -> None:
    """The next item is read in another thread before the consumer asks for it."""
    source = Source()
    with ReadAhead(source) as items:
        assert next(items) == 0
        assert source.reached[1].wait(_LONG)
        assert source.reader is not threading.current_thread()


@pytest.mark.parametrize("depth", [1, 3])
def test_reads_no_further_than_depth(depth: int) -> None:
    """The reader holds one item beside those that wait in the queue: memory stays flat."""
    source = Source()
    with ReadAhead(source, depth) as items:
        for number in range(5):
            assert next(items) == number
            assert source.read <= number + 1 + depth + 1
    assert source.read <= 5 + depth + 1


@pytest.mark.parametrize("error", [ValueError("x"), StopRequested("Ended", ExitCode.SIGTERM), KeyboardInterrupt()])
def test_raises_what_the_source_raises(error: BaseException) -> None:
    """Everything before the error is yielded, then the error itself."""

    def failing() -> Iterator[int]:
        yield 1
        yield 2
        raise error

    taken: list[int] = []
    with pytest.raises(type(error)) as raised, ReadAhead(failing()) as items:
        taken.extend(items)
    assert raised.value is error
    assert taken == [1, 2]


def test_an_error_before_the_first_item_is_raised() -> None:
    """A source that fails at once is not an empty one."""

    def failing() -> Iterator[int]:
        raise ValueError
        yield 1

    with pytest.raises(ValueError), ReadAhead(failing()) as items:  # noqa: PT011
        next(items)


def test_leaving_ends_the_thread() -> None:
    """Also early, while the reader waits for room in the queue."""
    source = Source()
    with ReadAhead(source) as items:
        next(items)
        assert source.reached[2].wait(_LONG)
    assert not source.is_being_read


def test_leaving_without_reading_ends_the_thread() -> None:
    """Also when no item was taken."""
    source = Source()
    with ReadAhead(source):
        assert source.reached[1].wait(_LONG)
    assert not source.is_being_read


def test_an_error_of_the_consumer_ends_the_thread() -> None:
    """The consumer's error is raised, and the source is not read on."""
    source = Source()
    with pytest.raises(ZeroDivisionError), ReadAhead(source) as items:
        raise ZeroDivisionError(next(items))
    assert not source.is_being_read
    assert source.closed
