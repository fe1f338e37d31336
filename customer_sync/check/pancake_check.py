"""A page in Pancake: whether its token works, whether it can be renewed, and whether its list is as the passes need."""

from dataclasses import replace
from itertools import pairwise

from customer_sync.check.user_tokens import UserTokenCheck, UserTokens
from customer_sync.config.settings import Settings
from customer_sync.core.clock import Clock
from customer_sync.core.command_line import command
from customer_sync.core.customer import read_customer
from customer_sync.core.errors import ExitCode, ServiceError, TokenRefused
from customer_sync.core.locks import PageLocks
from customer_sync.core.page import CORRECT_RECORD, Page
from customer_sync.results.findings import Finding, State, found_wrong
from customer_sync.services.factory import SWITCHED_OFF
from customer_sync.services.page_token import (
    NEW_ONE_REFUSED,
    PRESENT_ONE_REFUSED,
    RenewalDisabled,
    is_passing,
    no_user_token,
    renew_user_token,
)
from customer_sync.services.pancake import SERVICE as PANCAKE
from customer_sync.services.pancake import CustomerList, PancakeClient, blocked_by_proxy, is_user_token, refusal_of
from customer_sync.services.refused_tokens import RefusedTokens

_FIRST = 1
_UNKNOWN = "whether the user token is still valid is not known"


def check_page(
    page: Page, client: PancakeClient, user_tokens: UserTokenCheck, settings: Settings, clock: Clock
) -> list[Finding]:
    """Asks for the first batch of *page*, and about its user tokens. Returns the findings. Raises StopRequested."""
    if page.broken:
        what = f"{page.page_id} record"
        return [Finding(PANCAKE, what, State.WRONG, page.problem, CORRECT_RECORD, ExitCode.REFUSED)]
    if not page.page_access_token:
        return [_unusable_token(page, user_tokens.of(page), settings, "FolkForm's record holds no page token")]
    try:
        listed = client.get_customers(_FIRST, settings.page_size, 0, int(clock.now()) + 1)
    except TokenRefused as error:
        if blocked_by_proxy(error):
            return [found_wrong(PANCAKE, f"{page.page_id} list", error)]
        why = "the page token is a user token" if is_user_token(error) else "Pancake rejected the page token"
        detail = f"{why} ({error.server_message})" if error.server_message else why
        known = RefusedTokens(PageLocks(settings.lock_dir, clock).note("refused", page.page_id))
        is_known = known.holds(page.page_access_token, refusal_of(error))
        return [_unusable_token(page, user_tokens.of(page), settings, detail, is_known=is_known)]
    except ServiceError as error:
        return [found_wrong(PANCAKE, f"{page.page_id} list", error)]
    token = Finding(PANCAKE, f"{page.page_id} token", State.OK, "page token accepted")
    return [token, _renewal(page, user_tokens.of(page), settings), _order(page, listed), _total(page, listed)]


def _unusable_token(
    page: Page, user_tokens: UserTokens, settings: Settings, detail: str, *, is_known: bool = False
) -> Finding:
    """Whether the next pass gets another page token. *is_known* is whether a new one did not help in an earlier run."""
    what, present, unknown = f"{page.page_id} token", user_tokens.present, user_tokens.unknown
    obstacle = _obstacle(user_tokens, settings)
    if settings.renew_tokens and page.page_access_token:
        earlier = NEW_ONE_REFUSED if is_known else obstacle
        obstacle = PRESENT_ONE_REFUSED if present == page.page_access_token else earlier
    if present and present != page.page_access_token:
        step = "Nothing: the next pass takes the one that Pancake lists."
    elif obstacle:
        detail = f"{detail}, and {obstacle.reason}"
        return Finding(PANCAKE, what, State.WRONG, detail, obstacle.next_step, ExitCode.REFUSED)
    elif user_tokens.accepted or not unknown:
        step = f"Nothing: the next pass makes a new one with {user_tokens.accepted}."
    elif page.page_access_token and not is_passing(unknown):
        detail = f"{detail}; {_UNKNOWN}: {unknown.sentence}"
        step = "Nothing: the next pass tries to make a new one."
    else:
        found = found_wrong(PANCAKE, what, unknown)
        return replace(found, detail=f"{detail}; {_UNKNOWN}: {found.detail}")
    return Finding(PANCAKE, what, State.WARNING, detail, step)


def _renewal(page: Page, user_tokens: UserTokens, settings: Settings) -> Finding:
    """Whether a pass could make a new page token when this one dies."""
    what, accepted, obstacle = f"{page.page_id} renewal", user_tokens.accepted, _obstacle(user_tokens, settings)
    refusals = "; ".join(user_tokens.refusals)
    if obstacle in (SWITCHED_OFF, no_user_token()):
        return Finding(PANCAKE, what, State.OK, f"cannot be renewed: {obstacle.reason}")
    if accepted:
        also = f" ({refusals})" if refusals else ""
        return Finding(PANCAKE, what, State.OK, f"renewable with {accepted}{also}")
    if unknown := user_tokens.unknown:
        detail, step = f"{_UNKNOWN}: {unknown.sentence}", f"Run {command('check')} again later."
        return Finding(PANCAKE, what, State.WARNING, detail, step)
    detail = f"the page token works, but nothing could renew it: {refusals}"
    return Finding(PANCAKE, what, State.WARNING, detail, renew_user_token())


def _obstacle(user_tokens: UserTokens, settings: Settings) -> RenewalDisabled | None:
    """Why no user token makes a new page token; None where one does, or may."""
    if not settings.renew_tokens:
        return SWITCHED_OFF
    if user_tokens.accepted or user_tokens.unknown:
        return None
    if not user_tokens.refusals:
        return no_user_token()
    reason = f"no user token can make a new one: {'; '.join(user_tokens.refusals)}"
    return RenewalDisabled(reason, renew_user_token())


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
