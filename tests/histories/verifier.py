"""A comparison of both sides, as an undisturbed process."""

from typing import TYPE_CHECKING

from customer_sync.cli.run import work_on_page
from customer_sync.core.page import Page
from customer_sync.inspect.verify import VERIFY, compare_page, prepare_comparison
from customer_sync.results.verified_page import VerifiedPage
from tests.histories.folkform import name_of
from tests.histories.locks import Locks
from tests.histories.process import Plan, Process

if TYPE_CHECKING:
    from tests.histories.world import World


class Verifier(Process):
    """`customer-sync verify` over every page."""

    def __init__(self, world: "World") -> None:
        super().__init__(VERIFY, Plan(VERIFY), world, Locks())
        self.verified = [VerifiedPage(Page(page_id, page_id, True, "")) for page_id in world.kind.page_ids]

    def run(self) -> None:
        """Runs to its end."""
        context = self.context()
        prepare_comparison(context, self.verified)
        for result in self.verified:
            work_on_page(context, compare_page, result)

    @property
    def findings(self) -> set[tuple[str, str, str]]:
        """Kind, page and name of every customer that it reports, except malformed ones."""
        return {
            (problem.problem, page.page.page_id, name_of(problem.pancake_id or ""))
            for page in self.verified
            for problem in page.problems
            if problem.problem != "malformed"
        }
