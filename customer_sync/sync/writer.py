"""Ordered, concurrent upserts that keep FolkForm's own watermarks truthful (see span_rule, failure_policy)."""

import sys
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, Executor
from dataclasses import dataclass
from enum import Enum
from itertools import count
from queue import SimpleQueue
from threading import RLock
from typing import Protocol, Self

from customer_sync.core.clock import Clock
from customer_sync.core.customer import Customer
from customer_sync.core.errors import ServiceError, StopRequested
from customer_sync.services.documents import StoredVersion
from customer_sync.services.folkform import Filter
from customer_sync.sync.failure_policy import FailurePolicy, is_about_customer
from customer_sync.sync.span_rule import SpanRule
from customer_sync.sync.watermarks import SPAN


class Order(Enum):
    """In which order a pass writes; the value turns a time into a place in that order."""

    OLDEST_FIRST = 1
    NEWEST_FIRST = -1


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a customer's upsert ended: the *error*, None when there was none. *began* and *ended* are moments of one
    writer, counted.
    """

    customer: Customer
    error: Exception | None
    began: int
    ended: int


class Outcomes(Protocol):
    """A queue of one writer's outcomes."""

    def put(self, outcome: Outcome, /) -> None: ...

    def get(self) -> Outcome: ...


class Upsert(Protocol):
    """Inserts or updates a customer. Raises ServiceError; ServerError at so many of FolkForm's own 500s."""

    def __call__(self, customer: Customer, where: Filter | None = None, *, tries_on_500: int = 1) -> None: ...


@dataclass(frozen=True, slots=True)
class Upserts:
    """How to write a page's customers."""

    pool: Executor
    workers: int
    upsert: Upsert
    look_up: Callable[[Customer], Filter]
    """Finds the filter for a customer that FolkForm answered with 500. Raises Refused when no upsert can help,
    Unreachable when FolkForm does not answer.
    """
    ping: Callable[[str], None]
    """Asks for a page whether FolkForm is up; its limit does not count that. Raises Unreachable when it is not."""
    clock: Clock
    span: int = SPAN
    outcomes: Callable[[], Outcomes] = SimpleQueue


class CustomerWriter:
    """Writes one page's customers. *written* and *failed* hear how each ended; *failed* gets the reason.

    A context: left normally, every customer begun has ended; left by an error, nothing more is begun.
    """

    def __init__(
        self,
        upserts: Upserts,
        order: Order,
        stored: Iterable[StoredVersion],
        written: Callable[[Customer], None],
        failed: Callable[[Customer, ServiceError], None],
        *,
        bound_from: int | None = None,
    ) -> None:
        """*stored* are the documents of the watermark's answer. Customers before *bound_from* (Unix seconds) in the
        order move no watermark, and the SPAN rule does not bind them; None binds all.
        """
        self._upserts = upserts
        self._order = order
        places = (self._place(document.time) for document in stored)
        self._span_rule = SpanRule(upserts.span, places, None if bound_from is None else self._place(bound_from))
        self._policy = FailurePolicy(upserts.look_up, upserts.ping, self._submit, self._report, upserts.span)
        self._written = written
        self._failed = failed
        self._last_place = -sys.maxsize
        self._unfinished = 0
        self._in_flight = 0
        self._moments = count()
        self._ended = False
        self._submitting = RLock()
        self._not_submitted: Customer | None = None
        self._outcomes = upserts.outcomes()

    def write(self, customer: Customer) -> None:
        """Starts the customer's upsert as soon as the SPAN rule lets it; customers come in order.

        Raises Unreachable when FolkForm is down, ServiceError when it refuses us, StopRequested.
        """
        self._upserts.clock.check()
        place = self._place(customer.updated_at)
        alone = place < self._last_place  # Out of order: what is stored beyond it is not known.
        if alone:
            self.finish()
        while not self._may_start(place):
            self._await_outcome()
        self._unfinished += 1
        self._span_rule.start(place)
        self._submit(customer)
        if alone:
            self.finish()
        self._last_place = max(place, self._last_place)

    def skip(self) -> None:
        """FolkForm stores the next customer already: failures before it are not in a row with those after it."""
        self._policy.forget_failures()

    def finish(self) -> None:
        """Returns when every customer begun has ended. Raises what `write` raises."""
        while self._unfinished:
            self._await_outcome()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Waits for what is in flight, whatever happened: it counts."""
        try:
            if error is None:
                self.finish()
        except StopRequested as stop:
            error = stop
            raise
        finally:
            self._abandon()
            if isinstance(error, StopRequested):
                for customer, reason in self._policy.tried_in_vain:
                    self._failed(customer, reason)

    def _place(self, time: int) -> int:
        return time * self._order.value

    def _may_start(self, place: int) -> bool:
        if self._policy.holds_back or self._in_flight >= 2 * self._upserts.workers:
            return False
        return self._span_rule.may_start(place)

    def _submit(self, customer: Customer, where: Filter | None = None, tries_on_500: int = 1) -> None:
        with self._submitting:
            try:
                self._upserts.pool.submit(self._upsert, customer, where, tries_on_500)
            except BaseException:  # No thread could be started, but another one may take what was queued.
                self._ended, self._not_submitted = True, customer
                raise
        self._in_flight += 1

    def _upsert(self, customer: Customer, where: Filter | None, tries_on_500: int) -> None:
        """Runs in the pool."""
        began, problem = next(self._moments), None
        try:
            with self._submitting:
                if self._ended:
                    raise CancelledError
            self._upserts.upsert(customer, where, tries_on_500=tries_on_500)
        except Exception as error:
            problem = error
        finally:
            self._outcomes.put(Outcome(customer, problem, began, next(self._moments)))

    def _await_outcome(self) -> None:
        if not self._in_flight:
            self._policy.nothing_in_flight()
            return
        outcome = self._next_outcome()
        if outcome.error is None:
            self._arrived(outcome.customer)
            self._policy.another_written(outcome.began)
        else:
            self._policy.failed(outcome.customer, outcome.error, outcome.ended)

    def _next_outcome(self) -> Outcome:
        while (outcome := self._outcomes.get()).customer is self._not_submitted:
            pass
        self._in_flight -= 1
        return outcome

    def _arrived(self, customer: Customer) -> None:
        self._finished(customer)
        self._written(customer)

    def _report(self, customer: Customer, error: ServiceError) -> None:
        self._finished(customer)
        self._failed(customer, error)

    def _finished(self, customer: Customer) -> None:
        self._unfinished -= 1
        self._policy.forget(customer)
        self._span_rule.finish(self._place(customer.updated_at))

    def _abandon(self) -> None:
        """Starts nothing more and waits for what is in flight; what arrives counts."""
        self._ended = True
        while self._in_flight:
            outcome = self._next_outcome()
            if outcome.error is None:
                self._arrived(outcome.customer)
            elif is_about_customer(outcome.error):
                self._report(outcome.customer, outcome.error)
