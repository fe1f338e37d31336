"""The connection of one request, for answers that HTTP does not allow."""

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
_BREATH = 0.005


class Protocol(HttpToolsProtocol):
    """uvicorn's own, with the transport in reach of the application.

    ASGI can neither reset a connection nor break off an answer, and uvicorn guards Content-Length. An extension
    in the scope is ASGI's way to offer more, and leaves the usual answers to uvicorn alone.
    """

    def on_message_begin(self) -> None:
        """Begins a request."""
        super().on_message_begin()
        self.scope["extensions"] = {_TRANSPORT: {"transport": self.transport}}


class Connection:
    """Where the answer to one request goes."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send

    @property
    def _transport(self) -> asyncio.Transport:
        transport: asyncio.Transport = self._scope["extensions"][_TRANSPORT]["transport"]
        return transport

    async def send(self, response: Response) -> None:
        """Answers as usual."""
        await response(self._scope, self._receive, self._send)

    async def write(self, pieces: Iterable[bytes], interval: float = 0.0) -> None:
        """Writes an answer as it is, *interval* seconds between its pieces, and closes the connection."""
        for piece in pieces:
            if self._transport.is_closing():
                break
            self._transport.write(piece)
            await asyncio.sleep(interval)
        self._transport.close()
        await self._end()

    async def reset(self) -> None:
        """Resets the connection, as a machine does that does not know it."""
        closing = self._transport.get_extra_info("socket")
        closing.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._transport.abort()
        await self._end()

    async def wait_until(self, released: Callable[[], bool]) -> None:
        """Waits as long as the client does; raises ClientDisconnect when it had gone before the release."""
        # Looked at again and again: whoever releases may be in another thread, and may find this loop ended.
        while True:
            is_released = released()
            await asyncio.sleep(_BREATH)
            if self._transport.is_closing():
                await self._end()
                raise ClientDisconnect
            if is_released:
                return

    async def _end(self) -> None:
        """Waits until uvicorn knows that the connection has ended; else it would miss an answer."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
