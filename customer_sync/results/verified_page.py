"""What `customer-sync verify` tells of a page: how its two sides compare, by version or by count."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from customer_sync.results.result import PageResult, PassResult, Problem, Status, counted

_STATES = ("missing", "stale", "extra", "duplicate", "malformed")


@dataclass
class VerifiedPage(PageResult):
    """How the two sides of one page compare."""

    COUNTS = ("pancake", "folkform", "missing", "stale", "extra", "duplicate", "malformed", "requests")
    PROBLEM_STATUS = Status.DIFFERS

    allow_extra: bool = field(default=False, kw_only=True)
    """Whether whom FolkForm alone holds is no trouble."""
    folkform: int = 0
    """How many customers FolkForm holds."""
    counted_in_folkform: int = 0
    """How many it counted before the comparison."""
    missing: int = 0
    """In Pancake only."""
    stale: int = 0
    """In both, at different versions."""
    extra: int = 0
    """In FolkForm only."""
    duplicate: int = 0
    """Second records of a customer in FolkForm."""
    unlisted: int = 0
    """Whom Pancake counts and does not list, so that nobody can compare them."""

    @property
    def pancake(self) -> int:
        """How many customers Pancake lists."""
        return self.read

    @property
    def has_problems(self) -> bool:
        return bool(
            self.missing or self.stale or self.duplicate or self.unlisted or (self.extra and not self.allow_extra)
        )

    def add(self, problem: Problem) -> None:
        """*problem* is missing, stale, extra or duplicate."""
        setattr(self, problem.problem, getattr(self, problem.problem) + 1)
        self.problems.append(problem)

    def words(self) -> list[str]:
        if not self.complete:
            return ["not compared to its end"]
        return [_both_sides(self.pancake, self.folkform), *_findings(vars(self))]

    @staticmethod
    def sum_up(result: PassResult[Any]) -> str:
        totals = result.totals
        unfinished = sum(not page.complete for page in result.pages)
        more = [f"{counted(unfinished, 'page')} not compared to the end"] if unfinished else []
        return f"{_both_sides(totals['pancake'], totals['folkform'])}: {', '.join([*_findings(totals), *more])}"

    def details(self) -> dict[str, Any]:
        return {"remedy": self.remedy}


@dataclass
class CountedPage(PageResult):
    """How many customers the two sides of one page count."""

    COUNTS = ("pancake", "folkform", "requests")
    PROBLEM_STATUS = Status.DIFFERS

    allow_extra: bool = field(default=False, kw_only=True)
    """Whether it is no trouble that FolkForm holds more."""
    pancake: int = 0
    folkform: int = 0

    @property
    def has_problems(self) -> bool:
        return self.folkform < self.pancake if self.allow_extra else self.folkform != self.pancake

    def words(self) -> list[str]:
        return [_both_sides(self.pancake, self.folkform)]

    @staticmethod
    def sum_up(result: PassResult[Any]) -> str:
        totals = result.totals
        agree = "agree" if all(page.pancake == page.folkform for page in result.pages) else "differ"
        return f"{_both_sides(totals['pancake'], totals['folkform'])}: counts {agree}, versions not compared"


def _both_sides(pancake: int, folkform: int) -> str:
    return f"{pancake:,} in Pancake, {folkform:,} in FolkForm"


def _findings(counts: Mapping[str, int]) -> list[str]:
    """What was found; duplicates are rare and named only where there are some."""
    named = [name for name in _STATES if counts[name] or name != "duplicate"]
    return [f"{counts[name]:,} {name}" for name in named]
