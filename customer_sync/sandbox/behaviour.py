"""How the two services behave: every difference between real deployments in the wire contract."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_type_hints

from customer_sync.sandbox import typed

TokenRefusal = Literal[401, 403, 102, 103, 105, 106, 107]
"""How Pancake rejects a token: an HTTP status, or an error code in an HTTP 200."""


@dataclass
class Behaviour:
    """Read at every request, so a change takes effect with the next request."""

    server: Literal["2026-04", "2025-12"] = "2026-04"
    """Which recorded FolkForm answers, see `tests/conformance/`; the settings below are variants of it."""
    dialect: Literal["deployed", "guide", "older"] = "deployed"
    """What the times of a document mean, see `fb_customer`; a stored document keeps its dialect."""
    found: Literal["list", "items"] = "list"
    """Whether `data` of a find is a list or `{"items": list}`, with null for an empty one."""
    customer_path: Literal["/customer", "/fb-customer"] | None = None
    """The only path of the customers; None: /fb-customer in 2026-04, both in 2025-12, as two collections."""
    unique_psid: Literal["no", "everywhere", "per_page"] = "no"
    """Whether a psid is unique in addition to `customerId`: in the whole collection, or per page as in the guide."""
    role_required: bool = True
    """Whether FolkForm requires a valid X-Active-Role-ID."""
    wrong_role: Literal["refused", "empty"] = "refused"
    """What a request with a wrong or missing role gets: an error, or a FolkForm that looks empty."""
    roles: Literal["list", "roles"] = "list"
    """Whether `data` of /auth/roles is a list or `{"roles": list}`."""
    sign_in_calls: int | None = None
    """Calls after which a bearer token from a sign-in expires; None: it never does."""
    sign_in_kills: bool = False
    """Whether a sign-in revokes the bearer tokens of earlier ones."""
    folkform_limit: int | None = None
    """Requests per window that FolkForm accepts from one address, such as 100; None: no limit."""
    folkform_window: float = 60.0
    """Seconds from the first request of FolkForm's window to its reset."""
    pancake_limit: int | None = None
    """Requests per second that Pancake accepts for one page, such as 5; None: no limit."""
    pancake_429: Literal["status", "body"] = "status"
    """Whether "too many requests" is HTTP 429, or error_code 429 in an HTTP 200."""
    pancake_retry_after: str | None = None
    """Its Retry-After header: seconds, an HTTP date, or anything else; None: no header."""
    page_token_refusal: TokenRefusal | None = None
    """How Pancake rejects an invalid page token; None: HTTP 200 with the fitting code."""
    user_token_refusal: TokenRefusal | None = None
    """The same for user tokens."""
    shows_page_tokens: bool = False
    """Whether Pancake's list of a user's pages contains each page's token, as long as that is valid."""
    ignores_page_id: Literal["no", "customers", "records"] = "no"
    """Whether FolkForm ignores the `pageId` of a filter, or the one that a page record is asked for by."""
    folkform_latency: float = 0.0
    """Seconds before every answer of FolkForm; requests wait in parallel."""
    pancake_latency: float = 0.0
    """Seconds before every answer of Pancake; requests wait in parallel."""
    window: Literal["updated_at", "inserted_at", "ignored"] = "updated_at"
    """The time that `since` and `until` filter when a list is ordered by `updated_at`."""
    window_precision: Literal["second", "exact"] = "second"
    """Whether `until=14:15:22` includes 14:15:22.7: `second` does, `exact` does not."""
    until_step: int = 1
    """Seconds to which Pancake rounds `until` down, such as 60 or 86400."""
    until_early: int = 0
    """Seconds that Pancake's `until` is too early, such as 25200 for another zone."""
    page_size_cut: int | None = None
    """The page_size to which Pancake silently cuts a larger one; None: above 100 is an error."""
    total: bool = True
    """Whether Pancake's lists contain the `total` of the window."""
    changes_per_list: int = 0
    """How many customers of the page change after every list answer; most of them are not listed yet."""
    pancake_clock_offset: float = 0.0
    """Seconds that Pancake's clock is ahead: its Date header and the `updated_at` of what changes."""
    pancake_date_offset: float = 0.0
    """Seconds that only its Date header is ahead of its clock, such as -600 behind a cache."""
    deep_page_cost: float = 0.0
    """Seconds before a list answer for every row that its page_number skips."""

    def as_dict(self) -> dict[str, Any]:
        """All settings by name, ready for JSON."""
        return asdict(self)

    def change(self, settings: Mapping[str, Any]) -> None:
        """Changes all *settings*. Raises ValueError, naming the invalid one, and then changes none."""
        typed.check(settings, _TYPES)
        for name, value in settings.items():
            setattr(self, name, value)


_TYPES = get_type_hints(Behaviour)
