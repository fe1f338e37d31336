"""The walk through a Pancake that changes while it is read: no customer that stays unchanged may be missed."""

import random
from collections import deque
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import pytest

from customer_sync.core.customer import Customer, Malformed, Window
from customer_sync.core.errors import ContractBroken, Unreachable
from customer_sync.sync.walk import LEAD, SETTLE_SECONDS, Batch, CustomerWalk

from .live_pancake import (
    MICROSECONDS,
    PAGE,
    T0,
    Asked,
    Edit,
    ListedCustomer,
    LivePancake,
    Total,
    customers_at,
    empty_below,
    no_total,
    right_total,
    total_of_the_page,
)

EVERY_TOTAL = pytest.mark.parametrize("total", [right_total, no_total, total_of_the_page])


def walk(pancake: LivePancake, since: int = 0, until: int = 5000, page_size: int = 100) -> CustomerWalk:
    """*since* and *until* are seconds after T0."""
    return CustomerWalk(pancake, PAGE, Window(T0 + since, T0 + until), page_size)


def customers(batches: Iterable[Batch]) -> list[Customer]:
    return [customer for batch in batches for customer in batch.customers]


def psids(batches: Iterable[Batch]) -> list[str]:
    return [str(customer.psid) for customer in customers(batches)]


def malformed(batches: Iterable[Batch]) -> list[Malformed]:
    return [one for batch in batches for one in batch.malformed]


def burst(second: float, count: int) -> list[ListedCustomer]:
    """Customers of one second."""
    return customers_at([second + number / 1000 for number in range(count)], "burst")


def change_after(request: int, chosen: Callable[[LivePancake], list[ListedCustomer]]) -> Callable[[LivePancake], None]:
    """Changes the chosen customers at once when the n-th request has been answered."""
    return lambda pancake: pancake.change(*chosen(pancake)) if len(pancake.asked) == request else None


# Where it starts and ends


def test_both_ends_of_the_window_are_inside() -> None:
    """Customers at `since` and in the whole second of `until` are listed, one second beside either is not."""
    pancake = LivePancake(customers_at([-1, -0.000001, 0, 3.5, 7, 7.999999, 8]))
    assert psids(walk(pancake, until=7)) == ["p0005", "p0004", "p0003", "p0002"]


def test_newest_first() -> None:
    """Batches, and the customers in them, come by falling time."""
    batches = list(walk(LivePancake(customers_at(random.Random(1).sample(range(500), 200))), page_size=30))
    times = [customer.updated_at for customer in customers(batches)]
    assert len(batches) > 6
    assert times == sorted(times, reverse=True)
    assert len(times) == 200


def test_stop_rule() -> None:
    """The first answer that reaches below `since` is the last request."""
    pancake = LivePancake(customers_at(range(300)))
    assert len(psids(walk(pancake, since=250))) == 50
    assert len(pancake.asked) == 1


def test_since_is_never_asked_for() -> None:
    """Every request asks `since=0`: a window on inserted_at would hide old customers that changed."""
    old_but_changed = ListedCustomer("old", (T0 + 400) * MICROSECONDS, (T0 - 9_000) * MICROSECONDS)
    pancake = LivePancake([*customers_at(range(300)), old_but_changed], window="inserted_at")
    found = psids(walk(pancake, since=100))
    assert {asked.since for asked in pancake.asked} == {0}
    assert "old" in found
    assert len(found) == 201


def test_skip_rule() -> None:
    """Where the window is ignored, later customers are skipped and counted, and the walk goes on by page number."""
    pancake = LivePancake(customers_at(range(60)), window="ignored")
    batches = list(walk(pancake, since=5, until=19, page_size=10))
    assert psids(batches) == [f"p{number:04}" for number in range(19, 4, -1)]
    assert (batches[-1].skipped, batches[-1].honours_window) == (40, False)
    assert [asked.page_number for asked in pancake.asked] == [1, 1, 2, 3, 4, 5, 6]


def test_an_empty_list_is_one_request() -> None:
    """And no customer."""
    pancake = LivePancake()
    assert psids(walk(pancake)) == []
    assert len(pancake.asked) == 1


def test_an_empty_window_asks_nothing() -> None:
    """`since` later than `until` costs no request."""
    pancake = LivePancake(customers_at(range(3)))
    assert psids(walk(pancake, since=2, until=1)) == []
    assert pancake.asked == []


@pytest.mark.parametrize(("count", "requests"), [(99, 1), (100, 2), (101, 2), (150, 2)])
def test_a_short_answer_ends_the_walk(count: int, requests: int) -> None:
    """Where the total agrees, a batch shorter than page_size is the last one."""
    pancake = LivePancake(customers_at(range(count)))
    assert len(psids(walk(pancake))) == count
    assert len(pancake.asked) == requests


@pytest.mark.parametrize(
    ("date", "last", "skipped"),
    [(10, 10 - SETTLE_SECONDS, 3), (10_000, 11, 0), (5, 11, 0), (-10_000, 11, 0)],
    ids=["the settle time", "ahead", "disproved by the rows", "years behind"],
)
def test_pancakes_clock_lowers_until(date: int, last: int, skipped: int) -> None:
    """By Pancake's `Date` the last two seconds are not read, unless rows are later. It never raises `until`."""
    batches = list(walk(LivePancake(customers_at(range(12)), date=T0 + date), until=11))
    assert psids(batches) == [f"p{number:04}" for number in range(last, -1, -1)]
    assert (batches[-1].until, batches[-1].skipped) == (T0 + last, skipped)


# The moving edge


def test_the_edge_moves_not_the_page_number() -> None:
    """After each batch page 1 is asked again, up to one second above the last customer."""
    pancake = LivePancake(customers_at(range(0, 90, 2)))
    list(walk(pancake, page_size=20))
    assert [(asked.page_number, asked.until - T0) for asked in pancake.asked] == [(1, 5001 + LEAD), (1, 51), (1, 13)]


@pytest.mark.parametrize("exact", [False, True])
def test_fractions_at_the_edge(exact: bool) -> None:
    """A second that a batch ends in is asked for again as a whole, however Pancake compares fractions."""
    pancake = LivePancake(customers_at([second + part / 7 for second in range(30) for part in range(7)]), exact=exact)
    found = psids(walk(pancake, until=29, page_size=10))
    assert len(found) == len(set(found)) == 210


@pytest.mark.parametrize(("window", "at_once"), [("updated_at", 5), ("inserted_at", 1), ("ignored", 1)])
def test_changes_during_the_walk_hide_no_other_customer(window: str, at_once: int) -> None:
    """Those that change leave the window, or move to the top of the list; all others are listed, each once."""
    rng = random.Random(2)
    pancake = LivePancake(
        customers_at(range(900)),
        window=window,
        between=lambda pancake: pancake.change(*rng.sample(pancake.customers, at_once)),
    )
    batches = list(walk(pancake, page_size=20))
    found = psids(batches)
    assert len(pancake.unchanged()) < 900 - 40
    assert pancake.unchanged() <= set(found)
    assert len(found) == len(set(found))
    assert batches[-1].honours_window == (window == "updated_at")


def test_an_edge_without_an_id_that_changes() -> None:
    """A record that cannot be found again is no proof that customers are hidden."""
    listed = customers_at(range(6))

    def without_id(asked: Asked, rows: list[Any]) -> list[Any]:
        bare = {"updated_at": listed[4].record["updated_at"], "name": f"after request {asked.number}"}
        return [bare if row["psid"] == listed[4].psid else row for row in rows]

    pancake = LivePancake(listed, edit=without_id)
    batches = list(walk(pancake, page_size=2))
    assert len(psids(batches)) == 5
    assert batches[-1].honours_window


# One second that fills several answers


@EVERY_TOTAL
@pytest.mark.parametrize("page_size", [2, 3, 7, 100])
def test_a_burst_in_one_second(page_size: int, total: Total) -> None:
    """More customers in one second than an answer holds are all listed, and those around them."""
    pancake = LivePancake(burst(50, 250) + customers_at(range(100)), total=total)
    found = psids(walk(pancake, page_size=page_size))
    assert len(found) == len(set(found)) == 350


@pytest.mark.parametrize("turn", range(1, 24))
def test_changes_while_a_second_is_read_by_page_number(turn: int) -> None:
    """A customer that slips past a page number while others leave the second is met on the way back.

    After one request, forward or backward, four customers of the second change at once.
    """

    def every_fifth_of_the_newest(pancake: LivePancake) -> list[ListedCustomer]:
        return sorted(pancake.customers, key=lambda one: -one.updated_at)[:20:5]

    pancake = LivePancake(
        burst(50, 40) + customers_at(range(20)), between=change_after(turn, every_fifth_of_the_newest)
    )
    batches = list(walk(pancake, until=60, page_size=5))
    times = [customer.updated_at for customer in customers(batches)]
    assert len(pancake.unchanged()) == 56
    assert pancake.unchanged() <= set(psids(batches))
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize("window", ["updated_at", "ignored"])
def test_a_second_without_end(window: str) -> None:
    """New customers of one second in every answer end as an error, also where the window is ignored."""

    def ever_new(asked: Asked, _: list[Any]) -> list[Any]:
        return [one.record | {"psid": f"{one.psid}-{asked.number}"} for one in one_second]

    one_second = burst(50, 100)
    pancake = LivePancake(one_second, window=window, total=no_total, edit=ever_new)
    with pytest.raises(ContractBroken, match="of one second"):
        deque(walk(pancake, until=60 if window == "updated_at" else 20), maxlen=0)


def test_the_way_back_comes_before_any_earlier_second() -> None:
    """No earlier customer is handed out while one of the second may still be missing."""
    pancake = LivePancake(
        burst(50, 30) + customers_at(range(9)), between=change_after(3, lambda pancake: pancake.customers[:1])
    )
    for batch in walk(pancake, until=60, page_size=5):
        if any(customer.updated_at < T0 + 50 for customer in batch.customers):
            break
    numbers = [asked.page_number for asked in pancake.asked]
    assert max(numbers) > 4
    assert numbers[-max(numbers) :] == list(range(max(numbers), 0, -1))


def test_the_way_back_comes_before_the_stop() -> None:
    """A second at `since` is read backwards too before the walk ends."""
    pancake = LivePancake(
        [*burst(0.5, 12)[::-1], *customers_at(range(-20, 0))],
        between=change_after(2, lambda pancake: pancake.customers[:3]),
    )
    found = psids(walk(pancake, page_size=4))
    assert pancake.unchanged() & {f"burst{number:04}" for number in range(12)} <= set(found)


@EVERY_TOTAL
def test_a_burst_at_the_end_is_read_back_in_large_answers(total: Total) -> None:
    """A short last answer makes no way back of tiny answers: requests grow with the customers, not faster."""
    pancake = LivePancake(customers_at([number / 100_000 for number in range(5_001)]), total=total)
    assert len(psids(walk(pancake))) == 5_001
    assert len(pancake.asked) < 3 * 51


# What the server makes of page_size and total


@pytest.mark.parametrize("largest", [1, 2, 7, 50])
@EVERY_TOTAL
@pytest.mark.parametrize("window", ["updated_at", "inserted_at", "ignored"])
def test_a_cut_page_size(largest: int, total: Total, window: str) -> None:
    """A server that sends fewer than asked is asked for that many from then on, and no customer is missed."""
    listed = customers_at([*range(60), *[30.5] * 25])
    pancake = LivePancake(listed, largest=largest, total=total, window=window)
    found = psids(walk(pancake, since=2, until=57))
    assert len(found) == len(set(found)) == 81
    assert pancake.asked[0].page_size == 100
    assert all(asked.page_size <= largest for asked in pancake.asked[1:])


@pytest.mark.parametrize("wrong", [0, 1, 49, 51, 10_000])
@pytest.mark.parametrize("largest", [50, 100])
def test_a_wrong_total_ends_nothing(wrong: int, largest: int) -> None:
    """A total that the answers contradict, too small or too great, ends no walk before its last customer."""
    pancake = LivePancake(customers_at(range(130)), largest=largest, total=lambda _right, _pancake: wrong)
    assert len(psids(walk(pancake))) == 130
    assert len(pancake.asked) < 10


@pytest.mark.parametrize("total", [right_total, no_total])
def test_an_empty_answer_in_the_middle_is_asked_for_again(total: Total) -> None:
    """The answer's own count, or the customer at the window's edge, shows that the list goes on."""
    pancake = LivePancake(
        customers_at(range(0, 2500, 10)), total=total, edit=lambda asked, rows: [] if asked.number == 2 else rows
    )
    assert len(psids(walk(pancake))) == 250


@pytest.mark.parametrize(
    ("listed", "edit", "total", "page_size", "requests"),
    [
        (customers_at(range(0, 2500, 10)), lambda asked, rows: rows if asked.number == 1 else [], right_total, 100, 9),
        (customers_at(range(80)), lambda asked, rows: rows if asked.number == 1 else [], no_total, 10, 9),
    ],
    ids=["with a total", "without"],
)
def test_an_empty_answer_is_not_the_end_while_the_last_customer_is_listed(
    listed: list[ListedCustomer], edit: Edit, total: Total, page_size: int, requests: int
) -> None:
    """Nothing below it counts as read; it is not asked for ever."""
    pancake = LivePancake(listed, edit=edit, total=total)
    with pytest.raises(Unreachable):
        list(walk(pancake, page_size=page_size))
    assert len(pancake.asked) <= requests


@pytest.mark.parametrize(
    ("listed", "edit", "page_size"),
    [
        (customers_at(range(90)) + burst(100, 150), empty_below(100), 100),
        (customers_at(range(80)), empty_below(60), 10),
        (customers_at(range(0, 200_000, 400)), lambda _, rows: rows, 10),
    ],
    ids=["empty below a burst", "empty below a customer", "whole"],
)
@pytest.mark.parametrize("total", [right_total, no_total])
@pytest.mark.parametrize(("step", "early"), [(1, 0), (60, 0), (86_400, 0), (1, 25_200)])
def test_an_until_that_hides_customers(
    listed: list[ListedCustomer], edit: Edit, page_size: int, total: Total, step: int, early: int
) -> None:
    """The last row read is neither listed again nor above the window: the rest is read by page number."""
    pancake = LivePancake(listed, edit=edit, total=total, until_step=step, until_early=early)
    found = psids(walk(pancake, until=250_000, page_size=page_size))
    assert sorted(found) == sorted(one.psid for one in listed)


@pytest.mark.parametrize("others", [0, 150])
def test_an_empty_answer_is_the_end_when_the_last_customer_has_moved_up(others: int) -> None:
    """All customers change after they were listed, and then others do: none is left below, and the walk ends."""
    late = [ListedCustomer(f"late{number}", (T0 + 9_000 + LEAD) * MICROSECONDS, T0) for number in range(others)]
    pancake = LivePancake(
        [*customers_at(range(0, 1000, 10)), *late],
        total=no_total,
        between=change_after(1, lambda pancake: pancake.customers),
    )
    assert len(psids(walk(pancake))) == 100


@pytest.mark.parametrize(
    ("edit", "page_size", "reason"),
    [
        (lambda _, rows: rows * 2, 10, "sent 20"),
        (lambda _, rows: rows[::-1], 3, "newest"),
        (lambda _, __: [{}] * 10, 10, "alike"),
    ],
    ids=["more than page_size", "oldest first", "without ids for ever"],
)
def test_a_broken_contract(edit: Edit, page_size: int, reason: str) -> None:
    """A list that cannot be walked ends the walk with an error."""
    with pytest.raises(ContractBroken, match=reason):
        list(walk(LivePancake(customers_at(range(30)), edit=edit, total=no_total), page_size=page_size))


@pytest.mark.parametrize("fields", [{}, {"updated_at": "yesterday"}], ids=["customers", "malformed"])
def test_a_list_that_ignores_page_number(fields: dict[str, object]) -> None:
    """A server that gives the same answer to every page_number breaks the contract, and is not asked for ever."""
    first: list[object] = []

    def same(_: object, rows: list[object]) -> list[object]:
        first.extend(rows if not first else [])
        return first

    listed = [ListedCustomer(str(number), T0 * MICROSECONDS, T0 * MICROSECONDS, fields) for number in range(300)]
    pancake = LivePancake(listed, edit=same)
    with pytest.raises(ContractBroken, match="alike"):
        list(walk(pancake, since=-T0, until=1))
    assert len(pancake.asked) < 20


def test_order_within_a_second_does_not_matter() -> None:
    """Times are compared by whole seconds, so microseconds out of order are no broken contract."""
    pancake = LivePancake(customers_at([5.1, 5.9, 5.5]), edit=lambda _, rows: rows[::-1])
    assert len(psids(walk(pancake))) == 3


# A server that ignores the window, or compares another time


def test_an_ignored_window_that_shows_late() -> None:
    """Noticed in the middle of a walk, the list is read again from its top, and no customer comes twice."""
    pancake = LivePancake(
        customers_at(range(100)), window="inserted_at", between=change_after(4, lambda pancake: pancake.customers[:1])
    )
    batches = list(walk(pancake, page_size=10))
    found = psids(batches)
    assert len(found) == len(set(found))
    assert pancake.unchanged() <= set(found)
    assert (batches[-1].honours_window, batches[-1].skipped) == (False, 1)


# Malformed customers


def test_malformed_customers_are_listed_once() -> None:
    """A customer without an id or a readable time is reported once, however often listed, and not handed out."""
    listed = burst(50, 20)
    listed[3].fields = {"id": None}
    listed[9].fields = {"psid": True}
    listed[12].fields = {"updated_at": "yesterday"}
    listed[19].fields = {"updated_at": None}
    pancake = LivePancake(listed)
    batches = list(walk(pancake, page_size=4))
    assert len(psids(batches)) == 16
    assert len(pancake.asked) > 6
    reported = sorted(str(one.psid or one.pancake_id) for one in malformed(batches))
    assert reported == ["burst0003", "burst0012", "burst0019", "id-burst0009"]


def test_malformed_customers_outside_the_window_are_not_reported() -> None:
    """With a readable time they belong to the window of that time."""
    listed = customers_at(range(10))
    for one in listed[:2] + listed[-2:]:
        one.fields = {"id": None}
    batches = list(walk(LivePancake(listed), since=1, until=8))
    assert len(psids(batches)) == 6
    assert sorted(str(one.psid) for one in malformed(batches)) == ["p0001", "p0008"]


@pytest.mark.parametrize("window", ["updated_at", "ignored"])
def test_answers_of_malformed_customers_only(window: str) -> None:
    """Whole answers without one readable time neither end the walk nor stop it."""
    listed = customers_at([*range(20), *range(100, 120)])
    for one in listed[20:]:
        one.fields = {"updated_at": "soon"}
    batches = list(walk(LivePancake(listed, window=window), page_size=4))
    assert (len(psids(batches)), len(malformed(batches))) == (20, 20)


def test_a_row_that_is_no_object_is_malformed() -> None:
    """A null or a number in the list is reported and ends nothing."""
    pancake = LivePancake(
        customers_at(range(3)), edit=lambda _, rows: [None, *rows, 7], total=lambda right, _: right + 2
    )
    batches = list(walk(pancake))
    assert (len(psids(batches)), len(malformed(batches))) == (3, 2)


def test_the_same_psid_twice_is_handed_out_once() -> None:
    """Of two records with one psid close together, the newer one counts."""
    listed = customers_at([1, 2, 3])
    listed[0].fields = {"psid": "p0002"}
    assert psids(walk(LivePancake(listed))) == ["p0002", "p0001"]


@pytest.mark.parametrize("window", ["updated_at", "ignored"])
def test_memory_does_not_grow_with_the_history(window: str) -> None:
    """What is remembered against handing out twice stays below a few answers, however long the walk."""
    one = walk(LivePancake(customers_at(range(4_000)), window=window), until=3_900, page_size=50)
    # Nothing else shows it: the same customer listed again much later would be a broken contract.
    assert max(len(one._seen._times) for _ in one) <= 150  # noqa: SLF001


# Everything at once


def random_world(rng: random.Random) -> tuple[LivePancake, Window, int]:
    """A small Pancake that changes while it is read, a window, and a page_size."""
    seconds = rng.choice([1, 2, 3, 8, 40])
    listed = [_random_customer(rng, number, seconds) for number in range(rng.randrange(45))]
    page_size = rng.choice([2, 3, 4, 7, 10])
    busy = rng.choice([0, 0, 0.3, 1, 1])

    def between(pancake: LivePancake) -> None:
        if rng.random() < busy:
            pancake.change(*rng.sample(listed, min(len(listed), rng.randrange(page_size))))
        if rng.random() < busy / 4:  # a new customer
            pancake.now += 1
            pancake.customers.append(ListedCustomer(f"new{len(pancake.customers)}", pancake.now, pancake.now))

    pancake = LivePancake(
        listed,
        window=rng.choice(["updated_at", "updated_at", "inserted_at", "ignored"]),
        exact=rng.random() < 0.5,
        largest=rng.choice([100, 100, 2, 3]),
        total=rng.choice([right_total, right_total, no_total, total_of_the_page]),
        date=rng.choice([None, None, T0 + rng.randrange(seconds + 4)]),
        between=between,
    )
    return pancake, Window(T0 + rng.randrange(-2, seconds), T0 + rng.randrange(seconds + 3)), page_size


def _random_customer(rng: random.Random, number: int, seconds: int) -> ListedCustomer:
    second = T0 + rng.randrange(seconds)
    updated_at = second * MICROSECONDS + rng.choice([0, rng.randrange(MICROSECONDS)])
    inserted_at = updated_at - rng.choice([0, rng.randrange(100 * MICROSECONDS)])
    return ListedCustomer(f"p{number}", updated_at, inserted_at)


@pytest.mark.parametrize("block", range(8))
def test_random_worlds(block: int) -> None:
    """In 4,000 small worlds: no unchanged customer inside the window is missed, none outside of it comes, none twice,
    no second out of order, requests in proportion.
    """
    given_up = 0
    for seed in range(block * 500, block * 500 + 500):
        pancake, window, page_size = random_world(random.Random(seed))
        before = {one.psid: one.second for one in pancake.customers}
        try:
            batches = list(CustomerWalk(pancake, PAGE, window, page_size))
        except Unreachable:  # The last one moves up, and on, for as long as it is looked for.
            given_up += 1
            continue
        at = f"seed {seed}"
        found, until = customers(batches), min([window.until, *(batch.until for batch in batches)])
        wanted = {psid for psid in pancake.unchanged() if window.since <= before.get(psid, -1) <= until}
        assert wanted <= set(psids(batches)), at
        assert all(window.since <= customer.updated_at <= until for customer in found), at
        assert all(later.updated_at <= before.updated_at for before, later in pairwise(found)), at
        assert len(found) == len(set(psids(batches))), at
        assert all(asked.since == 0 for asked in pancake.asked), at
        # Each customer can be asked for forward, backward and, where a window turns out ignored, once more.
        assert len(pancake.asked) <= 8 + 6 * len(pancake.customers), at
    assert given_up <= 4
