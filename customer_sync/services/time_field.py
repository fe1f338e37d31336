"""Pancake's time in FolkForm: the field that holds it, how FolkForm filters and sorts by it, how it is read.

FolkForm has three dialects, and each time field is one strategy: `condition` filters by it, `path` is what FolkForm
sorts by, `read` reads it from a document, and `by_time` turns FolkForm's order into that of the times.
"""

import heapq
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from customer_sync.core.customer import parse_customer_updated_at
from customer_sync.services.document_paging import LARGEST_LIMIT, Find
from customer_sync.services.documents import VERSION_PATH, StoredVersion, read_version

_SAMPLE = 100
_MILLISECONDS_FROM = 10**11
# The first second that no date holds: 10000-01-01T00:00:00Z.
_END_OF_TIME = 253_402_300_800
# A text with a zone may sort this much before or after its true time.
_ZONES_EAST, _ZONES_WEST = 14 * 3600, 12 * 3600


class TimeField:
    """A field that holds Pancake's time as a number: milliseconds, or seconds below 10^11; 0 is no time."""

    smallest_batch = 1
    """How many documents to ask for at once, at least."""

    def __init__(self, path: str) -> None:
        self.path = path

    def condition(self, until: int | None) -> dict[str, Any]:
        """What FolkForm filters by: passes every document with a time, up to the end of the second *until*."""
        return {"$gt": 0} if until is None else {"$gt": 0, "$lte": until * 1000 + 999}

    def read(self, document: dict[str, Any]) -> int:
        """A document's time, whole Unix seconds; 0 where it has none."""
        value = document.get(self.path)
        if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
            return 0
        seconds = value // 1000 if value > _MILLISECONDS_FROM else value
        return int(seconds) if seconds < _END_OF_TIME else 0

    def by_time(self, versions: Iterator[StoredVersion], *, newest_first: bool) -> Iterator[StoredVersion]:  # noqa: ARG002
        """The *versions*, which come in the order of the field, in the order of their times."""
        return versions


class VersionField(TimeField):
    """The version itself, text in any of Pancake's layouts: it sorts by time, but for its zone."""

    smallest_batch = LARGEST_LIMIT  # To sort the first ones by time, those of half a day more are read.

    def condition(self, until: int | None) -> dict[str, Any]:
        if until is None:
            return {"$gt": ""}
        return {"$gt": "", "$lte": f"{datetime.fromtimestamp(until + 1 + _ZONES_EAST, UTC):%Y-%m-%dT%H:%M:%S}"}

    def read(self, document: dict[str, Any]) -> int:
        return version_time(read_version(document))

    def by_time(self, versions: Iterator[StoredVersion], *, newest_first: bool) -> Iterator[StoredVersion]:
        sign, slack = (-1, _ZONES_WEST) if newest_first else (1, _ZONES_EAST)
        waiting: list[tuple[int, int, StoredVersion]] = []
        for number, stored in enumerate(versions):
            heapq.heappush(waiting, (sign * stored.time, number, stored))
            text_time = version_time((stored.version or "")[:19])  # As if it named no zone.
            while waiting and waiting[0][0] < sign * text_time - slack:
                yield heapq.heappop(waiting)[2]
        yield from (stored for _, _, stored in sorted(waiting))


PANCAKE_UPDATED_AT = TimeField("panCakeUpdatedAt")
"""Pancake's time on today's servers; 0 where another writer did not know it."""
UPDATED_AT = TimeField("updatedAt")
"""Pancake's time in the guide's dialect; elsewhere the time of the write, which must never be a watermark."""
VERSION = VersionField(VERSION_PATH)
"""On every server, but hardly indexed."""
TIME_FIELDS = (PANCAKE_UPDATED_AT, UPDATED_AT, VERSION)


class TimeFieldInUse:
    """The time field of one FolkForm, learned once from what it holds. Threads share it."""

    def __init__(self, find: Find, take_another_role: Callable[[], bool]) -> None:
        """*take_another_role* is called where FolkForm shows nothing; it returns whether to look once more."""
        self._find = find
        self._take_another_role = take_another_role
        self._field: TimeField | None = None
        self._learning = threading.Lock()

    def get(self) -> TimeField | None:
        """The field; None while FolkForm is empty."""
        with self._learning:
            if self._field is None:
                sample = self._sample() or (self._sample() if self._take_another_role() else [])
                self._field = self._learn_from(sample) if sample else None
            return self._field

    @property
    def known(self) -> TimeField:
        """The field, or the version while it has not been learned; FolkForm is not asked."""
        return self._field or VERSION

    def refute(self, field: TimeField, found: list[StoredVersion]) -> bool:
        """Whether *found*, read by *field*, has times of writes although the sample had none; from then on the version
        is used. *field* may no longer be the one in use: another page may have refuted it meanwhile.
        """
        if field is not UPDATED_AT or all(agrees(stored.time, stored.version) for stored in found):
            return False
        self._field = VERSION
        return True

    def _sample(self) -> list[dict[str, Any]]:
        return self._find({}, {"limit": _SAMPLE})

    def _learn_from(self, sample: list[dict[str, Any]]) -> TimeField:
        if any(map(PANCAKE_UPDATED_AT.read, sample)) or self._has_pancake_updated_at():
            return PANCAKE_UPDATED_AT
        is_guides = all(agrees(UPDATED_AT.read(document), read_version(document)) for document in sample)
        return UPDATED_AT if is_guides else VERSION

    def _has_pancake_updated_at(self) -> bool:
        """Zeros in the sample prove nothing: another writer may have left them."""
        return bool(self._find({PANCAKE_UPDATED_AT.path: {"$gt": 0}}, {"limit": 1}))


def agrees(time: int, version: str | None) -> bool:
    """Whether a time is that of the version, and not that of the write."""
    return time > 0 and time == version_time(version)


def version_time(version: str | None) -> int:
    """Whole Unix seconds of a version; 0 where it is unreadable."""
    try:
        return parse_customer_updated_at(version)
    except ValueError:
        return 0
