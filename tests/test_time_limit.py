"""How a pass that its time limit ended is reported: in good order it is `stopped` and 0; in vain it is 75."""

import time
from typing import Any

import pytest

from customer_sync.sandbox import Fault

from .conftest import Command, StartSandbox, only_page, people

_UPSERTS, _LISTS = "/upsert-one", "/page_customers"


def test_in_good_order(sandbox: StartSandbox, run: Command) -> None:
    """Some were stored, and every call was answered: exit code 0, and a status of its own."""
    box = sandbox(folkform_latency=0.1)
    box.pancake.add_customers(only_page(box), people(400, 60, 60))
    outcome = run(box, "incremental", "--json", "--max-runtime", "3s", CUSTOMER_SYNC_WORKERS="2")
    (page,) = outcome.json["pages"]
    assert (outcome.code, outcome.json["status"], page["status"]) == (0, "stopped", "stopped")
    assert (outcome.json["complete"], bool(outcome.json["stopped"])) == (False, True)
    assert 0 < outcome.totals["upserted"] < 400
    plain = run(box, "incremental", "--max-runtime", "1s", CUSTOMER_SYNC_WORKERS="2")
    assert (plain.code, "interrupted" in plain.output) == (0, False)


@pytest.mark.parametrize(
    ("endpoint", "skip", "service"),
    [
        pytest.param(_UPSERTS, 0, "FolkForm", id="every upsert"),
        pytest.param(_UPSERTS, 20, "FolkForm", id="later upserts"),
        pytest.param(_LISTS, 3, "Pancake", id="later lists"),
    ],
)
@pytest.mark.parametrize(
    "fault", [{"kind": "hang"}, {"kind": "status", "status": 503}, {"kind": "reset"}], ids=["hang", "503", "reset"]
)
def test_calls_that_are_not_answered(
    sandbox: StartSandbox, run: Command, endpoint: str, skip: int, service: str, fault: dict[str, Any]
) -> None:
    """The time limit comes while calls go unanswered: exit code 75, and the service is named."""
    box = sandbox()
    box.pancake.add_customers(only_page(box), people(400, 60, 20_000))
    box.faults.add(Fault(**fault, endpoint=endpoint, times=None, skip=skip))
    began = time.monotonic()
    outcome = run(box, "backfill", "--json", "--max-runtime", "3s", CUSTOMER_SYNC_TIMEOUT="1")
    assert time.monotonic() - began < 15
    assert (outcome.code, outcome.json["complete"]) == (75, False)
    assert service in (outcome.json["stopped"] or outcome.json["pages"][0]["error"])


def test_nothing_stored_of_what_was_read(sandbox: StartSandbox, run: Command) -> None:
    """Customers were read, none was stored or found unchanged: exit code 75, whatever the calls were answered."""
    box = sandbox()
    box.pancake.add_customers(only_page(box), people(40, 60, 60))
    box.faults.add(Fault("status", status=429, endpoint=_UPSERTS, times=None))
    outcome = run(box, "incremental", "--json", "--max-runtime", "3s")
    assert (outcome.code, outcome.json["status"], outcome.totals["upserted"]) == (75, "stopped", 0)


def test_a_429_goes_on(sandbox: StartSandbox, run: Command) -> None:
    """Pancake accepts a few lists, then answers 429 without a hint for longer than usual retries: the pass goes on."""
    box = sandbox(customers=300)
    box.faults.add(Fault("status", service="pancake", status=429, skip=2, times=5))
    outcome = run(box, "incremental", "--json", "--max-runtime", "60s")
    assert (outcome.code, outcome.json["complete"]) == (0, True)
