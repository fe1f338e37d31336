"""FolkForm's bearer token: given, in a file, or from a sign-in, renewed once; and the role in use."""

import re
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from customer_sync.config.settings import load_settings
from customer_sync.core.errors import SettingsError
from customer_sync.results.page_result import SyncedPage
from customer_sync.results.pass_result import PassResult
from customer_sync.sandbox import Fault, Sandbox
from customer_sync.sandbox.firebase_api import API_KEY, PASSWORD
from customer_sync.sandbox.folkform import ROLE_ID, TOKEN, Access, Role
from customer_sync.services.sign_in import CHECK_SIGN_IN, BearerToken
from customer_sync.sync.passes import INCREMENTAL

from .conftest import Command, Outcome, StartSandbox, forbidden, only_page, people, writes
from .in_process import Passes
from .test_http import PatientClock

FIREBASE, LOGIN = "/accounts:signInWithPassword", "/auth/login/firebase"
WORKERS = 8
_SECRETS = (TOKEN, PASSWORD, API_KEY, "firebase-id-token-", "folkform-token-", "page-token-", "user-token-")


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback is never asked through the machine's proxy."""
    monkeypatch.setenv("NO_PROXY", "*")


def _shop(sandbox: StartSandbox, customers: int = 40, **behaviour: Any) -> Sandbox:
    """A page with recent customers, and a FolkForm that needs a moment for each."""
    box = sandbox(**{"folkform_latency": 0.01, **behaviour})
    box.pancake.add_customers(only_page(box), people(customers, 60, 600))
    return box


def _signing_in(box: Sandbox, **changes: str) -> dict[str, str]:
    """The settings of a sign-in, and no bearer token."""
    return {**box.sign_in_environment, "FOLKFORM_TOKEN": "", **changes}


def _sign_ins(box: Sandbox) -> tuple[int, int]:
    """How many idTokens Firebase was asked for, and how many bearer tokens FolkForm."""
    return box.requests.count("firebase", FIREBASE), box.requests.count("folkform", LOGIN)


def _only_error(outcome: Outcome) -> str:
    """The only line that names an error: of the run, or of a page."""
    errors = [line for line in outcome.err.splitlines() if "Error: " in line or " failed: " in line]
    assert len(errors) == 1, outcome.err
    assert "Traceback" not in outcome.output
    return errors[0]


def _hides_secrets(outcome: Outcome) -> bool:
    return not any(secret in outcome.output for secret in _SECRETS)


def _run_here(passes: Passes, box: Sandbox, name: str = INCREMENTAL, **environment: str) -> PassResult[SyncedPage]:
    """A pass in this process."""
    passes.environment = {"CUSTOMER_SYNC_WORKERS": str(WORKERS), **environment}
    return passes(box, name)


# Ways to a token


def test_a_token_in_a_file(sandbox: StartSandbox, run: Command) -> None:
    """FOLKFORM_TOKEN_FILE names a file with the bearer token."""
    box = _shop(sandbox, 3)
    (run.home / "token").write_text(f"{TOKEN}\n")
    outcome = run(box, "incremental", "-v", "--debug", FOLKFORM_TOKEN="", FOLKFORM_TOKEN_FILE="token")
    assert (outcome.code, box.difference().equal, _sign_ins(box)) == (0, True, (0, 0))
    assert _hides_secrets(outcome)


@pytest.mark.parametrize(("command", "in_files"), [("incremental", False), ("backfill", True)])
def test_signing_in(sandbox: StartSandbox, run: Command, command: str, *, in_files: bool) -> None:
    """Without a token the program signs in once, before anything else, and shows none of its secrets."""
    box = _shop(sandbox)
    settings = _signing_in(box)
    if in_files:
        for variable in ("FOLKFORM_PASSWORD", "FIREBASE_API_KEY"):
            (run.home / variable).write_text(settings.pop(variable) + "\n")
            settings[f"{variable}_FILE"] = variable
    outcome = run(box, command, "--json", "-v", "--debug", **settings)
    assert (outcome.code, box.difference().equal, _sign_ins(box)) == (0, True, (1, 1))
    assert [request.template for request in box.requests.recent[:2]] == [FIREBASE, LOGIN]
    assert forbidden(box) == []
    assert _hides_secrets(outcome)


def test_a_given_token_that_lives(sandbox: StartSandbox, passes: Passes) -> None:
    """A given token is used as long as it lives, even where a sign-in is possible."""
    box = _shop(sandbox, 3)
    assert _run_here(passes, box, **box.sign_in_environment).exit_code == 0
    assert _sign_ins(box) == (0, 0)


def test_half_a_sign_in(sandbox: StartSandbox, run: Command) -> None:
    """An email without a password: exit 2, the missing settings are named, and no service is called."""
    box = sandbox()
    outcome = run(box, "incremental", **_signing_in(box, FOLKFORM_PASSWORD="", FIREBASE_API_KEY=""))
    assert (outcome.code, outcome.out, box.requests.count()) == (2, "", 0)
    assert re.findall(r"(\w+) is missing", outcome.err) == ["FOLKFORM_PASSWORD", "FIREBASE_API_KEY"]


@pytest.mark.parametrize("missing", ["FOLKFORM_EMAIL", "FOLKFORM_PASSWORD", "FIREBASE_API_KEY"])
def test_most_of_a_sign_in(sandbox: StartSandbox, missing: str) -> None:
    """A sign-in that lacks one setting names that one."""
    box = sandbox()
    with pytest.raises(SettingsError) as error:
        load_settings(_signing_in(box, **{missing: ""}), {})
    assert [problem.partition(" ")[0] for problem in error.value.problems] == [missing]


# A token that dies


@pytest.mark.parametrize("given", [True, False], ids=["given token", "signed in"])
def test_a_token_that_dies_during_a_pass(sandbox: StartSandbox, run: Command, *, given: bool) -> None:
    """Eight workers whose token dies during a pass sign in once more, together, and no customer is missing."""
    box = _shop(sandbox)
    settings = box.sign_in_environment if given else _signing_in(box)
    with box.faults.add(Fault("hang", endpoint="/find-with-pagination")):
        process = run.start(box, "incremental", "--json", "-v", "--debug", **settings)
        box.requests.wait_for(lambda request: request.fault == "hang")
        box.tokens.kill("bearer", after=20)
    outcome = run.end(process)
    assert (outcome.code, outcome.json["status"], outcome.totals["failed"]) == (0, "ok", 0)
    assert box.difference().equal
    assert _sign_ins(box) == ((1, 1) if given else (2, 2))
    refused = [request.status for request in forbidden(box)]
    assert refused == [401] * len(refused)
    assert 2 <= len(refused) <= WORKERS
    assert _hides_secrets(outcome)


def test_a_token_that_was_dead_before(sandbox: StartSandbox, passes: Passes) -> None:
    """A given token that is dead already is replaced by a sign-in at the first refusal."""
    box = _shop(sandbox, 3)
    result = _run_here(passes, box, "backfill", **box.sign_in_environment, FOLKFORM_TOKEN="a-token-of-last-year")
    assert (result.exit_code, _sign_ins(box), len(forbidden(box))) == (0, (1, 1), 1)
    assert box.difference().equal


def test_a_second_death(sandbox: StartSandbox, run: Command, passes: Passes) -> None:
    """A token that dies again at once ends the pass: exit 3 after one renewal; the next run continues."""
    box = _shop(sandbox, sign_in_calls=15)
    box.tokens.kill("bearer", after=15)
    outcome = run(box, "incremental", "-v", **box.sign_in_environment)
    assert (outcome.code, _sign_ins(box)) == (3, (1, 1))
    # At the first death each worker is refused once, at the second all that are in flight, two for each worker.
    assert len(forbidden(box)) <= 3 * WORKERS
    assert "+ 0 failed +" in outcome.out
    error = _only_error(outcome)
    assert all(part in error for part in ("401: AUTH_001: Token không hợp lệ", "FOLKFORM_EMAIL"))
    assert writes(box) > 0
    assert not box.difference().equal
    assert _hides_secrets(outcome)
    box.behaviour.sign_in_calls = None
    assert _run_here(passes, box, **_signing_in(box)).exit_code == 0
    assert box.difference().equal


def test_a_long_run_outlives_many_tokens() -> None:
    """A token that dies after a minute is renewed again, one that dies sooner is not."""
    tokens = iter(["first", "second", "third"])
    clock = PatientClock()
    bearer = BearerToken(None, lambda: next(tokens), clock)
    assert bearer.current() == "first"
    assert bearer.renew("first") == "second"
    clock.sleep(59)
    assert bearer.renew("second") is None
    clock.sleep(2)
    assert bearer.renew("second") == bearer.renew("first") == bearer.current() == "third"


@pytest.mark.parametrize("left", [20, 41])
def test_a_given_token_that_dies(sandbox: StartSandbox, run: Command, passes: Passes, left: int) -> None:
    """Without a sign-in a dead token ends the pass with exit 3 and one error, even when only two were left to write."""
    box = _shop(sandbox)
    box.tokens.kill("bearer", after=left)
    outcome = run(box, "incremental", "-v")
    assert outcome.code == 3
    error = _only_error(outcome)
    assert all(part in error for part in ("401: AUTH_001: Token không hợp lệ", "FOLKFORM_TOKEN"))
    assert "psid" not in error
    assert "+ 0 failed +" in outcome.out
    assert _hides_secrets(outcome)
    box.tokens.revive()
    assert _run_here(passes, box).exit_code == 0
    assert box.difference().equal


# Firebase refuses, or does not answer


_WRONG = {
    "password": ({"FOLKFORM_PASSWORD": "a-wrong-password"}, "INVALID_LOGIN_CREDENTIALS"),
    "key": ({"FIREBASE_API_KEY": "a-wrong-key"}, "API key not valid"),
}


@pytest.mark.parametrize(("changes", "message"), _WRONG.values(), ids=_WRONG)
def test_firebase_refuses(sandbox: StartSandbox, run: Command, changes: dict[str, str], message: str) -> None:
    """A wrong password or key: exit 3 and one error with Firebase's message and the settings, after one request."""
    box = sandbox()
    outcome = run(box, "incremental", "-v", **_signing_in(box, **changes))
    assert (outcome.code, outcome.out, box.requests.count()) == (3, "", 1)
    error = _only_error(outcome)
    assert all(part in error for part in (f"Firebase refused the sign-in: 400: {message}", CHECK_SIGN_IN))
    assert _hides_secrets(outcome)
    assert not any(value in outcome.output for value in changes.values())


def test_firebase_quotes_secrets(sandbox: StartSandbox, run: Command) -> None:
    """Secrets are hidden in Firebase's message."""
    box = sandbox()
    box.faults.add(Fault("status", service="firebase", status=400, message=f"{PASSWORD} does not go with {API_KEY}"))
    outcome = run(box, "incremental", "-v", "--debug", **_signing_in(box))
    assert outcome.code == 3
    assert "400: *** does not go with ***" in outcome.err
    assert _hides_secrets(outcome)


def test_folkform_quotes_secrets(sandbox: StartSandbox, passes: Passes) -> None:
    """The bearer token of a sign-in is hidden where FolkForm quotes it."""
    box = sandbox()
    with ThreadPoolExecutor() as pool, box.faults.add(Fault("hang", endpoint="/find-with-pagination")):
        running = pool.submit(_run_here, passes, box, **_signing_in(box))
        box.requests.wait_for(lambda request: request.fault == "hang")
        (token,) = box.folkform.tokens.keys() - {TOKEN}
        box.faults.add(Fault("status", endpoint="/find", status=403, message=f"{token} may not"))
    (page,) = running.result().pages
    assert "403: *** may not" in str(page.error)


def test_firebase_refuses_during_a_pass(sandbox: StartSandbox, run: Command, passes: Passes) -> None:
    """Where the renewal is refused, eight workers call Firebase once and no customer fails; the next run continues."""
    box = _shop(sandbox)
    box.tokens.kill("bearer", after=20)
    outcome = run(box, "incremental", "--json", **{**box.sign_in_environment, "FOLKFORM_PASSWORD": "a-wrong-password"})
    assert (outcome.code, _sign_ins(box)) == (3, (1, 0))
    assert "400: INVALID_LOGIN_CREDENTIALS" in _only_error(outcome)
    assert (outcome.totals["failed"], outcome.totals["upserted"]) == (0, len(box.folkform.documents(only_page(box))))
    assert len(forbidden(box)) <= 2 * WORKERS + 1
    assert "a-wrong-password" not in outcome.output
    assert _run_here(passes, box, **_signing_in(box)).exit_code == 0
    assert box.difference().equal


@pytest.mark.parametrize("later", [False, True], ids=["at the start", "during a pass"])
def test_firebase_is_down(sandbox: StartSandbox, passes: Passes, *, later: bool) -> None:
    """A Firebase that is down is called five times, by one of eight workers: exit 75, and no customer fails."""
    box = _shop(sandbox)
    settings = box.sign_in_environment if later else _signing_in(box)
    box.tokens.kill("bearer", after=20)
    with box.faults.add(Fault("status", service="firebase", status=503, times=None)):
        result = _run_here(passes, box, **settings)
    assert (result.exit_code, result.totals["failed"]) == (75, 0)
    assert _sign_ins(box) == (5, 0)
    error = result.pages[0].error if later else result.error
    assert "Firebase answered 503 (5 attempts)" in str(error)
    assert result.totals["upserted"] == len(box.folkform.documents(only_page(box)))
    assert _run_here(passes, box, **_signing_in(box)).exit_code == 0
    assert box.difference().equal


def test_no_firebase(sandbox: StartSandbox, passes: Passes) -> None:
    """Where nothing listens at Firebase's address, its setting is named: exit 75."""
    box = sandbox()
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{holder.getsockname()[1]}/v1"
        result = _run_here(passes, box, **_signing_in(box, FIREBASE_BASE_URL=address))
    assert (result.exit_code, box.requests.count()) == (75, 0)
    assert all(part in str(result.error) for part in (address, "FIREBASE_BASE_URL"))


def test_folkform_refuses_the_sign_in(sandbox: StartSandbox, run: Command) -> None:
    """A user that Firebase knows and FolkForm does not: exit 3 and one error, after one attempt."""
    box = sandbox()
    box.faults.add(Fault("status", endpoint=LOGIN, status=401, message="No such user", times=None))
    outcome = run(box, "incremental", "-v", **_signing_in(box))
    assert (outcome.code, _sign_ins(box)) == (3, (1, 1))
    assert all(part in _only_error(outcome) for part in ("HTTP_401: No such user", "FOLKFORM_EMAIL"))
    assert _hides_secrets(outcome)


# Roles

WRONG = "65f0c0ffee000000000000ff"
shapes = pytest.mark.parametrize("roles", ["list", "roles"])
wrong_roles = pytest.mark.parametrize("role_id", [WRONG, ""], ids=["wrong", "missing"])


def _several_roles(box: Sandbox) -> None:
    box.folkform.tokens[TOKEN] = Access(roles=(Role(), Role("65f0c0ffee0000000000bee2", "Reader", "Cô Ba")))


@shapes
@wrong_roles
@pytest.mark.parametrize("how", ["refused", "empty"])
def test_the_only_role_is_used(sandbox: StartSandbox, run: Command, role_id: str, roles: str, how: str) -> None:
    """A wrong or missing role that is refused, or sees nothing: the user's only one is used, and logged once."""
    box = _shop(sandbox, 3, wrong_role=how, roles=roles)
    outcome = run(box, "backfill", *([] if role_id else ["-v"]), FOLKFORM_ROLE_ID=role_id)
    assert outcome.code == 0
    (line,) = [line for line in outcome.err.splitlines() if "FOLKFORM_ROLE_ID" in line]
    assert line.endswith(f"{ROLE_ID}  Agent, Sandbox")
    assert box.requests.count("folkform", "/auth/roles") == 1
    assert box.difference().equal


@wrong_roles
@pytest.mark.parametrize("how", ["refused", "empty"])
def test_several_roles_are_listed(sandbox: StartSandbox, run: Command, role_id: str, how: str) -> None:
    """Several roles: exit 2 with the list and the variable, and Pancake is not called."""
    box = _shop(sandbox, 3, wrong_role=how)
    _several_roles(box)
    outcome = run(box, "incremental", FOLKFORM_ROLE_ID=role_id)
    assert (outcome.code, box.requests.count("pancake"), writes(box)) == (2, 0, 0)
    for part in (
        "FOLKFORM_ROLE_ID",
        f"{ROLE_ID}  Agent, Sandbox",
        "65f0c0ffee0000000000bee2  Reader, Cô Ba",
    ):
        assert part in outcome.err


def test_a_missing_role_is_no_dead_token(sandbox: StartSandbox, passes: Passes) -> None:
    """FolkForm's refusal of a missing role leads to no further sign-in."""
    box = sandbox()
    result = _run_here(passes, box, **_signing_in(box, FOLKFORM_ROLE_ID=""))
    assert (result.exit_code, _sign_ins(box)) == (0, (1, 1))


@shapes
@pytest.mark.parametrize("pages", [0, 1])
def test_an_empty_folkform(sandbox: StartSandbox, passes: Passes, roles: str, pages: int) -> None:
    """In the right role an empty FolkForm is empty: no page is a warning, and a page without customers is filled."""
    box = sandbox(pages=pages, role_required=True, wrong_role="empty", roles=roles)
    for page_id in box.pancake.page_ids():
        box.pancake.add_customers(page_id, people(3, 60, 600))
    result = _run_here(passes, box)
    assert (result.exit_code, result.totals["upserted"]) == (0, 3 * pages)
    assert len(result.warnings) == (0 if pages else 1)
    assert box.difference().equal


@pytest.mark.parametrize(("how", "code"), [("refused", 2), ("empty", 0)])
def test_a_user_without_roles(sandbox: StartSandbox, passes: Passes, how: str, code: int) -> None:
    """A user without roles: FolkForm is empty where it shows nothing, and exit 2 where it requires a role."""
    box = sandbox(pages=0, wrong_role=how)
    box.folkform.tokens["another-users-token"] = Access(roles=())
    result = _run_here(passes, box, FOLKFORM_TOKEN="another-users-token", FOLKFORM_ROLE_ID="")
    assert (result.exit_code, box.requests.count("folkform", "/auth/roles")) == (code, 1)


def test_a_role_that_sees_pages_and_no_customers(sandbox: StartSandbox, passes: Passes) -> None:
    """Pages without a single customer, in a role that is not the user's: nothing is written."""
    box = _shop(sandbox, 3, wrong_role="empty")
    with ThreadPoolExecutor() as pool, box.faults.add(Fault("hang", endpoint="/find")):
        running = pool.submit(_run_here, passes, box)
        box.requests.wait_for(lambda request: request.fault == "hang")
        box.folkform.tokens[TOKEN] = Access(roles=(Role(WRONG), Role(WRONG[:-1] + "e")))
    result = running.result()
    assert (result.exit_code, writes(box)) == (2, 0)
    assert WRONG in str(result.pages[0].error)
