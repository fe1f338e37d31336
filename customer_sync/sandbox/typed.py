"""A check of JSON settings: names and types."""

from collections.abc import Mapping
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin


def check(settings: Mapping[str, Any], types: Mapping[str, Any]) -> None:
    """Raises ValueError, naming the invalid one, unless all *settings* have names and values of *types*."""
    for name, value in settings.items():
        if name not in types:
            raise ValueError(f"there is no setting {name!r}")
        if not _fits(value, types[name]):
            raise ValueError(f"{name} cannot be {value!r}")


def _fits(value: Any, kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return any(type(value) is type(option) and value == option for option in get_args(kind))
    if get_origin(kind) in (Union, UnionType):
        return any(_fits(value, option) for option in get_args(kind))
    if kind in (int, float):
        accepted = (int,) if kind is int else (int, float)
        return isinstance(value, accepted) and not isinstance(value, bool)
    return isinstance(value, kind)
