"""FolkForm's calls, as in the wire contract and the guide's checklist."""

import json
from typing import Any

import pytest
import requests

from customer_sync.sandbox.folkform import PERMISSIONS, ROLE_ID, Access

from .services import Services


def test_success_envelope(services: Services) -> None:
    """A success has code 200, status success, a message and the data."""
    answer = services.find({"pageId": services.page_id})
    assert answer.status_code == 200
    assert answer.json() == {"code": 200, "message": "Thao tác thành công", "status": "success", "data": []}


def test_error_envelope(services: Services) -> None:
    """An error has its code as a text, status error, a message and details."""
    answer = services.find({"$where": "1"})
    assert answer.status_code == 400
    assert answer.json()["code"] == "VAL_002"
    assert answer.json()["status"] == "error"
    assert answer.json().keys() == {"code", "message", "status", "details"}


def test_upsert_inserts_then_updates(services: Services) -> None:
    """The second upsert of a customer replaces the document and keeps its id."""
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
    """FolkForm's fields are copied from panCakeData, which stays unchanged."""
    customer = services.customer(
        "25149177694676594",
        name="Mai Thảo 🌸",
        phone_numbers=["0903154539"],
        email=None,
        gender="female",
        lives_in="Huế",
        thread_id=2**60 + 1,
        unknown={"deep": [2**63 - 1, 1.5, None]},
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
    assert services.upsert(services.customer("8", phone_numbers=[{"n": 1}])).json()["data"]["phoneNumbers"] is None


@pytest.mark.parametrize(
    "wanted", [{}, {"psid": "7"}, {"customerId": "first"}, {"pageId": "P"}, {"psid": {"$eq": "7"}}], ids=json.dumps
)
def test_upsert_changes_the_first_that_the_filter_finds(services: Services, wanted: Any) -> None:
    """The filter alone decides which record is changed, an empty one any record; the body may be another customer's."""
    folkform = services.sandbox.folkform
    for page_id in folkform.page_ids():
        folkform.delete(page_id)
    services.upsert(services.customer("7", id="first"))
    services.upsert(services.customer("9", id="last"))
    text = json.dumps(wanted).replace('"P"', json.dumps(services.page_id))
    body = {"panCakeData": services.customer("8", id="other")}
    answer = services.call("POST", "/fb-customer/upsert-one", params={"filter": text}, json=body)
    assert answer.status_code == 200
    assert services.found({}) == ["8", "9"]


@pytest.mark.parametrize("server", ["2026-04", "2025-12"])
@pytest.mark.parametrize("fields", [{"id": None}, {"id": ""}, {"amount": float("inf")}], ids=str)
def test_what_cannot_be_stored(services: Services, fields: dict[str, Any], server: str) -> None:
    """A customer without an id, or with a number out of range, gets the error of the recorded server."""
    services.sandbox.behaviour.change({"server": server})
    path = "/customer/upsert-one" if server == "2025-12" else "/fb-customer/upsert-one"
    body = json.dumps({"panCakeData": services.customer("7", **fields)}).replace("Infinity", "1e400")
    answer = services.call("POST", path, params={"filter": '{"psid": "7"}'}, data=body.encode())
    expected = (400, "VAL_002") if server == "2025-12" else (500, "SYS_001")
    assert (answer.status_code, answer.json()["code"]) == expected
    assert services.sandbox.folkform.documents(services.page_id) == []


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
        b'{"panCakeData": {"psid": "7", "page_id": "PAGE", "x": ' + b"[" * 100_000 + b"}}",
        b'{"panCakeData": {"psid": "7", "page_id": "PAGE", "x": "\xff"}}',
    ],
    ids=lambda body: repr(body[-30:]),
)
def test_upsert_refuses_broken_bodies(services: Services, body: bytes) -> None:
    """Anything but a customer with a psid and page_id is a 400 and writes nothing."""
    wanted = json.dumps({"psid": "7", "pageId": services.page_id})
    text = body.replace(b"PAGE", services.page_id.encode())
    answer = services.call("POST", "/fb-customer/upsert-one", params={"filter": wanted}, data=text)
    assert (answer.status_code, answer.json()["code"]) == (400, "VAL_002")
    assert services.found({}) == []


def test_values_that_change(services: Services) -> None:
    """Half a surrogate pair, whole doubles, and numbers beyond 64 bits change as in MongoDB and Go."""
    sent = {"text": "\ud83d!", "one": 1.0, "big": 2**63, "bigger": 10**30, "small": 1e-9, "kept": 2**53 + 1}
    document = services.upsert(services.customer("\ud83d", values=sent)).json()["data"]
    expected = {
        "text": "\ufffd!",
        "one": 1,
        "big": 9223372036854776000,
        "bigger": 1e30,
        "small": 1e-9,
        "kept": 2**53 + 1,
    }
    assert repr(document["panCakeData"]["values"]) == repr(expected)
    assert document["psid"] == "\ufffd"


@pytest.mark.parametrize(("psid", "kept"), [(None, ""), ("", ""), (25149177694676594, "25149177694676594")])
def test_the_psid_is_a_text(services: Services, psid: Any, kept: str) -> None:
    """An invalid psid is stored as an empty text, a number as text."""
    body = {"panCakeData": services.customer("7") | {"psid": psid}}
    where = json.dumps({"customerId": body["panCakeData"]["id"]})
    answer = services.call("POST", "/fb-customer/upsert-one", params={"filter": where}, json=body)
    assert answer.json()["data"]["psid"] == kept


def test_the_other_calls_on_customers(services: Services) -> None:
    """insert-one, find-one, find-by-id, update-by-id, delete-by-id and count work."""
    inserted = services.call("POST", "/fb-customer/insert-one", json={"panCakeData": services.customer("7")})
    document = inserted.json()["data"]
    by_id = f"/fb-customer/find-by-id/{document['id']}"
    assert services.call("GET", by_id).json()["data"] == document
    assert services.find({"pageId": services.page_id}, path="/fb-customer/find-one").json()["data"] == document
    body = {"panCakeData": services.customer("7", name="Lan")}
    updated = services.call("PUT", f"/fb-customer/update-by-id/{document['id']}", json=body).json()["data"]
    assert (updated["id"], updated["name"]) == (document["id"], "Lan")
    assert services.find({"pageId": services.page_id}, path="/fb-customer/count").json()["data"] == 1
    assert services.call("DELETE", f"/fb-customer/delete-by-id/{document['id']}").status_code == 200
    assert services.call("GET", by_id).status_code == 404
    assert services.find({"pageId": services.page_id}, path="/fb-customer/count").json()["data"] == 0


@pytest.mark.parametrize(
    ("unique_psid", "here", "elsewhere"), [("no", 200, 200), ("per_page", 500, 200), ("everywhere", 500, 500)]
)
def test_what_is_unique(services: Services, unique_psid: str, here: int, elsewhere: int) -> None:
    """Pancake's id is unique, a psid only with that index. A duplicate is a 500 `DB`."""
    services.sandbox.behaviour.change({"unique_psid": unique_psid})
    seven = f"7 {services.page_id}"  # Other tests store psids in the same sandbox.
    assert services.upsert(services.customer(seven)).status_code == 200
    other = Services(services.sandbox)

    def insert(customer: dict[str, Any]) -> requests.Response:
        return services.call("POST", "/fb-customer/insert-one", json={"panCakeData": customer})

    assert insert(services.customer(seven, id=f"new {services.page_id}")).status_code == here
    assert insert(other.customer(seven)).status_code == elsewhere
    refused = insert(services.customer(f"8 {services.page_id}", id=services.customer(seven)["id"]))
    assert (refused.status_code, refused.json()["code"]) == (500, "DB")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "find-by-id"), ("PUT", "update-by-id"), ("DELETE", "delete-by-id")]
)
def test_unknown_id(services: Services, method: str, path: str) -> None:
    """A call about an unknown id is a 404 in the envelope."""
    body = {"panCakeData": services.customer("7")}
    answer = services.call(method, f"/fb-customer/{path}/{'0' * 24}", json=body)
    assert (answer.status_code, answer.json()["status"]) == (404, "error")


def test_find_with_pagination(services: Services) -> None:
    """A paginated find counts pages from 1 and returns null after the last one."""
    for n in range(5):
        services.upsert(services.customer(str(n)))
    answers = [paginated(services, "/fb-customer/find-with-pagination", page, 2) for page in (1, 3, 4)]
    assert [[item["psid"] for item in answer.pop("items") or []] for answer in answers] == [
        ["0", "1"],
        ["4"],
        [],
    ]
    assert answers[0] == {"page": 1, "limit": 2, "itemCount": 2, "total": 5, "totalPage": 3}


@pytest.mark.parametrize(("found", "expected"), [("list", []), ("items", {"items": None})])
def test_nothing_found(services: Services, found: str, expected: Any) -> None:
    """An empty find is an empty list, or null if lists are wrapped in items."""
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
    for path in ("/fb-customer/find-with-pagination", "/facebook/page/find-with-pagination"):
        answer = services.call("GET", path, params=wrong)
        assert (answer.status_code, answer.json()["code"]) == (400, "VAL_002")


def test_page_records(services: Services) -> None:
    """A page record has the contract's fields, and the sandbox can change it."""
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
    """Pagination returns each page record once, and null after the last."""
    added = {services.page_id, *(Services(services.sandbox).page_id for _ in range(3))}
    total = paginated(services, "/facebook/page/find-with-pagination", 1, 2)["totalPage"]
    answers = [paginated(services, "/facebook/page/find-with-pagination", n + 1, 2) for n in range(total + 1)]
    page_ids = [item["pageId"] for answer in answers for item in answer["items"] or []]
    assert answers[-1]["items"] is None
    assert len(page_ids) == len(set(page_ids)) == answers[0]["total"]
    assert added <= set(page_ids)


def test_update_token(services: Services) -> None:
    """A page token can be stored; an unknown page or a wrong type is an error."""
    assert update_token(services, services.page_id, "new").status_code == 200
    record = services.sandbox.folkform.page(services.page_id)
    assert record is not None
    assert record["pageAccessToken"] == "new"
    assert update_token(services, "unknown", "new").status_code == 404
    assert update_token(services, services.page_id, None).status_code == 400


@pytest.mark.parametrize("authorization", ["", "Bearer wrong", "Basic folkform-sandbox-token"])
def test_bad_bearer_token(services: Services, authorization: str) -> None:
    """Without a known bearer token every call is a 401."""
    for path in ("/fb-customer/find", "/facebook/page/find-with-pagination", "/auth/roles"):
        url = services.folkform_url + path
        answer = requests.get(url, headers={"Authorization": authorization}, timeout=20)
        assert (answer.status_code, answer.json()["code"]) == (401, "AUTH_001")


@pytest.mark.parametrize(
    ("role", "status", "code"),
    [(None, 400, "AUTH_003"), ("xyz", 400, "VAL_002"), ("6b08a4eca6028ffac65aaaaa", 403, "AUTH_003")],
)
def test_roles(services: Services, role: str | None, status: int, code: str) -> None:
    """The role must be the token's own; /auth/roles, which needs none, lists it."""
    header = {"X-Active-Role-ID": role}
    refused = services.call("GET", "/fb-customer/count", headers=header)
    assert (refused.status_code, refused.json()["code"]) == (status, code)
    (listed,) = services.call("GET", "/auth/roles", headers=header).json()["data"]
    assert listed.keys() == {"roleId", "roleName", "ownerOrganizationId", "organizationName"}
    assert services.call("GET", "/fb-customer/count", headers=role_header(listed["roleId"])).status_code == 200
    if status == 403:
        expected = {"errorCode": "ROLE_CONTEXT_INVALID", "invalidRoleId": role, "validRoleIds": [ROLE_ID]}
        assert refused.json()["details"] == expected


def test_a_blocked_user(services: Services) -> None:
    """A blocked user gets a 403 AUTH_002 everywhere."""
    services.sandbox.folkform.tokens["blocked"] = Access(blocked=True)
    for path in ("/fb-customer/count", "/auth/roles", "/facebook/page/find-with-pagination"):
        answer = services.call("GET", path, token="blocked")
        assert (answer.status_code, answer.json()["code"]) == (403, "AUTH_002")


@pytest.mark.parametrize("server", ["2026-04", "2025-12"])
def test_every_answer_has_a_request_id(services: Services, server: str) -> None:
    """Every answer has an X-Request-Id of its own, errors and unknown paths included."""
    services.sandbox.behaviour.change({"server": server, "folkform_limit": 3})
    paths = ["/system/health", "/nothing", "/fb-customer/count", "/auth/roles", "/auth/roles"]
    answers = [services.call("GET", path) for path in paths]
    assert [answer.status_code for answer in answers] == [200, 404, 200, 200, 429]
    assert len({answer.headers["X-Request-Id"] for answer in answers}) == len(paths)


def test_health(services: Services) -> None:
    """The health call needs no sign-in."""
    answer = services.call("GET", "/system/health", headers={"Authorization": None})
    assert answer.json()["data"]["status"] == "healthy"


@pytest.mark.parametrize(("server", "status"), [("2026-04", 200), ("2025-12", 413)])
def test_a_body_above_ten_megabytes(services: Services, server: str, status: int) -> None:
    """Only the older server rejects it."""
    services.sandbox.behaviour.change({"server": server})
    assert services.upsert(services.customer("7", n="x" * (10 * 2**20))).status_code == status


@pytest.mark.parametrize("role", ["", "wrong"])
def test_a_wrong_role_may_see_an_empty_folkform(services: Services, role: str) -> None:
    """Optionally a wrong or missing role sees no pages and no documents; it still cannot write."""
    services.upsert(services.customer("7"))
    services.sandbox.behaviour.change({"role_required": True, "wrong_role": "empty"})

    def seen(path: str, role_id: str = role) -> Any:
        return services.call("GET", path, headers=role_header(role_id)).json().get("data")

    assert (seen("/fb-customer/find"), seen("/fb-customer/count")) == ([], 0)
    for path in ("/fb-customer", "/facebook/page"):
        assert seen(f"{path}/find-with-pagination")["items"] is None
    assert seen(f"/facebook/page/find-by-page-id/{services.page_id}") is None
    refused = services.upsert(services.customer("7"), headers=role_header(role))
    assert (refused.status_code, refused.json()["code"]) == (403, "AUTH_003")
    (right,) = seen("/auth/roles")
    assert seen("/fb-customer/count", right["roleId"]) >= 1


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
    """A call is a 403 exactly for tokens without one of its permissions."""
    needed = PERMISSION_TABLE[method, path]
    tokens = services.sandbox.folkform.tokens
    for permission in PERMISSIONS:
        tokens["limited"] = Access(permissions=PERMISSIONS - {permission})
        refused = services.call(method, "/fb-customer" + path, token="limited").status_code == 403
        assert refused == (permission in needed)


@pytest.mark.parametrize(
    ("settings", "customer", "fb_customer"),
    [
        ({"server": "2026-04"}, 404, 200),
        ({"server": "2025-12"}, 200, 200),
        ({"customer_path": "/customer"}, 200, 404),
        ({"server": "2025-12", "customer_path": "/fb-customer"}, 404, 200),
    ],
)
def test_where_customers_are(services: Services, settings: dict[str, Any], customer: int, fb_customer: int) -> None:
    """Each server has its paths; a setting restricts them to one."""
    services.sandbox.behaviour.change(settings)
    assert services.call("GET", "/customer/count").status_code == customer
    assert services.call("GET", "/fb-customer/count").status_code == fb_customer


def test_two_paths_are_two_collections(services: Services) -> None:
    """The two paths of the older server are separate collections."""
    services.sandbox.behaviour.change({"server": "2025-12"})
    services.upsert(services.customer("7"))
    wanted = {"pageId": services.page_id}
    assert services.find(wanted, path="/customer/count").json()["data"] == 0
    assert services.find(wanted, path="/fb-customer/count").json()["data"] == 1
    assert len(services.sandbox.other_folkform.documents(services.page_id)) == 1


def test_request_heads_stay_under_4096_bytes(services: Services) -> None:
    """50 psids fit in one $in; a longer request line is a 431."""
    psids = [str(10**16 + n) for n in range(300)]
    assert services.find({"pageId": services.page_id, "psid": {"$in": psids[:50]}}).status_code == 200
    assert services.find({"pageId": services.page_id, "psid": {"$in": psids}}).status_code == 431
    assert services.call("GET", "/fb-customer/count", headers={"X-Filling": "x" * 4096}).status_code == 431


def paginated(services: Services, path: str, page: int, limit: int) -> Any:
    parameters = {"page": page, "limit": limit, "filter": json.dumps({"pageId": services.page_id})}
    return services.call("GET", path, params=parameters).json()["data"]


def update_token(services: Services, page_id: str, token: str | None) -> requests.Response:
    body = {"pageId": page_id, "pageAccessToken": token}
    return services.call("PUT", "/facebook/page/update-token", json=body)


def role_header(role_id: str) -> dict[str, str]:
    return {"X-Active-Role-ID": role_id}
