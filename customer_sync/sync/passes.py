"""The two passes. Where one starts is read from what FolkForm holds.

The invariant: the customers of a page that FolkForm holds are one unbroken span of Pancake's times. An incremental
raises its top and writes the oldest first, a backfill lowers its floor and writes the newest first; killed at any
moment, neither leaves a hole inside it.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from typing import Protocol

from customer_sync.core.clock import Clock, clocks_differ
from customer_sync.core.customer import Customer, Malformed, Window, read_customer
from customer_sync.core.errors import ContractBroken, ServiceError
from customer_sync.core.page import Page
from customer_sync.results.result import SyncedPage
from customer_sync.services.documents import StoredVersion
from customer_sync.services.folkform_access import SERVICE as FOLKFORM
from customer_sync.services.pancake import SERVICE as PANCAKE
from customer_sync.sync.page_runner import Listener, ReadingAhead, for_each_page
from customer_sync.sync.read_ahead import ReadAhead
from customer_sync.sync.slices import LARGEST_SLICE, Slices
from customer_sync.sync.stored_versions import StoredVersions, VersionsAtWatermark
from customer_sync.sync.walk import SETTLE_SECONDS, CustomerWalk, TimedSource
from customer_sync.sync.watermarks import clamp_start, newest_watermark, oldest_watermark
from customer_sync.sync.writer import CustomerWriter, Order, Upserts

INCREMENTAL, BACKFILL = "incremental", "backfill"
# The guide's refresh of the oldest mark.
BATCHES_PER_RECEIPT = 10


class CustomerStore(Protocol):
    """What the passes need of FolkForm, beside the upsert."""

    def last_customers(self, page_id: str, limit: int, until: int | None = None) -> list[StoredVersion]: ...

    def oldest_customers(self, page_id: str, limit: int) -> list[StoredVersion]: ...

    def versions(self, page_id: str, until: int) -> Iterator[StoredVersion]: ...

    def count(self, page_id: str) -> int: ...

    def ensure_up(self, page_id: str) -> None: ...


class Lock(Protocol):
    """What keeps two runs from the same pass over the same page, while it is held."""

    @property
    def sure_until(self) -> int | None: ...

    def note_sure_until(self, second: int) -> None: ...


class Locks(Protocol):
    """Where a page's lock is taken."""

    def held(self, pass_name: str, page_id: str, *, wait: bool = False) -> AbstractContextManager[Lock]: ...


@dataclass(frozen=True, slots=True)
class PassOptions:
    """What the command line asks of one run. *since* and *until* are Unix seconds, UTC."""

    full: bool = False
    rewrite: bool = False
    since: int | None = None
    until: int | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """Everything one run of a pass works with. *overlap* is seconds."""

    options: PassOptions
    folkform: CustomerStore
    pancake: Callable[[Page], TimedSource]
    upserts: Upserts
    locks: Locks
    clock: Clock
    listener: Listener
    requests: Callable[[str], int]
    """How many requests a page has cost so far."""
    page_size: int
    pages_at_once: int
    overlap: int = 0
    largest_slice: int = LARGEST_SLICE
    read_ahead: ReadingAhead = ReadAhead


def sync_new_customers(run: Run, results: Iterable[SyncedPage]) -> None:
    """The incremental pass: what changed lately, of every page that *results* names; fills them in."""
    for_each_page(run, results, partial(sync_new_customers_of_page, run))


def sync_all_customers(run: Run, results: Iterable[SyncedPage]) -> None:
    """The backfill pass: the older history, of every page that *results* names; fills them in."""
    for_each_page(run, results, partial(sync_all_customers_of_page, run))


def sync_new_customers_of_page(run: Run, result: SyncedPage) -> None:
    """From the newest mark up to now. Raises ServiceError, StopRequested, PageLocked.

    A `--since` below all that is covered is a piece of history: it is written as a backfill writes it.
    """
    sync, page_id = _PageSync(run, result), result.page.page_id
    with run.locks.held(INCREMENTAL, page_id):
        covered = sync.incremental(options=run.options)
        if run.options.since is not None and run.options.since < covered.since:
            with run.locks.held(BACKFILL, page_id):
                result.since = sync.backfill(below=history_end(covered))
    sync.check_answers()


def sync_all_customers_of_page(run: Run, result: SyncedPage) -> None:
    """From the oldest mark down to 0, between two incrementals. Raises ServiceError, StopRequested, PageLocked.

    The first incremental closes the gap that an unfinished one may have left above the oldest mark. The second one
    brings whoever changed meanwhile: the backfill may have written her previous version over a newer one. Up to where
    that is made good stands in the lock, however a backfill ends, and the next one's first incremental begins there.
    """
    sync, page_id = _PageSync(run, result), result.page.page_id
    with run.locks.held(BACKFILL, page_id) as lock:
        with run.locks.held(INCREMENTAL, page_id, wait=True):
            sure_until = lock.sure_until
            covered = sync.incremental(options=PassOptions(since=None if sure_until is None else sure_until + 1))
        if not run.options.dry_run:
            lock.note_sure_until(covered.until)
        floor = sync.backfill(below=history_end(covered))
        with run.locks.held(INCREMENTAL, page_id, wait=True):
            closed = sync.incremental(above=covered.until)
        if not run.options.dry_run:
            lock.note_sure_until(closed.until)
        result.since = floor
        if not run.options.dry_run:
            sync.compare_counts()
    sync.check_answers()


class _PageSync:
    """One page's share of a pass."""

    def __init__(self, run: Run, result: SyncedPage) -> None:
        self._run = run
        self._page_id = result.page.page_id
        self._pancake = run.pancake(result.page)
        self._result = result
        self._span = run.upserts.span
        self._malformed: set[str] = set()
        self._somebody_stored: Customer | None = None
        """Who was found unchanged last, while the present writer writes."""

    def incremental(self, *, above: int | None = None, options: PassOptions | None = None) -> Window:
        """Writes what changed since the newest mark, or after *above*, oldest first. Returns what is covered now.

        *options* may lower both ends, so that no gap can open above the mark.
        """
        until = int(self._run.clock.now()) - SETTLE_SECONDS
        # Documents ahead of the clock would lift the mark above whoever changes until then.
        newest = self._run.folkform.last_customers(self._page_id, self._span, until)
        mark = newest_watermark(newest, until, self._span)
        if above is None and len(newest) < self._span:
            mark = self._covered_ahead_of_our_clock(until) or mark
        since = self._start(mark, options) if above is None else above + 1
        if options and options.until is not None:
            until = min(until, options.until)
        pieces = Slices(self._walk, Window(max(since, 0), until), self._run.largest_slice)
        known = newest + self._stored_between(since, mark) if since < mark else newest
        is_stored = self._lookup(known, min((stored.time for stored in newest), default=None))
        # Who is written below a mark does not move it; too few documents are no mark yet, and then the rule binds all.
        bound_from = mark if above is None and len(newest) >= self._span else None
        try:
            with (
                self._writer(Order.OLDEST_FIRST, newest, bound_from=bound_from) as writer,
                self._run.read_ahead(pieces) as coming,
            ):
                for piece in coming:
                    writer.write(self._without_stored(piece, is_stored))
        finally:
            self._note_read(pieces.skipped, pieces.malformed)
        self._result.since, self._result.until = max(since, 0), pieces.until
        return Window(max(since, 0), pieces.covered_until)

    def _stored_between(self, since: int, mark: int) -> list[StoredVersion]:
        versions = self._run.folkform.versions(self._page_id, mark)
        return list(takewhile(lambda stored: stored.time >= since, versions))

    def _start(self, mark: int, options: PassOptions | None) -> int:
        """The newest mark, or earlier as wished."""
        wished = mark - self._run.overlap
        if options and options.since is not None:
            wished = min(wished, options.since)
        if wished >= mark:
            return mark
        return clamp_start(mark, wished, self._oldest_watermark())

    def _covered_ahead_of_our_clock(self, until: int) -> int | None:
        """The oldest mark, where our clock is behind it and Pancake's is not; begun below it, a gap would be left.

        What is ahead of Pancake's clock, too, is another writer's mistake.
        """
        oldest = self._oldest_watermark()
        if oldest is None:
            return None
        pancake_now = self._pancake.get_customers(1, self._run.page_size, 0, until + 1).date
        if pancake_now is None or pancake_now < oldest:
            return None
        return oldest

    def _oldest_watermark(self) -> int | None:
        return oldest_watermark(self._run.folkform.oldest_customers(self._page_id, self._span), self._span)

    def backfill(self, *, below: int) -> int:
        """Writes the history before *below*, from the oldest mark down, newest first. Returns how far down it went."""
        options, folkform = self._run.options, self._run.folkform
        oldest = folkform.oldest_customers(self._page_id, self._span)
        mark = oldest_watermark(oldest, self._span)
        walk = self._walk(Window(options.since or 0, _backfill_until(mark, options, below - 1)))
        is_stored = self._lookup(oldest, mark)
        if options.full and not options.rewrite:
            is_stored = StoredVersions(folkform.versions(self._page_id, walk.until)).holds
        receipt, read_before = WriteProgressCheck(mark, self._span), self._result.read
        try:
            with (
                self._writer(Order.NEWEST_FIRST, oldest, bound_from=mark, heard=receipt.landed) as writer,
                self._run.read_ahead(walk) as coming,
            ):
                for number, batch in enumerate(coming, start=1):
                    self._result.expected = None if walk.total is None else read_before + walk.total
                    writer.write(self._without_stored(batch, is_stored))
                    if number % BATCHES_PER_RECEIPT == 0 and not (options.full or options.dry_run):
                        receipt.check(folkform.oldest_customers(self._page_id, self._span))
        finally:
            self._note_read(walk.skipped, walk.malformed)
        return walk.since

    def compare_counts(self) -> None:
        """Warns when the two sides do not hold equally many customers, within what may have changed just now."""
        result, now = self._result, int(self._run.clock.now())
        try:
            listed = self._pancake.get_customers(1, self._run.page_size, 0, now + 1)
            stored = self._run.folkform.count(self._page_id)
        except ServiceError as error:
            result.warnings.append(f"The two sides could not be counted: {error.sentence}")
            return
        if listed.total is None:
            return
        rows = [read_customer(data, self._page_id) for data in listed.customers]
        newer = sum(1 for row in rows if row.updated_at is not None and row.updated_at > (result.until or 0))
        if not listed.total - newer - result.malformed - result.failed <= stored <= listed.total:
            result.warnings.append(
                f"Pancake counts {listed.total:,} customers, FolkForm {stored:,}: "
                f"customer-sync verify --page {self._page_id} tells who differs"
            )

    def check_answers(self) -> None:
        """Warns of clocks that differ; raises ContractBroken when Pancake listed many customers, and not one of them
        can be read.
        """
        result = self._result
        result.warnings += clocks_differ(self._pancake.clock_ahead)
        if result.malformed == result.read >= self._span:
            problem = f"listed {result.malformed:,} customers, and not one of them can be read"
            raise ContractBroken(PANCAKE, problem, "Its list must have changed; see the reasons given.")

    def _walk(self, window: Window) -> CustomerWalk:
        return CustomerWalk(self._pancake, self._page_id, window, self._run.page_size)

    def _writer(
        self,
        order: Order,
        stored: list[StoredVersion],
        *,
        bound_from: int | None = None,
        heard: Callable[[Customer], None] | None = None,
    ) -> CustomerWriter:
        def written(customer: Customer) -> None:
            self._result.upserted += 1
            if heard:
                heard(customer)

        def failed(customer: Customer, error: ServiceError) -> None:
            self._run.listener.customer_failed(self._result, self._result.add_failed(customer, error.sentence))

        self._somebody_stored = None  # Whoever was unchanged before may have changed since.
        return CustomerWriter(
            self._run.upserts,
            order,
            stored,
            written,
            failed,
            bound_from=bound_from,
            somebody_stored=lambda: self._somebody_stored,
        )

    def _lookup(self, documents: list[StoredVersion], mark: int | None) -> Callable[[Customer], bool]:
        """Whether FolkForm is known to hold a customer's version; never, when all are to be rewritten."""
        if self._run.options.rewrite:
            return lambda customer: False  # noqa: ARG005
        return VersionsAtWatermark(documents, mark, partial(self._run.folkform.versions, self._page_id)).holds

    def _without_stored(
        self, customers: Iterable[Customer], is_stored: Callable[[Customer], bool]
    ) -> Iterator[Customer]:
        for customer in customers:
            self._result.read += 1
            if is_stored(customer):
                self._result.unchanged += 1
                self._somebody_stored = customer
            else:
                yield customer

    def _note_read(self, skipped: int, malformed: list[Malformed]) -> None:
        self._result.skipped += skipped
        for one in malformed:
            if one.identity not in self._malformed:
                self._malformed.add(one.identity)
                self._result.add_malformed(one)


class WriteProgressCheck:
    """Proof that FolkForm keeps what a backfill writes: the oldest mark comes down."""

    def __init__(self, mark: int | None, span: int) -> None:
        self._mark = mark
        self._span = span
        self._landed = 0

    def landed(self, customer: Customer) -> None:
        """She has been written."""
        if self._mark is None or customer.updated_at < self._mark:
            self._landed += 1

    def check(self, oldest: list[StoredVersion]) -> None:
        """Raises ContractBroken when the mark should have come down and has not."""
        mark = oldest_watermark(oldest, self._span)
        came_down = mark is not None and (self._mark is None or mark < self._mark)
        if self._landed >= self._span and not came_down:
            problem = f"accepted {self._landed} older customers, but its oldest ones are still the same"
            raise ContractBroken(FOLKFORM, problem, "Check that it stores what is sent (role, permissions, database).")
        if came_down:
            self._mark, self._landed = mark, 0


def history_end(covered: Window) -> int:
    """Below which second the history begins. An incremental that ends below the marks, by `--until` or by a clock that
    is behind, covers nothing, not even the mark's own second.
    """
    return covered.since if covered.since <= covered.until else covered.since + 1


def _backfill_until(mark: int | None, options: PassOptions, top: int) -> int:
    """Where a backfill starts: at the mark, or higher when wished, but never above *top*, where nothing is missing.

    Below the mark it would leave a gap behind; a full one without `--until` starts at the top.
    """
    if mark is None or (options.full and options.until is None):
        return top
    return min(top, max(mark, options.until or 0))
