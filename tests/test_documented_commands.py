"""Every command line in the documents is one that the program takes, and those of a first run do what they say."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from customer_sync.cli.app import app

from .conftest import COMMAND, Command, Outcome, StartSandbox
from .documents import PRESENT, section, text_of

_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_AS_USER = r"(?:sudo -u \S+ )?"


def _blocks(text: str, *languages: str) -> list[str]:
    """The code blocks of these languages, without the indentation of a list."""
    found = _BLOCK.findall(text)
    return [re.sub(f"^{indent}", "", body, flags=re.MULTILINE) for indent, kind, body in found if kind in languages]


def _commands(document: str) -> Iterator[str]:
    """The command lines of ours in a document: in code blocks and in backticks."""
    text = text_of(document)
    for block in _blocks(text, "sh"):
        yield from re.findall(rf"^{_AS_USER}(customer-sync .+?)(?: +#.*| 2?[|&;>].*)?$", block, re.MULTILINE)
    for block in _blocks(text, "text", "console"):
        yield from re.findall(r"^\$ (customer-sync .+?)(?: +#.*)?$", block, re.MULTILINE)
    yield from re.findall(rf"`{_AS_USER}(customer-sync(?: [^`]+)?)`", _BLOCK.sub("", text))


_OURS = sorted({line.strip() for document in PRESENT for line in _commands(document)})


def test_there_are_some() -> None:
    """The documents have commands in blocks and in backticks."""
    assert {"customer-sync check", "customer-sync backfill --full", "customer-sync demo"} <= set(_OURS)


@pytest.mark.parametrize("line", _OURS)
def test_it_is_one_of_ours(line: str) -> None:
    """The program takes the command and its options."""
    words = [*shlex.split(line, comments=True)[1:], "--help"]
    if "--env-file" in words:  # It changes the environment of its process.
        ended = subprocess.run([COMMAND, *words], capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
    else:
        invoked = CliRunner().invoke(app, words)
        assert invoked.exit_code == 0, invoked.output


@pytest.mark.parametrize("document", PRESENT)
def test_the_shell_can_read_it(document: str) -> None:
    """Every block of shell commands is without a mistake of syntax."""
    for block in _blocks(text_of(document), "sh"):
        ended = subprocess.run(["/bin/sh", "-n"], input=block, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, block + ended.stderr


def _in_shell(run: Command, script: str, **environment: str) -> Outcome:
    """Runs a block line by line, ending at the first failure, where the command is on the path."""
    variables = run.environment(None, PATH=f"{COMMAND.parent}:/usr/bin:/bin", NO_PROXY="*", **environment)
    ended = subprocess.run(
        ["/bin/sh", "-euc", script],
        env=variables,
        cwd=run.home,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Outcome(ended.returncode, ended.stdout, ended.stderr)


@pytest.mark.parametrize("document", ["README.md", "README.vi.md"])
def test_the_first_run(sandbox: StartSandbox, run: Command, document: str) -> None:
    """README's settings file and its commands, in turn, leave both sides equal."""
    box = sandbox(pages=2, customers=60)
    blocks = _blocks(text_of(document), "sh")
    (settings,) = (block for block in blocks if block.startswith("FOLKFORM_"))
    (commands,) = (block for block in blocks if "--dry-run" in block)
    values = box.environment | box.sign_in_environment
    lines = [f"{name}='{values[name]}'" for name in re.findall(r"^(\w+)=", settings, re.MULTILINE)]
    file = run.home / "customer-sync.env"
    file.write_text("\n".join(lines), encoding="utf-8")
    file.chmod(0o600)
    services = {name: values[name] for name in ("PANCAKE_BASE_URL", "FIREBASE_BASE_URL")}
    outcome = _in_shell(run, commands, **services)
    assert outcome.code == 0, outcome.output
    assert box.difference().equal


def test_the_move_from_the_go_agent(sandbox: StartSandbox, run: Command) -> None:
    """The commands leave both sides equal."""
    box = sandbox(pages=2, customers=60)
    (commands,) = _blocks(section("docs/operating.md", "## Moving from the Go agent"), "sh")
    outcome = _in_shell(run, commands, **box.environment)
    assert outcome.code == 0, outcome.output
    assert box.difference().equal


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("jq")), reason="needs curl and jq")
def test_a_token_by_hand(sandbox: StartSandbox, run: Command) -> None:
    """The sign-in of docs/operating.md prints a token that FolkForm accepts, and no secret is in its command line."""
    box = sandbox(customers=3)
    (commands,) = _blocks(section("docs/operating.md", "### FolkForm's token"), "sh")
    assert "$FOLKFORM_PASSWORD" not in commands
    signed_in = _in_shell(run, commands, **(box.environment | box.sign_in_environment))
    assert signed_in.code == 0, signed_in.output
    assert run(box, "check", FOLKFORM_TOKEN=signed_in.out.strip()).code == 0
