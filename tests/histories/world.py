"""Pancake, FolkForm, a clock, and our passes between them."""

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, cycle

from customer_sync.sync.passes import BACKFILL, INCREMENTAL
from tests.histories.clock import SECOND, WorldTime, written
from tests.histories.folkform import Dialect, FolkForm, Trouble
from tests.histories.happenings import WorldHappening
from tests.histories.locks import Locks
from tests.histories.pancake import Defect, Pancake, PancakeKind, Person, Psid
from tests.histories.process import Plan, Process
from tests.histories.promises import Promises
from tests.histories.story import Story
from tests.histories.turns import FOREVER, Player, Wrong
from tests.histories.verifier import Verifier

_INSTANT = 1 / SECOND


@dataclass(frozen=True)
class Kind:
    """What kind of world it is, and with which settings we run in it. Times are seconds."""

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
    """Whether anybody else writes into FolkForm."""

    def lines(self) -> list[str]:
        """The world in plain words."""
        pancake = self.pancake
        return [
            f"Pancake sends {min(self.page_size, pancake.largest)} customers at once of {self.page_size} asked for, "
            f"{'with' if pancake.tells_total else 'without'} a total; until leaves out {pancake.window.value}",
            f"FolkForm: {self.dialect.value}",
            f"we keep a span of {self.span} with {self.workers} workers, hold at most {self.largest_slice} customers, "
            f"read {self.read_ahead} ahead, overlap by {self.overlap} s; a call takes {self.call_takes:g} s"
            f"{'' if self.common_lock else '; passes side by side share no lock'}",
        ]


@dataclass(frozen=True)
class Group:
    """Customers who appeared on a page at once, so many seconds after the group before."""

    page: int
    after: float
    count: int
    defect: Defect | None = None
    psid: Psid = Psid.ALWAYS


@dataclass(frozen=True)
class Turn:
    """One of several processes makes so many calls; then something happens."""

    who: int
    calls: int
    then: tuple[WorldHappening, ...] = ()


class World:
    """Everything there is. What must never be raises AssertionError."""

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
            self.story.tell("world", line)
        for group in population:
            self.time.move(group.after)
            self.appear(group.page, group.count, 0, group.defect, group.psid)
        self.time.move(settled_for)
        self.story.tell("world", "our story begins")

    def fill_folkform(self, latest: int) -> None:
        """As if our passes had brought so many customers of each page, the latest but for those of the last seconds."""
        for page_id in self.kind.page_ids:
            people = [person for person in self.healthy if person.page_id == page_id]
            settled = [person for person in people if person.latest.updated_at + 2 * SECOND < self.time.now]
            for person in settled[-latest:] if latest else ():
                self.folkform.upsert(page_id, person.latest.data)
                self.story.tell("FolkForm", f"holds {person}")

    # Customers

    def appear(
        self, page: int, count: int, late: float, defect: Defect | None = None, psid: Psid = Psid.ALWAYS
    ) -> None:
        """New customers of a page, all at one instant, committed *late* seconds later."""
        page_id = self.kind.page_ids[page % len(self.kind.page_ids)]
        late_micros = round(late * SECOND)
        crowd = [self.pancake.appear(page_id, late=late_micros, defect=defect, psid=psid) for _ in range(count)]
        self._tell_change(crowd, f"without {defect.value} appear" if defect else f"appear{psid.value}", late)

    def change(self, first: int, count: int, late: float) -> None:
        """*count* customers from the *first* on change, all at one instant, committed *late* seconds later."""
        people = self.pancake.people
        crowd = [people[(first + number) % len(people)] for number in range(min(count, len(people)))]
        for person in crowd:
            self.pancake.change(person, late=round(late * SECOND))
        self._tell_change(crowd, "change", late)

    def _tell_change(self, crowd: list[Person], what: str, late: float) -> None:
        if crowd:
            self.story.tell("Pancake", f"{_names(crowd)} {what}{f', seen {late:g} s later' if late else ''}")
            self.time.move(_INSTANT)

    def delete(self, who: int) -> None:
        """A customer is deleted in Pancake; FolkForm keeps her."""
        if not self.pancake.people:
            return
        person = self.pancake.people[who % len(self.pancake.people)]
        self.pancake.people.remove(person)
        self.story.tell("Pancake", f"{person} is deleted")

    def refuse(self, who: int, trouble: Trouble) -> None:
        """FolkForm has something against a customer from now on, unless there are so many that pages end."""
        if not self.healthy or len(self.folkform.troubles) + 1 >= min(self.kind.span, 3):
            return
        person = self.healthy[who % len(self.healthy)]
        self.folkform.troubles[person.page_id, person.name] = trouble
        self.story.tell("FolkForm", f"{person} {trouble.value}")

    def cure(self) -> None:
        """FolkForm takes everybody again."""
        if not self.folkform.troubles:
            return
        self.folkform.troubles.clear()
        self.story.tell("FolkForm", "takes everybody again")

    def meddle(self, who: int, *, knows_time: bool, previous: bool) -> None:
        """Another writer stores a customer, perhaps as she was before, perhaps without her time."""
        if not self.healthy or not self.kind.other_writers:
            return
        person = self.healthy[who % len(self.healthy)]
        row = person.previous if previous else person.latest
        data = {**row.data, "notes": None, **({} if knows_time else {"updated_at": None})}
        self.folkform.upsert(person.page_id, data, knows_time=knows_time)
        self.promises.spoilt.add(person.page_id)
        when = f"of {written(row.updated_at)}" if knows_time else "without a time"
        self.story.tell("webhook", f"stores {person} {when}")

    @property
    def healthy(self) -> list[Person]:
        """Everybody who can be synced."""
        return [person for person in self.pancake.people if not person.defect]

    # Time

    def set_clock(self, ahead: float) -> None:
        """Our clock goes wrong, or right again."""
        self.ahead = ahead
        self.story.tell("world", f"our clock is {ahead:g} s ahead")

    # Passes

    def run(self, plan: Plan) -> Process:
        """One pass, alone."""
        process = self._process(plan, self._locks)
        try:
            process.live()
        except Wrong as wrong:
            raise AssertionError(wrong) from wrong
        self.promises.note_alone(process)
        self.promises.check_passes([process])
        return process

    def run_side_by_side(self, plans: Sequence[Plan], turns: Sequence[Turn]) -> None:
        """Several passes at once. Turns are as drawn; after them everybody may run to the end."""
        processes = [self._process(plan, self._locks if self.kind.common_lock else Locks()) for plan in plans]
        players = [_player(process) for process in processes]
        try:
            for turn in chain(turns, (Turn(who, FOREVER) for who in cycle(range(len(players))))):
                if not (playing := [player for player in players if not player.ended]):
                    break
                playing[turn.who % len(playing)].take_turn(turn.calls)
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
        """Nothing happens any more, and our passes run undisturbed: then both sides are equal."""
        self.time.move(3 + max(0.0, -self.ahead))
        self.faults.clear()
        self.story.tell("world", "all is quiet")
        self._verify()
        self._run_undisturbed(INCREMENTAL)
        self._run_undisturbed(BACKFILL)
        self.promises.check_quiet()
        if self.promises.need_full:
            self.promises.check_healed(self._run_undisturbed(BACKFILL, full=True))
            self._verify()

    def _verify(self) -> None:
        verifier = Verifier(self)
        verifier.live()
        self.promises.check_verified(verifier)

    def _run_undisturbed(self, name: str, *, full: bool = False) -> Process:
        process = self.run(Plan(name, full=full))
        self.promises.check_undisturbed(process)
        return process


def _player(process: Process) -> Player:
    player = Player(process.live)
    process.wait_for_turn, process.wait_for_others = player.next_call, player.give_up_turn
    return player


def _names(crowd: list[Person]) -> str:
    return ", ".join(map(str, crowd))
