"""What cron sees otherwise than whoever runs this: variables, the command, the time zone."""

import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from customer_sync.config.settings import variables
from customer_sync.core.clock import local_time
from customer_sync.results.findings import Report

COMMAND = "customer-sync"
_DAEMONS = frozenset({"cron", "crond", "anacron", "fcron"})
_EVERYBODYS = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_ZONE = "TZ"
# As crontab.example has them.
_FILE_VARIABLE, _FILE = "ENVIRONMENT", "/etc/customer-sync.env"
_PATH = "/usr/local/bin:/usr/bin:/bin"
_ASSIGNED = re.compile(r"^[ \t]*(?:export[ \t]+)?([A-Za-z_]\w*)=(.*)$", re.MULTILINE)


def check_cron(report: Report, environment: Mapping[str, str], now: float) -> None:
    """Warns of what is only here. Where cron itself, or Kubernetes, has started us nothing is."""
    if scheduler := _scheduler(environment):
        report.ok("environment", f"this run was started by {scheduler}: what it sees the passes see")
        return
    file = _settings_file(environment)
    assigned = _assigned(file)
    _check_variables(report, environment, file, assigned)
    _check_command(report)
    _check_zone(report, environment, assigned, now)


def _scheduler(environment: Mapping[str, str]) -> str:
    """Whose environment this is already; empty for nobody's. A terminal proves nothing: none is no cron."""
    if environment.get("KUBERNETES_SERVICE_HOST"):
        return "Kubernetes"
    return next((name for name in _ancestors() if name in _DAEMONS), "")


def _ancestors() -> Iterator[str]:
    """The names of the processes that we stem from, as far as /proc tells."""
    process = os.getppid()
    with suppress(OSError, ValueError):
        while process:
            before, _, after = Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")
            yield before.partition("(")[2]
            process = int(after.split()[1])


def _settings_file(environment: Mapping[str, str]) -> Path:
    named = environment.get(_FILE_VARIABLE, "")
    return Path(named if named.startswith("/") else _FILE)  # ENVIRONMENT=production is somebody else's.


def _assigned(file: Path) -> dict[str, str] | None:
    """The variables that cron's file sets, and their values; None where it cannot be read."""
    try:
        found = _ASSIGNED.findall(file.read_text(errors="replace"))
    except OSError:
        return None
    return {name: _unquoted(text) for name, text in found}


def _unquoted(text: str) -> str:
    """What a shell makes of the right side of an assignment, as far as that can be told without one."""
    try:
        return next(iter(shlex.split(text, comments=True)), "")
    except ValueError:
        return text


def _check_variables(
    report: Report, environment: Mapping[str, str], file: Path, assigned: Mapping[str, str] | None
) -> None:
    here = [name for name in _names() if environment.get(name)]
    only_here = [name for name in here if name not in (assigned or ())]
    others = [name for name in here if assigned and assigned.get(name, environment[name]) != environment[name]]
    if others:
        step = f"Which one is right? A run by hand and one of cron would differ; see {file}."
        report.warn("other values", f"{file} gives other values than this shell to: {', '.join(others)}", step)
    if not here:
        report.ok("variables", "none that matters is set here")
    elif not only_here:
        report.ok("variables", f"{file} sets all that are set here: {', '.join(here)}")
    else:
        step = f"Write them into a file that the crontab names as {_FILE_VARIABLE} (crontab.example), chmod 600."
        listed = ", ".join(only_here)
        detail = f"set here and not in {file}: {listed}"
        if assigned is None:
            detail = f"set here: {listed}; cron sees none of them by itself, and there is no {file} to be read"
        report.warn("variables", detail, step)


def _names() -> list[str]:
    """The variables that a run looks at, but for the time zone."""
    return [*variables(), *_EVERYBODYS, *(name.lower() for name in _EVERYBODYS)]


def _check_command(report: Report) -> None:
    ours, crons = own_path(), shutil.which(COMMAND, path=_PATH)
    step = f"Write PATH={ours.parent}:{_PATH} into the crontab, or the whole path into its lines."
    if crons is None:
        report.warn("command", f"{ours} is not on the PATH of crontab.example ({_PATH})", step)
    elif Path(crons).resolve() != ours.resolve():
        report.warn("command", f"cron would run {crons}, this one is {ours}", step)
    else:
        report.ok("command", f"{crons} is on the PATH of crontab.example")


def own_path() -> Path:
    """The command that runs now, or the one beside the interpreter that runs."""
    called = Path(sys.argv[0])
    return (called if called.name == COMMAND else Path(sys.executable).with_name(COMMAND)).absolute()


def _check_zone(report: Report, environment: Mapping[str, str], assigned: Mapping[str, str] | None, now: float) -> None:
    zone, offset = environment.get(_ZONE), local_time(now)[-5:]
    if zone and _ZONE not in (assigned or ()):
        step = "Set TZ in cron's file, too, or give --since and --until with a zone."
        report.warn("time zone", f"{zone} ({offset}) is set here only; cron keeps the machine's", step)
    else:
        report.ok("time zone", f"{offset}, and cron's, too")
