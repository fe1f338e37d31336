"""The user tokens, with which passes make page tokens: each is asked once for its user's pages, which makes nothing."""

import threading
from concurrent.futures import Future
from dataclasses import dataclass

from customer_sync.core.errors import ServiceError, TokenRefused
from customer_sync.core.page import Page
from customer_sync.services.factory import Services
from customer_sync.services.page_token import RECORD, SETTING
from customer_sync.services.pancake import blocked_by_proxy


@dataclass(frozen=True, slots=True)
class UserTokens:
    """What Pancake says about the user tokens of one page."""

    accepted: str = ""
    """Where the token comes from that can make a page token; empty if none can."""
    present: str = ""
    """The page token that Pancake lists; empty where it lists none."""
    refusals: tuple[str, ...] = ()
    """Why each of the others cannot make one, as a sentence without its full stop."""
    unknown: ServiceError | None = None
    """Why it is not known of one of them."""


class UserTokenCheck:
    """Asks Pancake about user tokens. Threads share it."""

    def __init__(self, services: Services, setting: str | None) -> None:
        """*setting* is the user token for pages whose own is missing or dead."""
        self._services = services
        self._setting = setting
        self._answers: dict[str, Future[dict[str, str]]] = {}
        self._lock = threading.Lock()

    def of(self, page: Page) -> UserTokens:
        """The record's user token first, as a pass uses them. Raises StopRequested."""
        tokens = {page.access_token: RECORD} if page.access_token else {}
        if self._setting:
            tokens.setdefault(self._setting, SETTING)
        accepted, present, refusals, unknown = "", "", [], None
        for token, name in tokens.items():
            try:
                pages = self._pages_of(token)
            except ServiceError as error:
                if not isinstance(error, TokenRefused) or blocked_by_proxy(error):
                    unknown = error
                    continue
                refusals.append(f"{name} was rejected ({error.server_message})")
            else:
                if page.page_id in pages:
                    accepted, present = accepted or name, present or pages[page.page_id]
                else:
                    refusals.append(f"{name} is of a user without this page")
        return UserTokens(accepted, present, tuple(refusals), unknown)

    def _pages_of(self, token: str) -> dict[str, str]:
        with self._lock:
            if is_first := token not in self._answers:
                self._answers[token] = Future()
            answer = self._answers[token]
        if is_first:
            try:
                answer.set_result(self._services.pages_of_user(token))
            except BaseException as error:
                answer.set_exception(error)
        return answer.result()
