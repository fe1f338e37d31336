"""How fast one service may be called, learned from its own answers."""

import math
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from customer_sync.core.clock import Clock

_FIRST_INTERVAL = 0.1
_MAX_INTERVAL = 10.0
_RECOVERY = 0.9
_NO_INTERVAL = 0.001
_PROBE_INTERVAL = 1.0
_POLL = 0.05
_MAX_WINDOW = 3600.0


@dataclass(frozen=True, slots=True)
class Allowance:
    """A service's limit as it was last reported: *left* of *limit* calls until the reset, in *resets_in* seconds."""

    limit: int
    left: int
    resets_in: float


class AdaptiveRateLimiter:
    """Paces the calls to one service: `wait` before each, `ended` after it. Threads share it.

    Slows down at once at a "too many requests", and speeds up again step by step. Where answers carry `X-RateLimit-*`,
    calls go at full speed while some are left, and pause until the reset when none is.
    """

    def __init__(self, clock: Clock, rate: float | None = None) -> None:
        """*rate* is the highest number of calls per second, None for no bound."""
        self._clock = clock
        self._lock = threading.Lock()
        self._min_interval = 1 / rate if rate else 0.0
        self._interval = self._min_interval
        self._next_call = clock.monotonic()
        self._slowed_at = -1.0
        self._in_flight = 0
        self._remaining: int | None = None
        """Calls left in the service's window, including those in flight; None while unknown."""
        self._resets_at = 0.0
        self._window = 0.0
        """The longest time to a reset so far, seconds: about the length of a window."""
        self._next_probe = 0.0
        self._limit = 0
        """Calls that the service accepts in a window; 0 while unknown."""

    def wait(self) -> float:
        """Returns when the next call may be made, with the moment it was allowed. Raises what the clock raises."""
        while True:
            with self._lock:
                now = self._clock.monotonic()
                delay = self._delay(now)
                if delay <= 0:
                    self._take(now)
                    return now
            self._clock.sleep(delay)

    def take(self) -> float:
        """Allows the next call without any wait. Returns the moment."""
        with self._lock:
            now = self._clock.monotonic()
            self._take(now)
            return now

    def held_for(self) -> float:
        """Seconds until the next call may be made."""
        with self._lock:
            return max(self._delay(self._clock.monotonic()), 0.0)

    def allowance(self) -> Allowance | None:
        """The service's limit as it was last reported; None while unknown."""
        with self._lock:
            if self._remaining is None or not self._limit:
                return None
            return Allowance(self._limit, self._remaining, max(self._resets_at - self._clock.monotonic(), 0.0))

    def min_duration(self, calls: int) -> float:
        """Seconds that this number of further calls takes at least."""
        with self._lock:
            own_pace = calls * self._interval
            if self._remaining is None or calls <= self._remaining or not self._limit:
                return own_pace
            windows = math.ceil((calls - self._remaining) / self._limit) - 1
            return max(own_pace, self._resets_at - self._clock.monotonic() + windows * self._window)

    def answered(self, headers: Mapping[str, str]) -> None:
        """A call was answered, well or not: adopts the service's own count."""
        with self._lock:
            self._read_window(headers)

    def ended(self) -> None:
        """A call is over, answered or not."""
        with self._lock:
            self._in_flight -= 1

    def succeeded(self) -> None:
        """A call got a good answer: speeds up one step."""
        with self._lock:
            self._interval = max(self._min_interval, self._interval * _RECOVERY)
            if self._min_interval == 0 and self._interval < _NO_INTERVAL:
                self._interval = 0.0

    def too_many(self, allowed_at: float) -> None:
        """The call allowed at *allowed_at* was one too many; calls of the same burst count once."""
        with self._lock:
            if allowed_at > self._slowed_at:
                self._slowed_at = self._clock.monotonic()
                self._interval = min(max(self._interval * 2, _FIRST_INTERVAL), _MAX_INTERVAL)

    def pause(self, seconds: float) -> None:
        """Allows no call for so many seconds."""
        with self._lock:
            self._next_call = max(self._next_call, self._clock.monotonic() + seconds)

    def _delay(self, now: float) -> float:
        if now < self._next_call:
            return self._next_call - now
        if self._remaining is None or self._in_flight < self._remaining:
            return 0.0
        if now < self._resets_at:  # The service may have counted those in flight already: their answers show it.
            return min(self._resets_at - now, _POLL if self._remaining else math.inf)
        return min(max(self._next_probe - now, 0.0), _POLL)

    def _take(self, now: float) -> None:
        self._next_call = now + self._interval
        if self._remaining is not None and self._in_flight >= self._remaining:
            # The window should be over: one call finds out, the others wait for its answer.
            self._next_probe = now + _PROBE_INTERVAL
        self._in_flight += 1

    def _read_window(self, headers: Mapping[str, str]) -> None:
        try:
            remaining, reset = max(int(headers["X-RateLimit-Remaining"]), 0), float(headers["X-RateLimit-Reset"])
        except (KeyError, ValueError):
            return
        if not 0 <= reset <= _MAX_WINDOW:
            return
        with suppress(KeyError, ValueError):
            self._limit = int(headers["X-RateLimit-Limit"])
        self._window = max(self._window, reset)
        # A late answer and whole seconds make the reset seem later than it is, but never by half a window.
        resets_at, slack = self._clock.monotonic() + reset, self._window / 2
        if self._remaining is None or resets_at > self._resets_at + slack:
            self._remaining, self._resets_at = remaining, resets_at
        elif resets_at > self._resets_at - slack:
            self._remaining, self._resets_at = min(self._remaining, remaining), min(self._resets_at, resets_at)
        # else: an answer of the previous window, which has no bearing on this one.
