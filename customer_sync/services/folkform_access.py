"""How FolkForm is called: signed in, in a role, and not again and again while it is down.

Facts: `tests/conformance/`. `GET /system/health` needs no sign-in, and FolkForm's limit does not count it.
"""

import threading
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from customer_sync.config.settings import place_of
from customer_sync.core.command_line import command
from customer_sync.core.errors import ContractBroken, Refused, ServerError, ServiceError, TokenRefused, Unreachable
from customer_sync.http.rate_limiter import AdaptiveRateLimiter
from customer_sync.http.service import Answer
from customer_sync.http.session import Access, ApiSession, Call
from customer_sync.services.customer_path import CustomerPath
from customer_sync.services.role import ActiveRole, Role, missing_permission, read_roles
from customer_sync.services.sign_in import RENEWED_IN_VAIN, BearerToken

SERVICE = "FolkForm"
CHECK_ROLE = "Check FOLKFORM_TOKEN, FOLKFORM_ROLE_ID and the permissions of that role."
BASE_PATH = "/api/v1"
CHECK_PATH = "Check the host in FOLKFORM_BASE_URL, and FOLKFORM_CUSTOMER_PATH."
CHECK_ADDRESS = "Check FOLKFORM_BASE_URL: another service seems to be there."
_ROLES = "/auth/roles"
_BEARER, _ROLE = "Bearer ", "X-Active-Role-ID"
_MIN_TOKEN = 20
# A proxy with no server behind it, or a server that fails at everything.
_NOT_UP = (500, 502, 503, 504)
_NO_ROLE, _WRONG_VALUE = "AUTH_003", "VAL_002"


def new_token() -> str:
    """What to do about a token that FolkForm no longer accepts."""
    step = f"Set a new FOLKFORM_TOKEN in {place_of('FOLKFORM_TOKEN')}, or sign in with FOLKFORM_EMAIL instead"
    return f"{step} (docs/operating.md, FolkForm's token); then run {command('check')}."


class FolkFormAccess(Access):
    """Access to everything but the customers, which are at `customer_path`. Threads share it."""

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
        """*unlimited* paces the calls that FolkForm's limit does not count. *role_id* and *customer_path* are found
        out where they are None.
        """
        super().__init__(limiter)
        self.session = session
        self.role = ActiveRole(role_id, self.roles)
        self.customer_path = CustomerPath(customer_path, self, session)
        self._uncounted = Access(unlimited)
        self._token = token
        self._roles: list[Role] | None = None
        self._has_answered = False
        self._has_answered_in_role = False
        """From then on a wrong value is not the role."""
        self._down = threading.Event()

    def min_duration(self, calls: int) -> float:
        """How long FolkForm's limit makes so many calls last at least, seconds."""
        return self.limiter.min_duration(calls)

    def prepare(self, call: Call) -> Call:
        headers = {"Authorization": _BEARER + self._token.current()}
        if self.role.current and call.path != _ROLES:
            headers[_ROLE] = self.role.current
        return replace(call, headers=headers, tries=1 if self._down.is_set() else call.tries)

    def recover(self, call: Call, error: ServiceError) -> bool:
        if isinstance(error, Unreachable):
            if isinstance(error, ServerError) and not self._has_answered:
                self._suspect_token(error)
            if call.method == "GET":
                self._down.set()
            return False
        self._note_answer()
        return self._renew_token(call, error) or self._replace_role(call, error)

    def succeeded(self, call: Call) -> None:
        self._note_answer()
        self._has_answered_in_role = self._has_answered_in_role or call.path != _ROLES

    def data(self, call: Call) -> Any:
        """The `data` of an answer."""
        return self.session.call(call, self).body["data"]

    def get(self, path: str, params: dict[str, str], *, page_id: str | None = None) -> Any:
        """The `data` of an answer to a GET about a page."""
        return self.data(Call("GET", path, params, page_id=page_id))

    def at_customers(self, call: Call) -> Any:
        """The `data` of an answer to a call whose path begins behind that of the customers."""
        return self.session.call(call, self.customer_path).body["data"]

    def roles(self) -> list[Role] | None:
        """The roles of the token's user, asked once; None where an older server does not know roles."""
        if self._roles is None:
            with suppress(Refused, ContractBroken):
                self._roles = read_roles(self.get(_ROLES, {}))
        return self._roles

    def take_another_role(self) -> bool:
        """Whether another role was taken, because FolkForm looks empty: in a wrong role it may show nothing.

        Raises SettingsError where the user has several roles, or none.
        """
        try:
            return bool(self.roles()) and self.role.another_than(self.role.current) is not None
        except ServiceError:  # It may well be empty.
            return False

    def ping(self, page_id: str | None) -> None:
        """Asks once whether FolkForm is up, without a sign-in; any answer means that it is.

        Raises Unreachable when there is none; FolkForm then counts as down.
        """
        try:
            self.session.call(Call("GET", "/system/health", {}, page_id=page_id, tries=1), self._uncounted)
        except Unreachable as error:
            if not error.status or error.status in _NOT_UP:  # Anything else, such as a 429, is a sign of life.
                self._down.set()
                raise
        except ServiceError:
            pass

    def ensure_up(self, page_id: str) -> None:
        """Pings FolkForm where it counts as down. Raises Unreachable while it is."""
        if self._down.is_set():
            self.ping(page_id)

    def _note_answer(self) -> None:
        """Any answer, good or bad, ends an outage, during which every call gets one attempt."""
        self._has_answered = True
        self._down.clear()

    def _suspect_token(self, error: ServerError) -> None:
        """The first call of a run got 500: a FolkForm of 2025-12 answers so to a token that is too short.

        Raises TokenRefused where that is the cause, and adds to *error* where it may be.
        """
        length = self._token.given_length
        try:
            self.ping(None)
        except Unreachable:
            return
        if length is None:
            return
        step = "FolkForm itself is up: if this persists, check that FOLKFORM_TOKEN is complete."
        if length < _MIN_TOKEN:
            problem, message = f"answered 500 to a token of {length} characters", error.server_message
            raise TokenRefused(SERVICE, problem, step, server_message=message, status=error.status, code=error.code)
        error.next_step = step

    def _renew_token(self, call: Call, error: ServiceError) -> bool:
        if not isinstance(error, TokenRefused) or error.status != HTTPStatus.UNAUTHORIZED:
            return False
        if self._token.renew((call.headers or {})["Authorization"].removeprefix(_BEARER)) is not None:
            return True
        if self._token.is_renewed:
            error.next_step = RENEWED_IN_VAIN
        return False

    def _replace_role(self, call: Call, error: ServiceError) -> bool:
        wrong_role = error.code == _NO_ROLE or (error.code == _WRONG_VALUE and not self._has_answered_in_role)
        if call.path == _ROLES or not wrong_role:
            return False
        role_id = (call.headers or {}).get(_ROLE)
        if self.role.another_than(role_id) is not None:
            return True
        if error.code == _NO_ROLE and role_id:
            error.next_step = missing_permission(role_id)
        return False


def check_envelope(answer: Answer) -> None:
    """Raises unless an answer is FolkForm's `{"status": "success", "data": …}`."""
    if answer.body.get("status") == "error":
        raise Refused(SERVICE, "refused the request")
    if answer.body.get("status") != "success" or "data" not in answer.body:
        raise ContractBroken(SERVICE, 'answered without "status" and "data"', CHECK_ADDRESS)
