"""An incremental's window in slices: oldest first, complete, and small enough to be held."""

import random
from collections.abc import Iterable, Iterator
from math import log2

import pytest

from customer_sync.core.customer import Window
from customer_sync.sync.slices import LARGEST_SLICE, Slice, Slices
from customer_sync.sync.walk import SETTLE_SECONDS, Batch, CustomerWalk

from .live_pancake import MICROSECONDS, PAGE, T0, ListedCustomer, LivePancake, customers_at, empty_below

DAYS_30 = 30 * 86_400


def slices(pancake: LivePancake, since: int = 0, until: int = 5_000, largest: int = 40, page_size: int = 10) -> Slices:
    """*since* and *until* are seconds after T0."""
    return Slices(
        lambda window, lead: CustomerWalk(pancake, PAGE, window, page_size, lead=lead),
        Window(T0 + since, T0 + until),
        largest,
    )


def psids(read: Iterable[Slice]) -> list[str]:
    return [str(customer.psid) for one in read for customer in one.customers]


def times(read: Iterable[Slice]) -> list[int]:
    return [customer.updated_at for one in read for customer in one.customers]


def sizes(read: Iterable[Slice]) -> list[int]:
    return [len(one.customers) for one in read]


def malformed(read: Iterable[Slice]) -> set[str]:
    return {malformed.identity for one in read for malformed in one.malformed}


def assert_ordered(read: list[Slice]) -> None:
    """Times never fall, and no customer comes twice."""
    assert times(read) == sorted(times(read))
    assert len(psids(read)) == len(set(psids(read)))


def test_a_small_window_is_one_slice() -> None:
    """What fits is read once, and handed out oldest first."""
    pancake = LivePancake(customers_at(range(40)))
    read = list(slices(pancake))
    assert sizes(read) == [40]
    assert_ordered(read)
    assert len(pancake.asked) <= 6


def test_an_empty_window_asks_nothing() -> None:
    """`since` later than `until` is no slice and no request."""
    pancake = LivePancake(customers_at(range(9)))
    assert list(slices(pancake, since=5, until=4)) == []
    assert pancake.asked == []


@pytest.mark.parametrize("window", ["updated_at", "inserted_at", "ignored"])
def test_the_slices_are_the_window_oldest_first(window: str) -> None:
    """Every customer inside the window comes, each once, no other does, and times never fall."""
    seconds = random.Random(4).choices(range(-50, 3_000), k=700)
    read = list(slices(LivePancake(customers_at(seconds), window=window), until=2_500))
    assert sorted(psids(read)) == [f"p{number:04}" for number, second in enumerate(seconds) if 0 <= second <= 2_500]
    assert_ordered(read)


@pytest.mark.parametrize("seconds", [range(1_500), [*range(1_500), 100_000]], ids=["even", "uneven"])
def test_a_large_window_is_cut(seconds: list[int]) -> None:
    """A slice is given up as soon as too many customers have come together, and the first one is not long in coming."""
    held: list[int] = []

    class Counting(CustomerWalk):
        def __iter__(self) -> Iterator[Batch]:
            held.append(0)
            for batch in super().__iter__():
                held[-1] += len(batch.customers)
                yield batch

    pancake = LivePancake(customers_at(seconds))
    read = iter(
        Slices(lambda window, lead: Counting(pancake, PAGE, window, 10, lead=lead), Window(T0, T0 + seconds[-1]), 40)
    )
    first = next(read)
    assert first.customers[0].psid == "p0000"
    assert len(pancake.asked) < 50
    assert len(psids([first, *read])) == len(seconds)
    assert max(held) <= 50


def test_a_burst_in_one_second_is_held() -> None:
    """One second is never cut: its customers come in one slice, those around it in others."""
    burst = customers_at([100 + number / 1_000 for number in range(500)], "burst")
    read = list(slices(LivePancake(customers_at(range(300)) + burst), until=300))
    with_burst = [one for one in read if any(psid.startswith("burst") for psid in psids([one]))]
    assert len(with_burst) == 1
    assert len(psids(read)) == 800
    assert all(len(one.customers) <= 50 for one in read if one is not with_burst[0])


def test_an_ignored_window_is_held() -> None:
    """Where Pancake ignores the window a cut would read everything again for each slice, so there is none."""
    pancake = LivePancake(customers_at(range(1_000)), window="ignored")
    assert len(psids(slices(pancake, until=900))) == 901
    assert len(pancake.asked) < 3 * 100


def test_changes_between_two_slices_hide_no_other_customer() -> None:
    """With an older slice read first, the others are listed later; only those that change may be left out."""
    rng = random.Random(5)
    pancake = LivePancake(
        customers_at(range(1_000)), between=lambda pancake: pancake.change(rng.choice(pancake.customers))
    )
    read = list(slices(pancake, until=1_000))
    assert len(pancake.unchanged()) < 900
    assert pancake.unchanged() <= set(psids(read))
    assert_ordered(read)


def test_times_never_fall_where_many_change_and_the_window_is_ignored() -> None:
    """Whole answers that are pushed down between two requests are not handed out again among older customers."""
    rng = random.Random(6)

    def change(pancake: LivePancake) -> None:
        if len(pancake.asked) % 5 == 0:
            pancake.change(*rng.sample(pancake.customers, 25))

    read = list(slices(LivePancake(customers_at(range(300)), window="ignored", between=change), until=300))
    assert len(psids(read)) > 100
    assert_ordered(read)


@pytest.mark.parametrize("step", [60, 3_600, 86_400])
@pytest.mark.parametrize("early", [0, 25_200])
def test_an_until_that_hides_customers_hides_none_of_a_slice(step: int, early: int) -> None:
    """Rounded down, or another zone's: what a slice does not list comes with the next one, oldest first."""
    pancake = LivePancake(customers_at(range(0, 200_000, 400)), until_step=step, until_early=early)
    read = list(slices(pancake, until=200_000, largest=60))
    assert psids(read) == [f"p{number:04}" for number in range(500)]


def test_an_empty_slice_counts_as_unread() -> None:
    """An empty answer of Pancake leaves no hole below the next slice."""
    read = list(slices(LivePancake(customers_at(range(200)), edit=empty_below(10)), until=200))
    assert psids(read) == [f"p{number:04}" for number in range(200)]


def test_malformed_customers_without_a_time_are_not_an_empty_slice() -> None:
    """Answers of them alone do not count as empty."""
    timeless = customers_at(range(150, 180), "timeless")
    for one in timeless:
        one.fields = {"updated_at": None}
    read = list(slices(LivePancake(customers_at(range(100)) + timeless), until=200))
    assert (len(psids(read)), len(malformed(read))) == (100, 30)


def test_malformed_customers_are_reported_once() -> None:
    """Also where a slice was given up and read again."""
    listed = customers_at(range(400))
    for one in listed[::50]:
        one.fields = {"id": None}
    read = list(slices(LivePancake(listed), until=400))
    assert (len(psids(read)), len(malformed(read))) == (392, 8)


def test_pancakes_clock_ends_the_last_slice() -> None:
    """`until` comes down to two seconds before Pancake's clock, and nothing is read beyond it."""
    read = list(slices(LivePancake(customers_at(range(202)), date=T0 + 200), until=299))
    assert len(psids(read)) == 201 - SETTLE_SECONDS
    assert read[-1].until == T0 + 200 - SETTLE_SECONDS


def test_a_date_that_the_newest_rows_disprove() -> None:
    """An older slice may hold no row that proves it wrong, and still the window does not end at it."""
    pancake = LivePancake(customers_at([*range(50), *range(1_000, 1_350)]), date=T0 + 100)
    assert len(psids(slices(pancake, until=1_350, largest=100, page_size=25))) == 400


@pytest.mark.parametrize("count", [2_500, 10_000])
def test_requests_grow_with_the_customers(count: int) -> None:
    """Evenly spread, cutting and reading again costs at most twice the plain reading; two slices are no more than
    may be held.
    """
    pancake = LivePancake(customers_at([number * DAYS_30 / count for number in range(count)]))
    read = list(slices(pancake, until=DAYS_30, largest=LARGEST_SLICE, page_size=100))
    assert sum(sizes(read)) == count
    assert len(pancake.asked) <= 2 * count / 100
    assert 2 * max(sizes(read)) <= LARGEST_SLICE


def test_requests_stay_bounded_for_bursts() -> None:
    """Bursts of one second, far apart, cost a search each (the window's halvings), not more."""
    bursts = random.Random(0).sample(range(DAYS_30), 4)
    listed = customers_at([second + part / 500 for second in bursts for part in range(250)])
    pancake = LivePancake(listed)
    assert len(psids(slices(pancake, until=DAYS_30, largest=100, page_size=25))) == len(listed)
    plain, given_up = len(listed) / 25, 100 / 25 + 2
    assert len(pancake.asked) <= 4 * plain + len(bursts) * given_up * 2 * log2(DAYS_30)


@pytest.mark.parametrize("block", range(4))
def test_random_worlds(block: int) -> None:
    """In 600 small worlds that change while they are read: no unchanged customer is missed, none comes twice, and
    times never fall.
    """
    for seed in range(block * 150, block * 150 + 150):
        rng = random.Random(seed)
        span = rng.choice([3, 30, 3_000])
        times_ = [T0 * MICROSECONDS + rng.randrange(span * MICROSECONDS) for _ in range(rng.randrange(150))]
        listed = [ListedCustomer(f"p{number}", time, T0 * MICROSECONDS) for number, time in enumerate(times_)]
        busy = rng.choice([0, 0.2, 1])

        def change(pancake: LivePancake, rng: random.Random = rng, busy: float = busy) -> None:
            if pancake.customers and rng.random() < busy:
                pancake.change(rng.choice(pancake.customers))

        pancake = LivePancake(
            listed,
            window=rng.choice(["updated_at", "updated_at", "inserted_at", "ignored"]),
            exact=rng.random() < 0.5,
            between=change,
            date=rng.choice([None, T0 + rng.randrange(span + 9)]),
        )
        until = rng.randrange(span + 5)
        read = list(slices(pancake, until=until, largest=12, page_size=5))
        lowered = min([T0 + until, *(one.until for one in read)])
        assert pancake.unchanged(lowered + 1) <= set(psids(read)), f"seed {seed}"
        assert all(T0 <= time <= lowered for time in times(read)), f"seed {seed}"
        assert_ordered(read)
