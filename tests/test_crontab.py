"""crontab.example is used in production: it is parsed as cron does, and its commands are run."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from customer_sync.config.readers import read_duration

from .conftest import COMMAND, Command, Outcome, StartSandbox

ROOT = Path(__file__).parent.parent
CRONTAB = ROOT / "crontab.example"
ENV_FILE = "/etc/customer-sync.env"
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


def _max_runtime(entry: _Entry) -> int:
    return read_duration(re.findall(r"--max-runtime (\w+)", entry.command)[0])


def _in_shell(entry: _Entry, run: Command, settings: Path) -> Outcome:
    """Runs an entry in the shell as cron does: with the variables of the crontab, and only HOME beside them."""
    variables = _variables() | {"PATH": f"{COMMAND.parent}:/usr/bin:/bin"}
    assert entry.command.count(ENV_FILE) == 1
    ended = subprocess.run(
        [variables["SHELL"], "-c", entry.command.replace(ENV_FILE, str(settings))],
        env={**variables, "HOME": str(run.home)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Outcome(ended.returncode, ended.stdout, ended.stderr)


def test_the_schedule() -> None:
    """Every five minutes an incremental, every night at two a backfill, every Sunday after it a verify; no more."""
    found = [(entry.schedule, *re.findall(r"customer-sync (\w+)", entry.command)) for entry in _entries()]
    assert found == [("*/5 * * * *", "incremental"), ("0 2 * * *", "backfill"), ("0 8 * * 0", "verify")]


def test_each_run_ends_before_the_next_one_begins() -> None:
    """Each entry has a time limit shorter than the pause before the next entry."""
    limits = [_max_runtime(entry) for entry in _entries()]
    assert all(limit < longest for limit, longest in zip(limits, (5 * 60, 6 * 3600, 18 * 3600), strict=True))


@pytest.mark.parametrize(
    ("document", "files"),
    [
        ("crontab.example", 1),
        ("README.md", 1),
        ("README.vi.md", 1),
        ("deploy/systemd/customer-sync-.service.d/common.conf", 2),
    ],
)
def test_the_steps_leave_a_filled_file_alone(tmp_path: Path, document: str, files: int) -> None:
    """The steps that make the settings file can follow each other: they make it once, and never empty it."""
    text = (ROOT / document).read_text(encoding="utf-8")
    made = re.findall(r"^#? *(.*\binstall -m 600 -o customer-sync (\S+) (/etc/\S+))", text, re.MULTILINE)
    assert len(made) == files
    for line, source, target in made:
        file, filled = tmp_path / Path(target).name, tmp_path / "customer-sync.env.source"
        filled.write_text("new\n")
        here = line.replace("sudo ", "").replace("-o customer-sync ", "").replace(target, str(file))
        step = here.replace(f" {source} ", f" {filled} ")
        for kept in ("new\n", "old\n"):
            subprocess.run(["/bin/sh", "-ec", step], check=True)
            assert file.read_text() == kept
            file.write_text("old\n")
    (user,) = re.findall(r"^#? *(?:id -u customer-sync \|\| )(?:sudo )?useradd .*", text, re.MULTILINE)
    assert text.index(user) < text.index(made[0][0])


def test_a_failure_sends_a_mail() -> None:
    """A mail is sent, and only when something failed."""
    assert "@" in _variables()["MAILTO"]
    assert all(re.search(r" -q\b", entry.command) for entry in _entries())


def test_cron_reads_it_whole() -> None:
    """Cron reads a bare % as the end of the line, and needs a line feed at the end of the file."""
    assert all("%" not in entry.command.replace(r"\%", "") for entry in _entries())
    assert CRONTAB.read_bytes().endswith(b"\n")


@pytest.mark.parametrize("entry", _entries(), ids=lambda entry: entry.schedule)
def test_each_command_runs(run: Command, entry: _Entry) -> None:
    """Each command line runs the program; without its settings file every mail names that file, and nothing runs."""
    settings = run.home / "customer-sync.env"
    for _ in range(2):
        outcome = _in_shell(entry, run, settings)
        assert (outcome.code, outcome.out) == (2, "")
        assert f"--env-file '{settings}' cannot be read (No such file or directory)" in outcome.err


def test_the_settings_file_is_made_for_one_user_and_read(run: Command) -> None:
    """The file is made as the crontab says, so that no other user can read it, and its settings are used."""
    settings = run.home / "customer-sync.env"
    ((mode, path),) = re.findall(r"install -m (\d+) -o [\w-]+ /dev/null (\S+)", CRONTAB.read_text(encoding="utf-8"))
    assert path == ENV_FILE
    subprocess.run(["install", "-m", mode, "/dev/null", settings], check=True)  # noqa: S607
    assert settings.stat().st_mode & 0o777 == 0o600
    settings.write_text("FOLKFORM_BASE_URL='not-an-address'\n")
    outcome = _in_shell(_entries()[0], run, settings)
    assert outcome.code == 2
    assert "'not-an-address'" in outcome.err


def test_a_week(sandbox: StartSandbox, run: Command) -> None:
    """The entries copy every customer, find none missing, and print nothing: no mail."""
    box = sandbox(pages=2, customers=30)
    settings = run.home / "customer-sync.env"
    settings.write_text(
        "".join(f"{name}='{value}'\n" for name, value in run.environment(box).items() if name != "PATH")
    )
    for entry in _entries():
        at_once = _Entry(entry.schedule, entry.command.replace("--jitter 20s", "--jitter 0"))
        assert _in_shell(at_once, run, settings) == Outcome(0, "", "")
    assert box.difference().equal
