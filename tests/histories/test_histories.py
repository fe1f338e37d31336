"""Histories of everything that can happen: whatever it was, undisturbed passes make both sides equal.

`make test` runs two hundred histories, `make histories` 1,500, and `PROFILE=deep make histories` new ones each time
(HISTORIES: how many). A history that breaks a promise is made as short as possible and printed as a story.
"""

import sys
from collections.abc import Sequence

from hypothesis import note
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.histories import strategies as draw
from tests.histories.happenings import TimePasses, WorldHappening
from tests.histories.process import Plan
from tests.histories.world import Group, Kind, Turn, World


class Histories(RuleBasedStateMachine):
    """One history of one world."""

    world: World

    @initialize(kind=draw.kinds, population=draw.populations, settled_for=draw.settled_for, held=draw.held)
    def begin(self, kind: Kind, population: Sequence[Group], settled_for: float, held: int) -> None:
        self.world = World(kind, population, settled_for)
        self.world.fill_folkform(held)

    @rule(before=draw.long_periods, seconds=draw.whiles, plan=draw.plans())
    def we_run(self, before: Sequence[WorldHappening], seconds: float, plan: Plan) -> None:
        self._let_pass(before, seconds)
        self.world.run(plan)

    @rule(plan=draw.killed_passes)
    def we_are_killed(self, plan: Plan) -> None:
        self.world.run(plan)

    @rule(plans_and_turns=draw.overtakings())
    def we_overtake_a_backfill(self, plans_and_turns: tuple[Sequence[Plan], Sequence[Turn]]) -> None:
        self.world.run_side_by_side(*plans_and_turns)

    @rule(before=draw.long_periods, seconds=draw.whiles, plans=draw.together, turns=draw.turns)
    def we_run_side_by_side(
        self,
        before: Sequence[WorldHappening],
        seconds: float,
        plans: Sequence[Plan],
        turns: Sequence[Turn],
    ) -> None:
        self._let_pass(before, seconds)
        self.world.run_side_by_side(plans, turns)

    @invariant()
    def watermarks_are_not_beyond_a_hole(self) -> None:
        self.world.promises.check_watermarks()

    def _let_pass(self, happenings: Sequence[WorldHappening], seconds: float) -> None:
        for happening in (*happenings, TimePasses(seconds)):
            happening.happen(self.world)

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
