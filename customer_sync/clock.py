"""Time, and the end of it: what the time is, how to wait, and whether to stop."""

import threading
import time

from customer_sync.errors import StopRequested


class Clock:
    """The machine's clock. Every wait ends at once when a stop is requested."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._reason: StopRequested | None = None

    def now(self) -> float:
        """Unix seconds, UTC."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that only grow."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Waits; raises StopRequested as soon as a stop is requested."""
        self._stopping.wait(min(max(seconds, 0.0), threading.TIMEOUT_MAX))
        self.check()

    def stop(self, reason: StopRequested) -> None:
        """Asks everybody to end; the first reason stays."""
        self._reason = self._reason or reason
        self._stopping.set()

    @property
    def stopping(self) -> StopRequested | None:
        """Why the work is to end, None while it is not."""
        return self._reason

    def check(self) -> None:
        """Raises StopRequested when a stop has been requested."""
        if self._reason:
            raise self._reason
