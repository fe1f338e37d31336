"""How the two services behave: every difference between real deployments that the wire contract names."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_type_hints

from customer_sync.sandbox import typed

TokenRefusal = Literal[401, 403, 102, 103, 105, 106, 107]
"""How Pancake says that a token is no good: an HTTP status, or an error code in an HTTP 200."""


@dataclass
class Behaviour:
    """Read at every request, so a change counts from the next request on."""

    server: Literal["2026-04", "2025-12"] = "2026-04"
    """Which recorded FolkForm it answers as, see `tests/conformance/`; what follows are dialects beside those."""
    dialect: Literal["deployed", "guide", "older"] = "deployed"
    """What the times of a document mean, see `fb_customer`; it keeps the dialect it was written in."""
    found: Literal["list", "items"] = "list"
    """Whether `data` of a find is a list or `{"items": list}`, where null stands for an empty one."""
    customer_path: Literal["/customer", "/fb-customer"] | None = None
    """The only path of the customers; None: /fb-customer in 2026-04, in 2025-12 both, as two collections."""
    unique_psid: Literal["no", "everywhere", "per_page"] = "no"
    """Whether a psid is unique beside `customerId`: where the database took that index, or as the guide has it."""
    role_required: bool = True
    """Whether FolkForm wants the right X-Active-Role-ID."""
    wrong_role: Literal["refused", "empty"] = "refused"
    """What a wrong or missing role meets where one is required: a refusal, or a FolkForm that looks empty."""
    roles: Literal["list", "roles"] = "list"
    """Whether `data` of /auth/roles is a list or `{"roles": list}`."""
    sign_in_calls: int | None = None
    """Calls after which a bearer token that a sign-in gave is dead; None: it lives on."""
    sign_in_kills: bool = False
    """Whether a sign-in kills the bearer tokens that former ones gave."""
    folkform_limit: int | None = None
    """Requests that FolkForm takes from one address in a window, 100 say; None: any number."""
    folkform_window: float = 60.0
    """Seconds from the first request of FolkForm's window to its reset."""
    pancake_limit: int | None = None
    """Requests that Pancake takes for one page within any second, 5 say; None: any number."""
    pancake_429: Literal["status", "body"] = "status"
    """Whether Pancake says "too many requests" with HTTP 429, or with error_code 429 in an HTTP 200."""
    pancake_retry_after: str | None = None
    """The Retry-After that comes with it: seconds, an HTTP date, nonsense; None: no such header."""
    page_token_refusal: TokenRefusal | None = None
    """How Pancake refuses any page token that is no good; None: HTTP 200 with the code that fits."""
    user_token_refusal: TokenRefusal | None = None
    """The same for user tokens."""
    folkform_latency: float = 0.0
    """Seconds before every answer of FolkForm; requests wait side by side."""
    pancake_latency: float = 0.0
    """Seconds before every answer of Pancake; requests wait side by side."""
    window: Literal["updated_at", "inserted_at", "ignored"] = "updated_at"
    """The time that `since` and `until` look at when a list is ordered by `updated_at`."""
    window_precision: Literal["second", "exact"] = "second"
    """Whether `until=14:15:22` takes in 14:15:22.7: by the second it does, else it does not."""
    page_size_cut: int | None = None
    """What Pancake silently cuts a greater page_size to; None refuses one above 100 aloud."""
    total: bool = True
    """Whether Pancake's lists tell the `total` of the window."""
    changes_per_list: int = 0
    """Customers of the page that change after every list answer, most of them not listed yet."""
    pancake_clock_offset: float = 0.0
    """Seconds that Pancake's clock is ahead: its Date header and the `updated_at` of what changes."""
    deep_page_cost: float = 0.0
    """Seconds before a list answer for every row that its page_number passes over."""

    def as_dict(self) -> dict[str, Any]:
        """All settings by name, ready for JSON."""
        return asdict(self)

    def change(self, settings: Mapping[str, Any]) -> None:
        """Takes all *settings* or none: raises ValueError, naming the wrong one, without changing anything."""
        typed.check(settings, _TYPES)
        for name, value in settings.items():
            setattr(self, name, value)


_TYPES = get_type_hints(Behaviour)
