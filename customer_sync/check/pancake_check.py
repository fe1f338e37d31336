"""A page in Pancake: whether its token works, whether it can be renewed, and whether its list is as the passes need."""

from itertools import pairwise

from customer_sync.config.settings import Settings
from customer_sync.core.clock import Clock
from customer_sync.core.customer import read_customer
from customer_sync.core.errors import ExitCode, ServiceError, TokenRefused
from customer_sync.core.locks import PageLocks
from customer_sync.core.page import CORRECT_RECORD, Page
from customer_sync.results.findings import Finding, State, found_wrong
from customer_sync.services.factory import SWITCHED_OFF
from customer_sync.services.page_token import NEW_ONE_REFUSED, NO_USER_TOKEN, RenewalDisabled
from customer_sync.services.pancake import SERVICE as PANCAKE
from customer_sync.services.pancake import CustomerList, PancakeClient, blocked_by_proxy, is_user_token, refusal_of
from customer_sync.services.refused_tokens import RefusedTokens

_FIRST = 1


def check_page(page: Page, client: PancakeClient, settings: Settings, clock: Clock) -> list[Finding]:
    """Asks for the first batch of *page*, or for the user's pages where it has no token. Returns the findings. Raises
    StopRequested.
    """
    if page.broken:
        what = f"{page.page_id} record"
        return [Finding(PANCAKE, what, State.WRONG, page.problem, CORRECT_RECORD, ExitCode.REFUSED)]
    if not page.page_access_token:
        return [_missing_token(page, client, settings)]
    try:
        listed = client.get_customers(_FIRST, settings.page_size, 0, int(clock.now()) + 1)
    except TokenRefused as error:
        if blocked_by_proxy(error):
            return [found_wrong(PANCAKE, f"{page.page_id} list", error)]
        why = "the page token is a user token" if is_user_token(error) else "Pancake rejected the page token"
        answer = f" ({error.server_message})" if error.server_message else ""
        known = RefusedTokens(PageLocks(settings.lock_dir, clock).note("refused", page.page_id))
        is_known = known.holds(page.page_access_token, refusal_of(error))
        return [_unusable_token(page, settings, f"{why}{answer}", NEW_ONE_REFUSED if is_known else None)]
    except ServiceError as error:
        return [found_wrong(PANCAKE, f"{page.page_id} list", error)]
    token = Finding(PANCAKE, f"{page.page_id} token", State.OK, "page token accepted")
    return [token, _renewal(page, settings), _order(page, listed), _total(page, listed)]


def _missing_token(page: Page, client: PancakeClient, settings: Settings) -> Finding:
    """Whether Pancake answers as the next pass needs it, which will read or make a token."""
    user_token = page.access_token or settings.pancake_access_token
    try:
        if user_token:
            client.present_token(user_token)
    except ServiceError as error:
        if not isinstance(error, TokenRefused) or blocked_by_proxy(error):
            return found_wrong(PANCAKE, f"{page.page_id} token", error)
    return _unusable_token(page, settings, "FolkForm's record holds no page token")


def _unusable_token(page: Page, settings: Settings, detail: str, obstacle: RenewalDisabled | None = None) -> Finding:
    """*obstacle* is why no pass makes a new token, where more is known than the settings and the record."""
    what, obstacle = f"{page.page_id} token", _obstacle(page, settings) or obstacle
    if obstacle is None:
        step = f"Nothing: the next pass makes a new one with {_user_token(page, settings)}."
        return Finding(PANCAKE, what, State.WARNING, detail, step)
    return Finding(PANCAKE, what, State.WRONG, f"{detail}, and {obstacle.reason}", obstacle.next_step, ExitCode.REFUSED)


def _renewal(page: Page, settings: Settings) -> Finding:
    obstacle = _obstacle(page, settings)
    detail = f"cannot be renewed: {obstacle.reason}" if obstacle else f"renewable with {_user_token(page, settings)}"
    return Finding(PANCAKE, f"{page.page_id} renewal", State.OK, detail)


def _obstacle(page: Page, settings: Settings) -> RenewalDisabled | None:
    """Why no pass can make a new page token; None where one can."""
    if not settings.renew_tokens:
        return SWITCHED_OFF
    return None if _user_token(page, settings) else NO_USER_TOKEN


def _user_token(page: Page, settings: Settings) -> str:
    """Where the user token for a new page token comes from; empty where there is none."""
    if page.access_token:
        return "the record's user token"
    return "PANCAKE_ACCESS_TOKEN" if settings.pancake_access_token else ""


def _order(page: Page, listed: CustomerList) -> Finding:
    what = f"{page.page_id} order"
    customers = [read_customer(row, page.page_id) for row in listed.customers]
    times = [one.updated_at for one in customers if one.updated_at is not None]
    if any(later > earlier for earlier, later in pairwise(times)):
        detail = "Pancake did not list the newest customers first, although order_by=updated_at asks for it"
        step = "Ask Pancake's support; the passes stop at this page, because they could lose customers."
        return Finding(PANCAKE, what, State.WRONG, detail, step, ExitCode.REFUSED)
    detail = "newest first" if len(times) > 1 else "order unknown: fewer than two customers"
    return Finding(PANCAKE, what, State.OK, detail)


def _total(page: Page, listed: CustomerList) -> Finding:
    what = f"{page.page_id} total"
    if listed.total is None:
        step = "Nothing: the passes read until an empty batch."
        return Finding(PANCAKE, what, State.WARNING, "Pancake does not count the customers", step)
    return Finding(PANCAKE, what, State.OK, f"{listed.total:,} customers")
