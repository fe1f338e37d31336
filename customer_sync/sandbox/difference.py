"""Both sides compared exactly: nobody missing, nobody stale, nobody changed on the way."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from customer_sync.sandbox.folkform import FolkForm
from customer_sync.sandbox.json_text import canonical
from customer_sync.sandbox.pancake import SECOND, Customer, Pancake
from customer_sync.sandbox.times import microseconds


@dataclass
class PageDifference:
    """How FolkForm differs from Pancake for one page, as lists of psids."""

    missing: list[str] = field(default_factory=list)
    """In Pancake only."""
    stale: list[str] = field(default_factory=list)
    """In both, with another `updated_at`."""
    changed: list[str] = field(default_factory=list)
    """In both with the same `updated_at`, but something else is not as Pancake has it."""
    extra: list[str] = field(default_factory=list)
    """In FolkForm only."""
    malformed: list[str] = field(default_factory=list)
    """Pancake's ids of customers who cannot be synced: no psid or no readable `updated_at`. No difference."""

    @property
    def equal(self) -> bool:
        """Whether every customer who can be synced is there, and nobody else."""
        return not (self.missing or self.stale or self.changed or self.extra)


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
    def malformed(self) -> list[str]:
        """Pancake's ids of the malformed customers of all pages."""
        return self._all("malformed")

    def _all(self, kind: str) -> list[str]:
        return [psid for page in self.pages.values() for psid in getattr(page, kind)]


def compare(pancake: Pancake, folkform: FolkForm, page_id: str | None = None) -> Difference:
    """Compares one page, or all that either side knows."""
    page_ids = [page_id] if page_id else dict.fromkeys([*pancake.page_ids(), *folkform.page_ids()])
    return Difference({each: _compare_page(pancake, folkform, each) for each in page_ids})


def _compare_page(pancake: Pancake, folkform: FolkForm, page_id: str) -> PageDifference:
    result = PageDifference()
    documents = {document.get("psid"): document for document in folkform.documents(page_id)}
    listed = pancake.customers(page_id)
    customers, malformed = _sorted_out(each if isinstance(each, dict) else {} for each in listed)
    for customer in malformed:
        result.malformed.append(str(customer.get("id")))
        if isinstance(psid := customer.get("psid"), str):
            documents.pop(psid, None)
    for psid, customer in customers.items():
        document = documents.pop(psid, None)
        if document is None:
            result.missing.append(psid)
            continue
        expected = {**customer, "page_id": customer.get("page_id") or page_id}
        stored = document.get("panCakeData")
        if not isinstance(stored, dict) or stored.get("updated_at") != customer["updated_at"]:
            result.stale.append(psid)
        elif canonical(stored) != canonical(expected):
            result.changed.append(psid)
    result.extra = [str(psid) for psid in documents]
    return result


def _sorted_out(customers: Iterable[Customer]) -> tuple[dict[str, Customer], list[Customer]]:
    """The customers who can be synced by psid, of several with the same the newest; and the others."""
    by_psid: dict[str, Customer] = {}
    malformed = []
    for customer in sorted(customers, key=_time):
        psid = customer.get("psid")
        if isinstance(psid, str) and psid.strip() and _time(customer) >= SECOND:
            by_psid[psid] = customer
        else:
            malformed.append(customer)
    return by_psid, malformed


def _time(customer: Customer) -> int:
    return microseconds(customer.get("updated_at")) or 0
