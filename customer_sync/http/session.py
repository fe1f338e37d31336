"""One call to one service: paced, retried, bounded, redacted, its errors our own."""

import json
import logging
import threading
import zlib
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

import requests
import urllib3

from customer_sync.core.clock import Clock
from customer_sync.core.errors import (
    ContractBroken,
    Refused,
    ServerError,
    ServiceError,
    StopRequested,
    TimeIsUp,
    Unreachable,
)
from customer_sync.core.pii import mask_contacts
from customer_sync.http.answer_watch import AnswerWatch
from customer_sync.http.body import MAX_TEXT, TooLarge, UnknownEncoding, read_body, read_json_object
from customer_sync.http.connection_errors import connection_error
from customer_sync.http.rate_limiter import AdaptiveRateLimiter
from customer_sync.http.redact import Redactor
from customer_sync.http.retry import TRIES, Retries, read_retry_after
from customer_sync.http.service import Answer, Service
from customer_sync.http.status_errors import check_status, doubt_address, with_web_page
from customer_sync.http.transport import BoundedSession

log = logging.getLogger(__name__)

_CONNECT_TIMEOUT = 5.0
_WHOLE_CALL_TIMEOUT = 60.0
_LONG_WAIT = 5.0
_DATES = 15
# A token, a role and a path anew, and a page token that other programs renew, too.
_MAX_RECOVERIES = 8
# How many characters of a message are searched for secrets, and how long a secret may be in any encoding.
_MAX_SEARCHED = 20_000
_LONGEST_SECRET = 10_000


@dataclass(frozen=True, slots=True)
class ServiceCalls:
    """How many requests one service received, and how many of them it answered with a 429."""

    service: str
    calls: int
    too_many: int


@dataclass(frozen=True, slots=True)
class Call:
    """What to ask. *page_id* is the page it is about (None: none), *tries* the highest number of attempts.

    *hide* masks personal data in the service's message. A call that *must_complete* is still made after a stop was
    requested. *tries_on_500* bounds the attempts that meet the service's own 500, where the caller finds out whether
    the 500 is about this one call.
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


class Access:
    """How calls of one kind are made: their pace, what each carries, what to do when one is refused.

    This one is for calls without credentials.
    """

    def __init__(self, limiter: AdaptiveRateLimiter) -> None:
        self.limiter = limiter

    def prepare(self, call: Call) -> Call:
        """*call* as it is sent, with its credentials. Raises ServiceError when there are none to be had."""
        return call

    def recover(self, call: Call, error: ServiceError) -> bool:  # noqa: ARG002
        """Whether the *call* that was sent should be prepared and sent anew, now with other credentials.

        Called with an *error* that no retry helps. May raise a better one instead.
        """
        return False

    def succeeded(self, call: Call) -> None:
        """The *call* that was sent got a good answer."""


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
        tries: int = TRIES,
    ) -> None:
        """*check* raises our error for an answer whose envelope is one; *timeout* is seconds without a byte; *tries*
        bounds the attempts of every call.
        """
        self.requests_by_page: Counter[str | None] = Counter()
        self.too_many = 0
        """How many of them the service answered with a 429, as a status or in its envelope."""
        self.unanswered: Unreachable | None = None
        """Why the last call got no usable answer; None when it got one, or one about itself."""
        self.watch = AnswerWatch(service.name, clock)
        self._has_answered = False
        """Whether an answer was JSON: from then on the address is right."""
        self._clocks_ahead: deque[float] = deque(maxlen=_DATES)
        self._service = service
        self._base_url = service.base_url.rstrip("/")
        self._check = check
        self._clock = clock
        self._redact = redact
        self._timeout = timeout
        self._tries = tries
        self._counting = threading.Lock()
        self._threads = threading.local()

    def call(self, call: Call, access: Access) -> Answer:
        """The service's answer, retried while that can help.

        Raises Unreachable when the attempts are used up, what the envelope's check raises, and StopRequested.
        """
        sent = access.prepare(call)
        retries, recoveries = self._retries(sent), 0
        while True:
            try:
                answer = self._call_once(sent, access.limiter, retries)
            except ServiceError as error:
                if isinstance(error, Unreachable) and retries.wait(error):
                    continue
                if not self._has_answered:
                    doubt_address(self._service, error)
                recoveries += 1
                if not access.recover(sent, error) or recoveries > _MAX_RECOVERIES:
                    raise
                sent = access.prepare(call)
                retries = self._retries(sent)
            else:
                access.succeeded(sent)
                return answer

    @property
    def clock_ahead(self) -> float | None:
        """How far the service's clock is ahead of ours, seconds; None while unknown.

        The median of the last answers: a single wrong Date does not count.
        """
        ahead = sorted(self._clocks_ahead.copy(), key=abs)
        return ahead[(len(ahead) - 1) // 2] if ahead else None

    def _retries(self, call: Call) -> Retries:
        tries = min(call.tries, self._tries)
        return Retries(self._clock, self.watch, tries, call.tries_on_500, must_complete=call.must_complete)

    def _call_once(self, call: Call, limiter: AdaptiveRateLimiter, retries: Retries) -> Answer:
        """One attempt, paced and counted."""
        allowed_at = self._await_turn(call, limiter)
        with self._counting:
            self.requests_by_page[call.page_id] += 1
        try:
            with self.watch.during(retries.attempt):
                answer = self._send(call, limiter)
                self._check_answer(call, answer)
        except Unreachable as error:
            self.unanswered = None if error.too_many or isinstance(error, ServerError) else error
            if error.too_many:
                limiter.too_many(allowed_at)
                with self._counting:
                    self.too_many += 1
            limiter.pause(error.retry_after)
            raise
        finally:
            limiter.ended()
        self.unanswered = None
        limiter.succeeded()
        return answer

    def _await_turn(self, call: Call, limiter: AdaptiveRateLimiter) -> float:
        try:
            self._clock.check()
            return limiter.wait()
        except StopRequested as stop:
            if call.must_complete:  # One call above the service's limit is better than work half done.
                return limiter.take()
            if isinstance(stop, TimeIsUp) and (held_for := limiter.held_for()) > _LONG_WAIT:
                problem = f"{self._service.name} accepts no call for {held_for:.0f} s, longer than the time limit"
                raise TimeIsUp(f"{problem} (--max-runtime)") from None
            raise

    def _send(self, call: Call, limiter: AdaptiveRateLimiter) -> Answer:
        """One request on the wire. Raises ServiceError where no complete answer comes, or a good one without JSON."""
        body, started = self._encode(call.body), self._clock.monotonic()
        timeouts = min(_CONNECT_TIMEOUT, self._timeout), self._timeout
        try:
            with self._session().request(
                call.method,
                self._base_url + call.path,
                params=call.params,
                data=body,
                headers={"Content-Type": "application/json", **(call.headers or {})},
                timeout=timeouts,
                stream=True,
            ) as response:
                limiter.answered(response.headers)
                size, json_object = self._receive(response)
        except TooLarge:
            problem = f"sent an answer larger than {MAX_TEXT >> 20} MiB, or of too many values"
            raise ContractBroken(self._service.name, problem, self._service.too_large_step, too_large=True) from None
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            if self._clock.monotonic() - started >= _WHOLE_CALL_TIMEOUT:
                timeouts = timeouts[0], _WHOLE_CALL_TIMEOUT
            # `from None`: the library's own text contains the address, and with it the token.
            address, is_proven = self._redact(self._base_url), self._has_answered
            raise connection_error(error, self._service, address, timeouts, is_proven=is_proven) from None
        status, took = response.status_code, self._clock.monotonic() - started
        if log.isEnabledFor(logging.DEBUG):
            target = unquote_plus(str(response.request.path_url))  # Not the whole address, which may hold a login.
            line = f"{self._service.name}: {call.method} {target} → {status}, {size} bytes, {took:.3f} s"
            log.debug(self._redact(line))
        self._has_answered = self._has_answered or json_object is not None
        if json_object is None and 200 <= status < 300:
            kind = self._redact(response.headers.get("Content-Type", "no type"))[:60]
            what = with_web_page(response.headers) or f" without a JSON object ({kind})"
            raise Unreachable(self._service.name, f"answered {status}{what}", status=status)
        return Answer(status, response.headers, json_object or {})

    def _receive(self, response: requests.Response) -> tuple[int, dict[str, Any] | None]:
        """Size and JSON object of a body; where the status is an error, it says enough without them."""
        try:
            text = read_body(response)
            return len(text), read_json_object(text)
        except (TooLarge, UnknownEncoding, zlib.error) as error:
            if not 200 <= response.status_code < 300:
                return 0, None
            if isinstance(error, UnknownEncoding):
                problem = f"answered in an encoding that was not asked for ({self._redact(str(error))[:40]})"
                raise ContractBroken(self._service.name, problem) from None
            if isinstance(error, zlib.error):
                raise Unreachable(self._service.name, "sent a broken compressed answer") from None
            raise

    def _check_answer(self, call: Call, answer: Answer) -> None:
        """Raises the error of the status, or else of the envelope, with the service's own message."""
        if (date := answer.date) is not None:
            self._clocks_ahead.append(date - self._clock.now())
        try:
            check_status(self._service, answer, call.path, self._redact)
            self._check(answer)
        except ServiceError as error:
            error.server_message = self._message(call, answer.body)
            if isinstance(error, Unreachable):
                error.retry_after = read_retry_after(answer, self._clock.now())
            raise

    def _message(self, call: Call, body: Mapping[str, Any]) -> str:
        """The service's own code and message, without secrets and personal data."""
        nested = body.get("error")  # Firebase nests its errors.
        body = nested if isinstance(nested, dict) else body
        parts = [str(body[key]) for key in ("error_code", "code", "message") if isinstance(body.get(key), str | int)]
        text = ": ".join(part[: _MAX_SEARCHED + 1] for part in parts)
        shown = self._redact(text[:_MAX_SEARCHED])
        if len(text) > _MAX_SEARCHED:  # The cut may have left a part of a secret at the end.
            shown = f"{shown[:-_LONGEST_SECRET]}…"
        return call.hide(shown)

    def _encode(self, body: Any) -> bytes | None:
        try:
            return None if body is None else json.dumps(body, allow_nan=False).encode()
        except (ValueError, RecursionError):
            problem = "was not called: a number is too large, or the data nested too deeply, for JSON"
            raise Refused(self._service.name, problem) from None

    def _session(self) -> BoundedSession:
        session: BoundedSession | None = getattr(self._threads, "session", None)
        if session is None:
            session = self._threads.session = BoundedSession(self._base_url, self._clock, _WHOLE_CALL_TIMEOUT)
        return session
