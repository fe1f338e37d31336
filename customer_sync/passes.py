"""One run of a pass, from settings to result."""

import logging
import random
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from customer_sync.clock import Clock
from customer_sync.customer import Customer
from customer_sync.errors import CustomerSyncError, SettingsError, StopRequested
from customer_sync.locks import PageLocks
from customer_sync.page import Page
from customer_sync.redact import Redactor
from customer_sync.result import PageResult, PassResult
from customer_sync.services import Services
from customer_sync.settings import Settings, warnings
from customer_sync.sync import (
    BACKFILL,
    INCREMENTAL,
    Listener,
    Run,
    Wishes,
    select_pages,
    sync_all_customers,
    sync_new_customers,
)
from customer_sync.write import Upserts

log = logging.getLogger(__name__)

_PASSES: dict[str, Callable[[Run, list[PageResult]], None]] = {
    INCREMENTAL: sync_new_customers,
    BACKFILL: sync_all_customers,
}


def run_pass(
    result: PassResult,
    page_ids: Iterable[str],
    wishes: Wishes,
    settings: Settings,
    clock: Clock,
    *,
    redact: Redactor,
    listener: Listener,
) -> None:
    """Runs the pass that *result* names over the pages named, or all that are switched on, and fills *result* in.

    Whatever a service does to it stands in the result; raises SettingsError for unknown pages.
    """
    locks = PageLocks(settings.lock_dir, clock, result.name)
    services = Services(settings, clock, redact, locks, dry_run=wishes.dry_run)
    result.requests_of, result.held_for = services.requests, services.folkform_held_for
    result.warnings += warnings(settings)
    if settings.max_runtime:
        clock.end_after(settings.max_runtime)
    try:
        _wait_a_while(settings.jitter, clock)
        pages = _pages_to_sync(services, page_ids, result)
        result.pages = [PageResult(page, wishes.dry_run) for page in pages]
        with ThreadPoolExecutor(settings.workers, thread_name_prefix="upsert") as pool:
            upsert = _write_nothing if wishes.dry_run else services.folkform.upsert_customer
            run = Run(
                wishes,
                folkform=services.folkform,
                pancake=services.pancake,
                upserts=Upserts(pool, settings.workers, upsert, services.folkform.ping, clock),
                locks=locks,
                clock=clock,
                listener=listener,
                requests=services.requests,
                page_size=settings.page_size,
                pages_at_once=settings.pages_at_once,
                overlap=settings.overlap,
            )
            _PASSES[result.name](run, result.pages)
    except StopRequested as reason:
        result.stopped = reason
    except SettingsError:
        raise
    except CustomerSyncError as error:
        result.error = error


def _wait_a_while(jitter: int, clock: Clock) -> None:
    """So that not every machine asks at the same second."""
    if jitter:
        seconds = random.uniform(0, jitter)
        log.info("starting in %.0f s (--jitter)", seconds)
        clock.sleep(seconds)


def _pages_to_sync(services: Services, page_ids: Iterable[str], result: PassResult) -> list[Page]:
    known = services.pages()
    pages = select_pages(known, page_ids)
    if not pages:
        shown = "has no page switched on (isSync)" if known else "shows no page at all"
        result.warnings.append(f"FolkForm {shown}, so there was nothing to do")
    return pages


def _write_nothing(_: Customer) -> None:
    """The upsert of a dry run."""
