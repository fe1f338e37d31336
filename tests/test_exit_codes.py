"""Every exit code in a real situation."""

import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from customer_sync.core.clock import Clock
from customer_sync.core.locks import PageLocks
from customer_sync.sandbox.folkform import TOKEN, Access, Role

from .conftest import Command, Outcome, StartSandbox, only_page, person, refuse, wait_until, writes

PASSES = ["incremental", "backfill"]
OVER_PAGES = [*PASSES, "status"]


def _error(outcome: Outcome) -> str:
    """The only error that was printed."""
    (line,) = [line for line in outcome.err.splitlines() if "Error" in line]
    assert "Traceback" not in outcome.output
    return line


@pytest.mark.parametrize("command", PASSES)
def test_0_and_1(sandbox: StartSandbox, run: Command, command: str) -> None:
    """0 when no customer failed, despite malformed ones; 1 as soon as one failed."""
    box = sandbox(customers=10)
    box.pancake.add_customer(only_page(box), {**person("malformed", 90), "id": None})
    assert run(box, command).code == 0
    box.pancake.add_customer(only_page(box), person("refused", 90))
    refuse(box, "refused")
    assert run(box, command).code == 1


@contextmanager
def _closed() -> Iterator[str]:
    """An address where nothing listens, and nothing else will."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{holder.getsockname()[1]}/api/v1"


def test_75_when_folkform_is_down(sandbox: StartSandbox, run: Command) -> None:
    """A FolkForm that refuses connections: one sentence with its address and setting, within a minute."""
    started = time.monotonic()
    with _closed() as address:
        outcome = run(sandbox(), "incremental", FOLKFORM_BASE_URL=address)
    assert (outcome.code, outcome.out) == (75, "")
    assert time.monotonic() - started < 60
    assert all(part in _error(outcome) for part in (address, "FOLKFORM_BASE_URL"))


def test_75_when_folkform_does_not_answer(sandbox: StartSandbox, run: Command) -> None:
    """A FolkForm that accepts connections and never answers: one sentence with its address and the timeout."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/api/v1"
        outcome = run(sandbox(), "backfill", FOLKFORM_BASE_URL=address, CUSTOMER_SYNC_TIMEOUT="0.2")
    assert outcome.code == 75
    assert all(part in _error(outcome) for part in (address, "0.2 s"))


def test_75_when_pancake_is_down(sandbox: StartSandbox, run: Command) -> None:
    """A Pancake that refuses connections fails every page; the next run tries again."""
    box = sandbox(pages=2, customers=3)
    with _closed() as address:
        outcome = run(box, "incremental", "--json", PANCAKE_BASE_URL=address)
    assert (outcome.code, outcome.json["status"], writes(box)) == (75, "failed", 0)
    assert all("PANCAKE_BASE_URL" in page["error"] for page in outcome.json["pages"])


@pytest.mark.parametrize("command", OVER_PAGES)
def test_3_with_a_wrong_token(sandbox: StartSandbox, run: Command, command: str) -> None:
    """FolkForm's rejection of the token: one sentence that names the setting, never the token, and no second try."""
    box = sandbox(customers=3)
    outcome = run(box, command, FOLKFORM_TOKEN="a-token-that-is-wrong")
    assert (outcome.code, outcome.out, box.requests.count()) == (3, "", 1)
    assert "FOLKFORM_TOKEN" in _error(outcome)
    assert "a-token-that-is-wrong" not in outcome.output


def test_3_when_every_page_is_rejected(sandbox: StartSandbox, run: Command) -> None:
    """When Pancake rejects the token of every page an operator must act."""
    box = sandbox(pages=2, customers=3)
    for page_id in box.pancake.page_ids():
        box.folkform.set_page(page_id, pageAccessToken="page-token-that-is-wrong", accessToken="")
    outcome = run(box, "backfill", "--json")
    assert (outcome.code, [page["status"] for page in outcome.json["pages"]]) == (3, ["failed", "failed"])
    assert "page-token-that-is-wrong" not in outcome.output


def test_2_where_the_role_is_not_clear(sandbox: StartSandbox, run: Command) -> None:
    """A user with several roles, and none set: the error names the setting, and lists the roles."""
    box = sandbox()
    box.folkform.tokens[TOKEN] = Access(roles=(Role(), Role("65f0c0ffee0000000000bee2", "Reader")))
    outcome = run(box, "incremental", FOLKFORM_ROLE_ID="")
    assert outcome.code == 2
    assert "FOLKFORM_ROLE_ID" in _error(outcome)
    assert "65f0c0ffee0000000000bee2  Reader" in outcome.err


@pytest.mark.parametrize("command", OVER_PAGES)
def test_2_without_settings(run: Command, command: str) -> None:
    """Missing and malformed settings are all named at once."""
    outcome = run(None, command, CUSTOMER_SYNC_WORKERS="many", CUSTOMER_SYNC_PAGE_SIZE="500")
    assert (outcome.code, outcome.out) == (2, "")
    for part in ("FOLKFORM_BASE_URL", "FOLKFORM_TOKEN", "CUSTOMER_SYNC_WORKERS", "'many'", "'500'"):
        assert part in outcome.err


@pytest.mark.parametrize(
    "arguments",
    [["--nonsense"], ["incremental", "--full"], ["backfill", "more"], ["sync"], ["incremental", "--workers"]],
    ids=" ".join,
)
def test_2_on_a_wrong_command_line(run: Command, arguments: list[str]) -> None:
    """An unknown option, argument or command is a usage error; a setting is no option."""
    outcome = run(None, *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert arguments[-1] in outcome.err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["incremental", "--full"], "--full is no option of incremental, but of backfill"),
        (["incremental", "--page", "1", "--rewrite"], "--rewrite is no option of incremental, but of backfill"),
        (["verify", "--since=2020-01-01"], "--since is no option of verify, but of incremental and backfill"),
        (["check", "--port", "1"], "--port is no option of check, but of sandbox"),
        (["check", "--quiet", "-v"], "--quiet: it contradicts --verbose"),
        (["sandbox", "--port", "80000"], "'--port'"),
        (["sandbox", "--port", "-1"], "'--port'"),
        (["sandbox", "--pages", "0"], "'--pages'"),
        (["sandbox", "--pages", "5000"], "'--pages'"),
        (["sandbox", "--customers", "-1"], "'--customers'"),
        (["sandbox", "--customers", "10000000"], "'--customers'"),
    ],
    ids=lambda part: part if isinstance(part, str) else " ".join(part),
)
def test_2_in_one_sentence(run: Command, arguments: list[str], problem: str) -> None:
    """An option of another command, a contradiction and a number out of range: the usage, and one sentence."""
    outcome = run(None, *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    (line,) = [line for line in outcome.err.splitlines() if line.startswith("Error: ")]
    assert problem in line
    assert outcome.err.startswith(f"Usage: customer-sync {arguments[0]} [OPTIONS]")


def test_2_names_every_problem_at_once(run: Command) -> None:
    """Arguments and settings are checked together."""
    outcome = run(None, "backfill", "--rewrite", "--since", "soon", "--jitter", "x", "--shard", "8/8")
    assert outcome.code == 2
    for part in ("--rewrite", "--since", "--jitter", "--shard", "FOLKFORM_BASE_URL"):
        assert part in outcome.err


@pytest.mark.parametrize("command", PASSES)
def test_2_when_since_is_in_the_future(sandbox: StartSandbox, run: Command, command: str) -> None:
    """Nothing can have changed since then; a year with a typing error must not look like a success."""
    box = sandbox()
    outcome = run(box, command, "--since", "2999-01-01")
    assert (outcome.code, box.requests.count()) == (2, 0)
    assert "--since 2999-01-01 is in the future" in _error(outcome)


@pytest.mark.parametrize(
    ("given", "nearest"), [("page-A0", "page-a0"), (" page-a7 ", "page-a7"), ("page-a59x", "page-a59"), ("zzz", "")]
)
@pytest.mark.parametrize("command", ["incremental", "check"])
def test_2_names_the_nearest_page(sandbox: StartSandbox, run: Command, command: str, given: str, nearest: str) -> None:
    """A mistyped page among sixty: the nearest one, and not a list of all."""
    box = sandbox(pages=0)
    for number in range(60):
        box.add_page(f"page-a{number}", "Quán")
    outcome = run(box, command, "--page", given)
    output = " ".join(outcome.output.split())
    assert outcome.code == 2
    shown = f"'{given}'" if " " in given else given
    hint = f" (did you mean {nearest}?)" if nearest else ""
    assert f"page {' '.join(shown.split())} not found in FolkForm{hint}" in output
    assert re.search(r"page-a0, page-a1, page-a2, page-a3, page-a4 and 55 more; customer-sync status shows all", output)


def test_a_signal_before_the_first_page(sandbox: StartSandbox, run: Command) -> None:
    """A signal while FolkForm lists its pages stops the run."""
    box = sandbox(folkform_latency=0.5)
    process = run.start(box, "incremental", "--json")
    wait_until(lambda: box.requests.count() > 0)
    process.terminate()
    outcome = run.end(process)
    assert (outcome.code, outcome.json["exit_code"], outcome.json["status"]) == (143, 143, "interrupted")


def test_locked_pages(sandbox: StartSandbox, run: Command) -> None:
    """A page that another run works on is skipped, with a warning; when all are locked: 75."""
    box = sandbox(pages=2, customers=5)
    locked, free = box.pancake.page_ids()
    locks = PageLocks(run.lock_dir, Clock(), "incremental")
    with ExitStack() as held:
        held.enter_context(locks.held("incremental", locked))
        outcome = run(box, "incremental", "--json")
        assert (outcome.code, outcome.page(locked)["status"], outcome.page(free)["status"]) == (0, "busy", "ok")
        assert (outcome.json["status"], outcome.page(locked)["complete"]) == ("partial", False)
        assert f"incremental (process {os.getpid()})" in outcome.page(locked)["warnings"][0]
        held.enter_context(locks.held("incremental", free))
        outcome = run(box, "incremental", "--json")
        assert (outcome.code, outcome.json["status"]) == (75, "busy")
    assert box.folkform.documents(locked) == []
    assert run(box, "incremental").code == 0


def test_a_backfill_waits_for_an_incremental(sandbox: StartSandbox, run: Command) -> None:
    """A backfill waits for an incremental of its page, and skips a page that another backfill works on."""
    box = sandbox(customers=5)
    locks = PageLocks(run.lock_dir, Clock(), "incremental")
    with locks.held("backfill", only_page(box)):
        assert run(box, "backfill").code == 75
    box.requests.clear()
    with locks.held("incremental", only_page(box)):
        process = run.start(box, "backfill", "--json")
        assert process.stderr
        assert f"incremental (process {os.getpid()})" in process.stderr.readline()
        assert process.poll() is None
        assert writes(box) == 0
    assert run.end(process).json["complete"]
    assert box.difference().equal
