"""A customer as Pancake lists one: what it is known by, and its times."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from customer_sync.core.pii import mask_personal
from customer_sync.core.stored_value import INT64, kept_text

# The four layouts of the guide; Python alone would also take years, weeks and bare dates.
_HOUR = r"(?:[01]\d|2[0-3])"
_LAYOUT = re.compile(rf"\d{{4}}-\d\d-\d\dT{_HOUR}:\d\d:\d\d(?:\.\d{{1,9}})?(?:Z|[+-]{_HOUR}:[0-5]\d)?", flags=re.ASCII)
# Eight digits are a date to many people, and from twelve on milliseconds.
_UNIX_SECONDS = re.compile(r"\d{1,7}|\d{9,11}", flags=re.ASCII)
# What may stand for a time and cannot be a name or a phone number: a broken layout, Unix time, a few digits.
_IMPERSONAL_VALUE = re.compile(
    r"\d{4}-\d\d?-\d\d?(?:[Tt ]\d\d?:\d\d?(?::\d\d?)?(?:[.,]\d{0,9})?(?:[Zz]| ?[+-]\d\d(?::?\d\d)?)?)?"
    r"|1[4-9]\d{8}(?:\d{3}){0,3}(?:\.\d{1,6})?|\d{0,4}|True|False",
    flags=re.ASCII,
)
_KINDS = {dict: "an object", list: "a list", int: "a number", float: "a number"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d(?:[T ].+)?", flags=re.ASCII)


@dataclass(frozen=True, slots=True)
class Window:
    """A span of time, both ends included, in whole Unix seconds, UTC."""

    since: int
    until: int


Key = str | tuple[str]
"""What a customer of a page is known by: the psid, else Pancake's id, in a tuple, so that no psid is taken for it."""


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer who can be synced: with an id and a readable `updated_at`."""

    key: Key
    page_id: str
    updated_at: int
    """Whole Unix seconds, floored, UTC."""
    version: str
    """`updated_at` as text, exactly as Pancake gave it."""
    data: dict[str, Any] = field(repr=False, compare=False)
    """All fields that Pancake gave, unchanged."""

    @property
    def psid(self) -> str | None:
        """The psid as FolkForm keeps it; None where there is none."""
        return psid_of(self.key)

    @property
    def pancake_id(self) -> str | None:
        """Pancake's id, as FolkForm keeps it."""
        return read_identifier(self.data.get("id"))

    def hide(self, text: str) -> str:
        """Takes name, phone numbers and every other personal detail, however written, out of *text*."""
        return mask_personal(text, self.data, [one for one in (self.psid, self.page_id) if one])


@dataclass(frozen=True, slots=True)
class Malformed:
    """A customer who cannot be synced, known by Pancake's id or psid; *updated_at* where it is readable."""

    pancake_id: str | None
    psid: str | None
    updated_at: int | None
    reason: str
    identity: str = field(repr=False)
    """Tells malformed customers apart; all of the record where it has no id."""


def read_customer(data: Any, page_id: str) -> Customer | Malformed:
    """What Pancake listed, as a customer of the page or as the reason why it is none."""
    if not isinstance(data, dict):
        return Malformed(None, None, None, "not an object", repr(data))
    version: Any = data.get("updated_at")
    pancake_id, psid = read_identifier(data.get("id")), read_identifier(data.get("psid"))
    identity = pancake_id or psid or repr(data)
    try:
        updated_at = parse_customer_updated_at(version)
    except ValueError as error:
        return Malformed(pancake_id, psid, None, str(error), identity)
    key = key_of(psid, pancake_id)
    if pancake_id is None or key is None:  # FolkForm refuses a customer without an id.
        return Malformed(None, psid, updated_at, "id is missing", identity)
    if data.get("page_id") and read_identifier(data["page_id"]) != page_id:  # FolkForm would store it for that page.
        return Malformed(pancake_id, psid, updated_at, "page_id is another page's", identity)
    if psid is None and not (data.get("psid") is None or isinstance(data["psid"], str)):
        return Malformed(pancake_id, None, updated_at, "psid is not a text", identity)
    return Customer(key, page_id, updated_at, version, data)


def key_of(psid: str | None, pancake_id: str | None) -> Key | None:
    """What a customer is known by; None where there is neither."""
    return psid or (None if pancake_id is None else (pancake_id,))


def psid_of(key: Key) -> str | None:
    """The psid that a customer is known by; None where it is an id."""
    return key if isinstance(key, str) else None


def read_identifier(value: Any) -> str | None:
    """A psid or an id as FolkForm keeps it: of a number its text, U+FFFD for half a surrogate pair; None for none."""
    if isinstance(value, str):
        return kept_text(value) if value.strip() else None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) and value in INT64 else None


def parse_customer_updated_at(text: Any) -> int:
    """Unix seconds (floored, UTC) of Pancake's `updated_at`; without a zone it is UTC.

    Takes the guide's layouts: microseconds, none, RFC 3339, nanoseconds, any offset.
    Raises ValueError for anything else and for times not after 1970, which mean "no time". It quotes the value unless
    that may be a person's name or number.
    """
    if not isinstance(text, str):
        raise ValueError("updated_at is missing" if text is None else f"updated_at is not a text{_shown(text)}")
    if not _LAYOUT.fullmatch(text):
        raise ValueError(f"updated_at is not a time{_shown(text)}")
    try:
        moment = datetime.fromisoformat(text)  # Every customer's, so not dateutil's, which takes forty times as long.
        since_epoch = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH
    except (ValueError, OverflowError):
        raise ValueError(f"updated_at is not a time: {text!r:.80}") from None
    seconds = since_epoch.days * 86400 + since_epoch.seconds
    if seconds <= 0:
        raise ValueError(f"updated_at is no time of a customer: {text!r:.80}")
    return seconds


def tells_only_a_time(value: Any) -> bool:
    """Whether a value looks like a time, be it a wrong one, and like nobody's name or number."""
    return bool(_IMPERSONAL_VALUE.fullmatch(str(value)))


def _shown(value: Any) -> str:
    """The end of a sentence about a value: itself where it can only be a time, else what kind of value it is."""
    if tells_only_a_time(value):
        return f": {value!r}"
    if isinstance(value, str):
        return f" but a text of length {len(value):,}"
    return f" but {_KINDS.get(type(value), 'something else')}"


def parse_moment(text: str, *, end_of_day: bool = False) -> int:
    """Unix seconds of a moment as a person writes it: a date, a date and time, or Unix seconds.

    Without a zone it is the machine's. A bare date is its first second, or with *end_of_day* its last one.
    Raises ValueError, quoting the value.
    """
    if _UNIX_SECONDS.fullmatch(text):
        return int(text)
    try:
        day_only = len(text) == len("2019-08-24")
        moment = _read_by_hand(text) + timedelta(days=1 if day_only and end_of_day else 0)
        seconds = int(moment.timestamp()) - (1 if day_only and end_of_day else 0)
    except (ValueError, OverflowError, OSError):
        seconds = -1
    if seconds < 0 or not _MOMENT.fullmatch(text):
        raise ValueError(f"{text!r:.80} is no time: give 2026-01-31, 2026-01-31T14:00, …+07:00, or Unix seconds")
    return seconds


def names_zone(text: str) -> bool:
    """Whether a moment as a person writes it says by itself which one it is: with a zone, or as Unix seconds."""
    return bool(_UNIX_SECONDS.fullmatch(text)) or _read_by_hand(text).tzinfo is not None


def _read_by_hand(text: str) -> datetime:
    from dateutil.parser import isoparse  # Slow to load, and only people write times so freely.

    return isoparse(text.replace(" ", "T"))
