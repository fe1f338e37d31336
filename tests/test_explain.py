"""`customer-sync explain`: one customer on both sides, and whether the pass that it names really copies it."""

import json
import re
import shlex
import signal
from collections.abc import Callable
from typing import Any

import pytest

from customer_sync.sandbox import Fault, Sandbox
from customer_sync.sync.passes import BACKFILL, INCREMENTAL

from .conftest import (
    DAY,
    Command,
    Outcome,
    StartSandbox,
    ago,
    fill_folkform,
    on_a_terminal,
    only_page,
    people,
    person,
    wait_until,
    without_colours,
)
from .in_process import Passes
from .proxy import Passing, Proxy

DIALECTS = ["deployed", "guide", "older"]
_NAME, _PHONE = "Canary Bích Ngọc", "0987654321"


def _explain(passes: Passes, box: Sandbox, customer: str) -> dict[str, Any]:
    """The explanation of a customer of the only page, made in this process."""
    return passes.explain(box, customer, only_page(box))


def _ran(run: Command, box: Sandbox, customer: str) -> Outcome:
    return run(box, "explain", customer, "--page", only_page(box), "--json")


def _page(outcome: Outcome) -> dict[str, Any]:
    """The explanation that the command prints with `--json`."""
    (page,) = outcome.json["pages"]
    return {**page, "exit_code": outcome.code}


def _verdict(page: dict[str, Any]) -> tuple[int, str | None, str | None]:
    return page["exit_code"], page["verdict"], page["remedy"]


def _asked(box: Sandbox, endpoint: str) -> int:
    return box.requests.count(ending=endpoint)


def _filled(start: StartSandbox, count: int = 300, **behaviour: Any) -> Sandbox:
    """A page of customers a day apart, the newest an hour old, all of them in FolkForm."""
    box = start(**behaviour)
    box.pancake.add_customers(only_page(box), people(count, 3600, DAY))
    fill_folkform(box)
    return box


@pytest.mark.parametrize("dialect", DIALECTS)
def test_up_to_date(sandbox: StartSandbox, passes: Passes, dialect: str) -> None:
    """The usual case costs one request to Pancake, by psid and by Pancake id, wherever the customer is."""
    box = _filled(sandbox, dialect=dialect)
    for customer in ("p0250", "id-p0250"):
        box.requests.clear()
        page = _explain(passes, box, customer)
        assert _verdict(page) == (0, "in_order", None)
        assert page["pancake"]["psid"] == page["folkform"]["psid"] == "p0250"
        assert page["pancake"]["updated_at"] == page["folkform"]["updated_at"]
        assert page["differences"] == []
        assert (_asked(box, "/page_customers"), _asked(box, "/find")) == (1, 1 if customer == "p0250" else 3)
        assert {request.method for request in box.requests.recent} == {"GET"}


def test_json_has_the_frame_of_the_passes(sandbox: StartSandbox, run: Command) -> None:
    """`--json` prints one object of exactly the documented shape."""
    outcome = _ran(run, _filled(sandbox, 3), "p0001")
    assert outcome.out.count("\n") == 1
    assert list(outcome.json) == [
        *("pass", "status", "complete", "exit_code", "dry_run", "shard", "started_at", "duration_s"),
        *("totals", "error", "stopped", "warnings", "pages"),
    ]
    (page,) = outcome.json["pages"]
    assert set(page) == {
        *("page_id", "status", "complete", "on", "who", "verdict", "sentence", "remedy", "pancake", "folkform"),
        *("differences", "records", "requests", "error", "warnings", "customers"),
    }


# The next pass


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_next_incremental(sandbox: StartSandbox, passes: Passes, dialect: str) -> None:
    """Customers that are missing or stale at the newest end, and the next incremental does copy them."""
    box = _filled(sandbox, dialect=dialect)
    box.pancake.add_customer(only_page(box), person("new", 60))
    box.pancake.change_customer(only_page(box), "p0200", {"updated_at": ago(90), "name": "Mai"})
    for customer in ("new", "p0200"):
        assert _verdict(_explain(passes, box, customer)) == (1, "next_incremental", "customer-sync incremental")
    assert passes(box, INCREMENTAL).exit_code == 0
    assert [_verdict(_explain(passes, box, one))[1] for one in ("new", "p0200")] == ["in_order", "in_order"]


def test_a_pass_that_failed(sandbox: StartSandbox, passes: Passes) -> None:
    """Of a customer that is older than those that FolkForm holds, no success is promised."""
    box = _filled(sandbox, 60)
    box.pancake.add_customer(only_page(box), person("refused", 7200))
    box.pancake.add_customer(only_page(box), person("new", 600))
    box.faults.add(Fault("status", endpoint="/upsert-one", psid="refused", status=400, times=None))
    sentences = [str(_explain(passes, box, one)["sentence"]) for one in ("refused", "new")]
    assert ["an earlier pass may have failed" in sentence for sentence in sentences] == [True, False]
    assert passes(box, INCREMENTAL).exit_code == 1
    page = _explain(passes, box, "refused")
    assert _verdict(page) == (1, "next_incremental", "customer-sync incremental")
    assert "the next incremental tries to copy this customer" in page["sentence"]


def test_a_number_that_folkform_cannot_store(sandbox: StartSandbox, passes: Passes) -> None:
    """No pass is named for a customer that none can write; the field to correct is."""
    box = _filled(sandbox, 3)
    box.pancake.add_customer(only_page(box), person("p", 60, amount=10**400))
    page = _explain(passes, box, "p")
    assert _verdict(page) == (1, "unstorable", None)
    assert "FolkForm cannot store the number in amount, which is too large" in page["sentence"]


def test_changed_just_now(sandbox: StartSandbox, passes: Passes) -> None:
    """A customer inside the settle time is found all the same."""
    box = _filled(sandbox, 60)
    box.pancake.add_customer(only_page(box), person("new", 0))
    assert _verdict(_explain(passes, box, "new"))[1] == "next_incremental"


def test_a_clock_that_is_behind(sandbox: StartSandbox, passes: Passes) -> None:
    """A change in the future of this machine is found by Pancake's clock."""
    box = _filled(sandbox, 60, pancake_clock_offset=3600.0)
    box.pancake.change_customer(only_page(box), "p0030", {"updated_at": ago(-3000)})
    page = _explain(passes, box, "p0030")
    assert _verdict(page)[1] == "next_incremental"
    assert page["pancake"]["updated_at"] != page["folkform"]["updated_at"]


@pytest.mark.parametrize("dialect", DIALECTS[:2])
def test_the_next_backfill(sandbox: StartSandbox, passes: Passes, dialect: str) -> None:
    """A customer older than all in FolkForm: no incremental copies it, the next backfill does."""
    box = _filled(sandbox, 120, dialect=dialect)
    box.pancake.add_customer(only_page(box), person("old", 150 * DAY))
    for command in (INCREMENTAL, BACKFILL):
        assert _verdict(_explain(passes, box, "old")) == (1, "next_backfill", "customer-sync backfill")
        assert passes(box, command).exit_code == 0
    assert _verdict(_explain(passes, box, "old"))[1] == "in_order"


def test_the_look_back(sandbox: StartSandbox, passes: Passes) -> None:
    """A customer missing a little below the watermark: no incremental copies it, the next backfill does."""
    box = _filled(sandbox)
    box.folkform.delete(only_page(box), "p0053")
    for command in (INCREMENTAL, BACKFILL):
        assert _verdict(_explain(passes, box, "p0053")) == (1, "next_backfill", "customer-sync backfill")
        assert passes(box, command).exit_code == 0
    assert _verdict(_explain(passes, box, "p0053"))[1] == "in_order"


@pytest.mark.parametrize("dialect", DIALECTS[1:])
def test_only_a_repair(sandbox: StartSandbox, passes: Passes, run: Command, dialect: str) -> None:
    """A customer missing in the middle: neither pass copies it, the command that is named does."""
    box = _filled(sandbox, dialect=dialect)
    box.folkform.delete(only_page(box), "p0150")
    repair = f"customer-sync backfill --page {only_page(box)}"
    for command in (INCREMENTAL, BACKFILL):
        assert _verdict(_explain(passes, box, "p0150")) == (1, "repair_needed", repair)
        assert passes(box, command).exit_code == 0
    assert run(box, *shlex.split(repair)[1:]).code == 0
    assert _verdict(_explain(passes, box, "p0150"))[1] == "in_order"


def test_an_overlap(sandbox: StartSandbox, passes: Passes) -> None:
    """With CUSTOMER_SYNC_OVERLAP the incremental starts earlier, and copies more."""
    box = _filled(sandbox)
    box.folkform.delete(only_page(box), "p0100")
    assert _verdict(_explain(passes, box, "p0100"))[1] == "repair_needed"
    passes.environment["CUSTOMER_SYNC_OVERLAP"] = "90d"
    assert _verdict(_explain(passes, box, "p0100"))[1] == "next_incremental"
    assert passes(box, INCREMENTAL).exit_code == 0
    assert _verdict(_explain(passes, box, "p0100"))[1] == "in_order"


def test_a_page_that_is_off(sandbox: StartSandbox, passes: Passes, run: Command) -> None:
    """Only a pass that names the page copies its customers, and the command that is printed does."""
    box = _filled(sandbox, 120)
    box.folkform.set_page(only_page(box), isSync=False)
    box.pancake.add_customer(only_page(box), person("new", 60))
    box.pancake.add_customer(only_page(box), person("old", 150 * DAY))
    for customer, command in (("new", "incremental"), ("old", "backfill")):
        remedy = f"customer-sync {command} --page {only_page(box)}"
        assert _verdict(_explain(passes, box, customer)) == (1, "page_is_off", remedy)
        assert run(box, *shlex.split(remedy)[1:]).code == 0
        assert _verdict(_explain(passes, box, customer))[1] == "in_order"


def test_the_same_version_with_other_fields(sandbox: StartSandbox, passes: Passes, run: Command) -> None:
    """Another writer's change is shown, is no failure, and is undone by the command that is printed."""
    box = _filled(sandbox, 20)
    box.folkform.upsert({**box.pancake.customers(only_page(box))[3], "page_id": only_page(box), "name": "Mai"})
    page = _explain(passes, box, "p0003")
    remedy = f"customer-sync backfill --page {only_page(box)} --rewrite"
    assert _verdict(page) == (0, "altered", remedy)
    assert [one["field"] for one in page["differences"]] == ["name"]
    assert run(box, *shlex.split(remedy)[1:]).code == 0
    assert _verdict(_explain(passes, box, "p0003"))[1] == "in_order"


# What no pass can copy


@pytest.mark.parametrize("changes", [{"psid": {"name": _NAME}}, {"updated_at": None}, {"updated_at": _NAME}])
def test_malformed(sandbox: StartSandbox, run: Command, changes: dict[str, Any]) -> None:
    """A malformed customer is found by Pancake id, with the field that is wrong and nothing personal."""
    box = _filled(sandbox, 150)
    box.pancake.add_customer(only_page(box), {**person("x", 90), **changes})
    outcome = _ran(run, box, "id-x")
    page = _page(outcome)
    assert _verdict(page) == (1, "malformed", None)
    assert (page["pancake"]["id"], page["folkform"]) == ("id-x", None)
    assert next(iter(changes)) in page["pancake"]["malformed"]
    assert _NAME not in outcome.output


def test_a_psid_that_is_gone(sandbox: StartSandbox, passes: Passes) -> None:
    """A customer that has lost its psid in Pancake is recognised by Pancake id."""
    box = _filled(sandbox, 150)
    box.pancake.change_customer(only_page(box), "p0100", {"psid": None, "updated_at": ago(90)})
    page = _explain(passes, box, "p0100")
    assert _verdict(page)[1] == "next_incremental"
    assert (page["folkform"]["psid"], page["pancake"]["psid"]) == ("p0100", None)


@pytest.mark.parametrize("psid", [None, "", 12345])
def test_by_pancake_id(sandbox: StartSandbox, passes: Passes, psid: Any) -> None:
    """A customer without a psid is found by id on both sides; a numeric psid by its text."""
    box = _filled(sandbox, 150)
    box.pancake.add_customer(only_page(box), {**person("x", 90), "psid": psid})
    assert _verdict(_explain(passes, box, "id-x"))[1] == "next_incremental"
    fill_folkform(box)
    for customer in ("id-x", *(["12345"] if psid else [])):
        page = _explain(passes, box, customer)
        assert _verdict(page)[:2] == (0, "in_order")
        assert page["folkform"]["id"] == "id-x"


def test_by_a_pancake_id_unknown_in_folkform(sandbox: StartSandbox, passes: Passes) -> None:
    """The record with the same psid is compared."""
    box = _filled(sandbox, 60)
    box.pancake.change_customer(only_page(box), "p0030", {"id": "another-id"})
    page = _explain(passes, box, "another-id")
    assert _verdict(page)[1] == "altered"
    assert [one["field"] for one in page["differences"]] == ["id"]


def test_duplicates(sandbox: StartSandbox, run: Command) -> None:
    """Both records are shown, the newer first."""
    box = _filled(sandbox, 3)
    page_id = only_page(box)
    older = box.folkform.insert(person("p0001", 9 * DAY, id="other", page_id=page_id))
    page = _page(_ran(run, box, "p0001"))
    assert _verdict(page) == (1, "duplicate", None)
    assert [record["id"] for record in page["records"]] == ["id-p0001", "other"]
    assert page["records"][1]["record"] == json.loads(older)["id"]
    text = run(box, "explain", "p0001", "--page", page_id).out
    assert all(record["record"] in text for record in page["records"])


@pytest.mark.parametrize("psid", ["p", None])
def test_an_id_that_another_page_has(sandbox: StartSandbox, passes: Passes, psid: str | None) -> None:
    """The record that prevents the upsert is named, and no command is proposed."""
    box = _filled(sandbox, 60)
    box.folkform.upsert(person("theirs", 60, id="id-p", page_id="another"))
    box.pancake.add_customer(only_page(box), person("p", 90) | {"psid": psid})
    page = _explain(passes, box, "id-p")
    assert _verdict(page) == (1, "id_taken", None)
    assert all(name in page["sentence"] for name in ("id-p", "theirs", "another"))


# The search in Pancake


def test_not_in_pancake(sandbox: StartSandbox, run: Command) -> None:
    """The whole page is searched, which is announced; then the customer is only in FolkForm, or unknown."""
    box = _filled(sandbox)
    box.pancake.remove_customer(only_page(box), "p0020")
    for customer, verdict in (("p0020", "only_in_folkform"), ("unknown", "unknown")):
        outcome = _ran(run, box, customer)
        assert _verdict(_page(outcome)) == (1, verdict, None)
        assert _page(outcome)["pancake"] is None
        assert "3 requests" in outcome.err
    assert _page(outcome)["folkform"] is None


def test_a_search_stops_at_the_customer(sandbox: StartSandbox, run: Command) -> None:
    """Nothing below is read, and one batch needs no announcement."""
    box = _filled(sandbox)
    box.pancake.change_customer(only_page(box), "p0290", {"updated_at": ago(60)})
    outcome = _ran(run, box, "p0290")
    assert (_asked(box, "/page_customers"), outcome.err) == (2, "")


def _changes_at(number: int, change: Callable[[], Any]) -> Callable[[Passing], None]:
    """Calls *change* before the n-th request for Pancake's list."""
    asked = 0

    def before(passing: Passing) -> None:
        nonlocal asked
        asked += passing.path.endswith("/page_customers")
        if passing.path.endswith("/page_customers") and asked == number:
            change()

    return before


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_a_change_during_the_search(
    sandbox: StartSandbox, run: Command, in_between: Callable[[Sandbox], Proxy], number: int
) -> None:
    """A customer that moves up past the search, at whatever request, is found."""
    box = _filled(sandbox)
    box.folkform.upsert({**box.folkform.documents(only_page(box))[250]["panCakeData"], "updated_at": ago(9 * DAY)})
    proxy = in_between(box)

    def change() -> None:
        box.pancake.change_customer(only_page(box), "p0250", {"updated_at": ago(0)})

    proxy.before = _changes_at(number, change)
    outcome = run(None, "explain", "p0250", "--page", only_page(box), "--json", **proxy.environment)
    assert _verdict(_page(outcome)) == (1, "next_incremental", "customer-sync incremental")


@pytest.mark.parametrize(
    "behaviour",
    [
        {"window": "ignored"},
        {"window": "inserted_at"},
        {"window_precision": "exact"},
        {"total": False},
        {"page_size_cut": 30},
    ],
    ids=str,
)
def test_every_kind_of_pancake(sandbox: StartSandbox, passes: Passes, behaviour: dict[str, Any]) -> None:
    """The verdicts do not depend on what Pancake's window filters by."""
    box = _filled(sandbox, 150, **behaviour)
    page_id = only_page(box)
    box.pancake.change_customer(page_id, "p0120", {"updated_at": ago(90)})
    box.folkform.delete(page_id, "p0075")
    box.pancake.remove_customer(page_id, "p0090")
    expected = {
        "p0100": "in_order",
        "p0120": "next_incremental",
        "p0075": "repair_needed",
        "p0090": "only_in_folkform",
    }
    assert {customer: _verdict(_explain(passes, box, customer))[1] for customer in expected} == expected


# Output

_PRIVATE = {"name": _NAME, "phone_numbers": [_PHONE], "email": "canary@example.com", "notes": [{"message": _NAME}]}


@pytest.mark.parametrize("arguments", [[], ["--json"], ["-v", "--debug"]])
def test_nothing_private(sandbox: StartSandbox, run: Command, arguments: list[str]) -> None:
    """Fields are named with their kind: no name, phone number, note, e-mail address or token is printed."""
    box = _filled(sandbox, 60)
    box.pancake.change_customer(only_page(box), "p0003", {**_PRIVATE, "updated_at": ago(60), "birthday": 19900101})
    outcome = run(box, "explain", "p0003", "--page", only_page(box), *arguments, TERM="xterm-256color")
    assert outcome.code == 1
    tokens = (
        box.pancake.page_token(only_page(box)),
        box.pancake.user_token(only_page(box)),
        box.environment["FOLKFORM_TOKEN"],
    )
    for private in (_NAME, "Canary", "Bích", _PHONE, "canary@", "19900101", "Mai Thảo", "\x1b", *tokens):
        assert str(private) not in outcome.output
    assert all(field in outcome.output for field in ("name", "phone_numbers", "email", "notes", "birthday"))


def test_a_terminal(sandbox: StartSandbox, run: Command) -> None:
    """On a terminal both sides are beside each other, differences in yellow, equal values in green."""
    box = _filled(sandbox, 60)
    environment = run.environment(box)
    box.pancake.change_customer(only_page(box), "p0003", {**_PRIVATE, "updated_at": ago(300)})
    code, shown = on_a_terminal(environment, "explain", "p0003", "--page", only_page(box))
    assert code == 1
    assert "\x1b[33mtext of 16 characters" in shown
    assert re.search(r"\bpsid +p0003 +p0003\b", without_colours(shown))
    code, shown = on_a_terminal(environment, "explain", "p0004", "--page", only_page(box))
    assert (code, "\x1b[32mthe same" in shown) == (0, True)
    code, shown = on_a_terminal(environment, "explain", "unknown", "--page", only_page(box))
    assert (code, "\x1b[31mnone" in shown) == (1, True)


def test_quiet(sandbox: StartSandbox, run: Command) -> None:
    """`-q` prints nothing about a customer that is up to date, else the verdict."""
    box = _filled(sandbox, 60)
    box.folkform.delete(only_page(box), "p0002")
    assert run(box, "explain", "p0001", "--page", only_page(box), "-q").output == ""
    assert (
        _page(_ran(run, box, "p0002"))["sentence"] in run(box, "explain", "p0002", "--page", only_page(box), "-q").err
    )


FAILURES: dict[str, tuple[Fault, int]] = {
    "FolkForm down": (Fault("reset", endpoint="/find", times=None), 75),
    "FolkForm refuses": (Fault("status", endpoint="/find", status=403, times=None), 3),
    "Pancake down": (Fault("reset", service="pancake", times=None), 75),
    "Pancake refuses": (Fault("error_code", service="pancake", error_code=107, times=None), 3),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_exit_codes(sandbox: StartSandbox, run: Command, failure: str) -> None:
    """3 if a service refuses, 75 if it is down: no verdict is printed, and no token is made."""
    box = _filled(sandbox, 3)
    fault, code = FAILURES[failure]
    box.faults.add(fault)
    page = _page(_ran(run, box, "p0001"))
    assert _verdict(page) == (code, None, None)
    assert (page["pancake"], page["folkform"] is None) == (None, "FolkForm" in failure)
    assert {request.method for request in box.requests.recent} == {"GET"}


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals(sandbox: StartSandbox, run: Command, sent: signal.Signals, code: int) -> None:
    """A signal ends the search, without a verdict."""
    box = _filled(sandbox, pancake_latency=0.3)
    process = run.start(box, "explain", "unknown", "--page", only_page(box), "--json")
    wait_until(lambda: _asked(box, "/page_customers") > 0)
    process.send_signal(sent)
    outcome = run.end(process)
    assert (_verdict(_page(outcome)), outcome.json["status"]) == ((code, None, None), "interrupted")


def test_a_wrong_command_line(sandbox: StartSandbox, run: Command) -> None:
    """Without a page, with an unknown one, or without a psid: exit 2."""
    box = _filled(sandbox, 3)
    for arguments, cause in (
        (["p0001"], "--page"),
        (["p0001", "--page", "nowhere"], "nowhere"),
        (["", "--page", only_page(box)], "PSID"),
        (["--page", only_page(box)], "PSID"),
    ):
        outcome = run(box, "explain", *arguments)
        assert (outcome.code, outcome.out) == (2, "")
        assert cause in outcome.err


def test_one_zone(sandbox: StartSandbox, run: Command) -> None:
    """All times are in this machine's zone, the versions of both sides, too, with their fractions of a second."""
    box = sandbox()
    versions = {"plain": "2026-01-31T20:25:37.386994", "zoned": "2026-02-01T03:25:37+07:00"}
    for psid, version in versions.items():
        box.pancake.add_customer(only_page(box), {**person(psid, 90), "updated_at": version})
    for psid, fraction in (("plain", ".386994"), ("zoned", "")):
        shown = f"2026-02-01 03:25:37{fraction} +07:00"
        out = run(box, "explain", psid, "--page", only_page(box)).out
        assert re.search(rf"^version: {re.escape(shown)} \(\d+ d ago\) in Pancake, none", out)
        reason = run(box, "verify", "--json").page(only_page(box))["customers"]
        assert f"(Pancake version {shown})" in next(one["reason"] for one in reason if one["psid"] == psid)
