"""`customer-sync explain`: one customer on both sides, and whether the pass it names really brings her."""

import json
import shlex
import signal
from collections.abc import Callable
from typing import Any

import pytest

from customer_sync.results.field_diff import Difference, differences, masked
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


def _explain(passes: Passes, box: Sandbox, who: str) -> dict[str, Any]:
    """What is said of a customer of the only page, in this process."""
    return passes.explain(box, who, only_page(box))


def _ran(run: Command, box: Sandbox, who: str) -> Outcome:
    """How the command ends and what it says of her."""
    return run(box, "explain", who, "--page", only_page(box), "--json")


def _said(outcome: Outcome) -> dict[str, Any]:
    """What the command says of the customer with `--json`."""
    (page,) = outcome.json["pages"]
    return {**page, "exit_code": outcome.code}


def _verdict(page: dict[str, Any]) -> tuple[int, str | None, str | None]:
    return page["exit_code"], page["verdict"], page["remedy"]


def _asked(box: Sandbox, endpoint: str) -> int:
    return box.requests.count(ending=endpoint)


def _filled(start: StartSandbox, count: int = 300, **behaviour: Any) -> Sandbox:
    """A page of customers a day apart, the newest of an hour ago, all of them in FolkForm."""
    box = start(**behaviour)
    box.pancake.add_customers(only_page(box), people(count, 3600, DAY))
    fill_folkform(box)
    return box


@pytest.mark.parametrize("dialect", DIALECTS)
def test_in_order(sandbox: StartSandbox, passes: Passes, dialect: str) -> None:
    """The common case costs one request to Pancake, wherever she stands, by her psid as by Pancake's id."""
    box = _filled(sandbox, dialect=dialect)
    for who in ("p0250", "id-p0250"):
        box.requests.clear()
        page = _explain(passes, box, who)
        assert _verdict(page) == (0, "in_order", None)
        assert page["pancake"]["psid"] == page["folkform"]["psid"] == "p0250"
        assert page["pancake"]["updated_at"] == page["folkform"]["updated_at"]
        assert page["differences"] == []
        assert (_asked(box, "/page_customers"), _asked(box, "/find")) == (1, 1 if who == "p0250" else 3)
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


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_incremental_brings_whom_it_is_said_to_bring(sandbox: StartSandbox, passes: Passes, dialect: str) -> None:
    """Missing or stale at the newest end: the next incremental brings her, and does."""
    box = _filled(sandbox, dialect=dialect)
    box.pancake.add_customer(only_page(box), person("new", 60))
    box.pancake.change_customer(only_page(box), "p0200", {"updated_at": ago(90), "name": "Mai"})
    for who, lacks in (("new", "does not hold her"), ("p0200", "holds an older version of her")):
        page = _explain(passes, box, who)
        assert _verdict(page) == (1, "next_incremental", "customer-sync incremental")
        assert f"FolkForm {lacks}; the next incremental brings her" in page["sentence"]
    assert passes(box, INCREMENTAL).exit_code == 0
    assert [_verdict(_explain(passes, box, who))[1] for who in ("new", "p0200")] == ["in_order", "in_order"]


def test_who_changed_just_now(sandbox: StartSandbox, passes: Passes) -> None:
    """Whom a pass leaves out, because her second is not over, is found all the same."""
    box = _filled(sandbox, 60)
    box.pancake.add_customer(only_page(box), person("new", 0))
    assert _verdict(_explain(passes, box, "new"))[1] == "next_incremental"


def test_a_clock_that_is_behind(sandbox: StartSandbox, passes: Passes) -> None:
    """Who changed in what is still the future here is found by Pancake's clock."""
    box = _filled(sandbox, 60, pancake_clock_offset=3600.0)
    box.pancake.change_customer(only_page(box), "p0030", {"updated_at": ago(-3000)})
    page = _explain(passes, box, "p0030")
    assert _verdict(page)[1] == "next_incremental"
    assert page["pancake"]["updated_at"] != page["folkform"]["updated_at"]


@pytest.mark.parametrize("dialect", DIALECTS[:2])
def test_the_backfill_brings_whom_it_is_said_to_bring(sandbox: StartSandbox, passes: Passes, dialect: str) -> None:
    """Missing below all that FolkForm holds: no incremental brings her, the next backfill does."""
    box = _filled(sandbox, 120, dialect=dialect)
    box.pancake.add_customer(only_page(box), person("old", 150 * DAY))
    expected = (1, "next_backfill", "customer-sync backfill")
    assert _verdict(_explain(passes, box, "old")) == expected
    assert passes(box, INCREMENTAL).exit_code == 0
    assert _verdict(_explain(passes, box, "old")) == expected
    assert passes(box, BACKFILL).exit_code == 0
    assert _verdict(_explain(passes, box, "old"))[1] == "in_order"


def test_few_customers(sandbox: StartSandbox, passes: Passes) -> None:
    """Where too few are stored to tell what is covered, the older ones are the backfill's."""
    box = _filled(sandbox, 10)
    box.pancake.add_customer(only_page(box), person("old", 150 * DAY))
    assert _verdict(_explain(passes, box, "old"))[1] == "next_backfill"


@pytest.mark.parametrize("dialect", DIALECTS[1:])
def test_only_a_repair_brings_whom_the_passes_have_passed_by(
    sandbox: StartSandbox, passes: Passes, run: Command, dialect: str
) -> None:
    """Missing in the middle of what counts as synced: neither pass brings her, the command that is named does."""
    box = _filled(sandbox, dialect=dialect)
    box.folkform.delete(only_page(box), "p0150")
    repair = f"customer-sync backfill --page {only_page(box)}"
    for command in (INCREMENTAL, BACKFILL):
        assert _verdict(_explain(passes, box, "p0150")) == (1, "passed_by", repair)
        assert passes(box, command).exit_code == 0
    assert run(box, *shlex.split(repair)[1:]).code == 0
    assert _verdict(_explain(passes, box, "p0150"))[1] == "in_order"


def test_an_overlap_brings_her_sooner(sandbox: StartSandbox, passes: Passes, run: Command) -> None:
    """With an overlap the incremental starts lower, and brings whom it would have passed by."""
    box = _filled(sandbox)
    box.folkform.delete(only_page(box), "p0100")
    assert _verdict(_explain(passes, box, "p0100"))[1] == "passed_by"
    asked = ("explain", "p0100", "--page", only_page(box), "--json")
    assert _verdict(_said(run(box, *asked, "--overlap", "90d")))[1] == "next_incremental"
    passes.environment["CUSTOMER_SYNC_OVERLAP"] = "90d"
    assert passes(box, INCREMENTAL).exit_code == 0
    assert _verdict(_explain(passes, box, "p0100"))[1] == "in_order"


def test_a_page_that_is_off(sandbox: StartSandbox, passes: Passes, run: Command) -> None:
    """No pass of all pages brings a customer of a page that is off; the command that is named does."""
    box = _filled(sandbox, 120)
    box.folkform.set_page(only_page(box), isSync=False)
    box.pancake.add_customer(only_page(box), person("new", 60))
    box.pancake.add_customer(only_page(box), person("old", 150 * DAY))
    for who, command in (("new", "incremental"), ("old", "backfill")):
        remedy = f"customer-sync {command} --page {only_page(box)}"
        assert _verdict(_explain(passes, box, who)) == (1, "page_is_off", remedy)
        assert run(box, *shlex.split(remedy)[1:]).code == 0
        assert _verdict(_explain(passes, box, who))[1] == "in_order"


def test_the_same_version_with_other_fields(sandbox: StartSandbox, passes: Passes, run: Command) -> None:
    """Another writer's change to a field is told, is no failure, and is undone by the command that is named."""
    box = _filled(sandbox, 20)
    box.folkform.upsert({**box.pancake.customers(only_page(box))[3], "page_id": only_page(box), "name": "Mai"})
    page = _explain(passes, box, "p0003")
    remedy = f"customer-sync backfill --page {only_page(box)} --rewrite"
    assert _verdict(page) == (0, "altered", remedy)
    assert page["differences"] == [
        {"field": "name", "pancake": "text of 8 characters", "folkform": "text of 3 characters"}
    ]
    assert run(box, *shlex.split(remedy)[1:]).code == 0
    assert _verdict(_explain(passes, box, "p0003"))[1] == "in_order"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"psid": {"name": _NAME}}, "psid is not a text"),
        ({"updated_at": None}, "updated_at is missing"),
        ({"updated_at": "yesterday"}, "updated_at is not a time but a text of length 9"),
        ({"updated_at": _NAME}, f"updated_at is not a time but a text of length {len(_NAME)}"),
    ],
)
def test_malformed(sandbox: StartSandbox, run: Command, changes: dict[str, Any], reason: str) -> None:
    """A malformed customer is found by Pancake's id, with the reason why no pass can bring her."""
    box = _filled(sandbox, 150)
    box.pancake.add_customer(only_page(box), {**person("x", 90), **changes})
    outcome = _ran(run, box, "id-x")
    page = _said(outcome)
    assert _verdict(page) == (1, "malformed", None)
    assert (page["pancake"]["malformed"], page["pancake"]["id"], page["folkform"]) == (reason, "id-x", None)
    assert f"({reason}), so no pass can bring her" in page["sentence"]
    assert _NAME not in outcome.output


def test_who_has_lost_her_psid(sandbox: StartSandbox, passes: Passes) -> None:
    """Whom FolkForm knows by a psid that Pancake has taken from her since is recognised by Pancake's id."""
    box = _filled(sandbox, 150)
    box.pancake.change_customer(only_page(box), "p0100", {"psid": None, "updated_at": ago(90)})
    page = _explain(passes, box, "p0100")
    assert _verdict(page)[1] == "next_incremental"
    assert (page["folkform"]["psid"], page["pancake"]["psid"]) == ("p0100", None)


@pytest.mark.parametrize("psid", [None, "", 12345])
def test_by_pancakes_id_alone(sandbox: StartSandbox, passes: Passes, psid: Any) -> None:
    """A customer without a psid is found by id on both sides; one with a number by its text."""
    box = _filled(sandbox, 150)
    box.pancake.add_customer(only_page(box), {**person("x", 90), "psid": psid})
    assert _verdict(_explain(passes, box, "id-x"))[1] == "next_incremental"
    fill_folkform(box)
    for who in ("id-x", *(["12345"] if psid else [])):
        page = _explain(passes, box, who)
        assert _verdict(page)[:2] == (0, "in_order")
        assert page["folkform"]["id"] == "id-x"


def test_duplicates(sandbox: StartSandbox, run: Command) -> None:
    """Both records are shown, the newer first; the older one is to be deleted."""
    box = _filled(sandbox, 3)
    page_id = only_page(box)
    older = box.folkform.insert(person("p0001", 9 * DAY, id="other", page_id=page_id))
    outcome = _ran(run, box, "p0001")
    page = _said(outcome)
    assert _verdict(page) == (1, "duplicate", None)
    assert [record["id"] for record in page["records"]] == ["id-p0001", "other"]
    assert page["records"][1]["record"] == json.loads(older)["id"]
    text = run(box, "explain", "p0001", "--page", page_id).out
    assert all(f"FolkForm record {record['record']}: " in text for record in page["records"])


@pytest.mark.parametrize("psid", ["p", None])
def test_an_id_that_another_page_has(sandbox: StartSandbox, passes: Passes, psid: str | None) -> None:
    """The record that is in the way is named, and no command is promised to help."""
    box = _filled(sandbox, 60)
    box.folkform.upsert(person("theirs", 60, id="id-p", page_id="another"))
    box.pancake.add_customer(only_page(box), person("p", 90) | {"psid": psid})
    page = _explain(passes, box, "id-p")
    assert _verdict(page) == (1, "id_taken", None)
    assert "holds Pancake's id id-p as psid theirs of page another" in page["sentence"]


@pytest.mark.parametrize("value", [2**63, 1.0, "\ud83d!"])
def test_what_folkform_cannot_keep(sandbox: StartSandbox, passes: Passes, value: Any) -> None:
    """A customer is in order when FolkForm holds what it can hold."""
    box = _filled(sandbox, 3)
    box.pancake.add_customer(only_page(box), person("x", 90, amount=value))
    fill_folkform(box)
    assert _verdict(_explain(passes, box, "x")) == (0, "in_order", None)


def test_by_pancakes_id_where_folkform_does_not_know_it(sandbox: StartSandbox, passes: Passes) -> None:
    """Asked for by an id that FolkForm does not hold, she is compared with the document of her psid."""
    box = _filled(sandbox, 60)
    box.pancake.change_customer(only_page(box), "p0030", {"id": "another-id"})
    page = _explain(passes, box, "another-id")
    assert _verdict(page)[1] == "altered"
    assert [one["field"] for one in page["differences"]] == ["id"]


def test_only_in_folkform(sandbox: StartSandbox, run: Command) -> None:
    """Whom Pancake does not list any more stays in FolkForm; that is said after the whole page was read."""
    box = _filled(sandbox)
    box.pancake.remove_customer(only_page(box), "p0020")
    outcome = _ran(run, box, "p0020")
    assert _verdict(_said(outcome)) == (1, "only_in_folkform", None)
    assert (_said(outcome)["pancake"], _said(outcome)["folkform"]["psid"]) == (None, "p0020")
    assert f"looking for her among 279 customers of page {only_page(box)}: about 3 requests" in outcome.err


def test_on_neither_side(sandbox: StartSandbox, run: Command) -> None:
    """Whom nobody knows is looked for in the whole page, which is said before it is read, and then to be unknown."""
    box = _filled(sandbox)
    outcome = _ran(run, box, "nobody")
    assert _verdict(_said(outcome)) == (1, "unknown", None)
    assert "Neither side has a customer nobody" in _said(outcome)["sentence"]
    assert f"looking for her among 300 customers of page {only_page(box)}: about 3 requests" in outcome.err


def test_a_search_stops_where_she_is(sandbox: StartSandbox, run: Command) -> None:
    """Nothing below her is read, and nothing is announced where one answer is enough."""
    box = _filled(sandbox)
    box.pancake.change_customer(only_page(box), "p0290", {"updated_at": ago(60)})
    outcome = _ran(run, box, "p0290")
    assert (_asked(box, "/page_customers"), outcome.err) == (2, "")


def _changes_at(number: int, change: Callable[[], Any]) -> Callable[[Passing], None]:
    """Does something before Pancake's list is asked the so-manieth time."""
    asked = 0

    def before(passing: Passing) -> None:
        nonlocal asked
        asked += passing.path.endswith("/page_customers")
        if passing.path.endswith("/page_customers") and asked == number:
            change()

    return before


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_who_changes_while_she_is_looked_for(
    sandbox: StartSandbox, run: Command, in_between: Callable[[Sandbox], Proxy], number: int
) -> None:
    """Who moves up past the search, at whatever request, is not said to be deleted."""
    box = _filled(sandbox)
    box.folkform.upsert({**box.folkform.documents(only_page(box))[250]["panCakeData"], "updated_at": ago(9 * DAY)})
    proxy = in_between(box)

    def change() -> None:
        box.pancake.change_customer(only_page(box), "p0250", {"updated_at": ago(0)})

    proxy.before = _changes_at(number, change)
    outcome = run(None, "explain", "p0250", "--page", only_page(box), "--json", **proxy.environment)
    assert _verdict(_said(outcome)) == (1, "next_incremental", "customer-sync incremental")


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
def test_however_pancake_behaves(sandbox: StartSandbox, passes: Passes, behaviour: dict[str, Any]) -> None:
    """Whatever its window means: who is in order, moved up, missing or gone is told right."""
    box = _filled(sandbox, 150, **behaviour)
    page_id = only_page(box)
    box.pancake.change_customer(page_id, "p0120", {"updated_at": ago(90)})
    box.folkform.delete(page_id, "p0075")
    box.pancake.remove_customer(page_id, "p0090")
    verdicts = {who: _verdict(_explain(passes, box, who))[1] for who in ("p0100", "p0120", "p0075", "p0090")}
    assert verdicts == {
        "p0100": "in_order",
        "p0120": "next_incremental",
        "p0075": "passed_by",
        "p0090": "only_in_folkform",
    }


@pytest.mark.parametrize("told", ["status", "body"])
def test_pancakes_limit_is_waited_for(sandbox: StartSandbox, run: Command, told: str) -> None:
    """Who is looked for further than Pancake allows at once is found all the same, however it says "too often"."""
    asked = []
    for limit in (None, 1):
        box = _filled(sandbox, 60, pancake_limit=limit, pancake_429=told, page_size_cut=30)
        box.folkform.delete(only_page(box), "p0055")
        assert _verdict(_said(_ran(run, box, "p0055")))[1] == "next_backfill"
        asked.append(_asked(box, "/page_customers"))
    assert asked[0] < asked[1]


def test_without_a_total_it_says_that_it_does_not_know(sandbox: StartSandbox, run: Command) -> None:
    """Where Pancake does not tell how many customers there are, that is what is said before all are read."""
    box = _filled(sandbox, 150, total=False)
    box.pancake.remove_customer(only_page(box), "p0120")
    for who in ("nobody", "p0120"):
        assert _ran(run, box, who).err.count("Pancake does not tell how many") == 1


_PRIVATE = {"name": _NAME, "phone_numbers": [_PHONE], "email": "canary@example.com", "notes": [{"message": _NAME}]}


@pytest.mark.parametrize("arguments", [[], ["--json"], ["-v", "--debug"]])
def test_nothing_private(sandbox: StartSandbox, run: Command, arguments: list[str]) -> None:
    """Fields are told by their kind: no name, phone number, note, e-mail address or token comes out."""
    box = _filled(sandbox, 60)
    box.pancake.change_customer(only_page(box), "p0003", {**_PRIVATE, "updated_at": ago(60), "birthday": 19900101})
    outcome = run(box, "explain", "p0003", "--page", only_page(box), *arguments)
    assert outcome.code == 1
    tokens = (
        box.pancake.page_token(only_page(box)),
        box.pancake.user_token(only_page(box)),
        box.environment["FOLKFORM_TOKEN"],
    )
    for private in (_NAME, "Canary", "Bích", _PHONE, "canary@", "19900101", "Mai Thảo", *tokens):
        assert str(private) not in outcome.output
    assert all(field in outcome.output for field in ("name", "phone_numbers", "email", "notes", "birthday"))


def test_lines(sandbox: StartSandbox, run: Command) -> None:
    """Piped: both sides, each difference, the verdict, the summary; a line each, without a colour code."""
    box = _filled(sandbox, 60)
    version = ago(300)
    box.pancake.change_customer(only_page(box), "p0003", {**_PRIVATE, "updated_at": version, "is_vip": True})
    outcome = run(box, "explain", "p0003", "--page", only_page(box), TERM="xterm-256color")
    lines = outcome.out.splitlines()
    assert lines[0].startswith(f"Pancake: version {version}, ")
    assert lines[0].endswith("(5 min ago), psid p0003, id id-p0003")
    assert lines[1].startswith("FolkForm: version ")
    assert lines[2:-1] == [
        "name: text of 16 characters in Pancake, text of 8 characters in FolkForm",
        "phone_numbers: list of 1 in Pancake, absent in FolkForm",
        "email: text of 18 characters in Pancake, absent in FolkForm",
        "notes: list of 1 in Pancake, absent in FolkForm",
        "is_vip: true in Pancake, absent in FolkForm",
        "FolkForm holds an older version of her; the next incremental brings her: customer-sync incremental",
    ]
    assert lines[-1].startswith("explain: next incremental; ")
    assert outcome.err == ""


def test_a_terminal(sandbox: StartSandbox, run: Command) -> None:
    """On a terminal both sides stand beside each other, what differs in yellow, what is the same in green."""
    box = _filled(sandbox, 60)
    environment = run.environment(box)
    box.pancake.change_customer(only_page(box), "p0003", {**_PRIVATE, "updated_at": ago(300)})
    code, shown = on_a_terminal(environment, "explain", "p0003", "--page", only_page(box))
    assert code == 1
    assert "\x1b[33mtext of 16 characters" in shown
    assert "│ psid          │ p0003 " in without_colours(shown)
    code, shown = on_a_terminal(environment, "explain", "p0004", "--page", only_page(box))
    assert code == 0
    assert "\x1b[32mthe same" in shown
    assert "FolkForm holds her as Pancake has her" in shown
    code, shown = on_a_terminal(environment, "explain", "nobody", "--page", only_page(box))
    assert code == 1
    assert shown.count("\x1b[31mnot there") == 2


FAILURES: dict[str, tuple[Fault, int]] = {
    "FolkForm down": (Fault("reset", endpoint="/find", times=None), 75),
    "FolkForm refuses": (Fault("status", endpoint="/find", status=403, times=None), 3),
    "Pancake down": (Fault("reset", service="pancake", times=None), 75),
    "Pancake refuses": (Fault("error_code", service="pancake", error_code=107, times=None), 3),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_exit_codes(sandbox: StartSandbox, run: Command, failure: str) -> None:
    """3 when a service refuses, 75 when it is away: nothing is said of her that is not known, and no token is made."""
    box = _filled(sandbox, 3)
    fault, code = FAILURES[failure]
    box.faults.add(fault)
    outcome = _ran(run, box, "p0001")
    assert _verdict(_said(outcome)) == (code, None, None)
    assert (_said(outcome)["pancake"], _said(outcome)["folkform"] is None) == (None, "FolkForm" in failure)
    assert {request.method for request in box.requests.recent} == {"GET"}
    assert "unknown" in run(box, "explain", "p0001", "--page", only_page(box)).out


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals(sandbox: StartSandbox, run: Command, sent: signal.Signals, code: int) -> None:
    """A signal ends the search as it ends a pass, and no verdict is given."""
    box = _filled(sandbox, pancake_latency=0.3)
    process = run.start(box, "explain", "nobody", "--page", only_page(box), "--json")
    wait_until(lambda: _asked(box, "/page_customers") > 0)
    process.send_signal(sent)
    outcome = run.end(process)
    assert _verdict(_said(outcome)) == (code, None, None)
    assert outcome.json["status"] == "interrupted"


def test_a_wrong_command_line(sandbox: StartSandbox, run: Command) -> None:
    """Without a page, with an unknown one, or without a psid: exit 2 and what is wrong."""
    box = _filled(sandbox, 3)
    for arguments, problem in (
        (["p0001"], "--page"),
        (["p0001", "--page", "nowhere"], "FolkForm knows no page nowhere"),
        (["", "--page", only_page(box)], "PSID is empty"),
        (["--page", only_page(box)], "PSID"),
    ):
        outcome = run(box, "explain", *arguments)
        assert (outcome.code, outcome.out) == (2, "")
        assert problem in outcome.err


def test_quiet(sandbox: StartSandbox, run: Command) -> None:
    """`-q` says nothing of who is in order, and the verdict of who is not."""
    box = _filled(sandbox, 60)
    box.folkform.delete(only_page(box), "p0002")
    assert run(box, "explain", "p0001", "--page", only_page(box), "-q").output == ""
    assert "the next incremental brings her" in run(box, "explain", "p0002", "--page", only_page(box), "-q").err


@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [
        ("name", "Mai Thảo", "text of 8 characters"),
        ("name", "M", "text of 1 character"),
        ("psid", "2514", "2514"),
        ("psid", {"name": "Mai"}, "object of 1 field"),
        ("gender", "female", "female"),
        ("updated_at", "2026-01-31T00:00:00", "2026-01-31T00:00:00"),
        ("phone_numbers", ["0987", "0123"], "list of 2"),
        ("birthday", 19900101, "number"),
        ("return_rate", 0.5, "number"),
        ("is_vip", False, "false"),
        ("email", None, "null"),
    ],
)
def test_what_is_shown_of_a_field(field: str, value: Any, shown: str) -> None:
    """Only what tells nobody who she is, is shown itself; of everything else its kind."""
    assert masked(field, value) == shown


def test_differences() -> None:
    """Whatever is not the same JSON differs; alike kinds are told apart, and what only one side has is absent there."""
    pancake = {"a": 1, "b": True, "c": "xy", "d": None, "e": [1], "f": {"y": 1, "x": 2}, "g": 2**60}
    folkform = {"a": True, "b": True, "c": "yx", "e": [2], "f": {"x": 2, "y": 1}, "g": 2**60 + 1, "h": 0}
    assert differences(pancake, pancake) == []
    assert differences(pancake, folkform) == [
        Difference("a", "number", "true"),
        Difference("c", "text of 2 characters", "another text of 2 characters"),
        Difference("d", "null", "absent"),
        Difference("e", "list of 1", "another list of 1"),
        Difference("g", "number", "another number"),
        Difference("h", "absent", "number"),
    ]


@pytest.mark.parametrize(
    ("pancake", "folkform"),
    [
        (2**63, 9223372036854776000),
        (10**30, 1e30),
        (1.0, 1),
        (-0.0, 0),
        ("\ud83d!", "\ufffd!"),
        ([{"a\udc00": 2.0}], [{"a\ufffd": 2}]),
    ],
)
def test_what_folkform_cannot_keep_is_no_difference(pancake: Any, folkform: Any) -> None:
    """No pass could send it so that it would come back otherwise."""
    assert differences({"x": pancake}, {"x": folkform}) == []
