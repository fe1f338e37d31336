"""The measured programs, each run on a sandbox in a clean environment."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from . import scenes
from .measured import Run, run
from .served import Served, cpu

WORKERS = 16
# Counts and growth do not depend on Pancake's rate limit.
QUICKLY = {"CUSTOMER_SYNC_PANCAKE_RPS": "1000"}
_COMMAND = Path(sys.executable).parent / "customer-sync"
_RIVALS = Path(__file__).parent / "rivals"
_RIVALS_PYTHON = Path(__file__).parents[2] / ".venv-rivals" / "bin" / "python"


def customer_sync(
    served: Served,
    *arguments: str,
    settings: Mapping[str, str],
    watch: Callable[[int], None] | None = None,
    may_fail: bool = False,
) -> Run:
    """customer-sync; *settings* are variables, *watch* is called with its process number while it runs."""
    lock_dir = {"CUSTOMER_SYNC_LOCK_DIR": str(served.home)}
    return _run_on(served, [_COMMAND, *arguments], {**lock_dir, **settings}, watch, may_fail=may_fail)


def bare_pool(served: Served, documents: Path) -> Run:
    """A thread pool that posts the documents of a file, and nothing else."""
    return _run_on(served, [sys.executable, _RIVALS / "bare_pool.py", documents, str(WORKERS)])


def guide(served: Served, name: str) -> Run:
    """The guide's rules, one request at a time; *name* is a pass."""
    return _run_on(served, [sys.executable, _RIVALS / "guide.py", name])


def dlt_pipeline(served: Served, threads: int) -> Run:
    """A dlt pipeline for the first page; its state is in the sandbox's home."""
    (page_id, token), *_ = served.do(scenes.pages_with_tokens).items()
    settings = {
        "PANCAKE_PAGE_TOKEN": token,
        "DLT_DATA_DIR": str(served.home),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
    }
    return _run_on(served, [_RIVALS_PYTHON, _RIVALS / "dlt_pipeline.py", page_id, str(threads)], settings)


def has_dlt() -> bool:
    """Whether the rivals' environment is installed."""
    return _RIVALS_PYTHON.exists()


def python(code: str) -> Run:
    """A Python interpreter that runs one line."""
    return run([sys.executable, "-c", code], _clean(Path.cwd()))


def version() -> Run:
    """`customer-sync --version`."""
    return run([_COMMAND, "--version"], _clean(Path.cwd()))


def _run_on(
    served: Served,
    command: list[str | Path],
    settings: Mapping[str, str] | None = None,
    watch: Callable[[int], None] | None = None,
    *,
    may_fail: bool = False,
) -> Run:
    before = served.do(cpu)
    ran = run(command, {**_clean(served.home), **served.environment, **(settings or {})}, watch, may_fail=may_fail)
    return replace(ran, sandbox_cpu=served.do(cpu) - before)


def _clean(home: Path) -> dict[str, str]:
    """An environment without this machine's settings."""
    return {"PATH": os.environ["PATH"], "HOME": str(home)}
