"""Pancake, FolkForm, a clock, and our passes between them."""

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, cycle

from customer_sync.sync.passes import BACKFILL, INCREMENTAL
from tests.histories.clock import SECOND, WorldTime, time_text
from tests.histories.folkform import Dialect, FolkForm, Trouble
from tests.histories.happenings import WorldHappening
from tests.histories.locks import Locks
from tests.histories.pancake import Customer, Defect, Pancake, PancakeKind, Psid
from tests.histories.process import Plan, Process
from tests.histories.promises import Promises
from tests.histories.story import Story
from tests.histories.turns import FOREVER, Player, Wrong
from tests.histories.verifier import Verifier

_INSTANT = 1 / SECOND


@dataclass(frozen=True)
class Kind:
    """What kind of world it is, and the settings of our runs in it. Times are seconds."""

    pancake: PancakeKind
    dialect: Dialect = Dialect.GUIDE
    page_ids: tuple[str, ...] = ("A",)
    page_size: int = 3
    span: int = 2
    workers: int = 2
    overlap: int = 0
    largest_slice: int = 2000
    read_ahead: int = 1
    call_takes: float = 0.1
    common_lock: bool = True
    """Whether passes side by side run on one machine."""
    other_writers: bool = True
    """Whether another program writes into FolkForm."""

    def lines(self) -> list[str]:
        """The world in plain words."""
        pancake = self.pancake
        return [
            f"Pancake sends {min(self.page_size, pancake.largest)} customers at once of {self.page_size} asked for, "
            f"{'with' if pancake.sends_total else 'without'} a total; until leaves out {pancake.window.value}",
            f"FolkForm: {self.dialect.value}",
            f"we keep a span of {self.span} with {self.workers} workers, hold at most {self.largest_slice} customers, "
            f"read {self.read_ahead} ahead, overlap by {self.overlap} s; a call takes {self.call_takes:g} s"
            f"{'' if self.common_lock else '; passes side by side share no lock'}",
        ]


@dataclass(frozen=True)
class Group:
    """Customers that appeared on a page at once, *after* that many seconds since the last group."""

    page: int
    after: float
    count: int
    defect: Defect | None = None
    psid: Psid = Psid.ALWAYS


@dataclass(frozen=True)
class Turn:
    """One of several processes makes that many calls; then something happens."""

    process: int
    calls: int
    then: tuple[WorldHappening, ...] = ()


class World:
    """Everything there is. A broken promise raises AssertionError."""

    def __init__(self, kind: Kind, population: Sequence[Group] = (), settled_for: float = 0) -> None:
        self.kind = kind
        self.time = WorldTime()
        self.ahead = 0.0
        """How many seconds our clock is ahead of the true time."""
        self.story = Story(self.time)
        self.pancake = Pancake(kind.pancake, self.time)
        self.folkform = FolkForm(kind.dialect, self.time)
        self.promises = Promises(self.pancake, self.folkform, kind.span, kind.page_ids)
        self.faults: defaultdict[str, deque[bool]] = defaultdict(deque)
        """By service: the next calls that fail, each with whether it arrives all the same."""
        self._locks = Locks()
        self._runs = 0
        for line in kind.lines():
            self.story.log("world", line)
        for group in population:
            self.time.move(group.after)
            self.appear(group.page, group.count, 0, group.defect, group.psid)
        self.time.move(settled_for)
        self.story.log("world", "the history begins")

    def fill_folkform(self, latest: int) -> None:
        """As if our passes had copied the *latest* customers of each page, but for those of the last seconds."""
        for page_id in self.kind.page_ids:
            customers = [customer for customer in self.healthy if customer.page_id == page_id]
            settled = [customer for customer in customers if customer.latest.updated_at + 2 * SECOND < self.time.now]
            for customer in settled[-latest:] if latest else ():
                self.folkform.upsert(page_id, customer.latest.data)
                self.story.log("FolkForm", f"has {customer}")

    # Customers

    def appear(
        self, page: int, count: int, late: float, defect: Defect | None = None, psid: Psid = Psid.ALWAYS
    ) -> None:
        """New customers of a page, all at one instant, committed *late* seconds later."""
        page_id = self.kind.page_ids[page % len(self.kind.page_ids)]
        late_micros = round(late * SECOND)
        customers = [self.pancake.appear(page_id, late=late_micros, defect=defect, psid=psid) for _ in range(count)]
        self._log_change(customers, f"without {defect.value} appear" if defect else f"appear{psid.value}", late)

    def change(self, first: int, count: int, late: float) -> None:
        """*count* customers from the *first* on change, all at one instant, committed *late* seconds later."""
        listed = self.pancake.customers
        changing = [listed[(first + number) % len(listed)] for number in range(min(count, len(listed)))]
        for customer in changing:
            self.pancake.change(customer, late=round(late * SECOND))
        self._log_change(changing, "change", late)

    def _log_change(self, customers: list[Customer], what: str, late: float) -> None:
        if customers:
            self.story.log("Pancake", f"{_names(customers)} {what}{f', seen {late:g} s later' if late else ''}")
            self.time.move(_INSTANT)

    def delete(self, index: int) -> None:
        """A customer is deleted in Pancake; FolkForm keeps it."""
        if not self.pancake.customers:
            return
        customer = self.pancake.customers[index % len(self.pancake.customers)]
        self.pancake.customers.remove(customer)
        self.story.log("Pancake", f"{customer} is deleted")

    def refuse(self, index: int, trouble: Trouble) -> None:
        """FolkForm rejects a customer from now on, unless it rejects so many that pages end."""
        if not self.healthy or len(self.folkform.troubles) + 1 >= min(self.kind.span, 3):
            return
        customer = self.healthy[index % len(self.healthy)]
        self.folkform.troubles[customer.page_id, customer.name] = trouble
        self.story.log("FolkForm", f"{customer} {trouble.value}")

    def recover(self) -> None:
        """FolkForm accepts every customer again."""
        if not self.folkform.troubles:
            return
        self.folkform.troubles.clear()
        self.story.log("FolkForm", "accepts every customer again")

    def write_otherwise(self, index: int, *, knows_time: bool, previous: bool) -> None:
        """Another writer stores a customer, perhaps an older version, perhaps without a time."""
        if not self.healthy or not self.kind.other_writers:
            return
        customer = self.healthy[index % len(self.healthy)]
        row = customer.previous if previous else customer.latest
        data = {**row.data, "notes": None, **({} if knows_time else {"updated_at": None})}
        self.folkform.upsert(customer.page_id, data, knows_time=knows_time)
        self.promises.written_by_others.add(customer.page_id)
        when = f"of {time_text(row.updated_at)}" if knows_time else "without a time"
        self.story.log("webhook", f"stores {customer} {when}")

    @property
    def healthy(self) -> list[Customer]:
        """All customers that are not malformed."""
        return [customer for customer in self.pancake.customers if not customer.defect]

    # Time

    def set_clock(self, ahead: float) -> None:
        """Sets our clock."""
        self.ahead = ahead
        self.story.log("world", f"our clock is {ahead:g} s ahead")

    # Passes

    def run(self, plan: Plan) -> Process:
        """One pass, alone."""
        process = self._process(plan, self._locks)
        try:
            process.run()
        except Wrong as wrong:
            raise AssertionError(wrong) from wrong
        self.promises.note_alone(process)
        self.promises.check_passes([process])
        return process

    def run_side_by_side(self, plans: Sequence[Plan], turns: Sequence[Turn]) -> None:
        """Several passes at once: the turns, and then each to its end."""
        processes = [self._process(plan, self._locks if self.kind.common_lock else Locks()) for plan in plans]
        players = [_player(process) for process in processes]
        try:
            for turn in chain(turns, (Turn(process, FOREVER) for process in cycle(range(len(players))))):
                if not (playing := [player for player in players if not player.ended]):
                    break
                playing[turn.process % len(playing)].take_turn(turn.calls)
                for happening in turn.then:
                    happening.happen(self)
        except Wrong as wrong:
            raise AssertionError(wrong) from wrong
        finally:
            for process, player in zip(processes, players, strict=True):
                if not player.ended:
                    process.kill()
                    player.take_turn()
        self.promises.note_side_by_side(processes, common_lock=self.kind.common_lock)
        self.promises.check_passes(processes)

    def _process(self, plan: Plan, locks: Locks) -> Process:
        self._runs += 1
        return Process(f"run {self._runs}", plan, self, locks)

    # The promise

    def settle(self) -> None:
        """Nothing else happens, and our passes run undisturbed: then both sides are equal."""
        self.time.move(3 + max(0.0, -self.ahead))
        self.faults.clear()
        self.story.log("world", "all is quiet")
        self._verify()
        self._run_undisturbed(INCREMENTAL)
        self._run_undisturbed(BACKFILL)
        self.promises.check_quiet()
        if self.promises.need_full:
            self.promises.check_healed(self._run_undisturbed(BACKFILL, full=True))
            self._verify()

    def _verify(self) -> None:
        verifier = Verifier(self)
        verifier.run()
        self.promises.check_verified(verifier)

    def _run_undisturbed(self, name: str, *, full: bool = False) -> Process:
        process = self.run(Plan(name, full=full))
        self.promises.check_undisturbed(process)
        return process


def _player(process: Process) -> Player:
    player = Player(process.run)
    process.wait_for_turn, process.wait_for_others = player.next_call, player.give_up_turn
    return player


def _names(customers: list[Customer]) -> str:
    return ", ".join(map(str, customers))
