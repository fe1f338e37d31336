"""One call to one service: paced, tried again, bounded, redacted, its errors our own.

The only room that knows `requests` and `backoff`.
"""

import json
import logging
import random
import ssl
import threading
from base64 import b64encode
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from itertools import count
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import unquote, unquote_plus, urlsplit

import requests
import urllib3
from requests.utils import urldefragauth

from customer_sync.core.clock import Clock
from customer_sync.core.errors import (
    ContractBroken,
    Refused,
    ServerError,
    ServiceError,
    StopRequested,
    TimeIsUp,
    TokenRefused,
    Unreachable,
)
from customer_sync.core.pii import mask_contacts
from customer_sync.http.rate_limiter import AdaptiveRateLimiter
from customer_sync.http.redact import Redactor
from customer_sync.http.transport import Connection

log = logging.getLogger(__name__)

TRIES = 5
UNAUTHORIZED, FORBIDDEN, MISSING, INTERNAL_ERROR = 401, 403, 404, 500
CONNECT_TIMEOUT = 5.0
WHOLE_CALL_TIMEOUT = 60.0
LARGEST_ANSWER = 64 * 1024 * 1024
_FIRST_WAIT = 0.5
_LONG_WAIT = 5.0
_LONGEST_MESSAGE = 300
_LONGEST_RETRY_AFTER = 86_400.0
_DATES = 15
_TRY_AGAIN_STATUSES = frozenset({408, 409, 425, 429})
# urllib3 1.26 does not tell this case apart.
_NO_SUCH_HOST = getattr(urllib3.exceptions, "NameResolutionError", ())
_NO_ADDRESS = (requests.exceptions.InvalidSchema, requests.exceptions.MissingSchema, requests.exceptions.InvalidURL)


@dataclass(frozen=True, slots=True)
class Answer:
    """A service's answer: HTTP status, headers, and the JSON object it sent."""

    status: int
    headers: Mapping[str, str]
    body: dict[str, Any]

    @property
    def date(self) -> float | None:
        """The service's clock when it answered, Unix seconds; None when it did not say."""
        return read_http_date(self.headers.get("Date"))


@dataclass(frozen=True, slots=True)
class Service:
    """Whom to call, and what to tell the user when that fails."""

    name: str
    base_url: str
    address_setting: str
    """The variable that holds the base address."""
    token_step: str
    """What to do when the service refuses our token."""


@dataclass(frozen=True, slots=True)
class ServiceCalls:
    """How many requests one service has got, and how many of them it answered with a 429."""

    service: str
    calls: int
    too_many: int


@dataclass(frozen=True, slots=True)
class Call:
    """What to ask. *about* is the page it is asked for (None: no page), *tries* how often at most.

    *hide* masks personal data in the service's own words. A call that *must_complete* is still made when a stop was
    requested meanwhile. *tries_on_500* bounds the tries at the service's own 500s, where the caller finds out whether
    they are about this one call.
    """

    method: str
    path: str
    params: Mapping[str, str]
    body: Any = None
    headers: Mapping[str, str] | None = None
    page_id: str | None = None
    tries: int = TRIES
    hide: Callable[[str], str] = mask_contacts
    must_complete: bool = False
    tries_on_500: int = TRIES


class ApiSession:
    """Calls one service. Threads share it; each has its own connection."""

    def __init__(
        self,
        service: Service,
        check: Callable[[Answer], None],
        *,
        clock: Clock,
        redact: Redactor,
        timeout: float,
        tries: int | None = None,
    ) -> None:
        """*check* raises our errors for what the service's envelope says; *timeout* is seconds of silence; *tries*
        bounds those of every call.
        """
        self.requests_by_page: Counter[str | None] = Counter()
        self.too_many = 0
        """How many of them the service met with a 429, in either dress."""
        self._dates: deque[tuple[str, float]] = deque(maxlen=_DATES)
        """The service's last Dates, each with our time when it came."""
        self._service = service
        self._name = service.name
        self._base_url = service.base_url.rstrip("/")
        self._check = check
        self._clock = clock
        self._redact = redact
        self._timeout = timeout
        self._tries = tries
        self._counting = threading.Lock()
        self._threads = threading.local()

    def call(self, call: Call, limiter: AdaptiveRateLimiter) -> Answer:
        """The service's answer to one call, tried again while that can help.

        Raises Unreachable when the tries ran out, and what *check* raises.
        """
        tries = min(call.tries, self._tries or call.tries)
        waits: Iterator[float] | None = None
        for tried in count(1):
            try:
                return self._call_once(call, limiter)
            except Unreachable as error:
                if tried == tries or (isinstance(error, ServerError) and tried >= call.tries_on_500):
                    error.problem += f" {_times(tried)}" if tried > 1 else ""
                    raise
                waits = waits or _growing_waits()
                self._pause(next(waits), error, call)
        raise AssertionError  # The loop has no other end.

    def _pause(self, usual: float, error: Unreachable, call: Call) -> None:
        wait = max(usual, error.retry_after)
        log.log(logging.INFO if wait > _LONG_WAIT else logging.DEBUG, "%s; trying again in %.1f s", error, wait)
        try:
            self._clock.sleep(wait)
        except TimeIsUp:
            problem = f"{error.sentence}; the next try, in {wait:.0f} s, would be after the time limit (--max-runtime)"
            raise TimeIsUp(problem) from None
        except StopRequested:
            if not call.must_complete:
                raise

    def _call_once(self, call: Call, limiter: AdaptiveRateLimiter) -> Answer:
        allowed_at = self._await_turn(call, limiter)
        with self._counting:
            self.requests_by_page[call.page_id] += 1
        try:
            answer = self._send(call, limiter)
            self._check_envelope(call, answer)
        except Unreachable as error:
            if error.too_many:
                self._count_too_many()
                limiter.too_many(allowed_at)
            limiter.pause(error.retry_after)
            raise
        finally:
            limiter.ended()
        limiter.succeeded()
        return answer

    def _count_too_many(self) -> None:
        with self._counting:
            self.too_many += 1

    def _await_turn(self, call: Call, limiter: AdaptiveRateLimiter) -> float:
        try:
            self._clock.check()
            return limiter.wait()
        except StopRequested as stop:
            if call.must_complete:  # One call more than the service wants is better than work half done.
                return limiter.take()
            if isinstance(stop, TimeIsUp) and (held_for := limiter.held_for()) > _LONG_WAIT:
                problem = f"{self._name} takes no call for {held_for:.0f} s, longer than the time limit (--max-runtime)"
                raise TimeIsUp(problem) from None
            raise

    def _check_envelope(self, call: Call, answer: Answer) -> None:
        try:
            self._check(answer)
        except ServiceError as error:
            error.server_message = self._words(call, answer.body)
            if isinstance(error, Unreachable):
                error.retry_after = self._retry_after(answer.headers)
            raise

    def _send(self, call: Call, limiter: AdaptiveRateLimiter) -> Answer:
        """One request on the wire. Raises ServiceError when no JSON object with a good status came back."""
        started = self._clock.monotonic()
        try:
            with self._connection().send(
                call.method,
                call.path,
                call.params,
                {"Content-Type": "application/json", **(call.headers or {})},
                None if call.body is None else self._encode(call.body),
                (min(CONNECT_TIMEOUT, self._timeout), self._timeout),
            ) as response:
                limiter.answered(response.headers)
                if date := response.headers.get("Date"):
                    self._dates.append((date, self._clock.now()))
                text = self._read(response)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            # `from None`: the library's own text carries the address, and with it the token.
            raise self._connection_error(error, self._clock.monotonic() - started) from None
        status = response.status_code
        if log.isEnabledFor(logging.DEBUG):
            took = self._clock.monotonic() - started
            target = unquote_plus(str(response.request.path_url))  # Not the whole address: a login may stand there.
            log.debug(self._redact(f"{self._name}: {call.method} {target} → {status}, {len(text)} bytes, {took:.3f} s"))
        return Answer(status, response.headers, self._parse(call, status, response.headers, text))

    @property
    def clock_ahead(self) -> float | None:
        """How far the service's clock is ahead of ours, seconds; None while it has not told the time.

        Each Date is compared with our time when it came. What most of them tell counts: one that is wrong is no clock.
        """
        told = [(read_http_date(text), now) for text, now in self._dates.copy()]
        ahead = sorted((date - now for date, now in told if date is not None), key=abs)
        return ahead[(len(ahead) - 1) // 2] if ahead else None

    def _encode(self, body: Any) -> bytes:
        try:
            return json.dumps(body, allow_nan=False).encode()
        except ValueError:
            raise Refused(self._name, "was not asked, because a number is too large for JSON") from None
        except RecursionError:
            raise Refused(self._name, "was not asked, because the data is nested too deep for JSON") from None

    def _read(self, response: requests.Response) -> bytes:
        """The body, as long as it is not too large."""
        text = bytearray()
        response.raw.enforce_content_length = True  # urllib3 1.26 takes half a body for a whole one unless told.
        while chunk := response.raw.read(65536, decode_content=True):
            text += chunk
            if len(text) > LARGEST_ANSWER:
                raise ContractBroken(self._name, f"sent an answer larger than {LARGEST_ANSWER >> 20} MiB")
        return bytes(text)

    def _parse(self, call: Call, status: int, headers: Mapping[str, str], text: bytes) -> dict[str, Any]:
        try:
            body = json.loads(text, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            body = None
        if 200 <= status < 300 and not isinstance(body, dict):
            kind = self._redact(headers.get("Content-Type", "no type"))[:60]
            raise Unreachable(self._name, f"answered {status} without a JSON object ({kind})", status=status)
        if not 200 <= status < 300:
            self._raise_for(call, status, headers, body if isinstance(body, dict) else {})
        return body  # type: ignore[no-any-return]

    def _raise_for(self, call: Call, status: int, headers: Mapping[str, str], body: Mapping[str, Any]) -> NoReturn:
        problem, said = f"answered {status}", self._words(call, body)
        code = body["code"] if isinstance(body.get("code"), str) else ""
        if status in _TRY_AGAIN_STATUSES or status >= 500:
            kind = ServerError if status == INTERNAL_ERROR and code else Unreachable
            wait, too_many = self._retry_after(headers), status == 429
            raise kind(
                self._name, problem, server_message=said, status=status, code=code, retry_after=wait, too_many=too_many
            )
        if status in (UNAUTHORIZED, FORBIDDEN):
            raise TokenRefused(
                self._name, problem, self._service.token_step, server_message=said, status=status, code=code
            )
        if 300 <= status < 400:
            target = self._redact(headers.get("Location", "nowhere"))[:_LONGEST_MESSAGE]
            step = f"Set {self._service.address_setting} to the new address."
            raise Refused(self._name, problem, step, server_message=f"moved to {target}", status=status)
        step = f"Check {self._service.address_setting} and the paths." if status == MISSING else ""
        raise Refused(self._name, problem, step, server_message=said, status=status, code=code)

    def _retry_after(self, headers: Mapping[str, str]) -> float:
        # A date is told by the service's own clock.
        now = read_http_date(headers.get("Date"))
        return _read_retry_after(headers.get("Retry-After"), self._clock.now() if now is None else now)

    def _words(self, call: Call, body: Mapping[str, Any]) -> str:
        """What the service itself said in *body*, fit to be shown: its code and its message."""
        nested = body.get("error")  # Firebase's errors stand one level deeper.
        body = nested if isinstance(nested, dict) else body
        said = [str(body[key]) for key in ("error_code", "code", "message") if isinstance(body.get(key), str | int)]
        return call.hide(self._redact(": ".join(said)))[:_LONGEST_MESSAGE]

    def _connection_error(self, error: Exception, took: float) -> ServiceError:
        address, setting = self._redact(self._base_url), self._service.address_setting
        if isinstance(error, _NO_ADDRESS):
            return Refused(self._name, f"cannot be called at {address}", f"Check {setting}, and HTTPS_PROXY if set.")
        if distrust := self._distrust(error):
            return Refused(self._name, f"cannot be trusted at {address} ({distrust})", "Check REQUESTS_CA_BUNDLE.")
        if isinstance(error, requests.exceptions.ProxyError):
            problem = f"could not be reached through the proxy at {address}"
            return Unreachable(self._name, problem, "Check HTTPS_PROXY and NO_PROXY. The next run tries again.")
        if isinstance(error, requests.exceptions.ConnectTimeout):
            problem = f"could not be connected to within {min(CONNECT_TIMEOUT, self._timeout):g} s at {address}"
        elif isinstance(error, requests.exceptions.Timeout | urllib3.exceptions.ReadTimeoutError | TimeoutError):
            whole = took >= WHOLE_CALL_TIMEOUT
            late = f"took longer than {WHOLE_CALL_TIMEOUT:g} s for one answer"
            problem = f"{late if whole else f'did not answer within {self._timeout:g} s'} at {address}"
        elif isinstance(reason := _reason(error), _NO_SUCH_HOST):
            problem = f"could not be found at {address}"
        elif isinstance(reason, urllib3.exceptions.NewConnectionError):
            problem = f"refused the connection at {address}"
        else:
            problem = f"broke the connection off at {address}"
        return Unreachable(self._name, problem, f"Is {setting} right and {self._name} up? The next run tries again.")

    def _distrust(self, error: Exception) -> str:
        """Why the service's certificate is not trusted; nothing where that is not the trouble."""
        connection: Connection | None = getattr(self._threads, "connection", None)
        bundle = connection.trusted if connection else None
        if self._base_url.startswith("https:") and isinstance(bundle, str) and not _holds_certificates(bundle):
            return f"{bundle} holds no certificate"
        cause = getattr(_reason(error), "args", (None,))[0]
        return cause.verify_message if isinstance(cause, ssl.SSLCertVerificationError) else ""

    def _connection(self) -> Connection:
        connection: Connection | None = getattr(self._threads, "connection", None)
        if connection is None:
            connection = Connection(self._base_url, self._clock, WHOLE_CALL_TIMEOUT)
            self._threads.connection = connection
        return connection


def post(
    url: str, body: bytes, headers: Mapping[str, str], clock: Clock, seconds: float, *, method: str = "POST"
) -> str:
    """Sends it once, with the login that the address may hold; *seconds* to connect, and for the answer.

    Returns what went wrong in few words, none of them the address.
    """
    parts, login = urlsplit(url), {}
    if parts.username is not None:
        user_and_password = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        login["Authorization"] = f"Basic {b64encode(user_and_password.encode()).decode()}"
    try:
        with closing(Connection(urldefragauth(url), clock, seconds)) as connection:
            answer = connection.send(method, "", {}, {**headers, **login}, body, (seconds, seconds))
            answer.close()
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        return type(error).__name__
    return "" if 200 <= answer.status_code < 300 else f"it answered {answer.status_code}"


def read_http_date(text: str | None) -> float | None:
    """Unix seconds of an HTTP date, which is UTC where it names no zone; None when it is none."""
    try:
        moment = parsedate_to_datetime(text or "")
    except (ValueError, OverflowError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _read_retry_after(text: str | None, now: float) -> float:
    """Seconds to wait, from `Retry-After` as seconds or as a date; 0 for nonsense, and more than a day is nonsense."""
    if text and text.strip().isdecimal():
        wait = float(text)
    else:
        date = read_http_date(text)
        wait = 0.0 if date is None else date - now
    return wait if 0 < wait <= _LONGEST_RETRY_AFTER else 0.0


def _growing_waits() -> Iterator[float]:
    """Seconds between tries: about 0.5, 1, 2, 4, never quite the same."""
    import backoff  # Slow to load, and most runs need no second try.

    return (wait * random.uniform(0.75, 1.25) for wait in backoff.expo(base=2, factor=_FIRST_WAIT) if wait is not None)


def _reason(error: Exception) -> object:
    """What requests has wrapped, twice."""
    return getattr(error.args[0], "reason", None) if error.args else None


def _holds_certificates(bundle: str) -> bool:
    """Whether what REQUESTS_CA_BUNDLE names can be used: a directory, or a file with certificates."""
    try:
        ssl.create_default_context(cafile=None if Path(bundle).is_dir() else bundle)
    except OSError:
        return False
    return True


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _times(count: int) -> str:
    return {2: "twice", 3: "three times", 4: "four times", 5: "five times"}.get(count, f"{count} times")
