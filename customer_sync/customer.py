"""A customer as Pancake lists her, and the times she carries."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from customer_sync.personal import hide_personal

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


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer who can be synced: she has a psid and a readable `updated_at`."""

    psid: str
    page_id: str
    updated_at: int
    """Whole Unix seconds, floored, UTC."""
    version: str
    """`updated_at` as text, exactly as Pancake gave it."""
    data: dict[str, Any] = field(repr=False, compare=False)
    """Everything Pancake said about her, untouched."""

    @property
    def pancake_id(self) -> str | None:
        """What Pancake calls her; None when it does not say."""
        return read_pancake_id(self.data)

    def hide(self, text: str) -> str:
        """Takes her name, phone numbers and every other personal detail, however written, out of *text*."""
        return hide_personal(text, self.data, (self.psid, self.page_id))


@dataclass(frozen=True, slots=True)
class Malformed:
    """A customer who cannot be synced, known by what Pancake calls her; *updated_at* where it is readable."""

    pancake_id: str | None
    psid: str | None
    updated_at: int | None
    reason: str
    identity: str = field(repr=False)
    """Tells malformed customers apart; all that Pancake said about her where it gave her no id."""


def read_customer(data: Any, page_id: str) -> Customer | Malformed:
    """What Pancake listed, as a customer of the page or as the reason why she is none."""
    if not isinstance(data, dict):
        return Malformed(None, None, None, "not an object", repr(data))
    psid: Any = data.get("psid")
    version: Any = data.get("updated_at")
    pancake_id = read_pancake_id(data)
    known_psid = psid if isinstance(psid, str) and psid.strip() else None
    identity = pancake_id or known_psid or repr(data)
    try:
        updated_at = parse_customer_updated_at(version)
    except ValueError as error:
        return Malformed(pancake_id, known_psid, None, str(error), identity)
    if known_psid is None:
        reason = "psid is missing" if psid is None or isinstance(psid, str) else "psid is not a text"
        return Malformed(pancake_id, None, updated_at, reason, identity)
    return Customer(known_psid, page_id, updated_at, version, data)


def read_pancake_id(data: Mapping[str, Any]) -> str | None:
    """What Pancake calls a customer it has listed."""
    pancake_id = data.get("id")
    return pancake_id if isinstance(pancake_id, str) else None


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
