"""The limits of both services: FolkForm's is never exceeded, Pancake's slows down at once, `Retry-After` is obeyed."""

import re
import time
from typing import Any

import pytest

from customer_sync.sandbox import Sandbox
from customer_sync.sandbox.faults import Fault

from .conftest import Command, StartSandbox


def refusals(box: Sandbox, service: str) -> int:
    """How many requests a service answered with 429."""
    return sum(request.service == service and request.status == 429 for request in box.requests.recent)


def test_folkforms_limit_is_never_exceeded(sandbox: StartSandbox, run: Command) -> None:
    """Eight workers, two pages, 50 requests a window: no 429, no 51st request, and no window is left half used."""
    box = sandbox(pages=2, customers=60, folkform_limit=50, folkform_window=2.0)
    outcome = run(box, "backfill", "--json")
    assert outcome.code == 0
    assert refusals(box, "folkform") == 0
    assert box.difference().equal
    moments = [request.time for request in box.requests.recent if request.service == "folkform"]
    windows: list[list[float]] = [[]]
    for moment in moments:
        if windows[-1] and moment >= windows[-1][0] + 2.0:
            windows.append([])
        windows[-1].append(moment)
    assert all(len(window) >= 48 for window in windows[:-1])


def test_two_runs_share_folkforms_limit(sandbox: StartSandbox, run: Command) -> None:
    """Two processes behind one address: FolkForm's own count slows both down, and no customer is missing."""
    box = sandbox(pages=2, customers=40, folkform_limit=50, folkform_window=2.0)
    processes = [run.start(box, "backfill", "--page", page_id) for page_id in box.pancake.page_ids()]
    assert [run.end(process).code for process in processes] == [0, 0]
    assert refusals(box, "folkform") <= 2 * 8
    assert box.difference().equal


@pytest.mark.parametrize(("form", "retry_after"), [("status", None), ("body", "1")])
def test_pancakes_429_slows_down(sandbox: StartSandbox, run: Command, form: Any, retry_after: str | None) -> None:
    """After a 429, as a status or in the envelope, a page is read more slowly, and no customer is missing."""
    box = sandbox(customers=40, pancake_limit=5, pancake_429=form, pancake_retry_after=retry_after)
    outcome = run(box, "backfill", "--json", "-v", CUSTOMER_SYNC_PAGE_SIZE="4")
    assert (outcome.code, outcome.totals["failed"]) == (0, 0)
    assert 1 <= outcome.err.count("retrying") <= 10
    assert box.difference().equal


def test_each_page_has_its_own_pace(sandbox: StartSandbox, run: Command) -> None:
    """PANCAKE_RPS bounds each page separately."""
    box = sandbox(pages=2, customers=60)
    assert run(box, "backfill", CUSTOMER_SYNC_PAGE_SIZE="10", CUSTOMER_SYNC_PANCAKE_RPS="10").code == 0
    for page_id in box.pancake.page_ids():
        moments = [
            request.time
            for request in box.requests.recent
            if request.service == "pancake" and request.page_id == page_id
        ]
        assert len(moments) > 6
        assert moments[-1] - moments[0] >= (len(moments) - 1) * 0.1 * 0.9


@pytest.mark.parametrize("service", ["folkform", "pancake"])
def test_retry_after_is_waited_for(sandbox: StartSandbox, run: Command, service: Any) -> None:
    """No request is sent before `Retry-After` is over."""
    box = sandbox(customers=60)
    with box.faults.add(Fault("status", service=service, status=503, retry_after="2", skip=2)) as fault:
        assert run(box, "backfill").code == 0
        assert not fault.left
    moments = [(request.time, request.fault) for request in box.requests.recent if request.service == service]
    at = next(number for number, (_, met) in enumerate(moments) if met)
    in_flight_until = moments[at][0] + 0.5
    assert not [moment for moment, _ in moments[at + 1 :] if in_flight_until < moment < moments[at][0] + 1.9]
    assert box.difference().equal


@pytest.mark.parametrize(("service", "skip"), [("pancake", 0), ("folkform", 0), ("folkform", 3)])
def test_an_hour_is_not_waited_for_beyond_the_time_limit(
    sandbox: StartSandbox, run: Command, service: Any, skip: int
) -> None:
    """A wait that would exceed --max-runtime ends the pass at once, gracefully, with the reason."""
    box = sandbox(customers=60)
    box.faults.add(Fault("status", service=service, status=429, retry_after="3600", skip=skip))
    began = time.monotonic()
    outcome = run(box, "backfill", "--json", "--max-runtime", "60s")
    assert time.monotonic() - began < 30
    # Without any progress the exit code asks for another run.
    code = 0 if outcome.totals["read"] else 75
    assert (outcome.code, outcome.json["complete"], outcome.json["status"]) == (code, False, "stopped")
    named = {"pancake": "Pancake", "folkform": "FolkForm"}[service]
    assert re.search(rf"{named} .*3600 s.* the time limit \(--max-runtime\)", outcome.err)
    assert run(box, "backfill", "-q", "--max-runtime", "60s").code == 0
    box.faults.clear()
    assert run(box, "backfill").code == 0
    assert box.difference().equal
