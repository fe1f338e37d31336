"""The token of one page's customers in Pancake.

A new one kills the old one everywhere, for every program that shares it. So one is made only when it is missing or
refused, by one program at a time, and only when no other program has renewed it; then it is stored in FolkForm.
"""

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Protocol

from customer_sync.core.errors import ContractBroken, ServiceError, TokenRefused
from customer_sync.core.page import Page
from customer_sync.http.rate_limiter import AdaptiveRateLimiter
from customer_sync.http.redact import Redactor
from customer_sync.http.service import path_segment
from customer_sync.http.session import Access, ApiSession, Call
from customer_sync.services.pancake import SERVICE, blocked_by_proxy

log = logging.getLogger(__name__)

_RENEW_USER_TOKEN = "Renew the user token at pages.fm → Account → Advanced and"


class PageRecords(Protocol):
    """Where page tokens are kept."""

    def page(self, page_id: str) -> Page: ...

    def store_page_token(self, page_id: str, token: str) -> None: ...


@dataclass(frozen=True, slots=True)
class RenewalDisabled:
    """Why no token can be made, and what to do instead."""

    reason: str
    next_step: str


NO_USER_TOKEN = RenewalDisabled(
    "there is no user token to make one",
    "Store a page token or a user token in FolkForm's page record, or set PANCAKE_ACCESS_TOKEN.",
)


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
        *,
        user_token: str | None = None,
        renewal_disabled: RenewalDisabled | None = None,
        renews: bool = True,
    ) -> None:
        """*lock* keeps other processes from renewing it; *user_token* is used where the page record holds none.

        Without *renews* the error of a refused token is raised as it comes.
        """
        super().__init__(limiter)
        self._page_id = page.page_id
        self._session = session
        self._records = records
        self._redact = redact
        self._lock = lock
        self._user_token = user_token
        self._renewal_disabled = renewal_disabled
        self._renews = renews
        self._renewing = threading.Lock()
        self._current = page.page_access_token
        self._made: str | None = None
        self._refused: set[str] = set()
        self._renewal_error: ServiceError | None = None

    def prepare(self, call: Call) -> Call:
        token = self._current or self._renew("", "")
        return replace(call, params={"page_access_token": token, **call.params})

    def recover(self, call: Call, error: ServiceError) -> bool:
        if not self._renews or not isinstance(error, TokenRefused) or blocked_by_proxy(error):
            return False
        self._renew(call.params["page_access_token"], error.server_message)
        return True

    def _renew(self, refused: str, server_message: str) -> str:
        """Another token than the one that Pancake *refused* with this message.

        Raises TokenRefused with the next step when there is none to be had.
        """
        with self._renewing:
            if self._current == refused and self._renewal_error is None:
                try:
                    with self._lock():
                        self._current = self._another_than(refused, server_message)
                except ServiceError as error:
                    self._renewal_error = error
            if self._current == refused and self._renewal_error is not None:
                raise self._renewal_error
            return self._current

    def _another_than(self, refused: str, server_message: str) -> str:
        self._refused |= {"", refused}
        record = self._records.page(self._page_id)
        self._redact.add(record.page_access_token, record.access_token)
        if record.page_access_token not in self._refused:
            log.debug("page %s: FolkForm holds a newer token", self._page_id)
            return record.page_access_token
        # Another machine may have made one meanwhile, which kills ours; where none has, a new one cannot help.
        if self._made in self._refused:
            problem = f"refuses the new token of page {self._page_id}, too"
            step = "Check the permissions of the page and of the user in Pancake."
            raise TokenRefused(SERVICE, problem, step, server_message=server_message)
        problem = f"{'refuses the' if refused else 'needs a'} token of page {self._page_id}"
        token = self._made = self._make(problem, server_message, record.access_token)
        self._redact.add(token)
        try:
            self._records.store_page_token(self._page_id, token)
        except ServiceError as error:
            error.problem += f" when the new token of page {self._page_id} was stored"
            raise
        log.info("page %s: Pancake made a new page token, now stored in FolkForm", self._page_id)
        return token

    def _make(self, problem: str, server_message: str, records_token: str) -> str:
        """A new token, made from *records_token*, the user token of the page record, or from the one given."""
        user_token = records_token or self._user_token or ""
        if obstacle := self._renewal_disabled or (None if user_token else NO_USER_TOKEN):
            problem, step = f"{problem}, and {obstacle.reason}", obstacle.next_step
            raise TokenRefused(SERVICE, problem, step, server_message=server_message)
        try:
            return self._request_token(user_token)
        except TokenRefused as error:
            problem += ", and the user token that should make a new one"
            where = "store it in FolkForm's page record" if records_token else "set PANCAKE_ACCESS_TOKEN to it"
            step = f"{_RENEW_USER_TOKEN} {where}."
            raise TokenRefused(SERVICE, problem, step, server_message=error.server_message) from None
        except ServiceError as error:
            error.problem += f" when a new token of page {self._page_id} was made"
            raise

    def _request_token(self, user_token: str) -> str:
        """A new page token; the old one is dead from now on."""
        path = f"/v1/pages/{path_segment(self._page_id)}/generate_page_access_token"
        call = Call("POST", path, {"access_token": user_token}, page_id=self._page_id)
        token = self._session.call(call, Access(self.limiter)).body.get("page_access_token")
        if not isinstance(token, str) or not token:
            raise ContractBroken(SERVICE, "made a page token and did not return it")
        return token
