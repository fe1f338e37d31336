"""What a command did with one page: how it ended, what it counted, which customers have a problem."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Self

from customer_sync.core.customer import Customer, Malformed, second_record
from customer_sync.core.errors import CustomerSyncError, StopRequested
from customer_sync.core.page import Page
from customer_sync.results.problems import FAILED, Problem, Problems
from customer_sync.results.table import BAD, DOUBTFUL, GOOD, QUIET, Cell

_MAX_LISTED = 20


class Status(StrEnum):
    """How a page, or a run, ended."""

    OK = "ok"
    PARTIAL = "partial"
    """Some customers failed; of a run: its pages ended in different ways."""
    DIFFERS = "differs"
    """The two sides differ."""
    FAILED = "failed"
    BUSY = "busy"
    """The page is locked by another run."""
    INTERRUPTED = "interrupted"
    STOPPED = "stopped"
    """The time limit was reached."""
    OFF = "off"
    """The page is switched off (isSync): nothing was done."""

    @property
    def shown(self) -> str:
        """The status in tables and sentences."""
        return {Status.BUSY: "locked", Status.STOPPED: "time limit reached"}.get(self, self.value)


_STYLES = {Status.OK: GOOD, Status.FAILED: BAD, Status.OFF: QUIET}
_TITLES = {"folkform": "FolkForm"}
_NOT_IN_TABLES = ("skipped", "in_order", "malformed_in_folkform", "waiting_in_folkform", "changed_in_folkform")


@dataclass
class PageResult:
    """What a run did with one page."""

    COUNTS: ClassVar[tuple[str, ...]] = ("requests",)
    """The fields that are counts, in the order of output."""
    PROBLEM_STATUS: ClassVar[Status] = Status.PARTIAL
    """The status of a page that came to its end with problems."""
    IS_REPORT: ClassVar[bool] = False
    """Whether the lines about each page are the command's result, not only its progress."""
    RESUMABLE: ClassVar[bool] = False
    """Whether the next run continues after a time limit; if not, a part of the result is worth nothing."""
    SHOWS_STATUS: ClassVar[bool] = True
    """Whether the summary begins with the status and the number of pages."""
    HAS_PROGRESS: ClassVar[bool] = True
    """Whether *read* of *expected* shows the progress of a page."""

    page: Page
    status: Status = Status.INTERRUPTED
    complete: bool = False
    read: int = 0
    """How many customers of Pancake were read, malformed ones included."""
    expected: int | None = None
    """How many there are to read; None if unknown."""
    malformed: int = 0
    requests: int = 0
    error: CustomerSyncError | None = None
    stopped: StopRequested | None = None
    remedy: str | None = None
    """The command that repairs what was found, if there is one."""
    warnings: list[str] = field(default_factory=list)
    problems: Problems = field(default_factory=Problems)

    @property
    def has_problems(self) -> bool:
        """Whether the exit code must report this page."""
        return False

    @property
    def has_result(self) -> bool:
        """Whether a run that a time limit ended has done something for this page."""
        return self.complete or self.read > 0

    @property
    def urgency(self) -> tuple[float, ...]:
        """The sort key of the pages of a result; the smallest comes first."""
        return ()

    def words(self) -> list[str]:
        """The counts as short phrases."""
        return []

    def lines(self) -> list[str]:
        """The result of the page as plain lines."""
        return [f"{self.page.title}: {', '.join(self.words())}"]

    @classmethod
    def sum_up(cls, pages: Sequence[Self], totals: Mapping[str, int]) -> str:
        """All pages in one phrase of the summary."""
        raise NotImplementedError

    @classmethod
    def next_steps(cls, pages: Sequence[Self]) -> list[str]:  # noqa: ARG003
        """What to do now, as lines above the summary."""
        return []

    @classmethod
    def table(cls, pages: Sequence[Self]) -> tuple[list[str], list[list[Cell]]]:
        """Titles and rows of a table of all pages."""
        names = [name for name in cls.COUNTS if name not in _NOT_IN_TABLES]
        titles = [_TITLES.get(name, name.capitalize()) for name in names]
        cells = [[Cell(f"{getattr(page, name):,}") for name in names] for page in pages]
        rows = [[page.name_cell(), page.status_cell(), *counts] for page, counts in zip(pages, cells, strict=True)]
        return ["Page", "Status", *titles], rows

    def name_cell(self) -> Cell:
        return Cell(self.page.name, self.page.page_id) if self.page.name else Cell(self.page.page_id)

    def status_cell(self) -> Cell:
        return Cell(self.status.shown, style=_STYLES.get(self.status, DOUBTFUL))

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
            "customers": (problem.as_json(self.page.page_id, self.remedy) for problem in self.problems),
        }

    def details(self) -> dict[str, Any]:
        """What `--json` has of the page beside its counts."""
        return {}


@dataclass
class SyncedPage(PageResult):
    """What a pass did with one page. Times are whole Unix seconds, UTC."""

    COUNTS = ("read", "upserted", "unchanged", "skipped", "failed", "malformed", "requests")
    RESUMABLE = True

    dry_run: bool = field(default=False, kw_only=True)
    """Whether *upserted* counts what an actual run would upsert."""
    since: int | None = None
    until: int | None = None
    upserted: int = 0
    unchanged: int = 0
    skipped: int = 0
    failed: int = 0

    @property
    def has_problems(self) -> bool:
        return self.failed > 0

    @property
    def has_result(self) -> bool:
        return self.complete or self.upserted + self.unchanged > 0

    def add_second_record(self, customer: Customer, newer_id: str | None) -> None:
        """Pancake lists the psid twice, and this record is the older one."""
        self.malformed += 1
        self.problems.append(Problem(customer.psid, customer.pancake_id, "malformed", second_record(newer_id)))

    def add_failed(self, customer: Customer, reason: str, next_step: str = "") -> Problem:
        """*next_step* is what to do before the repair, where more is known than that it failed."""
        self.failed += 1
        problem = Problem(customer.psid, customer.pancake_id, FAILED, reason, next_step)
        self.problems.append(problem)
        return problem

    def words(self) -> list[str]:
        counts = [(self.read, "read"), (self.upserted, _done([self])), (self.unchanged, "unchanged")]
        problems = [(self.failed, "failed"), (self.malformed, "malformed")]
        return [f"{count:,} {name}" for count, name in (*counts, *(one for one in problems if one[0]))]

    @classmethod
    def sum_up(cls, pages: Sequence[Self], totals: Mapping[str, int]) -> str:
        parts = {_done(pages): totals["upserted"]}
        parts |= {name: totals[name] for name in ("unchanged", "failed", "malformed")}
        if (not_reached := totals["read"] - sum(parts.values())) > 0:
            parts["not reached"] = not_reached
        return f"{totals['read']:,} read = " + " + ".join(f"{count:,} {name}" for name, count in parts.items())

    @classmethod
    def table(cls, pages: Sequence[Self]) -> tuple[list[str], list[list[Cell]]]:
        titles, rows = super().table(pages)
        return [_done(pages).capitalize() if title == "Upserted" else title for title in titles], rows

    def details(self) -> dict[str, Any]:
        return {"since": self.since, "until": self.until}


def counted(number: int, noun: str) -> str:
    """`1 page`, `1,200 pages`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def listed(page_ids: Sequence[str]) -> str:
    """The pages that a line is about; no more of them than can be read."""
    more = f" and {len(page_ids) - _MAX_LISTED:,} more (--json lists all)" if len(page_ids) > _MAX_LISTED else ""
    return f"Pages: {', '.join(page_ids[:_MAX_LISTED])}{more}"


def _done(pages: Sequence[SyncedPage]) -> str:
    return "to upsert" if any(page.dry_run for page in pages) else "upserted"
