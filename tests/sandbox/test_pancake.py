"""Pancake's two calls, as in the wire contract."""

from typing import Any

import pytest
import requests

from .services import TIMEOUT, Services

LAYOUTS_NEWEST_FIRST = [
    "2019-08-24T21:15:23+07:00",
    "2019-08-24T14:15:22.123457Z",
    "2019-08-24T14:15:22.123456789Z",
    "2019-08-24T14:15:22.123Z",
    "2019-08-24T14:15:22.000001",
    "2019-08-24T14:15:22Z",
    "2019-08-24T14:15:21",
]


def test_lists_newest_update_first(services: Services) -> None:
    """Every layout of the contract is ordered by time, to the microsecond."""
    customers = {time: services.customer(str(n), time) for n, time in enumerate(LAYOUTS_NEWEST_FIRST)}
    services.has(*(customers[time] for time in sorted(customers)))
    assert services.listed() == [str(n) for n in range(len(LAYOUTS_NEWEST_FIRST))]


@pytest.mark.parametrize(
    "time", [None, "", "yesterday", "2019-08-24", "2019-13-24T14:15:22", 5, "２019-08-24T14:15:22"]
)
def test_unreadable_times_come_last(services: Services, time: Any) -> None:
    """A customer with an unreadable time is listed last."""
    services.has(services.customer("broken", time), services.customer("old", "1970-01-02T00:00:00"))
    assert services.listed() == ["old", "broken"]


def test_lists_by_insertion_without_an_order(services: Services) -> None:
    """Without order_by, order and window use inserted_at."""
    services.has(
        services.customer("first", "2025-03-01T00:00:00", inserted_at="2025-01-01T00:00:00"),
        services.customer("second", "2025-02-01T00:00:00", inserted_at="2025-01-02T00:00:00"),
    )
    assert services.listed(order_by=None) == ["second", "first"]
    assert services.listed(order_by=None, since=1735776000) == ["second"]


def test_equal_times_keep_their_order(services: Services) -> None:
    """Pagination through customers of the same time returns each of them once."""
    services.has(*(services.customer(str(n)) for n in range(25)))
    pages = [services.listed(page_size=10, page_number=number) for number in (1, 2, 3, 4)]
    assert [len(page) for page in pages] == [10, 10, 5, 0]
    assert [psid for page in pages for psid in page] == [str(n) for n in range(25)]


def test_answers_customers_exactly_as_they_are(services: Services) -> None:
    """Unknown keys, numbers above 2^53, floats, emoji and missing fields arrive unchanged."""
    customer = {
        "id": None,
        "psid": "7",
        "updated_at": "2025-12-07T10:23:23",
        "thread_id": 2**63 + 1,
        "big": 10**400,
        "float": 0.1,
        "whole_float": 1.0,
        "nested": {"b": [None, True, {"z": 1, "a": "\ud83d 💬 \u0000"}]},
    }
    services.has(customer, None)
    answer = services.list()
    assert answer["success"] is True
    assert repr(answer["customers"]) == repr([customer, None])


def test_total_counts_the_window(services: Services) -> None:
    """`total` is the size of the whole window, not of the page, and can be absent."""
    services.has(*(services.customer(str(n), f"2025-01-{n + 1:02}T00:00:00") for n in range(20)))
    assert services.list(page_size=3)["total"] == 20
    assert services.list(page_size=3, since=1736294400)["total"] == 13
    services.sandbox.behaviour.total = False
    assert "total" not in services.list()


@pytest.mark.parametrize(
    ("window", "expected"),
    [("updated_at", ["changed"]), ("inserted_at", ["new"]), ("ignored", ["changed", "new", "old"])],
)
def test_window(services: Services, window: str, expected: list[str]) -> None:
    """`since` and `until` filter the time that the behaviour sets, or nothing."""
    services.has(
        services.customer("old", "2020-01-01T00:00:00", inserted_at="2020-01-01T00:00:00"),
        services.customer("changed", "2025-06-01T00:00:00", inserted_at="2020-01-01T00:00:00"),
        services.customer("new", "2025-01-01T00:00:00", inserted_at="2025-05-01T00:00:00"),
    )
    services.sandbox.behaviour.change({"window": window})
    assert services.listed(since=1743465600, until=1751328000) == expected


@pytest.mark.parametrize(("precision", "expected"), [("second", ["7", "0"]), ("exact", ["0"])])
def test_window_precision(services: Services, precision: str, expected: list[str]) -> None:
    """14:15:22.7 is inside until=14:15:22 by whole seconds only; the ends of a window are inside."""
    services.has(
        services.customer("7", "2019-08-24T14:15:22.7"),
        services.customer("0", "2019-08-24T14:15:22"),
        services.customer("before", "2019-08-24T14:15:21.999999"),
        services.customer("after", "2019-08-24T14:15:23"),
    )
    services.sandbox.behaviour.change({"window_precision": precision})
    assert services.listed(since=1566656122, until=1566656122) == expected


@pytest.mark.parametrize("name", ["since", "until", "page_number", "page_access_token"])
def test_required_parameters(services: Services, name: str) -> None:
    """A missing parameter is an HTTP 200 with an error that names it."""
    answer = services.list(**{name: None})
    assert answer["success"] is False
    assert answer["error_code"] in (100, 106)
    assert name in answer["message"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"page_size": 101},
        {"page_number": 0},
        {"page_size": 0},
        {"since": "x"},
        {"until": -1},
        {"order_by": "name"},
    ],
    ids=str,
)
def test_wrong_parameters(services: Services, wrong: dict[str, Any]) -> None:
    """An invalid parameter is an error."""
    answer = services.list(**wrong)
    assert (answer["success"], answer["error_code"]) == (False, 100)


def test_page_size_can_be_cut_silently(services: Services) -> None:
    """A server that cuts page_size returns shorter pages, and counts page_number by them."""
    services.has(*(services.customer(str(n)) for n in range(7)))
    services.sandbox.behaviour.page_size_cut = 3
    assert services.listed(page_size=500) == ["0", "1", "2"]
    assert services.listed(page_size=500, page_number=3) == ["6"]
    assert services.listed(page_size=2) == ["0", "1"]


def test_page_tokens(services: Services) -> None:
    """A wrong token is an error with the fitting code."""
    pancake, other = services.sandbox.pancake, Services(services.sandbox)
    previous = pancake.page_token(services.page_id)
    pancake.make_page_token(services.page_id)
    tokens = {
        previous: 105,
        pancake.user_token(services.page_id): 102,
        pancake.page_token(other.page_id): 107,
        "nonsense": 106,
        "": 106,
    }
    assert {token: services.list(page_access_token=token)["error_code"] for token in tokens} == tokens
    assert services.list()["success"] is True


def test_makes_page_tokens(services: Services) -> None:
    """A new page token works at once and invalidates the previous one."""
    previous = services.sandbox.pancake.page_token(services.page_id)
    answer = make_token(services, services.sandbox.pancake.user_token(services.page_id))
    assert answer["success"] is True
    assert services.list(page_access_token=answer["page_access_token"])["success"] is True
    assert services.list(page_access_token=previous)["error_code"] == 105


def test_only_the_user_makes_page_tokens(services: Services) -> None:
    """A new token needs the access token of the page's own user; an error invalidates nothing."""
    pancake, other = services.sandbox.pancake, Services(services.sandbox)
    page_token = pancake.page_token(services.page_id)
    tokens = {page_token: 102, pancake.user_token(other.page_id): 107, "expired": 103, None: 103}
    assert {token: make_token(services, token)["error_code"] for token in tokens} == tokens
    assert pancake.page_token(services.page_id) == page_token


def make_token(services: Services, user_token: str | None) -> Any:
    url = f"{services.pancake_url}/v1/pages/{services.page_id}/generate_page_access_token"
    return requests.post(url, params={"access_token": user_token}, timeout=TIMEOUT).json()
