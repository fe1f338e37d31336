"""How time, requests and memory grow with the history, with a Pancake whose deep pages are slow (OFFSET)."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from statistics import median

from . import scenes
from .crowd import OLD, RECENT
from .figure import AtMost, Figure, Ratio
from .measured import Run, alternate
from .programs import QUICKLY, customer_sync
from .served import Served
from .sizes import Sizes

_DEEP_PAGE_COST = {"deep_page_cost": 20e-6}
_MORE = 1.05
"""How much faster than the history anything may grow."""
_MORE_MEMORY, _LARGEST = AtMost(1.15), AtMost(90)
_AGES = {"backfill": OLD, "incremental": RECENT}


def figures(sizes: Sizes) -> Iterator[Figure]:
    """A backfill's time, CPU and requests, then the memory of both passes."""
    backfills = _runs("backfill", sizes.history, sizes.growths)
    yield from _time_and_requests(sizes.history, backfills)
    backfills |= _runs("backfill", [size for size in sizes.memory if size not in backfills], sizes.growths)
    yield from _memory("backfill", sizes.memory, backfills)
    yield from _memory("incremental", sizes.memory, _runs("incremental", sizes.memory, sizes.growths))


def _runs(command: str, numbers: Sequence[int], rounds: int) -> dict[int, list[Run]]:
    """Runs over each number of new customers of one page, alternating."""
    with ExitStack() as stack:
        works = []
        for customers in numbers:
            served = stack.enter_context(Served(_DEEP_PAGE_COST))
            served.do(scenes.add_pages, 1, customers, _AGES[command])
            works.append(partial(_run, served, command))
        return dict(zip(numbers, alternate(rounds, *works), strict=True))


def _run(served: Served, command: str) -> Run:
    served.do(scenes.empty_folkform)
    return customer_sync(served, command, "--json", settings=QUICKLY)


def _time_and_requests(history: tuple[int, int], runs: dict[int, list[Run]]) -> Iterator[Figure]:
    small, large = (runs[customers] for customers in history)
    title = f"backfill, {history[0]:,} → {history[1]:,} customers"
    target = AtMost(round(_MORE * history[1] / history[0], 2))
    for name, (of, text) in _COSTS.items():
        yield Figure.of_ratio(
            f"{title}: {name}",
            Ratio.of([of(run) for run in large], [of(run) for run in small]),
            target,
            ours=text.format(median(of(run) for run in large)),
            rival=text.format(median(of(run) for run in small)),
        )


def _memory(command: str, numbers: tuple[int, int], runs: dict[int, list[Run]]) -> Iterator[Figure]:
    small, large = (median(run.peak for run in runs[customers]) for customers in numbers)
    title = f"{command}, {numbers[0]:,} → {numbers[1]:,} customers: memory"
    yield Figure(title, large / small, "×", _MORE_MEMORY, f"{large:.1f} MiB", f"{small:.1f} MiB")
    yield Figure(f"{command}, {numbers[1]:,} customers: memory at most", large, "MiB", _LARGEST)


def _requests(run: Run) -> float:
    requests: int = json.loads(run.out)["totals"]["requests"]
    return requests


_COSTS: dict[str, tuple[Callable[[Run], float], str]] = {
    "time": (lambda run: run.seconds, "{:,.1f} s"),
    "client CPU": (lambda run: run.cpu, "{:,.1f} s"),
    "requests": (_requests, "{:,.0f}"),
}
