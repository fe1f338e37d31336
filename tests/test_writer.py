"""Ordered, concurrent upserts: what may stand beyond an unfinished customer, and what failures do."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from customer_sync.core.clock import Clock
from customer_sync.core.customer import Customer
from customer_sync.core.errors import (
    ExitCode,
    Refused,
    ServerError,
    ServiceError,
    StopRequested,
    TokenRefused,
    Unreachable,
)
from customer_sync.services.documents import StoredVersion
from customer_sync.services.folkform import Filter
from customer_sync.sync.writer import CustomerWriter, Order, Upserts

PAGE = "104001"
T0 = 1_700_000_000
PATIENCE = 20.0
# How long to wait for what must not happen; longer only makes a broken rule show more surely.
NOTHING_COMES = 0.2
OUTAGE = Unreachable("FolkForm", "answered 503")
OWN_500 = ServerError("FolkForm", "answered 500", status=500, code="DB")
REFUSAL = Refused("FolkForm", "refused the request")
FORBIDDEN = TokenRefused("FolkForm", "answered 403", status=403)
OLDEST_FIRST, NEWEST_FIRST = Order.OLDEST_FIRST, Order.NEWEST_FIRST
BOTH_ORDERS = pytest.mark.parametrize("order", list(Order))


def customer(name: str, time: int) -> Customer:
    return Customer(name, PAGE, T0 + time, f"v{time}", {})


def crowd(times: Iterable[int]) -> list[Customer]:
    """Customers c0, c1, … at these times."""
    return [customer(f"c{number}", time) for number, time in enumerate(times)]


def in_order(order: Order, customers: Iterable[Customer]) -> list[Customer]:
    return sorted(customers, key=lambda one: one.updated_at * order.value)


def write_all(writer: CustomerWriter, customers: Iterable[Customer]) -> None:
    """Writes one customer after the other."""
    for one in customers:
        writer.write(one)


class FolkForm:
    """Upserts that do what the test says, and a record of what stood where when each one began.

    *act* is called in every upsert with the psid and the number of the try; it may wait or raise.
    """

    def __init__(self, act: Callable[[str, int], None] = lambda _psid, _try: None) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.written: list[str] = []
        self.failed: list[str] = []
        self.begun_at_pings: list[int] = []
        self.up = True
        self.database_up = True
        self.look_ups = 0
        self.in_flight = 0
        self.most_in_flight = 0
        self.tries: Counter[str] = Counter()
        self._act = act
        self._changed = threading.Condition()
        self.held_elsewhere: set[str] = set()
        """Whose ids another page's records have."""
        self.asked: list[tuple[str, Filter | None, int]] = []
        """Every upsert: whose, by what, and how many 500s it takes."""

    def upsert(self, customer: Customer, where: Filter | None = None, *, tries_on_500: int = 1) -> None:
        with self._changed:
            self.asked.append((str(customer.psid), where, tries_on_500))
            self.tries[str(customer.psid)] += 1
            number = self.tries[str(customer.psid)]
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
            self.begun.append(str(customer.psid))
            self.begins(customer)
            self._changed.notify_all()
        try:
            self._act(str(customer.psid), number)
        finally:
            with self._changed:
                self.in_flight -= 1
                self.ended.append(str(customer.psid))
                self._changed.notify_all()

    @property
    def pings(self) -> int:
        return len(self.begun_at_pings)

    def begins(self, customer: Customer) -> None:
        """Called at the beginning of every upsert, one at a time."""

    def ping(self, page_id: str) -> None:
        assert page_id == PAGE
        self.begun_at_pings.append(len(self.begun))
        if not self.up:
            raise OUTAGE

    def look_up(self, customer: Customer) -> Filter:
        assert customer.page_id == PAGE
        self.look_ups += 1
        if not self.database_up:
            raise OUTAGE
        if str(customer.psid) in self.held_elsewhere:
            raise Refused("FolkForm", "holds the id elsewhere")
        return {"customerId": f"id-{customer.psid}"}

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Returns as soon as it holds; looked at whenever an upsert begins or ends."""
        with self._changed:
            assert self._changed.wait_for(condition, PATIENCE), (self.begun, self.ended)

    @contextmanager
    def writer(
        self,
        order: Order = OLDEST_FIRST,
        *,
        stored: Iterable[int] = (),
        workers: int = 8,
        span: int = 15,
        clock: Clock | None = None,
        bound_from: int | None = None,
    ) -> Iterator[CustomerWriter]:
        """A writer into this FolkForm; *stored* are the times of the mark's answer."""

        def written(customer: Customer) -> None:
            self.written.append(str(customer.psid))

        def failed(customer: Customer, _: ServiceError) -> None:
            self.failed.append(str(customer.psid))

        documents = [StoredVersion(f"s{time}", f"v{time}", T0 + time) for time in stored]
        bound = None if bound_from is None else T0 + bound_from
        with ThreadPoolExecutor(workers) as pool:
            upserts = Upserts(pool, workers, self.upsert, self.look_up, self.ping, clock or Clock(), span)
            with CustomerWriter(upserts, order, documents, written, failed, bound_from=bound) as writer:
                yield writer


class Held:
    """Keeps upserts of some customers from ending until they are let go."""

    def __init__(self, *psids: str) -> None:
        self._gates = {psid: threading.Event() for psid in psids}

    def __call__(self, psid: str, _: int) -> None:
        if psid in self._gates:
            assert self._gates[psid].wait(PATIENCE)

    def let_go(self, *psids: str) -> None:
        for psid in psids or self._gates:
            self._gates[psid].set()


class InThread:
    """Writes in a thread of its own, so that the test can watch; `join` raises what it raised."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._error: BaseException | None = None
        self._work = work
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:
            self._error = error

    def join(self) -> None:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        if self._error is not None:
            raise self._error


# The SPAN rule


@BOTH_ORDERS
def test_fewer_than_span_stand_beyond_the_first_unfinished(order: Order) -> None:
    """While the first customer's upsert hangs, fewer than a third of SPAN others are written, and no more begun."""
    customers = in_order(order, crowd(range(40)))
    first, *others = (str(one.psid) for one in customers)
    held = Held(first)
    folkform = FolkForm(held)

    def work() -> None:
        with folkform.writer(order, span=15) as writer:
            write_all(writer, customers)

    thread = InThread(work)
    folkform.wait_for(lambda: len(folkform.ended) == 4)
    begun_before = list(folkform.begun)
    held.let_go()
    thread.join()
    assert sorted(begun_before) == sorted([first, *others[:4]])
    assert sorted(folkform.written) == sorted(str(one.psid) for one in customers)


@BOTH_ORDERS
def test_documents_of_the_marks_answer_count(order: Order) -> None:
    """What FolkForm already holds beyond the first unfinished customer takes places of those who may."""
    customers = in_order(order, crowd(range(10, 30)))
    held = Held(str(customers[0].psid))
    folkform = FolkForm(held)
    beyond = [40, 41, 42] if order is OLDEST_FIRST else [-40, -41, -42]
    before = [1, 2, 3, 4, 5, 6, 7] if order is OLDEST_FIRST else [50, 51, 52, 53, 54, 55, 56]

    def work() -> None:
        with folkform.writer(order, span=15, stored=[*beyond, *before]) as writer:
            write_all(writer, customers)

    thread = InThread(work)
    folkform.wait_for(lambda: folkform.ended == [str(customers[1].psid)])
    begun_before = list(folkform.begun)
    held.let_go()
    thread.join()
    assert sorted(begun_before) == sorted([str(customers[0].psid), str(customers[1].psid)])
    assert len(folkform.written) == 20


@BOTH_ORDERS
def test_the_first_unfinished_may_always_start(order: Order) -> None:
    """Even where more than SPAN documents stand beyond, everybody is written: one at a time."""
    folkform = FolkForm()
    customers = in_order(order, crowd(range(10, 22)))
    stored = range(100, 120) if order is OLDEST_FIRST else range(-120, -100)
    with folkform.writer(order, span=15, stored=stored) as writer:
        write_all(writer, customers)
    assert folkform.written == [str(one.psid) for one in customers]
    assert folkform.most_in_flight == 1


@BOTH_ORDERS
def test_a_span_of_one_is_the_guides_query(order: Order) -> None:
    """With SPAN = 1 one customer at a time is written, in order."""
    folkform = FolkForm()
    customers = in_order(order, crowd(range(15)))
    with folkform.writer(order, span=1) as writer:
        write_all(writer, customers)
    assert folkform.begun == folkform.written == [str(one.psid) for one in customers]
    assert folkform.most_in_flight == 1


@BOTH_ORDERS
@pytest.mark.parametrize("span", [1, 5])
def test_ties_may_run_together(order: Order, span: int) -> None:
    """Customers of one second are not beyond each other: the next pass reads that second again."""
    customers = crowd([7] * 8)
    held = Held(*(str(one.psid) for one in customers))
    folkform = FolkForm(held)

    def work() -> None:
        with folkform.writer(order, span=span) as writer:
            write_all(writer, customers)

    thread = InThread(work)
    folkform.wait_for(lambda: folkform.in_flight == 8)
    held.let_go()
    thread.join()
    assert len(folkform.written) == 8


def test_who_moves_no_mark_is_not_bound() -> None:
    """Before *bound_from* a hanging customer holds nobody back; from there on the rule binds."""
    customers = in_order(NEWEST_FIRST, crowd(range(30)))
    free, bound = customers[:10], customers[10:]
    held = Held(str(free[0].psid), str(bound[0].psid))
    folkform = FolkForm(held)

    def work() -> None:
        with folkform.writer(NEWEST_FIRST, span=12, bound_from=bound[0].updated_at - T0) as writer:
            write_all(writer, customers)

    thread = InThread(work)
    # All the free ones but the held one, and three beyond the first who is bound.
    folkform.wait_for(lambda: len(folkform.ended) == 9 + 3)
    begun_before = list(folkform.begun)
    held.let_go()
    thread.join()
    assert sorted(begun_before) == sorted(str(one.psid) for one in customers[:14])
    assert len(folkform.written) == 30


@BOTH_ORDERS
def test_out_of_order_runs_alone(order: Order) -> None:
    """A customer who comes too late in the order begins when all others have ended, and ends before more begin."""
    late_begins, more_begin = threading.Event(), threading.Event()

    def act(psid: str, _: int) -> None:
        if psid == "late":
            late_begins.set()
            alone.append(not more_begin.wait(NOTHING_COMES))
        elif psid == customers[19].psid:
            alone.append(not late_begins.wait(NOTHING_COMES))
        elif psid == customers[20].psid:
            more_begin.set()

    alone: list[bool] = []
    folkform = FolkForm(act)
    customers = in_order(order, crowd(range(100, 130)))
    late = customer("late", 0 if order is OLDEST_FIRST else 500)
    with folkform.writer(order, span=60) as writer:
        write_all(writer, [*customers[:20], late, *customers[20:]])
    assert alone == [True, True]
    assert len(folkform.written) == 31


class Watched(FolkForm):
    """Checks the promise whenever an upsert begins; upserts of *held* end last, the furthest one first."""

    def __init__(self, order: Order, customers: list[Customer], stored: list[int], held: set[str], sick: set[str]):
        """The first try of each of *sick* fails."""
        super().__init__(self._linger)
        self.most_beyond = 0
        self._sort_key = {str(one.psid): one.updated_at * order.value for one in customers}
        self._stored = [(T0 + time) * order.value for time in stored]
        self._held = held
        self._flying: set[str] = set()
        self._sick = sick

    def begins(self, customer: Customer) -> None:
        self._flying.add(str(customer.psid))
        done = {*self.arrived, *self.failed}
        first = min(place for psid, place in self._sort_key.items() if psid not in done)
        if self._sort_key[str(customer.psid)] > first:
            started = sum(1 for psid in self.tries if self._sort_key[psid] > first)
            self.most_beyond = max(self.most_beyond, started + sum(1 for place in self._stored if place > first))

    @property
    def arrived(self) -> set[str]:
        return {psid for psid in self.tries if self.tries[psid] > (psid in self._sick) and psid not in self._flying}

    def _linger(self, psid: str, number: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._may_end(psid), PATIENCE)
            self._flying.discard(psid)
            self._changed.notify_all()
        if psid in self._sick and number == 1:
            raise OUTAGE

    def _may_end(self, psid: str) -> bool:
        return psid not in self._held or (
            self._flying <= self._held and psid == max(self._flying, key=lambda one: (self._sort_key[one], one))
        )


@BOTH_ORDERS
@pytest.mark.parametrize("block", range(3))
def test_the_span_rule_in_random_worlds(order: Order, block: int) -> None:
    """Whoever is slow and whoever fails at first: never does a third of SPAN or more stand beyond an unfinished one."""
    for seed in range(block * 50, block * 50 + 50):
        rng = random.Random(f"{order} {seed}")
        spread = rng.choice([5, 60])
        customers = in_order(order, crowd(rng.randrange(spread) for _ in range(rng.randrange(1, 50))))
        span, workers = rng.choice([1, 3, 9, 20, 60]), rng.choice([1, 2, 4, 8])
        stored = [rng.randrange(spread) for _ in range(rng.randrange(span + 1))]
        held = {str(one.psid) for one in customers if rng.random() < 0.3}
        sick = {str(one.psid) for one in customers if rng.random() < 0.1}
        folkform = Watched(order, customers, stored, held, sick)
        with folkform.writer(order, stored=stored, span=span, workers=workers) as writer:
            write_all(writer, customers)
        assert 3 * folkform.most_beyond < span, f"seed {seed}"
        assert sorted(folkform.written) == sorted(str(one.psid) for one in customers), f"seed {seed}"
        assert folkform.most_in_flight <= workers, f"seed {seed}"


# A customer whose tries ran out


def test_second_chance_after_another_got_through() -> None:
    """When somebody else's upsert gets through, she is tried once more, without asking whether FolkForm is up."""
    gate = threading.Event()

    def act(psid: str, number: int) -> None:
        if psid == "c0" and number == 1:
            raise OUTAGE
        if psid == "c1":
            assert gate.wait(PATIENCE)

    folkform = FolkForm(act)

    def work() -> None:
        with folkform.writer() as writer:
            write_all(writer, crowd([0, 1]))

    thread = InThread(work)
    folkform.wait_for(lambda: "c0" in folkform.ended and "c1" in folkform.begun)
    assert folkform.tries["c0"] == 1
    gate.set()
    thread.join()
    assert sorted(folkform.written) == ["c0", "c1"]
    assert (folkform.tries["c0"], folkform.pings, folkform.failed) == (2, 0, [])


def test_second_chance_after_the_cheap_call() -> None:
    """Alone, she is tried once more as soon as one cheap call says that FolkForm answers."""

    def act(_: str, number: int) -> None:
        if number == 1:
            raise OUTAGE

    folkform = FolkForm(act)
    with folkform.writer() as writer:
        write_all(writer, crowd([0]))
    assert (folkform.written, folkform.failed, folkform.pings, folkform.tries["c0"]) == (["c0"], [], 1, 2)


@BOTH_ORDERS
def test_failed_while_folkform_answers(order: Order) -> None:
    """Failing again while FolkForm answers, she is reported and passed over, and everybody else arrives."""

    def act(psid: str, _: int) -> None:
        if psid == "c7":
            raise OUTAGE

    folkform = FolkForm(act)
    customers = in_order(order, crowd(range(40)))
    with folkform.writer(order) as writer:
        write_all(writer, customers)
    assert folkform.failed == ["c7"]
    assert folkform.tries["c7"] == 2
    assert len(folkform.written) == 39


def test_nobody_begins_while_somebody_is_given_up() -> None:
    """Until FolkForm is known to answer, nobody new is begun: an outage costs the tries of those in flight."""

    def act(_: str, number: int) -> None:
        if number == 1:
            raise OUTAGE

    folkform = FolkForm(act)
    with folkform.writer(workers=2, span=50) as writer:
        write_all(writer, crowd(range(30)))
    assert len(folkform.written) == 30
    assert folkform.failed == []
    assert max(folkform.tries.values()) == 2
    assert folkform.begun_at_pings[0] <= 2 * 2


def test_folkform_down_ends_the_page() -> None:
    """When the cheap call fails too, the page ends with Unreachable; nobody is failed, so the mark stays truthful."""
    folkform = FolkForm(lambda _psid, _try: _outage())
    folkform.up = False
    with pytest.raises(Unreachable), folkform.writer(workers=4, span=50) as writer:
        write_all(writer, crowd(range(1_000)))
    assert (folkform.written, folkform.failed, folkform.pings) == ([], [], 1)
    assert max(folkform.tries.values()) == 1
    assert len(folkform.begun) <= 2 * 4


def test_an_outage_in_the_middle() -> None:
    """Written ones count, those in flight are tried once, and nothing is begun afterwards."""

    def act(psid: str, _: int) -> None:
        if int(psid[1:]) >= 20:
            folkform.up = False
            _outage()

    folkform = FolkForm(act)
    with pytest.raises(Unreachable), folkform.writer(workers=4, span=50) as writer:
        write_all(writer, crowd(range(1_000)))
    assert len(folkform.written) == 20
    assert folkform.failed == []
    # Whoever gave up while others still got through had a second set of tries.
    assert sum(folkform.tries.values()) <= 20 + 2 * 2 * 4


def test_an_outage_during_the_second_chance() -> None:
    """Others got through since, but FolkForm is down when her second tries run out: she is not failed."""
    second_try, third_arrived = threading.Event(), threading.Event()

    def act(psid: str, number: int) -> None:
        if psid == "c0" and number == 1:
            _outage()
        if psid == "c0":
            second_try.set()
            assert third_arrived.wait(PATIENCE)
            folkform.up = False
            _outage()
        if psid == "c2":
            assert second_try.wait(PATIENCE)

    folkform = FolkForm(act)

    def work() -> None:
        with folkform.writer() as writer:
            write_all(writer, crowd([0, 1, 2]))

    thread = InThread(work)
    folkform.wait_for(lambda: "c2" in folkform.ended)
    third_arrived.set()
    with pytest.raises(Unreachable):
        thread.join()
    assert folkform.failed == []


def test_everybody_failing_while_folkform_answers() -> None:
    """SPAN failed customers in a row are not about customers: the page ends, exit 3, with no storm of tries."""
    folkform = FolkForm(lambda _psid, _try: _outage())
    with pytest.raises(Refused) as raised, folkform.writer(workers=4, span=10) as writer:
        write_all(writer, crowd(range(1_000)))
    assert raised.value.exit_code is ExitCode.REFUSED
    assert 10 <= len(folkform.failed) <= 10 + 2 * 4
    assert max(folkform.tries.values()) == 2
    assert len(folkform.tries) <= 10 + 2 * 4


# FolkForm's own 500


def _breaking(*psids: str, times: int = 1_000) -> Callable[[str, int], None]:
    """FolkForm answers these customers so many times with 500."""

    def act(psid: str, number: int) -> None:
        if psid in psids and number <= times:
            raise OWN_500

    return act


@BOTH_ORDERS
def test_a_500_about_one_customer(order: Order) -> None:
    """While others get through it takes one look-up and one more try, by the record that was found."""
    folkform = FolkForm(_breaking("c7"))
    with folkform.writer(order) as writer:
        write_all(writer, in_order(order, crowd(range(40))))
    assert (folkform.failed, len(folkform.written)) == (["c7"], 39)
    assert [one for one in folkform.asked if one[0] == "c7"] == [
        ("c7", None, 1),
        ("c7", {"customerId": "id-c7"}, 1),
    ]
    assert (folkform.look_ups, folkform.pings) == (1, 0)


def test_a_500_that_is_about_no_id() -> None:
    """Then nothing is looked up: two more tries in its place."""

    def act(psid: str, _: int) -> None:
        if psid == "c7":
            raise ServerError("FolkForm", "answered 500", status=500, code="SYS_001")

    folkform = FolkForm(act)
    with folkform.writer() as writer:
        write_all(writer, crowd(range(40)))
    assert [one for one in folkform.asked if one[0] == "c7"] == [("c7", None, 1), ("c7", None, 2)]
    assert (folkform.failed, folkform.look_ups) == (["c7"], 0)


def test_500s_to_several_are_an_outage() -> None:
    """After three unexplained ones whole sets of tries begin, though others get through."""
    folkform = FolkForm(_breaking(*(f"c{number}" for number in range(5, 100, 10))))
    with folkform.writer() as writer:
        write_all(writer, crowd(range(100)))
    assert len(folkform.failed) == 10
    assert sum(tries > 1 for _, _, tries in folkform.asked) >= 2 * 6


def test_a_500_that_another_filter_helps() -> None:
    """An earlier record of the same customer is updated: nothing has failed."""
    folkform = FolkForm(_breaking("c7", times=1))
    with folkform.writer() as writer:
        write_all(writer, crowd(range(40)))
    assert (folkform.failed, len(folkform.written), folkform.tries["c7"]) == ([], 40, 2)


@pytest.mark.parametrize("count", [1, 40])
def test_an_id_that_is_held_elsewhere(count: int) -> None:
    """What the look-up proves is not tried again, whether others get through or not."""
    folkform = FolkForm(_breaking("c0"))
    folkform.held_elsewhere.add("c0")
    with folkform.writer() as writer:
        write_all(writer, crowd(range(count)))
    assert (folkform.failed, len(folkform.written), folkform.tries["c0"]) == (["c0"], count - 1, 1)


def test_many_ids_that_are_held_elsewhere() -> None:
    """What is proven about each customer is not about us, however many there are in a row."""
    names = [f"c{number}" for number in range(60)]
    folkform = FolkForm(_breaking(*names))
    folkform.held_elsewhere.update(names)
    with folkform.writer(span=15) as writer:
        write_all(writer, crowd(range(61)))
    assert (sorted(folkform.failed), folkform.written) == (sorted(names), ["c60"])


def test_500_to_everybody_is_an_outage() -> None:
    """While none gets through, the second set of tries is a full one: who is taken then has not failed."""
    folkform = FolkForm(_breaking(*(f"c{number}" for number in range(8)), times=1))
    with folkform.writer(workers=4, span=150) as writer:
        write_all(writer, crowd(range(8)))
    assert (folkform.failed, len(folkform.written)) == ([], 8)
    assert {tries for _, where, tries in folkform.asked if where} == {4}


def test_who_began_before_proves_nothing() -> None:
    """An upsert that had begun before the 500 and gets through after it may have met a FolkForm that was still well."""
    held = Held("c1")

    def act(psid: str, number: int) -> None:
        held(psid, number)
        if psid == "c0" and number == 1:
            folkform.wait_for(lambda: "c1" in folkform.begun)
            raise OWN_500

    folkform = FolkForm(act)

    def work() -> None:
        with folkform.writer(workers=2) as writer:
            write_all(writer, crowd([0, 1]))

    thread = InThread(work)
    folkform.wait_for(lambda: "c0" in folkform.ended and "c1" in folkform.begun)
    held.let_go()
    thread.join()
    assert folkform.asked[-1] == ("c0", {"customerId": "id-c0"}, 4)
    assert (folkform.failed, sorted(folkform.written)) == ([], ["c0", "c1"])


def test_500_while_folkform_does_not_answer_who_has_the_id() -> None:
    """Then it is down: the page ends, and nobody has failed."""
    folkform = FolkForm(_breaking(*(f"c{number}" for number in range(40))))
    folkform.database_up = False
    with pytest.raises(Unreachable), folkform.writer(workers=4, span=50) as writer:
        write_all(writer, crowd(range(40)))
    assert (folkform.failed, folkform.written, folkform.pings) == ([], [], 1)


def test_others_go_on_within_the_span_rule() -> None:
    """A customer who was answered 500 does not hold up the others at once, but no more than a third of SPAN pass."""
    gate = threading.Event()

    def act(psid: str, number: int) -> None:
        if psid == "c0" and number == 1:
            raise OWN_500
        if psid != "c0":
            assert gate.wait(PATIENCE)

    folkform = FolkForm(act)

    def work() -> None:
        with folkform.writer(workers=20, span=15) as writer:
            write_all(writer, crowd(range(40)))

    thread = InThread(work)
    folkform.wait_for(lambda: len(folkform.begun) == 5)
    gate.set()
    thread.join()
    assert len(folkform.written) == 40


# Refusals


def test_span_refused_in_a_row() -> None:
    """SPAN refused customers in a row end the page with exit 3 and FolkForm's own words; few more are tried."""
    folkform = FolkForm(lambda _psid, _try: _refusal())
    with pytest.raises(Refused) as raised, folkform.writer(workers=4, span=10) as writer:
        write_all(writer, crowd(range(1_000)))
    assert raised.value.exit_code is ExitCode.REFUSED
    assert "10 customers in a row" in raised.value.sentence
    assert "refused the request" in raised.value.sentence
    assert 10 <= len(folkform.failed) <= 10 + 2 * 4
    assert max(folkform.tries.values()) == 1


def test_refusals_between_others_end_nothing() -> None:
    """A refused customer is reported and passed over; somebody written in between starts the count anew."""
    folkform = FolkForm(lambda psid, _: _refusal() if int(psid[1:]) % 5 else None)
    with folkform.writer(workers=1, span=5) as writer:
        write_all(writer, crowd(range(100)))
    assert len(folkform.written) == 20
    assert len(folkform.failed) == 80


# What ends everything


def _everything_ends(folkform: FolkForm, begun: int) -> None:
    """Nothing in flight, nothing begun afterwards, and every upsert that got through was heard of."""
    assert folkform.in_flight == 0
    assert len(folkform.begun) == begun
    assert len(folkform.ended) == begun


def test_a_forbidden_customer_blocks_nobody() -> None:
    """One 403 may be about what a customer's data looks like to a firewall: she is passed over."""

    def act(psid: str, _: int) -> None:
        if psid == "c3":
            raise FORBIDDEN

    folkform = FolkForm(act)
    with folkform.writer() as writer:
        write_all(writer, crowd(range(20)))
    assert len(folkform.written) == 19
    assert len(folkform.failed) == 1


def test_forbidden_customers_do_not_block_others() -> None:
    """Several 403 in a row may be about what the customers' data looks like to a firewall: the others are written."""

    def act(psid: str, _: int) -> None:
        if psid.startswith("c"):
            raise FORBIDDEN

    folkform = FolkForm(act)
    with folkform.writer(workers=1, span=10) as writer:
        write_all(writer, [*crowd(range(1, 10)), customer("last", 40)])
    assert folkform.written == ["last"]
    assert len(folkform.failed) == 9
    assert max(folkform.tries.values()) == 1


def test_span_forbidden_in_a_row() -> None:
    """Where every customer is forbidden, the page ends before the watermark passes them all."""

    def act(_psid: str, _try: int) -> None:
        raise FORBIDDEN

    folkform = FolkForm(act)
    with pytest.raises(Refused), folkform.writer(workers=1, span=10) as writer:
        write_all(writer, crowd(range(1, 32)))
    assert 10 <= len(folkform.failed) <= 12


@pytest.mark.parametrize("kind", [TokenRefused, Refused])
def test_folkforms_own_403_ends_the_page(kind: type[TokenRefused | Refused]) -> None:
    """Its code says that it is about the role, whatever the status, so no other customer is tried."""

    def act(psid: str, _: int) -> None:
        if psid == "c0":
            raise kind("FolkForm", "answered 403", status=403, code="AUTH_003")

    folkform = FolkForm(act)
    with pytest.raises(kind), folkform.writer(workers=1, span=2) as writer:
        write_all(writer, crowd(range(30)))
    assert folkform.failed == []


def test_a_refused_token_ends_the_page() -> None:
    """A 401 is raised; the upserts in flight that get through count."""
    held = Held("c1", "c2")

    def act(psid: str, number: int) -> None:
        held(psid, number)
        if psid not in ("c1", "c2"):
            raise TokenRefused("FolkForm", "answered 401", status=401)

    folkform = FolkForm(act)

    def work() -> None:
        with folkform.writer(workers=3) as writer:
            write_all(writer, crowd(range(100)))

    thread = InThread(work)
    folkform.wait_for(lambda: "c0" in folkform.ended)
    held.let_go()
    with pytest.raises(TokenRefused):
        thread.join()
    assert {"c1", "c2"} <= set(folkform.written)
    assert folkform.failed == []
    _everything_ends(folkform, len(folkform.begun))
    assert len(folkform.begun) <= 6


def test_a_stop_request() -> None:
    """Asked to stop, nobody more is begun; who is in flight ends and counts."""
    clock, held = Clock(), Held("c0", "c1")
    folkform = FolkForm(held)

    def customers() -> Iterator[Customer]:
        yield from crowd([0, 1])
        folkform.wait_for(lambda: folkform.in_flight == 2)
        clock.stop(StopRequested("Ended by SIGTERM", ExitCode.SIGTERM))
        held.let_go()
        yield from crowd(range(2, 50))

    with pytest.raises(StopRequested), folkform.writer(clock=clock) as writer:
        write_all(writer, customers())
    assert sorted(folkform.written) == ["c0", "c1"]
    _everything_ends(folkform, 2)


@pytest.mark.parametrize("customers", [2, 9])
@pytest.mark.parametrize(("at_try", "named"), [(1, []), (2, ["c0"])])
def test_a_stop_request_while_one_is_in_the_way(customers: int, at_try: int, named: list[str]) -> None:
    """Whose tries have run out once though FolkForm takes others is named, when a time limit ends the second ones."""
    clock = Clock()

    def act(psid: str, number: int) -> None:
        if psid == "c0" and number == at_try:
            clock.stop(StopRequested("Ended by the time limit", ExitCode.OK))
            clock.check()
        elif psid == "c0":
            _outage()

    folkform = FolkForm(act)
    with pytest.raises(StopRequested), folkform.writer(clock=clock, workers=1) as writer:
        write_all(writer, crowd([0] * customers))
    assert folkform.failed == named


def test_an_error_of_the_reading_side() -> None:
    """When Pancake fails in the middle, what was begun ends and counts; the error comes through."""

    def customers() -> Iterator[Customer]:
        yield from crowd(range(3))
        raise Unreachable("Pancake", "answered 502")

    folkform = FolkForm()
    with pytest.raises(Unreachable, match="Pancake"), folkform.writer(workers=1) as writer:
        write_all(writer, customers())
    assert folkform.written == folkform.begun
    assert folkform.in_flight == 0


def test_what_waits_in_the_pool_is_not_begun_after_an_error() -> None:
    """Upserts handed to a busy pool, but not begun, are dropped when the page ends."""
    gate = threading.Event()

    def act(psid: str, _: int) -> None:
        if psid == "c0":
            assert gate.wait(PATIENCE)

    def customers() -> Iterator[Customer]:
        yield from crowd([0, 0])
        later.start()
        raise Unreachable("Pancake", "answered 502")

    folkform = FolkForm(act)
    abandoned = threading.Event()

    def release() -> None:
        abandoned.wait(PATIENCE)
        gate.set()

    later = threading.Thread(target=release)

    class Noticing(CustomerWriter):
        """Tells when nothing more is to begin: only then may the worker become free."""

        def _abandon(self) -> None:
            self._ended = True
            abandoned.set()
            super()._abandon()

    with ThreadPoolExecutor(1) as pool:
        upserts = Upserts(pool, 1, folkform.upsert, folkform.look_up, folkform.ping, Clock(), 5)
        nobody: Callable[..., None] = lambda *_: None  # noqa: E731
        with pytest.raises(Unreachable), Noticing(upserts, OLDEST_FIRST, [], nobody, nobody) as writer:
            write_all(writer, customers())
    later.join()
    assert folkform.begun == ["c0"]


def test_everything_is_heard_of_once() -> None:
    """Each customer is heard of as written exactly once, and at the end nothing is in flight."""
    folkform = FolkForm()
    with folkform.writer(workers=8, span=50) as writer:
        write_all(writer, crowd(range(300)))
        write_all(writer, crowd([]))
    assert sorted(folkform.written) == sorted(f"c{number}" for number in range(300))
    _everything_ends(folkform, 300)


def _outage() -> None:
    raise OUTAGE


def _refusal() -> None:
    raise REFUSAL
