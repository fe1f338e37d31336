"""The cost of a start: cron starts a run every five minutes."""

from collections.abc import Callable, Iterator
from statistics import median

from . import scenes
from .crowd import RECENT
from .figure import AtMost, Figure, Ratio
from .measured import Run, alternate
from .programs import QUICKLY, customer_sync, dlt_pipeline, guide, python, version
from .served import Served
from .sizes import Sizes

# What a command line costs that does nothing: Typer loads more than its import when it reads an option.
_LIBRARIES = "import requests, typer; typer.run(lambda page=None: None)"
_CUSTOMERS = 120
_TARGET = AtMost(1.8)


def figures(sizes: Sizes) -> Iterator[Figure]:
    """CPU time of a start, compared with the import of the two largest libraries."""
    with Served() as served:
        served.do(scenes.add_pages, 1, _CUSTOMERS, RECENT)
        served.do(scenes.fill_folkform)
        versions, idle, libraries = alternate(
            sizes.start_ups,
            version,
            lambda: customer_sync(served, "incremental", settings=QUICKLY),
            lambda: python(_LIBRARIES),
        )
        yield _compared("start-up: --version", versions, libraries)
        yield _compared("start-up: idle pass over one page", idle, libraries)
        for name, idle_rival in _rivals(served, sizes).items():
            yield _beside(name, [idle_rival() for _ in range(sizes.rounds)], idle)


def _rivals(served: Served, sizes: Sizes) -> dict[str, Callable[[], Run]]:
    """Idle passes of the rivals."""
    rivals = {"the guide": lambda: guide(served, "incremental")}
    if sizes.with_dlt:
        dlt_pipeline(served, threads=1)  # From the second run on it has nothing to do.
        rivals["dlt"] = lambda: dlt_pipeline(served, threads=1)
    return rivals


def _compared(title: str, ours: list[Run], libraries: list[Run]) -> Figure:
    ratio = Ratio.of([run.cpu for run in ours], [run.cpu for run in libraries])
    return Figure.of_ratio(title, ratio, _TARGET, ours=_cpu(ours), rival=f"`{_LIBRARIES}` {_cpu(libraries)}")


def _beside(name: str, runs: list[Run], ours: list[Run]) -> Figure:
    times = median(run.cpu for run in runs) / median(run.cpu for run in ours)
    return Figure(f"{name}: idle pass, beside ours", times, "×", ours=_cpu(ours), rival=_cpu(runs))


def _cpu(runs: list[Run]) -> str:
    return f"{median(run.cpu for run in runs) * 1000:,.0f} ms CPU"
