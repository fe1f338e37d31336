"""Reads one page's list from Pancake, answer by answer, and checks each: its size, its order, its end."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from customer_sync.core.customer import Customer, Key, Malformed, read_customer
from customer_sync.core.errors import ContractBroken
from customer_sync.services.pancake import SERVICE, CustomerList

MAX_IDENTICAL_BATCHES = 10
MAX_IDENTICAL_BATCHES_WITHOUT_IDS = 1000
EMPTY_BATCH_RETRIES = 3
_ROWS_ABOVE = 1000
FAR = 2**31 - 1
"""An `until` that no window ends after."""

Row = Customer | Malformed


class CustomerSource(Protocol):
    """Lists the customers of one page of Pancake."""

    def get_customers(self, page_number: int, page_size: int, since: int, until: int) -> CustomerList: ...

    @property
    def clock_ahead(self) -> float | None:
        """How far Pancake's clock is ahead of ours, seconds; None while no answer has carried a time."""
        ...


@dataclass(frozen=True, slots=True)
class ListAnswer:
    """One answer, checked."""

    rows: list[Row]
    first: int
    """How many rows of the window come before this answer's."""
    ends: bool
    """Whether the list ends here."""
    lowest: int | None
    """The second of the last customer with a readable time."""


class ListReader:
    """Asks for one answer after the other. *page_size* follows what Pancake really sends."""

    def __init__(self, pancake: CustomerSource, page_id: str, page_size: int) -> None:
        self.page_size = page_size
        self.largest = 1
        """How many rows an answer has had at most."""
        self.first_list: CustomerList | None = None
        """The first answer as it came; None before it."""
        self.lowest: int | None = None
        """The earliest second that was listed."""
        self.honours_window = True
        """False once a customer later than the window was listed."""
        self._configured = page_size
        self._pancake = pancake
        self._page_id = page_id
        self._last_rows: list[Row] = []
        self._identical = 0

    def read(self, number: int, until: int, *, expects_rows: bool = False) -> ListAnswer:
        """The answer of this page number to *until*. An empty one is asked for again where *expects_rows*.

        Raises ContractBroken where the list is not one that can be walked.
        """
        size = self.page_size
        listed = self._list(number, size, until, expects_rows=expects_rows)
        self.first_list = self.first_list or listed
        if len(listed.customers) > size:
            raise ContractBroken(SERVICE, f"sent {len(listed.customers)} customers where {size} were asked for")
        rows = [read_customer(data, self._page_id) for data in listed.customers]
        self._refuse_endless(number, rows)
        times = [row.updated_at for row in rows if row.updated_at is not None]
        if any(later > before for before, later in pairwise(times)):
            raise ContractBroken(SERVICE, "did not list the newest customers first")
        if times:
            self.lowest = times[-1] if self.lowest is None else min(self.lowest, times[-1])
            self.honours_window = self.honours_window and times[0] <= until
        first = (number - 1) * size
        # A short answer ends the list only when the total agrees: the server may have cut page_size.
        ends = not rows or (len(rows) < size and listed.total == first + len(rows))
        if not ends:
            self.page_size = len(rows)
        self.largest = max(self.largest, len(rows))
        return ListAnswer(rows, first, ends, times[-1] if times else None)

    def is_above(self, row: Row, second: int) -> bool:
        """Whether a row that was listed before is listed in a later *second* now: it has changed."""
        for number in range(1, -(-_ROWS_ABOVE // self._configured) + 1):
            listed = self._pancake.get_customers(number, self._configured, 0, FAR).customers
            rows = [read_customer(data, self._page_id) for data in listed]
            above = [one for one in rows if one.updated_at is None or one.updated_at > second]
            if identity(row) in map(identity, above):
                return True
            if not rows or len(above) < len(rows):
                break
        return False

    def next_number(self, answer: ListAnswer) -> int:
        """The page number behind this answer, at the present page size."""
        return (answer.first + len(answer.rows)) // self.page_size + 1

    def _list(self, number: int, size: int, until: int, *, expects_rows: bool) -> CustomerList:
        """An empty answer ends the walk, so it is asked for again where rows must be expected."""
        for _ in range(EMPTY_BATCH_RETRIES):
            # `since` is always 0: a window that looks at `inserted_at` would hide old customers that changed.
            listed = self._pancake.get_customers(number, size, 0, until)
            if listed.customers or not (expects_rows or self._expects_rows(number, size, listed.total)):
                return listed
        return listed

    def _expects_rows(self, number: int, size: int, total: int | None) -> bool:
        """Whether an empty answer is odd: its own count has some, or the answer before was a full one. Where nothing
        was listed yet, only its own count proves that there are none.
        """
        if total is not None and total > (number - 1) * size:
            return True
        return len(self._last_rows) == size > 1 if number > 1 else total is None

    def _refuse_endless(self, number: int, rows: list[Row]) -> None:
        """Customers that change may push the same rows into the next answer, but not time after time."""
        self._identical = self._identical + 1 if number > 1 and rows and rows == self._last_rows else 0
        self._last_rows = rows
        # Malformed customers without an id look alike, and there may be many of them.
        have_ids = any(isinstance(row, Customer) or row.pancake_id or row.psid for row in rows)
        if self._identical == (MAX_IDENTICAL_BATCHES if have_ids else MAX_IDENTICAL_BATCHES_WITHOUT_IDS):
            raise ContractBroken(SERVICE, "answers every page_number alike")


def identity(row: Row) -> Key:
    """Tells the rows of a list apart."""
    return row.key if isinstance(row, Customer) else row.identity
