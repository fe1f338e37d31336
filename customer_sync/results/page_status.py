"""The state of one page, as `customer-sync status` shows it: numbers, words, a row of a table."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from customer_sync.core.clock import ago, local_time, span_in_words
from customer_sync.core.command_line import command
from customer_sync.core.locks import Holder
from customer_sync.results.page_result import PageResult, Status, counted
from customer_sync.results.table import BAD, DOUBTFUL, GOOD, QUIET, Cell

_UP_TO_MINUTES = len("2026-01-31 14:00")
_RANKS = {Status.FAILED: 0, Status.OK: 2, Status.OFF: 3}
_MISSING = "with missing customers: run {}; if some are still missing afterwards, run {}"
_BEHIND = "behind: run {}"
_EXTRA = "with more customers in FolkForm than in Pancake: run {} to list them"


@dataclass
class PageStatus(PageResult):
    """The state of one page. Times are whole Unix seconds, UTC; None is unknown."""

    COUNTS = ("pancake", "folkform", "requests")
    IS_REPORT = True
    HAS_PROGRESS = False

    asked_at: float = field(default=0.0, kw_only=True)
    """The present, from which ages count."""
    newest: int | None = None
    """Pancake's time of the newest customer in FolkForm."""
    oldest: int | None = None
    newest_in_pancake: int | None = None
    waiting: int = 0
    """How many customers read from Pancake are newer than all of FolkForm's."""
    waiting_since: int | None = None
    """The time of the first of them; None if more of them may not have been read."""
    folkform: int | None = None
    """How many customers FolkForm holds."""
    pancake: int | None = None
    """How many customers Pancake has."""
    locks: list[Holder] = field(default_factory=list)
    """The runs that work on this page."""

    @property
    def lag(self) -> int | None:
        """Seconds from FolkForm's newest customer to Pancake's newest."""
        if self.newest is None or self.newest_in_pancake is None:
            return None
        return max(self.newest_in_pancake - self.newest, 0)

    @property
    def missing(self) -> int:
        """How many customers FolkForm lacks that the next incremental does not copy; malformed ones do not count."""
        return (self.pancake or 0) - (self.folkform or 0) - self.waiting - self.malformed

    @property
    def coverage(self) -> float | None:
        """The share of Pancake's customers that FolkForm holds, never rounded up."""
        if self.folkform is None or not self.pancake:
            return None
        return min(10_000 * self.folkform // self.pancake, 10_000) / 10_000

    @property
    def urgency(self) -> tuple[float, ...]:
        """Failed pages first, then the furthest behind, then the least covered; switched off pages last."""
        behind = math.inf if self._is_empty else self.lag or 0
        return _RANKS.get(self.status, 1), -behind, 1.0 if self.coverage is None else self.coverage

    @property
    def advice(self) -> tuple[str, str] | None:
        """The state of the page and the command that helps; None if there is nothing to do, or a run does it."""
        if self.status is not Status.OK or self.locks:
            return None
        this_page = "--page", self.page.page_id
        if_off = () if self.page.is_sync else this_page
        if self.missing > 0:
            return _MISSING, command("backfill", *if_off)
        if self._is_empty or self.lag:
            return _BEHIND, command("incremental", *if_off)
        if self.pancake is not None and (self.folkform or 0) > self.pancake:
            return _EXTRA, command("verify", *this_page)
        return None

    @property
    def _is_empty(self) -> bool:
        return self.folkform == 0 and self.pancake != 0

    def details(self) -> dict[str, Any]:
        return {
            "name": self.page.name,
            "on": self.page.is_sync,
            "newest": self.newest,
            "oldest": self.oldest,
            "lag_s": self.lag,
            "waiting": self.waiting,
            "waiting_since": self.waiting_since,
            "coverage": self.coverage,
            "locks": [{"pass": one.command, "pid": one.pid, "since": one.since} for one in self.locks],
            "remedy": self.advice[1] if self.advice else None,
        }

    def words(self) -> list[str]:
        times = {"newest": self.newest, "oldest": self.oldest}
        return [
            str(self._state()),
            *(f"{name} {local_time(time)} ({self._ago(time)})" for name, time in times.items() if time is not None),
            *([] if self.folkform is None else [f"in FolkForm {_covered(self.folkform, self.pancake)}"]),
            *(f"locked by {holder}" for holder in self.locks),
        ]

    @classmethod
    def sum_up(cls, pages: Sequence[Self], totals: Mapping[str, int]) -> str:  # noqa: ARG003
        asked = [page for page in pages if page.status is not Status.OFF]
        known = [page for page in asked if page.folkform is not None and page.pancake is not None]
        lags = [page.lag for page in asked if page.lag is not None]
        # One page's surplus must not hide what another page lacks.
        held = sum(min(page.folkform or 0, page.pancake or 0) for page in known)
        parts = [f"in FolkForm {_covered(held, sum(page.pancake or 0 for page in known))}"] if known else []
        if lags:
            parts.append(f"at most {span_in_words(max(lags))} behind" if max(lags) else "up to date")
        if len(known) < len(asked):
            parts.append(f"{counted(len(asked) - len(known), 'page')} unknown")
        return ", ".join(parts) or "nothing to report"

    @classmethod
    def next_steps(cls, pages: Sequence[Self]) -> list[str]:
        advised = Counter(page.advice for page in pages if page.advice)
        verify = command("verify")
        return [f"{counted(n, 'page')} {state.format(remedy, verify)}" for (state, remedy), n in advised.items()]

    @classmethod
    def table(cls, pages: Sequence[Self]) -> tuple[list[str], list[list[Cell]]]:
        titles = ["Page", "State", "FolkForm's newest", "FolkForm's oldest", "In FolkForm", "Locked by"]
        shown = len(titles) if any(page.locks for page in pages) else len(titles) - 1
        return titles[:shown], [page.cells()[:shown] for page in pages]

    def cells(self) -> list[Cell]:
        page = Cell(self.page.name, self.page.page_id) if self.page.name else Cell(self.page.page_id)
        if self.status is Status.OFF:
            return [page, self._state(), *[Cell("")] * 4]
        times = self._moment(self.newest), self._moment(self.oldest)
        locks = Cell(", ".join(map(str, self.locks)))
        return [page, self._state(), *times, _covered(self.folkform, self.pancake), locks]

    def _state(self) -> Cell:
        text, style = self._how_far()
        off = "" if self.page.is_sync or self.status is Status.OFF else "switched off"
        return Cell(text, ", ".join(filter(None, (self._waits(), off))), style)

    def _waits(self) -> str:
        """On a quiet page the lag is long after one change; this shows how long that change has been waiting."""
        if not self.lag:
            return ""
        if self.waiting_since is None:
            return f"{self.waiting:,}+ waiting"
        return f"{self.waiting:,} waiting {span_in_words(max(self.asked_at - self.waiting_since, 0))}"

    def _how_far(self) -> tuple[str, str]:
        if self.status is not Status.OK:
            return self.status.value, self.status_cell().style
        if self._is_empty:
            return "empty", BAD
        if self.folkform == self.pancake == 0:
            return "no customers", GOOD
        if self.lag is None:
            return "lag unknown", DOUBTFUL
        if self.lag:
            return f"{span_in_words(self.lag)} behind", DOUBTFUL
        return (f"{self.missing:,} missing", DOUBTFUL) if self.missing > 0 else ("up to date", GOOD)

    def _moment(self, time: int | None) -> Cell:
        if time is None:
            return Cell("unknown" if self.folkform is None else "none", style=QUIET)
        return Cell(local_time(time)[:_UP_TO_MINUTES], self._ago(time))

    def _ago(self, time: int) -> str:
        return ago(self.asked_at - time)


def _covered(folkform: int | None, pancake: int | None) -> Cell:
    """How many of Pancake's customers FolkForm holds."""
    counts = " of ".join("?" if count is None else f"{count:,}" for count in (folkform, pancake))
    if folkform is None or not pancake:
        return Cell("all" if folkform == pancake == 0 else "unknown", counts, QUIET)
    return Cell(f"{100 * folkform // pancake} %", counts, GOOD if folkform >= pancake else DOUBTFUL)
