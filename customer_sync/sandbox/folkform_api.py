"""FolkForm over HTTP: its calls, and who may make them, how often."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar, get_args, get_type_hints

from customer_sync.sandbox.auth_calls import AuthCalls, wrong_role
from customer_sync.sandbox.behaviour import Behaviour
from customer_sync.sandbox.call import Answer, Call, Endpoint
from customer_sync.sandbox.customer_calls import CustomerCalls
from customer_sync.sandbox.envelope import FolkFormError, failure, refused
from customer_sync.sandbox.folkform import EmptyFolkForm, FolkForm
from customer_sync.sandbox.limits import Limits
from customer_sync.sandbox.page_calls import PageCalls
from customer_sync.sandbox.token_lives import TokenLives

_Calls = TypeVar("_Calls", CustomerCalls, PageCalls)
_MAX_HEAD_SIZE = 4096
_CUSTOMER_PATHS = get_args(get_type_hints(Behaviour)["customer_path"])
_INSERT, _READ, _UPDATE, _DELETE = (f"Customer.{verb}" for verb in ("Insert", "Read", "Update", "Delete"))


class FolkFormApi:
    """Answers calls out of FolkForm's data; a wrong role's out of none, where it is not refused."""

    name = "folkform"
    prefix = "/folkform/api/v1"

    def __init__(
        self, folkform: FolkForm, empty: EmptyFolkForm, behaviour: Behaviour, limits: Limits, lives: TokenLives
    ) -> None:
        self._behaviour = behaviour
        self._limits = limits
        self._auth = AuthCalls(folkform, behaviour, lives)
        self._customers = (CustomerCalls(folkform, behaviour), CustomerCalls(empty, behaviour))
        self._pages = (PageCalls(folkform), PageCalls(empty))

    @property
    def latency(self) -> float:
        """Seconds before every answer."""
        return self._behaviour.folkform_latency

    @property
    def clock_offset(self) -> float:
        """Seconds that the clock is ahead."""
        return 0.0

    def endpoints(self) -> list[Endpoint]:
        """Every call that FolkForm knows; the customers' under each path that they may be kept at."""
        return [
            *(endpoint for path in _CUSTOMER_PATHS for endpoint in self._customer_endpoints(path)),
            *self._page_endpoints("/facebook/page"),
            Endpoint("GET", "/auth/roles", self._auth.roles),
            Endpoint("POST", "/auth/login/firebase", self._auth.sign_in),
        ]

    def _customer_endpoints(self, path: str) -> list[Endpoint]:
        def endpoint(
            method: str, name: str, answer: Callable[[CustomerCalls, Call], Answer], *permissions: str
        ) -> Endpoint:
            guarded = self._guarded(self._customers, answer, *permissions)
            return Endpoint(method, path + name, self._mounted(path, guarded))

        return [
            endpoint("POST", "/upsert-one", CustomerCalls.upsert_one, _INSERT, _UPDATE),
            endpoint("POST", "/insert-one", CustomerCalls.insert_one, _INSERT),
            endpoint("GET", "/find", CustomerCalls.find, _READ),
            endpoint("GET", "/find-one", CustomerCalls.find_one, _READ),
            endpoint("GET", "/find-by-id/{id}", CustomerCalls.find_by_id, _READ),
            endpoint("GET", "/find-with-pagination", CustomerCalls.find_with_pagination, _READ),
            endpoint("GET", "/count", CustomerCalls.count, _READ),
            endpoint("PUT", "/update-by-id/{id}", CustomerCalls.update_by_id, _UPDATE),
            endpoint("DELETE", "/delete-by-id/{id}", CustomerCalls.delete_by_id, _DELETE),
        ]

    def _page_endpoints(self, path: str) -> list[Endpoint]:
        def endpoint(method: str, name: str, answer: Callable[[PageCalls, Call], Answer]) -> Endpoint:
            return Endpoint(method, path + name, self._guarded(self._pages, answer))

        return [
            endpoint("GET", "/find-with-pagination", PageCalls.find_with_pagination),
            endpoint("GET", "/find-by-page-id/{page_id}", PageCalls.find_by_page_id),
            endpoint("PUT", "/update-token", PageCalls.update_token),
        ]

    def answer(self, endpoint: Endpoint, call: Call) -> Answer:
        """Answers a call, refusals included, and tells how many more there may be."""
        allowance = self._limits.folkform(call.client)
        if allowance is None:
            return self._answer(endpoint, call)
        if not allowance.granted:
            return replace(self.failure(429, "Too many requests"), headers=allowance.headers)
        return replace(self._answer(endpoint, call), headers=allowance.headers)

    def failure(self, status: int, message: str) -> Answer:
        """The envelope of what is nobody's mistake."""
        return failure(status, f"HTTP_{status}", message)

    def _answer(self, endpoint: Endpoint, call: Call) -> Answer:
        try:
            if call.head_size > _MAX_HEAD_SIZE:
                raise FolkFormError(431, "HTTP_431", "Request Header Fields Too Large")
            return endpoint.answer(call)
        except FolkFormError as error:
            return refused(error)

    def _mounted(self, path: str, answer: Callable[[Call], Answer]) -> Callable[[Call], Answer]:
        """The function *answer* while customers are kept at *path*."""

        def checked(call: Call) -> Answer:
            if self._behaviour.customer_path != path:
                raise FolkFormError(404, "HTTP_404", "Not Found")
            return answer(call)

        return checked

    def _guarded(
        self, calls: tuple[_Calls, _Calls], answer: Callable[[_Calls, Call], Answer], *permissions: str
    ) -> Callable[[Call], Answer]:
        """The function *answer* for tokens with all *permissions*, out of the first *calls* for the right role."""
        everything, nothing = calls
        writes = any(permission != _READ for permission in permissions)

        def checked(call: Call) -> Answer:
            access = self._auth.access(call)
            has_role = self._auth.has_role(access, call)
            for permission in permissions:
                if permission not in access.permissions:
                    raise FolkFormError(403, "AUTH_002", f"Permission {permission} is missing")
            if writes and not has_role:
                raise wrong_role()
            return answer(everything if has_role else nothing, call)

        return checked
