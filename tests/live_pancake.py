"""Pancake's list of one page, which changes while it is read: what the walk and the slices are tested with."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from customer_sync.services.pancake import CustomerList

MICROSECONDS = 1_000_000
T0 = 1_700_000_000
PAGE = "104001"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(eq=False)
class ListedCustomer:
    """A customer in Pancake; times are Unix microseconds, *fields* replace those of its record."""

    psid: str
    updated_at: int
    inserted_at: int
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def second(self) -> int:
        return self.updated_at // MICROSECONDS

    @property
    def record(self) -> dict[str, Any]:
        updated_at = (_EPOCH + timedelta(microseconds=self.updated_at)).strftime("%Y-%m-%dT%H:%M:%S.%f")
        return {"id": f"id-{self.psid}", "psid": self.psid, "updated_at": updated_at, **self.fields}


def customers_at(seconds: Iterable[float], name: str = "p") -> list[ListedCustomer]:
    """One customer at each of these seconds after T0."""
    times = [T0 * MICROSECONDS + round(second * MICROSECONDS) for second in seconds]
    return [ListedCustomer(f"{name}{number:04}", time, time) for number, time in enumerate(times)]


@dataclass(frozen=True)
class Asked:
    """The n-th request, counted from 1."""

    number: int
    page_number: int
    page_size: int
    since: int
    until: int


Total = Callable[[int, "LivePancake"], int | None]
Edit = Callable[[Asked, list[Any]], list[Any]]


def right_total(right: int, _: "LivePancake") -> int | None:
    return right


def no_total(_right: int, _: "LivePancake") -> int | None:
    return None


def total_of_the_page(_right: int, pancake: "LivePancake") -> int | None:
    return len(pancake.customers)


def empty_below(second: int) -> Edit:
    """Lists no customer in a window that ends before this many seconds after T0, though it counts them."""
    return lambda asked, rows: [] if asked.until < T0 + second else rows


class LivePancake:
    """Filters, sorts and cuts as the real one does, and changes between two requests."""

    clock_ahead = 0.0

    def __init__(
        self,
        customers: Iterable[ListedCustomer] = (),
        *,
        window: str = "updated_at",
        exact: bool = False,
        largest: int = 100,
        total: Total = right_total,
        date: float | None = None,
        between: Callable[["LivePancake"], None] = lambda _pancake: None,
        edit: Edit = lambda _asked, rows: rows,
        until_step: int = 1,
        until_early: int = 0,
    ) -> None:
        """*largest* is the page_size that a greater one is cut to; *between* is called after every answer; *edit*
        replaces the customers of an answer; `until` is *until_early* seconds too early, and rounded to *until_step*.
        """
        self.customers = list(customers)
        self.asked: list[Asked] = []
        self.now = (T0 + 10_000) * MICROSECONDS
        self._window = window
        self._exact = exact
        self._largest = largest
        self._total = total
        self._date = date
        self._between = between
        self._edit = edit
        self._until_step = until_step
        self._until_early = until_early

    def get_customers(self, page_number: int, page_size: int, since: int, until: int) -> CustomerList:
        asked = Asked(len(self.asked) + 1, page_number, page_size, since, until)
        self.asked.append(asked)
        inside = [customer for customer in self.customers if self._is_inside(customer, since, until)]
        # As in PostgreSQL: newest first, among equals a fixed order.
        inside.sort(key=lambda customer: (-customer.updated_at, customer.psid))
        size = min(page_size, self._largest)
        rows = [customer.record for customer in inside[(page_number - 1) * size :][:size]]
        answer = CustomerList(self._edit(asked, rows), self._total(len(inside), self), self._date)
        self._between(self)
        return answer

    def change(self, *customers: ListedCustomer) -> None:
        """They change now, one after the other, which is later than any window."""
        for customer in customers:
            self.now += MICROSECONDS // 3
            customer.updated_at = self.now

    def unchanged(self, before: int = T0 + 10_000) -> set[str]:
        """The psids of those that have not changed, and whose second is earlier."""
        return {customer.psid for customer in self.customers if customer.second < before}

    def _is_inside(self, customer: ListedCustomer, since: int, until: int) -> bool:
        if self._window == "ignored":
            return True
        time = customer.updated_at if self._window == "updated_at" else customer.inserted_at
        until = (until - self._until_early) // self._until_step * self._until_step
        last = until * MICROSECONDS + (0 if self._exact else MICROSECONDS - 1)
        return since * MICROSECONDS <= time <= last
