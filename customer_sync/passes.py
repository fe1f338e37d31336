"""One run of a pass, from settings to result."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from customer_sync.clock import Clock
from customer_sync.customer import Customer
from customer_sync.errors import CustomerSyncError, SettingsError
from customer_sync.locks import PageLocks
from customer_sync.page import Page
from customer_sync.redact import Redactor
from customer_sync.result import PageResult, PassResult
from customer_sync.services import Services
from customer_sync.settings import Settings
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

_PASSES: dict[str, Callable[[Run, Iterable[Page]], list[PageResult]]] = {
    INCREMENTAL: sync_new_customers,
    BACKFILL: sync_all_customers,
}


def run_pass(
    name: str,
    page_ids: Iterable[str],
    wishes: Wishes,
    *,
    settings: Settings,
    clock: Clock,
    redact: Redactor,
    listener: Listener,
) -> PassResult:
    """Runs the pass *name* over the pages named, or all that are switched on.

    Whatever a service does to it stands in the result; raises SettingsError for unknown pages.
    """
    services = Services(settings, clock, redact)
    result = PassResult(name, started_at=clock.now(), dry_run=wishes.dry_run)
    started = clock.monotonic()
    try:
        pages = select_pages(services.pages(), page_ids)
        if not pages:
            result.warnings.append("FolkForm has no page switched on (isSync), so there was nothing to do")
        with ThreadPoolExecutor(settings.workers, thread_name_prefix="upsert") as pool:
            upsert = _write_nothing if wishes.dry_run else services.folkform.upsert_customer
            run = Run(
                wishes,
                folkform=services.folkform,
                pancake=services.pancake,
                upserts=Upserts(pool, settings.workers, upsert, services.folkform.ping, clock),
                locks=PageLocks(settings.lock_dir, clock),
                clock=clock,
                listener=listener,
                requests=services.requests,
                page_size=settings.page_size,
                pages_at_once=settings.pages_at_once,
                overlap=settings.overlap,
            )
            result.pages = _PASSES[name](run, pages)
    except SettingsError:
        raise
    except CustomerSyncError as error:
        result.error = error
    result.stopped = clock.stopping
    result.duration = clock.monotonic() - started
    result.requests = services.requests()
    return result


def _write_nothing(_: Customer) -> None:
    """The upsert of a dry run."""
