"""The walk through one page's customers in Pancake, newest first, without a gap.

Pancake's list is live: a customer that changes leaves the window, all behind it move up one place, and the next page
number would skip one. Therefore the window's upper edge comes down to what was read last, and page 1 is asked for
again. Only where one second fills a whole answer do page numbers grow; then that second's pages are read once more
from the last to the first: rows only move up, so a row that slipped past going forward is met going back.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass

from customer_sync.core.customer import Customer, Key, Malformed, Window
from customer_sync.services.pancake import LARGEST_PAGE_SIZE
from customer_sync.sync.list_reader import Answer, CustomerSource, ListReader, Row

# A second that is still running, or whose commits come late, is left to the next pass.
SETTLE_SECONDS = 2


@dataclass(frozen=True, slots=True)
class Batch:
    """The new customers of one answer, and what the walk knows by then."""

    customers: list[Customer]
    malformed: list[Malformed]
    skipped: int
    """How many customers later than the window were listed so far."""
    until: int
    """The window's end, lowered to the settle time before Pancake's own clock."""
    total: int | None
    """How many customers there are up to *until*, as Pancake counts them."""
    lowest: int | None
    """The earliest second listed so far, also below the window."""
    honours_window: bool
    """Whether Pancake has listed no customer later than asked."""
    is_empty: bool
    """Whether the first answer listed none at all."""


class CustomerWalk:
    """Iterating yields batches of customers, newest first, with `since <= updated_at <= until`, each once."""

    def __init__(
        self, pancake: CustomerSource, page_id: str, window: Window, page_size: int = LARGEST_PAGE_SIZE
    ) -> None:
        self._since = window.since
        self._until = window.until
        self._reader = ListReader(pancake, page_id, page_size)
        # The next second is asked for: whether 22.7 is inside `until=22` is not documented.
        self._upper = window.until + 1
        self._skipped = 0
        self._seen = _Seen()

    def __iter__(self) -> Iterator[Batch]:
        edge: Row | None = None
        while self._since <= self._until:
            answer = self._read(1, edge)
            if not self._reader.honours_window:
                self._skipped = 0  # The list starts from its top again.
                yield from self._by_page_number(answer)
                return
            if answer.lowest is not None and answer.lowest + 1 < self._upper:
                yield self._batch(answer.rows)
            else:
                answer = yield from self._through_one_second(answer)
            if self._is_last(answer) or answer.lowest is None:
                return
            self._upper = answer.lowest + 1
            edge = next(row for row in reversed(answer.rows) if row.updated_at is not None)
            self._seen.forget_later_than(self._upper)

    def _by_page_number(self, answer: Answer) -> Iterator[Batch]:
        """The rest where the window is ignored: rows that change move to the top, the others down, so none slips."""
        latest = self._upper
        while True:
            # Many changes at once push whole answers down into this one; those were handed out already.
            yield self._batch(answer.rows, latest)
            if self._is_last(answer):
                return
            latest = latest if answer.lowest is None else min(latest, answer.lowest)
            if answer.rows and (newest := answer.rows[0].updated_at) is not None:
                self._seen.forget_later_than(newest)
            answer = self._read(self._reader.next_number(answer))

    def _through_one_second(self, answer: Answer) -> Generator[Batch, None, Answer]:
        """Forward by page number until the second is left behind, then back. Returns the last answer forward.

        Customers of an earlier second are handed out only after the way back.
        """
        second = self._upper - 1
        earlier: list[Row] = []
        while True:
            earlier += _before(second, answer.rows)
            yield self._batch(_from(second, answer.rows))
            if self._is_last(answer) or (answer.lowest is not None and answer.lowest < second):
                break
            answer = self._read(self._reader.next_number(answer))
        back = answer
        while back.first > 0:
            self._reader.page_size = self._reader.largest  # The last answer may have been a short one.
            back = self._read(-(-back.first // self._reader.page_size))
            earlier += _before(second, back.rows)
            yield self._batch(_from(second, back.rows))
        if not self._is_last(answer) and answer.lowest is not None:
            earlier = _from(answer.lowest, earlier)
        yield self._batch(sorted(earlier, key=lambda row: -(row.updated_at or 0)))
        return answer

    def _is_last(self, answer: Answer) -> bool:
        """The stop rule: the list ends, or has come below *since*."""
        return answer.ends or (answer.lowest is not None and answer.lowest < self._since)

    def _read(self, number: int, edge: Row | None = None) -> Answer:
        is_first = self._reader.first_list is None
        answer = self._reader.read(number, self._upper, edge)
        if is_first and (first := self._reader.first_list) and first.date is not None:
            self._until = settled(self._until, first.date)
        return answer

    def _batch(self, rows: list[Row], latest: int | None = None) -> Batch:
        """The rows inside the window that were not met before; those later than *latest* were handed out already."""
        customers: list[Customer] = []
        malformed: list[Malformed] = []
        latest = self._upper if latest is None else latest
        for row in rows:
            if isinstance(row, Malformed):
                inside = row.updated_at is None or self._since <= row.updated_at <= self._until
                if inside and self._seen.is_new_malformed(row):
                    malformed.append(row)
            elif row.updated_at >= self._since and self._seen.is_new(row):
                if row.updated_at > self._until:
                    self._skipped += 1
                elif row.updated_at <= latest:
                    customers.append(row)
        reader, first = self._reader, self._reader.first_list
        return Batch(
            customers,
            malformed,
            self._skipped,
            self._until,
            total=first.total if first else None,
            lowest=reader.lowest,
            honours_window=reader.honours_window,
            is_empty=first is not None and not first.customers,
        )


class _Seen:
    """The rows met so far that can be listed again."""

    def __init__(self) -> None:
        self._times: dict[Key, int] = {}
        self._malformed: set[str] = set()

    def is_new(self, customer: Customer) -> bool:
        """Whether the customer was not met before; from now on it was."""
        if customer.key in self._times:
            return False
        self._times[customer.key] = customer.updated_at
        return True

    def is_new_malformed(self, row: Malformed) -> bool:
        """The same for a malformed customer."""
        if row.identity in self._malformed:
            return False
        self._malformed.add(row.identity)
        return True

    def forget_later_than(self, second: int) -> None:
        """Later ones cannot be listed again, so that memory does not grow with the history."""
        self._times = {key: time for key, time in self._times.items() if time <= second}


def settled(until: int, pancake_now: float) -> int:
    """*until*, or the settle time before Pancake's clock where that is earlier."""
    return min(until, int(pancake_now) - SETTLE_SECONDS)


def _from(second: int, rows: list[Row]) -> list[Row]:
    return [row for row in rows if row.updated_at is None or row.updated_at >= second]


def _before(second: int, rows: list[Row]) -> list[Row]:
    return [row for row in rows if row.updated_at is not None and row.updated_at < second]
