"""The gate between HTTP and the services: logs each call, applies faults and latency."""

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
from customer_sync.sandbox.connection import Connection
from customer_sync.sandbox.faults import ActiveFault, Faults
from customer_sync.sandbox.request_log import LoggedRequest, RequestLog
from customer_sync.sandbox.spoil import deliver, substitute


class Service(Protocol):
    """What the gate needs of a service."""

    name: str
    prefix: str

    @property
    def latency(self) -> float:
        """Seconds before every answer."""

    @property
    def clock_offset(self) -> float:
        """Seconds that the clock is ahead."""

    def endpoints(self) -> list[Endpoint]:
        """Every call of the service."""

    def answer(self, endpoint: Endpoint, call: Call) -> Answer:
        """Answers a call, with an error if need be."""

    def failure(self, status: int, message: str) -> Answer:
        """The service's error JSON."""


class Gate:
    """An ASGI application for one endpoint of a service: reads the call, logs it, waits, answers."""

    def __init__(self, service: Service, endpoint: Endpoint, log: RequestLog, faults: Faults) -> None:
        self._service = service
        self._endpoint = endpoint
        self._log = log
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, or applies its fault."""
        connection = Connection(scope, receive, send)
        try:
            call = await _read(Request(scope, receive))
            request = self._logged(call, scope["method"])
            active = self._faults.met_by(request)
            if active is None:
                await connection.send(await self._respond(call, request))
            else:
                await self._misbehave(active, call, request, connection)
        except (ClientDisconnect, asyncio.CancelledError):
            return  # The client has disconnected, or the sandbox stops.

    async def _respond(self, call: Call, request: LoggedRequest) -> Response:
        """The right answer, after its effect."""
        answer = self._service.answer(self._endpoint, call)
        self._log.note(request, answer.status)
        if (wait := answer.delay + self._service.latency) > 0:
            await asyncio.sleep(wait)
        return self._dated(answer)

    async def _misbehave(self, active: ActiveFault, call: Call, request: LoggedRequest, connection: Connection) -> None:
        fault = active.fault
        response = await self._respond(call, request) if fault.has_effect else None
        if fault.is_substitute:
            response = self._dated(substitute(fault, call, self._service.failure))
        self._log.note(request, response.status_code if response else 0, fault.kind)
        if fault.kind == "reset":
            await connection.reset()
            return
        if fault.kind == "hang":
            await connection.wait_until(lambda: not active.in_force)
        await deliver(fault, response or await self._respond(call, request), connection)

    def _dated(self, answer: Answer) -> Response:
        date = _http_date(int(time.time() + self._service.clock_offset))
        return Response(answer.text, answer.status, {"Date": date, **dict(answer.headers)}, answer.media_type)

    def _logged(self, call: Call, method: str) -> LoggedRequest:
        request = LoggedRequest(
            time=time.time(),
            service=self._service.name,
            method=method,
            template=self._endpoint.template,
            path=call.path,
            query=call.query,
        )
        self._log.add(request)
        return request


def routes(service: Service, log: RequestLog, faults: Faults) -> list[BaseRoute]:
    """The routes of a service, each through a gate of its own."""
    return [
        Route(
            service.prefix + endpoint.template,
            Gate(service, endpoint, log, faults),
            methods=[endpoint.method] if endpoint.method else None,
        )
        for endpoint in service.endpoints()
    ]


async def _read(request: Request) -> Call:
    scope = request.scope
    query = scope["query_string"].decode("latin-1")
    return Call(
        path=request.path_params,
        query=dict(parse_qsl(query, keep_blank_values=True)),
        headers=request.headers,
        body=await request.body(),
        head_size=_head_size(scope),
        client=scope["client"][0],
        target=f"{scope['raw_path'].decode('latin-1')}?{query}",
    )


def _head_size(scope: Scope) -> int:
    """Bytes of `METHOD path?query HTTP/1.1`, the headers, and the empty line after them."""
    line = (scope["method"].encode(), scope["raw_path"], scope["query_string"], b" ? HTTP/1.1\r\n\r\n")
    headers = sum(len(name) + len(value) + len(": \r\n") for name, value in scope["headers"])
    return sum(map(len, line)) + headers


@lru_cache(maxsize=4)
def _http_date(second: int) -> str:
    return formatdate(second, usegmt=True)
