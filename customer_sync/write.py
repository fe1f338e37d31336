"""Ordered, concurrent upserts that keep FolkForm's own marks truthful.

The SPAN rule: no upsert starts while a third of SPAN customers or more — documents of the mark's answer beyond the
first unfinished one, plus upserts started beyond her — would stand beyond her; the first unfinished one may always
start. "Beyond" is later for an incremental, which writes the oldest first, and earlier for a backfill, which writes the
newest first. Killed at any moment, even three passes together that share no lock, fewer than SPAN customers stand
beyond a missing one, so that the SPAN-th newest (oldest) customer, from which the next pass starts, is never beyond a
hole.

A customer whose tries ran out stays unfinished. As soon as FolkForm is known to answer — another upsert got through,
or a cheap call did — she gets one more full set of tries; then she is reported and passed over. When FolkForm does
not answer either, it is down, and the page ends.

Where a few customers in a row are forbidden, that may be about us and not about them: somebody whom FolkForm holds is
sent once more, and when she gets through, the page goes on.
"""

import sys
from bisect import bisect_right, insort
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, Executor
from dataclasses import dataclass
from enum import Enum
from queue import SimpleQueue
from typing import Protocol, Self, TypeGuard

from customer_sync.clock import Clock
from customer_sync.customer import Customer
from customer_sync.errors import Refused, ServiceError, StopRequested, TokenRefused, Unreachable
from customer_sync.folkform import SERVICE, StoredVersion
from customer_sync.marks import SPAN

# A refusal may be about one customer's data (a firewall's 403), but not time after time.
_FORBIDDEN = 403
_MOST_NOES = 3
# As many passes may share no lock, and die together.
_SIDE_BY_SIDE = 3


class Order(Enum):
    """In which order a pass writes; the value turns a time into a place in that order."""

    OLDEST_FIRST = 1
    NEWEST_FIRST = -1


Outcome = tuple[Customer, Exception | None]
"""How a customer's upsert ended: the error, None when there was none."""


class Outcomes(Protocol):
    """Where upserts leave word of how they ended, and the writer waits for it."""

    def put(self, outcome: Outcome, /) -> None: ...

    def get(self) -> Outcome: ...


@dataclass(frozen=True, slots=True)
class Upserts:
    """How to write, shared by all pages of a pass."""

    pool: Executor
    workers: int
    upsert: Callable[[Customer], None]
    """Raises ServiceError."""
    ping: Callable[[str], None]
    """One cheap call for a page; raises Unreachable when FolkForm does not answer."""
    clock: Clock
    span: int = SPAN
    outcomes: Callable[[], Outcomes] = SimpleQueue
    """Makes one writer's own."""


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
        somebody_stored: Callable[[], Customer | None] = lambda: None,
    ) -> None:
        """*stored* are the documents of the mark's answer. Who comes before *bound_from* (Unix seconds) in the order
        moves no mark, and the rule does not bind her; None binds all. *somebody_stored* is one whom FolkForm holds
        already as she is.
        """
        self._upserts = upserts
        self._order = order
        self._share = -(-upserts.span // _SIDE_BY_SIDE)
        self._bound_from = None if bound_from is None else self._place(bound_from)
        self._written = written
        self._failed = failed
        self._stored = sorted(self._place(document.time) for document in stored)
        self._started: list[int] = []
        """Places of the upserts started beyond the first unfinished customer, ascending."""
        self._unfinished: list[int] = []
        """Places of the customers whose upsert has not ended, ascending."""
        self._last_place = -sys.maxsize
        self._in_flight = 0
        self._given_up: dict[Customer, Unreachable] = {}
        """Whose first set of tries ran out."""
        self._second_tries: dict[Customer, Unreachable] = {}
        """Who has her second set of tries, and how the first one ended."""
        self._failed_in_a_row = 0
        self._somebody_stored = somebody_stored
        self._last_written: Customer | None = None
        self._ended = False
        self._outcomes = upserts.outcomes()

    def write(self, customers: Iterable[Customer]) -> None:
        """Starts the upsert of every customer, in order, as soon as the SPAN rule lets her.

        Raises Unreachable when FolkForm is down, ServiceError when it refuses us, StopRequested.
        """
        for customer in customers:
            self._upserts.clock.check()
            place = self._place(customer.updated_at)
            if place < self._last_place:  # Out of order: what stands beyond her is no longer known, so nobody else.
                self.finish()
                self._begin(customer)
                self.finish()
            else:
                self._last_place = place
                while not self._may_start(place):
                    self._await_outcome()
                self._begin(customer)

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
                self._name_who_was_tried_in_vain()

    def _place(self, time: int) -> int:
        return time * self._order.value

    def _may_start(self, place: int) -> bool:
        if self._given_up or self._in_flight >= 2 * self._upserts.workers:
            return False
        first = next((unfinished for unfinished in self._unfinished if self._binds(unfinished)), None)
        if first is None or place <= first:
            return True
        del self._started[: bisect_right(self._started, first)]
        stored_beyond = len(self._stored) - bisect_right(self._stored, first)
        return stored_beyond + len(self._started) + 1 < self._share

    def _binds(self, place: int) -> bool:
        return self._bound_from is None or place >= self._bound_from

    def _begin(self, customer: Customer) -> None:
        place = self._place(customer.updated_at)
        insort(self._unfinished, place)
        insort(self._started, place)
        self._submit(customer)

    def _submit(self, customer: Customer) -> None:
        self._in_flight += 1
        self._upserts.pool.submit(self._upsert, customer)

    def _upsert(self, customer: Customer) -> None:
        """Runs in the pool."""
        outcome: Exception | None = None
        try:
            if self._ended:
                raise CancelledError
            self._upserts.upsert(customer)
        except Exception as error:
            outcome = error
        finally:
            self._outcomes.put((customer, outcome))

    def _await_outcome(self) -> None:
        if not self._in_flight:
            self._ask_whether_folkform_is_up()
            return
        customer, error = self._next_outcome()
        if error is None:
            self._arrived(customer)
            self._try_again()
        elif isinstance(error, Unreachable):
            self._tries_ran_out(customer, error)
        elif _is_about_her(error):
            self._pass_over(customer, error)
            self._refuse_too_many(error)
        else:
            raise error

    def _next_outcome(self) -> Outcome:
        outcome = self._outcomes.get()
        self._in_flight -= 1
        return outcome

    def _arrived(self, customer: Customer) -> None:
        self._failed_in_a_row = 0
        self._last_written = customer
        self._finish(customer)
        self._written(customer)

    def _tries_ran_out(self, customer: Customer, error: Unreachable) -> None:
        if customer not in self._second_tries:
            self._given_up[customer] = error
        else:  # Whoever got through since proves nothing: FolkForm may have gone down after that.
            self._upserts.ping(customer.page_id)
            self._pass_over(customer, error)
            self._refuse_too_many(error)

    def _ask_whether_folkform_is_up(self) -> None:
        self._upserts.ping(next(iter(self._given_up)).page_id)
        self._try_again()

    def _try_again(self) -> None:
        for customer in self._given_up:
            self._submit(customer)
        self._second_tries |= self._given_up
        self._given_up.clear()

    def _pass_over(self, customer: Customer, error: ServiceError) -> None:
        self._failed_in_a_row += 1
        self._finish(customer)
        self._failed(customer, error)

    def _refuse_too_many(self, error: ServiceError) -> None:
        """So many in a row are not about customers."""
        forbidden = not isinstance(error, Refused | Unreachable)
        if forbidden and self._failed_in_a_row % _MOST_NOES == 0 and not self._others_get_through():
            raise error
        if self._failed_in_a_row >= self._upserts.span:
            problem = f"failed for {self._failed_in_a_row} customers in a row"
            raise Refused(SERVICE, problem, "Nothing more of this page was tried.", said=error.sentence)

    def _others_get_through(self) -> bool:
        somebody = self._last_written or self._somebody_stored()
        if somebody is None:
            return False
        try:
            self._upserts.upsert(somebody)
        except Unreachable:
            raise
        except ServiceError:
            return False
        return True

    def _name_who_was_tried_in_vain(self) -> None:
        """FolkForm answered others but not them, and nothing more is tried: who stands in the way is to be known."""
        for customer, error in self._second_tries.items():
            self._failed(customer, error)

    def _finish(self, customer: Customer) -> None:
        self._second_tries.pop(customer, None)
        self._unfinished.remove(self._place(customer.updated_at))

    def _abandon(self) -> None:
        """Starts nothing more and waits for what is in flight; whoever arrived counts."""
        self._ended = True
        while self._in_flight:
            customer, error = self._next_outcome()
            if error is None:
                self._arrived(customer)
            elif _is_about_her(error):
                self._pass_over(customer, error)


def _is_about_her(error: Exception) -> TypeGuard[ServiceError]:
    """Whether an upsert may have failed because of the customer: not when nobody can be written any more."""
    if isinstance(error, TokenRefused):
        return error.status == _FORBIDDEN
    return isinstance(error, ServiceError) and not isinstance(error, Unreachable)
