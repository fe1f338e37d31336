"""HTTP sessions whose every answer has an end.

A read timeout never ends a server that sends a byte now and then, in its headers or in its body. Here each read from
the socket waits no longer than the whole answer has time left, and reads no more than an answer may have.
"""

import io
import re
from collections.abc import Mapping
from http.client import HTTPResponse
from http.cookiejar import DefaultCookiePolicy
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth
from urllib3.connection import HTTPConnection, HTTPSConnection

from customer_sync import __version__
from customer_sync.core.clock import Clock
from customer_sync.http.body import MAX_RECEIVED, BoundedReader, TooLarge

_DOTS = re.compile(r"(?<=/)\.{1,2}(?=/|$)")


class BoundedSession(requests.Session):
    """A session for one thread and one address, whose answers take *max_seconds* at most; later a read times out.

    Proxies and certificates are those of the environment. Redirects are answers, cookies are not kept.
    """

    def __init__(self, base_url: str, clock: Clock, max_seconds: float) -> None:
        super().__init__()
        # requests would look them up at each call, which costs a tenth of its CPU.
        try:
            environment = self.merge_environment_settings(base_url, {}, None, None, None)
        except ValueError as error:
            raise requests.exceptions.InvalidURL(error) from None
        self.proxies, self.verify, self.trust_env = environment["proxies"], environment["verify"], False
        self.headers["User-Agent"] = f"customer-sync/{__version__}"
        self.headers["Accept-Encoding"] = "gzip"
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        # Without it a login in the address would replace the bearer token.
        self.auth = lambda request: request
        for scheme in ("http://", "https://"):
            self.mount(scheme, _BoundedAdapter(clock, max_seconds))

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """The request as it is sent. requests decodes an encoded dot, and urllib3 would go up a directory at it."""
        prepared = super().prepare_request(request)
        path, mark, query = (prepared.url or "").partition("?")
        prepared.url = _DOTS.sub(lambda dots: "%2E" * len(dots[0]), path) + mark + query
        return prepared

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None: to see where a redirect leads, requests would read its whole body."""


def post(
    url: str, body: bytes, headers: Mapping[str, str], clock: Clock, seconds: float, *, method: str = "POST"
) -> str:
    """Sends *body* once, with the login that the address may hold; *seconds* to connect, and for the answer.

    Returns what went wrong in a few words, without the address; empty when nothing did.
    """
    try:
        with BoundedSession(url, clock, seconds) as session:
            if (parts := urlsplit(url)).username is not None:
                login = (unquote(one or "").encode() for one in (parts.username, parts.password))
                session.auth = HTTPBasicAuth(*login)
            answer = session.request(method, url, data=body, headers=headers, timeout=seconds, stream=True)
            answer.close()
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, TooLarge) as error:
        return type(error).__name__
    return "" if 200 <= answer.status_code < 300 else f"it answered {answer.status_code}"


class _BoundedAdapter(HTTPAdapter):
    """Makes `http.client` read every answer through a `_BoundedStream`."""

    def __init__(self, clock: Clock, max_seconds: float) -> None:
        def response(sock: Any, *args: Any, **kwargs: Any) -> HTTPResponse:
            answer = HTTPResponse(sock, *args, **kwargs)
            answer.fp = BoundedReader(_BoundedStream(answer.fp.detach(), sock, clock, max_seconds))
            return answer

        self._connections = {
            scheme: type(kind.__name__, (kind,), {"response_class": staticmethod(response)})
            for scheme, kind in (("http", HTTPConnection), ("https", HTTPSConnection))
        }
        self._pool: Any = None
        super().__init__()

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """The pool of the session's one address; to look it up at each call costs a tenth of its CPU."""
        if self._pool is None:
            self._pool = super().get_connection_with_tls_context(*args, **kwargs)
            self._pool.ConnectionCls = self._connections[self._pool.scheme]
        return self._pool


class _BoundedStream(io.RawIOBase):
    """The bytes of one answer. Raises TimeoutError when its time is over, TooLarge when they are too many."""

    def __init__(self, raw: io.RawIOBase, sock: Any, clock: Clock, max_seconds: float) -> None:
        self._raw = raw
        self._socket = sock
        self._silence = sock.gettimeout()
        self._clock = clock
        self._ends_at = clock.monotonic() + max_seconds
        self._left = MAX_RECEIVED

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._ends_at - self._clock.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(min(left, self._silence))
        size = cast("int", self._raw.readinto(buffer))
        self._left -= size
        if self._left < 0:
            raise TooLarge
        return size

    def close(self) -> None:
        self._raw.close()
        super().close()
