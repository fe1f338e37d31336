"""How the two sides of one page compare, by version (`verify`) or by count (`verify --quick`)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from customer_sync.results.page_result import PageResult, Status, counted
from customer_sync.results.problems import Problem

_STATES = ("missing", "stale", "extra", "duplicate", "malformed")


@dataclass
class VerifiedPage(PageResult):
    """How the versions of the two sides of one page compare."""

    COUNTS = ("pancake", "folkform", "missing", "stale", "extra", "duplicate", "malformed", "requests")
    PROBLEM_STATUS = Status.DIFFERS

    allow_extra: bool = field(default=False, kw_only=True)
    """Whether extra customers are no problem."""
    folkform: int = 0
    """How many customers FolkForm holds."""
    missing: int = 0
    """In Pancake only."""
    stale: int = 0
    """On both sides, at different versions."""
    extra: int = 0
    """In FolkForm only."""
    duplicate: int = 0
    """Second records of a customer in FolkForm."""
    unlisted: int = 0
    """How many customers Pancake counts and does not list."""

    @property
    def pancake(self) -> int:
        """How many customers Pancake lists."""
        return self.read

    @property
    def has_problems(self) -> bool:
        extra = 0 if self.allow_extra else self.extra
        return any((self.missing, self.stale, self.duplicate, self.unlisted, extra))

    def add(self, problem: Problem) -> None:
        """*problem* is missing, stale, extra or duplicate."""
        setattr(self, problem.problem, getattr(self, problem.problem) + 1)
        self.problems.append(problem)

    def words(self) -> list[str]:
        if not self.complete:
            return ["not fully compared"]
        return [_both_sides(self.pancake, self.folkform), *_states(vars(self))]

    @classmethod
    def sum_up(cls, pages: Sequence[Self], totals: Mapping[str, int]) -> str:
        unfinished = sum(not page.complete for page in pages)
        more = [f"{counted(unfinished, 'page')} not fully compared"] if unfinished else []
        return f"{_both_sides(totals['pancake'], totals['folkform'])}: {', '.join([*_states(totals), *more])}"

    def details(self) -> dict[str, Any]:
        return {"remedy": self.remedy}


@dataclass
class CountedPage(PageResult):
    """How many customers the two sides of one page count."""

    COUNTS = ("pancake", "folkform", "requests")
    PROBLEM_STATUS = Status.DIFFERS

    allow_extra: bool = field(default=False, kw_only=True)
    """Whether a higher count in FolkForm is no problem."""
    pancake: int = 0
    folkform: int = 0

    @property
    def has_problems(self) -> bool:
        return self.folkform < self.pancake if self.allow_extra else self.folkform != self.pancake

    def words(self) -> list[str]:
        return [_both_sides(self.pancake, self.folkform)]

    @classmethod
    def sum_up(cls, pages: Sequence[Self], totals: Mapping[str, int]) -> str:
        agree = "agree" if all(page.pancake == page.folkform for page in pages) else "differ"
        return f"{_both_sides(totals['pancake'], totals['folkform'])}: counts {agree}, versions not compared"


def _both_sides(pancake: int, folkform: int) -> str:
    return f"{pancake:,} in Pancake, {folkform:,} in FolkForm"


def _states(counts: Mapping[str, int]) -> list[str]:
    """Duplicates are rare, and named only if there are some."""
    return [f"{counts[name]:,} {name}" for name in _STATES if counts[name] or name != "duplicate"]
