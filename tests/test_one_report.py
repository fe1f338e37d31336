"""One report for one cause: pages with the same failure in one sentence, and with `-q` an outage once an hour."""

import json
import os
import re
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from customer_sync.core.locks import PageLocks
from customer_sync.sandbox import Fault, Sandbox

from .conftest import (
    COMMAND,
    STAMP,
    Command,
    Outcome,
    StartSandbox,
    on_a_terminal,
    only_page,
    person,
    refuse,
    without_colours,
)
from .in_process import QuickClock

PAGES = 25


def _dead_tokens(box: Sandbox) -> None:
    for page_id in box.pancake.page_ids():
        box.folkform.set_page(page_id, pageAccessToken="a-dead-page-token", accessToken="")


def _failures(outcome: Outcome) -> list[str]:
    return [line for line in outcome.err.splitlines() if " failed: " in line]


# Pages


def test_pages_with_one_cause(sandbox: StartSandbox, run: Command) -> None:
    """However many pages fail for one cause: one sentence, with the pages; `--json` has each."""
    box = sandbox(pages=PAGES, customers=1)
    page_ids = box.pancake.page_ids()
    _dead_tokens(box)
    outcome = run(box, "incremental")
    (line,) = _failures(outcome)
    assert re.match(rf"{STAMP} {PAGES} pages failed: Pancake refuses the token of each page", line)
    named = re.search(r"\. Pages: (.+) and (\d+) more \(--json lists all\)$", line)
    assert named
    assert set(named[1].split(", ")) < set(page_ids)
    assert len(named[1].split(", ")) + int(named[2]) == PAGES
    pages = run(box, "incremental", "--json").json["pages"]
    assert {page["page_id"] for page in pages if page["page_id"] in page["error"]} == set(page_ids)


def test_a_page_with_a_cause_of_its_own(sandbox: StartSandbox, run: Command) -> None:
    """Other causes have lines of their own, and a single page is named as ever."""
    box = sandbox(pages=3, customers=1)
    _dead_tokens(box)
    down = box.pancake.page_ids()[1]
    box.folkform.set_page(down, pageAccessToken=box.pancake.page_token(down))
    box.faults.add(Fault("status", service="pancake", page_id=down, status=503, times=None))
    alone, together = sorted(_failures(run(box, "incremental")), key=lambda line: "2 pages" in line)
    assert f"Page {down} failed: Pancake answered 503" in alone
    assert "2 pages failed: " in together


def test_each_page_in_a_json_log(sandbox: StartSandbox, run: Command) -> None:
    """Programs get an object for each page."""
    box = sandbox(pages=3, customers=1)
    _dead_tokens(box)
    events = [json.loads(line) for line in run(box, "incremental", "--log-format", "json").err.splitlines()]
    failed = [one for one in events if one["event"] == "page_failed"]
    assert {one["page_id"] for one in failed} == set(box.pancake.page_ids())
    assert all(one["page_id"] in one["message"] for one in failed)


def test_pages_locked_by_one_run(sandbox: StartSandbox, run: Command) -> None:
    """Pages that the same run holds are one line, although it began each at another time."""
    box = sandbox(pages=3, customers=1)
    locks = PageLocks(run.lock_dir, QuickClock(), "backfill")
    first, second, third = box.pancake.page_ids()
    with locks.held("incremental", first), locks.held("incremental", second):
        time.sleep(1.1)
        with locks.held("incremental", third):
            outcome = run(box, "incremental")
    (line,) = (line for line in outcome.err.splitlines() if "by another run" in line)
    assert f"3 pages: each page is locked by another run: backfill (process {os.getpid()}) since " in line
    assert all(page_id in line for page_id in (first, second, third))


def test_a_lock_directory_without_rights(sandbox: StartSandbox, run: Command) -> None:
    """A lock directory that takes no file is one sentence, not one for each page; with `-q`, too, each time."""
    box = sandbox(pages=5, customers=1)
    for arguments in ([], ["-q"], ["-q"]):
        outcome = run(box, "incremental", *arguments, CUSTOMER_SYNC_LOCK_DIR="/proc")
        assert outcome.code == 2
        (line,) = _failures(outcome)
        assert "5 pages failed: CUSTOMER_SYNC_LOCK_DIR /proc cannot be used" in line


def test_a_full_disk_of_the_locks(sandbox: StartSandbox, run: Command) -> None:
    """Where no lock file can be written, the passes run, and one warning reports it."""
    box = sandbox(pages=5, customers=1)
    limited = ["/bin/sh", "-c", 'ulimit -f 0; trap "" XFSZ; exec "$@"', "sh", str(COMMAND), "incremental"]
    ended = subprocess.run(limited, env=run.environment(box), capture_output=True, text=True, check=False)
    assert ended.returncode == 0
    assert ended.stderr.count("cannot write to the lock directory") == 1


# An outage with -q


def _state(run: Command) -> list[Path]:
    return list(run.lock_dir.glob("*.failures"))


@pytest.mark.parametrize("command", ["incremental", "backfill", "verify"])
def test_an_outage_is_one_mail(sandbox: StartSandbox, run: Command, command: str) -> None:
    """FolkForm is down for many runs, each time in another way: the first one prints it, and each ends with 75."""
    box = sandbox(customers=3)
    outcomes = []
    for fault in ({"kind": "reset"}, {"kind": "status", "status": 503}, {"kind": "reset"}):
        with box.faults.add(Fault(**fault, service="folkform", times=None)):
            outcomes.append(run(box, command, "-q"))
    assert [outcome.code for outcome in outcomes] == [75, 75, 75]
    assert "FolkForm" in outcomes[0].err
    assert "print the same failure again after 1 h" in outcomes[0].err
    assert [outcome.output for outcome in outcomes[1:]] == ["", ""]


def test_the_end_of_an_outage(sandbox: StartSandbox, run: Command) -> None:
    """A run without a failure prints nothing, and the next failure is new."""
    box = sandbox(customers=3)
    for _ in range(2):
        with box.faults.add(Fault("reset", service="folkform", times=None)):
            assert run(box, "incremental", "-q").err
        assert run(box, "incremental", "-q").output == ""
        assert _state(run) == []


def test_another_failure(sandbox: StartSandbox, run: Command) -> None:
    """A failed customer is printed once; another one, another page and another cause are changes."""
    box = sandbox(pages=2)
    first, second = box.pancake.page_ids()
    for number, page_id in enumerate((first, first, second)):
        psid = f"refused{number}"
        box.pancake.add_customer(page_id, person(psid, 90 + number))
        refuse(box, psid)
        outcome = run(box, "incremental", "-q")
        assert (outcome.code, psid in outcome.err) == (1, True)
        assert run(box, "incremental", "-q").output == ""
    box.faults.add(Fault("status", service="folkform", status=401, times=None))
    assert "401" in run(box, "incremental", "-q").err
    assert run(box, "incremental", "-q").output == ""


def test_the_same_failure_after_an_hour(sandbox: StartSandbox, run: Command) -> None:
    """After an hour it is printed again; a time in the future, of a clock that was wrong, holds nothing back."""
    box = sandbox(customers=3)
    box.faults.add(Fault("status", service="folkform", status=401, times=None))
    assert run(box, "incremental", "-q").err
    (file,) = _state(run)
    for age, printed in ((3500, False), (3700, True), (-600, True)):
        stored = {fingerprint: int(time.time()) - age for fingerprint in json.loads(file.read_text())}
        file.write_text(json.dumps(stored))
        assert bool(run(box, "incremental", "-q").err) == printed


@pytest.mark.parametrize("damage", ["{", "[1]", '{"x": "y"}', "null", "\udcff", "[" * 90_000, "link", "directory"])
def test_a_damaged_file(sandbox: StartSandbox, run: Command, damage: str) -> None:
    """What cannot be read holds nothing back, and a link is not followed."""
    box = sandbox()
    box.faults.add(Fault("status", service="folkform", status=401, times=None))
    assert run(box, "incremental", "-q").err
    (file,) = _state(run)
    if damage == "link":
        elsewhere = file.rename(run.home / "elsewhere")
        file.symlink_to(elsewhere)
    elif damage == "directory":
        file.unlink()
        file.mkdir()
    else:
        file.write_bytes(damage.encode(errors="surrogateescape"))
    assert "401" in run(box, "incremental", "-q").err


def test_what_is_kept(sandbox: StartSandbox, run: Command) -> None:
    """The file is this user's alone, and holds neither ids nor words of the failure."""
    box = sandbox()
    box.pancake.add_customer(only_page(box), person("refused", 90))
    refuse(box, "refused", "a telling message")
    run(box, "incremental", "-q")
    (file,) = _state(run)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert re.fullmatch(r'\{("[0-9a-f]{32}": \d{10}(, |\}$))+', file.read_text())


def test_who_always_prints(sandbox: StartSandbox, run: Command) -> None:
    """A terminal, a run without -q, a JSON log, and a command that no schedule runs print each failure."""
    box = sandbox()
    box.faults.add(Fault("status", service="folkform", status=401, times=None))
    for _ in range(2):
        assert run(box, "incremental").err
        assert run(box, "status", "-q").err
        assert run(box, "incremental", "-q", "--log-format", "json").err
        assert "401" in without_colours(on_a_terminal(run.environment(box), "incremental", "-q")[1])
    assert _state(run) == []


def test_schedules_of_their_own(sandbox: StartSandbox, run: Command) -> None:
    """Each pass, shard and page of a schedule reports for itself."""
    box = sandbox()
    box.faults.add(Fault("status", service="folkform", status=401, times=None))
    for arguments in (["incremental"], ["verify"], ["incremental", "--page", "1"], ["incremental", "--shard", "0/2"]):
        assert run(box, *arguments, "-q").err
        assert run(box, *arguments, "-q").output == ""
    assert len(_state(run)) == 4


def test_runs_at_the_same_time(sandbox: StartSandbox, run: Command) -> None:
    """Runs of one schedule that overlap leave a whole file."""
    box = sandbox()
    box.faults.add(Fault("status", service="folkform", status=401, times=None))
    processes = [run.start(box, "incremental", "-q") for _ in range(6)]
    assert all(run.end(process).code == 3 for process in processes)
    (file,) = _state(run)
    assert len(json.loads(file.read_text())) == 2  # The exit code and the cause.
    assert [one.name for one in run.lock_dir.iterdir()] == [file.name]


# The time limit


def test_a_time_limit_before_the_first_page(sandbox: StartSandbox, run: Command, tmp_path: Path) -> None:
    """Where even the preparation of a comparison is stopped, its pages are stopped, too, and not interrupted."""
    box = sandbox(pages=3, customers=3)
    box.faults.add(Fault("hang", service="folkform", endpoint="/find", times=None))
    facts: dict[str, Any] = {"CUSTOMER_SYNC_TIMEOUT": "2", "CUSTOMER_SYNC_METRICS_FILE": str(tmp_path / "x.prom")}
    for command in ("verify", "incremental", "status"):
        limit = [] if command == "status" else ["--max-runtime", "4s"]
        outcome = run(box, command, "--json", *limit, CUSTOMER_SYNC_MAX_RUNTIME="4s", **facts)
        assert (outcome.code, outcome.json["status"]) == (75, "stopped")
        assert {page["status"] for page in outcome.json["pages"]} == {"stopped"}
        assert "interrupted" not in outcome.output
    metrics = (tmp_path / "x.prom").read_text()
    assert 'customer_sync_pages{pass="incremental",status="stopped"} 3.0' in metrics
    assert 'customer_sync_pages{pass="incremental",status="interrupted"} 0.0' in metrics
