"""A page may have any id: it is one segment of a path, and one word of every command that is proposed."""

import json
import subprocess

import pytest

from customer_sync.core.command_line import command, quoted
from customer_sync.sandbox import Sandbox

from .conftest import COMMAND, Command, StartSandbox, of_page, people

IDS = [".", "..", "...", "a..b", "%2e%2e", "x; touch pwned", "$(touch pwned)", "`touch pwned`", "a'b\"c", "-q"]
IDS += ["#x", "?", "*", "\\", "a\\'b", "line\nbreak", "\x1b[2J", "trang số 1", "\u202e"]


def _shop(start: StartSandbox, page_id: str) -> Sandbox:
    """A page with 60 customers in Pancake, beside an ordinary one."""
    box = start(pages=1)
    box.add_page(page_id)
    box.pancake.add_customers(page_id, of_page(page_id, people(60, 600, 60)))
    return box


@pytest.mark.parametrize("page_id", IDS)
def test_a_page_is_synced(sandbox: StartSandbox, run: Command, page_id: str) -> None:
    """Both services are asked about this page, also for its record and for a new token."""
    box = _shop(sandbox, page_id)
    box.folkform.set_page(page_id, pageAccessToken="a-dead-page-token")
    outcome = run(box, "incremental", "--json", "--page", page_id)
    assert (outcome.code, outcome.page(page_id)["upserted"]) == (0, 60)
    assert box.difference().equal


@pytest.mark.parametrize("page_id", IDS)
def test_the_command_runs_as_pasted(sandbox: StartSandbox, run: Command, page_id: str) -> None:
    """The remedy repairs this page, and the shell sees no command, pattern or option in its id."""
    box = _shop(sandbox, page_id)
    remedy = run(box, "verify", "--json", "--page", page_id).page(page_id)["remedy"]
    assert remedy.isprintable()
    if "incremental" in remedy:
        remedy = command("backfill", "--page", page_id)
    _paste(run, box, remedy)
    assert run(box, "verify", "--page", page_id).code == 0
    assert not (run.home / "pwned").exists()


@pytest.mark.parametrize("arguments", [["status"], ["verify", "--quick"], ["verify"], ["explain", "p0059"]])
def test_every_printed_command_is_quoted(sandbox: StartSandbox, run: Command, arguments: list[str]) -> None:
    """The commands in lines, findings and next steps, too."""
    page_id = "x; touch pwned; '"
    box = _shop(sandbox, page_id)
    box.folkform.set_page(page_id, isSync=False)
    box.folkform.upsert({**people(1, 600, 60, "other")[0], "page_id": page_id})
    output = run(box, *arguments, "--page", page_id).output
    assert f"--page {quoted(page_id)}" in output
    assert f"--page {page_id}" not in output
    logged = run(box, *arguments, "--page", page_id, "--log-format", "json").err
    assert not any(f"--page {page_id}" in json.loads(line).get("next_step", "") for line in logged.splitlines())


def _paste(run: Command, box: Sandbox, line: str) -> None:
    path = f"{COMMAND.parent}:/usr/bin:/bin"
    environment = {**run.environment(box), "PATH": path, "LC_ALL": "C.UTF-8"}
    subprocess.run(["/bin/bash", "-c", line], env=environment, cwd=run.home, check=True, capture_output=True)
