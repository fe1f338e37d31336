"""Time, and the end of it: what the time is, how to wait, and whether to stop."""

import math
import threading
import time

from customer_sync.core.errors import StopRequested, TimeIsUp

_UNITS = ((365.25 * 86400, "years"), (86400, "d"), (3600, "h"), (60, "min"))

_CLOCKS_DIFFER = 60.0


class Clock:
    """The machine's clock. Every wait ends at once when a stop is requested."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._reason: StopRequested | None = None
        self._deadline = math.inf

    def now(self) -> float:
        """Unix seconds, UTC."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that only grow."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Waits. Raises StopRequested when a stop is requested, and at once when the wait would outlast the limit."""
        self.check()
        if self.monotonic() + seconds > self._deadline:
            raise TimeIsUp
        self._stopping.wait(min(max(seconds, 0.0), threading.TIMEOUT_MAX))
        self.check()

    def end_after(self, seconds: float) -> None:
        """Sets the time limit, counted from now."""
        self._deadline = self.monotonic() + seconds

    def stop(self, reason: StopRequested) -> None:
        """Asks everybody to end; the first reason stays."""
        self._reason = self._reason or reason
        self._stopping.set()

    def await_stop(self) -> StopRequested:
        """Returns when somebody asks for the end, with the reason; the time limit does not count."""
        while self._reason is None:
            self._stopping.wait()
        return self._reason

    @property
    def signalled(self) -> bool:
        """Whether somebody asked for the end; the time limit does not count."""
        return self._reason is not None

    @property
    def stopping(self) -> StopRequested | None:
        """Why the work is to end, None while it is not."""
        if self._reason is None and self.monotonic() > self._deadline:
            return TimeIsUp()
        return self._reason

    def check(self) -> None:
        """Raises StopRequested when the work is to end."""
        if reason := self.stopping:
            raise reason


def clocks_differ(ahead: float | None) -> list[str]:
    """A warning where Pancake's clock is so many seconds *ahead* of ours (None: unknown) that customers are delayed,
    and none would know why.
    """
    if ahead is None or abs(ahead) <= _CLOCKS_DIFFER:
        return []
    whose = "this machine's clock is" if ahead > 0 else "Pancake's clock is"
    return [f"{whose} {abs(ahead):,.0f} s behind the other: whoever changed since is synced that much later"]


def local_time(seconds: float) -> str:
    """Unix *seconds* as this machine tells the time: `2026-01-31 14:00:00 +0700`."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(seconds))


def span_in_words(seconds: float) -> str:
    """A span of time as people say it, `4 min`; a unit is used from two of it on."""
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= 2 * size), (1, "s"))
    return f"{int(seconds / size):,} {unit}"


def ago(seconds: float) -> str:
    """How long ago something was: `4 min ago`; what is still to come is `in 4 min`."""
    return f"in {span_in_words(-seconds)}" if seconds <= -1 else f"{span_in_words(abs(seconds))} ago"
