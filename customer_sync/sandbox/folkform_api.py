"""FolkForm over HTTP: its calls, their permissions and the rate limit."""

import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from customer_sync.sandbox.auth_calls import AuthCalls, wrong_role
from customer_sync.sandbox.behaviour import Behaviour
from customer_sync.sandbox.call import Answer, Call, Endpoint
from customer_sync.sandbox.customer_calls import CustomerCalls
from customer_sync.sandbox.envelope import NOT_FOUND, SYSTEM, FolkFormError, ServerError, refused, success
from customer_sync.sandbox.folkform import EmptyFolkForm, FolkForm
from customer_sync.sandbox.limits import Limits
from customer_sync.sandbox.page_calls import PageCalls
from customer_sync.sandbox.token_lives import TokenLives

_Calls = TypeVar("_Calls", CustomerCalls, PageCalls)
_MAX_HEAD_SIZE = 4096
_MAX_BODY_SIZE = 10 * 2**20
_PATH, _FB_PATH, _HEALTH = "/customer", "/fb-customer", "/system/health"
_INSERT, _READ, _UPDATE, _DELETE = (f"Customer.{verb}" for verb in ("Insert", "Read", "Update", "Delete"))


class FolkFormApi:
    """Answers calls from FolkForm's data; for a wrong role that is not rejected, from an empty FolkForm."""

    name = "folkform"
    prefix = "/folkform/api/v1"

    def __init__(
        self,
        folkform: FolkForm,
        other: FolkForm,
        empty: EmptyFolkForm,
        behaviour: Behaviour,
        limits: Limits,
        lives: TokenLives,
    ) -> None:
        """*other* is the second collection of a server with two."""
        self._behaviour = behaviour
        self._limits = limits
        self._auth = AuthCalls(folkform, behaviour, lives)
        self._main, self._other, self._empty = (CustomerCalls(data, behaviour) for data in (folkform, other, empty))
        self._pages = (PageCalls(folkform, behaviour), PageCalls(empty, behaviour))

    @property
    def latency(self) -> float:
        """Seconds before every answer."""
        return self._behaviour.folkform_latency

    @property
    def clock_offset(self) -> float:
        """Seconds that the clock is ahead."""
        return 0.0

    def endpoints(self) -> list[Endpoint]:
        """Every call of FolkForm; the last one matches all unknown paths."""
        return [
            *(endpoint for path in (_PATH, _FB_PATH) for endpoint in self._customer_endpoints(path)),
            *self._page_endpoints("/facebook/page"),
            Endpoint("GET", "/auth/roles", self._auth.roles),
            Endpoint("POST", "/auth/login/firebase", self._auth.sign_in),
            Endpoint("GET", _HEALTH, lambda _call: success('{"status":"healthy"}')),
            Endpoint(None, "/{path:path}", _no_such_path),
        ]

    def _customer_endpoints(self, path: str) -> list[Endpoint]:
        def endpoint(
            method: str, name: str, answer: Callable[[CustomerCalls, Call], Answer], *permissions: str
        ) -> Endpoint:
            def mounted(call: Call) -> Answer:
                if (calls := self._collections().get(path)) is None:
                    return _no_such_path(call)
                return self._guarded((calls, self._empty), answer, *permissions)(call)

            return Endpoint(method, path + name, mounted)

        return [
            endpoint("POST", "/upsert-one", CustomerCalls.upsert_one, _INSERT, _UPDATE),
            endpoint("POST", "/insert-one", CustomerCalls.insert_one, _INSERT),
            endpoint("POST", "/insert-many", CustomerCalls.insert_many, _INSERT),
            endpoint("GET", "/find", CustomerCalls.find, _READ),
            endpoint("GET", "/find-one", CustomerCalls.find_one, _READ),
            endpoint("GET", "/find-by-id/{id}", CustomerCalls.find_by_id, _READ),
            endpoint("GET", "/find-with-pagination", CustomerCalls.find_with_pagination, _READ),
            endpoint("GET", "/count", CustomerCalls.count, _READ),
            endpoint("PUT", "/update-by-id/{id}", CustomerCalls.update_by_id, _UPDATE),
            endpoint("DELETE", "/delete-by-id/{id}", CustomerCalls.delete_by_id, _DELETE),
        ]

    def _collections(self) -> dict[str, CustomerCalls]:
        """The collection of each customer path."""
        if self._behaviour.customer_path:
            return {self._behaviour.customer_path: self._main}
        if self._behaviour.server == "2025-12":
            return {_PATH: self._main, _FB_PATH: self._other}
        return {_FB_PATH: self._main}

    def _page_endpoints(self, path: str) -> list[Endpoint]:
        def endpoint(method: str, name: str, answer: Callable[[PageCalls, Call], Answer]) -> Endpoint:
            return Endpoint(method, path + name, self._guarded(self._pages, answer))

        return [
            endpoint("GET", "/find-with-pagination", PageCalls.find_with_pagination),
            endpoint("GET", "/find-by-page-id/{page_id}", PageCalls.find_by_page_id),
            endpoint("PUT", "/update-token", PageCalls.update_token),
        ]

    def answer(self, endpoint: Endpoint, call: Call) -> Answer:
        """Answers a call, with an error if need be, and with the rate limit's headers."""
        answer = self._answer(endpoint, call)
        return replace(answer, headers=(*answer.headers, ("X-Request-Id", str(uuid.uuid4()))))

    def failure(self, status: int, message: str) -> Answer:
        """The envelope of an error of the server."""
        code = {404: NOT_FOUND}.get(status, SYSTEM if status >= 500 else f"HTTP_{status}")
        return refused(ServerError(status, code, message))

    def _answer(self, endpoint: Endpoint, call: Call) -> Answer:
        allowance = None if endpoint.template == _HEALTH else self._limits.folkform(call.client)
        if allowance is None:
            return self._answered(endpoint, call)
        if not allowance.granted:
            return replace(refused(ServerError(429, "BIZ_002", "Quá nhiều yêu cầu")), headers=allowance.headers)
        return replace(self._answered(endpoint, call), headers=allowance.headers)

    def _answered(self, endpoint: Endpoint, call: Call) -> Answer:
        try:
            if call.head_size > _MAX_HEAD_SIZE:
                raise ServerError(431, SYSTEM, "Request Header Fields Too Large")
            if len(call.body) > _MAX_BODY_SIZE and self._behaviour.server == "2025-12":
                raise ServerError(413, SYSTEM, "Request Entity Too Large")
            return endpoint.answer(call)
        except FolkFormError as error:
            return refused(error)

    def _guarded(
        self, calls: tuple[_Calls, _Calls], answer: Callable[[_Calls, Call], Answer], *permissions: str
    ) -> Callable[[Call], Answer]:
        """The function *answer*, after a check of *permissions* and role; the second of *calls* is for a wrong role."""
        everything, nothing = calls
        writes = any(permission != _READ for permission in permissions)

        def checked(call: Call) -> Answer:
            access = self._auth.access(call)
            has_role = self._auth.has_role(access, call)
            for permission in permissions:
                if permission not in access.permissions:
                    raise FolkFormError(403, "AUTH_003", f"Không có quyền {permission}")
            if writes and not has_role:
                raise wrong_role(call.headers.get("x-active-role-id"), [role.role_id for role in access.roles])
            return answer(everything if has_role else nothing, call)

        return checked


def _no_such_path(call: Call) -> Answer:
    raise ServerError(404, NOT_FOUND, f"Cannot find {call.target.partition('?')[0]}")
