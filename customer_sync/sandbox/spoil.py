"""The answers of faults, and how damaged answers are sent."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from starlette.responses import Response, StreamingResponse

from customer_sync.sandbox.call import Answer, Call, json_answer
from customer_sync.sandbox.connection import Connection
from customer_sync.sandbox.faults import Fault
from customer_sync.sandbox.json_text import loads

_CHUNK = b" " * 2**20
_HTML = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1>nginx</body></html>\n"


def substitute(fault: Fault, call: Call, failure: Callable[[int, str], Answer]) -> Answer:
    """The other answer of a fault; *failure* makes a service's error JSON from a status and a message."""
    answer = _substituted(fault, call, failure)
    headers = (("Retry-After", fault.retry_after),) if fault.retry_after is not None else ()
    return Answer(answer.text, answer.status, 0.0, (*answer.headers, *headers), answer.media_type)


def _substituted(fault: Fault, call: Call, failure: Callable[[int, str], Answer]) -> Answer:
    status, message = fault.answered_status, _about_customer(fault.message, call)
    if fault.kind == "html":
        return Answer(_HTML, status, media_type="text/html")
    if fault.kind == "redirect":
        return Answer("", status, headers=(("Location", fault.location or call.target),))
    if fault.kind == "error_code":
        code = {} if fault.error_code is None else {"error_code": fault.error_code}
        return json_answer({"success": False, **code, "message": message}, status)
    return failure(status, message)


def _about_customer(message: str, call: Call) -> str:
    if "{" not in message:
        return message
    try:
        customer: dict[str, Any] = loads(call.body)["panCakeData"]
        phones = ", ".join(map(str, customer.get("phone_numbers") or []))
        return message.replace("{name}", str(customer.get("name"))).replace("{phone}", phones)
    except (ValueError, TypeError, KeyError, AttributeError):
        return message


async def deliver(fault: Fault, response: Response, connection: Connection) -> None:
    """Sends a response, damaged if the fault says so."""
    damage = _DAMAGES.get(fault.kind)
    await (damage(fault, response, connection) if damage else connection.send(response))


async def _huge(fault: Fault, response: Response, connection: Connection) -> None:
    body = _padded(fault.size, bytes(response.body))
    await connection.send(StreamingResponse(body, response.status_code, _headers(response)))


async def _padded(size: int, body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, size, len(_CHUNK)):
        yield _CHUNK[: size - start]
    yield body


async def _gzip_bomb(fault: Fault, response: Response, connection: Connection) -> None:
    body = await asyncio.to_thread(gzip.compress, b" " * fault.size + response.body)
    headers = {**_headers(response), "content-encoding": "gzip"}
    await connection.send(Response(body, response.status_code, headers))


async def _gzip_twice(fault: Fault, response: Response, connection: Connection) -> None:
    packed = await asyncio.to_thread(gzip.compress, b" " * fault.size + response.body)
    headers = {**_headers(response), "content-encoding": "gzip, gzip"}
    await connection.send(Response(gzip.compress(packed), response.status_code, headers))


async def _negative_chunk(fault: Fault, response: Response, connection: Connection) -> None:
    head = _head(response, ("content-length",)).replace(b"\r\n\r\n", b"\r\ntransfer-encoding: chunked\r\n\r\n")
    body = bytes(response.body)
    pieces = [head, b"%x\r\n%b\r\n-1\r\n" % (len(body), body)]
    await connection.write([*pieces, *[_CHUNK] * (fault.size // len(_CHUNK))])


async def _many_values(fault: Fault, response: Response, connection: Connection) -> None:
    body = bytes(response.body).rstrip()
    more = b',"more":[' + b"{}," * (fault.size // 3) + b"{}]}"
    await connection.send(Response(body[:-1] + more, response.status_code, _headers(response)))


async def _broken_utf8(_fault: Fault, response: Response, connection: Connection) -> None:
    body = bytes(response.body)
    broken = body.replace(b':"', b':"\xff', 1)
    content = broken if broken != body else body + b"\xff"
    await connection.send(Response(content, response.status_code, _headers(response)))


async def _truncated(_fault: Fault, response: Response, connection: Connection) -> None:
    body = bytes(response.body)
    await connection.write([_head(response), body[: len(body) // 2]])


async def _drip_body(fault: Fault, response: Response, connection: Connection) -> None:
    await connection.write([_head(response), *_bytes(bytes(response.body))], fault.interval)


async def _drip_headers(fault: Fault, response: Response, connection: Connection) -> None:
    await connection.write([*_bytes(_head(response)), bytes(response.body)], fault.interval)


_DAMAGES: dict[str, Callable[[Fault, Response, Connection], Awaitable[None]]] = {
    "huge": _huge,
    "gzip_bomb": _gzip_bomb,
    "gzip_twice": _gzip_twice,
    "negative_chunk": _negative_chunk,
    "many_values": _many_values,
    "broken_utf8": _broken_utf8,
    "truncated": _truncated,
    "drip_body": _drip_body,
    "drip_headers": _drip_headers,
}


def _headers(response: Response) -> dict[str, str]:
    """The headers that do not depend on the body's length."""
    return {name: value for name, value in response.headers.items() if name != "content-length"}


def _head(response: Response, without: tuple[str, ...] = ()) -> bytes:
    """Status line and headers as bytes."""
    lines = [b"HTTP/1.1 %d Spoilt" % response.status_code]
    lines += (name + b": " + value for name, value in response.raw_headers if name.decode() not in without)
    return b"\r\n".join([*lines, b"connection: close", b"", b""])


def _bytes(text: bytes) -> list[bytes]:
    return [text[place : place + 1] for place in range(len(text))]
