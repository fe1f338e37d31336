"""What a pass did: the counts, the failures, and the exit code that follows from them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from customer_sync.customer import Customer, Malformed
from customer_sync.errors import CustomerSyncError, ExitCode, ServiceError, SettingsError, StopRequested
from customer_sync.page import Page
from customer_sync.pancake import SERVICE as PANCAKE


class Status(StrEnum):
    """How a page, or a pass, ended."""

    OK = "ok"
    PARTIAL = "partial"
    """Some customers failed; of a pass: its pages differ."""
    FAILED = "failed"
    BUSY = "busy"
    """Another run is at this page."""
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Problem:
    """A customer who was not synced."""

    psid: str | None
    pancake_id: str | None
    problem: str
    """`failed` or `malformed`."""
    reason: str


@dataclass
class PageResult:
    """What a pass did with one page. Times are whole Unix seconds, UTC."""

    page: Page
    dry_run: bool = False
    """Whether *upserted* counts who would be."""
    status: Status = Status.INTERRUPTED
    complete: bool = False
    since: int | None = None
    until: int | None = None
    read: int = 0
    upserted: int = 0
    unchanged: int = 0
    skipped: int = 0
    failed: int = 0
    malformed: int = 0
    requests: int = 0
    expected: int | None = None
    """How many customers there are to read, where that is known."""
    error: CustomerSyncError | None = None
    stopped: StopRequested | None = None
    warnings: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def add_failed(self, customer: Customer, reason: str) -> None:
        self.failed += 1
        pancake_id = customer.data.get("id")
        self.problems.append(
            Problem(customer.psid, pancake_id if isinstance(pancake_id, str) else None, "failed", reason)
        )

    def add_malformed(self, malformed: Malformed) -> None:
        self.read += 1
        self.malformed += 1
        self.problems.append(Problem(malformed.psid, malformed.pancake_id, "malformed", malformed.reason))

    def as_json(self) -> dict[str, Any]:
        return {
            "page_id": self.page.page_id,
            "status": self.status.value,
            "complete": self.complete,
            "since": self.since,
            "until": self.until,
            **{name: getattr(self, name) for name in COUNTS},
            "error": None if self.error is None else str(self.error),
            "warnings": self.warnings,
            "customers": [
                {
                    "psid": problem.psid,
                    "id": problem.pancake_id,
                    "problem": problem.problem,
                    "reason": problem.reason,
                }
                for problem in self.problems
            ],
        }


COUNTS = ("read", "upserted", "unchanged", "skipped", "failed", "malformed", "requests")


@dataclass
class PassResult:
    """What a pass did. *started_at* is Unix seconds, UTC; *duration* is seconds."""

    name: str
    started_at: float
    dry_run: bool = False
    duration: float = 0.0
    requests_of: Callable[[str | None], int] = lambda page_id: 0  # noqa: ARG005
    """How many requests were made for a page; for None in all."""
    held_for: Callable[[], float] = lambda: 0.0
    """How long FolkForm's limit holds the pass up, seconds."""
    pages: list[PageResult] = field(default_factory=list)
    error: CustomerSyncError | None = None
    """Why no page could be synced at all."""
    stopped: StopRequested | None = None
    warnings: list[str] = field(default_factory=list)
    in_time: bool = True
    """Whether the work ended; False when it would not and was left to itself."""

    def end(self, stopped: StopRequested | None, duration: float, *, in_time: bool = True) -> None:
        """The work has ended, or did not end *in_time* and is left to itself; *duration* is seconds."""
        # A wait that would have outlasted the time limit ends a page, or all, before the limit is reached.
        self.stopped = stopped or self.stopped or next((page.stopped for page in self.pages if page.stopped), None)
        self.duration = duration
        self.in_time = in_time
        for page in self.pages:
            page.requests = self.requests_of(page.page.page_id)

    @property
    def complete(self) -> bool:
        stopped_before_pages = self.stopped is not None and not self.pages
        return self.error is None and not stopped_before_pages and all(page.complete for page in self.pages)

    @property
    def status(self) -> Status:
        if self.error is not None:
            return Status.FAILED
        statuses = {page.status for page in self.pages} or {Status.INTERRUPTED if self.stopped else Status.OK}
        if Status.INTERRUPTED in statuses:
            return Status.INTERRUPTED
        return statuses.pop() if len(statuses) == 1 else Status.PARTIAL

    @property
    def exit_code(self) -> ExitCode:
        if self.stopped and self.stopped.exit_code:
            return self.stopped.exit_code
        if self.error is not None:
            return self.error.exit_code
        everywhere = all(page.status in (Status.FAILED, Status.BUSY) for page in self.pages)
        codes = {
            page.error.exit_code
            for page in self.pages
            if page.error and (everywhere or _concerns_every_page(page.error))
        }
        if everywhere and any(page.status is Status.BUSY for page in self.pages):
            codes.add(ExitCode.TRY_LATER)
        for code in (ExitCode.USAGE, ExitCode.REFUSED, ExitCode.TRY_LATER):
            if code in codes:
                return code
        if any(page.status in (Status.PARTIAL, Status.FAILED) for page in self.pages):
            return ExitCode.PARTIAL
        idle = not any(page.read or page.complete for page in self.pages)
        return ExitCode.TRY_LATER if self.stopped and idle else ExitCode.OK

    @property
    def totals(self) -> dict[str, int]:
        counts = {name: sum(getattr(page, name) for page in self.pages) for name in COUNTS}
        return {"pages": len(self.pages), **counts, "requests": self.requests_of(None)}

    def as_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {
            "pass": self.name,
            "status": self.status.value,
            "complete": self.complete,
            "exit_code": int(self.exit_code),
            "dry_run": self.dry_run,
            "started_at": datetime.fromtimestamp(self.started_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "duration_s": round(self.duration, 1),
            "totals": self.totals,
            "error": None if self.error is None else str(self.error),
            "stopped": None if self.stopped is None else str(self.stopped),
            "warnings": self.warnings,
            "pages": [page.as_json() for page in self.pages],
        }


def _concerns_every_page(error: CustomerSyncError) -> bool:
    return isinstance(error, SettingsError) or (isinstance(error, ServiceError) and error.service != PANCAKE)
