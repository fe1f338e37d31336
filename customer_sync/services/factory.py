"""Pancake and FolkForm as the settings describe them, ready to be asked."""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial

from customer_sync.config.settings import Settings
from customer_sync.core.clock import Clock
from customer_sync.core.locks import PageLocks
from customer_sync.core.page import Page
from customer_sync.http.rate_limiter import AdaptiveRateLimiter
from customer_sync.http.redact import Redactor
from customer_sync.http.session import Answer, ApiSession, Service, ServiceCalls
from customer_sync.services import folkform_access, pancake, sign_in
from customer_sync.services.folkform import FolkFormClient
from customer_sync.services.folkform_access import FolkFormAccess
from customer_sync.services.folkform_pages import FolkFormPages
from customer_sync.services.page_token import PageToken, RenewalDisabled
from customer_sync.services.pancake import PancakeClient
from customer_sync.services.sign_in import BearerToken, Credentials, SignIn

SWITCHED_OFF = RenewalDisabled(
    "CUSTOMER_SYNC_RENEW_TOKENS=0 forbids to make a new one",
    "Store a token that works in FolkForm's page record, or set CUSTOMER_SYNC_RENEW_TOKENS=1.",
)


class Services:
    """The two services, with one session each. Every secret they bring along is hidden from then on."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        redact: Redactor,
        locks: PageLocks | None,
        *,
        forbidden: RenewalDisabled | None = None,
        tries: int | None = None,
        renews: bool = True,
    ) -> None:
        """*forbidden* tells why this run may make no page token; None where it may, as far as the settings allow, and
        then *locks* keep others from it.

        *tries* bounds those of every call. Where it does not *renew*, a page token that Pancake refuses is not even
        looked for anew.
        """
        self._settings = settings
        self._clock = clock
        self._redact = redact
        self._locks = locks
        self._tries = tries
        self._renews = renews
        self._forbidden = forbidden or (None if settings.renew_tokens else SWITCHED_OFF)
        self._sessions: dict[str, ApiSession] = {}
        redact.add(settings.folkform_token, settings.folkform_password)
        redact.add(settings.firebase_api_key, settings.pancake_access_token)
        self._pancake = self._open(
            Service(pancake.SERVICE, settings.pancake_base_url, "PANCAKE_BASE_URL", pancake.RENEW_TOKEN),
            pancake.check_envelope,
        )
        session = self._open(
            Service(
                folkform_access.SERVICE,
                settings.folkform_base_url,
                "FOLKFORM_BASE_URL",
                folkform_access.CHECK_TOKEN,
            ),
            folkform_access.check_envelope,
        )
        limiter = self.folkform_limiter = AdaptiveRateLimiter(clock)
        access = FolkFormAccess(
            session,
            limiter,
            AdaptiveRateLimiter(clock),
            token=BearerToken(settings.folkform_token, self._sign_in(partial(session.call, limiter=limiter)), clock),
            role_id=settings.folkform_role_id,
            customer_path=settings.folkform_customer_path,
        )
        self.folkform = FolkFormClient(access)
        self._page_records = FolkFormPages(access)

    def pages(self) -> list[Page]:
        """Every page that FolkForm knows."""
        pages = self._page_records.pages()
        for page in pages:
            self._redact.add(page.page_access_token, page.access_token)
        return pages

    def pancake(self, page: Page) -> PancakeClient:
        """A client for one page, with a pace of its own."""
        token = PageToken(
            page,
            self._page_records,
            self._redact,
            partial(self._locks.held, "token", page.page_id, wait=True) if self._locks else nullcontext,
            user_token=self._settings.pancake_access_token,
            forbidden=self._forbidden,
        )
        return PancakeClient(
            self._pancake,
            page.page_id,
            token,
            self._clock,
            self._settings.pancake_rps,
            renew=self._renews,
        )

    def requests(self, page_id: str | None = None) -> int:
        """How many requests were made, for a page or in all."""
        counts = [session.requests_by_page for session in self._sessions.values()]
        return sum(count.total() if page_id is None else count[page_id] for count in counts)

    def calls(self) -> list[ServiceCalls]:
        """What was asked of each service."""
        return [
            ServiceCalls(name, session.requests_by_page.total(), session.too_many)
            for name, session in self._sessions.items()
        ]

    def clocks(self) -> dict[str, float]:
        """How far the clock of each service that has told the time is ahead of ours, seconds."""
        ahead = {name: session.clock_ahead for name, session in self._sessions.items()}
        return {name: seconds for name, seconds in ahead.items() if seconds is not None}

    def _open(self, service: Service, check: Callable[[Answer], None]) -> ApiSession:
        timeout, tries = self._settings.timeout, self._tries
        session = ApiSession(service, check, clock=self._clock, redact=self._redact, timeout=timeout, tries=tries)
        self._sessions[service.name] = session
        return session

    def _sign_in(self, folkform: sign_in.CallFn) -> SignIn | None:
        """How to get a bearer token; None where the settings do not say."""
        settings = self._settings
        if not (settings.folkform_email and settings.folkform_password and settings.firebase_api_key):
            return None
        firebase = self._open(
            Service(sign_in.SERVICE, settings.firebase_base_url, "FIREBASE_BASE_URL", sign_in.CHECK_SIGN_IN),
            sign_in.check_firebase,
        )
        credentials = Credentials(settings.folkform_email, settings.folkform_password, settings.firebase_api_key)
        paced = partial(firebase.call, limiter=AdaptiveRateLimiter(self._clock))
        return SignIn(paced, folkform, credentials, self._redact)
