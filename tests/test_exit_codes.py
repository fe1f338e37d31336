"""Every exit code by a real situation, each with a clear sentence and in time."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from customer_sync.core.clock import Clock
from customer_sync.core.locks import PageLocks
from customer_sync.sandbox.folkform import TOKEN, Access, Role

from .conftest import Command, Outcome, StartSandbox, only_page, people, person, refuse, wait_until, writes

PASSES = ["incremental", "backfill"]
OVER_PAGES = [*PASSES, "status"]


def _one_sentence(outcome: Outcome) -> str:
    """The only error told."""
    told = [line for line in outcome.err.splitlines() if "Error" in line]
    assert len(told) == 1, outcome.err
    assert "Traceback" not in outcome.output
    return told[0]


@pytest.mark.parametrize("command", PASSES)
def test_0_and_1(sandbox: StartSandbox, run: Command, command: str) -> None:
    """0 when nobody failed, malformed customers notwithstanding; 1 as soon as somebody did."""
    box = sandbox(customers=10)
    box.pancake.add_customer(only_page(box), {**person("malformed", 90), "id": None})
    assert run(box, command).code == 0
    box.pancake.add_customer(only_page(box), person("refused", 90))
    refuse(box, "refused")
    assert run(box, command).code == 1


@contextmanager
def _deaf() -> Iterator[str]:
    """An address that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/api/v1"


@contextmanager
def _closed() -> Iterator[str]:
    """An address where nothing listens, and nothing else will."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{holder.getsockname()[1]}/api/v1"


def test_75_where_nothing_listens(sandbox: StartSandbox, run: Command) -> None:
    """A FolkForm that is not there: one sentence with its address, within a minute."""
    started = time.monotonic()
    with _closed() as address:
        outcome = run(sandbox(), "incremental", FOLKFORM_BASE_URL=address)
    assert (outcome.code, outcome.out) == (75, "")
    assert time.monotonic() - started < 60
    sentence = _one_sentence(outcome)
    assert all(part in sentence for part in ("FolkForm", address, "refused the connection", "FOLKFORM_BASE_URL"))


def test_75_where_nobody_answers(sandbox: StartSandbox, run: Command) -> None:
    """A FolkForm that never answers: one sentence with the time waited, after five tries."""
    with _deaf() as address:
        outcome = run(sandbox(), "backfill", FOLKFORM_BASE_URL=address, CUSTOMER_SYNC_TIMEOUT="0.2")
    assert outcome.code == 75
    sentence = _one_sentence(outcome)
    assert all(part in sentence for part in ("did not answer within 0.2 s", address, "five times"))


def test_75_when_pancake_is_away(sandbox: StartSandbox, run: Command) -> None:
    """A Pancake that is not there ends every page, and the next run will do."""
    box = sandbox(pages=2, customers=3)
    with _closed() as address:
        outcome = run(box, "incremental", "--json", PANCAKE_BASE_URL=address)
    assert (outcome.code, outcome.json["status"], writes(box)) == (75, "failed", 0)
    assert all("PANCAKE_BASE_URL" in page["error"] for page in outcome.json["pages"])


@pytest.mark.parametrize("command", OVER_PAGES)
def test_3_with_a_wrong_token(sandbox: StartSandbox, run: Command, command: str) -> None:
    """FolkForm's refusal of our token: one sentence that names the setting, never the token, and no second try."""
    box = sandbox(customers=3)
    outcome = run(box, command, FOLKFORM_TOKEN="a-token-that-is-wrong")
    assert (outcome.code, outcome.out, box.requests.count()) == (3, "", 1)
    assert "FOLKFORM_TOKEN" in _one_sentence(outcome)
    assert "a-token-that-is-wrong" not in outcome.output


def test_2_where_the_role_is_not_clear(sandbox: StartSandbox, run: Command) -> None:
    """A token's user with several roles, and none set: the sentence names the setting, and the roles below."""
    box = sandbox()
    box.folkform.tokens[TOKEN] = Access(roles=(Role(), Role("65f0c0ffee0000000000bee2", "Reader")))
    outcome = run(box, "incremental", FOLKFORM_ROLE_ID="")
    assert outcome.code == 2
    assert "FOLKFORM_ROLE_ID is not set" in outcome.err
    assert "65f0c0ffee0000000000bee2  Reader" in outcome.err


def test_3_when_every_page_is_refused(sandbox: StartSandbox, run: Command) -> None:
    """When Pancake refuses the token of every page a person must act: each is told how."""
    box = sandbox(pages=2, customers=3)
    for page_id in box.pancake.page_ids():
        box.folkform.set_page(page_id, pageAccessToken="page-token-that-is-wrong", accessToken="")
    outcome = run(box, "backfill")
    assert outcome.code == 3
    assert all(f"Page {page_id} failed" in outcome.err for page_id in box.pancake.page_ids())
    assert "page-token-that-is-wrong" not in outcome.output


@pytest.mark.parametrize("command", OVER_PAGES)
def test_2_without_settings(run: Command, command: str) -> None:
    """Missing and malformed settings are all named at once, each with where it comes from."""
    outcome = run(None, command, "--workers", "many", CUSTOMER_SYNC_PAGE_SIZE="500")
    assert (outcome.code, outcome.out) == (2, "")
    for part in ("FOLKFORM_BASE_URL", "FOLKFORM_TOKEN", "--workers", "'many'", "CUSTOMER_SYNC_PAGE_SIZE", "'500'"):
        assert part in outcome.err


@pytest.mark.parametrize("arguments", [["--nonsense"], ["incremental", "--full"], ["backfill", "more"], ["sync"]])
def test_2_on_a_wrong_command_line(run: Command, arguments: list[str]) -> None:
    """What the command line does not know is refused."""
    outcome = run(None, *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert arguments[-1] in outcome.err


@pytest.mark.parametrize(
    ("command", "sent", "code"),
    [
        ("incremental", signal.SIGTERM, 143),
        ("incremental", signal.SIGINT, 130),
        ("backfill", signal.SIGTERM, 143),
        ("backfill", signal.SIGINT, 130),
    ],
)
def test_signals(sandbox: StartSandbox, run: Command, command: str, sent: signal.Signals, code: int) -> None:
    """A signal in the middle: what is in flight arrives, the summary is true, and the next runs lose nobody."""
    box = sandbox(folkform_latency=0.05)
    box.pancake.add_customers(only_page(box), people(300, 60, 20_000))
    process = run.start(box, command, "--json", CUSTOMER_SYNC_WORKERS="4")
    wait_until(lambda: writes(box) >= (20 if command == "incremental" else 150))
    process.send_signal(sent)
    outcome = run.end(process)
    page = outcome.page(only_page(box))
    assert (outcome.code, outcome.json["exit_code"]) == (code, code)
    assert (outcome.json["status"], outcome.json["complete"]) == ("interrupted", False)
    assert (page["status"], page["complete"], page["error"]) == ("interrupted", False, None)
    assert page["upserted"] == writes(box) == len(box.folkform.documents(only_page(box)))
    assert 20 <= page["upserted"] < 300
    box.behaviour.folkform_latency = 0.0
    assert run(box, "incremental").code == 0
    assert run(box, "backfill").code == 0
    assert box.difference().equal


def test_a_signal_before_the_first_page(sandbox: StartSandbox, run: Command) -> None:
    """A signal while FolkForm lets us wait for its pages ends the run as a signal does."""
    box = sandbox(folkform_latency=0.5)
    process = run.start(box, "incremental", "--json")
    wait_until(lambda: box.requests.count() > 0)
    process.send_signal(signal.SIGTERM)
    outcome = run.end(process)
    assert (outcome.code, outcome.json["exit_code"], outcome.json["status"]) == (143, 143, "interrupted")


def test_busy_pages(sandbox: StartSandbox, run: Command) -> None:
    """A page that another run is at is left to it, with a warning; when all are, the next run will do: 75."""
    box = sandbox(pages=2, customers=5)
    busy, free = box.pancake.page_ids()
    locks = PageLocks(run.lock_dir, Clock(), "incremental")
    with ExitStack() as held:
        held.enter_context(locks.held("incremental", busy))
        outcome = run(box, "incremental", "--json")
        assert (outcome.code, outcome.page(busy)["status"], outcome.page(free)["status"]) == (0, "busy", "ok")
        assert (outcome.json["status"], outcome.page(busy)["complete"]) == ("partial", False)
        assert len(outcome.page(busy)["warnings"]) == 1
        assert (
            f"page {busy} is locked by another run: incremental (process {os.getpid()}) since "
            in run(box, "incremental").err
        )
        held.enter_context(locks.held("incremental", free))
        outcome = run(box, "incremental", "--json")
        assert (outcome.code, outcome.json["status"]) == (75, "busy")
    assert box.folkform.documents(busy) == []
    assert run(box, "incremental").code == 0


def test_a_backfill_waits_for_an_incremental(sandbox: StartSandbox, run: Command) -> None:
    """A backfill whose page an incremental is at waits for it and then completes; another backfill is busy."""
    box = sandbox(customers=5)
    locks = PageLocks(run.lock_dir, Clock(), "incremental")
    with locks.held("backfill", only_page(box)):
        assert run(box, "backfill").code == 75
    box.requests.clear()
    with locks.held("incremental", only_page(box)):
        process = run.start(box, "backfill", "--json")
        assert process.stderr
        holder = f"page {only_page(box)} is locked by another run: incremental (process {os.getpid()}) since "
        assert f"waiting: {holder}" in process.stderr.readline()
        assert process.poll() is None
        assert writes(box) == 0
    assert run.end(process).json["complete"]
    assert box.difference().equal
