"""One customer on both sides, and the pass that will copy it; nothing is changed.

Pancake has no lookup by psid. Most customers are where FolkForm's version says, so that second is read first; then from
now down to it, because a customer that changes moves up; and only then the rest of the page.
"""

import logging
from collections.abc import Iterator, Mapping
from math import ceil
from typing import Any

from customer_sync.core.clock import clocks_differ
from customer_sync.core.command_line import command
from customer_sync.core.customer import Customer, Malformed, Window, read_customer, read_identifier
from customer_sync.core.stored_value import unstorable
from customer_sync.results.explanation import Explanation, Side, Verdict
from customer_sync.services.folkform import conflict
from customer_sync.services.pancake import CustomerList
from customer_sync.sync.list_reader import CustomerSource
from customer_sync.sync.plan import LOOK_BACK
from customer_sync.sync.run_context import RunContext
from customer_sync.sync.walk import SETTLE_SECONDS, CustomerWalk
from customer_sync.sync.watermarks import SPAN, clamp_start, newest_watermark, oldest_watermark

log = logging.getLogger(__name__)

EXPLAIN = "explain"


def explain_customer(context: RunContext, result: Explanation) -> None:
    """Searches both sides for the customer and fills in *result*. Raises ServiceError, StopRequested."""
    _look_up(context, result, result.customer)
    finder = CustomerFinder(context.pancake(result.page), result)
    _search(context, result, finder)
    result.warnings += clocks_differ(finder.clock_ahead)
    if finder.found is None:
        result.verdict = Verdict.EXTRA if result.records else Verdict.UNKNOWN
        return
    result.pancake = Side.of(finder.found)
    customer = read_customer(finder.found, result.page.page_id)
    if isinstance(customer, Malformed):
        result.verdict, result.flaw = Verdict.MALFORMED, customer.reason
        return
    if customer.psid and customer.psid != result.customer:
        _look_up(context, result, customer.psid)
    _judge(context, result, customer)


def _look_up(context: RunContext, result: Explanation, name: str) -> None:
    """Replaces the records by those of this psid or Pancake id, if there are any."""
    if found := context.folkform.customers(result.page.page_id, name):
        result.records = [Side.of(one.data, one.psid, one.pancake_id, one.record_id) for one in found]


class CustomerFinder:
    """Pancake's list, watched for one customer: a walk skips customers that no pass would copy."""

    def __init__(self, pancake: CustomerSource, result: Explanation) -> None:
        self.found: Mapping[str, Any] | None = None
        """The customer as Pancake lists it."""
        self.pancake_now = 0.0
        """Pancake's clock, Unix seconds; 0 if unknown."""
        self._pancake = pancake
        self._result = result

    @property
    def clock_ahead(self) -> float | None:
        return self._pancake.clock_ahead

    def get_customers(self, page_number: int, page_size: int, since: int, until: int) -> CustomerList:
        listed = self._pancake.get_customers(page_number, page_size, since, until)
        self._result.read += len(listed.customers)
        self.pancake_now = max(self.pancake_now, listed.date or 0.0)
        if self.found is None:
            self.found = next(filter(self._matches, listed.customers), None)
        return listed

    def _matches(self, data: Any) -> bool:
        if not isinstance(data, dict):
            return False
        psid, pancake_id = read_identifier(data.get("psid")), read_identifier(data.get("id"))
        if self._result.customer in (psid, pancake_id):
            return True
        # The customer may have got or lost its psid since FolkForm stored it.
        stored = self._result.folkform
        if stored is None:
            return False
        if psid and stored.psid:
            return psid == stored.psid
        return pancake_id is not None and pancake_id == stored.pancake_id


def _search(context: RunContext, result: Explanation, finder: CustomerFinder) -> None:
    page_size = context.settings.page_size
    for window in _windows(context, result, finder):
        walk = CustomerWalk(finder, result.page.page_id, window, page_size)
        for number, batch in enumerate(walk):
            if finder.found is not None:
                return
            if number == 0 and window.since == 0 and (batch.total or 0) > page_size:
                _announce(result, batch.total or 0, page_size)


def _windows(context: RunContext, result: Explanation, finder: CustomerFinder) -> Iterator[Window]:
    """Where the customer may be, the likeliest window first."""

    def now() -> int:
        """By the clock that is ahead."""
        return int(max(context.clock.now(), finder.pancake_now))

    began, second = now(), result.folkform.time if result.folkform else None
    if second is None:
        yield Window(0, now())
    else:
        yield Window(second, second)
        yield Window(second, now())
        yield Window(0, second - 1)
    # A customer that changes meanwhile moves up, past a walk that comes down.
    yield Window(began - SETTLE_SECONDS, now())


def _announce(result: Explanation, total: int, page_size: int) -> None:
    result.expected = result.read + total
    text = "searching %s customers of page %s: about %s requests"
    log.info(text, f"{total:,}", result.page.page_id, f"{ceil(total / page_size):,}")


def _judge(context: RunContext, result: Explanation, customer: Customer) -> None:
    """Sets the verdict and the remedy."""
    page_id, stored = result.page.page_id, result.folkform
    this_page = "--page", page_id
    if stored and customer.psid in (None, stored.psid) and stored.version == customer.version:
        result.verdict = Verdict.ALTERED if result.differences else Verdict.UP_TO_DATE
        result.remedy = command("backfill", *this_page, "--rewrite") if result.differences else None
        if len(result.records) > 1:
            result.verdict = Verdict.DUPLICATE
        return
    if flaw := unstorable(customer.data):
        result.verdict, result.flaw = Verdict.UNSTORABLE, flaw
        return
    held = context.folkform.records_of([customer.pancake_id], page_id=page_id).get(customer.pancake_id)
    if held and (reason := conflict(page_id, customer.updated_at, held)):
        result.verdict, result.flaw = Verdict.ID_TAKEN, reason
        return
    verdict, result.passed = _next_pass(context, page_id, customer.updated_at)
    next_pass = "incremental" if verdict is Verdict.INCREMENTAL else "backfill"
    must_be_named = verdict is Verdict.REPAIR or not result.page.is_sync
    result.remedy = command(next_pass, *(this_page if must_be_named else ()))
    result.verdict = verdict if result.page.is_sync or verdict is Verdict.REPAIR else Verdict.OFF


def _next_pass(context: RunContext, page_id: str, time: int) -> tuple[Verdict, bool]:
    """The pass that tries to copy a customer of this time, by the watermarks; and whether one has been there before."""
    folkform, until = context.folkform, int(context.clock.now()) - SETTLE_SECONDS
    last = folkform.last_customers(page_id, SPAN, until)
    newest, passed = newest_watermark(last, until), bool(last) and time < last[0].time
    if time >= newest:
        return Verdict.INCREMENTAL, passed
    oldest = oldest_watermark(folkform.oldest_customers(page_id, SPAN))
    if time >= clamp_start(newest, newest - context.settings.overlap, oldest):
        return Verdict.INCREMENTAL, passed
    if oldest is None or time <= oldest:
        return Verdict.BACKFILL, False
    return (Verdict.BACKFILL if time >= clamp_start(newest, newest - LOOK_BACK, oldest) else Verdict.REPAIR), passed
