"""The retries of a call: up to 5 attempts, about 0.5, 1, 2 and 4 s apart, and never before a `Retry-After` is over.

A 429 that names no time costs no attempt: the waits grow to a minute, five minutes in all.
"""

import logging
import random
from collections.abc import Iterator

from customer_sync.core.clock import Clock
from customer_sync.core.errors import ServerError, StopRequested, TimeIsUp, Unreachable
from customer_sync.http.answer_watch import AnswerWatch, Attempt
from customer_sync.http.service import Answer, read_http_date

log = logging.getLogger(__name__)

TRIES = 5
MAX_FREE_TRIES = 7
"""How many answers with a 429 and without a `Retry-After` cost no attempt."""
_FIRST_WAIT = 0.5
_MAX_WAIT = 60.0
_LONG_WAIT = 5.0
_MAX_RETRY_AFTER = 86_400.0


class Retries:
    """The attempts of one call."""

    def __init__(self, clock: Clock, watch: AnswerWatch, tries: int, tries_on_500: int, *, must_complete: bool) -> None:
        """At most *tries*, of which *tries_on_500* may meet the service's own 500. With *must_complete* a requested
        stop only shortens the wait.
        """
        self.attempt = Attempt(1, tries)
        """The present one."""
        self._clock = clock
        self._watch = watch
        self._tries = tries
        self._tries_on_500 = tries_on_500
        self._must_complete = must_complete
        self._attempts = 0
        self._free_tries = 0
        self._waits: Iterator[float] | None = None

    def wait(self, error: Unreachable) -> bool:
        """Waits until the next attempt is due. Returns False at once when *error* ended the last one.

        Raises StopRequested, TimeIsUp at once when the wait would exceed the time limit.
        """
        self._attempts += 1
        if error.too_many and not error.retry_after and self._tries == TRIES:
            self._free_tries = min(self._free_tries + 1, MAX_FREE_TRIES)
        tries = min(self._tries, self._tries_on_500) if isinstance(error, ServerError) else self._tries
        if self._attempts - self._free_tries >= tries:
            error.problem += f" ({self._attempts} attempts)" if self._attempts > 1 else ""
            return False
        self._waits = self._waits or _growing_waits()
        wait = max(next(self._waits), error.retry_after)
        is_long_limit = error.too_many and wait > _LONG_WAIT
        log.log(logging.INFO if is_long_limit else logging.DEBUG, "%s; retrying in %.1f s", error, wait)
        self.attempt.number, self.attempt.tries = self._attempts - self._free_tries + 1, tries
        if not error.too_many:
            self._watch.retrying(self.attempt, error, wait)
        try:
            self._clock.sleep(wait)
        except TimeIsUp:
            problem = f"{error.sentence}; the next attempt, in {wait:.0f} s, would exceed the time limit"
            raise TimeIsUp(f"{problem} (--max-runtime)") from None
        except StopRequested:
            if not self._must_complete:
                raise
        return True


def read_retry_after(answer: Answer, now: float) -> float:
    """Seconds to wait, from `Retry-After` as seconds or as a date of the service's clock (of ours, *now*, where it has
    none). 0 for anything else, and for more than a day.
    """
    text = answer.headers.get("Retry-After", "").strip()
    if text.isdecimal():
        wait = float(text)
    else:
        date = read_http_date(text)
        wait = 0.0 if date is None else date - (now if answer.date is None else answer.date)
    return wait if 0 < wait <= _MAX_RETRY_AFTER else 0.0


def _growing_waits() -> Iterator[float]:
    """About 0.5, 1, 2, 4 … 60 seconds, each a quarter longer or shorter at random."""
    import backoff  # Slow to load, and most runs need no retry.

    waits = backoff.expo(base=2, factor=_FIRST_WAIT, max_value=_MAX_WAIT)
    return (wait * random.uniform(0.75, 1.25) for wait in waits if wait is not None)
