"""What may be demanded of our passes, and of what they leave behind."""

from collections.abc import Iterable, Sequence

from customer_sync.core.customer import parse_customer_updated_at
from customer_sync.core.errors import ContractBroken, ServiceError
from customer_sync.sync.passes import BACKFILL
from tests.histories.clock import SECOND
from tests.histories.folkform import FolkForm, name_of
from tests.histories.pancake import Defect, Pancake, Person
from tests.histories.process import Process
from tests.histories.verifier import Verifier


class Promises:
    """Compares both sides, minding what is not promised until `--full` has run."""

    def __init__(self, pancake: Pancake, folkform: FolkForm, span: int, page_ids: Sequence[str]) -> None:
        self.spoilt: set[str] = set()
        """Pages that another writer has stored something of: marks may stand anywhere."""
        self.torn: set[str] = set()
        """Pages where an older version may stand."""
        self._unfinished: set[str] = set()
        """Pages where a backfill did not end well: until the next one has, an older version may stand."""
        self._pancake = pancake
        self._folkform = folkform
        self._span = span
        self._page_ids = page_ids

    def note_side_by_side(self, processes: Sequence[Process], *, common_lock: bool) -> None:
        """An older version may stay: without a common lock until a full backfill, else until a backfill ends well."""
        for process in processes:
            for result in process.results:
                if not common_lock:
                    self.torn.add(result.page.page_id)
                elif process.plan.name == BACKFILL and not result.complete:
                    self._unfinished.add(result.page.page_id)

    def note_alone(self, process: Process) -> None:
        """A backfill that ends well mends what an unfinished one has left."""
        if process.plan.name == BACKFILL and not process.plan.dry_run:
            self._unfinished -= {result.page.page_id for result in process.results if result.complete}

    # At any time

    def check_marks(self) -> None:
        """No mark stands above (for the oldest one: below) a hole."""
        for page_id in self._page_ids:
            times = sorted(self._stored_times(page_id))
            if page_id in self.spoilt or len(times) < self._span:
                continue
            oldest, newest = times[self._span - 1], times[-self._span]
            for person in self._pancake.of(page_id):
                second = person.latest.updated_at // SECOND
                if oldest < second < newest and self._is_owed(person):
                    raise AssertionError(f"the marks stand at {oldest} and {newest}, and between them misses {person}")

    def check_passes(self, processes: Iterable[Process]) -> None:
        """However a pass ends, it is not by a mistake of its own, nor does it ask too often."""
        for process in processes:
            self._check_cost(process)
            for result in process.results:
                error = result.error
                assert error is None or isinstance(error, ServiceError), f"{process.name}: {error}"
                assert not isinstance(error, ContractBroken) or _nobody_readable(error), f"{process.name}: {error}"

    def _check_cost(self, process: Process) -> None:
        """Requests grow with the customers there are and with their changes."""
        kind, calls, pages = process.world.kind, process.calls, len(process.results)
        people = sum(len(self._pancake.of(result.page.page_id)) for result in process.results)
        people += self._pancake.changes - process.changes_before
        of_an_answer = min(kind.page_size, kind.pancake.largest)
        answers = people / of_an_answer
        # An answer without any time may be any second's: it is read forward and back, and then in its turn.
        timeless = 2 * sum(person.defect is Defect.NO_TIME for person in self._pancake.people) / of_an_answer
        # Where not all can be held at once, each piece has to be found by halving the months.
        halvings = 25 if people > kind.largest_slice else 1
        # Without a total the end of each of three walks may be looked at twice more.
        looks = 0 if kind.pancake.tells_total else 3 * 2
        bounds = {
            "Pancake": halvings * ((20 + looks) * pages + 5 * (answers + timeless)),
            "FolkForm": 20 * pages + answers,
            "upsert": 3 * people,
        }
        for service, bound in bounds.items():
            assert calls[service] <= bound, (
                f"{process.name}: {service} called {calls[service]} times for {people} people"
            )

    # When all is quiet

    def check_verified(self, verifier: Verifier) -> None:
        """It names exactly those who differ."""
        people = {(person.page_id, person.name): person for person in self._pancake.people}
        stored = {key for key in self._folkform.documents if key[0] in self._page_ids}
        differing = {("extra", *key) for key in stored - people.keys()}
        for key, person in people.items():
            if not person.defect and self._folkform.stored(*key) is None:
                differing.add(("missing", *key))
            elif not person.defect and self._version_differs(person):
                differing.add(("stale", *key))
        assert verifier.findings == differing, f"verify names {verifier.findings}, but {differing} differ"

    def check_undisturbed(self, process: Process) -> None:
        """Nothing kept it from its end."""
        for result in process.results:
            ended = result.complete or (result.error is not None and _nobody_readable(result.error))
            assert ended, f"undisturbed, and page {result.page.page_id} ends {result.status}: {result.error}"

    def check_quiet(self) -> None:
        """Nobody is owed anything."""
        owed = [person for person in self._pancake.people if self._is_owed(person)]
        owed = [person for person in owed if person.page_id not in self.spoilt]
        assert not owed, f"not brought: {', '.join(map(str, owed))}"

    @property
    def need_full(self) -> bool:
        return bool(self.spoilt or self.torn or self._folkform.refused)

    def check_healed(self, process: Process) -> None:
        """A full backfill brings everybody but those whom it names, and FolkForm has something against each of them."""
        self.spoilt.clear()
        self.torn.clear()
        self._folkform.refused.intersection_update(self._folkform.troubles)
        self.check_quiet()
        for result in process.results:
            malformed = sum(person.defect is not None for person in self._pancake.of(result.page.page_id))
            assert result.malformed == malformed, f"{malformed} are malformed, and {result.malformed} are named"
        failed = _failed(process)
        refused = [person for person in self._pancake.people if (person.page_id, person.name) in self._folkform.refused]
        silent = [person for person in refused if self._differs(person) and (person.page_id, person.name) not in failed]
        assert not silent, f"not brought and not named: {', '.join(map(str, silent))}"
        assert failed <= self._folkform.troubles.keys(), f"named without a reason: {failed}"

    # Both sides

    def _is_owed(self, person: Person) -> bool:
        """Whether FolkForm should hold her, as she is, and does not."""
        if person.defect or (person.page_id, person.name) in self._folkform.refused:
            return False
        if person.page_id in self.torn | self._unfinished:
            return self._folkform.stored(person.page_id, person.name) is None
        return self._differs(person)

    def _version_differs(self, person: Person) -> bool:
        stored = self._folkform.stored(person.page_id, person.name)
        return stored is None or stored["updated_at"] != person.latest.version

    def _differs(self, person: Person) -> bool:
        stored = self._folkform.stored(person.page_id, person.name)
        latest = person.latest.data
        if stored is None or self._version_differs(person):
            return True
        # Another writer knows no notes; what he stored in a running second cannot be told from what came later in it.
        return stored["notes"] not in (latest["notes"], None)

    def _stored_times(self, page_id: str) -> Iterable[int]:
        for document in self._folkform.of(page_id):
            if version := document["panCakeData"]["updated_at"]:
                yield parse_customer_updated_at(version)


def _nobody_readable(error: BaseException) -> bool:
    return "all of them malformed" in str(error)


def _failed(process: Process) -> set[tuple[str, str]]:
    return {
        (result.page.page_id, name_of(one.pancake_id or ""))
        for result in process.results
        for one in result.problems
        if one.problem == "failed"
    }
