"""Ordered, concurrent upserts: how the writer applies the SPAN rule and the failure policy, and how it ends.

The rules themselves: test_span_rule.py, test_failure_policy.py.
"""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import repeat
from queue import SimpleQueue
from typing import Any

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

from .histories.in_flight import InFlight, Outcomes

PAGE = "104001"
T0 = 1_700_000_000
PATIENCE = 20.0
OUTAGE = Unreachable("FolkForm", "answered 503")
OWN_500 = ServerError("FolkForm", "answered 500", status=500, code="SYS_001")
DUPLICATE = ServerError("FolkForm", "answered 500", status=500, code="DB")
REFUSAL = Refused("FolkForm", "refused the request")
FORBIDDEN = TokenRefused("FolkForm", "answered 403", status=403)
BAD_TOKEN = TokenRefused("FolkForm", "answered 401", status=401)
OLDEST_FIRST = Order.OLDEST_FIRST
BOTH_ORDERS = pytest.mark.parametrize("order", list(Order))


def crowd(places: Iterable[int], order: Order = OLDEST_FIRST, name: str = "c") -> list[Customer]:
    """Customers c0, c1, … at these places in the order of a pass."""
    times = [T0 + place * order.value for place in places]
    return [Customer(f"{name}{number}", PAGE, time, f"v{time}", {}) for number, time in enumerate(times)]


def psids(customers: Iterable[Customer]) -> list[str]:
    return sorted(str(one.psid) for one in customers)


def write_all(writer: CustomerWriter, customers: Iterable[Customer]) -> None:
    """Writes one customer after the other."""
    for one in customers:
        writer.write(one)


Act = Callable[[str, int], None]


def fails(error: Exception, *names: str, times: int = 1_000) -> Act:
    """So many upserts of each of these customers fail; without names, of every customer."""

    def act(psid: str, number: int) -> None:
        if number <= times and (psid in names or not names):
            raise error

    return act


class FolkForm:
    """Upserts that do what *act* does, and a record of them.

    It gets the psid and the number of the try; it may wait or raise.
    """

    def __init__(self, act: Act = lambda _psid, _try: None) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.written: list[str] = []
        self.failed: list[str] = []
        self.asked: list[tuple[str, Filter | None, int]] = []
        """Every upsert: psid, filter, and how many 500s it takes."""
        self.begun_at_pings: list[int] = []
        self.up = True
        self.tries: Counter[str] = Counter()
        self._act = act
        self._changed = threading.Condition()

    def upsert(self, customer: Customer, where: Filter | None = None, *, tries_on_500: int = 1) -> None:
        psid = str(customer.psid)
        with self._changed:
            self.asked.append((psid, where, tries_on_500))
            self.tries[psid] += 1
            self.begun.append(psid)
            self._changed.notify_all()
        try:
            self._act(psid, self.tries[psid])
        finally:
            with self._changed:
                self.ended.append(psid)
                self._changed.notify_all()

    @property
    def pings(self) -> int:
        return len(self.begun_at_pings)

    def ping(self, page_id: str) -> None:
        assert page_id == PAGE
        self.begun_at_pings.append(len(self.begun))
        if not self.up:
            raise OUTAGE

    def look_up(self, customer: Customer) -> Filter:
        return {"customerId": f"id-{customer.psid}"}

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Returns as soon as it holds; checked whenever an upsert begins or ends."""
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
        arrivals: Iterable[int] | None = (),
    ) -> Iterator[CustomerWriter]:
        """A writer into this FolkForm; *stored* and *bound_from* are places in the order.

        *arrivals* say which of the upserts in flight runs next while the writer waits, first the oldest; None runs
        them in threads.
        """
        documents = [StoredVersion(f"s{place}", f"v{place}", T0 + place * order.value) for place in stored]
        bound = None if bound_from is None else T0 + bound_from * order.value
        in_flight = InFlight(workers, arrivals or ())
        with ThreadPoolExecutor(workers) as threads:
            pool: Executor = threads if arrivals is None else in_flight
            outcomes = SimpleQueue if arrivals is None else lambda: Outcomes(in_flight)
            upserts = Upserts(pool, workers, self.upsert, self.look_up, self.ping, clock or Clock(), span, outcomes)
            with CustomerWriter(
                upserts, order, documents, self._note_written, self._note_failed, bound_from=bound
            ) as writer:
                yield writer

    def _note_written(self, customer: Customer) -> None:
        self.written.append(str(customer.psid))

    def _note_failed(self, customer: Customer, _: ServiceError) -> None:
        self.failed.append(str(customer.psid))


# The SPAN rule


@BOTH_ORDERS
@pytest.mark.parametrize(
    ("span", "stored", "places", "others"),
    [
        pytest.param(15, [], range(40), 4, id="a third of SPAN, less one"),
        pytest.param(15, [100, 101, 102], range(40), 1, id="those stored beyond count"),
        pytest.param(15, range(-7, 0), range(40), 4, id="those stored before do not"),
        pytest.param(15, range(100, 120), range(40), 0, id="one at a time while many are stored beyond"),
        pytest.param(1, [], range(40), 0, id="a span of one"),
        pytest.param(1, [], [7] * 8, 7, id="ties are not beyond each other"),
    ],
)
def test_how_many_others_run_while_the_first_hangs(
    order: Order, span: int, stored: Iterable[int], places: Iterable[int], others: int
) -> None:
    """The first upsert ends only when no other one is in flight; then all go on."""
    customers = crowd(places, order)
    folkform = FolkForm()
    with folkform.writer(order, span=span, stored=stored, arrivals=repeat(1)) as writer:
        write_all(writer, customers)
    assert folkform.begun.index("c0") == others
    assert sorted(folkform.written) == psids(customers)


@BOTH_ORDERS
def test_customers_before_bound_from_hold_no_other_back(order: Order) -> None:
    """They move no watermark."""
    folkform = FolkForm()
    with folkform.writer(order, span=12, bound_from=10, arrivals=repeat(1)) as writer:
        write_all(writer, crowd(range(30), order))
    assert folkform.begun[-1] == "c0"


@BOTH_ORDERS
def test_out_of_order_runs_alone(order: Order) -> None:
    """A customer too late in the order begins when all others have ended, and ends before more begin."""
    folkform = FolkForm()
    customers = crowd(range(100, 130), order)
    with folkform.writer(order, span=60, arrivals=repeat(7)) as writer:
        write_all(writer, [*customers[:20], *crowd([0], order, "late"), *customers[20:]])
    assert sorted(folkform.begun[:20]) == psids(customers[:20])
    assert folkform.begun[20] == "late0"
    assert len(folkform.written) == 31


class WatchedFolkForm(FolkForm):
    """Counts at every upsert that gets through how many customers are stored beyond a missing one."""

    def __init__(self, order: Order, customers: list[Customer], stored: list[int], act: Act) -> None:
        super().__init__(act)
        self.most_beyond = 0
        self._missing = [one.updated_at * order.value for one in customers]
        self._stored = [T0 * order.value + place for place in stored]
        self._order = order

    def upsert(self, customer: Customer, where: Filter | None = None, *, tries_on_500: int = 1) -> None:
        super().upsert(customer, where, tries_on_500=tries_on_500)
        place, first = customer.updated_at * self._order.value, min(self._missing)
        self._missing.remove(place)
        self._stored.append(place)
        if place > first:
            self.most_beyond = max(self.most_beyond, sum(stored > first for stored in self._stored))


@BOTH_ORDERS
def test_the_span_rule_in_random_worlds(order: Order) -> None:
    """Whatever is slow and whatever fails at first: a third of SPAN is never stored beyond a missing customer."""
    at_the_limit = 0
    for seed in range(300):
        rng = random.Random(f"{order} {seed}")
        spread = rng.choice([5, 60])
        customers = crowd(sorted(rng.randrange(spread) for _ in range(rng.randrange(1, 50))), order)
        span, workers = rng.choice([1, 3, 9, 20, 60]), rng.choice([1, 2, 4, 8])
        stored = [rng.randrange(spread) for _ in range(rng.randrange(span + 1))]
        failing = [str(one.psid) for one in customers if rng.random() < 0.1] or ["none"]
        act = fails(rng.choice([OUTAGE, OWN_500]), *failing, times=1)
        arrivals = rng.choice([repeat(1), [rng.randrange(8) for _ in range(100)]])
        folkform = WatchedFolkForm(order, customers, stored, act)
        with folkform.writer(order, stored=stored, span=span, workers=workers, arrivals=arrivals) as writer:
            write_all(writer, customers)
        assert 3 * folkform.most_beyond < span, f"seed {seed}"
        assert sorted(folkform.written) == psids(customers), f"seed {seed}"
        at_the_limit += folkform.most_beyond > 0 and 3 * (folkform.most_beyond + 1) >= span
    assert at_the_limit > 20


# Failures


@pytest.mark.parametrize(("count", "pings"), [(2, 0), (1, 1)])
def test_a_second_set_of_tries(count: int, pings: int) -> None:
    """It begins when another upsert gets through; alone, when FolkForm answers a ping."""
    folkform = FolkForm(fails(OUTAGE, "c0", times=1))
    with folkform.writer() as writer:
        write_all(writer, crowd(range(count)))
    assert (len(folkform.written), folkform.failed) == (count, [])
    assert (folkform.tries["c0"], folkform.pings) == (2, pings)


@BOTH_ORDERS
@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (OUTAGE, [("c7", None, 1), ("c7", None, 5)]),
        (OWN_500, [("c7", None, 1), ("c7", None, 2)]),
        (DUPLICATE, [("c7", None, 1), ("c7", {"customerId": "id-c7"}, 1)]),
        (REFUSAL, [("c7", None, 1)]),
        (FORBIDDEN, [("c7", None, 1)]),
    ],
    ids=["outage", "500", "duplicate key", "refused", "forbidden"],
)
def test_one_customer_fails_while_folkform_answers(
    order: Order, error: Exception, tries: list[tuple[str, Filter | None, int]]
) -> None:
    """It is reported and skipped, and all others arrive."""
    folkform = FolkForm(fails(error, "c7"))
    with folkform.writer(order) as writer:
        write_all(writer, crowd(range(40), order))
    assert (folkform.failed, len(folkform.written)) == (["c7"], 39)
    assert [one for one in folkform.asked if one[0] == "c7"] == tries


def test_no_new_upsert_begins_while_folkform_may_be_down() -> None:
    """An outage costs the tries of those in flight."""
    folkform = FolkForm(fails(OUTAGE, times=1))
    with folkform.writer(workers=2, span=50) as writer:
        write_all(writer, crowd(range(30)))
    assert (len(folkform.written), folkform.failed) == (30, [])
    assert max(folkform.tries.values()) == 2
    assert folkform.begun_at_pings[0] <= 2 * 2


@pytest.mark.parametrize("written", [0, 20])
def test_folkform_down_ends_the_page(written: int) -> None:
    """Also in the middle: no customer has failed, so the watermark stays truthful, and few tries are made."""

    def act(psid: str, _: int) -> None:
        if int(psid[1:]) >= written:
            folkform.up = False
            raise OUTAGE

    folkform = FolkForm(act)
    with pytest.raises(Unreachable), folkform.writer(workers=4, span=50, arrivals=None) as writer:
        write_all(writer, crowd(range(1_000)))
    assert (len(folkform.written), folkform.failed, folkform.pings) == (written, [], 1)
    # Those that gave up while others still got through had a second set of tries.
    assert len(folkform.begun) <= written + 2 * 4 * (2 if written else 1)


@pytest.mark.parametrize(("error", "tries"), [(OUTAGE, 2), (REFUSAL, 1), (FORBIDDEN, 1)])
def test_span_failures_in_a_row_end_the_page(error: Exception, tries: int) -> None:
    """They are not about customers: exit 3 with FolkForm's own words, and few more are tried."""
    folkform = FolkForm(fails(error))
    with pytest.raises(Refused) as raised, folkform.writer(workers=4, span=10, arrivals=None) as writer:
        write_all(writer, crowd(range(1_000)))
    assert raised.value.exit_code is ExitCode.REFUSED
    assert str(error).rstrip(".") in raised.value.sentence
    assert 10 <= len(folkform.failed) <= 10 + 2 * 4
    assert max(folkform.tries.values()) == tries


@pytest.mark.parametrize("error", [REFUSAL, FORBIDDEN])
def test_failures_between_others_end_nothing(error: Exception) -> None:
    """A customer that is written in between starts the count again."""
    folkform = FolkForm(fails(error, *(f"c{number}" for number in range(100) if number % 5)))
    with folkform.writer(workers=1, span=5) as writer:
        write_all(writer, crowd(range(100)))
    assert (len(folkform.written), len(folkform.failed)) == (20, 80)


def test_an_upsert_that_began_before_proves_nothing() -> None:
    """One that began before the 500 and gets through after it may have met a FolkForm that still worked."""

    def act(psid: str, number: int) -> None:
        if psid == "c1":
            folkform.wait_for(lambda: "c0" in folkform.ended)
        elif number == 1:
            folkform.wait_for(lambda: "c1" in folkform.begun)
            raise OWN_500

    folkform = FolkForm(act)
    with folkform.writer(workers=2, arrivals=None) as writer:
        write_all(writer, crowd([0, 1]))
    assert folkform.asked[-1] == ("c0", {"customerId": "id-c0"}, 4)
    assert (folkform.failed, sorted(folkform.written)) == ([], ["c0", "c1"])


# What ends everything


@pytest.mark.parametrize(
    "error", [BAD_TOKEN, StopRequested("Ended by SIGTERM", ExitCode.SIGTERM), Unreachable("Pancake", "answered 502")]
)
def test_what_is_in_flight_at_the_end_counts(error: Exception) -> None:
    """A refused token, a stop, a failure of Pancake: what has begun ends, and nothing more begins."""
    clock, ending = Clock(), threading.Event()

    def act(psid: str, _: int) -> None:
        assert ending.wait(PATIENCE)
        if error is BAD_TOKEN and psid not in ("c1", "c2"):
            raise error

    def customers() -> Iterator[Customer]:
        yield from crowd(range(3))
        folkform.wait_for(lambda: len(folkform.begun) == 3)
        ending.set()
        if isinstance(error, StopRequested):
            clock.stop(error)
        elif error is not BAD_TOKEN:
            raise error
        yield from crowd(range(3, 100), name="more")

    folkform = FolkForm(act)
    with pytest.raises(type(error)) as raised, folkform.writer(workers=3, clock=clock, arrivals=None) as writer:
        write_all(writer, customers())
    assert raised.value is error
    assert sorted(folkform.written) == (["c1", "c2"] if error is BAD_TOKEN else ["c0", "c1", "c2"])
    assert (folkform.failed, sorted(folkform.ended)) == ([], sorted(folkform.begun))
    assert len(folkform.begun) <= (6 if error is BAD_TOKEN else 3)


def test_upserts_that_wait_for_a_worker_are_not_begun_after_an_error() -> None:
    """They are dropped when the page ends."""

    def customers() -> Iterator[Customer]:
        yield from crowd([0, 0])
        raise Unreachable("Pancake", "answered 502")

    folkform = FolkForm()
    with pytest.raises(Unreachable), folkform.writer(workers=1) as writer:
        write_all(writer, customers())
    assert (folkform.begun, folkform.written, folkform.failed) == ([], [], [])


@pytest.mark.parametrize("customers", [2, 9])
@pytest.mark.parametrize(("at_try", "named"), [(1, []), (2, ["c0"])])
def test_a_stop_names_a_customer_that_was_tried_in_vain(customers: int, at_try: int, named: list[str]) -> None:
    """Its tries ran out once while FolkForm stored others, and a time limit ends the second ones."""
    clock = Clock()

    def act(psid: str, number: int) -> None:
        if psid == "c0" and number == at_try:
            clock.stop(StopRequested("Ended by the time limit", ExitCode.OK))
            clock.check()
        elif psid == "c0":
            raise OUTAGE

    folkform = FolkForm(act)
    with pytest.raises(StopRequested), folkform.writer(clock=clock, workers=1) as writer:
        write_all(writer, crowd([0] * customers))
    assert folkform.failed == named


def test_each_customer_is_reported_once() -> None:
    """Eight workers at once: each customer is reported as written exactly once, and nothing is left in flight."""
    folkform = FolkForm()
    with folkform.writer(span=50, arrivals=None) as writer:
        write_all(writer, crowd(range(300)))
    assert sorted(folkform.written) == sorted(folkform.ended) == psids(crowd(range(300)))


class LimitedPool(ThreadPoolExecutor):
    """A pool whose machine starts no thread for the n-th upsert, which is queued all the same."""

    def __init__(self, accepted: int) -> None:
        super().__init__(2)
        self._left = accepted

    def submit(self, *arguments: Any, **named: Any) -> Future[Any]:
        self._left -= 1
        if self._left >= 0:
            return super().submit(*arguments, **named)
        if self._threads:
            super().submit(*arguments, **named)
        raise RuntimeError("can't start new thread")


@pytest.mark.parametrize("accepted", [0, 1, 2, 7])
def test_a_thread_that_cannot_start_ends_the_page(accepted: int) -> None:
    """The error arrives at once; what was begun before counts, and no customer is counted that was not begun."""
    written: list[str] = []
    folkform = FolkForm()
    with LimitedPool(accepted) as pool:
        upserts = Upserts(pool, 4, folkform.upsert, folkform.look_up, folkform.ping, Clock())
        with (
            pytest.raises(RuntimeError, match="thread"),
            CustomerWriter(
                upserts, OLDEST_FIRST, [], lambda one: written.append(str(one.psid)), lambda *_: None
            ) as writer,
        ):
            write_all(writer, crowd(range(20)))
    assert sorted(written) == sorted(folkform.ended)
    assert len(written) <= accepted
