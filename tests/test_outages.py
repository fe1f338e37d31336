"""Outages of FolkForm and Pancake: no retry storm, no false watermark, no customer lost."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from customer_sync.core.errors import ExitCode, Unreachable
from customer_sync.http.retry import TRIES
from customer_sync.results.page_result import Status
from customer_sync.sandbox import Sandbox
from customer_sync.sandbox.faults import Fault
from customer_sync.sync.passes import BACKFILL, INCREMENTAL

from .conftest import StartSandbox, only_page, people, wait_until, writes
from .in_process import IN_FLIGHT, SPEED, WORKERS, Passes


def test_folkform_down_from_the_start(sandbox: StartSandbox, passes: Passes) -> None:
    """Where not even the pages can be listed, that call gets five attempts, and no other is made."""
    box = sandbox(pages=3, customers=20)
    with box.faults.add(Fault("status", service="folkform", times=None)):
        result = passes(box, INCREMENTAL)
    assert isinstance(result.error, Unreachable)
    assert (result.exit_code, result.pages) == (ExitCode.TRY_LATER, [])
    assert box.requests.count("folkform") == TRIES + box.requests.count("folkform", "/system/health")
    assert box.requests.count("pancake") == 0
    passes.undisturbed(box)


def test_pancake_down_from_the_start(sandbox: StartSandbox, passes: Passes) -> None:
    """One error after five attempts: nothing was written, and the next passes copy all customers."""
    box = sandbox(customers=20)
    with box.faults.add(Fault("reset", service="pancake", times=None)):
        result = passes(box, BACKFILL)
    assert isinstance(result.pages[0].error, Unreachable)
    assert "PANCAKE_BASE_URL" in result.pages[0].error.next_step
    assert (result.exit_code, box.requests.count("pancake"), writes(box)) == (ExitCode.TRY_LATER, TRIES, 0)
    passes.undisturbed(box)


@pytest.mark.parametrize("kind", ["status", "reset", "html"])
def test_folkform_down_in_the_middle(sandbox: StartSandbox, passes: Passes, kind: Any) -> None:
    """Upserts in flight get five attempts; one ping then finds FolkForm down, and every further page gets one ping."""
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


def test_folkform_down_for_ten_seconds(sandbox: StartSandbox, passes: Passes) -> None:
    """The attempts of upserts in flight are used up sooner, but those of the next ones last: the pass completes."""
    box = sandbox()
    box.pancake.add_customers(only_page(box), people(150, 60, 60))
    with ThreadPoolExecutor() as pool:
        with box.faults.add(Fault("reset", service="folkform", times=None, skip=50)):
            running = pool.submit(passes, box, INCREMENTAL)
            box.requests.wait_for(lambda request: request.fault == "reset")
            time.sleep(10 / SPEED)
            wait_until(lambda: max(_resets(box).values()) >= TRIES)
        result = running.result()
    assert (result.exit_code, result.totals["upserted"], result.totals["failed"]) == (ExitCode.OK, 150, 0)
    assert max(Counter(request.psid for request in box.requests.recent if request.psid).values()) > TRIES
    assert box.difference().equal


def _resets(box: Sandbox) -> Counter[str | None]:
    return Counter(request.psid for request in box.requests.recent if request.fault == "reset")


def test_pancake_down_in_the_middle(sandbox: StartSandbox, passes: Passes) -> None:
    """After five attempts the page ends, what was read is written, and the next pass continues."""
    box = sandbox(customers=300)
    with box.faults.add(Fault("reset", service="pancake", times=None, skip=3)):
        result = passes(box, BACKFILL)
    assert (result.exit_code, result.pages[0].status) == (ExitCode.TRY_LATER, Status.FAILED)
    assert result.totals["failed"] == 0
    assert len(box.difference().missing) == 300 - result.totals["upserted"] > 0
    assert passes(box, BACKFILL).exit_code == ExitCode.OK
    assert box.difference().equal


def test_an_outage_that_ends_in_time(sandbox: StartSandbox, passes: Passes) -> None:
    """An outage shorter than the attempts is waited for: the pass completes."""
    box = sandbox(pages=2, customers=80)
    box.faults.add(Fault("status", service="folkform", endpoint="/fb-customer/upsert-one", times=3 * WORKERS, skip=30))
    result = passes(box, BACKFILL)
    assert (result.exit_code, result.totals["failed"]) == (ExitCode.OK, 0)
    assert box.difference().equal


def test_tries_run_out_and_folkform_returns(sandbox: StartSandbox, passes: Passes) -> None:
    """A customer whose attempts were used up during an outage gets new ones when FolkForm answers again."""
    box = sandbox(customers=80)
    box.faults.add(Fault("status", service="folkform", endpoint="/fb-customer/upsert-one", times=IN_FLIGHT * TRIES))
    result = passes(box, BACKFILL)
    assert (result.exit_code, result.totals["failed"]) == (ExitCode.OK, 0)
    assert box.requests.count("folkform", "/upsert-one") == 80 + IN_FLIGHT * TRIES
    assert box.difference().equal


def test_a_failing_customer_does_not_block_others(sandbox: StartSandbox, passes: Passes) -> None:
    """FolkForm answers 500 about one customer and accepts the others: after three attempts it is failed."""
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
    """FolkForm answers, but accepts no upsert: after a number of failures in a row the page ends."""
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
    """A reply lost before or after the write is requested again: no customer is missing or doubled."""
    box = sandbox(pages=2, customers=60)
    box.faults.add(Fault("reset", service="folkform", method="POST", times=20, effect=effect))
    result = passes(box, BACKFILL)
    assert (result.exit_code, result.totals["upserted"]) == (ExitCode.OK, 120)
    assert box.difference().equal


def test_pancake_down_for_one_page(sandbox: StartSandbox, passes: Passes) -> None:
    """A page that Pancake does not answer for gets five attempts; the others are synced."""
    box = sandbox(pages=3, customers=20)
    down = box.pancake.page_ids()[1]
    with box.faults.add(Fault("status", service="pancake", page_id=down, times=None)):
        result = passes(box, BACKFILL)
    statuses = {page.page.page_id: page.status for page in result.pages}
    assert [page_id for page_id, status in statuses.items() if status is Status.FAILED] == [down]
    assert result.exit_code == ExitCode.PARTIAL
    assert sum(request.page_id == down for request in box.requests.recent if request.service == "pancake") == TRIES
    passes.undisturbed(box)
