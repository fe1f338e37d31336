"""How the two services behave: every difference between real deployments that the wire contract names."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints


@dataclass
class Behaviour:
    """Read at every request, so a change counts from the next request on."""

    dialect: Literal["deployed", "guide", "older"] = "deployed"
    """What the times of a document mean, see `fb_customer`; it keeps the dialect it was written in."""
    found: Literal["list", "items"] = "list"
    """Whether `data` of a find is a list or `{"items": list}`, where null stands for an empty one."""
    customer_path: Literal["/customer", "/fb-customer"] = "/customer"
    """Where FolkForm keeps Pancake's customers."""
    role_required: bool = False
    """Whether FolkForm refuses requests without the right X-Active-Role-ID."""
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
        for name, value in settings.items():
            if name not in _TYPES:
                raise ValueError(f"there is no setting {name!r}")
            if not _fits(value, _TYPES[name]):
                raise ValueError(f"{name} cannot be {value!r}")
        for name, value in settings.items():
            setattr(self, name, value)


_TYPES = get_type_hints(Behaviour)


def _fits(value: Any, kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return isinstance(value, str) and value in get_args(kind)
    if get_origin(kind) is UnionType:
        return any(_fits(value, option) for option in get_args(kind))
    if kind in (int, float):
        accepted = (int,) if kind is int else (int, float)
        return isinstance(value, accepted) and not isinstance(value, bool)
    return isinstance(value, kind)
