"""The first run against a current FolkForm: it needs an address and a token."""

import json
import re
from pathlib import Path

import pytest
import requests

from customer_sync.sandbox import Sandbox

from .conftest import Command, Outcome, StartSandbox, ago, only_page, people
from .in_process import Passes


def with_two_variables(run: Command, box: Sandbox, *arguments: str) -> Outcome:
    """Runs the command with FOLKFORM_BASE_URL and FOLKFORM_TOKEN (and the sandbox's Pancake)."""
    return run(None, *arguments, **box.environment)


@pytest.mark.parametrize("server", ["2026-04", "2025-12"])
def test_every_command(sandbox: StartSandbox, run: Command, server: str) -> None:
    """Each finds the role and the path automatically; `-v` logs the role once."""
    box = sandbox(server=server)
    page_id = only_page(box)
    box.pancake.add_customers(page_id, people(60, 60, 60))
    commands = [["incremental"], ["backfill"], ["verify"], ["verify", "--quick"], ["status"], ["check"]]
    for arguments in [*commands, ["explain", "p0007", "--page", page_id], ["backfill", "--page", page_id]]:
        outcome = with_two_variables(run, box, *arguments)
        assert outcome.code == 0, outcome.output
        if arguments != ["check"]:
            assert "FOLKFORM_ROLE_ID" not in outcome.err
            assert with_two_variables(run, box, *arguments, "-v").err.count("FOLKFORM_ROLE_ID is not set") == 1
    assert box.difference().equal
    assert box.other_folkform.documents(page_id) == []


def test_what_it_costs(sandbox: StartSandbox, run: Command) -> None:
    """A refusal, the roles, a missing path and its recheck: four requests more than with all settings."""
    box = sandbox()
    box.pancake.add_customers(only_page(box), people(60, 60, 60))
    run(box, "incremental")
    box.requests.clear()
    assert run(box, "incremental").code == 0
    usual = box.requests.count("folkform")
    box.requests.clear()
    assert with_two_variables(run, box, "incremental").code == 0
    assert box.requests.count("folkform") == usual + 4


def test_quiet_prints_nothing(sandbox: StartSandbox, run: Command) -> None:
    """With -q the role that was found is not logged."""
    outcome = with_two_variables(run, sandbox(customers=3), "incremental", "-q")
    assert (outcome.code, outcome.output) == (0, "")


def test_the_older_of_two_records_can_be_deleted(sandbox: StartSandbox, run: Command) -> None:
    """The call in docs/commands.md deletes the record whose id `verify` names."""
    box = sandbox()
    page_id = only_page(box)
    (one,) = people(1, 60, 60)
    box.pancake.add_customer(page_id, one)
    box.folkform.upsert({**one, "page_id": page_id})
    older = json.loads(box.folkform.insert({**one, "id": "older", "updated_at": ago(9000), "page_id": page_id}))
    assert older["id"] in run(box, "verify").err
    method, path = re.findall(
        r'curl -X (\w+) -H "Authorization: Bearer \$FOLKFORM_TOKEN" -H "X-Active-Role-ID: \$FOLKFORM_ROLE_ID" \\\n'
        r'  "\$FOLKFORM_BASE_URL(/\S+)\$RECORD_ID"',
        (Path(__file__).parents[1] / "docs" / "commands.md").read_text(encoding="utf-8"),
    )[0]
    variables = box.whole_environment
    headers = {"Authorization": f"Bearer {variables['FOLKFORM_TOKEN']}"}
    headers["X-Active-Role-ID"] = variables["FOLKFORM_ROLE_ID"]
    url = variables["FOLKFORM_BASE_URL"] + path + older["id"]
    assert requests.request(method, url, headers=headers, timeout=30).status_code == 200
    assert run(box, "verify").code == 0


def test_a_path_that_was_set_and_is_gone(sandbox: StartSandbox, run: Command) -> None:
    """Exit code 2, and the variable is named."""
    outcome = run(sandbox(customers=3), "incremental", FOLKFORM_CUSTOMER_PATH="/customer")
    assert outcome.code == 2
    assert "FOLKFORM_CUSTOMER_PATH is /customer" in outcome.err


@pytest.mark.parametrize(("poisoned", "alone"), [(3, False), (3, True), (60, False)])
@pytest.mark.parametrize("server", ["2026-04", "2025-12"])
def test_ids_that_are_taken_cost_three_requests(
    sandbox: StartSandbox, passes: Passes, poisoned: int, alone: bool, server: str
) -> None:
    """With and without other customers, in the first and in later runs, for any number of them."""
    box = sandbox(server=server)
    page_id = only_page(box)
    taken = people(poisoned, 60, 7, "taken")
    for customer in taken:
        box.folkform.upsert({**customer, "psid": f"their {customer['psid']}", "page_id": "another"})
    box.pancake.add_customers(page_id, [*people(120, 63, 7), *taken])
    first = passes(box, "incremental")
    assert (first.totals["failed"], first.totals["upserted"]) == (poisoned, 120)
    if alone:
        box.requests.clear()
        again = passes(box, "backfill", full=True)
        assert (again.totals["failed"], again.totals["upserted"]) == (poisoned, 0)
    asked = [request for request in box.requests.recent if "taken" in request.query.get("filter", "")]
    upserts = [request for request in asked if request.template.endswith("/upsert-one")]
    times = 3 if alone else 1  # A backfill writes in three parts.
    assert len(asked) <= 3 * poisoned * times
    assert len(upserts) <= 2 * poisoned * times
    assert box.requests.count("folkform") < 120 + 3 * poisoned * times + 30


def test_a_unique_psid(sandbox: StartSandbox, passes: Passes) -> None:
    """Where psid is unique in FolkForm, a second customer without a psid fails with FolkForm's reason."""
    box = sandbox(unique_psid="everywhere")
    without_psid = [one | {"psid": None} for one in people(3, 60, 60, "x")]
    box.pancake.add_customers(only_page(box), [*people(60, 600, 60), *without_psid])
    result = passes(box, "incremental")
    assert (result.totals["upserted"], result.totals["failed"]) == (61, 2)
    assert all("DB: E11000" in problem.reason for problem in result.pages[0].problems)


@pytest.mark.parametrize("command", ["incremental", "backfill"])
def test_no_false_warning_about_clocks(sandbox: StartSandbox, passes: Passes, command: str) -> None:
    """A run of more than a minute compares the clocks at each answer."""
    box = sandbox(customers=60, folkform_latency=0.02)
    result = passes(box, command)
    assert result.exit_code == 0
    assert [page.warnings for page in result.pages] == [[]]
