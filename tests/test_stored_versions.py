"""FolkForm's versions beside Pancake's customers: who is there unchanged, and at what cost."""

import random
from collections.abc import Iterator

import pytest

from customer_sync.core.customer import Customer
from customer_sync.services.documents import StoredVersion
from customer_sync.sync.stored_versions import StoredVersions, VersionsAtWatermark

T0 = 1_700_000_000


def stored(psid: str, time: int, version: str | None = "") -> StoredVersion:
    """*version* is that of the time unless given."""
    return StoredVersion(psid, f"v{time}" if version == "" else version, T0 + time)


def customer(psid: str, time: int, version: str = "") -> Customer:
    return Customer(psid, "104001", T0 + time, version or f"v{time}", {})


def newest_first(*versions: StoredVersion) -> Iterator[StoredVersion]:
    return iter(sorted(versions, key=lambda one: -one.time))


# StoredVersions


@pytest.mark.parametrize(
    ("there", "holds"),
    [
        ([stored("a", 5)], True),
        ([], False),
        ([stored("b", 5)], False),
        ([stored("a", 4)], False),
        ([stored("a", 6)], False),
        ([stored("a", 5, "v5.7")], False),
        ([stored("a", 5, None)], False),
        ([stored("z", 9), stored("b", 5), stored("a", 5), stored("c", 1)], True),
    ],
)
def test_the_same_version_is_held(there: list[StoredVersion], holds: bool) -> None:
    """Only the very same version of the very same customer counts."""
    assert StoredVersions(newest_first(*there)).holds(customer("a", 5)) is holds


def test_ties() -> None:
    """All customers of one second are known together, in whatever order they are asked for."""
    versions = StoredVersions(newest_first(*(stored(f"p{number}", 7) for number in range(500)), stored("old", 3)))
    psids = [f"p{number}" for number in range(600)]
    random.Random(1).shuffle(psids)
    assert {psid for psid in psids if versions.holds(customer(psid, 7))} == {f"p{number}" for number in range(500)}
    assert versions.holds(customer("old", 3))


def test_both_streams_may_have_gaps() -> None:
    """Seconds that only one side knows neither hide nor invent anybody."""
    rng = random.Random(2)
    for _ in range(300):
        there = {f"p{number}": rng.randrange(20) for number in range(rng.randrange(25))}
        here = {psid: time if rng.random() < 0.6 else rng.randrange(20) for psid, time in there.items()}
        here |= {f"n{number}": rng.randrange(20) for number in range(5)}
        versions = StoredVersions(newest_first(*(stored(psid, time) for psid, time in there.items())))
        asked = sorted(here, key=lambda psid: -here[psid])
        held = {psid for psid in asked if versions.holds(customer(psid, here[psid]))}
        assert held == {psid for psid, time in here.items() if there.get(psid) == time}


def test_versions_are_read_as_they_are_needed() -> None:
    """FolkForm's stream is read no further than one version below the customer asked for."""
    read: list[int] = []

    def versions() -> Iterator[StoredVersion]:
        for time in range(1_000, 0, -1):
            read.append(time)
            yield stored(f"p{time}", time)

    looked_up = StoredVersions(versions())
    assert looked_up.holds(customer("p900", 900))
    assert read[-1] == 899
    assert not looked_up.holds(customer("nobody", 900))
    assert read[-1] == 899


# VersionsAtWatermark


class Reading:
    """The versions below a second, and how often they were read."""

    def __init__(self, *versions: StoredVersion) -> None:
        self.asked: list[int] = []
        self._versions = versions

    def __call__(self, second: int) -> Iterator[StoredVersion]:
        self.asked.append(second)
        return newest_first(*(one for one in self._versions if one.time <= second))


def test_the_marks_answer_tells_who_is_unchanged() -> None:
    """Customers of the answer are known without a further request; everybody else is not known to be there."""
    reading = Reading()
    answer = [stored("a", 9), stored("b", 8), stored("c", 7)]
    versions = VersionsAtWatermark(answer, T0 + 7, reading)
    assert versions.holds(customer("a", 9))
    assert versions.holds(customer("c", 7))
    assert not versions.holds(customer("b", 8, "v8.5"))
    assert not versions.holds(customer("new", 8))
    assert reading.asked == []


def test_ties_at_the_mark_are_read_once() -> None:
    """More customers than the answer holds may share the mark's second: those are read when first asked for."""
    tied = [stored(f"t{number}", 7) for number in range(100)]
    reading = Reading(*tied, stored("old", 2))
    versions = VersionsAtWatermark([stored("a", 9), *tied[:10]], T0 + 7, reading)
    assert all(versions.holds(customer(f"t{number}", 7)) for number in range(100))
    assert not versions.holds(customer("new", 7))
    assert not versions.holds(customer("t5", 7, "v7.5"))
    assert reading.asked == [T0 + 7]


def test_without_a_mark_nothing_is_read() -> None:
    """While too few documents make a mark, only the answer itself is known."""
    reading = Reading(stored("a", 5))
    versions = VersionsAtWatermark([stored("b", 6)], None, reading)
    assert versions.holds(customer("b", 6))
    assert not versions.holds(customer("a", 5))
    assert reading.asked == []
