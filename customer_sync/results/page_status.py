"""What `customer-sync status` tells of a page: as numbers, as words, and as a row of a table."""

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from customer_sync.core.clock import ago, local_time, span_in_words
from customer_sync.core.locks import Holder
from customer_sync.results.result import PageResult, PassResult, Status, counted
from customer_sync.results.table import Cell, Column, Table, Tone

_UP_TO_MINUTES = len("2026-01-31 14:00")
_RANKS = {Status.FAILED: 0, Status.OK: 2, Status.OFF: 3}


class Advice(NamedTuple):
    """What is the matter with a page, with several of them, and the command that helps."""

    of_one: str
    of_many: str
    command: str
    otherwise: str = ""


@dataclass
class PageStatus(PageResult):
    """Where one page stands. Times are whole Unix seconds, UTC; None is what nobody could tell."""

    COUNTS = ("pancake", "folkform", "requests")
    IS_REPORT = True
    HAS_PROGRESS = False

    asked_at: float = field(default=0.0, kw_only=True)
    """The present, from which ages count."""
    newest: int | None = None
    """Pancake's time of the newest customer whom FolkForm holds."""
    oldest: int | None = None
    newest_in_pancake: int | None = None
    waiting: int = 0
    """How many of Pancake's are newer than all of FolkForm's, as far as they were read."""
    waiting_since: int | None = None
    """The time of the first of them; None where more of them may not have been read."""
    folkform: int | None = None
    """How many customers FolkForm holds."""
    pancake: int | None = None
    """How many Pancake has."""
    locks: list[Holder] = field(default_factory=list)
    """Who is at work at this page."""

    @property
    def lag(self) -> int | None:
        """Seconds from FolkForm's newest customer to Pancake's newest."""
        if self.newest is None or self.newest_in_pancake is None:
            return None
        return max(self.newest_in_pancake - self.newest, 0)

    @property
    def lacks(self) -> int:
        """How many FolkForm lacks beside those who wait for the next incremental, and the malformed as far as read."""
        return (self.pancake or 0) - (self.folkform or 0) - self.waiting - self.malformed

    @property
    def coverage(self) -> float | None:
        """The share of Pancake's customers that FolkForm holds, never rounded up."""
        if self.folkform is None or not self.pancake:
            return None
        return min(10_000 * self.folkform // self.pancake, 10_000) / 10_000

    @property
    def urgency(self) -> tuple[float, ...]:
        """What pages are sorted by: failed first, then furthest behind, then least covered; last, who is off."""
        behind = math.inf if self._is_empty else self.lag or 0
        return _RANKS.get(self.status, 1), -behind, 1.0 if self.coverage is None else self.coverage

    @property
    def advice(self) -> Advice | None:
        """None when there is nothing to do, or when somebody is at it already."""
        if self.status is not Status.OK or self.locks:
            return None
        this_page = f" --page {self.page.page_id}"
        if_off = "" if self.page.is_sync else this_page
        folkform, pancake = self.folkform or 0, self.pancake or 0
        if self.lacks > 0:
            command = f"customer-sync backfill{if_off}"
            otherwise = "; what that does not bring, customer-sync verify names, with the command that does"
            return Advice("lacks customers", "lack customers", command, otherwise)
        if self._is_empty or self.lag:
            return Advice("is behind", "are behind", f"customer-sync incremental{if_off}")
        if self.pancake is not None and folkform > pancake:
            command = f"customer-sync verify{this_page}"
            return Advice("holds more than Pancake", "hold more than Pancake", command, " tells who")
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
            "remedy": self.advice.command if self.advice else None,
        }

    def words(self) -> list[str]:
        state = self._state()
        times = {"newest": self.newest, "oldest": self.oldest}
        said = [
            f"{state.text} ({state.detail})" if state.detail else state.text,
            *(f"{name} {local_time(time)} ({self._ago(time)})" for name, time in times.items() if time is not None),
            _of_both(self.folkform, self.pancake),
            *(f"at work: {holder}" for holder in self.locks),
        ]
        return [words for words in said if words]

    def cells(self) -> list[Cell]:
        """Its row of the table."""
        page = Cell(self.page.name, self.page.page_id) if self.page.name else Cell(self.page.page_id)
        if self.status is Status.OFF:
            return [page, self._state(), *[Cell("")] * 4]
        times = self._moment(self.newest), self._moment(self.oldest)
        return [page, self._state(), *times, self._covered(), self._at_work()]

    def _state(self) -> Cell:
        text, tone = self._how_far()
        off = "" if self.page.is_sync or self.status is Status.OFF else "switched off"
        return Cell(text, ", ".join(filter(None, (self._waits(), off))), tone)

    def _waits(self) -> str:
        """The lag counts from FolkForm's newest customer, who on a quiet page is old; this tells how long it hurts."""
        if not self.lag:
            return ""
        if self.waiting_since is None:
            return f"{self.waiting:,}+ waiting"
        return f"{self.waiting:,} waiting {span_in_words(max(self.asked_at - self.waiting_since, 0))}"

    def _how_far(self) -> tuple[str, Tone]:
        if self.status is not Status.OK:
            return self.status.value, self.status_cell().tone
        if self._is_empty:
            return "nobody yet", Tone.BAD
        if self.folkform == self.pancake == 0:
            return "no customers", Tone.GOOD
        if self.lag is None:
            return "lag unknown", Tone.DOUBTFUL
        if self.lag:
            return f"{span_in_words(self.lag)} behind", Tone.DOUBTFUL
        return (f"lacks {self.lacks:,}", Tone.DOUBTFUL) if self.lacks > 0 else ("up to date", Tone.GOOD)

    def _moment(self, time: int | None) -> Cell:
        if time is None:
            return Cell("unknown" if self.folkform is None else "none", tone=Tone.QUIET)
        return Cell(_to_the_minute(time), self._ago(time))

    def _ago(self, time: int) -> str:
        return ago(self.asked_at - time)

    def _covered(self) -> Cell:
        counts = " of ".join("?" if count is None else f"{count:,}" for count in (self.folkform, self.pancake))
        if self.folkform is None or not self.pancake:
            return Cell("all" if self.folkform == self.pancake == 0 else "unknown", counts, Tone.QUIET)
        tone = Tone.GOOD if self.folkform >= self.pancake else Tone.DOUBTFUL
        return Cell(_percent(self.folkform, self.pancake), counts, tone, self.coverage)

    def _at_work(self) -> Cell:
        who = [one.command if one.pid is None else f"{one.command} (process {one.pid})" for one in self.locks]
        since = [_to_the_minute(one.since) for one in self.locks if one.since is not None]
        return Cell(", ".join(who), f"since {', '.join(since)}" if since else "")

    @staticmethod
    def opening(result: PassResult[Any]) -> str:
        off = len(result.pages) - len(result.active_pages)
        return PageResult.opening(result) + (f" ({off:,} off)" if off else "")

    @staticmethod
    def sum_up(result: "PassResult[PageStatus]") -> str:
        asked = result.active_pages
        told = [page for page in asked if page.folkform is not None and page.pancake is not None]
        lags = [page.lag for page in asked if page.lag is not None]
        said = []
        if told:
            # One page's surplus must not hide what another one lacks.
            held = sum(min(page.folkform or 0, page.pancake or 0) for page in told)
            said.append(_of_both(held, sum(page.pancake or 0 for page in told)))
        if lags:
            said.append(f"at most {span_in_words(max(lags))} behind" if max(lags) else "up to date")
        if len(told) < len(asked):
            said.append(f"{counted(len(asked) - len(told), 'page')} unknown")
        return ", ".join(said) or "nothing to tell"

    @classmethod
    def table(cls, result: "PassResult[PageStatus]") -> Table:
        titles = ["Page", "State", "FolkForm's newest", "FolkForm's oldest", "In FolkForm", "At work"]
        rows = [page.cells() for page in result.pages]
        if not any(page.locks for page in result.pages):
            titles, rows = titles[:-1], [row[:-1] for row in rows]
        title = f"customer-sync {result.name}, {local_time(result.started_at)}"
        return Table(title, [Column(title) for title in titles], rows)

    @staticmethod
    def next_steps(result: "PassResult[PageStatus]") -> list[str]:
        advised = Counter(page.advice for page in result.pages if page.advice)
        return [
            f"{counted(pages, 'page')} {advice.of_one if pages == 1 else advice.of_many}: "
            f"{advice.command}{advice.otherwise}"
            for advice, pages in advised.items()
        ]


def _to_the_minute(time: int) -> str:
    return local_time(time)[:_UP_TO_MINUTES]


def _percent(part: int, whole: int) -> str:
    return f"{100 * part // whole} %"


def _of_both(folkform: int | None, pancake: int | None) -> str:
    """How many of Pancake's customers FolkForm holds; nothing where that is not known."""
    if folkform is None:
        return ""
    if pancake is None:
        return f"{counted(folkform, 'customer')} in FolkForm, Pancake's number unknown"
    if folkform > pancake:
        return f"{counted(folkform, 'customer')} in FolkForm, {pancake:,} in Pancake"
    share = f" ({_percent(folkform, pancake)})" if pancake else ""
    return f"{folkform:,} of {counted(pancake, 'customer')} in FolkForm{share}"
