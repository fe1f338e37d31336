"""A customer as Pancake lists it: its key, its version, and why a record is malformed."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

from customer_sync.core.clock import local_time
from customer_sync.core.pii import mask_personal
from customer_sync.core.stored_value import INT64, kept_text

# The four layouts of the guide; Python alone would also accept years, weeks and bare dates.
_HOUR = r"(?:[01]\d|2[0-3])"
_LAYOUT = re.compile(rf"\d{{4}}-\d\d-\d\dT{_HOUR}:\d\d:\d\d(?:\.\d{{1,9}})?(Z|[+-]{_HOUR}:[0-5]\d)?", flags=re.ASCII)
# A time in a wrong layout: too few digits in a row for a phone number.
_LIKE_A_TIME = re.compile(
    r"\d{4}-\d\d?-\d\d?(?:[Tt ]\d\d?:\d\d?(?::\d\d?(?:[.,]\d{0,6})?)?(?:[Zz]| ?[+-]\d\d:?\d\d)?)?", flags=re.ASCII
)
_KINDS = {str: "a text", dict: "an object", list: "a list", bool: "a boolean"}
MAX_DEPTH = 300
"""How many levels of lists and objects a record may have."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Window:
    """A span of time in whole Unix seconds, UTC, both ends included."""

    since: int
    until: int


Key = str | tuple[str]
"""Identifies a customer of a page: the psid, else Pancake's id in a tuple, so that it never equals a psid."""


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer that can be synced: it has an id and a valid `updated_at`."""

    key: Key
    page_id: str
    updated_at: int
    """Whole Unix seconds, floored, UTC."""
    version: str
    """`updated_at` as text, exactly as in Pancake."""
    data: dict[str, Any] = field(repr=False, compare=False)
    """The whole record, unchanged."""

    @property
    def psid(self) -> str | None:
        """The psid as FolkForm stores it; None if there is none."""
        return psid_of(self.key)

    @property
    def pancake_id(self) -> str | None:
        """Pancake's id as FolkForm stores it."""
        return read_identifier(self.data.get("id"))

    def hide(self, text: str) -> str:
        """The first 300 characters of *text*, personal data masked; the ids of this customer and its page stay."""
        return mask_personal(text, self.data, [one for one in (self.psid, self.pancake_id, self.page_id) if one])


@dataclass(frozen=True, slots=True)
class Malformed:
    """A record that cannot be synced, with the ids and the time that are readable."""

    pancake_id: str | None
    psid: str | None
    updated_at: int | None
    reason: str
    identity: str = field(repr=False)
    """Distinguishes malformed records: the id, else the psid, else the whole record."""


def read_customer(data: Any, page_id: str) -> Customer | Malformed:
    """Reads one element of Pancake's list for a page."""
    if not isinstance(data, dict):
        return Malformed(None, None, None, "not an object", _digest(data))
    version: Any = data.get("updated_at")
    pancake_id, psid = read_identifier(data.get("id")), read_identifier(data.get("psid"))
    is_too_deep = is_deeper(data, MAX_DEPTH)
    identity = pancake_id or psid or ("nested too deeply" if is_too_deep else _digest(data))
    try:
        updated_at = parse_customer_updated_at(version)
    except ValueError as error:
        return Malformed(pancake_id, psid, None, str(error), identity)
    if is_too_deep:  # FolkForm could not store it, and Python could not send it.
        return Malformed(pancake_id, psid, updated_at, f"nested more than {MAX_DEPTH} levels deep", identity)
    key = key_of(psid, pancake_id)
    if pancake_id is None or key is None:  # FolkForm rejects a customer without an id.
        return Malformed(None, psid, updated_at, "id is missing", identity)
    if data.get("page_id") and read_identifier(data["page_id"]) != page_id:  # FolkForm would store it for that page.
        return Malformed(pancake_id, psid, updated_at, "page_id is another page's", identity)
    if psid is None and not (data.get("psid") is None or isinstance(data["psid"], str)):
        return Malformed(pancake_id, None, updated_at, "psid is not a text", identity)
    return Customer(key, page_id, updated_at, version, data)


def second_record(newer_id: str | None) -> str:
    """Why the older record of a psid that Pancake lists twice is malformed."""
    return f"Pancake has a newer record of this psid (id {newer_id})"


def _digest(data: Any) -> str:
    """Tells records without an id apart; a page may list thousands of them."""
    return blake2b(repr(data).encode(errors="surrogatepass"), digest_size=16).hexdigest()


def is_deeper(value: Any, levels: int) -> bool:
    """Whether lists and objects are nested in more than so many *levels*."""
    layer = [value]
    for _ in range(levels):
        layer = [
            inner
            for outer in layer
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not layer:
            return False
    return True


def key_of(psid: str | None, pancake_id: str | None) -> Key | None:
    """The key of a customer with these ids; None if it has neither."""
    return psid or (None if pancake_id is None else (pancake_id,))


def psid_of(key: Key) -> str | None:
    """The psid in a key; None if the key is Pancake's id."""
    return key if isinstance(key, str) else None


def read_identifier(value: Any) -> str | None:
    """A psid or an id as FolkForm stores it, a number as text; None if there is none."""
    if isinstance(value, str):
        return kept_text(value) if value.strip() else None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) and value in INT64 else None


def parse_customer_updated_at(value: Any) -> int:
    """Unix seconds (floored, UTC) of Pancake's `updated_at`; without a zone it is UTC.

    Accepts the guide's layouts: microseconds, none, RFC 3339, nanoseconds, any offset. Raises ValueError for anything
    else and for times up to 1970, which mean "no time". Its message quotes nothing that may be a name or a number.
    """
    if value is None:
        raise ValueError("updated_at is missing")
    try:
        if not (isinstance(value, str) and _LAYOUT.fullmatch(value)):
            raise ValueError
        moment = datetime.fromisoformat(value)  # Runs for every customer; dateutil's parser is forty times slower.
        since_epoch = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH
    except (ValueError, OverflowError):
        shown = repr(value) if looks_like_time(value) else _KINDS.get(type(value), "a number")
        raise ValueError(f"updated_at is not a time: {shown}") from None
    seconds = since_epoch.days * 86400 + since_epoch.seconds
    if seconds <= 0:
        raise ValueError(f"updated_at is not after 1970: {value!r}")
    return seconds


def local_version(version: str) -> str:
    """A *version* in this machine's zone, as all times of an output; what is no time stays as it is."""
    try:
        day, second, zone = local_time(parse_customer_updated_at(version)).split()
    except ValueError:
        return version
    fraction = re.search(r"\.\d+", version)
    return f"{day} {second}{fraction[0] if fraction else ''} {zone}"


def looks_like_time(value: Any) -> bool:
    """Whether *value* is a time, in whatever layout, and so no name and no phone number."""
    return isinstance(value, str) and bool(_LAYOUT.fullmatch(value) or _LIKE_A_TIME.fullmatch(value))
