"""Durations in words."""

import pytest

from customer_sync.core.clock import ago, span_in_words

_DAY = 86_400


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (119.9, "119 s"),
        (120, "2 min"),
        (2 * 3600 - 1, "119 min"),
        (2 * 3600, "2 h"),
        (2 * _DAY - 1, "47 h"),
        (2 * _DAY, "2 d"),
        (730 * _DAY, "730 d"),
        (731 * _DAY, "2 years"),
        (3000 * 365.25 * _DAY, "3,000 years"),
    ],
)
def test_a_span(seconds: float, text: str) -> None:
    """A unit is used from two of it on, and nothing is rounded up."""
    assert span_in_words(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(240, "4 min ago"), (0.5, "0 s ago"), (-0.5, "0 s ago"), (-1, "in 1 s"), (-7200, "in 2 h")],
)
def test_how_long_ago(seconds: float, text: str) -> None:
    """A time may be in the future for a clock that is slow."""
    assert ago(seconds) == text
