"""Tokens that expire, and the errors for them."""

from typing import Any

import pytest
import requests

from customer_sync.sandbox import Sandbox

from .services import TIMEOUT, Services


def test_a_page_token_expires(services: Services) -> None:
    """A page token is rejected after its calls, until a new one is made."""
    services.sandbox.tokens.kill("page", services.page_id, after=2)
    assert [services.list().get("error_code") for _ in range(4)] == [None, None, 105, 105]
    assert make_token(services).json()["success"] is True
    assert services.list()["success"] is True


def test_a_user_token_expires(services: Services) -> None:
    """An expired user token makes no page tokens: 103; the existing page token stays valid."""
    services.sandbox.tokens.kill("user", services.page_id, after=1)
    assert [make_token(services).json().get("error_code") for _ in range(2)] == [None, 103]
    assert services.list()["success"] is True


def test_a_bearer_token_expires(services: Services) -> None:
    """FolkForm's bearer token is a 401 after its calls, until it is revived."""
    services.sandbox.tokens.kill("bearer", after=2)
    assert [services.call("GET", "/auth/roles").status_code for _ in range(4)] == [200, 200, 401, 401]
    services.sandbox.tokens.revive()
    assert services.call("GET", "/auth/roles").status_code == 200


@pytest.mark.parametrize("refusal", [401, 403, 102, 103, 105, 106, 107])
def test_every_token_error(services: Services, refusal: int) -> None:
    """Tokens are rejected with the HTTP status or error code that the behaviour sets, for user and page tokens."""
    services.sandbox.behaviour.change({"page_token_refusal": refusal})
    services.sandbox.tokens.kill("page", services.page_id)
    services.sandbox.tokens.kill("user", services.page_id)
    assert told(page_call(services)) == refusal
    assert told(make_token(services)) == 103
    services.sandbox.behaviour.change({"user_token_refusal": refusal})
    assert told(make_token(services)) == refusal


def test_kills_all_pages_over_http(sandbox: Sandbox) -> None:
    """POST tokens kills the tokens of one page or of all, GET shows them, DELETE revives them."""
    pages = [Services(sandbox) for _ in range(2)]
    url = f"{sandbox.url}/sandbox/tokens"
    left = requests.post(url, json={"kind": "page"}, timeout=TIMEOUT).json()
    assert {sandbox.pancake.page_token(page.page_id) for page in pages} <= left.keys()
    assert [page.list()["success"] for page in pages] == [False, False]
    assert requests.get(url, timeout=TIMEOUT).json() == left
    assert requests.delete(url, timeout=TIMEOUT).json() == {}
    settings = {"kind": "page", "page_id": pages[0].page_id, "after": 1}
    assert list(requests.post(url, json=settings, timeout=TIMEOUT).json().values()) == [1]
    assert [pages[0].list()["success"] for _ in range(2)] == [True, False]
    assert pages[1].list()["success"] is True


@pytest.mark.parametrize(
    "settings", [{}, {"kind": "bear"}, {"kind": "page", "after": "x"}, {"token": "x"}, []], ids=str
)
def test_wrong_kills(sandbox: Sandbox, settings: Any) -> None:
    """A kill without a kind or with wrong settings is a 400 and kills nothing."""
    url = f"{sandbox.url}/sandbox/tokens"
    assert requests.post(url, json=settings, timeout=TIMEOUT).status_code == 400
    assert sandbox.tokens.left == {}


def page_call(services: Services) -> requests.Response:
    parameters = {"page_access_token": services.sandbox.pancake.page_token(services.page_id)}
    url = f"{services.pancake_url}/public_api/v1/pages/{services.page_id}/page_customers"
    return requests.get(url, params=parameters, timeout=TIMEOUT)


def make_token(services: Services) -> requests.Response:
    parameters = {"access_token": services.sandbox.pancake.user_token(services.page_id)}
    url = f"{services.pancake_url}/v1/pages/{services.page_id}/generate_page_access_token"
    return requests.post(url, params=parameters, timeout=TIMEOUT)


def told(answer: requests.Response) -> Any:
    """The error code in an HTTP 200, else the status; nothing else shows that it is about a token."""
    assert answer.json()["success"] is False
    if answer.status_code == 200:
        return answer.json()["error_code"]
    assert "error_code" not in answer.json()
    return answer.status_code


def test_the_list_of_a_users_pages(services: Services) -> None:
    """It needs a valid user token, and shows a page's token where the behaviour says so and the token is valid."""
    box = services.sandbox

    def listed(token: str | None) -> Any:
        url = f"{services.pancake_url}/v1/pages"
        return requests.get(url, params={"access_token": token}, timeout=TIMEOUT).json()

    user_token = box.pancake.user_token(services.page_id)
    (page,) = listed(user_token)["categorized"]["activated"]
    assert page == {"id": services.page_id, "settings": {}}
    box.behaviour.change({"shows_page_tokens": True})
    (page,) = listed(user_token)["categorized"]["activated"]
    assert page["settings"] == {"page_access_token": box.pancake.page_token(services.page_id)}
    box.tokens.kill("page", services.page_id)
    (page,) = listed(user_token)["categorized"]["activated"]
    assert page["settings"] == {}
    box.tokens.kill("user", services.page_id)
    assert [listed(token)["error_code"] for token in (user_token, "unknown")] == [103, 103]


def test_a_folkform_that_ignores_page_ids(services: Services) -> None:
    """It finds and counts the customers of all pages, or answers the first page's record for any page."""
    other = Services(services.sandbox)
    services.upsert(services.customer("a"))
    find = {"pageId": other.page_id}
    assert other.find(find).json()["data"] == []
    services.sandbox.behaviour.change({"ignores_page_id": "customers"})
    assert services.page_id in {document["pageId"] for document in other.find(find).json()["data"]}
    services.sandbox.behaviour.change({"ignores_page_id": "records"})
    records = [other.call("GET", f"/facebook/page/find-by-page-id/{one.page_id}").json() for one in (other, services)]
    assert records[0]["data"]["pageId"] == records[1]["data"]["pageId"]
