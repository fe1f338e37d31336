"""The three dialects of a document's times."""

import time
from typing import Any

import pytest

from .services import Services

PANCAKE_TIME = 1765103003123


def test_deployed(services: Services) -> None:
    """Deployed servers have both times, and lose the time of the first write."""
    first = written(services, "deployed")
    assert first["panCakeUpdatedAt"] == PANCAKE_TIME
    assert first["updatedAt"] == first["createdAt"]
    assert is_now(first["updatedAt"])
    services.sandbox.folkform.store({**first, "createdAt": 5, "updatedAt": 5})
    again = written(services, "deployed")
    assert is_now(again["createdAt"])


def test_guide(services: Services) -> None:
    """In the guide's dialect updatedAt is Pancake's time."""
    document = written(services, "guide")
    assert document["updatedAt"] == PANCAKE_TIME
    assert "panCakeUpdatedAt" not in document


def test_older(services: Services) -> None:
    """Older servers have the time of the write only, and keep that of the first."""
    document = written(services, "older")
    assert is_now(document["updatedAt"])
    assert "panCakeUpdatedAt" not in document
    services.sandbox.folkform.store({**document, "createdAt": 5, "updatedAt": 5})
    again = written(services, "older")
    assert (again["createdAt"], is_now(again["updatedAt"])) == (5, True)


@pytest.mark.parametrize(("dialect", "field"), [("deployed", "panCakeUpdatedAt"), ("guide", "updatedAt")])
def test_no_time(services: Services, dialect: str, field: str) -> None:
    """An unreadable time is stored as 0."""
    assert written(services, dialect, updated_at="yesterday")[field] == 0
    assert written(services, dialect, updated_at=None)[field] == 0


@pytest.mark.parametrize(("dialect", "field"), [("deployed", "panCakeUpdatedAt"), ("guide", "updatedAt")])
@pytest.mark.parametrize(
    "text",
    ["2025-12-07T10:23:23.123456", "2025-12-07T10:23:23.123Z", "2025-12-07T17:23:23.123999999+07:00"],
)
def test_reads_every_layout(services: Services, dialect: str, field: str, text: str) -> None:
    """Pancake's time is stored in whole milliseconds, rounded down, whatever its layout."""
    assert written(services, dialect, updated_at=text)[field] == PANCAKE_TIME


def test_marks_of_a_page(services: Services) -> None:
    """The guide's two queries find the newest and the oldest customer."""
    services.sandbox.behaviour.dialect = "guide"
    for psid, day in {"new": 9, "old": 1, "middle": 5}.items():
        services.upsert(services.customer(psid, f"2025-12-0{day}T00:00:00"))
    assert services.found({}, {"sort": {"updatedAt": -1}, "limit": 1}) == ["new"]
    assert services.found({}, {"sort": {"updatedAt": 1}, "limit": 1}) == ["old"]


def written(services: Services, dialect: str, updated_at: Any = "2025-12-07T10:23:23.123456") -> Any:
    services.sandbox.behaviour.change({"dialect": dialect})
    return services.upsert(services.customer("7", updated_at)).json()["data"]


def is_now(milliseconds: int) -> bool:
    return abs(time.time() * 1000 - milliseconds) < 10_000
