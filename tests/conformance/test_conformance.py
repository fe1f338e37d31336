"""The embedded FolkForm answers every recorded question as each of the two real servers did."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from customer_sync.sandbox import Sandbox
from customer_sync.sandbox.folkform import ROLE_ID, TOKEN, Access, Role
from tests.conformance.server import RECORDED, Server, differences
from tests.conftest import StartSandbox

ROOT = Path(__file__).parents[2]


def program(box: Sandbox, *servers: str) -> subprocess.CompletedProcess[str]:
    """`make conformance`, run on a sandbox."""
    command = [sys.executable, "-m", "tests.conformance", box.environment["FOLKFORM_BASE_URL"], *servers]
    environment = {"PATH": os.environ["PATH"], "FOLKFORM_TOKEN": TOKEN}
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)


def test_the_recorded_servers() -> None:
    """Both servers were asked the same 63 questions."""
    assert RECORDED.keys() == {"2025-12", "2026-04"}
    assert {len(answers) for answers in RECORDED.values()} == {63}


@pytest.mark.parametrize("server", RECORDED)
def test_63_of_63(sandbox: StartSandbox, server: str) -> None:
    """Every answer of the embedded FolkForm is that server's."""
    box = sandbox(server=server)
    answers = Server(box.environment["FOLKFORM_BASE_URL"], TOKEN, ROLE_ID).answers("1700000000000")
    assert answers.keys() == RECORDED[server].keys()
    assert differences(answers, server) == {}


def test_the_program_finds_path_and_role(sandbox: StartSandbox) -> None:
    """An address and a token are enough; it prints first what it writes."""
    box = sandbox()
    ended = program(box, "2026-04")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    first, last = ended.stdout.splitlines()
    assert "conformance-" in first
    assert last.endswith(", 0 differences")
    assert all(page.startswith("conformance-") for page in box.folkform.page_ids())


def test_the_program_shows_what_is_otherwise(sandbox: StartSandbox) -> None:
    """Each difference is printed with the recorded answer, exit 1."""
    ended = program(sandbox(server="2025-12"), "2026-04")
    assert ended.returncode == 1
    _, *shown, last = ended.stdout.splitlines()
    assert last.endswith(", 3 differences")
    assert json.loads(shown[1].partition(": ")[2]) == RECORDED["2026-04"]["wrong token, short"]


def test_the_program_needs_one_role(sandbox: StartSandbox) -> None:
    """Where the user has several roles, FOLKFORM_ROLE_ID is required."""
    box = sandbox()
    box.folkform.tokens[TOKEN] = Access(roles=(Role(), Role("65f0c0ffee0000000000bee2", "Reader")))
    ended = program(box)
    assert ended.returncode == 2
    assert ROLE_ID in ended.stderr
