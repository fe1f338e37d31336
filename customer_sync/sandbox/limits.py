"""Rate limits: FolkForm's fixed window per address, Pancake's second per page."""

import math
import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass

from customer_sync.sandbox.behaviour import Behaviour


@dataclass(frozen=True, slots=True)
class Allowance:
    """The decision of FolkForm's limiter about one request."""

    granted: bool
    limit: int
    remaining: int
    reset: int
    """Whole seconds until the window resets, rounded up."""

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """The headers of every answer; a rejected request gets Retry-After instead."""
        if not self.granted:
            return (("Retry-After", str(self.reset)),)
        rate = (("Limit", self.limit), ("Remaining", self.remaining), ("Reset", self.reset))
        return tuple((f"X-RateLimit-{name}", str(value)) for name, value in rate)


@dataclass(slots=True)
class _Window:
    start: float
    used: int = 0


class Limits:
    """Counts requests; *clock* returns seconds, the behaviour has the limits."""

    def __init__(self, behaviour: Behaviour, clock: Callable[[], float] = time.monotonic) -> None:
        self._behaviour = behaviour
        self._clock = clock
        self._windows: dict[str, _Window] = {}
        self._seconds: defaultdict[str, deque[float]] = defaultdict(deque)

    def folkform(self, client: str) -> Allowance | None:
        """Counts a request of the address *client*, granted or not; None if there is no limit."""
        limit, length = self._behaviour.folkform_limit, self._behaviour.folkform_window
        if limit is None:
            return None
        now = self._clock()
        window = self._windows.get(client)
        if window is None or now >= window.start + length:
            window = self._windows[client] = _Window(now)
        window.used += 1
        reset = math.ceil(window.start + length - now)
        return Allowance(window.used <= limit, limit, max(limit - window.used, 0), reset)

    def pancake(self, page_id: str) -> bool:
        """Whether Pancake accepts one more request for the page; a rejected one does not count."""
        limit = self._behaviour.pancake_limit
        if limit is None:
            return True
        now, taken = self._clock(), self._seconds[page_id]
        while taken and taken[0] <= now - 1:
            taken.popleft()
        granted = len(taken) < limit
        if granted:
            taken.append(now)
        return granted

    def clear(self) -> None:
        """Forgets all requests."""
        self._windows.clear()
        self._seconds.clear()
