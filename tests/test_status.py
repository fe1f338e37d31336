"""`customer-sync status`: the state of every page, for people and for programs."""

import math
import os
import re
import signal
import time
from typing import Any

import pytest
from rich.cells import cell_len

from customer_sync.core.clock import Clock
from customer_sync.core.locks import PageLocks
from customer_sync.core.page import Page
from customer_sync.results.page_status import PageStatus
from customer_sync.sandbox import Fault, Sandbox
from customer_sync.sandbox.times import microseconds

from .conftest import (
    DAY,
    Command,
    StartSandbox,
    fill_folkform,
    forbidden,
    of_page,
    on_a_terminal,
    only_page,
    people,
    person,
    wait_until,
    without_colours,
)

DIALECTS = ["deployed", "guide", "older"]
_GREEN, _YELLOW, _RED, _DIM = "\x1b[32m", "\x1b[33m", "\x1b[31m", "\x1b[2m"


def _status(run: Command, box: Sandbox, **environment: str) -> dict[str, Any]:
    """What `--json` says of the only page; the exit code is 0."""
    outcome = run(box, "status", "--json", **environment)
    assert outcome.code == 0
    return outcome.page(only_page(box))


def _requests(box: Sandbox, service: str, page_id: str) -> int:
    return sum(1 for request in box.requests.recent if (request.service, request.page_id) == (service, page_id))


def _reads_only(box: Sandbox) -> bool:
    return {request.method for request in box.requests.recent} == {"GET"}


def _seconds(box: Sandbox, page_id: str) -> list[int]:
    """The seconds of a page's customers in Pancake, ascending."""
    times = [microseconds(customer["updated_at"]) for customer in box.pancake.customers(page_id)]
    return sorted(math.floor(moment / 1_000_000) for moment in times if moment is not None)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("found", ["list", "items"])
def test_equal_sides(sandbox: StartSandbox, run: Command, dialect: str, found: str) -> None:
    """Times, counts and coverage are right in every dialect, at four requests a page."""
    box = sandbox(pages=2, customers=130, dialect=dialect, found=found)
    fill_folkform(box)
    outcome = run(box, "status", "--json")
    assert (outcome.code, outcome.json["status"], outcome.json["pass"]) == (0, "ok", "status")
    for page_id in box.pancake.page_ids():
        page, seconds = outcome.page(page_id), _seconds(box, page_id)
        assert (page["newest"], page["oldest"], page["lag_s"]) == (seconds[-1], seconds[0], 0)
        assert (page["pancake"], page["folkform"], page["coverage"]) == (130, 130, 1.0)
        assert (page["on"], page["status"], page["remedy"], page["locks"]) == (True, "ok", None, [])
        assert (_requests(box, "folkform", page_id), _requests(box, "pancake", page_id)) == (3, 1)
        assert page["requests"] == 4
    totals = outcome.totals
    assert (totals["pages"], totals["pancake"], totals["folkform"]) == (2, 260, 260)
    assert totals["requests"] == box.requests.count()
    assert _reads_only(box)


def test_json_has_the_frame_of_the_passes(sandbox: StartSandbox, run: Command) -> None:
    """`--json` prints one object of exactly the documented shape."""
    box = sandbox(customers=3)
    outcome = run(box, "status", "--json")
    assert outcome.out.count("\n") == 1
    assert list(outcome.json) == [
        *("pass", "status", "complete", "exit_code", "dry_run", "shard", "started_at", "duration_s"),
        *("totals", "error", "stopped", "warnings", "pages"),
    ]
    assert set(outcome.totals) == {"pages", "pancake", "folkform", "requests"}
    assert set(outcome.page(only_page(box))) == {
        *("page_id", "name", "on", "status", "complete", "newest", "oldest", "lag_s", "waiting", "waiting_since"),
        *("missing", "coverage", "locks", "remedy"),
        *("pancake", "folkform", "requests", "error", "warnings", "customers"),
    }


_URGENCY = ("refused", "empty", "behind", "incomplete", "fine", "off")
"""The kinds of damaged pages, as they are sorted."""


def _damaged(start: StartSandbox) -> tuple[Sandbox, dict[str, str]]:
    """Six pages, each damaged in its way; their ids by the damage."""
    box = start(pages=6)
    pages = dict(zip(_URGENCY, box.pancake.page_ids(), strict=True))
    for page_id in pages.values():
        box.pancake.add_customers(page_id, of_page(page_id, people(120, 3600, DAY)))
    fill_folkform(box)
    box.pancake.add_customers(pages["behind"], of_page(pages["behind"], people(3, 600, 60, "new")))
    for number in range(60, 120):
        box.folkform.delete(pages["incomplete"], f"p{number:04}")
    box.folkform.set_page(pages["refused"], pageAccessToken="a-token-that-is-wrong", accessToken="")
    box.folkform.delete(pages["empty"])
    box.folkform.set_page(pages["off"], isSync=False)
    return box, pages


def test_damaged_pages(sandbox: StartSandbox, run: Command) -> None:
    """Failed pages come first, then the empty one, then the furthest behind; each has its command."""
    box, pages = _damaged(sandbox)
    outcome = run(box, "status", "--json")
    assert (outcome.code, outcome.json["status"]) == (1, "partial")
    assert [page["page_id"] for page in outcome.json["pages"]] == [pages[damage] for damage in _URGENCY]
    facts = {damage: outcome.page(page_id) for damage, page_id in pages.items()}
    assert {damage: page["remedy"] for damage, page in facts.items()} == {
        **dict.fromkeys(("fine", "refused", "off")),
        "behind": "customer-sync incremental",
        "incomplete": "customer-sync backfill",
        "empty": "customer-sync backfill",
    }
    assert 720 <= facts["behind"]["lag_s"] < 780
    assert [facts[damage]["waiting"] for damage in _URGENCY] == [None, None, 3, 0, 0, None]
    assert [facts[damage]["missing"] for damage in _URGENCY] == [None, 120, 0, 60, 0, None]
    assert abs(time.time() - 720 - facts["behind"]["waiting_since"]) < 60
    assert [facts[damage]["coverage"] for damage in ("incomplete", "empty", "fine")] == [0.5, 0.0, 1.0]
    assert [facts["empty"][name] for name in ("newest", "oldest", "lag_s")] == [None, None, None]
    refused = facts["refused"]
    assert (refused["status"], refused["folkform"], refused["pancake"], refused["coverage"]) == (
        *("failed", 120),
        *(None, None),
    )
    assert refused["newest"] > refused["oldest"]
    assert _reads_only(box)


def test_pages_that_are_off(sandbox: StartSandbox, run: Command) -> None:
    """A page that is off is listed without a request; with `--page` it is asked, and named to its remedy."""
    box = sandbox(customers=3)
    page_id = only_page(box)
    box.folkform.set_page(page_id, isSync=False)
    page = _status(run, box)
    assert (page["status"], page["on"], page["requests"], page["folkform"]) == ("off", False, 0, None)
    assert not [request for request in box.requests.recent if request.page_id == page_id]
    fill_folkform(box)
    box.pancake.add_customer(page_id, person("new", 60))
    page = run(box, "status", "--json", "--page", page_id).page(page_id)
    assert (page["status"], page["on"], page["folkform"], page["waiting"]) == ("ok", False, 3, 1)
    assert page["remedy"] == f"customer-sync incremental --page {page_id}"


def test_lines(sandbox: StartSandbox, run: Command) -> None:
    """Piped, stdout has a line per page, then the next steps, then the total, without a colour code."""
    box, pages = _damaged(sandbox)
    outcome = run(box, "status", TERM="xterm-256color")
    lines = outcome.out.splitlines()
    assert len(lines) == 6 + 2 + 1
    assert "\x1b" not in outcome.output
    states = ("failed", "empty", "12 min behind (3 waiting)", "60 missing", "counts agree", "off")
    for line, damage, state in zip(lines, _URGENCY, states, strict=False):
        assert f"({pages[damage]}): {state}" in line
    assert "2 pages" in lines[6]
    assert "customer-sync backfill" in lines[6]
    assert "customer-sync incremental" in lines[7]
    assert lines[8].startswith("status: partial, 6 pages (1 off), in FolkForm 62 % (300 of 483), ")
    assert ", 180 missing, 3 waiting 12 min, 1 page unknown; " in lines[8]
    assert f"Page {pages['refused']} failed: " in outcome.err


def test_more_are_waiting_than_one_batch_holds(sandbox: StartSandbox, run: Command) -> None:
    """If the first batch does not reach FolkForm's newest customer, the first that waits is unknown."""
    box = sandbox()
    box.pancake.add_customers(only_page(box), people(150, 3600, 60))
    box.folkform.upsert({**box.pancake.customers(only_page(box))[120], "page_id": only_page(box)})
    page = _status(run, box)
    assert (page["waiting"], page["waiting_since"], page["lag_s"]) == (100, None, None)
    out = run(box, "status").out
    assert "49 missing (100+ waiting)" in out
    assert "100+ waiting;" in out


def test_all_customers_are_waiting(sandbox: StartSandbox, run: Command) -> None:
    """Where the whole list was read, the oldest that waits is known."""
    box = sandbox()
    box.folkform.upsert({**person("gone", DAY), "page_id": only_page(box)})
    box.pancake.add_customers(only_page(box), people(3, 600, 60))
    page = _status(run, box)
    assert page["waiting"] == 3
    assert 720 <= page["lag_s"] < 780


@pytest.mark.parametrize("offset", [0.0, 7200.0])
def test_customers_that_changed_a_moment_ago(sandbox: StartSandbox, run: Command, offset: float) -> None:
    """They wait, by Pancake's clock, for the next scheduled incremental: the page is neither behind nor in order."""
    box = sandbox(pancake_clock_offset=offset)
    page_id = only_page(box)
    box.pancake.add_customers(page_id, people(30, 6 * 3600 - offset, 60))
    fill_folkform(box)
    box.pancake.add_customers(page_id, people(10, 1 - offset, 0.01, "new"))
    page = _status(run, box)
    assert (page["waiting"], page["missing"], page["remedy"]) == (10, 0, None)
    assert 1 <= page["lag_s"] < 60
    lines = run(box, "status").out.splitlines()
    assert len(lines) == 2
    for line in lines:
        assert re.search(r"\b10 waiting \d+ s\b", line)
        assert not re.search("behind|counts agree|ok", line)
    shown = on_a_terminal(run.environment(box), "status")[1]
    assert f"{_GREEN}10 waiting" in shown


def test_a_page_that_lacks_customers_is_not_up_to_date(sandbox: StartSandbox, run: Command) -> None:
    """37 % with all new customers there is the number that is missing, on the page and in the sum."""
    box = sandbox(customers=100)
    fill_folkform(box)
    in_order = sorted(box.pancake.customers(only_page(box)), key=lambda one: microseconds(one["updated_at"]) or 0)
    for customer in in_order[:63]:
        box.folkform.delete(only_page(box), customer["psid"])
    page, last = (run(box, "status").out.splitlines()[number] for number in (0, -1))
    assert ": 63 missing, newest " in page
    assert last.startswith("status: 1 page, in FolkForm 37 % (37 of 100), 63 missing; ")


def test_the_oldest_of_all_pages(sandbox: StartSandbox, run: Command) -> None:
    """The sum has all waiting customers and the longest wait; pages with a short wait come last."""
    box = sandbox(pages=3)
    late, lacking, recent = box.pancake.page_ids()
    for page_id in (late, lacking, recent):
        box.pancake.add_customers(page_id, of_page(page_id, people(60, 6 * 3600, 60)))
    fill_folkform(box)
    box.pancake.add_customers(late, of_page(late, people(2, 1200, 60, "new")))
    box.pancake.add_customers(recent, of_page(recent, people(5, 20, 1, "new")))
    box.folkform.delete(lacking, "p0050")
    outcome = run(box, "status")
    lines = outcome.out.splitlines()
    for line, page_id in zip(lines, (late, lacking, recent), strict=False):
        assert page_id in line
    assert "1 missing, 7 waiting up to 21 min; " in lines[-1]


def test_times_are_local(sandbox: StartSandbox, run: Command) -> None:
    """The newest and the oldest time are in this machine's zone, with their ages."""
    box = sandbox()
    box.pancake.add_customer(only_page(box), {**person("old", 0), "updated_at": "2026-01-31T17:30:00.9"})
    box.pancake.add_customer(only_page(box), person("new", 305))
    fill_folkform(box)
    text = run(box, "status").out
    assert "oldest 2026-02-01 00:30:00 +07:00 (" in text
    assert re.search(r"newest \d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+07:00 \(5 min ago\)", text)


def test_a_terminal(sandbox: StartSandbox, run: Command) -> None:
    """On a terminal there is a table, the most urgent page on top, in colours that match the states."""
    box, pages = _damaged(sandbox)
    code, shown = on_a_terminal(run.environment(box), "status")
    plain = without_colours(shown)
    assert code == 1
    for word in ("Page", "State", "Newest", "Oldest", "In FolkForm", "60 of 120", "50 %"):
        assert word in plain
    assert "locked" not in plain
    places = [plain.index(pages[damage], plain.index("In FolkForm")) for damage in _URGENCY]
    assert places == sorted(places)
    for coloured in (
        f"{_RED}failed",
        f"{_RED}empty",
        f"{_YELLOW}12 min behind",
        f"{_GREEN}counts agree",
        f"{_DIM}off",
    ):
        assert coloured in shown


_NAMES = {
    "Vietnamese": "Cửa hàng mỹ phẩm thiên nhiên Hương Sen chi nhánh Hoàn Kiếm",
    "double width": "北京烤鸭店上海分店官方旗舰店客户服务中心",
    "hostile": "Mẹ và bé [red]\x1b[31mX\r\nforged",
}


@pytest.mark.parametrize("columns", [50, 60, 80, 110, 180])
def test_a_narrow_terminal(sandbox: StartSandbox, run: Command, columns: int) -> None:
    """The table fits the terminal and loses nothing; only names are folded; control characters are escaped."""
    box = sandbox(pages=len(_NAMES))
    for page_id, name in zip(box.pancake.page_ids(), _NAMES.values(), strict=True):
        box.folkform.set_page(page_id, pageName=name)
        box.pancake.add_customers(page_id, of_page(page_id, people(2, 3600, 60)))
    fill_folkform(box)
    page_ids = box.pancake.page_ids()
    box.pancake.add_customers(page_ids[0], of_page(page_ids[0], people(3, 720, 60, "new")))
    _, shown = on_a_terminal(run.environment(box), "status", columns=columns)
    lines = without_colours(shown).replace("\r", "").splitlines()
    first, last = (next(n for n, line in enumerate(lines) if line.startswith(word)) for word in ("customer-", "1 page"))
    table = lines[first:last]
    assert max(map(cell_len, table)) <= columns
    for page_id in page_ids:
        assert any(page_id in line for line in table)
    joined = re.sub(r"[\s─]+", "", "".join(table))
    words = (
        "mỹ",
        "旗舰",
        "[red]",
        r"\x1b",
        "forged",
        "14min",
        "3waiting",
        "countsagree",
        "100%",
        "2of2",
        "40%",
        "2of5",
    )
    assert not [word for word in words if word not in joined]


def test_columns_without_content(sandbox: StartSandbox, run: Command) -> None:
    """A column that is empty for every page is left out."""
    box = sandbox(pages=2)
    for page_id in box.pancake.page_ids():
        box.folkform.set_page(page_id, isSync=False)
    plain = without_colours(on_a_terminal(run.environment(box), "status")[1])
    assert "State" in plain
    assert not any(title in plain for title in ("Newest", "Oldest", "In FolkForm"))


def test_locked_pages(sandbox: StartSandbox, run: Command) -> None:
    """A run that works on a page is reported with its process and since when, without a remedy or a new file."""
    box = sandbox(pages=2)
    page_id, free = box.pancake.page_ids()
    box.pancake.add_customers(page_id, people(3, 600, 60))
    locks, began = PageLocks(run.lock_dir, Clock(), "backfill"), int(time.time())
    with locks.held("backfill", page_id), locks.held("incremental", page_id):
        files = set(run.lock_dir.iterdir())
        outcome = run(box, "status", "--json")
        (lock,) = outcome.page(page_id)["locks"]
        assert (lock["pass"], lock["pid"]) == ("backfill", os.getpid())
        assert began <= lock["since"] <= time.time()
        assert (outcome.page(page_id)["remedy"], outcome.page(free)["locks"]) == (None, [])
        assert f"locked by backfill (process {os.getpid()}) since " in run(box, "status").out
        plain = without_colours(on_a_terminal(run.environment(box), "status")[1])
        assert re.search(rf"locked by backfill, process {os.getpid()}, \d+ s", plain)
        assert set(run.lock_dir.iterdir()) == files


def test_without_a_total(sandbox: StartSandbox, run: Command) -> None:
    """If Pancake reports no total the coverage is unknown; the lag is known all the same."""
    box = sandbox(customers=10, total=False)
    fill_folkform(box)
    page = _status(run, box)
    assert (page["pancake"], page["folkform"], page["coverage"], page["lag_s"]) == (None, 10, None, 0)
    out = run(box, "status").out
    assert "1 page unknown" in out
    assert "none waiting" in out
    assert "counts agree" not in out


def test_a_page_without_customers(sandbox: StartSandbox, run: Command) -> None:
    """A page without customers on both sides needs no remedy."""
    page = _status(run, sandbox(total=False))
    assert (page["pancake"], page["folkform"], page["remedy"]) == (0, 0, None)


def test_customers_without_a_time(sandbox: StartSandbox, run: Command) -> None:
    """Another writer's records with a time of 0 count as customers and have no newest time."""
    box = sandbox(customers=3)
    for customer in box.pancake.customers(only_page(box)):
        psid, page_id = customer["psid"], only_page(box)
        box.folkform.store({"psid": psid, "pageId": page_id, "panCakeUpdatedAt": 0, "updatedAt": 1_700_000_000_000})
    page = _status(run, box)
    assert (page["newest"], page["folkform"], page["lag_s"]) == (None, 3, None)


def test_malformed_customers_are_no_lag(sandbox: StartSandbox, run: Command) -> None:
    """Customers that no pass can copy make a page neither behind nor incomplete."""
    box = sandbox(customers=20)
    fill_folkform(box)
    box.pancake.add_customer(only_page(box), {**person("x", 90), "id": None})
    box.pancake.add_customer(only_page(box), {**person("y", 90), "updated_at": None})
    page = _status(run, box)
    assert (page["lag_s"], page["remedy"], page["pancake"], page["folkform"]) == (0, None, 22, 20)
    assert "counts agree (2 malformed)" in run(box, "status").out


def test_more_in_folkform(sandbox: StartSandbox, run: Command) -> None:
    """Customers deleted in Pancake make no coverage above 1; the remedy is to list them."""
    box = sandbox(customers=20)
    fill_folkform(box)
    oldest = min(box.pancake.customers(only_page(box)), key=lambda customer: microseconds(customer["updated_at"]) or 0)
    box.pancake.remove_customer(only_page(box), oldest["psid"])
    page = _status(run, box)
    assert (page["coverage"], page["folkform"], page["pancake"]) == (1.0, 20, 19)
    assert "counts agree (1 extra)" in run(box, "status").out
    assert page["remedy"] == f"customer-sync verify --page {only_page(box)}"


@pytest.mark.parametrize(
    ("folkform", "pancake", "coverage"),
    [(0, 7, 0.0), (29, 100, 0.29), (99_999, 100_000, 0.9999), (100, 100, 1.0), (101, 100, 1.0), (5, 0, None)],
)
def test_coverage_is_not_rounded_up(folkform: int, pancake: int, coverage: float | None) -> None:
    """A coverage of 1 means that no customer is missing."""
    page = Page("1", "", is_sync=True, page_access_token="")
    assert PageStatus(page, folkform=folkform, pancake=pancake).coverage == coverage


def test_quiet(sandbox: StartSandbox, run: Command) -> None:
    """`-q` prints only failures, however far behind a page is."""
    box, pages = _damaged(sandbox)
    assert run(box, "status", "-q", "--page", pages["behind"], "--page", pages["empty"]).output == ""
    assert "failed" in run(box, "status", "-q").err


FAILURES: dict[str, tuple[Fault, int]] = {
    "FolkForm down after the pages": (Fault("reset", service="folkform", times=None, skip=1), 75),
    "FolkForm refuses": (Fault("status", service="folkform", status=403, times=None, skip=1), 3),
    "Pancake down": (Fault("reset", service="pancake", times=None), 75),
    "Pancake refuses": (Fault("error_code", service="pancake", error_code=107, times=None), 3),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_exit_codes(sandbox: StartSandbox, run: Command, failure: str) -> None:
    """3 or 75 if FolkForm or every page that is on is concerned; every page has its own error."""
    box = sandbox(pages=3, customers=3)
    box.folkform.set_page(box.pancake.page_ids()[0], isSync=False)
    fault, code = FAILURES[failure]
    box.faults.add(fault)
    outcome = run(box, "status", "--json")
    assert (outcome.code, outcome.json["status"]) == (code, "failed")
    assert all(page["error"] for page in outcome.json["pages"] if page["on"])


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals(sandbox: StartSandbox, run: Command, sent: signal.Signals, code: int) -> None:
    """A signal ends it; every page is listed all the same."""
    box = sandbox(pages=3, customers=3, folkform_latency=0.3)
    process = run.start(box, "status", "--json", CUSTOMER_SYNC_PAGES_AT_ONCE="1")
    wait_until(lambda: box.requests.count("folkform", "/count") > 0)
    process.send_signal(sent)
    outcome = run.end(process)
    assert (outcome.code, outcome.json["status"], outcome.json["complete"]) == (code, "interrupted", False)
    assert len(outcome.json["pages"]) == 3


def test_folkforms_limit(sandbox: StartSandbox, run: Command) -> None:
    """Many pages make it wait, which is announced and shown in one bar for all pages; no request is refused."""
    box = sandbox(pages=6, folkform_limit=12, folkform_window=8.0)
    code, shown = on_a_terminal(run.environment(box, CUSTOMER_SYNC_PAGES_AT_ONCE="2"), "status")
    plain = without_colours(shown)
    assert code == 0
    assert re.search(r"asking about 6 pages; .* \d+ s", plain)
    assert re.search(r"page \d of 6, FolkForm's limit: \d s", plain)
    assert forbidden(box) == []


def test_a_time_limit(sandbox: StartSandbox, run: Command) -> None:
    """Pages that the time limit left out are stopped and come first; exit 75."""
    box = sandbox(pages=3, folkform_limit=5, folkform_window=60.0)
    environment = {"CUSTOMER_SYNC_PAGES_AT_ONCE": "1", "CUSTOMER_SYNC_MAX_RUNTIME": "20s"}
    outcome = run(box, "status", "--json", **environment)
    states = [page["status"] for page in outcome.json["pages"]]
    assert (outcome.code, states) == (75, ["stopped", "stopped", "ok"])
    assert not outcome.json["complete"]
