"""Whether an address can be reached: its name looked up, a connection opened, a certificate read. Nothing is asked."""

import socket
import ssl
from base64 import b64encode
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from customer_sync.http.transport import Route

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a server has shown over TLS."""

    tls: str
    """The version of TLS, such as `TLSv1.3`."""
    issuer: str
    valid_until: float
    """Unix seconds."""


class DistrustedError(Exception):
    """The server's certificate is not trusted; the text tells why."""


class ProxyFailedError(Exception):
    """The proxy is not there, or lets us not through; the text tells why."""


def look_up(address: str) -> list[str]:
    """The IP addresses of the host. Raises OSError where it has none."""
    try:
        found = socket.getaddrinfo(urlsplit(address).hostname, None, type=socket.SOCK_STREAM)
    except UnicodeError:  # No name that DNS could know.
        raise socket.gaierror(socket.EAI_NONAME, "not a host name") from None
    return list(dict.fromkeys(str(one[4][0]) for one in found))


def can_look(route: Route) -> bool:
    """Whether the way of *route* is one that a probe can take, too."""
    return route.proxy is None or urlsplit(route.proxy).scheme == "http"


def connect(address: str, route: Route, timeout: float) -> Certificate | None:
    """Opens a connection to the host and closes it. Returns the certificate, None without TLS.

    Raises DistrustedError, ProxyFailedError, and OSError for any other reason.
    """
    connection = _connection(address, route, timeout)
    try:
        connection.connect()
        return _certificate(connection.sock) if isinstance(connection.sock, ssl.SSLSocket) else None
    except ssl.SSLCertVerificationError as error:
        raise DistrustedError(error.verify_message) from None
    except OSError as error:
        if route.proxy is not None and not isinstance(error, ssl.SSLError):
            raise ProxyFailedError(error.strerror or str(error) or type(error).__name__) from None
        raise
    finally:
        connection.close()


def _connection(address: str, route: Route, timeout: float) -> HTTPConnection:
    target = urlsplit(address)
    proxy = urlsplit(route.proxy) if route.proxy else None
    host, port = _sort_key(proxy or target)
    if target.scheme == "http":
        return HTTPConnection(host, port, timeout=timeout)
    connection = HTTPSConnection(host, port, timeout=timeout, context=_trusting(route.trusted))
    if proxy:
        connection.set_tunnel(*_sort_key(target), _login(proxy))
    return connection


def _sort_key(parts: SplitResult) -> tuple[str, int]:
    try:
        return parts.hostname or "", parts.port or _PORTS[parts.scheme]
    except ValueError:  # Its own text may quote a password.
        raise ProxyFailedError("it is no address") from None


def _login(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    login = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {b64encode(login.encode()).decode()}"}


def _trusting(certificates: str) -> ssl.SSLContext:
    is_directory = Path(certificates).is_dir()
    try:
        return ssl.create_default_context(
            cafile=None if is_directory else certificates, capath=certificates if is_directory else None
        )
    except OSError:
        raise DistrustedError(f"{certificates} holds no certificate") from None


def _certificate(shown: ssl.SSLSocket) -> Certificate:
    certificate: dict[str, Any] = shown.getpeercert() or {}
    issuer = dict(pair for pairs in certificate.get("issuer", ()) for pair in pairs)
    named = issuer.get("organizationName") or issuer.get("commonName") or "somebody unnamed"
    return Certificate(shown.version() or "TLS", named, ssl.cert_time_to_seconds(certificate["notAfter"]))
