"""The SPAN rule as a table: which upsert may start, so that a killed pass leaves no hole beyond the watermark."""

from collections.abc import Iterable

import pytest

from customer_sync.sync.span_rule import SpanRule, max_ahead

SPAN = 15
"""Fewer than five customers may be stored beyond the first unfinished one."""


def rule(
    stored: Iterable[int] = (),
    started: Iterable[int] = (),
    finished: Iterable[int] = (),
    bound_from: int | None = None,
    span: int = SPAN,
) -> SpanRule:
    """A rule at the moment when these upserts have started and finished."""
    one = SpanRule(span, stored, bound_from)
    for place in started:
        one.start(place)
    for place in finished:
        one.finish(place)
    return one


@pytest.mark.parametrize(
    ("state", "place", "may_start"),
    [
        pytest.param(rule(), 7, True, id="the first customer"),
        pytest.param(rule(stored=range(100, 120)), 7, True, id="the first, though many are stored beyond"),
        pytest.param(rule(started=[7, 8, 9, 10]), 11, True, id="the fourth beyond the first unfinished"),
        pytest.param(rule(started=[7, 8, 9, 10, 11]), 12, False, id="the fifth beyond it"),
        pytest.param(rule(started=[7, 8, 9, 10, 11], finished=[9, 10, 11]), 12, False, id="finished ones count"),
        pytest.param(rule(started=[7, 8, 9, 10, 11], finished=[7]), 12, True, id="the first has finished"),
        pytest.param(rule(started=[7, 8, 9, 10, 11], finished=[7, 8]), 15, True, id="the first two have finished"),
        pytest.param(rule(started=range(7, 12), finished=range(7, 12)), 12, True, id="all have finished"),
        pytest.param(rule(stored=[40, 41, 42], started=[7]), 8, True, id="three stored beyond leave one"),
        pytest.param(rule(stored=[40, 41, 42], started=[7, 8]), 9, False, id="and no second one"),
        pytest.param(rule(stored=range(7), started=[7, 8, 9, 10]), 11, True, id="those stored before do not count"),
        pytest.param(rule(stored=[7] * 9, started=[7, 8, 9, 10]), 11, True, id="those stored at its place neither"),
        pytest.param(rule(started=[7] * 9), 7, True, id="ties are not beyond each other"),
        pytest.param(rule(started=[7] * 9, finished=[7] * 8), 8, True, id="nor do they count as beyond"),
        pytest.param(rule(started=[7, 7], span=1), 7, True, id="a span of one: ties"),
        pytest.param(rule(started=[7], span=1), 8, False, id="a span of one: one place at a time"),
        pytest.param(rule(started=[7, 8], span=4), 9, False, id="a span of four: one beyond"),
        pytest.param(rule(started=range(7, 30), bound_from=30), 30, True, id="those before bound_from do not bind"),
        pytest.param(rule(started=range(7, 35), bound_from=30), 35, False, id="those from there on do"),
    ],
)
def test_which_upsert_may_start(state: SpanRule, place: int, may_start: bool) -> None:
    """A third of SPAN, less one, may be stored beyond the first unfinished customer."""
    assert state.may_start(place) is may_start


@pytest.mark.parametrize("span", [1, 2, 3, 4, 5, 49, 50, 51, 300])
def test_three_passes_together_stay_below_the_span(span: int) -> None:
    """Passes that share no lock and are killed together store fewer than SPAN customers beyond a missing one."""
    assert 3 * (max_ahead(span) - 1) < span
    assert 3 * max_ahead(span) >= span
