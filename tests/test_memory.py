"""Peak memory, measured of the process: whatever the services answer, a pass at four pages at once stays small."""

import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from customer_sync.sandbox import Fault

from .conftest import Command, StartSandbox, fill_folkform

_LIMIT_MIB = 192
_POLL = 0.002
_LISTS, _FINDS = "/page_customers", "/find"


def peak_of(process: subprocess.Popen[str]) -> float:
    """MiB that the process held at most until its end."""
    peak = 0
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
        peak = max(peak, *map(int, re.findall(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)), 0)
        time.sleep(_POLL)
    return peak / 1024


@pytest.mark.parametrize(
    ("kind", "endpoint", "code"),
    [
        *((kind, _LISTS, 3) for kind in ("huge", "gzip_bomb", "gzip_twice", "many_values")),
        ("negative_chunk", _LISTS, 75),
        ("many_values", _FINDS, 3),
    ],
)
def test_hostile_answers_on_four_pages(
    sandbox: StartSandbox, run: Command, kind: Any, endpoint: str, code: int
) -> None:
    """Every answer of one call is hostile, on four pages at once."""
    box = sandbox(pages=4, customers=120)
    box.faults.add(Fault(kind, endpoint=endpoint, times=None))
    process = run.start(box, "backfill", "--json", "--max-runtime", "60s")
    peak = peak_of(process)
    outcome = run.end(process)
    assert (outcome.code, outcome.json["complete"]) == (code, False)
    assert peak < _LIMIT_MIB


@pytest.mark.parametrize("endpoint", [_LISTS, _FINDS])
def test_the_largest_answers_that_are_read(sandbox: StartSandbox, run: Command, endpoint: str) -> None:
    """Answers just below the limits, on four pages at once, are read and fit."""
    box = sandbox(pages=4, customers=300)
    fill_folkform(box)
    box.faults.add(Fault("many_values", endpoint=endpoint, times=None, size=130_000))
    process = run.start(box, "backfill", "--full", "--json", "--max-runtime", "60s")
    peak = peak_of(process)
    outcome = run.end(process)
    assert (outcome.code, outcome.json["complete"]) == (0, True)
    assert peak < _LIMIT_MIB
