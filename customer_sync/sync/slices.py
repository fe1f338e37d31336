"""An incremental's window, oldest customers first, in pieces that fit into memory.

Pancake lists the newest first, so a window is read to its end before its oldest customer is known. When too many come
together, the reading is given up and an older piece is taken first: the mark climbs piece by piece. Slices are small,
so that writing begins soon and the next one is read meanwhile.
"""

from collections.abc import Callable, Iterator

from customer_sync.core.customer import Customer, Malformed, Window
from customer_sync.core.errors import Unreachable
from customer_sync.services.pancake import SERVICE
from customer_sync.sync.walk import CustomerWalk

LARGEST_SLICE = 2000
_MORE_THAN_ONE = 2
# A piece may have twice as many as it is to have, and three are held: one written, one waiting, one being read.
_TOGETHER = 2 * 3


class Slices:
    """Iterating yields lists of customers, oldest first, that together are the window."""

    def __init__(self, walk: Callable[[Window], CustomerWalk], window: Window, largest: int = LARGEST_SLICE) -> None:
        """*walk* starts a walk through a window."""
        self.until = window.until
        """Comes down as the walks' does."""
        self.covered_until = window.since - 1
        """Up to where Pancake has listed anybody: what it showed empty is not taken for read."""
        self.skipped = 0
        """How many customers were later than the window."""
        self._walk = walk
        self._window = window
        self._largest = largest
        self._aim = max(largest // _TOGETHER, 1)
        """How many customers a piece is to have, more or less."""
        self._honoured = True
        """Whether Pancake keeps to the windows asked; otherwise small ones are no cheaper than large ones."""
        self._nobody_until = -1
        """Up to which second Pancake has listed nobody at all."""
        self._read_before = False
        self._malformed: dict[str, Malformed] = {}

    @property
    def malformed(self) -> list[Malformed]:
        """Who cannot be synced, each once."""
        return list(self._malformed.values())

    def __iter__(self) -> Iterator[list[Customer]]:
        since, width = self._window.since, self._window.until - self._window.since
        while since <= self.until:
            piece = Window(since, min(since + width, self.until) if self._honoured else self.until)
            customers, cut = self._read(piece)
            if cut is not None:
                width = cut - since
                continue
            if self._nobody_until < piece.until:
                self.covered_until = min(piece.until, self.until)
            yield customers
            since = piece.until + 1
            if len(customers) < self._aim:
                width = 2 * width + 1

    def _read(self, piece: Window) -> tuple[list[Customer], int | None]:
        """The customers of a piece; or where to cut it, when they are too many to be held."""
        walk = self._walk(piece)
        customers: list[Customer] = []
        cut: int | None = None
        for number, batch in enumerate(walk, start=1):
            customers += batch
            self._honoured = self._honoured and not walk.ignores_window
            if not self._honoured or piece.since == piece.until:
                continue
            if number == _MORE_THAN_ONE and piece == self._window:
                cut = self._first_cut(walk)
            elif len(customers) > self._largest:
                cut = _older_half(piece, customers[-1].updated_at)
            if cut is not None:
                break
        self._refuse_holes(walk, piece)
        self._note(walk, piece)
        return customers[::-1], cut

    def _refuse_holes(self, walk: CustomerWalk, piece: Window) -> None:
        """Raises Unreachable when somebody stands where an older piece found nobody: she would be passed by."""
        if walk.lists_nobody:
            self._nobody_until = piece.until
        elif walk.lowest is not None and walk.lowest <= self._nobody_until:
            raise Unreachable(SERVICE, "listed nobody where it lists somebody now")

    def _first_cut(self, walk: CustomerWalk) -> int | None:
        """The end of a first piece, from how many customers Pancake counts in the window; None where they are few.

        Only a guess: customers are not spread evenly, and who is too many or too few makes the next one better.
        """
        window = self._window
        if walk.total is None or walk.total <= self._largest:
            return None
        before = self._walk(Window(window.since, window.since))
        next(iter(before), None)
        count = 0 if before.total is None else walk.total - before.total
        if count <= self._largest:
            return None
        return window.since + (window.until - window.since) * self._aim // count

    def _note(self, walk: CustomerWalk, piece: Window) -> None:
        self._malformed |= {malformed.identity: malformed for malformed in walk.malformed}
        if walk.until < piece.until:
            self.until = min(self.until, walk.until)
        if not self._read_before:
            self._read_before, self.skipped = True, walk.skipped


def _older_half(piece: Window, counted_down_to: int) -> int:
    """The end of the older half, below whoever was counted already where that is possible."""
    middle = (piece.since + piece.until) // 2
    return min(middle, counted_down_to - 1) if counted_down_to > piece.since else middle
