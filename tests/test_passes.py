"""Both passes, as a user runs them: what arrives in FolkForm, what is written, and how many requests it takes."""

import os
import random
import time
from typing import Any, get_args, get_type_hints

import pytest

from customer_sync.sandbox import Behaviour, Fault
from customer_sync.sync.passes import BACKFILL, INCREMENTAL

from .conftest import (
    DAY,
    Command,
    StartSandbox,
    ago,
    change_lately,
    fill_folkform,
    forbidden,
    of_page,
    only_page,
    people,
    person,
    wait_until,
    writes,
)
from .in_process import Passes

_KINDS = get_type_hints(Behaviour)
DIALECTS, FOUND = (get_args(_KINDS[name]) for name in ("dialect", "found"))
PATHS = ("/customer", "/fb-customer")
RECENT, HISTORY = 60, 30


# Each value beside each value of the other two.
_FOLKFORMS = [
    (dialect, found, PATHS[(row + column) % 2])
    for row, dialect in enumerate(DIALECTS)
    for column, found in enumerate(FOUND)
]


@pytest.mark.parametrize(("dialect", "found", "customer_path"), _FOLKFORMS)
def test_both_passes(sandbox: StartSandbox, passes: Passes, dialect: str, found: str, customer_path: str) -> None:
    """In every dialect: recent customers first, nothing written twice, then the history, then what changed."""
    box = sandbox(dialect=dialect, found=found, customer_path=customer_path)
    recent, history = people(RECENT, 60, 3600, "new"), people(HISTORY, 40 * DAY, 3600, "old")
    box.pancake.add_customers(only_page(box), recent + history)

    first = passes(box, INCREMENTAL)
    assert (first.exit_code, first.totals["upserted"]) == (0, RECENT)
    assert all(psid.startswith("old") for psid in box.difference().missing)

    history_run = passes(box, BACKFILL)
    assert (history_run.exit_code, history_run.totals["upserted"]) == (0, HISTORY)
    assert history_run.complete
    assert box.difference().equal

    change_lately(box, 7)
    changes = passes(box, INCREMENTAL)
    assert (changes.exit_code, changes.totals["upserted"]) == (0, 7)
    assert box.difference().equal
    assert forbidden(box) == []


@pytest.mark.parametrize("dialect", DIALECTS)
def test_idle_pages(sandbox: StartSandbox, run: Command, dialect: str) -> None:
    """A page without changes takes two requests, its watermark and one batch; what all share is asked once."""
    box = sandbox(pages=2, dialect=dialect)
    for page_id in box.pancake.page_ids():
        box.pancake.add_customers(page_id, of_page(page_id, people(RECENT, 60, 3600)))
    fill_folkform(box)
    outcome = run(box, "incremental", "--json")
    assert (outcome.code, outcome.totals["unchanged"], writes(box)) == (0, 100, 0)
    asked = [request.page_id for request in box.requests.recent if request.page_id]
    assert sorted(asked) == sorted(2 * box.pancake.page_ids())
    assert [page["requests"] for page in outcome.json["pages"]] == [2, 2]
    learning = 1 if dialect == "deployed" else 2
    assert outcome.totals["requests"] == len(box.requests.recent) == 4 + learning + 1


@pytest.mark.parametrize("command", ["incremental", "backfill"])
def test_a_page_that_is_off(sandbox: StartSandbox, run: Command, command: str) -> None:
    """A page that is switched off is skipped, unless it is named."""
    box = sandbox(pages=2, customers=10)
    off, on = box.pancake.page_ids()
    box.folkform.set_page(off, isSync=False)
    assert [page["page_id"] for page in run(box, command, "--json").json["pages"]] == [on]
    assert box.folkform.documents(off) == []
    named = run(box, command, "--json", "--page", off, "--page", off)
    assert [page["page_id"] for page in named.json["pages"]] == [off]
    assert len(box.folkform.documents(off)) == named.totals["upserted"] > 0


@pytest.mark.parametrize("command", ["incremental", "backfill"])
def test_an_unknown_page(sandbox: StartSandbox, run: Command, command: str) -> None:
    """An unknown page is a usage error: the available ones are listed, nothing is done."""
    box = sandbox(pages=2)
    outcome = run(box, command, "--page", "unknown", "--page", box.pancake.page_ids()[0])
    assert outcome.code == 2
    assert "unknown" in outcome.err
    assert all(page_id in outcome.err for page_id in box.pancake.page_ids())
    assert box.requests.count("pancake") == 0


def test_no_page(sandbox: StartSandbox, run: Command) -> None:
    """Without any page that is on there is nothing to do: a warning, exit code 0."""
    box = sandbox(pages=0)
    outcome = run(box, "incremental", "--json")
    assert (outcome.code, outcome.totals["pages"]) == (0, 0)
    assert len(outcome.json["warnings"]) == 1
    box = sandbox(customers=3)
    box.folkform.set_page(only_page(box), isSync=False)
    (warning,) = run(box, "backfill", "--json").json["warnings"]
    assert "isSync" in warning


def test_more_pages_than_one_answer_holds(sandbox: StartSandbox, run: Command) -> None:
    """FolkForm returns fifty page records at once; all 55 pages are synced."""
    box = sandbox(pages=55, customers=3)
    outcome = run(box, "backfill", "--json", CUSTOMER_SYNC_PAGES_AT_ONCE="8")
    assert (outcome.code, outcome.totals["pages"], outcome.totals["upserted"]) == (0, 55, 165)
    assert box.difference().equal


@pytest.mark.parametrize("dialect", DIALECTS)
def test_full_heals(sandbox: StartSandbox, run: Command, dialect: str) -> None:
    """`--full` writes the missing and stale customers, and no other."""
    box = sandbox(pages=2, customers=150, dialect=dialect)
    fill_folkform(box)
    page_id = box.pancake.page_ids()[0]
    ordered = sorted(box.pancake.customers(page_id), key=lambda customer: customer["updated_at"])
    for index in (0, 40, 75, 149):
        box.folkform.delete(page_id, ordered[index]["psid"])
    for index in (1, 60, 100):
        box.folkform.upsert({**ordered[index], "page_id": page_id, "updated_at": ago(400 * DAY + index)})
    assert len(box.difference().missing + box.difference().stale) == 7

    healed = run(box, "backfill", "--full", "--json")
    assert healed.code == 0
    assert (healed.totals["upserted"], healed.totals["unchanged"], writes(box)) == (7, 293, 7)
    assert box.difference().equal
    again = run(box, "backfill", "--page", page_id, "--json")
    assert (again.code, again.totals["upserted"], again.totals["read"], writes(box)) == (0, 0, 150, 7)


def test_rewrite(sandbox: StartSandbox, run: Command) -> None:
    """`--rewrite` sends every customer once, unchanged or not; it requires `--full` or a page."""
    box = sandbox(customers=150)
    fill_folkform(box)
    assert run(box, "backfill", "--rewrite").code == 2
    outcome = run(box, "backfill", "--full", "--rewrite", "--json")
    assert (outcome.code, outcome.totals["upserted"], outcome.totals["unchanged"]) == (0, 150, 0)
    assert writes(box) == 150


@pytest.mark.parametrize(
    ("text", "since"),
    [
        ("2020-01-31", 1580403600),
        ("2020-01-31T14:00", 1580454000),
        ("2020-01-31 14:00:05", 1580454005),
        ("2020-01-31T14:00+00:00", 1580479200),
        ("1580403601", 1580403601),
    ],
)
def test_a_time_by_hand(sandbox: StartSandbox, run: Command, text: str, since: int) -> None:
    """`--since` accepts a date, a date and time, a zone, or Unix seconds; without a zone it is in the machine's."""
    outcome = run(sandbox(), "incremental", "--dry-run", "--json", "--since", text)
    assert outcome.code == 0
    assert [page["since"] for page in outcome.json["pages"]] == [since]


def test_the_machines_zone_is_printed(sandbox: StartSandbox, run: Command) -> None:
    """A time without a zone is printed as it was read."""
    box = sandbox()
    assert "2020-01-31 00:00:00 +07:00" in run(box, "incremental", "--since", "2020-01-31").err
    assert "2020-01-31 23:59:59 +07:00" in run(box, "backfill", "--until", "2020-01-31").err


@pytest.mark.parametrize(
    ("since", "until"),
    [("yesterday", "1580403600000"), ("2020-13-01", "2020-01-31T25:00"), ("", "-5"), ("20200131", "9" * 30)],
)
def test_an_invalid_time(sandbox: StartSandbox, run: Command, since: str, until: str) -> None:
    """Invalid times are all reported, quoted, before any request."""
    box = sandbox()
    outcome = run(box, "incremental", f"--since={since}", f"--until={until}")
    assert outcome.code == 2
    assert all(f"{option}: {text!r}" in outcome.err for option, text in (("--since", since), ("--until", until)))
    assert box.requests.count() == 0


def test_since_opens_no_gap(sandbox: StartSandbox, run: Command) -> None:
    """`--since` an hour ago on a page ten days behind still copies the ten days."""
    box = sandbox()
    box.pancake.add_customers(only_page(box), people(80, 20 * DAY, 3600))
    fill_folkform(box)
    box.pancake.add_customers(only_page(box), people(40, 60, DAY / 4, "late"))
    outcome = run(box, "incremental", "--since", str(int(time.time()) - 3600), "--json")
    assert (outcome.code, outcome.totals["upserted"]) == (0, 40)
    assert box.difference().equal


def test_until_leaves_the_rest_to_the_next_run(sandbox: StartSandbox, run: Command) -> None:
    """`--until` copies no later customer; the next incremental copies the rest."""
    box = sandbox()
    box.pancake.add_customers(only_page(box), people(80, 60, DAY / 4))
    run(box, "incremental", "--until", str(int(time.time()) - 10 * DAY))
    assert sorted(box.difference().missing) == [f"p{number:04}" for number in range(40)]
    assert run(box, "incremental").code == 0
    assert box.difference().equal


def test_until_before_the_start_is_warned_of(sandbox: StartSandbox, run: Command) -> None:
    """A window that holds nothing does not look like a success."""
    box = sandbox()
    box.pancake.add_customers(only_page(box), people(80, 60, DAY))
    outcome = run(box, "incremental", "--until", "2009-01-01T00:00+07:00", "--json")
    assert (outcome.code, outcome.totals["read"]) == (0, 0)
    (warning,) = outcome.page(only_page(box))["warnings"]
    assert warning == "--until 2009-01-01 00:00:00 +07:00 is before the start of this pass: nothing was read"
    assert "nothing was read" in run(box, "incremental", "--until", "2009-01-01").output


def test_since_grows_an_incremental(sandbox: StartSandbox, run: Command) -> None:
    """`--since` below the watermark reads again from there and copies missing customers."""
    box = sandbox()
    box.pancake.add_customers(only_page(box), people(80, 60, DAY))
    fill_folkform(box)
    box.folkform.delete(only_page(box), "p0070")
    assert run(box, "incremental", "--json").totals["upserted"] == 0
    # Below the watermark nothing is known to be stored, so all of it is sent.
    assert run(box, "incremental", "--since", str(int(time.time()) - 75 * DAY)).code == 0
    assert box.difference().equal


@pytest.mark.parametrize(("option", "days"), [("--until", 300), ("--until", 1), ("--since", 200), ("--since", 50)])
def test_a_backfill_by_hand_opens_no_gap(sandbox: StartSandbox, run: Command, option: str, days: int) -> None:
    """`--until` below the watermark skips no customer; the next backfill copies the rest of one that ended early."""
    box = sandbox()
    box.pancake.add_customers(only_page(box), people(120, 60, 3 * DAY))
    assert run(box, "backfill", option, str(int(time.time()) - days * DAY)).code == 0
    if option == "--since":
        assert len(box.folkform.documents(only_page(box))) == -(-days // 3)
    assert run(box, "backfill").code == 0
    assert box.difference().equal


@pytest.mark.parametrize("command", ["incremental", "backfill"])
def test_dry_run(sandbox: StartSandbox, run: Command, command: str) -> None:
    """A dry run writes nothing and counts what the real run then writes."""
    box = sandbox(pages=2)
    for page_id in box.pancake.page_ids():
        history = people(60, 60, DAY / 3, "new") + people(60, 40 * DAY, DAY, "old")
        box.pancake.add_customers(page_id, of_page(page_id, [*history, person("", 600)]))
    dry = run(box, command, "--dry-run", "--json")
    assert (dry.code, dry.json["dry_run"]) == (0, True)
    assert {request.method for request in box.requests.recent} == {"GET"}
    assert all(box.folkform.documents(page_id) == [] for page_id in box.pancake.page_ids())
    assert "to upsert" in run(box, command, "--dry-run").out
    real = run(box, command, "--json")
    assert {**dry.totals, "requests": 0} == {**real.totals, "requests": 0}
    assert writes(box) == dry.totals["upserted"] > 0
    assert run(box, command, "--dry-run", "--json").totals["upserted"] == 0


def test_distinct_customers_are_read(sandbox: StartSandbox, run: Command) -> None:
    """A customer in several parts of a backfill counts once."""
    box = sandbox()
    box.pancake.add_customers(only_page(box), people(60, 60, 600))
    assert run(box, "incremental", "--json").totals["read"] == 60
    assert run(box, "backfill", "--json").totals["read"] <= 60


_NO_IDENTITY: dict[str, dict[str, Any]] = {
    "m-list": {"psid": ["1"]},
    "m-object": {"psid": {"$ne": ""}},
    "m-true": {"psid": True},
    "m-float": {"psid": 1.5},
    "m-elsewhere": {"page_id": "another", "psid": ["1"]},
}
_NO_TIME: dict[str, dict[str, Any]] = {
    "m-null-time": {"updated_at": None},
    "m-broken-time": {"updated_at": "yesterday"},
    "m-number-time": {"updated_at": 1765103003},
    "m-impossible-time": {"updated_at": "2025-02-30T10:00:00"},
}


@pytest.mark.parametrize("command", ["incremental", "backfill"])
def test_malformed_customers(sandbox: StartSandbox, run: Command, command: str) -> None:
    """A customer without a readable psid or time is reported by Pancake's id, never written, and no failure."""
    box = sandbox()
    page_id = only_page(box)
    box.pancake.add_customers(page_id, people(120, 60, 600))
    wrong = {name: {**person("x", 90, id=name), **fields} for name, fields in _NO_IDENTITY.items()}
    if command == "backfill":  # Pancake lists customers without a time last, below every incremental's window.
        wrong |= {name: {**person(f"psid-{name}", 90, id=name), **fields} for name, fields in _NO_TIME.items()}
        timeless = person("psid-m-missing-time", 90, id="m-missing-time")
        wrong["m-missing-time"] = {key: value for key, value in timeless.items() if key != "updated_at"}
    box.pancake.add_customers(page_id, wrong.values())

    outcome = run(box, command, "--json")
    page = outcome.page(page_id)
    assert (outcome.code, page["status"], page["complete"]) == (0, "ok", True)
    assert sorted(one["id"] for one in page["customers"]) == sorted(wrong)
    assert {one["problem"] for one in page["customers"]} == {"malformed"}
    assert page["malformed"] == len(wrong)
    assert (writes(box), box.difference().equal) == (120, True)
    printed = run(box, command).err
    assert all(f"Pancake id {name} malformed" in printed for name in _NO_IDENTITY)


@pytest.mark.parametrize("command", ["incremental", "backfill"])
def test_a_refused_customer(sandbox: StartSandbox, run: Command, command: str) -> None:
    """A customer that FolkForm rejects is reported as failed with the reason; every other one is synced."""
    box = sandbox(pages=2)
    page_id, other = box.pancake.page_ids()
    for each in (page_id, other):
        box.pancake.add_customers(each, of_page(each, people(120, 60, 600)))
    box.faults.add(Fault("status", service="folkform", page_id=page_id, psid="p0060", status=400, times=None))
    outcome = run(box, command, "--json")
    assert (outcome.code, outcome.json["status"], outcome.totals["failed"]) == (1, "partial", 1)
    page = outcome.page(page_id)
    assert (page["status"], page["failed"], page["error"]) == ("partial", 1, None)
    (failed,) = page["customers"]
    assert (failed["psid"], failed["id"], failed["problem"]) == ("p0060", f"{page_id}-id-p0060", "failed")
    assert "HTTP_400" in failed["reason"]
    assert outcome.page(other)["status"] == "ok"
    assert box.difference().missing == ["p0060"]


def test_a_page_with_a_wrong_token(sandbox: StartSandbox, run: Command) -> None:
    """A page whose token is rejected fails alone; when it is the only one, an operator must act: exit code 3."""
    box = sandbox(pages=3, customers=20)
    page_id = box.pancake.page_ids()[1]
    box.folkform.set_page(page_id, pageAccessToken="page-token-that-is-wrong", accessToken="")
    outcome = run(box, "backfill", "--json")
    assert (outcome.code, outcome.json["status"], outcome.json["complete"]) == (1, "partial", False)
    page = outcome.page(page_id)
    assert (page["status"], page["complete"]) == ("failed", False)
    assert "token" in page["error"]
    assert [one for one, pages in box.difference().pages.items() if not pages.equal] == [page_id]
    assert run(box, "incremental", "--page", page_id).code == 3


_WORLDS: dict[str, dict[str, Any]] = {
    "honoured": {},
    "inserted_at": {"window": "inserted_at"},
    "ignored": {"window": "ignored"},
    "ignored and cut": {"window": "ignored", "page_size_cut": 30},
    "exact": {"window_precision": "exact"},
    "cut": {"page_size_cut": 30},
    "cut without total": {"page_size_cut": 30, "total": False},
    "without total": {"total": False},
}


@pytest.mark.parametrize("world", _WORLDS.values(), ids=_WORLDS)
def test_changes_during_the_walk(sandbox: StartSandbox, passes: Passes, world: dict[str, Any]) -> None:
    """However Pancake answers, and while customers change at every batch, none is missed."""
    box = sandbox(customers=150, changes_per_list=3, **world)
    # What changes in a run lies beyond it: Pancake's clock is behind until the last run.
    box.behaviour.pancake_clock_offset = -20.0
    assert passes(box, INCREMENTAL).exit_code == 0
    assert passes(box, BACKFILL).exit_code == 0
    box.behaviour.changes_per_list, box.behaviour.pancake_clock_offset = 0, 0.0
    last = passes(box, INCREMENTAL)
    assert (last.exit_code, box.difference().equal) == (0, True)
    assert last.totals["upserted"] > 0
    assert forbidden(box) == []


@pytest.mark.parametrize("dialect", DIALECTS)
def test_acceptance(sandbox: StartSandbox, run: Command, dialect: str) -> None:
    """3 pages × 5,000 customers (`make acceptance`; else 300) with ties and every time format arrive unaltered."""
    customers = int(os.environ.get("ACCEPTANCE_CUSTOMERS", "300"))
    box = sandbox(pages=3, customers=customers, dialect=dialect)
    recent = run(box, "incremental", "--json", CUSTOMER_SYNC_WORKERS="16")
    history = run(box, "backfill", "--json", CUSTOMER_SYNC_WORKERS="16")
    assert (recent.code, history.code) == (0, 0)
    assert recent.totals["upserted"] + history.totals["upserted"] == 3 * customers
    assert box.difference().equal
    assert writes(box) == 3 * customers
    assert forbidden(box) == []
    assert history.json["pages"][0]["warnings"] == []


@pytest.mark.parametrize("dialect", DIALECTS[:2])
def test_killed_again_and_again(sandbox: StartSandbox, run: Command, dialect: str) -> None:
    """After six kills at random writes both passes leave no customer missing or stale, in each dialect."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    rng = random.Random(seed)
    box = sandbox(pages=2, customers=200, dialect=dialect)
    kills = 0
    while kills < 6:
        change_lately(box, rng.randrange(60))
        enough = writes(box) + rng.randrange(1, 45)
        process = run.start(box, rng.choice(["incremental", "backfill"]))
        wait_until(lambda: writes(box) >= enough or process.poll() is not None)  # noqa: B023
        kills += process.poll() is None
        process.kill()
        process.communicate()
    assert run(box, "incremental").code == 0
    assert run(box, "backfill").code == 0
    assert box.difference().equal


def test_a_watermark_is_never_the_time_of_a_write(sandbox: StartSandbox, run: Command) -> None:
    """Old documents have the guide's dialect, the newest ones do not: the watermark is from their own versions."""
    box = sandbox(dialect="guide")
    page_id = only_page(box)
    box.pancake.add_customers(page_id, people(300, 86400, 3600))
    fill_folkform(box)
    box.behaviour.dialect = "older"
    box.pancake.add_customers(page_id, people(60, 7200, 60, "newer"))
    assert run(box, "incremental").code == 0
    for document in box.folkform.documents(page_id):
        if document["psid"].startswith("newer"):  # As if they had been written a little earlier.
            box.folkform.store({**document, "updatedAt": document["updatedAt"] - 20_000})
    box.pancake.add_customers(page_id, people(10, 40, 1, "late"))
    assert run(box, "incremental", "--json").totals["upserted"] == 10
    assert box.difference().equal


def test_documents_ahead_of_the_clock_are_no_watermark(sandbox: StartSandbox, run: Command) -> None:
    """Another writer's documents from the future prevent no customer from being synced."""
    box = sandbox()
    page_id = only_page(box)
    for number in range(60):
        future = int((time.time() + 7 * 3600 + number) * 1000)
        box.folkform.store({"psid": f"future-{number}", "pageId": page_id, "panCakeUpdatedAt": future})
    box.pancake.add_customers(page_id, people(20, 3600, 60))
    assert run(box, "incremental", "--json").totals["upserted"] == 20
    assert box.difference().missing == []


def test_a_list_of_malformed_customers_fails_the_page(sandbox: StartSandbox, run: Command) -> None:
    """When every one of many customers is malformed, Pancake has changed: the page fails."""
    box = sandbox()
    for number, customer in enumerate(people(60, 3600, 60)):
        broken = {**customer, "id": f"id-{number}", "updated_at": customer["updated_at"].replace("T", " ")}
        box.pancake.add_customer(only_page(box), broken)
    outcome = run(box, "backfill", "--json")
    assert (outcome.code, outcome.page(only_page(box))["status"]) == (3, "failed")
