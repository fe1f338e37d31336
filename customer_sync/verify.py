"""Both sides compared, version by version, without writing anything.

Pancake's customers and FolkForm's versions come newest first and are compared second by second, so that memory grows
with what differs, not with the history. Both sides live meanwhile: whoever seems to differ is looked at once more at
the end, and whoever has changed in Pancake since the comparison began is left to the passes.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from math import ceil
from typing import Protocol

from customer_sync.clock import Clock, local_time
from customer_sync.compare import StoredVersions
from customer_sync.comparison import CountedPage, VerifiedPage
from customer_sync.customer import Customer, Window
from customer_sync.errors import CustomerSyncError, ServiceError
from customer_sync.folkform import LARGEST_LIMIT, MOST_PSIDS, StoredVersion
from customer_sync.marks import SPAN, newest_mark
from customer_sync.page import Page
from customer_sync.pages import Listener, ReadingAhead, for_each_page
from customer_sync.read_ahead import ReadAhead
from customer_sync.result import PageResult, Problem
from customer_sync.walk import SETTLED, CustomerSource, CustomerWalk

log = logging.getLogger(__name__)

VERIFY = "verify"
# Once so long has passed, whoever changed before is settled.
_SETTLING = SETTLED + 1.0
_A_DAY = 86_400


class VersionStore(Protocol):
    """What a comparison needs of FolkForm."""

    def versions(self, page_id: str) -> Iterator[StoredVersion]: ...

    def versions_by_psid(self, page_id: str) -> Iterator[StoredVersion]: ...

    def versions_of(self, page_id: str, psids: Iterable[str]) -> dict[str, StoredVersion]: ...

    def count(self, page_id: str) -> int: ...

    def count_without_time(self, page_id: str) -> int: ...

    def ensure_up(self, page_id: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Run:
    """Everything a comparison works with."""

    folkform: VersionStore
    pancake: Callable[[Page], CustomerSource]
    clock: Clock
    listener: Listener
    requests: Callable[[str], int]
    """How many requests a page has cost so far."""
    page_size: int
    pages_at_once: int
    pancake_rps: float
    folkform_takes: Callable[[int], float]
    """How long FolkForm's limit makes so many requests last at least, seconds."""
    read_ahead: ReadingAhead = ReadAhead


def count_pages(run: Run, results: Iterable[CountedPage]) -> None:
    """Two counts per page, which say nothing about versions."""
    for_each_page(run, results, lambda result: _count(run, result))


def verify_pages(run: Run, results: list[VerifiedPage]) -> None:
    """Every customer of every page compared by version; what that will cost is said before."""
    _say_what_it_costs(run, results)
    for_each_page(run, results, lambda result: _PageComparison(run, result).compare())


def _count(run: Run, result: CountedPage) -> None:
    page_id = result.page.page_id
    total = _total(run, result)
    if total is None:
        problem = f"Pancake does not tell how many customers page {page_id} has"
        raise CustomerSyncError(problem, "Run verify without --quick.")
    result.pancake, result.folkform = total, run.folkform.count(page_id)
    if result.lacking:
        result.warnings.append(
            f"Pancake counts {result.pancake:,} customers, FolkForm {result.folkform:,}; whoever came in the last "
            f"minutes or is malformed counts in Pancake only: customer-sync verify --page {page_id} tells who differs"
        )


def _total(run: Run, result: PageResult) -> int | None:
    """How many customers Pancake says that a page has."""
    return run.pancake(result.page).get_customers(1, 1, 0, int(run.clock.now()) + 1).total


def _say_what_it_costs(run: Run, results: list[VerifiedPage]) -> None:
    with ThreadPoolExecutor(run.pages_at_once, thread_name_prefix="page") as pool:
        list(pool.map(lambda result: _expect(run, result), results))
    lists = [ceil((result.expected or result.folkform) / run.page_size) + 1 for result in results]
    finds = sum(result.folkform // LARGEST_LIMIT + 2 for result in results)
    at_once = min(run.pages_at_once, len(results)) or 1
    seconds = max(
        sum(lists) / run.pancake_rps / at_once, max(lists, default=0) / run.pancake_rps, run.folkform_takes(finds)
    )
    customers = sum(result.expected or result.folkform for result in results)
    log.info(
        "comparing about %s customers: %s requests to Pancake, %s to FolkForm, %s",
        f"{customers:,}",
        f"{sum(lists):,}",
        f"{finds:,}",
        "less than a minute" if seconds < 60 else f"about {ceil(seconds / 60):,} min",
    )


def _expect(run: Run, result: VerifiedPage) -> None:
    with suppress(ServiceError):  # The comparison will meet it, too, and say so.
        result.folkform = run.folkform.count(result.page.page_id)
        result.expected = _total(run, result)


@dataclass(frozen=True, slots=True)
class _Listed:
    """A customer of Pancake whom FolkForm does not seem to hold at her version."""

    version: str
    time: int
    pancake_id: str | None


class _PageComparison:
    """One page's share."""

    def __init__(self, run: Run, result: VerifiedPage) -> None:
        self._run = run
        self._result = result
        self._page_id = result.page.page_id
        self._pancake = run.pancake(result.page)
        self._listed: dict[str, _Listed] = {}
        self._stored: dict[str, StoredVersion] = {}
        """Whom Pancake does not seem to have at this version."""
        self._changed: set[str] = set()
        """Who has changed in Pancake since the comparison began."""
        self._newest: list[StoredVersion] = []
        """The first ones of FolkForm's stream, which make the newest mark."""
        self._owed: list[int] = []
        """Pancake's times of the missing and the stale."""

    def compare(self) -> None:
        """Raises ServiceError, StopRequested."""
        walk = self._walk(0, int(self._run.clock.now()) - SETTLED)
        self._result.folkform = 0  # Counted anew, as they come.
        stored = StoredVersions(self._read_stored(walk), self._note_stored)
        try:
            with self._run.read_ahead(walk) as coming:
                for batch in coming:
                    self._compare_batch(batch, stored)
        finally:
            for malformed in walk.malformed:
                self._result.add_malformed(malformed)
        stored.finish()
        without_time = self._run.folkform.count_without_time(self._page_id)
        self._result.folkform += without_time
        if self._listed or self._stored or without_time:
            self._look_again(walk, without_time)
            self._say_the_remedy(walk.until)

    def _walk(self, since: int, until: int) -> CustomerWalk:
        return CustomerWalk(self._pancake, self._page_id, Window(since, until), self._run.page_size)

    def _read_stored(self, walk: CustomerWalk) -> Iterator[StoredVersion]:
        for stored in self._run.folkform.versions(self._page_id):
            self._result.folkform += 1
            if len(self._newest) < SPAN and stored.time <= walk.until:
                self._newest.append(stored)
            yield stored

    def _compare_batch(self, batch: list[Customer], stored: StoredVersions) -> None:
        for customer in batch:
            self._result.read += 1
            if not stored.holds(customer):
                listed = _Listed(customer.version, customer.updated_at, customer.pancake_id)
                self._listed.setdefault(customer.psid, listed)

    def _note_stored(self, stored: StoredVersion) -> None:
        self._stored[stored.psid] = stored

    def _look_again(self, walk: CustomerWalk, without_time: int) -> None:
        self._leave_out_changed_since(walk.until)
        suspects = self._listed.keys() | self._stored.keys()
        stored_now = self._stored_now(suspects, without_time)
        unreadable = {malformed.psid for malformed in walk.malformed}
        for psid in sorted((suspects | stored_now.keys()) - self._changed):
            listed, stored = self._listed.get(psid), stored_now.get(psid)
            if listed is not None and (stored is None or stored.version != listed.version):
                self._owed.append(listed.time)
                self._result.add(_finding(psid, listed, stored))
            elif listed is None and stored is not None and psid not in unreadable:
                reason = "FolkForm holds her, Pancake does not list her: merged or deleted there"
                self._result.add(Problem(psid, None, "extra", reason))

    def _leave_out_changed_since(self, until: int) -> None:
        """Whoever has changed in Pancake after *until* is left to the passes. Some change again while that is read,
        so it is read until nobody more is left out.
        """
        while True:
            self._run.clock.sleep(_SETTLING)
            lately = self._walk(until + 1, int(self._run.clock.now()) + _A_DAY)  # Our clock may be behind.
            changed = {customer.psid for batch in lately for customer in batch} - self._changed
            self._changed |= changed
            if changed.isdisjoint(self._listed.keys() | self._stored.keys()):
                return
            until = lately.until

    def _stored_now(self, suspects: set[str], without_time: int) -> dict[str, StoredVersion]:
        """What FolkForm holds of the *suspects* by now, and everybody without a time, whom its stream leaves out."""
        folkform = self._run.folkform
        if not without_time and len(suspects) / MOST_PSIDS <= self._result.folkform / LARGEST_LIMIT + 1:
            return folkform.versions_of(self._page_id, sorted(suspects))
        everybody = folkform.versions_by_psid(self._page_id)
        return {stored.psid: stored for stored in everybody if stored.psid in suspects or not stored.time}

    def _say_the_remedy(self, until: int) -> None:
        if not self._owed:
            return
        lately = min(self._owed) >= newest_mark(self._newest, until)
        remedy = "customer-sync incremental" if lately else f"customer-sync backfill --page {self._page_id}"
        self._result.remedy = remedy
        when = " to ".join(dict.fromkeys(map(local_time, (min(self._owed), max(self._owed)))))
        self._result.warnings.append(f"{remedy} brings the {len(self._owed):,} missing or stale, who changed {when}")


def _finding(psid: str, listed: _Listed, stored: StoredVersion | None) -> Problem:
    if stored is None:
        reason = f"Pancake has her of {listed.version}, FolkForm does not hold her"
        return Problem(psid, listed.pancake_id, "missing", reason)
    return Problem(
        psid,
        listed.pancake_id,
        "stale",
        f"Pancake has her of {listed.version}, FolkForm of {_shown(stored.version)}",
    )


def _shown(version: str | None) -> str:
    return "an unknown time" if version is None else f"{version:.40}"
