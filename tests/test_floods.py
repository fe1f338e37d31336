"""Every misbehaviour of the sandbox, alone and all at once: a pass ends, reports what it could not do, and the next
undisturbed passes complete it, except for the customers that it named.

The pages are large enough for watermarks.
"""

import random
import time
from typing import Any, get_args

import pytest

from customer_sync.core.errors import ExitCode
from customer_sync.results.page_result import Status, SyncedPage
from customer_sync.results.pass_result import PassResult
from customer_sync.sandbox import Sandbox
from customer_sync.sandbox.faults import Fault, FaultKind
from customer_sync.sandbox.times import microseconds
from customer_sync.sync.passes import BACKFILL, INCREMENTAL
from customer_sync.sync.walk import SETTLE_SECONDS

from .conftest import StartSandbox, wait_until
from .in_process import Passes

KINDS = get_args(FaultKind)
ENDS: dict[FaultKind, ExitCode] = {
    "status": ExitCode.TRY_LATER,
    # Pancake's is retried; FolkForm's contract has no such answer.
    "error_code": ExitCode.REFUSED,
    "html": ExitCode.TRY_LATER,
    "redirect": ExitCode.REFUSED,
    "huge": ExitCode.OK,
    "gzip_bomb": ExitCode.REFUSED,
    "gzip_twice": ExitCode.REFUSED,
    "negative_chunk": ExitCode.TRY_LATER,
    "many_values": ExitCode.REFUSED,
    "broken_utf8": ExitCode.TRY_LATER,
    "truncated": ExitCode.TRY_LATER,
    "drip_body": ExitCode.TRY_LATER,
    "drip_headers": ExitCode.TRY_LATER,
    "reset": ExitCode.TRY_LATER,
    "hang": ExitCode.TRY_LATER,
}
"""The exit code of a pass whose only page is ended by a misbehaviour; OK: it ends none."""
WITHOUT_END: list[FaultKind] = ["status", "html", "redirect", "truncated", "reset", "hang"]
_SETTINGS: dict[str, dict[str, Any]] = {
    "error_code": {"error_code": 429},
    "drip_body": {"interval": 0.5},
    "drip_headers": {"interval": 0.5},
    "huge": {"size": 2**16},
    # Each costs half a second.
    "gzip_bomb": {"size": 5 * 2**20},
    "gzip_twice": {"size": 5 * 2**20},
    "negative_chunk": {"size": 7 * 2**20},
    "many_values": {"size": 2**19},
}


def fault(kind: Any, **more: Any) -> Fault:
    """A fault that persists, with settings that make it short."""
    return Fault(kind, times=None, **{**more, **_SETTINGS.get(kind, {})})


@pytest.fixture
def impatient(passes: Passes) -> Passes:
    """Passes that time out after a third of a second."""
    passes.environment["CUSTOMER_SYNC_TIMEOUT"] = "0.3"
    return passes


def is_honest(result: PassResult[SyncedPage]) -> None:
    """The exit code fits, and everything that is not done has its reason."""
    assert result.exit_code in (ExitCode.OK, ExitCode.PARTIAL, ExitCode.REFUSED, ExitCode.TRY_LATER)
    assert result.stopped is None
    errors = [result.error, *(page.error for page in result.pages)]
    texts = [str(error) for error in errors if error is not None]
    assert not [text for text in texts if "customer-sync itself" in text]
    assert all(text.startswith(("Pancake ", "FolkForm ")) for text in texts)
    for page in result.pages:
        assert (page.status is Status.FAILED) == (page.error is not None) == (not page.complete)
        assert (page.status is Status.PARTIAL) == bool(page.complete and page.failed)
        assert page.failed == sum(problem.problem == "failed" for problem in page.problems)
    assert (result.exit_code == ExitCode.OK) == (not texts and not result.totals["failed"])


def exit_code(result: PassResult[SyncedPage], ends: ExitCode) -> ExitCode:
    """The expected one, where *ends* is that of the misbehaviour, and there is one page."""
    if not result.complete:
        return ends
    return ExitCode.PARTIAL if result.totals["failed"] else ExitCode.OK


def named(result: PassResult[SyncedPage]) -> set[str | None]:
    """The psids that a pass reports as not synced."""
    return {problem.psid for page in result.pages for problem in page.problems}


def half_filled(box: Sandbox, *, newer: int, older: int) -> Sandbox:
    """FolkForm holds every page's customers except the newest and the oldest."""
    for page_id in box.pancake.page_ids():
        customers = box.pancake.customers(page_id)
        customers.sort(key=lambda customer: microseconds(customer["updated_at"]) or 0)
        for customer in customers[older:-newer]:
            box.folkform.upsert({**customer, "page_id": page_id})
    return box


def completes(passes: Passes, box: Sandbox, reported: set[str | None]) -> None:
    """Undisturbed passes complete what is left, except for those *reported*, which a full one copies."""
    box.faults.clear()
    for name in (INCREMENTAL, BACKFILL):
        assert passes(box, name).exit_code == ExitCode.OK
    left = box.difference()
    assert {*left.missing, *left.stale} <= reported
    assert passes(box, BACKFILL, full=True).exit_code == ExitCode.OK
    assert box.difference().equal


@pytest.mark.parametrize("kind", KINDS)
def test_a_misbehaviour_alone(sandbox: StartSandbox, impatient: Passes, kind: FaultKind) -> None:
    """One request in five of both services meets it, after the first twenty."""
    box = half_filled(sandbox(customers=150), newer=50, older=40)
    box.faults.add(fault(kind, probability=0.2, skip=20))
    if kind == "gzip_bomb":  # Its size is found out only where there is time to receive it.
        impatient.environment["CUSTOMER_SYNC_TIMEOUT"] = "10"
    result = impatient(box, BACKFILL)
    is_honest(result)
    assert result.exit_code == exit_code(result, ENDS[kind])
    completes(impatient, box, named(result))


@pytest.mark.parametrize(("service", "skip"), [("pancake", 3), ("folkform", 50), ("folkform", 125)])
@pytest.mark.parametrize("kind", WITHOUT_END)
def test_a_misbehaviour_without_end(
    sandbox: StartSandbox, impatient: Passes, kind: FaultKind, service: Any, skip: int
) -> None:
    """Every request meets it, from the middle of the incremental or of the history on: the pass is not complete."""
    box = half_filled(sandbox(customers=220), newer=70, older=90)
    box.faults.add(fault(kind, service=service, skip=skip))
    result = impatient(box, BACKFILL)
    is_honest(result)
    assert (result.complete, result.exit_code) == (False, ENDS[kind])
    assert box.difference().missing
    completes(impatient, box, named(result))


@pytest.mark.parametrize("seed", range(2))
def test_everything_at_once(sandbox: StartSandbox, impatient: Passes, seed: int) -> None:
    """One request in five meets one misbehaviour or another, of both services, while customers change."""
    box = half_filled(sandbox(pages=2, customers=130, seed=seed, changes_per_list=1), newer=40, older=30)
    kinds = random.Random(seed).sample(KINDS, len(KINDS))
    for kind in kinds:
        box.faults.add(fault(kind, probability=0.2 / len(kinds)))
    reported: set[str | None] = set()
    for name in (INCREMENTAL, BACKFILL, INCREMENTAL):
        result = impatient(box, name)
        is_honest(result)
        reported |= named(result)
    box.behaviour.changes_per_list = 0
    last_change = time.time()
    wait_until(lambda: time.time() > last_change + SETTLE_SECONDS + 1)
    completes(impatient, box, reported)
