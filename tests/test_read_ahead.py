"""Reading ahead in a thread that always ends."""

import itertools
import threading
from collections.abc import Iterator

import pytest

from customer_sync.core.errors import ExitCode, StopRequested
from customer_sync.sync.read_ahead import read_ahead

_LONG = 30.0


class Source:
    """An endless source that knows who reads it and how far."""

    def __init__(self) -> None:
        self.read = 0
        self.reached: dict[int, threading.Event] = {number: threading.Event() for number in range(10)}
        self.reader: threading.Thread | None = None

    def __iter__(self) -> Iterator[int]:
        self.reader = threading.current_thread()
        for number in itertools.count():
            self.read += 1
            if number in self.reached:
                self.reached[number].set()
            yield number

    @property
    def is_being_read(self) -> bool:
        return self.reader is not None and self.reader.is_alive()


def test_gives_everything_in_order() -> None:
    """Nothing is lost or reordered."""
    with read_ahead(range(500)) as items:
        assert list(items) == list(range(500))


def test_an_empty_source_gives_nothing() -> None:
    """Without items the loop is not entered."""
    nothing: list[int] = []
    with read_ahead(nothing) as items:
        assert list(items) == []


def test_falsy_items_are_items() -> None:
    """An empty batch or None does not end the reading."""
    with read_ahead([[], None, 0, [1]]) as items:
        assert list(items) == [[], None, 0, [1]]


def test_reads_while_the_last_item_is_worked_on() -> None:
    """The next item is read in another thread before it is asked for."""
    source = Source()
    with read_ahead(source) as items:
        assert next(items) == 0
        assert source.reached[1].wait(_LONG)
        assert source.reader is not threading.current_thread()


def test_reads_one_item_ahead() -> None:
    """One item is worked on, one is read: memory stays flat."""
    source = Source()
    with read_ahead(source) as items:
        for number in range(5):
            assert next(items) == number
            assert source.read <= number + 2
    assert source.read <= 6


@pytest.mark.parametrize("error", [ValueError("x"), StopRequested("Ended", ExitCode.SIGTERM), KeyboardInterrupt()])
def test_raises_what_the_source_raises(error: BaseException) -> None:
    """Everything before the error is taken, then the error itself."""

    def failing() -> Iterator[int]:
        yield 1
        yield 2
        raise error

    taken: list[int] = []
    with pytest.raises(type(error)) as raised, read_ahead(failing()) as items:
        taken.extend(items)
    assert raised.value is error
    assert taken == [1, 2]


def test_an_error_at_once_is_raised_too() -> None:
    """A source that fails before its first item is no empty one."""

    def failing() -> Iterator[int]:
        raise ValueError
        yield 1

    with pytest.raises(ValueError), read_ahead(failing()) as items:  # noqa: PT011
        next(items)


def test_leaving_ends_the_thread() -> None:
    """Leaving early leaves no thread behind."""
    source = Source()
    with read_ahead(source) as items:
        next(items)
        assert source.reached[1].wait(_LONG)
    assert not source.is_being_read


def test_leaving_without_reading_ends_the_thread() -> None:
    """Not one item needs to be taken."""
    source = Source()
    with read_ahead(source):
        assert source.reached[0].wait(_LONG)
    assert not source.is_being_read


def test_an_error_of_the_consumer_ends_the_thread() -> None:
    """The consumer's error is raised, and the source is not read on."""
    source = Source()
    with pytest.raises(ZeroDivisionError), read_ahead(source) as items:
        raise ZeroDivisionError(next(items))
    assert not source.is_being_read
