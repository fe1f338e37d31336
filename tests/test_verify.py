"""`customer-sync verify`: it finds exactly who differs, whatever the damage, and changes nothing."""

import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from customer_sync.results.result import PassResult
from customer_sync.results.verified_page import VerifiedPage
from customer_sync.sandbox import Sandbox
from customer_sync.sync.passes import BACKFILL

from .conftest import (
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
from .in_process import Passes
from .proxy import Passing, Proxy

_GUIDE = Path(__file__).parent / "benchmarks" / "rivals" / "guide.py"
DIALECTS = ["deployed", "guide", "older"]
KINDS = ("missing", "stale", "extra", "duplicate", "malformed")


def found(result: PassResult[VerifiedPage]) -> dict[str, set[str | None]]:
    """Who was named, by kind; the malformed by Pancake's id."""
    problems = [problem for page in result.pages for problem in page.problems]
    return {
        kind: {problem.psid or problem.pancake_id for problem in problems if problem.problem == kind} for kind in KINDS
    }


def differing(box: Sandbox) -> dict[str, set[str | None]]:
    """Who really differs."""
    difference = box.difference()
    return {kind: set(getattr(difference, kind)) for kind in KINDS}


# Random damages


class Damage:
    """One random damage of a FolkForm that holds everybody."""

    def __init__(self, box: Sandbox, seed: int) -> None:
        self._box = box
        self._page_id = only_page(box)
        self._rng = random.Random(seed)
        self._by_time = sorted(box.pancake.customers(self._page_id), key=_time, reverse=True)

    def do(self) -> None:
        """One to three kinds of damage, each at one to three places."""
        for _ in range(self._rng.randint(1, 3)):
            self._rng.choice([self._lose, self._age, self._add])()

    def _some(self) -> list[dict[str, Any]]:
        """The newest, the oldest, a whole span, some of one second, all of one second, or anybody."""
        count = self._rng.choice([1, 1, 2, 7, 60])
        place = self._rng.randrange(len(self._by_time))
        tied = [one for one in self._by_time if _time(one)[:19] == _time(self._by_time[place])[:19]]
        return self._rng.choice(
            [
                self._by_time[:count],
                self._by_time[-count:],
                self._by_time[place : place + count],
                self._rng.sample(tied, min(count, len(tied))),
                tied,
                self._rng.sample(self._by_time, count),
            ]
        )

    def _lose(self) -> None:
        for customer in self._some():
            self._box.folkform.delete(self._page_id, customer["psid"])

    def _age(self) -> None:
        for customer in self._some():
            seconds = self._rng.choice([1, 5, 4000, 40 * DAY])
            previous = ago(60 + seconds) if self._rng.random() < 0.2 else "2019-08-24T14:15:22"
            self._box.folkform.upsert({**customer, "page_id": self._page_id, "updated_at": previous})

    def _add(self) -> None:
        for customer in self._some():
            psid = f"extra-{self._rng.randrange(10**9)}"
            self._box.folkform.upsert({**customer, "page_id": self._page_id, "psid": psid, "id": psid})


def _time(customer: dict[str, Any]) -> str:
    return str(customer["updated_at"])


def _crowd() -> list[dict[str, Any]]:
    """100 customers: some alone, some in seconds of three, and of thirty, which is more than an answer holds."""
    alone = people(25, 60, 100_000, "alone")
    tied = [person(f"tied{number:03}", 5_000 + 150_000 * (number // 3)) for number in range(15)]
    crowds = [person(f"crowd{number:03}", 100_000 * (1 + number // 30), notes=[number]) for number in range(60)]
    for customer in (*tied, *crowds):
        customer["updated_at"] = f"{customer['updated_at'][:19]}.{random.Random(customer['psid']).randrange(10**6):06}"
    return [*alone, *tied, *crowds]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_200_random_damages(sandbox: StartSandbox, passes: Passes, dialect: str) -> None:
    """Whoever is lost, aged or extra is found, and nobody else; `--full` heals it with as many writes as needed, which
    is tried of every sixth.
    """
    box = sandbox(dialect=dialect, page_size_cut=25)
    passes.environment["CUSTOMER_SYNC_PAGE_SIZE"] = "25"
    box.pancake.add_customers(only_page(box), _crowd())
    for seed in range(200 // len(DIALECTS) + 1):
        box.folkform.delete(only_page(box))
        fill_folkform(box)
        Damage(box, seed).do()
        damage = differing(box)
        result = passes.verify(box)
        assert found(result) == damage, f"seed {seed}"
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
    """Whatever the window looks at, and whether or not totals are told, exactly those who differ are found."""
    box = sandbox(window=window, total=total, window_precision="exact")
    box.pancake.add_customers(only_page(box), _crowd())
    fill_folkform(box)
    Damage(box, 7).do()
    assert found(passes.verify(box)) == differing(box)
    assert any(differing(box).values())


# Both sides live


def test_changes_during_the_comparison_are_no_findings(sandbox: StartSandbox, run: Command) -> None:
    """Customers who change while both sides are read, three after every answer, are left to the passes."""
    box = sandbox(customers=600)
    fill_folkform(box)
    lost = box.pancake.customers(only_page(box))[-1]["psid"]
    box.folkform.delete(only_page(box), lost)
    box.behaviour.changes_per_list = 3
    outcome = run(box, "verify", "--json", "--page-size", "20")
    assert {one["psid"] for one in outcome.page(only_page(box))["customers"]} <= {lost}
    assert len(box.difference().stale) > 50


def test_a_pass_beside_it(sandbox: StartSandbox, run: Command) -> None:
    """What a pass brings between the two looks is no finding."""
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


def test_it_ends_on_a_busy_page(sandbox: StartSandbox, run: Command) -> None:
    """Where everybody is missing and somebody changes all the time it still comes to an end, and names them."""
    box = sandbox(customers=300)
    with _changing(box):
        outcome = run(box, "verify", "--json")
    assert outcome.code == 1
    assert outcome.totals["missing"] > 250


@contextmanager
def _changing(box: Sandbox) -> Iterator[None]:
    """Somebody changes every third of a second."""
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
    """However far this machine's clock is off, exactly those who differ are found, and the clock is told."""
    box = sandbox(pancake_clock_offset=3600.0 * hours)
    page_id = only_page(box)
    box.pancake.add_customers(page_id, people(120, 60 - 3600 * hours, 600))
    fill_folkform(box)
    for psid in ("p0000", "p0060"):
        box.folkform.delete(page_id, psid)
    result = passes.verify(box)
    assert found(result)["missing"] == {"p0000", "p0060"}
    assert found(result)["extra"] == set()
    assert any("clock is" in warning for warning in result.pages[0].warnings)


def test_an_answer_that_leaves_somebody_out(
    sandbox: StartSandbox, passes: Passes, in_between: Callable[[Sandbox], Proxy]
) -> None:
    """Pancake lists nobody where its own total counts many, and no walk can tell: that is not taken for equal."""
    box = sandbox(customers=300, window="ignored")
    fill_folkform(box)
    proxy = in_between(box)

    def emptied(passing: Passing) -> bytes | None:
        # Before it are the count, the first answer, and the same again when the window turns out to be ignored.
        is_second = "page_customers" in passing.path and proxy.counts["page_customers"] >= 4
        return b'{"success": true, "total": 300, "customers": []}' if is_second else None

    proxy.before = emptied
    result = passes.verify(proxy)
    assert (result.exit_code, result.pages[0].unlisted) == (1, 200)
    assert "has not listed 200 of them" in result.pages[0].warnings[-1]


# Strange documents and customers


def test_documents_without_a_psid(sandbox: StartSandbox, passes: Passes) -> None:
    """Documents that nobody can be found by are told, with how many there are."""
    box = sandbox(customers=60)
    fill_folkform(box)
    box.folkform.store({"pageId": only_page(box), "panCakeData": {}, "panCakeUpdatedAt": 5})
    (problem,) = passes.verify(box).pages[0].problems
    assert (problem.problem, problem.reason) == ("extra", "FolkForm holds 1 documents without a psid or an id")


def test_a_psid_too_long_to_be_asked_for(sandbox: StartSandbox, passes: Passes) -> None:
    """It hides nobody else."""
    box = sandbox(customers=60)
    box.pancake.add_customer(only_page(box), person("x" * 5000, 90))
    assert len(found(passes.verify(box))["missing"]) == 61


@pytest.mark.parametrize("dialect", DIALECTS)
def test_documents_without_a_time(sandbox: StartSandbox, passes: Passes, dialect: str) -> None:
    """Another writer's documents without a time are compared, too: by version, and whether Pancake has them at all."""
    box = sandbox(customers=60, dialect=dialect)
    fill_folkform(box)
    page_id = only_page(box)
    same, aged = box.pancake.customers(page_id)[10:12]
    times = {"updatedAt": 0, "panCakeUpdatedAt": 0} if dialect == "deployed" else {"updatedAt": 0}
    for psid, data in (
        (same["psid"], {**same, "page_id": page_id}),
        (aged["psid"], {"psid": aged["psid"], "updated_at": None}),
        ("nobody", {"psid": "nobody"}),
    ):
        box.folkform.store({"psid": psid, "pageId": page_id, "panCakeData": data, **times})
    result = passes.verify(box)
    assert found(result) == {
        "missing": set(),
        "stale": {aged["psid"]},
        "extra": {"nobody"},
        "duplicate": set(),
        "malformed": set(),
    }
    assert (result.totals["pancake"], result.totals["folkform"]) == (60, 61)


def test_malformed_customers(sandbox: StartSandbox, run: Command) -> None:
    """They are listed by Pancake's id, count as no finding, and make nobody extra whom FolkForm holds from before."""
    box = sandbox(customers=5)
    fill_folkform(box)
    page_id = only_page(box)
    box.pancake.add_customer(page_id, {**person("a", 90), "id": None})
    box.pancake.add_customer(page_id, {**person("b", 90), "updated_at": "long ago"})
    box.folkform.upsert({**person("b", 900), "page_id": page_id})
    outcome = run(box, "verify", "--json")
    assert (outcome.code, outcome.totals["malformed"], outcome.totals["extra"]) == (0, 2, 0)
    assert {(one["psid"], one["problem"]) for one in outcome.page(page_id)["customers"]} == {
        ("a", "malformed"),
        ("b", "malformed"),
    }


# Records of FolkForm that are not one to one


def _adds_up(page: VerifiedPage) -> None:
    """Whatever was found, both sides are accounted for."""
    listed = page.pancake - page.malformed
    assert listed - page.missing + page.extra + page.duplicate == page.folkform
    assert len(page.problems) == page.missing + page.stale + page.extra + page.duplicate + page.malformed


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("at_once", [False, True])
def test_duplicates(sandbox: StartSandbox, passes: Passes, dialect: str, at_once: bool) -> None:
    """A second record is a finding with both ids, the newer first; missing and stale are judged by the newer one."""
    box = sandbox(dialect=dialect)
    page_id = only_page(box)
    customers = people(80, 60, 60)
    box.pancake.add_customers(page_id, customers)
    fill_folkform(box)
    for number in (3, 40, 70):
        age = 0 if at_once else 500 * DAY
        older = {**customers[number], "id": f"other {number}", "page_id": page_id}
        box.folkform.insert(older if at_once else {**older, "updated_at": ago(age)})
    box.pancake.change_customer(page_id, "p0070", {"updated_at": ago(30)})
    result = passes.verify(box)
    (page,) = result.pages
    expected = {"p0003", "p0040", "p0070"}
    named = found(result)
    assert named == differing(box)
    assert (named["duplicate"], named["stale"], named["missing"]) == (expected, {"p0070"}, set())
    assert result.exit_code == 1
    _adds_up(page)
    if not at_once:
        (problem,) = (one for one in page.problems if (one.problem, one.psid) == ("duplicate", "p0003"))
        ids = [
            document["id"]
            for document in sorted(box.folkform.documents(page_id), key=lambda one: one["panCakeData"]["updated_at"])
            if document["psid"] == "p0003"
        ]
        assert problem.reason.index(ids[1]) < problem.reason.index(ids[0])


def test_three_records_of_one_psid(sandbox: StartSandbox, passes: Passes) -> None:
    """Each record that is one too many is a finding; whom Pancake does not list is extra besides."""
    box = sandbox()
    page_id = only_page(box)
    box.pancake.add_customers(page_id, people(5, 60, 60))
    fill_folkform(box)
    for number in range(3):
        box.folkform.insert(person("gone", DAY * (number + 1), id=f"gone {number}", page_id=page_id))
        box.folkform.insert(person("p0001", DAY * (number + 1), id=f"more {number}", page_id=page_id))
    (page,) = passes.verify(box).pages
    assert (page.duplicate, page.extra, page.missing) == (5, 1, 0)
    _adds_up(page)


def test_a_duplicate_without_a_time(sandbox: StartSandbox, passes: Passes) -> None:
    """Another writer's record without a time, beside the right one, makes nobody extra."""
    box = sandbox(customers=30)
    fill_folkform(box)
    page_id = only_page(box)
    one = box.pancake.customers(page_id)[7]
    box.folkform.insert({**one, "id": "webhook", "updated_at": None, "page_id": page_id})
    (page,) = passes.verify(box).pages
    assert [(problem.problem, problem.psid) for problem in page.problems] == [("duplicate", one["psid"])]
    _adds_up(page)


def test_without_a_psid(sandbox: StartSandbox, passes: Passes) -> None:
    """Customers without a psid are found again by Pancake's id, and named by it."""
    box = sandbox()
    page_id = only_page(box)
    nobodies = [
        one | {"psid": None if number % 2 else 7000 + number} for number, one in enumerate(people(6, 60, 60, "x"))
    ]
    box.pancake.add_customers(page_id, [*people(60, 600, 60), *nobodies])
    fill_folkform(box)
    assert passes.verify(box).exit_code == 0
    box.folkform.delete_by_id(str((box.folkform.document(page_id, "id-x0001") or {})["id"]))
    box.pancake.change_customer(page_id, "id-x0003", {"updated_at": ago(30)})
    box.pancake.remove_customer(page_id, "id-x0005")
    result = passes.verify(box)
    assert found(result) == differing(box)
    assert {(one.problem, one.psid, one.pancake_id) for one in result.pages[0].problems} == {
        ("missing", None, "id-x0001"),
        ("stale", None, "id-x0003"),
        ("extra", None, "id-x0005"),
    }
    _adds_up(result.pages[0])


def test_no_psid_at_all(sandbox: StartSandbox, passes: Passes) -> None:
    """A document of an older server that has no psid, not even an empty one, is found by its id."""
    box = sandbox(customers=30)
    fill_folkform(box)
    page_id = only_page(box)
    box.folkform.store({"customerId": "x", "pageId": page_id, "panCakeData": {"id": "x"}, "panCakeUpdatedAt": 0})
    (problem,) = passes.verify(box).pages[0].problems
    assert (problem.problem, problem.pancake_id) == ("extra", "x")


def test_a_psid_that_came_later(sandbox: StartSandbox, passes: Passes) -> None:
    """The earlier record of the same customer is stale, not extra: the remedy updates it."""
    box = sandbox()
    page_id = only_page(box)
    box.pancake.add_customers(page_id, [*people(60, 600, 60), person("x", 300) | {"psid": None}])
    fill_folkform(box)
    box.pancake.change_customer(page_id, "id-x", {"psid": "now", "updated_at": ago(60)})
    result = passes.verify(box)
    assert {(one.problem, one.psid) for one in result.pages[0].problems} == {("stale", "now")}
    assert passes(box, BACKFILL, full=True).exit_code == 0
    assert passes.verify(box).exit_code == 0
    assert len(box.folkform.documents(page_id)) == 61


@pytest.mark.parametrize("psid", ["p", None])
def test_an_id_that_another_page_has(sandbox: StartSandbox, run: Command, psid: str | None) -> None:
    """The record that is in the way is named, and no command is promised to help."""
    box = sandbox()
    page_id = only_page(box)
    box.folkform.upsert(person("theirs", 60, id="id-p", page_id="another"))
    box.pancake.add_customers(page_id, [*people(3, 600, 60), person("p", 300) | {"psid": psid}])
    assert run(box, "incremental").code == 1
    outcome = run(box, "verify", "--json")
    (problem,) = outcome.page(page_id)["customers"]
    assert (problem["problem"], problem["id"]) == ("missing", "id-p")
    assert "FolkForm holds Pancake's id id-p as psid theirs of page another" in problem["reason"]
    assert (outcome.code, outcome.page(page_id)["remedy"], outcome.page(page_id)["warnings"]) == (1, None, [])


def test_psids_that_hardly_fit_a_request(sandbox: StartSandbox, passes: Passes) -> None:
    """Psids of any length and any characters are looked up in requests that FolkForm takes."""
    box = sandbox()
    page_id = only_page(box)
    odd = [person(f'{"🍜$" * (number % 40)}"{number}', 100 * number + 60) for number in range(120)]
    box.pancake.add_customers(page_id, [*odd, *people(3000, 60, 600)])
    fill_folkform(box)
    for customer in odd:
        box.folkform.delete(page_id, customer["psid"])
    assert found(passes.verify(box))["missing"] == {customer["psid"] for customer in odd}


# What it costs


def _costs(box: Sandbox, passes: Passes) -> tuple[int, int]:
    """Requests to Pancake and to FolkForm of one comparison."""
    box.requests.clear()
    passes.verify(box)
    return box.requests.count("pancake"), box.requests.count("folkform")


def test_its_cost(sandbox: StartSandbox, passes: Passes) -> None:
    """n customers cost n/100 + n/1000 requests and a few; findings cost one for fifty, and by id for thirty."""
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


def test_memory_does_not_grow_with_the_history(sandbox: StartSandbox, run: Command) -> None:
    """Ten times as many customers take no more memory to be compared, where nothing differs."""

    def peak(customers: int) -> int:
        box = sandbox(customers=customers)
        fill_folkform(box)
        process = run.start(box, "verify", "-q")
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        return usage.ru_maxrss

    assert peak(8_000) < 1.15 * peak(800)


# What it says


def test_it_says_what_it_will_cost(sandbox: StartSandbox, run: Command) -> None:
    """Before it starts it tells how many customers, requests and minutes there are to come."""
    box = sandbox(customers=250)
    fill_folkform(box)
    outcome = run(box, "verify")
    assert outcome.code == 0
    first = outcome.err.splitlines()[0]
    assert "comparing about 250 customers: 4 requests to Pancake, 1 to FolkForm, less than a minute" in first
    assert (
        "verify: ok, 1 page, 250 in Pancake, 250 in FolkForm: 0 missing, 0 stale, 0 extra, 0 malformed" in outcome.out
    )


def test_it_says_how_many_minutes_a_limit_takes(sandbox: StartSandbox, run: Command) -> None:
    """Where Pancake's pace makes it long the minutes are told."""
    box = sandbox(customers=120)
    fill_folkform(box)
    process = run.start(box, "verify", "--page-size", "1", "--pancake-rps", "1")
    assert process.stderr
    assert "comparing about 120 customers: 121 requests to Pancake, 1 to FolkForm, about 3 min" in (
        process.stderr.readline()
    )


def test_it_names_who_differs_and_the_remedy(sandbox: StartSandbox, run: Command) -> None:
    """Each is named by psid and page with both versions, and the command that mends it; then that command does."""
    box = sandbox()
    page_id = only_page(box)
    box.pancake.add_customers(page_id, people(300, 60, 40_000))
    fill_folkform(box)
    box.folkform.delete(page_id, "p0200")
    outcome = run(box, "verify")
    version = box.pancake.customers(page_id)[200]["updated_at"]
    assert outcome.code == 1
    assert f"Page {page_id}, psid p0200 missing: missing in FolkForm (Pancake version {version})" in outcome.err
    assert "verify: differs, 1 page, 300 in Pancake, 299 in FolkForm: 1 missing, 0 stale, 0 extra" in outcome.out
    remedy = (
        f"run customer-sync backfill --page {page_id} to copy the 1 missing or stale customers (changed {version[:4]}-"
    )
    assert remedy in outcome.err
    page = run(box, "verify", "--json").page(page_id)
    assert page["remedy"] == f"customer-sync backfill --page {page_id}"
    assert run(box, *page["remedy"].split()[1:]).code == 0
    assert run(box, "verify", "-q").output == ""


def test_what_the_next_incremental_brings(sandbox: StartSandbox, run: Command) -> None:
    """When all that differs is recent, the remedy is the pass that runs every five minutes."""
    box = sandbox()
    page_id = only_page(box)
    box.pancake.add_customers(page_id, people(300, 60, 40_000))
    fill_folkform(box)
    box.folkform.delete(page_id, "p0010")
    page = run(box, "verify", "--json").page(page_id)
    assert page["remedy"] == "customer-sync incremental"
    assert run(box, "incremental").code == 0
    assert run(box, "verify").code == 0


def test_extra_customers(sandbox: StartSandbox, run: Command) -> None:
    """Whom only FolkForm holds counts as a finding unless `--allow-extra`; either way she is named."""
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
    counts = {*KINDS, "pancake", "folkform", "requests"}
    assert set(outcome.totals) == {"pages", *counts}
    assert outcome.json["pass"] == "verify"
    (page,) = outcome.json["pages"]
    assert set(page) == {"page_id", "status", "complete", "remedy", "error", "warnings", "customers", *counts}
    assert all(set(one) == {"psid", "id", "problem", "reason"} for one in page["customers"])
    assert (outcome.code, outcome.json["exit_code"], page["missing"], page["status"]) == (1, 1, 3, "differs")


def test_quick(sandbox: StartSandbox, run: Command) -> None:
    """`--quick` compares two counts a page, says so, and claims nothing about versions."""
    box = sandbox(pages=2, customers=20)
    fill_folkform(box)
    box.requests.clear()
    outcome = run(box, "verify", "--quick")
    assert outcome.code == 0
    assert "40 in Pancake, 40 in FolkForm: counts agree, versions not compared" in outcome.out
    assert box.requests.count() == 1 + 2 * 2
    page_id = box.pancake.page_ids()[0]
    box.folkform.delete(page_id, box.pancake.customers(page_id)[0]["psid"])
    outcome = run(box, "verify", "--quick")
    assert outcome.code == 1
    assert "counts differ, versions not compared" in outcome.out
    assert f"customer-sync verify --page {page_id} tells who differs" in outcome.err
    assert run(box, "verify", "--quick", "--allow-extra").code == 1
    box.folkform.upsert({**person("extra1", 90), "page_id": page_id})
    box.folkform.upsert({**person("extra2", 90), "page_id": page_id})
    outcomes = [run(box, "verify", "--quick"), run(box, "verify", "--quick", "--allow-extra")]
    assert [outcome.code for outcome in outcomes] == [1, 0]
    assert "merged or deleted in Pancake counts in FolkForm only" in outcomes[0].err
    assert set(run(box, "verify", "--quick", "--json").totals) == {"pages", "pancake", "folkform", "requests"}


def test_quick_without_a_total(sandbox: StartSandbox, run: Command) -> None:
    """Where Pancake tells no total, `--quick` says that it cannot tell."""
    box = sandbox(customers=3, total=False)
    outcome = run(box, "verify", "--quick")
    assert outcome.code == 1
    assert "Run verify without --quick." in outcome.err


# What it leaves alone, and how it ends


def test_it_changes_nothing_and_makes_no_token(sandbox: StartSandbox, run: Command) -> None:
    """It only reads; a page whose token Pancake refuses is told with a way out, and its token is left as it is."""
    box = sandbox(pages=2, customers=10)
    good, dead = box.pancake.page_ids()
    box.folkform.set_page(dead, pageAccessToken="a-token-that-is-dead")
    token = box.pancake.page_token(dead)
    outcome = run(box, "verify")
    assert outcome.code == 1
    assert "and this command makes no new one" in outcome.err
    assert "Let customer-sync incremental make one" in outcome.err
    assert {request.method for request in box.requests.recent} == {"GET"}
    assert (box.pancake.page_token(dead), writes(box)) == (token, 0)
    assert run(box, "verify", "--page", good).code == 1
    assert run(box, "verify", "--page", "nobodys").code == 2


def test_an_answer_that_is_not_whole_is_none(sandbox: StartSandbox, run: Command) -> None:
    """A time limit that ends it is exit 75, and what was not compared to its end is told so, not as zeros."""
    box = sandbox(customers=300, pancake_latency=0.5)
    outcome = run(box, "verify", "--page-size", "10", "--max-runtime", "3s")
    assert outcome.code == 75
    assert "not compared to its end" in outcome.err
    assert "1 page not compared to the end" in outcome.out


def test_it_makes_no_lock(sandbox: StartSandbox, run: Command, tmp_path: Path) -> None:
    """It needs no lock directory and makes none, whatever becomes of a token."""
    box = sandbox(customers=3)
    box.folkform.set_page(only_page(box), pageAccessToken="a-token-that-is-dead")
    for command in ("verify", "status"):
        assert run(box, command, CUSTOMER_SYNC_LOCK_DIR=str(tmp_path / "none")).code == 3
    assert not (tmp_path / "none").exists()


def test_a_page_switched_off(sandbox: StartSandbox, run: Command) -> None:
    """A page that is off is left out, unless it is named, and then the remedy names it, too."""
    box = sandbox(customers=10)
    box.folkform.set_page(only_page(box), isSync=False)
    assert run(box, "verify", "--json").totals["pages"] == 0
    page = run(box, "verify", "--json", "--page", only_page(box)).page(only_page(box))
    assert (page["missing"], page["remedy"]) == (10, f"customer-sync backfill --page {only_page(box)}")


def test_its_other_exit_codes(sandbox: StartSandbox, run: Command) -> None:
    """3 when FolkForm refuses us, 75 when it is not there, 143 when told to end; nothing is claimed then."""
    box = sandbox(customers=300)
    assert run(box, "verify", FOLKFORM_TOKEN="a-token-that-is-wrong").code == 3
    assert run(box, "verify", FOLKFORM_BASE_URL="http://127.0.0.1:9/api/v1", CUSTOMER_SYNC_TIMEOUT="0.2").code == 75
    box.behaviour.pancake_latency = 0.3
    process = run.start(box, "verify", "--json", "--page-size", "10")
    wait_until(lambda: box.requests.count("pancake") > 4)
    process.terminate()
    outcome = run.end(process)
    assert (outcome.code, outcome.json["status"], outcome.json["complete"]) == (143, "interrupted", False)
    assert outcome.totals["missing"] == 0


# The story that README tells


def test_a_folkform_filled_by_the_guide_read_literally(sandbox: StartSandbox, run: Command) -> None:
    """Of 3,000 customers 1,200 arrive and the rest is never asked for again; verify finds it, the repair heals it."""
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
