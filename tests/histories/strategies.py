"""What is drawn: worlds so small that ties, short lists and full spans are common, and what happens in them."""

from hypothesis import strategies as st

from customer_sync.sync.passes import BACKFILL, INCREMENTAL
from tests.histories.folkform import Dialect, Trouble
from tests.histories.happenings import (
    Appear,
    Change,
    Deletion,
    EmptyAnswer,
    Fault,
    Happening,
    Kill,
    OtherWrite,
    Recovery,
    Refusal,
    Stop,
    TimePasses,
    WrongClock,
)
from tests.histories.pancake import Defect, PancakeKind, Psid, TimeText, Window
from tests.histories.process import Moment, Plan
from tests.histories.world import Group, Kind, Turn

DAY = 86_400
MONTHS = 31.0 * DAY
FOREVER = 1_000_000

# Commits come at most a second late.
late = st.sampled_from([0.0, 0.0, 0.4, 1.0])
whiles = st.sampled_from([5.0, 5.0, 1.0, 0.3, 0.7, 3.0, 100.0])
long_whiles = st.sampled_from([5.0, 1.0, 0.3, 0.7, 2.0, 3.0, 100.0, 4000.0, MONTHS])
indexes = st.integers(0, 15)
counts = st.sampled_from([1, 1, 1, 2, 3, 6])
newcomers = st.sampled_from([1, 1, 2, 4])

pancake_kinds = st.builds(
    PancakeKind,
    window=st.sampled_from(Window),
    sends_total=st.booleans(),
    largest=st.sampled_from([100, 100, 2, 3]),
    texts=st.sampled_from([(TimeText.MICROSECONDS,), (TimeText.SECONDS,), tuple(TimeText)]),
)
kinds = st.builds(
    Kind,
    pancake=pancake_kinds,
    dialect=st.sampled_from(Dialect),
    page_ids=st.sampled_from([("A",), ("A",), ("A", "B")]),
    page_size=st.sampled_from([2, 3, 4, 6]),
    span=st.sampled_from([1, 2, 2, 4, 5, 6]),
    workers=st.integers(1, 4),
    overlap=st.sampled_from([0, 0, 0, 3]),
    largest_slice=st.sampled_from([2000, 2000, 6]),
    read_ahead=st.integers(0, 2),
    call_takes=st.sampled_from([0.1, 0.0, 0.6]),
    common_lock=st.sampled_from([True, True, False]),
    other_writers=st.sampled_from([False, False, True]),
)
groups = st.builds(
    Group,
    page=st.integers(0, 1),
    after=st.sampled_from([0.1, 0.5, 1.0, 1.0, 3.0, 60.0, MONTHS]),
    count=st.sampled_from([1, 2, 3, 6]),
    defect=st.sampled_from([None, None, None, None, None, Defect.NO_ID, Defect.NO_TIME]),
    psid=st.sampled_from([Psid.ALWAYS, Psid.ALWAYS, Psid.ALWAYS, Psid.NEVER, Psid.LATER, Psid.NUMBER]),
)
populations = st.lists(groups, min_size=2, max_size=8)
held = st.sampled_from([0, 2, 6, 8, 100])
"""How many of the latest customers of each page FolkForm has at the beginning."""
settled_for = st.sampled_from([5.0, 0.3, 100.0, MONTHS])

changes = st.builds(Change, first=indexes, count=counts, late=late)
psids = st.sampled_from([Psid.ALWAYS, Psid.ALWAYS, Psid.NEVER, Psid.LATER])
appearances = st.builds(Appear, page=st.integers(0, 1), count=newcomers, late=late, psid=psids)
time_passes = st.builds(TimePasses, seconds=whiles)
daily = st.one_of(changes, time_passes, appearances)
trouble = st.one_of(
    st.builds(Refusal, index=indexes, trouble=st.sampled_from(Trouble)),
    st.just(Recovery()),
    st.builds(OtherWrite, index=indexes, previous=st.booleans(), knows_time=st.booleans()),
    st.builds(WrongClock, ahead=st.sampled_from([0.0, 3.0, -3.0, 100.0, -100.0, 4000.0])),
)
deletions = st.builds(Deletion, index=indexes)
long_whiles_pass = st.builds(TimePasses, seconds=long_whiles)
long_periods = st.lists(st.one_of(changes, appearances, long_whiles_pass, changes, trouble, deletions), max_size=5)

faults = st.builds(
    Fault,
    service=st.sampled_from(["FolkForm", "FolkForm", "Pancake"]),
    calls=st.sampled_from([1, 2, 8]),
    arrive=st.booleans(),
)
kills = st.builds(
    Kill, survivors=st.integers(0, 15).map(lambda bits: tuple(bool(bits & 1 << number) for number in range(4)))
)
soon_or_late = st.integers(0, 9) | st.integers(0, 25)
calls = st.builds(Moment, calls=soon_or_late)
upserts = st.builds(Moment, calls=soon_or_late, upserts_only=st.just(True))
# A customer changes at nearly every call.
rushes = st.builds(
    lambda first, step, calls: [(Moment(calls), Change(first + step * number)) for number in range(8)],
    first=indexes,
    step=st.integers(1, 5),
    calls=st.integers(1, 2),
)
incidents = st.one_of(
    st.lists(st.tuples(calls, daily), max_size=4),
    rushes,
    st.lists(st.tuples(calls | upserts, faults), max_size=2),
    st.lists(st.tuples(calls | upserts, trouble | st.just(EmptyAnswer())), max_size=2),
)
ends: st.SearchStrategy[list[tuple[Moment, Happening]]] = st.one_of(
    st.just([]),
    st.tuples(upserts, kills).map(lambda one: [one]),
    st.tuples(calls | upserts, kills | st.just(Stop())).map(lambda one: [one]),
)
happenings = st.builds(lambda incidents, end: (*incidents, *end), incidents, ends)
ago = st.none() | st.sampled_from([0, 1, 5, 60, 4000, 32 * DAY, 400 * DAY])
# At random, or the first one after all others. Bytes, because one draw is cheaper than many.
arrivals = st.one_of(
    st.binary(max_size=12).map(lambda drawn: tuple(byte % 4 for byte in drawn)),
    st.integers(0, 12).map(lambda count: (1,) * count),
)


killed_passes = st.builds(
    lambda name, arrivals, moment, kill: Plan(name, arrivals=arrivals, happenings=((moment, kill),)),
    name=st.sampled_from([BACKFILL, BACKFILL, INCREMENTAL]),
    arrivals=arrivals,
    moment=upserts,
    kill=kills,
)


@st.composite
def plans(draw: st.DrawFn, name: str | None = None) -> Plan:
    """A run as the command line allows it."""
    name = name or draw(st.sampled_from([INCREMENTAL, INCREMENTAL, BACKFILL]))
    by_hand = draw(st.sampled_from([False, False, True]))
    full = by_hand and name == BACKFILL and draw(st.booleans())
    since, until = (draw(ago), draw(ago)) if by_hand else (None, None)
    if since is not None and until is not None and since < until:
        since, until = until, since
    return Plan(
        name,
        full=full,
        rewrite=full and draw(st.booleans()),
        dry_run=by_hand and draw(st.sampled_from([False, False, True])),
        since=since,
        until=until,
        page=draw(st.integers(0, 1)) if by_hand and (full or name == INCREMENTAL) and draw(st.booleans()) else None,
        arrivals=draw(arrivals),
        happenings=draw(happenings),
    )


turns = st.lists(
    st.builds(
        Turn,
        process=st.integers(0, 2),
        calls=st.sampled_from([1, 2, 3, 5, 8, FOREVER]),
        then=st.lists(daily | faults, max_size=2).map(tuple),
    ),
    max_size=8,
)
together = st.one_of(
    st.tuples(plans(BACKFILL), plans(INCREMENTAL)),
    st.lists(plans(), min_size=2, max_size=3).map(tuple),
)


@st.composite
def overtakings(draw: st.DrawFn) -> tuple[tuple[Plan, ...], list[Turn]]:
    """While a backfill has read some customers, one of them changes, others come, and an incremental copies all."""
    changed = (Change(draw(indexes)), TimePasses(2.0), Appear(0, count=6), TimePasses(5.0))
    before, after, rewrite = draw(st.integers(3, 20)), draw(st.integers(1, 8)), draw(st.booleans())
    end = draw(st.just(()) | st.tuples(st.tuples(st.just(Moment(before + after)), kills)))
    backfill = Plan(BACKFILL, full=rewrite, rewrite=rewrite, arrivals=draw(arrivals), happenings=end)
    return (backfill, Plan(INCREMENTAL)), [Turn(0, before, changed), Turn(1, FOREVER), Turn(0, FOREVER)]
