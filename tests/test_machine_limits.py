"""A machine that gives the process few threads or little memory: the run ends with a reason, and holds no lock."""

import json
import resource
import subprocess
from pathlib import Path

import pytest

from customer_sync.core.clock import Clock
from customer_sync.core.locks import PageLocks

from .conftest import COMMAND, Command, StartSandbox

_MIB = 2**20
_STACK = 256 * _MIB


@pytest.mark.parametrize("threads", [1, 3, 5, 10, 30])
def test_a_thread_that_cannot_start(sandbox: StartSandbox, run: Command, tmp_path: Path, threads: int) -> None:
    """The address space is enough for so many stacks, about: the run ends, complete or with its reason."""
    box = sandbox(pages=3, customers=150)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_STACK, (_STACK, _STACK))
        memory = 400 * _MIB + threads * _STACK
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))

    process = subprocess.Popen(
        [COMMAND, "backfill", "--json"],
        env={**run.environment(box), "MALLOC_ARENA_MAX": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=limit,  # noqa: PLW1509
    )
    try:
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode in (0, 1, 75), err
    assert (process.returncode == 0) == bool(out and json.loads(out)["complete"])
    assert "customer-sync itself" not in out + err
    for page_id in box.pancake.page_ids():
        assert PageLocks(tmp_path / "locks", Clock()).holders(("incremental", "backfill"), page_id) == []
