"""What a run does not need is not loaded: cron starts one every five minutes."""

import subprocess
import sys

import pytest

from .conftest import Command, StartSandbox, fill_folkform

# What a pass needs only where something went wrong, a terminal watches, or another command was meant.
_OTHERS = ["asyncio", "backoff", "pydantic", "dateutil", "rich.progress", "prometheus_client", "starlette"]
_OTHER_COMMANDS = [
    f"customer_sync.{room}" for room in ("verify", "status", "explain", "check", "demo", "bars", "metrics")
]


def _loaded(said: str) -> set[str]:
    """The modules that `-X importtime` tells of."""
    return {line.rpartition("|")[2].strip() for line in said.splitlines() if line.startswith("import time:")}


def _run(run: Command, *arguments: str, **environment: str) -> set[str]:
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "customer_sync", *arguments],
        env=run.environment(None) | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return _loaded(ended.stderr)


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["incremental", "--help"]])
def test_help_calls_nobody(run: Command, arguments: list[str]) -> None:
    """The version and the help need no HTTP."""
    loaded = _run(run, *arguments)
    assert "typer" in loaded
    assert not loaded & {"requests", "urllib3", "ssl", "customer_sync.http.session", "customer_sync.cli.passes"}


def test_a_pass_needs_no_more(sandbox: StartSandbox, run: Command) -> None:
    """A pass in which nothing goes wrong loads neither what others need nor what only trouble needs."""
    box = sandbox(customers=60)
    fill_folkform(box)
    loaded = _run(run, "incremental", **box.environment)
    assert "customer_sync.sync.passes" in loaded
    assert not loaded & {*_OTHERS, *_OTHER_COMMANDS}


def test_garbage_is_collected_while_it_works() -> None:
    """The collector rests while modules are loaded, and no longer."""
    program = """
import gc
from customer_sync.cli import commands
from customer_sync.output.options import OutputOptions
gc.disable()
raise SystemExit(commands.end(OutputOptions(), lambda terminal: not gc.isenabled()))
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
