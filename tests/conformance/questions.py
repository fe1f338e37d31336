"""The questions: requests whose answers by two real servers are recorded in answers.json, by name."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

LEFT_OUT = object()
"""A field that the customer of a question does not have."""
_PANCAKE_TIME = "data.panCakeUpdatedAt"
_ANOTHER_USERS_ROLE = "6b08a4eca6028ffac65aaaaa"


@dataclass(frozen=True, slots=True)
class Question:
    """One request. *path* is relative to the base address; `{customers}` in it is the path of the customers."""

    name: str
    path: str
    method: str = "GET"
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str | None] = field(default_factory=dict)
    """Added to those of every request; None removes one."""
    body: bytes | None = None
    value_path: str = ""
    """A value of a good answer that is compared, too: its dotted path; empty for none."""


def questions(run: str) -> Iterator[Question]:
    """All questions, in the order in which they must be asked. *run* is part of every id, psid and page id in them."""
    yield from _identity()
    yield from _pages()
    yield from _Customers(run).questions()


def _identity() -> Iterator[Question]:
    count = "{customers}/count"
    yield Question("no authorization", count, headers={"Authorization": None})
    yield Question("basic authorization", count, headers={"Authorization": "Basic eA=="})
    yield Question("wrong token, short", count, headers={"Authorization": "Bearer bad"})
    yield Question("wrong token, long", count, headers={"Authorization": f"Bearer {'x' * 40}"})
    yield Question("no role", count, headers={"X-Active-Role-ID": None})
    yield Question("no role, pages", _pages_path(1, 2), headers={"X-Active-Role-ID": None})
    yield Question("role of a wrong form", count, headers={"X-Active-Role-ID": "xyz"})
    yield Question("role of another user", count, headers={"X-Active-Role-ID": _ANOTHER_USERS_ROLE})
    yield Question("roles, without a role", "/auth/roles", headers={"X-Active-Role-ID": None})
    yield Question("a path that does not exist", "/nothing/find")


def _pages_path(page: int, limit: int) -> str:
    return f"/facebook/page/find-with-pagination?page={page}&limit={limit}"


def _pages() -> Iterator[Question]:
    token = "/facebook/page/update-token"
    yield Question("pages", _pages_path(1, 2))
    yield Question("pages, beyond the last", _pages_path(1000, 50), value_path="data.items")
    yield Question("a page that is unknown", "/facebook/page/find-by-page-id/nope")
    unknown = _json({"pageId": "nope", "pageAccessToken": "t"}).encode()
    yield Question("token of an unknown page", token, "PUT", body=unknown)
    yield Question("token without a body", token, "PUT")


class _Customers:
    """The questions about customers, who are all on pages of this run."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._page = f"conformance-{run}"

    def questions(self) -> Iterator[Question]:
        for group in (self._upserts, self._times, self._values, self._identities, self._broken, self._finds):
            yield from group()

    def _customer(self, label: str, **changes: Any) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "id": f"{label}-{self._run}",
            "psid": f"{self._run}{label}",
            "page_id": self._page,
            "name": "A",
            "phone_numbers": ["0901234567"],
            "updated_at": "2026-11-26T08:02:53.123456",
        }
        return {key: value for key, value in (fields | changes).items() if value is not LEFT_OUT}

    def _upsert(
        self,
        name: str,
        label: str,
        value_path: str = "",
        *,
        by_id: bool = False,
        edit: Callable[[str], str] = str,
        **changes: Any,
    ) -> Question:
        """An upsert by psid and page, or *by_id*; *edit* changes the body's text."""
        customer = self._customer(label, **changes)
        where = {"psid": customer.get("psid"), "pageId": customer["page_id"]}
        if by_id:
            where = {"customerId": customer["id"]}
        body = edit(_json({"panCakeData": customer})).encode()
        return Question(
            name, "{customers}/upsert-one", "POST", {"filter": _json(where)}, body=body, value_path=value_path
        )

    def _upserts(self) -> Iterator[Question]:
        yield self._upsert("first", "first", _PANCAKE_TIME)
        yield self._upsert("the same again", "first", _PANCAKE_TIME)
        yield self._upsert("an older version", "first", _PANCAKE_TIME, updated_at="2020-11-26T08:02:53.123456")
        yield self._upsert("without id", "without_id", id=LEFT_OUT)
        yield self._upsert("without psid", "without_psid", "data.psid", by_id=True, psid=LEFT_OUT)
        yield self._upsert("psid null", "psid_null", "data.psid", by_id=True, psid=None)
        number = int(f"{self._run}99999")
        yield self._upsert("psid a number", "psid_number", "data.psid", by_id=True, psid=number)

    def _times(self) -> Iterator[Question]:
        times = {
            "updated_at absent": LEFT_OUT,
            "updated_at null": None,
            "updated_at without a fraction": "2026-11-26T08:02:53",
            "updated_at with Z": "2026-11-26T08:02:53.123Z",
            "updated_at with +07:00": "2026-11-26T15:02:53.123+07:00",
            "updated_at a number": 1790000000,
            "updated_at no time": "yesterday",
        }
        for number, (name, time) in enumerate(times.items()):
            yield self._upsert(name, f"time_{number}", _PANCAKE_TIME, updated_at=time)

    def _values(self) -> Iterator[Question]:
        number, phones = "data.panCakeData.n", "data.phoneNumbers"
        yield self._upsert("phone numbers null", "phones_null", phones, phone_numbers=None)
        yield self._upsert("phone numbers objects", "phones_objects", phones, phone_numbers=[{"n": 1}])
        yield self._upsert("an integer above 2^53", "big", number, n=2**53 + 1)
        yield self._upsert("an integer of 2^63", "bigger", number, n=2**63)
        yield self._upsert("1.0", "one", number, n=1.0)
        too_large = _replaced('"n": 0', '"n": 1e400')
        yield self._upsert("a number out of range", "range", edit=too_large, n=0)
        yield self._upsert("half a surrogate pair", "half", number, n="\ud83d!")
        yield self._upsert("five megabytes", "five", n="x" * 5_000_000)

    def _identities(self) -> Iterator[Question]:
        first_id, first_psid = f"first-{self._run}", f"{self._run}first"
        yield self._upsert("another psid with an id that is taken", "other", id=first_id)
        yield self._upsert("another id with a psid that is taken", "again", "data.customerId", psid=first_psid)
        yield self._upsert("the psid on another page", "elsewhere", psid=first_psid, page_id=f"{self._page}-b")

    def _broken(self) -> Iterator[Question]:
        bodies = {"no JSON": '{"panCakeData":', "an array": "[]", "without panCakeData": "{}"}
        for name, text in bodies.items():
            yield self._upsert(name, "broken", edit=lambda _, text=text: text)  # type: ignore[misc]
        path, customer = "{customers}/upsert-one", _json({"panCakeData": self._customer("nofilter")})
        yield Question("a filter that is no JSON", path, "POST", {"filter": "{"}, body=customer.encode())
        many = _json([{"panCakeData": self._customer(f"many{number}")} for number in (1, 2)])
        yield Question("many at once", "{customers}/insert-many", "POST", body=many.encode())

    def _finds(self) -> Iterator[Question]:
        here = {"pageId": self._page}
        yield _find("find, $in of 50", {"psid": {"$in": [f"{self._run}{number:07}" for number in range(50)]}})
        yield _find("find, $in of 500", {"psid": {"$in": [f"{self._run}{number:07}" for number in range(500)]}})
        yield _find("find, $gt", {**here, "panCakeUpdatedAt": {"$gt": 0}}, sort={"panCakeUpdatedAt": -1})
        yield _find("find, $exists", {**here, "psid": {"$exists": True}})
        yield _find("find, $regex", {"psid": {"$regex": "1"}})
        yield _find("find, $ne", {"psid": {"$ne": "1"}})
        yield _find("find, $elemMatch", {"psid": {"$elemMatch": {"a": 1}}})
        yield _find("find, an unknown page", {"pageId": "nope"})
        yield _find("find, limit 1000", here, limit=1000)
        yield _find("find, limit 1001", here, limit=1001)
        yield _find("find, sort by text", here, sort={"psid": "x"})
        yield Question("find, options no JSON", "{customers}/find", query={"filter": "{}", "options": "{"})
        yield _find("find, skip far", here, skip=10**7)
        pages = {
            "pagination": ("1", "2", "data.itemCount"),
            "pagination, beyond the last": ("1000", "10", "data.items"),
        }
        for name, (page, limit, value_path) in pages.items():
            query = {"filter": _json(here), "page": page, "limit": limit}
            yield Question(name, "{customers}/find-with-pagination", query=query, value_path=value_path)
        yield Question("count", "{customers}/count", query={"filter": _json({"pageId": "nope"})}, value_path="data")
        yield Question("count, filter no JSON", "{customers}/count", query={"filter": "{"})
        first = {**here, "psid": f"{self._run}first"}
        yield _find("projected keys that were not asked for", first, value_path="data.0.pageId")


def _find(name: str, wanted: Mapping[str, Any], value_path: str = "", **options: Any) -> Question:
    query = {"filter": _json(wanted), "options": _json({"limit": 1, "projection": {"psid": 1}} | options)}
    return Question(name, "{customers}/find", query=query, value_path=value_path)


def _replaced(before: str, after: str) -> Callable[[str], str]:
    """An edit that replaces *before* with *after*."""
    return lambda text: text.replace(before, after)


def _json(value: Any) -> str:
    return json.dumps(value)
