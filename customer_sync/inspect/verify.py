"""Both sides compared, version by version; nothing is written.

Pancake's customers and FolkForm's versions come newest first and are compared second by second, so that memory grows
with the differences, not with the history. Both sides change meanwhile: what seems to differ is read once more at the
end, and customers that have changed in Pancake since the comparison began are left to the passes.
"""

import logging
from collections.abc import Iterator, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from math import ceil

from customer_sync.core.clock import clocks_differ, local_time
from customer_sync.core.command_line import command
from customer_sync.core.customer import Key, Window, key_of
from customer_sync.core.errors import CustomerSyncError, Refused, ServiceError
from customer_sync.inspect.differences import BothSides, ListedCustomer, record_of
from customer_sync.results.page_result import Problem
from customer_sync.results.verified_page import CountedPage, VerifiedPage
from customer_sync.services.documents import StoredVersion
from customer_sync.services.folkform import MAX_NAMES_PER_QUERY, conflict
from customer_sync.services.folkform_order import LARGEST_LIMIT
from customer_sync.sync.run_context import RunContext
from customer_sync.sync.stored_versions import StoredVersions
from customer_sync.sync.walk import SETTLE_SECONDS, Batch, CustomerWalk
from customer_sync.sync.watermarks import SPAN, newest_watermark

log = logging.getLogger(__name__)

VERIFY = "verify"
_SETTLE_WAIT = SETTLE_SECONDS + 1.0
_A_DAY = 86_400
_MAX_LOOKS = 3
# With more, the next backfill reports the conflicts as it writes.
_MAX_IDS_LOOKED_UP = 500


def count_page(context: RunContext, result: CountedPage) -> None:
    """Compares two counts, which does not compare versions."""
    page_id = result.page.page_id
    total = context.pancake(result.page).get_customers(1, 1, 0, int(context.clock.now()) + _A_DAY).total
    if total is None:
        problem = f"Pancake does not report how many customers page {page_id} has"
        raise CustomerSyncError(problem, "Run verify without --quick.")
    result.pancake, result.folkform = total, context.folkform.count(page_id)
    if result.pancake != result.folkform:
        counts = f"Pancake counts {result.pancake:,} customers, FolkForm {result.folkform:,}"
        why = "malformed and recent ones count in Pancake only, merged and deleted ones in FolkForm only"
        result.warnings.append(f"{counts} ({why}): {command(VERIFY, '--page', page_id)} lists the differences")


def prepare_comparison(context: RunContext, results: list[VerifiedPage]) -> None:
    """Counts both sides of every page, and logs what the comparison will cost."""
    with ThreadPoolExecutor(context.settings.pages_at_once, thread_name_prefix="page") as pool:
        list(pool.map(partial(_count_both_sides, context), results))
    settings = context.settings
    lists = [ceil((result.expected or result.folkform) / settings.page_size) + 1 for result in results]
    finds = sum(result.folkform // LARGEST_LIMIT + 1 for result in results)
    pages_at_once = min(settings.pages_at_once, len(results)) or 1
    lists_in_a_row = max(sum(lists) / pages_at_once, max(lists, default=0))
    seconds = max(lists_in_a_row / settings.pancake_rps, context.folkform.min_duration(finds))
    log.info(
        "comparing about %s customers: %s requests to Pancake, %s to FolkForm, %s",
        f"{sum(result.expected or result.folkform for result in results):,}",
        f"{sum(lists):,}",
        f"{finds:,}",
        "less than a minute" if seconds < 60 else f"about {ceil(seconds / 60):,} min",
    )


def _count_both_sides(context: RunContext, result: VerifiedPage) -> None:
    with suppress(ServiceError):  # The comparison will raise it again.
        result.folkform = context.folkform.count(result.page.page_id)
        listed = context.pancake(result.page).get_customers(1, 1, 0, int(context.clock.now()) + _A_DAY)
        result.expected = listed.total


def compare_page(context: RunContext, result: VerifiedPage) -> None:
    """Compares one page, which `prepare_comparison` has counted. Raises ServiceError, StopRequested."""
    _PageComparison(context, result).compare()


class _PageComparison:
    """The comparison of one page."""

    def __init__(self, context: RunContext, result: VerifiedPage) -> None:
        self._page_id = result.page.page_id
        self._context = context
        self._result = result
        self._pancake = context.pancake(result.page)
        self._count_before = result.folkform
        self._listed: dict[Key, ListedCustomer] = {}
        self._unmatched: dict[Key, set[str | None]] = {}
        self._malformed: set[Key] = set()
        self._newest: list[StoredVersion] = []
        """FolkForm's newest versions, from which the newest watermark follows."""

    def compare(self) -> None:
        result = self._result
        result.warnings += clocks_differ(self._pancake.clock_ahead)
        result.folkform = 0  # Counted again as they come.
        with self._context.tuning.read_ahead(self._walk(0, self._now() - SETTLE_SECONDS)) as batches:
            batch = next(batches)  # A walk yields at least one.
            stored = StoredVersions(self._read_stored(batch.until), self._note_unmatched)
            self._compare_batch(batch, stored)
            for batch in batches:
                self._compare_batch(batch, stored)
        stored.finish()
        all_listed = batch.total is None or batch.total <= result.read + batch.skipped
        if self._listed or self._unmatched or result.folkform < self._count_before or not all_listed:
            self._look_again(batch)

    def _now(self) -> int:
        """By Pancake's clock."""
        return int(self._context.clock.now() + (self._pancake.clock_ahead or 0))

    def _walk(self, since: int, until: int) -> CustomerWalk:
        return CustomerWalk(self._pancake, self._page_id, Window(since, until), self._context.settings.page_size)

    def _read_stored(self, until: int) -> Iterator[StoredVersion]:
        for stored in self._context.folkform.versions(self._page_id):
            self._result.folkform += 1
            if len(self._newest) < SPAN and stored.time <= until:
                self._newest.append(stored)
            yield stored

    def _compare_batch(self, batch: Batch, stored: StoredVersions) -> None:
        for malformed in batch.malformed:
            self._result.add_malformed(malformed)
            self._malformed |= {key for key in (malformed.psid, key_of(None, malformed.pancake_id)) if key}
        for customer in batch.customers:
            self._result.read += 1
            if not stored.holds(customer):
                listed = ListedCustomer(customer.version, customer.updated_at, customer.pancake_id)
                self._listed.setdefault(customer.key, listed)

    def _note_unmatched(self, stored: StoredVersion) -> None:
        self._unmatched.setdefault(stored.key, set()).add(record_of(stored))

    # The second look

    def _look_again(self, last: Batch) -> None:
        changed = self._changed_since(last.until)
        suspects = self._listed.keys() | self._unmatched.keys()
        sides = BothSides(self._listed, self._unmatched, self._stored_now(suspects), changed, self._malformed)
        blocked = self._blocked(sides.ids_held_elsewhere())
        for problem in sides.problems(blocked):
            self._result.add(problem)
        self._report_unlisted(last, len(changed))
        times = [listed.time for key, listed in sides.missing_or_stale().items() if key not in blocked]
        self._set_remedy(times, last.until)
        if left_out := len(suspects & changed):
            text = f"{left_out:,} changed during the comparison; the next incremental copies them"
            self._result.warnings.append(text)

    def _changed_since(self, until: int) -> set[Key]:
        """The customers that have changed in Pancake after *until*. A customer that changes again while they are read
        can slip past, so they are read until no suspect is among the new ones, or often enough.
        """
        changed: set[Key] = set()
        for _ in range(_MAX_LOOKS):
            self._context.clock.sleep(_SETTLE_WAIT)
            batches = list(self._walk(until + 1, self._now() + _A_DAY))
            more = {customer.key for batch in batches for customer in batch.customers} - changed
            changed |= more
            if more.isdisjoint(self._listed.keys() | self._unmatched.keys()):
                break
            until = batches[-1].until if batches else until
        return changed

    def _stored_now(self, suspects: Set[Key]) -> dict[Key, list[StoredVersion]]:
        """The records of the *suspects* now, and those that were not compared, the newest first."""
        folkform, result = self._context.folkform, self._result
        is_cheaper = len(suspects) / MAX_NAMES_PER_QUERY <= result.folkform / LARGEST_LIMIT + 1
        found: list[StoredVersion] | None = None
        if is_cheaper and result.folkform >= self._count_before:
            with suppress(Refused):  # A psid may be too long for a request.
                found = folkform.versions_of(self._page_id, sorted(suspects, key=str))
        if found is None:
            found = self._read_all(suspects)
        by_key: dict[Key, list[StoredVersion]] = {}
        once = {(stored.key, record_of(stored)): stored for stored in found}
        for stored in sorted(once.values(), key=lambda stored: -stored.time):
            by_key.setdefault(stored.key, []).append(stored)
        return by_key

    def _read_all(self, suspects: Set[Key]) -> list[StoredVersion]:
        """The same, from all records: those without a time were not compared, those without psid and id are counted."""
        folkform, result = self._context.folkform, self._result
        found: list[StoredVersion] = []
        timeless: set[Key] = set()
        result.folkform = 0
        for stored in folkform.all_versions(self._page_id):
            result.folkform += 1
            if stored.key in suspects:
                found.append(stored)
            elif not stored.time:
                timeless.add(stored.key)
        # These customers may have another record, with a time.
        found += folkform.versions_of(self._page_id, sorted(timeless, key=str))
        if (nameless := self._count_before - result.folkform) > 0:
            result.folkform += nameless
            result.add(Problem(None, None, "extra", f"{nameless:,} records in FolkForm have neither psid nor id"))
        return found

    def _blocked(self, ids: Mapping[Key, str]) -> dict[Key, str]:
        """Which customers FolkForm refuses because another record has their Pancake id, and which record that is."""
        if not ids or len(ids) > _MAX_IDS_LOOKED_UP:
            return {}
        try:
            held = self._context.folkform.records_of(ids.values(), page_id=self._page_id)
        except Refused:  # An id may be too long for a request.
            return {}
        reasons = {
            key: conflict(self._page_id, self._listed[key].time, held[pancake_id])
            for key, pancake_id in ids.items()
            if pancake_id in held
        }
        return {key: reason for key, reason in reasons.items() if reason}

    def _report_unlisted(self, last: Batch, changed: int) -> None:
        """An incomplete list of Pancake must not pass for equal sides."""
        unlisted = (last.total or 0) - self._result.read - last.skipped - changed
        if unlisted > 0:
            self._result.unlisted = unlisted
            self._result.warnings.append(
                f"Pancake counts {last.total:,} customers but did not list {unlisted:,} of them, which could not be "
                f"compared: run {command(VERIFY, '--page', self._page_id)} again"
            )

    def _set_remedy(self, times: list[int], until: int) -> None:
        """*times* are Pancake's times of the customers that a pass can copy."""
        if not times:
            return
        recent = min(times) >= newest_watermark(self._newest, until) and self._result.page.is_sync
        remedy = command("incremental") if recent else command("backfill", "--page", self._page_id)
        self._result.remedy = remedy
        when = " – ".join(dict.fromkeys(map(local_time, (min(times), max(times)))))
        customers = "1 missing or stale customer" if len(times) == 1 else f"{len(times):,} missing or stale customers"
        self._result.warnings.append(f"run {remedy} to copy {customers} (changed {when})")
