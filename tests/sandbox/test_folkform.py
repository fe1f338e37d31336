"""FolkForm's calls, as the wire contract and the guide's checklist describe them."""

import json
from typing import Any

import pytest
import requests

from customer_sync.sandbox.folkform import PERMISSIONS, Access

from .services import Services


def test_success_envelope(services: Services) -> None:
    """A success says code 200, status success, a message and the data."""
    answer = services.find({"pageId": services.page_id})
    assert answer.status_code == 200
    assert answer.json() == {"code": 200, "message": "Thao tác thành công", "status": "success", "data": []}


def test_error_envelope(services: Services) -> None:
    """A refusal says its code as a text, status error, a message and details."""
    answer = services.find({"$where": "1"})
    assert answer.status_code == 400
    assert answer.json()["code"] == "VAL_002"
    assert answer.json()["status"] == "error"
    assert answer.json().keys() == {"code", "message", "status", "details"}


def test_upsert_inserts_then_updates(services: Services) -> None:
    """The second upsert of a customer replaces her document and keeps its id."""
    first = services.upsert(services.customer("7", name="Mai")).json()["data"]
    second = services.upsert(services.customer("7", name="Mai Thảo")).json()["data"]
    assert second["id"] == first["id"]
    assert second["name"] == "Mai Thảo"
    assert services.sandbox.folkform.documents(services.page_id) == [second]


def test_a_psid_is_page_scoped(services: Services) -> None:
    """The same psid on two pages is two customers."""
    other = Services(services.sandbox)
    services.upsert(services.customer("7"))
    other.upsert(other.customer("7"))
    assert services.found({}) == other.found({}) == ["7"]


def test_extracts_fields(services: Services) -> None:
    """FolkForm's fields come out of panCakeData, which itself is kept unchanged."""
    customer = services.customer(
        "25149177694676594",
        name="Mai Thảo 🌸",
        phone_numbers=["0903154539"],
        email=None,
        gender="female",
        lives_in="Huế",
        thread_id=2**60 + 1,
        unknown={"deep": [10**30, 1.0, None]},
    )
    document = services.upsert(customer).json()["data"]
    assert repr(document["panCakeData"]) == repr(customer)
    extracted = {name: document[name] for name in ("customerId", "psid", "pageId", "name", "phoneNumbers")}
    assert extracted == {
        "customerId": customer["id"],
        "psid": customer["psid"],
        "pageId": services.page_id,
        "name": "Mai Thảo 🌸",
        "phoneNumbers": ["0903154539"],
    }
    assert (document["email"], document["gender"], document["livesIn"]) == ("", "female", "Huế")


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"psid": "7"},
        {"psid": "7", "pageId": "P", "name": "x"},
        {"psid": 7, "pageId": "P"},
        {"psid": {"$eq": "7"}, "pageId": "P"},
        {"psid": "", "pageId": "P"},
        {"psid": "8", "pageId": "P"},
        {"psid": "7", "pageId": "other"},
        [],
        "7",
    ],
    ids=json.dumps,
)
def test_upsert_takes_exactly_psid_and_page(services: Services, wanted: Any) -> None:
    """Any other filter, or one that names another customer than the body, is a 400 and writes nothing."""
    text = json.dumps(wanted).replace('"P"', json.dumps(services.page_id))
    body = {"panCakeData": services.customer("7")}
    answer = services.call("POST", "/customer/upsert-one", params={"filter": text}, json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "VAL_002")
    assert services.found({}) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"panCakeData": null}',
        b'{"panCakeData": {"psid": "7"}}',
        b'{"panCakeData": {"psid": "7", "page_id": "PAGE", "x": NaN}}',
        b'{"panCakeData": {"psid": "7", "page_id": "PAGE", "x": 1e999}}',
        b'{"panCakeData": {"psid": "7", "page_id": "PAGE", "x": ' + b"[" * 100_000 + b"}}",
        b'{"panCakeData": {"psid": "7", "page_id": "PAGE", "x": "\xff"}}',
    ],
    ids=lambda body: repr(body[-30:]),
)
def test_upsert_refuses_broken_bodies(services: Services, body: bytes) -> None:
    """What is not a customer with a psid and page_id is a 400 and writes nothing."""
    wanted = json.dumps({"psid": "7", "pageId": services.page_id})
    text = body.replace(b"PAGE", services.page_id.encode())
    answer = services.call("POST", "/customer/upsert-one", params={"filter": wanted}, data=text)
    assert (answer.status_code, answer.json()["code"]) == (400, "VAL_002")
    assert services.found({}) == []


def test_half_a_surrogate_pair_travels_unchanged(services: Services) -> None:
    """Valid JSON that is no valid Unicode is kept as it came."""
    document = services.upsert(services.customer("7", name="\ud83d")).json()["data"]
    assert document["panCakeData"]["name"] == "\ud83d"
    assert services.upsert(services.customer("\ud83d")).status_code == 400


def test_the_other_calls_on_customers(services: Services) -> None:
    """insert-one, find-one, find-by-id, update-by-id, delete-by-id and count do what they say."""
    inserted = services.call("POST", "/customer/insert-one", json={"panCakeData": services.customer("7")})
    document = inserted.json()["data"]
    by_id = f"/customer/find-by-id/{document['id']}"
    assert services.call("GET", by_id).json()["data"] == document
    assert services.find({"pageId": services.page_id}, path="/customer/find-one").json()["data"] == document
    body = {"panCakeData": services.customer("7", name="Lan")}
    updated = services.call("PUT", f"/customer/update-by-id/{document['id']}", json=body).json()["data"]
    assert (updated["id"], updated["name"]) == (document["id"], "Lan")
    assert services.find({"pageId": services.page_id}, path="/customer/count").json()["data"] == 1
    assert services.call("DELETE", f"/customer/delete-by-id/{document['id']}").status_code == 200
    assert services.call("GET", by_id).status_code == 404
    assert services.find({"pageId": services.page_id}, path="/customer/count").json()["data"] == 0


def test_psid_and_page_are_unique(services: Services) -> None:
    """Neither an insert nor an update can make a second document of a customer."""
    services.upsert(services.customer("7"))
    other_id = services.upsert(services.customer("8")).json()["data"]["id"]
    body = {"panCakeData": services.customer("7")}
    assert services.call("POST", "/customer/insert-one", json=body).status_code == 409
    assert services.call("PUT", f"/customer/update-by-id/{other_id}", json=body).status_code == 409
    assert services.found({}) == ["7", "8"]


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "find-by-id"), ("PUT", "update-by-id"), ("DELETE", "delete-by-id")]
)
def test_unknown_id(services: Services, method: str, path: str) -> None:
    """A call about an id that does not exist is a 404 in the envelope."""
    body = {"panCakeData": services.customer("7")}
    answer = services.call(method, f"/customer/{path}/{'0' * 24}", json=body)
    assert (answer.status_code, answer.json()["status"]) == (404, "error")


def test_find_with_pagination(services: Services) -> None:
    """A paginated find counts pages from 1 and says null behind the last one."""
    for n in range(5):
        services.upsert(services.customer(str(n)))
    answers = [paginated(services, "/customer/find-with-pagination", page, 2) for page in (1, 3, 4)]
    assert [[item["psid"] for item in answer.pop("items") or []] for answer in answers] == [
        ["0", "1"],
        ["4"],
        [],
    ]
    assert answers[0] == {"page": 1, "limit": 2, "itemCount": 2, "total": 5, "totalPage": 3}


@pytest.mark.parametrize(("found", "expected"), [("list", []), ("items", {"items": None})])
def test_nothing_found(services: Services, found: str, expected: Any) -> None:
    """An empty find is an empty list, or null where lists are wrapped in items."""
    services.sandbox.behaviour.change({"found": found})
    assert services.find({"pageId": services.page_id}).json()["data"] == expected


def test_found_items(services: Services) -> None:
    """A server that wraps lists in items does so for every find."""
    services.sandbox.behaviour.found = "items"
    document = services.upsert(services.customer("7")).json()["data"]
    assert services.find({"pageId": services.page_id}).json()["data"] == {"items": [document]}


@pytest.mark.parametrize("wrong", [{"page": 0}, {"page": "x"}, {"limit": 0}, {"limit": 1001}, {"limit": -1}], ids=str)
def test_wrong_page_numbers(services: Services, wrong: dict[str, Any]) -> None:
    """A page below 1 or a limit outside 1 to 1,000 is VAL_002."""
    for path in ("/customer/find-with-pagination", "/facebook/page/find-with-pagination"):
        answer = services.call("GET", path, params=wrong)
        assert (answer.status_code, answer.json()["code"]) == (400, "VAL_002")


def test_page_records(services: Services) -> None:
    """A page's record has the contract's fields and can be changed by the sandbox."""
    services.sandbox.folkform.set_page(services.page_id, isSync=False)
    record = services.call("GET", f"/facebook/page/find-by-page-id/{services.page_id}").json()["data"]
    record.pop("id")
    assert record == {
        "pageId": services.page_id,
        "pageName": "Trà sữa Cô Ba",
        "pageUsername": "",
        "isSync": False,
        "accessToken": services.sandbox.pancake.user_token(services.page_id),
        "pageAccessToken": services.sandbox.pancake.page_token(services.page_id),
    }
    assert services.call("GET", "/facebook/page/find-by-page-id/unknown").status_code == 404


def test_lists_all_page_records(services: Services) -> None:
    """Paging through the records meets each page once, and null behind the last."""
    added = {services.page_id, *(Services(services.sandbox).page_id for _ in range(3))}
    total = paginated(services, "/facebook/page/find-with-pagination", 1, 2)["totalPage"]
    answers = [paginated(services, "/facebook/page/find-with-pagination", n + 1, 2) for n in range(total + 1)]
    page_ids = [item["pageId"] for answer in answers for item in answer["items"] or []]
    assert answers[-1]["items"] is None
    assert len(page_ids) == len(set(page_ids)) == answers[0]["total"]
    assert added <= set(page_ids)


def test_update_token(services: Services) -> None:
    """A page's token can be stored; an unknown page or a wrong type is refused."""
    assert update_token(services, services.page_id, "new").status_code == 200
    record = services.sandbox.folkform.page(services.page_id)
    assert record is not None
    assert record["pageAccessToken"] == "new"
    assert update_token(services, "unknown", "new").status_code == 404
    assert update_token(services, services.page_id, None).status_code == 400


@pytest.mark.parametrize("authorization", ["", "Bearer wrong", "Basic folkform-sandbox-token"])
def test_bad_bearer_token(services: Services, authorization: str) -> None:
    """Without a known bearer token every call is a 401."""
    for path in ("/customer/find", "/facebook/page/find-with-pagination", "/auth/roles"):
        url = services.folkform_url + path
        answer = requests.get(url, headers={"Authorization": authorization}, timeout=20)
        assert (answer.status_code, answer.json()["code"]) == (401, "AUTH_001")


def test_roles(services: Services) -> None:
    """Where a role is required it must be the token's own, and /auth/roles tells which that is."""
    services.sandbox.behaviour.role_required = True
    statuses = {role: services.call("GET", "/customer/count", headers=role_header(role)) for role in ("", "wrong")}
    assert [(a.status_code, a.json()["code"]) for a in statuses.values()] == [
        (401, "AUTH_003"),
        (403, "AUTH_003"),
    ]
    role_id = services.call("GET", "/auth/roles").json()["data"][0]["roleId"]
    assert role_id == services.sandbox.environment["FOLKFORM_ROLE_ID"]
    assert services.call("GET", "/customer/count", headers=role_header(role_id)).status_code == 200


@pytest.mark.parametrize("role", ["", "wrong"])
def test_a_wrong_role_may_see_an_empty_folkform(services: Services, role: str) -> None:
    """By setting a wrong or missing role sees no pages and no documents, and still may not write."""
    services.upsert(services.customer("7"))
    services.sandbox.behaviour.change({"role_required": True, "wrong_role": "empty"})

    def seen(path: str, role_id: str = role) -> Any:
        return services.call("GET", path, headers=role_header(role_id)).json().get("data")

    assert (seen("/customer/find"), seen("/customer/count")) == ([], 0)
    for path in ("/customer", "/facebook/page"):
        assert seen(f"{path}/find-with-pagination")["items"] is None
    assert seen(f"/facebook/page/find-by-page-id/{services.page_id}") is None
    refused = services.upsert(services.customer("7"), headers=role_header(role))
    assert (refused.status_code, refused.json()["code"]) == (403, "AUTH_003")
    (right,) = seen("/auth/roles")
    assert seen("/customer/count", right["roleId"]) >= 1


def test_roles_in_either_shape(services: Services) -> None:
    """The roles of a token's user are a list, or wrapped."""
    listed = services.call("GET", "/auth/roles").json()["data"]
    services.sandbox.behaviour.roles = "roles"
    assert services.call("GET", "/auth/roles").json()["data"] == {"roles": listed}


PERMISSION_TABLE = {
    ("POST", "/upsert-one"): {"Customer.Insert", "Customer.Update"},
    ("POST", "/insert-one"): {"Customer.Insert"},
    ("GET", "/find"): {"Customer.Read"},
    ("GET", "/find-one"): {"Customer.Read"},
    ("GET", "/find-by-id/x"): {"Customer.Read"},
    ("GET", "/find-with-pagination"): {"Customer.Read"},
    ("GET", "/count"): {"Customer.Read"},
    ("PUT", "/update-by-id/x"): {"Customer.Update"},
    ("DELETE", "/delete-by-id/x"): {"Customer.Delete"},
}


@pytest.mark.parametrize(("method", "path"), PERMISSION_TABLE)
def test_permissions(services: Services, method: str, path: str) -> None:
    """A call is a 403 for a token that lacks one of its permissions, and only then."""
    needed = PERMISSION_TABLE[method, path]
    tokens = services.sandbox.folkform.tokens
    for permission in PERMISSIONS:
        tokens["limited"] = Access(permissions=PERMISSIONS - {permission})
        refused = services.call(method, "/customer" + path, token="limited").status_code == 403
        assert refused == (permission in needed)


def test_customers_may_live_at_another_path(services: Services) -> None:
    """Only the path that the behaviour names answers."""
    assert services.call("GET", "/fb-customer/count").status_code == 404
    services.sandbox.behaviour.customer_path = "/fb-customer"
    assert services.sandbox.environment["FOLKFORM_CUSTOMER_PATH"] == "/fb-customer"
    assert services.call("GET", "/fb-customer/count").status_code == 200
    assert services.call("GET", "/customer/count").status_code == 404


def test_request_heads_stay_under_4096_bytes(services: Services) -> None:
    """50 psids in one $in fit, a longer request line is a 431."""
    psids = [str(10**16 + n) for n in range(300)]
    assert services.find({"pageId": services.page_id, "psid": {"$in": psids[:50]}}).status_code == 200
    assert services.find({"pageId": services.page_id, "psid": {"$in": psids}}).status_code == 431
    assert services.call("GET", "/customer/count", headers={"X-Filling": "x" * 4096}).status_code == 431


def paginated(services: Services, path: str, page: int, limit: int) -> Any:
    parameters = {"page": page, "limit": limit, "filter": json.dumps({"pageId": services.page_id})}
    return services.call("GET", path, params=parameters).json()["data"]


def update_token(services: Services, page_id: str, token: str | None) -> requests.Response:
    body = {"pageId": page_id, "pageAccessToken": token}
    return services.call("PUT", "/facebook/page/update-token", json=body)


def role_header(role_id: str) -> dict[str, str]:
    return {"X-Active-Role-ID": role_id}
