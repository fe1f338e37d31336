"""Stopping early: SIGTERM and SIGINT at every stage, `--max-runtime`, `--jitter`."""

import os
import pty
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGINT, SIGTERM
from typing import Any

import pytest

from customer_sync.core.clock import Clock
from customer_sync.core.locks import PageLocks
from customer_sync.sandbox import ActiveFault, Fault, Sandbox

from .conftest import COMMAND, Command, Outcome, StartSandbox, only_page, people, wait_until, writes

CODES = {SIGTERM: 143, SIGINT: 130}
_UPSERTS = "/upsert-one"
_A_MOMENT = 0.3
_AT_ONCE = 3.0
_GRACE = 10.0


@pytest.fixture(scope="module")
def never_synced() -> Iterator[Sandbox]:
    """A sandbox that several tests share, because none of them writes a customer."""
    with Sandbox(pages=1, customers=0) as box:
        box.pancake.add_customers(only_page(box), people(150, 60, 600))
        yield box


@pytest.fixture
def unsynced(never_synced: Sandbox) -> Iterator[Sandbox]:
    """The same, reset after each test."""
    yield never_synced
    never_synced.reset()
    assert never_synced.folkform.documents(only_page(never_synced)) == []


def _hold(box: Sandbox, endpoint: str, skip: int = 0) -> ActiveFault:
    """Makes requests hang, all but the first *skip*, until what it returns is removed."""
    return box.faults.add(Fault("hang", endpoint=endpoint, times=None, skip=skip))


def _await_hanging(box: Sandbox, count: int) -> None:
    box.requests.wait_for(lambda request: request.fault == "hang", count)


def _still_runs(process: subprocess.Popen[str], seconds: float = _A_MOMENT) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(seconds)


def _was_interrupted(outcome: Outcome, code: int, by: str) -> None:
    """The result says so, and *by* what; the exit code is the same."""
    assert (outcome.code, outcome.json["exit_code"]) == (code, code)
    status = "stopped" if by == "--max-runtime" else "interrupted"
    assert (outcome.json["status"], outcome.json["complete"], outcome.json["error"]) == (status, False, None)
    assert by in outcome.json["stopped"]


def _stored(box: Sandbox) -> int:
    return len(box.folkform.documents(only_page(box)))


@pytest.mark.parametrize(
    ("command", "before", "sent"), [("incremental", 20, SIGTERM), ("backfill", 150, SIGINT)], ids=str
)
def test_what_is_in_flight_arrives(
    sandbox: StartSandbox, run: Command, command: str, before: int, sent: signal.Signals
) -> None:
    """A signal lets requests in flight finish, and starts no new one; no customer is lost."""
    box = sandbox()
    box.pancake.add_customers(only_page(box), people(300, 60, 20_000))
    held = _hold(box, _UPSERTS, skip=before)
    process = run.start(box, command, "--json", CUSTOMER_SYNC_WORKERS="4")
    _await_hanging(box, 4)
    process.send_signal(sent)
    _still_runs(process)
    asked = box.requests.count()
    held.remove()
    outcome = run.end(process)
    _was_interrupted(outcome, CODES[sent], sent.name)
    assert box.requests.count() == asked == outcome.totals["requests"]
    assert outcome.totals["upserted"] == _stored(box) == writes(box) == before + 4
    assert run(box, "backfill").code == 0
    assert box.difference().equal


def test_the_time_limit_is_soft(sandbox: StartSandbox, run: Command) -> None:
    """`--max-runtime` lets requests in flight finish, starts no new one, and is no failure."""
    box = sandbox()
    box.pancake.add_customers(only_page(box), people(300, 60, 20_000))
    held = _hold(box, _UPSERTS)
    process = run.start(box, "incremental", "--json", "--max-runtime", "2s", CUSTOMER_SYNC_WORKERS="4")
    _await_hanging(box, 4)
    _still_runs(process, 2.0)
    asked = box.requests.count()
    held.remove()
    outcome = run.end(process)
    _was_interrupted(outcome, 0, "--max-runtime")
    assert box.requests.count() == asked
    assert outcome.totals["upserted"] == _stored(box) == 4
    assert run(box, "backfill").code == 0
    assert box.difference().equal


def test_a_failed_customer_counts_despite_the_time_limit(sandbox: StartSandbox, run: Command) -> None:
    """A customer that failed before the time limit is a failure: exit code 1."""
    box = sandbox(folkform_latency=0.1)
    box.pancake.add_customers(only_page(box), people(300, 60, 60))
    box.faults.add(Fault("status", service="folkform", psid="p0290", status=400, message="taken"))
    outcome = run(box, "incremental", "--json", "--max-runtime", "4s", CUSTOMER_SYNC_WORKERS="4")
    assert (outcome.code, outcome.json["status"], outcome.totals["failed"]) == (1, "stopped", 1)
    assert outcome.totals["upserted"] < 299
    assert [one["psid"] for one in outcome.page(only_page(box))["customers"]] == ["p0290"]


@contextmanager
def _full_pipe() -> Iterator[int]:
    """A pipe that is full and has no reader."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"." * 4096)
    os.set_blocking(writer, True)
    try:
        yield writer
    finally:
        os.close(writer)
        os.close(reader)


def test_requests_that_hang_are_abandoned(sandbox: StartSandbox, run: Command) -> None:
    """Ten seconds after the signal it ends with a true summary, whatever hangs: a service or a stream."""
    upserts, lists, loud = sandbox(seed=1), sandbox(seed=2), sandbox(seed=3)
    for box in (upserts, lists, loud):
        box.pancake.add_customers(only_page(box), people(60, 60, 600))
    _hold(upserts, _UPSERTS, skip=20)
    _hold(lists, "/page_customers")
    with _full_pipe() as pipe:
        stuck = subprocess.Popen(
            [COMMAND, "incremental", "--json"],
            env=run.environment(loud),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=pipe,
            text=True,
        )
        processes = [run.start(upserts, "incremental", "--json"), run.start(lists, "backfill", "--json"), stuck]
        _await_hanging(upserts, 8)
        _await_hanging(lists, 1)
        wait_until(lambda: _stored(loud) == 60)
        sent = time.monotonic()
        for process in processes:
            process.send_signal(SIGTERM)
        outcomes = [run.end(process) for process in processes[:2]]
        assert _GRACE <= time.monotonic() - sent < _GRACE + 3
        out = stuck.communicate(timeout=_GRACE)[0]
        assert time.monotonic() - sent < _GRACE + 5
    for outcome in outcomes:
        _was_interrupted(outcome, 143, "SIGTERM")
    silent = Outcome(stuck.returncode, out, "")
    assert (silent.code, silent.json["exit_code"]) == (143, 143)
    assert [one.totals["upserted"] for one in (*outcomes, silent)] == [20, 0, 60]
    assert [_stored(box) for box in (upserts, lists, loud)] == [20, 0, 60]


@pytest.mark.parametrize(("first", "second"), [(SIGTERM, SIGTERM), (SIGTERM, SIGINT)], ids=str)
def test_a_second_signal_ends_at_once(
    unsynced: Sandbox, run: Command, first: signal.Signals, second: signal.Signals
) -> None:
    """The second signal ends the process: no grace, no summary, its exit code."""
    _hold(unsynced, _UPSERTS)
    process = run.start(unsynced, "backfill", "--json")
    _await_hanging(unsynced, 8)
    process.send_signal(first)
    _still_runs(process)
    process.send_signal(second)
    sent = time.monotonic()
    assert run.end(process) == Outcome(CODES[second], "", "")
    assert time.monotonic() - sent < _AT_ONCE


def test_a_second_ctrl_c_leaves_the_terminal_intact(unsynced: Sandbox, run: Command) -> None:
    """A terminal keeps its cursor when the process ends at once."""
    _hold(unsynced, _UPSERTS)
    ours, theirs = pty.openpty()
    environment = run.environment(unsynced, TERM="xterm-256color")
    with subprocess.Popen(
        [COMMAND, "backfill"], env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        _await_hanging(unsynced, 8)

        def ended() -> bool:
            process.send_signal(SIGINT)
            return process.poll() is not None

        wait_until(ended)
    shown = b""
    with suppress(OSError):  # how Linux reports that the other end is closed
        while chunk := os.read(ours, 65536):
            shown += chunk
    os.close(ours)
    assert process.returncode == 130
    assert b"page 1 of 1" in shown
    assert shown.count(b"\x1b[?25l") <= shown.count(b"\x1b[?25h")


@dataclass(frozen=True)
class Wait:
    """A wait of a pass, and what causes it."""

    requests: int = 1
    """How many have been answered when it begins."""
    command: str = "incremental"
    options: tuple[str, ...] = ()
    retry_after_of: str = ""
    """The call whose answer asks for an hour's wait."""
    behaviour: dict[str, Any] = field(default_factory=dict)
    signs_in: bool = False
    locked: str = ""
    """The pass whose lock another run holds."""

    def begin(self, box: Sandbox, run: Command, held: ExitStack, *options: str) -> subprocess.Popen[str]:
        """Starts a pass and returns when it waits, or is about to."""
        box.behaviour.change(self.behaviour)
        if self.retry_after_of:
            box.faults.add(Fault("status", status=429, retry_after="3600", endpoint=self.retry_after_of))
        if self.locked:
            held.enter_context(PageLocks(run.lock_dir, Clock()).held(self.locked, only_page(box)))
        sign_in = {**box.sign_in_environment, "FOLKFORM_TOKEN": ""} if self.signs_in else {}
        process = run.start(box, self.command, "--json", *self.options, *options, **sign_in)
        wait_until(run.lock_dir.exists)
        wait_until(lambda: sum(request.status > 0 for request in box.requests.recent) >= self.requests)
        return process


_WAITS = [
    pytest.param(Wait(retry_after_of="/find-with-pagination"), id="Retry-After of FolkForm"),
    pytest.param(Wait(retry_after_of="/page_customers", requests=5), id="Retry-After of Pancake"),
    pytest.param(Wait(behaviour={"folkform_limit": 2, "folkform_window": 3000.0}, requests=2), id="FolkForm's limit"),
    pytest.param(Wait(command="backfill", locked="incremental"), id="another's lock"),
]
_WAITS_BEFORE = [
    pytest.param(Wait(retry_after_of=":signInWithPassword", signs_in=True), id="Retry-After at the sign-in"),
    pytest.param(Wait(options=("--jitter", "10h"), requests=0), id="jitter"),
]


@pytest.mark.parametrize("wait", [*_WAITS, *_WAITS_BEFORE])
def test_a_signal_ends_every_wait(unsynced: Sandbox, run: Command, wait: Wait) -> None:
    """A signal ends every wait at once, with a summary and without another request."""
    with ExitStack() as held:
        process = wait.begin(unsynced, run, held)
        _still_runs(process)
        process.send_signal(SIGTERM)
        sent = time.monotonic()
        outcome = run.end(process)
    assert time.monotonic() - sent < _AT_ONCE
    _was_interrupted(outcome, 143, "SIGTERM")
    assert outcome.totals["requests"] == unsynced.requests.count() == wait.requests


@pytest.mark.parametrize("wait", _WAITS)
def test_no_wait_exceeds_the_time_limit(unsynced: Sandbox, run: Command, wait: Wait) -> None:
    """A wait that would exceed `--max-runtime` is not started: no other request; 75, because nothing was done."""
    with ExitStack() as held:
        outcome = run.end(wait.begin(unsynced, run, held, "--max-runtime", "1s" if wait.locked else "30s"))
    _was_interrupted(outcome, 75, "--max-runtime")
    assert outcome.json["duration_s"] < _AT_ONCE
    assert outcome.totals["requests"] == unsynced.requests.count() == wait.requests


def test_jitter(sandbox: StartSandbox, run: Command) -> None:
    """`--jitter` waits, at most this long, and then the pass runs."""
    box = sandbox(customers=5)
    outcome = run(box, "backfill", "--json", "--jitter", "1s", "--max-runtime", "1m")
    assert (outcome.code, outcome.json["complete"]) == (0, True)
    assert box.difference().equal


@pytest.mark.parametrize("arguments", [["status"], ["check"], ["explain", "unknown", "--page", "{}"]], ids=" ".join)
def test_an_operator_does_not_wait(unsynced: Sandbox, run: Command, arguments: list[str]) -> None:
    """The commands that no scheduler runs ignore the jitter."""
    arguments = [argument.format(only_page(unsynced)) for argument in arguments]
    outcome = run(unsynced, *arguments, "--json", CUSTOMER_SYNC_JITTER="10h")
    assert outcome.json["duration_s"] < _AT_ONCE


def test_jitter_leaves_time(unsynced: Sandbox, run: Command) -> None:
    """A jitter that can use up the whole time limit is a settings error before any request."""
    outcome = run(unsynced, "incremental", "--jitter", "4m", CUSTOMER_SYNC_MAX_RUNTIME="4m")
    assert (outcome.code, outcome.out, unsynced.requests.count()) == (2, "", 0)
    assert "CUSTOMER_SYNC_JITTER" in outcome.err


def test_a_signal_during_the_sign_in(unsynced: Sandbox, run: Command) -> None:
    """A sign-in in flight finishes; FolkForm gets no request after it."""
    held = _hold(unsynced, ":signInWithPassword")
    process = run.start(unsynced, "incremental", "--json", **{**unsynced.sign_in_environment, "FOLKFORM_TOKEN": ""})
    _await_hanging(unsynced, 1)
    process.send_signal(SIGTERM)
    _still_runs(process)
    held.remove()
    outcome = run.end(process)
    _was_interrupted(outcome, 143, "SIGTERM")
    assert outcome.totals["requests"] == unsynced.requests.count() == 1


_WAITING = {"FOLKFORM_BASE_URL": "http://127.0.0.1:9/api/v1", "FOLKFORM_TOKEN": "x", "CUSTOMER_SYNC_JITTER": "10h"}
_MOMENTS = [0.0, 0.05, 0.1, 0.15, 0.25]


def _is_ours(pid: int) -> bool:
    """Whether a process has reached our first line, where it handles SIGTERM; at the latest when it has loaded TLS."""
    process = Path(f"/proc/{pid}")
    handled = process.joinpath("status").read_text().partition("SigCgt:")[2].split()[0]
    return bool(int(handled, 16) >> (SIGTERM - 1) & 1) or "_ssl." in process.joinpath("maps").read_text()


@pytest.mark.parametrize(("sent", "codes"), [(SIGTERM, {-SIGTERM, 143}), (SIGINT, {130})], ids=str)
def test_a_signal_at_the_start(run: Command, sent: signal.Signals, codes: set[int]) -> None:
    """A signal while the program loads ends it without a traceback.

    Until our first line Python itself handles SIGINT, with a traceback; a SIGTERM then ends it silently.
    """
    for moment in _MOMENTS:
        process = run.start(None, "incremental", **_WAITING)
        if sent is SIGINT:
            wait_until(lambda: _is_ours(process.pid))  # noqa: B023
        started = time.monotonic()
        wait_until(lambda: time.monotonic() - started >= moment)  # noqa: B023
        process.send_signal(sent)
        outcome = run.end(process)
        assert outcome.code in codes
        assert "Traceback" not in outcome.output
        assert time.monotonic() - started < _AT_ONCE


@pytest.fixture(scope="module")
def first_process() -> list[str]:
    """The command that starts another one as the first process of a namespace, as in a container."""
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("unshare(1) is not installed")
    for rights in ([], ["--user", "--map-root-user"]):
        command = [unshare, *rights, "--pid", "--fork", "--kill-child", "--mount-proc"]
        tried = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
        if tried.returncode == 0:
            return command
    pytest.skip(f"this machine permits no process namespace: {tried.stderr.strip()}")


@contextmanager
def _container(command: list[str], environment: dict[str, str]) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process of unshare(1), and the process id, outside, of the first process inside."""
    process = subprocess.Popen(
        [*command, COMMAND, "incremental", "--json"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        wait_until(lambda: bool(children.read_text().split()))
        try:
            yield process, int(children.read_text().split()[0])
        finally:
            process.kill()


def test_as_the_first_process(sandbox: StartSandbox, run: Command, first_process: list[str]) -> None:
    """The kernel ignores a signal to a container's first process; the program itself handles it."""
    box = sandbox(customers=60)
    held = _hold(box, _UPSERTS)
    with _container(first_process, run.environment(box)) as (process, inside):
        _await_hanging(box, 8)
        os.kill(inside, SIGINT)
        _still_runs(process)
        held.remove()
        outcome = run.end(process)
    _was_interrupted(outcome, 130, "SIGINT")
    assert outcome.totals["upserted"] == _stored(box) == writes(box) == 8


@pytest.mark.parametrize("sent", [SIGTERM, SIGINT], ids=str)
def test_as_the_first_process_at_the_start(run: Command, first_process: list[str], sent: signal.Signals) -> None:
    """A container that gets a signal while the program loads ends at once, too."""
    with _container(first_process, run.environment(None, **_WAITING)) as (process, inside):
        wait_until(lambda: _is_ours(inside))
        os.kill(inside, sent)
        process.wait(_AT_ONCE)
        assert run.end(process) == Outcome(CODES[sent], "", "")


def test_a_stopped_demo_leaves_nothing(run: Command, tmp_path: Path) -> None:
    """A demo that a signal stops leaves no process and no file behind."""
    left = tmp_path / "left"
    left.mkdir()
    process = run.start(None, "demo", TMPDIR=str(left))
    wait_until(lambda: any(left.glob("*/*.lock")))
    process.send_signal(SIGTERM)
    sent = time.monotonic()
    outcome = run.end(process)  # Both streams end with the last process that holds them.
    assert time.monotonic() - sent < _AT_ONCE
    assert outcome.code == 143
    assert "Traceback" not in outcome.output
    assert list(left.iterdir()) == []
