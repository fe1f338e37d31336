"""FolkForm's `/customer/*` and `/fb-customer/*`: the calls that read and write a collection of customers."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from customer_sync.sandbox.behaviour import Behaviour
from customer_sync.sandbox.call import Answer, Call
from customer_sync.sandbox.envelope import (
    INVALID,
    SYSTEM,
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
from customer_sync.sandbox.kept import kept
from customer_sync.sandbox.query import Options, Sql, parse_filter, parse_options, project

_Result = TypeVar("_Result")


class CustomerCalls:
    """The calls for documents of customers."""

    def __init__(self, folkform: FolkForm, behaviour: Behaviour) -> None:
        self._folkform = folkform
        self._behaviour = behaviour

    def upsert_one(self, call: Call) -> Answer:
        """Answers `POST upsert-one?filter=`: changes the first record that the filter finds."""
        condition = _query_json(call, "filter", parse_filter)
        return success(self._stored(partial(self._folkform.upsert, where=condition), _customer(call)))

    def insert_one(self, call: Call) -> Answer:
        """Answers `POST insert-one`."""
        return success(self._stored(self._folkform.insert, _customer(call)))

    def insert_many(self, _call: Call) -> Answer:
        """Answers `POST insert-many`, which rejects every body."""
        raise FolkFormError(400, INVALID, "Dữ liệu không hợp lệ")

    def update_by_id(self, call: Call) -> Answer:
        """Answers `PUT update-by-id/{id}`."""
        update = partial(self._folkform.update, call.path["id"])
        return success(_existing(self._stored(update, _customer(call))))

    def delete_by_id(self, call: Call) -> Answer:
        """Answers `DELETE delete-by-id/{id}`."""
        if not self._folkform.delete_by_id(call.path["id"]):
            raise not_found()
        return success("null")

    def find(self, call: Call) -> Answer:
        """Answers `GET find?filter=&options=`."""
        found = self._found(self._filter(call), _options(call))
        if self._behaviour.found == "items":
            return success(f'{{"items":{list_or_null(found)}}}')
        return success(f"[{','.join(found)}]")

    def find_one(self, call: Call) -> Answer:
        """Answers `GET find-one?filter=&options=`."""
        found = self._found(self._filter(call), replace(_options(call), limit=1))
        return success(_existing(found[0] if found else None))

    def find_by_id(self, call: Call) -> Answer:
        """Answers `GET find-by-id/{id}`."""
        found = self._found(parse_filter({"id": call.path["id"]}), Options())
        return success(_existing(found[0] if found else None))

    def find_with_pagination(self, call: Call) -> Answer:
        """Answers `GET find-with-pagination?filter=&options=&page=&limit=`."""
        page, limit = page_and_limit(call)
        condition = self._filter(call)
        options = replace(_options(call), limit=limit, skip=(page - 1) * limit)
        return paginated(self._found(condition, options), page, limit, self._folkform.count(condition))

    def count(self, call: Call) -> Answer:
        """Answers `GET count?filter=`."""
        return success(str(self._folkform.count(self._filter(call))))

    def _filter(self, call: Call) -> Sql:
        if self._behaviour.ignores_page_id == "customers":
            return _query_json(call, "filter", _parse_without_page)
        return _query_json(call, "filter", parse_filter)

    def _stored(self, store: Callable[[Mapping[str, Any]], _Result], customer: Mapping[str, Any]) -> _Result:
        """The result of *store*; errors are those of the recorded servers."""
        try:
            return store(customer)
        except DuplicateCustomerError as error:
            raise FolkFormError(500, "DB", f"E11000 duplicate key error: {error}") from None
        except (ValueError, RecursionError) as error:
            status, code = (400, INVALID) if self._behaviour.server == "2025-12" else (500, SYSTEM)
            raise FolkFormError(status, code, f"panCakeData cannot be stored: {error}") from None

    def _found(self, condition: Sql, options: Options) -> list[str]:
        texts = self._folkform.find(condition, options)
        if options.projection is None and options.with_id:
            return texts
        return [dumps(project(loads(text), options)) for text in texts]


def _parse_without_page(document: Any) -> Sql:
    return parse_filter({path: value for path, value in document.items() if path != "pageId"})


def _options(call: Call) -> Options:
    return _query_json(call, "options", parse_options)


def _query_json(call: Call, name: str, parse: Callable[[Any], _Result]) -> _Result:
    try:
        return parse(kept(loads(call.query.get(name) or "{}")))
    except (ValueError, RecursionError) as error:
        raise FolkFormError(400, INVALID, f"{name}: {error}") from None


def _customer(call: Call) -> Mapping[str, Any]:
    customer = json_object(call).get("panCakeData")
    if not isinstance(customer, dict):
        raise FolkFormError(400, INVALID, "panCakeData must be an object")
    if not isinstance(customer.get("page_id"), str) or not customer["page_id"]:
        raise FolkFormError(400, INVALID, "panCakeData.page_id must be a text")
    return customer


def _existing(text: str | None) -> str:
    if text is None:
        raise not_found()
    return text
