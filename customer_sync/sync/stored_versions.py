"""Pancake's customers against FolkForm's versions, both newest first, second by second, with memory flat."""

from collections.abc import Callable, Iterator

from customer_sync.core.customer import Customer, Key
from customer_sync.services.documents import StoredVersion


class StoredVersions:
    """A page's versions in FolkForm, looked up while a walk comes down."""

    def __init__(
        self, versions: Iterator[StoredVersion], unmatched: Callable[[StoredVersion], None] = lambda _: None
    ) -> None:
        """*versions* come newest first; *unmatched* hears of each that no customer asked for had."""
        self._coming = versions
        self._next = next(versions, None)
        self._second: dict[Key, list[StoredVersion]] = {}
        """The documents of one second; of a customer there may be several."""
        self._matched: set[int] = set()
        self._unmatched = unmatched

    def holds(self, customer: Customer) -> bool:
        """Whether FolkForm holds this version of the customer. Customers are asked for newest first."""
        if self._next is not None and self._next.time >= customer.updated_at:
            self._read_down_to(customer.updated_at)
        for stored in self._second.get(customer.key, ()):
            if stored.version == customer.version:
                self._matched.add(id(stored))
                return True
        return False

    def finish(self) -> None:
        """No customer more is asked for: what is left is unmatched."""
        self._read_down_to(0)
        self._leave_second()

    def _read_down_to(self, second: int) -> None:
        """The same version has the same second, so only that second's are kept."""
        self._leave_second()
        while self._next is not None and self._next.time >= second:
            if self._next.time == second:
                self._second.setdefault(self._next.key, []).append(self._next)
            else:
                self._unmatched(self._next)
            self._next = next(self._coming, None)

    def _leave_second(self) -> None:
        for documents in self._second.values():
            for stored in documents:
                if id(stored) not in self._matched:
                    self._unmatched(stored)
        self._second, self._matched = {}, set()


class VersionsAtWatermark:
    """What the mark's answer tells: which of its customers FolkForm holds at their present version.

    More customers may share the mark's second than the answer holds; those are read when first asked for.
    """

    def __init__(
        self,
        documents: list[StoredVersion],
        mark: int | None,
        read_down_from: Callable[[int], Iterator[StoredVersion]],
    ) -> None:
        """*read_down_from* reads FolkForm's versions from a second down; *mark* is None where it is no document's."""
        self._known = {stored.key for stored in documents}
        self._versions = {(stored.key, stored.version) for stored in documents}
        self._mark = mark
        self._read_down_from = read_down_from
        self._tied: StoredVersions | None = None

    def holds(self, customer: Customer) -> bool:
        """Whether FolkForm is known to hold this version of the customer."""
        if customer.updated_at != self._mark or customer.key in self._known:
            return (customer.key, customer.version) in self._versions
        if self._tied is None:
            self._tied = StoredVersions(self._read_down_from(customer.updated_at))
        return self._tied.holds(customer)
