"""Ordered, concurrent upserts that keep FolkForm's own marks truthful.

The SPAN rule: no upsert starts while a third of SPAN customers or more — documents of the mark's answer beyond the
first unfinished one, plus upserts started beyond her — would stand beyond her; the first unfinished one may always
start. "Beyond" is later for an incremental, which writes the oldest first, and earlier for a backfill, which writes the
newest first. Killed at any moment, even three passes together that share no lock, fewer than SPAN customers stand
beyond a missing one, so that the SPAN-th newest (oldest) customer, from which the next pass starts, is never beyond a
hole.

A customer whose tries ran out stays unfinished. As soon as FolkForm is known to answer — another upsert got through,
or it answered who has the customer's id — there is one more full set of tries; then the customer has failed and is
reported. When FolkForm does not answer either, it is down, and the page ends.

FolkForm's own 500 may be about one customer. So it is not tried again at once: other upserts go on, within the SPAN
rule. Where the id may be taken, the record that has it is looked up, and updated when it is an earlier one of the same
customer. When an upsert that began later gets through, FolkForm works: three requests in all, and the customer has
failed. When none gets through, or this happens to several, it may be an outage: whole sets of tries begin.

Where a few customers in a row are forbidden, that may be about us and not about them: somebody whom FolkForm holds is
sent once more, and when she gets through, the page goes on.
"""

import sys
from bisect import bisect_right, insort
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, Executor
from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus
from itertools import count
from queue import SimpleQueue
from typing import Protocol, Self, TypeGuard

from customer_sync.core.clock import Clock
from customer_sync.core.customer import Customer
from customer_sync.core.errors import Refused, ServerError, ServiceError, StopRequested, TokenRefused, Unreachable
from customer_sync.http.retry import TRIES
from customer_sync.services.documents import StoredVersion
from customer_sync.services.folkform import Filter
from customer_sync.services.folkform_access import SERVICE
from customer_sync.sync.watermarks import SPAN

# A refusal may be about one customer's data (a firewall's 403), but not time after time.
MAX_CONSECUTIVE_FORBIDDEN = 3
_ABOUT_US = "AUTH_"
_DUPLICATE_KEY = "DB"
# More unexplained 500s than these are not about customers.
_MOST_JUDGED = 3
# As many passes may share no lock, and die together.
_SIDE_BY_SIDE = 3


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
    """Where upserts leave word of how they ended, and the writer waits for it."""

    def put(self, outcome: Outcome, /) -> None: ...

    def get(self) -> Outcome: ...


class Upsert(Protocol):
    """Inserts or updates a customer. Raises ServiceError; ServerError at so many of FolkForm's own 500s."""

    def __call__(self, customer: Customer, where: Filter | None = None, *, tries_on_500: int = 1) -> None: ...


@dataclass(frozen=True, slots=True)
class Upserts:
    """How to write, shared by all pages of a pass."""

    pool: Executor
    workers: int
    upsert: Upsert
    look_up: Callable[[Customer], Filter]
    """Finds the filter for a customer that FolkForm answered with 500. Raises Refused when no upsert can help,
    Unreachable when FolkForm does not answer.
    """
    ping: Callable[[str], None]
    """Asks for a page whether FolkForm is up, which it does not count. Raises Unreachable when it is not."""
    clock: Clock
    span: int = SPAN
    outcomes: Callable[[], Outcomes] = SimpleQueue
    """Makes one writer's own."""


class _Stage(Enum):
    """How far the tries for a customer have come whose first upsert failed."""

    SUSPECT = auto()
    """FolkForm's own 500, once."""
    JUDGED = auto()
    """Others got through since: tried once more, and another 500 is about this customer."""
    INSISTING = auto()
    """None got through since: a whole set of tries, as in an outage."""
    GIVEN_UP = auto()
    """A whole set of tries ran out."""
    SECOND_TRIES = auto()
    """FolkForm answers again: another set of tries."""


@dataclass(slots=True)
class _Trouble:
    """A customer whose upsert did not get through: how the last tries ended, and when."""

    stage: _Stage
    error: Unreachable
    ended: int
    where: Filter | None = None
    """What FolkForm is to find the record by, where that was looked up."""

    @property
    def may_be_taken(self) -> bool:
        """Whether a record of FolkForm may be in the way."""
        return self.error.code == _DUPLICATE_KEY


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
        self._max_ahead = -(-upserts.span // _SIDE_BY_SIDE)
        self._bound_from = None if bound_from is None else self._sort_key(bound_from)
        self._written = written
        self._failed = failed
        self._stored = sorted(self._sort_key(document.time) for document in stored)
        self._started: list[int] = []
        """Places of the upserts started beyond the first unfinished customer, ascending."""
        self._unfinished: list[int] = []
        """Places of the customers whose upsert has not ended, ascending."""
        self._last_place = -sys.maxsize
        self._in_flight = 0
        self._moments = count()
        self._troubled: dict[Customer, _Trouble] = {}
        self._judged = 0
        """How many have failed with a 500 that nothing explains, while others got through."""
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
            place = self._sort_key(customer.updated_at)
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

    def _sort_key(self, time: int) -> int:
        return time * self._order.value

    def _may_start(self, place: int) -> bool:
        given_up = any(trouble.stage is _Stage.GIVEN_UP for trouble in self._troubled.values())
        if given_up or self._in_flight >= 2 * self._upserts.workers:
            return False
        first = next((unfinished for unfinished in self._unfinished if self._binds(unfinished)), None)
        if first is None or place <= first:
            return True
        del self._started[: bisect_right(self._started, first)]
        stored_beyond = len(self._stored) - bisect_right(self._stored, first)
        return stored_beyond + len(self._started) + 1 < self._max_ahead

    def _binds(self, place: int) -> bool:
        return self._bound_from is None or place >= self._bound_from

    def _begin(self, customer: Customer) -> None:
        place = self._sort_key(customer.updated_at)
        insort(self._unfinished, place)
        insort(self._started, place)
        self._submit(customer)

    def _submit(self, customer: Customer, where: Filter | None = None, tries_on_500: int = 1) -> None:
        self._in_flight += 1
        self._upserts.pool.submit(self._upsert, customer, where, tries_on_500)

    def _upsert(self, customer: Customer, where: Filter | None, tries_on_500: int) -> None:
        """Runs in the pool."""
        began, problem = next(self._moments), None
        try:
            if self._ended:
                raise CancelledError
            self._upserts.upsert(customer, where, tries_on_500=tries_on_500)
        except Exception as error:
            problem = error
        finally:
            self._outcomes.put(Outcome(customer, problem, began, next(self._moments)))

    def _await_outcome(self) -> None:
        if not self._in_flight:
            self._ask_whether_folkform_is_up()
            return
        outcome = self._next_outcome()
        customer, error = outcome.customer, outcome.error
        if error is None:
            self._arrived(customer)
            self._try_again(outcome.began)
        elif isinstance(error, Unreachable):
            self._tries_ran_out(customer, error, outcome.ended)
        elif _is_about_customer(error):
            self._fail(customer, error)
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

    def _tries_ran_out(self, customer: Customer, error: Unreachable, ended: int) -> None:
        trouble = self._troubled.get(customer)
        if trouble is None:
            stage = _Stage.SUSPECT if isinstance(error, ServerError) else _Stage.GIVEN_UP
            self._troubled[customer] = _Trouble(stage, error, ended)
        elif trouble.stage is _Stage.JUDGED and isinstance(error, ServerError):
            self._judged += 1
            self._fail(customer, error)
        elif trouble.stage is not _Stage.SECOND_TRIES:
            trouble.stage, trouble.error = _Stage.GIVEN_UP, error
        else:  # Whoever got through since proves nothing: FolkForm may have gone down after that.
            self._upserts.ping(customer.page_id)
            if self._look_up(customer) is not None:
                self._fail(customer, error)

    def _ask_whether_folkform_is_up(self) -> None:
        """Nothing is in flight and some are unfinished, so no upsert got through since. One answer about them will do,
        but an id that may be taken is looked up for each.
        """
        self._upserts.ping(next(iter(self._troubled)).page_id)
        for number, (customer, trouble) in enumerate(list(self._troubled.items())):
            suspect = trouble.stage is _Stage.SUSPECT
            if (number == 0 or (suspect and trouble.may_be_taken)) and not self._find_out(customer, trouble):
                continue
            self._begin_again(customer, _Stage.INSISTING if suspect else _Stage.SECOND_TRIES)

    def _try_again(self, began: int) -> None:
        """An upsert that *began* at this moment got through: all whose tries ran out begin anew, and those that had met
        a 500 by then are judged, unless it was so with many: then FolkForm is unwell.
        """
        for customer, trouble in list(self._troubled.items()):
            if trouble.stage is _Stage.GIVEN_UP:
                self._begin_again(customer, _Stage.SECOND_TRIES)
            elif trouble.stage is _Stage.SUSPECT and trouble.ended < began:
                if trouble.may_be_taken and not self._find_out(customer, trouble):
                    continue
                self._begin_again(customer, _Stage.JUDGED if self._judged < _MOST_JUDGED else _Stage.INSISTING)

    def _begin_again(self, customer: Customer, stage: _Stage) -> None:
        trouble = self._troubled[customer]
        trouble.stage = stage
        tries = {_Stage.JUDGED: 1 if trouble.may_be_taken else 2, _Stage.INSISTING: TRIES - 1}.get(stage, TRIES)
        self._submit(customer, trouble.where, tries)

    def _find_out(self, customer: Customer, trouble: _Trouble) -> bool:
        """Looks up by what to upsert the customer. Whether an upsert can help."""
        trouble.where = self._look_up(customer)
        return trouble.where is not None

    def _look_up(self, customer: Customer) -> Filter | None:
        """What to upsert the customer by; None where no upsert can help: then that is reported. Raises Unreachable."""
        try:
            return self._upserts.look_up(customer)
        except Refused as error:
            self._pass_over(customer, error)
            return None

    def _fail(self, customer: Customer, error: ServiceError) -> None:
        self._failed_in_a_row += 1
        self._pass_over(customer, error)
        self._refuse_too_many(error)

    def _pass_over(self, customer: Customer, error: ServiceError) -> None:
        self._finish(customer)
        self._failed(customer, error)

    def _refuse_too_many(self, error: ServiceError) -> None:
        """So many in a row are not about customers."""
        forbidden = not isinstance(error, Refused | Unreachable)
        if forbidden and self._failed_in_a_row % MAX_CONSECUTIVE_FORBIDDEN == 0 and not self._others_get_through():
            raise error
        if self._failed_in_a_row >= self._upserts.span:
            problem = f"failed for {self._failed_in_a_row} customers in a row"
            raise Refused(SERVICE, problem, "Nothing more of this page was tried.", server_message=error.sentence)

    def _others_get_through(self) -> bool:
        somebody = self._last_written or self._somebody_stored()
        if somebody is None:
            return False
        try:
            self._upserts.upsert(somebody, tries_on_500=TRIES)
        except Unreachable:
            raise
        except ServiceError:
            return False
        return True

    def _name_who_was_tried_in_vain(self) -> None:
        """FolkForm answered others but not them, and nothing more is tried: who stands in the way is to be known."""
        for customer, trouble in self._troubled.items():
            if trouble.stage in (_Stage.SECOND_TRIES, _Stage.JUDGED):
                self._failed(customer, trouble.error)

    def _finish(self, customer: Customer) -> None:
        self._troubled.pop(customer, None)
        self._unfinished.remove(self._sort_key(customer.updated_at))

    def _abandon(self) -> None:
        """Starts nothing more and waits for what is in flight; whoever arrived counts."""
        self._ended = True
        while self._in_flight:
            outcome = self._next_outcome()
            if outcome.error is None:
                self._arrived(outcome.customer)
            elif _is_about_customer(outcome.error):
                self._pass_over(outcome.customer, outcome.error)


def _is_about_customer(error: Exception) -> TypeGuard[ServiceError]:
    """Whether an upsert may have failed because of the customer: not when none can be written any more."""
    if not isinstance(error, ServiceError) or isinstance(error, Unreachable) or error.code.startswith(_ABOUT_US):
        return False
    return not isinstance(error, TokenRefused) or error.status == HTTPStatus.FORBIDDEN  # A firewall's 403.
