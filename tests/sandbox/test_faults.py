"""Which requests get a fault, and the answers instead."""

from typing import Any

import pytest
import requests

from customer_sync.sandbox import Fault, Sandbox, Selection

from .services import TIMEOUT, Services


def test_the_next_requests_meet_it(services: Services) -> None:
    """A fault skips its first requests, then affects a number of them, and is over."""
    services.sandbox.faults.add(Fault("status", endpoint="/auth/roles", skip=1, times=2))
    assert statuses(services, "/auth/roles", 5) == [200, 500, 500, 200, 200]


def test_faults_queue(services: Services) -> None:
    """A request gets the first fault that selects it, so several faults make a sequence."""
    for status in (500, 502, 409):
        services.sandbox.faults.add(Fault("status", status=status))
    assert statuses(services, "/auth/roles", 4) == [500, 502, 409, 200]


def test_by_probability(services: Services) -> None:
    """A fault with a probability affects some requests, the same ones for the same seed."""
    faults, fault = services.sandbox.faults, Fault("status", times=None, probability=0.5)
    runs = []
    for _ in range(2):
        faults.clear()
        faults.add(fault)
        runs.append(statuses(services, "/auth/roles", 40))
    assert runs[0] == runs[1]
    assert 5 < runs[0].count(500) < 35


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(), [True, True, True]),
        (Selection(service="folkform"), [False, True, True]),
        (Selection(service="pancake"), [True, False, False]),
        (Selection(service="firebase"), [False, False, False]),
        (Selection(method="POST"), [False, False, True]),
        (Selection(endpoint="/find"), [False, True, False]),
        (Selection(endpoint="/page_customers", method="GET"), [True, False, False]),
        (Selection(page_id="another"), [False, False, False]),
        (Selection(psid="7"), [False, False, True]),
        (Selection(psid="8"), [False, False, False]),
    ],
    ids=str,
)
def test_selections(services: Services, selection: Selection, expected: list[bool]) -> None:
    """Service, method, endpoint, page and customer select requests, each if given."""
    services.list()
    services.find({"pageId": services.page_id})
    services.upsert(services.customer("7"))
    requests_seen = services.sandbox.requests.recent
    assert [selection.matches(request) for request in requests_seen] == expected
    assert all(Selection(page_id=services.page_id).matches(request) for request in requests_seen)


@pytest.mark.parametrize("status", [408, 409, 500, 502, 503])
def test_status(services: Services, status: int) -> None:
    """A status has the service's own error JSON, and optionally Retry-After."""
    faults = services.sandbox.faults
    faults.add(Fault("status", status=status, retry_after="2"))
    faults.add(Fault("status", status=status, message="Bận"))
    first, second = (services.call("GET", "/auth/roles") for _ in range(2))
    assert (first.status_code, first.headers["Retry-After"], first.json()["status"]) == (status, "2", "error")
    assert (second.json()["message"], "Retry-After" in second.headers) == ("Bận", False)
    faults.add(Fault("status", service="pancake", status=status))
    assert services.list()["success"] is False
    faults.add(Fault("status", service="firebase", status=status, message="USER_DISABLED"))
    firebase_url = services.sandbox.sign_in_environment["FIREBASE_BASE_URL"]
    answer = requests.post(f"{firebase_url}/accounts:signInWithPassword", timeout=TIMEOUT)
    assert (answer.status_code, answer.json()["error"]["message"]) == (status, "USER_DISABLED")


def test_error_code(services: Services) -> None:
    """Pancake's errors are HTTP 200 with any code or none."""
    faults = services.sandbox.faults
    faults.add(Fault("error_code", error_code=429, message="Too many requests"))
    faults.add(Fault("error_code"))
    assert services.list() == {"success": False, "error_code": 429, "message": "Too many requests"}
    assert services.list() == {"success": False, "message": "An error occurred. Please try again later."}


@pytest.mark.parametrize("status", [200, 502])
def test_html(services: Services, status: int) -> None:
    """A proxy's page has an error status, or 200."""
    services.sandbox.faults.add(Fault("html", status=status))
    answer = services.call("GET", "/auth/roles")
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "text/html; charset=utf-8")
    assert answer.text.startswith("<html>")


@pytest.mark.parametrize("location", [None, "https://elsewhere.example/"])
def test_redirect(services: Services, location: str | None) -> None:
    """A redirect has any location, by default the same address."""
    services.sandbox.faults.add(Fault("redirect", location=location))
    answer = services.call("GET", "/fb-customer/count?filter=%7B%7D", allow_redirects=False)
    assert answer.status_code == 302
    assert answer.headers["Location"] == (location or "/folkform/api/v1/fb-customer/count?filter=%7B%7D")


@pytest.mark.parametrize(("effect", "expected"), [(True, ["7"]), (False, [])])
def test_effect(services: Services, effect: bool, expected: list[str]) -> None:
    """Whatever the answer, *effect* decides whether the upsert happens."""
    services.sandbox.faults.add(Fault("html", effect=effect))
    assert services.upsert(services.customer("7")).status_code == 502
    assert services.found({}) == expected


def test_poisonous_customers(services: Services) -> None:
    """One customer's upserts can always fail, with name and phone in the message; others succeed."""
    faults = services.sandbox.faults
    faults.add(Fault("status", psid="7", times=None))
    echo = "Khách hàng {name} ({phone}) không hợp lệ"
    faults.add(Fault("status", status=400, psid="8", times=None, message=echo))
    mai = services.customer("8", name="Mai Thảo", phone_numbers=["0903154539"])
    for _ in range(2):
        assert services.upsert(services.customer("7")).status_code == 500
        refused = services.upsert(mai)
        assert (refused.status_code, refused.json()["message"]) == (
            400,
            "Khách hàng Mai Thảo (0903154539) không hợp lệ",
        )
    assert services.find({}).status_code == 200
    assert services.upsert(services.customer("9")).status_code == 200
    assert services.found({}) == ["9"]


def test_a_message_without_a_customer(services: Services) -> None:
    """If the request has no customer, the message stays unchanged."""
    services.sandbox.faults.add(Fault("status", message="{name} {phone}"))
    assert services.call("GET", "/auth/roles").json()["message"] == "{name} {phone}"


def test_the_log_has_the_fault(services: Services) -> None:
    """A request with a fault is logged with its kind and the status of the answer."""
    services.sandbox.faults.add(Fault("html"))
    statuses(services, "/auth/roles", 2)
    logged = [(request.status, request.fault) for request in services.sandbox.requests.recent]
    assert logged == [(502, "html"), (200, None)]


def test_over_http(services: Services) -> None:
    """POST faults adds one, GET shows how many requests are left, DELETE removes all; none of these is logged."""
    url = f"{services.sandbox.url}/sandbox/faults"
    added = requests.post(url, json={"kind": "status", "endpoint": "/auth/roles", "times": 3}, timeout=TIMEOUT)
    assert added.json()["left"] == 3
    assert requests.post(url, json={"kind": "reset", "times": None}, timeout=TIMEOUT).status_code == 200
    assert statuses(services, "/auth/roles", 1) == [500]
    shown = requests.get(url, timeout=TIMEOUT).json()
    assert [(fault["kind"], fault["left"]) for fault in shown] == [("status", 2), ("reset", None)]
    assert requests.delete(url, timeout=TIMEOUT).json() == []
    assert statuses(services, "/auth/roles", 1) == [200]
    assert services.sandbox.requests.count() == 2


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"kind": "boom"},
        {"kind": "status", "status": 99},
        {"kind": "status", "status": "500"},
        {"kind": "status", "times": -1},
        {"kind": "status", "probability": 1.5},
        {"kind": "drip_body", "interval": -1},
        {"kind": "status", "service": "sandbox"},
        {"kind": "status", "nonsense": 1},
        [],
        "x",
    ],
    ids=str,
)
def test_wrong_faults(sandbox: Sandbox, settings: Any) -> None:
    """A fault without a kind, with an unknown setting or an invalid value is a 400 and not added."""
    assert requests.post(f"{sandbox.url}/sandbox/faults", json=settings, timeout=TIMEOUT).status_code == 400
    assert sandbox.faults.active == []


def test_reset(services: Services) -> None:
    """POST reset restores the initial behaviour and empties the log; the data stays."""
    sandbox = services.sandbox
    services.upsert(services.customer("7"))
    sandbox.faults.add(Fault("reset", times=None))
    sandbox.tokens.kill("bearer")
    sandbox.behaviour.change({"dialect": "older", "folkform_limit": 0})
    assert requests.post(f"{sandbox.url}/sandbox/reset", timeout=TIMEOUT).status_code == 200
    assert sandbox.requests.count() == 0
    assert services.found({}) == ["7"]
    assert sandbox.behaviour.dialect == "deployed"


def statuses(services: Services, path: str, count: int) -> list[int]:
    return [services.call("GET", path).status_code for _ in range(count)]
