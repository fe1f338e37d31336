"""FolkForm's customers: the upsert, and what is stored already.

Facts: FolkForm's routes and envelope, as two real servers answered them (`tests/conformance/`).
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any
from urllib.parse import quote_plus

from customer_sync.core.customer import Customer, Key, read_identifier
from customer_sync.core.errors import ContractBroken, Refused
from customer_sync.core.stored_value import INT64
from customer_sync.http.session import Call
from customer_sync.services.customer_path import NEWER_PATH, PATH
from customer_sync.services.document_paging import LARGEST_LIMIT, documents_in_order
from customer_sync.services.documents import StoredVersion, of_page, read_documents, read_stored
from customer_sync.services.folkform_access import SERVICE, FolkFormAccess
from customer_sync.services.time_field import TIME_FIELDS, VERSION, TimeField, TimeFieldInUse

MAX_NAMES_PER_QUERY = 50
CORRECT_RECORD = "Correct the record that is wrong; until then no pass can write this customer."
_LONGEST_LIST = 1500
_MOST_RECORDS = 100
_PROJECTION = dict.fromkeys(("psid", "customerId", "pageId", *(field.path for field in TIME_FIELDS)), 1)

Filter = Mapping[str, str]
"""Which document an upsert changes: FolkForm takes the first that it finds, else it inserts one."""


class FolkFormClient:
    """Reads customers, and writes them. Threads share it."""

    def __init__(self, access: FolkFormAccess) -> None:
        self._access = access
        self._time_field = TimeFieldInUse(self._find, access.take_another_role)
        # Calls about FolkForm itself, not about its customers.
        self.roles, self.ping, self.ensure_up = access.roles, access.ping, access.ensure_up
        self.min_duration = access.min_duration

    @property
    def role_id(self) -> str | None:
        """The role in use."""
        return self._access.role.current

    @property
    def clock_ahead(self) -> float | None:
        """How far FolkForm's clock is ahead of ours, seconds; None while unknown."""
        return self._access.session.clock_ahead

    @property
    def customer_path(self) -> str:
        """Where FolkForm keeps customers."""
        return self._access.customer_path.current

    def upsert_customer(self, customer: Customer, where: Filter | None = None, *, tries_on_500: int = 1) -> None:
        """Inserts or updates a customer, found by psid and page, without a psid by Pancake's id; *where* finds another.

        Raises ServerError at so many of FolkForm's own 500s, which may be about this customer alone (*tries_on_500*).
        No error names the customer.
        """
        body = {"panCakeData": {**customer.data, "page_id": customer.data.get("page_id") or customer.page_id}}
        params = {"filter": json.dumps(where or filter_of(customer))}
        call = Call(
            "POST", "/upsert-one", params, body, page_id=customer.page_id, hide=customer.hide, tries_on_500=tries_on_500
        )
        stored = self._access.session.call(call, self._access.customer_path).body["data"]
        other = read_identifier(stored.get("pageId")) if isinstance(stored, dict) else None
        if other not in (None, read_identifier(customer.page_id)):
            raise ContractBroken(SERVICE, f"stored a customer of page {customer.page_id} under page {other}")

    def look_up(self, customer: Customer) -> Filter:
        """Which record to update where FolkForm refused the customer with 500: it stores Pancake's id once, and an
        earlier record of the customer, under another psid or none, may have it.

        Raises Refused when that record is another page's, or newer; Unreachable when FolkForm is down.
        """
        held = self.records_of([customer.pancake_id], page_id=customer.page_id).get(customer.pancake_id)
        if held is None:
            return filter_of(customer)
        if problem := conflict(customer.page_id, customer.updated_at, held):
            raise Refused(SERVICE, problem, CORRECT_RECORD)
        page = {"pageId": held.page_id} if held.page_id else {}
        return {"customerId": str(customer.pancake_id), **page}

    def time_field(self) -> TimeField | None:
        """Where FolkForm keeps Pancake's time; None while it is empty."""
        return self._time_field.get()

    def last_customers(self, page_id: str, limit: int, until: int | None = None) -> list[StoredVersion]:
        """The newest documents of a page by Pancake's time, newest first, up to *until* (Unix seconds)."""
        return self._first(page_id, limit, newest_first=True, until=until)

    def oldest_customers(self, page_id: str, limit: int) -> list[StoredVersion]:
        """The oldest documents of a page by Pancake's time, oldest first."""
        return self._first(page_id, limit, newest_first=False)

    def versions(self, page_id: str, until: int | None = None) -> Iterator[StoredVersion]:
        """The documents of a page with a time up to *until* (Unix seconds), newest first, read as they are needed."""
        if field := self.time_field():
            yield from self._by_time(page_id, field, newest_first=True, until=until)

    def all_versions(self, page_id: str) -> Iterator[StoredVersion]:
        """The documents of a page, with a time or without: by psid, then by id those that have no psid."""
        find, without_psid = partial(self._find, page_id=page_id), {"psid": {"$in": ["", None]}}
        for filter_, path in (({}, "psid"), (without_psid, "customerId")):
            documents = documents_in_order(find, {"pageId": page_id, **filter_, path: {"$gt": ""}}, path)
            yield from _read(documents, self._time_field.known)

    def versions_of(self, page_id: str, keys: Iterable[Key]) -> list[StoredVersion]:
        """The documents of these customers of a page; of one there may be several, or none."""
        names: dict[str, list[str]] = {"psid": [], "customerId": []}
        for key in keys:
            names["psid" if isinstance(key, str) else "customerId"].append(key if isinstance(key, str) else key[0])
        found = (one for name in names for one in self._find_each(name, names[name], page_id, pageId=page_id))
        return list(_read(found, self._time_field.known))

    def records_of(self, pancake_ids: Iterable[str | None], *, page_id: str) -> dict[str | None, StoredVersion]:
        """The documents with these ids of Pancake's, of whichever page, by id."""
        found = self._find_each("customerId", filter(None, pancake_ids), page_id)
        return {record.pancake_id: record for record in _read(found, VERSION)}

    def customers(self, page_id: str, name: str) -> list[StoredVersion]:
        """The whole documents of the customer of a page whose psid, or else Pancake id, is *name*, newest first."""
        for path in ("psid", "customerId"):
            found = self._get(
                "/find", page_id, filter={"pageId": page_id, path: name}, options={"limit": _MOST_RECORDS}
            )
            if documents := of_page(read_documents(found), page_id):
                return sorted(_read(documents, VERSION), key=lambda stored: -stored.time)
        return []

    def count(self, page_id: str) -> int:
        """How many documents FolkForm holds for a page."""
        return _read_count(self._get("/count", page_id, filter={"pageId": page_id}))

    def count_elsewhere(self) -> int:
        """How many documents there are at the newer path of a FolkForm that has both, where the older one is used."""
        if self._access.customer_path.is_set or self.customer_path != PATH:
            return 0
        try:
            return _read_count(self._access.get(f"{NEWER_PATH}/count", {"filter": "{}"}))
        except Refused:  # It has only one.
            return 0

    def _first(self, page_id: str, limit: int, *, newest_first: bool, until: int | None = None) -> list[StoredVersion]:
        while field := self.time_field():
            versions = self._by_time(page_id, field, newest_first=newest_first, until=until, wanted=limit)
            found = list(islice(versions, limit))
            if not self._time_field.refute(field, found):
                return found
        return []

    def _by_time(
        self, page_id: str, field: TimeField, *, newest_first: bool, until: int | None, wanted: int = LARGEST_LIMIT
    ) -> Iterator[StoredVersion]:
        """The documents of a page that have a time. *wanted* is how many will be read, as far as that is known."""
        filter_ = {"pageId": page_id, field.path: field.condition(until)}
        limit = min(max(wanted, field.smallest_batch), LARGEST_LIMIT)
        find = partial(self._find, page_id=page_id)
        documents = documents_in_order(find, filter_, field.path, newest_first=newest_first, limit=limit)
        versions = (stored for stored in _read(documents, field) if stored.has_time)
        for stored in field.by_time(versions, newest_first=newest_first):
            if until is None or stored.time <= until:
                yield stored

    def _find_each(self, name: str, values: Iterable[str], page_id: str, **filter_: Any) -> Iterator[dict[str, Any]]:
        """The documents in which *name* is one of the *values*."""
        for some in _in_short_lists(values):
            found = self._find({**filter_, name: {"$in": some}}, {"limit": LARGEST_LIMIT}, page_id)
            yield from (document for document in found if document.get(name) in some)

    def _find(self, filter_: dict[str, Any], options: dict[str, Any], page_id: str | None = None) -> list[Any]:
        options = {**options, "projection": _PROJECTION}
        documents = read_documents(self._get("/find", page_id, filter=filter_, options=options))
        return of_page(documents, filter_["pageId"]) if "pageId" in filter_ else documents

    def _get(self, path: str, page_id: str | None, **query: dict[str, Any]) -> Any:
        params = {name: json.dumps(value) for name, value in query.items()}
        return self._access.at_customers(Call("GET", path, params, page_id=page_id))


def filter_of(customer: Customer) -> Filter:
    """What finds a customer's document. Pancake's id is unique by itself; with the page no other page's is changed."""
    name = {"customerId": str(customer.pancake_id)} if customer.psid is None else {"psid": customer.psid}
    return {**name, "pageId": customer.page_id}


def conflict(page_id: str, updated_at: int, held: StoredVersion) -> str:
    """Why the record that has a customer's id is not an earlier one of the same customer; empty where it may be."""
    under = f"holds Pancake's id {held.pancake_id} as psid {held.psid or 'none'} of page {held.page_id}"
    if is_another_pages(held, page_id):
        return under
    return f"{under}, in a newer version" if is_newer(held, updated_at) else ""


def is_another_pages(held: StoredVersion, page_id: str) -> bool:
    """Whether a record is of another page."""
    return bool(held.page_id) and held.page_id != page_id


def is_newer(held: StoredVersion, updated_at: int) -> bool:
    """Whether a record holds a newer version than that of *updated_at* (Unix seconds)."""
    return held.time > updated_at


def _in_short_lists(values: Iterable[str]) -> Iterator[list[str]]:
    """Lists that a request line has room for: FolkForm takes 4,096 bytes of it and all headers."""
    some: list[str] = []
    for value in values:
        longer = [*some, value]
        if some and (len(some) == MAX_NAMES_PER_QUERY or len(quote_plus(json.dumps(longer))) > _LONGEST_LIST):
            yield some
            longer = [value]
        some = longer
    if some:
        yield some


def _read(documents: Iterable[dict[str, Any]], field: TimeField) -> Iterator[StoredVersion]:
    """The documents that name a customer."""
    for document in documents:
        if stored := read_stored(document, field.read(document)):
            yield stored


def _read_count(number: Any) -> int:
    if type(number) is not int or number < 0 or number not in INT64:
        raise ContractBroken(SERVICE, "answered a count that is no number")
    return number
