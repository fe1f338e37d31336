"""How many requests a pass costs, as counted by the sandbox."""

from collections.abc import Iterator

from . import scenes
from .crowd import RECENT, Ages
from .figure import AtMost, Figure
from .programs import QUICKLY, customer_sync, guide
from .scenes import Asked
from .served import Served
from .sizes import Sizes

_CUSTOMERS_OF_IDLE_PAGE = 120
_WITHIN = 300.0
_EVER = Ages(0.01, 700.0)


def figures(sizes: Sizes) -> Iterator[Figure]:
    """An idle pass, a pass with changes, and a full comparison."""
    yield from _idle(sizes.idle_pages)
    yield _changes(sizes.changes)
    yield from _full(sizes.unchanged)


def _idle(pages: int) -> Iterator[Figure]:
    with Served() as served:
        served.do(scenes.add_pages, pages, _CUSTOMERS_OF_IDLE_PAGE, RECENT)
        served.do(scenes.fill_folkform)
        ours = _asked_by(served, "incremental")
        served.do(scenes.forget_requests)
        guide(served, "incremental")
        theirs = served.do(scenes.asked)
    title = f"idle pass over {pages:,} pages"
    beyond = ours.all - 2 * pages
    yield Figure(f"{title}: requests beyond 2 a page", beyond, "", AtMost(5), _of(ours), f"the guide {_of(theirs)}")
    yield Figure(f"{title}: writes", ours.writes, "", AtMost(0), rival=f"the guide {theirs.writes:,}")


def _changes(count: int) -> Figure:
    with Served() as served:
        served.do(scenes.add_pages, 1, 2 * count, RECENT)
        served.do(scenes.fill_folkform)
        served.do(scenes.change_customers, count, _WITHIN)
        ours = _asked_by(served, "incremental")
    title = f"{count:,} changes: FolkForm's requests per change"
    return Figure(title, ours.folkform / count, "", AtMost(1.05), f"{ours.folkform:,} of FolkForm")


def _full(customers: int) -> Iterator[Figure]:
    with Served() as served:
        served.do(scenes.add_pages, 1, customers, _EVER)
        served.do(scenes.fill_folkform)
        ours = _asked_by(served, "backfill", "--full")
    title = f"backfill --full, {customers:,} unchanged"
    yield Figure(f"{title}: requests per 100", ours.all / customers * 100, "", AtMost(1.2), _of(ours))
    yield Figure(f"{title}: writes", ours.writes, "", AtMost(0))


def _asked_by(served: Served, *arguments: str) -> Asked:
    """The requests of one run of customer-sync; both sides must be equal afterwards."""
    served.do(scenes.forget_requests)
    customer_sync(served, *arguments, settings=QUICKLY)
    if served.do(scenes.differing):
        raise AssertionError("Customers are missing in FolkForm.")
    return served.do(scenes.asked)


def _of(asked: Asked) -> str:
    return f"{asked.all:,} requests"
