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
# An incremental every five minutes, some seconds late, and the settle time.
_NORMAL_LAG = 330
_RANKS = {Status.FAILED: 0, Status.OK: 2, Status.OFF: 3}
_MISSING = "with missing customers: run {}; if some are still missing afterwards, run {}"
_BEHIND = "with waiting customers: run {}"
_EXTRA = "with more customers in FolkForm than in Pancake: run {} to list them"


@dataclass
class PageStatus(PageResult):
    """The state of one page. Times are whole Unix seconds, UTC; None is unknown."""

    COUNTS = ("pancake", "folkform", "requests")
    IS_REPORT = True
    HAS_PROGRESS = False

    asked_at: float = field(default=0.0, kw_only=True)
    """The present by Pancake's clock, from which ages count."""
    newest: int | None = None
    """Pancake's time of the newest customer in FolkForm."""
    oldest: int | None = None
    waiting: int | None = None
    """How many customers read from Pancake are newer than all of FolkForm's."""
    waiting_since: int | None = None
    """The time of the oldest of them; None if there is none, or if it may not have been read."""
    folkform: int | None = None
    """How many customers FolkForm holds."""
    pancake: int | None = None
    """How many customers Pancake has."""
    locks: list[Holder] = field(default_factory=list)
    """The runs that work on this page."""

    @property
    def lag(self) -> int | None:
        """For how many seconds the oldest waiting customer has been waiting."""
        if self.waiting == 0:
            return 0
        return None if self.waiting_since is None else max(int(self.asked_at) - self.waiting_since, 0)

    @property
    def missing(self) -> int | None:
        """How many customers FolkForm lacks, at least; those that wait and malformed ones do not count."""
        if self.pancake is None or self.folkform is None:
            return None
        return max(self.pancake - self.folkform - (self.waiting or 0) - self.malformed, 0)

    @property
    def coverage(self) -> float | None:
        """The share of Pancake's customers that FolkForm holds, never rounded up."""
        if self.folkform is None or not self.pancake:
            return None
        return min(10_000 * self.folkform // self.pancake, 10_000) / 10_000

    @property
    def urgency(self) -> tuple[float, ...]:
        """Failed pages first, then the furthest behind, then the least covered; switched off pages last."""
        behind = math.inf if self._is_empty or self._is_long_list else self.lag or 0
        coverage = 1.0 if self.coverage is None or not self.missing else self.coverage
        return _RANKS.get(self.status, 1), -behind if behind > _NORMAL_LAG else 0, coverage, -behind

    @property
    def advice(self) -> tuple[str, str] | None:
        """The state of the page and the command that helps; None if there is nothing to do, or a run does it."""
        if self.status is not Status.OK or self.locks:
            return None
        this_page = "--page", self.page.page_id
        if_off = () if self.page.is_sync else this_page
        if self.missing or self._is_empty:
            return _MISSING, command("backfill", *if_off)
        # The next scheduled incremental copies what has not been waiting for long.
        if self._is_behind or (self.waiting and not self.page.is_sync):
            return _BEHIND, command("incremental", *if_off)
        if self.pancake is not None and (self.folkform or 0) > self.pancake:
            return _EXTRA, command("verify", *this_page)
        return None

    @property
    def _is_empty(self) -> bool:
        return self.folkform == 0 and self.pancake != 0

    @property
    def _is_long_list(self) -> bool:
        """Whether more customers wait than were read."""
        return bool(self.waiting) and self.waiting_since is None

    @property
    def _is_behind(self) -> bool:
        return self._is_long_list or (self.lag or 0) > _NORMAL_LAG

    @property
    def is_unknown(self) -> bool:
        """Whether it cannot be known whether customers are missing or waiting."""
        return self.missing is None or (self.waiting is None and not self._is_empty)

    def details(self) -> dict[str, Any]:
        return {
            "name": self.page.name,
            "on": self.page.is_sync,
            "newest": self.newest,
            "oldest": self.oldest,
            "lag_s": self.lag,
            "waiting": self.waiting,
            "waiting_since": self.waiting_since,
            "missing": self.missing,
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
        known = [page for page in asked if page.missing is not None]
        waiting = [page for page in asked if page.waiting]
        missing = sum(page.missing or 0 for page in known)
        unknown = sum(page.is_unknown for page in asked)
        # One page's surplus must not hide what another page lacks.
        held = sum(min(page.folkform or 0, page.pancake or 0) for page in known)
        parts = [f"in FolkForm {_covered(held, sum(page.pancake or 0 for page in known))}"] if known else []
        if missing:
            parts.append(f"{missing:,} missing")
        if waiting:
            parts.append(_waiting_customers(sum(page.waiting or 0 for page in waiting), [one.lag for one in waiting]))
        if unknown:
            parts.append(f"{counted(unknown, 'page')} unknown")
        if asked and not (missing or waiting or unknown):
            parts.append("counts agree")
        return ", ".join(parts) or "nothing to report"

    @classmethod
    def next_steps(cls, pages: Sequence[Self]) -> list[str]:
        advised = Counter(page.advice for page in pages if page.advice)
        verify = command("verify")
        return [f"{counted(n, 'page')} {state.format(remedy, verify)}" for (state, remedy), n in advised.items()]

    @classmethod
    def table(cls, pages: Sequence[Self]) -> tuple[list[str], list[list[Cell]]]:
        return ["Page", "State", "Newest", "Oldest", "In FolkForm"], [page.cells() for page in pages]

    def cells(self) -> list[Cell]:
        if self.status is Status.OFF:
            return [self.name_cell(), self._state(), *[Cell("")] * 3]
        times = self._moment(self.newest), self._moment(self.oldest)
        return [self.name_cell(), self._state(*self._locks()), *times, _covered(self.folkform, self.pancake)]

    def _locks(self) -> list[str]:
        lines = []
        for holder in self.locks:
            lines.append(f"locked by {holder.command}")
            if holder.pid is not None and holder.since is not None:
                lines.append(f"process {holder.pid}, {span_in_words(max(self.asked_at - holder.since, 0))}")
        return lines

    def _state(self, *more: str) -> Cell:
        text, style = self._what()
        off = "" if self.page.is_sync or self.status is Status.OFF else "switched off"
        return Cell(text, "\n".join(filter(None, (*self._besides(text), off, *more))), style)

    def _what(self) -> tuple[str, str]:
        if self.status is not Status.OK:
            return self.status.shown, self.status_cell().style
        if self._is_empty:
            return "empty", BAD
        if self.folkform == self.pancake == 0:
            return "no customers", GOOD
        if self.missing:
            return f"{self.missing:,} missing", DOUBTFUL
        if self.waiting is None:
            return "lag unknown", DOUBTFUL
        if self.waiting and (self._is_long_list or not self._is_behind):
            return _waiting_customers(self.waiting, [self.lag]), DOUBTFUL if self._is_behind else GOOD
        if self.waiting:
            return f"{span_in_words(self.lag or 0)} behind", DOUBTFUL
        return ("counts agree", GOOD) if self.missing is not None else ("none waiting", QUIET)

    def _besides(self, text: str) -> list[str]:
        """What else explains the counts, where *text* does not say it."""
        waiting = _waiting_customers(self.waiting, [self.lag]) if self.waiting else ""
        beyond = 0 if self.pancake is None else (self.folkform or 0) - self.pancake
        return [
            f"{self.waiting:,} waiting" if text.endswith("behind") else waiting.removeprefix(text),
            f"{self.malformed:,} malformed" if self.malformed else "",
            f"{beyond:,} extra" if beyond > 0 else "",
        ]

    def _moment(self, time: int | None) -> Cell:
        if time is None:
            return Cell("unknown" if self.folkform is None else "none", style=QUIET)
        return Cell(local_time(time)[:_UP_TO_MINUTES], self._ago(time), short=self._ago(time))

    def _ago(self, time: int) -> str:
        return ago(self.asked_at - time)


def _waiting_customers(count: int, lags: Sequence[int | None]) -> str:
    """How many customers wait, and for how long the oldest of them."""
    known = [lag for lag in lags if lag is not None]
    if len(known) < len(lags):
        return f"{count:,}+ waiting"
    return f"{count:,} waiting {'up to ' if len(known) > 1 else ''}{span_in_words(max(known))}"


def _covered(folkform: int | None, pancake: int | None) -> Cell:
    """How many of Pancake's customers FolkForm holds."""
    counts = " of ".join("?" if count is None else f"{count:,}" for count in (folkform, pancake))
    if folkform is None or not pancake:
        return Cell("all" if folkform == pancake == 0 else "unknown", counts, QUIET)
    percent = min(100 * folkform // pancake, 100)
    return Cell(f"{percent} %", counts, GOOD if folkform >= pancake else DOUBTFUL)
