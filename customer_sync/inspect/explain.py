"""One customer on both sides, and which pass would bring her; nothing is changed.

Pancake has no look-up by psid. Most customers stand where FolkForm's version says, so that second is read first; then
from now down to it, since a customer who changes moves up; and only then the rest of the page.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any, Protocol

from customer_sync.core.clock import Clock, clocks_differ
from customer_sync.core.customer import Customer, Malformed, Window, read_customer, read_identifier
from customer_sync.core.page import Page
from customer_sync.results.explanation import Explanation, Side, Verdict
from customer_sync.services.documents import StoredVersion
from customer_sync.services.folkform import conflict
from customer_sync.services.pancake import CustomerList
from customer_sync.sync.page_runner import Listener, for_each_page
from customer_sync.sync.walk import SETTLE_SECONDS, CustomerWalk, TimedSource
from customer_sync.sync.watermarks import SPAN, clamp_start, newest_watermark, oldest_watermark

log = logging.getLogger(__name__)

EXPLAIN = "explain"


class CustomerStore(Protocol):
    """What is asked of FolkForm."""

    def customers(self, page_id: str, name: str) -> list[StoredVersion]: ...

    def records_of(self, pancake_ids: Iterable[str | None], *, page_id: str) -> dict[str | None, StoredVersion]: ...

    def last_customers(self, page_id: str, limit: int, until: int | None = None) -> list[StoredVersion]: ...

    def oldest_customers(self, page_id: str, limit: int) -> list[StoredVersion]: ...

    def ensure_up(self, page_id: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Run:
    """Everything that the question is asked with. *overlap* is that of the incremental pass, seconds."""

    folkform: CustomerStore
    pancake: Callable[[Page], TimedSource]
    clock: Clock
    listener: Listener
    requests: Callable[[str], int]
    """How many requests a page has cost so far."""
    page_size: int
    overlap: int
    pages_at_once: int = 1


def explain_customer(run: Run, result: Explanation) -> None:
    """Looks for the customer on both sides and fills *result* in."""

    def answer(result: Explanation) -> None:
        question = _Question(run, result)
        question.answer()
        result.warnings += question.clock_warning()

    for_each_page(run, [result], answer)


class CustomerFinder:
    """Pancake's list, watched for one customer: a walk gives out only whom a pass would sync, and she may not be."""

    def __init__(self, pancake: TimedSource, result: Explanation) -> None:
        self.found: Mapping[str, Any] | None = None
        """What Pancake says about her."""
        self.pancake_now = 0.0
        """Pancake's clock, Unix seconds; 0 where it does not say."""
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
            self.found = next(filter(self._is_she, listed.customers), None)
        return listed

    def _is_she(self, data: Any) -> bool:
        if not isinstance(data, dict):
            return False
        stored = self._result.folkform
        psid, pancake_id = read_identifier(data.get("psid")), read_identifier(data.get("id"))
        if self._result.who in (psid, pancake_id):
            return True
        if stored is None:
            return False
        # The psid may have come, or gone, since FolkForm got the customer.
        return (
            psid == stored.psid if psid and stored.psid else pancake_id is not None and pancake_id == stored.pancake_id
        )


class _Question:
    """Where one customer stands."""

    def __init__(self, run: Run, result: Explanation) -> None:
        self._run = run
        self._result = result
        self._page_id = result.page.page_id
        self._finder = CustomerFinder(run.pancake(result.page), result)
        self._total = 0
        """How many customers the last walk's window held, and all before it."""

    def answer(self) -> None:
        """Raises ServiceError, StopRequested."""
        result = self._result
        self._look_up(result.who)
        self._search()
        if self._finder.found is None:
            result.verdict = Verdict.EXTRA if result.folkform else Verdict.UNKNOWN
            return
        result.pancake = Side.of(self._finder.found)
        customer = read_customer(self._finder.found, self._page_id)
        if isinstance(customer, Malformed):
            result.verdict, result.flaw = Verdict.MALFORMED, customer.reason
            return
        if customer.psid and customer.psid != result.who:
            self._look_up(customer.psid)
        self._judge(customer)

    def _look_up(self, name: str) -> None:
        """Notes the documents of this psid or id; what is known stays where there is none."""
        if found := self._run.folkform.customers(self._page_id, name):
            self._result.records = [Side.of(one.data, one.psid, one.pancake_id, one.record_id) for one in found]

    def _search(self) -> None:
        for window, older in self._windows():
            walk = CustomerWalk(self._finder, self._page_id, window, self._run.page_size)
            for number, _ in enumerate(walk):
                if self._finder.found is not None:
                    return
                if number == 0:
                    self._announce(walk, older)
            self._total = walk.total or 0

    def _windows(self) -> Iterator[tuple[Window, int | None]]:
        """Where she may be, the likeliest first; with how many customers are older, None where few are read."""
        began, second = self._now(), self._result.folkform.time if self._result.folkform else None
        if second is None:
            yield Window(0, self._now()), 0
        else:
            yield Window(second, second), None
            yield Window(second, self._now()), self._total
            yield Window(0, second - 1), 0
        # Whoever changes meanwhile moves up, past a walk that comes down.
        yield Window(began - SETTLE_SECONDS, self._now()), None

    def clock_warning(self) -> list[str]:
        """What our clock may delay."""
        return clocks_differ(self._finder.clock_ahead)

    def _now(self) -> int:
        """By the clock that is ahead."""
        return int(max(self._run.clock.now(), self._finder.pancake_now))

    def _announce(self, walk: CustomerWalk, older: int | None) -> None:
        """Says what is about to be read, where that is more than one answer."""
        older = 0 if walk.ignores_window else older
        if older is None:
            return
        among = f"customers of page {self._page_id}"
        if walk.total is None:
            if walk.since == 0:
                log.info("looking for her among all %s; Pancake does not tell how many", among)
        elif (left := walk.total - older) > self._run.page_size:
            self._result.expected = self._result.read + left
            requests = ceil(left / self._run.page_size)
            log.info("looking for her among %s %s: about %s requests", f"{left:,}", among, f"{requests:,}")

    def _judge(self, customer: Customer) -> None:
        result, page = self._result, f" --page {self._page_id}"
        stored = result.folkform
        same_psid = stored is not None and customer.psid in (None, stored.psid)
        if stored and same_psid and stored.version == customer.version:
            result.verdict = Verdict.ALTERED if result.differences else Verdict.IN_ORDER
            result.remedy = f"customer-sync backfill{page} --rewrite" if result.differences else None
            if len(result.records) > 1:
                result.verdict = Verdict.DUPLICATE
            return
        if blocked := self._blocked(customer):
            result.verdict, result.flaw = Verdict.BLOCKED, blocked
            return
        result.verdict = self._next_pass(customer.updated_at)
        command = "customer-sync incremental" if result.verdict is Verdict.INCREMENTAL else "customer-sync backfill"
        result.remedy = command + (page if result.verdict is Verdict.PASSED_BY or not result.page.is_sync else "")
        if not result.page.is_sync and result.verdict is not Verdict.PASSED_BY:
            result.verdict = Verdict.OFF

    def _blocked(self, customer: Customer) -> str:
        """Why FolkForm refuses the customer: it holds the id elsewhere; empty where it does not."""
        held = self._run.folkform.records_of([customer.pancake_id], page_id=self._page_id).get(customer.pancake_id)
        return conflict(self._page_id, customer.updated_at, held) if held else ""

    def _next_pass(self, time: int) -> Verdict:
        """Which pass would bring a customer of this time, as the marks stand."""
        folkform, until = self._run.folkform, int(self._run.clock.now()) - SETTLE_SECONDS
        mark = newest_watermark(folkform.last_customers(self._page_id, SPAN, until), until)
        if time >= mark:
            return Verdict.INCREMENTAL
        oldest = oldest_watermark(folkform.oldest_customers(self._page_id, SPAN))
        if time >= clamp_start(mark, mark - self._run.overlap, oldest):
            return Verdict.INCREMENTAL
        return Verdict.BACKFILL if oldest is None or time <= oldest else Verdict.PASSED_BY
