"""Pancake's list: against the sandbox, and against answers that the sandbox never gives."""

import socket
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from customer_sync.core.clock import Clock
from customer_sync.core.errors import ContractBroken, CustomerSyncError, Refused, TokenRefused, Unreachable
from customer_sync.core.page import Page
from customer_sync.http.rate_limiter import AdaptiveRateLimiter
from customer_sync.http.redact import Redactor
from customer_sync.http.retry import MAX_FREE_TRIES, TRIES
from customer_sync.http.service import Service
from customer_sync.http.session import ApiSession
from customer_sync.sandbox import Behaviour, Sandbox
from customer_sync.services import pancake
from customer_sync.services.page_token import PageToken, no_user_token
from customer_sync.services.pancake import LARGEST_PAGE_SIZE, PancakeClient

from .test_http import PatientClock, RawServer, reply

LATER = 4_000_000_000
_NUMBERS = count(1)
_TOKEN = "page-token-of-the-test"
_STEP = no_user_token().next_step


@pytest.fixture(scope="module")
def served() -> Iterator[Sandbox]:
    """One sandbox for all tests; each has a page of its own."""
    with Sandbox(pages=0) as sandbox:
        yield sandbox


@pytest.fixture
def box(served: Sandbox) -> Sandbox:
    """The sandbox as it usually behaves."""
    served.behaviour.change(Behaviour().as_dict())
    served.requests.clear()
    return served


@pytest.fixture
def page(box: Sandbox) -> Page:
    """A page of the test's own."""
    page_id = f"104{next(_NUMBERS):012}"
    box.add_page(page_id)
    return Page(page_id, "", True, box.pancake.page_token(page_id) or "")


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback is never asked through the machine's proxy."""
    monkeypatch.setenv("NO_PROXY", "*")


class Records:
    """A FolkForm that holds one page record, and keeps no new token."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def page(self, _: str) -> Page:
        return self._page

    def store_page_token(self, page_id: str, token: str) -> None:
        raise AssertionError(page_id, token)


def client_of(session: ApiSession, page: Page, clock: Clock, rate: float) -> PancakeClient:
    """A client for a page whose record holds no user token, so that no new page token can be made."""
    access = PageToken(page, session, AdaptiveRateLimiter(clock, rate), Records(page), Redactor())
    return PancakeClient(session, page.page_id, access)


def client(url: str, page: Page, clock: Clock | None = None) -> PancakeClient:
    """A client without waits."""
    clock, redact = clock or PatientClock(), Redactor()
    redact.add(page.page_access_token)
    service = Service(pancake.SERVICE, url, "PANCAKE_BASE_URL", pancake.RENEW_TOKEN)
    session = ApiSession(service, pancake.check_envelope, clock=clock, redact=redact, timeout=10)
    return client_of(session, page, clock, 1000)


def of(box: Sandbox, page: Page) -> PancakeClient:
    """A client of the sandbox's Pancake."""
    return client(box.environment["PANCAKE_BASE_URL"], page)


def person(number: int, **fields: Any) -> dict[str, Any]:
    """A customer; a higher number has a later time."""
    time = f"2025-01-01T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}"
    return {"id": f"id-{number}", "psid": f"p{number}", "updated_at": time, "inserted_at": time, **fields}


def asked_once(server: RawServer) -> bool:
    """Whether there was no second try."""
    return len(server.requests) == 1


def canned(body: Any, status: int = 200) -> tuple[RawServer, Page]:
    """A Pancake that always answers the same, and a page to ask it about."""
    return RawServer(reply(body, status)), Page("104", "", True, _TOKEN)


def test_lists_customers(box: Sandbox, page: Page) -> None:
    """The newest come first, exactly as Pancake has them, with the window's total and Pancake's clock."""
    people = [person(number, huge=2**70, page_id=page.page_id if number % 2 else None) for number in range(5)]
    box.pancake.add_customers(page.page_id, people)
    listed = of(box, page).get_customers(1, 3, 0, LATER)
    assert listed.customers == people[:1:-1]
    assert listed.total == 5
    assert listed.date is not None
    assert abs(listed.date - box.pancake.now() / 1_000_000) < 60


def test_asks_exactly_what_the_contract_lists(box: Sandbox, page: Page) -> None:
    """Token, page number, page size, window and order are sent, and nothing else."""
    of(box, page).get_customers(2, 50, 1_735_689_600, 1_735_776_000)
    (request,) = box.requests.recent
    assert request.query == {
        "page_access_token": page.page_access_token,
        "page_number": "2",
        "page_size": "50",
        "since": "1735689600",
        "until": "1735776000",
        "order_by": "updated_at",
    }
    assert (request.method, request.page_id, request.status) == ("GET", page.page_id, 200)


@pytest.mark.parametrize("page_size", [1, 7, LARGEST_PAGE_SIZE])
def test_pages_through_the_list(box: Sandbox, page: Page, page_size: int) -> None:
    """Page numbers count from 1, and all pages together hold every customer."""
    box.pancake.add_customers(page.page_id, [person(number) for number in range(23)])
    asked = of(box, page)
    psids: list[str] = []
    for number in count(1):
        listed = asked.get_customers(number, page_size, 0, LATER)
        psids += [customer["psid"] for customer in listed.customers]
        if not listed.customers:
            break
    assert psids == [f"p{number}" for number in reversed(range(23))]


def test_another_order(box: Sandbox, page: Page) -> None:
    """The order asked for is the order sent."""
    of(box, page).get_customers(1, 10, 0, LATER, order_by="inserted_at")
    assert box.requests.recent[0].query["order_by"] == "inserted_at"


@pytest.mark.parametrize("page_id", ["igo_178000", "pzl_84/../x", "tr 1?x=1#y", "%2e%2e", "trang số 1"])
def test_any_page_id_is_one_part_of_the_path(page_id: str) -> None:
    """No part of a page id becomes another path or parameter."""
    with RawServer(reply({"success": True, "customers": []})) as server:
        client(server.url, Page(page_id, "", True, _TOKEN)).get_customers(1, 10, 0, LATER)
    path = server.requests[0].target.split("?")[0]
    assert path.startswith("/public_api/v1/pages/")
    assert path.endswith("/page_customers")
    assert path.count("/") == 5
    assert server.requests[0].params.keys() == {
        *("page_access_token", "page_number", "page_size", "since", "until", "order_by"),
    }


@pytest.mark.parametrize("total", [False, True])
def test_a_missing_total_is_none(box: Sandbox, page: Page, total: bool) -> None:
    """Without `total` the number of customers is None."""
    box.behaviour.total = total
    assert of(box, page).get_customers(1, 10, 0, LATER).total == (0 if total else None)


@pytest.mark.parametrize("total", [None, "5", 5.5, True, [], {}])
def test_a_strange_total_is_none(total: Any) -> None:
    """A total that is not a whole number is None."""
    server, page = canned({"success": True, "total": total, "customers": []})
    with server:
        assert client(server.url, page).get_customers(1, 10, 0, LATER).total is None


def test_strange_customers_are_returned() -> None:
    """The client returns every item of the list, of whatever type."""
    rows: list[Any] = [None, 5, "x", [], {}, {"psid": None}]
    server, page = canned({"success": True, "customers": rows})
    with server:
        assert client(server.url, page).get_customers(1, 10, 0, LATER).customers == rows


def test_tokens_that_the_sandbox_refuses(box: Sandbox, page: Page) -> None:
    """A user's token, another page's, a renewed one and an invented one are each refused, with the next step."""
    other = f"104{next(_NUMBERS):012}"
    box.add_page(other)
    dead = page.page_access_token
    box.pancake.make_page_token(page.page_id)
    tokens = {
        "102": box.pancake.user_token(page.page_id) or "",
        "105": dead,
        "106": "invented-token",
        "107": box.pancake.page_token(other) or "",
    }
    for code, token in tokens.items():
        with pytest.raises(TokenRefused) as refusal:
            of(box, Page(page.page_id, "", True, token)).get_customers(1, 10, 0, LATER)
        assert refusal.value.server_message.startswith(f"{code}: ")
        assert _STEP in str(refusal.value)
        assert token not in str(refusal.value)
    assert box.requests.count("pancake") == len(tokens)


@pytest.mark.parametrize("status", [200, 401, 403])
@pytest.mark.parametrize("code", [102, 103, "105", 106, "107"])
def test_token_codes(code: Any, status: int) -> None:
    """Each code of a refused token, in HTTP 200, 401 or 403, is final at the first attempt."""
    server, page = canned({"success": False, "error_code": code, "message": "nope"}, status)
    with server, pytest.raises(TokenRefused) as refusal:
        client(server.url, page).get_customers(1, 10, 0, LATER)
    assert refusal.value.server_message == f"{code}: nope"
    assert _STEP in str(refusal.value)
    assert asked_once(server)


def test_no_token_at_all() -> None:
    """A page without a token is an error, and Pancake is not called."""
    with RawServer() as server, pytest.raises(TokenRefused) as refusal:
        client(server.url, Page("104", "", True, "")).get_customers(1, 10, 0, LATER)
    assert _STEP in str(refusal.value)
    assert server.requests == []


@pytest.mark.parametrize("code", [429, "429"])
def test_too_many_in_http_200_is_retried(code: Any) -> None:
    """A 429 in the envelope of HTTP 200 is retried, and slows the next calls down."""
    too_many = reply({"success": False, "error_code": code, "message": "Too many requests"})
    good = reply({"success": True, "customers": [], "total": 0})
    clock = PatientClock()
    with RawServer(too_many, too_many, good) as server:
        asked = client(server.url, Page("104", "", True, _TOKEN), clock)
        assert asked.get_customers(1, 10, 0, LATER).total == 0
        waits = len(clock.waits)
        asked.get_customers(1, 10, 0, LATER)
    assert len(server.requests) == 4
    assert clock.waits[waits] > 0.1


@pytest.mark.parametrize(
    "body",
    [
        {"success": False, "error_code": 429, "message": "Too many requests"},
        {"success": False, "message": "An error occurred. Please try again later."},
        {"success": False, "message": "PLEASE TRY AGAIN LATER"},
        {"success": False, "error_code": 500, "message": "Try again later"},
    ],
    ids=str,
)
def test_try_again_later_is_retried(body: Any) -> None:
    """Pancake's "try again later" gets five attempts, a 429 without a hint more, then it is unreachable."""
    server, page = canned(body)
    with server, pytest.raises(Unreachable) as failure:
        client(server.url, page).get_customers(1, 10, 0, LATER)
    assert body["message"].rstrip(".") in str(failure.value)
    assert len(server.requests) == TRIES + (MAX_FREE_TRIES if body.get("error_code") == 429 else 0)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"success": False}, ""),
        ({"success": False, "message": None}, ""),
        ({"success": False, "message": "Page not found"}, "Page not found"),
        ({"success": False, "error_code": 100, "message": "since is missing"}, "100: since is missing"),
        ({"success": False, "error_code": 104, "message": "x"}, "104: x"),
        ({"success": False, "error_code": "E102", "message": "x"}, "E102: x"),
        ({"success": False, "error_code": {"x": 1}, "message": ["x"]}, ""),
        ({"success": False, "customers": [{"psid": "1"}]}, ""),
    ],
    ids=str,
)
def test_anything_else_is_a_refusal(body: Any, message: str) -> None:
    """Any other `success: false` is final, with Pancake's message."""
    server, page = canned(body)
    with server, pytest.raises(Refused) as refusal:
        client(server.url, page).get_customers(1, 10, 0, LATER)
    assert refusal.value.server_message == message
    assert asked_once(server)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"customers": []},
        {"success": None, "customers": []},
        {"success": "true", "customers": []},
        {"success": 1, "customers": []},
        {"success": True},
        {"success": True, "customers": None},
        {"success": True, "customers": {}},
        {"success": True, "customers": "none"},
        {"success": True, "data": []},
    ],
    ids=str,
)
def test_an_answer_without_a_list_breaks_the_contract(body: Any) -> None:
    """Read as an empty list it would end the walk and lose every customer behind it."""
    server, page = canned(body)
    with server, pytest.raises(ContractBroken):
        client(server.url, page).get_customers(1, 10, 0, LATER)
    assert asked_once(server)


def test_a_page_size_above_the_largest_is_refused(box: Sandbox, page: Page) -> None:
    """Pancake refuses more than a hundred at once, and its message is shown."""
    with pytest.raises(Refused, match="page_size must be at most 100"):
        of(box, page).get_customers(1, 101, 0, LATER)


def test_no_error_shows_the_token(box: Sandbox, page: Page) -> None:
    """Tokens travel in the address; no error carries one."""
    url = box.environment["PANCAKE_BASE_URL"]
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # Nothing listens there.
        for address in (f"{url}/nowhere", f"http://127.0.0.1:{bound.getsockname()[1]}"):
            with pytest.raises(CustomerSyncError) as failure:
                client(address, page).get_customers(1, 10, 0, LATER)
            assert page.page_access_token not in str(failure.value)


def test_each_page_has_its_own_pace(box: Sandbox, page: Page) -> None:
    """Calls are paced per page."""
    clock = PatientClock()
    service = Service(pancake.SERVICE, box.environment["PANCAKE_BASE_URL"], "PANCAKE_BASE_URL", pancake.RENEW_TOKEN)
    session = ApiSession(service, pancake.check_envelope, clock=clock, redact=Redactor(), timeout=10)
    one, other = (client_of(session, page, clock, 5) for _ in range(2))
    for _ in range(3):
        one.get_customers(1, 10, 0, LATER)
    assert clock.waits == pytest.approx([0.2, 0.2])
    other.get_customers(1, 10, 0, LATER)
    assert len(clock.waits) == 2
    assert session.requests_by_page == {page.page_id: 4}
