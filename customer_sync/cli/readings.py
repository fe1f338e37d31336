"""One run of a command that only reads, from settings to result: it changes nothing and makes no page token."""

from collections.abc import Iterable
from functools import partial
from typing import Any

from customer_sync.cli.passes import PASSES, pages_to_work_at, running, wait_a_while
from customer_sync.config.settings import Settings
from customer_sync.core.clock import Clock
from customer_sync.core.locks import PageLocks
from customer_sync.http.redact import Redactor
from customer_sync.inspect import explain, status, verify
from customer_sync.results.explanation import Explanation
from customer_sync.results.page_status import PageStatus
from customer_sync.results.result import PassResult, Status
from customer_sync.results.verified_page import CountedPage, VerifiedPage
from customer_sync.services.factory import Services
from customer_sync.services.page_token import RenewalDisabled
from customer_sync.sync.page_runner import Listener

_READS_ONLY = RenewalDisabled(
    "this command makes no new one", "Let customer-sync incremental make one, or store a token in FolkForm."
)


def run_verify(
    result: PassResult[Any],
    page_ids: Iterable[str],
    settings: Settings,
    clock: Clock,
    *,
    quick: bool = False,
    allow_extra: bool = False,
    redact: Redactor,
    listener: Listener,
) -> None:
    """Compares both sides of the pages named, or of all that are switched on, and fills *result* in.

    *quick* compares counts only.
    """
    services = Services(settings, clock, redact, None, renewal_disabled=_READS_ONLY)
    with running(result, services, settings, clock):
        wait_a_while(settings.jitter, clock)
        pages = pages_to_work_at(services.pages(), page_ids, result)
        run = verify.Run(
            folkform=services.folkform,
            pancake=services.pancake,
            clock=clock,
            listener=listener,
            requests=services.requests,
            page_size=settings.page_size,
            pages_at_once=settings.pages_at_once,
            pancake_rps=settings.pancake_rps,
            folkform_takes=services.folkform_limiter.min_duration,
        )
        if quick:
            result.pages = [CountedPage(page, allow_extra=allow_extra) for page in pages]
            verify.count_pages(run, result.pages)
        else:
            result.pages = [VerifiedPage(page, allow_extra=allow_extra) for page in pages]
            verify.verify_pages(run, result.pages)


def run_status(
    result: PassResult[PageStatus],
    page_ids: list[str],
    settings: Settings,
    clock: Clock,
    *,
    redact: Redactor,
    listener: Listener,
) -> None:
    """Asks where the pages named stand, or all, and fills *result* in; of pages that are off it says no more."""
    services = Services(settings, clock, redact, None, renewal_disabled=_READS_ONLY)
    locks = PageLocks(settings.lock_dir, clock, makes_directory=False)
    with running(result, services, settings, clock):
        known = services.pages()
        asked = pages_to_work_at(known, page_ids, result)
        result.pages = [PageStatus(page, asked_at=clock.now()) for page in asked]
        if not page_ids:
            off = [page for page in known if not page.is_sync]
            result.pages += [PageStatus(page, Status.OFF, complete=True) for page in off]
        run = status.Run(
            folkform=services.folkform,
            pancake=services.pancake,
            holders=partial(locks.holders, PASSES),
            clock=clock,
            listener=listener,
            requests=services.requests,
            page_size=settings.page_size,
            pages_at_once=settings.pages_at_once,
            folkform_takes=services.folkform_limiter.min_duration,
        )
        status.ask_pages(run, result.pages)


def run_explain(
    result: PassResult[Explanation],
    who: str,
    page_id: str,
    settings: Settings,
    clock: Clock,
    *,
    redact: Redactor,
    listener: Listener,
) -> None:
    """Looks at one customer, known by her psid or her id in Pancake, on both sides, and fills *result* in."""
    services = Services(settings, clock, redact, None, renewal_disabled=_READS_ONLY)
    with running(result, services, settings, clock):
        (page,) = pages_to_work_at(services.pages(), [page_id], result)
        result.pages = [Explanation(page, who=who, asked_at=clock.now())]
        run = explain.Run(
            folkform=services.folkform,
            pancake=services.pancake,
            clock=clock,
            listener=listener,
            requests=services.requests,
            page_size=settings.page_size,
            overlap=settings.overlap,
        )
        explain.explain_customer(run, result.pages[0])
