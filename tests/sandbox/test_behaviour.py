"""The sandbox's behaviour, changed over HTTP and from Python."""

import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
import requests

from customer_sync.sandbox import Behaviour, Sandbox
from customer_sync.sandbox.times import microseconds

from .services import TIMEOUT, Services


def control(sandbox: Sandbox, method: str, path: str, **options: Any) -> requests.Response:
    return requests.request(method, f"{sandbox.url}/sandbox/{path}", timeout=TIMEOUT, **options)


def test_behaviour_can_be_read_and_changed(sandbox: Sandbox) -> None:
    """PATCH changes the given settings, GET shows all, in the same form."""
    assert control(sandbox, "GET", "behaviour").json() == Behaviour().as_dict()
    settings = {"dialect": "older", "found": "items", "page_size_cut": 50, "folkform_latency": 0, "total": False}
    changed = control(sandbox, "PATCH", "behaviour", json=settings)
    assert changed.status_code == 200
    assert changed.json() == control(sandbox, "GET", "behaviour").json() == Behaviour().as_dict() | settings
    assert sandbox.behaviour.dialect == "older"


@pytest.mark.parametrize(
    "settings",
    [
        {"nonsense": 1},
        {"dialect": "new"},
        {"dialect": ["guide"]},
        {"total": 1},
        {"changes_per_list": 1.5},
        {"changes_per_list": True},
        {"page_size_cut": "5"},
        {"pancake_latency": None},
        {"total": False, "window": "both"},
        [],
        "x",
    ],
    ids=str,
)
def test_wrong_settings_change_nothing(sandbox: Sandbox, settings: Any) -> None:
    """An unknown name or a value of the wrong type is a 400, and no setting changes."""
    assert control(sandbox, "PATCH", "behaviour", json=settings).status_code == 400
    assert sandbox.behaviour == Behaviour()


@pytest.mark.parametrize("service", ["pancake", "folkform"])
def test_latency_overlaps(services: Services, service: str) -> None:
    """Every answer of the service waits, and concurrent requests wait in parallel."""
    services.sandbox.behaviour.change({f"{service}_latency": 1.0})
    call = services.list if service == "pancake" else lambda: services.find({})
    started = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: call(), range(8)))
    assert 1.0 <= time.monotonic() - started < 6.0  # In sequence they would take 8 s.


def test_deep_pages_cost(services: Services) -> None:
    """A list answer waits for each row that its page_number skips."""
    services.sandbox.behaviour.deep_page_cost = 0.001
    started = time.monotonic()
    services.list(page_number=4, page_size=100)
    assert time.monotonic() - started >= 0.3


def test_date_headers(services: Services) -> None:
    """Both services send the time; Pancake's clock can be ahead, FolkForm's is right."""
    services.sandbox.behaviour.pancake_clock_offset = 3600
    answers = [requests.get(url, timeout=TIMEOUT) for url in list_and_find_urls(services)]
    ahead = [parsedate_to_datetime(answer.headers["Date"]).timestamp() - time.time() for answer in answers]
    assert ahead[0] == pytest.approx(3600, abs=5)
    assert ahead[1] == pytest.approx(0, abs=5)


def test_pancakes_clock_dates_changes(services: Services) -> None:
    """A change in Pancake has the time of Pancake's clock."""
    services.has(services.customer("7"))
    services.sandbox.behaviour.change({"pancake_clock_offset": -600.5, "changes_per_list": 1})
    services.list()
    changed = microseconds(services.list()["customers"][0]["updated_at"]) or 0
    assert changed / 1e6 - time.time() == pytest.approx(-600.5, abs=5)


def test_customers_change_during_a_walk(services: Services) -> None:
    """Customers that change between two answers shift the rest, so a walk by page_number misses some."""
    services.has(*(services.customer(str(n), f"2025-01-01T00:{n // 60:02}:{n % 60:02}") for n in range(300)))
    services.sandbox.behaviour.changes_per_list = 3
    pages = [services.listed(page_size=20, page_number=number) for number in range(1, 16)]
    seen = {psid for page in pages for psid in page}
    assert 200 < len(seen) < 300
    assert len(services.sandbox.pancake.customers(services.page_id)) == 300


def test_changes_on_demand(services: Services) -> None:
    """POST change changes customers now and returns their ids."""
    services.has(*(services.customer(str(n)) for n in range(20)))
    before = time.time()
    changed = control(services.sandbox, "POST", "change", params={"count": 5}).json()
    assert len(changed) == 5
    for entry in changed:
        customers = services.sandbox.pancake.customers(entry["page_id"])
        times = [
            each["updated_at"] for each in customers if isinstance(each, dict) and each.get("psid") == entry["psid"]
        ]
        assert max(microseconds(time) or 0 for time in times) / 1e6 >= before - 1
    assert control(services.sandbox, "POST", "change", params={"count": "x"}).status_code == 400


def test_requests_are_counted_and_kept(services: Services) -> None:
    """Every request is counted by service and endpoint, and stored with its parameters, until cleared."""
    services.list(page_size=7)
    services.find({"pageId": services.page_id}, {"limit": 3})
    services.find({"$or": []})
    log = services.sandbox.requests
    assert log.counts["folkform", "GET", "/fb-customer/find"] == log.count("folkform") == 2
    assert log.count("pancake", "/page_customers") == 1
    listed, found, refused = log.recent
    assert (listed.page_id, listed.query["page_size"], listed.status) == (services.page_id, "7", 200)
    assert (found.page_id, found.filter, found.options) == (
        services.page_id,
        {"pageId": services.page_id},
        {"limit": 3},
    )
    assert refused.status == 400
    shown = control(services.sandbox, "GET", "requests").json()
    assert shown["counts"]["folkform GET /fb-customer/find"] == 2
    assert [request["status"] for request in shown["recent"]] == [200, 200, 400]
    assert control(services.sandbox, "DELETE", "requests").status_code == 200
    assert (log.recent, log.count()) == ([], 0)


def test_difference_over_http(services: Services) -> None:
    """GET difference returns whether both sides are equal, and which customers differ."""
    services.has(services.customer("7"))
    path = f"difference?page_id={services.page_id}"
    answer = control(services.sandbox, "GET", path).json()
    assert answer["equal"] is False
    assert answer["pages"][services.page_id]["missing"] == ["7"]
    services.upsert(services.customer("7"))
    assert control(services.sandbox, "GET", path).json()["equal"] is True


def list_and_find_urls(services: Services) -> list[str]:
    pancake = f"{services.pancake_url}/public_api/v1/pages/{services.page_id}/page_customers"
    return [pancake, f"{services.folkform_url}/fb-customer/find"]
