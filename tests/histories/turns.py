"""Several processes side by side: only one runs at a time, and turns change at their calls of a service."""

from collections.abc import Callable
from threading import Semaphore, Thread

FOREVER = 1_000_000


class Wrong(BaseException):
    """What must never happen. No Exception, so that the program cannot treat it as a service's."""


class Killed(BaseException):
    """The process is gone. No Exception, so that the program cannot catch it."""


class Player:
    """Something that runs in a thread of its own, but only during its turns, which are counted in calls."""

    def __init__(self, play: Callable[[], None]) -> None:
        self.ended = False
        self._play = play
        self._calls = 0
        self._go, self._rest = Semaphore(0), Semaphore(0)
        self._error: BaseException | None = None
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def take_turn(self, calls: int = FOREVER) -> None:
        """It makes up to that many calls. Raises what ended it."""
        self._calls = calls
        self._go.release()
        self._rest.acquire()
        if self._error is not None:
            raise self._error

    def next_call(self) -> None:
        """Runs before each call: the turn may be over."""
        if self._calls <= 0:
            self.give_up_turn()
        self._calls -= 1

    def give_up_turn(self) -> None:
        """The turn is over; returns in the next one."""
        self._rest.release()
        self._go.acquire()

    def _run(self) -> None:
        self._go.acquire()
        try:
            self._play()
        except BaseException as error:
            self._error = error
        finally:
            self.ended = True
            self._rest.release()
