"""A start loads only what its command needs: cron starts one every five minutes. And the help fits a screen."""

import subprocess
import sys

import pytest

from .conftest import Command, StartSandbox, fill_folkform, without_colours

_HTTP = {"requests", "urllib3", "ssl", "customer_sync.http.session"}
# What other commands, a terminal or an extra need.
_OTHERS = {"customer_sync.check.run", "customer_sync.cli.demo", "customer_sync.output.progress"}
_EXTRAS = {"prometheus_client", "starlette", "uvicorn"}


def _loaded(run: Command, *arguments: str, **environment: str) -> set[str]:
    """The modules that a run of the command loads."""
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "customer_sync", *arguments],
        env=run.environment(None, **environment),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    lines = [line for line in ended.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines}


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["incremental", "--help"]], ids=" ".join)
def test_the_help_needs_no_http(run: Command, arguments: list[str]) -> None:
    """Version and help load no HTTP library."""
    loaded = _loaded(run, *arguments)
    assert "typer" in loaded
    assert not loaded & _HTTP


def test_a_pass_needs_no_other_command(sandbox: StartSandbox, run: Command) -> None:
    """A pass without a terminal loads no other command, no progress display and no extra."""
    box = sandbox(customers=60)
    fill_folkform(box)
    loaded = _loaded(run, "incremental", **box.environment)
    assert loaded >= _HTTP
    assert not loaded & (_OTHERS | _EXTRAS)


@pytest.mark.parametrize("command", ["incremental", "backfill", "verify", "status", "explain", "check"])
def test_the_help_fits_a_screen(run: Command, command: str) -> None:
    """The help of a command is at most 40 lines of 80 columns."""
    outcome = run(None, command, "--help", COLUMNS="80")
    lines = without_colours(outcome.out).splitlines()
    assert outcome.code == 0
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 80
