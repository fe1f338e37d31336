"""The two passes over one page. Where one starts is read from what FolkForm stores.

The invariant: the customers of a page that FolkForm stores are one unbroken span of Pancake's times. An incremental
raises its upper end and writes the oldest first, a backfill lowers its lower end and writes the newest first; killed at
any moment, neither leaves a hole inside it.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import takewhile

from customer_sync.core.clock import check_clocks, clocks_differ
from customer_sync.core.command_line import command
from customer_sync.core.customer import Customer, Key, Malformed, Window, read_customer
from customer_sync.core.errors import ContractBroken, Refused, ServiceError
from customer_sync.core.stored_value import unstorable
from customer_sync.results.page_result import SyncedPage
from customer_sync.services.documents import StoredVersion
from customer_sync.services.folkform import CORRECT_RECORD, Filter
from customer_sync.services.pancake import SERVICE as PANCAKE
from customer_sync.sync.plan import LOOK_BACK, PassOptions, Plan, plan_backfill, plan_closing, plan_incremental
from customer_sync.sync.run_context import RunContext
from customer_sync.sync.slices import Slices
from customer_sync.sync.stored_versions import RecentVersions, StoredVersions, VersionsAtWatermark
from customer_sync.sync.walk import LEAD, SETTLE_SECONDS, Batch, CustomerWalk
from customer_sync.sync.watermarks import oldest_watermark
from customer_sync.sync.write_progress import WriteProgressCheck
from customer_sync.sync.writer import CustomerWriter, Order, Upserts

INCREMENTAL, BACKFILL = "incremental", "backfill"
# The guide's refresh of the oldest watermark.
BATCHES_PER_PROGRESS_CHECK = 10


def sync_new_customers_of_page(options: PassOptions, context: RunContext, result: SyncedPage) -> None:
    """From the newest watermark up to now. Raises ServiceError, StopRequested, PageLocked.

    A `--since` below all that is covered is a part of the history: it is written as a backfill writes it.
    """
    sync, page_id = _PageSync(options, context, result), result.page.page_id
    with context.locks.held(INCREMENTAL, page_id):
        covered = sync.incremental(options)
        if options.since is not None and options.since < covered.since:
            with context.locks.held(BACKFILL, page_id):
                result.since = sync.backfill(below=history_end(covered))
    sync.check_answers()


def sync_all_customers_of_page(options: PassOptions, context: RunContext, result: SyncedPage) -> None:
    """From the oldest watermark down to 0, between two incrementals. Raises ServiceError, StopRequested, PageLocked.

    The first incremental closes the gap that an unfinished one may have left above the oldest watermark, and looks
    back: what failed in the last days, or what a killed backfill overwrote with an older version, is written again.
    The second one writes what changed meanwhile: the backfill may have written the older version over the newer one.
    """
    sync, page_id = _PageSync(options, context, result), result.page.page_id
    with context.locks.held(BACKFILL, page_id):
        with context.locks.held(INCREMENTAL, page_id, wait=True):
            covered = sync.incremental(PassOptions(), look_back=LOOK_BACK)
        start = sync.backfill(below=history_end(covered))
        with context.locks.held(INCREMENTAL, page_id, wait=True):
            sync.incremental(PassOptions(), above=covered.until)
        result.since = start
        if not options.dry_run:
            sync.compare_counts()
    sync.check_answers()


class _PageSync:
    """One page's share of a pass."""

    def __init__(self, options: PassOptions, context: RunContext, result: SyncedPage) -> None:
        self._options = options
        self._context = context
        self._folkform = context.folkform
        self._page_id = result.page.page_id
        self._pancake = context.pancake(result.page)
        self._result = result
        self._span = context.tuning.span
        self._malformed: set[str] = set()

    def incremental(self, options: PassOptions, *, look_back: int = 0, above: int | None = None) -> Window:
        """Writes what changed since the newest watermark, or after *above*, oldest first. Returns what is covered now.

        *options* may lower both ends.
        """
        now = int(self._context.clock.now()) - SETTLE_SECONDS
        # Documents ahead of the clock would lift the watermark above customers that change until then.
        newest = self._folkform.last_customers(self._page_id, self._span, now)
        if above is None:
            plan = plan_incremental(
                newest,
                self._oldest_watermark,
                now,
                options,
                span=self._span,
                overlap=max(self._context.settings.overlap, look_back),
                covered_from=self._covered_ahead_of_our_clock(now) if len(newest) < self._span else None,
            )
        else:
            plan = plan_closing(newest, above, now, span=self._span)
        self._result.warnings += plan.warnings
        slices = Slices(self._walk, plan.window, self._context.tuning.largest_slice)
        until, covered_until, skipped_before = plan.window.until, plan.window.since - 1, self._result.skipped
        with (
            self._writer(Order.OLDEST_FIRST, newest, plan.bound_from) as writer,
            self._context.tuning.read_ahead(slices) as coming,
        ):
            for one in coming:
                self._note_read(skipped_before + one.skipped, one.malformed)
                until, covered_until = one.until, one.covered_until
                stored = self._stored_around(plan, newest, one.customers)
                for customer in one.customers:
                    if self._must_write(customer, stored.holds(customer), stored.newer_than(customer)):
                        writer.write(customer)
                    else:
                        writer.skip()
        self._result.since, self._result.until = plan.window.since, until
        return Window(plan.window.since, covered_until)

    def _stored_around(self, plan: Plan, newest: list[StoredVersion], customers: list[Customer]) -> VersionsAtWatermark:
        """What FolkForm stores from the first of a slice's *customers* on; more is never held."""
        documents = newest
        if customers and plan.watermark is not None and customers[0].updated_at < plan.watermark:
            first, last = customers[0].updated_at, min(customers[-1].updated_at, plan.watermark)
            versions = self._folkform.versions(self._page_id, last)
            documents = newest + list(takewhile(lambda stored: stored.time >= first, versions))
        watermark = min((one.time for one in newest), default=None)
        return VersionsAtWatermark(documents, watermark, partial(self._folkform.versions, self._page_id))

    def _covered_ahead_of_our_clock(self, until: int) -> int | None:
        """The oldest watermark, where our clock is behind it and Pancake's is not; started below it, a gap would be
        left. What is ahead of Pancake's clock, too, is another writer's mistake.
        """
        oldest = self._oldest_watermark()
        if oldest is None:
            return None
        pancake_now = self._pancake.get_customers(1, self._context.settings.page_size, 0, until + LEAD).date
        return None if pancake_now is None or pancake_now < oldest else oldest

    def _oldest_watermark(self) -> int | None:
        return oldest_watermark(self._folkform.oldest_customers(self._page_id, self._span), self._span)

    def backfill(self, *, below: int) -> int:
        """Writes the history before *below*, newest first. Returns how far down it went."""
        options = self._options
        oldest = self._folkform.oldest_customers(self._page_id, self._span)
        plan = plan_backfill(oldest, below, options, span=self._span)
        self._result.warnings += plan.warnings
        is_stored = VersionsAtWatermark(oldest, plan.watermark, partial(self._folkform.versions, self._page_id)).holds
        if options.full and not options.rewrite:
            is_stored = StoredVersions(self._folkform.versions(self._page_id, plan.window.until)).holds
        progress = WriteProgressCheck(plan.watermark, self._span)
        read_before, skipped = self._result.read, self._result.skipped
        recent = RecentVersions()
        with (
            self._writer(Order.NEWEST_FIRST, oldest, plan.bound_from, progress.written) as writer,
            self._context.tuning.read_ahead(self._compared(self._walk(plan.window), is_stored)) as coming,
        ):
            for number, (batch, changed, newer_stored) in enumerate(coming, start=1):
                self._note_read(skipped, batch.malformed)
                self._result.expected = None if batch.total is None else read_before + batch.total
                for customer in batch.customers:
                    newer = recent.newer_than(customer) or newer_stored(customer)
                    recent.add(customer)
                    if self._must_write(customer, customer.key not in changed, newer):
                        writer.write(customer)
                    else:
                        writer.skip()
                if number % BATCHES_PER_PROGRESS_CHECK == 0 and not (options.full or options.dry_run):
                    progress.check(self._folkform.oldest_customers(self._page_id, self._span))
        return plan.window.since

    def _compared(
        self, batches: Iterable[Batch], is_stored: Callable[[Customer], bool]
    ) -> Iterator[tuple[Batch, set[Key], Callable[[Customer], StoredVersion | None]]]:
        """Each batch with the customers whose version FolkForm lacks, and with the newer versions that it has."""
        for batch in batches:
            changed = {customer.key for customer in batch.customers if not is_stored(customer)}
            yield batch, changed, self._newer_stored(changed)

    def _newer_stored(self, keys: Iterable[Key]) -> Callable[[Customer], StoredVersion | None]:
        """The newer versions of these customers that FolkForm stores: of changes meanwhile, or of second records."""
        try:
            found = self._folkform.versions_of(self._page_id, keys)
        except Refused:  # A psid may be too long to be asked for.
            found = []
        return VersionsAtWatermark(found, None, lambda _: iter(())).newer_than

    def compare_counts(self) -> None:
        """Warns when the two sides do not store equally many customers, within what may have changed just now."""
        result = self._result
        try:
            until = int(self._context.clock.now()) + LEAD
            listed = self._pancake.get_customers(1, self._context.settings.page_size, 0, until)
            stored = self._folkform.count(self._page_id)
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
                f"{command('verify', '--page', self._page_id)} lists the differences"
            )

    def check_answers(self) -> None:
        """Warns of clocks that differ. Raises WrongClock where that is minutes, ContractBroken when Pancake listed many
        customers, all malformed.
        """
        result = self._result
        check_clocks(self._pancake.clock_ahead, self._folkform.clock_ahead)
        result.warnings += clocks_differ(self._pancake.clock_ahead)
        if result.malformed == result.read >= self._span:
            problem = f"listed {result.malformed:,} customers, all of them malformed"
            raise ContractBroken(PANCAKE, problem, "Its list must have changed; see the reasons given.")

    def _walk(self, window: Window, lead: int = LEAD) -> CustomerWalk:
        return CustomerWalk(self._pancake, self._page_id, window, self._context.settings.page_size, lead=lead)

    def _writer(
        self,
        order: Order,
        stored: list[StoredVersion],
        bound_from: int | None,
        on_written: Callable[[Customer], None] = lambda _: None,
    ) -> CustomerWriter:
        context, tuning = self._context, self._context.tuning

        def written(customer: Customer) -> None:
            self._result.upserted += 1
            on_written(customer)

        def failed(customer: Customer, error: ServiceError) -> None:
            step = f"FolkForm {flaw}. {CORRECT_RECORD}" if (flaw := unstorable(customer.data)) else error.next_step
            context.listener.customer_failed(self._result, self._result.add_failed(customer, error.sentence, step))

        upserts = Upserts(
            context.pool,
            context.settings.workers,
            _write_nothing if self._options.dry_run else self._folkform.upsert_customer,
            self._folkform.look_up,
            self._folkform.ping,
            context.clock,
            tuning.span,
            tuning.outcomes,
        )
        return CustomerWriter(upserts, order, stored, written, failed, bound_from=bound_from)

    def _must_write(self, customer: Customer, is_stored: bool, newer: StoredVersion | None) -> bool:
        """Whether FolkForm lacks this version. An older version never replaces a *newer* one, except in a repair, which
        ends with an incremental.
        """
        self._result.read += 1
        if newer and newer.pancake_id != customer.pancake_id:
            self._result.add_second_record(customer, newer.pancake_id)
        elif (newer and not self._options.full) or (is_stored and not self._options.rewrite):
            self._result.unchanged += 1
        else:
            return True
        return False

    def _note_read(self, skipped: int, malformed: list[Malformed]) -> None:
        self._result.skipped = skipped
        for one in malformed:
            if one.identity not in self._malformed:
                self._malformed.add(one.identity)
                self._result.add_malformed(one)


def history_end(covered: Window) -> int:
    """Below which second the history begins. An incremental that ends below the watermarks, by `--until` or by a clock
    that is behind, covers nothing, not even the watermark's own second.
    """
    return covered.since if covered.since <= covered.until else covered.since + 1


def _write_nothing(customer: Customer, where: Filter | None = None, *, tries_on_500: int = 1) -> None:
    """The upsert of a dry run."""
