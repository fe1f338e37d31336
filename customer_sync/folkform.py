"""FolkForm, where the customers go: pages, what is stored already, and the upsert.

Facts: FolkForm's routes and envelope as its Go service serves them; times above 10^11 are milliseconds.
"""

import heapq
import json
import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import Enum
from itertools import count, islice
from typing import Any
from urllib.parse import quote, quote_plus

from customer_sync.customer import Customer, parse_customer_updated_at
from customer_sync.errors import ContractBroken, Refused, TokenRefused, Unreachable
from customer_sync.http import TRIES, UNAUTHORIZED, Answer, ApiSession, Call
from customer_sync.page import Page
from customer_sync.rate_limiter import AdaptiveRateLimiter
from customer_sync.sign_in import RENEWED_IN_VAIN, BearerToken

log = logging.getLogger(__name__)

SERVICE = "FolkForm"
CHECK_TOKEN = "Check FOLKFORM_TOKEN, FOLKFORM_ROLE_ID and what that role may do."
LARGEST_LIMIT = 1000
_PAGES_AT_ONCE = 50
_SAMPLE = 100
MOST_PSIDS = 50
_LONGEST_LIST = 1500
_MILLISECONDS_FROM = 10**11
# The first second that no date holds: 10000-01-01T00:00:00Z.
_END_OF_TIME = 253_402_300_800
# A text with a zone may sort this much before or after its true time.
_ZONES_EAST, _ZONES_WEST = 14 * 3600, 12 * 3600


class TimeField(Enum):
    """Where this FolkForm keeps Pancake's time: it has three dialects, told apart by what is stored."""

    PANCAKE_UPDATED_AT = "panCakeUpdatedAt"
    UPDATED_AT = "updatedAt"
    VERSION = "panCakeData.updated_at"
    """The version itself: text, which sorts by time but for its zone."""


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """What FolkForm holds of a customer. *time* is Pancake's, whole Unix seconds, UTC."""

    psid: str
    version: str | None
    time: int


@dataclass(frozen=True, slots=True)
class StoredCustomer:
    """A customer's whole document in FolkForm."""

    psid: str | None
    version: str | None
    data: dict[str, Any] = field(repr=False)
    """What Pancake said about her."""


class FolkFormClient:
    """Calls FolkForm. Threads share it."""

    def __init__(
        self,
        session: ApiSession,
        limiter: AdaptiveRateLimiter,
        *,
        token: BearerToken,
        role_id: str | None,
        customer_path: str,
    ) -> None:
        self._session = session
        self._limiter = limiter
        self._token = token
        self._role_id = role_id
        self._customers = customer_path
        self._time_field: TimeField | None = None
        self._learning = threading.Lock()
        self._down = threading.Event()

    def pages(self) -> list[Page]:
        """Every page record, synced or not."""
        records: list[dict[str, Any]] = []
        for number in count(1):
            data = self._get("/facebook/page/find-with-pagination", {"page": str(number), "limit": str(_PAGES_AT_ONCE)})
            found = _documents(data)
            nothing_new = all(record in records for record in found)
            records += found
            total = data.get("total") if isinstance(data, dict) else None
            if nothing_new or (isinstance(total, int) and len(records) >= total):
                break
        if not records:
            self._check_role()
        pages = [_read_page(record) for record in records]
        if nameless := pages.count(None):
            log.info("FolkForm lists %d page records without a pageId, which are not synced", nameless)
        return list({page.page_id: page for page in pages if page}.values())

    def roles(self) -> list[str]:
        """The ids of the roles that the token's user has; none where an older server knows no roles."""
        try:
            return _read_roles(self._get("/auth/roles", {}))
        except (Refused, ContractBroken):
            return []

    def page(self, page_id: str) -> Page:
        """One page record, as it is now. Raises Refused when there is none."""
        page = _read_page(self._get(f"/facebook/page/find-by-page-id/{quote(page_id, safe='')}", {}, about=page_id))
        if page is None:
            raise ContractBroken(SERVICE, f"answered something else than the record of page {page_id}")
        return page

    def store_page_token(self, page_id: str, token: str) -> None:
        """Keeps a new page token, so that everybody finds it."""
        body = {"pageId": page_id, "pageAccessToken": token}
        self._call(Call("PUT", "/facebook/page/update-token", {}, body, about=page_id, finishes=True))

    def upsert_customer(self, customer: Customer) -> None:
        """Inserts or updates her, found by psid and page. Errors do not tell who she is."""
        body = {"panCakeData": {**customer.data, "page_id": customer.data.get("page_id") or customer.page_id}}
        params = {"filter": json.dumps({"psid": customer.psid, "pageId": customer.page_id})}
        call = Call(
            "POST",
            f"{self._customers}/upsert-one",
            params,
            body,
            about=customer.page_id,
            hide=customer.hide,
        )
        self._call(call)

    def time_field(self) -> TimeField | None:
        """Where it keeps Pancake's time: learned once, as soon as it holds anything; None while it is empty."""
        with self._learning:
            if self._time_field is None:
                self._time_field = self._time_field_in_use()
            return self._time_field

    def last_customers(self, page_id: str, limit: int, until: int | None = None) -> list[StoredVersion]:
        """The newest customers of a page by Pancake's time, newest first; those after *until* do not count."""
        return self._first(page_id, limit, newest_first=True, until=until)

    def oldest_customers(self, page_id: str, limit: int) -> list[StoredVersion]:
        """The oldest customers of a page by Pancake's time, oldest first."""
        return self._first(page_id, limit, newest_first=False)

    def versions(self, page_id: str, until: int | None = None) -> Iterator[StoredVersion]:
        """Every customer of a page who has a time, newest first, read as they are asked for; those after *until*
        (Unix seconds) are left out.
        """
        yield from self._in_order(page_id, self.time_field(), newest_first=True, batch=LARGEST_LIMIT, until=until)

    def versions_by_psid(self, page_id: str) -> Iterator[StoredVersion]:
        """Every customer of a page, with a time or without (0), in the order of their psids."""
        options = {"sort": {"psid": 1}, "limit": LARGEST_LIMIT}
        last = ""
        while True:
            found = self._find({"pageId": page_id, "psid": {"$gt": last}}, options, page_id)
            for document in found:
                psid = document.get("psid")
                if psid != last:  # Without its unique index FolkForm may hold somebody twice.
                    _check_order(last, psid, newest_first=False)
                    last = document["psid"]
                    yield _stored(document, self._time_of(document) or 0)
            if len(found) < LARGEST_LIMIT:
                return

    def versions_of(self, page_id: str, psids: Iterable[str]) -> dict[str, StoredVersion]:
        """What FolkForm holds of these customers of a page; who is not there is left out."""
        stored: dict[str, StoredVersion] = {}
        for some in _in_short_lists(psids):
            found = self._find({"pageId": page_id, "psid": {"$in": some}}, {"limit": LARGEST_LIMIT}, page_id)
            known = (document for document in found if document.get("psid") in some)
            stored |= {document["psid"]: _stored(document, self._time_of(document) or 0) for document in known}
        return stored

    def customer(self, page_id: str, name: str) -> StoredCustomer | None:
        """The customer of a page whose psid, or else whose id in Pancake, is *name*; None when there is none."""
        for path in ("psid", "panCakeData.id"):
            params = {"filter": json.dumps({"pageId": page_id, path: name}), "options": json.dumps({"limit": 1})}
            for document in _documents(self._get(f"{self._customers}/find", params, about=page_id)):
                return _stored_customer(document)
        return None

    def count(self, page_id: str) -> int:
        """How many customers FolkForm holds for a page."""
        number = self._get(f"{self._customers}/count", {"filter": json.dumps({"pageId": page_id})}, about=page_id)
        if not isinstance(number, int) or isinstance(number, bool):
            raise ContractBroken(SERVICE, "answered a count that is no number")
        return number

    def _time_of(self, document: dict[str, Any]) -> int | None:
        field = self._time_field
        return _version_time(document) if field in (None, TimeField.VERSION) else _read_time(document.get(field.value))

    def ping(self, page_id: str) -> None:
        """One cheap call, tried once. Raises Unreachable, and counts FolkForm as down, when it does not answer."""
        with suppress(Refused):  # An answer all the same.
            self._get(f"/facebook/page/find-by-page-id/{quote(page_id, safe='')}", {}, about=page_id, tries=1)

    def ensure_up(self, page_id: str) -> None:
        """After an outage, one cheap call before anything else. Raises Unreachable while it lasts."""
        if self._down.is_set():
            self.ping(page_id)

    def _get(self, path: str, params: dict[str, str], *, about: str | None = None, tries: int = TRIES) -> Any:
        """The `data` of an answer. When the tries for it run out, FolkForm counts as down."""
        try:
            return self._call(Call("GET", path, params, about=about, tries=tries)).body["data"]
        except Unreachable:
            self._down.set()
            raise

    def _call(self, call: Call) -> Answer:
        """While FolkForm is down every call is tried once; the first answer, good or bad, ends that."""
        call = replace(call, tries=1) if self._down.is_set() else call
        try:
            answer = self._call_signed_in(call)
        except (Refused, TokenRefused, ContractBroken):
            self._down.clear()
            raise
        self._down.clear()
        return answer

    def _call_signed_in(self, call: Call) -> Answer:
        token = self._token.current()
        try:
            return self._call_with(token, call)
        except TokenRefused as error:
            renewed = self._token.renew(token) if error.status == UNAUTHORIZED else None
            if renewed is None:
                raise
            return self._call_with(renewed, call)

    def _call_with(self, token: str, call: Call) -> Answer:
        role = {"X-Active-Role-ID": self._role_id} if self._role_id else {}
        call = replace(call, headers={"Authorization": f"Bearer {token}", **role})
        try:
            return self._session.call(call, self._limiter)
        except TokenRefused as error:
            if error.status == UNAUTHORIZED and self._token.is_renewed:
                error.next_step = RENEWED_IN_VAIN
            raise

    def _find(self, filter_: dict[str, Any], options: dict[str, Any], about: str | None = None) -> list[Any]:
        projection = {"psid": 1, **{field.value: 1 for field in TimeField}}
        params = {"filter": json.dumps(filter_), "options": json.dumps({**options, "projection": projection})}
        return _documents(self._get(f"{self._customers}/find", params, about=about))

    def _first(self, page_id: str, limit: int, *, newest_first: bool, until: int | None = None) -> list[StoredVersion]:
        batch, field = min(limit, LARGEST_LIMIT), self.time_field()
        found = list(islice(self._in_order(page_id, field, newest_first=newest_first, batch=batch, until=until), limit))
        # Another page may have found it out meanwhile: what counts is what this one was asked by.
        if field is TimeField.UPDATED_AT and any(_text_second(stored.version) != stored.time for stored in found):
            # What was learned from a sample does not hold here: the time of a write must never be a mark.
            self._time_field = TimeField.VERSION
            return self._first(page_id, limit, newest_first=newest_first, until=until)
        return found

    def _in_order(
        self, page_id: str, field: TimeField | None, *, newest_first: bool, batch: int, until: int | None = None
    ) -> Iterator[StoredVersion]:
        """A page's customers by Pancake's time. A new request starts at the last time seen, so that nobody is
        missed between two; who shares that time is read twice and given once.
        """
        if field is None:
            return
        documents = self._documents_in_order(page_id, field, newest_first, batch, until)
        if field is TimeField.VERSION:
            versions = _by_true_time(documents, newest_first)
        else:
            times = ((document, _read_time(document.get(field.value))) for document in documents)
            versions = (_stored(document, time) for document, time in times if time is not None)
        yield from (stored for stored in versions if until is None or stored.time <= until)

    def _documents_in_order(
        self, page_id: str, field: TimeField, newest_first: bool, batch: int, until: int | None
    ) -> Iterator[dict[str, Any]]:
        limit = LARGEST_LIMIT if field is TimeField.VERSION else batch
        condition: dict[str, Any] = {"$gt": _least(field)}
        if until is not None:
            condition["$lte"] = _upper_bound(field, until)
        options: dict[str, Any] = {"sort": {field.value: -1 if newest_first else 1}, "limit": limit}
        at_edge: set[str] = set()
        edge: Any = None
        skip = 0
        while True:
            found = self._find({"pageId": page_id, field.value: condition}, options | {"skip": skip}, page_id)
            for document in found:
                value = _value(document, field)
                if value != edge or value is None:
                    _check_order(edge, value, newest_first)
                    at_edge, edge, skip = set(), value, 0
                psid = document.get("psid")
                if isinstance(psid, str) and psid not in at_edge:
                    at_edge.add(psid)
                    yield document
            if len(found) < limit:
                return
            # More customers share one time than one answer holds: only there count places, not times.
            skip = skip + limit if _value(found[0], field) == edge else 0
            condition = {**condition, "$lte" if newest_first else "$gte": edge}

    def _check_role(self) -> None:
        """FolkForm shows nothing: is it empty, or are we in a role that sees nothing? Raises TokenRefused for that."""
        roles = self.roles()
        if not roles or self._role_id in roles:
            return
        us = f"the role {self._role_id}, which this token's user has not got" if self._role_id else "us without a role"
        step = f"Set FOLKFORM_ROLE_ID to one of the user's roles: {', '.join(roles)}."
        raise TokenRefused(SERVICE, f"shows nothing to {us}", step)

    def _time_field_in_use(self) -> TimeField | None:
        sample = self._find({}, {"limit": _SAMPLE})
        if not sample:
            self._check_role()
            return None
        pancake_time = TimeField.PANCAKE_UPDATED_AT
        # Another writer may have left zeros in the sample, so its absence there proves nothing.
        if any(_read_time(document.get(pancake_time.value)) for document in sample) or self._find(
            {pancake_time.value: {"$gt": 0}}, {"limit": 1}
        ):
            return pancake_time
        if all(_updated_at_is_pancakes(document) for document in sample):
            return TimeField.UPDATED_AT
        return TimeField.VERSION


def check_envelope(answer: Answer) -> None:
    """Raises when an answer is not FolkForm's `{"status": "success", "data": …}`."""
    if answer.body.get("status") == "error":
        raise Refused(SERVICE, "refused the request")
    if answer.body.get("status") != "success" or "data" not in answer.body:
        raise ContractBroken(SERVICE, 'answered without "status" and "data"', "Check FOLKFORM_BASE_URL.")


def _documents(data: Any) -> list[Any]:
    """The documents of an answer: a list, `{"items": list}`, or null for none."""
    items = data.get("items", ...) if isinstance(data, dict) else data
    if items is None:
        return []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ContractBroken(SERVICE, "answered something else than a list of documents")
    return items


def _check_order(before: Any, value: Any, newest_first: bool) -> None:
    """FolkForm sorts and filters, or what it seems to hold is wrong."""
    try:
        ordered = before is None or (value < before if newest_first else value > before)
    except TypeError:
        ordered = False
    if not ordered or value is None:
        raise ContractBroken(SERVICE, "answered customers out of the order asked for")


def _in_short_lists(psids: Iterable[str]) -> Iterator[list[str]]:
    """Lists of psids that a request line has room for: FolkForm takes 4,096 bytes of it and all headers."""
    some: list[str] = []
    room = _LONGEST_LIST
    for psid in psids:
        length = len(quote_plus(json.dumps(psid) + ", "))
        if some and (len(some) == MOST_PSIDS or length > room):
            yield some
            some, room = [], _LONGEST_LIST
        some.append(psid)
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


def _read_roles(data: Any) -> list[str]:
    """The role ids of `[{"roleId": …}]` or `{"roles": […]}`."""
    listed = data.get("roles") if isinstance(data, dict) else data
    roles = [role.get("roleId") for role in listed or [] if isinstance(role, dict)]
    return [role for role in roles if isinstance(role, str)]


def _stored(document: dict[str, Any], time: int) -> StoredVersion:
    return StoredVersion(document["psid"], _version(document), time)


def _stored_customer(document: dict[str, Any]) -> StoredCustomer:
    psid, data = document.get("psid"), document.get("panCakeData")
    return StoredCustomer(
        psid if isinstance(psid, str) else None, _version(document), data if isinstance(data, dict) else {}
    )


def _value(document: dict[str, Any], field: TimeField) -> Any:
    return _version(document) if field is TimeField.VERSION else document.get(field.value)


def _version(document: dict[str, Any]) -> str | None:
    data = document.get("panCakeData")
    version = data.get("updated_at") if isinstance(data, dict) else None
    return version if isinstance(version, str) else None


def _version_time(document: dict[str, Any]) -> int | None:
    return _text_second(_version(document))


def _text_second(version: str | None) -> int | None:
    try:
        return parse_customer_updated_at(version)
    except ValueError:
        return None


def _text_time(version: str) -> int:
    """Where the text of a readable version sorts: its time as if it named no zone."""
    try:
        return parse_customer_updated_at(version[:19])
    except ValueError:
        return 0  # In its own zone it was 1969 still.


def _read_time(value: Any) -> int | None:
    """Whole Unix seconds of a stored time; None for 0, which is no time, and for what is no number or no date holds."""
    if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
        return None
    seconds = value // 1000 if value > _MILLISECONDS_FROM else value
    return int(seconds) if seconds < _END_OF_TIME else None


def _updated_at_is_pancakes(document: dict[str, Any]) -> bool:
    time = _read_time(document.get("updatedAt"))
    return time is not None and time == _version_time(document)


def _least(field: TimeField) -> Any:
    """Below every time that *field* can hold."""
    return "" if field is TimeField.VERSION else 0


def _upper_bound(field: TimeField, until: int) -> Any:
    """A bound of *field* that leaves nobody out whose time is *until* or before."""
    if field is TimeField.VERSION:
        return datetime.fromtimestamp(until + 1 + _ZONES_EAST, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return until * 1000 + 999


def _by_true_time(documents: Iterator[dict[str, Any]], newest_first: bool) -> Iterator[StoredVersion]:
    """Documents sorted by the text of their version, sorted by its time: zones shift a text by hours."""
    sign = -1 if newest_first else 1
    slack = _ZONES_WEST if newest_first else _ZONES_EAST
    waiting: list[tuple[int, int, StoredVersion]] = []
    for number, document in enumerate(documents):
        time = _version_time(document)
        if time is None:
            continue
        heapq.heappush(waiting, (sign * time, number, _stored(document, time)))
        text_time = _text_time(str(_version(document)))
        while waiting and waiting[0][0] < sign * text_time - slack:
            yield heapq.heappop(waiting)[2]
    while waiting:
        yield heapq.heappop(waiting)[2]
