"""Connections to one address, whose every answer has an end.

A silence timeout never trips on a server that sends a byte now and then, in its headers or in its body. Here each
read from the socket waits no longer than the whole answer has time left.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import Any, cast
from urllib.parse import urlencode

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import DEFAULT_CA_BUNDLE_PATH, default_headers, select_proxy
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.poolmanager import PoolManager

from customer_sync import __version__
from customer_sync.core.clock import Clock


@dataclass(frozen=True, slots=True)
class Route:
    """How the environment has an address reached."""

    proxy: str | None
    """The proxy's address, with its login; None for none."""
    trusted: str
    """The file or directory of the certificates that are trusted."""


def route_to(base_url: str) -> Route:
    """The way that a session for *base_url* takes. Raises ValueError for an address that cannot be called."""
    proxies, trusted = _environment(requests.Session(), base_url)
    proxy = select_proxy(base_url, proxies)
    if proxy and "://" not in proxy:
        proxy = f"http://{proxy}"
    return Route(proxy, trusted if isinstance(trusted, str) else DEFAULT_CA_BUNDLE_PATH)


class Connection:
    """Calls one address, whose answers take *whole_answer* seconds at most; later it raises a timeout.

    What a session of requests asks and merges anew at every call is asked here once: the address itself, the proxy and
    whom to trust of the environment, the headers. ~/.netrc, or a login in the address, would replace our bearer token
    and is never asked; cookies are not kept, redirects not followed. Raises InvalidURL and others for an address that
    cannot be called.
    """

    def __init__(self, base_url: str, clock: Clock, whole_answer: float) -> None:
        session = requests.Session()
        self._proxies, self.trusted = _environment(session, base_url)
        """The file or directory of the certificates that are trusted; True for the usual ones."""
        first = requests.Request("GET", base_url, auth=_leave_as_is).prepare()
        self._base_url = str(first.url).rstrip("/")
        self._headers = {**default_headers(), "User-Agent": f"customer-sync/{__version__}"}
        self._adapter = _BoundedAdapter(clock, whole_answer)

    def send(
        self,
        method: str,
        path: str,
        params: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes | None,
        timeout: tuple[float, float],
    ) -> requests.Response:
        """The answer to one request, whose body is yet to be read. *timeout* is seconds to connect, and of silence."""
        request = requests.PreparedRequest()
        request.method, request.body = method, body
        request.url = f"{self._base_url}{path}?{urlencode(params)}" if params else self._base_url + path
        request.headers = CaseInsensitiveDict({**self._headers, **headers})
        if body is not None or method != "GET":
            request.headers["Content-Length"] = str(len(body or b""))
        return self._adapter.send(
            request, stream=True, timeout=timeout, verify=self.trusted, cert=None, proxies=self._proxies
        )

    def close(self) -> None:
        self._adapter.close()


def _environment(session: requests.Session, base_url: str) -> tuple[Any, Any]:
    """The proxies, and what certificates are trusted, as the environment has them."""
    try:
        environment = session.merge_environment_settings(base_url, {}, None, None, None)
    except ValueError as error:
        raise requests.exceptions.InvalidURL(error) from None
    return environment["proxies"], environment["verify"]


def _leave_as_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


class _BoundedAdapter(HTTPAdapter):
    """Lets `http.client` read every answer through a `_BoundedStream`.

    All calls go to one address, so its proxy and whom it must be trusted by are looked up at the first call alone.
    """

    def __init__(self, clock: Clock, whole_answer: float) -> None:
        def response(sock: Any, *args: Any, **kwargs: Any) -> HTTPResponse:
            return _bounded(HTTPResponse(sock, *args, **kwargs), sock, clock, whole_answer)

        self._pools = {
            "http": _pool(HTTPConnectionPool, HTTPConnection, response),
            "https": _pool(HTTPSConnectionPool, HTTPSConnection, response),
        }
        self._pool: Any = None
        super().__init__()

    def get_connection_with_tls_context(self, request: Any, verify: Any, *args: Any, **kwargs: Any) -> Any:
        if self._pool is None:
            pool = super().get_connection_with_tls_context(request, verify, *args, **kwargs)
            super().cert_verify(pool, request.url, verify, None)  # type: ignore[no-untyped-call]
            self._pool = pool
        return self._pool

    def cert_verify(self, *_: Any) -> None:
        """Done with the first call."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> PoolManager:
        manager = cast(PoolManager, super().proxy_manager_for(*args, **kwargs))
        manager.pool_classes_by_scheme = self._pools
        return manager


def _pool(pool: type, connection: type, response: Any) -> type:
    bounded_connection = type(connection.__name__, (connection,), {"response_class": staticmethod(response)})
    return type(pool.__name__, (pool,), {"ConnectionCls": bounded_connection})


def _bounded(response: HTTPResponse, sock: Any, clock: Clock, whole_answer: float) -> HTTPResponse:
    raw = response.fp.detach()
    response.fp = io.BufferedReader(_BoundedStream(raw, sock, clock, whole_answer))
    return response


class _BoundedStream(io.RawIOBase):
    """The bytes of one answer; raises TimeoutError when its time is over."""

    def __init__(self, raw: io.RawIOBase, sock: Any, clock: Clock, whole_answer: float) -> None:
        self._raw = raw
        self._socket = sock
        self._silence = sock.gettimeout()
        self._clock = clock
        self._ends_at = clock.monotonic() + whole_answer

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._ends_at - self._clock.monotonic()
        if left <= 0:
            raise TimeoutError
        if self._silence is None or left < self._silence:
            self._socket.settimeout(left)
        return cast("int | None", self._raw.readinto(buffer))

    def close(self) -> None:
        self._raw.close()
        super().close()
