"""Where every page stands: asked at four requests a page, without changing anything."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from customer_sync.core.clock import Clock, clocks_differ, span_in_words
from customer_sync.core.customer import Customer, read_customer
from customer_sync.core.locks import Holder
from customer_sync.core.page import Page
from customer_sync.results.page_status import PageStatus
from customer_sync.results.result import Status
from customer_sync.services.documents import StoredVersion
from customer_sync.sync.page_runner import Listener, for_each_page
from customer_sync.sync.walk import TimedSource

log = logging.getLogger(__name__)

STATUS = "status"
_FINDS = 3
_LONG = 5.0
_A_DAY = 86_400


class StatusStore(Protocol):
    """What is asked of FolkForm."""

    def last_customers(self, page_id: str, limit: int, until: int | None = None) -> list[StoredVersion]: ...

    def oldest_customers(self, page_id: str, limit: int) -> list[StoredVersion]: ...

    def count(self, page_id: str) -> int: ...

    def ensure_up(self, page_id: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Run:
    """Everything that the question is asked with."""

    folkform: StatusStore
    pancake: Callable[[Page], TimedSource]
    holders: Callable[[str], list[Holder]]
    """Who is at work at a page."""
    clock: Clock
    listener: Listener
    requests: Callable[[str], int]
    """How many requests a page has cost so far."""
    page_size: int
    pages_at_once: int
    folkform_takes: Callable[[int], float]
    """How long FolkForm's limit makes so many requests last at least, seconds."""


def ask_pages(run: Run, results: list[PageStatus]) -> None:
    """Asks both services about every page that is not off, fills *results* in and puts trouble first."""
    asked = [result for result in results if result.status is not Status.OFF]
    if (seconds := run.folkform_takes(_FINDS * len(asked))) > _LONG:
        log.info("asking about %d pages, which FolkForm's limit makes last %s", len(asked), span_in_words(seconds))
    for_each_page(run, asked, lambda result: _ask(run, result))
    results.sort(key=lambda result: result.urgency)


def _ask(run: Run, result: PageStatus) -> None:
    """Pancake last: what FolkForm holds is told even when Pancake refuses the page."""
    page_id = result.page.page_id
    result.locks = run.holders(page_id)
    until = int(run.clock.now()) + _A_DAY  # Our clock may be behind; another writer's may be years ahead.
    result.newest = _time(run.folkform.last_customers(page_id, 1, until))
    if result.newest is not None:
        result.oldest = _time(run.folkform.oldest_customers(page_id, 1))
    result.folkform = run.folkform.count(page_id)
    _ask_pancake(run, result)


def _ask_pancake(run: Run, result: PageStatus) -> None:
    pancake = run.pancake(result.page)
    listed = pancake.get_customers(1, run.page_size, 0, int(run.clock.now()) + _A_DAY)
    result.warnings += clocks_differ(pancake.clock_ahead)
    result.pancake = listed.total if listed.customers else listed.total or 0
    rows = [read_customer(data, result.page.page_id) for data in listed.customers]
    times = [row.updated_at for row in rows if isinstance(row, Customer)]
    newer = [time for time in times if time > (result.newest or 0)]
    result.newest_in_pancake = max(times, default=None)
    result.malformed = len(rows) - len(times)
    result.waiting = len(newer)
    result.waiting_since = min(newer) if 0 < len(newer) < len(times) else None


def _time(customers: list[StoredVersion]) -> int | None:
    return customers[0].time if customers else None
