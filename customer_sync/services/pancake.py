"""Pancake, where the customers come from: the list of one page's customers.

Facts: `public_api/v1/pages/{page_id}/page_customers` of Pancake's public documentation. Every token travels in
the query string; a refusal as often comes with HTTP 200 and `"success": false` as with an HTTP error.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from customer_sync.core.clock import Clock
from customer_sync.core.errors import ContractBroken, Refused, TokenRefused, Unreachable
from customer_sync.http.rate_limiter import AdaptiveRateLimiter
from customer_sync.http.session import FORBIDDEN, Answer, ApiSession, Call
from customer_sync.services.page_token import SERVICE as SERVICE
from customer_sync.services.page_token import PageToken

LARGEST_PAGE_SIZE = 100
_WRONG_KIND = 102
_TOKEN_CODES = frozenset({_WRONG_KIND, 103, 105, 106, 107})
RENEW_TOKEN = "Renew the page's token in Pancake (Settings → Tools) and store it in FolkForm."


@dataclass(frozen=True, slots=True)
class CustomerList:
    """One answer of Pancake's list."""

    customers: list[Any]
    """As Pancake sent them; anything may stand here."""
    total: int | None
    """How many customers the window holds, None when Pancake did not say."""
    date: float | None
    """Pancake's clock, Unix seconds."""


class PancakeClient:
    """Lists the customers of one page."""

    def __init__(
        self,
        session: ApiSession,
        page_id: str,
        token: PageToken,
        clock: Clock,
        calls_per_second: float,
        *,
        renew: bool = True,
    ) -> None:
        """Without *renew* a token that Pancake refuses is not replaced: TokenRefused is raised as it comes."""
        self._renew = renew
        self._session = session
        self._page_id = page_id
        self._path = f"/pages/{quote(page_id, safe='')}"
        self._token = token
        self._limiter = AdaptiveRateLimiter(clock, calls_per_second)

    @property
    def clock_ahead(self) -> float | None:
        """How far Pancake's clock is ahead of ours, seconds; None while it has not told the time."""
        return self._session.clock_ahead

    def get_customers(
        self, page_number: int, page_size: int, since: int, until: int, order_by: str = "updated_at"
    ) -> CustomerList:
        """One answer of the list, newest first. Pages count from 1; *since* and *until* are Unix seconds, UTC.

        Raises TokenRefused, Refused, Unreachable, and ContractBroken when the answer holds no list.
        """
        params = {
            "page_number": str(page_number),
            "page_size": str(page_size),
            "since": str(since),
            "until": str(until),
            "order_by": order_by,
        }
        answer = self._with_token(f"/public_api/v1{self._path}/page_customers", params)
        customers, total = answer.body.get("customers"), answer.body.get("total")
        if not isinstance(customers, list):
            raise ContractBroken(SERVICE, 'answered without a list "customers"')
        known = isinstance(total, int) and not isinstance(total, bool)
        return CustomerList(customers, total if known else None, answer.date)

    def _with_token(self, path: str, params: dict[str, str]) -> Answer:
        """A call with the page's token, which is renewed when Pancake refuses it, until there is no other one."""

        def ask(token: str) -> Answer:
            call = Call("GET", path, {"page_access_token": token, **params}, page_id=self._page_id)
            return self._session.call(call, self._limiter)

        token, said = self._token.current, ""
        while True:
            if token:
                try:
                    return ask(token)
                except TokenRefused as error:
                    if not self._renew or blocked_by_proxy(error):
                        raise
                    said = error.server_message
            token = self._token.renew(token, said, self._make_page_token)

    def _make_page_token(self, user_token: str) -> str:
        """A new page token; the old one is dead from now on."""
        path = f"/v1{self._path}/generate_page_access_token"
        call = Call("POST", path, {"access_token": user_token}, page_id=self._page_id)
        token = self._session.call(call, self._limiter).body.get("page_access_token")
        if not isinstance(token, str) or not token:
            raise ContractBroken(SERVICE, "made a page token without telling it")
        return token


def blocked_by_proxy(error: TokenRefused) -> bool:
    """Whether a refusal is not Pancake's, for want of its words: a new token would help nobody."""
    return error.status == FORBIDDEN and not error.server_message


def is_user_token(error: TokenRefused) -> bool:
    """Whether Pancake refused a page's token because it is a user's."""
    return error.server_message.startswith(f"{_WRONG_KIND}:")


def check_envelope(answer: Answer) -> None:
    """Raises what `"success": false` means."""
    body = answer.body
    if body.get("success") is True:
        return
    if body.get("success") is not False:
        raise ContractBroken(SERVICE, 'answered without "success"')
    code = str(body.get("error_code", ""))
    if code == "429":
        raise Unreachable(SERVICE, "answered that we ask too often", too_many=True)
    if code.isdecimal() and int(code) in _TOKEN_CODES:
        raise TokenRefused(SERVICE, "refused the page's token", RENEW_TOKEN)
    if "try again later" in str(body.get("message", "")).lower():
        raise Unreachable(SERVICE, "could not answer")
    raise Refused(SERVICE, "refused the request")
