"""What FolkForm's documents of customers say: who it is, which version, and when Pancake changed it.

Facts: times above 10^11 are milliseconds, 0 is no time; what was not asked for, or is absent, has a zero value.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from customer_sync.core.customer import Key, key_of, parse_customer_updated_at, psid_of, read_identifier

_MILLISECONDS_FROM = 10**11
# The first second that no date holds: 10000-01-01T00:00:00Z.
_END_OF_TIME = 253_402_300_800


class TimeField(Enum):
    """Where this FolkForm keeps Pancake's time: it has three dialects, told apart by what is stored."""

    PANCAKE_UPDATED_AT = "panCakeUpdatedAt"
    UPDATED_AT = "updatedAt"
    VERSION = "panCakeData.updated_at"
    """The version itself: text, which sorts by time but for its zone."""

    @property
    def least(self) -> Any:
        """Below every time that it can hold."""
        return "" if self is TimeField.VERSION else 0


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """One document of a customer. *time* is Pancake's, whole Unix seconds, UTC; 0 where it has none."""

    key: Key
    version: str | None
    time: int
    pancake_id: str | None = field(default=None, compare=False)
    record_id: str | None = field(default=None, compare=False)
    """FolkForm's own id of the document."""
    page_id: str | None = field(default=None, compare=False)

    @property
    def psid(self) -> str | None:
        return psid_of(self.key)


@dataclass(frozen=True, slots=True)
class StoredCustomer:
    """A customer's whole document."""

    psid: str | None
    pancake_id: str | None
    version: str | None
    record_id: str | None
    data: dict[str, Any] = field(repr=False)
    """All fields that Pancake gave."""


def read_key(document: dict[str, Any]) -> Key | None:
    """What a document's customer is known by; None where it says neither psid nor id."""
    return key_of(read_identifier(document.get("psid")), read_identifier(document.get("customerId")))


def read_stored(document: dict[str, Any], time: int | None) -> StoredVersion | None:
    """A document as a version of its customer; None where it does not say whose."""
    key, customer_id = read_key(document), read_identifier(document.get("customerId"))
    if key is None:
        return None
    ids = (read_identifier(document.get(name)) for name in ("id", "pageId"))
    return StoredVersion(key, read_version(document), time or 0, customer_id, *ids)


def read_stored_customer(document: dict[str, Any]) -> StoredCustomer:
    """A whole document."""
    psid, customer_id, record_id = (read_identifier(document.get(name)) for name in ("psid", "customerId", "id"))
    data = document.get("panCakeData")
    return StoredCustomer(psid, customer_id, read_version(document), record_id, data if isinstance(data, dict) else {})


def value_at(document: dict[str, Any], path: str) -> Any:
    """The value at a dotted path; None where there is none."""
    value: Any = document
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def read_version(document: dict[str, Any]) -> str | None:
    """The version that is stored."""
    data = document.get("panCakeData")
    version = data.get("updated_at") if isinstance(data, dict) else None
    return version if isinstance(version, str) else None


def version_time(document: dict[str, Any]) -> int | None:
    """Whole Unix seconds of the version that is stored."""
    return text_second(read_version(document))


def text_second(version: str | None) -> int | None:
    """Whole Unix seconds of a version; None where it is unreadable."""
    try:
        return parse_customer_updated_at(version)
    except ValueError:
        return None


def read_time(value: Any) -> int | None:
    """Whole Unix seconds of a stored time; None for 0, which is no time, and for what is no number or no date holds."""
    if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
        return None
    seconds = value // 1000 if value > _MILLISECONDS_FROM else value
    return int(seconds) if seconds < _END_OF_TIME else None


def updated_at_is_pancakes(document: dict[str, Any]) -> bool:
    """Whether a document's `updatedAt` is Pancake's time and not that of the write."""
    time = read_time(document.get("updatedAt"))
    return time is not None and time == version_time(document)
