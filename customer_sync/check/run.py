"""`check`: settings, both services and this machine, asked once; changes nothing and makes no token.

A failure skips only the checks that depend on it: missing settings hide no other setting, an unreachable Pancake hides
nothing of FolkForm.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

from customer_sync.check.folkform_check import FolkFormCheck
from customer_sync.check.machine_check import MACHINE, check_clocks, check_locks
from customer_sync.check.pancake_check import check_page
from customer_sync.check.settings_check import check_settings
from customer_sync.check.user_tokens import UserTokenCheck
from customer_sync.config.settings import Settings, read_settings, usable_settings
from customer_sync.core.clock import Clock
from customer_sync.core.command_line import command
from customer_sync.core.errors import StopRequested
from customer_sync.core.interrupt import FinalReport, stop_on_signals
from customer_sync.core.page import Page
from customer_sync.http.redact import Redactor
from customer_sync.output.check_report import CheckReport
from customer_sync.output.console import Screen
from customer_sync.results.findings import CheckResult, Finding, FindingListener, Report, State
from customer_sync.results.page_result import listed
from customer_sync.services.factory import Services
from customer_sync.services.folkform_access import SERVICE as FOLKFORM
from customer_sync.services.page_token import RenewalDisabled
from customer_sync.services.pancake import SERVICE as PANCAKE

# A service that needs five tries is not in order.
_TRIES = 2


def run_check(screen: Screen, page_ids: Sequence[str]) -> int:
    """Checks everything, with the pages named or all that are switched on, and prints it. Returns the exit code."""
    clock = Clock()
    started = clock.monotonic()
    result = CheckResult(clock.now())

    printed = CheckReport(screen)

    def report(_: bool) -> int:
        result.stopped = clock.stopping if clock.signalled else result.stopped
        result.duration = clock.monotonic() - started
        printed.end(result)
        return result.exit_code

    finish = FinalReport(report, screen.ended)
    stop_on_signals(clock, finish.give_up)
    check(result, page_ids, os.environ, clock, redact=screen.redact, listener=printed)
    return finish()


def check(
    result: CheckResult,
    page_ids: Sequence[str],
    environment: Mapping[str, str],
    clock: Clock,
    *,
    redact: Redactor,
    listener: FindingListener,
) -> None:
    """Adds every finding to *result*; how it was stopped, too."""
    raw = read_settings(environment, {})
    settings = usable_settings(raw)
    renewal = RenewalDisabled("a check makes no new one", f"Run {command('incremental')} to make one.")
    services = Services(settings, clock, redact, None, renewal_disabled=renewal, tries=_TRIES, renews=False)
    report = Report(result, listener, redact)
    result.requests = services.requests
    if settings.max_runtime:
        clock.end_after(settings.max_runtime)
    wrong = [one.problem.variable for one in raw if one.problem]
    with services.watched(), _stop_in(result):
        check_settings(report, raw, settings, environment)
        pages = None
        with report.section(FOLKFORM):
            if _may_ask(report, wrong, "FOLKFORM_", "FIREBASE_"):
                folkform = FolkFormCheck(report, services, settings, clock)
                pages = folkform.pages(page_ids)
                folkform.customers(pages)
                folkform.limit()
        with report.section(PANCAKE, [f"{page.page_id} renewal" for page in pages or ()]):
            if pages is None:
                report.warn("pages", "not checked: FolkForm returned no page list", "Fix FolkForm first.")
            elif _may_ask(report, wrong, "PANCAKE_"):
                _check_pages(report, pages, services, settings, clock)
        with report.section(MACHINE):
            check_locks(report, settings.lock_dir, clock)
            check_clocks(report, services.clocks())


@contextmanager
def _stop_in(result: CheckResult) -> Iterator[None]:
    try:
        yield
    except StopRequested as reason:
        result.stopped = reason


def _may_ask(report: Report, wrong: Sequence[str], *prefixes: str) -> bool:
    """Whether no setting of a service is *wrong*; reports those that are."""
    own = [variable for variable in wrong if variable.startswith(prefixes)]
    if own:
        report.warn("requests", "not sent", f"Fix {', '.join(own)} first.")
    return not own


def _check_pages(report: Report, pages: Sequence[Page], services: Services, settings: Settings, clock: Clock) -> None:
    """Several pages at once. What is in order about a page is one line, and so is one problem of several pages."""
    user_tokens = UserTokenCheck(services, settings.pancake_access_token)

    def ask(page: Page) -> list[Finding]:
        return check_page(page, services.pancake(page), user_tokens, settings, clock)

    alike: dict[Finding, dict[str, Finding]] = {}
    with ThreadPoolExecutor(settings.pages_at_once, thread_name_prefix="page") as pool:
        for page, findings in zip(pages, pool.map(ask, pages), strict=True):
            ok = [finding for finding in findings if finding.state is State.OK]
            report.add_together(page.page_id, "; ".join(finding.detail for finding in ok), ok)
            for finding in findings:
                if finding.state is not State.OK:
                    of_any_page = replace(finding, what=finding.what.removeprefix(page.page_id).strip())
                    alike.setdefault(of_any_page, {})[page.page_id] = finding
    for problem, of_pages in alike.items():
        first, *others = of_pages.values()
        if others:
            what, detail = f"{problem.what} of {len(of_pages):,} pages", f"{problem.detail}. {listed(list(of_pages))}"
            report.add_together(what, detail, list(of_pages.values()))
        else:
            report.add(first)
