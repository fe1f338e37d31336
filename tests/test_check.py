"""`check` finds what can be wrong with settings, FolkForm and Pancake, says the next step, and changes nothing."""

import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from customer_sync.config.settings import declared
from customer_sync.sandbox import Fault, Sandbox
from customer_sync.sandbox.folkform import ROLE_ID, TOKEN, Access, Role

from .checked import Checked, Checks, check
from .conftest import Command, StartSandbox, fill_folkform, only_page, people, person
from .proxy import Proxy

_DIALECTS = {"deployed": "panCakeUpdatedAt", "guide": "updatedAt", "older": "panCakeData.updated_at"}
_NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checks:
    """Runs checks in this process, which asks loopback never through the machine's proxy."""
    monkeypatch.setenv("NO_PROXY", "*")
    return Checks(tmp_path)


def _shop(start: StartSandbox, customers: int = 5, **more: Any) -> Sandbox:
    """A page whose customers are in FolkForm."""
    box = start(customers=customers, **more)
    fill_folkform(box)
    return box


def _changed_nothing(box: Sandbox) -> bool:
    """Whether everything asked of the two services was a question, and no token was made."""
    return all(request.method == "GET" for request in box.requests.recent)


# In order


@pytest.mark.parametrize(
    ("dialect", "found"), [("deployed", "list"), ("deployed", "items"), ("guide", "items"), ("older", "list")]
)
def test_in_order(sandbox: StartSandbox, run: Command, dialect: str, found: str) -> None:
    """Where everything is right nothing is wrong, in every dialect, at the price of a few questions."""
    box = _shop(sandbox, dialect=dialect, found=found, folkform_limit=100)
    checked = check(run, box)
    assert (checked.code, checked.json["status"], checked.wrong, checked.warnings) == (0, "ok", [], [])
    assert _DIALECTS[dialect] in checked["FolkForm: customers"]["detail"]
    assert _changed_nothing(box)
    assert box.requests.count("folkform") <= 5
    assert box.requests.count("pancake") == 2
    assert checked.json["totals"]["requests"] == box.requests.count()


def test_an_empty_folkform(sandbox: StartSandbox, checks: Checks) -> None:
    """Before the first run FolkForm holds nobody: that is in order, and the dialect is said to be unknown."""
    box = sandbox(customers=5)
    checked = checks(box)
    assert (checked.code, checked.wrong, checked.warnings) == (0, [], [])
    assert "none yet, so it is not known" in checked["FolkForm: customers"]["detail"]
    assert "FolkForm: mark query" not in checked
    assert box.requests.count("folkform") <= 5


# Settings


def test_every_setting_and_where_it_comes_from(sandbox: StartSandbox, run: Command) -> None:
    """Each setting is told with its value and its source; of a secret only that it is there."""
    box = _shop(sandbox)
    (run.home / "secret").write_text("an-unused-user-token\n")
    environment = {"PANCAKE_ACCESS_TOKEN_FILE": "secret", "CUSTOMER_SYNC_PAGE_SIZE": "50", "CUSTOMER_SYNC_OVERLAP": ""}
    checked = check(run, box, "--page-size", "20", **environment)
    told = {one["what"]: one["detail"] for one in checked.findings if one["area"] == "Settings"}
    assert set(told) == {declaration["variable"] for declaration in declared().values()}
    assert told["FOLKFORM_BASE_URL"] == f"{box.environment['FOLKFORM_BASE_URL']} (environment variable)"
    assert told["FOLKFORM_TOKEN"] == f"set, {len(TOKEN)} characters (environment variable)"
    assert told["PANCAKE_ACCESS_TOKEN"] == "set, 20 characters (the file of PANCAKE_ACCESS_TOKEN_FILE)"
    assert told["CUSTOMER_SYNC_PAGE_SIZE"] == "20 (--page-size)"
    assert told["CUSTOMER_SYNC_OVERLAP"] == "0 (default)"
    assert told["FOLKFORM_EMAIL"] == "not set"


def test_without_settings(sandbox: StartSandbox, checks: Checks) -> None:
    """Everything missing is told, every other setting, too, and Pancake is reached all the same."""
    box = sandbox()
    checked = checks(None, PANCAKE_BASE_URL=box.environment["PANCAKE_BASE_URL"])
    assert (checked.code, checked.wrong) == (2, ["Settings: FOLKFORM_BASE_URL", "Settings: FOLKFORM_TOKEN"])
    assert "Set FOLKFORM_BASE_URL or --folkform-base-url" in checked["Settings: FOLKFORM_BASE_URL"]["next_step"]
    assert "FOLKFORM_TOKEN_FILE" in checked["Settings: FOLKFORM_TOKEN"]["next_step"]
    assert len([one for one in checked.findings if one["area"] == "Settings"]) == len(declared())
    assert checked["FolkForm: requests"]["next_step"] == "Mend FOLKFORM_BASE_URL, FOLKFORM_TOKEN first."
    assert "(this machine)" in checked["Pancake: connection"]["detail"]
    assert box.requests.count() == 0


def test_settings_that_cannot_be_used(sandbox: StartSandbox, checks: Checks) -> None:
    """A malformed setting is told with its source and what to give; what does not hang on it is looked at."""
    box = _shop(sandbox)
    limits = {"CUSTOMER_SYNC_JITTER": "4m", "CUSTOMER_SYNC_MAX_RUNTIME": "4m"}
    checked = checks(box, CUSTOMER_SYNC_WORKERS="many", PANCAKE_ACCESS_TOKEN_FILE="absent", **limits)
    workers = checked["Settings: CUSTOMER_SYNC_WORKERS"]
    assert workers["detail"] == "is 'many' (from environment variable CUSTOMER_SYNC_WORKERS)"
    assert workers["next_step"] == "Give a whole number from 1 to 64."
    assert "cannot be read" in checked["Settings: PANCAKE_ACCESS_TOKEN_FILE"]["detail"]
    assert "must be shorter than" in checked["Settings: CUSTOMER_SYNC_JITTER"]["detail"]
    assert (checked.code, len(checked.wrong)) == (2, 3)
    assert "FolkForm: mark query" in checked
    assert checked["Pancake: requests"]["next_step"] == "Mend PANCAKE_ACCESS_TOKEN_FILE first."
    assert box.requests.count("pancake") == 0


def test_shards(sandbox: StartSandbox, checks: Checks) -> None:
    """In a job that shares the pages out it is told which share this run would take, or what is missing for that."""
    box = sandbox(customers=3)
    name = "Settings: CUSTOMER_SYNC_SHARDS"
    assert name not in checks(box)
    in_job = checks(box, CUSTOMER_SYNC_SHARDS="8", JOB_COMPLETION_INDEX="2")
    assert in_job[name]["detail"] == "8 (environment variable), so a pass takes shard 2/8"
    by_hand = checks(box, CUSTOMER_SYNC_SHARDS="8")
    assert (by_hand.code, by_hand.wrong) == (2, [name])
    assert by_hand[name]["detail"].startswith("JOB_COMPLETION_INDEX is missing")
    assert by_hand[name]["next_step"].startswith("Run it in an Indexed Job")


def test_a_misspelt_variable(sandbox: StartSandbox, checks: Checks) -> None:
    """A variable that nobody reads is warned of where it looks like ours, with the one that is meant."""
    misspelt = {
        "CUSTOMER_SYNC_WORKER": "3",
        "FOLKFORM_ROLEID": "x",
        "CUSTOMER_SYNC_COLOUR": "red",
        "PANCAKE_RECIPE": "1",
    }
    checked = checks(sandbox(customers=3), **misspelt, FOLKFORM_BASE_URL_FILE="x", CUSTOMER_SYNC_LOG_FORMAT="text")
    assert checked.warnings == [
        *("Settings: CUSTOMER_SYNC_COLOUR", "Settings: CUSTOMER_SYNC_WORKER"),
        *("Settings: FOLKFORM_BASE_URL_FILE", "Settings: FOLKFORM_ROLEID"),
    ]
    assert checked["Settings: CUSTOMER_SYNC_WORKER"]["next_step"] == "Is CUSTOMER_SYNC_WORKERS meant?"
    assert checked["Settings: FOLKFORM_ROLEID"]["next_step"] == "Is FOLKFORM_ROLE_ID meant?"
    assert checked["Settings: CUSTOMER_SYNC_COLOUR"]["next_step"].startswith("Unset it")


def test_half_a_sign_in(sandbox: StartSandbox, checks: Checks) -> None:
    """What a sign-in lacks is told with what it needs."""
    checked = checks(sandbox(), FOLKFORM_TOKEN="", FOLKFORM_EMAIL="agent@folkform.example")
    assert checked.wrong == ["Settings: FOLKFORM_PASSWORD", "Settings: FIREBASE_API_KEY"]
    assert "FOLKFORM_EMAIL, FOLKFORM_PASSWORD, FIREBASE_API_KEY" in checked["Settings: FIREBASE_API_KEY"]["next_step"]


def test_addresses_that_are_unwise(sandbox: StartSandbox, checks: Checks) -> None:
    """An address that anybody can listen to, and one that does not look whole, are warned of; a login is hidden."""
    box = sandbox(customers=2)
    login = box.environment["PANCAKE_BASE_URL"].replace("//", "//user:p4ssword@")
    checked = checks(box, PANCAKE_BASE_URL=login, FIREBASE_BASE_URL="http://firebase.invalid")
    assert checked.warnings == ["Settings: FIREBASE_BASE_URL"]
    assert checked["Settings: FIREBASE_BASE_URL"]["detail"].endswith("; tokens and customers travel unencrypted")
    assert checked["Settings: PANCAKE_BASE_URL"]["detail"].startswith("http://***@127.0.0.1:")
    assert "p4ssword" not in str(checked)
    half = checks(box, FOLKFORM_BASE_URL=f"{box.url}/folkform")
    assert (half.code, half.warnings[0], half.wrong) == (3, "Settings: FOLKFORM_BASE_URL", ["FolkForm: pages"])
    assert "usually ends in /api/v1" in half["Settings: FOLKFORM_BASE_URL"]["next_step"]


# FolkForm


def test_a_wrong_token(sandbox: StartSandbox, checks: Checks) -> None:
    """FolkForm's refusal of our token names the settings, and hides nothing of Pancake's address."""
    box = _shop(sandbox)
    checked = checks(box, FOLKFORM_TOKEN="a-token-that-is-wrong")
    assert (checked.code, checked.wrong) == (3, ["FolkForm: token"])
    assert "FOLKFORM_TOKEN" in checked["FolkForm: token"]["next_step"]
    assert "Pancake: connection" in checked
    assert checked["Pancake: pages"]["state"] == "warning"
    assert box.requests.count() == 1


def test_a_sign_in(sandbox: StartSandbox, checks: Checks) -> None:
    """Where a token is got by signing in, that is said; a refused sign-in is what is wrong."""
    box = _shop(sandbox)
    environment = {**box.sign_in_environment, "FOLKFORM_TOKEN": ""}
    accepted = checks(box, **environment)
    assert accepted["FolkForm: token"]["detail"] == "accepted, got by signing in as agent@folkform.example"
    refused = checks(box, **{**environment, "FOLKFORM_PASSWORD": "not-the-password"})
    assert (refused.code, refused.wrong) == (3, ["FolkForm: token"])
    assert "FOLKFORM_PASSWORD" in refused["FolkForm: token"]["next_step"]


@pytest.mark.parametrize("how", ["refused", "empty"])
@pytest.mark.parametrize("role", ["", "another-role"])
def test_the_only_role(sandbox: StartSandbox, checks: Checks, how: str, role: str) -> None:
    """The user's only role is used; one that was set wrong is warned of, with the right one."""
    box = _shop(sandbox, wrong_role=how, roles="roles" if role else "list")
    checked = checks(box, FOLKFORM_ROLE_ID=role)
    assert (checked.code, checked.wrong) == (0, [])
    assert checked["FolkForm: token"]["detail"] == "accepted"
    assert checked.warnings == (["FolkForm: role"] if role else [])
    assert f"{ROLE_ID}  Agent, Sandbox" in checked["FolkForm: role"]["detail"]
    assert checked["FolkForm: role"]["next_step"] == (f"Set FOLKFORM_ROLE_ID={ROLE_ID}." if role else "")
    assert box.requests.count("folkform") <= 6


@pytest.mark.parametrize("how", ["refused", "empty"])
@pytest.mark.parametrize("count", [0, 2])
def test_no_role_that_could_be_used(sandbox: StartSandbox, checks: Checks, how: str, count: int) -> None:
    """Several roles are listed with the variable, exit code 2; where there is none, that is said."""
    box = _shop(sandbox, wrong_role=how)
    roles = tuple(Role(f"{number}" * 24, f"Role {number}", "Cô Ba") for number in range(count))
    box.folkform.tokens[TOKEN] = Access(roles=roles)
    checked = checks(box, FOLKFORM_ROLE_ID="")
    if how == "empty" and not roles:  # An older FolkForm that lists no roles cannot be told from an empty one.
        assert checked.code == 0
        return
    assert (checked.code, checked.wrong) == (2, ["FolkForm: role"])
    assert all(f"{role.role_id}  {role.name}, Cô Ba" in checked["FolkForm: role"]["next_step"] for role in roles)


def test_roles(sandbox: StartSandbox, checks: Checks) -> None:
    """Which role is ours is told; one that is not the user's is warned of where FolkForm does not mind."""
    box = _shop(sandbox)
    assert checks(box)["FolkForm: role"]["detail"] == f"{ROLE_ID}  Agent, Sandbox, the user's only one"
    box.behaviour.role_required = False
    assert checks(box, FOLKFORM_ROLE_ID="")["FolkForm: role"]["state"] == "ok"
    other = checks(box, FOLKFORM_ROLE_ID="another-role")
    assert (other.code, other.warnings) == (0, ["FolkForm: role"])
    assert ROLE_ID in other["FolkForm: role"]["next_step"]


def test_one_of_several_roles(sandbox: StartSandbox, checks: Checks) -> None:
    """Of several roles ours is named, and then the others."""
    box = _shop(sandbox)
    box.folkform.tokens[TOKEN] = Access(roles=(Role("1" * 24), Role("2" * 24, "Reader")))
    checked = checks(box, FOLKFORM_ROLE_ID="2" * 24)
    detail = f"{'2' * 24}  Reader, Sandbox, one of the user's 2; the others: {'1' * 24}"
    assert checked["FolkForm: role"]["detail"] == detail


def test_an_older_folkform(sandbox: StartSandbox, checks: Checks) -> None:
    """A FolkForm that knows no roles is in order; its token is accepted once its pages are shown."""
    box = _shop(sandbox)
    with box.faults.add(Fault("status", endpoint="/auth/roles", status=404, times=None)):
        checked = checks(box)
        refused = checks(box, FOLKFORM_TOKEN="a-token-that-is-wrong")
    assert (checked.code, checked.wrong) == (0, [])
    assert checked["FolkForm: role"]["detail"] == f"{ROLE_ID}; FolkForm does not list the user's"
    assert checked["FolkForm: token"]["detail"] == "accepted"
    assert refused.wrong == ["FolkForm: token"]


def test_a_role_that_may_not_read(sandbox: StartSandbox, checks: Checks) -> None:
    """Customers that our role may not see are told in FolkForm's words; the pages are looked at all the same."""
    box = _shop(sandbox)
    box.folkform.tokens["reads-nobody"] = Access(permissions=frozenset())
    checked = checks(box, FOLKFORM_TOKEN="reads-nobody")
    assert (checked.code, checked.wrong) == (3, ["FolkForm: customers"])
    assert "AUTH_003: Không có quyền Customer.Read" in checked["FolkForm: customers"]["detail"]
    assert checked[f"Pancake: {only_page(box)} token"]["state"] == "ok"


def test_a_wrong_customer_path(sandbox: StartSandbox, checks: Checks) -> None:
    """Where FolkForm keeps no customers, the setting that says so is named: exit code 2."""
    box = _shop(sandbox)
    checked = checks(box, FOLKFORM_CUSTOMER_PATH="/customer")
    assert (checked.code, checked.wrong) == (2, ["FolkForm: customer path"])
    assert "FOLKFORM_CUSTOMER_PATH" in checked["FolkForm: customer path"]["detail"]
    assert checks(box).wrong == []


@pytest.mark.parametrize(("server", "path"), [("2026-04", "/fb-customer"), ("2025-12", "/customer")])
def test_the_path_that_is_found(sandbox: StartSandbox, checks: Checks, server: str, path: str) -> None:
    """Where customers are is told; where both paths exist and other programs use the newer one, that is a warning."""
    box = _shop(sandbox, server=server)
    assert checks(box, FOLKFORM_CUSTOMER_PATH="")["FolkForm: customer path"]["detail"].startswith(path)
    box.other_folkform.upsert(person("other", 60, page_id=only_page(box)))
    checked = checks(box, FOLKFORM_CUSTOMER_PATH="")
    assert checked.warnings == (["FolkForm: customer path"] if server == "2025-12" else [])
    if server == "2025-12":
        assert "at /fb-customer FolkForm holds 1 more" in checked["FolkForm: customer path"]["detail"]
    assert checks(box).warnings == []


@pytest.mark.parametrize("length", [3, 40])
def test_a_token_that_is_cut_off(sandbox: StartSandbox, checks: Checks, length: int) -> None:
    """FolkForm's 500 to a short token names the token."""
    checked = checks(_shop(sandbox, server="2025-12"), FOLKFORM_TOKEN="x" * length)
    assert (checked.code, checked.wrong) == (3, ["FolkForm: token"])
    assert "FOLKFORM_TOKEN" in checked["FolkForm: token"]["next_step"]


@pytest.mark.parametrize(
    ("dialect", "path", "command"),
    [
        ("deployed", "/customer", "db.customers.createIndex({pageId: 1, panCakeUpdatedAt: -1})"),
        ("guide", "/customer", "db.customers.createIndex({pageId: 1, updatedAt: -1})"),
        ("older", "/customer", 'db.customers.createIndex({pageId: 1, "panCakeData.updated_at": -1})'),
        ("deployed", "/fb-customer", "db.fb_customers.createIndex({pageId: 1, panCakeUpdatedAt: -1})"),
    ],
)
def test_a_slow_mark_query(sandbox: StartSandbox, checks: Checks, dialect: str, path: str, command: str) -> None:
    """A slow mark query is warned of with the index to make, as the dialect needs it."""
    box = _shop(sandbox, 1, dialect=dialect, customer_path=path)
    fault = Fault("drip_headers", endpoint="/find", page_id=only_page(box), times=None, interval=0.015)
    with box.faults.add(fault):
        checked = checks(box)
    assert (checked.code, checked.warnings) == (0, ["FolkForm: mark query"])
    assert checked["FolkForm: mark query"]["next_step"].endswith(command)


def test_the_limit(sandbox: StartSandbox, checks: Checks) -> None:
    """FolkForm's limit is told as its last answer has it."""
    box = _shop(sandbox, folkform_limit=100)
    detail = checks(box)["FolkForm: limit"]["detail"]
    left = 100 - box.requests.count("folkform")
    assert re.fullmatch(rf"100 requests a window, {left} left; it resets in [56]\d s", detail)
    box.behaviour.folkform_limit = None
    assert checks(box)["FolkForm: limit"]["detail"] == "FolkForm tells none"


def test_waiting_for_the_limit(sandbox: StartSandbox, run: Command) -> None:
    """A wait for FolkForm's limit is said before it begins, and spoils no timing."""
    box = _shop(sandbox, folkform_limit=2, folkform_window=3.0)
    outcome = run(box, "check")
    assert outcome.code == 0
    assert re.search(r"FolkForm's limit is used up: waiting [23] s until it resets", outcome.err)
    assert re.search(r"mark query +(\d+ ms|1\.\d s)", outcome.out)
    assert not [request for request in box.requests.recent if request.status == 429]


def test_folkform_does_not_answer(sandbox: StartSandbox, checks: Checks) -> None:
    """A FolkForm that takes connections and never answers is given up after two tries, and Pancake is reached."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as deaf:
        address = f"http://127.0.0.1:{deaf.getsockname()[1]}/api/v1"
        checked = checks(sandbox(), CUSTOMER_SYNC_TIMEOUT="0.2", FOLKFORM_BASE_URL=address)
    assert (checked.code, checked.wrong) == (75, ["FolkForm: token"])
    assert "did not answer within 0.2 s" in checked["FolkForm: token"]["detail"]
    assert checked["FolkForm: token"]["detail"].endswith("(2 attempts)")
    assert "Pancake: connection" in checked


# Pages


def test_pages(sandbox: StartSandbox, checks: Checks) -> None:
    """How many pages there are, which are on, and which off; only those that are on are looked at in Pancake."""
    box = sandbox(pages=2, customers=3)
    on, off = box.pancake.page_ids()
    box.folkform.set_page(off, isSync=False, pageName="")
    checked = checks(box)
    name = box.folkform.pages()[0]["pageName"]
    assert checked["FolkForm: pages"]["detail"] == f"2, 1 switched on: {name} ({on}); off: {off}"
    assert [f"Pancake: {page_id} token" in checked for page_id in (on, off)] == [True, False]
    named = checks(box, off)
    assert [f"Pancake: {page_id} token" in named for page_id in (on, off)] == [False, True]


def test_no_page_is_on(sandbox: StartSandbox, checks: Checks) -> None:
    """A FolkForm with no page, or none that is on, is warned of: no pass would do anything."""
    box = sandbox(customers=3)
    box.folkform.set_page(only_page(box), isSync=False)
    for started in (box, sandbox(pages=0)):
        checked = checks(started)
        assert (checked.code, checked.warnings, checked.wrong) == (0, ["FolkForm: pages"], [])
        assert "isSync" in checked["FolkForm: pages"]["next_step"]
        assert started.requests.count("pancake") == 0


def test_many_pages(sandbox: StartSandbox, checks: Checks) -> None:
    """Of many pages the first are named; each is asked for once, no more of them at once than the setting says."""
    box = sandbox(pages=12, customers=2, pancake_latency=0.1)
    checked = checks(box, CUSTOMER_SYNC_PAGES_AT_ONCE="1")
    assert checked["FolkForm: pages"]["detail"].startswith("12, all switched on: ")
    assert checked["FolkForm: pages"]["detail"].endswith(", 2 more")
    lists = [request for request in box.requests.recent if request.service == "pancake"]
    firsts = {request.page_id: request.time for request in lists[::-1]}
    assert set(firsts) == set(box.pancake.page_ids())
    assert len(lists) <= 14
    assert max(firsts.values()) - min(firsts.values()) > 11 * 0.1


def test_an_unknown_page(sandbox: StartSandbox, checks: Checks) -> None:
    """A page that FolkForm does not know is told with those that it knows; the others are looked at."""
    box = sandbox(customers=3)
    checked = checks(box, "nobody", only_page(box))
    assert (checked.code, checked.wrong) == (2, ["FolkForm: --page"])
    assert checked["FolkForm: --page"]["next_step"] == f"It knows: {only_page(box)}."
    assert f"Pancake: {only_page(box)} token" in checked


# Pancake's tokens


def _token(checked: Checked, box: Sandbox) -> tuple[str, str, str]:
    finding = checked[f"Pancake: {only_page(box)} token"]
    return finding["state"], finding["detail"], finding["next_step"]


@pytest.mark.parametrize(
    ("token", "says"),
    [
        ("", "FolkForm's record holds no page token"),
        ("a-dead-page-token", "Pancake refuses the page token (106: "),
        ("user-token-of-{}", "a user token stands where the page token belongs (102: "),
    ],
    ids=["missing", "refused", "user token"],
)
@pytest.mark.parametrize(
    ("user_token", "environment", "step"),
    [
        ("of the record", {}, "Nothing to do: the next pass makes a new one with the record's user token."),
        ("", {"PANCAKE_ACCESS_TOKEN": "someone's"}, "Nothing to do: the next pass makes a new one with PANCAKE_ACCESS"),
        ("", {}, "Store a page token or a user token in FolkForm's page record, or set PANCAKE_ACCESS_TOKEN."),
        ("of the record", {"CUSTOMER_SYNC_RENEW_TOKENS": "0"}, "Store a token that works in FolkForm's page record"),
    ],
    ids=["renewable", "by the setting", "no user token", "switched off"],
)
def test_a_page_token_that_opens_nothing(
    sandbox: StartSandbox, checks: Checks, token: str, says: str, user_token: str, environment: Any, step: str
) -> None:
    """A missing, dead or wrong token is a warning where the next pass renews it, else wrong; none is made now."""
    box = sandbox(customers=3)
    box.folkform.set_page(only_page(box), pageAccessToken=token.format(only_page(box)), accessToken=user_token)
    checked = checks(box, **environment)
    state, detail, next_step = _token(checked, box)
    assert (checked.code, state) == ((0, "warning") if "next pass" in step else (3, "wrong"))
    assert detail.startswith(says)
    assert next_step.startswith(step)
    assert _changed_nothing(box)
    assert box.requests.count("pancake") == (1 if token else 0)


@pytest.mark.parametrize(
    ("user_token", "environment", "detail"),
    [
        ("of the record", {}, "the record's user token could renew it"),
        ("", {"PANCAKE_ACCESS_TOKEN": "someone's"}, "PANCAKE_ACCESS_TOKEN could renew it"),
        ("", {}, "if it dies, there is no user token to make one"),
        ("of the record", {"CUSTOMER_SYNC_RENEW_TOKENS": "0"}, "if it dies, CUSTOMER_SYNC_RENEW_TOKENS=0 forbids to"),
    ],
)
def test_a_page_token_that_works(
    sandbox: StartSandbox, checks: Checks, user_token: str, environment: Any, detail: str
) -> None:
    """A token that works is in order whether or not a new one could be made, which is told."""
    box = sandbox(customers=3)
    box.folkform.set_page(only_page(box), accessToken=user_token)
    checked = checks(box, **environment)
    assert (checked.code, _token(checked, box)) == (0, ("ok", "page token works", ""))
    assert checked[f"Pancake: {only_page(box)} new token"]["detail"].startswith(detail)


@pytest.mark.parametrize("refusal", [401, 403, 105, 107])
def test_however_pancake_refuses(sandbox: StartSandbox, checks: Checks, refusal: int) -> None:
    """A refusal by status or by code, in Pancake's words, is one of the token."""
    box = sandbox(customers=3, page_token_refusal=refusal)
    box.tokens.kill("page")
    state, detail, _ = _token(checks(box), box)
    assert (state, "was renewed" in detail) == ("warning", True)


def test_a_firewall_is_no_refused_token(sandbox: StartSandbox, checks: Checks) -> None:
    """A 403 without Pancake's words is not blamed on the token, since no new one would help."""
    box = sandbox(customers=3)
    with box.faults.add(Fault("html", service="pancake", status=403, times=None)):
        checked = checks(box)
    assert (checked.code, checked.wrong) == (3, [f"Pancake: {only_page(box)} list"])
    assert "answered 403" in checked[f"Pancake: {only_page(box)} list"]["detail"]


def test_pancake_fails(sandbox: StartSandbox, checks: Checks) -> None:
    """A Pancake that answers nothing usable hides nothing of FolkForm, and is tried twice."""
    box = _shop(sandbox)
    with box.faults.add(Fault("status", service="pancake", status=502, times=None)):
        checked = checks(box)
    assert (checked.code, checked.wrong) == (75, [f"Pancake: {only_page(box)} list"])
    assert "FolkForm: mark query" in checked
    assert box.requests.count("pancake") == 2


# Pancake's lists


def test_the_order(sandbox: StartSandbox, checks: Checks, in_between: Callable[[Sandbox], Proxy]) -> None:
    """A list that does not come newest first is wrong: no pass may go by it."""
    box = sandbox(customers=3)
    proxy = in_between(box)
    rows = b'{"updated_at": "2025-01-01T00:00:00"}, {"updated_at": "2025-01-01T00:00:01"}'
    oldest_first = b'{"success": true, "total": 2, "customers": [%b]}' % rows
    proxy.before = lambda passing: oldest_first if passing.path.endswith("/page_customers") else None
    checked = checks(proxy)
    assert (checked.code, checked.wrong) == (3, [f"Pancake: {only_page(box)} order"])
    assert checks(box)[f"Pancake: {only_page(box)} order"]["detail"] == "newest first"


def test_the_total(sandbox: StartSandbox, checks: Checks) -> None:
    """How many customers Pancake counts is told; where it does not count, that is worth a warning."""
    box = sandbox(customers=1234)
    name = f"Pancake: {only_page(box)} total"
    assert checks(box)[name]["detail"] == "1,234 customers"
    box.behaviour.total = False
    checked = checks(box)
    assert (checked.code, checked.warnings) == (0, [name])


def _history(box: Sandbox, *times: tuple[int, int | None]) -> None:
    """Customers who were updated, and inserted, so many seconds after the beginning of a year."""

    def text(second: int | None) -> str | None:
        return None if second is None else f"2025-01-01T00:{second // 60:02}:{second % 60:02}.700000"

    rows = [
        person(f"p{number}", 0, updated_at=text(updated), inserted_at=text(inserted))
        for number, (updated, inserted) in enumerate(times)
    ]
    box.pancake.add_customers(only_page(box), rows)


_TELLING = ((90, 10), (80, 70), (30, 20))
_LATEST_ALONE = ((90, 50), (40, 40))
_ALIKE = ((90, 90), (80, 80))
_ONE_SECOND = ((90, 90), (90, 90))
_UNREADABLE = ((90, None), (80, None))
_FREE = " (the passes do not depend on it)"
_BY_UPDATE = "since and until look at updated_at"
_BY_INSERT = f"since and until look at inserted_at{_FREE}"
_IGNORED = f"since and until are ignored{_FREE}"
_EITHER = "since and until are honoured, unknown by which time: nobody's two times differ"


@pytest.mark.parametrize(
    ("times", "window", "told", "requests"),
    [
        (_TELLING, "updated_at", _BY_UPDATE, 2),
        (_TELLING, "inserted_at", _BY_INSERT, 2),
        (_TELLING, "ignored", _IGNORED, 2),
        (_LATEST_ALONE, "updated_at", _BY_UPDATE, 2),
        (_LATEST_ALONE, "inserted_at", _BY_INSERT, 3),
        (_LATEST_ALONE, "ignored", _IGNORED, 3),
        (_ALIKE, "updated_at", _EITHER, 2),
        (_ALIKE, "inserted_at", _EITHER, 2),
        (_ALIKE, "ignored", _IGNORED, 2),
        (_ONE_SECOND, "updated_at", _EITHER, 2),
        (_ONE_SECOND, "ignored", _IGNORED, 2),
        (_UNREADABLE, "updated_at", _EITHER, 2),
        (_UNREADABLE, "ignored", "since and until are ignored, or look at inserted_at, which is not listed" + _FREE, 2),
    ],
)
def test_the_window(sandbox: StartSandbox, checks: Checks, times: Any, window: str, told: str, requests: int) -> None:
    """Which time Pancake's window looks at is told as far as the customers tell it, with a request or two more."""
    box = sandbox(window=window)
    _history(box, *times)
    checked = checks(box)
    assert checked[f"Pancake: {only_page(box)} window"]["detail"] == told
    assert (checked.code, box.requests.count("pancake")) == (0, requests)


def test_a_window_that_cannot_be_known(sandbox: StartSandbox, checks: Checks) -> None:
    """Without two customers nobody knows, and nobody asks."""
    box = sandbox(customers=1)
    checked = checks(box)
    assert checked["Pancake: window"]["detail"].startswith("unknown which time")
    assert checked[f"Pancake: {only_page(box)} order"]["detail"] == "too few customers to see their order"
    assert box.requests.count("pancake") == 1


def test_the_window_of_one_page(sandbox: StartSandbox, checks: Checks) -> None:
    """Of several pages only the first that has two customers is asked for its window."""
    box = sandbox(pages=3)
    for page_id, count in zip(box.pancake.page_ids(), (1, 4, 4), strict=True):
        box.pancake.add_customers(page_id, people(count, 100, 10))
    second = box.pancake.page_ids()[1]
    assert [one["what"] for one in checks(box).findings if "window" in one["what"]] == [f"{second} window"]


def test_a_window_that_is_not_answered(sandbox: StartSandbox, checks: Checks) -> None:
    """A failure while the window is asked about is told as one, beside what is known already."""
    box = sandbox(customers=3)
    with box.faults.add(Fault("status", service="pancake", status=400, times=None, skip=1)):
        checked = checks(box)
    assert (checked.code, checked.wrong) == (3, [f"Pancake: {only_page(box)} window"])
    assert checked[f"Pancake: {only_page(box)} order"]["state"] == "ok"


# Exit codes


@pytest.mark.parametrize(
    ("arguments", "environment", "code"),
    [
        ((), {}, 0),
        ((), {"PANCAKE_BASE_URL": _NOWHERE}, 75),
        ((), {"PANCAKE_BASE_URL": _NOWHERE, "FOLKFORM_TOKEN": "a-token-that-is-wrong"}, 3),
        (("--workers", "0"), {"PANCAKE_BASE_URL": _NOWHERE, "FOLKFORM_TOKEN": "a-token-that-is-wrong"}, 2),
        (("--page", "nobody"), {"PANCAKE_BASE_URL": _NOWHERE}, 2),
    ],
)
def test_exit_codes(
    sandbox: StartSandbox, run: Command, arguments: tuple[str, ...], environment: dict[str, str], code: int
) -> None:
    """Warnings count for nothing; of what is wrong settings go before a refusal, and that before an outage."""
    checked = check(run, sandbox(customers=3, total=False), *arguments, **environment)
    assert (checked.code, bool(checked.wrong)) == (code, code != 0)
    assert checked.json["status"] == ("failed" if code else "ok")
