"""FolkForm: does it know us, what does it show us, how fast may it be asked, how does it keep Pancake's time."""

import logging
from collections.abc import Sequence

from customer_sync.config.settings import Settings
from customer_sync.core.clock import Clock
from customer_sync.core.errors import ExitCode, SettingsError, TokenRefused
from customer_sync.core.page import Page
from customer_sync.results.findings import Report
from customer_sync.services.customer_path import NEWER_PATH, PATH
from customer_sync.services.customer_path import VARIABLE as CUSTOMER_PATH
from customer_sync.services.factory import Services
from customer_sync.services.role import VARIABLE as ROLE
from customer_sync.services.role import Role, choose
from customer_sync.services.time_field import PANCAKE_UPDATED_AT, UPDATED_AT, VERSION, TimeField
from customer_sync.sync.watermarks import SPAN

log = logging.getLogger(__name__)

_SLOW = 1.0
_MOST_NAMED = 10
# One call of the client may be so many requests.
_ROOM = 2
_WHERE = {
    None: "none yet, so it is not known where FolkForm keeps Pancake's time",
    PANCAKE_UPDATED_AT: "Pancake's time is in panCakeUpdatedAt",
    UPDATED_AT: "Pancake's time is in updatedAt",
    VERSION: "Pancake's time is in panCakeData.updated_at alone; updatedAt is that of the write",
}


class FolkFormCheck:
    """Looks at FolkForm with five to seven requests."""

    def __init__(self, report: Report, services: Services, settings: Settings, clock: Clock) -> None:
        self._report = report
        self._services = services
        self._folkform = services.folkform
        self._settings = settings
        self._clock = clock

    def pages(self, page_ids: Sequence[str]) -> list[Page]:
        """The pages to look at: those named, or all that are switched on."""
        roles = self._roles()
        known = self._known_pages(roles)
        self._tell_role(roles)
        self._tell_pages(known)
        chosen = [page for page in known if (page.page_id in page_ids if page_ids else page.is_sync)]
        self._tell_unknown(page_ids, known)
        return chosen

    def customers(self, pages: Sequence[Page]) -> None:
        """How it keeps customers, and how long the query takes with which every pass begins."""
        self._await_room()
        with self._report.step("customers"), self._report.step("customer path", SettingsError):
            field = self._folkform.time_field()
            took = self._mark_query(pages[0].page_id) if pages and field else None
            if took is not None:
                field = self._folkform.time_field()  # The query may have taught better.
            elsewhere = self._folkform.count_elsewhere()
        self._tell_path(elsewhere)
        self._report.ok("customers", _WHERE[field])
        if took is not None and field is not None:
            self._tell_mark_query(took, field)

    def limit(self) -> None:
        """Where we stand in its window, as its last answer has told."""
        allowance = self._services.folkform_limiter.allowance()
        if allowance is None:
            self._report.ok("limit", "FolkForm tells none")
            return
        left = f"{allowance.left} left; it resets in {allowance.resets_in:.0f} s"
        self._report.ok("limit", f"{allowance.limit} requests a window, {left}")

    def _await_room(self) -> None:
        """Waits for FolkForm's limit here, where that can be said and spoils no timing."""
        allowance = self._services.folkform_limiter.allowance()
        if allowance and allowance.left < _ROOM and allowance.resets_in > 1:
            log.info("FolkForm's limit is used up: waiting %.0f s until it resets", allowance.resets_in)
            self._clock.sleep(allowance.resets_in)

    def _roles(self) -> list[Role]:
        with self._report.step("token"):
            roles = self._folkform.roles() or []
        if roles:
            self._tell_token()
        return roles

    def _known_pages(self, roles: list[Role]) -> list[Page]:
        self._await_room()
        refused_as = self._report.step("role" if roles else "token", TokenRefused)
        with self._report.step("pages"), refused_as, self._report.step("role", SettingsError):
            known = self._services.pages()
        if not roles:
            self._tell_token()
        return known

    def _tell_token(self) -> None:
        how = "" if self._settings.folkform_token else f", got by signing in as {self._settings.folkform_email}"
        self._report.ok("token", f"accepted{how}")

    def _tell_role(self, roles: list[Role]) -> None:
        ours, used = self._settings.folkform_role_id, self._folkform.role_id
        listed = {role.role_id: role for role in roles}
        shown = str(listed.get(used or "", used))
        if used is None:
            self._report.ok("role", "none is set, and FolkForm shows its pages without one")
        elif ours and used != ours:
            self._report.warn("role", f"{ours} is not the user's; using {shown}", f"Set {ROLE}={used}.")
        elif not roles:
            self._report.ok("role", f"{used}; FolkForm does not list the user's")
        elif used not in listed:
            detail = f"{used} is not the user's, though FolkForm shows its pages all the same"
            self._report.warn("role", detail, choose(roles))
        elif len(roles) == 1:
            found = "" if ours else f"; {ROLE} need not be set"
            self._report.ok("role", f"{shown}, the user's only one{found}")
        else:
            others = ", ".join(listed.keys() - {used})
            self._report.ok("role", f"{shown}, one of the user's {len(roles)}; the others: {others}")

    def _tell_path(self, elsewhere: int) -> None:
        """*elsewhere* is how many customers FolkForm keeps at the newer path, where the older one is used."""
        if elsewhere:
            detail = f"{PATH}; at {NEWER_PATH} FolkForm holds {elsewhere:,} more, which other programs write"
            self._report.warn("customer path", detail, f"Set {CUSTOMER_PATH}={NEWER_PATH} to write there.")
        else:
            found = "" if self._settings.folkform_customer_path else f"; {CUSTOMER_PATH} need not be set"
            self._report.ok("customer path", f"{self._folkform.customer_path}{found}")

    def _tell_pages(self, known: list[Page]) -> None:
        on = [page for page in known if page.is_sync]
        off = [page for page in known if not page.is_sync]
        if not on:
            detail = f"{len(known)}, none switched on{_named(': ', off)}"
            self._report.warn("pages", detail, "Switch a page on in FolkForm (isSync), or name one with --page.")
        elif off:
            self._report.ok("pages", f"{len(known)}, {len(on)} switched on{_named(': ', on)}{_named('; off: ', off)}")
        else:
            self._report.ok("pages", f"{len(known)}, all switched on{_named(': ', on)}")

    def _tell_unknown(self, page_ids: Sequence[str], known: list[Page]) -> None:
        there = [page.page_id for page in known]
        if unknown := [page_id for page_id in dict.fromkeys(page_ids) if page_id not in there]:
            step = f"It knows: {', '.join(there) or 'none'}."
            self._report.wrong("--page", f"FolkForm knows no page {', '.join(unknown)}", step, ExitCode.USAGE)

    def _mark_query(self, page_id: str) -> float:
        """How long it takes, seconds."""
        self._await_room()
        started = self._clock.monotonic()
        self._folkform.last_customers(page_id, SPAN)
        return self._clock.monotonic() - started

    def _tell_mark_query(self, took: float, field: TimeField) -> None:
        detail = f"{took:.1f} s" if took >= _SLOW else f"{took * 1000:.0f} ms"
        if took >= _SLOW:
            index = _index(self._folkform.customer_path, field)
            self._report.warn("mark query", detail, f"Have an index made where FolkForm keeps its data: {index}")
        else:
            self._report.ok("mark query", detail)


def _named(before: str, pages: list[Page]) -> str:
    if not pages:
        return ""
    names = [f"{page.name} ({page.page_id})" if page.name else page.page_id for page in pages[:_MOST_NAMED]]
    more = [f"{len(pages) - _MOST_NAMED} more"] if len(pages) > _MOST_NAMED else []
    return before + ", ".join([*names, *more])


def _index(customer_path: str, field: TimeField) -> str:
    """The mongosh command that makes the mark query fast."""
    collection = f"{customer_path.rpartition('/')[2].replace('-', '_')}s"
    key = f'"{field.path}"' if "." in field.path else field.path
    return f"db.{collection}.createIndex({{pageId: 1, {key}: -1}})"
