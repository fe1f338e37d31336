"""A million customers in one backfill: is the last thousand as cheap as the first?

The work is divided into tenths by what FolkForm has stored. The sandbox's own CPU time is measured separately.
"""

import os
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import asdict, astuple, dataclass
from itertools import pairwise
from pathlib import Path

from . import scenes
from .crowd import OLD
from .figure import AtMost, Figure
from .measured import Run
from .programs import QUICKLY, customer_sync
from .served import Served, cpu

_TENTHS = 10
_FLAT = AtMost(1.1)
_LARGEST = AtMost(90)


@dataclass(frozen=True, slots=True)
class _Moment:
    """Progress and resource usage at one moment of the run."""

    written: float
    seconds: float
    requests: float
    cpu: float
    sandbox_cpu: float
    memory: float
    """Present memory of the client in MiB."""


@dataclass(frozen=True, slots=True)
class Tenth:
    """The cost of 1,000 customers in one tenth of the work; *memory* is the client's at its end, in MiB."""

    seconds: float
    requests: float
    cpu: float
    sandbox_cpu: float
    memory: float


def figures(customers: int, pages: int) -> Iterator[Figure]:
    """The whole run, and its last tenth compared with its first."""
    with Served(on_disk=True) as served:
        served.do(scenes.add_pages, pages, customers // pages, OLD)
        progress = _Progress(served)
        run = customer_sync(served, "backfill", settings=QUICKLY, watch=progress.note)
        progress.end(run)
        differing = served.do(scenes.differing)
    tenths = list(progress.tenths(customers // pages * pages))
    title = f"{customers:,} customers, {pages} pages"
    speed = f"{customers / run.seconds:,.0f} customers/s"
    costs = [asdict(tenth) for tenth in tenths]
    yield Figure(f"{title}: one backfill", run.seconds / 60, "min", ours=speed, details=costs)
    yield Figure(f"{title}: missing or altered", differing, "", AtMost(0))
    yield Figure(f"{title}: memory at most", run.peak, "MiB", _LARGEST)
    for name, of in _COSTS.items():
        yield _flat(f"{title}: {name}", [of(tenth) for tenth in tenths], _FLAT)
    yield _flat(f"{title}: the sandbox's CPU seconds per 1,000", [tenth.sandbox_cpu for tenth in tenths], None)


def _flat(title: str, costs: list[float], target: AtMost | None) -> Figure:
    """The last tenth compared with the first."""
    first, last = costs[0], costs[-1]
    spread = f"{min(costs):,.2f}–{max(costs):,.2f}"
    return Figure(title, last / first, "×", target, f"last tenth {last:,.2f}", f"first {first:,.2f}", spread)


_COSTS: dict[str, Callable[[Tenth], float]] = {
    "requests per 1,000": lambda tenth: tenth.requests,
    "MiB of memory": lambda tenth: tenth.memory,
    "client CPU seconds per 1,000": lambda tenth: tenth.cpu,
    "seconds per 1,000": lambda tenth: tenth.seconds,
}


class _Progress:
    """Records the progress of a run at intervals."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._moments: list[_Moment] = []
        self._started = time.monotonic()
        served.do(scenes.forget_requests)

    def note(self, pid: int) -> None:
        """Records the client with this process number, and the sandbox."""
        self._add(_cpu_of(pid), _memory_of(pid))

    def end(self, run: Run) -> None:
        """The client has ended."""
        self._add(run.cpu, self._moments[-1].memory)

    def _add(self, client_cpu: float, memory: float) -> None:
        asked, seconds = self._served.do(scenes.asked), time.monotonic() - self._started
        if not asked.writes:
            self._moments.clear()  # The start-up is part of no tenth.
        self._moments.append(_Moment(asked.writes, seconds, asked.all, client_cpu, self._served.do(cpu), memory))

    def tenths(self, customers: int) -> Iterator[Tenth]:
        """The cost of 1,000 customers in each tenth of the work."""
        bounds = [self._moment_of(customers * number / _TENTHS) for number in range(_TENTHS + 1)]
        for start, end in pairwise(bounds):
            thousands = (end.written - start.written) / 1000
            yield Tenth(
                (end.seconds - start.seconds) / thousands,
                (end.requests - start.requests) / thousands,
                (end.cpu - start.cpu) / thousands,
                (end.sandbox_cpu - start.sandbox_cpu) / thousands,
                end.memory,
            )

    def _moment_of(self, written: float) -> _Moment:
        """The moment at which this number was written, interpolated."""
        index = max(bisect_left(self._moments, written, key=lambda moment: moment.written), 1)
        before, after = self._moments[index - 1 : index + 1]
        share = (written - before.written) / (after.written - before.written)
        return _Moment(*(a + share * (b - a) for a, b in zip(astuple(before), astuple(after), strict=True)))


def _cpu_of(pid: int) -> float:
    """CPU seconds of a process."""
    after_name = _proc(pid, "stat").rpartition(")")[2].split()
    user, system = int(after_name[11]), int(after_name[12])
    return (user + system) / os.sysconf("SC_CLK_TCK")


def _memory_of(pid: int) -> float:
    """Memory of a process in MiB."""
    pages = int(_proc(pid, "statm").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024**2


def _proc(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text(encoding="utf-8")
