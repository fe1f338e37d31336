"""`customer-sync verify`: it finds exactly the customers that differ, whatever the damage, and changes nothing."""

import json
import os
import random
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from customer_sync.core.clock import Clock
from customer_sync.core.locks import PageLocks
from customer_sync.results.pass_result import PassResult
from customer_sync.results.verified_page import VerifiedPage
from customer_sync.sandbox import Fault, Sandbox
from customer_sync.sync.passes import BACKFILL, INCREMENTAL

from .conftest import (
    COMMAND,
    DAY,
    Command,
    StartSandbox,
    ago,
    change_lately,
    fill_folkform,
    only_page,
    people,
    person,
    wait_until,
    writes,
)
from .damage import Damage, crowd
from .in_process import Passes
from .proxy import Passing, Proxy

_GUIDE = Path(__file__).parent / "benchmarks" / "rivals" / "guide.py"
DIALECTS = ["deployed", "guide", "older"]
KINDS = ("missing", "stale", "extra", "duplicate", "malformed")


def found(result: PassResult[VerifiedPage]) -> dict[str, set[str | None]]:
    """The customers listed, by kind; malformed ones by Pancake id."""
    problems = [problem for page in result.pages for problem in page.problems]
    return {
        kind: {problem.psid or problem.pancake_id for problem in problems if problem.problem == kind} for kind in KINDS
    }


def differing(box: Sandbox) -> dict[str, set[str | None]]:
    """The customers that really differ."""
    difference = box.difference()
    return {kind: set(getattr(difference, kind)) for kind in KINDS}


def filled(start: StartSandbox, customers: list[dict[str, Any]], **behaviour: Any) -> Sandbox:
    """A sandbox whose FolkForm holds all of these customers."""
    box = start(**behaviour)
    box.pancake.add_customers(only_page(box), customers)
    fill_folkform(box)
    return box


def _json_adds_up(page: dict[str, Any]) -> None:
    """Each side is the sum of its parts, which are no negative numbers."""
    on_both = page["in_order"] + page["stale"]
    assert page["pancake"] == on_both + page["missing"] + page["malformed"] + page["changed"]
    kinds = ("malformed", "changed")
    only_stored = page["extra"] + page["duplicate"] + sum(page[f"{kind}_in_folkform"] for kind in kinds)
    assert page["folkform"] == on_both + only_stored
    assert page["in_order"] >= 0


@pytest.mark.parametrize("dialect", DIALECTS)
def test_200_random_damages(sandbox: StartSandbox, passes: Passes, dialect: str) -> None:
    """Every lost, aged or extra customer is found, and no other; `--full` repairs it with as few writes as possible
    (tried with every sixth damage).
    """
    box = sandbox(dialect=dialect, page_size_cut=25)
    passes.environment["CUSTOMER_SYNC_PAGE_SIZE"] = "25"
    box.pancake.add_customers(only_page(box), crowd())
    for seed in range(200 // len(DIALECTS) + 1):
        box.folkform.delete(only_page(box))
        fill_folkform(box)
        Damage(box, seed).do()
        damage = differing(box)
        result = passes.verify(box)
        assert found(result) == damage, f"seed {seed}"
        _adds_up_without_changes(result.pages[0])
        assert result.exit_code == (1 if any(damage.values()) else 0)
        if seed % 6:
            continue
        before = writes(box)
        assert passes(box, BACKFILL, full=True).exit_code == 0
        assert writes(box) - before == len(damage["missing"]) + len(damage["stale"]), f"seed {seed}"
        assert differing(box) == {kind: damage[kind] if kind == "extra" else set() for kind in KINDS}


@pytest.mark.parametrize("window", ["updated_at", "inserted_at", "ignored"])
@pytest.mark.parametrize("total", [True, False])
def test_every_kind_of_pancake(sandbox: StartSandbox, passes: Passes, window: str, total: bool) -> None:
    """The result does not depend on what the window filters by, nor on totals."""
    box = filled(sandbox, crowd(), window=window, total=total, window_precision="exact")
    Damage(box, 7).do()
    assert found(passes.verify(box)) == differing(box)
    assert any(differing(box).values())


# Both sides change meanwhile


def test_changes_during_the_comparison(sandbox: StartSandbox, run: Command) -> None:
    """Customers that change while both sides are read, three after every answer, are not reported."""
    box = sandbox(customers=600)
    fill_folkform(box)
    lost = box.pancake.customers(only_page(box))[-1]["psid"]
    box.folkform.delete(only_page(box), lost)
    box.behaviour.changes_per_list = 3
    outcome = run(box, "verify", "--json", CUSTOMER_SYNC_PAGE_SIZE="20")
    page = outcome.page(only_page(box))
    assert {one["psid"] for one in page["customers"]} <= {lost}
    _json_adds_up(page)
    assert page["changed_in_folkform"] > 0
    assert len(box.difference().stale) > 50


def test_an_incremental_meanwhile(sandbox: StartSandbox, run: Command) -> None:
    """What a pass writes between the two looks is not reported."""
    box = sandbox(customers=300)
    fill_folkform(box)
    changed = change_lately(box, 5)
    process = run.start(box, "verify", "--json")
    wait_until(lambda: box.requests.count("pancake") >= 4)
    for customer in box.pancake.customers(only_page(box)):
        if customer["psid"] in changed:
            box.folkform.upsert({**customer, "page_id": only_page(box)})
    outcome = run.end(process)
    assert (outcome.code, outcome.json["totals"]["stale"]) == (0, 0)
    _json_adds_up(outcome.page(only_page(box)))


def test_a_remedy_of_several_pages(sandbox: StartSandbox, run: Command) -> None:
    """The same command for several pages is one line, with their number."""
    box = sandbox(pages=2)
    for page_id in box.pancake.page_ids():
        box.pancake.add_customers(page_id, people(3, 600, 60, page_id))
    assert "2 pages: run customer-sync incremental to copy the missing" in run(box, "verify").out


def test_a_page_that_changes_all_the_time(sandbox: StartSandbox, run: Command) -> None:
    """The comparison still ends, and lists the missing customers."""
    box = sandbox(customers=300)
    with _changing(box):
        outcome = run(box, "verify", "--json")
    assert outcome.code == 1
    assert outcome.totals["missing"] > 250
    _json_adds_up(outcome.page(only_page(box)))


@contextmanager
def _changing(box: Sandbox) -> Iterator[None]:
    """A customer changes every third of a second."""
    ended = threading.Event()

    def change() -> None:
        while not ended.wait(0.3):
            box.pancake.change_customers(1)

    thread = threading.Thread(target=change)
    thread.start()
    yield
    ended.set()
    thread.join()


@pytest.mark.parametrize("hours", [-72, -5, 5])
def test_pancakes_clock_counts(sandbox: StartSandbox, passes: Passes, hours: int) -> None:
    """A wrong clock of this machine changes nothing but a warning."""
    box = filled(sandbox, people(120, 600 - 3600 * hours, 600), pancake_clock_offset=3600.0 * hours)
    for psid in ("p0000", "p0060"):
        box.folkform.delete(only_page(box), psid)
    result = passes.verify(box)
    assert (found(result)["missing"], found(result)["extra"]) == ({"p0000", "p0060"}, set())
    assert any("clock is" in warning for warning in result.pages[0].warnings)


def test_an_incomplete_list(sandbox: StartSandbox, passes: Passes, in_between: Callable[[Sandbox], Proxy]) -> None:
    """An empty answer where Pancake's total counts more customers does not pass for equal sides."""
    box = sandbox(customers=300, window="ignored")
    fill_folkform(box)
    proxy = in_between(box)

    def emptied(passing: Passing) -> bytes | None:
        # Before it are the count, the first batch, and the same again when the window turns out to be ignored.
        is_second = "page_customers" in passing.path and proxy.counts["page_customers"] >= 4
        return b'{"success": true, "total": 300, "customers": []}' if is_second else None

    proxy.before = emptied
    result = passes.verify(proxy)
    assert (result.exit_code, result.pages[0].unlisted) == (1, 200)


# Strange records and customers


def test_records_without_psid_or_id(sandbox: StartSandbox, passes: Passes) -> None:
    """A record without a psid is listed by its id; all records with neither are one finding."""
    box = sandbox(customers=60)
    fill_folkform(box)
    for ids in ({}, {"customerId": "x"}):
        box.folkform.store({**ids, "pageId": only_page(box), "panCakeData": {}, "panCakeUpdatedAt": 5})
    problems = passes.verify(box).pages[0].problems
    assert {(one.problem, one.psid, one.pancake_id) for one in problems} == {
        ("extra", None, None),
        ("extra", None, "x"),
    }


def test_a_psid_too_long_for_a_request(sandbox: StartSandbox, passes: Passes) -> None:
    """It hides no other customer."""
    box = sandbox(customers=60)
    box.pancake.add_customer(only_page(box), person("x" * 5000, 90))
    (page,) = passes.verify(box).pages
    assert page.missing == 61


@pytest.mark.parametrize("dialect", DIALECTS)
def test_records_without_a_time(sandbox: StartSandbox, passes: Passes, dialect: str) -> None:
    """Another writer's records without a time are compared by version, and reported if Pancake lacks the customer."""
    box = sandbox(customers=60, dialect=dialect)
    fill_folkform(box)
    page_id = only_page(box)
    same, aged = box.pancake.customers(page_id)[10:12]
    times = {"updatedAt": 0, "panCakeUpdatedAt": 0} if dialect == "deployed" else {"updatedAt": 0}
    for psid, data in (
        (same["psid"], {**same, "page_id": page_id}),
        (aged["psid"], {"psid": aged["psid"], "updated_at": None}),
        ("unknown", {"psid": "unknown"}),
    ):
        box.folkform.store({"psid": psid, "pageId": page_id, "panCakeData": data, **times})
    result = passes.verify(box)
    assert found(result) == {**{kind: set() for kind in KINDS}, "stale": {aged["psid"]}, "extra": {"unknown"}}
    assert (result.totals["pancake"], result.totals["folkform"]) == (60, 61)


def test_malformed_customers(sandbox: StartSandbox, run: Command) -> None:
    """They are listed, change no exit code, and do not make an earlier record in FolkForm extra."""
    box = sandbox(customers=5)
    fill_folkform(box)
    page_id = only_page(box)
    box.pancake.add_customer(page_id, {**person("a", 90), "id": None})
    box.pancake.add_customer(page_id, {**person("b", 90), "updated_at": "long ago"})
    box.folkform.upsert({**person("b", 900), "page_id": page_id})
    outcome = run(box, "verify", "--json")
    assert (outcome.code, outcome.totals["malformed"], outcome.totals["extra"]) == (0, 2, 0)
    listed = outcome.page(page_id)["customers"]
    assert {(one["psid"], one["problem"]) for one in listed} == {("a", "malformed"), ("b", "malformed")}


def _adds_up(page: VerifiedPage) -> None:
    """The counts account for every customer of both sides, and so does the sentence."""
    listed = page.in_order + page.missing + page.stale + page.malformed
    stored = page.in_order + page.stale + page.extra + page.duplicate + page.malformed_in_folkform
    assert (page.pancake, page.folkform) == (listed + page.changed, stored + page.changed_in_folkform)
    words = ", ".join(page.words())
    for whole, parts in re.findall(r"([\d,]+) in \w+ = ([\w ,+]+?)(?=, [\d,]+ in |$)", words):
        assert int(whole) == sum(int(part.split()[0]) for part in parts.split(" + "))


def _adds_up_without_changes(page: VerifiedPage) -> None:
    """The same where nothing changes meanwhile; every customer is listed that is not in order."""
    _adds_up(page)
    assert (page.changed, page.changed_in_folkform) == (0, 0)
    assert len(page.problems) == page.missing + page.stale + page.extra + page.duplicate + page.malformed


def test_everything_adds_up(sandbox: StartSandbox, run: Command) -> None:
    """Each state that a customer or a record can have is counted on the sides that it is on."""
    box = filled(sandbox, people(60, 600, 60))
    page_id = only_page(box)
    for psid in ("p0001", "p0002"):
        box.folkform.delete(page_id, psid)
    for psid in ("p0011", "p0012", "p0013"):
        box.folkform.upsert({**person(psid, DAY), "page_id": page_id})
    for number in range(4):
        box.folkform.upsert({**person(f"gone{number}", DAY), "page_id": page_id})
        box.folkform.store({"pageId": page_id, "panCakeData": {}, "panCakeUpdatedAt": 5})
    box.folkform.insert({**person("p0021", DAY), "id": "other", "page_id": page_id})
    box.pancake.add_customer(page_id, {**person("a", 90), "id": None})
    box.pancake.add_customer(page_id, {**person("b", 90), "updated_at": "long ago"})
    box.folkform.upsert({**person("b", 900), "page_id": page_id})
    outcome = run(box, "verify", "--json")
    assert {name: count for name, count in outcome.totals.items() if name not in ("pages", "requests")} == {
        "pancake": 62,
        "in_order": 55,
        "missing": 2,
        "stale": 3,
        "malformed": 2,
        "changed": 0,
        "folkform": 68,
        "extra": 8,
        "duplicate": 1,
        "malformed_in_folkform": 1,
        "changed_in_folkform": 0,
    }
    assert (
        run(box, "verify")
        .out.splitlines()[-1]
        .startswith(
            "verify: differs, 1 page, 62 in Pancake = 55 in order + 2 missing + 3 stale + 2 malformed, "
            "68 in FolkForm = 55 in order + 3 stale + 8 extra + 1 duplicate + 1 malformed; "
        )
    )


def test_a_page_that_failed_is_in_no_sum(sandbox: StartSandbox, run: Command) -> None:
    """The sums are those of the pages that were compared; the others are counted."""
    box = sandbox(pages=2, customers=20)
    fill_folkform(box)
    box.folkform.set_page(box.pancake.page_ids()[0], pageAccessToken="a-token-that-is-wrong", accessToken="")
    last = run(box, "verify").out.splitlines()[-1]
    assert ", 20 in Pancake = 20 in order, 20 in FolkForm = 20 in order, 1 page not fully compared; " in last


@pytest.mark.parametrize("holder", [BACKFILL, INCREMENTAL])
def test_a_run_at_work(sandbox: StartSandbox, run: Command, holder: str) -> None:
    """A run that holds the page's lock is named, and no command is proposed that would find the page locked."""
    box = sandbox(pages=2, customers=20)
    locked, free = box.pancake.page_ids()
    fill_folkform(box)
    for page_id in (locked, free):
        box.folkform.delete(page_id, box.pancake.customers(page_id)[0]["psid"])
    with PageLocks(run.lock_dir, Clock(), holder).held(holder, locked):
        outcome = run(box, "verify", "--json")
    (warning,) = outcome.page(locked)["warnings"]
    assert re.fullmatch(
        rf"locked by {holder} \(process {os.getpid()}\) since .*, which may still copy what differs: "
        rf"run customer-sync verify --page {locked} when it has ended",
        warning,
    )
    assert (outcome.page(locked)["missing"], outcome.page(locked)["remedy"]) == (1, None)
    assert outcome.page(free)["remedy"]
    assert "locked" not in run(box, "verify").err


def test_a_lock_directory_of_another_user(sandbox: StartSandbox, run: Command) -> None:
    """A lock that cannot be read does not stop a comparison."""
    box = sandbox(customers=20)
    fill_folkform(box)
    run.lock_dir.write_text("no directory")
    assert run(box, "verify").code == 0


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("same_time", [False, True])
def test_duplicates(sandbox: StartSandbox, passes: Passes, dialect: str, same_time: bool) -> None:
    """A second record is a finding with both ids, the newer first; the newer one decides about missing and stale."""
    customers = people(80, 60, 60)
    box = filled(sandbox, customers, dialect=dialect)
    page_id = only_page(box)
    for number in (3, 40, 70):
        older = {**customers[number], "id": f"other {number}", "page_id": page_id}
        box.folkform.insert(older if same_time else {**older, "updated_at": ago(500 * DAY)})
    box.pancake.change_customer(page_id, "p0070", {"updated_at": ago(400)})
    result = passes.verify(box)
    (page,) = result.pages
    assert (result.exit_code, found(result)) == (1, differing(box))
    assert (found(result)["duplicate"], found(result)["stale"]) == ({"p0003", "p0040", "p0070"}, {"p0070"})
    _adds_up_without_changes(page)
    if not same_time:
        (problem,) = (one for one in page.problems if (one.problem, one.psid) == ("duplicate", "p0003"))
        records = sorted(box.folkform.documents(page_id), key=lambda one: one["panCakeData"]["updated_at"])
        older_id, newer_id = [record["id"] for record in records if record["psid"] == "p0003"]
        assert problem.reason.index(newer_id) < problem.reason.index(older_id)


def test_three_records_of_one_psid(sandbox: StartSandbox, passes: Passes) -> None:
    """Each record too many is a duplicate, without a time, too; a customer not in Pancake is extra as well."""
    box = filled(sandbox, people(30, 60, 60))
    page_id = only_page(box)
    for number in range(3):
        box.folkform.insert(person("gone", DAY * (number + 1), id=f"gone {number}", page_id=page_id))
        box.folkform.insert(person("p0001", DAY * (number + 1), id=f"more {number}", page_id=page_id))
    box.folkform.insert({**person("p0007", 0), "id": "webhook", "updated_at": None, "page_id": page_id})
    (page,) = passes.verify(box).pages
    assert (page.duplicate, page.extra, page.missing, page.stale) == (6, 1, 0, 0)
    _adds_up_without_changes(page)


def test_without_a_psid(sandbox: StartSandbox, passes: Passes) -> None:
    """Customers without a psid are compared, and listed, by Pancake id."""
    numbered = enumerate(people(6, 600, 600, "x"))
    without = [one | {"psid": None if number % 2 else 7000 + number} for number, one in numbered]
    box = filled(sandbox, [*people(60, 600, 60), *without])
    page_id = only_page(box)
    assert passes.verify(box).exit_code == 0
    box.folkform.delete_by_id(str((box.folkform.document(page_id, "id-x0001") or {})["id"]))
    box.pancake.change_customer(page_id, "id-x0003", {"updated_at": ago(400)})
    box.pancake.remove_customer(page_id, "id-x0005")
    result = passes.verify(box)
    assert found(result) == differing(box)
    assert {(one.problem, one.psid, one.pancake_id) for one in result.pages[0].problems} == {
        ("missing", None, "id-x0001"),
        ("stale", None, "id-x0003"),
        ("extra", None, "id-x0005"),
    }
    _adds_up_without_changes(result.pages[0])


def test_a_psid_that_came_later(sandbox: StartSandbox, passes: Passes) -> None:
    """The earlier record of the same customer is stale, not extra, and the repair updates it."""
    box = filled(sandbox, [*people(60, 600, 60), person("x", 3000) | {"psid": None}])
    page_id = only_page(box)
    box.pancake.change_customer(page_id, "id-x", {"psid": "now", "updated_at": ago(400)})
    (page,) = passes.verify(box).pages
    assert {(one.problem, one.psid) for one in page.problems} == {("stale", "now")}
    _adds_up_without_changes(page)
    assert passes(box, BACKFILL, full=True).exit_code == 0
    assert passes.verify(box).exit_code == 0
    assert len(box.folkform.documents(page_id)) == 61


@pytest.mark.parametrize("psid", ["p", None])
def test_an_id_that_another_page_has(sandbox: StartSandbox, run: Command, psid: str | None) -> None:
    """The record that prevents the upsert is named, and no command is proposed."""
    box = sandbox()
    page_id = only_page(box)
    box.folkform.upsert(person("theirs", 60, id="id-p", page_id="another"))
    box.pancake.add_customers(page_id, [*people(3, 600, 60), person("p", 300) | {"psid": psid}])
    failed, outcome = run(box, "incremental"), run(box, "verify", "--json")
    assert failed.code == 1
    (problem,) = outcome.page(page_id)["customers"]
    assert (problem["problem"], problem["id"]) == ("missing", "id-p")
    assert problem["next_step"].startswith("Correct the record that is wrong")
    assert all(problem["next_step"] in one.err for one in (failed, run(box, "verify")))
    assert all(name in problem["reason"] for name in ("id-p", "theirs", "another"))
    assert (outcome.code, outcome.page(page_id)["remedy"], outcome.page(page_id)["warnings"]) == (1, None, [])


@pytest.mark.parametrize("value", [10**400, [{"x": -(10**400)}]], ids=["number", "inside"])
def test_a_number_that_folkform_cannot_store(sandbox: StartSandbox, run: Command, value: Any) -> None:
    """No command is proposed for a customer that no pass can write; a pass and `verify` say which field to correct."""
    box = sandbox()
    page_id = only_page(box)
    box.pancake.add_customers(page_id, [*people(3, 600, 60), person("p", 300, amount=value)])
    failed, outcome = run(box, "incremental"), run(box, "verify", "--json")
    (problem,) = outcome.page(page_id)["customers"]
    assert "FolkForm cannot store the number in amount, which is too large" in problem["reason"]
    assert (failed.code, outcome.code, outcome.page(page_id)["warnings"]) == (1, 1, [])
    for one in (failed, run(box, "verify")):
        assert "cannot store the number in amount" in one.err
        assert f"can write this customer. Then run customer-sync backfill --page {page_id}." in one.err
    box.pancake.change_customer(page_id, "p", {"amount": 10**300})
    assert run(box, "backfill", "--page", page_id).code == 0
    assert run(box, "verify").code == 0


def test_the_remedy_promises_no_more_than_a_pass_can_do(sandbox: StartSandbox, run: Command) -> None:
    """A customer that FolkForm refuses is missing; the pass that is proposed gives the reason, as the text says."""
    box = sandbox()
    box.pancake.add_customers(only_page(box), people(3, 600, 60))
    refusal = {"endpoint": "/upsert-one", "psid": "p0001", "status": 400, "message": "a rule says no", "times": None}
    box.faults.add(Fault.from_settings({"kind": "status", **refusal}))
    assert run(box, "incremental").code == 1
    outcome = run(box, "verify")
    text = "to copy the missing and stale customers; it gives the reason for each that FolkForm refuses"
    assert f"1 page: run customer-sync incremental {text}" in outcome.out
    again = run(box, "incremental")
    assert f"a rule says no. Fix the cause, then run customer-sync backfill --page {only_page(box)}." in again.err


def test_psids_that_hardly_fit_a_request(sandbox: StartSandbox, passes: Passes) -> None:
    """Psids of any length and any characters are looked up in requests that FolkForm accepts."""
    odd = [person(f'{"🍜$" * (number % 40)}"{number}', 100 * number + 400) for number in range(120)]
    box = filled(sandbox, [*odd, *people(3000, 60, 600)])
    for customer in odd:
        box.folkform.delete(only_page(box), customer["psid"])
    assert found(passes.verify(box))["missing"] == {customer["psid"] for customer in odd}


# What it costs


def _costs(box: Sandbox, passes: Passes) -> tuple[int, int]:
    """Requests to Pancake and to FolkForm of one comparison."""
    box.requests.clear()
    passes.verify(box)
    return box.requests.count("pancake"), box.requests.count("folkform")


def test_its_cost(sandbox: StartSandbox, passes: Passes) -> None:
    """n customers cost n/100 + n/1000 requests and a few; findings cost one per fifty, and by id per thirty."""
    box = sandbox(customers=3000)
    fill_folkform(box)
    pancake, folkform = _costs(box, passes)
    assert pancake <= 3000 / 100 + 4
    assert folkform <= 3000 / 1000 + 7
    for customer in random.Random(1).sample(box.pancake.customers(only_page(box)), 100):
        box.folkform.delete(only_page(box), customer["psid"])
    more_pancake, more_folkform = _costs(box, passes)
    assert more_pancake <= pancake + 1
    assert more_folkform <= folkform + 100 / 50 + 100 / 30 + 1
    box.folkform.delete(only_page(box))
    assert _costs(box, passes)[1] <= 8


# A process starts in its parent's memory, and the tests' own process is larger than what it measures.
_MEASURE = """
import resource, subprocess, sys
with open(sys.argv[1], "w") as out:
    code = subprocess.call(sys.argv[2:], stdout=out, stderr=subprocess.DEVNULL)
print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def _peak(run: Command, box: Sandbox, *arguments: str, code: int) -> int:
    """The peak memory of one comparison, KiB; its output goes to the file `out`."""
    command = [sys.executable, "-c", _MEASURE, str(run.home / "out"), str(COMMAND), "verify", *arguments]
    measured = subprocess.run(command, env=run.environment(box), capture_output=True, text=True, check=True)
    ended, peak = map(int, measured.stdout.split())
    assert ended == code
    return peak


def test_memory_does_not_grow_with_the_history(sandbox: StartSandbox, run: Command) -> None:
    """Ten times as many equal customers need no more memory."""

    def peak(customers: int) -> int:
        box = sandbox(customers=customers)
        fill_folkform(box)
        return _peak(run, box, "-q", code=0)

    assert peak(8_000) < 1.15 * peak(800)


@pytest.mark.parametrize("arguments", [["-q"], ["-q", "--json"], ["-q", "--log-format", "json"]])
@pytest.mark.parametrize("side", ["pancake", "folkform"])
def test_memory_does_not_grow_with_the_differences(
    sandbox: StartSandbox, run: Command, side: str, arguments: list[str]
) -> None:
    """Ten times as many missing, or extra, customers need no more memory, and all are listed."""

    def peak(count: int) -> int:
        box = sandbox()
        rows = [person(f"{number * 7919 % 10**9 + 10**16}", 600 + number) for number in range(count)]
        if side == "pancake":
            box.pancake.add_customers(only_page(box), rows)
        else:
            for row in rows:
                box.folkform.upsert({**row, "page_id": only_page(box)})
        memory = _peak(run, box, *arguments, code=1)
        if "--json" in arguments:
            page = json.loads((run.home / "out").read_text())["pages"][0]
            kind = {"pancake": "missing", "folkform": "extra"}[side]
            assert {one["psid"] for one in page["customers"] if one["problem"] == kind} == {row["psid"] for row in rows}
        return memory

    small, large = peak(2_000), peak(20_000)
    assert large < 1.15 * small
    assert large < 64 * 1024


def test_a_full_disk(sandbox: StartSandbox, run: Command) -> None:
    """A comparison that finds no room for its findings fails with the setting that gives it more."""
    box = sandbox()
    box.pancake.add_customers(only_page(box), [person(f"p{number}", 60 + number) for number in range(20_000)])
    code = f"ulimit -f 1; exec {COMMAND} verify --json"
    environment = run.environment(box)
    process = subprocess.run(["/bin/sh", "-c", code], check=False, env=environment, capture_output=True, text=True)
    page = json.loads(process.stdout)["pages"][0]
    assert (process.returncode, page["status"], page["complete"]) == (1, "failed", False)
    assert "TMPDIR" in page["error"]


def test_the_cost_comes_first(sandbox: StartSandbox, run: Command) -> None:
    """The first line has the number of customers, requests and minutes."""
    box = sandbox(customers=120)
    fill_folkform(box)
    settings = {"CUSTOMER_SYNC_PAGE_SIZE": "1", "CUSTOMER_SYNC_PANCAKE_RPS": "1"}
    process = run.start(box, "verify", **settings)
    assert process.stderr
    first = process.stderr.readline()
    assert all(number in first for number in ("120 customers", "121 requests", "1 to FolkForm", "3 min"))


# The result


@pytest.mark.parametrize(("number", "remedy"), [(200, "backfill --page {}"), (10, "incremental")])
def test_the_remedy(sandbox: StartSandbox, run: Command, number: int, remedy: str) -> None:
    """A missing customer is listed with its version, and the command that is printed copies it, the cheapest one."""
    box = filled(sandbox, people(300, 60, 40_000))
    page_id = only_page(box)
    box.folkform.delete(page_id, f"p{number:04}")
    outcome = run(box, "verify")
    page = run(box, "verify", "--json").page(page_id)
    (problem,) = page["customers"]
    assert (outcome.code, problem["psid"], problem["problem"]) == (1, f"p{number:04}", "missing")
    *_, microseconds = box.pancake.customers(page_id)[number]["updated_at"].split(".")
    assert f".{microseconds} +07:00" in problem["reason"]
    assert page["remedy"] == f"customer-sync {remedy.format(page_id)}"
    assert problem["reason"] in outcome.err
    assert page["remedy"] in outcome.out
    assert problem["next_step"] == f"Run {page['remedy']}."
    assert run(box, *page["remedy"].split()[1:]).code == 0
    assert run(box, "verify", "-q").output == ""


def test_extra_customers(sandbox: StartSandbox, run: Command) -> None:
    """They are listed; `--allow-extra` changes the exit code only."""
    box = sandbox(customers=10)
    page_id = only_page(box)
    fill_folkform(box)
    box.pancake.remove_customer(page_id, box.pancake.customers(page_id)[3]["psid"])
    outcomes = [run(box, "verify", "--json"), run(box, "verify", "--json", "--allow-extra")]
    assert [outcome.code for outcome in outcomes] == [1, 0]
    for outcome in outcomes:
        page = outcome.page(page_id)
        assert (page["extra"], page["remedy"], page["customers"][0]["problem"]) == (1, None, "extra")


def test_json(sandbox: StartSandbox, run: Command) -> None:
    """`--json` prints one object of exactly the documented shape."""
    outcome = run(sandbox(customers=3), "verify", "--json")
    sides = {"pancake", "folkform", "in_order", "changed", "malformed_in_folkform", "changed_in_folkform"}
    counts = {*KINDS, *sides, "requests"}
    assert set(outcome.totals) == {"pages", *counts}
    assert outcome.json["pass"] == "verify"
    (page,) = outcome.json["pages"]
    assert set(page) == {"page_id", "status", "complete", "remedy", "error", "warnings", "customers", *counts}
    assert all(set(one) == {"psid", "id", "problem", "reason", "next_step"} for one in page["customers"])
    assert (outcome.code, outcome.json["exit_code"], page["missing"], page["status"]) == (1, 1, 3, "differs")


def test_quick(sandbox: StartSandbox, run: Command) -> None:
    """`--quick` compares two counts a page; a higher one in FolkForm can be allowed."""
    box = sandbox(pages=2, customers=20)
    fill_folkform(box)
    box.requests.clear()
    outcome = run(box, "verify", "--quick", "--json")
    assert (outcome.code, outcome.json["status"], outcome.totals["requests"]) == (0, "ok", 1 + 2 * 2)
    assert set(outcome.totals) == {"pages", "pancake", "folkform", "requests"}
    page_id = box.pancake.page_ids()[0]
    box.folkform.delete(page_id, box.pancake.customers(page_id)[0]["psid"])
    assert run(box, "verify", "--quick", "--allow-extra").code == 1
    outcome = run(box, "verify", "--quick", "--json")
    page = outcome.page(page_id)
    assert (outcome.code, page["status"], page["pancake"], page["folkform"]) == (1, "differs", 20, 19)
    for psid in ("extra1", "extra2"):
        box.folkform.upsert({**person(psid, 90), "page_id": page_id})
    assert [run(box, "verify", "--quick", *more).code for more in ([], ["--allow-extra"])] == [1, 0]


def test_quick_without_a_total(sandbox: StartSandbox, run: Command) -> None:
    """`--quick` fails if Pancake reports no total."""
    outcome = run(sandbox(customers=3, total=False), "verify", "--quick", "--json")
    (page,) = outcome.json["pages"]
    assert (outcome.code, page["status"]) == (1, "failed")
    assert "--quick" in page["error"]


# What it does not touch, and how it ends


def test_it_only_reads(sandbox: StartSandbox, run: Command, tmp_path: Path) -> None:
    """It makes no page token, even for a page whose token Pancake refuses, and no lock directory."""
    box = sandbox(pages=2, customers=10)
    good, dead = box.pancake.page_ids()
    box.folkform.set_page(dead, pageAccessToken="a-token-that-is-dead")
    token = box.pancake.page_token(dead)
    outcome = run(box, "verify", "--json", CUSTOMER_SYNC_LOCK_DIR=str(tmp_path / "none"))
    assert (outcome.code, outcome.page(dead)["status"], outcome.page(good)["status"]) == (1, "failed", "differs")
    assert "customer-sync check" in outcome.page(dead)["error"]
    assert {request.method for request in box.requests.recent} == {"GET"}
    assert (box.pancake.page_token(dead), writes(box)) == (token, 0)
    for command in ("verify", "status"):
        assert run(box, command, "--page", dead, CUSTOMER_SYNC_LOCK_DIR=str(tmp_path / "none")).code == 3
    assert not (tmp_path / "none").exists()
    assert run(box, "verify", "--page", "unknown").code == 2


def test_a_page_switched_off(sandbox: StartSandbox, run: Command) -> None:
    """It is left out unless it is named; then the remedy names it, too."""
    box = sandbox(customers=10)
    box.folkform.set_page(only_page(box), isSync=False)
    assert run(box, "verify", "--json").totals["pages"] == 0
    page = run(box, "verify", "--json", "--page", only_page(box)).page(only_page(box))
    assert (page["missing"], page["remedy"]) == (10, f"customer-sync backfill --page {only_page(box)}")


def test_its_other_exit_codes(sandbox: StartSandbox, run: Command) -> None:
    """3 if FolkForm refuses the token, 75 if it is down or the time limit is reached, 143 after SIGTERM: a part of a
    comparison is worth nothing.
    """
    box = sandbox(customers=300)
    assert run(box, "verify", FOLKFORM_TOKEN="a-token-that-is-wrong").code == 3
    assert run(box, "verify", FOLKFORM_BASE_URL="http://127.0.0.1:9/api/v1", CUSTOMER_SYNC_TIMEOUT="0.2").code == 75
    box.behaviour.pancake_latency = 0.3
    outcome = run(box, "verify", "--json", "--max-runtime", "3s", CUSTOMER_SYNC_PAGE_SIZE="10")
    assert (outcome.code, outcome.json["status"], outcome.json["complete"]) == (75, "stopped", False)
    box.requests.clear()
    process = run.start(box, "verify", "--json", CUSTOMER_SYNC_PAGE_SIZE="10")
    wait_until(lambda: box.requests.count("pancake") > 4)
    process.terminate()
    outcome = run.end(process)
    assert (outcome.code, outcome.json["status"], outcome.json["complete"]) == (143, "interrupted", False)
    assert outcome.totals["missing"] == 0


# What docs/guide-departures.md says of the guide


def test_a_folkform_filled_by_the_guide(sandbox: StartSandbox, run: Command) -> None:
    """The guide, read literally, copies 1,200 of 3,000 customers; verify finds the others, the repair copies them."""
    box = sandbox(dialect="guide", window_precision="exact")
    page_id = only_page(box)
    box.pancake.add_customers(page_id, people(3000, 40 * DAY, 600))
    for job in ("incremental", "backfill") * 2:
        environment = run.environment(box, PAGE_SIZE="30")
        subprocess.run([sys.executable, _GUIDE, job], env=environment, timeout=60, check=True)
    assert len(box.folkform.documents(page_id)) == 1200
    outcome = run(box, "verify", "--json")
    page = outcome.page(page_id)
    assert (outcome.code, page["missing"], page["stale"], page["extra"]) == (1, 1800, 0, 0)
    before = writes(box)
    assert run(box, *page["remedy"].split()[1:]).code == 0
    assert writes(box) - before == 1800
    assert run(box, "verify").code == 0
    assert box.difference().equal
