"""Whether a service answers: its silence is logged while it lasts, once for all threads, and so is its end."""

import logging
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from customer_sync.core.clock import Clock
from customer_sync.core.errors import ServiceError, Unreachable

log = logging.getLogger(__name__)

# An answer seldom takes as long.
_SILENCE = 5.0
# An attempt whose number was logged for another call is not logged within this time.
_PAUSE = 30.0
_LONG_WAIT = 5.0


@dataclass(slots=True)
class Attempt:
    """The present attempt of one call: its *number* of *tries*, and when it *began*, seconds of the clock."""

    number: int
    tries: int
    began: float = math.inf
    reported: int = 0
    """The number that was last logged, for this call or another."""


class AnswerWatch:
    """Logs that one service does not answer, and that it answers again. Threads share it."""

    def __init__(self, service: str, clock: Clock) -> None:
        self._service = service
        self._clock = clock
        self._attempts: dict[int, Attempt] = {}
        """Those under way, by thread."""
        self._answered_at = -math.inf
        self._silent_since: float | None = None
        """Since when, where that was logged."""
        self._logged_number = 0
        self._logged_at = -math.inf
        self._lock = threading.Lock()

    @contextmanager
    def during(self, attempt: Attempt) -> Iterator[None]:
        """One request is made inside."""
        thread = threading.get_ident()
        attempt.began = self._clock.monotonic()
        self._attempts[thread] = attempt
        try:
            yield
        except ServiceError as error:
            if error.too_many or (error.status and not isinstance(error, Unreachable)):
                self._answered()
            raise
        else:
            self._answered()
        finally:
            del self._attempts[thread]

    def retrying(self, attempt: Attempt, error: Unreachable, wait: float) -> None:
        """An *attempt* follows in *wait* seconds, because the last one failed with *error*."""
        if self._answered_at < attempt.began or self._silence(attempt) >= _SILENCE:  # Not this call alone.
            soon = f" in {wait:.0f} s" if wait > _LONG_WAIT else ""
            problem = error.problem if error.status else self._no_answer
            reason = error.problem.removeprefix(self._service).partition(" at http")[0].strip()
            because = "" if error.status else f" ({reason})"
            self._log(attempt, f"{problem}, attempt {attempt.number} of {attempt.tries}{soon}{because}")

    def look(self) -> None:
        """Logs the silence of calls that still wait for their answers. Call it every second or so."""
        for attempt in list(self._attempts.values()):
            if self._silence(attempt) >= _SILENCE:
                self._log(attempt, f"{self._no_answer}, attempt {attempt.number} of {attempt.tries}")

    @property
    def _no_answer(self) -> str:
        return f"{self._service} does not answer"

    def _silence(self, attempt: Attempt) -> float:
        """Seconds since the last answer, or since the *attempt* began where that was later."""
        return self._clock.monotonic() - max(attempt.began, self._answered_at)

    def _log(self, attempt: Attempt, text: str) -> None:
        with self._lock:
            now = self._clock.monotonic()
            if attempt.reported == attempt.number:
                return
            attempt.reported = attempt.number
            if attempt.number <= self._logged_number and now - self._logged_at < _PAUSE:
                return
            lasts = self._silent_since is not None
            # The next page's calls begin with attempt 1 again.
            self._logged_number = max(attempt.number, self._logged_number if lasts else 0)
            self._logged_at = now
            if self._silent_since is None:
                self._silent_since = now - self._silence(attempt)
        facts = {"service": self._service, "attempt": attempt.number, "attempts": attempt.tries}
        log.warning(text, extra={"event": "no_answer", "facts": facts})

    def _answered(self) -> None:
        self._answered_at = self._clock.monotonic()
        if self._silent_since is None:
            return
        with self._lock:
            since, self._silent_since = self._silent_since, None
        if since is not None:
            seconds = self._answered_at - since
            facts = {"service": self._service, "seconds": round(seconds, 1)}
            text = f"{self._service} answers again after {seconds:.0f} s"
            log.info(text, extra={"event": "answers_again", "facts": facts})
