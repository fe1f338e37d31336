"""Both sides compared, version by version, without writing anything.

Pancake's customers and FolkForm's versions come newest first and are compared second by second, so that memory grows
with what differs, not with the history. Both sides live meanwhile: whoever seems to differ is looked at once more at
the end, and whoever has changed in Pancake since the comparison began is left to the passes.
"""

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from math import ceil

from customer_sync.core.clock import clocks_differ, local_time
from customer_sync.core.customer import Key, Malformed, Window, key_of, psid_of
from customer_sync.core.errors import CustomerSyncError, Refused, ServiceError
from customer_sync.results.result import Problem
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
# Once so long has passed, whoever changed before is settled.
_SETTLING = SETTLE_SECONDS + 1.0
_A_DAY = 86_400
_MOST_LOOKS = 3
# For more than these a backfill tells it, when it writes them.
_MOST_LOOKED_UP = 500
_FEW_PAGES = 20


def count_page(context: RunContext, result: CountedPage) -> None:
    """Two counts, which say nothing about versions."""
    page_id = result.page.page_id
    total = context.pancake(result.page).get_customers(1, 1, 0, int(context.clock.now()) + _A_DAY).total
    if total is None:
        problem = f"Pancake does not report how many customers page {page_id} has"
        raise CustomerSyncError(problem, "Run verify without --quick.")
    result.pancake, result.folkform = total, context.folkform.count(page_id)
    if result.pancake != result.folkform:
        why = "malformed customers and those of the last minutes count in Pancake only"
        if result.folkform > result.pancake:
            why = "customers merged or deleted in Pancake count in FolkForm only"
        counts = f"Pancake counts {result.pancake:,} customers, FolkForm {result.folkform:,}"
        result.warnings.append(f"{counts}; {why}: customer-sync verify --page {page_id} lists the differences")


def prepare_comparison(context: RunContext, results: list[VerifiedPage]) -> None:
    """Counts both sides of every page, and logs what the comparison will cost."""
    if len(results) > _FEW_PAGES:
        log.info("counting the customers of %d pages", len(results))
    with ThreadPoolExecutor(context.settings.pages_at_once, thread_name_prefix="page") as pool:
        list(pool.map(partial(_count_both_sides, context), results))
    _log_cost(context, results)


def _count_both_sides(context: RunContext, result: VerifiedPage) -> None:
    with suppress(ServiceError):  # The comparison will meet it, too, and report it.
        result.folkform = result.counted_in_folkform = context.folkform.count(result.page.page_id)
        listed = context.pancake(result.page).get_customers(1, 1, 0, int(context.clock.now()) + _A_DAY)
        result.expected = listed.total


def compare_page(context: RunContext, result: VerifiedPage) -> None:
    """Every customer of a page compared by version. Raises ServiceError, StopRequested."""
    _PageComparison(context, result).compare()


def _log_cost(context: RunContext, results: list[VerifiedPage]) -> None:
    settings = context.settings
    lists = [ceil((result.expected or result.folkform) / settings.page_size) + 1 for result in results]
    finds = sum(result.folkform // LARGEST_LIMIT + 1 for result in results)
    at_once = min(settings.pages_at_once, len(results)) or 1
    seconds = max(
        sum(lists) / settings.pancake_rps / at_once,
        max(lists, default=0) / settings.pancake_rps,
        context.folkform.min_duration(finds),
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
    """A customer of Pancake whose version FolkForm does not seem to hold."""

    version: str
    time: int
    pancake_id: str | None


class _PageComparison:
    """One page's share."""

    def __init__(self, context: RunContext, result: VerifiedPage) -> None:
        self.page_id = result.page.page_id
        self._context = context
        self._result = result
        self._pancake = context.pancake(result.page)
        self._stored_count = result.counted_in_folkform
        self._listed: dict[Key, _Listed] = {}
        self._unmatched: dict[Key, set[str | None]] = {}
        """The documents whose version Pancake does not seem to have, by customer."""
        self._malformed: list[Malformed] = []
        self._newest: list[StoredVersion] = []
        """The first ones of FolkForm's stream, which make the newest mark."""

    def compare(self) -> None:
        """Raises ServiceError, StopRequested."""
        self._result.warnings += clocks_differ(self._pancake.clock_ahead)
        self._result.folkform = 0  # Counted anew, as they come.
        with self._context.tuning.read_ahead(self._walk(0, self._now() - SETTLE_SECONDS)) as coming:
            batch = next(coming)  # A walk yields at least one.
            stored = StoredVersions(self._read_stored(batch.until), self._note_stored)
            self._compare_batch(batch, stored)
            for batch in coming:
                self._compare_batch(batch, stored)
        stored.finish()
        listed_all = batch.total is None or batch.total <= self._result.read + batch.skipped
        if self._listed or self._unmatched or self._result.folkform < self._stored_count or not listed_all:
            self._look_again(batch)

    def _now(self) -> int:
        """By Pancake's clock."""
        return int(self._context.clock.now() + (self._pancake.clock_ahead or 0))

    def _walk(self, since: int, until: int) -> CustomerWalk:
        return CustomerWalk(self._pancake, self.page_id, Window(since, until), self._context.settings.page_size)

    def _read_stored(self, until: int) -> Iterator[StoredVersion]:
        for stored in self._context.folkform.versions(self.page_id):
            self._result.folkform += 1
            if len(self._newest) < SPAN and stored.time <= until:
                self._newest.append(stored)
            yield stored

    def _compare_batch(self, batch: Batch, stored: StoredVersions) -> None:
        for malformed in batch.malformed:
            self._malformed.append(malformed)
            self._result.add_malformed(malformed)
        for customer in batch.customers:
            self._result.read += 1
            if not stored.holds(customer):
                listed = _Listed(customer.version, customer.updated_at, customer.pancake_id)
                self._listed.setdefault(customer.key, listed)

    def _note_stored(self, stored: StoredVersion) -> None:
        self._unmatched.setdefault(stored.key, set()).add(_record(stored))

    # Looking again

    def _look_again(self, last: Batch) -> None:
        """What still differs is a finding, unless the customer has changed in Pancake since the comparison began."""
        changed = self._changed_since(last.until)
        suspects = self._listed.keys() | self._unmatched.keys()
        stored_now = self._stored_now(suspects)
        wanting = {key: listed for key, listed in self._listed.items() if key not in changed}
        others = self._under_another_name(wanting, stored_now)
        wanting = {
            key: listed
            for key, listed in wanting.items()
            if key not in stored_now or stored_now[key][0].version != listed.version
        }
        blocked = self._blocked(wanting, stored_now)
        for key in sorted(wanting, key=str):
            stored = stored_now.get(key, [None])[0] or others.get(wanting[key].pancake_id)
            self._result.add(_lacking(key, wanting[key], stored, blocked.get(key)))
        unreadable = {name for one in self._malformed for name in (one.psid, key_of(None, one.pancake_id)) if name}
        renamed = {other.key for other in others.values()}
        for key in sorted(stored_now.keys() - changed, key=str):
            records = stored_now[key]
            for older in records[1:]:
                self._result.add(_duplicate(records[0], older))
            if not (key in self._listed or key in unreadable | renamed) and all(map(self._is_unmatched, records)):
                self._result.add(_extra(records[0]))
        self._tell_unlisted(last, len(changed))
        self._set_remedy([listed.time for key, listed in wanting.items() if key not in blocked], last.until)
        if left_out := len(suspects & changed):
            self._result.warnings.append(f"{left_out:,} changed meanwhile and are left to the passes")

    def _is_unmatched(self, stored: StoredVersion) -> bool:
        """Whether Pancake does not have the version of a document; one without a time was in no stream."""
        return not stored.time or _record(stored) in self._unmatched.get(stored.key, ())

    def _changed_since(self, until: int) -> set[Key]:
        """Who has changed in Pancake after *until*. Some change again while that is read, and stand nowhere for a
        moment, so it is read until it explains nobody more, or often enough.
        """
        changed: set[Key] = set()
        for _ in range(_MOST_LOOKS):
            self._context.clock.sleep(_SETTLING)
            batches = list(self._walk(until + 1, self._now() + _A_DAY))
            more = {customer.key for batch in batches for customer in batch.customers} - changed
            changed |= more
            if more.isdisjoint(self._listed.keys() | self._unmatched.keys()):
                break
            until = batches[-1].until if batches else until
        return changed

    def _stored_now(self, suspects: set[Key]) -> dict[Key, list[StoredVersion]]:
        """The present documents of the *suspects*, and those that the stream left out, the newest first."""
        folkform, result = self._context.folkform, self._result
        few = len(suspects) / MAX_NAMES_PER_QUERY <= result.folkform / LARGEST_LIMIT + 1
        found: list[StoredVersion] | None = None
        if few and result.folkform >= self._stored_count:
            with suppress(Refused):  # A psid may be too long to be asked for.
                found = folkform.versions_of(self.page_id, sorted(suspects, key=str))
        if found is None:
            found = self._read_all(suspects)
        by_key: dict[Key, list[StoredVersion]] = {}
        once = {(stored.key, _record(stored)): stored for stored in found}
        for stored in sorted(once.values(), key=lambda stored: -stored.time):
            by_key.setdefault(stored.key, []).append(stored)
        return by_key

    def _read_all(self, suspects: set[Key]) -> list[StoredVersion]:
        """The same, read through: a document without a time is in no stream, and one without a name nowhere."""
        found: list[StoredVersion] = []
        timeless: set[Key] = set()
        folkform, result = self._context.folkform, self._result
        result.folkform = 0
        for stored in folkform.all_versions(self.page_id):
            result.folkform += 1
            if stored.key in suspects:
                found.append(stored)
            elif not stored.time:
                timeless.add(stored.key)
        # Of these customers FolkForm may hold another document, with a time.
        found += folkform.versions_of(self.page_id, sorted(timeless, key=str))
        if (nameless := self._stored_count - result.folkform) > 0:
            result.folkform += nameless
            result.add(Problem(None, None, "extra", f"FolkForm holds {nameless:,} documents without a psid or an id"))
        return found

    def _under_another_name(
        self, wanting: dict[Key, _Listed], stored_now: dict[Key, list[StoredVersion]]
    ) -> dict[str | None, StoredVersion]:
        """The earlier documents of customers whose psid has changed, or who had none, by id."""
        missing = {listed.pancake_id for key, listed in wanting.items() if key not in stored_now}
        documents = (record for records in stored_now.values() for record in records if record.key not in self._listed)
        return {record.pancake_id: record for record in documents if record.pancake_id in missing - {None}}

    def _blocked(
        self,
        wanting: dict[Key, _Listed],
        stored_now: dict[Key, list[StoredVersion]],
    ) -> dict[Key, str]:
        """Who cannot be written since FolkForm holds the customer's id elsewhere, and where."""
        ids = {
            key: listed.pancake_id
            for key, listed in wanting.items()
            if listed.pancake_id not in [record.pancake_id for record in stored_now.get(key, ())]
        }
        if not ids or len(ids) > _MOST_LOOKED_UP:
            return {}
        try:
            held = self._context.folkform.records_of(ids.values(), page_id=self.page_id)
        except Refused:  # An id may be too long to be asked for.
            return {}
        reasons = {
            key: conflict(self.page_id, wanting[key].time, held[pancake_id])
            for key, pancake_id in ids.items()
            if pancake_id in held
        }
        return {key: reason for key, reason in reasons.items() if reason}

    def _tell_unlisted(self, last: Batch, changed: int) -> None:
        """An answer of Pancake that leaves somebody out must not pass for a whole one."""
        unlisted = (last.total or 0) - self._result.read - last.skipped - changed
        if unlisted > 0:
            self._result.unlisted = unlisted
            self._result.warnings.append(
                f"Pancake counts {last.total:,} customers and has not listed {unlisted:,} of them, who could not be "
                f"compared: run customer-sync verify --page {self.page_id} again"
            )

    def _set_remedy(self, owed: list[int], until: int) -> None:
        """*owed* are Pancake's times of the missing and the stale."""
        if not owed:
            return
        lately = min(owed) >= newest_watermark(self._newest, until) and self._result.page.is_sync
        remedy = "customer-sync incremental" if lately else f"customer-sync backfill --page {self.page_id}"
        self._result.remedy = remedy
        when = " to ".join(dict.fromkeys(map(local_time, (min(owed), max(owed)))))
        self._result.warnings.append(
            f"run {remedy} to copy the {len(owed):,} missing or stale customers (changed {when})"
        )


def _lacking(key: Key, listed: _Listed, stored: StoredVersion | None, blocked: str | None) -> Problem:
    state = "missing" if stored is None else "stale"
    where = "missing in FolkForm" if stored is None else f"FolkForm holds {_shown(stored.version)}"
    if stored is not None and stored.key != key:
        where += f" under {_named(stored.key)}"
    reason = f"{where} (Pancake version {listed.version})"
    if not blocked:
        return Problem(psid_of(key), listed.pancake_id, state, reason)
    step = "No pass can write this customer while that record exists: correct the side that is wrong."
    return Problem(psid_of(key), listed.pancake_id, state, f"{reason}; FolkForm {blocked}", step)


def _extra(stored: StoredVersion) -> Problem:
    return Problem(stored.psid, stored.pancake_id, "extra", "only in FolkForm: merged or deleted in Pancake; kept")


def _duplicate(newest: StoredVersion, older: StoredVersion) -> Problem:
    records = (f"{one.record_id or 'without an id'} ({_shown(one.version)})" for one in (newest, older))
    return Problem(newest.psid, newest.pancake_id, "duplicate", f"FolkForm holds two records: {', '.join(records)}")


def _named(key: Key) -> str:
    return f"psid {key}" if isinstance(key, str) else "no psid"


def _record(stored: StoredVersion) -> str | None:
    """Tells a customer's documents apart."""
    return stored.record_id or stored.version


def _shown(version: str | None) -> str:
    return "an unknown time" if version is None else f"{version:.40}"
