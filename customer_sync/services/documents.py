"""FolkForm's documents of customers: whose they are, and which version they hold.

Facts: what is absent, or was not asked for, has a zero value.
"""

from dataclasses import dataclass, field
from typing import Any

from customer_sync.core.customer import Key, key_of, psid_of, read_identifier
from customer_sync.core.errors import ContractBroken
from customer_sync.services.folkform_access import SERVICE

VERSION_PATH = "panCakeData.updated_at"


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
    data: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """The fields that Pancake gave, as far as they were asked for."""

    @property
    def psid(self) -> str | None:
        return psid_of(self.key)

    @property
    def has_time(self) -> bool:
        """Whether it has a place among the others: another writer stores 0 where it does not know Pancake's time."""
        return self.time > 0


def read_documents(data: Any) -> list[Any]:
    """The documents of an answer: a list, `{"items": list}`, or null for none. Raises ContractBroken for all else."""
    items = data.get("items", ...) if isinstance(data, dict) else data
    if items is None:
        return []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ContractBroken(SERVICE, "answered something else than a list of documents")
    return items


def of_page(documents: list[Any], page_id: str) -> list[Any]:
    """The *documents* that were asked for by page. Raises ContractBroken where one names another page."""
    for document in documents:
        if (other := read_identifier(document.get("pageId"))) not in (None, read_identifier(page_id)):
            problem = f"ignores the filter pageId: asked for page {page_id}, it returned customers of page {other}"
            raise ContractBroken(SERVICE, problem, "Ask those who run FolkForm: no pass can work until it filters.")
    return documents


def read_stored(document: dict[str, Any], time: int) -> StoredVersion | None:
    """A document as a version of its customer; None where it names no customer."""
    names = ("psid", "customerId", "id", "pageId")
    psid, pancake_id, record_id, page_id = (read_identifier(document.get(name)) for name in names)
    key, data = key_of(psid, pancake_id), document.get("panCakeData")
    if key is None:
        return None
    data = data if isinstance(data, dict) else {}
    return StoredVersion(key, read_version(document), time, pancake_id, record_id, page_id, data)


def read_version(document: dict[str, Any]) -> str | None:
    """The version that a document holds."""
    version = value_at(document, VERSION_PATH)
    return version if isinstance(version, str) else None


def value_at(document: dict[str, Any], path: str) -> Any:
    """The value at a dotted path; None where there is none."""
    value: Any = document
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value
