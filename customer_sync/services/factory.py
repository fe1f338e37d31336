"""Pancake and FolkForm as the settings describe them, ready to be called."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial

from customer_sync.config.settings import Settings
from customer_sync.core.clock import Clock
from customer_sync.core.errors import ServiceError
from customer_sync.core.locks import PageLocks
from customer_sync.core.page import Page
from customer_sync.http.rate_limiter import AdaptiveRateLimiter
from customer_sync.http.redact import Redactor
from customer_sync.http.retry import TRIES
from customer_sync.http.service import Answer, Service
from customer_sync.http.session import Access, ApiSession, ServiceCalls
from customer_sync.services import folkform_access, pancake, sign_in
from customer_sync.services.folkform import FolkFormClient
from customer_sync.services.folkform_access import FolkFormAccess
from customer_sync.services.folkform_pages import FolkFormPages
from customer_sync.services.page_token import PageToken, RenewalDisabled
from customer_sync.services.pancake import PancakeClient
from customer_sync.services.refused_tokens import RefusedTokens
from customer_sync.services.sign_in import BearerToken, SignIn

SWITCHED_OFF = RenewalDisabled(
    "CUSTOMER_SYNC_RENEW_TOKENS=0 forbids a new one",
    "Store a valid page token in FolkForm's page record, or set CUSTOMER_SYNC_RENEW_TOKENS=1.",
)


_LOOK_EVERY = 1.0


class Services:
    """The two services, with one session each. Their secrets are redacted from then on."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        redact: Redactor,
        locks: PageLocks | None,
        *,
        renewal_disabled: RenewalDisabled | None = None,
        tries: int = TRIES,
        renews: bool = True,
    ) -> None:
        """*renewal_disabled* is why this run may make no page token; None where the settings decide, and then *locks*
        keep other processes from it. Without *renews* a refused page token is not even read again.

        *tries* bounds the attempts of every call.
        """
        self._settings = settings
        self._clock = clock
        self._redact = redact
        self._locks = locks
        self._tries = tries
        self._renews = renews
        self._renewal_disabled = renewal_disabled or (None if settings.renew_tokens else SWITCHED_OFF)
        self._sessions: dict[str, ApiSession] = {}
        redact.add(settings.folkform_token, settings.folkform_password)
        redact.add(settings.firebase_api_key, settings.pancake_access_token)
        self._pancake = self._open(
            Service(
                pancake.SERVICE,
                settings.pancake_base_url,
                "PANCAKE_BASE_URL",
                pancake.RENEW_TOKEN,
                pancake.BASE_PATH,
                too_large_step=pancake.READ_LESS,
            ),
            pancake.check_envelope,
        )
        self.folkform_limiter = AdaptiveRateLimiter(clock)
        access = self._folkform_access()
        self.folkform = FolkFormClient(access)
        self._page_records = FolkFormPages(access)

    def pages(self) -> list[Page]:
        """Every page that FolkForm knows."""
        pages = self._page_records.pages()
        for page in pages:
            self._redact.add(page.page_access_token, page.access_token)
        return pages

    def pancake(self, page: Page) -> PancakeClient:
        """A client for one page, with its own pace."""
        access = PageToken(
            page,
            self._pancake,
            AdaptiveRateLimiter(self._clock, self._settings.pancake_rps),
            self._page_records,
            self._redact,
            partial(self._locks.held, "token", page.page_id, wait=True) if self._locks else nullcontext,
            RefusedTokens(self._locks.note("refused", page.page_id) if self._locks else None),
            user_token=self._settings.pancake_access_token,
            renewal_disabled=self._renewal_disabled,
            renews=self._renews,
        )
        return PancakeClient(self._pancake, page.page_id, access)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Inside, the silence of a service is logged even before a call times out."""
        ended = threading.Event()

        def look() -> None:
            while not ended.wait(_LOOK_EVERY):
                for session in list(self._sessions.values()):
                    session.watch.look()

        watcher = threading.Thread(target=look, name="watch", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()

    def pages_of_user(self, user_token: str) -> dict[str, str]:
        """Pancake's list of a user's pages, as `pancake.pages_of_user` reads it."""
        pages = pancake.pages_of_user(self._pancake, AdaptiveRateLimiter(self._clock), user_token)
        self._redact.add(*pages.values())
        return pages

    def requests(self, page_id: str | None = None) -> int:
        """How many requests were made, for a page or in all."""
        counts = [session.requests_by_page for session in self._sessions.values()]
        return sum(count.total() if page_id is None else count[page_id] for count in counts)

    def calls(self) -> list[ServiceCalls]:
        """How many requests each service received."""
        return [
            ServiceCalls(name, session.requests_by_page.total(), session.too_many)
            for name, session in self._sessions.items()
        ]

    def unanswered(self) -> ServiceError | None:
        """Why the last call to one of the services got no usable answer; None when both answered."""
        return next((session.unanswered for session in self._sessions.values() if session.unanswered), None)

    def clocks(self) -> dict[str, float]:
        """How far each service's clock is ahead of ours, seconds, where known."""
        ahead = {name: session.clock_ahead for name, session in self._sessions.items()}
        return {name: seconds for name, seconds in ahead.items() if seconds is not None}

    def _open(self, service: Service, check: Callable[[Answer], None]) -> ApiSession:
        timeout, tries = self._settings.timeout, self._tries
        session = ApiSession(service, check, clock=self._clock, redact=self._redact, timeout=timeout, tries=tries)
        self._sessions[service.name] = session
        return session

    def _folkform_access(self) -> FolkFormAccess:
        settings, clock, limiter = self._settings, self._clock, self.folkform_limiter
        service = Service(
            folkform_access.SERVICE,
            settings.folkform_base_url,
            "FOLKFORM_BASE_URL",
            folkform_access.new_token(),
            folkform_access.BASE_PATH,
            folkform_access.CHECK_PATH,
            folkform_access.CHECK_ROLE,
        )
        session = self._open(service, folkform_access.check_envelope)
        return FolkFormAccess(
            session,
            limiter,
            AdaptiveRateLimiter(clock),
            token=BearerToken(settings.folkform_token, self._sign_in(session), clock),
            role_id=settings.folkform_role_id,
            customer_path=settings.folkform_customer_path,
        )

    def _sign_in(self, folkform: ApiSession) -> SignIn | None:
        """How to get a bearer token; None where the settings do not say."""
        settings = self._settings
        if not (settings.folkform_email and settings.folkform_password and settings.firebase_api_key):
            return None
        firebase = self._open(
            Service(sign_in.SERVICE, settings.firebase_base_url, "FIREBASE_BASE_URL", sign_in.CHECK_SIGN_IN),
            sign_in.check_firebase,
        )
        return SignIn(
            partial(firebase.call, access=Access(AdaptiveRateLimiter(self._clock))),
            partial(folkform.call, access=Access(self.folkform_limiter)),
            settings,
            self._redact,
        )
