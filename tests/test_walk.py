"""The walk through a Pancake that changes while it is read: nobody who stays as she was may be missed."""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from customer_sync.core.customer import Customer, Malformed, Window
from customer_sync.core.errors import ContractBroken, Unreachable
from customer_sync.services.pancake import CustomerList
from customer_sync.sync.walk import SETTLE_SECONDS, Batch, CustomerWalk

MICROSECONDS = 1_000_000
T0 = 1_700_000_000
PAGE = "104001"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(eq=False)
class Person:
    """A customer in Pancake; times are Unix microseconds, *shown* is what her record says beside them."""

    psid: str
    updated_at: int
    inserted_at: int
    shown: dict[str, Any] = field(default_factory=dict)

    @property
    def second(self) -> int:
        return self.updated_at // MICROSECONDS

    @property
    def record(self) -> dict[str, Any]:
        updated_at = (_EPOCH + timedelta(microseconds=self.updated_at)).strftime("%Y-%m-%dT%H:%M:%S.%f")
        return {"id": f"id-{self.psid}", "psid": self.psid, "updated_at": updated_at, **self.shown}


@dataclass(frozen=True)
class Asked:
    """One request."""

    page_number: int
    page_size: int
    since: int
    until: int


Total = Callable[[int, "LivePancake"], int | None]


def right_total(right: int, _: "LivePancake") -> int | None:
    return right


def no_total(_right: int, _: "LivePancake") -> int | None:
    return None


def total_of_the_page(_right: int, pancake: "LivePancake") -> int | None:
    return len(pancake.people)


class LivePancake:
    """Pancake's list of one page: filters, sorts and cuts as the real one does, and changes between two requests."""

    clock_ahead = 0.0

    def __init__(
        self,
        people: Iterable[Person] = (),
        *,
        window: str = "updated_at",
        exact: bool = False,
        largest: int = 100,
        total: Total = right_total,
        date: float | None = None,
        between: Callable[["LivePancake"], None] = lambda _pancake: None,
    ) -> None:
        """*largest* is the page_size that a greater one is cut to; *between* is called after every answer."""
        self.people = list(people)
        self.asked: list[Asked] = []
        self.now = (T0 + 10_000) * MICROSECONDS
        self._window = window
        self._exact = exact
        self._largest = largest
        self._total = total
        self._date = date
        self._between = between

    def get_customers(self, page_number: int, page_size: int, since: int, until: int) -> CustomerList:
        self.asked.append(Asked(page_number, page_size, since, until))
        inside = [person for person in self.people if self._is_inside(person, since, until)]
        # As in PostgreSQL: newest first, among equals a fixed order.
        inside.sort(key=lambda person: (-person.updated_at, person.psid))
        size = min(page_size, self._largest)
        rows = [person.record for person in inside[(page_number - 1) * size :][:size]]
        answer = CustomerList(rows, self._total(len(inside), self), self._date)
        self._between(self)
        return answer

    def change(self, person: Person) -> None:
        """She changes now, which is later than any window."""
        self.now += MICROSECONDS // 3
        person.updated_at = self.now

    def _is_inside(self, person: Person, since: int, until: int) -> bool:
        if self._window == "ignored":
            return True
        time = person.updated_at if self._window == "updated_at" else person.inserted_at
        last = until * MICROSECONDS + (0 if self._exact else MICROSECONDS - 1)
        return since * MICROSECONDS <= time <= last


def people(seconds: Iterable[float], name: str = "p") -> list[Person]:
    """One customer at each of these seconds after T0."""
    times = [T0 * MICROSECONDS + round(second * MICROSECONDS) for second in seconds]
    return [Person(f"{name}{number:04}", time, time) for number, time in enumerate(times)]


def walk(pancake: LivePancake, since: int = T0, until: int = T0 + 5000, page_size: int = 100) -> CustomerWalk:
    return CustomerWalk(pancake, PAGE, Window(since, until), page_size)


def psids(customers: Iterable[Customer]) -> list[str]:
    return [str(customer.psid) for customer in customers]


def flat(batches: Iterable[Batch]) -> list[Customer]:
    return [customer for batch in batches for customer in batch.customers]


def malformed(batches: Iterable[Batch]) -> list[Malformed]:
    return [one for batch in batches for one in batch.malformed]


def walked(walk: CustomerWalk) -> list[Customer]:
    """Every customer of the walk."""
    return flat(walk)


# Where it starts and ends


def test_both_ends_of_the_window_are_inside() -> None:
    """Customers at `since` and in the whole second of `until` are met, one second beside either is not."""
    pancake = LivePancake(people([-1, -0.000001, 0, 3.5, 7, 7.999999, 8]))
    found = walked(walk(pancake, until=T0 + 7))
    assert psids(found) == ["p0005", "p0004", "p0003", "p0002"]


def test_newest_first() -> None:
    """Batches, and the customers in them, come by falling time."""
    pancake = LivePancake(people(random.Random(1).sample(range(500), 200)))
    batches = list(walk(pancake, page_size=30))
    times = [customer.updated_at for customer in flat(batches)]
    assert len(batches) > 6
    assert times == sorted(times, reverse=True)
    assert len(times) == 200


def test_stop_rule() -> None:
    """The first answer that reaches below `since` is the last request."""
    pancake = LivePancake(people(range(300)))
    found = walked(walk(pancake, since=T0 + 250))
    assert len(found) == 50
    assert len(pancake.asked) == 1


def test_since_is_never_asked_for() -> None:
    """Every request asks `since=0`: a window on inserted_at would hide old customers who changed."""
    old_but_changed = Person("old", (T0 + 400) * MICROSECONDS, (T0 - 9_000) * MICROSECONDS)
    pancake = LivePancake([*people(range(300)), old_but_changed], window="inserted_at")
    found = walked(walk(pancake, since=T0 + 100))
    assert {asked.since for asked in pancake.asked} == {0}
    assert "old" in psids(found)
    assert len(found) == 201


def test_skip_rule() -> None:
    """Where the window is ignored, later customers are skipped and counted, and the walk goes on."""
    pancake = LivePancake(people(range(60)), window="ignored")
    batches = list(walk(pancake, since=T0 + 5, until=T0 + 19, page_size=10))
    assert psids(flat(batches)) == [f"p{number:04}" for number in range(19, 4, -1)]
    assert batches[-1].skipped == 40
    assert not batches[-1].honours_window
    # A first answer tells; then by page number, stopping below `since`.
    assert [asked.page_number for asked in pancake.asked] == [1, 2, 3, 4, 5, 6]


def test_nothing_there() -> None:
    """An empty list is one request and no batch with anybody in it."""
    pancake = LivePancake()
    assert walked(walk(pancake)) == []
    assert len(pancake.asked) == 1


def test_an_empty_window_asks_nothing() -> None:
    """`since` later than `until` costs no request."""
    pancake = LivePancake(people(range(3)))
    assert walked(walk(pancake, since=T0 + 2, until=T0 + 1)) == []
    assert pancake.asked == []


@pytest.mark.parametrize(("count", "requests"), [(99, 1), (100, 2), (101, 2), (150, 2)])
def test_a_short_answer_ends_the_walk(count: int, requests: int) -> None:
    """Where the total agrees, a batch shorter than page_size is the last one."""
    pancake = LivePancake(people(range(count)))
    assert len(walked(walk(pancake))) == count
    assert len(pancake.asked) == requests


def test_pancakes_clock_lowers_until() -> None:
    """By Pancake's `Date`, the last two seconds are not read, whatever our clock said."""
    pancake = LivePancake(people(range(20)), date=T0 + 10)
    batches = list(walk(pancake, until=T0 + 19))
    assert psids(flat(batches))[0] == f"p{10 - SETTLE_SECONDS:04}"
    assert (batches[-1].until, batches[-1].skipped) == (T0 + 8, 11)


def test_pancakes_clock_never_raises_until() -> None:
    """A `Date` later than our clock changes nothing."""
    batches = list(walk(LivePancake(people(range(20)), date=T0 + 10_000), until=T0 + 9))
    assert len(flat(batches)) == 10
    assert batches[-1].until == T0 + 9


def test_pancakes_clock_before_the_window() -> None:
    """When by Pancake's clock the window has not begun, nobody is in it."""
    assert walked(walk(LivePancake(people(range(20)), date=T0 - 5))) == []


# The moving edge


def test_the_edge_moves_not_the_page_number() -> None:
    """After each batch page 1 is asked again, up to one second above the last customer."""
    pancake = LivePancake(people(range(0, 90, 2)))
    walked(walk(pancake, page_size=20))
    assert {asked.page_number for asked in pancake.asked} == {1}
    assert [asked.until - T0 for asked in pancake.asked] == [5001, 51, 13]


@pytest.mark.parametrize("exact", [False, True])
def test_fractions_at_the_edge(exact: bool) -> None:
    """A second that a batch ends in is asked for again as a whole, however Pancake compares fractions."""
    pancake = LivePancake(people([second + part / 7 for second in range(30) for part in range(7)]), exact=exact)
    found = walked(walk(pancake, until=T0 + 29, page_size=10))
    assert len(found) == len(set(psids(found))) == 210


def test_customers_who_change_during_the_walk_take_nobody_along() -> None:
    """Whoever is changed leaves the window; those behind her, who move up, are met all the same."""
    rng = random.Random(2)
    changed: set[str] = set()

    def change(pancake: LivePancake) -> None:
        for person in rng.sample(pancake.people, 5):
            pancake.change(person)
            changed.add(person.psid)

    pancake = LivePancake(people(range(900)), between=change)
    found = set(psids(walked(walk(pancake, page_size=20))))
    assert len(changed) > 100
    assert {person.psid for person in pancake.people} - changed <= found


# One second that fills several answers


@pytest.mark.parametrize("total", [right_total, no_total, total_of_the_page])
@pytest.mark.parametrize("page_size", [2, 3, 7, 100])
def test_a_burst_in_one_second(page_size: int, total: Total) -> None:
    """More customers in one second than an answer holds are all met, and those around them."""
    burst = people([50 + number / 1000 for number in range(250)], "burst")
    around = people(range(100), "around")
    pancake = LivePancake(burst + around, total=total)
    found = walked(walk(pancake, page_size=page_size))
    assert len(found) == len(set(psids(found))) == 350


@pytest.mark.parametrize("turn", range(1, 24))
def test_changes_while_a_second_is_read_by_page_number(turn: int) -> None:
    """Whoever slips past a page number while others leave the second is met on the way back.

    After one request, forward or backward, whichever it is, four customers of the second change at once.
    """

    def change(pancake: LivePancake) -> None:
        if len(pancake.asked) == turn:
            for person in sorted(pancake.people, key=lambda person: -person.updated_at)[:20:5]:
                pancake.change(person)

    burst, earlier = people([50 + number / 1000 for number in range(40)], "burst"), people(range(20), "earlier")
    pancake = LivePancake(burst + earlier, between=change)
    found = walked(walk(pancake, until=T0 + 60, page_size=5))
    unchanged = [person.psid for person in pancake.people if person.second < T0 + 100]
    assert len(unchanged) == 56
    assert set(unchanged) <= set(psids(found))
    times = [customer.updated_at for customer in found]
    assert times == sorted(times, reverse=True)


def test_the_way_back_comes_before_any_earlier_second() -> None:
    """Nobody earlier is handed out while somebody of the second may still be missing."""

    def change(pancake: LivePancake) -> None:
        if len(pancake.asked) == 3:
            pancake.change(pancake.people[0])

    burst, earlier = people([50 + number / 1000 for number in range(30)], "burst"), people(range(9), "earlier")
    pancake = LivePancake(burst + earlier, between=change)
    for batch in walk(pancake, until=T0 + 60, page_size=5):
        if any(customer.updated_at < T0 + 50 for customer in batch.customers):
            break
    numbers = [asked.page_number for asked in pancake.asked]
    assert max(numbers) > 4
    assert numbers[-max(numbers) :] == list(range(max(numbers), 0, -1))


def test_the_way_back_comes_before_the_stop() -> None:
    """A second at `since` is read backwards too before the walk ends."""

    def change(pancake: LivePancake) -> None:
        if len(pancake.asked) == 2:
            for person in pancake.people[:3]:
                pancake.change(person)

    burst, earlier = people([0.9 - number / 1000 for number in range(12)], "burst"), people(range(-20, 0), "earlier")
    pancake = LivePancake(burst + earlier, between=change)
    found = walked(walk(pancake, page_size=4))
    assert {person.psid for person in burst[3:]} <= set(psids(found))


@pytest.mark.parametrize("total", [right_total, no_total, total_of_the_page])
def test_a_burst_at_the_end_is_read_back_in_large_answers(total: Total) -> None:
    """A short last answer makes no way back of tiny answers: requests grow with the customers, not faster."""
    pancake = LivePancake(people([number / 100_000 for number in range(5_001)]), total=total)
    assert len(walked(walk(pancake))) == 5_001
    assert len(pancake.asked) < 3 * 51


# What the server makes of page_size and total


@pytest.mark.parametrize("largest", [1, 2, 7, 50])
@pytest.mark.parametrize("total", [right_total, no_total, total_of_the_page])
@pytest.mark.parametrize("window", ["updated_at", "inserted_at", "ignored"])
def test_a_cut_page_size(largest: int, total: Total, window: str) -> None:
    """A server that sends fewer than asked is asked for so few from then on, and nobody is missed."""
    crowd = people([*range(60), *[30.5] * 25])
    pancake = LivePancake(crowd, largest=largest, total=total, window=window)
    found = walked(walk(pancake, since=T0 + 2, until=T0 + 57))
    assert len(found) == len(set(psids(found))) == 81
    assert pancake.asked[0].page_size == 100
    assert all(asked.page_size <= largest for asked in pancake.asked[1:])


@pytest.mark.parametrize("told", [0, 1, 49, 51, 10_000])
@pytest.mark.parametrize("largest", [50, 100])
def test_a_wrong_total_ends_nothing(told: int, largest: int) -> None:
    """A total that the answers contradict, too small or too great, ends no walk before everybody is met."""
    pancake = LivePancake(people(range(130)), largest=largest, total=lambda _right, _pancake: told)
    assert len(walked(walk(pancake))) == 130


class ForgetfulPancake(LivePancake):
    """Answers the second request, or all from there on, with nobody, though it counts many."""

    def __init__(self, people: Iterable[Person], *, for_ever: bool = False, total: Total = right_total) -> None:
        super().__init__(people, total=total)
        self._for_ever = for_ever

    def get_customers(self, page_number: int, page_size: int, since: int, until: int) -> CustomerList:
        answer = super().get_customers(page_number, page_size, since, until)
        forgets = len(self.asked) == 2 or (self._for_ever and len(self.asked) > 2)
        return CustomerList([], answer.total, answer.date) if forgets else answer


def test_an_empty_answer_that_counts_many_is_asked_again() -> None:
    """Nobody listed where the same answer counts some is not taken for the end."""
    pancake = ForgetfulPancake(people(range(0, 2500, 10)))
    assert len(walked(walk(pancake))) == 250


def test_an_empty_answer_is_not_asked_for_ever() -> None:
    """A Pancake that listed somebody and lists nobody any more is no end of the list: nothing is called read."""
    pancake = ForgetfulPancake(people(range(0, 2500, 10)), for_ever=True)
    with pytest.raises(Unreachable, match="empty page in the middle"):
        walked(walk(pancake))
    assert len(pancake.asked) == 5


class BlindBelow(LivePancake):
    """Lists nobody in a window that ends before this many seconds after T0, though it counts them."""

    def __init__(self, second: int, people: Iterable[Person], *, total: Total = right_total) -> None:
        super().__init__(people, total=total)
        self._second = T0 + second

    def get_customers(self, page_number: int, page_size: int, since: int, until: int) -> CustomerList:
        answer = super().get_customers(page_number, page_size, since, until)
        return CustomerList([], answer.total, answer.date) if until < self._second else answer


def test_nobody_below_a_second_that_fills_answers_is_not_believed() -> None:
    """After a burst it is the customer at the window's edge who tells, not one of the burst."""
    burst = people([100 + number / 1000 for number in range(150)], "burst")
    with pytest.raises(Unreachable, match="empty page in the middle"):
        walked(walk(BlindBelow(100, people(range(90)) + burst)))


def test_who_is_still_listed_has_not_moved_up() -> None:
    """She who was listed last stands where she stood, as a wider window shows: so an answer with nobody was no end."""
    with pytest.raises(Unreachable, match="empty page in the middle"):
        walked(walk(BlindBelow(60, people(range(80)), total=no_total), page_size=10))


def test_an_empty_answer_without_a_total_is_asked_again() -> None:
    """Whoever was listed last is still in the window, so an answer with nobody is not the end of it."""
    pancake = ForgetfulPancake(people(range(0, 2500, 10)), total=no_total)
    assert len(walked(walk(pancake))) == 250


@pytest.mark.parametrize("others", [0, 150])
def test_an_empty_answer_is_the_end_when_the_last_one_has_moved_up(others: int) -> None:
    """All customers change after they were listed, and then others do: nobody is left below, and the walk ends."""

    def change(pancake: LivePancake) -> None:
        if len(pancake.asked) == 1:
            for person in [*pancake.people[:100], *pancake.people[100:][:others]]:
                pancake.change(person)

    late = [Person(f"late{number}", (T0 + 9_000) * MICROSECONDS, T0 * MICROSECONDS) for number in range(others)]
    pancake = LivePancake([*people(range(0, 1000, 10)), *late], total=no_total, between=change)
    assert len(walked(walk(pancake))) == 100


def test_an_empty_answer_always_ends() -> None:
    """A total that promises more than there is makes no endless walk."""
    pancake = LivePancake(people(range(5)), total=lambda _right, _pancake: 1_000)
    assert len(walked(walk(pancake))) == 5
    assert len(pancake.asked) < 10


def test_more_than_asked_for_is_a_broken_contract() -> None:
    """An answer larger than page_size makes every page number wrong, so it is refused."""

    class Generous(LivePancake):
        def get_customers(self, page_number: int, page_size: int, since: int, until: int) -> CustomerList:
            return super().get_customers(page_number, page_size + 1, since, until)

    with pytest.raises(ContractBroken, match="sent 11 customers where 10 were asked for"):
        walked(walk(Generous(people(range(30))), page_size=10))


def test_a_list_that_ignores_page_number_is_a_broken_contract() -> None:
    """A server that gives the same answer to every page_number is found out, instead of being asked for ever."""

    class Stuck(LivePancake):
        def get_customers(self, page_number: int, page_size: int, since: int, until: int) -> CustomerList:
            return super().get_customers(min(page_number, 1), page_size, since, until)

    for shown in ({}, {"updated_at": "yesterday"}):
        pancake = Stuck(Person(str(number), T0 * MICROSECONDS, T0 * MICROSECONDS, shown) for number in range(300))
        with pytest.raises(ContractBroken, match="alike"):
            list(CustomerWalk(pancake, PAGE, Window(0, T0 + 1)))
        assert len(pancake.asked) < 20


def test_even_customers_without_ids_do_not_keep_a_walk_for_ever() -> None:
    """Who has neither an id nor a time looks like everybody else of her kind; a thousand answers of them are enough."""

    class Nameless(LivePancake):
        def get_customers(self, page_number: int, page_size: int, since: int, until: int) -> CustomerList:
            answer = super().get_customers(page_number, page_size, since, until)
            return CustomerList([{}] * 10, None, answer.date)

    with pytest.raises(ContractBroken, match="alike"):
        walked(walk(Nameless(), page_size=10))


def test_a_broken_order_is_a_broken_contract() -> None:
    """A customer newer than her predecessor in one answer ends the walk with an error."""

    class OldestFirst(LivePancake):
        def get_customers(self, page_number: int, page_size: int, since: int, until: int) -> CustomerList:
            answer = super().get_customers(page_number, page_size, since, until)
            return CustomerList(answer.customers[::-1], answer.total, answer.date)

    with pytest.raises(ContractBroken, match="newest customers first"):
        walked(walk(OldestFirst(people(range(3)))))


def test_order_within_a_second_does_not_matter() -> None:
    """Times are compared by whole seconds, so microseconds out of order are no broken contract."""
    pancake = LivePancake(people([5.1, 5.9, 5.5]))
    for person, shown in zip(pancake.people, ("23.1", "23.9", "23.5"), strict=True):
        person.shown["updated_at"] = f"2023-11-14T22:13:{shown}"
    assert len(walked(walk(pancake))) == 3


# A server that ignores the window, or looks at another time


@pytest.mark.parametrize("window", ["inserted_at", "ignored"])
def test_changes_where_the_window_does_not_follow(window: str) -> None:
    """There, rows that change move to the top: page numbers grow and nobody unchanged is missed."""
    rng = random.Random(3)
    changed: set[str] = set()

    def change(pancake: LivePancake) -> None:
        person = rng.choice(pancake.people)
        pancake.change(person)
        changed.add(person.psid)

    pancake = LivePancake(people(range(200)), window=window, between=change)
    batches = list(walk(pancake, page_size=10))
    found = psids(flat(batches))
    assert not batches[-1].honours_window
    assert {person.psid for person in pancake.people} - changed <= set(found)
    assert len(found) == len(set(found))


def test_an_ignored_window_that_shows_late() -> None:
    """Noticed in the middle of a walk, the list is read again from its top, and nobody comes twice."""

    def change(pancake: LivePancake) -> None:
        if len(pancake.asked) == 4:
            pancake.change(pancake.people[0])

    pancake = LivePancake(people(range(100)), window="inserted_at", between=change)
    batches = list(walk(pancake, page_size=10))
    found = psids(flat(batches))
    assert len(found) == len(set(found))
    assert set(found) >= {person.psid for person in pancake.people[1:]}
    assert not batches[-1].honours_window
    assert batches[-1].skipped == 1


# Malformed customers


def test_malformed_customers_are_listed_once() -> None:
    """Whoever has no id or no readable time is noted once, however often listed, and not handed out."""
    crowd = people([50 + number / 1000 for number in range(20)])
    crowd[3].shown = {"id": None}
    crowd[9].shown = {"psid": True}
    crowd[12].shown = {"updated_at": "yesterday"}
    crowd[19].shown = {"updated_at": None}
    pancake = LivePancake(crowd)
    batches = list(walk(pancake, page_size=4))
    assert len(flat(batches)) == 16
    assert len(pancake.asked) > 6
    noted = sorted(str(one.psid or one.pancake_id) for one in malformed(batches))
    assert noted == ["id-p0009", "p0003", "p0012", "p0019"]


def test_malformed_customers_outside_the_window_are_not_noted() -> None:
    """With a readable time they belong to the window of that time."""
    crowd = people(range(10))
    for person in crowd[:2] + crowd[-2:]:
        person.shown = {"id": None}
    batches = list(walk(LivePancake(crowd), since=T0 + 1, until=T0 + 8))
    assert len(flat(batches)) == 6
    assert sorted(str(one.psid) for one in malformed(batches)) == ["p0001", "p0008"]


@pytest.mark.parametrize("window", ["updated_at", "ignored"])
def test_answers_of_malformed_customers_only(window: str) -> None:
    """Whole answers without one readable time neither end the walk nor hold it up."""
    crowd = people([*range(20), *range(100, 120)])
    for person in crowd[20:]:
        person.shown = {"updated_at": "soon"}
    batches = list(walk(LivePancake(crowd, window=window), page_size=4))
    assert len(flat(batches)) == 20
    assert len(malformed(batches)) == 20


def test_what_is_no_object_is_malformed() -> None:
    """A null or a number in the list is noted and ends nothing."""

    class Holey(LivePancake):
        def get_customers(self, page_number: int, page_size: int, since: int, until: int) -> CustomerList:
            answer = super().get_customers(page_number, page_size, since, until)
            return CustomerList([None, *answer.customers, 7], (answer.total or 0) + 2, answer.date)

    batches = list(walk(Holey(people(range(3)))))
    assert len(flat(batches)) == 3
    assert len(malformed(batches)) == 2


def test_the_same_psid_twice_is_handed_out_once() -> None:
    """Of two records with one psid close together, the newer one counts."""
    crowd = people([1, 2, 3])
    crowd[0].shown = {"psid": "p0002"}
    assert psids(walked(walk(LivePancake(crowd)))) == ["p0002", "p0001"]


def test_memory_does_not_grow_with_the_history() -> None:
    """What is remembered against handing out twice stays below a few answers, however long the walk."""
    for window in ("updated_at", "ignored"):
        one = walk(LivePancake(people(range(4_000)), window=window), until=T0 + 3_900, page_size=50)
        # Nothing else shows it: the same customer listed again much later would be a broken contract.
        most = max(len(one._seen._times) for _ in one)  # noqa: SLF001
        assert most <= 150


# Everything at once


@dataclass(frozen=True)
class World:
    """A small random Pancake and how it changes while it is walked through."""

    seed: int

    def build(self) -> tuple[LivePancake, Window, CustomerWalk]:
        rng = random.Random(self.seed)
        seconds = rng.choice([1, 2, 3, 8, 40])
        crowd = [self._person(rng, number, seconds) for number in range(rng.randrange(45))]
        page_size = rng.choice([2, 3, 4, 7, 10])
        busy = rng.choice([0, 0, 0.3, 1, 1])

        def between(pancake: LivePancake) -> None:
            if rng.random() < busy:
                for person in rng.sample(crowd, min(len(crowd), rng.randrange(page_size))):
                    pancake.change(person)
            if rng.random() < busy / 4:  # somebody new
                pancake.now += 1
                pancake.people.append(Person(f"new{len(pancake.people)}", pancake.now, pancake.now))

        pancake = LivePancake(
            crowd,
            window=rng.choice(["updated_at", "updated_at", "inserted_at", "ignored"]),
            exact=rng.random() < 0.5,
            largest=rng.choice([100, 100, 2, 3]),
            total=rng.choice([right_total, right_total, no_total, total_of_the_page]),
            date=rng.choice([None, None, T0 + rng.randrange(seconds + 4)]),
            between=between,
        )
        since = T0 + rng.randrange(-2, seconds)
        window = Window(since, T0 + rng.randrange(seconds + 3))
        return pancake, window, CustomerWalk(pancake, PAGE, window, page_size)

    @staticmethod
    def _person(rng: random.Random, number: int, seconds: int) -> Person:
        second = T0 + rng.randrange(seconds)
        updated_at = second * MICROSECONDS + rng.choice([0, rng.randrange(MICROSECONDS)])
        inserted_at = updated_at - rng.choice([0, rng.randrange(100 * MICROSECONDS)])
        return Person(f"p{number}", updated_at, inserted_at)


@pytest.mark.parametrize("block", range(8))
def test_random_worlds(block: int) -> None:
    """In 4,000 small worlds: nobody unchanged inside the window is missed, nobody outside of it, nobody twice,
    no second out of order, requests in proportion.
    """
    given_up = 0
    for seed in range(block * 500, block * 500 + 500):
        pancake, window, one = World(seed).build()
        before = {person.psid: person.updated_at for person in pancake.people}
        try:
            batches = list(one)
        except Unreachable:  # The last one moves up, and on, for as long as she is looked for.
            given_up += 1
            continue
        at = f"seed {seed}"
        found, until = flat(batches), min([window.until, *(batch.until for batch in batches)])
        unchanged = {person.psid for person in pancake.people if before.get(person.psid) == person.updated_at}
        wanted = {psid for psid in unchanged if window.since <= before[psid] // MICROSECONDS <= until}
        assert wanted <= set(psids(found)), at
        assert all(window.since <= customer.updated_at <= until for customer in found), at
        assert all(later.updated_at <= before.updated_at for before, later in pairwise(found)), at
        assert len(found) == len(set(psids(found))), at
        assert all(asked.since == 0 for asked in pancake.asked), at
        # Each customer can be asked for forward, backward and, where a window turns out ignored, once more.
        assert len(pancake.asked) <= 8 + 6 * len(pancake.people), at
    assert given_up <= 2
