"""The walk through one page's customers in Pancake, newest first, without a gap.

Pancake's list is live: a customer that changes leaves the window, all behind it move up one place, and the next page
number would skip one. Therefore the window's upper edge comes down to what was read last, and page 1 is asked for
again. Only where one second fills a whole answer do page numbers grow; then that second's pages are read once more
from the last to the first: rows only move up, so a row that slipped past going forward is met going back.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass

from customer_sync.core.customer import Customer, Key, Malformed, Window, second_record
from customer_sync.core.errors import ContractBroken, Unreachable
from customer_sync.services.pancake import LARGEST_PAGE_SIZE, SERVICE
from customer_sync.sync.list_reader import FAR, CustomerSource, ListAnswer, ListReader, Row, identity

# A second that is still running, or whose commits come late, is left to the next pass.
SETTLE_SECONDS = 2
# Two days, for an `until` that is rounded to days, in whichever zone.
LEAD = 2 * 86_400
MAX_IN_ONE_SECOND = 100_000


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


class CustomerWalk:
    """Iterating yields batches of customers, newest first, with `since <= updated_at <= until`, each once."""

    def __init__(
        self,
        pancake: CustomerSource,
        page_id: str,
        window: Window,
        page_size: int = LARGEST_PAGE_SIZE,
        *,
        lead: int = LEAD,
    ) -> None:
        """The first answer is asked for *lead* seconds above the window: an `until` that Pancake rounds down, or takes
        for another zone's, must not hide customers of it.
        """
        self._since = window.since
        self._until = window.until
        self._lead = lead
        self._reader = ListReader(pancake, page_id, page_size)
        # The next second is asked for: whether 22.7 is inside `until=22` is not documented.
        self._upper = min(window.until + 1 + lead, FAR)
        self._skipped = 0
        self._seen = _Seen()

    def __iter__(self) -> Iterator[Batch]:
        edge: Row | None = None
        while self._since <= self._until:
            answer = self._read(1, expects_rows=edge is not None)
            if not self._reader.honours_window:
                yield from self._by_page_number(answer)
                return
            earlier, listed = answer.rows, set(map(identity, answer.rows))
            if answer.lowest is None or answer.lowest + 1 >= self._upper:
                answer, earlier, listed = yield from self._through_one_second(answer)
            if edge is not None and not self._continues(edge, listed):
                yield from self._without_window(edge)
                return
            yield self._batch(earlier)
            if self._is_last(answer) or answer.lowest is None:
                return
            self._upper = answer.lowest + 1
            edge = next(row for row in reversed(answer.rows) if row.updated_at is not None)
            self._seen.forget_later_than(self._upper)

    def _continues(self, edge: Row, listed: set[Key]) -> bool:
        """Whether the row that was read last is *listed* again, or above the window now: otherwise Pancake's `until`
        hides customers. A record without an id cannot be found again; there, any row will do.
        """
        if isinstance(edge, Malformed) and not (edge.pancake_id or edge.psid):
            return bool(listed)
        return identity(edge) in listed or self._reader.is_above(edge, edge.updated_at or 0)

    def _without_window(self, edge: Row) -> Iterator[Batch]:
        """The rest by page number under a far `until`. Raises Unreachable where it does not list the *edge* either."""
        self._reader.honours_window, self._skipped = False, self._seen.later_than(self._until)
        latest, self._upper = self._upper, FAR
        found, second = False, edge.updated_at or 0
        for answer in self._pages(self._read(1, expects_rows=True)):
            found = found or identity(edge) in map(identity, answer.rows)
            passed = answer.ends or (answer.lowest is not None and answer.lowest < second)
            if passed and not found and not self._reader.is_above(edge, second):
                raise Unreachable(SERVICE, "no longer lists a customer that it listed before")
            found = found or passed
            yield self._batch(answer.rows, latest)
            latest = latest if answer.lowest is None else min(latest, answer.lowest)

    def _by_page_number(self, answer: ListAnswer) -> Iterator[Batch]:
        """The rest where the window is ignored: the list starts from its top again."""
        self._skipped = self._seen.later_than(self._until)
        latest = self._upper
        for one in self._pages(answer):
            # Many changes at once push whole answers down into this one; those were handed out already.
            yield self._batch(one.rows, latest)
            latest = latest if one.lowest is None else min(latest, one.lowest)

    def _pages(self, answer: ListAnswer) -> Iterator[ListAnswer]:
        """This answer and the next ones: rows that change move to the top, the others down, so none slips."""
        second, start = answer.lowest, answer.first
        while True:
            yield answer
            if self._is_last(answer):
                return
            if answer.lowest != second:
                second, start = answer.lowest, answer.first
            self._refuse_endless_second(answer.first - start)
            if answer.rows and (newest := answer.rows[0].updated_at) is not None:
                self._seen.forget_later_than(newest)
            answer = self._read(self._reader.next_number(answer))

    def _through_one_second(self, answer: ListAnswer) -> Generator[Batch, None, tuple[ListAnswer, list[Row], set[Key]]]:
        """Forward by page number until the second is left behind, then back.

        Returns the last answer forward, the rows of earlier seconds, which are handed out only after the way back, and
        what was listed. Raises ContractBroken where the second has no end.
        """
        second = self._upper - 1
        earlier: list[Row] = []
        listed: set[Key] = set()
        while True:
            listed.update(map(identity, answer.rows))
            earlier += _before(second, answer.rows)
            self._refuse_endless_second(answer.first)
            yield self._batch(_from(second, answer.rows))
            if self._is_last(answer) or (answer.lowest is not None and answer.lowest < second):
                break
            answer = self._read(self._reader.next_number(answer))
        back = answer
        while back.first > 0:
            self._reader.page_size = self._reader.largest  # The last answer may have been a short one.
            back = self._read(-(-back.first // self._reader.page_size))
            listed.update(map(identity, back.rows))
            earlier += _before(second, back.rows)
            yield self._batch(_from(second, back.rows))
        if not self._is_last(answer) and answer.lowest is not None:
            earlier = _from(answer.lowest, earlier)
        return answer, sorted(earlier, key=lambda row: -(row.updated_at or 0)), listed

    def _refuse_endless_second(self, rows: int) -> None:
        """Raises ContractBroken for more *rows* of one second than Pancake can mean."""
        counted = self._reader.first_list.total if self._reader.first_list else None
        most = max(MAX_IN_ONE_SECOND, counted or 0)
        if rows > most:
            raise ContractBroken(SERVICE, f"lists more than {most:,} customers of one second")

    def _is_last(self, answer: ListAnswer) -> bool:
        """The stop rule: the list ends, or has come below *since*."""
        return answer.ends or (answer.lowest is not None and answer.lowest < self._since)

    def _read(self, number: int, *, expects_rows: bool = False) -> ListAnswer:
        is_first = self._reader.first_list is None
        answer = self._reader.read(number, self._upper, expects_rows=expects_rows)
        # Without a lead there may be no row that disproves a wrong Date: the walk of the newest part settles it.
        if is_first and self._lead and (first := self._reader.first_list) and first.date is not None:
            self._until = settled(self._until, first.date, answer.rows)
        return answer

    def _batch(self, rows: list[Row], latest: int | None = None) -> Batch:
        """The rows inside the window that were not met before; those later than *latest* were handed out already."""
        customers: list[Customer] = []
        malformed: list[Malformed] = []
        latest = self._upper if latest is None else latest
        for row in map(self._seen.second_record_as_malformed, rows):
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
        )


class _Seen:
    """The rows met so far that can be listed again."""

    def __init__(self) -> None:
        self._times: dict[Key, int] = {}
        self._ids: dict[Key, str | None] = {}
        self._malformed: set[str] = set()

    def is_new(self, customer: Customer) -> bool:
        """Whether the customer was not met before; from now on it was."""
        if customer.key in self._times:
            return False
        self._times[customer.key], self._ids[customer.key] = customer.updated_at, customer.pancake_id
        return True

    def second_record_as_malformed(self, row: Row) -> Row:
        """The row; where its psid was met with another id, which is newer, as malformed."""
        if isinstance(row, Malformed) or self._ids.get(row.key, row.pancake_id) == row.pancake_id:
            return row
        reason = second_record(self._ids[row.key])
        return Malformed(row.pancake_id, row.psid, row.updated_at, reason, str(row.pancake_id))

    def is_new_malformed(self, row: Malformed) -> bool:
        """The same for a malformed customer."""
        if row.identity in self._malformed:
            return False
        self._malformed.add(row.identity)
        return True

    def later_than(self, second: int) -> int:
        """How many of those met are later."""
        return sum(time > second for time in self._times.values())

    def forget_later_than(self, second: int) -> None:
        """Later ones cannot be listed again, so that memory does not grow with the history."""
        self._times = {key: time for key, time in self._times.items() if time <= second}
        self._ids = {key: self._ids[key] for key in self._times}


def settled(until: int, pancake_now: float, rows: list[Row]) -> int:
    """*until*, or the settle time before Pancake's clock where that is earlier. *rows* later than it prove it wrong."""
    newest = max((row.updated_at for row in rows if row.updated_at is not None), default=0)
    return until if newest > pancake_now + SETTLE_SECONDS else min(until, int(pancake_now) - SETTLE_SECONDS)


def _from(second: int, rows: list[Row]) -> list[Row]:
    return [row for row in rows if row.updated_at is None or row.updated_at >= second]


def _before(second: int, rows: list[Row]) -> list[Row]:
    return [row for row in rows if row.updated_at is not None and row.updated_at < second]
