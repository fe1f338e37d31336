"""How FolkForm is called: signed in, in a role, at the path of its customers, and not again and again while it is down.

Facts: `tests/conformance/`, and `GET /system/health`, which needs no sign-in and is not counted by the limiter.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from customer_sync.core.errors import ContractBroken, Refused, ServerError, ServiceError, TokenRefused, Unreachable
from customer_sync.http.rate_limiter import AdaptiveRateLimiter
from customer_sync.http.session import INTERNAL_ERROR, MISSING, UNAUTHORIZED, Answer, ApiSession, Call
from customer_sync.services.customer_path import CustomerPath
from customer_sync.services.role import ActiveRole, Role, missing_permission, read_roles
from customer_sync.services.sign_in import RENEWED_IN_VAIN, BearerToken

SERVICE = "FolkForm"
CHECK_TOKEN = "Check FOLKFORM_TOKEN, FOLKFORM_ROLE_ID and what that role may do."
_SHORTEST_TOKEN = 20
# A proxy with no server behind it, or a server that fails at everything.
_NOT_UP = (INTERNAL_ERROR, 502, 503, 504)
_NO_ROLE, _WRONG_VALUE = "AUTH_003", "VAL_002"


class FolkFormAccess:
    """Calls FolkForm. Threads share it."""

    def __init__(
        self,
        session: ApiSession,
        limiter: AdaptiveRateLimiter,
        unlimited: AdaptiveRateLimiter,
        *,
        token: BearerToken,
        role_id: str | None,
        customer_path: str | None,
    ) -> None:
        """*unlimited* paces what FolkForm's limit does not count. *role_id* and *customer_path* are found out where
        they are None.
        """
        self.role = ActiveRole(role_id, self.roles)
        self.customer_path = CustomerPath(customer_path)
        self._session = session
        self._limiter = limiter
        self._unlimited = unlimited
        self._token = token
        self._roles: list[Role] | None = None
        self._in_role = False
        """Whether FolkForm has answered in a role: then it is not the role that it finds a wrong value in."""
        self._has_answered = False
        self._down = threading.Event()

    def min_duration(self, calls: int) -> float:
        """How long FolkForm's limit makes so many calls last at least, seconds."""
        return self._limiter.takes(calls)

    def get(self, path: str, params: dict[str, str], *, page_id: str | None = None) -> Any:
        """The `data` of an answer; *about* is the page that it is asked for."""
        return self.data(Call("GET", path, params, page_id=page_id))

    def data(self, call: Call) -> Any:
        """The `data` of an answer. When the tries to read run out, FolkForm counts as down."""
        try:
            return self._answered(call, self._call_in_role).body["data"]
        except Unreachable:
            if call.method == "GET":
                self._down.set()
            raise

    def at_customers(self, call: Call) -> Any:
        """The `data` of an answer to a call whose path begins behind that of the customers."""
        path = self.customer_path.current
        try:
            data = self.data(replace(call, path=path + call.path))
        except Refused as error:
            self.customer_path.replace(path, error, self._exists)
            return self.at_customers(call)
        self.customer_path.exists(path)
        return data

    def _exists(self, path: str) -> bool:
        try:
            self.get(f"{path}/count", {"filter": '{"pageId":""}'})
        except Refused as error:
            if error.status == MISSING:
                return False
            raise
        return True

    def roles(self) -> list[Role] | None:
        """The roles of the token's user, asked once; None where an older server does not know roles."""
        if self._roles is None:
            with suppress(Refused, ContractBroken):
                answer = self._answered(Call("GET", "/auth/roles", {}), self._call_signed_in)
                self._roles = read_roles(answer.body["data"])
        return self._roles

    def take_another_role(self) -> bool:
        """FolkForm shows nothing: it is empty, or we are in a role that sees nothing. Whether another one was taken.

        Raises SettingsError where it is not clear which.
        """
        try:
            roles = self.roles()
        except ServiceError:  # It may well be empty.
            return False
        return bool(roles) and self.role.another_than(self.role.current, roles) is not None

    def ping(self, page_id: str | None) -> None:
        """Asks whether FolkForm is up, once, without a sign-in: its limit does not count that. Any answer will do.

        Raises Unreachable, and counts FolkForm as down, when there is none.
        """
        try:
            self._session.call(Call("GET", "/system/health", {}, page_id=page_id, tries=1), self._unlimited)
        except Unreachable as error:
            if error.status and error.status not in _NOT_UP:
                return  # Too many requests, or a text: it is there.
            self._down.set()
            raise
        except ServiceError:
            pass

    def ensure_up(self, page_id: str) -> None:
        """After an outage, one call that is not counted before any other. Raises Unreachable while it lasts."""
        if self._down.is_set():
            self.ping(page_id)

    def _answered(self, call: Call, ask: Callable[[Call], Answer]) -> Answer:
        """While FolkForm is down every call is tried once; the first answer, good or bad, ends that."""
        call = replace(call, tries=1) if self._down.is_set() else call
        try:
            answer = ask(call)
        except ServerError as error:
            if self._has_answered:
                raise
            raise self._suspect_token(error) from None
        except (Refused, TokenRefused, ContractBroken):
            self._has_answered = True
            self._down.clear()
            raise
        self._has_answered = True
        self._down.clear()
        return answer

    def _suspect_token(self, error: ServerError) -> ServiceError:
        """What the very first call's 500 means: a FolkForm of 2025-12 gives it to a token that is cut off."""
        try:
            self.ping(None)
        except Unreachable:
            return error
        if (length := self._token.given_length) is None:
            return error
        step = "FolkForm is up otherwise: if this lasts, FOLKFORM_TOKEN is the likely cause; check that it is whole."
        if length >= _SHORTEST_TOKEN:
            error.next_step = step
            return error
        problem = f"answered 500 to a token of {length} characters"
        return TokenRefused(
            SERVICE, problem, step, server_message=error.server_message, status=error.status, code=error.code
        )

    def _call_in_role(self, call: Call) -> Answer:
        role_id = self.role.current
        try:
            answer = self._call_signed_in(call, role_id)
        except (Refused, TokenRefused) as error:
            about_role = error.code == _NO_ROLE or (error.code == _WRONG_VALUE and not self._in_role)
            another = self.role.another_than(role_id) if about_role else None
            if another is None:
                if error.code == _NO_ROLE and role_id:
                    error.next_step = missing_permission(role_id)
                raise
            return self._call_signed_in(call, another)
        self._in_role = True
        return answer

    def _call_signed_in(self, call: Call, role_id: str | None = None) -> Answer:
        token = self._token.current()
        try:
            return self._call_with(token, role_id, call)
        except TokenRefused as error:
            renewed = self._token.renew(token) if error.status == UNAUTHORIZED else None
            if renewed is None:
                raise
            return self._call_with(renewed, role_id, call)

    def _call_with(self, token: str, role_id: str | None, call: Call) -> Answer:
        role = {"X-Active-Role-ID": role_id} if role_id else {}
        call = replace(call, headers={"Authorization": f"Bearer {token}", **role})
        try:
            return self._session.call(call, self._limiter)
        except TokenRefused as error:
            if error.status == UNAUTHORIZED and self._token.is_renewed:
                error.next_step = RENEWED_IN_VAIN
            raise


def check_envelope(answer: Answer) -> None:
    """Raises when an answer is not FolkForm's `{"status": "success", "data": …}`."""
    if answer.body.get("status") == "error":
        raise Refused(SERVICE, "refused the request")
    if answer.body.get("status") != "success" or "data" not in answer.body:
        raise ContractBroken(SERVICE, 'answered without "status" and "data"', "Check FOLKFORM_BASE_URL.")
