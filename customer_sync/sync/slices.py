"""An incremental's window, oldest customers first, in slices that fit into memory.

Pancake lists the newest first, so a window is read to its end before its oldest customer is known. When too many come
together, the reading is given up and an older slice is taken first: the watermark climbs slice by slice. Slices are
small, so that writing begins soon and the next one is read meanwhile.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from customer_sync.core.customer import Customer, Malformed, Window
from customer_sync.sync.walk import LEAD, Batch, CustomerWalk

LARGEST_SLICE = 2000
_MORE_THAN_ONE = 2
# A slice may have twice as many as it is to have, and two are held: one is written, one is read.
_TOGETHER = 2 * 2


@dataclass(frozen=True, slots=True)
class Slice:
    """The customers of a part of the window, oldest first."""

    customers: list[Customer]
    malformed: list[Malformed]
    skipped: int
    """How many customers later than the whole window were listed."""
    until: int
    """The whole window's end, which comes down as the walks' does."""
    covered_until: int
    """Up to where Pancake has listed customers: what it showed empty does not count as read."""


class Slices:
    """Iterating yields slices that together are the window."""

    def __init__(
        self, walk: Callable[[Window, int], CustomerWalk], window: Window, largest: int = LARGEST_SLICE
    ) -> None:
        """*walk* starts a walk through a window, with a lead in seconds."""
        self._walk = walk
        self._window = window
        self._largest = largest
        self._aim = max(largest // _TOGETHER, 1)
        """How many customers a slice is to have, more or less."""
        self._until = window.until
        self._skipped: int | None = None
        self._honoured = True
        """Whether Pancake keeps to the windows asked; otherwise small ones are no cheaper than large ones."""

    def __iter__(self) -> Iterator[Slice]:
        start, width = self._window.since, self._window.until - self._window.since
        unread = start  # What comes after the newest customer is read again with the next slice: it may be hidden.
        while start <= self._until:
            part = Window(start, min(start + width, self._until) if self._honoured else self._until)
            customers, malformed, cut = self._read(part, unread)
            if cut is not None:
                width = cut - start
                continue
            unread = customers[0].updated_at + 1 if customers else unread
            yield Slice(customers[::-1], malformed, self._skipped or 0, self._until, unread - 1)
            start = part.until + 1
            if len(customers) < self._aim:
                width = 2 * width + 1

    def _read(self, part: Window, since: int) -> tuple[list[Customer], list[Malformed], int | None]:
        """What the window holds from *since* to the end of a part, newest first; where to cut the part, when that is
        too much to be held.
        """
        customers: list[Customer] = []
        malformed: list[Malformed] = []
        cut: int | None = None
        # Only the newest part needs a lead: what an older one does not list is read with the next one.
        lead = LEAD if part.until == self._until else 0
        for number, batch in enumerate(self._walk(Window(since, part.until), lead), start=1):
            customers += batch.customers
            malformed += batch.malformed
            self._honoured = self._honoured and batch.honours_window
            cut = self._cut(part, number, batch, customers)
            if cut is not None:
                break
        self._until = min(self._until, batch.until) if batch.until < part.until else self._until
        self._skipped = batch.skipped if self._skipped is None else self._skipped
        return customers, malformed, cut

    def _cut(self, part: Window, number: int, batch: Batch, customers: list[Customer]) -> int | None:
        if not self._honoured or min(part.until, batch.until) <= part.since:
            return None
        if number == _MORE_THAN_ONE and part == self._window:
            return self._first_cut(batch)
        return _older_half(part, customers[-1].updated_at) if len(customers) > self._largest else None

    def _first_cut(self, batch: Batch) -> int | None:
        """The end of a first slice, from how many customers Pancake counts in the window; None where they are few.

        Only a guess: customers are not spread evenly, and a slice with too many or too few makes the next one better.
        """
        window = self._window
        if batch.total is None or batch.total <= self._largest:
            return None
        before = next(iter(self._walk(Window(window.since, window.since), 0)), None)
        count = batch.total - before.total if before and before.total is not None else 0
        if count <= self._largest:
            return None
        return window.since + (window.until - window.since) * self._aim // count


def _older_half(part: Window, counted_down_to: int) -> int:
    """The end of the older half, below what was counted already where that is possible."""
    middle = (part.since + part.until) // 2
    return min(middle, counted_down_to - 1) if counted_down_to > part.since else middle
