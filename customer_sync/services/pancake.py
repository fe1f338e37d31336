"""Pancake, where the customers come from: the list of one page's customers.

Facts: `public_api/v1/pages/{page_id}/page_customers` of Pancake's public documentation. Every token travels in
the query string; a refusal as often comes with HTTP 200 and `"success": false` as with an HTTP error.
"""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from customer_sync.core.customer import read_identifier
from customer_sync.core.errors import ContractBroken, Refused, TokenRefused, Unreachable
from customer_sync.core.stored_value import INT64, kept_text
from customer_sync.http.rate_limiter import AdaptiveRateLimiter
from customer_sync.http.service import Answer, path_segment
from customer_sync.http.session import Access, ApiSession, Call

SERVICE = "Pancake"
LARGEST_PAGE_SIZE = 100
_WRONG_KIND = "102"
_TOKEN_CODES = frozenset({_WRONG_KIND, "103", "105", "106", "107"})
READ_LESS = "Set CUSTOMER_SYNC_PAGE_SIZE to a number below 100."
RENEW_TOKEN = "Renew the page's token in Pancake (Settings → Tools) and store it in FolkForm."


@dataclass(frozen=True, slots=True)
class CustomerList:
    """One answer of Pancake's list."""

    customers: list[Any]
    """As Pancake sent them, of any type."""
    total: int | None
    """The number of customers in the window; None when Pancake sent none."""
    date: float | None
    """Pancake's clock, Unix seconds."""


class PancakeClient:
    """Lists the customers of one page."""

    def __init__(self, session: ApiSession, page_id: str, access: Access) -> None:
        """*access* has the page's token and pace."""
        self._session = session
        self._page_id = page_id
        self._access = access

    @property
    def clock_ahead(self) -> float | None:
        """How far Pancake's clock is ahead of ours, seconds; None while unknown."""
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
        path = f"/public_api/v1/pages/{path_segment(self._page_id)}/page_customers"
        answer = self._session.call(Call("GET", path, params, page_id=self._page_id), self._access)
        customers, total = answer.body.get("customers"), answer.body.get("total")
        if not isinstance(customers, list):
            raise ContractBroken(SERVICE, 'answered without a list "customers"')
        self._refuse_another_page(customers)
        return CustomerList(customers, _read_total(total), answer.date)

    def present_token(self, user_token: str) -> str:
        """The token of this page in the list of the user's pages; empty where it shows none. Raises as above."""
        return present_token(self._session, self._access.limiter, self._page_id, user_token)

    def _refuse_another_page(self, customers: list[Any]) -> None:
        """A stray customer is malformed; with more than half of them, the list is that of another page."""
        named = (row.get("page_id") if isinstance(row, dict) else None for row in customers)
        others = [other for one in named if one and (other := read_identifier(one)) != self._page_id]
        if len(others) > len(customers) / 2:
            problem = f"listed customers of page {others[0]} for page {self._page_id}"
            raise ContractBroken(SERVICE, problem, "Check the page token in FolkForm's page record.")


def present_token(session: ApiSession, limiter: AdaptiveRateLimiter, page_id: str, user_token: str) -> str:
    """The token of a page in Pancake's list of a user's pages; empty where it shows none. To read it costs no other
    program its token.
    """
    call = Call("GET", "/v1/pages", {"access_token": user_token}, page_id=page_id)
    categorized = session.call(call, Access(limiter)).body.get("categorized")
    pages = categorized.get("activated") if isinstance(categorized, dict) else None
    for page in pages if isinstance(pages, list) else []:
        settings = page.get("settings") if isinstance(page, dict) and page.get("id") == page_id else None
        token = settings.get("page_access_token") if isinstance(settings, dict) else None
        if isinstance(token, str) and kept_text(token) == token:
            return token
    return ""


def _read_total(total: Any) -> int | None:
    """The total as a count; None where there is none. Raises ContractBroken for one that nothing can count to."""
    if type(total) is not int or total < 0:
        return None
    if total not in INT64:
        raise ContractBroken(SERVICE, f"answered with a total of {total.bit_length()} bits")
    return total


def blocked_by_proxy(error: TokenRefused) -> bool:
    """Whether a 401 or 403 without a message came from a proxy: a new token would not help."""
    return error.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN) and not error.server_message


def refusal_of(error: TokenRefused) -> str:
    """Pancake's code of a refusal, else the HTTP status. What a code means differs, and messages vary."""
    code = error.server_message.partition(":")[0]
    return code if code.isdecimal() else str(error.status)


def is_user_token(error: TokenRefused) -> bool:
    """Whether Pancake refused a page's token because it is a user's."""
    return error.server_message.startswith(f"{_WRONG_KIND}:")


def check_envelope(answer: Answer) -> None:
    """Raises the error that `"success": false` means."""
    body = answer.body
    if body.get("success") is True:
        return
    if body.get("success") is not False:
        raise ContractBroken(SERVICE, 'answered without "success"', "Check PANCAKE_BASE_URL.")
    code = str(body.get("error_code", ""))
    if code == "429":
        raise Unreachable(SERVICE, "answered too many requests", too_many=True)
    if code in _TOKEN_CODES:
        raise TokenRefused(SERVICE, "refused the page's token", RENEW_TOKEN)
    if "try again later" in str(body.get("message", "")).lower():
        raise Unreachable(SERVICE, "could not answer")
    raise Refused(SERVICE, "refused the request")
