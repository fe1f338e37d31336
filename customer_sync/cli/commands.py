"""What each command does: its name, its result of a page, and the work at a page."""

from collections.abc import Callable
from functools import partial

from customer_sync.cli.run import Command
from customer_sync.core.command_line import command
from customer_sync.core.page import Page
from customer_sync.inspect.explain import EXPLAIN, explain_customer
from customer_sync.inspect.status import STATUS, announce_status, ask_page
from customer_sync.inspect.verify import VERIFY, compare_page, count_page, prepare_comparison
from customer_sync.results.explanation import Explanation
from customer_sync.results.page_result import Status, SyncedPage
from customer_sync.results.page_status import PageStatus
from customer_sync.results.verified_page import CountedPage, VerifiedPage
from customer_sync.services.page_token import RenewalDisabled
from customer_sync.sync.passes import (
    BACKFILL,
    INCREMENTAL,
    sync_all_customers_of_page,
    sync_new_customers_of_page,
)
from customer_sync.sync.plan import PassOptions
from customer_sync.sync.run_context import RunContext

_DRY_RUN = RenewalDisabled("a dry run makes no new one", "Run it without --dry-run, or store a token in FolkForm.")


def incremental(options: PassOptions) -> Command[SyncedPage]:
    """The incremental pass."""
    return _sync_pass(INCREMENTAL, partial(sync_new_customers_of_page, options), dry_run=options.dry_run)


def backfill(options: PassOptions) -> Command[SyncedPage]:
    """The backfill pass."""
    return _sync_pass(BACKFILL, partial(sync_all_customers_of_page, options), dry_run=options.dry_run)


def _sync_pass(name: str, work: Callable[[RunContext, SyncedPage], None], *, dry_run: bool) -> Command[SyncedPage]:
    return Command(
        name,
        SyncedPage,
        new_result=lambda page, _: SyncedPage(page, dry_run=dry_run),
        work=work,
        renewal=_DRY_RUN if dry_run else None,
        dry_run=dry_run,
        takes_locks=True,
    )


def verify(*, allow_extra: bool = False) -> Command[VerifiedPage]:
    """Both sides compared, version by version."""
    return Command(
        VERIFY,
        VerifiedPage,
        new_result=lambda page, _: VerifiedPage(page, allow_extra=allow_extra),
        work=compare_page,
        prepare=prepare_comparison,
        renewal=_read_only(),
    )


def verify_counts(*, allow_extra: bool = False) -> Command[CountedPage]:
    """Both sides counted."""
    return Command(
        VERIFY,
        CountedPage,
        new_result=lambda page, _: CountedPage(page, allow_extra=allow_extra),
        work=count_page,
        renewal=_read_only(),
    )


def status(*, named: bool = False) -> Command[PageStatus]:
    """Every page's state; pages that are off are only listed, unless they are *named*."""

    def new_result(page: Page, now: float) -> PageStatus:
        if page.is_sync or named:
            return PageStatus(page, asked_at=now)
        return PageStatus(page, Status.OFF, complete=True, asked_at=now)

    return Command(
        STATUS,
        PageStatus,
        new_result=new_result,
        work=ask_page,
        prepare=announce_status,
        renewal=_read_only(),
        lists_off=True,
    )


def explain(customer: str) -> Command[Explanation]:
    """One customer, by psid or Pancake id, on both sides."""
    return Command(
        EXPLAIN,
        Explanation,
        new_result=lambda page, now: Explanation(page, customer=customer, asked_at=now),
        work=explain_customer,
        renewal=_read_only(),
    )


def _read_only() -> RenewalDisabled:
    step = f"Run {command('check')} to see whether a pass can make one."
    return RenewalDisabled("this command makes no new one", step)
