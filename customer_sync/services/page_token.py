"""The token of one page's customers in Pancake.

A new one kills the old one everywhere, for every program that shares it. So one is made only when it is missing or
refused, by one program at a time, and only when no other program has renewed it: FolkForm's record and Pancake's list
of pages are read first. Then it is stored in FolkForm. One that is refused, too, is not made again by later runs.
"""

import logging
import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Protocol

from customer_sync.config.settings import place_of
from customer_sync.core.command_line import command
from customer_sync.core.errors import ContractBroken, ServiceError, TokenRefused, Unreachable
from customer_sync.core.page import Page
from customer_sync.core.stored_value import kept_text
from customer_sync.http.rate_limiter import AdaptiveRateLimiter
from customer_sync.http.redact import Redactor
from customer_sync.http.service import path_segment
from customer_sync.http.session import Access, ApiSession, Call
from customer_sync.services.pancake import SERVICE, blocked_by_proxy, pages_of_user, refusal_of
from customer_sync.services.refused_tokens import RefusedTokens

log = logging.getLogger(__name__)

# In one run and for one page: another program that renews it again and again needs no rival.
_MOST_MADE = 3
# The list of a user's pages fails so for good where Pancake no longer has it; that must not bar a new token.
_LASTING = frozenset({500, 501})
_STORE_TOKEN = "Do what Pancake's message says, or store a valid page token in FolkForm's page record."
RECORD, SETTING = "the record's user token", "PANCAKE_ACCESS_TOKEN"


class PageRecords(Protocol):
    """Where page tokens are kept."""

    def page(self, page_id: str) -> Page: ...

    def store_page_token(self, page_id: str, token: str) -> None: ...


@dataclass(frozen=True, slots=True)
class RenewalDisabled:
    """Why no token can be made, and what to do instead."""

    reason: str
    next_step: str


def _keep_user_token() -> str:
    keep = f"set {SETTING} to it in {place_of(SETTING)}, or store it as accessToken in FolkForm's page record"
    return f"at pages.fm → Account → Advanced, and {keep}"


def no_user_token() -> RenewalDisabled:
    """There is nothing to make a page token with."""
    return RenewalDisabled("there is no user token to make one", f"Get one {_keep_user_token()}.")


def renew_user_token() -> str:
    """What to do about a dead user token; the one that is set is used where the record's is dead."""
    return f"Renew the user token {_keep_user_token()}; then run {command('check')}."


def is_passing(error: ServiceError) -> bool:
    """Whether Pancake's list of the user's pages may come later, so that no token is made before."""
    return isinstance(error, Unreachable) and error.status not in _LASTING


PRESENT_ONE_REFUSED = RenewalDisabled("it is the present one, so that a new one would not help", _STORE_TOKEN)
NEW_ONE_REFUSED = RenewalDisabled("refused a new one, too, in an earlier run", _STORE_TOKEN)


class PageToken(Access):
    """Access to one page with its token, which is renewed when it is missing or refused. Threads share it."""

    def __init__(
        self,
        page: Page,
        session: ApiSession,
        limiter: AdaptiveRateLimiter,
        records: PageRecords,
        redact: Redactor,
        lock: Callable[[], AbstractContextManager[object]] = nullcontext,
        unhelpful: RefusedTokens | None = None,
        *,
        user_token: str | None = None,
        renewal_disabled: RenewalDisabled | None = None,
        renews: bool = True,
    ) -> None:
        """*lock* keeps other processes from renewing it; *unhelpful* are the refusals that a new one did not help.
        *user_token* is used where the page record holds none, or a dead one.

        Without *renews* the error of a refused token is raised as it comes.
        """
        super().__init__(limiter)
        self._page_id = page.page_id
        self._session = session
        self._records = records
        self._redact = redact
        self._lock = lock
        self._unhelpful = unhelpful or RefusedTokens()
        self._user_token = user_token
        self._renewal_disabled = renewal_disabled
        self._renews = renews
        self._renewing = threading.Lock()
        self._current = page.page_access_token
        self._made: list[str] = []
        self._accepted: set[str] = set()
        self._refused: dict[str, str] = {}
        """Pancake's refusal of each token, without its words."""
        self._renewal_error: ServiceError | None = None

    def prepare(self, call: Call) -> Call:
        token = self._current or self._renew("", None)
        return replace(call, params={"page_access_token": token, **call.params})

    def recover(self, call: Call, error: ServiceError) -> bool:
        if not self._renews or not isinstance(error, TokenRefused) or blocked_by_proxy(error):
            return False
        self._renew(call.params["page_access_token"], error)
        return True

    def succeeded(self, call: Call) -> None:
        self._accepted.add(call.params["page_access_token"])

    def _renew(self, refused: str, refusal: TokenRefused | None) -> str:
        """Another token than the one that Pancake *refused*; none was sent where there is no *refusal*.

        Raises TokenRefused with the next step when there is none to be had.
        """
        with self._renewing:
            if self._current == refused and self._renewal_error is None:
                if refusal:
                    self._refused[refused] = refusal_of(refusal)
                try:
                    with self._lock():
                        self._current = self._another_than(refused, refusal.server_message if refusal else "")
                except ServiceError as error:
                    self._renewal_error = error
            if self._current == refused and self._renewal_error is not None:
                raise self._renewal_error
            return self._current

    def _another_than(self, refused: str, server_message: str) -> str:
        record = self._records.page(self._page_id)
        self._redact.add(record.page_access_token, record.access_token)
        if self._is_new(record.page_access_token):
            log.debug("page %s: FolkForm holds a newer token", self._page_id)
            return record.page_access_token
        problem = f"{'refuses the' if refused else 'needs a'} token of page {self._page_id}"
        user_tokens = {record.access_token: RECORD} if record.access_token else {}
        if self._user_token:
            user_tokens.setdefault(self._user_token, SETTING)
        present = self._present(user_tokens)
        if not self._is_new(present):
            if obstacle := self._obstacle(refused, present, user_tokens):
                problem, step = f"{problem}, and {obstacle.reason}", obstacle.next_step
                raise TokenRefused(SERVICE, problem, step, server_message=server_message)
            present = self._make(problem, user_tokens)
            self._made.append(present)
            self._redact.add(present)
        if not self._renewal_disabled:
            self._store(present)
        return present

    def _is_new(self, token: str) -> bool:
        """Whether Pancake may accept this *token*."""
        return bool(token) and token not in self._refused

    def _obstacle(self, refused: str, present: str, user_tokens: dict[str, str]) -> RenewalDisabled | None:
        """Why no token is made; None where one is."""
        if self._renewal_disabled:
            return self._renewal_disabled
        if self._made and self._made[-1] not in self._accepted:
            self._unhelpful.add(self._refused)
            return RenewalDisabled("the new one, too", _STORE_TOKEN)
        if len(self._made) == _MOST_MADE:
            reason = f"all {_MOST_MADE} new ones were renewed by another program"
            return RenewalDisabled(reason, "Set CUSTOMER_SYNC_RENEW_TOKENS=0, so that only that program renews it.")
        if present:
            return PRESENT_ONE_REFUSED
        if refused and self._unhelpful.holds(refused, self._refused[refused]):
            return NEW_ONE_REFUSED
        return None if user_tokens else no_user_token()

    def _present(self, user_tokens: Iterable[str]) -> str:
        """The page token that Pancake's list of the user's pages shows; empty where it shows none."""
        for user_token in user_tokens:
            try:
                pages = pages_of_user(self._session, self.limiter, user_token, self._page_id)
            except ServiceError as error:
                if is_passing(error):
                    raise
                log.debug("page %s: Pancake does not list the user's pages: %s", self._page_id, error)
                continue
            if token := pages.get(self._page_id):
                self._redact.add(token)
                return token
        return ""

    def _store(self, token: str) -> None:
        try:
            self._records.store_page_token(self._page_id, token)
        except ServiceError as error:
            error.problem += f" when the new token of page {self._page_id} was stored"
            raise
        how = "made" if token in self._made else "has"
        log.info("page %s: Pancake %s a new page token, now stored in FolkForm", self._page_id, how)

    def _make(self, problem: str, user_tokens: dict[str, str]) -> str:
        """A new token, made with the first of the *user_tokens* that Pancake accepts."""
        refusals: list[str] = []
        for user_token, name in user_tokens.items():
            if refusals:
                log.warning("page %s: %s is refused (%s), trying %s", self._page_id, RECORD, refusals[-1], name)
            try:
                return self._request_token(user_token)
            except TokenRefused as error:
                refusals.append(error.server_message or error.sentence)
            except ServiceError as error:
                error.problem += f" when a new token of page {self._page_id} was made"
                raise
        step, message = renew_user_token(), "; ".join(refusals)
        raise TokenRefused(
            SERVICE, f"{problem}, and the user token that should make a new one", step, server_message=message
        )

    def _request_token(self, user_token: str) -> str:
        """A new page token; the old one is dead from now on."""
        path = f"/v1/pages/{path_segment(self._page_id)}/generate_page_access_token"
        call = Call("POST", path, {"access_token": user_token}, page_id=self._page_id)
        token = self._session.call(call, Access(self.limiter)).body.get("page_access_token")
        if not isinstance(token, str) or not token or kept_text(token) != token:
            raise ContractBroken(SERVICE, "made a page token and did not return it")
        return token
