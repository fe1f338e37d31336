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

from customer_sync.clock import Clock, clocks_differ, local_time
from customer_sync.customer import Customer, Window
from customer_sync.errors import CustomerSyncError, Refused, ServiceError
from customer_sync.folkform import LARGEST_LIMIT, MOST_PSIDS, StoredVersion
from customer_sync.marks import SPAN, newest_mark
from customer_sync.page import Page
from customer_sync.pages import Listener, ReadingAhead, for_each_page
from customer_sync.read_ahead import ReadAhead
from customer_sync.result import Problem
from customer_sync.stored_versions import StoredVersions
from customer_sync.verified_page import CountedPage, VerifiedPage
from customer_sync.walk import SETTLED, CustomerSource, CustomerWalk

log = logging.getLogger(__name__)

VERIFY = "verify"
# Once so long has passed, whoever changed before is settled.
_SETTLING = SETTLED + 1.0
_A_DAY = 86_400
_MOST_LOOKS = 3
_FEW_PAGES = 20


class VersionStore(Protocol):
    """What a comparison needs of FolkForm."""

    def versions(self, page_id: str) -> Iterator[StoredVersion]: ...

    def versions_by_psid(self, page_id: str) -> Iterator[StoredVersion]: ...

    def versions_of(self, page_id: str, psids: Iterable[str]) -> dict[str, StoredVersion]: ...

    def count(self, page_id: str) -> int: ...

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
    comparisons = [_PageComparison(run, result) for result in results]
    if len(results) > _FEW_PAGES:
        log.info("counting the customers of %d pages", len(results))
    with ThreadPoolExecutor(run.pages_at_once, thread_name_prefix="page") as pool:
        list(pool.map(_PageComparison.expect, comparisons))
    _say_what_it_costs(run, results)
    by_page = {comparison.page_id: comparison for comparison in comparisons}
    for_each_page(run, results, lambda result: by_page[result.page.page_id].compare())


def _count(run: Run, result: CountedPage) -> None:
    page_id = result.page.page_id
    total = run.pancake(result.page).get_customers(1, 1, 0, int(run.clock.now()) + _A_DAY).total
    if total is None:
        problem = f"Pancake does not tell how many customers page {page_id} has"
        raise CustomerSyncError(problem, "Run verify without --quick.")
    result.pancake, result.folkform = total, run.folkform.count(page_id)
    if result.pancake != result.folkform:
        why = "whoever is malformed, or came in the last minutes, counts in Pancake only"
        if result.folkform > result.pancake:
            why = "whoever was merged or deleted in Pancake counts in FolkForm only"
        counts = f"Pancake counts {result.pancake:,} customers, FolkForm {result.folkform:,}"
        result.warnings.append(f"{counts}; {why}: customer-sync verify --page {page_id} tells who differs")


def _say_what_it_costs(run: Run, results: list[VerifiedPage]) -> None:
    lists = [ceil((result.expected or result.folkform) / run.page_size) + 1 for result in results]
    finds = sum(result.folkform // LARGEST_LIMIT + 1 for result in results)
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


@dataclass(frozen=True, slots=True)
class _Listed:
    """A customer of Pancake whom FolkForm does not seem to hold at her version."""

    version: str
    time: int
    pancake_id: str | None


class _PageComparison:
    """One page's share."""

    def __init__(self, run: Run, result: VerifiedPage) -> None:
        self.page_id = result.page.page_id
        self._run = run
        self._result = result
        self._pancake = run.pancake(result.page)
        self._pancake_ahead = 0.0
        """How far Pancake's clock, by which customers change, is ahead of ours, seconds."""
        self._stored_count = 0
        self._listed: dict[str, _Listed] = {}
        self._stored: dict[str, StoredVersion] = {}
        """Whom Pancake does not seem to have at this version."""
        self._newest: list[StoredVersion] = []
        """The first ones of FolkForm's stream, which make the newest mark."""

    def expect(self) -> None:
        """Counts both sides."""
        with suppress(ServiceError):  # The comparison will meet it, too, and say so.
            self._stored_count = self._result.folkform = self._run.folkform.count(self.page_id)
            listed = self._pancake.get_customers(1, 1, 0, int(self._run.clock.now()) + _A_DAY)
            self._result.expected = listed.total
            if listed.date is not None:
                self._pancake_ahead = listed.date - self._run.clock.now()

    def compare(self) -> None:
        """Raises ServiceError, StopRequested."""
        self._result.warnings += clocks_differ(self._pancake_ahead)
        walk = self._walk(0, self._now() - SETTLED)
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
        listed_all = walk.total is None or walk.total <= self._result.read + walk.skipped
        if self._listed or self._stored or self._result.folkform < self._stored_count or not listed_all:
            self._look_again(walk)

    def _now(self) -> int:
        """By Pancake's clock."""
        return int(self._run.clock.now() + self._pancake_ahead)

    def _walk(self, since: int, until: int) -> CustomerWalk:
        return CustomerWalk(self._pancake, self.page_id, Window(since, until), self._run.page_size)

    def _read_stored(self, walk: CustomerWalk) -> Iterator[StoredVersion]:
        for stored in self._run.folkform.versions(self.page_id):
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

    # Looking again

    def _look_again(self, walk: CustomerWalk) -> None:
        """Whoever still differs is a finding, unless she has changed in Pancake since the comparison began."""
        changed = self._changed_since(walk.until)
        suspects = self._listed.keys() | self._stored.keys()
        stored_now = self._stored_now(suspects)
        unreadable = {malformed.psid for malformed in walk.malformed}
        owed = []
        for psid in sorted((suspects | stored_now.keys()) - changed):
            listed, stored = self._listed.get(psid), stored_now.get(psid)
            if listed is not None and (stored is None or stored.version != listed.version):
                owed.append(listed.time)
                self._result.add(_finding(psid, listed, stored))
            elif listed is None and stored is not None and psid not in unreadable:
                reason = "FolkForm holds her, Pancake does not list her: merged or deleted there"
                self._result.add(Problem(psid, None, "extra", reason))
        self._tell_unlisted(walk, len(changed))
        self._tell_remedy(owed, walk.until)
        if left_out := len(suspects & changed):
            self._result.warnings.append(f"{left_out:,} changed meanwhile and are left to the passes")

    def _changed_since(self, until: int) -> set[str]:
        """Who has changed in Pancake after *until*. Some change again while that is read, and stand nowhere for a
        moment, so it is read until it explains nobody more, or often enough.
        """
        changed: set[str] = set()
        for _ in range(_MOST_LOOKS):
            self._run.clock.sleep(_SETTLING)
            lately = self._walk(until + 1, self._now() + _A_DAY)
            more = {customer.psid for batch in lately for customer in batch} - changed
            changed |= more
            if more.isdisjoint(self._listed.keys() | self._stored.keys()):
                break
            until = lately.until
        return changed

    def _stored_now(self, suspects: set[str]) -> dict[str, StoredVersion]:
        """What FolkForm holds of the *suspects* by now, and everybody whom its stream left out."""
        folkform, result = self._run.folkform, self._result
        few = len(suspects) / MOST_PSIDS <= result.folkform / LARGEST_LIMIT + 1
        if few and result.folkform >= self._stored_count:
            with suppress(Refused):  # A psid may be too long to be asked for.
                return folkform.versions_of(self.page_id, sorted(suspects))
        return self._read_all(suspects)

    def _read_all(self, suspects: set[str]) -> dict[str, StoredVersion]:
        """The same, read through: a document without a time is in no stream, and one without a psid nowhere."""
        found: dict[str, StoredVersion] = {}
        result = self._result
        result.folkform = 0
        for stored in self._run.folkform.versions_by_psid(self.page_id):
            result.folkform += 1
            if stored.psid in suspects or not stored.time:
                found[stored.psid] = stored
        if (nameless := self._stored_count - result.folkform) > 0:
            result.folkform += nameless
            result.add(Problem(None, None, "extra", f"FolkForm holds {nameless:,} documents without a usable psid"))
        return found

    def _tell_unlisted(self, walk: CustomerWalk, changed: int) -> None:
        """An answer of Pancake that leaves somebody out must not pass for a whole one."""
        unlisted = (walk.total or 0) - self._result.read - walk.skipped - changed
        if unlisted > 0:
            self._result.unlisted = unlisted
            self._result.warnings.append(
                f"Pancake counts {walk.total:,} customers and has not listed {unlisted:,} of them, who could not be "
                f"compared: run customer-sync verify --page {self.page_id} again"
            )

    def _tell_remedy(self, owed: list[int], until: int) -> None:
        """*owed* are Pancake's times of the missing and the stale."""
        if not owed:
            return
        lately = min(owed) >= newest_mark(self._newest, until) and self._result.page.is_sync
        remedy = "customer-sync incremental" if lately else f"customer-sync backfill --page {self.page_id}"
        self._result.remedy = remedy
        when = " to ".join(dict.fromkeys(map(local_time, (min(owed), max(owed)))))
        self._result.warnings.append(f"{remedy} brings the {len(owed):,} missing or stale, who changed {when}")


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
