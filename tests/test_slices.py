"""An incremental's window in pieces: oldest first, complete, and small enough to be held."""

import random
from collections.abc import Iterable, Iterator
from math import log2

import pytest

from customer_sync.core.customer import Customer, Window
from customer_sync.core.errors import Unreachable
from customer_sync.sync.slices import LARGEST_SLICE, Slice, Slices
from customer_sync.sync.walk import SETTLE_SECONDS, Batch, CustomerWalk

from .test_walk import MICROSECONDS, PAGE, T0, BlindBelow, LivePancake, Person, people, psids

DAYS_30 = 30 * 86_400


def slices(pancake: LivePancake, since: int = 0, until: int = 5_000, largest: int = 40, page_size: int = 10) -> Slices:
    """*since* and *until* are seconds after T0."""

    def walk(window: Window) -> CustomerWalk:
        return CustomerWalk(pancake, PAGE, window, page_size)

    return Slices(walk, Window(T0 + since, T0 + until), largest)


def times(customers: list[Customer]) -> list[int]:
    return [customer.updated_at for customer in customers]


def flat(read: Iterable[Slice]) -> list[Customer]:
    return [customer for one in read for customer in one.customers]


def sizes(read: Iterable[Slice]) -> list[int]:
    return [len(one.customers) for one in read]


def malformed(read: Iterable[Slice]) -> set[str]:
    return {malformed.identity for one in read for malformed in one.malformed}


def test_a_small_window_is_one_piece() -> None:
    """What fits is read once, and handed out oldest first."""
    pancake = LivePancake(people(range(40)))
    read = list(slices(pancake))
    assert sizes(read) == [40]
    assert times(flat(read)) == sorted(times(flat(read)))
    assert len(pancake.asked) <= 6


@pytest.mark.parametrize("window", ["updated_at", "inserted_at", "ignored"])
def test_the_pieces_are_the_window_oldest_first(window: str) -> None:
    """Everybody inside the window comes, each once, nobody else does, and times never fall."""
    seconds = random.Random(4).choices(range(-50, 3_000), k=700)
    pancake = LivePancake(people(seconds), window=window)
    found = flat(slices(pancake, since=0, until=2_500))
    assert sorted(psids(found)) == [f"p{number:04}" for number, second in enumerate(seconds) if 0 <= second <= 2_500]
    assert times(found) == sorted(times(found))


def test_a_large_window_is_cut() -> None:
    """No piece holds more than the largest one and a batch, and the first one is not long in coming."""
    pancake = LivePancake(people(range(3_000)))
    read = iter(slices(pancake, until=3_000))
    first = next(read)
    assert first.customers[0].psid == "p0000"
    assert len(pancake.asked) < 50
    assert all(size <= 50 for size in sizes([first, *read]))


def test_memory_holds_while_a_piece_is_read() -> None:
    """A piece is given up as soon as too many have come together, not when it has been read."""
    largest: list[int] = []

    class Counting(CustomerWalk):
        def __iter__(self) -> Iterator[Batch]:
            held = 0
            for batch in super().__iter__():
                held += len(batch.customers)
                largest.append(held)
                yield batch

    pancake = LivePancake(people(range(3_000)))
    read = Slices(lambda window: Counting(pancake, PAGE, window, 10), Window(T0, T0 + 3_000), 40)
    assert len(flat(read)) == 3_000
    assert max(largest) <= 50


def test_a_burst_in_one_second_is_held() -> None:
    """One second is never cut: its customers come in one piece, those around it in others."""
    burst = people([100 + number / 1_000 for number in range(500)], "burst")
    pancake = LivePancake(people(range(300)) + burst)
    read = list(slices(pancake, until=300))
    with_burst = [one for one in read if any(str(customer.psid).startswith("burst") for customer in one.customers)]
    assert len(with_burst) == 1
    assert len(flat(read)) == 800
    assert all(len(one.customers) <= 50 for one in read if one is not with_burst[0])


def test_an_ignored_window_is_held() -> None:
    """Where Pancake ignores the window a cut would read everything again for each piece, so there is none."""
    pancake = LivePancake(people(range(1_000)), window="ignored")
    read = list(slices(pancake, until=900))
    assert len(flat(read)) == 901
    assert len(pancake.asked) < 3 * 100


def test_whoever_changes_between_two_pieces_takes_nobody_along() -> None:
    """Reading an older piece first, the others are met later as they are then; only the changed may be left out."""
    rng = random.Random(5)

    def change(pancake: LivePancake) -> None:
        pancake.change(rng.choice(pancake.people))

    pancake = LivePancake(people(range(1_000)), between=change)
    found = flat(slices(pancake, until=1_000))
    unchanged = {person.psid for person in pancake.people if person.second < T0 + 1_001}
    assert len(unchanged) < 900
    assert unchanged <= set(psids(found))
    assert times(found) == sorted(times(found))


def test_times_never_fall_where_many_change_and_the_window_is_ignored() -> None:
    """Whole answers that are pushed down between two requests are not handed out again among older customers."""
    rng = random.Random(6)

    def change(pancake: LivePancake) -> None:
        if len(pancake.asked) % 5 == 0:
            for person in rng.sample(pancake.people, 25):
                pancake.change(person)

    pancake = LivePancake(people(range(300)), window="ignored", between=change)
    found = flat(slices(pancake, until=300))
    assert len(found) > 100
    assert times(found) == sorted(times(found))
    assert len(found) == len(set(psids(found)))


def test_a_piece_with_nobody_is_not_believed_when_the_next_one_shows_somebody() -> None:
    """An older piece that was empty only because Pancake answered so would be a hole below the newer one."""
    read = iter(slices(BlindBelow(10, people(range(200))), until=200, largest=40))
    found: list[Customer] = []
    with pytest.raises(Unreachable, match="empty page"):
        found.extend(flat(read))
    assert found == []


def test_who_has_no_time_is_somebody() -> None:
    """Answers of malformed customers alone, with no time to be read, are no answers with nobody."""
    timeless = people(range(150, 180), "timeless")
    for person in timeless:
        person.shown = {"updated_at": None}
    read = list(slices(LivePancake(people(range(100)) + timeless), until=200))
    assert len(flat(read)) == 100
    assert len(malformed(read)) == 30


def test_pancakes_clock_ends_the_last_piece() -> None:
    """`until` comes down to two seconds before Pancake's clock, and nothing is read beyond it."""
    read = list(slices(LivePancake(people(range(300)), date=T0 + 200), until=299))
    assert len(flat(read)) == 201 - SETTLE_SECONDS
    assert read[-1].until == T0 + 200 - SETTLE_SECONDS


def test_malformed_customers_are_noted_once() -> None:
    """Slices that were given up and read again note a malformed customer once."""
    crowd = people(range(400))
    for person in crowd[::50]:
        person.shown = {"id": None}
    read = list(slices(LivePancake(crowd), until=400))
    assert len(flat(read)) == 392
    assert len(malformed(read)) == 8


def test_an_empty_window_asks_nothing() -> None:
    """`since` later than `until` is no piece and no request."""
    pancake = LivePancake(people(range(9)))
    assert list(slices(pancake, since=5, until=4)) == []
    assert pancake.asked == []


@pytest.mark.parametrize("count", [2_500, 10_000])
def test_requests_grow_with_the_customers(count: int) -> None:
    """Evenly spread, cutting and reading again costs at most twice the plain reading; two slices are no more than
    may be held.
    """
    pancake = LivePancake(people([number * DAYS_30 / count for number in range(count)]))
    read = list(slices(pancake, until=DAYS_30, largest=LARGEST_SLICE, page_size=100))
    assert sum(sizes(read)) == count
    assert len(pancake.asked) <= 2 * count / 100
    assert 2 * max(sizes(read)) <= LARGEST_SLICE


@pytest.mark.parametrize("seed", range(2))
def test_requests_stay_bounded_for_bursts(seed: int) -> None:
    """Bursts of one second, far apart, cost a search each (the window's halvings), not more."""
    rng = random.Random(seed)
    bursts = rng.sample(range(DAYS_30), 5)
    crowd = people([second + part / 500 for second in bursts for part in range(450)])
    pancake = LivePancake(crowd)
    assert len(flat(slices(pancake, until=DAYS_30, largest=200, page_size=50))) == len(crowd)
    plain, given_up = len(crowd) / 50, 200 / 50 + 2
    assert len(pancake.asked) <= 4 * plain + len(bursts) * given_up * 2 * log2(DAYS_30)


@pytest.mark.parametrize("block", range(4))
def test_random_worlds(block: int) -> None:
    """In 600 small worlds that change while they are read: nobody unchanged is missed, nobody twice, times never
    fall, memory holds, and it ends.
    """
    for seed in range(block * 150, block * 150 + 150):
        rng = random.Random(seed)
        span = rng.choice([3, 30, 3_000])
        crowd = [
            Person(f"p{number}", T0 * MICROSECONDS + rng.randrange(span * MICROSECONDS), T0 * MICROSECONDS)
            for number in range(rng.randrange(150))
        ]
        busy = rng.choice([0, 0.2, 1])

        def change(pancake: LivePancake, rng: random.Random = rng, busy: float = busy) -> None:
            if pancake.people and rng.random() < busy:
                pancake.change(rng.choice(pancake.people))

        pancake = LivePancake(
            crowd,
            window=rng.choice(["updated_at", "updated_at", "inserted_at", "ignored"]),
            exact=rng.random() < 0.5,
            between=change,
            date=rng.choice([None, T0 + rng.randrange(span + 9)]),
        )
        until = rng.randrange(span + 5)
        before = {person.psid: person.updated_at for person in crowd}
        read = list(slices(pancake, until=until, largest=12, page_size=5))
        found, until = flat(read), min([T0 + until, *(one.until for one in read)])
        wanted = {
            person.psid for person in crowd if before[person.psid] == person.updated_at and person.second <= until
        }
        at = f"seed {seed}"
        assert wanted <= set(psids(found)), at
        assert times(found) == sorted(times(found)), at
        assert len(found) == len(set(psids(found))), at
        assert all(T0 <= time <= until for time in times(found)), at
