"""Histories of everything that can happen: whatever it was, undisturbed passes make both sides equal.

`make test` tells a few hundred histories, `make histories` thousands, and `PROFILE=deep make histories` new ones each
time, as many as HISTORIES says. A history that breaks a promise is made as short as possible and told as a story.
"""

import sys
from collections.abc import Sequence

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.histories import strategies as draw
from tests.histories.folkform import Trouble
from tests.histories.process import Plan
from tests.histories.world import Group, Kind, Turn, World


class Histories(RuleBasedStateMachine):
    """One history of one world."""

    world: World

    @initialize(kind=draw.kinds, population=draw.populations, ahead=draw.long_whiles, settled=st.booleans())
    def begin(self, kind: Kind, population: Sequence[Group], ahead: float, settled: bool) -> None:
        self.world = World(kind, population)
        self.world.wait(ahead)
        if settled:
            self.world.settle()

    # Pancake

    @rule(page=st.integers(0, 1), count=draw.crowds, late=draw.late)
    def somebody_appears(self, page: int, count: int, late: float) -> None:
        self.world.appear(page, count, late)

    @rule(first=draw.who, count=draw.crowds, late=draw.late)
    def somebody_changes(self, first: int, count: int, late: float) -> None:
        self.world.change(first, count, late)

    @precondition(lambda self: self.world.pancake.people)
    @rule(who=draw.who)
    def somebody_is_deleted(self, who: int) -> None:
        self.world.delete(who)

    # FolkForm

    @precondition(lambda self: self.world.room_for_trouble)
    @rule(who=draw.who, trouble=draw.troubles)
    def folkform_takes_somebody_no_more(self, who: int, trouble: Trouble) -> None:
        self.world.trouble(who, trouble)

    @precondition(lambda self: self.world.folkform.troubles)
    @rule()
    def folkform_takes_everybody_again(self) -> None:
        self.world.cure()

    @precondition(lambda self: self.world.healthy)
    @rule(who=draw.who, knows_time=st.booleans(), former=st.booleans())
    def another_writer_stores_somebody(self, who: int, knows_time: bool, former: bool) -> None:
        self.world.meddle(who, knows_time=knows_time, former=former)

    # Time

    @rule(seconds=draw.long_whiles)
    def time_passes(self, seconds: float) -> None:
        self.world.wait(seconds)

    @rule(ahead=draw.clocks)
    def our_clock_goes_wrong(self, ahead: float) -> None:
        self.world.set_clock(ahead)

    # Passes

    @rule(plan=draw.plans())
    def we_run(self, plan: Plan) -> None:
        self.world.run(plan)

    @rule(plans=draw.together, turns=draw.turns, common_lock=st.sampled_from([True, True, False]))
    def we_run_side_by_side(self, plans: Sequence[Plan], turns: Sequence[Turn], common_lock: bool) -> None:
        self.world.run_side_by_side(plans, turns, common_lock=common_lock)

    @rule()
    def all_is_quiet(self) -> None:
        self.world.settle()

    @invariant()
    def no_mark_stands_above_a_hole(self) -> None:
        self.world.promises.check_marks()

    def teardown(self) -> None:
        """Every history ends quietly."""
        if not hasattr(self, "world"):
            return
        try:
            if sys.exc_info()[0] is None:
                self.world.settle()
        finally:
            note(str(self.world.story))


TestHistories = Histories.TestCase
