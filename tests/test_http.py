"""One call to one service, against servers that behave as a service, a proxy or a network may."""

import gzip
import http.client
import json
import logging
import re
import socket
import struct
import threading
import time
import traceback
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from customer_sync.core.clock import Clock
from customer_sync.core.errors import (
    ContractBroken,
    ExitCode,
    Refused,
    ServerError,
    ServiceError,
    StopRequested,
    TimeIsUp,
    TokenRefused,
    Unreachable,
)
from customer_sync.http.rate_limiter import AdaptiveRateLimiter
from customer_sync.http.redact import Redactor
from customer_sync.http.retry import MAX_FREE_TRIES, TRIES
from customer_sync.http.service import Answer, Service
from customer_sync.http.session import Access, ApiSession, Call
from customer_sync.services.pancake import check_envelope as check_pancake

_LONG = 30.0
_KNOWN = "kn0wn-t0ken/+= &x"
_UNKNOWN = "unkn0wn-t0ken"
GOOD = {"success": True}


@dataclass(frozen=True)
class Request:
    """A request that a server received."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def params(self) -> dict[str, str]:
        """The parameters of the query."""
        return {name: values[-1] for name, values in parse_qs(urlsplit(self.target).query, True).items()}


Reply = bytes | Callable[[socket.socket], None]


class RawServer:
    """A server on loopback that answers each connection's one request with the next reply; the last one repeats."""

    def __init__(self, *replies: Reply) -> None:
        self.requests: list[Request] = []
        self._replies = list(replies) or [reply(GOOD)]
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> "RawServer":
        self._begin(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(_LONG)

    def _begin(self, work: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._begin(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                self.requests.append(_read_request(connection))
                answer = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
                connection.sendall(answer) if isinstance(answer, bytes) else answer(connection)
            except OSError:
                pass  # The client has gone.


def _read_request(connection: socket.socket) -> Request:
    with connection.makefile("rb") as stream:
        method, target, _ = stream.readline().decode().split()
        headers: dict[str, str] = {}
        while line := stream.readline().decode("latin-1").strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return Request(method, target, headers, stream.read(int(headers.get("content-length", 0))))


def reply(body: Any, status: int = 200, /, **headers: str) -> bytes:
    """An answer, in JSON unless it is bytes; underscores in names of headers are hyphens."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"Content-Type": "application/json", "Content-Length": str(len(content)), "Connection": "close"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status} Whatever", *(f"{name}: {value}" for name, value in sent.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + content


def chunked(*chunks: bytes, end: bool = True, **headers: str) -> bytes:
    """An answer in chunks."""
    head = reply(b"", Transfer_Encoding="chunked", **headers).replace(b"Content-Length: 0\r\n", b"")
    return head + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + (b"0\r\n\r\n" if end else b"")


def reset(connection: socket.socket) -> None:
    """Resets the connection."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def hang(connection: socket.socket) -> None:
    """Never replies: waits until the client closes the connection."""
    connection.settimeout(_LONG)
    connection.recv(1)


def hang_up(_: socket.socket) -> None:
    """Closes the connection without a reply."""


class PatientClock(Clock):
    """A clock that only waiting moves, and that does not wait."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []
        self._time = 1000.0

    def now(self) -> float:
        return 1_700_000_000 + self._time

    def monotonic(self) -> float:
        return self._time

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self._time += max(seconds, 0.0)
        self.check()


class Caller:
    """A session with a service, and all that it needs."""

    def __init__(self, url: str, *, clock: Clock | None = None, timeout: float = 10.0) -> None:
        self.patient = PatientClock()
        self.clock = clock or self.patient
        self.limiter = AdaptiveRateLimiter(self.clock)
        redact = Redactor()
        redact.add(_KNOWN)
        self.session = ApiSession(
            Service("Pancake", url, "PANCAKE_BASE_URL", "Renew it."),
            check_pancake,
            clock=self.clock,
            redact=redact,
            timeout=timeout,
        )

    def call(self, method: str = "GET", body: Any = None, **more: Any) -> Answer:
        """A call with a token in the query and another one in a header."""
        params = {"page_access_token": _KNOWN, "access_token": _UNKNOWN}
        headers = {"Authorization": f"Bearer {_KNOWN}"}
        return self.session.call(
            Call(method, "/path", params, body, headers, page_id="104", **more), Access(self.limiter)
        )

    def fails(self, kind: type[ServiceError], **more: Any) -> ServiceError:
        """How a call fails."""
        with pytest.raises(ServiceError) as failure:
            self.call(**more)
        assert type(failure.value) is kind, failure.value
        return failure.value

    @property
    def waited(self) -> float:
        """Seconds of all waits."""
        return sum(self.patient.waits)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback is never asked through the machine's proxy."""
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def closed_port() -> Iterator[str]:
    """An address where nothing listens, and no other process can."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


def test_a_good_answer() -> None:
    """Status, headers and body arrive; the call went out once, with its parameters, headers and body."""
    with RawServer(reply({"success": True, "x": [1]}, X_Some="thing")) as server:
        caller = Caller(server.url + "/api/")
        answer = caller.call("POST", {"psid": "ä"})
    assert (answer.status, answer.body, answer.headers["x-some"]) == (200, {"success": True, "x": [1]}, "thing")
    (request,) = server.requests
    assert (request.method, urlsplit(request.target).path) == ("POST", "/api/path")
    assert request.params == {"page_access_token": _KNOWN, "access_token": _UNKNOWN}
    assert request.headers["authorization"] == f"Bearer {_KNOWN}"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"].startswith("customer-sync/")
    assert json.loads(request.body) == {"psid": "ä"}
    assert caller.patient.waits == []


def test_a_refused_connection(closed_port: str) -> None:
    """A refused connection is retried with growing waits; the error names the address, the attempts and the setting."""
    caller = Caller(closed_port)
    error = caller.fails(Unreachable)
    assert all(part in str(error) for part in (f"{closed_port} (5 attempts)", "PANCAKE_BASE_URL"))
    assert error.exit_code == ExitCode.TRY_LATER
    assert len(caller.patient.waits) == TRIES - 1
    for wait, about in zip(caller.patient.waits, (0.5, 1, 2, 4), strict=True):
        assert 0.75 * about <= wait <= 1.25 * about


@pytest.mark.parametrize(
    ("url", "proxy", "parts"),
    [
        pytest.param("http://nothing.invalid/api", None, ("was not found", "DNS"), id="host name"),
        pytest.param("http://{server}/api", "http://{closed}", ("proxy", "HTTP", "NO_PROXY"), id="no proxy"),
        pytest.param("http://{server}/api", "http://[::1", ("HTTPS_PROXY",), id="impossible proxy"),
    ],
)
def test_why_no_answer_came(
    url: str, proxy: str | None, parts: tuple[str, ...], closed_port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error of each kind of failure names its cause and what to check."""
    closed = urlsplit(closed_port).netloc
    with RawServer() as server:
        if proxy:
            monkeypatch.setenv("NO_PROXY", "")
            monkeypatch.setenv("HTTP_PROXY", proxy.format(closed=closed))
        address = url.format(server=urlsplit(server.url).netloc)
        with pytest.raises((Unreachable, Refused)) as failure:
            Caller(address).call(tries=1)
    assert all(part in str(failure.value) for part in (*parts, address))


def test_an_https_address_of_an_http_server() -> None:
    """An https address where plain HTTP is spoken."""

    class PlainServer(RawServer):
        def _serve(self, connection: socket.socket) -> None:
            with connection:
                connection.sendall(reply({}, 400))
                hang(connection)

    with PlainServer() as server:
        error = Caller(server.url.replace("http", "https")).fails(Refused)
    assert "not an HTTPS server" in error.problem


def test_no_answer_ever() -> None:
    """A service that accepts the call and stays silent times out, and is called once more."""
    with RawServer(hang) as server:
        error = Caller(server.url, timeout=0.3).fails(Unreachable, tries=2)
    assert "within 0.3 s" in str(error)
    assert len(server.requests) == 2


def test_silence_in_the_middle() -> None:
    """A body that stops arriving times out, too."""

    def half(connection: socket.socket) -> None:
        connection.sendall(reply(GOOD, Content_Length="1000"))
        hang(connection)

    with RawServer(half) as server:
        error = Caller(server.url, timeout=0.3).fails(Unreachable, tries=1)
    assert "within 0.3 s" in str(error)


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        pytest.param(reply(b"", Content_Length="100000"), b" ", id="body"),
        pytest.param(chunked(end=False), b"1\r\n \r\n", id="chunks"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX-Long: ", b"x", id="header"),
        pytest.param(b"", b"HTTP/1.1 100 Continue\r\n\r\n", id="100 Continue"),
    ],
)
def test_a_drip_of_bytes_ends(start: bytes, piece: bytes) -> None:
    """An answer that arrives byte by byte never falls silent, but the whole call times out."""

    class HastyClock(Clock):
        def monotonic(self) -> float:
            return super().monotonic() * 200

    def drip(connection: socket.socket) -> None:
        connection.sendall(start)
        while True:
            connection.sendall(piece)
            time.sleep(0.01)

    with RawServer(drip) as server:
        error = Caller(server.url, clock=HastyClock()).fails(Unreachable, tries=1)
    assert "within 60 s" in str(error)


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(reset, id="reset"),
        pytest.param(hang_up, id="hang up"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Le", id="half a head"),
        pytest.param(b"nonsense\r\n\r\n", id="no HTTP"),
        pytest.param(reply(GOOD, Content_Length="1000"), id="half a body"),
        pytest.param(chunked(b'{"success":', end=False), id="half the chunks"),
        pytest.param(chunked(b'{"success":true}', end=False), id="no last chunk"),
        pytest.param(reply(b"no gzip", Content_Encoding="gzip"), id="broken gzip"),
        pytest.param(reply(gzip.compress(b'{"success":true}')[:-12], Content_Encoding="gzip"), id="half a gzip"),
        pytest.param(reply(b""), id="nothing"),
        pytest.param(reply(b"", 204), id="204"),
        pytest.param(reply(b'{"success": tr'), id="half JSON"),
        pytest.param(reply(b'{"success": true} x'), id="JSON and more"),
        pytest.param(reply([GOOD]), id="a list"),
        pytest.param(reply("success"), id="a text"),
        pytest.param(reply(None), id="null"),
        pytest.param(reply(b"<html>hello</html>", Content_Type="text/html"), id="HTML with 200"),
        pytest.param(reply(b"<html>bad gateway</html>", 502, Content_Type="text/html"), id="HTML with 502"),
        pytest.param(reply(b'{"success": true, "x": NaN}'), id="NaN"),
        pytest.param(reply(b'{"success": true, "x": [-Infinity]}'), id="infinity"),
        pytest.param(reply(b'{"success": true, "x": "\xff\xfe"}'), id="broken UTF-8"),
        pytest.param(reply(b'{"success": true, "x": ' + b"[" * 100_000 + b"}"), id="very deep, unclosed"),
        pytest.param(reply({"success": False, "message": "An error occurred. Please try again later."}), id="later"),
        *(
            pytest.param(reply({"success": False, "message": "no"}, status), id=str(status))
            for status in (408, 409, 425, 500, 501, 502, 503, 504, 520, 599)
        ),
    ],
)
def test_retries(bad: Reply) -> None:
    """What may pass is retried without a trace; what persists ends after exactly five attempts."""
    with RawServer(bad, bad, reply(GOOD)) as server:
        caller = Caller(server.url)
        assert caller.call().body == GOOD
        assert len(server.requests) == 3
        assert caller.session.requests_by_page == {"104": 3}
    with RawServer(bad) as server:
        caller = Caller(server.url)
        assert str(caller.fails(Unreachable)).count("(5 attempts)") == 1
        assert len(server.requests) == TRIES
        assert caller.session.requests_by_page == {"104": TRIES}


@pytest.mark.parametrize("too_many", [reply({}, 429), reply({"success": False, "error_code": 429})])
def test_too_many_without_a_hint(too_many: bytes) -> None:
    """A 429 without `Retry-After` is retried for about five minutes, a minute apart at most."""
    with RawServer(*[too_many] * 11, reply(GOOD)) as server:
        caller = Caller(server.url)
        assert caller.call().body == GOOD
    assert 3 * 60 < caller.waited < 8 * 60
    assert max(caller.patient.waits) <= 75
    with RawServer(too_many) as server:
        Caller(server.url).fails(Unreachable)
        assert len(server.requests) == TRIES + MAX_FREE_TRIES
        Caller(server.url).fails(Unreachable, tries=2)
        assert len(server.requests) == TRIES + MAX_FREE_TRIES + 2


def test_too_many_with_a_hint() -> None:
    """With `Retry-After` it is obeyed, and the attempts are as many as ever; those before without one do not count."""
    with RawServer(reply({}, 429, Retry_After="3")) as server:
        caller = Caller(server.url)
        caller.fails(Unreachable)
        assert (len(server.requests), max(caller.patient.waits) < 10) == (TRIES, True)
    with RawServer(*[reply({}, 429)] * 6, *[reply({}, 503)] * 4, reply(GOOD)) as server:
        Caller(server.url).call()
        assert len(server.requests) == 11


def test_no_wait_for_a_429_exceeds_the_time_limit() -> None:
    """The retries end where the next wait would exceed the time limit."""
    with RawServer(reply({}, 429)) as server:
        clock = Clock()
        clock.end_after(2.0)
        with pytest.raises(TimeIsUp, match="429"):
            Caller(server.url, clock=clock).call()
        assert len(server.requests) > 1


@pytest.mark.parametrize(("tries", "words"), [(1, ""), (2, " (2 attempts)"), (5, " (5 attempts)")])
def test_fewer_attempts(tries: int, words: str) -> None:
    """A call may allow fewer attempts; the error counts them."""
    with RawServer(reply({}, 500)) as server:
        error = Caller(server.url).fails(Unreachable, tries=tries)
    assert error.sentence == f"Pancake answered 500{words}"
    assert len(server.requests) == tries


@pytest.mark.parametrize(("body", "attempts"), [({"code": "DB"}, 2), ({}, TRIES)])
def test_attempts_on_500(body: dict[str, str], attempts: int) -> None:
    """The service's own 500, which has a code, may end a call earlier than a proxy's."""
    with RawServer(reply(body, 500)) as server:
        Caller(server.url).fails(ServerError if body else Unreachable, tries_on_500=2)
    assert len(server.requests) == attempts


@pytest.mark.parametrize("status", [400, 402, 404, 405, 410, 413, 422, 431, 451])
def test_a_refusal_is_final(status: int) -> None:
    """Any other 4xx is not retried; the error has the service's message, at 404 the setting to check."""
    with RawServer(reply({"code": "VAL_002", "message": "Dữ liệu sai"}, status)) as server:
        error = Caller(server.url).fails(Refused)
    assert (error.status, error.code, error.server_message) == (status, "VAL_002", "VAL_002: Dữ liệu sai")
    assert ("PANCAKE_BASE_URL" in error.next_step) == (status == 404)
    assert error.exit_code == ExitCode.REFUSED
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_token_is_final(status: int) -> None:
    """401 and 403 refuse the token, and the next step is how to get another."""
    with RawServer(reply({"code": "AUTH_001", "message": "no"}, status)) as server:
        error = Caller(server.url).fails(TokenRefused)
    assert (error.status, error.server_message, error.next_step) == (status, "AUTH_001: no", "Renew it.")
    assert len(server.requests) == 1


@pytest.mark.parametrize("body", [b"<html>", b"", b"[]", b"\xff", b'{"message": {"x": 1}, "code": null}'])
def test_a_refusal_without_a_message(body: bytes) -> None:
    """A refusal needs no JSON to be understood."""
    with RawServer(reply(body, 400)) as server:
        error = Caller(server.url).fails(Refused)
    assert (error.status, error.server_message) == (400, "")


@pytest.mark.parametrize(
    "text",
    [
        "Bearer " * 70_000,
        "access_token=" * 40_000,
        "//" * 250_000 + "x",
        "0903 154 539 " * 40_000,
        "x@y." * 120_000,
        "%C3%A1" * 80_000,
        _KNOWN * 30_000,
        quote(_KNOWN, safe="") * 15_000,
        "y" * 19_995 + _KNOWN,
        (_KNOWN + " ") * 1110 + "page_access_token=" + _UNKNOWN,
    ],
    ids=range(10),
)
def test_a_message_is_cut_before_it_is_searched(text: str) -> None:
    """However long a message is, it is searched in no time, and the cut leaves no part of a token."""
    with RawServer(reply({"message": text}, 400)) as server:
        began = time.process_time()
        message = Caller(server.url).fails(Refused).server_message
        took = time.process_time() - began
    assert took < 1
    assert len(message) <= 301
    assert not re.search("kn0wn|unkn0wn", message)


def test_a_long_message_is_cut() -> None:
    """No more than 300 characters of a service's message are shown."""
    with RawServer(reply({"message": "x" * 100_000}, 400)) as server:
        assert len(Caller(server.url).fails(Refused).server_message) <= 300


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(status: int) -> None:
    """A redirect would send the token elsewhere: it is an error that names the new address without the token."""
    with RawServer() as other:
        target = f"{other.url}/api/path?page_access_token={quote(_KNOWN)}&access_token={_UNKNOWN}"
        with RawServer(reply(b"", status, Location=target)) as server:
            error = Caller(server.url).fails(Refused)
    assert f"{other.url}/api/path?page_access_token=***" in error.problem
    assert (error.status, "PANCAKE_BASE_URL" in error.next_step) == (status, True)
    assert (len(server.requests), other.requests) == (1, [])


def test_too_many_slows_down() -> None:
    """After a 429, as a status or in the envelope, the next calls are spaced out."""
    for too_many in (reply({}, 429), reply({"success": False, "error_code": 429})):
        with RawServer(too_many, reply(GOOD)) as server:
            caller = Caller(server.url)
            caller.call()
            waits = len(caller.patient.waits)
            caller.call()
        assert caller.patient.waits[waits:] == pytest.approx([0.09], abs=0.02)


def test_other_errors_do_not_slow_down() -> None:
    """A 503 is not about our speed."""
    with RawServer(reply({}, 503), reply(GOOD)) as server:
        caller = Caller(server.url)
        caller.call()
        waits = len(caller.patient.waits)
        caller.call()
    assert len(caller.patient.waits) == waits


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("header", ["30", " 30 ", formatdate(1_700_000_000 + 1030, usegmt=True)])
def test_retry_after_is_obeyed(status: int, header: str) -> None:
    """`Retry-After` is waited for in full, as seconds or as a date."""
    with RawServer(reply({}, status, Retry_After=header), reply(GOOD)) as server:
        caller = Caller(server.url)
        caller.call()
    assert caller.waited == pytest.approx(30)


def test_retry_after_holds_every_call() -> None:
    """A call that comes later waits as well, though it was not refused itself."""
    with RawServer(reply({}, 503, Retry_After="30"), reply(GOOD)) as server:
        caller = Caller(server.url)
        caller.fails(Unreachable, tries=1)
        caller.call()
    assert caller.waited == 30


@pytest.mark.parametrize(
    "header",
    [
        "",
        "soon",
        "-5",
        "1.5.1",
        "86401",
        "99999999999",
        "9" * 400,
        formatdate(1_600_000_000, usegmt=True),
        "Mon, 99 Xyz",
    ],
)
def test_nonsense_in_retry_after(header: str) -> None:
    """A past or unreadable time means the usual wait."""
    with RawServer(reply({}, 503, Retry_After=header), reply(GOOD)) as server:
        caller = Caller(server.url)
        caller.call()
    assert caller.waited < 1


def test_follows_the_services_own_count() -> None:
    """With no call remaining, the next one waits for the reset."""
    limits = {"X_RateLimit_Limit": "100", "X_RateLimit_Remaining": "0", "X_RateLimit_Reset": "20"}
    with RawServer(reply(GOOD, **limits), reply(GOOD)) as server:
        caller = Caller(server.url)
        caller.call()
        assert caller.waited == 0
        caller.call()
    assert caller.waited == 20


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        ("gzip", gzip.compress(json.dumps({"success": True, "x": "ü" * 200_000}).encode())),
        ("deflate", zlib.compress(json.dumps({"success": True, "x": "ü" * 200_000}).encode())),
        ("identity", json.dumps({"success": True, "x": "ü" * 200_000}, ensure_ascii=False).encode()),
    ],
)
def test_compressed_and_chunked_answers(encoding: str, content: bytes) -> None:
    """An answer arrives whole, compressed or not, in one piece or in many."""
    pieces = [content[start : start + 97] for start in range(0, len(content), 97)]
    with RawServer(reply(content, Content_Encoding=encoding), chunked(*pieces, Content_Encoding=encoding)) as server:
        caller = Caller(server.url)
        for _ in range(2):
            assert caller.call().body["x"] == "ü" * 200_000
    assert len(server.requests) == 2


def test_an_endless_answer_is_refused() -> None:
    """An answer above 4 MiB, even as a few bytes of gzip, is neither read to its end nor requested again."""
    bomb = gzip.compress(b" " * (65 * 1024 * 1024))
    with RawServer(reply(bomb, Content_Encoding="gzip")) as server:
        Caller(server.url).fails(ContractBroken)
    assert len(server.requests) == 1


def stream(start: bytes, piece: bytes = b"x" * 65536, size: int = 64 * 2**20) -> Callable[[socket.socket], None]:
    """A reply of *start* and pieces, of this size in all; after that the connection is closed."""

    def send(connection: socket.socket) -> None:
        connection.sendall(start)
        for _ in range(size // len(piece)):
            connection.sendall(piece)

    return send


_CHUNKED = chunked(end=False)
_OBJECT = b'{"success":true}'


@pytest.mark.parametrize(
    "endless",
    [
        pytest.param(stream(reply(b"", Content_Length=str(2**40))), id="body"),
        pytest.param(stream(_CHUNKED, b"10000\r\n" + b"x" * 65536 + b"\r\n"), id="chunks"),
        pytest.param(stream(_CHUNKED, b"1" + b";" * 60_000 + b"\r\nx\r\n"), id="long chunk heads"),
        pytest.param(reply(b'{"success":true,"x":[' + b"{}," * 1_000_000 + b"0]}"), id="many objects"),
        pytest.param(reply(b'{"success":true,"x":[' + b"[]," * 1_000_000 + b"0]}"), id="many lists"),
        pytest.param(reply(b'{"success":true,"x":' + b'{"":' * 200_000 + b"0" + b"}" * 200_001), id="many levels"),
        pytest.param(reply(b'{"success":true,"x":"' + b"x" * 5 * 2**20 + b'"}'), id="a long text"),
        pytest.param(
            reply('{"success":true,"x":["😀"'.encode() + b',"x"' * 900_000 + b"]}"),
            id="many texts of wide characters",
        ),
    ],
)
def test_a_large_answer_ends(endless: Reply) -> None:
    """What no honest list can be is not read to its end, not parsed, and not requested again."""
    with RawServer(endless) as server:
        Caller(server.url).fails(ContractBroken)
        assert len(server.requests) == 1


def test_endless_promises_of_an_answer_end() -> None:
    """Replies before the reply are not read for ever; newer versions of Python refuse the hundredth themselves."""
    with RawServer(stream(b"", b"HTTP/1.1 100 Continue\r\n\r\n")) as server:
        Caller(server.url).fails(Unreachable if hasattr(http.client, "_MAXINTERIMRESPONSES") else ContractBroken)


@pytest.mark.parametrize("size", [b"-1", b"-0x1", b"-ff", b"zz", b"", b" ", b"1g"])
def test_a_broken_chunk_size(size: bytes) -> None:
    """A chunk whose size is negative or no number breaks the answer: it is read no further, and requested again."""
    bad = stream(_CHUNKED + size + b"\r\n" + _OBJECT)
    with RawServer(bad, bad, chunked(_OBJECT)) as server:
        assert Caller(server.url).call().body == GOOD
        assert len(server.requests) == 3


def _packed_twice(body: bytes) -> bytes:
    return gzip.compress(gzip.compress(body))


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        ("gzip, gzip", _packed_twice(b" " * 2**20)),
        ("gzip,gzip", _packed_twice(_OBJECT)),
        ("deflate, gzip", gzip.compress(zlib.compress(_OBJECT))),
        ("br", b"x"),
        ("gzip, identity", gzip.compress(_OBJECT)),
    ],
    ids=["twice", "twice, no space", "two kinds", "another", "and identity"],
)
def test_an_encoding_that_was_not_asked_for(encoding: str, content: bytes) -> None:
    """Only gzip is asked for, and a body that is packed twice is not unpacked."""
    with RawServer(reply(content, Content_Encoding=encoding)) as server:
        Caller(server.url).fails(ContractBroken)
    assert [request.headers["accept-encoding"] for request in server.requests] == ["gzip"]


@pytest.mark.parametrize("encoding", ["gzip", "gzip, gzip", "br"])
def test_the_status_counts_without_its_body(encoding: str) -> None:
    """An error status needs no readable body."""
    with RawServer(reply(b"<html>", 400, Content_Encoding=encoding)) as server:
        assert Caller(server.url).fails(Refused).status == 400


def test_a_body_packed_in_parts() -> None:
    """Several gzip members in a row are one body."""
    parts = gzip.compress(_OBJECT[:5]) + gzip.compress(b"") + gzip.compress(_OBJECT[5:])
    with RawServer(reply(parts, Content_Encoding="gzip")) as server:
        assert Caller(server.url).call().body == GOOD


def test_what_is_nested_too_deeply_is_cut_off() -> None:
    """Whatever the depth of one value, the others arrive; brackets in texts are texts."""
    deep = b'[{"x":' * 10_000 + b"0" + b"}]" * 10_000
    body = b'{"success":true,"deep":' + deep + b',"text":"[{\\"[","next":{"deep":' + deep + b',"last":1}}'
    with RawServer(reply(body)) as server:
        answer = Caller(server.url).call().body
    assert (answer["text"], answer["next"]["last"]) == ('[{"[', 1)
    levels, value = 0, answer["deep"]
    while value:
        value, levels = (value[0] if isinstance(value, list) else value["x"]), levels + 1
    assert 300 < levels <= 400


def test_cookies_are_not_kept() -> None:
    """A cookie of one answer is not sent with the next call."""
    with RawServer(reply(GOOD, Set_Cookie="session=1; Path=/")) as server:
        caller = Caller(server.url)
        caller.call()
        caller.call()
    assert ["cookie" in request.headers for request in server.requests] == [False, False]


class Renewing(Access):
    """Access whose first token is refused."""

    def __init__(self, limiter: AdaptiveRateLimiter) -> None:
        super().__init__(limiter)
        self.tokens = ["new", "old"]

    def prepare(self, call: Call) -> Call:
        return replace(call, params={"access_token": self.tokens[-1]})

    def recover(self, call: Call, error: ServiceError) -> bool:
        assert call.params["access_token"] == self.tokens[-1]
        return isinstance(error, TokenRefused) and self.tokens.pop() == "old"


def test_refused_credentials_are_replaced() -> None:
    """A refused call is sent anew with other credentials, and gets all its attempts; what is final stays final."""
    replies = [reply({}, 503), reply({}, 401), *[reply({}, 503)] * (TRIES - 1), reply(GOOD)]
    with RawServer(*replies) as server:
        caller = Caller(server.url)
        caller.session.call(Call("GET", "/", {}), Renewing(caller.limiter))
    assert [request.params["access_token"] for request in server.requests] == ["old"] * 2 + ["new"] * TRIES
    with RawServer(reply({}, 401)) as server, pytest.raises(TokenRefused):
        Caller(server.url).session.call(Call("GET", "/", {}), Renewing(caller.limiter))
    assert len(server.requests) == 2


def test_numbers_stay_exact() -> None:
    """Integers of any size come and go digit by digit."""
    numbers = [2**53 + 1, 2**63 - 1, 2**64, 2**100 + 1, -(2**70) - 1, 0, 1.5]
    with RawServer(reply({"success": True, "x": numbers})) as server:
        answer = Caller(server.url).call("POST", {"x": numbers, "text": "\ud83d"})
    assert answer.body["x"] == numbers
    assert [type(number) for number in answer.body["x"]] == [type(number) for number in numbers]
    assert json.loads(server.requests[0].body) == {"x": numbers, "text": "\ud83d"}


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_json_lacks_is_not_sent(number: float) -> None:
    """A number that JSON cannot hold is an error of that customer, and the service is not called."""
    with RawServer() as server:
        error = Caller(server.url).fails(Refused, method="POST", body={"x": number})
    assert (error.status, server.requests) == (0, [])


def test_a_body_that_is_too_deep_is_not_sent() -> None:
    """A customer nested too deeply for JSON is an error of that customer."""
    deep: Any = []
    for _ in range(1_000_000):  # more than any version of Python writes
        deep = [deep]
    with RawServer() as server:
        error = Caller(server.url).fails(Refused, method="POST", body={"x": deep})
    assert (error.status, server.requests) == (0, [])


@pytest.mark.parametrize("url", ["http://[::1", "http://", "ftp://127.0.0.1/api", "127.0.0.1/api", "http://a b/"])
def test_an_impossible_address_is_final(url: str) -> None:
    """An address that cannot be called is an error at once, and names its setting."""
    caller = Caller(url)
    assert "PANCAKE_BASE_URL" in str(caller.fails(Refused))
    assert caller.patient.waits == []


_ECHO = f"{_KNOWN} {quote(_KNOWN, safe='')} page_access_token={_UNKNOWN} ?access_token={_UNKNOWN}"
_CUT = "x" * (60 - len("kn0wn-t"))  # So that a token would be cut in half.


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(reset, id="reset"),
        pytest.param(hang_up, id="hang up"),
        pytest.param(reply(GOOD, Content_Length="1000"), id="half a body"),
        pytest.param(reply(b"<html>" + _ECHO.encode(), Content_Type=f"text/html; {_ECHO}"), id="HTML"),
        pytest.param(reply(b"<html>", Content_Type=f"{_CUT}{_KNOWN}"), id="cut type"),
        *(
            pytest.param(reply({"message": _ECHO, "code": _ECHO, "error_code": _ECHO}, status), id=f"echo {status}")
            for status in (400, 401, 403, 404, 429, 500)
        ),
        pytest.param(reply({"success": False, "message": "x" * 293 + _KNOWN}), id="cut echo"),
        pytest.param(reply({"success": False, "message": _ECHO}), id="echo in 200"),
        pytest.param(reply({"success": False, "message": _ECHO + " Please try again later"}), id="later"),
        pytest.param(reply({"message": _ECHO}), id="no envelope"),
        pytest.param(
            reply(b"", 302, Location=f"/?page_access_token={quote(_KNOWN)}&access_token={_UNKNOWN}"), id="302"
        ),
        pytest.param(reply(b"", 302, Location="/" + "x" * 292 + quote(_KNOWN, safe="")), id="cut location"),
        pytest.param(hang, id="timeout"),
    ],
)
def test_no_token_is_shown(bad: Reply, caplog: pytest.LogCaptureFixture) -> None:
    """No error's text, repr or traceback and no line of our log holds a token, nor half of one."""
    caplog.set_level(logging.DEBUG)
    with RawServer(bad) as server:
        caller = Caller(server.url, timeout=0.3)
        with pytest.raises(ServiceError) as failure:
            caller.call(tries=2)
    lines = [record for record in caplog.records if record.name.startswith("customer_sync")]
    shown = [str(failure.value), repr(failure.value), *traceback.format_exception(failure.value)]
    shown += [line.getMessage() for line in lines] + [line.exc_text or "" for line in lines]
    assert not re.search("kn0wn-t|unkn0wn", "\n".join(shown))


def test_no_token_is_shown_when_nothing_listens(closed_port: str, caplog: pytest.LogCaptureFixture) -> None:
    """The libraries' own texts contain the whole address; they are not shown."""
    caplog.set_level(logging.DEBUG)
    caller = Caller(f"{closed_port}/{quote(_KNOWN, safe='')}")
    error = caller.fails(Unreachable)
    shown = [*traceback.format_exception(error), *(record.getMessage() for record in caplog.records)]
    assert not re.search("kn0wn-t|unkn0wn", "\n".join(shown))


def test_each_request_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """One line has service, method, path and status; another one the retry."""
    caplog.set_level(logging.DEBUG, "customer_sync")
    with RawServer(reply({"message": "busy"}, 503), reply(GOOD)) as server:
        Caller(server.url).call()
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("customer_sync")]
    assert [re.sub(r",? (in )?[\d.]+ s$", "", line) for line in lines] == [
        "Pancake: GET /path?page_access_token=***&access_token=*** → 503, 19 bytes",
        "Pancake answered 503: busy; retrying",
        "Pancake answered 503, attempt 2 of 5",
        "Pancake: GET /path?page_access_token=***&access_token=*** → 200, 17 bytes",
        "Pancake answers again after",
    ]


def test_personal_data_of_a_call_is_masked(caplog: pytest.LogCaptureFixture) -> None:
    """The call's own *hide* masks the service's message before it reaches an error or the log."""
    caplog.set_level(logging.DEBUG, "customer_sync")
    for bad in (reply({"message": "Mai Thao"}, 400), reply({"message": "Mai Thao"}, 500)):
        with RawServer(bad) as server, pytest.raises(ServiceError) as failure:
            Caller(server.url).call(hide=lambda text: text.replace("Mai Thao", "…"), tries=2)
        assert failure.value.server_message == "…"
    with RawServer(reply({"success": False, "message": "Mai Thao"})) as server, pytest.raises(Refused) as refusal:
        Caller(server.url).call(hide=lambda text: text.replace("Mai Thao", "…"))
    assert refusal.value.server_message == "…"
    assert "Mai" not in caplog.text


def test_contacts_are_masked(caplog: pytest.LogCaptureFixture) -> None:
    """E-mail addresses and phone numbers are masked in the message of every call; its code stays."""
    caplog.set_level(logging.DEBUG, "customer_sync")
    sent = {
        "message": "%2B84901234567, thao@example.com, 0901 234 567: psid 25149177694676594, 2026-01-31",
        "code": 102,
    }
    for bad in (reply(sent, 400), reply(sent, 500), reply({"success": False, **sent})):
        with RawServer(bad) as server, pytest.raises(ServiceError) as failure:
            Caller(server.url).call(tries=2)
        assert failure.value.server_message.startswith("102: …, …, …: psid ")
    assert "thao@" not in caplog.text
    assert "234" not in caplog.text


class WatchedClock(Clock):
    """The machine's clock; an event shows that a thread waits."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = threading.Event()

    def sleep(self, seconds: float) -> None:
        self.waiting.set()
        super().sleep(seconds)


def _stopped(caller: Caller, clock: WatchedClock) -> list[BaseException]:
    """What a call raises when a stop is requested while it waits."""
    raised: list[BaseException] = []

    def call() -> None:
        try:
            caller.call()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    assert clock.waiting.wait(_LONG)
    clock.stop(StopRequested("Ended by SIGTERM", ExitCode.SIGTERM))
    thread.join(_LONG)
    assert not thread.is_alive()
    return raised


@pytest.mark.parametrize("wait", ["3600", "86400"])
@pytest.mark.parametrize("paused", [True, False], ids=["before a call", "between two tries"])
def test_a_stop_ends_the_wait_at_once(wait: str, paused: bool) -> None:
    """A requested stop ends a wait of any length, and the service is not called again."""
    with RawServer(reply({}, 503, Retry_After=wait), reply(GOOD)) as server:
        clock = WatchedClock()
        caller = Caller(server.url, clock=clock)
        if paused:
            caller.fails(Unreachable, tries=1)
        (error,) = _stopped(caller, clock)
    assert isinstance(error, StopRequested)
    assert error.exit_code == ExitCode.SIGTERM
    assert len(server.requests) == 1


def test_no_call_after_a_stop() -> None:
    """A call that would have to wait is not made after a stop was requested."""
    with RawServer(reply(GOOD)) as server:
        caller = Caller(server.url, clock=Clock())
        caller.limiter.pause(3600)
        caller.clock.stop(StopRequested("Ended", ExitCode.SIGINT))
        with pytest.raises(StopRequested):
            caller.call()
    assert server.requests == []


def test_netrc_does_not_replace_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry in ~/.netrc for the host does not replace the bearer token."""
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login user password pass\ndefault login any password other\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(netrc))
    with RawServer() as server:
        Caller(server.url).call()
    assert server.requests[0].headers["authorization"] == f"Bearer {_KNOWN}"


def test_an_address_with_a_password_does_not_replace_the_token(caplog: pytest.LogCaptureFixture) -> None:
    """A login in the base address does not replace the bearer token, and is never shown."""
    caplog.set_level(logging.DEBUG, "customer_sync")
    with RawServer(reply(GOOD), reset) as server:
        caller = Caller(server.url.replace("//", "//user:p4ssword@"))
        caller.call()
        error = caller.fails(Unreachable)
    assert server.requests[0].headers["authorization"] == f"Bearer {_KNOWN}"
    assert "p4ssword" not in "".join(traceback.format_exception(error)) + caplog.text


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784111777),
        ("Sun, 06 Nov 1994 08:49:37 +0000", 784111777),
        ("Sun, 06 Nov 1994 08:49:37 -0000", 784111777),
        ("Sun, 06 Nov 1994 08:49:37", 784111777),
        ("Sun, 06 Nov 1994 15:49:37 +0700", 784111777),
        ("yesterday", None),
        ("Sun, 99 Nov 1994 08:49:37 GMT", None),
        ("", None),
        (None, None),
    ],
)
def test_the_services_clock(header: str | None, seconds: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """`Date` is UTC in every zone of the machine; an unreadable one is None."""
    with monkeypatch.context() as environment:
        environment.setenv("TZ", "ICT-7")
        time.tzset()
        headers = {} if header is None else {"Date": header}
        assert Answer(200, headers, {}).date == seconds
    time.tzset()


def test_threads_share_a_session() -> None:
    """Many threads call at once, and every request is counted."""
    with RawServer(lambda connection: connection.sendall(reply(GOOD))) as server:
        caller = Caller(server.url, clock=Clock())
        threads = [threading.Thread(target=lambda: [caller.call() for _ in range(5)]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(_LONG)
    assert caller.session.requests_by_page.total() == len(server.requests) == 40
