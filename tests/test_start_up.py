"""A start loads only what its command needs: cron starts one every five minutes. And the help fits a screen."""

import re
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


_COMMANDS = ["incremental", "backfill", "verify", "status", "explain", "check", "sandbox", "demo"]


@pytest.mark.parametrize("command", ["", *_COMMANDS])
def test_the_help_fits_a_screen(run: Command, command: str) -> None:
    """The help of a command is at most 40 lines of 80 columns, nothing is cut off, and it ends with an example."""
    outcome = run(None, *([command] if command else []), "-h", COLUMNS="80")
    lines = without_colours(outcome.out).splitlines()
    assert outcome.code == 0
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 80
    assert lines[-1].startswith(f"    customer-sync {command}")
    assert not re.search(r"<\w+>|\{PSID\}|\.\.\.$", outcome.out.partition("\n")[2])


def test_the_help_names_the_secrets(run: Command) -> None:
    """The first help names what a first run needs."""
    needed = ("FOLKFORM_BASE_URL", "FOLKFORM_TOKEN", "FOLKFORM_TOKEN_FILE", "FOLKFORM_EMAIL", "PANCAKE_ACCESS_TOKEN")
    assert all(variable in run(None, "-h").out for variable in needed)


@pytest.mark.parametrize(
    ("typed", "completed"),
    [("customer-sync ba", ["backfill"]), ("customer-sync backfill --re", ["--rewrite"]), ("customer-sync x", [])],
)
def test_bash_completes(run: Command, typed: str, completed: list[str]) -> None:
    """The script that `--show-completion` prints completes commands and options."""
    script = f"""
        customer-sync --show-completion > completion.sh && . ./completion.sh
        COMP_WORDS=({typed}) COMP_CWORD={typed.count(" ")}
        $(complete -p customer-sync | sed 's/.*-F *//') && printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    ended = subprocess.run(
        ["/bin/bash", "-c", script],
        env=run.environment(None),
        cwd=run.home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout.split() == completed, ended
