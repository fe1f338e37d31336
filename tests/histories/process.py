"""One run of the program, as a process: its own clock and connections, killed or stopped at any call it makes.

Its plan decides everything, so that a history can be repeated: which of the upserts in flight arrives next, what
happens before which call, and, side by side with others, which process has its turn.
"""

import random
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from customer_sync.cli.run import work_on_page
from customer_sync.config.settings import load_settings
from customer_sync.core.errors import ExitCode, ServiceError, StopRequested, Unreachable
from customer_sync.core.locks import PageLocks
from customer_sync.core.page import Page
from customer_sync.http.rate_limiter import AdaptiveRateLimiter
from customer_sync.http.session import Call
from customer_sync.results.page_result import PageResult, SyncedPage
from customer_sync.results.problems import Problem
from customer_sync.services.folkform import FolkFormClient
from customer_sync.services.folkform_access import FolkFormAccess
from customer_sync.services.pancake import CustomerList
from customer_sync.services.sign_in import BearerToken
from customer_sync.sync.list_reader import CustomerSource
from customer_sync.sync.passes import INCREMENTAL, sync_all_customers_of_page, sync_new_customers_of_page
from customer_sync.sync.plan import PassOptions
from customer_sync.sync.run_context import RunContext, Tuning
from tests.histories.clock import SimulatedClock
from tests.histories.folkform import FolkFormWire, name_of
from tests.histories.in_flight import InFlight, Outcomes, read_ahead
from tests.histories.locks import Locks
from tests.histories.turns import Killed, Wrong

if TYPE_CHECKING:
    from tests.histories.happenings import Happening
    from tests.histories.world import World

T = TypeVar("T")
# No history is so large that a pass would need as many calls.
_ENDLESS = 3000


@dataclass(frozen=True)
class Moment:
    """Before a call, when that many calls of its kind have been made: upserts, or any."""

    calls: int
    upserts_only: bool = False


@dataclass(frozen=True)
class Plan:
    """A run: its command line, and what will happen to it. *since* and *until* are seconds ago."""

    name: str
    page: int | None = None
    """The number of the page that `--page` names."""
    full: bool = False
    rewrite: bool = False
    dry_run: bool = False
    since: int | None = None
    until: int | None = None
    arrivals: tuple[int, ...] = ()
    """Which of the upserts in flight arrives next, each time; after that the first one."""
    happenings: "tuple[tuple[Moment, Happening], ...]" = ()
    """What happens, one after the other."""

    def options(self, now: int) -> PassOptions:
        since = None if self.since is None else max(now - self.since, 0)
        until = None if self.until is None else max(now - self.until, 0)
        return PassOptions(self.full, self.rewrite, since, until, self.dry_run)

    def __str__(self) -> str:
        options = [] if self.page is None else [f"page {'AB'[self.page]}"]
        options += [name for name in ("full", "rewrite", "dry_run") if getattr(self, name)]
        options += [f"{name} {ago} s ago" for name in ("since", "until") if (ago := getattr(self, name)) is not None]
        return " ".join([self.name, *(f"--{option.replace('_', '-')}" for option in options)])


class Process:
    """A run of the program. All its calls and all that happens to it go through here."""

    def __init__(self, name: str, plan: Plan, world: "World", locks: Locks) -> None:
        self.name = name
        self.plan = plan
        self.world = world
        self.clock = SimulatedClock(world.time, world.ahead)
        known = world.kind.page_ids
        pages = known if plan.page is None else known[plan.page % len(known) :][:1]
        self.results = [SyncedPage(Page(page_id, page_id, True, ""), dry_run=plan.dry_run) for page_id in pages]
        self.calls: Counter[str] = Counter()
        """By service, upserts apart."""
        self.changes_before = world.pancake.changes
        self.wait_for_turn: Callable[[], None] = lambda: None
        """Called before every call."""
        self.wait_for_others: Callable[[], None] = self._waits_for_ever
        """Called while another one holds a lock."""
        self._locks = locks
        self._in_flight = InFlight(world.kind.workers, plan.arrivals)
        self._happenings = deque(plan.happenings)
        self._waited = 0
        """How many calls since the last happening, of the kind that the next one waits for."""
        self._survivors: Iterator[bool] | None = None
        self.empty_answers = 0
        """How many of Pancake's next answers list no customer."""

    @property
    def killed(self) -> bool:
        return self._survivors is not None

    # Its run

    def run(self) -> None:
        """Runs to its end, of whatever kind."""
        self.log(f"{self.plan} starts")
        sync = sync_new_customers_of_page if self.plan.name == INCREMENTAL else sync_all_customers_of_page
        work = partial(sync, self.plan.options(self.world.time.second))
        try:
            for result in random.sample(self.results, len(self.results)):
                work_on_page(self.context(), work, result)
        except Killed:
            return
        for result in self.results:
            end = result.error or result.stopped or "; ".join(result.warnings)
            self.log(f"ends: page {result.page.page_id} {result.status}{f' ({end})' if end else ''}")

    def folkform(self) -> FolkFormClient:
        access = FolkFormAccess(
            FolkFormWire(self.world.folkform, self._call_folkform),
            AdaptiveRateLimiter(self.clock),
            AdaptiveRateLimiter(self.clock),
            token=BearerToken("token", None, self.clock),
            role_id=None,
            customer_path="/customer",
        )
        return FolkFormClient(access)

    def pancake(self, page: Page) -> CustomerSource:
        return _Source(self, page.page_id)

    def context(self) -> RunContext:
        """What its command works with."""
        kind = self.world.kind
        tuning = Tuning(
            kind.span,
            kind.largest_slice,
            partial(read_ahead, depth=kind.read_ahead),
            lambda: Outcomes(self._in_flight),
        )
        variables = {"PAGE_SIZE": kind.page_size, "WORKERS": kind.workers, "OVERLAP": kind.overlap}
        environment = {f"CUSTOMER_SYNC_{name}": str(value) for name, value in variables.items()}
        return RunContext(
            load_settings({"FOLKFORM_BASE_URL": "http://127.0.0.1", "FOLKFORM_TOKEN": "token", **environment}, {}),
            self.clock,
            self.folkform(),
            self.pancake,
            _LocksOf(self, self._locks),
            self,
            self._in_flight,
            lambda _: 0,
            tuning,
        )

    def page_started(self, result: PageResult) -> None:
        """EmptyAnswer needs to know."""

    page_ended = page_started

    def customer_failed(self, result: SyncedPage, problem: Problem) -> None:
        """Ignored: the result has it."""

    def log(self, what: str) -> None:
        self.world.story.log(self.name, what)

    # Its calls

    def call(self, service: str, answer: Callable[[], T], *, upsert: bool = False) -> T:
        """One call of a service, with all that happens before it arrives."""
        if not self.killed:
            self.clock.check()
            self.wait_for_turn()
            self.calls["upsert" if upsert else service] += 1
            if self.calls.total() > _ENDLESS:
                raise Wrong("this pass never ends")
            self.world.time.move(self.world.kind.call_takes)
            self._let_happen(upsert=upsert)
        if self._survivors is not None:
            if upsert and next(self._survivors, False):
                with suppress(ServiceError):
                    answer()
            raise Killed
        if faults := self.world.faults[service]:
            if faults.popleft():
                answer()
            self.log(f"{service} does not answer")
            raise Unreachable(service, "does not answer")
        return answer()

    def _call_folkform(self, call: Call, answer: Callable[[], Any]) -> Any:
        if not call.path.endswith("/upsert-one"):
            return self.call("FolkForm", answer)

        def store() -> Any:
            customer = call.body["panCakeData"]
            version = f"{name_of(customer['id'])} of {customer['updated_at']}"
            try:
                data = answer()
            except ServiceError as error:
                self.log(f"{version} is not stored: {error}")
                raise
            self.log(f"{version} is stored")
            return data

        return self.call("FolkForm", store, upsert=True)

    def _let_happen(self, *, upsert: bool) -> None:
        while self._happenings and not self.killed:
            moment, happening = self._happenings[0]
            if moment.upserts_only and not upsert:
                return
            if self._waited < moment.calls:
                self._waited += 1
                return
            self._happenings.popleft()
            self._waited = 0
            happening.happen(self.world, self)

    # Its end

    def stop(self) -> None:
        """SIGTERM."""
        self.log("is asked to stop")
        self.clock.stop(StopRequested("Ended by SIGTERM", ExitCode.SIGTERM))

    def kill(self, survivors: Iterable[bool] = ()) -> None:
        """SIGKILL; *survivors* has for each upsert in flight whether it still arrives."""
        if self.killed:
            return
        self.log("is killed")
        self._survivors = iter(survivors)
        self._in_flight.kill()

    def _waits_for_ever(self) -> None:
        raise Wrong("this pass waits for a lock that no other run holds")


class _Source:
    """Pancake's list of one page, asked by one process."""

    def __init__(self, process: Process, page_id: str) -> None:
        self._process = process
        self._page_id = page_id

    @property
    def clock_ahead(self) -> float | None:
        return -self._process.world.ahead

    def get_customers(self, page_number: int, page_size: int, since: int, until: int) -> CustomerList:
        if since != 0:
            raise Wrong("asked for a window that may hide old customers that changed")
        pancake = self._process.world.pancake
        listed = self._process.call(
            "Pancake", lambda: pancake.get_customers(self._page_id, page_number, page_size, until)
        )
        if self._process.empty_answers:
            self._process.empty_answers -= 1
            self._process.log("Pancake lists no customer")
            return CustomerList([], listed.total, listed.date)
        return listed


class _LocksOf(PageLocks):
    """The locks as one process sees them."""

    def __init__(self, process: Process, locks: Locks) -> None:
        super().__init__(Path(), process.clock)
        self._process = process
        self._locks = locks

    def held(self, pass_name: str, page_id: str, *, wait: bool = False) -> AbstractContextManager[None]:
        return self._locks.held(pass_name, page_id, self._wait if wait else None)

    def _wait(self) -> None:
        self._process.clock.sleep(0.2)
        self._process.wait_for_others()
        if self._process.killed:
            raise Killed
