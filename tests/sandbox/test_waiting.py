"""Waiting for a request, and holding its answer."""

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
import requests

from customer_sync.sandbox import Fault, LoggedRequest, Sandbox, Selection
from customer_sync.sandbox.folkform import ROLE_ID

from .services import Services


@pytest.fixture
def client() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def test_waits_for_requests(services: Services, client: ThreadPoolExecutor) -> None:
    """`wait_for` returns after the n-th matching request, with all that match."""
    wanted = Selection(endpoint="/count")
    waiting = client.submit(services.sandbox.requests.wait_for, wanted.matches, 2)
    for path in ("/fb-customer/count", "/auth/roles", "/fb-customer/count"):
        services.call("GET", path)
    assert [request.template for request in waiting.result(10)] == ["/fb-customer/count"] * 2


def test_waits_for_answers(services: Services, client: ThreadPoolExecutor) -> None:
    """`wait_for` can also select by status."""
    waiting = client.submit(services.sandbox.requests.wait_for, lambda request: request.status == 404)
    services.call("GET", "/fb-customer/find-by-id/unknown")
    assert [request.path for request in waiting.result(10)] == [{"id": "unknown"}]


def test_waits_no_longer_than_asked(sandbox: Sandbox) -> None:
    """Too few requests in time are a TimeoutError with their number."""
    with pytest.raises(TimeoutError, match="0 of 1 requests came"):
        sandbox.requests.wait_for(hangs, timeout=0.01)


@pytest.mark.parametrize(("effect", "expected"), [(False, []), (True, ["7"])])
def test_holds_an_answer(services: Services, client: ThreadPoolExecutor, effect: bool, expected: list[str]) -> None:
    """While a request hangs, *effect* decides whether it has been processed; released, it gets the right answer."""
    with services.sandbox.faults.add(Fault("hang", endpoint="/upsert-one", effect=effect)):
        answer = client.submit(services.upsert, services.customer("7"))
        (held,) = services.sandbox.requests.wait_for(hangs)
        assert services.found({}) == expected
        assert (held.status, answer.done()) == (200 if effect else 0, False)
    assert answer.result(10).status_code == 200
    assert (held.status, services.found({})) == (200, ["7"])


def test_holds_as_many_as_come(services: Services, client: ThreadPoolExecutor) -> None:
    """All requests of a selection can hang in parallel; others are answered meanwhile."""
    with services.sandbox.faults.add(Fault("hang", service="folkform", method="POST", times=None)):
        answers = [client.submit(services.upsert, services.customer(str(n))) for n in range(5)]
        services.sandbox.requests.wait_for(hangs, 5)
        assert services.found({}) == []
    assert [answer.result(10).status_code for answer in answers] == [200] * 5


@pytest.mark.parametrize(("effect", "expected"), [(False, []), (True, ["7"])])
def test_a_client_that_dies_meanwhile(services: Services, effect: bool, expected: list[str]) -> None:
    """A request whose client disconnected before the effect is never processed."""
    address = ("127.0.0.1", int(services.sandbox.url.rpartition(":")[2]))
    with services.sandbox.faults.add(Fault("hang", endpoint="/upsert-one", effect=effect)):
        connection = socket.create_connection(address)
        connection.sendall(raw_upsert(services, "7"))
        services.sandbox.requests.wait_for(hangs)
        connection.close()
    services.call("GET", "/auth/roles")
    assert services.found({}) == expected


def test_hangs_until_the_sandbox_stops() -> None:
    """A stop closes hanging connections."""
    with Sandbox(pages=0) as sandbox, ThreadPoolExecutor(1) as client:
        sandbox.faults.add(Fault("hang", effect=True))
        answer: Future[requests.Response] = client.submit(Services(sandbox).call, "GET", "/auth/roles")
        sandbox.requests.wait_for(hangs)
        sandbox.stop()
        with pytest.raises(requests.ConnectionError):
            answer.result(10)


def test_waits_in_several_threads(services: Services) -> None:
    """Several threads can wait at once."""
    seen: list[int] = []
    wait: Callable[[], None] = lambda: seen.append(len(services.sandbox.requests.wait_for(lambda _: True)))  # noqa: E731
    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    services.call("GET", "/auth/roles")
    for thread in threads:
        thread.join(10)
    assert seen == [1, 1, 1]


def hangs(request: LoggedRequest) -> bool:
    return request.fault == "hang"


def raw_upsert(services: Services, psid: str) -> bytes:
    prepared = requests.Request(
        "POST",
        f"{services.folkform_url}/fb-customer/upsert-one",
        params={"filter": f'{{"psid":"{psid}","pageId":"{services.page_id}"}}'},
        json={"panCakeData": services.customer(psid)},
    ).prepare()
    assert isinstance(prepared.body, bytes)
    head = (
        f"POST {prepared.path_url} HTTP/1.1\r\nHost: sandbox\r\nAuthorization: Bearer {services.token}\r\n"
        f"X-Active-Role-ID: {ROLE_ID}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(prepared.body)}\r\n\r\n"
    )
    return head.encode() + prepared.body
