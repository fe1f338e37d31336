"""Both sides compared, version by version; nothing is written.

Pancake's customers and FolkForm's versions come newest first and are compared second by second, and what seems to
differ is kept on disk: memory grows neither with the history nor with the differences. Both sides change meanwhile:
what seems to differ is read once more at the end, and customers that have changed in Pancake since the comparison began
are left to the passes.
"""

import logging
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from math import ceil

from customer_sync.core.clock import check_clocks, clocks_differ
from customer_sync.core.command_line import command
from customer_sync.core.customer import Key, Window, key_of
from customer_sync.core.errors import CustomerSyncError, Refused, ServiceError, SettingsError
from customer_sync.core.locks import Holder
from customer_sync.core.stored_value import unstorable
from customer_sync.inspect.differences import count_malformed, ids_held_elsewhere, problems
from customer_sync.inspect.suspects import ListedCustomer, Suspects, in_chunks
from customer_sync.results.problems import Problem
from customer_sync.results.verified_page import CountedPage, VerifiedPage
from customer_sync.services.document_paging import LARGEST_LIMIT
from customer_sync.services.documents import StoredVersion
from customer_sync.services.folkform import MAX_NAMES_PER_QUERY, conflict
from customer_sync.sync.passes import BACKFILL, INCREMENTAL
from customer_sync.sync.run_context import RunContext
from customer_sync.sync.stored_versions import StoredVersions
from customer_sync.sync.walk import LEAD, SETTLE_SECONDS, Batch, CustomerWalk
from customer_sync.sync.watermarks import SPAN, newest_watermark

log = logging.getLogger(__name__)

VERIFY = "verify"
_SETTLE_WAIT = SETTLE_SECONDS + 1.0
_MAX_LOOKS = 3
# With more, the next backfill reports the conflicts as it writes.
_MAX_IDS_LOOKED_UP = 500


def count_page(context: RunContext, result: CountedPage) -> None:
    """Compares two counts, which does not compare versions."""
    page_id = result.page.page_id
    total = context.pancake(result.page).get_customers(1, 1, 0, int(context.clock.now()) + LEAD).total
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
        listed = context.pancake(result.page).get_customers(1, 1, 0, int(context.clock.now()) + LEAD)
        result.expected = listed.total


def compare_page(context: RunContext, result: VerifiedPage) -> None:
    """Compares one page, which `prepare_comparison` has counted. Raises ServiceError, StopRequested."""
    with Suspects() as suspects:
        _PageComparison(context, result, suspects).compare()


def _runs_at_work(context: RunContext, page_id: str) -> list[Holder]:
    """The passes that hold a lock of this page at this moment."""
    with suppress(SettingsError):  # Another user's lock directory is no reason to compare nothing.
        return context.locks.holders((INCREMENTAL, BACKFILL), page_id)
    return []


class _PageComparison:
    """The comparison of one page."""

    def __init__(self, context: RunContext, result: VerifiedPage, suspects: Suspects) -> None:
        self._page_id = result.page.page_id
        self._context = context
        self._result = result
        self._pancake = context.pancake(result.page)
        self._count_before = result.folkform
        self._suspects = suspects
        self._runs = _runs_at_work(context, self._page_id)
        """The passes that worked on this page meanwhile, as far as that was seen."""
        self._newest: list[StoredVersion] = []
        """FolkForm's newest versions, from which the newest watermark follows."""
        self._unstorable: dict[Key, str] = {}
        """What FolkForm cannot store of customers that it does not hold; the first of them."""

    def compare(self) -> None:
        result = self._result
        result.warnings += clocks_differ(self._pancake.clock_ahead)
        result.folkform = 0  # Counted again as they come.
        with self._context.tuning.read_ahead(self._walk(0, self._now() - SETTLE_SECONDS)) as batches:
            batch = next(batches)  # A walk yields at least one.
            stored = StoredVersions(self._read_stored(batch.until), self._suspects.add_unmatched)
            self._compare_batch(batch, stored)
            for batch in batches:
                self._compare_batch(batch, stored)
        stored.finish()
        self._report_runs()
        all_listed = batch.total is None or batch.total <= result.read + batch.skipped
        if len(self._suspects) or result.folkform < self._count_before or not all_listed:
            self._look_again(batch)
        check_clocks(self._pancake.clock_ahead, self._context.folkform.clock_ahead)

    def _report_runs(self) -> None:
        self._runs = self._runs or _runs_at_work(self._context, self._page_id)
        if self._runs:
            runs, again = " and ".join(map(str, self._runs)), command(VERIFY, "--page", self._page_id)
            text = f"locked by {runs}, which may still copy what differs: run {again} when it has ended"
            self._result.warnings.append(text)

    def _now(self) -> int:
        """By the clock that is ahead: the walk lowers it where Pancake's is right."""
        return int(self._context.clock.now() + max(self._pancake.clock_ahead or 0, 0))

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
            for key in (malformed.psid, key_of(None, malformed.pancake_id)):
                if key:
                    self._suspects.add_malformed(key)
        for customer in batch.customers:
            self._result.read += 1
            if not stored.holds(customer):
                names = customer.key, customer.version
                self._suspects.add_listed(ListedCustomer(*names, customer.updated_at, customer.pancake_id))
                if len(self._unstorable) < _MAX_IDS_LOOKED_UP and (flaw := unstorable(customer.data)):
                    self._unstorable[customer.key] = flaw

    # The second look

    def _look_again(self, last: Batch) -> None:
        self._find_changed(last.until)
        self._find_stored()
        blocked = {**self._unstorable, **self._blocked()}
        newest = newest_watermark(self._newest, last.until)
        for problem in problems(self._suspects, blocked):
            self._result.add(problem)
        self._result.malformed_in_folkform = count_malformed(self._suspects)
        self._result.changed = self._suspects.count_changed_listed()
        changed, left_out = self._suspects.count_changed()
        self._report_unlisted(last, changed)
        self._set_remedy(blocked, newest)
        if left_out:
            text = f"{left_out:,} changed during the comparison; the next incremental copies them"
            self._result.warnings.append(text)

    def _find_changed(self, until: int) -> None:
        """The customers that have changed in Pancake after *until*. A customer that changes again while they are read
        can slip past, so they are read until no suspect is among the new ones, or often enough.
        """
        for _ in range(_MAX_LOOKS):
            self._context.clock.sleep(_SETTLE_WAIT)
            is_suspect_new = False
            for batch in self._walk(until + 1, self._now() + LEAD):
                until = batch.until
                new = [customer.key for customer in batch.customers if self._suspects.add_changed(customer.key)]
                is_suspect_new |= any(key in self._suspects for key in new)
            if not is_suspect_new:
                break

    def _find_stored(self) -> None:
        """The records of the suspects now, and those that were not compared."""
        is_cheaper = len(self._suspects) / MAX_NAMES_PER_QUERY <= self._result.folkform / LARGEST_LIMIT + 1
        if is_cheaper and self._result.folkform >= self._count_before:
            with suppress(Refused):  # A psid may be too long for a request.
                self._read_records_of(self._suspects.keys())
                self._result.folkform += self._suspects.count_new_records()
                return
        self._suspects.forget_stored()
        self._read_all()

    def _read_records_of(self, keys: Iterator[Key]) -> None:
        for some in in_chunks(keys, LARGEST_LIMIT):
            self._suspects.add_stored(self._context.folkform.versions_of(self._page_id, some))

    def _read_all(self) -> None:
        """The same, from all records: those without a time were not compared, those without psid and id are counted."""
        result, suspects = self._result, self._suspects
        result.folkform = 0
        for stored in self._context.folkform.all_versions(self._page_id):
            result.folkform += 1
            if stored.key in suspects:
                suspects.add_stored([stored])
            elif not stored.time:
                suspects.add_timeless(stored.key)
        # These customers may have another record, with a time.
        self._read_records_of(suspects.timeless())
        if (nameless := self._count_before - result.folkform) > 0:
            result.folkform += nameless
            result.add(Problem(None, None, "extra", f"{nameless:,} records in FolkForm have neither psid nor id"))
            result.extra += nameless - 1

    def _blocked(self) -> dict[Key, str]:
        """Which customers FolkForm refuses because another record has their Pancake id, and which record that is."""
        held = ids_held_elsewhere(self._suspects, _MAX_IDS_LOOKED_UP)
        try:
            ids = [listed.pancake_id for listed in held.values()]
            records = self._context.folkform.records_of(ids, page_id=self._page_id)
        except Refused:  # An id may be too long for a request.
            return {}
        reasons = {
            key: conflict(self._page_id, listed.time, records[listed.pancake_id])
            for key, listed in held.items()
            if listed.pancake_id in records
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

    def _set_remedy(self, blocked: Mapping[Key, str], newest: int) -> None:
        """The command that copies what is missing or stale, except the *blocked* customers; `incremental` where all are
        above the *newest* watermark. None while a run holds the page's lock: it may do it, and locks the command out.
        """
        times = (listed.time for listed in self._suspects.missing_or_stale() if listed.key not in blocked)
        oldest = min(times, default=None)
        if self._runs or oldest is None:
            return
        recent = oldest >= newest and self._result.page.is_sync
        self._result.remedy = command("incremental") if recent else command("backfill", "--page", self._page_id)
