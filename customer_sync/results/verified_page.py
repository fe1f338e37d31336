"""How the two sides of one page compare, by version (`verify`) or by count (`verify --quick`)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from customer_sync.results.page_result import PageResult, Status, counted
from customer_sync.results.problems import Problem

_IN_PANCAKE = ("in_order", "missing", "stale", "malformed", "changed")
_IN_FOLKFORM = ("in_order", "stale", "extra", "duplicate", "malformed_in_folkform", "changed_in_folkform")
_REMEDY = "to copy the missing and stale customers; it gives the reason for each that FolkForm refuses"


@dataclass
class VerifiedPage(PageResult):
    """How the versions of the two sides of one page compare."""

    COUNTS = ("pancake", "folkform", *dict.fromkeys((*_IN_PANCAKE, *_IN_FOLKFORM)), "requests")
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
    malformed_in_folkform: int = 0
    """How many records FolkForm holds of customers that are malformed in Pancake."""
    changed: int = 0
    """How many customers of Pancake's list were not judged, since they changed during the comparison."""
    unlisted: int = 0
    """How many customers Pancake counts and does not list."""

    @property
    def pancake(self) -> int:
        """How many customers Pancake lists."""
        return self.read

    @property
    def in_order(self) -> int:
        """How many customers of Pancake's list FolkForm holds at the same version; 0 until all are compared."""
        rest = self.missing + self.stale + self.malformed + self.changed
        return self.read - rest if self.complete else 0

    @property
    def changed_in_folkform(self) -> int:
        """How many records FolkForm holds that were not judged: of customers that changed during the comparison."""
        judged = self.in_order + self.stale + self.extra + self.duplicate + self.malformed_in_folkform
        return max(self.folkform - judged, 0)

    @property
    def has_problems(self) -> bool:
        extra = 0 if self.allow_extra else self.extra
        return any((self.missing, self.stale, self.duplicate, self.unlisted, extra))

    def add(self, problem: Problem) -> None:
        """*problem* is missing, stale, extra or duplicate."""
        setattr(self, problem.problem, getattr(self, problem.problem) + 1)
        self.problems.append(problem)

    def words(self) -> list[str]:
        return _sums([self]) if self.complete else ["not fully compared"]

    @classmethod
    def sum_up(cls, pages: Sequence[Self], totals: Mapping[str, int]) -> str:  # noqa: ARG003
        compared = [page for page in pages if page.complete]
        unfinished = len(pages) - len(compared)
        more = [f"{counted(unfinished, 'page')} not fully compared"] if unfinished else []
        return ", ".join([*(_sums(compared) if compared or not unfinished else []), *more])

    @classmethod
    def next_steps(cls, pages: Sequence[Self]) -> list[str]:
        remedies = Counter(page.remedy for page in pages if page.remedy)
        return [f"{counted(n, 'page')}: run {remedy} {_REMEDY}" for remedy, n in remedies.items()]

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


def _sums(pages: Sequence[VerifiedPage]) -> list[str]:
    """What the customers of both sides consist of, and how many of Pancake's are left out."""
    unlisted = sum(page.unlisted for page in pages)
    sums = [_sum(pages, "pancake", "Pancake", _IN_PANCAKE), _sum(pages, "folkform", "FolkForm", _IN_FOLKFORM)]
    return [*sums, *([f"{unlisted:,} not listed by Pancake"] if unlisted else [])]


def _sum(pages: Sequence[VerifiedPage], whole: str, side: str, parts: Sequence[str]) -> str:
    counts = {name: sum(getattr(page, name) for page in pages) for name in (whole, *parts)}
    shown = (
        f"{counts[name]:,} {name.removesuffix('_in_folkform').replace('_', ' ')}"
        for name in parts
        if counts[name] or name == "in_order"
    )
    return f"{counts[whole]:,} in {side} = {' + '.join(shown)}"
