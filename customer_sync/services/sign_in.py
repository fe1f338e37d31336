"""FolkForm's bearer token: given, or obtained by signing in through Firebase as FolkForm's agents do.

Firebase: `accounts:signInWithPassword` of the Identity Toolkit returns an `idToken`; FolkForm's `/auth/login/firebase`
takes it and returns the bearer token.
"""

import math
import threading
from collections.abc import Callable

from customer_sync.config.settings import Settings
from customer_sync.core.clock import Clock
from customer_sync.core.errors import ContractBroken, Refused, ServiceError, TokenRefused
from customer_sync.http.redact import Redactor
from customer_sync.http.service import Answer
from customer_sync.http.session import Call

SERVICE = "Firebase"
CHECK_SIGN_IN = "Check FOLKFORM_EMAIL, FOLKFORM_PASSWORD and FIREBASE_API_KEY."
RENEWED_IN_VAIN = (
    "A new sign-in did not help: check FOLKFORM_ROLE_ID, and whether another program signs in as FOLKFORM_EMAIL."
)
_HARDWARE_ID = "customer-sync"
_MIN_LIFE = 60.0

CallFn = Callable[[Call], Answer]
"""Calls one service."""


class BearerToken:
    """The token in use. Threads share it."""

    def __init__(self, token: str | None, sign_in: Callable[[], str] | None, clock: Clock) -> None:
        """*token* was given; without one *sign_in* returns it when it is first needed. It is renewed when it dies, but
        not when it dies at once: another program signs in, or the token is not the cause.
        """
        self._token = token
        self._sign_in = sign_in
        self._clock = clock
        self._renewed_at = -math.inf
        self._failure: ServiceError | None = None
        self._lock = threading.Lock()

    def current(self) -> str:
        """The token to use. Raises what the sign-in raises."""
        with self._lock:
            if self._token is None:
                self._token = self._sign_in() if self._sign_in else ""
            return self._token

    @property
    def given_length(self) -> int | None:
        """The length of the token that was given; None where it comes from a sign-in."""
        return None if self._sign_in or self._token is None else len(self._token)

    @property
    def is_renewed(self) -> bool:
        """Whether it was renewed within the last minute."""
        return self._clock.monotonic() - self._renewed_at < _MIN_LIFE

    def renew(self, refused: str) -> str | None:
        """Another token than the *refused* one; None when there is none. Raises what the sign-in raises."""
        with self._lock:
            if self._token != refused:
                return self._token
            if self._sign_in is None or self.is_renewed:
                return None
            if self._failure is not None:  # One of the workers has tried for all.
                raise self._failure
            try:
                self._token = self._sign_in()
            except ServiceError as error:
                self._failure = error
                raise
            self._renewed_at = self._clock.monotonic()
            return self._token


class SignIn:
    """Signs in through Firebase, with the credentials of the settings."""

    def __init__(self, firebase: CallFn, folkform: CallFn, settings: Settings, redact: Redactor) -> None:
        self._firebase = firebase
        self._folkform = folkform
        self._settings = settings
        self._redact = redact

    def __call__(self) -> str:
        """A new bearer token. Raises TokenRefused, Unreachable, ContractBroken."""
        email, password, key = (
            self._settings.folkform_email,
            self._settings.folkform_password,
            self._settings.firebase_api_key,
        )
        body = {"email": email, "password": password, "returnSecureToken": True}
        call = Call("POST", "/accounts:signInWithPassword", {"key": key or ""}, body)
        try:
            id_token = self._secret(SERVICE, self._firebase(call).body.get("idToken"))
        except Refused as error:
            raise _refusal(SERVICE, CHECK_SIGN_IN, error) from None
        call = Call("POST", "/auth/login/firebase", {}, {"idToken": id_token, "hwid": _HARDWARE_ID})
        try:
            data = self._folkform(call).body["data"]
        except TokenRefused as error:
            raise _refusal("FolkForm", "Check that FOLKFORM_EMAIL is a user of this FolkForm.", error) from None
        return self._secret("FolkForm", data.get("token") if isinstance(data, dict) else None)

    def _secret(self, service: str, token: object) -> str:
        if not isinstance(token, str) or not token:
            raise ContractBroken(service, "accepted the sign-in and returned no token")
        self._redact.add(token)
        return token


def _refusal(service: str, next_step: str, error: ServiceError) -> TokenRefused:
    return TokenRefused(service, "refused the sign-in", next_step, server_message=error.server_message)


def check_firebase(_: Answer) -> None:
    """Firebase has no envelope: its errors come with an HTTP status."""
