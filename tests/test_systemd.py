"""deploy/systemd is used in production: systemd reads it, and its command lines are run as it would run them."""

import os
import pwd
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from customer_sync.config.readers import read_duration
from customer_sync.core.errors import ExitCode

from .conftest import COMMAND, Command, Outcome, StartSandbox
from .documents import section

UNITS = Path(__file__).parent.parent / "deploy" / "systemd"
COMMON = UNITS / "customer-sync-.service.d" / "common.conf"
PASSES = ("incremental", "backfill", "verify")
# systemd rates from 0 (safe) to 10; without any protection a service has 9.2.
_MAX_EXPOSURE = 15
_GRACE = 12


def _service(name: str) -> list[tuple[str, str]]:
    """The settings of a service in order, those that all three share last."""
    text = (UNITS / f"customer-sync-{name}.service").read_text(encoding="utf-8") + COMMON.read_text(encoding="utf-8")
    pairs = (line.partition("=") for line in text.splitlines() if re.match(r"[A-Z]", line))
    return [(setting, value) for setting, _, value in pairs]


def _all(name: str, setting: str) -> list[str]:
    return [value for one, value in _service(name) if one == setting]


def _only(name: str, setting: str) -> str:
    (value,) = _all(name, setting)
    return value


def _calendar(name: str) -> str:
    text = (UNITS / f"customer-sync-{name}.timer").read_text(encoding="utf-8")
    (schedule,) = re.findall(r"^OnCalendar=(.*)$", text, re.MULTILINE)
    return str(schedule)


def _seconds(span: str) -> int:
    """A time span such as `5h 10min`."""
    return sum(read_duration(part.replace("min", "m")) for part in span.split())


@pytest.fixture
def analyze(tmp_path: Path) -> list[str | Path]:
    """The command line of systemd-analyze(1), with the units where they name our command; skips where there is none."""
    found = shutil.which("systemd-analyze")
    if found is None:
        pytest.skip("systemd-analyze(1) is not installed")
    units = tmp_path / "units"
    shutil.copytree(UNITS, units)
    for unit in units.glob("*.service"):
        unit.write_text(unit.read_text().replace("=customer-sync ", f"={COMMAND} "))
    return ["env", f"SYSTEMD_UNIT_PATH={units}:", "SYSTEMD_LOG_LEVEL=warning", found]


def _ended(command: list[str | Path]) -> Outcome:
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return Outcome(ended.returncode, ended.stdout, ended.stderr)


def test_systemd_reads_the_units(analyze: list[str | Path], tmp_path: Path) -> None:
    """systemd has no complaint about any unit, nor about the mail that is switched on."""
    common = tmp_path / "units" / COMMON.relative_to(UNITS)
    common.write_text(common.read_text().replace("#OnFailure=", "OnFailure="))
    units = sorted(path for path in (tmp_path / "units").glob("*.*") if path.is_file())
    assert len(units) == 7
    verified = _ended([*analyze, "verify", "--man=no", *units])
    assert [line for line in verified.output.splitlines() if "customer-sync" in line or "mail-" in line] == []
    assert verified.code == 0


@pytest.mark.parametrize("name", PASSES)
def test_little_is_permitted(analyze: list[str | Path], tmp_path: Path, name: str) -> None:
    """The services are rated as well protected."""
    unit = tmp_path / "units" / f"customer-sync-{name}.service"
    rated = _ended([*analyze, "security", "--offline=true", f"--threshold={_MAX_EXPOSURE}", "--no-pager", unit])
    assert rated.code == 0, rated.output


def test_the_schedule() -> None:
    """Every five minutes an incremental, at two in Vietnam a backfill, on Sunday after it a verify."""
    assert {name: _calendar(name) for name in PASSES} == {
        "incremental": "*:0/5",
        "backfill": "*-*-* 02:00:00 Asia/Ho_Chi_Minh",
        "verify": "Sun *-*-* 08:00:00 Asia/Ho_Chi_Minh",
    }


@pytest.mark.parametrize("name", PASSES)
def test_systemd_knows_the_schedule(analyze: list[str | Path], name: str) -> None:
    """systemd finds a next time for each timer."""
    assert "Next elapse: " in _ended([*analyze, "calendar", _calendar(name)]).out


@pytest.mark.parametrize("name", PASSES)
def test_each_run_ends_by_itself(name: str) -> None:
    """The program's own limit is reached before systemd's, and a stop waits for what is in flight."""
    limit = read_duration(re.findall(r"--max-runtime (\w+)", _only(name, "ExecStart"))[0])
    assert limit + _GRACE < _seconds(_only(name, "TimeoutStartSec"))
    assert int(_only(name, "TimeoutStopSec")) > _GRACE


@pytest.mark.parametrize("name", PASSES)
def test_what_counts_as_a_failure(name: str) -> None:
    """A stop is no failure, an outage is one; what needs a person is never repeated."""
    assert _only(name, "SuccessExitStatus") == str(int(ExitCode.SIGTERM))
    repeated = _all(name, "Restart")
    assert repeated == ([] if name == "incremental" else ["on-failure"])
    if repeated:
        by_a_person = (ExitCode.PARTIAL, ExitCode.USAGE, ExitCode.REFUSED)
        assert _only(name, "RestartPreventExitStatus").split() == [str(int(code)) for code in by_a_person]


def _as_systemd_runs(name: str, run: Command, settings: Path) -> Outcome:
    """Runs the command line of a service with its environment, and no other."""
    credentials = run.home / "credentials"
    credentials.mkdir(exist_ok=True)
    (credentials / "FOLKFORM_TOKEN").write_text("folkform-sandbox-token\n")
    places = {"%d": str(credentials), "%S": str(run.home)}
    pairs = (value.partition("=") for value in _all(name, "Environment"))
    environment = {variable: re.sub(r"%.", lambda place: places[place[0]], value) for variable, _, value in pairs} | {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "USER": pwd.getpwuid(os.getuid()).pw_name,
        "LANG": "C.UTF-8",
    }
    command, *arguments = shlex.split(_only(name, "ExecStart"))
    assert command == COMMAND.name
    more = {key: value for key, value in os.environ.items() if key == "PYTHONPATH"}
    named = [str(settings) if one == "/etc/customer-sync.env" else one for one in arguments]
    state = run.home / _only(name, "StateDirectory")
    state.mkdir(mode=int(_only(name, "StateDirectoryMode"), 8), exist_ok=True)
    ended = subprocess.run(
        [COMMAND, *named], env=environment | more, capture_output=True, text=True, timeout=120, check=False
    )
    return Outcome(ended.returncode, ended.stdout, ended.stderr)


def test_the_command_lines_run(sandbox: StartSandbox, run: Command) -> None:
    """With the settings file and the credential, the three services copy every customer and find none missing."""
    box = sandbox(pages=2, customers=30)
    settings = run.home / "customer-sync.env"
    settings.write_text(
        f"FOLKFORM_BASE_URL='{box.environment['FOLKFORM_BASE_URL']}'\n"
        f"PANCAKE_BASE_URL='{box.environment['PANCAKE_BASE_URL']}'\n"
        "FOLKFORM_TOKEN_FILE='/etc/customer-sync.token'\n"
        "CUSTOMER_SYNC_LOCK_DIR='/var/lib/customer-sync'\n"
    )
    settings.chmod(0o600)
    for name in PASSES:
        outcome = _as_systemd_runs(name, run, settings)
        assert outcome.code == 0, outcome.output
    assert box.difference().equal
    assert list((run.home / "customer-sync").glob("*.lock"))


def test_the_mail_is_switched_on_as_documented(tmp_path: Path) -> None:
    """The commands of docs/operating.md leave both units with the mail on, to the address given."""
    shutil.copytree(UNITS, tmp_path / "system")
    (commands,) = re.findall(r"```sh\n(.*)```", section("docs/operating.md", "### Mail"), re.DOTALL)
    script = commands.replace("/etc/systemd/system", str(tmp_path / "system")).replace("systemctl daemon-reload", "")
    subprocess.run(["/bin/sh", "-ec", script], check=True)
    assert "\nOnFailure=mail-on-failure@%n.service\n" in (tmp_path / "system" / COMMON.relative_to(UNITS)).read_text()
    assert "\nEnvironment=MAILTO=you@example.com\n" in (tmp_path / "system" / "mail-on-failure@.service").read_text()


def test_the_steps_of_the_comment() -> None:
    """The user, the files and the directory that the comment makes are those that the services use, before a check."""
    comment = COMMON.read_text(encoding="utf-8")
    user = _only("incremental", "User")
    made = dict(re.findall(rf"install -m (\d+) -o {user} /dev/null (\S+)", comment))
    assert f"useradd --system --home-dir /var/lib/{_only('incremental', 'StateDirectory')} {user}" in comment
    assert set(made) == {"600"}
    directory, mode = _only("incremental", "StateDirectory"), _only("incremental", "StateDirectoryMode").lstrip("0")
    steps = [
        f"install -d -m {mode} -o {user} /var/lib/{directory}",
        f"sudo -u {user} customer-sync check",
        "enable --now",
    ]
    assert sorted(steps, key=comment.index) == steps
    files = re.findall(rf"install -m 600 -o {user} /dev/null (\S+)", comment)
    assert _only("incremental", "LoadCredential") == f"FOLKFORM_TOKEN:{files[1]}"
    assert all(_only(name, "ExecStart").endswith(f"--env-file {files[0]}") for name in PASSES)
    assert f"FOLKFORM_TOKEN_FILE='{files[1]}'" in comment
    assert f"CUSTOMER_SYNC_LOCK_DIR='/var/lib/{_only('incremental', 'StateDirectory')}'" in comment
