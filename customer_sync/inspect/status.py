"""The state of every page: four requests a page, and nothing is changed."""

import logging

from customer_sync.core.clock import clocks_differ, span_in_words
from customer_sync.core.customer import Customer, read_customer
from customer_sync.results.page_result import Status
from customer_sync.results.page_status import PageStatus
from customer_sync.services.documents import StoredVersion
from customer_sync.sync.passes import BACKFILL, INCREMENTAL
from customer_sync.sync.run_context import RunContext

log = logging.getLogger(__name__)

STATUS = "status"
_FINDS_PER_PAGE = 3
_LONG = 5.0
_A_DAY = 86_400


def announce_status(context: RunContext, results: list[PageStatus]) -> None:
    """Logs the duration that FolkForm's limit makes necessary, if that is long."""
    asked = [result for result in results if result.status is not Status.OFF]
    if (seconds := context.folkform.min_duration(_FINDS_PER_PAGE * len(asked))) > _LONG:
        log.info("asking about %d pages; FolkForm's limit makes that take %s", len(asked), span_in_words(seconds))


def ask_page(context: RunContext, result: PageStatus) -> None:
    """Fills in *result*, FolkForm's part first: it is shown even if Pancake refuses the page."""
    page_id = result.page.page_id
    result.locks = context.locks.holders((INCREMENTAL, BACKFILL), page_id)
    # Our clock may be behind; the times of another writer may be years ahead.
    until = int(context.clock.now()) + _A_DAY
    result.newest = _time(context.folkform.last_customers(page_id, 1, until))
    if result.newest is not None:
        result.oldest = _time(context.folkform.oldest_customers(page_id, 1))
    result.folkform = context.folkform.count(page_id)
    pancake = context.pancake(result.page)
    listed = pancake.get_customers(1, context.settings.page_size, 0, until)
    result.warnings += clocks_differ(pancake.clock_ahead)
    result.asked_at = context.clock.now() + (pancake.clock_ahead or 0)
    result.pancake = listed.total if listed.customers else listed.total or 0
    rows = [read_customer(data, page_id) for data in listed.customers]
    times = [row.updated_at for row in rows if isinstance(row, Customer)]
    result.malformed = len(rows) - len(times)
    # Without a time to compare with it is unknown who waits.
    if result.newest is None or (rows and not times):
        return
    newer = [time for time in times if time > result.newest]
    result.waiting = len(newer)
    if newer and (len(newer) < len(times) or result.pancake == len(rows)):
        result.waiting_since = min(newer)


def _time(customers: list[StoredVersion]) -> int | None:
    return customers[0].time if customers else None
