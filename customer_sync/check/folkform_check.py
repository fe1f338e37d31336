"""FolkForm: token, role, pages, customers, watermark query and rate limit."""

import logging
from collections.abc import Sequence

from customer_sync.config.settings import Settings
from customer_sync.core.clock import Clock
from customer_sync.core.command_line import quoted
from customer_sync.core.errors import SettingsError, TokenRefused
from customer_sync.core.page import DELETE_RECORDS, Page, check_names
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
_MAX_NAMED = 10
# One call of the client may take so many requests.
_ROOM = 2
_TIME_IS_IN = {
    None: "none yet; where FolkForm keeps Pancake's time is unknown",
    PANCAKE_UPDATED_AT: "Pancake's time is in panCakeUpdatedAt",
    UPDATED_AT: "Pancake's time is in updatedAt",
    VERSION: "Pancake's time is in panCakeData.updated_at only; updatedAt is the time of the write",
}


class FolkFormCheck:
    """Asks FolkForm five to seven times."""

    def __init__(self, report: Report, services: Services, settings: Settings, clock: Clock) -> None:
        self._report = report
        self._services = services
        self._folkform = services.folkform
        self._settings = settings
        self._clock = clock

    def pages(self, page_ids: Sequence[str]) -> list[Page]:
        """Checks token, role and pages. Returns the pages named, else all that are switched on."""
        with self._report.step("token"):
            roles = self._folkform.roles() or []
        if roles:
            self._report_token()
        self._await_room()
        rejected = self._report.step("role" if roles else "token", TokenRefused)
        with self._report.step("pages"), rejected, self._report.step("role", SettingsError):
            known = self._services.pages()
        if not roles:
            self._report_token()
        self._report_role(roles)
        self._report_pages(known)
        try:
            check_names(page_ids, [page.page_id for page in known])
        except SettingsError as error:
            self._report.wrong("--page", error.problem, error.next_step, error.exit_code)
        return [page for page in known if (page.page_id in page_ids if page_ids else page.is_sync)]

    def customers(self, pages: Sequence[Page]) -> None:
        """Checks the customers' path and time field, and times the query that every pass starts with."""
        self._await_room()
        with self._report.step("customers"), self._report.step("customer path", SettingsError):
            field, seconds = self._folkform.time_field(), None
            if pages and field:
                self._await_room()
                started = self._clock.monotonic()
                self._folkform.last_customers(pages[0].page_id, SPAN)
                seconds = self._clock.monotonic() - started
                field = self._folkform.time_field()  # The query may have found another one.
            elsewhere = self._folkform.count_elsewhere()
        self._report_path(elsewhere)
        self._report.ok("customers", _TIME_IS_IN[field])
        if seconds is not None and field is not None:
            self._report_watermark_query(seconds, field)

    def limit(self) -> None:
        """Reports FolkForm's rate limit, as its last answer has it."""
        allowance = self._services.folkform_limiter.allowance()
        if allowance is None:
            self._report.ok("limit", "no rate limit reported")
            return
        left = f"{allowance.left} left; it resets in {allowance.resets_in:.0f} s"
        self._report.ok("limit", f"{allowance.limit} requests per window, {left}")

    def _await_room(self) -> None:
        """Waits for FolkForm's rate limit here, where the wait is printed and no query is timed."""
        allowance = self._services.folkform_limiter.allowance()
        if allowance and allowance.left < _ROOM and allowance.resets_in > 1:
            log.info("FolkForm's rate limit is used up: waiting %.0f s until it resets", allowance.resets_in)
            self._clock.sleep(allowance.resets_in)

    def _report_token(self) -> None:
        how = "" if self._settings.folkform_token else f", signed in as {self._settings.folkform_email}"
        self._report.ok("token", f"accepted{how}")

    def _report_role(self, roles: list[Role]) -> None:
        given, used = self._settings.folkform_role_id, self._folkform.role_id
        known = {role.role_id: role for role in roles}
        shown = str(known.get(used or "", used))
        if used is None:
            self._report.ok("role", "not set; FolkForm lists its pages without one")
        elif given and used != given:
            step = f"Set {ROLE}={quoted(used)}."
            self._report.warn("role", f"{given} is not a role of the user; using {shown}", step)
        elif not roles:
            self._report.ok("role", f"{used}; FolkForm does not list the user's roles")
        elif used not in known:
            self._report.warn("role", f"{used} is not a role of the user, but FolkForm accepts it", choose(roles))
        elif len(roles) == 1:
            unneeded = "" if given else f"; {ROLE} can stay unset"
            self._report.ok("role", f"{shown}, the user's only one{unneeded}")
        else:
            others = ", ".join(known.keys() - {used})
            self._report.ok("role", f"{shown}, one of the user's {len(roles)}; the others: {others}")

    def _report_path(self, elsewhere: int) -> None:
        """*elsewhere* is how many customers FolkForm keeps at the newer path, where the older one is used."""
        if elsewhere:
            detail = f"{PATH}; {NEWER_PATH} has {elsewhere:,} more, written by other programs"
            self._report.warn("customer path", detail, f"Set {CUSTOMER_PATH}={NEWER_PATH} to write there.")
        else:
            unneeded = "" if self._settings.folkform_customer_path else f"; {CUSTOMER_PATH} can stay unset"
            self._report.ok("customer path", f"{self._folkform.customer_path}{unneeded}")

    def _report_pages(self, known: list[Page]) -> None:
        on = [page for page in known if page.is_sync]
        off = [page for page in known if not page.is_sync]
        detail = f"{len(known)}, {len(on)} switched on{_named(': ', on)}{_named('; off: ', off)}"
        for page in known:
            if page.several_records:
                self._report.warn(f"{page.records} records", page.several_records, DELETE_RECORDS)
        if on:
            self._report.ok("pages", detail)
        else:
            self._report.warn("pages", detail, "Switch a page on in FolkForm (isSync), or name one with --page.")

    def _report_watermark_query(self, seconds: float, field: TimeField) -> None:
        detail = f"{seconds:.1f} s" if seconds >= _SLOW else f"{seconds * 1000:.0f} ms"
        if seconds >= _SLOW:
            index = _index(self._folkform.customer_path, field)
            self._report.warn("watermark query", detail, f"Create an index in FolkForm's database: {index}")
        else:
            self._report.ok("watermark query", detail)


def _named(before: str, pages: list[Page]) -> str:
    if not pages:
        return ""
    names = [f"{page.name} ({page.page_id})" if page.name else page.page_id for page in pages[:_MAX_NAMED]]
    more = [f"{len(pages) - _MAX_NAMED} more"] if len(pages) > _MAX_NAMED else []
    return before + ", ".join([*names, *more])


def _index(customer_path: str, field: TimeField) -> str:
    """The mongosh command that makes the watermark query fast."""
    collection = f"{customer_path.rpartition('/')[2].replace('-', '_')}s"
    key = f'"{field.path}"' if "." in field.path else field.path
    return f"db.{collection}.createIndex({{pageId: 1, {key}: -1}})"
