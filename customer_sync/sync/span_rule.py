"""The SPAN rule: which upsert may start, so that a killed pass leaves no hole beyond FolkForm's watermark.

No upsert starts while a third of SPAN customers or more would be stored beyond the first unfinished one: documents of
the watermark's answer, plus upserts started beyond it. The first unfinished one may always start. "Beyond" is later for
an incremental, which writes the oldest first, and earlier for a backfill, which writes the newest first. Killed at any
moment, even three passes at once that share no lock, fewer than SPAN customers are stored beyond a missing one, so the
SPAN-th newest (oldest) customer, from which the next pass starts, is never beyond a hole.
"""

from bisect import bisect_right, insort
from collections.abc import Iterable

# So many passes may share no lock, and be killed together.
_SIDE_BY_SIDE = 3


class SpanRule:
    """Places are times in the order of the pass: an upsert at a greater place is beyond one at a smaller place."""

    def __init__(self, span: int, stored: Iterable[int], bound_from: int | None = None) -> None:
        """*stored* are the places of the watermark's answer. A place before *bound_from* moves no watermark, and the
        rule does not bind it; None binds all.
        """
        self._max_ahead = max_ahead(span)
        self._stored = sorted(stored)
        self._bound_from = bound_from
        self._started: list[int] = []
        self._unfinished: list[int] = []

    def may_start(self, place: int) -> bool:
        """Whether the upsert at this place may start; it is not before any that has started."""
        if not self._unfinished or place <= self._unfinished[0]:
            return True
        first = self._unfinished[0]
        beyond = sum(len(places) - bisect_right(places, first) for places in (self._stored, self._started))
        return beyond + 1 < self._max_ahead

    def start(self, place: int) -> None:
        """The upsert at this place starts; it is unfinished until `finish`."""
        if self._binds(place):
            insort(self._started, place)
            insort(self._unfinished, place)

    def finish(self, place: int) -> None:
        """The customer was written, or has failed."""
        if self._binds(place):
            self._unfinished.remove(place)
            del self._started[: bisect_right(self._started, self._unfinished[0] if self._unfinished else place)]

    def _binds(self, place: int) -> bool:
        return self._bound_from is None or place >= self._bound_from


def max_ahead(span: int) -> int:
    """How many customers may be stored beyond an unfinished one, by one pass."""
    return -(-span // _SIDE_BY_SIDE)
