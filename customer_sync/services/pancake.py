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
_ACTIVATED = "activated"
_TOKEN_CODES = frozenset({_WRONG_KIND, "103", "105", "106", "107"})
BASE_PATH = "/api"
CHECK_ADDRESS = "Check PANCAKE_BASE_URL: another service seems to be there."
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

    def _refuse_another_page(self, customers: list[Any]) -> None:
        """A stray customer is malformed; with more than half of them, the list is that of another page."""
        named = (row.get("page_id") if isinstance(row, dict) else None for row in customers)
        others = [other for one in named if one and (other := read_identifier(one)) != self._page_id]
        if len(others) > len(customers) / 2:
            problem = f"listed customers of page {others[0]} for page {self._page_id}"
            raise ContractBroken(SERVICE, problem, "Check the page token in FolkForm's page record.")


def pages_of_user(
    session: ApiSession, limiter: AdaptiveRateLimiter, user_token: str, page_id: str | None = None
) -> dict[str, str]:
    """Pancake's list of a user's pages: the token of each, empty where it shows none. To read it makes no token. The
    request counts for *page_id*.

    Raises TokenRefused for the user token, Refused, Unreachable, and ContractBroken when the answer holds no list.
    """
    call = Call("GET", "/v1/pages", {"access_token": user_token}, page_id=page_id)
    categorized = session.call(call, Access(limiter)).body.get("categorized")
    if not isinstance(categorized, dict) or not isinstance(categorized.get(_ACTIVATED), list):
        raise ContractBroken(SERVICE, "answered without a list of the user's pages")
    tokens: dict[str, str] = {}
    # What an inactive page shows may be no present token.
    for category in sorted(categorized, key=lambda name: name == _ACTIVATED):
        pages = categorized[category] if isinstance(categorized[category], list) else []
        for page in (page for page in pages if isinstance(page, dict)):
            if listed := read_identifier(page.get("id")):
                tokens[listed] = _shown_token(page) if category == _ACTIVATED else ""
    return tokens


def _shown_token(page: dict[str, Any]) -> str:
    settings = page.get("settings")
    token = settings.get("page_access_token") if isinstance(settings, dict) else None
    return token if isinstance(token, str) and kept_text(token) == token else ""


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
        raise ContractBroken(SERVICE, 'answered without "success"', CHECK_ADDRESS)
    code = str(body.get("error_code", ""))
    if code == "429":
        raise Unreachable(SERVICE, "answered too many requests", too_many=True)
    if code in _TOKEN_CODES:
        raise TokenRefused(SERVICE, "refused the page's token", RENEW_TOKEN)
    if "try again later" in str(body.get("message", "")).lower():
        raise Unreachable(SERVICE, "could not answer")
    raise Refused(SERVICE, "refused the request")
