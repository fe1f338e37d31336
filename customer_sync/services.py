"""Pancake and FolkForm as the settings describe them, ready to be asked."""

from functools import partial

from customer_sync import folkform, pancake
from customer_sync.clock import Clock
from customer_sync.folkform import FolkFormClient
from customer_sync.http import ApiSession, Service
from customer_sync.page import Page
from customer_sync.pancake import PancakeClient
from customer_sync.redact import Redactor
from customer_sync.settings import Settings


class Services:
    """The two services, with one session each. Every secret they bring along is hidden from then on."""

    def __init__(self, settings: Settings, clock: Clock, redact: Redactor) -> None:
        redact.add(settings.folkform_token)
        open_session = partial(ApiSession, clock=clock, redact=redact, timeout=settings.timeout)
        self._settings = settings
        self._clock = clock
        self._redact = redact
        self._pancake = open_session(
            Service(pancake.SERVICE, settings.pancake_base_url, "PANCAKE_BASE_URL", pancake.RENEW_TOKEN),
            pancake.check_envelope,
        )
        self._folkform = open_session(
            Service(folkform.SERVICE, settings.folkform_base_url, "FOLKFORM_BASE_URL", folkform.CHECK_TOKEN),
            folkform.check_envelope,
        )
        self.folkform = FolkFormClient(
            self._folkform,
            clock,
            token=settings.folkform_token,
            role_id=settings.folkform_role_id,
            customer_path=settings.folkform_customer_path,
        )

    def pages(self) -> list[Page]:
        """Every page that FolkForm knows."""
        pages = self.folkform.pages()
        for page in pages:
            self._redact.add(page.page_access_token, page.access_token)
        return pages

    def pancake(self, page: Page) -> PancakeClient:
        """A client for one page, with a pace of its own."""
        return PancakeClient(self._pancake, page, self._clock, self._settings.pancake_rps)

    def requests(self, page_id: str | None = None) -> int:
        """How many requests were made, for a page or in all."""
        counts = (self._pancake.requests_by_page, self._folkform.requests_by_page)
        return sum(count.total() if page_id is None else count[page_id] for count in counts)
