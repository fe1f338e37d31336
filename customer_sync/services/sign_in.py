"""The bearer token that FolkForm knows us by: given, or got by signing in through Firebase as FolkForm's agents do.

Firebase: `accounts:signInWithPassword` of the Identity Toolkit gives an `idToken`; FolkForm's `/auth/login/firebase`
takes it and gives the bearer token.
"""

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from customer_sync.core.clock import Clock
from customer_sync.core.errors import ContractBroken, Refused, ServiceError, TokenRefused
from customer_sync.http.redact import Redactor
from customer_sync.http.session import Answer, Call

SERVICE = "Firebase"
CHECK_SIGN_IN = "Check FOLKFORM_EMAIL, FOLKFORM_PASSWORD and FIREBASE_API_KEY."
RENEWED_IN_VAIN = "A new sign-in did not help: check FOLKFORM_ROLE_ID, and who else signs in as FOLKFORM_EMAIL."
_HARDWARE_ID = "customer-sync"
_SHORTEST_LIFE = 60.0

CallFn = Callable[[Call], Answer]
"""How one service is called, paced."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a sign-in needs."""

    email: str
    password: str = field(repr=False)
    api_key: str = field(repr=False)


class BearerToken:
    """The present bearer token. Threads share it."""

    def __init__(self, token: str | None, sign_in: Callable[[], str] | None, clock: Clock) -> None:
        """*token* was given; else *sign_in* gets one when it is first needed. It gets another one when that has died,
        but not when the new one dies at once: somebody else is signing in, or the token is not the trouble.
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
        """How long the token is that was given; None where one is got by signing in."""
        return None if self._sign_in or self._token is None else len(self._token)

    @property
    def is_renewed(self) -> bool:
        """Whether it was renewed, and died, lately."""
        return self._clock.monotonic() - self._renewed_at < _SHORTEST_LIFE

    def renew(self, refused: str) -> str | None:
        """Another token than the *refused* one; None when there is none: given, or renewed lately."""
        with self._lock:
            if self._token != refused:
                return self._token
            if self._sign_in is None or self.is_renewed:
                return None
            if self._failure is not None:  # Every worker meets the refusal; one of them has tried for all.
                raise self._failure
            try:
                self._token = self._sign_in()
            except ServiceError as error:
                self._failure = error
                raise
            self._renewed_at = self._clock.monotonic()
            return self._token


class SignIn:
    """Signs in through Firebase."""

    def __init__(self, firebase: CallFn, folkform: CallFn, credentials: Credentials, redact: Redactor) -> None:
        self._firebase = firebase
        self._folkform = folkform
        self._credentials = credentials
        self._redact = redact

    def __call__(self) -> str:
        """A new bearer token. Raises TokenRefused, Unreachable, ContractBroken."""
        id_token = self._id_token()
        call = Call("POST", "/auth/login/firebase", {}, {"idToken": id_token, "hwid": _HARDWARE_ID})
        try:
            data = self._folkform(call).body["data"]
        except TokenRefused as error:
            step = "Is FOLKFORM_EMAIL a user of this FolkForm?"
            raise TokenRefused("FolkForm", "refused the sign-in", step, server_message=error.server_message) from None
        token = data.get("token") if isinstance(data, dict) else None
        if not isinstance(token, str) or not token:
            raise ContractBroken("FolkForm", "signed us in without a token")
        self._redact.add(token)
        return token

    def _id_token(self) -> str:
        who = self._credentials
        body = {"email": who.email, "password": who.password, "returnSecureToken": True}
        call = Call("POST", "/accounts:signInWithPassword", {"key": who.api_key}, body)
        try:
            id_token = self._firebase(call).body.get("idToken")
        except Refused as error:
            raise TokenRefused(
                SERVICE, "refused the sign-in", CHECK_SIGN_IN, server_message=error.server_message
            ) from None
        if not isinstance(id_token, str) or not id_token:
            raise ContractBroken(SERVICE, "signed us in without an idToken")
        self._redact.add(id_token)
        return id_token


def check_firebase(_: Answer) -> None:
    """Firebase has no envelope: its errors come with an HTTP status."""
