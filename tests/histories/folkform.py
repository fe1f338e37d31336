"""FolkForm in memory, asked by the real client, so that the program's own code recognizes its dialects."""

import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from operator import eq, ge, gt, le, lt
from typing import Any

from customer_sync.core.customer import parse_customer_updated_at
from customer_sync.core.errors import Refused, ServerError, ServiceError, TokenRefused, Unreachable
from customer_sync.http.service import Answer
from customer_sync.http.session import Access, ApiSession, Call
from customer_sync.services.folkform_access import SERVICE
from tests.histories.clock import WorldTime
from tests.histories.turns import Wrong

Document = dict[str, Any]
_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {"$gt": gt, "$gte": ge, "$lt": lt, "$lte": le, "$eq": eq}


class Dialect(Enum):
    """Which times a document carries."""

    GUIDE = "updatedAt is Pancake's time"
    DEPLOYED = "panCakeUpdatedAt is Pancake's time"
    OLDER = "no time is Pancake's but the version itself"


class Trouble(Enum):
    """How FolkForm rejects a customer."""

    REFUSED = "is refused"
    FORBIDDEN = "is forbidden"
    POISONOUS = "makes FolkForm time out"
    BREAKING = "is answered 500"
    TAKEN = "has an id that another page's record has, and is answered 500"

    def error(self) -> ServiceError:
        match self:
            case Trouble.REFUSED:
                return Refused(SERVICE, "answered 400")
            case Trouble.FORBIDDEN:
                return TokenRefused(SERVICE, "answered 403", status=403)
            case Trouble.POISONOUS:
                return Unreachable(SERVICE, "did not answer five times")
            case Trouble.BREAKING:
                return ServerError(SERVICE, "answered 500", status=500, code="SYS_001")
            case Trouble.TAKEN:
                return _duplicate_key()


@dataclass
class FolkForm:
    """The collection of customers."""

    dialect: Dialect
    time: WorldTime
    documents: dict[tuple[str, str], Document] = field(default_factory=dict)
    """By page and customer's name: Pancake's id is unique."""
    troubles: dict[tuple[str, str], Trouble] = field(default_factory=dict)
    """By page and customer's name."""
    refused: set[tuple[str, str]] = field(default_factory=set)
    """Customers that were rejected once, by page and name: a pass may have skipped them."""

    def of(self, page_id: str) -> list[Document]:
        """A page's documents."""
        return [document for (page, _), document in self.documents.items() if page == page_id]

    def stored(self, page_id: str, name: str) -> dict[str, Any] | None:
        """What is stored of a customer, as Pancake gave it."""
        document = self.documents.get((page_id, name))
        return None if document is None else document["panCakeData"]

    def upsert(self, page_id: str, customer: dict[str, Any], *, knows_time: bool = True) -> None:
        """Inserts or updates a customer; a writer that does not know the time leaves a 0."""
        name, psid = name_of(customer["id"]), customer["psid"]
        now = self.time.now // 1000
        pancakes_time = _milliseconds(customer["updated_at"]) if knows_time else 0
        times = {"updatedAt": pancakes_time if self.dialect is Dialect.GUIDE else now}
        if self.dialect is Dialect.DEPLOYED:
            times["panCakeUpdatedAt"] = pancakes_time
        names = {"id": f"{page_id} {name}", "customerId": customer["id"], "psid": "" if psid is None else str(psid)}
        self.documents[page_id, name] = {**names, "pageId": page_id, "panCakeData": customer, **times}

    def matching(self, filter_: dict[str, Any]) -> list[Document]:
        """The documents that match a filter."""
        return [document for document in self.documents.values() if _matches(document, filter_)]

    def find(self, filter_: dict[str, Any], options: dict[str, Any]) -> list[Document]:
        """The documents that match a filter, sorted, skipped and limited."""
        found = self.matching(filter_)
        for path, direction in options.get("sort", {}).items():
            found.sort(key=lambda document, path=path: _value(document, path), reverse=direction < 0)  # type: ignore[misc]
        skip = options.get("skip", 0)
        return found[skip : skip + options["limit"]]


class FolkFormWire(ApiSession):
    """What the client calls instead of a service. *pass_on* comes between, where anything may happen."""

    def __init__(self, folkform: FolkForm, pass_on: Callable[[Call, Callable[[], Any]], Any]) -> None:
        self._folkform = folkform
        self._pass_on = pass_on
        self._clocks_ahead = deque()

    def call(self, call: Call, access: Access) -> Answer:
        sent = access.prepare(call)
        try:
            data = self._pass_on(sent, lambda: self._answer(sent))
        except ServiceError as error:
            if access.recover(sent, error):
                return self.call(call, access)
            raise
        access.succeeded(sent)
        return Answer(200, {}, {"code": 200, "status": "success", "data": data})

    def _answer(self, call: Call) -> Any:
        if call.path == "/auth/roles":
            return []
        if call.path == "/system/health":
            return {"status": "healthy"}
        filter_ = json.loads(call.params["filter"])
        match call.path:
            case "/customer/upsert-one":
                return self._upsert(call.page_id or "", filter_, call.body["panCakeData"])
            case "/customer/count":
                return len(self._folkform.matching(filter_))
            case "/customer/find":
                return self._elsewhere(filter_) + self._folkform.find(filter_, json.loads(call.params["options"]))
        raise Wrong(f"asked for {call.path}")

    def _upsert(self, page_id: str, filter_: dict[str, Any], customer: dict[str, Any]) -> None:
        key = page_id, name_of(customer["id"])
        if trouble := self._folkform.troubles.get(key):
            self._folkform.refused.add(key)
            raise trouble.error()
        document = self._folkform.documents.get(key)
        if document is not None and not _matches(document, filter_):  # It would be inserted, with an id that is taken.
            raise _duplicate_key()
        self._folkform.upsert(page_id, customer)

    def _elsewhere(self, filter_: dict[str, Any]) -> list[Document]:
        """The records of another page that have one of these ids."""
        if "pageId" in filter_ or "customerId" not in filter_:
            return []
        taken = [f"id-{name}" for (_, name), trouble in self._folkform.troubles.items() if trouble is Trouble.TAKEN]
        asked = filter_["customerId"]["$in"]
        return [{"customerId": one, "psid": "x", "pageId": "another"} for one in taken if one in asked]


def name_of(pancake_id: str) -> str:
    """The customer with this id."""
    return pancake_id.removeprefix("id-")


def _duplicate_key() -> ServerError:
    return ServerError(SERVICE, "answered 500", status=500, code="DB")


def _milliseconds(version: str) -> int:
    fraction = (version.partition(".")[2] + "000")[:3]
    return parse_customer_updated_at(version) * 1000 + int(fraction)


def _matches(document: Document, filter_: dict[str, Any]) -> bool:
    for path, condition in filter_.items():
        value = _value(document, path)
        for sign, operand in (condition if isinstance(condition, dict) else {"$eq": condition}).items():
            if sign == "$in":
                if value not in operand:
                    return False
                continue
            # As in MongoDB, a number is neither above nor below a text.
            if isinstance(value, str) is not isinstance(operand, str) or value is None:
                return False
            if not _COMPARISONS[sign](value, operand):
                return False
    return True


def _value(document: Document, path: str) -> Any:
    value: Any = document
    for key in path.split("."):
        value = value.get(key)
        if value is None:
            break
    return value
