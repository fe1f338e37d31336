"""How much of FolkForm's limit (`X-RateLimit-*` headers) a pass uses, and whether it exceeds it."""

from collections.abc import Iterator
from dataclasses import dataclass

from . import scenes
from .crowd import OLD
from .figure import AtLeast, AtMost, Figure
from .programs import QUICKLY, customer_sync
from .served import Served
from .sizes import Sizes

# Short, for several windows; but the headers have whole seconds, which shorter ones would measure.
_WINDOW = 3.0
_TOO_MANY = 429


@dataclass(slots=True)
class _Window:
    start: float
    used: int = 0


def figures(sizes: Sizes) -> Iterator[Figure]:
    """A backfill over several windows; the last one, which ends with the work, does not count."""
    with Served({"folkform_limit": sizes.limit, "folkform_window": _WINDOW}) as served:
        served.do(scenes.add_pages, 1, int(sizes.limit * (sizes.windows - 0.5)), OLD)
        customer_sync(served, "backfill", settings=QUICKLY)
        requests = served.do(scenes.folkform_requests)
    *whole, last = _windows([time for time, _ in requests])
    allowed = sizes.limit * (last.start - whole[0].start) / _WINDOW
    share = sum(window.used for window in whole) / allowed
    title = f"FolkForm's limit, {sizes.limit} in {_WINDOW:g} s"
    late = (last.start - whole[0].start) / len(whole) - _WINDOW
    note = f"{len(whole)} windows, each begun {late * 1000:.0f} ms after the last one's end"
    yield Figure(f"{title}: used of what is allowed", share * 100, "%", AtLeast(95), note=note)
    yield Figure(f"{title}: refused with 429", sum(status == _TOO_MANY for _, status in requests), "", AtMost(0))


def _windows(times: list[float]) -> list[_Window]:
    """FolkForm's windows: each begins with the first request after the end of the previous one."""
    windows: list[_Window] = []
    for time in times:
        if not windows or time >= windows[-1].start + _WINDOW:
            windows.append(_Window(time))
        windows[-1].used += 1
    return windows
