"""Everything that can be wrong before a first run, looked at in one go. Changes nothing in either service.

What fails ends only what hangs on it: settings that are missing still show the others, and a Pancake that is away
hides nothing of FolkForm.
"""

import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NoReturn

from customer_sync.check.cron_check import check_cron
from customer_sync.check.folkform_check import FolkFormCheck
from customer_sync.check.machine_check import MACHINE, check_clocks, check_locks
from customer_sync.check.pancake_check import PageCheck
from customer_sync.check.settings_check import check_settings
from customer_sync.check.window_check import UNKNOWN
from customer_sync.config.settings import problems_of, read_settings, usable_settings
from customer_sync.core.clock import Clock
from customer_sync.core.errors import StopRequested
from customer_sync.core.interrupt import stop_on_signals
from customer_sync.core.page import Page
from customer_sync.http.redact import Redactor
from customer_sync.output.check_report import CheckReport
from customer_sync.output.console import Screen
from customer_sync.results.findings import CheckResult, Listener, Report, State
from customer_sync.services.factory import Services
from customer_sync.services.folkform_access import SERVICE as FOLKFORM
from customer_sync.services.page_token import RenewalDisabled
from customer_sync.services.pancake import SERVICE as PANCAKE

_MAKES_NONE = RenewalDisabled("a check makes no new one", "Let customer-sync incremental make one.")
# A service that must be asked five times is not in order.
_TRIES = 2
_TO_TELL_WINDOW = 2


def run_check(screen: Screen, page_ids: Sequence[str]) -> int:
    """Checks everything, with the pages named or all that are switched on, and prints it. Returns the exit code."""
    clock = Clock()
    started = clock.monotonic()
    result = CheckResult(clock.now())
    finishing = threading.Lock()
    report = CheckReport(screen)

    def finish() -> int:
        with finishing:
            if result.ended:
                return result.exit_code
            result.ended = True
            result.stopped = clock.stopping if clock.signalled else result.stopped
            result.duration = clock.monotonic() - started
            report.end(result)
        return result.exit_code

    def give_up() -> NoReturn:
        code = finish()
        screen.ended(code)
        os._exit(code)

    stop_on_signals(clock, give_up)
    fill_in(result, page_ids, os.environ, clock, redact=screen.redact, listener=report)
    return finish()


def fill_in(
    result: CheckResult,
    page_ids: Sequence[str],
    environment: Mapping[str, str],
    clock: Clock,
    *,
    redact: Redactor,
    listener: Listener,
) -> None:
    """The check itself: everything found is added to *result*."""
    try:
        _Check(result, environment, {}, clock, redact, listener).run(page_ids)
    except StopRequested as reason:
        result.stopped = reason


class _Check:
    """One run."""

    def __init__(
        self,
        result: CheckResult,
        environment: Mapping[str, str],
        options: Mapping[str, str | None],
        clock: Clock,
        redact: Redactor,
        listener: Listener,
    ) -> None:
        self._environment = environment
        self._clock = clock
        self._report = Report(result, listener, redact)
        self._given = read_settings(environment, options)
        self._problems = problems_of(self._given)
        self._settings = usable_settings(self._given)
        self._services = Services(
            self._settings, clock, redact, None, renewal_disabled=_MAKES_NONE, tries=_TRIES, renews=False
        )
        result.requests = self._services.requests

    def run(self, page_ids: Sequence[str]) -> None:
        """Raises StopRequested."""
        if self._settings.max_runtime:
            self._clock.end_after(self._settings.max_runtime)
        check_settings(self._report, self._given, self._problems, self._settings, self._environment)
        pages = self._look_at_folkform(page_ids)
        self._look_at_pancake(pages)
        with self._report.section(MACHINE):
            check_locks(self._report, self._settings.lock_dir, self._clock)
            clocks = self._services.clocks()
            check_clocks(self._report, {name: clocks[name] for name in (FOLKFORM, PANCAKE) if name in clocks})
        with self._report.section("Cron"):
            check_cron(self._report, self._environment, self._clock.now())

    def _look_at_folkform(self, page_ids: Sequence[str]) -> list[Page] | None:
        """The pages to look at; None where FolkForm told none."""
        pages: list[Page] | None = None
        with self._report.section(FOLKFORM):
            if self._may_ask("FOLKFORM_", "FIREBASE_"):
                check = FolkFormCheck(self._report, self._services, self._settings, self._clock)
                pages = check.pages(page_ids)
                check.customers(pages)
                check.limit()
        return pages

    def _look_at_pancake(self, pages: Sequence[Page] | None) -> None:
        with self._report.section(PANCAKE, [f"{page.page_id} token" for page in pages or ()]):
            if pages is None:
                self._report.warn("pages", "none was looked at, since FolkForm told none", "Mend FolkForm first.")
            elif self._may_ask("PANCAKE_"):
                self._look_at_pages(pages)

    def _may_ask(self, *prefixes: str) -> bool:
        """Whether a service's settings are in order; says so when they are not."""
        troubled = [problem.variable for problem in self._problems if problem.variable.startswith(prefixes)]
        if troubled:
            self._report.warn("requests", "none was made", f"Mend {', '.join(troubled)} first.")
        return not troubled

    def _look_at_pages(self, pages: Sequence[Page]) -> None:
        window_told = False
        looked: list[PageCheck] = []
        with ThreadPoolExecutor(self._settings.pages_at_once, thread_name_prefix="page") as pool:
            for check in pool.map(self._look_at_page, pages):
                looked.append(check)
                if not window_told and len(check.times) >= _TO_TELL_WINDOW:
                    check.look_at_window()
                    window_told = True
                self._tell_page(check)
        if not window_told and any(check.was_read for check in looked):
            self._report.ok("window", UNKNOWN)

    def _look_at_page(self, page: Page) -> PageCheck:
        return PageCheck(page, self._services.pancake(page), self._settings, self._clock).look()

    def _tell_page(self, check: PageCheck) -> None:
        """What is in order about a page stands on one line."""
        in_order = [finding for finding in check.findings if finding.state is State.OK]
        self._report.add_together(check.page.page_id, "; ".join(one.detail for one in in_order), in_order)
        for finding in check.findings:
            if finding.state is not State.OK:
                self._report.add(finding)
