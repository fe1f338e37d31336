"""crontab.example is what stands in production: it is parsed as cron does, and its commands are run."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from .conftest import COMMAND, Command

CRONTAB = Path(__file__).parent.parent / "crontab.example"
_VARIABLE = re.compile(r"[A-Z_]+ *=")


@dataclass(frozen=True)
class _Entry:
    schedule: str
    command: str


def _lines() -> list[str]:
    lines = [line.strip() for line in CRONTAB.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def _variables() -> dict[str, str]:
    pairs = (line.partition("=") for line in _lines() if _VARIABLE.match(line))
    return {name.strip(): value.strip().strip("\"'") for name, _, value in pairs}


def _entries() -> list[_Entry]:
    fields = [line.split(maxsplit=5) for line in _lines() if not _VARIABLE.match(line)]
    return [_Entry(" ".join(line[:5]), line[5]) for line in fields]


def test_the_schedule() -> None:
    """Every five minutes an incremental, every night at two a backfill, silent when nothing failed; nothing else."""
    found = [(entry.schedule, *re.findall(r"customer-sync (\w+).* (-q)\b", entry.command)) for entry in _entries()]
    assert found == [("*/5 * * * *", ("incremental", "-q")), ("0 2 * * *", ("backfill", "-q"))]


def test_cron_reads_it_whole() -> None:
    """Cron takes a bare % for the end of the line, and wants a line feed at the end of the file."""
    assert all("%" not in entry.command.replace(r"\%", "") for entry in _entries())
    assert CRONTAB.read_bytes().endswith(b"\n")


@pytest.mark.parametrize("entry", _entries(), ids=lambda entry: entry.schedule)
def test_each_command_runs(run: Command, entry: _Entry, tmp_path: Path) -> None:
    """Each command line, handed to the shell as cron does, reaches the program, with and without its settings file."""
    file = tmp_path / "customer-sync.env"
    for text in (None, "FOLKFORM_BASE_URL=http://127.0.0.1:1/api/v1\n"):
        if text:
            file.write_text(text)
        variables = {name: value for name, value in _variables().items() if name != "PATH"}
        if "ENVIRONMENT" in variables:
            variables["ENVIRONMENT"] = str(file)
        path = f"{COMMAND.parent}:/usr/bin:/bin"
        shell = subprocess.run(
            [variables.get("SHELL", "/bin/sh"), "-c", entry.command + " --help"],
            env={**variables, "PATH": path, "HOME": str(run.home)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (shell.returncode, shell.stderr) == (0, "")
        assert "Usage: customer-sync" in shell.stdout


def test_the_environment_file_is_read(run: Command, tmp_path: Path) -> None:
    """What stands in the environment file reaches the program."""
    file = tmp_path / "customer-sync.env"
    file.write_text("FOLKFORM_BASE_URL=not-an-address\n")
    entry = _entries()[0]
    shell = subprocess.run(
        ["/bin/sh", "-c", entry.command],
        env={"ENVIRONMENT": str(file), "PATH": f"{COMMAND.parent}:/usr/bin:/bin", "HOME": str(run.home)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert shell.returncode == 2
    assert "'not-an-address'" in shell.stderr
