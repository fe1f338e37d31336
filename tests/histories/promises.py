"""What must hold of our passes, and of what they leave behind."""

from collections.abc import Iterable, Sequence

from customer_sync.core.customer import parse_customer_updated_at
from customer_sync.core.errors import ContractBroken, ServiceError, WrongClock
from customer_sync.sync.passes import BACKFILL
from tests.histories.clock import SECOND
from tests.histories.folkform import FolkForm, name_of
from tests.histories.pancake import Customer, Defect, Pancake
from tests.histories.process import Process
from tests.histories.verifier import Verifier


class Promises:
    """Compares both sides; some differences are allowed until `--full` has run."""

    def __init__(self, pancake: Pancake, folkform: FolkForm, span: int, page_ids: Sequence[str]) -> None:
        self.written_by_others: set[str] = set()
        """Pages that another writer has written: their watermarks may be anywhere."""
        self.may_hold_older: set[str] = set()
        """Pages where FolkForm may have an older version."""
        self._unfinished: set[str] = set()
        """Pages where a backfill did not end well: FolkForm may have an older version until the next one does."""
        self._pancake = pancake
        self._folkform = folkform
        self._span = span
        self._page_ids = page_ids

    def note_side_by_side(self, processes: Sequence[Process], *, common_lock: bool) -> None:
        """An older version may stay: without a common lock until a full backfill, else until a backfill ends well."""
        for process in processes:
            for result in process.results:
                if not common_lock:
                    self.may_hold_older.add(result.page.page_id)
                elif process.plan.name == BACKFILL and not result.complete:
                    self._unfinished.add(result.page.page_id)

    def note_alone(self, process: Process) -> None:
        """A backfill that ends well repairs what an unfinished one has left."""
        if process.plan.name == BACKFILL and not process.plan.dry_run:
            self._unfinished -= {result.page.page_id for result in process.results if result.complete}

    # At any time

    def check_watermarks(self) -> None:
        """No customer between the watermarks is missing or stale."""
        for page_id in self._page_ids:
            times = sorted(self._stored_times(page_id))
            if page_id in self.written_by_others or len(times) < self._span:
                continue
            oldest, newest = times[self._span - 1], times[-self._span]
            for customer in self._pancake.of(page_id):
                second = customer.latest.updated_at // SECOND
                if oldest < second < newest and self._is_lost(customer):
                    raise AssertionError(f"between the watermarks {oldest} and {newest} {customer} is missing or stale")

    def check_passes(self, processes: Iterable[Process]) -> None:
        """However a pass ends, it is not a mistake of its own, and it does not ask too often."""
        for process in processes:
            self._check_cost(process)
            for result in process.results:
                error = result.error
                assert error is None or isinstance(error, ServiceError | WrongClock), f"{process.name}: {error}"
                assert not isinstance(error, ContractBroken) or _none_readable(error), f"{process.name}: {error}"

    def _check_cost(self, process: Process) -> None:
        """Requests grow with the customers there are and with their changes."""
        kind, calls, pages = process.world.kind, process.calls, len(process.results)
        customers = sum(len(self._pancake.of(result.page.page_id)) for result in process.results)
        customers += self._pancake.changes - process.changes_before
        of_an_answer = min(kind.page_size, kind.pancake.largest)
        answers = customers / of_an_answer
        # An answer without any time may be of any second: it is read forward and back, and then in its turn.
        timeless = 2 * sum(customer.defect is Defect.NO_TIME for customer in self._pancake.customers) / of_an_answer
        # Where not all can be held at once, each slice has to be found by halving the months.
        halvings = 25 if customers > kind.largest_slice else 1
        # Without a total the end of each of three walks may be read twice more.
        repeats = 0 if kind.pancake.sends_total else 3 * 2
        bounds = {
            # A walk starts two days above its window, and these histories are no longer than that.
            "Pancake": halvings * ((20 + repeats) * pages + 8 * (answers + timeless)),
            # Before a batch is written, newer versions of its customers are looked up.
            "FolkForm": 20 * pages + 3 * answers,
            "upsert": 3 * customers,
        }
        for service, bound in bounds.items():
            assert calls[service] <= bound, (
                f"{process.name}: {service} called {calls[service]} times for {customers} customers"
            )

    # When all is quiet

    def check_verified(self, verifier: Verifier) -> None:
        """`verify` finds exactly the customers that differ."""
        customers = {(customer.page_id, customer.name): customer for customer in self._pancake.customers}
        stored = {key for key in self._folkform.documents if key[0] in self._page_ids}
        differing = {("extra", *key) for key in stored - customers.keys()}
        for key, customer in customers.items():
            if not customer.defect and self._folkform.stored(*key) is None:
                differing.add(("missing", *key))
            elif not customer.defect and self._version_differs(customer):
                differing.add(("stale", *key))
        assert verifier.findings == differing, f"verify finds {verifier.findings}, but {differing} differ"

    def check_undisturbed(self, process: Process) -> None:
        """It is complete."""
        for result in process.results:
            ended = result.complete or isinstance(result.error, WrongClock) or _none_readable(result.error)
            assert ended, f"undisturbed, and page {result.page.page_id} ends {result.status}: {result.error}"

    def check_quiet(self) -> None:
        """No customer is lost."""
        lost = [customer for customer in self._pancake.customers if self._is_lost(customer)]
        lost = [customer for customer in lost if customer.page_id not in self.written_by_others]
        assert not lost, f"missing or stale: {', '.join(map(str, lost))}"

    @property
    def need_full(self) -> bool:
        return bool(self.written_by_others or self.may_hold_older or self._folkform.refused)

    def check_healed(self, process: Process) -> None:
        """A full backfill copies every customer but those that it reports, and FolkForm rejects each of these."""
        self.written_by_others.clear()
        self.may_hold_older.clear()
        self._folkform.refused.intersection_update(self._folkform.troubles)
        self.check_quiet()
        for result in process.results:
            malformed = sum(customer.defect is not None for customer in self._pancake.of(result.page.page_id))
            assert result.malformed == malformed, f"{malformed} are malformed, and {result.malformed} are reported"
        failed = _failed(process)
        refused = [
            customer
            for customer in self._pancake.customers
            if (customer.page_id, customer.name) in self._folkform.refused
        ]
        silent = [
            customer
            for customer in refused
            if self._differs(customer) and (customer.page_id, customer.name) not in failed
        ]
        assert not silent, f"missing or stale and not reported: {', '.join(map(str, silent))}"
        assert failed <= self._folkform.troubles.keys(), f"reported without a reason: {failed}"

    # Both sides

    def _is_lost(self, customer: Customer) -> bool:
        """Whether FolkForm should have the customer as it is, and has not."""
        if customer.defect or (customer.page_id, customer.name) in self._folkform.refused:
            return False
        if customer.page_id in self.may_hold_older | self._unfinished:
            return self._folkform.stored(customer.page_id, customer.name) is None
        return self._differs(customer)

    def _version_differs(self, customer: Customer) -> bool:
        stored = self._folkform.stored(customer.page_id, customer.name)
        return stored is None or stored["updated_at"] != customer.latest.version

    def _differs(self, customer: Customer) -> bool:
        stored = self._folkform.stored(customer.page_id, customer.name)
        latest = customer.latest.data
        if stored is None or self._version_differs(customer):
            return True
        # Another writer stores no notes; two versions of one running second cannot be distinguished.
        return stored["notes"] not in (latest["notes"], None)

    def _stored_times(self, page_id: str) -> Iterable[int]:
        for document in self._folkform.of(page_id):
            if version := document["panCakeData"]["updated_at"]:
                yield parse_customer_updated_at(version)


def _none_readable(error: BaseException | None) -> bool:
    return "all of them malformed" in str(error)


def _failed(process: Process) -> set[tuple[str, str]]:
    return {
        (result.page.page_id, name_of(one.pancake_id or ""))
        for result in process.results
        for one in result.problems
        if one.problem == "failed"
    }
