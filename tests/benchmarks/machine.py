"""The machine of a measurement, and its other load."""

import os
import platform
import resource
import time
from pathlib import Path
from typing import Any


class Machine:
    """This machine, observed from now on."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._date = time.strftime("%Y-%m-%d %H:%M %Z")
        self._busy = _busy_seconds()
        self._own = _own_seconds()

    def about(self) -> dict[str, Any]:
        """Its size, and how many cores other programs used."""
        others = _busy_seconds() - self._busy - (_own_seconds() - self._own)
        return {
            "date": self._date,
            "minutes": round((time.monotonic() - self._started) / 60, 1),
            "cores": os.cpu_count(),
            "kept busy by others": round(max(others, 0.0) / (time.monotonic() - self._started), 2),
            "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1024**3:.0f} GiB",
            "python": platform.python_version(),
        }


def _busy_seconds() -> float:
    """CPU seconds of all cores since the machine's start."""
    user, nice, system, _idle, _waiting, *interrupts = Path("/proc/stat").read_text(encoding="utf-8").split()[1:9]
    return sum(map(int, (user, nice, system, *interrupts))) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    """CPU seconds of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
