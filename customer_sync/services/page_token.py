"""The token that opens one page's customers in Pancake.

Making a new one kills the old one everywhere, for every program that shares it. So it is renewed only when it is
missing or refused, by one at a time, and only when nobody else has renewed it already; then it is stored in FolkForm.
"""

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from customer_sync.core.errors import ServiceError, TokenRefused
from customer_sync.core.page import Page
from customer_sync.http.redact import Redactor

log = logging.getLogger(__name__)

SERVICE = "Pancake"
_RENEW_USER_TOKEN = "Renew the user token at pages.fm → Account → Advanced and"


class PageRecords(Protocol):
    """Where page tokens are kept."""

    def page(self, page_id: str) -> Page: ...

    def store_page_token(self, page_id: str, token: str) -> None: ...


@dataclass(frozen=True, slots=True)
class RenewalDisabled:
    """Why no token may be made, and what to do instead."""

    why: str
    next_step: str


NO_USER_TOKEN = RenewalDisabled(
    "there is no user token to make one",
    "Store a page token or a user token in FolkForm's page record, or set PANCAKE_ACCESS_TOKEN.",
)


class PageToken:
    """The present token of a page. Threads share it."""

    def __init__(
        self,
        page: Page,
        records: PageRecords,
        redact: Redactor,
        lock: Callable[[], AbstractContextManager[object]],
        *,
        user_token: str | None,
        forbidden: RenewalDisabled | None = None,
    ) -> None:
        """*lock* keeps other processes from renewing it, too; *user_token* serves where the record holds none."""
        self._page_id = page.page_id
        self._records = records
        self._redact = redact
        self._lock = lock
        self._user_token = user_token
        self._forbidden = forbidden
        self._renewing = threading.Lock()
        self._current = page.page_access_token
        self._made: str | None = None
        self._refused: set[str] = set()
        self._renewal_error: ServiceError | None = None

    @property
    def current(self) -> str:
        """The token to use; empty when there is none."""
        return self._current

    def renew(self, refused: str, server_message: str, make: Callable[[str], str]) -> str:
        """Another token than the *refused* one, of which Pancake *said* so much. *make* makes one, once, out of a user
        token.

        Raises TokenRefused with the way to a new token when there is none to be had.
        """
        with self._renewing:
            if self._current != refused:
                return self._current
            if self._renewal_error is None:
                try:
                    with self._lock():
                        self._current = self._another_than(refused, server_message, make)
                except ServiceError as error:
                    self._renewal_error = error
            if self._renewal_error is not None:
                raise self._renewal_error
            return self._current

    def _another_than(self, refused: str, server_message: str, make: Callable[[str], str]) -> str:
        self._refused |= {"", refused}
        record = self._records.page(self._page_id)
        self._redact.add(record.page_access_token, record.access_token)
        if record.page_access_token not in self._refused:
            log.debug("page %s: FolkForm holds a newer token", self._page_id)
            return record.page_access_token
        # Another machine may have made one meanwhile, which kills ours; where none has, no new one can help.
        if self._made in self._refused:
            problem = f"refuses the new token of page {self._page_id}, too"
            raise TokenRefused(
                SERVICE, problem, "Check in Pancake what the page and the user may do.", server_message=server_message
            )
        trouble = f"refuses the token of page {self._page_id}" if refused else f"needs a token of page {self._page_id}"
        token = self._made = self._make(trouble, server_message, record.access_token, make)
        try:
            self._records.store_page_token(self._page_id, token)
        except ServiceError as error:
            error.problem += f" when it was to store the new token of page {self._page_id}"
            raise
        log.info("page %s: Pancake made a new page token, which is stored in FolkForm", self._page_id)
        return token

    def _make(self, trouble: str, server_message: str, users_own: str, make: Callable[[str], str]) -> str:
        """*users_own* is the user token of the page record; empty when it holds none."""
        if self._forbidden:
            raise TokenRefused(
                SERVICE,
                f"{trouble}, and {self._forbidden.why}",
                self._forbidden.next_step,
                server_message=server_message,
            )
        user_token = users_own or self._user_token
        if not user_token:
            raise TokenRefused(
                SERVICE, f"{trouble}, and {NO_USER_TOKEN.why}", NO_USER_TOKEN.next_step, server_message=server_message
            )
        try:
            token = make(user_token)
        except TokenRefused as error:
            problem = f"{trouble}, and the user token that should make a new one"
            where = "store it in FolkForm's page record" if users_own else "set PANCAKE_ACCESS_TOKEN to it"
            raise TokenRefused(
                SERVICE, problem, f"{_RENEW_USER_TOKEN} {where}.", server_message=error.server_message
            ) from None
        except ServiceError as error:
            error.problem += f" when it was to make a new token of page {self._page_id}"
            raise
        self._redact.add(token)
        return token
