"""`check` finds what can be wrong with settings, services and machine, names the next step, and changes nothing."""

import json
import re
import socket
import subprocess
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import pytest

from customer_sync.config.settings import declared
from customer_sync.sandbox import Fault, Sandbox
from customer_sync.sandbox.folkform import ROLE_ID, TOKEN, Access, Role
from customer_sync.sync.passes import INCREMENTAL

from .checked import Checks, check, read
from .conftest import COMMAND, Command, Outcome, StartSandbox, fill_folkform, only_page, person
from .in_process import Passes
from .proxy import Proxy
from .surroundings import Relay, permitted, served

_DIALECTS = {"deployed": "panCakeUpdatedAt", "guide": "updatedAt", "older": "panCakeData.updated_at"}
_NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checks:
    """Runs checks in this process, which never reaches loopback through the machine's proxy."""
    monkeypatch.setenv("NO_PROXY", "*")
    return Checks(tmp_path)


def _shop(start: StartSandbox, customers: int = 5, **more: Any) -> Sandbox:
    """A page whose customers are in FolkForm."""
    box = start(customers=customers, **more)
    fill_folkform(box)
    return box


# In order


@pytest.mark.parametrize(
    ("dialect", "found"), [("deployed", "list"), ("deployed", "items"), ("guide", "items"), ("older", "list")]
)
def test_in_order(sandbox: StartSandbox, run: Command, dialect: str, found: str) -> None:
    """Where everything is right nothing is wrong, in every dialect, for a few requests that only read."""
    box = _shop(sandbox, dialect=dialect, found=found, folkform_limit=100)
    checked = check(run, box)
    assert (checked.code, checked.json["status"], checked.wrong, checked.warnings) == (0, "ok", [], [])
    assert _DIALECTS[dialect] in checked["FolkForm: customers"]["detail"]
    assert {request.method for request in box.requests.recent} == {"GET"}
    assert (box.requests.count("folkform") <= 5, box.requests.count("pancake")) == (True, 2)
    assert checked.json["totals"]["requests"] == box.requests.count()


def test_an_empty_folkform(sandbox: StartSandbox, checks: Checks) -> None:
    """Before the first run FolkForm has no customers: that is in order, and no watermark is queried."""
    checked = checks(sandbox(customers=5))
    assert (checked.code, checked.wrong, checked.warnings) == (0, [], [])
    assert checked["FolkForm: customers"]["state"] == "ok"
    assert "FolkForm: watermark query" not in checked


# Settings


def test_every_setting_and_its_source(sandbox: StartSandbox, run: Command) -> None:
    """Each setting has its value and its source; a secret only its length."""
    box = _shop(sandbox)
    (run.home / "secret").write_text("an-unused-user-token\n")
    environment = {"PANCAKE_ACCESS_TOKEN_FILE": "secret", "CUSTOMER_SYNC_PAGE_SIZE": "50", "CUSTOMER_SYNC_OVERLAP": ""}
    checked = check(run, box, **environment)
    details = {one["what"]: one["detail"] for one in checked.findings if one["area"] == "Settings"}
    assert set(details) == {declaration.variable for declaration in declared().values()}
    assert details["FOLKFORM_BASE_URL"] == f"{box.environment['FOLKFORM_BASE_URL']} (environment variable)"
    assert details["FOLKFORM_TOKEN"] == f"set, {len(TOKEN)} characters (environment variable)"
    assert details["PANCAKE_ACCESS_TOKEN"] == "set, 20 characters (the file of PANCAKE_ACCESS_TOKEN_FILE)"
    assert details["CUSTOMER_SYNC_PAGE_SIZE"] == "50 (environment variable)"
    assert details["CUSTOMER_SYNC_OVERLAP"] == "0 (default)"
    assert details["FOLKFORM_EMAIL"] == "not set"


def test_without_settings(sandbox: StartSandbox, checks: Checks) -> None:
    """Everything missing is reported, every other setting, too; no service is asked."""
    box = sandbox()
    checked = checks(None, PANCAKE_BASE_URL=box.environment["PANCAKE_BASE_URL"])
    assert (checked.code, checked.wrong) == (2, ["Settings: FOLKFORM_BASE_URL", "Settings: FOLKFORM_TOKEN"])
    assert "FOLKFORM_TOKEN_FILE" in checked["Settings: FOLKFORM_TOKEN"]["next_step"]
    assert len([one for one in checked.findings if one["area"] == "Settings"]) == len(declared())
    assert checked.warnings == ["FolkForm: requests", "Pancake: pages"]
    assert checked["FolkForm: requests"]["next_step"] == "Fix FOLKFORM_BASE_URL, FOLKFORM_TOKEN first."
    assert box.requests.count() == 0


def test_settings_that_cannot_be_used(sandbox: StartSandbox, checks: Checks) -> None:
    """A malformed setting is reported with its source and what to give; what does not depend on it is checked."""
    box = _shop(sandbox)
    limits = {"CUSTOMER_SYNC_JITTER": "4m", "CUSTOMER_SYNC_MAX_RUNTIME": "4m"}
    checked = checks(box, CUSTOMER_SYNC_WORKERS="many", PANCAKE_ACCESS_TOKEN_FILE="absent", **limits)
    assert (checked.code, checked.wrong) == (
        2,
        [
            f"Settings: {name}"
            for name in ("PANCAKE_ACCESS_TOKEN_FILE", "CUSTOMER_SYNC_WORKERS", "CUSTOMER_SYNC_JITTER")
        ],
    )
    workers = checked["Settings: CUSTOMER_SYNC_WORKERS"]
    assert workers["detail"] == "is 'many' (from environment variable CUSTOMER_SYNC_WORKERS)"
    assert workers["next_step"] == "Give a whole number from 1 to 64."
    assert "FolkForm: watermark query" in checked
    assert checked["Pancake: requests"]["next_step"] == "Fix PANCAKE_ACCESS_TOKEN_FILE first."
    assert box.requests.count("pancake") == 0


def test_shards(sandbox: StartSandbox, checks: Checks) -> None:
    """In an Indexed Job the shard of a pass is reported, or what is missing for that."""
    box = sandbox(customers=3)
    name = "Settings: CUSTOMER_SYNC_SHARDS"
    assert name not in checks(box)
    in_job = checks(box, CUSTOMER_SYNC_SHARDS="8", JOB_COMPLETION_INDEX="2")
    assert in_job[name]["detail"].endswith("a pass takes shard 2/8")
    by_hand = checks(box, CUSTOMER_SYNC_SHARDS="8")
    assert (by_hand.code, by_hand.wrong) == (2, [name])
    assert "--shard I/8" in by_hand[name]["next_step"]


def test_a_misspelt_variable(sandbox: StartSandbox, checks: Checks) -> None:
    """An unknown variable that looks like ours is a warning, with the similar name; others are not ours."""
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
    assert "CUSTOMER_SYNC_WORKERS" in checked["Settings: CUSTOMER_SYNC_WORKER"]["next_step"]
    assert "FOLKFORM_ROLE_ID" in checked["Settings: FOLKFORM_ROLEID"]["next_step"]
    assert checked["Settings: CUSTOMER_SYNC_COLOUR"]["next_step"] == "Unset it."


def test_addresses_that_are_unwise(sandbox: StartSandbox, checks: Checks) -> None:
    """An http address beyond this machine, and an incomplete one, are warnings; a login is refused and hidden."""
    box = sandbox(customers=2)
    checked = checks(box, FIREBASE_BASE_URL="http://firebase.invalid")
    assert checked.warnings == ["Settings: FIREBASE_BASE_URL"]
    login = box.environment["PANCAKE_BASE_URL"].replace("//", "//user:p4ssword@")
    refused = checks(box, PANCAKE_BASE_URL=login)
    assert (refused.code, refused.wrong) == (2, ["Settings: PANCAKE_BASE_URL"])
    assert "http://***@127.0.0.1:" in refused["Settings: PANCAKE_BASE_URL"]["detail"]
    assert "p4ssword" not in str(refused)
    half = checks(box, FOLKFORM_BASE_URL=f"{box.url}/folkform")
    assert (half.code, half.warnings[0], half.wrong) == (3, "Settings: FOLKFORM_BASE_URL", ["FolkForm: pages"])
    for name in ("Settings: FOLKFORM_BASE_URL", "FolkForm: pages"):
        assert half[name]["next_step"] == f"Set FOLKFORM_BASE_URL={box.url}/folkform/api/v1 (it must end in /api/v1)."


def test_a_secret_file_that_everybody_can_read(sandbox: StartSandbox, run: Command) -> None:
    """It is a warning of `check` and of a pass, with the command that closes it; closed, or in a closed directory, it
    is in order.
    """
    box = sandbox(customers=2)
    with TemporaryDirectory(prefix="it's ") as directory:
        file = Path(directory) / "token"
        file.write_text(box.environment["FOLKFORM_TOKEN"])
        settings = {"FOLKFORM_TOKEN": "", "FOLKFORM_TOKEN_FILE": str(file)}

        def warned() -> tuple[list[str], list[str]]:
            return check(run, box, **settings).warnings, run(box, "incremental", "--json", **settings).json["warnings"]

        file.chmod(0o644)
        assert warned() == ([], [])
        Path(directory).chmod(0o755)
        checked, (warning,) = warned()
        assert checked == ["Settings: FOLKFORM_TOKEN"]
        subprocess.run(["/bin/sh", "-c", warning.rpartition(": ")[2]], check=True)
        assert warned() == ([], [])


@pytest.mark.parametrize(
    ("proxy", "no_proxy", "warned"),
    [
        ("http://10.9.8.7:3128", "", True),
        ("http://user:p4ssword@proxy.invalid:3128", "", True),
        ("10.9.8.7:3128", "example.com", True),
        ("http://10.9.8.7:3128", "127.0.0.0/8", False),
        ("http://10.9.8.7:3128", "*", False),
        ("http://127.0.0.1:1", "", False),
        ("", "", False),
    ],
)
@pytest.mark.parametrize("variable", ["http_proxy", "all_proxy"])
def test_a_proxy_that_reads_the_token(run: Command, variable: str, proxy: str, no_proxy: str, warned: bool) -> None:
    """A plain http address behind a proxy of another machine is a warning, even one of this machine."""
    settings = {f"{name}_BASE_URL": "http://127.0.0.1:9/api/v1" for name in ("FOLKFORM", "PANCAKE")}
    settings |= {"FOLKFORM_TOKEN": "a-token", "no_proxy": no_proxy, variable: proxy, "CUSTOMER_SYNC_MAX_RUNTIME": "1"}
    outcome = run(None, "check", "--json", **settings)
    found = [name for name in read(outcome).warnings if name.endswith("_BASE_URL")]
    assert found == ["Settings: FOLKFORM_BASE_URL", "Settings: PANCAKE_BASE_URL"] * warned
    assert "p4ssword" not in outcome.output


# FolkForm


def test_a_wrong_token(sandbox: StartSandbox, checks: Checks) -> None:
    """FolkForm's rejection of the token names the setting; Pancake is not asked without a page list."""
    box = _shop(sandbox)
    checked = checks(box, FOLKFORM_TOKEN="a-token-that-is-wrong")
    assert (checked.code, checked.wrong, checked.warnings) == (3, ["FolkForm: token"], ["Pancake: pages"])
    assert "FOLKFORM_TOKEN" in checked["FolkForm: token"]["next_step"]
    assert box.requests.count() == 1


@pytest.mark.parametrize("length", [3, 40])
def test_a_token_that_is_cut_off(sandbox: StartSandbox, checks: Checks, length: int) -> None:
    """FolkForm's 500 to a short token is a wrong token."""
    checked = checks(_shop(sandbox, server="2025-12"), FOLKFORM_TOKEN="x" * length)
    assert (checked.code, checked.wrong) == (3, ["FolkForm: token"])
    assert "FOLKFORM_TOKEN" in checked["FolkForm: token"]["next_step"]


def test_a_sign_in(sandbox: StartSandbox, checks: Checks) -> None:
    """A token from a sign-in is reported with its user; a refused sign-in is wrong."""
    environment = {**(box := _shop(sandbox)).sign_in_environment, "FOLKFORM_TOKEN": ""}
    assert "agent@folkform.example" in checks(box, **environment)["FolkForm: token"]["detail"]
    refused = checks(box, **{**environment, "FOLKFORM_PASSWORD": "not-the-password"})
    assert (refused.code, refused.wrong) == (3, ["FolkForm: token"])
    assert "FOLKFORM_PASSWORD" in refused["FolkForm: token"]["next_step"]


@pytest.mark.parametrize("how", ["refused", "empty"])
@pytest.mark.parametrize("role", ["", "another-role"])
def test_the_only_role(sandbox: StartSandbox, checks: Checks, how: str, role: str) -> None:
    """The user's only role is used; another one in the setting is a warning, with the right one."""
    box = _shop(sandbox, wrong_role=how, roles="roles" if role else "list")
    checked = checks(box, FOLKFORM_ROLE_ID=role)
    assert (checked.code, checked.wrong, checked.warnings) == (0, [], ["FolkForm: role"] if role else [])
    assert f"{ROLE_ID}  Agent, Sandbox" in checked["FolkForm: role"]["detail"]
    assert checked["FolkForm: role"]["next_step"] == (f"Set FOLKFORM_ROLE_ID={ROLE_ID}." if role else "")
    assert box.requests.count("folkform") <= 6


@pytest.mark.parametrize(("how", "count"), [("refused", 0), ("refused", 2), ("empty", 2)])
def test_no_usable_role(sandbox: StartSandbox, checks: Checks, how: str, count: int) -> None:
    """Several roles are listed with the variable to set; a user without any role needs one: exit code 2."""
    box = _shop(sandbox, wrong_role=how)
    roles = tuple(Role(f"{number}" * 24, f"Role {number}", "Cô Ba") for number in range(count))
    box.folkform.tokens[TOKEN] = Access(roles=roles)
    checked = checks(box, FOLKFORM_ROLE_ID="")
    assert (checked.code, checked.wrong) == (2, ["FolkForm: role"])
    assert all(f"{role.role_id}  {role.name}, Cô Ba" in checked["FolkForm: role"]["next_step"] for role in roles)


def test_roles_that_are_reported(sandbox: StartSandbox, checks: Checks) -> None:
    """The role in use is reported beside the others; one that is not the user's is a warning."""
    box = _shop(sandbox)
    box.behaviour.role_required = False
    assert checks(box, FOLKFORM_ROLE_ID="")["FolkForm: role"]["state"] == "ok"
    other = checks(box, FOLKFORM_ROLE_ID="another-role")
    assert (other.code, other.warnings) == (0, ["FolkForm: role"])
    assert ROLE_ID in other["FolkForm: role"]["next_step"]
    box.folkform.tokens[TOKEN] = Access(roles=(Role("1" * 24), Role("2" * 24, "Reader")))
    detail = checks(box, FOLKFORM_ROLE_ID="2" * 24)["FolkForm: role"]["detail"]
    assert detail == f"{'2' * 24}  Reader, Sandbox, one of the user's 2; the others: {'1' * 24}"


def test_an_older_folkform(sandbox: StartSandbox, checks: Checks) -> None:
    """A FolkForm without roles is in order; its page list proves the token."""
    box = _shop(sandbox)
    with box.faults.add(Fault("status", endpoint="/auth/roles", status=404, times=None)):
        checked = checks(box)
        refused = checks(box, FOLKFORM_TOKEN="a-token-that-is-wrong")
    assert (checked.code, checked.wrong, checked.warnings) == (0, [], [])
    assert checked["FolkForm: role"]["detail"].startswith(ROLE_ID)
    assert refused.wrong == ["FolkForm: token"]


def test_a_role_that_may_not_read(sandbox: StartSandbox, checks: Checks) -> None:
    """A missing permission is reported in FolkForm's words; the pages are checked nevertheless."""
    box = _shop(sandbox)
    box.folkform.tokens["reads-nothing"] = Access(permissions=frozenset())
    checked = checks(box, FOLKFORM_TOKEN="reads-nothing")
    assert (checked.code, checked.wrong) == (3, ["FolkForm: customers"])
    assert "AUTH_003" in checked["FolkForm: customers"]["detail"]
    assert checked[f"Pancake: {only_page(box)} token"]["state"] == "ok"


def test_a_wrong_customer_path(sandbox: StartSandbox, checks: Checks) -> None:
    """A path where FolkForm keeps no customers is a wrong setting: exit code 2."""
    checked = checks(_shop(sandbox), FOLKFORM_CUSTOMER_PATH="/customer")
    assert (checked.code, checked.wrong) == (2, ["FolkForm: customer path"])


@pytest.mark.parametrize(("server", "path"), [("2026-04", "/fb-customer"), ("2025-12", "/customer")])
def test_the_path_that_is_found(sandbox: StartSandbox, checks: Checks, server: str, path: str) -> None:
    """The customers' path is reported; where other programs write to the newer one, that is a warning."""
    box = _shop(sandbox, server=server)
    assert checks(box, FOLKFORM_CUSTOMER_PATH="")["FolkForm: customer path"]["detail"].startswith(path)
    box.other_folkform.upsert(person("other", 60, page_id=only_page(box)))
    checked = checks(box, FOLKFORM_CUSTOMER_PATH="")
    assert checked.warnings == (["FolkForm: customer path"] if server == "2025-12" else [])
    assert checks(box).warnings == []


@pytest.mark.parametrize(
    ("dialect", "path", "command"),
    [
        ("deployed", "/customer", "db.customers.createIndex({pageId: 1, panCakeUpdatedAt: -1})"),
        ("guide", "/customer", "db.customers.createIndex({pageId: 1, updatedAt: -1})"),
        ("older", "/customer", 'db.customers.createIndex({pageId: 1, "panCakeData.updated_at": -1})'),
        ("deployed", "/fb-customer", "db.fb_customers.createIndex({pageId: 1, panCakeUpdatedAt: -1})"),
    ],
)
def test_a_slow_watermark_query(sandbox: StartSandbox, checks: Checks, dialect: str, path: str, command: str) -> None:
    """A slow watermark query is a warning, with the index that the dialect needs."""
    box = _shop(sandbox, 1, dialect=dialect, customer_path=path)
    fault = Fault("drip_headers", endpoint="/find", page_id=only_page(box), times=None, interval=0.015)
    with box.faults.add(fault):
        checked = checks(box)
    assert (checked.code, checked.warnings) == (0, ["FolkForm: watermark query"])
    assert checked["FolkForm: watermark query"]["next_step"].endswith(command)


def test_the_limit(sandbox: StartSandbox, checks: Checks) -> None:
    """FolkForm's rate limit is reported as its last answer has it."""
    box = _shop(sandbox, folkform_limit=100)
    detail = checks(box)["FolkForm: limit"]["detail"]
    left = 100 - box.requests.count("folkform")
    assert re.match(rf"100 requests per window, {left} left; it resets in [56]\d s", detail)
    box.behaviour.folkform_limit = None
    assert checks(box)["FolkForm: limit"]["state"] == "ok"


def test_waiting_for_the_limit(sandbox: StartSandbox, run: Command) -> None:
    """A wait for FolkForm's rate limit is announced, causes no 429, and is not part of a timing."""
    box = _shop(sandbox, folkform_limit=2, folkform_window=3.0)
    outcome = run(box, "check")
    assert outcome.code == 0
    assert re.search(r"waiting [23] s", outcome.err)
    assert re.search(r"watermark query +(\d+ ms|1\.\d s)", outcome.out)
    assert not [request for request in box.requests.recent if request.status == 429]


def test_folkform_does_not_answer(sandbox: StartSandbox, checks: Checks) -> None:
    """A FolkForm that accepts connections and never answers is given up after two tries."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as deaf:
        address = f"http://127.0.0.1:{deaf.getsockname()[1]}/api/v1"
        checked = checks(sandbox(), CUSTOMER_SYNC_TIMEOUT="0.2", FOLKFORM_BASE_URL=address)
    assert (checked.code, checked.wrong) == (75, ["FolkForm: token"])
    assert checked.json["totals"]["requests"] == 2
    assert "This machine: lock directory" in checked


# Pages


def test_pages(sandbox: StartSandbox, checks: Checks) -> None:
    """All pages are counted, those that are on are checked in Pancake; a page that is off only when named."""
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
    """A FolkForm without any page that is on is a warning: no pass would do anything."""
    box = sandbox(customers=3)
    box.folkform.set_page(only_page(box), isSync=False)
    for started in (box, sandbox(pages=0)):
        checked = checks(started)
        assert (checked.code, checked.warnings, checked.wrong) == (0, ["FolkForm: pages"], [])
        assert "isSync" in checked["FolkForm: pages"]["next_step"]
        assert started.requests.count("pancake") == 0


def test_many_pages(sandbox: StartSandbox, checks: Checks) -> None:
    """Of many pages the first are named; each is asked for once, as many at once as the setting says."""
    box = sandbox(pages=12, customers=2, pancake_latency=0.1)
    checked = checks(box, CUSTOMER_SYNC_PAGES_AT_ONCE="1")
    assert checked["FolkForm: pages"]["detail"].endswith(", 2 more")
    lists = [request for request in box.requests.recent if request.template.endswith("/page_customers")]
    assert sorted(str(request.page_id) for request in lists) == sorted(box.pancake.page_ids())
    times = [request.time for request in lists]
    assert max(times) - min(times) > 11 * 0.1


def test_an_unknown_page(sandbox: StartSandbox, checks: Checks) -> None:
    """An unknown page is wrong, with the available ones; the others are checked."""
    box = sandbox(customers=3)
    checked = checks(box, "unknown", only_page(box))
    assert (checked.code, checked.wrong) == (2, ["FolkForm: --page"])
    assert only_page(box) in checked["FolkForm: --page"]["next_step"]
    assert f"Pancake: {only_page(box)} token" in checked


# Pancake's tokens


_ADVANCED = "pages.fm → Account → Advanced"
_TOKENS = ("", "a-dead-page-token", "user-token-of-{}")


def _with_tokens(start: StartSandbox, page_token: str | None, user_token: str, **more: Any) -> Sandbox:
    """Two pages, of which the first has these tokens in its record and is the only one that is on."""
    box = start(pages=2, customers=3, **more)
    one, other = box.pancake.page_ids()
    box.folkform.set_page(other, isSync=False)
    box.folkform.set_page(one, accessToken=user_token.format(one))
    if page_token is not None:
        box.folkform.set_page(one, pageAccessToken=page_token.format(one))
    return box


@pytest.mark.parametrize("token", _TOKENS, ids=["missing", "dead", "user's"])
@pytest.mark.parametrize(
    ("user_token", "environment", "code", "step"),
    [
        ("user-token-of-{}", {}, 0, "the record's user token"),
        ("", {"PANCAKE_ACCESS_TOKEN": "user-token-of-{}"}, 0, "PANCAKE_ACCESS_TOKEN"),
        ("a-dead-user-token", {"PANCAKE_ACCESS_TOKEN": "user-token-of-{}"}, 0, "PANCAKE_ACCESS_TOKEN"),
        ("", {}, 3, "set PANCAKE_ACCESS_TOKEN"),
        ("a-dead-user-token", {}, 3, f"Renew the user token at {_ADVANCED}, and set PANCAKE_ACCESS_TOKEN"),
        ("", {"PANCAKE_ACCESS_TOKEN": "a-dead-user-token"}, 3, "as accessToken in FolkForm's page record"),
        ("user-token-of-{}", {"CUSTOMER_SYNC_RENEW_TOKENS": "0"}, 3, "CUSTOMER_SYNC_RENEW_TOKENS"),
    ],
    ids=["renewable", "by the setting", "by the setting only", "none", "expired", "setting expired", "switched off"],
)
def test_an_unusable_page_token(
    sandbox: StartSandbox, checks: Checks, token: str, user_token: str, environment: Any, code: int, step: str
) -> None:
    """A missing, dead or wrong token is a warning where the next pass renews it, else wrong; none is made now."""
    box = _with_tokens(sandbox, token, user_token)
    page_id = box.pancake.page_ids()[0]
    checked = checks(box, **{name: value.format(page_id) for name, value in environment.items()})
    finding = checked[f"Pancake: {page_id} token"]
    assert (checked.code, finding["state"]) == (code, "wrong" if code else "warning")
    assert step in finding["next_step"]
    assert {request.method for request in box.requests.recent} == {"GET"}
    assert ("expired" in finding["detail"]) == ("dead-user" in str(environment) + user_token and code == 3)


@pytest.mark.parametrize(
    ("user_token", "environment", "state", "detail"),
    [
        ("user-token-of-{}", {}, "ok", "renewable with the record's user token"),
        ("", {"PANCAKE_ACCESS_TOKEN": "user-token-of-{}"}, "ok", "renewable with PANCAKE_ACCESS_TOKEN"),
        ("", {}, "ok", "cannot be renewed: there is no user token"),
        (
            "user-token-of-{}",
            {"CUSTOMER_SYNC_RENEW_TOKENS": "0"},
            "ok",
            "cannot be renewed: CUSTOMER_SYNC_RENEW_TOKENS",
        ),
        ("a-dead-user-token", {}, "warning", "the record's user token was rejected (103: access_token has expired)"),
        (
            "a-dead-user-token",
            {"PANCAKE_ACCESS_TOKEN": "user-token-of-{}"},
            "ok",
            "renewable with PANCAKE_ACCESS_TOKEN (the record's user token was rejected",
        ),
    ],
)
def test_a_page_token_that_works(
    sandbox: StartSandbox, checks: Checks, user_token: str, environment: Any, state: str, detail: str
) -> None:
    """A token that works is in order; a dead user token behind it is a warning, to renew it in good time."""
    box = _with_tokens(sandbox, None, user_token)
    page_id = box.pancake.page_ids()[0]
    checked = checks(box, **{name: value.format(page_id) for name, value in environment.items()})
    assert (checked.code, checked[f"Pancake: {page_id} token"]["state"]) == (0, "ok")
    renewal = checked[f"Pancake: {page_id} renewal"]
    assert (renewal["state"], detail in renewal["detail"]) == (state, True)
    assert (_ADVANCED in renewal["next_step"]) == (state == "warning")


@pytest.mark.parametrize(("page_token", "code"), [(None, 0), ("a-dead-page-token", 3), ("", 3)])
def test_a_user_without_the_page(sandbox: StartSandbox, checks: Checks, page_token: str | None, code: int) -> None:
    """A valid user token whose list does not hold the page makes it no token."""
    box = _with_tokens(sandbox, page_token, "")
    one, other = box.pancake.page_ids()
    checked = checks(box, PANCAKE_ACCESS_TOKEN=f"user-token-of-{other}")
    finding = checked[f"Pancake: {one} {'token' if code else 'renewal'}"]
    assert (checked.code, finding["state"]) == (code, "wrong" if code else "warning")
    assert "PANCAKE_ACCESS_TOKEN is of a user without this page" in finding["detail"]


@pytest.mark.parametrize("refusal", [None, 401, 403, 102, 105, 106, 107])
def test_however_pancake_rejects_a_user_token(sandbox: StartSandbox, run: Command, refusal: int | None) -> None:
    """`check -q` prints a page token and a user token that are both dead, and exits as the passes do."""
    box = sandbox(customers=3, user_token_refusal=refusal)
    box.tokens.kill("page")
    assert run(box, "check", "-q").output == ""
    box.tokens.kill("user")
    outcome = run(box, "check", "-q")
    assert (outcome.code, run(box, "incremental", "-q").code) == (3, 3)
    assert "access_token has expired" in outcome.err
    assert _ADVANCED in outcome.err


def test_one_problem_of_many_pages(sandbox: StartSandbox, run: Command) -> None:
    """It is one finding with the list of the pages; --json has one for each page."""
    box = sandbox(pages=25, customers=3)
    for kind in ("page", "user"):
        box.tokens.kill(kind)
    (finding, step, summary) = run(box, "check", "-q").err.splitlines()
    assert "token of 25 pages: Pancake rejected the page token" in finding
    assert finding.endswith(f"{box.pancake.page_ids()[19]} and 5 more (--json lists all)")
    assert _ADVANCED in step
    assert "25 wrong" in summary
    findings = json.loads(run(box, "check", "--json").out)["findings"]
    wrong = {one["what"] for one in findings if one["state"] == "wrong"}
    assert wrong == {f"{page_id} token" for page_id in box.pancake.page_ids()}


@pytest.mark.parametrize("kind", ["status", "html"])
def test_a_list_of_pages_that_fails(sandbox: StartSandbox, checks: Checks, kind: Any) -> None:
    """Where Pancake cannot list the user's pages, the user token is not called expired: not known, and no failure as
    long as the page token works; without one the passes cannot go on either.
    """
    box = sandbox(customers=3)
    name = f"Pancake: {only_page(box)}"
    fault = Fault(kind, service="pancake", endpoint="/v1/pages", status=502, times=None)
    with box.faults.add(fault):
        checked = checks(box)
        box.tokens.kill("page")
        dead = checks(box)
    assert (checked.code, checked.warnings) == (0, [f"{name} renewal"])
    assert "is not known: Pancake answered 502" in checked[f"{name} renewal"]["detail"]
    assert (dead.code, dead.wrong) == (75, [f"{name} token"])
    assert "expired" not in dead[f"{name} token"]["detail"]


@pytest.mark.parametrize("status", [404, 403, 500])
def test_a_pancake_without_a_list_of_pages(sandbox: StartSandbox, checks: Checks, passes: Passes, status: int) -> None:
    """A list that fails for good keeps no pass from making a token: a warning."""
    box = sandbox(customers=3)
    box.tokens.kill("page")
    box.faults.add(Fault("status", service="pancake", endpoint="/v1/pages", status=status, message="", times=None))
    checked = checks(box)
    assert (checked.code, checked.warnings) == (0, [f"Pancake: {only_page(box)} token"])
    assert passes(box, INCREMENTAL).exit_code == 0


@pytest.mark.parametrize("answer", [{}, {"categorized": None}, {"categorized": {"activated": None}}], ids=str)
def test_an_answer_that_is_no_list_of_pages(
    sandbox: StartSandbox, checks: Checks, in_between: Callable[[Sandbox], Proxy], answer: dict[str, Any]
) -> None:
    """It does not tell whether the user token is valid."""
    proxy = in_between(box := sandbox(customers=3))
    text = json.dumps({"success": True, **answer}).encode()
    proxy.before = lambda passing: text if passing.path.endswith("/v1/pages") else None
    checked = checks(proxy)
    assert (checked.code, checked.warnings) == (0, [f"Pancake: {only_page(box)} renewal"])


@pytest.mark.parametrize(("category", "state"), [("activated", "ok"), ("inactivated", "ok"), ("none", "warning")])
def test_the_categories_of_pages(
    sandbox: StartSandbox, checks: Checks, in_between: Callable[[Sandbox], Proxy], category: str, state: str
) -> None:
    """A page that the user has switched off in Pancake is the user's all the same."""
    proxy = in_between(box := sandbox(customers=3))
    lists: dict[str, Any] = {"activated": [], "none": 7}
    if category != "none":
        lists[category] = [{"id": only_page(box)}, 7]
    text = json.dumps({"success": True, "categorized": lists}).encode()
    proxy.before = lambda passing: text if passing.path.endswith("/v1/pages") else None
    assert checks(proxy)[f"Pancake: {only_page(box)} renewal"]["state"] == state


@pytest.mark.parametrize("environment", [{}, {"CUSTOMER_SYNC_RENEW_TOKENS": "0"}], ids=str)
@pytest.mark.parametrize("stored", ["", "a-dead-page-token"])
def test_a_page_token_that_pancake_lists(
    sandbox: StartSandbox, checks: Checks, passes: Passes, stored: str, environment: dict[str, str]
) -> None:
    """The next pass takes the token that Pancake lists, although it may make none."""
    box = sandbox(customers=3, shows_page_tokens=True)
    box.folkform.set_page(only_page(box), pageAccessToken=stored)
    checked = checks(box, **environment)
    assert (checked.code, checked.warnings) == (0, [f"Pancake: {only_page(box)} token"])
    passes.environment = environment
    assert passes(box, INCREMENTAL).exit_code == 0


def test_the_present_page_token_is_rejected(sandbox: StartSandbox, checks: Checks) -> None:
    """Where Pancake rejects the token that it lists, no pass makes another one: wrong."""
    box = sandbox(customers=3, shows_page_tokens=True)
    box.faults.add(Fault("error_code", service="pancake", endpoint="/page_customers", error_code=107, times=None))
    checked = checks(box)
    assert (checked.code, checked.wrong) == (3, [f"Pancake: {only_page(box)} token"])
    assert "a new one would not help" in checked[f"Pancake: {only_page(box)} token"]["detail"]


def test_each_user_token_is_asked_once(sandbox: StartSandbox, checks: Checks) -> None:
    """Pages that share a user token share the answer."""
    box = sandbox(pages=5, customers=2, pancake_latency=0.1)
    for page_id in box.pancake.page_ids()[1:]:
        box.folkform.set_page(page_id, accessToken="a-dead-user-token")
    checked = checks(box, PANCAKE_ACCESS_TOKEN="another-dead-token")
    assert len(checked.warnings) == 4
    asked = [request.query["access_token"] for request in box.requests.recent if request.template.endswith("/v1/pages")]
    assert len(asked) == len(set(asked)) == 3


@pytest.mark.parametrize("refusal", [401, 403, 105, 107])
def test_however_pancake_rejects_a_token(sandbox: StartSandbox, checks: Checks, refusal: int) -> None:
    """A rejection by status or by code, in Pancake's words, is one of the token."""
    box = sandbox(customers=3, page_token_refusal=refusal)
    box.tokens.kill("page")
    finding = checks(box)[f"Pancake: {only_page(box)} token"]
    assert (finding["state"], "was renewed" in finding["detail"]) == ("warning", True)


def test_a_proxys_403_is_no_rejected_token(sandbox: StartSandbox, checks: Checks) -> None:
    """A 403 without Pancake's words is not the token's fault, since no new one would help."""
    box = sandbox(customers=3)
    with box.faults.add(Fault("html", service="pancake", status=403, times=None)):
        checked = checks(box)
    assert (checked.code, checked.wrong) == (3, [f"Pancake: {only_page(box)} list"])


# Pancake's lists


def test_pancake_fails(sandbox: StartSandbox, checks: Checks) -> None:
    """A Pancake without a usable answer is asked twice, and hides nothing of FolkForm."""
    box = _shop(sandbox)
    with box.faults.add(Fault("status", service="pancake", status=502, times=None)):
        checked = checks(box)
    assert (checked.code, checked.wrong) == (75, [f"Pancake: {only_page(box)} list"])
    assert "FolkForm: watermark query" in checked
    assert box.requests.count("pancake") == 2


def test_the_order(sandbox: StartSandbox, checks: Checks, in_between: Callable[[Sandbox], Proxy]) -> None:
    """A list that is not newest first is wrong; malformed customers in it do not matter."""
    box = sandbox(customers=3)
    proxy = in_between(box)
    rows = b'{"updated_at": "2025-01-01T00:00:00"}, 7, {"updated_at": 1}, {"updated_at": "2025-01-01T00:00:01"}'
    oldest_first = b'{"success": true, "total": 4, "customers": [%b]}' % rows
    proxy.before = lambda passing: oldest_first if passing.path.endswith("/page_customers") else None
    checked = checks(proxy)
    assert (checked.code, checked.wrong) == (3, [f"Pancake: {only_page(box)} order"])
    assert checks(box)[f"Pancake: {only_page(box)} order"]["detail"] == "newest first"


def test_the_total(sandbox: StartSandbox, checks: Checks) -> None:
    """Pancake's count of customers is reported; a Pancake that does not count is a warning."""
    box = sandbox(customers=1234)
    name = f"Pancake: {only_page(box)} total"
    assert checks(box)[name]["detail"] == "1,234 customers"
    box.behaviour.total = False
    checked = checks(box)
    assert (checked.code, checked.warnings) == (0, [name])


# This machine


@pytest.mark.parametrize("offset", [95.0, -95.0])
def test_clocks(sandbox: StartSandbox, run: Command, offset: float) -> None:
    """A clock that disagrees with Pancake's is a warning."""
    box = sandbox(customers=3)
    assert check(run, box)["This machine: FolkForm's clock"]["state"] == "ok"
    box.behaviour.pancake_clock_offset = offset
    checked = check(run, box)
    assert (checked.code, checked.warnings) == (0, ["This machine: Pancake's clock"])
    detail = checked["This machine: Pancake's clock"]["detail"]
    assert re.match("this machine is 9. s behind it: " if offset > 0 else "9. s behind this machine: ", detail)


class _LateRelay(Relay):
    """A relay whose clock is behind."""

    def send_header(self, keyword: str, value: str) -> None:
        late = formatdate(time.time() - 95, usegmt=True)
        super().send_header(keyword, late if keyword.lower() == "date" else value)


def test_folkforms_clock(sandbox: StartSandbox, checks: Checks) -> None:
    """FolkForm's clock is compared, too."""
    box = sandbox(customers=3)
    with served(_LateRelay, urlsplit(box.url).netloc, []) as place:
        checked = checks(box, FOLKFORM_BASE_URL=f"http://{place}/folkform/api/v1")
    assert (checked.code, checked.warnings) == (0, ["This machine: FolkForm's clock"])


def test_the_lock_directory(sandbox: StartSandbox, run: Command) -> None:
    """The lock directory is made as a pass would make it; one that cannot be used is wrong, and the rest is checked."""
    box = sandbox(customers=3)
    detail = check(run, box)["This machine: lock directory"]["detail"]
    assert detail.startswith(f"{run.lock_dir}, owned by {run.lock_dir.owner()}")
    assert list(run.lock_dir.iterdir()) == []
    (run.home / "file").touch()
    checked = check(run, box, CUSTOMER_SYNC_LOCK_DIR=f"{run.home}/file/locks")
    assert (checked.code, checked.wrong) == (2, ["This machine: lock directory"])
    assert checked[f"Pancake: {only_page(box)} token"]["state"] == "ok"


def test_a_lock_directory_of_another_user(sandbox: StartSandbox, run: Command) -> None:
    """A lock directory that this user may not write to is wrong."""
    another_user = permitted(["--user", "--map-user=12345", "--map-group=12345"])
    run.lock_dir.mkdir(mode=0o500)
    ended = subprocess.run(
        [*another_user, str(COMMAND), "check", "--json"],
        env=run.environment(sandbox(customers=3)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    checked = read(Outcome(ended.returncode, ended.stdout, ended.stderr))
    assert (checked.code, checked.wrong) == (2, ["This machine: lock directory"])


# Exit codes


@pytest.mark.parametrize(
    ("arguments", "environment", "code"),
    [
        ((), {}, 0),
        ((), {"PANCAKE_BASE_URL": _NOWHERE}, 75),
        (("--page", "unknown"), {"PANCAKE_BASE_URL": _NOWHERE}, 2),
        ((), {"CUSTOMER_SYNC_WORKERS": "0", "FOLKFORM_TOKEN": "a-token-that-is-wrong"}, 2),
        ((), {"CUSTOMER_SYNC_WORKERS": "8", "FOLKFORM_TOKEN": "a-token-that-is-wrong"}, 3),
    ],
)
def test_exit_codes(
    sandbox: StartSandbox, run: Command, arguments: tuple[str, ...], environment: dict[str, str], code: int
) -> None:
    """Warnings do not count; wrong settings take precedence over a rejection, and that over an outage."""
    checked = check(run, sandbox(customers=3, total=False), *arguments, **environment)
    assert (checked.code, bool(checked.wrong)) == (code, code != 0)
    assert checked.json["status"] == ("failed" if code else "ok")


def test_a_rejection_takes_precedence_over_an_outage(sandbox: StartSandbox, checks: Checks) -> None:
    """With one page rejected and another unreachable an operator has to act: exit code 3."""
    box = sandbox(pages=2, customers=3)
    dead, away = box.pancake.page_ids()
    box.folkform.set_page(dead, pageAccessToken="a-dead-page-token", accessToken="")
    with box.faults.add(Fault("status", service="pancake", page_id=away, status=502, times=None)):
        checked = checks(box)
    assert (checked.code, checked.wrong) == (3, [f"Pancake: {dead} token", f"Pancake: {away} list"])
