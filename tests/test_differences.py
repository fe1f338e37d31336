"""Which customers are missing, stale, extra or duplicate: the decision of `verify`, as a table."""

from dataclasses import dataclass

import pytest

from customer_sync.core.customer import Key
from customer_sync.inspect.differences import ids_held_elsewhere, problems
from customer_sync.inspect.suspects import ListedCustomer, Suspects
from customer_sync.services.documents import StoredVersion

_OLD, _NEW = "2026-01-01T00:00:00", "2026-01-02T00:00:00"
_ID: Key = ("id-a",)


def _listed(version: str = _NEW) -> ListedCustomer:
    return ListedCustomer("a", version, 200, "id-a")


def _record(version: str | None = _OLD, time: int = 100, key: Key = "a", record: str = "1") -> StoredVersion:
    return StoredVersion(key, version, time, "id-a", record)


@dataclass(frozen=True)
class Case:
    """The two sides, and the problems expected: what is wrong and with which psid."""

    listed: tuple[ListedCustomer, ...] = ()
    stored: tuple[StoredVersion, ...] = ()
    unmatched: tuple[StoredVersion, ...] = ()
    changed: tuple[Key, ...] = ()
    malformed: tuple[Key, ...] = ()
    expected: tuple[tuple[str, str | None], ...] = ()

    def fill(self, suspects: Suspects) -> None:
        for listed in self.listed:
            suspects.add_listed(listed)
        suspects.add_stored(self.stored)
        for stored in self.unmatched:
            suspects.add_unmatched(stored)
        for key in self.changed:
            suspects.add_changed(key)
        for key in self.malformed:
            suspects.add_malformed(key)


CASES = {
    "missing": Case((_listed(),), expected=(("missing", "a"),)),
    "stale": Case((_listed(),), (_record(),), (_record(),), expected=(("stale", "a"),)),
    "written meanwhile": Case((_listed(),), (_record(_NEW, 200),), (_record(),)),
    "changed meanwhile": Case((_listed(),), (_record(),), (_record(),), changed=("a",)),
    "extra": Case(stored=(_record(),), unmatched=(_record(),), expected=(("extra", "a"),)),
    "extra without a time": Case(stored=(_record(None, 0),), expected=(("extra", "a"),)),
    "malformed in Pancake": Case(stored=(_record(),), unmatched=(_record(),), malformed=("a",)),
    "duplicate": Case(
        stored=(_record(record="2"), _record(_NEW, 200)),
        unmatched=(_record(record="2"),),
        expected=(("duplicate", "a"),),
    ),
    "psid came later": Case((_listed(),), (_record(key=_ID),), (_record(key=_ID),), expected=(("stale", "a"),)),
    "half a character": Case(
        stored=(_record("\ud800", 1),), unmatched=(_record("\ud800", 1),), expected=(("extra", "a"),)
    ),
    "listed twice": Case((_listed(), _listed(_OLD)), (_record(_NEW, 200),)),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_problems(case: Case) -> None:
    """Each customer has the problems expected, and no other."""
    with Suspects() as suspects:
        case.fill(suspects)
        found = [(problem.problem, problem.psid) for problem in problems(suspects, {})]
    assert found == list(case.expected)


def test_a_record_that_prevents_the_upsert() -> None:
    """It is part of the reason, and only ids that the customer's own records do not have are looked up."""
    with Suspects() as suspects:
        suspects.add_listed(_listed())
        assert ids_held_elsewhere(suspects, 1) == {"a": _listed()}
        assert ids_held_elsewhere(suspects, 0) == {}
        (problem,) = problems(suspects, {"a": "holds it as psid b"})
        assert problem.reason.endswith("holds it as psid b")
        suspects.add_stored([_record()])
        assert ids_held_elsewhere(suspects, 1) == {}
