"""Where a pass starts and ends, as a table: decided before anything is read or written."""

import pytest

from customer_sync.core.clock import local_time
from customer_sync.core.customer import Window
from customer_sync.services.documents import StoredVersion
from customer_sync.sync.plan import LOOK_BACK, PassOptions, Plan, plan_backfill, plan_incremental

DAY = 86_400
NOW = 1_700_000_000
SPAN = 3


def stored(*ages: int) -> list[StoredVersion]:
    """Customers that FolkForm stores, changed so many seconds ago."""
    return [StoredVersion(f"c{age}", f"v{age}", NOW - age) for age in ages]


FULL = stored(10, 20, 30)
FEW = stored(10, 20)
_GAP = [f"--until {local_time(5)} would leave a gap: this pass starts above it"]


@pytest.mark.parametrize(
    ("newest", "oldest", "options", "more", "since", "until"),
    [
        pytest.param([], None, {}, {}, NOW - 30 * DAY, NOW, id="nothing stored: 30 days"),
        pytest.param(FEW, None, {}, {}, NOW - 30 * DAY, NOW, id="few stored: 30 days"),
        pytest.param(stored(5, 90 * DAY), None, {}, {}, NOW - 90 * DAY, NOW, id="few stored: the oldest of them"),
        pytest.param(FULL, 0, {}, {}, NOW - 30, NOW, id="the watermark"),
        pytest.param(FULL, NOW - DAY, {}, {"overlap": 60}, NOW - 90, NOW, id="overlap lowers the start"),
        pytest.param(FULL, NOW - 40, {}, {"overlap": 60}, NOW - 40, NOW, id="but not below the oldest watermark"),
        pytest.param(FULL, None, {}, {"overlap": LOOK_BACK}, NOW - 30 - 7 * DAY, NOW, id="the look-back is 7 days"),
        pytest.param(FULL, NOW - DAY, {"since": NOW - 500}, {}, NOW - 500, NOW, id="--since lowers the start"),
        pytest.param(FULL, NOW - DAY, {"since": NOW - 5}, {}, NOW - 30, NOW, id="--since does not raise it"),
        pytest.param(FULL, NOW - DAY, {"since": 0}, {}, NOW - DAY, NOW, id="--since below all that is stored"),
        pytest.param(FULL, None, {"until": NOW - 25}, {}, NOW - 30, NOW - 25, id="--until lowers the end"),
        pytest.param(FULL, None, {"until": NOW + 99}, {}, NOW - 30, NOW, id="--until does not raise it"),
        pytest.param(FULL, None, {"until": NOW - 99}, {}, NOW - 30, NOW - 99, id="an empty window"),
        pytest.param(
            FEW, None, {}, {"covered_from": NOW + 50}, NOW + 50, NOW, id="our clock is behind what is covered"
        ),
        pytest.param([], None, {"since": -5}, {}, 0, NOW, id="never below 0"),
    ],
)
def test_incremental_window(
    newest: list[StoredVersion],
    oldest: int | None,
    options: dict[str, int],
    more: dict[str, int],
    since: int,
    until: int,
) -> None:
    """Options may lower both ends of the window, never open a gap."""
    plan = plan_incremental(newest, lambda: oldest, NOW, PassOptions(**options), span=SPAN, **more)  # type: ignore[arg-type]
    assert plan.window == Window(since, until)


def test_the_oldest_watermark_is_asked_only_for_an_earlier_start() -> None:
    """It costs a request."""

    def unexpected() -> int:
        raise AssertionError

    plan_incremental(FULL, unexpected, NOW, PassOptions(since=NOW), span=SPAN)


@pytest.mark.parametrize(("newest", "bound_from"), [(FULL, NOW - 30), (FEW, None)], ids=["watermark", "too few"])
def test_where_the_span_rule_binds(newest: list[StoredVersion], bound_from: int | None) -> None:
    """Above the watermark; everywhere while too few customers are stored to be one."""
    assert plan_incremental(newest, lambda: None, NOW, PassOptions(), span=SPAN).bound_from == bound_from


@pytest.mark.parametrize(
    ("oldest", "options", "plan"),
    [
        pytest.param(FEW, {}, Plan(Window(0, NOW - 1), None, None), id="few stored: from the top"),
        pytest.param(FULL, {}, Plan(Window(0, NOW - 10), NOW - 10, NOW - 10), id="the watermark"),
        pytest.param(FULL, {"since": 7}, Plan(Window(7, NOW - 10), NOW - 10, NOW - 10), id="--since ends it"),
        pytest.param(FULL, {"until": NOW - 5}, Plan(Window(0, NOW - 5), NOW - 10, NOW - 10), id="--until raises it"),
        pytest.param(
            FULL, {"until": 5}, Plan(Window(0, NOW - 10), NOW - 10, NOW - 10, _GAP), id="--until opens no gap"
        ),
        pytest.param(FEW, {"until": 5}, Plan(Window(0, NOW - 1), None, None, _GAP), id="--until, few stored"),
        pytest.param(FULL, {"until": 2 * NOW}, Plan(Window(0, NOW - 1), NOW - 10, NOW - 10), id="not above the top"),
        pytest.param(FULL, {"full": True}, Plan(Window(0, NOW - 1), NOW - 10, NOW - 10), id="--full: from the top"),
        pytest.param(
            FULL, {"full": True, "until": NOW - 5}, Plan(Window(0, NOW - 5), NOW - 10, NOW - 10), id="--full --until"
        ),
    ],
)
def test_backfill_plan(oldest: list[StoredVersion], options: dict[str, int], plan: Plan) -> None:
    """From the oldest watermark down; below the watermark a start would leave a gap."""
    assert plan_backfill(oldest, NOW, PassOptions(**options), span=SPAN) == plan  # type: ignore[arg-type]
