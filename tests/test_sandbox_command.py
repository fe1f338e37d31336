"""`customer-sync sandbox`: every command can be tried without an account. (`demo` is tested in test_distribution.)"""

import signal
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from customer_sync.sandbox.folkform import ROLE_ID

from .conftest import Command, Outcome

_VARIABLES = 8
_SMALL = ("--port", "0", "--pages", "2", "--customers", "40")


@contextmanager
def _served(run: Command, *arguments: str) -> Iterator[tuple[dict[str, str], subprocess.Popen[str]]]:
    """The variables that `sandbox` prints, while it serves."""
    process = run.start(None, "sandbox", *arguments, PATH="/usr/bin:/bin")
    assert process.stdout
    variables: dict[str, str] = {}
    while len(variables) < _VARIABLES:
        line = process.stdout.readline()
        assert line, process.communicate()
        export, _, rest = line.strip().partition(" ")
        assert export == "export"
        name, _, variables[name] = rest.partition("=")
    yield variables, process
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        run.end(process)


def _documents(variables: dict[str, str]) -> int:
    headers = {"Authorization": f"Bearer {variables['FOLKFORM_TOKEN']}", "X-Active-Role-ID": ROLE_ID}
    answer = requests.get(f"{variables['FOLKFORM_BASE_URL']}/fb-customer/count", headers=headers, timeout=10)
    return int(answer.json()["data"])


def test_its_export_lines_work(run: Command) -> None:
    """With the lines that it prints both passes use it; Ctrl-C stops it with exit code 0."""
    with _served(run, *_SMALL) as (variables, process):
        assert run(None, "incremental", **variables).code == 0
        outcome = run(None, "backfill", "--json", **variables)
        assert (outcome.code, outcome.totals["pages"]) == (0, 2)
        assert _documents(variables) == 80
        process.send_signal(signal.SIGINT)
        ended = run.end(process)
    assert ended.code == 0
    assert "Traceback" not in ended.output


def test_its_export_lines_work_in_a_shell(run: Command) -> None:
    """A shell that evaluates its lines can run the passes, even where the command was not on its PATH."""
    with _served(run, *_SMALL) as (variables, _):
        lines = "\n".join(f"export {name}={value}" for name, value in variables.items())
        script = f"{lines}\ncustomer-sync backfill -q"
        shell = subprocess.run(
            ["/bin/sh", "-c", script], env=run.environment(None), capture_output=True, timeout=60, check=False
        )
        assert (shell.returncode, shell.stdout, shell.stderr) == (0, b"", b"")
        assert _documents(variables) == 80


def test_its_export_lines_sign_in(run: Command) -> None:
    """The lines have all that a sign-in through Firebase needs, instead of the bearer token."""
    with _served(run, *_SMALL) as (variables, _):
        del variables["FOLKFORM_TOKEN"]
        assert run(None, "backfill", "-q", **variables).code == 0


def test_its_data_survives(run: Command, tmp_path: Path) -> None:
    """`--data` keeps everything in a SQLite file that a user can open and that the next sandbox continues with."""
    file = tmp_path / "sandbox.db"
    with _served(run, *_SMALL, "--data", str(file)) as (variables, _):
        assert run(None, "backfill", **variables).code == 0
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as database:
        assert database.execute("SELECT count(*), count(DISTINCT pageId) FROM customers").fetchone() == (80, 2)
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()
    with _served(run, "--port", "0", "--data", str(file)) as (variables, _):
        assert _documents(variables) == 80
        assert run(None, "backfill", "--full", "--json", **variables).totals["upserted"] == 0


def test_a_port_in_use(run: Command) -> None:
    """A port in use is one error with a next step, exit code 2."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        outcome = run(None, "sandbox", "--port", port)
    _is_usage_error(outcome, port, "--port 0")


@pytest.mark.parametrize("wrong", ["notadatabase.db", "missing/sandbox.db", "."])
def test_a_file_that_cannot_be_used(run: Command, tmp_path: Path, wrong: str) -> None:
    """A `--data` file that cannot be used is one error, exit code 2."""
    (tmp_path / "notadatabase.db").write_text("a shopping list that is certainly no database\n" * 100)
    outcome = run(None, "sandbox", "--port", "0", "--data", str(tmp_path / wrong))
    _is_usage_error(outcome, str(tmp_path / wrong))


def _is_usage_error(outcome: Outcome, *parts: str) -> None:
    assert (outcome.code, outcome.out) == (2, "")
    assert "Traceback" not in outcome.err
    assert "itself failed" not in outcome.err
    assert all(part in outcome.err for part in parts)


@pytest.mark.parametrize("command", ["sandbox", "demo"])
@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
def test_without_the_extra(run: Command, tmp_path: Path, command: str, missing: str) -> None:
    """Without the extra both name the command that installs it, exit code 2; the passes do not need it."""
    (tmp_path / f"{missing}.py").write_text(
        f'raise ModuleNotFoundError("No module named {missing}", name="{missing}")\n'
    )
    outcome = run(None, command, PYTHONPATH=str(tmp_path))
    _is_usage_error(outcome, missing, "pip install '.[sandbox]'", "pipx install --force '.[sandbox]'")
    assert run(None, "incremental", "--help", PYTHONPATH=str(tmp_path)).code == 0
