"""The connection of one request, for answers that violate HTTP."""

import asyncio
import socket
import struct
from collections.abc import Callable, Iterable

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_TRANSPORT = "customer_sync.transport"
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_POLL = 0.005


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol, with access to the transport for the application.

    ASGI can neither reset a connection nor truncate an answer, and uvicorn enforces Content-Length. An extension in
    the scope is ASGI's way to add this; uvicorn still sends the usual answers.
    """

    def on_message_begin(self) -> None:
        """Begins a request."""
        super().on_message_begin()
        self.scope["extensions"] = {_TRANSPORT: {"transport": self.transport}}


class Connection:
    """The connection that gets the answer to one request."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send

    @property
    def _transport(self) -> asyncio.Transport:
        transport: asyncio.Transport = self._scope["extensions"][_TRANSPORT]["transport"]
        return transport

    async def send(self, response: Response) -> None:
        """Sends a response as usual."""
        await response(self._scope, self._receive, self._send)

    async def write(self, pieces: Iterable[bytes], interval: float = 0.0) -> None:
        """Writes raw bytes, *interval* seconds between the pieces, and closes the connection."""
        for piece in pieces:
            if self._transport.is_closing():
                break
            self._transport.write(piece)
            await asyncio.sleep(interval)
        self._transport.close()
        await self._end()

    async def reset(self) -> None:
        """Resets the connection."""
        closing = self._transport.get_extra_info("socket")
        closing.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._transport.abort()
        await self._end()

    async def wait_until(self, released: Callable[[], bool]) -> None:
        """Waits for the release. Raises ClientDisconnect if the client disconnects first."""
        # Polls: the release may come from another thread, when this loop has already ended.
        while True:
            is_released = released()
            await asyncio.sleep(_POLL)
            if self._transport.is_closing():
                await self._end()
                raise ClientDisconnect
            if is_released:
                return

    async def _end(self) -> None:
        """Waits until uvicorn has noticed the end of the connection; else it would expect an answer."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
