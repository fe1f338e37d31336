"""The documents name every command, option, variable and exit code, and none that does not exist."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
import requests
import typer.main

from customer_sync.cli.app import app
from customer_sync.config.settings import SHARDS, declared
from customer_sync.core.errors import ExitCode
from customer_sync.sandbox import Sandbox
from customer_sync.sandbox.faults import FaultKind

ROOT = Path(__file__).parent.parent
DOCUMENTS = ["README.md", "README.vi.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/machines.md"]
README, VIETNAMESE, CONTRIBUTING, *_ = ((ROOT / name).read_text(encoding="utf-8") for name in DOCUMENTS)
_COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
_OPTIONS = {
    option
    for command in (typer.main.get_command(app), *_COMMANDS.values())
    for parameter in command.params
    for option in (*parameter.opts, *parameter.secondary_opts)
    if option.startswith("-")
} | {"--help", "-h"}
_VARIABLES = (
    {declaration.variable for declaration in declared().values()}
    | {
        variable
        for command in _COMMANDS.values()
        for parameter in command.params
        for variable in [getattr(parameter, "envvar", None)]
        if isinstance(variable, str)
    }
    | {SHARDS}
)
_SECRET_FILES = {f"{declaration.variable}_FILE" for declaration in declared().values() if declaration.secret}


@pytest.mark.parametrize("command", sorted(_COMMANDS))
def test_every_command(command: str) -> None:
    """Every command is in both languages."""
    assert f"customer-sync {command}" in README
    assert f"customer-sync {command}" in VIETNAMESE


@pytest.mark.parametrize("option", sorted(_OPTIONS - {"--help", "-h"}))
def test_every_option(option: str) -> None:
    """Every option of every command is in README."""
    assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", README)


@pytest.mark.parametrize("variable", sorted(_VARIABLES))
def test_every_variable(variable: str) -> None:
    """Every variable is in README, with its default."""
    assert re.search(rf"\b{variable}\b", README)
    default = next((one.default for one in declared().values() if one.variable == variable), None)
    if default and "/tmp/" not in default:  # noqa: S108  The lock directory ends in the user's number.
        assert re.search(rf"^\| `{variable}` \| `?{re.escape(default)}`? \|", README, re.MULTILINE)


@pytest.mark.parametrize("code", list(ExitCode), ids=lambda code: code.name)
def test_every_exit_code(code: ExitCode) -> None:
    """Every exit code has a row in the tables of both languages."""
    assert re.search(rf"^\|[^|]*\b{int(code)}\b", README, re.MULTILINE)
    assert re.search(rf"^\|[^|]*\b{int(code)}\b", VIETNAMESE, re.MULTILINE)


def _text(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def test_it_can_be_read_at_one_sitting() -> None:
    """The way in stays short: fewer than 400 lines."""
    assert len(README.splitlines()) < 400


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_option_exists(document: str) -> None:
    """Every option in a document exists."""
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z]", _text(document)))
    assert named - _OPTIONS == set()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_variable_exists(document: str) -> None:
    """Every variable in a document is read."""
    named = set(re.findall(r"\b(?:CUSTOMER_SYNC|FOLKFORM|PANCAKE|FIREBASE)_[A-Z_]*[A-Z]\b", _text(document)))
    assert named - _VARIABLES - _SECRET_FILES == set()


def test_both_languages_explain_the_same_messages() -> None:
    """Each message that README explains is explained in Vietnamese, with the same exit code."""
    sections = (
        text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
        for text, title in ((README, "When something is wrong"), (VIETNAMESE, "Khi có gì không ổn"))
    )
    english, vietnamese = (re.findall(r"^\| (`[^|]+`) \| (\d+) \|", section, re.MULTILINE) for section in sections)
    assert english
    assert vietnamese == english


def test_both_languages_lead_to_each_other() -> None:
    """Each language links to the other at its top."""
    assert "](README.vi.md)" in "".join(README.splitlines()[:6])
    assert "](README.md)" in "".join(VIETNAMESE.splitlines()[:6])


def _anchors(text: str) -> set[str]:
    """The anchors that GitHub makes of the headings."""
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.+)$", text, re.M)}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links(document: str) -> None:
    """Every relative link names a file of the repository, every anchor a heading of that file."""
    for target in re.findall(r"\]\(([^)]+)\)", _text(document)):
        if "://" not in target:
            name, _, anchor = target.partition("#")
            file = (ROOT / document).parent / name if name else ROOT / document
            assert file.exists(), target
            assert not anchor or anchor in _anchors(file.read_text(encoding="utf-8")), target


def test_every_make_target() -> None:
    """CONTRIBUTING names the targets of `make`."""
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:\$ |`)make ([a-z-]+)", README + CONTRIBUTING))
    assert named <= targets
    assert {
        "demo",
        "sandbox",
        "test",
        "test-cron",
        "histories",
        "acceptance",
        "kills",
        "mutants",
        "check",
        "record",
    } <= named


def test_every_package() -> None:
    """CONTRIBUTING's picture has every package."""
    section = CONTRIBUTING.partition("\n## The packages\n")[2].partition("\n## ")[0]
    packages = {path.parent.name for path in (ROOT / "customer_sync").glob("*/__init__.py")}
    assert {name for name in packages if not re.search(rf"\b{name}\b", section)} == set()


_CURLS = re.findall(r"-X (\w+) \$URL(/sandbox/\w+)(?: -d '(.*?)')?", CONTRIBUTING)


@pytest.mark.parametrize(("method", "path", "body"), _CURLS, ids=lambda part: str(part)[:60])
def test_what_to_break_can_be_broken(served: Sandbox, method: str, path: str, body: str) -> None:
    """The sandbox accepts every call that CONTRIBUTING shows."""
    answer = requests.request(method, served.url + path, data=body.encode(), timeout=30)
    assert answer.status_code == 200, answer.text
    assert requests.post(f"{served.url}/sandbox/reset", timeout=30).status_code == 200


def test_every_kind_of_fault() -> None:
    """CONTRIBUTING shows every kind of fault, except variants of those that it shows."""
    named = set(re.findall(r'"kind": "(\w+)"', CONTRIBUTING))
    assert set(get_args(FaultKind)) - named == {
        *("error_code", "redirect", "huge", "broken_utf8", "drip_body", "gzip_twice", "negative_chunk", "many_values")
    }


@pytest.fixture(scope="module")
def served() -> Iterator[Sandbox]:
    """One sandbox, reset after each call."""
    with Sandbox(pages=1, customers=1) as sandbox:
        yield sandbox
