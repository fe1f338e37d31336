"""FolkForm, where the customers go: pages, what is stored already, and the upsert.

Facts: FolkForm's routes and envelope, as two real servers answered them (`tests/conformance/`).
"""

import json
import logging
import threading
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import count, islice
from typing import Any
from urllib.parse import quote, quote_plus

from customer_sync.core.customer import Customer, Key
from customer_sync.core.errors import ContractBroken, Refused
from customer_sync.core.page import Page
from customer_sync.http.session import Call
from customer_sync.services.customer_path import NEWER_PATH, PATH
from customer_sync.services.documents import (
    StoredCustomer,
    StoredVersion,
    TimeField,
    read_stored,
    read_stored_customer,
    read_time,
    text_second,
    updated_at_is_pancakes,
    version_time,
)
from customer_sync.services.folkform_access import SERVICE, FolkFormAccess
from customer_sync.services.folkform_order import LARGEST_LIMIT, documents_in_order, in_order
from customer_sync.services.role import Role

log = logging.getLogger(__name__)

MAX_NAMES_PER_QUERY = 50
_PAGES_AT_ONCE = 50
_SAMPLE = 100
_LONGEST_LIST = 1500
_NAMES = ("psid", "customerId", "pageId")

Filter = Mapping[str, str]
"""Which document an upsert changes: FolkForm takes the first that it finds, else it inserts one."""


class FolkFormClient:
    """Asks FolkForm, and writes customers and page tokens into it. Threads share it."""

    def __init__(self, access: FolkFormAccess) -> None:
        self._access = access
        self._time_field: TimeField | None = None
        self._learning = threading.Lock()

    @property
    def role_id(self) -> str | None:
        """The role that it is asked in."""
        return self._access.role.current

    @property
    def customer_path(self) -> str:
        """Where it keeps customers."""
        return self._access.customer_path.current

    def roles(self) -> list[Role] | None:
        """The roles of the token's user; None where an older server does not know roles."""
        return self._access.roles()

    def ensure_up(self, page_id: str) -> None:
        """After an outage, one call that is not counted before any other. Raises Unreachable while it lasts."""
        self._access.ensure_up(page_id)

    def ping(self, page_id: str) -> None:
        """Asks whether FolkForm is up, which its limit does not count. Raises Unreachable when it is not."""
        self._access.ping(page_id)

    def pages(self) -> list[Page]:
        """Every page record, synced or not."""
        records = self._page_records()
        if not records and self._access.take_another_role():
            records = self._page_records()
        pages = [_read_page(record) for record in records]
        if nameless := pages.count(None):
            log.info("FolkForm lists %d page records without a pageId, which are not synced", nameless)
        return list({page.page_id: page for page in pages if page}.values())

    def page(self, page_id: str) -> Page:
        """One page record, as it is now. Raises Refused when there is none."""
        path = f"/facebook/page/find-by-page-id/{quote(page_id, safe='')}"
        page = _read_page(self._access.get(path, {}, page_id=page_id))
        if page is None:
            raise ContractBroken(SERVICE, f"answered something else than the record of page {page_id}")
        return page

    def store_page_token(self, page_id: str, token: str) -> None:
        """Stores a new page token, where every program finds it."""
        body = {"pageId": page_id, "pageAccessToken": token}
        self._access.data(Call("PUT", "/facebook/page/update-token", {}, body, page_id=page_id, must_complete=True))

    def upsert_customer(self, customer: Customer, where: Filter | None = None, *, tries_on_500: int = 1) -> None:
        """Inserts or updates a customer, found by psid and page, without a psid by Pancake's id; *where* finds another.

        Raises ServerError at so many of FolkForm's own 500s, which may be about this customer alone (*tries_on_500*).
        No error names the customer.
        """
        body = {"panCakeData": {**customer.data, "page_id": customer.data.get("page_id") or customer.page_id}}
        call = Call(
            "POST",
            "/upsert-one",
            {"filter": json.dumps(where or _filter_of(customer))},
            body,
            page_id=customer.page_id,
            hide=customer.hide,
            tries_on_500=tries_on_500,
        )
        self._access.session.call(call, self._access.customer_path)

    def look_up(self, customer: Customer) -> Filter:
        """Why FolkForm may have refused a customer with 500: it keeps Pancake's id once. Returns the filter that finds
        the record to update: an earlier one of the same customer, under another psid or none.

        Raises Refused when that record is another page's, or newer; Unreachable when FolkForm is down.
        """
        held = self.records_of([customer.pancake_id], page_id=customer.page_id).get(customer.pancake_id)
        if held is None:
            return _filter_of(customer)
        if problem := conflict(customer.page_id, customer.updated_at, held):
            raise Refused(SERVICE, problem)
        page = {"pageId": held.page_id} if held.page_id else {}
        return {"customerId": str(customer.pancake_id), **page}

    def time_field(self) -> TimeField | None:
        """Where it keeps Pancake's time: learned once, as soon as it holds anything; None while it is empty."""
        with self._learning:
            if self._time_field is None:
                self._time_field = self._time_field_in_use()
            return self._time_field

    def last_customers(self, page_id: str, limit: int, until: int | None = None) -> list[StoredVersion]:
        """The newest documents of a page by Pancake's time, newest first; those after *until* do not count."""
        return self._first(page_id, limit, newest_first=True, until=until)

    def oldest_customers(self, page_id: str, limit: int) -> list[StoredVersion]:
        """The oldest documents of a page by Pancake's time, oldest first."""
        return self._first(page_id, limit, newest_first=False)

    def versions(self, page_id: str, until: int | None = None) -> Iterator[StoredVersion]:
        """Every document of a page with a time, newest first, read as they are asked for; those after *until* (Unix
        seconds) are left out.
        """
        if field := self.time_field():
            yield from self._in_order(page_id, field, newest_first=True, batch=LARGEST_LIMIT, until=until)

    def all_versions(self, page_id: str) -> Iterator[StoredVersion]:
        """Every document of a page, with a time or without (0): by psid, then by id those that have no psid."""
        find = partial(self._find, page_id=page_id)
        without_psid = {"psid": {"$in": ["", None]}, "customerId": {"$gt": ""}}
        for filter_, path in (({"psid": {"$gt": ""}}, "psid"), (without_psid, "customerId")):
            for document in documents_in_order(find, {"pageId": page_id, **filter_}, path):
                if stored := read_stored(document, self._time_of(document)):
                    yield stored

    def versions_of(self, page_id: str, keys: Iterable[Key]) -> list[StoredVersion]:
        """The documents of these customers of a page; of one there may be several, or none."""
        wanted: dict[str, list[str]] = {"psid": [], "customerId": []}
        for key in keys:
            wanted["psid" if isinstance(key, str) else "customerId"].append(key if isinstance(key, str) else key[0])
        return [
            stored
            for name, values in wanted.items()
            for document in self._find_each(name, values, {"pageId": page_id}, page_id)
            if (stored := read_stored(document, self._time_of(document)))
        ]

    def records_of(self, pancake_ids: Iterable[str | None], *, page_id: str) -> dict[str | None, StoredVersion]:
        """The documents with these ids of Pancake's, of whichever page, by id."""
        found = self._find_each("customerId", [one for one in pancake_ids if one], {}, page_id)
        records = (read_stored(document, version_time(document)) for document in found)
        return {record.pancake_id: record for record in records if record}

    def customers(self, page_id: str, name: str) -> list[StoredCustomer]:
        """The documents of the customer of a page whose psid, or else whose id in Pancake, is *name*, newest first."""
        for path in ("psid", "customerId"):
            params = {"filter": json.dumps({"pageId": page_id, path: name}), "options": json.dumps({"limit": _SAMPLE})}
            found = _documents(self._access.at_customers(Call("GET", "/find", params, page_id=page_id)))
            if found:
                found.sort(key=lambda document: version_time(document) or 0, reverse=True)
                return [read_stored_customer(document) for document in found]
        return []

    def count(self, page_id: str) -> int:
        """How many documents FolkForm holds for a page."""
        params = {"filter": json.dumps({"pageId": page_id})}
        return self._read_count(self._access.at_customers(Call("GET", "/count", params, page_id=page_id)))

    def count_elsewhere(self) -> int:
        """How many documents there are at the newer path of a FolkForm that has both, where the older one is used."""
        if self._access.customer_path.is_set or self.customer_path != PATH:
            return 0
        try:
            return self._read_count(self._access.get(f"{NEWER_PATH}/count", {"filter": "{}"}))
        except Refused:  # It has only one.
            return 0

    def _read_count(self, number: Any) -> int:
        if not isinstance(number, int) or isinstance(number, bool):
            raise ContractBroken(SERVICE, "answered a count that is no number")
        return number

    def _page_records(self) -> list[dict[str, Any]]:
        records: list[dict[str, Any]] = []
        for number in count(1):
            asked = {"page": str(number), "limit": str(_PAGES_AT_ONCE)}
            data = self._access.get("/facebook/page/find-with-pagination", asked)
            found = _documents(data)
            nothing_new = all(record in records for record in found)
            records += found
            total = data.get("total") if isinstance(data, dict) else None
            if nothing_new or (isinstance(total, int) and len(records) >= total):
                break
        return records

    def _find(self, filter_: dict[str, Any], options: dict[str, Any], page_id: str | None = None) -> list[Any]:
        projection = dict.fromkeys((*_NAMES, *(field.value for field in TimeField)), 1)
        params = {"filter": json.dumps(filter_), "options": json.dumps({**options, "projection": projection})}
        return _documents(self._access.at_customers(Call("GET", "/find", params, page_id=page_id)))

    def _find_each(
        self, name: str, values: Iterable[str], filter_: dict[str, Any], page_id: str
    ) -> Iterator[dict[str, Any]]:
        """The documents in which *name* is one of the *values*, asked for by as many as a request line has room for."""
        for some in _in_short_lists(values):
            found = self._find({**filter_, name: {"$in": some}}, {"limit": LARGEST_LIMIT}, page_id)
            yield from (document for document in found if document.get(name) in some)

    def _first(self, page_id: str, limit: int, *, newest_first: bool, until: int | None = None) -> list[StoredVersion]:
        field = self.time_field()
        if field is None:
            return []
        batch = min(limit, LARGEST_LIMIT)
        found = list(islice(self._in_order(page_id, field, newest_first=newest_first, batch=batch, until=until), limit))
        # Another page may have found it out meanwhile: what counts is what this one was asked by.
        if field is TimeField.UPDATED_AT and any(text_second(stored.version) != stored.time for stored in found):
            # What was learned from a sample does not hold here: the time of a write must never be a mark.
            self._time_field = TimeField.VERSION
            return self._first(page_id, limit, newest_first=newest_first, until=until)
        return found

    def _in_order(
        self, page_id: str, field: TimeField, *, newest_first: bool, batch: int, until: int | None
    ) -> Iterator[StoredVersion]:
        find = partial(self._find, page_id=page_id)
        return in_order(find, page_id, field, newest_first=newest_first, batch=batch, until=until)

    def _time_of(self, document: dict[str, Any]) -> int | None:
        field = self._time_field
        return version_time(document) if field in (None, TimeField.VERSION) else read_time(document.get(field.value))

    def _time_field_in_use(self) -> TimeField | None:
        sample = self._find({}, {"limit": _SAMPLE})
        if not sample:
            return self._time_field_in_use() if self._access.take_another_role() else None
        pancake_time = TimeField.PANCAKE_UPDATED_AT
        # Another writer may have left zeros in the sample, so its absence there proves nothing.
        if any(read_time(document.get(pancake_time.value)) for document in sample) or self._find(
            {pancake_time.value: {"$gt": 0}}, {"limit": 1}
        ):
            return pancake_time
        if all(updated_at_is_pancakes(document) for document in sample):
            return TimeField.UPDATED_AT
        return TimeField.VERSION


def _documents(data: Any) -> list[Any]:
    """The documents of an answer: a list, `{"items": list}`, or null for none."""
    items = data.get("items", ...) if isinstance(data, dict) else data
    if items is None:
        return []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ContractBroken(SERVICE, "answered something else than a list of documents")
    return items


def _filter_of(customer: Customer) -> Filter:
    """What finds a customer's document. Pancake's id is unique by itself; with the page no other page's is changed."""
    name = {"customerId": str(customer.pancake_id)} if customer.psid is None else {"psid": customer.psid}
    return {**name, "pageId": customer.page_id}


def conflict(page_id: str, updated_at: int, held: StoredVersion) -> str:
    """Why the record that has a customer's id is not an earlier one of the same customer; empty where it may be."""
    under = f"holds Pancake's id {held.pancake_id} as psid {held.psid or 'none'} of page {held.page_id}"
    if held.page_id and held.page_id != page_id:
        return under
    return f"{under}, in a newer version" if held.time > updated_at else ""


def _in_short_lists(values: Iterable[str]) -> Iterator[list[str]]:
    """Lists of psids or ids that a request line has room for: FolkForm takes 4,096 bytes of it and all headers."""
    some: list[str] = []
    room = _LONGEST_LIST
    for value in values:
        length = len(quote_plus(json.dumps(value) + ", "))
        if some and (len(some) == MAX_NAMES_PER_QUERY or length > room):
            yield some
            some, room = [], _LONGEST_LIST
        some.append(value)
        room -= length
    if some:
        yield some


def _read_page(record: Any) -> Page | None:
    page_id = record.get("pageId") if isinstance(record, dict) else None
    if not isinstance(page_id, str) or not page_id:
        return None
    return Page(
        page_id,
        str(record.get("pageName") or record.get("pageUsername") or ""),
        record.get("isSync") is True,
        str(record.get("pageAccessToken") or ""),
        str(record.get("accessToken") or ""),
    )
