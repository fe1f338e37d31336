"""Page tokens: the record is read again before one is made; one is made at a time, stored, and none when disabled."""

import json
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any, get_args

import pytest

from customer_sync.config.settings import load_settings
from customer_sync.core.clock import Clock
from customer_sync.core.errors import ExitCode, Refused, StopRequested, TokenRefused
from customer_sync.core.locks import PageLocks
from customer_sync.http.redact import Redactor
from customer_sync.sandbox import Fault, Sandbox
from customer_sync.sandbox.behaviour import TokenRefusal
from customer_sync.services.factory import Services
from customer_sync.services.pancake import PancakeClient
from customer_sync.sync.passes import BACKFILL, INCREMENTAL

from .conftest import DAY, Command, Outcome, StartSandbox, only_page, people, writes
from .in_process import Passes
from .proxy import Passing, Proxy

REFUSALS: tuple[int, ...] = get_args(TokenRefusal)
LIST, MAKE = "/page_customers", "/generate_page_access_token"
RECORD, STORE = "/find-by-page-id/{page_id}", "/update-token"
ACCOUNT = "pages.fm → Account → Advanced"
WORKERS = 8
LATER = 4_000_000_000
Shop = Callable[..., Sandbox]
_SECRETS = ("page-token-", "user-token-", "folkform-sandbox-token")


no_renewal = pytest.mark.parametrize(
    ("options", "environment"),
    [(["--dry-run"], {}), ([], {"CUSTOMER_SYNC_RENEW_TOKENS": "0"})],
    ids=["dry run", "switched off"],
)


@pytest.fixture
def shop(sandbox: StartSandbox) -> Shop:
    """Starts a sandbox whose pages have six customers each, all of them recent."""

    def start(pages: int = 1, **behaviour: Any) -> Sandbox:
        box = sandbox(pages=pages, **behaviour)
        for page_id in box.pancake.page_ids():
            box.pancake.add_customers(page_id, people(6, 60, 600, page_id))
        return box

    return start


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback is never asked through the machine's proxy."""
    monkeypatch.setenv("NO_PROXY", "*")


def _lose(box: Sandbox, trouble: str, page_id: str | None = None) -> None:
    """Spoils a page's token: FolkForm's record holds none, or a dead one, or one that soon dies."""
    page_id = page_id or only_page(box)
    if trouble == "missing":
        box.folkform.set_page(page_id, pageAccessToken="")
    else:
        box.tokens.kill("page", page_id, after={"dead": 0, "dies": 2}[trouble])


def _refusal(refusal: int, page_id: str, *, skip: int = 0, times: int | None = 1) -> Fault:
    """Pancake's refusal of any token of a page: an HTTP status, or a code in an HTTP 200."""
    kind, no = ("status", {"status": refusal}) if refusal in (401, 403) else ("error_code", {"error_code": refusal})
    message = "not this token"
    return Fault.from_settings(
        {"kind": kind, "endpoint": LIST, "page_id": page_id, "skip": skip, "times": times, "message": message, **no}
    )


def _asked(box: Sandbox, *endings: str) -> list[int]:
    """How often each of these calls was made."""
    return [box.requests.count(None, ending) for ending in endings]


def _pages_asked(box: Sandbox, ending: str) -> list[str]:
    """The pages that a call was made for."""
    return sorted(str(request.page_id) for request in box.requests.recent if request.template.endswith(ending))


def _stored(box: Sandbox, page_id: str) -> str:
    """The page token in FolkForm's record."""
    return str((box.folkform.page(page_id) or {})["pageAccessToken"])


def _all_stored(box: Sandbox) -> bool:
    """Whether FolkForm's records hold the tokens that live."""
    return all(_stored(box, page_id) == box.pancake.page_token(page_id) for page_id in box.pancake.page_ids())


def _hides_tokens(outcome: Outcome) -> bool:
    return not any(secret in outcome.output for secret in _SECRETS)


def _error(outcome: Outcome, page_id: str) -> str:
    """Why a page failed."""
    return str(outcome.page(page_id)["error"])


# A new token


def _forget_new_tokens(box: Sandbox, proxy: Proxy) -> None:
    """The page's record returns to the token it has now, whenever another one was stored in it."""
    page_id = only_page(box)
    token = _stored(box, page_id)

    def after(passing: Passing) -> None:
        if passing.path.endswith(STORE):
            box.folkform.set_page(page_id, pageAccessToken=token)

    proxy.after = after


@pytest.mark.parametrize("refusal", [None, 403])
def test_one_new_token_a_page(shop: Shop, run: Command, refusal: int | None) -> None:
    """A token missing, dead, or dying during a pass: one new token a page is stored, no customer is missing."""
    box = shop(3, page_token_refusal=refusal)
    pages = box.pancake.page_ids()
    for page_id, trouble in zip(pages, ["missing", "dead", "dies"], strict=True):
        _lose(box, trouble, page_id)
    outcome = run(box, "backfill", "--json", "-v", "--debug", CUSTOMER_SYNC_PAGE_SIZE="3")
    assert (outcome.code, outcome.json["status"]) == (0, "ok")
    assert (box.difference().equal, writes(box)) == (True, 18)
    assert _pages_asked(box, MAKE) == sorted(pages)
    assert _all_stored(box)
    assert _hides_tokens(outcome)


@pytest.mark.parametrize("passed", [0, 2], ids=["first call", "third call"])
def test_every_refusal(shop: Shop, run: Command, passed: int) -> None:
    """Each of Pancake's refusals of a page token leads to a new one, at the first call and later."""
    box = shop(len(REFUSALS))
    for page_id, refusal in zip(box.pancake.page_ids(), REFUSALS, strict=True):
        box.faults.add(_refusal(refusal, page_id, skip=passed))
    outcome = run(box, "backfill", CUSTOMER_SYNC_PAGE_SIZE="3", CUSTOMER_SYNC_PAGES_AT_ONCE="8")
    assert (outcome.code, _asked(box, RECORD, MAKE, STORE)) == (0, [len(REFUSALS)] * 3)
    assert _pages_asked(box, MAKE) == sorted(box.pancake.page_ids())
    assert (_all_stored(box), box.difference().equal) == (True, True)


@pytest.mark.parametrize(
    ("trouble", "calls"), [("missing", [RECORD, MAKE, STORE, LIST]), ("dead", [LIST, RECORD, MAKE, STORE, LIST])]
)
def test_the_order_of_calls(shop: Shop, passes: Passes, trouble: str, calls: list[str]) -> None:
    """The record is read before a token is made, which is stored before it is used; the next run renews nothing."""
    box = shop()
    _lose(box, trouble)
    assert passes(box, INCREMENTAL).exit_code == 0
    asked = [call for one in box.requests.recent for call in set(calls) if one.template.endswith(call)]
    assert asked == calls
    box.requests.clear()
    assert passes(box, INCREMENTAL).exit_code == 0
    assert _asked(box, LIST, RECORD, MAKE, STORE) == [1, 0, 0, 0]


def test_only_the_page_concerned(shop: Shop, passes: Passes) -> None:
    """A page whose token is good keeps it, and its record is not read again."""
    box = shop(2)
    ill, well = box.pancake.page_ids()
    kept = box.pancake.page_token(well)
    _lose(box, "dead", ill)
    assert passes(box, BACKFILL).exit_code == 0
    assert (box.pancake.page_token(well), _stored(box, well)) == (kept, kept)
    assert _pages_asked(box, RECORD) == [ill]


def test_answers_that_are_lost(shop: Shop, passes: Passes) -> None:
    """A new token whose answer is lost is dead like the previous one: the last one made is stored and used."""
    box = shop()
    _lose(box, "dead")
    box.faults.add(Fault("reset", endpoint=MAKE, effect=True))
    box.faults.add(Fault("reset", endpoint=STORE, effect=True))
    assert passes(box, INCREMENTAL).exit_code == 0
    assert _asked(box, RECORD, MAKE, STORE) == [1, 2, 2]
    assert (_all_stored(box), box.difference().equal) == (True, True)


# A new token of another program


@no_renewal
def test_another_program_has_renewed_it(
    shop: Shop, run: Command, options: list[str], environment: dict[str, str]
) -> None:
    """A newer token in FolkForm's record is used and none is made, also by runs that may make none."""
    box = shop(2)
    missing, dead = box.pancake.page_ids()
    _lose(box, "missing", missing)
    _lose(box, "dead", dead)
    with box.faults.add(Fault("hang", service="folkform", endpoint="/find", times=None)):
        process = run.start(box, "incremental", "-v", *options, **environment)
        box.requests.wait_for(lambda request: request.fault == "hang")
        for page_id in (missing, dead):
            box.folkform.set_page(page_id, pageAccessToken=box.pancake.make_page_token(page_id))
    outcome = run.end(process)
    assert outcome.code == 0
    assert _asked(box, RECORD, MAKE, STORE) == [2, 0, 0]
    assert len(box.difference().missing) == (12 if "--dry-run" in options else 0)
    assert _hides_tokens(outcome)


def _program(box: Sandbox, lock_dir: Path, clock: Clock | None = None) -> PancakeClient:
    """A separate program, as a client for the sandbox's only page."""
    clock = clock or Clock()
    services = Services(
        load_settings({**box.environment, "CUSTOMER_SYNC_PANCAKE_RPS": "1000"}, {}),
        clock,
        Redactor(),
        PageLocks(lock_dir, clock),
    )
    (page,) = services.pages()
    return services.pancake(page)


def _ask_together(clients: list[PancakeClient]) -> list[str]:
    """What each gets when all call at once: the customers, or the error."""
    barrier = Barrier(len(clients))

    def ask(client: PancakeClient) -> str:
        barrier.wait()
        try:
            return f"{len(client.get_customers(1, 100, 0, LATER).customers)} customers"
        except TokenRefused as error:
            return str(error)

    with ThreadPoolExecutor(len(clients)) as pool:
        return list(pool.map(ask, clients))


@pytest.mark.parametrize(("trouble", "refusal"), [("missing", None), ("dead", None), ("dead", 401)])
def test_eight_workers_make_one_token(shop: Shop, tmp_path: Path, trouble: str, refusal: int | None) -> None:
    """Eight workers that share a page's token and meet the refusal together make one new token, and all continue."""
    box = shop(page_token_refusal=refusal, pancake_latency=0.1)
    _lose(box, trouble)
    assert _ask_together([_program(box, tmp_path)] * WORKERS) == ["6 customers"] * WORKERS
    assert _asked(box, RECORD, MAKE, STORE) == [1, 1, 1]
    assert _asked(box, LIST) == [WORKERS if trouble == "missing" else 2 * WORKERS]
    assert _all_stored(box)


@pytest.mark.parametrize("trouble", ["missing", "dead"])
def test_eight_programs_make_one_token(shop: Shop, tmp_path: Path, trouble: str) -> None:
    """Programs with a common lock directory make one new token, which the others find in FolkForm's record."""
    box = shop(pancake_latency=0.1)
    _lose(box, trouble)
    assert _ask_together([_program(box, tmp_path) for _ in range(WORKERS)]) == ["6 customers"] * WORKERS
    assert _asked(box, RECORD, MAKE, STORE) == [WORKERS, 1, 1]
    assert _all_stored(box)


def test_eight_workers_try_once(shop: Shop, tmp_path: Path) -> None:
    """Where no token can be made, eight workers learn that by one call."""
    box = shop(pancake_latency=0.1)
    _lose(box, "dead")
    box.tokens.kill("user")
    assert all(ACCOUNT in error for error in _ask_together([_program(box, tmp_path)] * WORKERS))
    assert _asked(box, RECORD, MAKE, STORE) == [1, 1, 0]


def test_two_processes_make_one_token(shop: Shop, run: Command) -> None:
    """A backfill and an incremental that meet the refusal of one page at the same moment make one new token."""
    box = shop()
    box.pancake.add_customers(only_page(box), people(6, 40 * DAY, 600, "old"))
    # The first list belongs to the backfill's own incremental, which no other one may run beside.
    with box.faults.add(Fault("hang", endpoint=LIST, skip=1, times=2)):
        processes = [run.start(box, "backfill")]
        box.requests.wait_for(lambda request: request.fault == "hang")
        processes.append(run.start(box, "incremental"))
        box.requests.wait_for(lambda request: request.fault == "hang", 2)
        _lose(box, "dead")
        box.behaviour.pancake_latency = 0.2
    assert [run.end(process).code for process in processes] == [0, 0]
    assert _asked(box, RECORD, MAKE, STORE) == [2, 1, 1]
    assert _all_stored(box)
    assert box.difference().equal


def test_a_stop_while_one_is_made(shop: Shop, tmp_path: Path) -> None:
    """A new token that was asked for before a stop is stored all the same: the one before is dead."""
    box, clock = shop(), Clock()
    _lose(box, "dead")
    client = _program(box, tmp_path, clock)
    with ThreadPoolExecutor() as pool:
        with box.faults.add(Fault("hang", endpoint=MAKE)):
            answer = pool.submit(client.get_customers, 1, 100, 0, LATER)
            box.requests.wait_for(lambda request: request.fault == "hang")
            clock.stop(StopRequested("Ended by SIGTERM", ExitCode.SIGTERM))
        with pytest.raises(StopRequested):
            answer.result()
    assert _asked(box, LIST, MAKE, STORE) == [1, 1, 1]
    assert _all_stored(box)


def test_a_signal_while_another_makes_one(shop: Shop, run: Command) -> None:
    """A run that waits for another process's new token ends at once on SIGTERM, and makes none."""
    box = shop()
    _lose(box, "dead")
    with PageLocks(run.lock_dir, Clock()).held("token", only_page(box)):
        process = run.start(box, "incremental", "--json")
        box.requests.wait_for(lambda request: request.template.endswith(LIST) and request.status == 200)
        process.send_signal(signal.SIGTERM)
        outcome = run.end(process)
    assert (outcome.code, outcome.page(only_page(box))["status"]) == (143, "interrupted")
    assert _asked(box, MAKE) == [0]


# No new token


@no_renewal
def test_none_is_made(shop: Shop, run: Command, options: list[str], environment: dict[str, str]) -> None:
    """A dry run and RENEW_TOKENS=0 make no token, missing or dead: exit 3 with the next step."""
    box = shop(2)
    missing, dead = box.pancake.page_ids()
    tokens = [box.pancake.page_token(missing), box.pancake.page_token(dead)]
    _lose(box, "missing", missing)
    _lose(box, "dead", dead)
    outcome = run(box, "incremental", "--json", "-v", "--debug", *options, **environment)
    assert (outcome.code, outcome.json["status"]) == (3, "failed")
    assert [": 105: " in _error(outcome, page_id) for page_id in (missing, dead)] == [False, True]
    next_step = "--dry-run" if options else "CUSTOMER_SYNC_RENEW_TOKENS=1"
    assert all(next_step in _error(outcome, page_id) for page_id in (missing, dead))
    assert _asked(box, MAKE, STORE) == [0, 0]
    assert [box.pancake.page_token(missing), box.pancake.page_token(dead)] == tokens
    assert [_stored(box, missing), _stored(box, dead)] == ["", tokens[1]]
    assert _hides_tokens(outcome)


@pytest.mark.parametrize("command", ["status", "verify"])
def test_a_report_promises_no_token(shop: Shop, run: Command, command: str) -> None:
    """A command that only reads does not know whether a pass could make a token: `check` does."""
    box = shop()
    _lose(box, "dead")
    outcome = run(box, command, "--json")
    assert (outcome.code, _asked(box, MAKE)) == (3, [0])
    assert _error(outcome, only_page(box)).endswith(". Run customer-sync check to see whether a pass can make one.")


@no_renewal
def test_none_is_made_later(
    shop: Shop, run: Command, passes: Passes, options: list[str], environment: dict[str, str]
) -> None:
    """A token that dies where none may be made ends the page; the next run continues from what was written."""
    box = shop()
    _lose(box, "dies")
    outcome = run(box, "backfill", "--json", *options, CUSTOMER_SYNC_PAGE_SIZE="3", **environment)
    assert (outcome.code, outcome.page(only_page(box))["complete"]) == (3, False)
    assert _asked(box, MAKE, STORE) == [0, 0]
    assert len(box.folkform.documents(only_page(box))) == (0 if "--dry-run" in options else outcome.totals["upserted"])
    assert passes(box, BACKFILL).exit_code == 0
    assert box.difference().equal


def test_a_dead_user_token(shop: Shop, run: Command) -> None:
    """Where the user token is dead as well, only that page fails, with the place to renew it."""
    box = shop(3)
    page_id = box.pancake.page_ids()[1]
    _lose(box, "dead", page_id)
    box.tokens.kill("user", page_id)
    outcome = run(box, "backfill", "--json", "-v", "--debug")
    assert (outcome.code, outcome.json["status"]) == (1, "partial")
    assert all(part in _error(outcome, page_id) for part in (": 103: access_token has expired. ", ACCOUNT))
    assert [one for one, page in box.difference().pages.items() if not page.equal] == [page_id]
    assert _asked(box, RECORD, MAKE, STORE) == [1, 1, 0]
    assert _hides_tokens(outcome)


@pytest.mark.parametrize(("trouble", "as_file"), [("missing", False), ("dead", True)], ids=["variable", "file"])
def test_a_user_token_from_the_settings(
    shop: Shop, run: Command, tmp_path: Path, trouble: str, *, as_file: bool
) -> None:
    """Where the record holds no user token, PANCAKE_ACCESS_TOKEN makes the page token."""
    box = shop()
    _lose(box, trouble)
    box.folkform.set_page(only_page(box), accessToken="")
    user_token = str(box.pancake.user_token(only_page(box)))
    (tmp_path / "token").write_text(user_token + "\n")
    given = {"PANCAKE_ACCESS_TOKEN_FILE": "token"} if as_file else {"PANCAKE_ACCESS_TOKEN": user_token}
    outcome = run(box, "incremental", "-v", "--debug", **given)
    assert outcome.code == 0
    assert (_all_stored(box), box.difference().equal) == (True, True)
    assert _hides_tokens(outcome)


def test_the_records_user_token_comes_first(shop: Shop, passes: Passes) -> None:
    """A record's own user token takes precedence over PANCAKE_ACCESS_TOKEN."""
    box = shop()
    _lose(box, "dead")
    passes.environment = {"PANCAKE_ACCESS_TOKEN": "user-token-of-another-user"}
    assert passes(box, INCREMENTAL).exit_code == 0
    assert _asked(box, MAKE) == [1]


@pytest.mark.parametrize(
    ("dead", "refusal"), [("the record's", 401), ("the record's", 107), ("the setting's", 403), ("none", None)]
)
def test_how_to_renew_the_user_token(shop: Shop, passes: Passes, dead: str, refusal: int | None) -> None:
    """The next step says where a user token is made, and both places that it can be kept in."""
    box = shop(user_token_refusal=refusal)
    _lose(box, "dead")
    box.tokens.kill("user")
    given = "" if dead == "none" else str(box.pancake.user_token(only_page(box)))
    passes.environment = {"PANCAKE_ACCESS_TOKEN": given}
    if dead != "the record's":
        box.folkform.set_page(only_page(box), accessToken="")
    (page,) = (result := passes(box, INCREMENTAL)).pages
    assert (result.exit_code, _asked(box, MAKE)) == (3, [0 if dead == "none" else 1])
    assert page.error
    verb = "Get one" if dead == "none" else "Renew the user token"
    assert page.error.next_step.startswith(
        f"{verb} at {ACCOUNT}, and set PANCAKE_ACCESS_TOKEN to it in the environment, or store it"
    )
    assert "as accessToken in FolkForm's page record" in page.error.next_step
    # The record's is dead or missing: the one that is set is used.
    box.tokens.revive()
    passes.environment = {"PANCAKE_ACCESS_TOKEN": str(box.pancake.user_token(only_page(box)))}
    box.folkform.set_page(only_page(box), pageAccessToken="", accessToken="a-dead-user-token")
    assert passes(box, INCREMENTAL).exit_code == 0


def test_a_user_token_that_came_with_the_record(shop: Shop, run: Command) -> None:
    """A user token that was renewed meanwhile is used, and hidden even where Pancake quotes it."""
    box = shop()
    _lose(box, "dead")
    secret = "user-token-of-a-new-kind"
    box.faults.add(Fault("error_code", endpoint=MAKE, error_code=107, message=f"{secret} has no permission"))
    with box.faults.add(Fault("hang", service="folkform", endpoint="/find")):
        process = run.start(box, "incremental", "--json", "-v", "--debug")
        box.requests.wait_for(lambda request: request.fault == "hang")
        box.folkform.set_page(only_page(box), accessToken=secret)
    outcome = run.end(process)
    assert outcome.code == 3
    assert [one.query["access_token"] for one in box.requests.recent if one.template.endswith(MAKE)] == [secret]
    assert "107: *** has no permission" in _error(outcome, only_page(box))
    assert _hides_tokens(outcome)


# A new token that does not help


def test_a_new_token_that_is_refused(shop: Shop, run: Command) -> None:
    """A new token that Pancake refuses at once ends that page alone, after one renewal."""
    box = shop(3)
    missing, dead, well = box.pancake.page_ids()
    for page_id, trouble, refusal in ((missing, "missing", 401), (dead, "dead", 105)):
        _lose(box, trouble, page_id)
        box.faults.add(_refusal(refusal, page_id, times=None))
    outcome = run(box, "backfill", "--json", "-v")
    assert outcome.code == 1
    for page_id in (missing, dead):
        assert "not this token" in _error(outcome, page_id)
    asked = _pages_asked(box, LIST)
    assert [asked.count(missing), asked.count(dead)] == [1, 2]
    assert _asked(box, RECORD, MAKE, STORE) == [4, 2, 2]
    assert box.difference(well).equal
    assert _hides_tokens(outcome)


def test_a_record_that_keeps_no_new_token(shop: Shop, run: Command, in_between: Callable[[Sandbox], Proxy]) -> None:
    """Where the record returns to its dead token and Pancake refuses every one, only one is made."""
    box = shop()
    page_id = only_page(box)
    _lose(box, "dead")
    box.faults.add(_refusal(105, page_id, times=None))
    proxy = in_between(box)
    _forget_new_tokens(box, proxy)
    outcome = run(None, "incremental", "--max-runtime", "10", **proxy.environment)
    assert (outcome.code, box.requests.count(None, MAKE)) == (3, 1)


def test_a_new_token_that_another_machine_replaced(shop: Shop, tmp_path: Path) -> None:
    """Two machines share no lock: the token of one dies when the other makes one, which FolkForm then holds."""
    box = shop()
    _lose(box, "missing")
    one, other = (_program(box, tmp_path / name) for name in ("one", "other"))
    assert one.get_customers(1, 100, 0, LATER).customers
    box.tokens.kill("page", only_page(box))
    assert other.get_customers(1, 100, 0, LATER).customers
    assert one.get_customers(1, 100, 0, LATER).customers
    assert box.requests.count(None, MAKE) == 2


def test_a_new_token_that_is_quoted(shop: Shop, passes: Passes) -> None:
    """A new token is hidden where Pancake quotes it."""
    box = shop()
    _lose(box, "dead")
    with ThreadPoolExecutor() as pool, box.faults.add(Fault("hang", endpoint=STORE)):
        running = pool.submit(passes, box, INCREMENTAL)
        box.requests.wait_for(lambda request: request.fault == "hang")
        quoted = f"{box.pancake.page_token(only_page(box))} is no good"
        box.faults.add(Fault("error_code", endpoint=LIST, error_code=106, message=quoted))
    (page,) = running.result().pages
    assert ": 106: *** is no good. " in str(page.error)


def test_a_newer_token_that_is_dead_too(shop: Shop, passes: Passes, in_between: Callable[[Sandbox], Proxy]) -> None:
    """Where FolkForm's record holds another token that is dead as well, a new one is made."""
    box = shop()
    page_id = only_page(box)
    _lose(box, "dead")
    coming = ["another-dead-token"]
    proxy = in_between(box)

    def before(passing: Passing) -> None:
        if passing.path.endswith(LIST) and coming:
            box.folkform.set_page(page_id, pageAccessToken=coming.pop())

    proxy.before = before
    assert passes(proxy, INCREMENTAL).exit_code == ExitCode.OK
    assert _asked(box, RECORD, MAKE, STORE) == [2, 1, 1]
    assert box.difference().equal


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_of_a_proxy_makes_no_token(shop: Shop, run: Command, status: int) -> None:
    """A refusal without Pancake's message is not about the token: none is made, the page fails."""
    box = shop()
    box.faults.add(Fault("html", endpoint=LIST, status=status, times=None))
    outcome = run(box, "incremental", "--json")
    assert (outcome.code, _asked(box, RECORD, MAKE, STORE)) == (3, [0, 0, 0])
    assert f"answered {status}" in _error(outcome, only_page(box))


def test_folkform_does_not_store_it(shop: Shop, run: Command, passes: Passes) -> None:
    """A new token that FolkForm refuses to store ends the page; the next run makes another."""
    box = shop()
    _lose(box, "dead")
    with box.faults.add(Fault("status", endpoint=STORE, status=403, message="not yours", times=None)):
        outcome = run(box, "incremental", "--json", "-v", "--debug")
    assert outcome.code == 3
    assert all(part in _error(outcome, only_page(box)) for part in ("FolkForm answered 403", "token", "not yours"))
    assert _asked(box, MAKE, STORE) == [1, 1]
    assert _hides_tokens(outcome)
    assert passes(box, INCREMENTAL).exit_code == 0
    assert (_all_stored(box), box.difference().equal) == (True, True)


def test_folkform_does_not_show_the_record(shop: Shop, passes: Passes) -> None:
    """Where the record cannot be read again none is made: another program may have renewed it."""
    box = shop()
    _lose(box, "dead")
    box.faults.add(Fault("status", endpoint=RECORD, status=403, times=None))
    (page,) = (result := passes(box, INCREMENTAL)).pages
    assert (result.exit_code, _asked(box, RECORD, MAKE)) == (3, [1, 0])
    assert "FolkForm answered 403" in str(page.error)


@pytest.mark.parametrize("status", [400, 200])
def test_pancake_makes_none(shop: Shop, passes: Passes, status: int) -> None:
    """A refusal to make a token that is not about the user token fails the page after one attempt."""
    box = shop()
    _lose(box, "dead")
    box.faults.add(Fault("error_code", endpoint=MAKE, status=status, message="Not today", times=None))
    (page,) = (result := passes(box, INCREMENTAL)).pages
    assert (result.exit_code, _asked(box, MAKE, STORE)) == (3, [1, 0])
    assert isinstance(page.error, Refused)
    assert "Not today" in str(page.error)


# Pancake's list of pages


@pytest.mark.parametrize("trouble", ["missing", "dead"])
@pytest.mark.parametrize(
    ("options", "environment", "stores"),
    [([], {}, True), (["--dry-run"], {}, False), ([], {"CUSTOMER_SYNC_RENEW_TOKENS": "0"}, False)],
    ids=["pass", "dry run", "switched off"],
)
def test_the_present_token_is_read(
    shop: Shop, run: Command, options: list[str], environment: dict[str, str], trouble: str, *, stores: bool
) -> None:
    """The token that Pancake lists is used where FolkForm's is refused or missing: no other program loses its own."""
    box = shop(shows_page_tokens=True)
    page_id = only_page(box)
    stored = "" if trouble == "missing" else _stored(box, page_id)
    box.folkform.set_page(page_id, pageAccessToken="")
    present = box.pancake.make_page_token(page_id)
    box.folkform.set_page(page_id, pageAccessToken=stored)
    outcome = run(box, "backfill", "-v", *options, **environment)
    assert (outcome.code, _asked(box, MAKE), box.pancake.page_token(page_id)) == (0, [0], present)
    assert _stored(box, page_id) == (present if stores else stored)
    assert _hides_tokens(outcome)


def test_the_refused_token_is_the_present_one(shop: Shop, run: Command) -> None:
    """Where Pancake refuses the token that it lists, a new one would not help: none is made, with Pancake's words."""
    box = shop(shows_page_tokens=True)
    box.faults.add(_refusal(107, only_page(box), times=None))
    outcome = run(box, "incremental", "--json")
    assert (outcome.code, _asked(box, MAKE, STORE)) == (3, [0, 0])
    assert "107: not this token" in _error(outcome, only_page(box))


@pytest.mark.parametrize("status", [404, 403, 400, 500])
def test_a_pancake_that_lists_no_pages(shop: Shop, passes: Passes, status: int) -> None:
    """A list that Pancake refuses, or fails at for good, keeps no token from being made."""
    box = shop()
    _lose(box, "dead")
    box.faults.add(Fault("status", service="pancake", endpoint="/v1/pages", status=status, message="no", times=None))
    assert passes(box, INCREMENTAL).exit_code == 0
    assert _asked(box, MAKE) == [1]


def test_a_list_that_does_not_come(shop: Shop, passes: Passes) -> None:
    """Where the list is out of order, none is made: later it may show the present one."""
    box = shop()
    _lose(box, "dead")
    box.faults.add(Fault("status", service="pancake", endpoint="/v1/pages", status=503, times=None))
    assert passes(box, INCREMENTAL).exit_code == 75
    assert _asked(box, MAKE) == [0]


def test_a_list_that_a_proxy_replaces(shop: Shop, passes: Passes, in_between: Callable[[Sandbox], Proxy]) -> None:
    """A proxy's page with 200 is passing trouble, too: none is made."""
    box = shop()
    _lose(box, "dead")
    proxy = in_between(box)
    proxy.before = lambda passing: b"<html>Maintenance</html>" if passing.path.endswith("/v1/pages") else None
    assert passes(proxy, INCREMENTAL).exit_code == 75
    assert _asked(box, MAKE) == [0]


@pytest.mark.parametrize(
    "listed",
    [
        {"id": "another", "settings": {"page_access_token": "page-token-of-another"}},
        {"settings": {"page_access_token": "page-token-of-none"}},
        {"id": "104", "settings": {"page_access_token": 5}},
        {"id": "104", "settings": {"page_access_token": "page-token-\ud800"}},
        {"id": "104", "settings": None},
        {"id": "104"},
        None,
        [],
    ],
    ids=str,
)
def test_lists_without_the_token(
    shop: Shop, passes: Passes, in_between: Callable[[Sandbox], Proxy], listed: Any
) -> None:
    """The token of another page, and what is no token, is not used."""
    box = shop()
    page_id = only_page(box)
    _lose(box, "missing")
    if isinstance(listed, dict) and listed.get("id") == "104":
        listed["id"] = page_id
    answer = json.dumps({"success": True, "categorized": {"activated": [listed]}}).encode()
    proxy = in_between(box)
    proxy.before = lambda passing: answer if passing.path.endswith("/v1/pages") else None
    assert passes(proxy, INCREMENTAL).exit_code == 0
    assert (_asked(box, MAKE), _all_stored(box)) == ([1], True)


# Refusals that a new token does not end


@pytest.mark.parametrize(
    ("refusal", "trouble"), [*((refusal, "none") for refusal in REFUSALS), (105, "dead"), (105, "missing")]
)
def test_one_new_token_in_all_runs(shop: Shop, run: Command, refusal: int, trouble: str) -> None:
    """A page that is always refused gets one new token, however many runs there are; the others are synced."""
    box = shop(2)
    refused, well = box.pancake.page_ids()
    if trouble != "none":
        _lose(box, trouble, refused)
    box.faults.add(_refusal(refusal, refused, times=None))
    outcomes = [run(box, name, "--json") for name in ("incremental", "backfill", "incremental")]
    assert [outcome.code for outcome in outcomes] == [1, 1, 1]
    assert all("not this token" in _error(outcome, refused) for outcome in outcomes)
    assert (_pages_asked(box, MAKE), _asked(box, STORE)) == ([refused], [1])
    assert box.difference(well).equal
    assert all(_hides_tokens(outcome) for outcome in outcomes)


def test_check_knows_that_a_new_token_did_not_help(shop: Shop, run: Command) -> None:
    """No pass makes another one, so it is wrong, and no warning that says so."""
    box = shop()
    box.faults.add(_refusal(105, only_page(box), times=None))
    codes = [run(box, name).code for name in ("check", "incremental", "check")]
    assert codes == [0, 3, 3]


def test_one_new_token_where_only_some_calls_are_refused(shop: Shop, run: Command) -> None:
    """A refusal that comes with the second answer of every run is not about the token, which the first one accepted."""
    box = shop()
    page_id = only_page(box)
    for _ in range(3):
        box.faults.clear()
        box.faults.add(_refusal(106, page_id, skip=1, times=None))
        assert run(box, "backfill", CUSTOMER_SYNC_PAGE_SIZE="3").code == 3
    assert _asked(box, MAKE) == [1]


def test_one_new_token_that_folkform_forgets(shop: Shop, run: Command, in_between: Callable[[Sandbox], Proxy]) -> None:
    """Where FolkForm's record returns to its dead token, later runs make none either."""
    box = shop()
    page_id = only_page(box)
    _lose(box, "dead")
    box.faults.add(_refusal(105, page_id, times=None))
    proxy = in_between(box)
    _forget_new_tokens(box, proxy)
    assert [run(None, "incremental", **proxy.environment).code for _ in range(3)] == [3, 3, 3]
    assert _asked(box, MAKE) == [1]


def test_the_page_works_again(shop: Shop, run: Command) -> None:
    """Once the refusal ends, the token made before is used; when that one dies for another reason, one is made."""
    box = shop()
    page_id = only_page(box)
    with box.faults.add(_refusal(107, page_id, times=None)):
        assert run(box, "incremental").code == 3
    assert (run(box, "incremental").code, _asked(box, MAKE)) == (0, [1])
    _lose(box, "dead")
    assert (run(box, "incremental").code, _asked(box, MAKE), _all_stored(box)) == (0, [2], True)


def test_a_token_that_an_operator_stored(shop: Shop, run: Command) -> None:
    """Another token in FolkForm's record may be renewed again: the refusals before were not of it."""
    box = shop()
    page_id = only_page(box)
    box.faults.add(_refusal(105, page_id, times=None))
    assert run(box, "incremental").code == 3
    box.folkform.set_page(page_id, pageAccessToken="page-token-of-an-operator")
    assert run(box, "incremental").code == 3
    assert _asked(box, MAKE) == [2]


@pytest.mark.parametrize("kind", ["link", "pipe", "directory"])
def test_what_stands_where_refusals_are_kept(shop: Shop, run: Command, tmp_path: Path, kind: str) -> None:
    """A link is replaced and not followed, a pipe is not waited for, a directory ends no page."""
    box = shop()
    page_id = only_page(box)
    box.faults.add(_refusal(105, page_id, times=None))
    run.lock_dir.mkdir(mode=0o700)
    place, other = run.lock_dir / f"refused-{page_id}.txt", tmp_path / "other"
    other.write_text("kept")
    if kind == "link":
        place.symlink_to(other)
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        place.mkdir()
    assert run(box, "incremental", "--max-runtime", "20").code == 3
    assert (_asked(box, MAKE), other.read_text()) == ([1], "kept")


# Other programs


def test_another_program_renews_it_again_and_again(
    shop: Shop, passes: Passes, in_between: Callable[[Sandbox], Proxy]
) -> None:
    """As often as FolkForm's record has changed, its token is used, and none is made."""
    box = shop()
    page_id = only_page(box)
    proxy = in_between(box)

    def after(passing: Passing) -> None:
        if passing.path.endswith(LIST):
            box.folkform.set_page(page_id, pageAccessToken=box.pancake.make_page_token(page_id))

    proxy.after = after
    passes.environment = {"CUSTOMER_SYNC_PAGE_SIZE": "2"}
    assert passes(proxy, BACKFILL).exit_code == 0
    assert _asked(box, MAKE) == [0]
    assert _asked(box, RECORD)[0] >= 3
    assert box.difference().equal


@pytest.mark.parametrize("times", [2, 9])
def test_another_program_renews_it_and_stores_none(
    shop: Shop, passes: Passes, in_between: Callable[[Sandbox], Proxy], times: int
) -> None:
    """A new token that worked and was renewed elsewhere is replaced, three times in a run at most."""
    box = shop()
    page_id = only_page(box)
    proxy = in_between(box)
    left = [*range(times)]

    def after(passing: Passing) -> None:
        accepted = passing.query.get("page_access_token") == box.pancake.page_token(page_id)
        if passing.path.endswith(LIST) and accepted and left:
            left.pop()
            box.pancake.make_page_token(page_id)

    proxy.after = after
    passes.environment = {"CUSTOMER_SYNC_PAGE_SIZE": "1"}
    assert passes(proxy, BACKFILL).exit_code == (0 if times == 2 else 3)
    assert _asked(box, MAKE) == [min(times, 3)]
    assert passes(box, BACKFILL).exit_code == 0
    assert box.difference().equal


# The user token of the settings


@pytest.mark.parametrize("refusal", [None, 401, 107])
def test_a_dead_user_token_and_a_good_one(shop: Shop, run: Command, refusal: int | None) -> None:
    """PANCAKE_ACCESS_TOKEN is tried after the record's user token is refused, and that is logged."""
    box = shop(user_token_refusal=refusal)
    _lose(box, "dead")
    box.folkform.set_page(only_page(box), accessToken="user-token-that-is-dead")
    outcome = run(box, "incremental", PANCAKE_ACCESS_TOKEN=str(box.pancake.user_token(only_page(box))))
    assert (outcome.code, _asked(box, MAKE), box.difference().equal) == (0, [2], True)
    assert "PANCAKE_ACCESS_TOKEN" in outcome.err
    assert _hides_tokens(outcome)


def test_two_dead_user_tokens(shop: Shop, run: Command) -> None:
    """Where both are refused, the next step names both places."""
    box = shop()
    _lose(box, "dead")
    box.folkform.set_page(only_page(box), accessToken="user-token-that-is-dead")
    outcome = run(box, "incremental", "--json", PANCAKE_ACCESS_TOKEN="user-token-that-is-dead-too")
    assert (outcome.code, _asked(box, MAKE)) == (3, [2])
    error = _error(outcome, only_page(box))
    assert all(part in error for part in ("FolkForm's page record", "PANCAKE_ACCESS_TOKEN", ACCOUNT, "103"))
    assert _hides_tokens(outcome)


def test_the_present_token_of_the_settings_user(shop: Shop, passes: Passes) -> None:
    """Pancake's list is asked with PANCAKE_ACCESS_TOKEN, too."""
    box = shop(shows_page_tokens=True)
    page_id = only_page(box)
    box.pancake.make_page_token(page_id)
    box.folkform.set_page(page_id, accessToken="user-token-that-is-dead")
    passes.environment = {"PANCAKE_ACCESS_TOKEN": str(box.pancake.user_token(page_id))}
    assert passes(box, INCREMENTAL).exit_code == 0
    assert (_asked(box, MAKE), _all_stored(box)) == ([0], True)
