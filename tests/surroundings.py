"""The environment of the command: TLS, proxies, namespaces."""

import http.client
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest


def permitted(*ways: list[str], then: list[str] | None = None) -> list[str]:
    """The command line of unshare(1) in the first of the *ways* that this machine permits; skips if there is none."""
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("unshare(1) is not installed")
    reason = ""
    for way in ways:
        tried = subprocess.run([unshare, *way, "true"], capture_output=True, text=True, check=False)
        if tried.returncode == 0:
            return [unshare, *way, *(then or [])]
        reason = tried.stderr.strip()
    pytest.skip(f"this machine permits no such namespace: {reason}")


class Quiet(BaseHTTPRequestHandler):
    """The request handler of the servers here."""

    protocol_version = "HTTP/1.1"
    target = ""
    """Where requests are forwarded: host and port."""
    asked: list[str]
    """The addresses that a proxy was asked for."""

    def log_message(self, *_: Any) -> None:
        """Logs nothing."""


class Relay(Quiet):
    """Forwards requests to another server."""

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        connection = http.client.HTTPConnection(self.target)
        connection.request(self.command, self.path, body, dict(self.headers))
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self) -> None:
        self._forward()

    def do_POST(self) -> None:
        self._forward()


class ConnectProxy(Quiet):
    """Connects every request to its target, whatever address it is for."""

    def do_CONNECT(self) -> None:
        self.asked.append(self.path)
        host, _, port = self.target.partition(":")
        with socket.create_connection((host, int(port))) as upstream:
            self.send_response_only(200)
            self.end_headers()
            back = threading.Thread(target=_pump, args=(upstream, self.connection))
            back.start()
            _pump(self.connection, upstream)
            back.join()
        self.close_connection = True


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(65536):
            target.sendall(chunk)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """A client that does not trust the certificate is no error here."""


@contextmanager
def served(
    handler: type[Quiet], target: str, asked: list[str], certificate: tuple[Path, Path] | None = None
) -> Iterator[str]:
    """Serves on loopback, through TLS with a *certificate* and its key. Yields host and port."""
    with _Server(("127.0.0.1", 0), type("Handler", (handler,), {"target": target, "asked": asked})) as server:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def make_certificate(home: Path, days: int = 2) -> tuple[Path, Path]:
    """A self-signed certificate for folkform.example and 127.0.0.1, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl(1) is not installed")
    cert, key = home / "cert.pem", home / "key.pem"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", key, "-out", cert, "-days", str(days), "-subj", "/O=Folk/CN=folkform.example"),
            *("-addext", "subjectAltName=DNS:folkform.example,IP:127.0.0.1"),
            *("-addext", "keyUsage=critical,digitalSignature,keyCertSign"),
        ],
        check=True,
        capture_output=True,
    )
    return cert, key
