"""The walk through one page's customers in Pancake, newest first, with nobody slipping past.

Pancake's list is live: a customer who changes leaves the window, everybody behind her moves up one place, and the
next page number would skip somebody. Therefore the window's upper edge comes down to what was read last, and page 1
is asked again. Only where one second fills a whole answer do page numbers grow; then that second's pages are read
once more from the last to the first: rows only move up, so whoever slipped past going forward is met going back.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from customer_sync.core.customer import Customer, Key, Malformed, Window, read_customer
from customer_sync.core.errors import ContractBroken, Unreachable
from customer_sync.services.pancake import LARGEST_PAGE_SIZE, SERVICE, CustomerList

# A second that is still running, or whose commits come late, is not read.
SETTLE_SECONDS = 2
MAX_IDENTICAL_BATCHES = 10
MAX_IDENTICAL_BATCHES_WITHOUT_IDS = 1000
EMPTY_BATCH_RETRIES = 3
_LOOKS_ABOVE = 10
_END_OF_TIME = 2**31 - 1


class CustomerSource(Protocol):
    """Lists the customers of one page of Pancake."""

    def get_customers(self, page_number: int, page_size: int, since: int, until: int) -> CustomerList: ...

    @property
    def clock_ahead(self) -> float | None:
        """How far Pancake's clock is ahead of ours, seconds; None while it has not told the time."""
        ...


@dataclass(frozen=True, slots=True)
class _Answer:
    rows: list[Customer | Malformed]
    first: int
    """How many rows of the window stand before this answer's."""
    ends: bool
    """Whether the list ends here."""
    lowest: int | None
    """The second of the last customer with a readable time."""


class CustomerWalk:
    """Iterating yields batches of customers, newest first, with `since <= updated_at <= until`, nobody twice.

    *until* comes down to two seconds before Pancake's own clock as soon as that is known.
    """

    def __init__(
        self, pancake: CustomerSource, page_id: str, window: Window, page_size: int = LARGEST_PAGE_SIZE
    ) -> None:
        self.since = window.since
        self.until = window.until
        self.malformed: list[Malformed] = []
        """Who cannot be synced, each once."""
        self.skipped = 0
        """How many customers were later than the window."""
        self.ignores_window = False
        """Whether Pancake has shown a customer later than asked."""
        self.lists_nobody = False
        """Whether the first answer was an empty one."""
        self.lowest: int | None = None
        """The earliest second that was listed, also below *since*."""
        self.total: int | None = None
        """How many customers there are up to *until*, as Pancake says."""
        self._pancake = pancake
        self._page_id = page_id
        self._page_size = page_size
        self._largest = 1
        """How many rows an answer has brought, so that as many may be asked for."""
        # The next second is asked for: whether 22.7 is inside `until=22` is not documented.
        self._upper = window.until + 1
        self._asked = False
        self._edge: Customer | Malformed | None = None
        """Who was read last when the window came down to her second; she is still in it, unless she has changed."""
        self._last_rows: list[Customer | Malformed] = []
        self._alike = 0
        self._seen: dict[Key, int] = {}
        self._malformed_seen: set[str] = set()

    def __iter__(self) -> Iterator[list[Customer]]:
        while self.since <= self.until:
            answer = self._ask(1)
            if self.ignores_window:
                self.skipped = 0  # The list starts from its top again.
                yield from self._by_page_number(answer)
                return
            if answer.lowest is not None and answer.lowest + 1 < self._upper:
                yield self._fresh(answer.rows)
            else:
                answer = yield from self._through_one_second(answer)
            if self._is_last(answer) or answer.lowest is None:
                return
            self._upper = answer.lowest + 1
            self._edge = next(row for row in reversed(answer.rows) if row.updated_at is not None)
            self._forget_later_than(self._upper)

    def _by_page_number(self, answer: _Answer) -> Iterator[list[Customer]]:
        """The rest where the window is ignored: rows that change move to the top, the others down, nobody slips."""
        latest = self._upper
        while True:
            # Many changes at once push whole answers down into this one; those were handed out already.
            yield [customer for customer in self._fresh(answer.rows) if customer.updated_at <= latest]
            if self._is_last(answer):
                return
            latest = latest if answer.lowest is None else min(latest, answer.lowest)
            if answer.rows and (newest := answer.rows[0].updated_at) is not None:
                self._forget_later_than(newest)
            answer = self._ask(self._next_number(answer))

    def _through_one_second(self, answer: _Answer) -> Generator[list[Customer], None, _Answer]:
        """Forward by page number until the second is left behind, then back. Returns the last answer forward.

        Whoever belongs to an earlier second is handed out only after the way back.
        """
        second = self._upper - 1
        earlier: list[Customer | Malformed] = []
        while True:
            earlier += _before(second, answer.rows)
            yield self._fresh(_from(second, answer.rows))
            if self._is_last(answer) or (answer.lowest is not None and answer.lowest < second):
                break
            answer = self._ask(self._next_number(answer))
        back = answer
        while back.first > 0:
            self._page_size = self._largest  # The last answer may have been a short one.
            back = self._ask(-(-back.first // self._page_size))
            earlier += _before(second, back.rows)
            yield self._fresh(_from(second, back.rows))
        if not self._is_last(answer) and answer.lowest is not None:
            earlier = _from(answer.lowest, earlier)
        yield self._fresh(sorted(earlier, key=lambda row: -(row.updated_at or 0)))
        return answer

    def _is_last(self, answer: _Answer) -> bool:
        """The stop rule: the list ends, or has come below *since*."""
        return answer.ends or (answer.lowest is not None and answer.lowest < self.since)

    def _next_number(self, answer: _Answer) -> int:
        return (answer.first + len(answer.rows)) // self._page_size + 1

    def _ask(self, number: int) -> _Answer:
        size = self._page_size
        listed = self._list(number, size)
        if not self._asked:
            self._first_answer(listed)
        if len(listed.customers) > size:
            raise ContractBroken(SERVICE, f"sent {len(listed.customers)} customers where {size} were asked for")
        rows = [read_customer(data, self._page_id) for data in listed.customers]
        self._refuse_endless(number, rows)
        times = [row.updated_at for row in rows if row.updated_at is not None]
        if any(later > before for before, later in pairwise(times)):
            raise ContractBroken(SERVICE, "did not list the newest customers first")
        if times:
            self.lowest = times[-1] if self.lowest is None else min(self.lowest, times[-1])
            self.ignores_window = self.ignores_window or times[0] > self._upper
        first = (number - 1) * size
        # A short answer ends the list only when the total agrees: the server may have cut page_size.
        ends = not rows or (len(rows) < size and listed.total == first + len(rows))
        if not ends:
            self._page_size = len(rows)
        self._largest = max(self._largest, len(rows))
        return _Answer(rows, first, ends, times[-1] if times else None)

    def _list(self, number: int, size: int) -> CustomerList:
        """One answer. An empty one ends the walk, so it is not believed at once where somebody must be expected."""
        for _ in range(EMPTY_BATCH_RETRIES):
            # `since` is always 0: a window that looks at `inserted_at` would hide old customers who changed.
            listed = self._pancake.get_customers(number, size, 0, self._upper)
            if listed.customers or not self._expects_somebody(number, size, listed.total):
                return listed
        if number == 1 and self._edge is not None:
            self._refuse_forgetting(self._edge)
        return listed

    def _expects_somebody(self, number: int, size: int, total: int | None) -> bool:
        """Whether an answer with nobody is odd: it counts some itself, somebody stands at the window's edge, or the
        answer before was a full one. Where nothing was listed yet, only its own count tells that there is nobody.
        """
        if total is not None and total > (number - 1) * size:
            return True
        if number > 1:
            return len(self._last_rows) == size > 1
        return self._edge is not None or total is None

    def _refuse_forgetting(self, edge: Customer | Malformed) -> None:
        """Raises Unreachable unless she who stood at the window's edge has changed since, and stands above it now."""
        for number in range(1, _LOOKS_ABOVE + 1):
            listed = self._pancake.get_customers(number, LARGEST_PAGE_SIZE, 0, _END_OF_TIME).customers
            rows = [read_customer(data, self._page_id) for data in listed]
            above = [row for row in rows if row.updated_at is None or row.updated_at >= self._upper]
            if _identity(edge) in map(_identity, above):
                return
            if not rows or len(above) < len(rows):
                break
        raise Unreachable(SERVICE, "listed nobody in the middle of its list")

    def _refuse_endless(self, number: int, rows: list[Customer | Malformed]) -> None:
        """Customers who change may push the same rows into the next answer, but not time after time."""
        self._alike = self._alike + 1 if number > 1 and rows and rows == self._last_rows else 0
        self._last_rows = rows
        # Malformed customers without an id look alike, and there may be many of them.
        have_ids = any(isinstance(row, Customer) or row.pancake_id or row.psid for row in rows)
        if self._alike == (MAX_IDENTICAL_BATCHES if have_ids else MAX_IDENTICAL_BATCHES_WITHOUT_IDS):
            raise ContractBroken(SERVICE, "answers every page_number alike")

    def _first_answer(self, listed: CustomerList) -> None:
        self._asked = True
        self.lists_nobody = not listed.customers
        self.total = listed.total
        if listed.date is not None:
            self.until = min(self.until, int(listed.date) - SETTLE_SECONDS)

    def _fresh(self, rows: list[Customer | Malformed]) -> list[Customer]:
        """The customers of *rows* inside the window who were not met before."""
        batch: list[Customer] = []
        for row in rows:
            if isinstance(row, Malformed):
                self._note_malformed(row)
            elif row.key not in self._seen and row.updated_at >= self.since:
                self._seen[row.key] = row.updated_at
                if row.updated_at > self.until:
                    self.skipped += 1
                elif row.updated_at <= self._upper:  # Later ones were handed out on the way down.
                    batch.append(row)
        return batch

    def _note_malformed(self, row: Malformed) -> None:
        inside = row.updated_at is None or self.since <= row.updated_at <= self.until
        if inside and row.identity not in self._malformed_seen:
            self._malformed_seen.add(row.identity)
            self.malformed.append(row)

    def _forget_later_than(self, second: int) -> None:
        """Nobody later can be listed again, so that memory does not grow with the history."""
        self._seen = {key: time for key, time in self._seen.items() if time <= second}


def _identity(row: Customer | Malformed) -> Key:
    return row.key if isinstance(row, Customer) else row.identity


def _from(second: int, rows: list[Customer | Malformed]) -> list[Customer | Malformed]:
    return [row for row in rows if row.updated_at is None or row.updated_at >= second]


def _before(second: int, rows: list[Customer | Malformed]) -> list[Customer | Malformed]:
    return [row for row in rows if row.updated_at is not None and row.updated_at < second]
