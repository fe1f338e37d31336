"""Pancake in memory: customers that change, and the lists that a window cuts out of them."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

from customer_sync.services.pancake import CustomerList
from tests.histories.clock import SECOND, WorldTime

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Window(Enum):
    """Which customers a list's `until` leaves out."""

    WHOLE_SECOND = "customers that changed in a later second"
    EXACT = "customers that changed after that second's first instant"
    INSERTED_AT = "customers that appeared in a later second"
    IGNORED = "no customer"


class TimeText(Enum):
    """How `updated_at` is written: layout, digits of the fraction, hours by which the zone is ahead of UTC."""

    MICROSECONDS = ("", 6, 0)
    SECONDS = ("", 0, 0)
    UTC = ("Z", 0, 0)
    MILLISECONDS = ("Z", 3, 0)
    NANOSECONDS = ("Z", 9, 0)
    HANOI = ("+07:00", 0, 7)
    HONOLULU = ("-10:00", 6, -10)

    def of(self, micros: int) -> str:
        """A time in this layout."""
        zone, digits, hours = self.value
        moment = _EPOCH + timedelta(hours=hours, seconds=micros // SECOND)
        fraction = f"{micros % SECOND:06}000"[:digits]
        return f"{moment:%Y-%m-%dT%H:%M:%S}{'.' if digits else ''}{fraction}{zone}"


class Defect(Enum):
    """What a malformed customer lacks."""

    NO_ID = "id"
    NO_TIME = "updated_at"


class Psid(Enum):
    """When a customer has a psid, and of which kind."""

    ALWAYS = ""
    NUMBER = " with a number for a psid"
    NEVER = " without a psid"
    LATER = " with a psid only after a change"


@dataclass(frozen=True)
class PancakeKind:
    """How this Pancake behaves. *largest* is the page_size that a greater one is cut to."""

    window: Window = Window.WHOLE_SECOND
    sends_total: bool = True
    largest: int = 100
    texts: tuple[TimeText, ...] = (TimeText.MICROSECONDS,)


@dataclass(frozen=True)
class Row:
    """A customer from one change to the next; times are Unix microseconds."""

    updated_at: int
    seen_from: int
    """When the change is committed: lists show it from then on."""
    data: dict[str, Any]

    @property
    def version(self) -> Any:
        return self.data.get("updated_at")


@dataclass(eq=False)
class Customer:
    """A customer in Pancake."""

    name: str
    page_id: str
    inserted_at: int
    text: TimeText
    defect: Defect | None
    psid: Psid
    rows: list[Row] = field(default_factory=list)
    """From the first one to the present one."""

    def __str__(self) -> str:
        return f"{self.page_id}/{self.name}"

    @property
    def latest(self) -> Row:
        return self.rows[-1]

    @property
    def previous(self) -> Row:
        """The last row with another version than the present one, where there is any."""
        return next((row for row in reversed(self.rows) if row.version != self.latest.version), self.latest)

    def shown(self, now: int) -> Row | None:
        """What a list shows of it now; None before its first commit."""
        if self.latest.seen_from <= now:
            return self.latest
        return next((row for row in reversed(self.rows) if row.seen_from <= now), None)


class Pancake:
    """Every page's customers."""

    def __init__(self, kind: PancakeKind, time: WorldTime) -> None:
        self.kind = kind
        self.customers: list[Customer] = []
        self._time = time
        self._numbers: Counter[str] = Counter()
        self.changes = 0
        """How many changes there were, appearances among them."""

    def of(self, page_id: str) -> list[Customer]:
        """All customers of a page."""
        return [customer for customer in self.customers if customer.page_id == page_id]

    def appear(
        self, page_id: str, *, late: int = 0, defect: Defect | None = None, psid: Psid = Psid.ALWAYS
    ) -> Customer:
        """A new customer of a page, now, committed *late* microseconds later."""
        number = self._numbers[page_id]
        self._numbers[page_id] += 1
        text = self.kind.texts[number % len(self.kind.texts)]
        now = self._time.now
        customer = Customer(f"{page_id}{number:02}", page_id, now, text, defect, psid)
        self.customers.append(customer)
        self._add_row(customer, now, now + late)
        return customer

    def change(self, customer: Customer, *, late: int = 0) -> None:
        """The customer changes now, committed *late* microseconds later, in the order of the changes."""
        now = self._time.now
        if now == customer.latest.updated_at:
            return
        self._add_row(customer, now, max(now + late, customer.latest.seen_from))

    def get_customers(self, page_id: str, page_number: int, page_size: int, until: int) -> CustomerList:
        """One answer of the list, newest first; among equals in a fixed order."""
        now = self._time.now
        shown = [(customer, row) for customer in self.of(page_id) if (row := customer.shown(now))]
        inside = [(customer, row) for customer, row in shown if self._is_inside(customer, row, until)]
        inside.sort(key=lambda one: -one[1].updated_at)
        size = min(page_size, self.kind.largest)
        cut = inside[(page_number - 1) * size :][:size]
        total = len(inside) if self.kind.sends_total else None
        return CustomerList([row.data for _, row in cut], total, float(self._time.second))

    def _add_row(self, customer: Customer, updated_at: int, seen_from: int) -> None:
        self.changes += 1
        data: dict[str, Any] = {
            "id": f"id-{customer.name}",
            "psid": self._psid(customer),
            "updated_at": customer.text.of(updated_at),
            "notes": [self.changes],
        }
        if customer.defect is Defect.NO_ID:
            data["id"] = None
        elif customer.defect is Defect.NO_TIME:
            data["updated_at"] = "yesterday"
        customer.rows.append(Row(updated_at, seen_from, data))

    def _psid(self, customer: Customer) -> Any:
        if customer.psid is Psid.NUMBER:
            return int(f"9{customer.name[1:]}{ord(customer.page_id)}")
        if customer.psid is Psid.NEVER or (customer.psid is Psid.LATER and not customer.rows):
            return None
        return customer.name

    def _is_inside(self, customer: Customer, row: Row, until: int) -> bool:
        if self.kind.window is Window.EXACT:
            return row.updated_at <= until * SECOND
        if self.kind.window is Window.WHOLE_SECOND:
            return row.updated_at // SECOND <= until
        return self.kind.window is Window.IGNORED or customer.inserted_at // SECOND <= until
