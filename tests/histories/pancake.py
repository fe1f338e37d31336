"""Pancake in memory: customers who change, and the lists that a window cuts out of them."""

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

    WHOLE_SECOND = "who changed in a later second"
    EXACT = "who changed later than that second's first instant"
    INSERTED_AT = "who appeared in a later second"
    IGNORED = "nobody"


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
    """What makes a customer one who cannot be synced."""

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
    tells_total: bool = True
    largest: int = 100
    texts: tuple[TimeText, ...] = (TimeText.MICROSECONDS,)


@dataclass(frozen=True)
class Row:
    """A customer as she was from one change to the next; times are Unix microseconds."""

    updated_at: int
    seen_from: int
    """When the change is committed: lists show it from then on."""
    data: dict[str, Any]

    @property
    def version(self) -> Any:
        return self.data.get("updated_at")


@dataclass(eq=False)
class Person:
    """A customer in Pancake."""

    name: str
    page_id: str
    inserted_at: int
    text: TimeText
    defect: Defect | None
    psid: Psid
    rows: list[Row] = field(default_factory=list)
    """All that she ever was."""

    def __str__(self) -> str:
        return f"{self.page_id}/{self.name}"

    @property
    def latest(self) -> Row:
        return self.rows[-1]

    @property
    def previous(self) -> Row:
        """What she was before, where that can be told from what she is."""
        return next((row for row in reversed(self.rows) if row.version != self.latest.version), self.latest)

    def shown(self, now: int) -> Row | None:
        """What a list shows of her now; None before her first commit."""
        if self.latest.seen_from <= now:
            return self.latest
        return next((row for row in reversed(self.rows) if row.seen_from <= now), None)


class Pancake:
    """Every page's customers."""

    def __init__(self, kind: PancakeKind, time: WorldTime) -> None:
        self.kind = kind
        self.people: list[Person] = []
        self._time = time
        self._born: Counter[str] = Counter()
        self.changes = 0
        """How many there were, appearances among them."""

    def of(self, page_id: str) -> list[Person]:
        """Everybody on a page."""
        return [person for person in self.people if person.page_id == page_id]

    def appear(self, page_id: str, *, late: int = 0, defect: Defect | None = None, psid: Psid = Psid.ALWAYS) -> Person:
        """Somebody new on a page, now, committed *late* microseconds later."""
        number = self._born[page_id]
        self._born[page_id] += 1
        text = self.kind.texts[number % len(self.kind.texts)]
        now = self._time.now
        person = Person(f"{page_id}{number:02}", page_id, now, text, defect, psid)
        self.people.append(person)
        self._add_row(person, now, now + late)
        return person

    def change(self, person: Person, *, late: int = 0) -> None:
        """She changes now, committed *late* microseconds later, in the order of the changes."""
        now = self._time.now
        if now == person.latest.updated_at:
            return
        self._add_row(person, now, max(now + late, person.latest.seen_from))

    def get_customers(self, page_id: str, page_number: int, page_size: int, until: int) -> CustomerList:
        """One answer of the list, newest first; among equals in a fixed order."""
        now = self._time.now
        shown = [(person, row) for person in self.of(page_id) if (row := person.shown(now))]
        inside = [(person, row) for person, row in shown if self._is_inside(person, row, until)]
        inside.sort(key=lambda one: -one[1].updated_at)
        size = min(page_size, self.kind.largest)
        cut = inside[(page_number - 1) * size :][:size]
        total = len(inside) if self.kind.tells_total else None
        return CustomerList([row.data for _, row in cut], total, float(self._time.second))

    def _add_row(self, person: Person, updated_at: int, seen_from: int) -> None:
        self.changes += 1
        data: dict[str, Any] = {
            "id": f"id-{person.name}",
            "psid": self._psid(person),
            "updated_at": person.text.of(updated_at),
            "notes": [self.changes],
        }
        if person.defect is Defect.NO_ID:
            data["id"] = None
        elif person.defect is Defect.NO_TIME:
            data["updated_at"] = "yesterday"
        person.rows.append(Row(updated_at, seen_from, data))

    def _psid(self, person: Person) -> Any:
        if person.psid is Psid.NUMBER:
            return int(f"9{person.name[1:]}{ord(person.page_id)}")
        if person.psid is Psid.NEVER or (person.psid is Psid.LATER and not person.rows):
            return None
        return person.name

    def _is_inside(self, person: Person, row: Row, until: int) -> bool:
        if self.kind.window is Window.EXACT:
            return row.updated_at <= until * SECOND
        if self.kind.window is Window.WHOLE_SECOND:
            return row.updated_at // SECOND <= until
        return self.kind.window is Window.IGNORED or person.inserted_at // SECOND <= until
