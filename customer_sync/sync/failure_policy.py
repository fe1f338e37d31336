"""What to do about an upsert that failed: retry, report the customer, or end the page.

A customer whose tries ran out stays unfinished. As soon as FolkForm is known to answer (another upsert got through, or
it answered which record has the customer's id) there is one more full set of tries; then the customer has failed and is
reported. When FolkForm does not answer either, it is down, and the page ends.

FolkForm's own 500 may be about one customer. So it is not retried at once: other upserts go on, within the SPAN rule.
Where the id may be taken, the record that has it is looked up, and updated when it is an earlier one of the same
customer. When an upsert that began later gets through, FolkForm works: three requests in all, and the customer has
failed. When none gets through, or this happens to several, it may be an outage: whole sets of tries begin.

A refused customer is reported. A 403 that is not FolkForm's own (a firewall's) is about the customer when FolkForm
answers a read; otherwise the page ends. SPAN failures in a row are not about customers: the page ends.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus
from typing import Protocol, TypeGuard

from customer_sync.core.customer import Customer
from customer_sync.core.errors import Refused, ServerError, ServiceError, TokenRefused, Unreachable
from customer_sync.http.retry import TRIES
from customer_sync.services.folkform import Filter
from customer_sync.services.folkform_access import SERVICE

_ABOUT_US = "AUTH_"
_DUPLICATE_KEY = "DB"
# More unexplained 500s than these are not about customers.
_MAX_UNEXPLAINED = 3


class Retry(Protocol):
    """Starts the upsert of a customer again."""

    def __call__(self, customer: Customer, where: Filter | None, tries_on_500: int) -> None: ...


class _Stage(Enum):
    """How far the tries for a customer have come whose first upsert failed."""

    SUSPECT = auto()
    """FolkForm's own 500, once."""
    JUDGED = auto()
    """Others got through since: tried once more, and another 500 is about this customer."""
    INSISTING = auto()
    """None got through since: a whole set of tries, as in an outage."""
    EXHAUSTED = auto()
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
    """The filter that finds the record, where that was looked up."""

    @property
    def may_be_taken(self) -> bool:
        """Whether a record of FolkForm may have the customer's id."""
        return self.error.code == _DUPLICATE_KEY


class FailurePolicy:
    """The failures of one writer. *began* and *ended* are moments of it, counted."""

    def __init__(
        self,
        look_up: Callable[[Customer], Filter],
        ping: Callable[[str], None],
        retry: Retry,
        report: Callable[[Customer, ServiceError], None],
        max_failures_in_a_row: int,
    ) -> None:
        """*look_up* and *ping* ask FolkForm; *report* hears of each customer that has failed."""
        self._look_up_filter = look_up
        self._ping = ping
        self._retry = retry
        self._report = report
        self._max_failures_in_a_row = max_failures_in_a_row
        self._troubled: dict[Customer, _Trouble] = {}
        self._unexplained = 0
        """How many have failed with a 500 that nothing explains, while others got through."""
        self._failed_in_a_row = 0

    @property
    def holds_back(self) -> bool:
        """Whether no new upsert may start: FolkForm may be down."""
        return any(trouble.stage is _Stage.EXHAUSTED for trouble in self._troubled.values())

    @property
    def tried_in_vain(self) -> list[tuple[Customer, ServiceError]]:
        """The customers that FolkForm did not store while it stored others, and that were not reported yet."""
        stages = (_Stage.SECOND_TRIES, _Stage.JUDGED)
        return [(one, trouble.error) for one, trouble in self._troubled.items() if trouble.stage in stages]

    def forget_failures(self) -> None:
        """A customer is stored: it is not every customer that fails."""
        self._failed_in_a_row = 0

    def forget(self, customer: Customer) -> None:
        """The customer was written, or reported."""
        self._troubled.pop(customer, None)

    def another_written(self, began: int) -> None:
        """An upsert that *began* then got through: those whose tries ran out are retried, and those that had met a 500
        by then are judged, unless it was so with many: then FolkForm is unwell. Raises Unreachable, Refused.
        """
        self._failed_in_a_row = 0
        for other, trouble in list(self._troubled.items()):
            if trouble.stage is _Stage.EXHAUSTED:
                self._retry_as(other, _Stage.SECOND_TRIES)
            elif trouble.stage is _Stage.SUSPECT and trouble.ended < began:
                self._judge(other, trouble)

    def failed(self, customer: Customer, error: Exception, ended: int) -> None:
        """An upsert *ended* then with *error*. Raises it when no customer can be written any more."""
        if isinstance(error, Unreachable):
            self._tries_ran_out(customer, error, ended)
        elif not is_about_customer(error):
            raise error
        else:
            self._fail(customer, self._confirmed(customer, error))

    def nothing_in_flight(self) -> None:
        """Some are unfinished, and no upsert got through since. Asks whether FolkForm is up, and retries. One answer
        will do, but an id that may be taken is looked up for each. Raises Unreachable.
        """
        self._ping(next(iter(self._troubled)).page_id)
        for number, (customer, trouble) in enumerate(list(self._troubled.items())):
            suspect = trouble.stage is _Stage.SUSPECT
            look_up = number == 0 or (suspect and trouble.may_be_taken)
            if not look_up or self._can_be_written(customer, trouble):
                self._retry_as(customer, _Stage.INSISTING if suspect else _Stage.SECOND_TRIES)

    def _confirmed(self, customer: Customer, error: ServiceError) -> ServiceError:
        """Why the customer failed. Raises what a read raises: then a firewall's 403 is about us."""
        if isinstance(error, TokenRefused):
            try:
                self._look_up_filter(customer)
            except Refused as conflict:
                return conflict
        return error

    def _tries_ran_out(self, customer: Customer, error: Unreachable, ended: int) -> None:
        trouble = self._troubled.get(customer)
        if trouble is None:
            stage = _Stage.SUSPECT if isinstance(error, ServerError) else _Stage.EXHAUSTED
            self._troubled[customer] = _Trouble(stage, error, ended)
        elif trouble.stage is _Stage.JUDGED and isinstance(error, ServerError):
            self._unexplained += 1
            self._fail(customer, error)
        elif trouble.stage is not _Stage.SECOND_TRIES:
            trouble.stage, trouble.error = _Stage.EXHAUSTED, error
        else:  # Another upsert that got through proves nothing: FolkForm may have gone down after that.
            self._ping(customer.page_id)
            if self._can_be_written(customer, trouble):
                self._fail(customer, error)

    def _judge(self, customer: Customer, trouble: _Trouble) -> None:
        if not trouble.may_be_taken or self._can_be_written(customer, trouble):
            few = self._unexplained < _MAX_UNEXPLAINED
            self._retry_as(customer, _Stage.JUDGED if few else _Stage.INSISTING)

    def _retry_as(self, customer: Customer, stage: _Stage) -> None:
        trouble = self._troubled[customer]
        trouble.stage = stage
        tries = {_Stage.JUDGED: 1 if trouble.may_be_taken else 2, _Stage.INSISTING: TRIES - 1}.get(stage, TRIES)
        self._retry(customer, trouble.where, tries)

    def _can_be_written(self, customer: Customer, trouble: _Trouble) -> bool:
        """Looks up the record that has the customer's id; reports the customer when no upsert can help."""
        try:
            trouble.where = self._look_up_filter(customer)
        except Refused as error:
            self._report(customer, error)
            return False
        return True

    def _fail(self, customer: Customer, error: ServiceError) -> None:
        self._failed_in_a_row += 1
        self._report(customer, error)
        if self._failed_in_a_row >= self._max_failures_in_a_row:
            problem = f"failed for {self._failed_in_a_row} customers in a row"
            step = "The rest of this page was not tried."
            raise Refused(SERVICE, problem, step, server_message=error.sentence)


def is_about_customer(error: Exception) -> TypeGuard[ServiceError]:
    """Whether an upsert may have failed because of the customer: not when none can be written any more."""
    if not isinstance(error, ServiceError) or isinstance(error, Unreachable) or error.code.startswith(_ABOUT_US):
        return False
    return not isinstance(error, TokenRefused) or error.status == HTTPStatus.FORBIDDEN
