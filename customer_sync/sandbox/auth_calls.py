"""FolkForm's authentication: bearer tokens, roles, and the sign-in that creates a token."""

import re
import secrets

from customer_sync.sandbox.behaviour import Behaviour
from customer_sync.sandbox.call import Answer, Call
from customer_sync.sandbox.envelope import (
    INVALID,
    SYSTEM,
    FolkFormError,
    ServerError,
    json_object,
    success,
)
from customer_sync.sandbox.firebase_api import is_id_token
from customer_sync.sandbox.folkform import Access, FolkForm
from customer_sync.sandbox.json_text import dumps
from customer_sync.sandbox.token_lives import TokenLives

_MIN_TOKEN_LENGTH = 20
_ROLE_ID = re.compile("[0-9a-f]{24}")


class AuthCalls:
    """Checks callers, and answers `/auth/*`."""

    def __init__(self, folkform: FolkForm, behaviour: Behaviour, lives: TokenLives) -> None:
        self._folkform = folkform
        self._behaviour = behaviour
        self._lives = lives
        self._signed_in: list[str] = []

    def access(self, call: Call) -> Access:
        """What the call's bearer token gives access to."""
        scheme, _, token = call.headers.get("authorization", "").partition(" ")
        access = self._folkform.tokens.get(token)
        if (
            scheme == "Bearer"
            and access is None
            and len(token) < _MIN_TOKEN_LENGTH
            and self._behaviour.server == "2025-12"
        ):
            raise ServerError(500, SYSTEM, "Lỗi hệ thống")
        if scheme != "Bearer" or access is None or not self._lives.spend(token):
            raise FolkFormError(401, "AUTH_001", "Token không hợp lệ")
        if access.blocked:
            raise FolkFormError(403, "AUTH_002", "Tài khoản đã bị khóa")
        return access

    def has_role(self, access: Access, call: Call) -> bool:
        """Whether the call has a role of the token's user. Raises FolkFormError if other roles are rejected."""
        if not self._behaviour.role_required:
            return True
        role_id, valid = call.headers.get("x-active-role-id"), [role.role_id for role in access.roles]
        if role_id in valid:
            return True
        if self._behaviour.wrong_role == "empty":
            return False
        if not role_id:
            raise FolkFormError(400, "AUTH_003", "Thiếu X-Active-Role-ID, vui lòng thử lại sau")
        if not _ROLE_ID.fullmatch(role_id):
            raise FolkFormError(400, INVALID, "X-Active-Role-ID không đúng định dạng")
        raise wrong_role(role_id, valid)

    def roles(self, call: Call) -> Answer:
        """Answers `GET /auth/roles`: the roles of the token's user."""
        roles = [
            {
                "roleId": role.role_id,
                "roleName": role.name,
                "ownerOrganizationId": role.organization_id,
                "organizationName": role.organization,
            }
            for role in self.access(call).roles
        ]
        return success(dumps({"roles": roles} if self._behaviour.roles == "roles" else roles))

    def sign_in(self, call: Call) -> Answer:
        """Answers `POST /auth/login/firebase`: a new bearer token with all permissions."""
        body = json_object(call)
        id_token, hwid = body.get("idToken"), body.get("hwid")
        if not (isinstance(id_token, str) and isinstance(hwid, str) and hwid):
            raise FolkFormError(400, INVALID, "idToken and hwid must be texts")
        if not is_id_token(id_token):
            raise FolkFormError(401, "AUTH_001", "idToken is invalid")
        return success(dumps({"token": self._new_token(), "hwid": hwid}))

    def _new_token(self) -> str:
        if self._behaviour.sign_in_kills:
            self._lives.limit(self._signed_in, 0)
        token = f"folkform-token-{secrets.token_hex(16)}"
        self._signed_in.append(token)
        self._folkform.tokens[token] = Access()
        if self._behaviour.sign_in_calls is not None:
            self._lives.limit([token], self._behaviour.sign_in_calls)
        return token


def wrong_role(role_id: str | None, valid: list[str]) -> FolkFormError:
    """The error for a role that is not the user's."""
    details = {"errorCode": "ROLE_CONTEXT_INVALID", "invalidRoleId": role_id, "validRoleIds": valid}
    return FolkFormError(403, "AUTH_003", "Role không thuộc về người dùng", details)
