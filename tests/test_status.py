"""`customer-sync status`: where every page stands, in order and damaged, to a person and to a program."""

import math
import os
import re
import signal
import time
from typing import Any

import pytest

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
    ago,
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
def test_in_order(sandbox: StartSandbox, run: Command, dialect: str, found: str) -> None:
    """Both sides equal, in every dialect: times, counts and coverage are right, at four requests a page."""
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
    fill_folkform(box)
    outcome = run(box, "status", "--json")
    assert outcome.out.count("\n") == 1
    assert list(outcome.json) == [
        *("pass", "status", "complete", "exit_code", "dry_run", "shard", "started_at", "duration_s"),
        *("totals", "error", "stopped", "warnings", "pages"),
    ]
    assert set(outcome.totals) == {"pages", "pancake", "folkform", "requests"}
    assert set(outcome.page(only_page(box))) == {
        *("page_id", "name", "on", "status", "complete", "newest", "oldest", "lag_s", "waiting", "waiting_since"),
        *("coverage", "locks", "remedy"),
        *("pancake", "folkform", "requests", "error", "warnings", "customers"),
    }


def _damaged(start: StartSandbox) -> tuple[Sandbox, dict[str, str]]:
    """Six pages with six fates; their ids by their fate."""
    box = start(pages=6)
    fates = ("fine", "behind", "has_problems", "refused", "empty", "off")
    pages = dict(zip(fates, box.pancake.page_ids(), strict=True))
    for page_id in pages.values():
        box.pancake.add_customers(page_id, of_page(page_id, people(120, 3600, DAY)))
    fill_folkform(box)
    box.pancake.add_customers(pages["behind"], of_page(pages["behind"], people(3, 600, 60, "new")))
    for number in range(60, 120):
        box.folkform.delete(pages["has_problems"], f"p{number:04}")
    box.folkform.set_page(pages["refused"], pageAccessToken="a-token-that-is-wrong", accessToken="")
    box.folkform.delete(pages["empty"])
    box.folkform.set_page(pages["off"], isSync=False)
    return box, pages


def test_damaged(sandbox: StartSandbox, run: Command) -> None:
    """Failed pages come first, then the empty one, then who is behind, then who lacks; each names its command."""
    box, pages = _damaged(sandbox)
    outcome = run(box, "status", "--json")
    assert (outcome.code, outcome.json["status"]) == (1, "partial")
    fates = [page["page_id"] for page in outcome.json["pages"]]
    assert fates == [pages[fate] for fate in ("refused", "empty", "behind", "has_problems", "fine", "off")]
    facts = {fate: outcome.page(page_id) for fate, page_id in pages.items()}
    assert {fate: page["remedy"] for fate, page in facts.items()} == {
        **dict.fromkeys(("fine", "refused", "off")),
        "behind": "customer-sync incremental",
        "has_problems": "customer-sync backfill",
        "empty": "customer-sync backfill",
    }
    assert abs(facts["behind"]["lag_s"] - 3000) <= 1
    assert facts["behind"]["waiting"] == 3
    assert abs(time.time() - 720 - facts["behind"]["waiting_since"]) < 60
    assert [facts[fate]["coverage"] for fate in ("has_problems", "empty", "fine")] == [0.5, 0.0, 1.0]
    assert (facts["empty"]["newest"], facts["empty"]["oldest"], facts["empty"]["lag_s"]) == (None, None, None)
    assert _reads_only(box)


def test_a_refused_page_tells_what_folkform_holds(sandbox: StartSandbox, run: Command) -> None:
    """Where Pancake refuses the page, no token is made, the error says what to do, and FolkForm's part is told."""
    box, pages = _damaged(sandbox)
    page = run(box, "status", "--json", "--page", pages["refused"], "--page", pages["fine"]).page(pages["refused"])
    assert (page["status"], page["folkform"], page["pancake"], page["coverage"]) == ("failed", 120, None, None)
    assert page["newest"] > page["oldest"]
    assert "this command makes no new one" in page["error"]
    assert _reads_only(box)


def test_off_pages_cost_nothing(sandbox: StartSandbox, run: Command) -> None:
    """A page that is off is only named; with `--page` it is asked like any other, and said to be off."""
    box, pages = _damaged(sandbox)
    outcome = run(box, "status", "--json")
    page = outcome.page(pages["off"])
    assert (page["status"], page["on"], page["requests"], page["folkform"]) == ("off", False, 0, None)
    assert not [request for request in box.requests.recent if request.page_id == pages["off"]]
    named = run(box, "status", "--page", pages["off"])
    assert named.code == 0
    assert f"({pages['off']}): up to date (switched off), newest " in named.out
    assert "120 of 120 customers in FolkForm (100 %)" in named.out


def test_an_off_page_is_named_to_its_remedy(sandbox: StartSandbox, run: Command) -> None:
    """A pass over all pages would not bring a page that is off, so the command names it."""
    box, pages = _damaged(sandbox)
    box.pancake.add_customer(pages["off"], person("new", 60))
    page = run(box, "status", "--json", "--page", pages["off"]).page(pages["off"])
    assert page["remedy"] == f"customer-sync incremental --page {pages['off']}"


def test_only_off_pages(sandbox: StartSandbox, run: Command) -> None:
    """Where every page is off they are named, with the reason why nothing more is told."""
    box = sandbox()
    box.folkform.set_page(only_page(box), isSync=False)
    outcome = run(box, "status")
    assert outcome.code == 0
    assert f"({only_page(box)}): off\n" in outcome.out
    assert "no page switched on (isSync)" in outcome.err


def test_lines(sandbox: StartSandbox, run: Command) -> None:
    """Piped, stdout has a line per page, what to do, and the total in the end, without a colour code."""
    box, pages = _damaged(sandbox)
    outcome = run(box, "status", TERM="xterm-256color")
    lines = outcome.out.splitlines()
    assert len(lines) == 6 + 2 + 1
    assert "\x1b" not in outcome.output
    for line, fate, words in zip(
        lines,
        ("refused", "empty", "behind", "has_problems", "fine", "off"),
        (
            "failed, newest ",
            "nobody yet, 0 of 120",
            "50 min behind (3 waiting 12 min), newest ",
            "lacks 60, ",
            "up to date, ",
            "off",
        ),
        strict=False,
    ):
        assert f"({pages[fate]}): {words}" in line
    assert lines[4].endswith("120 of 120 customers in FolkForm (100 %)")
    assert lines[6:8] == [
        "2 pages lack customers: customer-sync backfill; what that does not bring, customer-sync verify names, "
        "with the command that does",
        "1 page is behind: customer-sync incremental",
    ]
    assert lines[8].startswith(
        "status: partial, 6 pages (1 off), 300 of 483 customers in FolkForm (62 %), "
        "at most 50 min behind, 1 page unknown; "
    )
    assert f"Page {pages['refused']} failed: Pancake refuses the token" in outcome.err


def test_a_quiet_page(sandbox: StartSandbox, run: Command) -> None:
    """Where nobody wrote for a month one change makes a long lag, so how many wait, and how long, is told beside it."""
    box = sandbox()
    box.pancake.add_customers(only_page(box), people(3, 30 * DAY, DAY))
    fill_folkform(box)
    box.pancake.change_customer(only_page(box), "p0002", {"updated_at": ago(185)})
    assert ": 29 d behind (1 waiting 3 min), newest " in run(box, "status").out


def test_more_wait_than_one_answer_holds(sandbox: StartSandbox, run: Command) -> None:
    """Where the first answer does not reach down to FolkForm's newest customer, no number is made up."""
    box = sandbox()
    box.pancake.add_customers(only_page(box), people(150, 3600, 60))
    box.folkform.upsert({**box.pancake.customers(only_page(box))[120], "page_id": only_page(box)})
    assert "2 h behind (100+ waiting), newest " in run(box, "status").out


def test_times_are_local(sandbox: StartSandbox, run: Command) -> None:
    """The newest and the oldest time are this machine's, with their ages."""
    box = sandbox()
    box.pancake.add_customer(only_page(box), {**person("old", 0), "updated_at": "2026-01-31T17:30:00.9"})
    box.pancake.add_customer(only_page(box), person("new", 305))
    fill_folkform(box)
    said = run(box, "status").out
    assert "oldest 2026-02-01 00:30:00 +0700 (" in said
    assert re.search(r"newest \d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+0700 \(5 min ago\)", said)


def test_a_terminal(sandbox: StartSandbox, run: Command) -> None:
    """On a terminal there is a table with trouble on top, in colours that mean what the words say."""
    box, pages = _damaged(sandbox)
    code, shown = on_a_terminal(run.environment(box), "status")
    plain = without_colours(shown)
    assert code == 1
    for word in ("Page", "State", "FolkForm's newest", "FolkForm's oldest", "In FolkForm", "60 of 120", "50 %", "━━━"):
        assert word in plain
    assert "At work" not in plain
    places = [plain.index(f"│ {pages[fate]}") for fate in ("refused", "empty", "behind", "has_problems", "fine", "off")]
    assert places == sorted(places)
    for coloured in (
        f"{_RED}failed",
        f"{_RED}nobody yet",
        f"{_YELLOW}50 min behind",
        f"{_GREEN}up to date",
        f"{_DIM}off",
    ):
        assert coloured in shown
    assert "1 page is behind: customer-sync incremental" in plain
    assert "status: partial, 6 pages (1 off)" in plain


def test_a_narrow_terminal(sandbox: StartSandbox, run: Command) -> None:
    """On a narrow terminal the table keeps within it and loses nothing."""
    box = sandbox()
    box.folkform.set_page(only_page(box), pageName="Mẹ và bé An Nhiên")
    box.pancake.add_customers(only_page(box), people(2, 3600, 60))
    fill_folkform(box)
    _, shown = on_a_terminal(run.environment(box), "status", columns=60)
    table = [line for line in without_colours(shown).splitlines() if line.startswith(("┃", "│", "┏", "└"))]
    assert table
    assert max(map(len, table)) <= 60
    for words in ("Mẹ", "Nhiên", "up to", "100 %", "2 of 2"):
        assert any(words in line for line in table)


def test_a_page_name_forges_no_table(sandbox: StartSandbox, run: Command) -> None:
    """Control characters in a page's name are shown as escapes in the table, too."""
    box = sandbox()
    box.folkform.set_page(only_page(box), pageName="[red]\x1b[31mX\r\nforged")
    _, shown = on_a_terminal(run.environment(box), "status")
    assert r"[red]\x1b[31mX\r\nforged" in without_colours(shown)


def test_who_is_at_work(sandbox: StartSandbox, run: Command) -> None:
    """A pass at a page is told with its process and since when, there is nothing to run then, and no file is made."""
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
        assert outcome.page(page_id)["remedy"] is None
        assert outcome.page(free)["locks"] == []
        holder = f"backfill (process {os.getpid()})"
        assert f"at work: {holder} since " in run(box, "status").out
        plain = without_colours(on_a_terminal(run.environment(box), "status")[1])
        assert "At work" in plain
        assert f"│ {holder} │" in plain
        assert set(run.lock_dir.iterdir()) == files


def test_what_pancake_does_not_tell(sandbox: StartSandbox, run: Command) -> None:
    """Without a total the coverage is unknown, and said to be; the lag is known all the same."""
    box = sandbox(customers=10, total=False)
    fill_folkform(box)
    outcome = run(box, "status", "--json")
    page = outcome.page(only_page(box))
    assert (outcome.code, page["pancake"], page["folkform"], page["coverage"], page["lag_s"]) == (0, None, 10, None, 0)
    said = run(box, "status").out
    assert "10 customers in FolkForm, Pancake's number unknown" in said
    assert "up to date, 1 page unknown" in said


def test_a_page_without_customers(sandbox: StartSandbox, run: Command) -> None:
    """Nobody on either side is in order, with or without a total."""
    box = sandbox(total=False)
    outcome = run(box, "status", "--json")
    page = outcome.page(only_page(box))
    assert (outcome.code, page["pancake"], page["folkform"], page["remedy"]) == (0, 0, 0, None)
    assert "no customers" in run(box, "status").out


def test_customers_without_a_time(sandbox: StartSandbox, run: Command) -> None:
    """Documents of another writer, with a time of 0, count as customers and have no newest time."""
    box = sandbox(customers=3)
    for customer in box.pancake.customers(only_page(box)):
        psid, page_id = customer["psid"], only_page(box)
        box.folkform.store({"psid": psid, "pageId": page_id, "panCakeUpdatedAt": 0, "updatedAt": 1_700_000_000_000})
    outcome = run(box, "status", "--json")
    page = outcome.page(only_page(box))
    assert (outcome.code, page["newest"], page["folkform"], page["lag_s"]) == (0, None, 3, None)
    assert "lag unknown" in run(box, "status").out


def test_malformed_customers_are_no_lag(sandbox: StartSandbox, run: Command) -> None:
    """Whom no pass can bring makes a page neither behind nor has_problems."""
    box = sandbox(customers=20)
    fill_folkform(box)
    box.pancake.add_customer(only_page(box), {**person("x", 90), "id": None})
    box.pancake.add_customer(only_page(box), {**person("y", 90), "updated_at": None})
    page = run(box, "status", "--json").page(only_page(box))
    assert (page["lag_s"], page["remedy"], page["pancake"], page["folkform"]) == (0, None, 22, 20)


def test_more_in_folkform(sandbox: StartSandbox, run: Command) -> None:
    """Whom Pancake has deleted since makes no share above one; verify tells who."""
    box = sandbox(customers=20)
    fill_folkform(box)
    oldest = min(box.pancake.customers(only_page(box)), key=lambda customer: microseconds(customer["updated_at"]) or 0)
    box.pancake.remove_customer(only_page(box), oldest["psid"])
    outcome = run(box, "status", "--json")
    page = outcome.page(only_page(box))
    assert (outcome.code, page["coverage"], page["folkform"], page["pancake"]) == (0, 1.0, 20, 19)
    assert page["remedy"] == f"customer-sync verify --page {only_page(box)}"


@pytest.mark.parametrize(
    ("folkform", "pancake", "coverage"),
    [(0, 7, 0.0), (29, 100, 0.29), (99_999, 100_000, 0.9999), (100, 100, 1.0), (101, 100, 1.0), (5, 0, None)],
)
def test_coverage_is_not_rounded_up(folkform: int, pancake: int, coverage: float | None) -> None:
    """A page of which somebody is missing is never said to be whole."""
    page = Page("1", "", is_sync=True, page_access_token="")
    assert PageStatus(page, folkform=folkform, pancake=pancake).coverage == coverage


def test_an_unknown_page(sandbox: StartSandbox, run: Command) -> None:
    """A page that FolkForm does not know is exit 2, with those that it does."""
    box = sandbox()
    outcome = run(box, "status", "--page", "nowhere")
    assert (outcome.code, outcome.out) == (2, "")
    assert "FolkForm knows no page nowhere" in outcome.err
    assert only_page(box) in outcome.err


def test_quiet(sandbox: StartSandbox, run: Command) -> None:
    """`-q` says nothing as long as it could be told, however far behind a page is."""
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
    """3 or 75 when FolkForm or every page is concerned; every page has its own error."""
    box = sandbox(pages=2, customers=3)
    fault, code = FAILURES[failure]
    box.faults.add(fault)
    outcome = run(box, "status", "--json")
    assert (outcome.code, outcome.json["status"]) == (code, "failed")
    assert all(page["error"] for page in outcome.json["pages"])


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals(sandbox: StartSandbox, run: Command, sent: signal.Signals, code: int) -> None:
    """A signal ends it as it ends a pass; every page is told all the same."""
    box = sandbox(pages=3, customers=3, folkform_latency=0.3)
    process = run.start(box, "status", "--json", "--pages-at-once", "1")
    wait_until(lambda: box.requests.count("folkform", "/count") > 0)
    process.send_signal(sent)
    outcome = run.end(process)
    assert (outcome.code, outcome.json["status"], outcome.json["complete"]) == (code, "interrupted", False)
    assert len(outcome.json["pages"]) == 3


def test_an_off_page_hides_no_failure(sandbox: StartSandbox, run: Command) -> None:
    """When every page that is on failed, every page failed: those that are off do not count."""
    box = sandbox(pages=2, customers=3)
    box.folkform.set_page(box.pancake.page_ids()[0], isSync=False)
    box.faults.add(Fault("reset", service="pancake", times=None))
    outcome = run(box, "status", "--json")
    assert (outcome.code, outcome.json["status"]) == (75, "failed")


def test_folkforms_limit_is_kept(sandbox: StartSandbox, run: Command) -> None:
    """Many pages make it wait, which it says before and while it does, with all pages in one bar; none is refused."""
    box = sandbox(pages=6, folkform_limit=12, folkform_window=8.0)
    code, shown = on_a_terminal(run.environment(box), "status", "--pages-at-once", "2")
    plain = without_colours(shown)
    assert code == 0
    assert re.search(r"asking about 6 pages, which FolkForm's limit makes last \d+ s", plain)
    assert re.search(r"pages .*\d/6 FolkForm's limit: \d s", plain)
    assert forbidden(box) == []


def test_a_time_limit_leaves_pages_out(sandbox: StartSandbox, run: Command) -> None:
    """A page that the time limit left out is said to be interrupted, above those that were told; the answer is none."""
    box = sandbox(pages=3, folkform_limit=5, folkform_window=60.0)
    outcome = run(box, "status", "--json", "--max-runtime", "20s", "--pages-at-once", "1")
    states: list[Any] = [page["status"] for page in outcome.json["pages"]]
    assert (outcome.code, states) == (75, ["interrupted", "interrupted", "ok"])
    assert not outcome.json["complete"]
