"""What a run over pages did: its counts, its status, and the exit code that follows from them."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from customer_sync.core.clock import local_time
from customer_sync.core.errors import CustomerSyncError, ExitCode, ServiceError, SettingsError, StopRequested, TimeIsUp
from customer_sync.core.shard import Shard
from customer_sync.results.page_result import PageResult, Status, counted
from customer_sync.results.table import Table
from customer_sync.services.factory import Services
from customer_sync.services.pancake import SERVICE as PANCAKE

R = TypeVar("R", bound=PageResult)
_PROBLEMS = (Status.PARTIAL, Status.DIFFERS, Status.FAILED)


@dataclass
class PassResult(Generic[R]):
    """What a run over pages did. *started_at* is Unix seconds, UTC; *duration* is seconds."""

    name: str
    started_at: float
    page_result: type[R]
    """The class of its pages' results."""
    dry_run: bool = False
    shard: Shard | None = None
    """The share of the pages that the run works on; None: all, or the pages named."""
    duration: float = 0.0
    services: Services | None = None
    """The services that it calls, which count their requests; None before the run has begun."""
    pages: list[R] = field(default_factory=list)
    error: CustomerSyncError | None = None
    """Why no page could be worked on at all."""
    stopped: StopRequested | None = None
    unanswered: ServiceError | None = None
    """Why the last calls before the time limit got no answer; None where they got one."""
    warnings: list[str] = field(default_factory=list)
    in_time: bool = True
    """Whether the work ended; False if it was abandoned after a stop was requested."""

    def end(self, stopped: StopRequested | None, duration: float, *, in_time: bool = True) -> None:
        """The work has ended, or is abandoned because it did not end *in_time*; *duration* is seconds."""
        # A wait that would have exceeded the time limit ends a page, or all, before the limit is reached.
        self.stopped = stopped or self.stopped or next((page.stopped for page in self.pages if page.stopped), None)
        if isinstance(self.stopped, TimeIsUp) and self.services:
            self.unanswered = self.services.unanswered()
        if self.unanswered and self.unanswered.problem not in str(self.stopped):
            self.stopped = TimeIsUp(f"{self.stopped} while calls got no usable answer: {self.unanswered.sentence}")
        self.duration = duration
        self.in_time = in_time
        self.pages.sort(key=lambda page: page.urgency)
        for page in self.pages:
            if self.stopped and page.status is Status.INTERRUPTED:  # It was not even begun.
                page.status = status_when(self.stopped)
            page.requests = self._requests(page.page.page_id)

    @property
    def active_pages(self) -> list[R]:
        """The pages that are worked on."""
        return [page for page in self.pages if page.status is not Status.OFF]

    @property
    def title(self) -> str:
        """The command and its shard."""
        return self.name if self.shard is None else f"{self.name}, shard {self.shard}"

    @property
    def summary(self) -> str:
        """The result in one line."""
        off = len(self.pages) - len(self.active_pages)
        pages = counted(len(self.pages), "page") + (f" ({off:,} off)" if off else "")
        # A report that succeeded is "ok", which must not be read as the state of its pages.
        is_report = self.page_result.IS_REPORT and self.status is Status.OK
        status = f"{'' if is_report else f'{self.status.shown}, '}{pages}, " if self.page_result.SHOWS_STATUS else ""
        counts = self.page_result.sum_up(self.pages, self.totals)
        requests = counted(self.totals["requests"], "request")
        return f"{self.title}: {status}{counts}; {requests}, {self.duration:.1f} s"

    @property
    def table(self) -> Table:
        """The pages as a table."""
        columns, rows = self.page_result.table(self.pages)
        dry_run = " (dry run)" if self.dry_run else ""
        return Table(f"customer-sync {self.title}{dry_run}, {local_time(self.started_at)}", columns, rows)

    @property
    def complete(self) -> bool:
        stopped_before_pages = self.stopped is not None and not self.pages
        return self.error is None and not stopped_before_pages and all(page.complete for page in self.active_pages)

    @property
    def status(self) -> Status:
        if self.error is not None:
            return Status.FAILED
        statuses = {page.status for page in self.active_pages} or {status_when(self.stopped)}
        for early in (Status.INTERRUPTED, Status.STOPPED):
            if early in statuses:
                return early
        if statuses == {Status.OK, Status.DIFFERS}:
            return Status.DIFFERS
        return statuses.pop() if len(statuses) == 1 else Status.PARTIAL

    @property
    def exit_code(self) -> ExitCode:
        if self.stopped and self.stopped.exit_code:
            return self.stopped.exit_code
        if self.error is not None:
            return self.error.exit_code
        if code := self._exit_code_of_all():
            return code
        resumable, pages = self.page_result.RESUMABLE, self.active_pages
        # After a time limit the next pass continues; a failed customer still needs attention.
        if any(page.status in _PROBLEMS or (resumable and page.has_problems) for page in pages):
            return ExitCode.PARTIAL
        in_vain = self.unanswered or not any(page.has_result for page in pages) or not (resumable or self.complete)
        return ExitCode.TRY_LATER if self.stopped and in_vain else ExitCode.OK

    def _exit_code_of_all(self) -> ExitCode:
        """The code of errors that concern every page; 0 if there are none."""
        everywhere = all(page.status in (Status.FAILED, Status.BUSY) for page in self.active_pages)
        errors = [page.error for page in self.pages if page.error]
        codes = {error.exit_code for error in errors if everywhere or _concerns_every_page(error)}
        if everywhere and any(page.status is Status.BUSY for page in self.pages):
            codes.add(ExitCode.TRY_LATER)
        worst_first = (ExitCode.USAGE, ExitCode.REFUSED, ExitCode.TRY_LATER)
        return next((code for code in worst_first if code in codes), ExitCode.OK)

    @property
    def next_step(self) -> str:
        """What to do now; empty if nothing is to be done."""
        remedies = {page.remedy for page in self.pages if page.remedy}
        return remedies.pop() if len(remedies) == 1 and self.exit_code else self.exit_code.next_step

    @property
    def totals(self) -> dict[str, int]:
        counts = {name: sum(getattr(page, name) or 0 for page in self.pages) for name in self.page_result.COUNTS}
        return {"pages": len(self.pages), **counts, "requests": self._requests()}

    def as_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {
            "pass": self.name,
            "status": self.status.value,
            "complete": self.complete,
            "exit_code": int(self.exit_code),
            "dry_run": self.dry_run,
            "shard": None if self.shard is None else str(self.shard),
            "started_at": utc_text(self.started_at),
            "duration_s": round(self.duration, 1),
            "totals": self.totals,
            "error": None if self.error is None else str(self.error),
            "stopped": None if self.stopped is None else str(self.stopped),
            "warnings": self.warnings,
            "pages": [page.as_json() for page in self.pages],
        }

    def _requests(self, page_id: str | None = None) -> int:
        return self.services.requests(page_id) if self.services else 0


def status_when(stopped: StopRequested | None) -> Status:
    """The status of what *stopped* has ended early; OK where it did not."""
    if stopped is None:
        return Status.OK
    return Status.STOPPED if isinstance(stopped, TimeIsUp) else Status.INTERRUPTED


def utc_text(seconds: float) -> str:
    """Unix *seconds* as `--json` has them."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _concerns_every_page(error: CustomerSyncError) -> bool:
    return isinstance(error, SettingsError) or (isinstance(error, ServiceError) and error.service != PANCAKE)
