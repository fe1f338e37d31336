"""Pancake's pages: does the token open them, could a new one be made, are customers listed as the passes need it."""

from dataclasses import dataclass, field
from itertools import pairwise

from customer_sync.check.window_check import Times, look_at_window, read_times
from customer_sync.config.settings import Settings
from customer_sync.core.clock import Clock
from customer_sync.core.errors import ExitCode, ServiceError, TokenRefused
from customer_sync.core.page import Page
from customer_sync.results.findings import Finding, State, found_wrong
from customer_sync.services.factory import SWITCHED_OFF
from customer_sync.services.page_token import NO_USER_TOKEN, RenewalDisabled
from customer_sync.services.pancake import SERVICE as PANCAKE
from customer_sync.services.pancake import CustomerList, PancakeClient, blocked_by_proxy, is_user_token

_FIRST = 1


@dataclass
class PageCheck:
    """Looks at one page with one request, and with one or two more at its window."""

    page: Page
    client: PancakeClient
    settings: Settings
    clock: Clock
    findings: list[Finding] = field(default_factory=list)
    times: list[Times] = field(default_factory=list)
    """Those of the newest customers."""
    was_read: bool = False
    """Whether Pancake has listed its customers."""

    def look(self) -> "PageCheck":
        """Fills the findings in; of a service's error, too. Raises StopRequested."""
        token = self.page.page_access_token
        if not token:
            self._tell_dead_token("FolkForm's record holds no page token")
            return self
        try:
            listed = self._list(int(self.clock.now()) + 1)
        except TokenRefused as error:
            self._tell_refusal(error)
        except ServiceError as error:
            self.findings.append(found_wrong(PANCAKE, self._name("list"), error))
        else:
            self.was_read = True
            self.times = read_times(listed.customers)
            self._ok("token", "page token works")
            self._tell_renewal()
            self._tell_list(listed)
        return self

    def look_at_window(self) -> None:
        """Which time `since` and `until` look at; needs two customers. Raises StopRequested."""
        try:
            told = look_at_window(self.times, lambda until: read_times(self._list(until).customers))
        except ServiceError as error:
            self.findings.append(found_wrong(PANCAKE, self._name("window"), error))
        else:
            self._ok("window", told)

    def _list(self, until: int) -> CustomerList:
        return self.client.get_customers(_FIRST, self.settings.page_size, 0, until)

    def _tell_refusal(self, error: TokenRefused) -> None:
        if blocked_by_proxy(error):
            self.findings.append(found_wrong(PANCAKE, self._name("list"), error))
            return
        said = f" ({error.server_message})" if error.server_message else ""
        if is_user_token(error):
            self._tell_dead_token(f"a user token stands where the page token belongs{said}")
        else:
            self._tell_dead_token(f"Pancake refuses the page token{said}")

    def _tell_dead_token(self, detail: str) -> None:
        obstacle = self._obstacle()
        if obstacle is None:
            step = f"Nothing to do: the next pass makes a new one with {self._user_token()}."
            self._add("token", State.WARNING, detail, step)
        else:
            self._add("token", State.WRONG, f"{detail}, and {obstacle.reason}", obstacle.next_step, ExitCode.REFUSED)

    def _tell_renewal(self) -> None:
        obstacle = self._obstacle()
        if obstacle is None:
            self._ok("new token", f"{self._user_token()} could renew it")
        else:
            self._ok("new token", f"if it dies, {obstacle.reason}")

    def _obstacle(self) -> RenewalDisabled | None:
        """Why no pass could make a new page token; None where it could."""
        if not self.settings.renew_tokens:
            return SWITCHED_OFF
        return None if self._user_token() else NO_USER_TOKEN

    def _user_token(self) -> str:
        """Where the user token stands that a new page token would be made with; empty for nowhere."""
        if self.page.access_token:
            return "the record's user token"
        return "PANCAKE_ACCESS_TOKEN" if self.settings.pancake_access_token else ""

    def _tell_list(self, listed: CustomerList) -> None:
        if any(later.updated > before.updated for before, later in pairwise(self.times)):
            detail = "Pancake did not list the newest customers first, as order_by=updated_at asks for"
            step = "Ask Pancake's support: the passes stop at this page, since they could lose customers."
            self._add("order", State.WRONG, detail, step, ExitCode.REFUSED)
        else:
            self._ok("order", "newest first" if len(self.times) > 1 else "too few customers to see their order")
        if listed.total is None:
            step = "Nothing to do: the passes read on until an empty answer."
            self._add("total", State.WARNING, "Pancake does not tell how many customers there are", step)
        else:
            self._ok("total", f"{listed.total:,} customers")

    def _ok(self, what: str, detail: str) -> None:
        self._add(what, State.OK, detail)

    def _add(
        self, what: str, state: State, detail: str, next_step: str = "", exit_code: ExitCode = ExitCode.OK
    ) -> None:
        self.findings.append(Finding(PANCAKE, self._name(what), state, detail, next_step, exit_code))

    def _name(self, what: str) -> str:
        return f"{self.page.page_id} {what}"
