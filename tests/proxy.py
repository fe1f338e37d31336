"""A proxy between the program and the sandbox, so that a test can act at a chosen request."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from customer_sync.sandbox import Sandbox

PATIENCE = 30.0


@dataclass(frozen=True)
class Passing:
    """A request to the sandbox."""

    method: str
    path: str
    query: dict[str, str]

    @property
    def upserts(self) -> str | None:
        """The psid that it writes; None for any other call."""
        return str(json.loads(self.query["filter"])["psid"]) if self.path.endswith("/upsert-one") else None


class Lost(Exception):
    """The request is not forwarded, and its connection is closed."""


Hook = Callable[[Passing], int | bytes | None]


def nothing(_: Passing) -> None:
    """Forwards a request."""


class Proxy:
    """Forwards requests to a sandbox after calling *before*, which may answer with a status or a body instead.

    *after* is called between the sandbox's answer and its delivery. *date* and *folkform_date* are
    the clocks of Pancake and FolkForm.
    """

    def __init__(self, box: Sandbox) -> None:
        self.before: Hook = nothing
        self.after: Callable[[Passing], None] = nothing
        self.date: float | None = None
        self.folkform_date: float | None = None
        self.counts: dict[str, int] = {}
        self.box = box
        self._target = urlsplit(box.url)
        self._counting = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.environment = {name: text.replace(box.url, url) for name, text in box.environment.items()}

    @property
    def whole_environment(self) -> dict[str, str]:
        return self.box.whole_environment | self.environment

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(proxy) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                try:
                    answer = proxy._answer(self, body)
                    self.wfile.write(answer)
                except (Lost, OSError):
                    self.close_connection = True

            do_POST = do_PUT = do_GET  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Logs nothing."""

        return Handler

    def _answer(self, request: BaseHTTPRequestHandler, body: bytes) -> bytes:
        parts = urlsplit(request.path)
        passing = Passing(request.command, parts.path, dict(parse_qsl(parts.query)))
        with self._counting:
            kind = parts.path.rsplit("/", 1)[-1]
            self.counts[kind] = self.counts.get(kind, 0) + 1
        own, date = self.before(passing), formatdate(usegmt=True)
        if own is None:
            status, text, date = self._forward(request, body)
            self.after(passing)
        else:
            status, text = (own, b"{}") if isinstance(own, int) else (200, own)
        clock = self.date if "/pancake/" in passing.path else self.folkform_date
        if clock is not None:
            date = formatdate(clock, usegmt=True)
        head = f"HTTP/1.1 {status} .\r\nDate: {date}\r\nContent-Type: application/json\r\nContent-Length: {len(text)}"
        return head.encode() + b"\r\n\r\n" + text

    def _forward(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes, str]:
        connection = HTTPConnection(str(self._target.hostname), self._target.port, timeout=PATIENCE)
        try:
            headers = {name: text for name, text in request.headers.items() if name.lower() != "host"}
            connection.request(request.command, request.path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers["Date"]
        finally:
            connection.close()
