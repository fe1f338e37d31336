"""Every misbehaviour of the sandbox, alone and all at once: a pass ends by itself, tells what it could not do, and
the next undisturbed passes complete it.
"""

import random
import time
from typing import Any, get_args

import pytest

from customer_sync.errors import ExitCode
from customer_sync.result import PassResult, Status, SyncedPage
from customer_sync.sandbox import Sandbox
from customer_sync.sandbox.faults import Fault, FaultKind
from customer_sync.sync import BACKFILL, INCREMENTAL
from customer_sync.walk import SETTLED

from .conftest import StartSandbox, wait_until
from .in_process import Passes

KINDS = get_args(FaultKind)
_SETTINGS: dict[str, dict[str, Any]] = {
    "error_code": {"error_code": 429},
    "drip_body": {"interval": 0.5},
    "drip_headers": {"interval": 0.5},
    "huge": {"size": 2**16},
    "gzip_bomb": {"size": 65 * 2**20},
}


def fault(kind: Any, **more: Any) -> Fault:
    """A fault that goes on, with settings that make it short."""
    return Fault(kind, times=None, **_SETTINGS.get(kind, {}), **more)


@pytest.fixture
def impatient(passes: Passes) -> Passes:
    """Passes that give a silent service up after a third of a second."""
    passes.environment["CUSTOMER_SYNC_TIMEOUT"] = "0.3"
    return passes


def tells_what_it_could_not_do(result: PassResult[SyncedPage]) -> None:
    """The exit code is a documented one and fits, and whatever is not done has its reason."""
    assert result.exit_code in (ExitCode.OK, ExitCode.PARTIAL, ExitCode.REFUSED, ExitCode.TRY_LATER)
    assert result.stopped is None
    errors = [result.error, *(page.error for page in result.pages)]
    told = [str(error) for error in errors if error is not None]
    assert not [text for text in told if "customer-sync itself" in text]
    assert all(text.startswith(("Pancake ", "FolkForm ")) for text in told)
    for page in result.pages:
        assert (page.status is Status.FAILED) == (page.error is not None) == (not page.complete)
        assert (page.status is Status.PARTIAL) == bool(page.complete and page.failed)
        assert page.failed == sum(problem.problem == "failed" for problem in page.problems)
    assert (result.exit_code == ExitCode.OK) == (not told and not result.totals["failed"])


def everybody_arrives(passes: Passes, box: Sandbox) -> None:
    """Undisturbed passes complete what is left; whoever was passed over is brought by a full one."""
    box.faults.clear()
    for name in (INCREMENTAL, BACKFILL):
        assert passes(box, name).exit_code == ExitCode.OK
    assert passes(box, BACKFILL, full=True).exit_code == ExitCode.OK
    assert box.difference().equal


@pytest.mark.parametrize("kind", KINDS)
def test_a_misbehaviour_alone(sandbox: StartSandbox, impatient: Passes, kind: str) -> None:
    """One request in five of both services meets it."""
    box = sandbox(pages=2, customers=15)
    box.faults.add(fault(kind, probability=0.2))
    tells_what_it_could_not_do(impatient(box, BACKFILL))
    everybody_arrives(impatient, box)


@pytest.mark.parametrize("service", ["pancake", "folkform"])
@pytest.mark.parametrize("kind", ["status", "html", "truncated", "reset", "hang"])
def test_a_misbehaviour_without_end(sandbox: StartSandbox, impatient: Passes, kind: str, service: Any) -> None:
    """Every request meets it, from the middle of the pass on: nothing is called done that is not."""
    box = sandbox(pages=2, customers=20)
    box.faults.add(fault(kind, service=service, skip=2 if service == "pancake" else 9))
    result = impatient(box, BACKFILL)
    tells_what_it_could_not_do(result)
    assert not result.complete
    everybody_arrives(impatient, box)


@pytest.mark.parametrize("seed", range(2))
def test_everything_at_once(sandbox: StartSandbox, impatient: Passes, seed: int) -> None:
    """One request in five meets one misbehaviour or another, of both services, while customers change."""
    box = sandbox(pages=2, customers=60, seed=seed, changes_per_list=1)
    kinds = random.Random(seed).sample(KINDS, len(KINDS))
    for kind in kinds:
        box.faults.add(fault(kind, probability=0.2 / len(kinds)))
    for name in (INCREMENTAL, BACKFILL, INCREMENTAL):
        tells_what_it_could_not_do(impatient(box, name))
    box.behaviour.changes_per_list = 0
    last_change = time.time()
    wait_until(lambda: time.time() > last_change + SETTLED + 1)
    everybody_arrives(impatient, box)
