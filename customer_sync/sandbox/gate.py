"""The gate between HTTP and the services: every call that any of them answers passes here."""

import asyncio
import time
from email.utils import formatdate
from functools import lru_cache
from typing import Protocol
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from customer_sync.sandbox.call import Answer, Call, Endpoint
from customer_sync.sandbox.request_log import LoggedRequest, RequestLog


class Service(Protocol):
    """What the gate needs to know of a service."""

    name: str
    prefix: str

    @property
    def latency(self) -> float:
        """Seconds before every answer."""

    @property
    def clock_offset(self) -> float:
        """Seconds that the clock is ahead."""

    def endpoints(self) -> list[Endpoint]:
        """Every call that it knows."""

    def answer(self, endpoint: Endpoint, call: Call) -> Answer:
        """Answers a call, refusals included."""


class Gate:
    """An ASGI application for one endpoint of a service: reads the call, logs it, waits, answers."""

    def __init__(self, service: Service, endpoint: Endpoint, log: RequestLog) -> None:
        self._service = service
        self._endpoint = endpoint
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        try:
            response = await self._respond(await _read(Request(scope, receive)))
        except (ClientDisconnect, asyncio.CancelledError):
            return  # the client has gone, or the sandbox stops and has cut the connection
        await response(scope, receive, send)

    async def _respond(self, call: Call) -> Response:
        """What both services pass through before an answer leaves: the one place to keep or to spoil it."""
        answer = self._service.answer(self._endpoint, call)
        self._log_request(call, answer)
        if (wait := answer.delay + self._service.latency) > 0:
            await asyncio.sleep(wait)
        date = _http_date(int(time.time() + self._service.clock_offset))
        return Response(answer.text, answer.status, {"Date": date}, "application/json")

    def _log_request(self, call: Call, answer: Answer) -> None:
        endpoint = self._endpoint
        self._log.add(
            LoggedRequest(
                time=time.time(),
                service=self._service.name,
                method=endpoint.method,
                template=endpoint.template,
                path=call.path,
                query=call.query,
                status=answer.status,
            )
        )


def routes(service: Service, log: RequestLog) -> list[BaseRoute]:
    """The routes of a service, each through a gate of its own."""
    return [
        Route(service.prefix + endpoint.template, Gate(service, endpoint, log), methods=[endpoint.method])
        for endpoint in service.endpoints()
    ]


async def _read(request: Request) -> Call:
    query = request.scope["query_string"].decode("latin-1")
    return Call(
        path=request.path_params,
        query=dict(parse_qsl(query, keep_blank_values=True)),
        headers=request.headers,
        body=await request.body(),
        head_size=_head_size(request.scope),
    )


def _head_size(scope: Scope) -> int:
    """Bytes of `METHOD path?query HTTP/1.1`, the headers, and the empty line behind them."""
    line = (scope["method"].encode(), scope["raw_path"], scope["query_string"], b" ? HTTP/1.1\r\n\r\n")
    headers = sum(len(name) + len(value) + len(": \r\n") for name, value in scope["headers"])
    return sum(map(len, line)) + headers


@lru_cache(maxsize=4)
def _http_date(second: int) -> str:
    return formatdate(second, usegmt=True)
