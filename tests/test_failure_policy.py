"""What follows from a failed upsert: retries, a look-up, a report, or the end of the page.

Each row is what happens to one customer's upserts, and what the policy does then.
"""

from itertools import count

import pytest

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
from customer_sync.services.folkform import Filter
from customer_sync.sync.failure_policy import FailurePolicy

SERVICE = "FolkForm"
ERRORS: dict[str, Exception] = {
    "unreachable": Unreachable(SERVICE, "answered 503"),
    "500": ServerError(SERVICE, "answered 500", status=500, code="SYS_001"),
    "500 DB": ServerError(SERVICE, "answered 500", status=500, code="DB"),
    "400": Refused(SERVICE, "answered 400", status=400),
    "403": TokenRefused(SERVICE, "answered 403", status=403),
    "401": TokenRefused(SERVICE, "answered 401", status=401),
    "403 AUTH": TokenRefused(SERVICE, "answered 403", status=403, code="AUTH_003"),
    "400 AUTH": Refused(SERVICE, "answered 400", status=400, code="AUTH_003"),
    "stopped": StopRequested("Ended by SIGTERM", ExitCode.SIGTERM),
    "a mistake": ValueError("a mistake"),
}


def customer(name: str) -> Customer:
    return Customer(name, "104001", 1_700_000_000, "v", {})


class Policy:
    """A failure policy, and a log of what it does."""

    def __init__(self, *, id_is_taken: bool = False, span: int = 10) -> None:
        self.log: list[str] = []
        self.is_up = self.database_is_up = True
        self.policy = FailurePolicy(self._look_up, self._ping, self._retry, self._report, span)
        self._id_is_taken = id_is_taken
        self._moments = count(1)

    def happens(self, event: str, name: str = "c0") -> None:
        """*event* is how this customer's upsert ended, or something else that happened."""
        match event:
            case "another written":
                self.policy.another_written(next(self._moments))
            case "an earlier one written":
                self.policy.another_written(0)
            case "nothing in flight":
                self.policy.nothing_in_flight()
            case "down":
                self.is_up = False
            case "database down":
                self.database_is_up = False
            case _:
                self.policy.failed(customer(name), ERRORS[event], next(self._moments))

    def _look_up(self, customer: Customer) -> Filter:
        self.log.append("look up")
        if not self.database_is_up:
            raise ERRORS["unreachable"]
        if self._id_is_taken:
            raise Refused(SERVICE, "has the id on another page")
        return {"customerId": f"id-{customer.psid}"}

    def _ping(self, _: str) -> None:
        self.log.append("ping")
        if not self.is_up:
            raise ERRORS["unreachable"]

    def _retry(self, customer: Customer, where: Filter | None, tries_on_500: int) -> None:  # noqa: ARG002
        self.log.append(f"retry {tries_on_500}{' by id' if where else ''}")

    def _report(self, customer: Customer, _: ServiceError) -> None:
        self.log.append("failed")
        self.policy.forget(customer)


ALONE = ["ping", "look up", "retry 5 by id"]


@pytest.mark.parametrize(
    ("events", "log"),
    [
        (["400"], ["failed"]),
        (["403"], ["look up", "failed"]),
        # A whole set of tries ran out.
        (["unreachable"], []),
        (["unreachable", "another written"], ["retry 5"]),
        (["unreachable", "nothing in flight"], ALONE),
        (["unreachable", "another written", "400"], ["retry 5", "failed"]),
        (["unreachable", "another written", "unreachable"], ["retry 5", "ping", "look up", "failed"]),
        (["unreachable", "nothing in flight", "unreachable"], [*ALONE, "ping", "look up", "failed"]),
        # FolkForm's own 500 about an id: one look-up and one more try, by the record that was found.
        (["500 DB"], []),
        (["500 DB", "an earlier one written"], []),
        (["500 DB", "another written"], ["look up", "retry 1 by id"]),
        (["500 DB", "another written", "500 DB"], ["look up", "retry 1 by id", "failed"]),
        # Any other 500: two more tries.
        (["500", "another written"], ["retry 2"]),
        (["500", "another written", "500"], ["retry 2", "failed"]),
        (["500", "another written", "unreachable", "another written"], ["retry 2", "retry 5"]),
        # Where no other upsert gets through, whole sets of tries, as in an outage.
        (["500", "nothing in flight"], ["ping", "look up", "retry 4 by id"]),
        (["500 DB", "nothing in flight", "500 DB"], ["ping", "look up", "retry 4 by id"]),
        (
            ["500", "nothing in flight", "500", "another written"],
            ["ping", "look up", "retry 4 by id", "retry 5 by id"],
        ),
    ],
    ids=str,
)
def test_what_follows(events: list[str], log: list[str]) -> None:
    """The customer is retried as long as FolkForm may be down, and reported when it answers others."""
    policy = Policy()
    for event in events:
        policy.happens(event)
    assert policy.log == log


@pytest.mark.parametrize(
    ("events", "log"),
    [
        (["500 DB", "another written"], ["look up", "failed"]),
        (["500 DB", "nothing in flight"], ["ping", "look up", "failed"]),
        (["unreachable", "nothing in flight"], ["ping", "look up", "failed"]),
        (["unreachable", "another written", "unreachable"], ["retry 5", "ping", "look up", "failed"]),
    ],
    ids=str,
)
def test_no_retry_for_an_id_of_another_page(events: list[str], log: list[str]) -> None:
    """What the look-up proves is reported once."""
    policy = Policy(id_is_taken=True)
    for event in events:
        policy.happens(event)
    assert policy.log == log


@pytest.mark.parametrize(
    "events",
    [
        ["401"],
        ["403 AUTH"],
        ["400 AUTH"],
        ["stopped"],
        ["a mistake"],
        ["unreachable", "down", "nothing in flight"],
        ["unreachable", "another written", "down", "unreachable"],
        ["500 DB", "database down", "another written"],
        ["500 DB", "database down", "nothing in flight"],
    ],
    ids=str,
)
def test_what_ends_the_page(events: list[str]) -> None:
    """When no customer can be written any more, none is reported."""
    *before, last = events
    policy = Policy()
    for event in before:
        policy.happens(event)
    with pytest.raises(type(ERRORS.get(last, ERRORS["unreachable"]))):
        policy.happens(last)
    assert "failed" not in policy.log


@pytest.mark.parametrize(
    ("events", "holds_back"),
    [
        (["unreachable"], True),
        (["unreachable", "another written"], False),
        (["unreachable", "nothing in flight"], False),
        (["500"], False),
        (["500", "nothing in flight"], False),
        (["500", "nothing in flight", "500"], True),
    ],
    ids=str,
)
def test_when_no_new_upsert_may_start(events: list[str], holds_back: bool) -> None:
    """While FolkForm may be down; one 500 does not prove that."""
    policy = Policy()
    for event in events:
        policy.happens(event)
    assert policy.policy.holds_back is holds_back


@pytest.mark.parametrize(
    ("events", "in_vain"),
    [
        (["unreachable"], False),
        (["500"], False),
        (["500", "nothing in flight"], False),
        (["unreachable", "another written"], True),
        (["500", "another written"], True),
        (["500", "another written", "500"], False),
    ],
    ids=str,
)
def test_which_were_tried_in_vain(events: list[str], in_vain: bool) -> None:
    """A customer that FolkForm did not store while it stored others, and that was not reported yet."""
    policy = Policy()
    for event in events:
        policy.happens(event)
    assert [str(one.psid) for one, _ in policy.policy.tried_in_vain] == ["c0"] * in_vain


def test_500s_to_several_are_an_outage() -> None:
    """After three that nothing explains, whole sets of tries begin, though others get through."""
    policy = Policy()
    for number in range(4):
        policy.log.clear()
        for event in ("500", "another written", "500"):
            policy.happens(event, f"c{number}")
        assert policy.log == (["retry 2", "failed"] if number < 3 else ["retry 4"])


def test_one_answer_is_enough_for_several() -> None:
    """FolkForm is asked once whether it is up; each id that may be taken is looked up."""
    policy = Policy()
    for number, event in enumerate(["500", "500", "500 DB", "unreachable"]):
        policy.happens(event, f"c{number}")
    policy.happens("nothing in flight")
    assert policy.log == ["ping", "look up", "retry 4 by id", "retry 4", "look up", "retry 4 by id", "retry 5"]


@pytest.mark.parametrize("event", ["400", "403"])
def test_span_failures_in_a_row_end_the_page(event: str) -> None:
    """They are not about customers; one that is written starts the count again."""
    policy = Policy(span=10)
    for number in range(9):
        policy.happens(event, f"c{number}")
    policy.happens("another written")
    for number in range(9):
        policy.happens(event, f"d{number}")
    with pytest.raises(Refused) as raised:
        policy.happens(event, "last")
    assert raised.value.exit_code is ExitCode.REFUSED
    assert policy.log.count("failed") == 19


def test_a_403_is_about_us_where_reads_fail_too() -> None:
    """The page ends, and the customer is not reported as failed."""
    policy = Policy()
    policy.happens("database down")
    with pytest.raises(Unreachable):
        policy.happens("403")
    assert policy.log == ["look up"]


def test_a_stored_customer_starts_the_count_again() -> None:
    """Refused customers among others that FolkForm has stored are about themselves."""
    policy = Policy(span=10)
    for number in range(30):
        policy.happens("400", f"c{number}")
        policy.policy.forget_failures()
    assert policy.log == ["failed"] * 30


def test_ids_of_another_page_are_not_counted() -> None:
    """What is proven about each customer is not about the service, however many there are in a row."""
    policy = Policy(id_is_taken=True, span=10)
    for number in range(20):
        policy.happens("500 DB", f"c{number}")
        policy.happens("another written")
    assert policy.log == ["look up", "failed"] * 20
