"""FolkForm and Pancake going away, in the middle and for a while: no try storm, no false mark, nobody lost."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from customer_sync.core.errors import ExitCode, Unreachable
from customer_sync.http.session import TRIES
from customer_sync.results.page_result import Status
from customer_sync.sandbox import Sandbox
from customer_sync.sandbox.faults import Fault
from customer_sync.sync.passes import BACKFILL, INCREMENTAL

from .conftest import Command, StartSandbox, only_page, people, writes
from .in_process import IN_FLIGHT, WORKERS, Passes


def test_folkform_down_from_the_start(sandbox: StartSandbox, passes: Passes) -> None:
    """Where not even the pages can be listed, that is tried five times, and nothing else is."""
    box = sandbox(pages=3, customers=20)
    with box.faults.add(Fault("status", service="folkform", times=None)):
        result = passes(box, INCREMENTAL)
    assert isinstance(result.error, Unreachable)
    assert (result.exit_code, result.pages) == (ExitCode.TRY_LATER, [])
    assert box.requests.count("folkform") == TRIES + box.requests.count("folkform", "/system/health")
    assert box.requests.count("pancake") == 0
    passes.undisturbed(box)


def test_pancake_down_from_the_start(sandbox: StartSandbox, run: Command, passes: Passes) -> None:
    """One sentence, after five tries: nothing was written, and the next passes bring everybody."""
    box = sandbox(customers=20)
    with box.faults.add(Fault("reset", service="pancake", times=None)):
        outcome = run(box, "backfill", "-q")
    sentence, _summary = outcome.err.splitlines()
    assert all(part in sentence for part in ("Pancake broke the connection off", "five times", "PANCAKE_BASE_URL"))
    assert (outcome.code, box.requests.count("pancake"), writes(box)) == (75, TRIES, 0)
    passes.undisturbed(box)


@pytest.mark.parametrize("kind", ["status", "reset", "html"])
def test_folkform_down_in_the_middle(sandbox: StartSandbox, passes: Passes, kind: Any) -> None:
    """Who is in flight is tried five times; one cheap call then tells that FolkForm is down, and every further page
    gets one cheap call and nothing else.
    """
    box = sandbox(pages=4, customers=120)
    with box.faults.add(Fault(kind, service="folkform", times=None, skip=60)):
        result = passes(box, BACKFILL)
    assert result.exit_code == ExitCode.TRY_LATER
    assert {page.status for page in result.pages} == {Status.FAILED}
    assert box.requests.count("folkform") - 60 <= IN_FLIGHT * TRIES + 1 + 3
    begun = [page for page in result.pages if page.upserted]
    assert len(begun) == 1
    assert {page.requests for page in result.pages if page not in begun} == {1}
    passes.undisturbed(box)


@contextmanager
def down_for_ten_seconds(box: Sandbox, service: Any, *, skip: int) -> Iterator[None]:
    """From the request after *skip* ones on, and until one whole set of tries at least has run out."""
    with box.faults.add(Fault("reset", service=service, times=None, skip=skip)):
        yield
        box.requests.wait_for(lambda request: request.fault == "reset", timeout=60)
        time.sleep(10)
        patience = time.monotonic() + 60
        while (
            max(Counter(request.psid for request in box.requests.recent if request.fault == "reset").values()) < TRIES
        ):
            assert time.monotonic() < patience
            time.sleep(0.1)


@pytest.mark.slow
def test_folkform_down_for_ten_seconds(sandbox: StartSandbox, run: Command) -> None:
    """The tries of who is in flight run out sooner, but those of who waits behind them last: the pass survives it."""
    box = sandbox()
    box.pancake.add_customers(only_page(box), people(150, 60, 60))
    with down_for_ten_seconds(box, "folkform", skip=50):
        process = run.start(box, "incremental", "--json")
    outcome = run.end(process)
    assert (outcome.code, outcome.totals["upserted"], outcome.totals["failed"]) == (0, 150, 0)
    assert max(Counter(request.psid for request in box.requests.recent if request.psid).values()) > TRIES
    assert box.difference().equal


@pytest.mark.slow
def test_pancake_down_for_ten_seconds(sandbox: StartSandbox, run: Command) -> None:
    """The five tries do not last so long: the page ends, what was read is written, and the next pass goes on."""
    box = sandbox(customers=300)
    with down_for_ten_seconds(box, "pancake", skip=3):
        process = run.start(box, "backfill", "--json")
    outcome = run.end(process)
    assert (outcome.code, outcome.json["status"], outcome.totals["failed"]) == (75, "failed", 0)
    assert len(box.difference().missing) == 300 - outcome.totals["upserted"] > 0
    assert run(box, "backfill").code == 0
    assert box.difference().equal


def test_an_outage_that_ends_in_time(sandbox: StartSandbox, passes: Passes) -> None:
    """An outage shorter than the tries is waited for: the pass ends with everybody written."""
    box = sandbox(pages=2, customers=80)
    box.faults.add(Fault("status", service="folkform", endpoint="/fb-customer/upsert-one", times=3 * WORKERS, skip=30))
    result = passes(box, BACKFILL)
    assert (result.exit_code, result.totals["failed"]) == (ExitCode.OK, 0)
    assert box.difference().equal


def test_tries_run_out_and_folkform_returns(sandbox: StartSandbox, passes: Passes) -> None:
    """Whose tries ran out during an outage gets her second chance when FolkForm answers again."""
    box = sandbox(customers=80)
    box.faults.add(Fault("status", service="folkform", endpoint="/fb-customer/upsert-one", times=IN_FLIGHT * TRIES))
    result = passes(box, BACKFILL)
    assert (result.exit_code, result.totals["failed"]) == (ExitCode.OK, 0)
    assert box.requests.count("folkform", "/upsert-one") == 80 + IN_FLIGHT * TRIES
    assert box.difference().equal


def test_a_poisonous_customer_blocks_nobody(sandbox: StartSandbox, passes: Passes) -> None:
    """FolkForm answers 500 about one and takes the others: after three tries that one is named and passed over."""
    box = sandbox(customers=80)
    psid = str(box.pancake.customers(box.pancake.page_ids()[0])[40]["psid"])
    with box.faults.add(Fault("status", service="folkform", psid=psid, times=None)):
        result = passes(box, BACKFILL)
    (page,) = result.pages
    assert (result.exit_code, page.status, page.complete) == (ExitCode.PARTIAL, Status.PARTIAL, True)
    assert [(problem.psid, problem.problem) for problem in page.problems] == [(psid, "failed")]
    assert page.upserted == 79
    assert box.requests.count("folkform", "/upsert-one") == 79 + 3
    assert passes(box, BACKFILL, full=True).totals["upserted"] == 1
    assert box.difference().equal


def test_nothing_can_be_written(sandbox: StartSandbox, passes: Passes) -> None:
    """FolkForm answers, but no upsert gets through: after so many failures in a row the page ends, not after all."""
    box = sandbox(customers=400)
    with box.faults.add(Fault("status", service="folkform", endpoint="/fb-customer/upsert-one", times=None)):
        result = passes(box, BACKFILL)
    (page,) = result.pages
    assert (result.exit_code, page.status) == (ExitCode.REFUSED, Status.FAILED)
    assert 50 <= page.failed <= 50 + IN_FLIGHT
    assert box.requests.count("folkform", "/upsert-one") <= (50 + IN_FLIGHT) * 2 * TRIES
    passes(box, BACKFILL, full=True)
    assert box.difference().equal


@pytest.mark.parametrize("effect", ["before", "after"])
def test_replies_that_are_lost(sandbox: StartSandbox, passes: Passes, effect: Any) -> None:
    """A reply lost before or after the write is asked for again: nobody is missing, nobody stands there twice."""
    box = sandbox(pages=2, customers=60)
    box.faults.add(Fault("reset", service="folkform", method="POST", times=20, effect=effect))
    result = passes(box, BACKFILL)
    assert (result.exit_code, result.totals["upserted"]) == (ExitCode.OK, 120)
    assert box.difference().equal


def test_pancake_down_for_one_page(sandbox: StartSandbox, passes: Passes) -> None:
    """A page that Pancake does not answer for is tried five times; the others are synced."""
    box = sandbox(pages=3, customers=20)
    away = box.pancake.page_ids()[1]
    with box.faults.add(Fault("status", service="pancake", page_id=away, times=None)):
        result = passes(box, BACKFILL)
    statuses = {page.page.page_id: page.status for page in result.pages}
    assert [page_id for page_id, status in statuses.items() if status is Status.FAILED] == [away]
    assert result.exit_code == ExitCode.PARTIAL
    assert sum(request.page_id == away for request in box.requests.recent if request.service == "pancake") == TRIES
    passes.undisturbed(box)
