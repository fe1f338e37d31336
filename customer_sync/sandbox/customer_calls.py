"""FolkForm's `/customer/*`: everything that reads and writes the collection `customers`."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from customer_sync.sandbox.behaviour import Behaviour
from customer_sync.sandbox.call import Answer, Call
from customer_sync.sandbox.envelope import (
    INVALID,
    FolkFormError,
    json_object,
    list_or_null,
    not_found,
    page_and_limit,
    paginated,
    success,
)
from customer_sync.sandbox.folkform import DuplicateCustomerError, FolkForm
from customer_sync.sandbox.json_text import dumps, loads
from customer_sync.sandbox.query import Options, Sql, parse_filter, parse_options, project

_Result = TypeVar("_Result")


class CustomerCalls:
    """The calls that read and write documents of customers."""

    def __init__(self, folkform: FolkForm, behaviour: Behaviour) -> None:
        self._folkform = folkform
        self._behaviour = behaviour

    def upsert_one(self, call: Call) -> Answer:
        """Answers `POST upsert-one?filter={"psid", "pageId"}`."""
        identity = _query_json(call, "filter", _identity)
        customer = _customer(call)
        if identity != (customer["psid"], customer["page_id"]):
            raise FolkFormError(400, INVALID, "filter and panCakeData name different customers")
        return success(_stored(self._folkform.upsert, customer))

    def insert_one(self, call: Call) -> Answer:
        """Answers `POST insert-one`."""
        return success(_stored(self._folkform.insert, _customer(call)))

    def update_by_id(self, call: Call) -> Answer:
        """Answers `PUT update-by-id/{id}`."""
        update = partial(self._folkform.update, call.path["id"])
        return success(_existing(_stored(update, _customer(call))))

    def delete_by_id(self, call: Call) -> Answer:
        """Answers `DELETE delete-by-id/{id}`."""
        if not self._folkform.delete_by_id(call.path["id"]):
            raise not_found()
        return success("null")

    def find(self, call: Call) -> Answer:
        """Answers `GET find?filter=&options=`."""
        found = self._found(_filter(call), _options(call))
        if self._behaviour.found == "items":
            return success(f'{{"items":{list_or_null(found)}}}')
        return success(f"[{','.join(found)}]")

    def find_one(self, call: Call) -> Answer:
        """Answers `GET find-one?filter=&options=`."""
        found = self._found(_filter(call), replace(_options(call), limit=1))
        return success(_existing(found[0] if found else None))

    def find_by_id(self, call: Call) -> Answer:
        """Answers `GET find-by-id/{id}`."""
        found = self._found(parse_filter({"id": call.path["id"]}), Options())
        return success(_existing(found[0] if found else None))

    def find_with_pagination(self, call: Call) -> Answer:
        """Answers `GET find-with-pagination?filter=&options=&page=&limit=`."""
        page, limit = page_and_limit(call)
        condition = _filter(call)
        options = replace(_options(call), limit=limit, skip=(page - 1) * limit)
        return paginated(self._found(condition, options), page, limit, self._folkform.count(condition))

    def count(self, call: Call) -> Answer:
        """Answers `GET count?filter=`."""
        return success(str(self._folkform.count(_filter(call))))

    def _found(self, condition: Sql, options: Options) -> list[str]:
        texts = self._folkform.find(condition, options)
        if options.projection is None and options.with_id:
            return texts
        return [dumps(project(loads(text), options)) for text in texts]


def _filter(call: Call) -> Sql:
    return _query_json(call, "filter", parse_filter)


def _options(call: Call) -> Options:
    return _query_json(call, "options", parse_options)


def _query_json(call: Call, name: str, parse: Callable[[Any], _Result]) -> _Result:
    try:
        return parse(loads(call.query.get(name) or "{}"))
    except ValueError as error:
        raise FolkFormError(400, INVALID, f"{name}: {error}") from None


def _identity(wanted: Any) -> tuple[str, str]:
    if not isinstance(wanted, dict) or wanted.keys() != {"psid", "pageId"}:
        raise ValueError("an upsert takes exactly psid and pageId")
    psid, page_id = wanted["psid"], wanted["pageId"]
    if not (isinstance(psid, str) and psid and isinstance(page_id, str) and page_id):
        raise ValueError("psid and pageId must be texts")
    return psid, page_id


def _customer(call: Call) -> Mapping[str, Any]:
    customer = json_object(call).get("panCakeData")
    if not isinstance(customer, dict):
        raise FolkFormError(400, INVALID, "panCakeData must be an object")
    for name in ("psid", "page_id"):
        if not isinstance(customer.get(name), str) or not customer[name]:
            raise FolkFormError(400, INVALID, f"panCakeData.{name} must be a text")
    return customer


def _stored(store: Callable[[Mapping[str, Any]], _Result], customer: Mapping[str, Any]) -> _Result:
    """What *store* returns; what cannot be stored is refused."""
    try:
        return store(customer)
    except DuplicateCustomerError:
        raise FolkFormError(409, "DB_002", "Another customer has this psid and pageId") from None
    except ValueError as error:
        raise FolkFormError(400, INVALID, f"panCakeData cannot be stored: {error}") from None


def _existing(text: str | None) -> str:
    if text is None:
        raise not_found()
    return text
