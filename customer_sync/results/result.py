"""What a pass did: the counts, the failures, and the exit code that follows from them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar, Generic, TypeVar

from customer_sync.core.customer import Customer, Malformed
from customer_sync.core.errors import CustomerSyncError, ExitCode, ServiceError, SettingsError, StopRequested
from customer_sync.core.page import Page
from customer_sync.core.shard import Shard
from customer_sync.http.session import ServiceCalls
from customer_sync.results.table import Cell, Column, Table, Tone
from customer_sync.services.pancake import SERVICE as PANCAKE


class Status(StrEnum):
    """How a page, or a pass, ended."""

    OK = "ok"
    PARTIAL = "partial"
    """Some customers failed; of a pass: its pages ended in different ways."""
    DIFFERS = "differs"
    """The two sides do."""
    FAILED = "failed"
    BUSY = "busy"
    """Another run is at this page."""
    INTERRUPTED = "interrupted"
    OFF = "off"
    """The shop does not want this page synced, so nothing was done."""


_TITLES = {"folkform": "FolkForm"}
_TONES = {
    Status.OK: Tone.GOOD,
    Status.PARTIAL: Tone.DOUBTFUL,
    Status.DIFFERS: Tone.DOUBTFUL,
    Status.FAILED: Tone.BAD,
    Status.BUSY: Tone.DOUBTFUL,
    Status.INTERRUPTED: Tone.DOUBTFUL,
    Status.OFF: Tone.QUIET,
}


FAILED = "failed"
_NEXT_STEPS = {
    FAILED: "Mend what the reason says, then customer-sync backfill --page {}.",
    "malformed": "Pancake must mend it.",
    "missing": "Run customer-sync backfill --page {}.",
    "stale": "Run customer-sync backfill --page {}.",
    "extra": "Nothing, where the customer was merged or deleted in Pancake.",
    "duplicate": "Delete the older record in FolkForm, as README says.",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """A customer of whom something is to be told."""

    psid: str | None
    pancake_id: str | None
    problem: str
    """`failed` or `malformed`; of a comparison `missing`, `stale`, `extra`, `duplicate` or `malformed`."""
    reason: str
    own_next_step: str = ""
    """What to do about it, where that is not the usual."""

    def next_step(self, page_id: str) -> str:
        """What to do about it."""
        return self.own_next_step or _NEXT_STEPS[self.problem].format(page_id)


@dataclass
class PageResult:
    """What a run did with one page."""

    COUNTS: ClassVar[tuple[str, ...]] = ("requests",)
    """What is counted, in the order in which it is told."""
    PROBLEM_STATUS: ClassVar[Status] = Status.PARTIAL
    """How a page ended where not everything is as it should be."""
    IS_REPORT: ClassVar[bool] = False
    """Whether what is told of each page is what the command was run for, and not only the story of its work."""
    RESUMABLE: ClassVar[bool] = False
    """Whether the next run goes on where a time limit ended this one; an answer that is not whole is none."""
    HAS_PROGRESS: ClassVar[bool] = True
    """Whether *read* of *expected* tells how far the work at a page is."""

    page: Page
    status: Status = Status.INTERRUPTED
    complete: bool = False
    read: int = 0
    """How many customers of Pancake were read, the malformed ones included."""
    expected: int | None = None
    """How many there are to read, where that is known."""
    malformed: int = 0
    requests: int = 0
    error: CustomerSyncError | None = None
    stopped: StopRequested | None = None
    remedy: str | None = None
    """The command that mends what was found, where there is one."""
    warnings: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def has_problems(self) -> bool:
        """Whether not everything is as it should be."""
        return False

    @property
    def urgency(self) -> tuple[float, ...]:
        """What the pages of a result are sorted by."""
        return ()

    def words(self) -> list[str]:
        """What the counts say, in short."""
        return []

    @staticmethod
    def opening(result: "PassResult[Any]") -> str:
        """The first words of the summary: how the run ended."""
        return f"{result.status}, {counted(len(result.pages), 'page')}"

    @staticmethod
    def sum_up(result: "PassResult[Any]") -> str:
        """What all pages together say, as a sentence."""
        raise NotImplementedError

    @classmethod
    def table(cls, result: "PassResult[Any]") -> Table:
        """What a terminal shows of all pages."""
        counts = [name for name in cls.COUNTS if name != "skipped"]
        names = ["to upsert" if name == "upserted" and result.dry_run else name for name in counts]
        rows = [
            [
                Cell(page.page.title),
                page.status_cell(),
                *(Cell(f"{getattr(page, name):,}") for name in counts),
            ]
            for page in result.pages
        ]
        title = f"customer-sync {result.title}" + (" (dry run)" if result.dry_run else "")
        columns = [
            Column("Page"),
            Column("Status"),
            *(Column(_TITLES.get(name, name.capitalize()), numbers=True) for name in names),
        ]
        return Table(title, columns, rows)

    @staticmethod
    def lines(result: "PassResult[Any]") -> list[str]:
        """The same where no table can be drawn."""
        return [f"{page.page.title}: {', '.join(page.words())}" for page in result.pages]

    @staticmethod
    def next_steps(result: "PassResult[Any]") -> list[str]:  # noqa: ARG004
        """What to do now, as sentences that go with the summary."""
        return []

    def status_cell(self) -> Cell:
        return Cell(self.status.value, tone=_TONES[self.status])

    def add_malformed(self, malformed: Malformed) -> None:
        self.read += 1
        self.malformed += 1
        self.problems.append(Problem(malformed.psid, malformed.pancake_id, "malformed", malformed.reason))

    def as_json(self) -> dict[str, Any]:
        return {
            "page_id": self.page.page_id,
            "status": self.status.value,
            "complete": self.complete,
            **self.details(),
            **{name: getattr(self, name) for name in self.COUNTS},
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

    def details(self) -> dict[str, Any]:
        """What JSON tells of the page beside its counts."""
        return {}


@dataclass
class SyncedPage(PageResult):
    """What a pass did with one page. Times are whole Unix seconds, UTC."""

    COUNTS = ("read", "upserted", "unchanged", "skipped", "failed", "malformed", "requests")
    RESUMABLE = True

    dry_run: bool = field(default=False, kw_only=True)
    """Whether *upserted* counts who would be."""
    since: int | None = None
    until: int | None = None
    upserted: int = 0
    unchanged: int = 0
    skipped: int = 0
    failed: int = 0

    @property
    def has_problems(self) -> bool:
        return self.failed > 0

    def add_failed(self, customer: Customer, reason: str) -> Problem:
        self.failed += 1
        problem = Problem(customer.psid, customer.pancake_id, FAILED, reason)
        self.problems.append(problem)
        return problem

    def words(self) -> list[str]:
        counts = [(self.read, "read"), (self.upserted, _done(self.dry_run)), (self.unchanged, "unchanged")]
        troubled = [(self.failed, "failed"), (self.malformed, "malformed")]
        return [f"{count:,} {name}" for count, name in (*counts, *(one for one in troubled if one[0]))]

    @staticmethod
    def sum_up(result: "PassResult[Any]") -> str:
        totals = result.totals
        ended = {_done(result.dry_run): totals["upserted"]}
        ended |= {name: totals[name] for name in ("unchanged", "failed", "malformed")}
        if (not_reached := totals["read"] - sum(ended.values())) > 0:
            ended["not reached"] = not_reached
        return f"{totals['read']:,} read = " + " + ".join(f"{count:,} {name}" for name, count in ended.items())

    def details(self) -> dict[str, Any]:
        return {"since": self.since, "until": self.until}


def counted(number: int, noun: str) -> str:
    """`1 page`, `1,200 pages`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _done(dry_run: bool) -> str:
    return "to upsert" if dry_run else "upserted"


R = TypeVar("R", bound=PageResult)


@dataclass
class PassResult(Generic[R]):
    """What a run over pages did. *started_at* is Unix seconds, UTC; *duration* is seconds."""

    name: str
    started_at: float
    page_result: type[R]
    """What is told of a page."""
    dry_run: bool = False
    shard: Shard | None = None
    """The share of the pages that it is about; None: all, or those named by hand."""
    duration: float = 0.0
    requests_of: Callable[[str | None], int] = lambda page_id: 0  # noqa: ARG005
    """How many requests were made for a page; for None in all."""
    calls: Callable[[], list[ServiceCalls]] = list
    """What was asked of each service."""
    held_for: Callable[[], float] = lambda: 0.0
    """How long FolkForm's limit holds the pass up, seconds."""
    pages: list[R] = field(default_factory=list)
    error: CustomerSyncError | None = None
    """Why no page could be synced at all."""
    stopped: StopRequested | None = None
    warnings: list[str] = field(default_factory=list)
    ended: bool = False
    in_time: bool = True
    """Whether the work ended; False when it would not and was left to itself."""

    def end(self, stopped: StopRequested | None, duration: float, *, in_time: bool = True) -> None:
        """The work has ended, or did not end *in_time* and is left to itself; *duration* is seconds."""
        # A wait that would have outlasted the time limit ends a page, or all, before the limit is reached.
        self.stopped = stopped or self.stopped or next((page.stopped for page in self.pages if page.stopped), None)
        self.duration = duration
        self.in_time = in_time
        self.ended = True
        self.pages.sort(key=lambda page: page.urgency)
        for page in self.pages:
            page.requests = self.requests_of(page.page.page_id)

    @property
    def active_pages(self) -> list[R]:
        """The pages at which there was something to do."""
        return [page for page in self.pages if page.status is not Status.OFF]

    @property
    def summary(self) -> str:
        """The last line of what is said."""
        said = ", ".join(filter(None, (self.page_result.opening(self), self.page_result.sum_up(self))))
        return f"{self.title}: {said}; {counted(self.totals['requests'], 'request')}, {self.duration:.1f} s"

    @property
    def title(self) -> str:
        """Which run it is."""
        return self.name if self.shard is None else f"{self.name}, shard {self.shard}"

    @property
    def complete(self) -> bool:
        stopped_before_pages = self.stopped is not None and not self.pages
        return self.error is None and not stopped_before_pages and all(page.complete for page in self.active_pages)

    @property
    def status(self) -> Status:
        if self.error is not None:
            return Status.FAILED
        statuses = {page.status for page in self.active_pages} or {Status.INTERRUPTED if self.stopped else Status.OK}
        if Status.INTERRUPTED in statuses:
            return Status.INTERRUPTED
        if statuses == {Status.OK, Status.DIFFERS}:
            return Status.DIFFERS
        return statuses.pop() if len(statuses) == 1 else Status.PARTIAL

    @property
    def exit_code(self) -> ExitCode:
        if self.stopped and self.stopped.exit_code:
            return self.stopped.exit_code
        if self.error is not None:
            return self.error.exit_code
        everywhere = all(page.status in (Status.FAILED, Status.BUSY) for page in self.active_pages)
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
        if any(page.status in (Status.PARTIAL, Status.DIFFERS, Status.FAILED) for page in self.pages):
            return ExitCode.PARTIAL
        # Where a time limit ends a pass, the next one goes on; who failed in this one needs somebody's look.
        if self.page_result.RESUMABLE and any(page.has_problems for page in self.pages):
            return ExitCode.PARTIAL
        idle = not any(page.read or page.complete for page in self.active_pages)
        in_vain = idle or (not self.page_result.RESUMABLE and not self.complete)
        return ExitCode.TRY_LATER if self.stopped and in_vain else ExitCode.OK

    @property
    def next_step(self) -> str:
        """What to do now that it has ended; empty where nothing is to be done."""
        remedies = {page.remedy for page in self.pages if page.remedy}
        return remedies.pop() if len(remedies) == 1 and self.exit_code else self.exit_code.next_step

    @property
    def totals(self) -> dict[str, int]:
        counts = {name: sum(getattr(page, name) or 0 for page in self.pages) for name in self.page_result.COUNTS}
        return {"pages": len(self.pages), **counts, "requests": self.requests_of(None)}

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


def utc_text(seconds: float) -> str:
    """Unix *seconds* as JSON tells them."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _concerns_every_page(error: CustomerSyncError) -> bool:
    return isinstance(error, SettingsError) or (isinstance(error, ServiceError) and error.service != PANCAKE)
