"""One run of a pass, from settings to result."""

import logging
import random
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from customer_sync.config.settings import Settings, warnings
from customer_sync.core.clock import Clock
from customer_sync.core.customer import Customer
from customer_sync.core.errors import CustomerSyncError, StopRequested
from customer_sync.core.locks import PageLocks
from customer_sync.core.page import Page
from customer_sync.http.redact import Redactor
from customer_sync.results.result import PassResult, SyncedPage
from customer_sync.services.factory import Services
from customer_sync.services.folkform import Filter
from customer_sync.services.page_token import RenewalDisabled
from customer_sync.sync.page_runner import Listener, select_pages
from customer_sync.sync.passes import BACKFILL, INCREMENTAL, PassOptions, Run, sync_all_customers, sync_new_customers
from customer_sync.sync.writer import Upserts

log = logging.getLogger(__name__)

PASSES: dict[str, Callable[[Run, Iterable[SyncedPage]], None]] = {
    INCREMENTAL: sync_new_customers,
    BACKFILL: sync_all_customers,
}
_DRY_RUN = RenewalDisabled("a dry run makes no new one", "Run it without --dry-run, or store a token in FolkForm.")


def run_pass(
    result: PassResult[SyncedPage],
    page_ids: Iterable[str],
    options: PassOptions,
    settings: Settings,
    clock: Clock,
    *,
    redact: Redactor,
    listener: Listener,
) -> None:
    """Runs the pass that *result* names over the pages named, or all that are switched on, and fills *result* in.

    Whatever becomes of it stands in the result. Raises SettingsError for a lock directory that cannot be used.
    """
    locks = PageLocks(settings.lock_dir, clock, result.name)
    services = Services(settings, clock, redact, locks, renewal_disabled=_DRY_RUN if options.dry_run else None)
    with running(result, services, settings, clock):
        wait_a_while(settings.jitter, clock)
        pages = pages_to_work_at(services.pages(), page_ids, result)
        result.pages = [SyncedPage(page, dry_run=options.dry_run) for page in pages]
        with ThreadPoolExecutor(settings.workers, thread_name_prefix="upsert") as pool:
            upsert = _write_nothing if options.dry_run else services.folkform.upsert_customer
            run = Run(
                options,
                folkform=services.folkform,
                pancake=services.pancake,
                upserts=Upserts(
                    pool, settings.workers, upsert, services.folkform.look_up, services.folkform.ping, clock
                ),
                locks=locks,
                clock=clock,
                listener=listener,
                requests=services.requests,
                page_size=settings.page_size,
                pages_at_once=settings.pages_at_once,
                overlap=settings.overlap,
            )
            PASSES[result.name](run, result.pages)


@contextmanager
def running(result: PassResult[Any], services: Services, settings: Settings, clock: Clock) -> Iterator[None]:
    """One run, from its time limit to whatever ended it, which then stands in *result*."""
    result.requests_of, result.calls = services.requests, services.calls
    result.held_for = services.folkform_limiter.held_for
    result.warnings += warnings(settings)
    if settings.max_runtime:
        clock.end_after(settings.max_runtime)
    try:
        yield
    except StopRequested as reason:
        result.stopped = reason
    except CustomerSyncError as error:
        result.error = error


def wait_a_while(jitter: int, clock: Clock) -> None:
    """So that not every machine asks at the same second."""
    if jitter:
        seconds = random.uniform(0, jitter)
        log.info("starting in %.0f s (--jitter)", seconds)
        clock.sleep(seconds)


def pages_to_work_at(known: list[Page], page_ids: Iterable[str], result: PassResult[Any]) -> list[Page]:
    selected = select_pages(known, page_ids)
    pages = [page for page in selected if result.shard is None or result.shard.holds(page.page_id)]
    if not pages:
        shown = "has no page switched on (isSync)" if known else "shows no page at all"
        if selected:
            shown = f"has no page in shard {result.shard} (switched on in all: {len(selected)})"
        result.warnings.append(f"FolkForm {shown}, so there was nothing to do")
    return pages


def _write_nothing(customer: Customer, where: Filter | None = None, *, tries_on_500: int = 1) -> None:
    """The upsert of a dry run."""
