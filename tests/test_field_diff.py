"""The fields in which two versions differ, and what is shown of them."""

from typing import Any

import pytest

from customer_sync.results.field_diff import Difference, differences, masked


@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [
        ("name", "Mai Thảo", "text of 8 characters"),
        ("name", "M", "text of 1 character"),
        ("psid", "2514", "2514"),
        ("psid", {"name": "Mai"}, "object of 1 field"),
        ("gender", "female", "female"),
        ("updated_at", "2026-01-31T00:00:00", "2026-01-31T00:00:00"),
        ("phone_numbers", ["0987", "0123"], "list of 2"),
        ("birthday", 19900101, "number"),
        ("return_rate", 0.5, "number"),
        ("is_vip", False, "false"),
        ("email", None, "null"),
    ],
)
def test_masked(field: str, value: Any, shown: str) -> None:
    """Only values that identify no person are shown; of all others, the kind."""
    assert masked(field, value) == shown


def test_differences() -> None:
    """Values that are not the same JSON differ, even if their kinds are equal."""
    pancake = {"a": 1, "b": True, "c": "xy", "d": None, "e": [1], "f": {"y": 1, "x": 2}, "g": 2**60}
    folkform = {"a": True, "b": True, "c": "yx", "e": [2], "f": {"x": 2, "y": 1}, "g": 2**60 + 1, "h": 0}
    assert differences(pancake, pancake) == []
    assert differences(pancake, folkform) == [
        Difference("a", "number", "true"),
        Difference("c", "text of 2 characters", "another text of 2 characters"),
        Difference("d", "null", "absent"),
        Difference("e", "list of 1", "another list of 1"),
        Difference("g", "number", "another number"),
        Difference("h", "absent", "number"),
    ]


@pytest.mark.parametrize(
    ("pancake", "folkform"),
    [
        (2**63, 9223372036854776000),
        (10**30, 1e30),
        (1.0, 1),
        (-0.0, 0),
        ("\ud83d!", "\ufffd!"),
        ([{"a\udc00": 2.0}], [{"a\ufffd": 2}]),
    ],
)
def test_what_folkform_cannot_keep_is_no_difference(pancake: Any, folkform: Any) -> None:
    """No pass could write it so that FolkForm returns it unchanged."""
    assert differences({"x": pancake}, {"x": folkform}) == []
