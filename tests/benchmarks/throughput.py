"""How fast new customers are copied, and the CPU for each, compared with programs that do less.

FolkForm answers in 20 ms and Pancake in 100 ms; 16 upserts are in flight.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median

from . import scenes
from .crowd import OLD, RECENT, Ages
from .figure import AtLeast, AtMost, Figure, Ratio
from .measured import Run, alternate
from .programs import WORKERS, bare_pool, customer_sync, dlt_pipeline, guide
from .served import Served
from .sizes import Sizes

_LATENCIES = {"folkform_latency": 0.02, "pancake_latency": 0.1}
_SETTINGS = {"CUSTOMER_SYNC_WORKERS": str(WORKERS), "CUSTOMER_SYNC_PANCAKE_RPS": "50"}
_CPU = AtMost(1.1)
_BUSIEST = AtMost(70)


@dataclass(frozen=True, slots=True)
class _Scene:
    command: str
    pages: int
    ages: Ages
    target: AtMost
    """The target, as a multiple of the bare pool's seconds."""

    @property
    def title(self) -> str:
        return f"{self.command}, {self.pages} page{'s' if self.pages > 1 else ''}"


_SCENES = [
    _Scene("backfill", 1, OLD, AtMost(1.15)),
    _Scene("incremental", 1, RECENT, AtMost(1.25)),
    _Scene("backfill", 10, OLD, AtMost(1.15)),
]


def figures(sizes: Sizes) -> Iterator[Figure]:
    """Seconds and CPU compared with the bare pool, how busy the sandbox was, then the slower rivals."""
    measured = [(scene, *_beside_the_bare_pool(scene, sizes)) for scene in _SCENES]
    for scene, ours, bare in measured:
        yield from _compared(scene, sizes.new, ours, bare)
    yield _busiest([run for _, ours, bare in measured for run in (*ours, *bare)])
    _, backfills, _ = measured[0]
    for rival in _slower_rivals(sizes):
        yield rival.beside(backfills, sizes.new)


def _beside_the_bare_pool(scene: _Scene, sizes: Sizes) -> tuple[list[Run], list[Run]]:
    """Our runs and the bare pool's, alternating."""
    with Served(_LATENCIES) as served:
        served.do(scenes.add_pages, scene.pages, sizes.new // scene.pages, scene.ages)
        documents = served.home / "documents.jsonl"
        served.do(scenes.write_documents, documents)
        ours, bare = alternate(
            sizes.rounds,
            lambda: _all_new(served, lambda: customer_sync(served, scene.command, settings=_SETTINGS)),
            lambda: _all_new(served, lambda: bare_pool(served, documents)),
        )
    return ours, bare


def _all_new(served: Served, work: Callable[[], Run]) -> Run:
    """Runs a program with an empty FolkForm; both sides must be equal afterwards."""
    served.do(scenes.empty_folkform)
    run = work()
    if served.do(scenes.differing):
        raise AssertionError("Customers are missing in FolkForm.")
    return run


def _compared(scene: _Scene, customers: int, ours: list[Run], bare: list[Run]) -> Iterator[Figure]:
    yield Figure.of_ratio(
        f"{scene.title}: {customers:,} new customers",
        Ratio.of([run.seconds for run in ours], [run.seconds for run in bare]),
        scene.target,
        ours=_seconds(ours),
        rival=f"bare pool {_seconds(bare)}",
    )
    yield Figure.of_ratio(
        f"{scene.title}: client CPU per customer",
        Ratio.of([run.cpu for run in ours], [run.cpu for run in bare]),
        _CPU,
        ours=_cpu(ours, customers),
        rival=f"bare pool {_cpu(bare, customers)}",
    )


def _busiest(runs: list[Run]) -> Figure:
    """How close the sandbox was to being the bottleneck."""
    share = max(run.sandbox_cpu / run.seconds for run in runs)
    note = f"it would take {1 / share:.1f} times as many"
    return Figure("sandbox busy while they ran, at most", share * 100, "%", _BUSIEST, note=note)


@dataclass(frozen=True, slots=True)
class _SlowerRival:
    """A program in its usual setup, over the customers of the backfill."""

    title: str
    run: Run
    note: str
    target: AtLeast | None = None

    def beside(self, ours: list[Run], customers: int) -> Figure:
        """Its time as a multiple of our backfill's."""
        times = self.run.seconds / median(our.seconds for our in ours)
        took = f"{self.run.seconds:.1f} s, {_cpu([self.run], customers)} CPU"
        title = f"{self.title}, beside our backfill"
        return Figure(title, times, "×", self.target, _seconds(ours), took, note=self.note)


def _slower_rivals(sizes: Sizes) -> Iterator[_SlowerRival]:
    scaled = f"{sizes.one_at_a_time:,} customers, scaled to {sizes.new:,}"
    with Served(_LATENCIES) as served:
        served.do(scenes.add_pages, 1, sizes.one_at_a_time, OLD)
        # A second backfill would not be idle: if FolkForm's `updatedAt` is the time of the write, it copies all again.
        run = _scaled(sizes, guide(served, "backfill"), guide(served, "incremental"))
        yield _SlowerRival("the guide, one at a time", run, scaled, AtLeast(12))
        if sizes.with_dlt:
            served.do(scenes.empty_folkform)
            run = _scaled(sizes, dlt_pipeline(served, threads=1), dlt_pipeline(served, threads=1))
            yield _SlowerRival("dlt as documented", run, f"{scaled}; {_altered(served)}")
    if sizes.with_dlt:
        with Served(_LATENCIES) as served:
            served.do(scenes.add_pages, 1, sizes.new, OLD)
            yield _SlowerRival(f"dlt with {WORKERS} threads", dlt_pipeline(served, WORKERS), _altered(served))


def _altered(served: Served) -> str:
    return f"{served.do(scenes.differing):,} altered on the way"


def _scaled(sizes: Sizes, first: Run, idle: Run) -> Run:
    """The *first* run, over a few customers, scaled up except for the cost of an *idle* one."""
    factor = sizes.new / sizes.one_at_a_time

    def scale(whole: float, start: float) -> float:
        return start + (whole - start) * factor

    return Run(scale(first.seconds, idle.seconds), scale(first.cpu, idle.cpu), first.memory, first.out)


def _seconds(runs: list[Run]) -> str:
    return f"{median(run.seconds for run in runs):.2f} s"


def _cpu(runs: list[Run], customers: int) -> str:
    return f"{median(run.cpu for run in runs) / customers * 1e6:,.0f} µs"
