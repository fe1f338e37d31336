"""Answers that are damaged on the wire, and those that never arrive."""

import json
import time

import pytest
import requests
import urllib3

from customer_sync.sandbox import Fault

from .services import Services

SPACES = 65 * 2**20


@pytest.mark.parametrize(("effect", "expected"), [(False, []), (True, ["7"])])
def test_reset(services: Services, effect: bool, expected: list[str]) -> None:
    """The connection is reset before the effect, or after it: then only the answer is lost."""
    services.sandbox.faults.add(Fault("reset", endpoint="/upsert-one", effect=effect))
    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        services.upsert(services.customer("7"))
    assert services.found({}) == expected
    assert services.upsert(services.customer("7")).status_code == 200


def test_down(services: Services) -> None:
    """A service is down while every connection is reset; the other one still answers."""
    with services.sandbox.faults.add(Fault("reset", service="folkform", times=None)):
        for _ in range(3):
            with pytest.raises(requests.ConnectionError):
                services.call("GET", "/auth/roles")
        assert services.list()["success"] is True
    assert services.call("GET", "/auth/roles").status_code == 200


def test_truncated(services: Services) -> None:
    """Half of the body is missing; a client that checks Content-Length notices, any other has broken JSON."""
    services.sandbox.faults.add(Fault("truncated", times=2))
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        services.upsert(services.customer("7"))
    with services.call("GET", "/fb-customer/count", stream=True) as answer:
        # If it asks for no more than there is, urllib3 returns what arrived.
        begun = answer.raw.read(10)
        assert int(answer.headers["Content-Length"]) > 20
    assert begun == b'{"code":20'
    assert services.found({}) == ["7"]


def test_drips_the_body(services: Services) -> None:
    """The headers arrive at once, the body byte by byte, complete in the end."""
    services.sandbox.faults.add(Fault("drip_body", interval=0.002))
    started = time.monotonic()
    with services.call("GET", "/fb-customer/count", stream=True) as answer:
        pieces = list(answer.iter_content(None))
    assert json.loads(b"".join(pieces))["code"] == 200
    assert time.monotonic() - started >= 0.002 * len(b"".join(pieces))


def test_drips_the_headers(services: Services) -> None:
    """The headers arrive byte by byte, then the body at once."""
    services.sandbox.faults.add(Fault("drip_headers", interval=0.002))
    answer = services.call("GET", "/fb-customer/count")
    assert (answer.status_code, answer.json()["code"]) == (200, 200)
    assert answer.elapsed.total_seconds() >= 0.002 * sum(
        len(name) + len(answer.headers[name]) for name in answer.headers
    )


def test_a_drip_ends_with_its_client(services: Services) -> None:
    """A disconnected client blocks nothing: the sandbox answers others."""
    services.sandbox.faults.add(Fault("drip_body", interval=0.001))
    services.call("GET", "/fb-customer/count", stream=True).close()
    assert services.call("GET", "/fb-customer/count").status_code == 200


def test_huge(services: Services) -> None:
    """An answer of more than 64 MiB is valid JSON without Content-Length."""
    services.sandbox.faults.add(Fault("huge"))
    with services.call("GET", "/fb-customer/count", stream=True) as answer:
        assert "Content-Length" not in answer.headers
        size, last = 0, b""
        for piece in answer.iter_content(2**20):
            size, last = size + len(piece), piece
    assert size > SPACES
    assert json.loads(last)["code"] == 200


def test_huge_as_it_is_asked(services: Services) -> None:
    """The size can be chosen."""
    services.sandbox.faults.add(Fault("huge", size=3_000_000))
    answer = services.call("GET", "/fb-customer/count")
    assert len(answer.content) - len(answer.content.lstrip(b" ")) == 3_000_000
    assert answer.json()["code"] == 200


def test_gzip_bomb(services: Services) -> None:
    """A small answer on the wire is more than 64 MiB when it is decompressed."""
    services.sandbox.faults.add(Fault("gzip_bomb"))
    with services.call("GET", "/fb-customer/count", stream=True) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        assert int(answer.headers["Content-Length"]) < 2**18
        assert sum(map(len, answer.iter_content(2**20))) > SPACES


def test_gzip_twice(services: Services) -> None:
    """The same, gzipped once more: a few hundred bytes."""
    services.sandbox.faults.add(Fault("gzip_twice"))
    with services.call("GET", "/fb-customer/count", stream=True) as answer:
        assert answer.headers["Content-Encoding"] == "gzip, gzip"
        assert len(answer.raw.read(decode_content=False)) < 2**10


def test_negative_chunk(services: Services) -> None:
    """After the right answer a chunk of the size -1."""
    services.sandbox.faults.add(Fault("negative_chunk", size=2**20))
    with services.call("GET", "/fb-customer/count", stream=True) as answer:
        assert (answer.headers["Transfer-Encoding"], "Content-Length" in answer.headers) == ("chunked", False)
        with pytest.raises(urllib3.exceptions.ProtocolError):  # http.client reads to the end, and finds no other chunk.
            answer.raw.read(2**21)


def test_many_values(services: Services) -> None:
    """The right answer, and a list of empty objects."""
    services.sandbox.faults.add(Fault("many_values", size=3000))
    answer = services.call("GET", "/fb-customer/count").json()
    assert (answer["code"], answer["more"]) == (200, [{}] * 1001)


def test_broken_utf8(services: Services) -> None:
    """A text of the answer has an invalid byte; everything around it is right."""
    services.sandbox.faults.add(Fault("broken_utf8", times=2))
    listing = requests.get(list_url(services), timeout=20)
    for body in (services.call("GET", "/fb-customer/count").content, listing.content):
        with pytest.raises(UnicodeDecodeError):
            body.decode()
        assert isinstance(json.loads(body.decode(errors="replace")), dict)


def test_hangs(services: Services) -> None:
    """No answer arrives while the fault is in force; a client that gave up blocks nothing."""
    services.sandbox.faults.add(Fault("hang", times=None))
    with pytest.raises(requests.Timeout):
        requests.get(list_url(services), timeout=0.05)
    services.sandbox.faults.clear()
    assert services.call("GET", "/fb-customer/count").status_code == 200


def list_url(services: Services) -> str:
    return f"{services.pancake_url}/public_api/v1/pages/{services.page_id}/page_customers"
