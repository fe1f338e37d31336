"""The documents name every command, option, variable, exit code, metric and event, and none that does not exist."""

import re
from typing import Any

import pytest
import typer.main

from customer_sync.cli.app import app
from customer_sync.config.settings import LOG_FORMAT, SHARDS, declared
from customer_sync.core.errors import ExitCode
from customer_sync.results.page_result import Status

from .conftest import Command, StartSandbox
from .documents import DOCUMENTS, PRESENT, ROOT, code, rows, section, text_of

_MAIN: Any = typer.main.get_command(app)
_COMMANDS: dict[str, Any] = _MAIN.commands
# These lines have options of other programs, and these are such options in a sentence.
_IN_A_SENTENCE = {"--from-file", "--delete-emptydir-data"}
_OTHERS = re.compile(
    r"^.*\b(?:kubectl|docker|systemctl|systemd-creds|python -m tests\S*|pip|pipx|uvx|curl|useradd|git|promtool) .*$",
    re.MULTILINE,
)


def _options(command: Any) -> set[str]:
    names = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    return {name for name in names if name.startswith("-")} | {"--help", "-h"}


_OPTIONS = set().union(*map(_options, [_MAIN, *_COMMANDS.values()]))
_OF_OPTIONS = {
    variable
    for command in _COMMANDS.values()
    for parameter in command.params
    for variable in [getattr(parameter, "envvar", None)]
    if isinstance(variable, str)
}
_VARIABLES = {one.variable for one in declared().values()} | _OF_OPTIONS | {SHARDS, LOG_FORMAT}
_SECRET_FILES = {f"{one.variable}_FILE" for one in declared().values() if one.secret}


# Commands and options


@pytest.mark.parametrize("document", ["README.md", "README.vi.md", "docs/commands.md"])
def test_every_command(document: str) -> None:
    """Every command is named."""
    assert {name for name in _COMMANDS if f"customer-sync {name}" not in text_of(document)} == set()


def test_every_command_has_a_section() -> None:
    """docs/commands.md has a section for each command, and none for another."""
    assert set(re.findall(r"^### (\w+)$", text_of("docs/commands.md"), re.MULTILINE)) == set(_COMMANDS)


def _documented_options() -> dict[str, set[str]]:
    """What the table of options says: command → options."""
    documented: dict[str, set[str]] = {name: set() for name in ("customer-sync", *_COMMANDS)}
    for options, commands, _ in rows(section("docs/commands.md", "## Options")):
        names = commands.replace("passes", "incremental, backfill").split(", ")
        for name in documented if commands == "every command" else names:
            documented[name] |= {option.split()[0] for option in code(options)}
    return documented


@pytest.mark.parametrize("option", sorted(_OPTIONS))
def test_every_option(option: str) -> None:
    """The table of options has every option, with just the commands that take it."""
    commands = {"customer-sync": _MAIN, **_COMMANDS}
    takes = {name for name, command in commands.items() if option in _options(command)}
    assert {name for name, options in _documented_options().items() if option in options} == takes


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_option_exists(document: str) -> None:
    """Every option of ours in a document exists."""
    ours = _OTHERS.sub("", text_of(document))
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z]", ours)) - _OPTIONS - _IN_A_SENTENCE == set()


# Variables


@pytest.mark.parametrize("variable", sorted(_VARIABLES))
def test_every_variable(variable: str) -> None:
    """Every variable has a row in docs/operating.md, with its default."""
    (row,) = (row for row in rows(section("docs/operating.md", "## Settings")) if row[0] == f"`{variable}`")
    default = next((one.default for one in declared().values() if one.variable == variable), None)
    if default and "/tmp/" not in default:  # noqa: S108  The lock directory ends in the user's number.
        assert row[1].strip("`") == default


@pytest.mark.parametrize("document", PRESENT)
def test_every_variable_exists(document: str) -> None:
    """Every variable in a document is read."""
    named = set(re.findall(r"\b(?:CUSTOMER_SYNC|FOLKFORM|PANCAKE|FIREBASE)_[A-Z_]*[A-Z]\b", text_of(document)))
    assert named - _VARIABLES - _SECRET_FILES == set()


def test_the_six_settings() -> None:
    """README shows six settings, with the defaults of docs/operating.md."""
    shown = {(row[0], row[1]) for row in rows(section("README.md", "## The six settings that matter"))}
    assert len(shown) == 6
    assert shown <= {(row[0], row[1]) for row in rows(section("docs/operating.md", "## Settings"))}


# Exit codes, statuses, metrics, events, alerts


def test_every_exit_code() -> None:
    """The table of exit codes has every code, and no other."""
    cells = [row[0] for row in rows(section("docs/troubleshooting.md", "## Exit codes"))]
    assert [int(number) for cell in cells for number in cell.split(", ")] == sorted(map(int, ExitCode))


def test_every_status() -> None:
    """The table of statuses has every status, and no other."""
    table = rows(section("docs/troubleshooting.md", "## Status of a run or a page"))
    assert {name for row in table for name in code(row[0])} == {status.value for status in Status}


def test_every_metric(sandbox: StartSandbox, run: Command) -> None:
    """The table of metrics has every metric that the program writes, and no other."""
    box = sandbox(customers=3)
    for command in ("backfill", "verify"):
        assert run(box, command, CUSTOMER_SYNC_METRICS_FILE=str(run.home)).code == 0
    files = [path.read_text(encoding="utf-8") for path in run.home.glob("*.prom")]
    written = {name for text in files for name in re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE)}
    table = rows(section("docs/machine-readable.md", "## Prometheus"))
    assert {name for row in table for name in code(row[0])} == written


def test_every_event() -> None:
    """The table of events has every event that the program logs, and no other."""
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "customer_sync").rglob("*.py"))
    logged = set(re.findall(r'\bevent"?(?:: str)? ?[=:] ?"(\w+)"', sources)) | {"run_ended"}
    documented = {name for row in rows(section("docs/machine-readable.md", "## Logs")) for name in code(row[0])}
    assert {name for name in documented if not name.startswith("customer_")} == logged


def test_every_alert() -> None:
    """The table of alerts has every alert, and no other."""
    table = rows(section("docs/operating.md", "## Monitoring"))
    alerts = re.findall(r"^ +- alert: (\w+)$", text_of("deploy/alerts.yaml"), re.MULTILINE)
    assert [row[0].strip("`") for row in table] == list(dict.fromkeys(alerts))
