"""Google's Firebase: the sign-in with email and password that returns an idToken."""

import secrets
from collections.abc import Mapping
from typing import Any

from customer_sync.sandbox.call import Answer, Call, Endpoint, json_answer
from customer_sync.sandbox.json_text import loads

EMAIL = "agent@folkform.example"
PASSWORD = "folkform-sandbox-password"
API_KEY = "firebase-sandbox-key"
_ID_TOKEN = "firebase-id-token-"


def is_id_token(text: str) -> bool:
    """Whether Firebase issued this token; FolkForm can verify that itself, as real ones are signed."""
    return text.startswith(_ID_TOKEN)


class FirebaseError(Exception):
    """Firebase's error: HTTP 400 with an upper-case word, or a sentence about the key."""


class FirebaseApi:
    """Signs in one agent."""

    name = "firebase"
    prefix = "/firebase/v1"
    latency = 0.0
    clock_offset = 0.0

    def endpoints(self) -> list[Endpoint]:
        """Every call of Firebase."""
        return [Endpoint("POST", "/accounts:signInWithPassword", _sign_in)]

    def answer(self, endpoint: Endpoint, call: Call) -> Answer:
        """Answers a call, with an error if need be."""
        try:
            return endpoint.answer(call)
        except FirebaseError as error:
            return self.failure(400, str(error))

    def failure(self, status: int, message: str) -> Answer:
        """Google's error JSON."""
        errors = [{"message": message, "domain": "global", "reason": "invalid"}]
        return json_answer({"error": {"code": status, "message": message, "errors": errors}}, status)


def _sign_in(call: Call) -> Answer:
    if call.query.get("key") != API_KEY:
        raise FirebaseError("API key not valid. Please pass a valid API key.")
    body = _body(call)
    if not body.get("password"):
        raise FirebaseError("MISSING_PASSWORD")
    if (body.get("email"), body["password"]) != (EMAIL, PASSWORD):
        raise FirebaseError("INVALID_LOGIN_CREDENTIALS")
    answer = {
        "kind": "identitytoolkit#VerifyPasswordResponse",
        "localId": "sandbox",
        "email": EMAIL,
        "registered": True,
    }
    if body.get("returnSecureToken") is True:
        tokens = {"idToken": _ID_TOKEN + secrets.token_hex(16), "refreshToken": secrets.token_hex(16)}
        answer |= {**tokens, "expiresIn": "3600"}
    return json_answer(answer)


def _body(call: Call) -> Mapping[str, Any]:
    try:
        body = loads(call.body)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise FirebaseError("Invalid JSON payload received.")
    return body
