"""Who may call FolkForm: bearer tokens, roles, and the sign-in that gives a token."""

import secrets

from customer_sync.sandbox.behaviour import Behaviour
from customer_sync.sandbox.call import Answer, Call
from customer_sync.sandbox.envelope import INVALID, FolkFormError, json_object, success
from customer_sync.sandbox.firebase_api import is_id_token
from customer_sync.sandbox.folkform import Access, FolkForm
from customer_sync.sandbox.json_text import dumps
from customer_sync.sandbox.token_lives import TokenLives


class AuthCalls:
    """Checks callers, and answers `/auth/*`."""

    def __init__(self, folkform: FolkForm, behaviour: Behaviour, lives: TokenLives) -> None:
        self._folkform = folkform
        self._behaviour = behaviour
        self._lives = lives
        self._signed_in: list[str] = []

    def access(self, call: Call) -> Access:
        """What the call's bearer token opens."""
        scheme, _, token = call.headers.get("authorization", "").partition(" ")
        access = self._folkform.tokens.get(token)
        if scheme != "Bearer" or access is None or not self._lives.spend(token):
            raise FolkFormError(401, "AUTH_001", "Token is missing or invalid")
        return access

    def has_role(self, access: Access, call: Call) -> bool:
        """Whether the call has the role it needs; raises where others are refused."""
        if not self._behaviour.role_required:
            return True
        role_id = call.headers.get("x-active-role-id")
        if self._behaviour.wrong_role == "empty":
            return bool(role_id) and role_id == access.role_id
        if not role_id:
            raise FolkFormError(401, "AUTH_003", "X-Active-Role-ID is missing")
        if role_id != access.role_id:
            raise wrong_role()
        return True

    def roles(self, call: Call) -> Answer:
        """Answers `GET /auth/roles`: the roles of the token's user."""
        role_id = self.access(call).role_id
        roles = [{"roleId": role_id, "roleName": "Sandbox"}] if role_id else []
        return success(dumps({"roles": roles} if self._behaviour.roles == "roles" else roles))

    def sign_in(self, call: Call) -> Answer:
        """Answers `POST /auth/login/firebase`: a fresh bearer token with all permissions."""
        body = json_object(call)
        id_token, hwid = body.get("idToken"), body.get("hwid")
        if not (isinstance(id_token, str) and isinstance(hwid, str) and hwid):
            raise FolkFormError(400, INVALID, "idToken and hwid must be texts")
        if not is_id_token(id_token):
            raise FolkFormError(401, "AUTH_001", "idToken is invalid")
        return success(dumps({"token": self._fresh_token(), "hwid": hwid}))

    def _fresh_token(self) -> str:
        if self._behaviour.sign_in_kills:
            self._lives.limit(self._signed_in, 0)
        token = f"folkform-token-{secrets.token_hex(16)}"
        self._signed_in.append(token)
        self._folkform.tokens[token] = Access()
        if self._behaviour.sign_in_calls is not None:
            self._lives.limit([token], self._behaviour.sign_in_calls)
        return token


def wrong_role() -> FolkFormError:
    """What FolkForm says to a role that is not the caller's."""
    return FolkFormError(403, "AUTH_003", "X-Active-Role-ID is not a role of this user")
