"""The rate limits of the services."""

import time
from typing import Any

import pytest
import requests

from customer_sync.sandbox import Behaviour
from customer_sync.sandbox.limits import Allowance, Limits

from .services import TIMEOUT, Services


class Clock:
    """A clock that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_folkforms_window_is_fixed() -> None:
    """All requests of a window may arrive at once, then none until its reset; headers have whole seconds."""
    clock = Clock()
    limits = Limits(Behaviour(folkform_limit=2, folkform_window=60), clock)
    assert limits.folkform("a") == Allowance(True, 2, 1, 60)
    clock.now += 58.5
    assert limits.folkform("a") == Allowance(True, 2, 0, 2)
    assert limits.folkform("a") == Allowance(False, 2, 0, 2)
    clock.now += 1.5
    assert limits.folkform("a") == Allowance(True, 2, 1, 60)


def test_each_address_has_a_window_of_its_own() -> None:
    """Each address has a limit of its own."""
    limits = Limits(Behaviour(folkform_limit=1), Clock())
    granted = [allowance.granted for client in "aab" if (allowance := limits.folkform(client))]
    assert granted == [True, False, True]


def test_pancakes_limit_slides() -> None:
    """No second has more requests for a page than the limit; rejected ones do not count."""
    clock = Clock()
    limits = Limits(Behaviour(pancake_limit=2), clock)
    granted = []
    for step in (0.0, 0.5, 0.25, 0.25, 0.25, 0.25):
        clock.now += step
        granted.append(limits.pancake("page"))
    assert granted == [True, True, False, True, False, True]
    assert limits.pancake("another page")


def test_folkforms_headers(services: Services) -> None:
    """Every answer has the limit's headers, errors too; a 429 has only Retry-After."""
    services.sandbox.behaviour.change({"folkform_limit": 3, "folkform_window": 30})
    answers = [
        services.call("GET", path) for path in ("/auth/roles", "/fb-customer/find?filter=x", "/fb-customer/count")
    ]
    assert [answer.status_code for answer in answers] == [200, 400, 200]
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["2", "1", "0"]
    assert {answer.headers["X-RateLimit-Limit"] for answer in answers} == {"3"}
    refused = services.call("GET", "/auth/roles")
    assert (refused.status_code, refused.json()["status"]) == (429, "error")
    assert (refused.json()["code"], "details" in refused.json()) == ("BIZ_002", False)
    assert not [name for name in refused.headers if name.lower().startswith("x-ratelimit")]
    assert 1 <= int(refused.headers["Retry-After"]) <= 30
    assert services.call("GET", "/system/health").status_code == 200


def test_folkforms_window_resets(services: Services) -> None:
    """After the reset, requests of the next window succeed; without a limit there are no headers."""
    services.sandbox.behaviour.change({"folkform_limit": 1, "folkform_window": 0.1})
    deadline = time.monotonic() + 10
    assert services.call("GET", "/auth/roles").status_code == 200
    while services.call("GET", "/auth/roles").status_code == 429:
        assert time.monotonic() < deadline
    services.sandbox.behaviour.folkform_limit = None
    assert "X-RateLimit-Limit" not in services.call("GET", "/auth/roles").headers


@pytest.mark.parametrize("retry_after", [None, "7", "3600", "soon", "Wed, 21 Oct 2065 07:28:00 GMT"])
@pytest.mark.parametrize(
    ("dress", "status", "body"),
    [
        ("status", 429, {"success": False, "message": "Too many requests"}),
        ("body", 200, {"success": False, "error_code": 429, "message": "Too many requests"}),
    ],
)
def test_pancakes_429(services: Services, dress: str, status: int, body: Any, retry_after: str | None) -> None:
    """Pancake's 429 is a status or an error code, with any Retry-After or none."""
    settings = {"pancake_limit": 0, "pancake_429": dress, "pancake_retry_after": retry_after}
    services.sandbox.behaviour.change(settings)
    answer = requests.get(f"{services.pancake_url}/public_api/v1/pages/1/page_customers", timeout=TIMEOUT)
    assert (answer.status_code, answer.json()) == (status, body)
    assert answer.headers.get("Retry-After") == retry_after
