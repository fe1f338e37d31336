"""Which of Pancake's customers FolkForm holds at their present version, as a walk comes down."""

from collections.abc import Callable, Iterator

from customer_sync.core.customer import Customer, Key
from customer_sync.services.documents import StoredVersion

# More than are in flight and in three batches.
_RECENT = 1000


class StoredVersions:
    """All of a page's versions in FolkForm, read beside the walk, second by second: memory stays flat."""

    def __init__(
        self, versions: Iterator[StoredVersion], unmatched: Callable[[StoredVersion], None] = lambda _: None
    ) -> None:
        """*versions* come newest first; *unmatched* gets each that no customer had."""
        self._coming = versions
        self._next = next(versions, None)
        self._second: dict[tuple[Key, str | None], StoredVersion] = {}
        """The versions of the second that the walk is at: the same version has the same second."""
        self._matched: set[tuple[Key, str | None]] = set()
        self._unmatched = unmatched

    def holds(self, customer: Customer) -> bool:
        """Whether FolkForm holds this version of the customer. Customers come newest first."""
        if self._next is not None and self._next.time >= customer.updated_at:
            self._read_down_to(customer.updated_at)
        name = (customer.key, customer.version)
        if name in self._second:
            self._matched.add(name)
        return name in self._second

    def finish(self) -> None:
        """No customer is left: all other versions are unmatched."""
        self._read_down_to(0)

    def _read_down_to(self, second: int) -> None:
        for name in self._second.keys() - self._matched:
            self._unmatched(self._second[name])
        self._second, self._matched = {}, set()
        while (stored := self._next) is not None and stored.time >= second:
            name = (stored.key, stored.version)
            if stored.time == second and name not in self._second:
                self._second[name] = stored
            else:
                self._unmatched(stored)
            self._next = next(self._coming, None)


class VersionsAtWatermark:
    """The same, as far as the documents tell that the watermark was read from.

    More customers may share the watermark's second; their versions are read when the first of them is asked for.
    """

    def __init__(
        self,
        documents: list[StoredVersion],
        watermark: int | None,
        read_down_from: Callable[[int], Iterator[StoredVersion]],
    ) -> None:
        """*read_down_from* reads versions from a second down; *watermark* is None where no document has its time."""
        self._newest: dict[Key, StoredVersion] = {}
        for stored in documents:
            if stored.key not in self._newest or stored.time > self._newest[stored.key].time:
                self._newest[stored.key] = stored
        self._versions = {(stored.key, stored.version) for stored in documents}
        self._watermark = watermark
        self._read_down_from = read_down_from
        self._tied: StoredVersions | None = None

    def holds(self, customer: Customer) -> bool:
        """Whether FolkForm is known to hold this version of the customer."""
        if customer.updated_at != self._watermark or customer.key in self._newest:
            return (customer.key, customer.version) in self._versions
        if self._tied is None:
            self._tied = StoredVersions(self._read_down_from(customer.updated_at))
        return self._tied.holds(customer)

    def newer_than(self, customer: Customer) -> StoredVersion | None:
        """A newer version of the customer, as far as one is known to be stored."""
        stored = self._newest.get(customer.key)
        return stored if stored and stored.time > customer.updated_at else None


class RecentVersions:
    """What a pass has read lately: FolkForm is asked about a batch while those before it are still written."""

    def __init__(self) -> None:
        self._versions: dict[Key, StoredVersion] = {}

    def add(self, customer: Customer) -> None:
        """The next customer of a walk."""
        if self.newer_than(customer) is None:
            version = StoredVersion(customer.key, customer.version, customer.updated_at, customer.pancake_id)
            self._versions.pop(customer.key, None)
            self._versions[customer.key] = version
        if len(self._versions) > _RECENT:
            del self._versions[next(iter(self._versions))]

    def newer_than(self, customer: Customer) -> StoredVersion | None:
        """A newer version of the customer, as far as it was read lately."""
        recent = self._versions.get(customer.key)
        return recent if recent and recent.time > customer.updated_at else None
