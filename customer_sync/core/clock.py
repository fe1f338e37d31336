"""The time, interruptible waits, and whether the run is to stop."""

import math
import threading
import time

from customer_sync.core.errors import StopRequested, TimeIsUp, WrongClock

_UNITS = ((365.25 * 86400, "years"), (86400, "d"), (3600, "h"), (60, "min"))
_MAX_CLOCK_DIFFERENCE = 60.0
_WRONG_CLOCK = 300.0


class Clock:
    """The machine's clock. A requested stop ends every wait at once."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._reason: StopRequested | None = None
        self._deadline = math.inf

    def now(self) -> float:
        """Unix seconds, UTC."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment; they only grow."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Waits. Raises StopRequested when a stop is requested, and at once if the wait would exceed the limit."""
        self.check()
        if self.monotonic() + seconds > self._deadline:
            raise TimeIsUp
        self._stopping.wait(min(max(seconds, 0.0), threading.TIMEOUT_MAX))
        self.check()

    def end_after(self, seconds: float) -> None:
        """Sets the time limit, counted from now."""
        self._deadline = self.monotonic() + seconds

    def stop(self, reason: StopRequested) -> None:
        """Requests a stop; the first reason counts."""
        self._reason = self._reason or reason
        self._stopping.set()

    @property
    def signalled(self) -> bool:
        """Whether a stop was requested; ignores the time limit."""
        return self._reason is not None

    @property
    def stopping(self) -> StopRequested | None:
        """Why the run is to stop; None while it is not."""
        if self._reason is None and self.monotonic() > self._deadline:
            return TimeIsUp()
        return self._reason

    def check(self) -> None:
        """Raises StopRequested if the run is to stop."""
        if reason := self.stopping:
            raise reason


def clocks_differ(ahead: float | None) -> list[str]:
    """A warning if Pancake's clock is more than a minute away from ours. *ahead* is in seconds, None if unknown."""
    if ahead is None or abs(ahead) <= _MAX_CLOCK_DIFFERENCE:
        return []
    slow = "this machine's clock is" if ahead > 0 else "Pancake's clock is"
    return [f"{slow} {abs(ahead):,.0f} s behind the other: recent changes are synced that much later"]


def check_clocks(pancake_ahead: float | None, folkform_ahead: float | None) -> None:
    """Raises WrongClock that names the clock that looks wrong, where Pancake's is minutes away from ours.

    How far each is ahead of ours is in seconds, None if unknown. FolkForm's clock decides.
    """
    if pancake_ahead is None or abs(pancake_ahead) <= _WRONG_CLOCK:
        return
    apart = f"{abs(pancake_ahead):,.0f} s"
    if folkform_ahead is not None and abs(folkform_ahead - pancake_ahead) <= _MAX_CLOCK_DIFFERENCE:
        relation = "behind" if pancake_ahead > 0 else "ahead of"
        problem = f"This machine's clock is {apart} {relation} those of Pancake and FolkForm"
        raise WrongClock(problem, "Set this machine's clock; timedatectl shows it.")
    relation = "ahead of" if pancake_ahead > 0 else "behind"
    agrees = folkform_ahead is not None and abs(folkform_ahead) <= _MAX_CLOCK_DIFFERENCE
    others = "those of this machine and FolkForm" if agrees else "this machine's"
    step = "Recent changes may not be synced yet; check the proxy (a cache), or ask Pancake support."
    raise WrongClock(f"Pancake's clock (the Date of its answers) is {apart} {relation} {others}", step)


def local_time(seconds: float | None = None) -> str:
    """Unix *seconds* (None: now) in this machine's zone: `2026-01-31 14:00:00 +07:00`."""
    text = time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(seconds))
    return f"{text[:-2]}:{text[-2:]}"


def span_in_words(seconds: float) -> str:
    """A duration such as `4 min`; a unit is used from two of it on."""
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= 2 * size), (1, "s"))
    return f"{int(seconds / size):,} {unit}"


def ago(seconds: float) -> str:
    """`4 min ago`, or `in 4 min` for a negative number of seconds."""
    return f"in {span_in_words(-seconds)}" if seconds <= -1 else f"{span_in_words(abs(seconds))} ago"
