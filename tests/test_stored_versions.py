"""FolkForm's versions beside Pancake's customers: which are stored unchanged, and what is read for that."""

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
def test_holds_the_same_version_of_the_same_customer(there: list[StoredVersion], holds: bool) -> None:
    """What is not matched is reported, each document once."""
    unmatched: list[StoredVersion] = []
    versions = StoredVersions(newest_first(*there), unmatched.append)
    assert versions.holds(customer("a", 5)) is holds
    versions.finish()
    assert unmatched == [one for one in newest_first(*there) if not holds or one != stored("a", 5)]


def test_a_second_record_is_unmatched() -> None:
    """Of two records with the same version one is matched, however often the customer is asked for."""
    unmatched: list[StoredVersion] = []
    versions = StoredVersions(newest_first(stored("a", 5), stored("a", 5)), unmatched.append)
    assert versions.holds(customer("a", 5))
    assert versions.holds(customer("a", 5))
    versions.finish()
    assert unmatched == [stored("a", 5)]


def test_both_streams_may_have_gaps() -> None:
    """Seconds that only one side has, and ties in any order, neither hide nor invent a customer."""
    rng = random.Random(2)
    for _ in range(300):
        there = {f"p{number}": rng.randrange(20) for number in range(rng.randrange(60))}
        here = {psid: time if rng.random() < 0.6 else rng.randrange(20) for psid, time in there.items()}
        here |= {f"n{number}": rng.randrange(20) for number in range(5)}
        unmatched: set[str | None] = set()
        documents = newest_first(*(stored(psid, time) for psid, time in there.items()))
        versions = StoredVersions(documents, lambda one, found=unmatched: found.add(one.psid))  # type: ignore[misc]
        asked = sorted(here, key=lambda psid: (-here[psid], rng.random()))
        held = {psid for psid in asked if versions.holds(customer(psid, here[psid]))}
        versions.finish()
        assert held == {psid for psid, time in here.items() if there.get(psid) == time}
        assert unmatched == there.keys() - held


def test_versions_are_read_as_they_are_needed() -> None:
    """FolkForm's stream is read no further than one version below the customer asked for."""
    read: list[int] = []

    def versions() -> Iterator[StoredVersion]:
        for time in range(1_000, 0, -1):
            read.append(time)
            yield stored(f"p{time}", time)

    looked_up = StoredVersions(versions())
    for psid, holds in (("p900", True), ("unknown", False)):
        assert looked_up.holds(customer(psid, 900)) is holds
        assert read[-1] == 899


# VersionsAtWatermark


def test_the_watermarks_documents_are_enough() -> None:
    """Above the watermark and without one, nothing more is read: who is not in the documents is not stored."""
    documents = [stored("a", 9), stored("b", 8), stored("c", 7)]
    for watermark in (T0 + 7, None):
        versions = VersionsAtWatermark(documents, watermark, lambda _: pytest.fail("reads more"))
        held = [customer("a", 9), customer("c", 7)]
        assert all(map(versions.holds, held))
        assert not any(map(versions.holds, [customer("b", 8, "v8.5"), customer("new", 8)]))
    assert not versions.holds(customer("new", 7))


def test_ties_at_the_watermark_are_read_once() -> None:
    """More customers than the documents name may share the watermark's second: all are read at the first one."""
    tied = [stored(f"t{number}", 7) for number in range(100)]
    asked: list[int] = []

    def read_down_from(second: int) -> Iterator[StoredVersion]:
        asked.append(second)
        return newest_first(*tied, stored("old", 2))

    versions = VersionsAtWatermark([stored("a", 9), *tied[:10]], T0 + 7, read_down_from)
    assert all(versions.holds(customer(f"t{number}", 7)) for number in range(100))
    assert not versions.holds(customer("new", 7))
    assert not versions.holds(customer("t5", 7, "v7.5"))
    assert asked == [T0 + 7]
