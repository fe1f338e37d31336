"""The README tells of everything there is, and of nothing there is not."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
import requests
import typer.main

from customer_sync.cli import app
from customer_sync.errors import ExitCode
from customer_sync.sandbox import Sandbox
from customer_sync.sandbox.faults import FaultKind
from customer_sync.settings import SHARDS, declared

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
_COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
_OPTIONS = {
    option
    for command in (typer.main.get_command(app), *_COMMANDS.values())
    for parameter in command.params
    for option in (*parameter.opts, *parameter.secondary_opts)
    if option.startswith("-")
} | {"--help", "-h"}
_VARIABLES = (
    {declaration["variable"] for declaration in declared().values()}
    | {
        variable
        for command in _COMMANDS.values()
        for parameter in command.params
        for variable in [getattr(parameter, "envvar", None)]
        if isinstance(variable, str)
    }
    | {SHARDS}
)
_SECRET_FILES = {f"{declaration['variable']}_FILE" for declaration in declared().values() if declaration["secret"]}


@pytest.mark.parametrize("command", sorted(_COMMANDS))
def test_every_command(command: str) -> None:
    """Every command is told."""
    assert f"customer-sync {command}" in README


@pytest.mark.parametrize("option", sorted(_OPTIONS - {"--help", "-h"}))
def test_every_option(option: str) -> None:
    """Every option of every command is told."""
    assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", README)


@pytest.mark.parametrize("variable", sorted(_VARIABLES))
def test_every_variable(variable: str) -> None:
    """Every setting's variable is told."""
    assert re.search(rf"\b{variable}\b", README)


@pytest.mark.parametrize("code", list(ExitCode), ids=lambda code: code.name)
def test_every_exit_code(code: ExitCode) -> None:
    """Every exit code has its row in the table."""
    assert re.search(rf"^\|[^|]*\b{int(code)}\b", README, re.MULTILINE)


def test_no_option_that_there_is_not() -> None:
    """No option is told that no command has."""
    told = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z]", README))
    assert told - _OPTIONS == set()


def test_no_variable_that_there_is_not() -> None:
    """No variable is told that is not read."""
    told = set(re.findall(r"\b(?:CUSTOMER_SYNC|FOLKFORM|PANCAKE|FIREBASE)_[A-Z_]*[A-Z]\b", README))
    assert told - _VARIABLES - _SECRET_FILES == set()


def test_its_links_lead_somewhere() -> None:
    """Every relative link names a file of the repository, every anchor one of its headings."""
    anchors = {
        re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.+)$", README, re.M)
    }
    for target in re.findall(r"\]\(([^)]+)\)", README):
        if target.startswith("#"):
            assert target[1:] in anchors
        elif "://" not in target:
            assert (Path(__file__).parent.parent / target.partition("#")[0]).exists()


_CURLS = re.findall(r"-X (\w+) \$URL(/sandbox/\w+)(?: -d '(.*?)')?", README)


@pytest.mark.parametrize(("method", "path", "body"), _CURLS, ids=lambda part: str(part)[:60])
def test_what_to_break_can_be_broken(served: Sandbox, method: str, path: str, body: str) -> None:
    """Every call to the sandbox that is told is one that it understands."""
    answer = requests.request(method, served.url + path, data=body.encode(), timeout=30)
    assert answer.status_code == 200, answer.text
    assert requests.post(f"{served.url}/sandbox/reset", timeout=30).status_code == 200


def test_every_kind_of_fault_is_told_or_alike() -> None:
    """The kinds that the table leaves out are variants of those that it shows."""
    told = set(re.findall(r'"kind": "(\w+)"', README))
    assert set(get_args(FaultKind)) - told == {"error_code", "redirect", "huge", "broken_utf8", "drip_body"}


@pytest.fixture(scope="module")
def served() -> Iterator[Sandbox]:
    """One sandbox, put right after each call."""
    with Sandbox(pages=1, customers=1) as sandbox:
        yield sandbox
