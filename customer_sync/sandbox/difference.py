"""An exact comparison of both sides: missing, stale and changed customers."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from customer_sync.sandbox.fb_customer import identifier
from customer_sync.sandbox.folkform import Document, FolkForm
from customer_sync.sandbox.json_text import canonical
from customer_sync.sandbox.kept import kept
from customer_sync.sandbox.pancake import SECOND, Customer, Pancake
from customer_sync.sandbox.times import microseconds


@dataclass
class PageDifference:
    """How FolkForm differs from Pancake for one page: lists of psids, or of ids if there is no psid."""

    missing: list[str] = field(default_factory=list)
    """In Pancake only."""
    stale: list[str] = field(default_factory=list)
    """In both, with another `updated_at`."""
    changed: list[str] = field(default_factory=list)
    """In both with the same `updated_at`, but with another difference."""
    extra: list[str] = field(default_factory=list)
    """In FolkForm only."""
    duplicate: list[str] = field(default_factory=list)
    """In FolkForm twice; the newer record is compared."""
    malformed: list[str] = field(default_factory=list)
    """Pancake's ids of malformed customers, without id or readable `updated_at`. They are no difference."""

    @property
    def equal(self) -> bool:
        """Whether FolkForm has exactly the customers that can be synced."""
        return not (self.missing or self.stale or self.changed or self.extra or self.duplicate)


@dataclass
class Difference:
    """How FolkForm differs from Pancake, page by page."""

    pages: dict[str, PageDifference]

    @property
    def equal(self) -> bool:
        """Whether no page differs."""
        return all(page.equal for page in self.pages.values())

    @property
    def missing(self) -> list[str]:
        """Missing psids of all pages."""
        return self._all("missing")

    @property
    def stale(self) -> list[str]:
        """Stale psids of all pages."""
        return self._all("stale")

    @property
    def changed(self) -> list[str]:
        """Changed psids of all pages."""
        return self._all("changed")

    @property
    def extra(self) -> list[str]:
        """Extra psids of all pages."""
        return self._all("extra")

    @property
    def duplicate(self) -> list[str]:
        """Duplicate psids of all pages."""
        return self._all("duplicate")

    @property
    def malformed(self) -> list[str]:
        """Pancake's ids of the malformed customers of all pages."""
        return self._all("malformed")

    def _all(self, kind: str) -> list[str]:
        return [psid for page in self.pages.values() for psid in getattr(page, kind)]


def compare(pancake: Pancake, folkform: FolkForm, page_id: str | None = None) -> Difference:
    """Compares one page, or all pages of either side."""
    page_ids = [page_id] if page_id else dict.fromkeys([*pancake.page_ids(), *folkform.page_ids()])
    return Difference({each: _compare_page(pancake, folkform, each) for each in page_ids})


def _compare_page(pancake: Pancake, folkform: FolkForm, page_id: str) -> PageDifference:
    result = PageDifference()
    documents: dict[str, Document] = {}
    for document in sorted(folkform.documents(page_id), key=_stored_time):
        name = _name(document.get("psid"), document.get("customerId"))
        if name in documents:
            result.duplicate.append(name)
        documents[name] = document
    listed = pancake.customers(page_id)
    customers, malformed = _sorted_out(page_id, (each if isinstance(each, dict) else {} for each in listed))
    for customer in malformed:
        result.malformed.append(str(customer.get("id")))
        documents.pop(_name(customer.get("psid"), customer.get("id")), None)
    for name, customer in customers.items():
        found = documents.pop(name, None)
        if found is None:
            result.missing.append(name)
            continue
        expected = kept({**customer, "page_id": customer.get("page_id") or page_id})
        stored = found.get("panCakeData")
        if not isinstance(stored, dict) or stored.get("updated_at") != customer["updated_at"]:
            result.stale.append(name)
        elif canonical(stored) != canonical(expected):
            result.changed.append(name)
    result.extra = list(documents)
    return result


def _sorted_out(page_id: str, customers: Iterable[Customer]) -> tuple[dict[str, Customer], list[Customer]]:
    """The customers that can be synced, by psid or else id, the newest of duplicates; and the malformed ones."""
    by_name: dict[str, Customer] = {}
    malformed = []
    for customer in sorted(customers, key=_time):
        psid = customer.get("psid")
        readable = psid is None or isinstance(psid, str) or bool(identifier(psid))
        own = customer.get("page_id") in (None, "", page_id)
        if identifier(customer.get("id")).strip() and readable and own and _time(customer) >= SECOND:
            by_name[_name(customer.get("psid"), customer.get("id"))] = customer
        else:
            malformed.append(customer)
    return by_name, malformed


def _name(psid: Any, customer_id: Any) -> str:
    """A customer's key: the psid, else Pancake's id."""
    known = identifier(psid)
    return known if known.strip() else identifier(customer_id)


def _stored_time(document: Document) -> int:
    data = document.get("panCakeData")
    return microseconds(data.get("updated_at")) or 0 if isinstance(data, dict) else 0


def _time(customer: Customer) -> int:
    return microseconds(customer.get("updated_at")) or 0
