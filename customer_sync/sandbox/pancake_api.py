"""Pancake over HTTP: list the customers of a page, list a user's pages, make a page access token."""

from collections.abc import Mapping
from dataclasses import replace

from customer_sync.sandbox.behaviour import Behaviour, TokenRefusal
from customer_sync.sandbox.call import Answer, Call, Endpoint, json_answer
from customer_sync.sandbox.limits import Limits
from customer_sync.sandbox.pancake import ListAnswer, ListRequest, Pancake
from customer_sync.sandbox.token_lives import TokenLives

MAX_PAGE_SIZE = 100
_ORDERS = {"updated_at": "updated_at_us", "inserted_at": "inserted_at_us"}

INVALID_PARAMETER = 100
WRONG_KIND_OF_TOKEN = 102
USER_TOKEN_EXPIRED = 103
TOKEN_RENEWED_ELSEWHERE = 105
INVALID_TOKEN = 106
NO_PERMISSION = 107
TOO_MANY_REQUESTS = 429


class PancakeError(Exception):
    """Pancake's error: HTTP 200 with an error code."""

    def __init__(self, error_code: int, message: str) -> None:
        super().__init__(message)
        self.error_code = error_code

    def answer(self) -> Answer:
        """The error JSON."""
        return json_answer({"success": False, "error_code": self.error_code, "message": str(self)})


class PancakeHttpError(PancakeError):
    """The same as an HTTP status."""

    def answer(self) -> Answer:
        """The error JSON, without a code."""
        return _failure(self.error_code, str(self))


class PancakeApi:
    """Answers calls from Pancake's data."""

    name = "pancake"
    prefix = "/pancake/api"

    def __init__(self, pancake: Pancake, behaviour: Behaviour, limits: Limits, lives: TokenLives) -> None:
        self._pancake = pancake
        self._behaviour = behaviour
        self._limits = limits
        self._lives = lives

    @property
    def latency(self) -> float:
        """Seconds before every answer."""
        return self._behaviour.pancake_latency

    @property
    def clock_offset(self) -> float:
        """Seconds that the clock is ahead."""
        return self._behaviour.pancake_clock_offset + self._behaviour.pancake_date_offset

    def endpoints(self) -> list[Endpoint]:
        """Every call of Pancake."""
        return [
            Endpoint("GET", "/public_api/v1/pages/{page_id}/page_customers", self._list_customers),
            Endpoint("GET", "/v1/pages", self._list_pages),
            Endpoint("POST", "/v1/pages/{page_id}/generate_page_access_token", self._make_page_token),
        ]

    def answer(self, endpoint: Endpoint, call: Call) -> Answer:
        """Answers a call, with an error if need be."""
        if not self._limits.pancake(call.path.get("page_id", "")):
            return self._too_many_requests()
        try:
            return endpoint.answer(call)
        except PancakeError as error:
            return error.answer()

    def failure(self, status: int, message: str) -> Answer:
        """An error of the server."""
        return _failure(status, message)

    def _too_many_requests(self) -> Answer:
        kind = PancakeHttpError if self._behaviour.pancake_429 == "status" else PancakeError
        answer = kind(TOO_MANY_REQUESTS, "Too many requests").answer()
        retry_after = self._behaviour.pancake_retry_after
        return answer if retry_after is None else replace(answer, headers=(("Retry-After", retry_after),))

    def _list_customers(self, call: Call) -> Answer:
        page_id = call.path["page_id"]
        self._check_page_token(page_id, call.query.get("page_access_token"))
        request = self._list_request(page_id, call.query)
        listed = self._pancake.list_customers(request)
        if self._behaviour.changes_per_list:
            self._pancake.change_behind(page_id, listed.last_time, self._behaviour.changes_per_list)
        return Answer(self._list_text(listed), delay=request.offset * self._behaviour.deep_page_cost)

    def _list_text(self, listed: ListAnswer) -> str:
        total = f'"total":{listed.total},' if self._behaviour.total else ""
        return f'{{"success":true,{total}"customers":[{",".join(listed.customers)}]}}'

    def _list_request(self, page_id: str, query: Mapping[str, str]) -> ListRequest:
        order_by = query.get("order_by", "inserted_at")
        if order_by not in _ORDERS:
            raise PancakeError(INVALID_PARAMETER, "order_by is invalid")
        return ListRequest(
            page_id=page_id,
            since=_whole_number(query, "since", 0),
            until=_whole_number(query, "until", 0),
            page_number=_whole_number(query, "page_number", 1),
            page_size=self._page_size(query),
            order=_ORDERS[order_by],
        )

    def _page_size(self, query: Mapping[str, str]) -> int:
        asked = _whole_number(query, "page_size", 1) if "page_size" in query else MAX_PAGE_SIZE
        cut = self._behaviour.page_size_cut
        if cut is not None:
            return min(asked, cut)
        if asked > MAX_PAGE_SIZE:
            raise PancakeError(INVALID_PARAMETER, f"page_size must be at most {MAX_PAGE_SIZE}")
        return asked

    def _check_page_token(self, page_id: str, token: str | None) -> None:
        if not token or token != self._pancake.page_token(page_id) or not self._lives.spend(token):
            error_code, message = self._page_token_error(page_id, token)
            raise _refused_token(self._behaviour.page_token_refusal, error_code, message)

    def _page_token_error(self, page_id: str, token: str | None) -> tuple[int, str]:
        if not token:
            return INVALID_TOKEN, "page_access_token is missing"
        if self._pancake.is_user_token(token):
            return WRONG_KIND_OF_TOKEN, "page_access_token is a user's access_token"
        page_of_token = self._pancake.page_of_token(token)
        if page_of_token is None:
            return INVALID_TOKEN, "page_access_token is invalid"
        if page_of_token != page_id:
            return NO_PERMISSION, "page_access_token is for another page"
        return TOKEN_RENEWED_ELSEWHERE, "page_access_token was renewed"

    def _list_pages(self, call: Call) -> Answer:
        """The pages of the token's user; each has its token where that is shown, and valid."""
        token = call.query.get("access_token")
        if not (token and self._pancake.is_user_token(token) and self._lives.spend(token)):
            raise _refused_token(self._behaviour.user_token_refusal, *self._user_token_error("", token))
        pages = []
        for page_id in self._pancake.page_ids():
            if self._pancake.user_token(page_id) == token:
                present = self._pancake.page_token(page_id)
                shown = self._behaviour.shows_page_tokens and present and self._lives.left.get(present) != 0
                pages.append({"id": page_id, "settings": {"page_access_token": present} if shown else {}})
        return json_answer({"success": True, "categorized": {"activated": pages, "inactivated": []}})

    def _make_page_token(self, call: Call) -> Answer:
        page_id, token = call.path["page_id"], call.query.get("access_token")
        self._check_user_token(page_id, token)
        return json_answer({"success": True, "page_access_token": self._pancake.make_page_token(page_id)})

    def _check_user_token(self, page_id: str, token: str | None) -> None:
        if not token or token != self._pancake.user_token(page_id) or not self._lives.spend(token):
            error_code, message = self._user_token_error(page_id, token)
            raise _refused_token(self._behaviour.user_token_refusal, error_code, message)

    def _user_token_error(self, page_id: str, token: str | None) -> tuple[int, str]:
        if token and self._pancake.page_of_token(token) is not None:
            return WRONG_KIND_OF_TOKEN, "access_token is a page_access_token"
        if page_id and token and self._pancake.is_user_token(token) and token != self._pancake.user_token(page_id):
            return NO_PERMISSION, "access_token is for another page's user"
        return USER_TOKEN_EXPIRED, "access_token has expired"


def _refused_token(refusal: TokenRefusal | None, error_code: int, message: str) -> PancakeError:
    """The error that the behaviour sets, else the fitting one."""
    if refusal in (401, 403):
        return PancakeHttpError(refusal, message)
    return PancakeError(refusal or error_code, message)


def _failure(status: int, message: str) -> Answer:
    return json_answer({"success": False, "message": message}, status)


def _whole_number(query: Mapping[str, str], name: str, low: int) -> int:
    text = query.get(name)
    if not text:
        raise PancakeError(INVALID_PARAMETER, f"{name} is missing")
    if not (text.isascii() and text.isdigit() and len(text) <= 11 and int(text) >= low):
        raise PancakeError(INVALID_PARAMETER, f"{name} is invalid")
    return int(text)
