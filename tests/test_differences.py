"""Which customers are missing, stale, extra or duplicate: the decision of `verify`, as a table."""

from dataclasses import dataclass, field

import pytest

from customer_sync.core.customer import Key
from customer_sync.inspect.differences import BothSides, ListedCustomer
from customer_sync.services.documents import StoredVersion

_OLD, _NEW = "2026-01-01T00:00:00", "2026-01-02T00:00:00"
_ID: Key = ("id-a",)


def _listed(version: str = _NEW) -> ListedCustomer:
    return ListedCustomer(version, 200, "id-a")


def _record(version: str | None = _OLD, time: int = 100, key: Key = "a", record: str = "1") -> StoredVersion:
    return StoredVersion(key, version, time, "id-a", record)


@dataclass(frozen=True)
class Case:
    """The two sides, and the problems expected: what is wrong and with which psid."""

    listed: dict[Key, ListedCustomer] = field(default_factory=dict)
    stored: dict[Key, list[StoredVersion]] = field(default_factory=dict)
    unmatched: dict[Key, set[str | None]] = field(default_factory=dict)
    changed: frozenset[Key] = frozenset()
    malformed: frozenset[Key] = frozenset()
    expected: tuple[tuple[str, str | None], ...] = ()


CASES = {
    "missing": Case(listed={"a": _listed()}, expected=(("missing", "a"),)),
    "stale": Case({"a": _listed()}, {"a": [_record()]}, {"a": {"1"}}, expected=(("stale", "a"),)),
    "written meanwhile": Case({"a": _listed()}, {"a": [_record(_NEW, 200)]}, {"a": {"1"}}),
    "changed meanwhile": Case({"a": _listed()}, {"a": [_record()]}, {"a": {"1"}}, changed=frozenset("a")),
    "extra": Case(stored={"a": [_record()]}, unmatched={"a": {"1"}}, expected=(("extra", "a"),)),
    "extra without a time": Case(stored={"a": [_record(None, 0)]}, expected=(("extra", "a"),)),
    "malformed in Pancake": Case(stored={"a": [_record()]}, unmatched={"a": {"1"}}, malformed=frozenset("a")),
    "duplicate": Case(
        stored={"a": [_record(_NEW, 200), _record(record="2")]},
        unmatched={"a": {"2"}},
        expected=(("duplicate", "a"),),
    ),
    "psid came later": Case({"a": _listed()}, {_ID: [_record(key=_ID)]}, {_ID: {"1"}}, expected=(("stale", "a"),)),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_problems(case: Case) -> None:
    """Each customer has the problems expected, and no other."""
    sides = BothSides(case.listed, case.unmatched, case.stored, case.changed, case.malformed)
    assert [(problem.problem, problem.psid) for problem in sides.problems({})] == list(case.expected)


def test_a_record_that_prevents_the_upsert() -> None:
    """It is part of the reason, and only ids that the customer's own records do not have are looked up."""
    sides = BothSides({"a": _listed()}, {}, {}, frozenset(), frozenset())
    assert sides.ids_held_elsewhere() == {"a": "id-a"}
    (problem,) = sides.problems({"a": "holds it as psid b"})
    assert problem.reason.endswith("holds it as psid b")
    own = BothSides({"a": _listed()}, {}, {"a": [_record()]}, frozenset(), frozenset())
    assert own.ids_held_elsewhere() == {}
