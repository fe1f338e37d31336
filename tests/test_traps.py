"""The table "Why the guide is not enough": for each row a history in which the guide, read literally, loses customers.

Each test fails when the rule of its row is removed. A proxy between the program and the sandbox lets a test act at a
chosen request: change a customer, run another pass, kill the program.
"""

import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from customer_sync.core.clock import Clock
from customer_sync.core.errors import CustomerSyncError, ExitCode, Unreachable, WrongClock
from customer_sync.results.page_result import Status, SyncedPage
from customer_sync.sandbox import Fault, Sandbox
from customer_sync.sync.passes import BACKFILL, INCREMENTAL
from customer_sync.sync.watermarks import SPAN

from .conftest import DAY, StartSandbox, ago, fill_folkform, only_page, people, person, refuse
from .conftest import Command as Cli
from .in_process import Passes, QuickClock
from .killable_run import KillableRun
from .proxy import PATIENCE, Passing, Proxy

# How long to wait for what must not happen, seconds; longer only makes a broken rule show more surely.
NOTHING_COMES = 0.5
# How many customers one pass may store beyond a missing one: three passes together fewer than SPAN.
BEYOND = (SPAN - 1) // 3


# The program


class Program:
    """The two passes in this process, over a sandbox with one page."""

    def __init__(self, passes: Passes) -> None:
        self._passes = passes

    def incremental(self, at: Sandbox | Proxy, clock: Clock | None = None, **more: Any) -> SyncedPage:
        return self._run(INCREMENTAL, at, clock, **more)

    def backfill(self, at: Sandbox | Proxy, clock: Clock | None = None, **more: Any) -> SyncedPage:
        return self._run(BACKFILL, at, clock, **more)

    def _run(
        self, name: str, at: Sandbox | Proxy, clock: Clock | None, page_size: int = 100, **more: Any
    ) -> SyncedPage:
        self._passes.environment = {"CUSTOMER_SYNC_PAGE_SIZE": str(page_size), "CUSTOMER_SYNC_WORKERS": "8"}
        (page,) = self._passes(at, name, clock, **more).pages
        return page


@pytest.fixture
def program(passes: Passes) -> Program:
    return Program(passes)


def kill_at_upsert(run: Cli, proxy: Proxy, number: int, *arguments: str) -> int:
    """Runs a pass and kills it at its n-th upsert. Returns its exit code."""
    killed = KillableRun(run, proxy, *arguments)
    counting = threading.Lock()
    asked = 0

    def before(passing: Passing) -> None:
        nonlocal asked
        if passing.upserts:
            with counting:
                asked += 1
                late = asked >= number
            if late:
                killed.die()

    proxy.before = before
    killed.start()
    return killed.end()


def all_customers_arrive(program: Program, box: Sandbox) -> None:
    """The next incremental and backfill, undisturbed, leave no customer missing and none stale."""
    assert program.incremental(box).status is Status.OK
    assert program.backfill(box).status is Status.OK
    assert box.difference().equal, box.difference()


def half_filled(box: Sandbox, *, there: list[dict[str, Any]], coming: list[dict[str, Any]]) -> None:
    """The only page's customers: FolkForm has those *there*; the *coming* ones are still to be copied."""
    box.pancake.add_customers(only_page(box), there)
    fill_folkform(box)
    box.pancake.add_customers(only_page(box), coming)


def lists_none(requests: range, total: int | None) -> Callable[[Passing], bytes | None]:
    """Pancake answers these of the requests for its list, counted from 1, with an empty list."""
    asked = 0
    empty = json.dumps({"success": True, "customers": [], **({} if total is None else {"total": total})}).encode()

    def before(passing: Passing) -> bytes | None:
        nonlocal asked
        if not passing.path.endswith("/page_customers"):
            return None
        asked += 1
        return empty if asked in requests else None

    return before


def change_at(box: Sandbox, age: float, count: int) -> list[str]:
    """Changes customers so many seconds ago by Pancake's clock. Returns their psids."""
    box.behaviour.pancake_clock_offset = -age
    changed = [customer["psid"] for _, customer in box.pancake.change_customers(count)]
    box.behaviour.pancake_clock_offset = 0.0
    return changed


def exactly(second: float) -> str:
    """Unix seconds as Pancake writes them."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")


def person_at(psid: str, second: float) -> dict[str, Any]:
    return person(psid, 0, updated_at=exactly(second), inserted_at=exactly(second))


# The rows


def test_trap_01_the_edge_moves_not_the_page_number(sandbox: StartSandbox, program: Program) -> None:
    """A history of many batches arrives whole: no window is read from an offset of another one."""
    box = sandbox()
    box.pancake.add_customers(only_page(box), [*people(300, 60, 600, "new"), *people(300, 40 * DAY, 600, "old")])
    assert program.incremental(box, page_size=20).upserted == 300
    assert program.backfill(box, page_size=20).upserted == 300
    assert box.difference().equal


@pytest.mark.parametrize("window", ["updated_at", "inserted_at"])
def test_trap_02_customers_who_change_during_the_walk(sandbox: StartSandbox, program: Program, window: str) -> None:
    """Three customers change after every list answer; those that move up in the list are read all the same."""
    box = sandbox(window=window, changes_per_list=3, pancake_clock_offset=-3600.0)
    box.pancake.add_customers(only_page(box), people(450, 7200, 600, "new"))
    # Both clocks are an hour behind: a customer that changes leaves the window, and can be copied right afterwards.
    program.incremental(box, QuickClock(time.time() - 3600), page_size=20)
    assert box.requests.count("pancake") > 20
    box.behaviour.change({"changes_per_list": 0, "pancake_clock_offset": 0.0})
    all_customers_arrive(program, box)


def test_trap_03_an_incremental_killed_half_way(
    sandbox: StartSandbox, program: Program, run: Cli, in_between: Callable[[Sandbox], Proxy]
) -> None:
    """SIGKILL at the hundredth of two hundred upserts: the watermark is below the rest, and they arrive next time."""
    box = sandbox()
    # Far more days than a backfill looks back.
    half_filled(box, there=people(80, 250 * DAY, 60, "old"), coming=people(200, 60, DAY, "new"))
    assert kill_at_upsert(run, in_between(box), 100, "incremental") == -9
    assert 80 < len(box.difference().missing) < 180
    all_customers_arrive(program, box)


def test_trap_03_a_backfill_killed_half_way(
    sandbox: StartSandbox, program: Program, run: Cli, in_between: Callable[[Sandbox], Proxy]
) -> None:
    """The same for the history: the oldest watermark is above the rest."""
    box = sandbox()
    half_filled(box, there=people(80, 60, 60, "new"), coming=people(200, 40 * DAY, 60, "old"))
    # Half way through a batch of a hundred: fifty of the first one were there already.
    assert kill_at_upsert(run, in_between(box), 130, "backfill") == -9
    assert 50 < len(box.difference().missing) < 130
    all_customers_arrive(program, box)


@pytest.mark.parametrize("dialect", ["deployed", "older", "guide"])
def test_trap_04_the_time_of_the_write_is_no_watermark(sandbox: StartSandbox, program: Program, dialect: str) -> None:
    """A customer that changes while a pass writes has a time below the last write; the next pass copies it."""
    box = sandbox(dialect=dialect, pancake_clock_offset=-3600.0)
    box.pancake.add_customers(only_page(box), people(120, 7200, 60))
    program.incremental(box)
    assert box.difference().equal
    changed = change_at(box, age=1800, count=5)
    assert program.incremental(box).upserted == len(changed)
    assert box.difference().equal


def test_trap_04_two_pages_notice_it_at_once(
    sandbox: StartSandbox, run: Cli, in_between: Callable[[Sandbox], Proxy]
) -> None:
    """One page notices that `updatedAt` is the time of the write while another waits for an answer by `updatedAt`."""
    box = sandbox(pages=3, dialect="guide")
    sampled, *pages = box.pancake.page_ids()
    box.pancake.add_customers(sampled, people(120, 2 * DAY, 3600, "sampled"))
    fill_folkform(box)
    box.behaviour.dialect = "older"
    for page_id in pages:
        box.pancake.add_customers(page_id, people(120, 2 * DAY, 3600, page_id))
        for customer in box.pancake.customers(page_id):
            box.folkform.upsert({**customer, "page_id": page_id})
        for document in box.folkform.documents(page_id):
            box.folkform.store({**document, "updatedAt": document["updatedAt"] - 600_000})
        box.pancake.add_customers(page_id, people(5, 3600, 60, f"new-{page_id}"))
    asked, noticed = threading.Event(), threading.Event()

    def before(passing: Passing) -> None:
        sort, filter_ = (passing.query.get(name, "{}") for name in ("options", "filter"))
        by = json.loads(sort).get("sort", {})
        if "panCakeData.updated_at" in by:
            noticed.set()
        elif "updatedAt" in by and pages[0] in filter_:
            asked.wait(PATIENCE)
        elif "updatedAt" in by and pages[1] in filter_:
            asked.set()
            noticed.wait(PATIENCE)

    proxy = in_between(box)
    proxy.before = before
    assert run(None, "incremental", **proxy.environment).code == 0
    assert (asked.is_set(), noticed.is_set()) == (True, True)
    assert box.difference().equal


@pytest.mark.parametrize("pass_name", ["incremental", "backfill"])
def test_trap_05_killed_with_one_upsert_hanging(
    sandbox: StartSandbox,
    program: Program,
    run: Cli,
    in_between: Callable[[Sandbox], Proxy],
    pass_name: str,
) -> None:
    """The first upsert hangs while later ones arrive; killed then, the next passes still copy that customer."""
    box, proxy = sandbox(), None
    there, coming = people(80, 250 * DAY, 60, "there"), people(160, 60, DAY, "coming")
    if pass_name == "backfill":
        there, coming = people(80, 60, 60, "there"), people(160, 40 * DAY, DAY, "coming")
    half_filled(box, there=there, coming=coming)
    first = coming[-1]["psid"] if pass_name == "incremental" else coming[0]["psid"]
    proxy = in_between(box)
    killed = KillableRun(run, proxy, pass_name)
    others = threading.Semaphore(0)

    def before(passing: Passing) -> None:
        if passing.upserts == first:
            for _ in range(BEYOND):
                assert others.acquire(timeout=PATIENCE)
            # The rule allows no more.
            while others.acquire(timeout=NOTHING_COMES):
                pass
            killed.die()

    def after(passing: Passing) -> None:
        if passing.upserts:
            others.release()

    proxy.before, proxy.after = before, after
    killed.start()
    assert killed.end() == -9
    missing = box.difference().missing
    assert first in missing
    assert len(missing) == 160 - BEYOND
    all_customers_arrive(program, box)


def test_trap_05_two_machines_killed_together(
    sandbox: StartSandbox, program: Program, run: Cli, in_between: Callable[[Sandbox], Proxy]
) -> None:
    """Two passes without a common lock have read different lists; both die while one upsert hangs and others arrive."""
    box = sandbox()
    page_id = only_page(box)
    half_filled(
        box,
        there=people(80, 20 * DAY, 60, "there"),
        coming=[*people(60, 60, 60, "later"), *people(60, 5000, 60, "sooner")],
    )
    box.pancake.add_customer(page_id, person("hanging", 10_000))
    have_listed, go_on = [threading.Event(), threading.Event()], threading.Event()
    runs = []
    for number, has_listed in enumerate(have_listed):
        proxy = in_between(box)
        proxy.environment["CUSTOMER_SYNC_LOCK_DIR"] = str(run.home / f"locks{number}")
        runs.append(KillableRun(run, proxy, "incremental"))

        def begin(has_listed: threading.Event = has_listed) -> None:
            has_listed.set()
            assert go_on.wait(PATIENCE)

        _dies_while_one_hangs(runs[-1], proxy, "hanging", begin)
    one, other = runs
    one.start()
    assert have_listed[0].wait(PATIENCE)
    for number in range(60):
        box.pancake.change_customer(page_id, f"sooner{number:04}", {"updated_at": ago(10)})
    other.start()
    assert have_listed[1].wait(PATIENCE)
    go_on.set()
    assert (one.end(), other.end()) == (-9, -9)
    assert "hanging" in box.difference().missing
    all_customers_arrive(program, box)


def _dies_while_one_hangs(
    killed: KillableRun, proxy: Proxy, hanging: str, begin: Callable[[], None] = lambda: None
) -> None:
    """Each upsert calls *begin* first; the upsert of *hanging* waits until no other arrives, then the run dies."""
    arrived = threading.Semaphore(0)

    def before(passing: Passing) -> None:
        if passing.upserts:
            begin()
        if passing.upserts == hanging:
            while arrived.acquire(timeout=NOTHING_COMES):
                pass
            killed.die()

    def after(passing: Passing) -> None:
        if passing.upserts:
            arrived.release()

    proxy.before, proxy.after = before, after


def test_trap_06_a_backfill_beside_an_unfinished_incremental(
    sandbox: StartSandbox, program: Program, run: Cli, in_between: Callable[[Sandbox], Proxy]
) -> None:
    """Both run on an empty FolkForm and both are killed: no gap is left between what each of them wrote."""
    box = sandbox()
    box.pancake.add_customers(only_page(box), people(300, 60, 600))
    slow, other = in_between(box), in_between(box)
    backfill, incremental = KillableRun(run, slow, "backfill"), KillableRun(run, other, "incremental")
    lock, upserts_of_backfill, upserts_of_incremental = threading.Lock(), 0, 0

    def before_incremental(passing: Passing) -> None:
        nonlocal upserts_of_incremental
        if passing.upserts:
            with lock:
                upserts_of_incremental += 1
                late = upserts_of_incremental > 80
            if late:
                incremental.die()

    def before_backfill(passing: Passing) -> None:
        nonlocal upserts_of_backfill
        if passing.upserts:
            with one_at_a_time:
                upserts_of_backfill += 1
                number = upserts_of_backfill
                if number == 1:  # It has read its watermarks; now the incremental begins, and ends.
                    incremental.start()
                    codes.append(incremental.end())
            if number > 80:
                backfill.die()

    codes: list[int] = []
    one_at_a_time = threading.Lock()
    slow.before, other.before = before_backfill, before_incremental
    backfill.start()
    assert backfill.end() == -9
    # The backfill's own incremental holds the lock.
    assert codes in ([-9], [ExitCode.TRY_LATER])
    assert len(box.difference().missing) > 100
    all_customers_arrive(program, box)


def test_trap_07_a_backfill_holds_an_older_version(
    sandbox: StartSandbox, program: Program, in_between: Callable[[Sandbox], Proxy]
) -> None:
    """While the backfill is about to write an older version, an incremental writes the newer one: it stays."""
    box = sandbox(pancake_clock_offset=-3600.0)
    page_id = only_page(box)
    box.pancake.add_customers(page_id, [*people(80, 7200, 60, "new"), *people(80, 40 * DAY, 60, "old")])
    proxy, newer = in_between(box), ago(1800)
    stored: list[Any] = []

    def before(passing: Passing) -> None:
        if passing.upserts == "old0040" and not stored:
            box.pancake.change_customer(page_id, "old0040", {"updated_at": newer})
            box.behaviour.pancake_clock_offset = 0.0
            program.incremental(box)
            document = box.folkform.document(page_id, "old0040")
            stored.append(document and document["panCakeData"]["updated_at"])

    proxy.before = before
    assert program.backfill(proxy).status is Status.OK
    assert stored == [newer]
    assert box.difference().equal


@pytest.mark.parametrize("cause", ["empty answers", "a clock that is behind"])
def test_trap_07_a_last_incremental_that_reads_too_little(
    sandbox: StartSandbox, program: Program, in_between: Callable[[Sandbox], Proxy], cause: str
) -> None:
    """It ends well though Pancake does not list the customer that was overwritten: the next backfill heals it."""
    box = sandbox(pancake_clock_offset=-3600.0)
    page_id = only_page(box)
    box.pancake.add_customers(page_id, [*people(80, 7200, 60, "new"), *people(80, 40 * DAY, 60, "old")])
    proxy, overtaken, lists = in_between(box), threading.Event(), 0

    def before(passing: Passing) -> bytes | None:
        nonlocal lists
        if passing.upserts == "old0040" and not overtaken.is_set():
            overtaken.set()
            box.pancake.change_customer(page_id, "old0040", {"updated_at": ago(100)})
            box.pancake.add_customers(page_id, people(80, 5, 0.1, "newer"))
            box.behaviour.pancake_clock_offset = 0.0
            program.incremental(box)
            box.behaviour.pancake_clock_offset = -120.0 if "clock" in cause else 0.0
        elif overtaken.is_set() and passing.path.endswith("/page_customers") and "empty" in cause:
            lists += 1
            return json.dumps({"success": True, "customers": []}).encode() if lists <= 3 else None
        return None

    proxy.before = before
    assert program.backfill(proxy).status is Status.OK
    box.behaviour.pancake_clock_offset = 0.0
    # Rows that are later than a clock disprove it.
    assert box.difference().stale == ([] if "clock" in cause else ["old0040"])
    all_customers_arrive(program, box)


def test_trap_07_a_backfill_that_holds_an_older_version_is_killed(
    sandbox: StartSandbox, program: Program, run: Cli, in_between: Callable[[Sandbox], Proxy]
) -> None:
    """SIGKILL after it has written the older version over the newer one, below the newest watermark: the next backfill
    looks back.
    """
    box = sandbox(pancake_clock_offset=-3600.0)
    page_id = only_page(box)
    box.pancake.add_customers(page_id, [*people(80, 7200, 60, "new"), *people(80, 40 * DAY, 60, "old")])
    proxy = in_between(box)
    backfill = KillableRun(run, proxy, "backfill")
    stored: list[str] = []
    one_at_a_time = threading.Lock()

    def stored_version() -> Any:
        document = box.folkform.document(page_id, "old0040")
        return document and document["panCakeData"]["updated_at"]

    def before(passing: Passing) -> None:
        with one_at_a_time:
            if passing.upserts == "old0040" and not stored:
                box.pancake.change_customer(page_id, "old0040", {"updated_at": ago(1800)})
                box.pancake.add_customers(page_id, people(80, 60, 1, "newer"))
                box.behaviour.pancake_clock_offset = 0.0
                program.incremental(box)
                stored.append(stored_version())
            elif stored and stored_version() != stored[0]:
                backfill.die()

    proxy.before = before
    backfill.start()
    assert backfill.end() == -9
    assert box.difference().stale == ["old0040"]
    all_customers_arrive(program, box)


@pytest.mark.parametrize(("total", "answers"), [(False, 1), (False, 9), (True, 9)])
def test_trap_08_empty_answers_in_the_middle(
    sandbox: StartSandbox, program: Program, in_between: Callable[[Sandbox], Proxy], total: bool, answers: int
) -> None:
    """Pancake lists none for a while, though its list goes on: that is not the end, and nothing newer is written."""
    box = sandbox(total=total)
    half_filled(box, there=people(80, 20 * DAY, 60, "there"), coming=people(300, 60, 60, "coming"))
    proxy = in_between(box)
    proxy.before = lists_none(range(2, 2 + answers), 280 if total else None)
    first = program.incremental(proxy)
    assert (first.status is Status.OK) == (answers < 3)
    program.incremental(box)
    assert box.difference().equal


def test_trap_08_a_backfill_with_an_empty_answer_at_first(
    sandbox: StartSandbox, program: Program, in_between: Callable[[Sandbox], Proxy]
) -> None:
    """What Pancake showed empty to its first incremental does not count as read: its last one reads it again."""
    box = sandbox()
    half_filled(box, there=people(80, 20 * DAY, 60, "there"), coming=people(120, 60, 60, "coming"))
    proxy = in_between(box)
    proxy.before = lists_none(range(1, 2), 0)
    assert program.backfill(proxy).status is Status.OK
    assert box.difference().equal


def test_trap_08_a_window_by_inserted_at(sandbox: StartSandbox, program: Program) -> None:
    """Old customers that changed lately are copied, whatever time Pancake's window compares."""
    box = sandbox(window="inserted_at")
    box.pancake.add_customers(only_page(box), people(200, 40 * DAY, 3600))
    fill_folkform(box)
    changed = change_at(box, age=600, count=10)
    assert program.incremental(box).upserted == len(changed)
    assert box.difference().equal


@pytest.mark.parametrize("page_size", [7, 10, 100])
def test_trap_09_whole_seconds_against_microseconds(sandbox: StartSandbox, program: Program, page_size: int) -> None:
    """Where 22.7 is not inside `until=22`, no customer is lost between two answers, and none between two passes."""
    box = sandbox(window_precision="exact")
    top, bottom = int(time.time()) - 3600, int(time.time()) - 40 * DAY
    customers = [person_at(f"new{number}", top + number * 0.21) for number in range(150)]
    customers += [person_at(f"old{number}", bottom + number * 0.21) for number in range(150)]
    box.pancake.add_customers(only_page(box), customers)
    program.incremental(box, page_size=page_size)
    # The backfill's window ends in the very second below the incremental's.
    since = program.incremental(box, page_size=page_size).since
    assert since is not None
    box.pancake.add_customer(only_page(box), person_at("below", since - 0.3))
    box.folkform.delete(only_page(box), "new0")
    program.backfill(box, page_size=page_size, full=True)
    assert box.difference().equal


@pytest.mark.parametrize("earlier_clock", ["ours", "Pancake's"])
def test_trap_10_a_second_that_is_still_running(
    sandbox: StartSandbox, program: Program, in_between: Callable[[Sandbox], Proxy], earlier_clock: str
) -> None:
    """A customer whose commit comes one second late is not below the watermark of those that were quicker."""
    box = sandbox()
    page_id, now = only_page(box), int(time.time()) - 3600
    half_filled(
        box,
        there=people(80, 2 * DAY, 60, "old"),
        coming=[person_at(f"quick{number}", now + number / 100) for number in range(60)],
    )
    proxy = in_between(box)
    proxy.date = now if earlier_clock == "Pancake's" else now + 1000
    program.incremental(proxy, QuickClock(now if earlier_clock == "ours" else None))
    box.pancake.add_customer(page_id, person_at("late", now - 0.5))
    proxy.date = None
    program.incremental(proxy)
    assert box.difference().equal


@pytest.mark.parametrize("server", ["2026-04", "2025-12"])
def test_trap_11_customers_without_psid(sandbox: StartSandbox, program: Program, server: str) -> None:
    """Each is a document of its own, known by Pancake's id, in both orders; only an unreadable one is left out."""
    box = sandbox(server=server)
    recent, old = people(8, 100, 60, "recent"), people(8, 50 * DAY, 60, "old")
    for customers in (recent, old):
        for customer, psid in zip(customers, (None, "", "  ", 12, ["x"], None, None, "real"), strict=True):
            customer["psid"] = psid if psid != 12 else int(f"12{customers is old:d}")
        customers[7]["psid"] = f"real {customers is old}"
        del customers[1]["psid"]
    box.pancake.add_customers(only_page(box), [*people(60, 60, 60), *recent, *old])
    first, second = program.incremental(box), program.backfill(box)
    assert (first.upserted, first.malformed, second.upserted, second.failed) == (67, 1, 7, 0)
    assert len(box.folkform.documents(only_page(box))) == 74
    assert box.difference().equal
    again = program.backfill(box, full=True)
    assert (again.upserted, again.unchanged) == (0, 74)


def test_trap_11_a_psid_that_comes_later(sandbox: StartSandbox, program: Program) -> None:
    """A customer without a psid that gets one, or another one, or loses it, stays one document."""
    box = sandbox()
    page_id = only_page(box)
    customers = people(6, 3600, 60, "x")
    for number, customer in enumerate(customers):
        customer["psid"] = None if number < 4 else f"before {number}"
    box.pancake.add_customers(page_id, [*people(60, 7200, 60), *customers])
    program.incremental(box)
    changes = {"id-x0000": "first", "id-x0001": 12, "before 4": "after", "before 5": None}
    for number, (name, psid) in enumerate(changes.items()):
        box.pancake.change_customer(page_id, name, {"psid": psid, "updated_at": ago(60 + number)})
    result = program.incremental(box)
    assert (result.status, result.upserted) == (Status.OK, 4)
    assert len(box.folkform.documents(page_id)) == 66
    assert box.difference().equal


def test_trap_11_an_id_that_another_pages_record_has(sandbox: StartSandbox, program: Program) -> None:
    """With its psid or without, the customer has failed, and the reason names that record."""
    box = sandbox()
    page_id = only_page(box)
    taken = people(2, 100, 60, "taken")
    for psid, customer in zip(("theirs", None), taken, strict=True):
        box.folkform.upsert({**customer, "page_id": "another", "psid": psid})
    taken[1]["psid"] = None
    box.pancake.add_customers(page_id, [*people(60, 200, 60), *taken])
    result = program.incremental(box)
    reasons = {str(problem.pancake_id): problem.reason for problem in result.problems}
    assert reasons.keys() == {"id-taken0000", "id-taken0001"}
    assert all(pancake_id in reason and "another" in reason for pancake_id, reason in reasons.items())
    assert "theirs" in reasons["id-taken0000"]
    assert (result.upserted, result.failed) == (60, 2)
    assert len(box.folkform.documents("another")) == 2
    asked = [request for request in box.requests.recent if "taken" in str(request.filter)]
    assert len(asked) <= 2 * 3


def test_trap_11_a_second_record_of_the_psid(sandbox: StartSandbox, program: Program) -> None:
    """A customer whose psid another record has, too, is updated by Pancake's id, change after change."""
    box = sandbox()
    page_id = only_page(box)
    box.folkform.insert(person("x", 90_000, id="first", page_id=page_id))
    box.folkform.insert(person("", 80_000, id="second", page_id=page_id))
    box.pancake.add_customers(page_id, [*people(60, 7200, 60), person("x", 3600, id="second")])
    for age in (None, 1800, 60):
        if age is not None:
            box.pancake.change_customer(page_id, "x", {"updated_at": ago(age)})
        result = program.incremental(box)
        assert (result.status, result.failed) == (Status.OK, 0)
        difference = box.difference()
        assert (difference.missing, difference.stale, difference.duplicate) == ([], [], ["x"])


def test_trap_11_one_id_with_two_psids(sandbox: StartSandbox, program: Program) -> None:
    """Two customers with one id do not overwrite each other in turn: the older one has failed."""
    box = sandbox()
    page_id = only_page(box)
    older, newer = people(2, 3600, -1800, "twin")
    box.pancake.add_customers(page_id, [*people(60, 7200, 60), older | {"id": "one"}, newer | {"id": "one"}])
    program.incremental(box)
    for _ in range(2):
        result = program.incremental(box)
        assert [(problem.psid, problem.problem) for problem in result.problems] == [(older["psid"], "failed")]
    assert box.difference().missing == [older["psid"]]


def test_trap_12_tries_run_out_for_one_customer(
    sandbox: StartSandbox, program: Program, in_between: Callable[[Sandbox], Proxy]
) -> None:
    """FolkForm answers 503 five times for one customer and then stores it: the watermark never passes it."""
    box = sandbox()
    box.pancake.add_customers(only_page(box), people(120, 60, 60))
    proxy = in_between(box)
    tries = {"p0100": 0}

    def before(passing: Passing) -> int | None:
        if passing.upserts not in tries:
            return None
        tries["p0100"] += 1
        return 503 if tries["p0100"] <= 5 else None

    proxy.before = before
    result = program.incremental(proxy)
    assert (result.status, result.failed, tries["p0100"]) == (Status.OK, 0, 6)
    assert box.difference().equal


def test_trap_12_500_to_all_for_a_while(sandbox: StartSandbox, program: Program) -> None:
    """While no upsert gets through, FolkForm's own 500 is about no customer: none is reported, none is skipped."""
    box = sandbox()
    box.pancake.add_customers(only_page(box), people(80, 60, 60))
    box.faults.add(Fault("status", service="folkform", endpoint="/upsert-one", times=60))
    result = program.incremental(box)
    assert (result.status, result.upserted, result.failed) == (Status.OK, 80, 0)
    assert box.difference().equal


def test_trap_12_a_skipped_customer_has_been_named(
    sandbox: StartSandbox, run: Cli, in_between: Callable[[Sandbox], Proxy]
) -> None:
    """A failed customer is named at once: a pass that is killed later prints no summary. The next backfill heals it."""
    box = sandbox()
    half_filled(box, there=people(80, 20 * DAY, 60, "old"), coming=people(200, 60, 60))
    box.faults.add(Fault("status", service="folkform", psid="p0190", status=403, times=1, message="blocked"))
    proxy = in_between(box)
    killed = KillableRun(run, proxy, "incremental", "--quiet")

    def before(passing: Passing) -> None:
        if passing.upserts == "p0020":
            killed.die()

    proxy.before = before
    killed.start()
    outcome = killed.ended()
    assert outcome.code == -9
    assert "p0190" in outcome.err
    assert run(box, "incremental").code == 0
    assert box.difference().missing == ["p0190"]
    assert run(box, "backfill").code == 0
    assert box.difference().equal


def test_trap_12_an_outage_skips_no_customer(
    sandbox: StartSandbox, program: Program, in_between: Callable[[Sandbox], Proxy]
) -> None:
    """FolkForm goes down in the middle of a pass: no customer has failed, and the next pass copies the rest."""
    box = sandbox()
    half_filled(box, there=people(80, 2 * DAY, 60, "old"), coming=people(120, 60, 60))
    proxy = in_between(box)
    down, upserts = threading.Event(), threading.Semaphore(60)

    def before(passing: Passing) -> int | None:
        if passing.upserts and not upserts.acquire(blocking=False):
            down.set()
        return 503 if down.is_set() and "/folkform/" in passing.path else None

    proxy.before = before
    result = program.incremental(proxy)
    assert result.status is Status.FAILED
    assert isinstance(result.error, Unreachable)
    assert result.failed == 0
    assert len(box.difference().missing) == 60
    all_customers_arrive(program, box)


def test_trap_13_a_poisonous_customer(
    sandbox: StartSandbox, program: Program, in_between: Callable[[Sandbox], Proxy]
) -> None:
    """One customer that FolkForm always answers with 500 stops no other; it is reported by its psid."""
    box = sandbox()
    box.pancake.add_customers(only_page(box), people(120, 60, 60))
    proxy = in_between(box)
    proxy.before = lambda passing: 500 if passing.upserts == "p0119" else None
    result = program.incremental(proxy)
    assert (result.status, result.upserted) == (Status.PARTIAL, 119)
    assert [problem.psid for problem in result.problems] == ["p0119"]
    assert box.difference().missing == ["p0119"]


def test_trap_13_three_forbidden_customers(sandbox: StartSandbox, program: Program) -> None:
    """A firewall that rejects three customers' data stops no other customer, and not the page."""
    box = sandbox()
    half_filled(box, there=people(80, 20 * DAY, 60, "old"), coming=people(6, 3600, 60, "new"))
    for psid in ("new0005", "new0004", "new0003"):
        box.faults.add(Fault("status", service="folkform", psid=psid, status=403, times=None, message="blocked"))
    for _ in range(2):
        result = program.incremental(box)
        assert (result.status, result.failed) == (Status.PARTIAL, 3)
    assert sorted(box.difference().missing) == ["new0003", "new0004", "new0005"]


def test_trap_13_folkform_down_is_no_storm_of_tries(
    sandbox: StartSandbox, program: Program, in_between: Callable[[Sandbox], Proxy]
) -> None:
    """While FolkForm is down only what is in flight already is tried, and one ping ends the page."""
    box = sandbox()
    box.pancake.add_customers(only_page(box), people(400, 60, 60))
    proxy = in_between(box)
    proxy.before = lambda passing: 503 if passing.upserts or "/system/health" in passing.path else None
    result = program.incremental(proxy)
    error: CustomerSyncError | None = result.error
    assert isinstance(error, Unreachable)
    assert error.exit_code is ExitCode.TRY_LATER
    assert (result.upserted, result.failed) == (0, 0)
    assert proxy.counts["upsert-one"] <= 2 * 8 * 5


def test_trap_14_documents_with_time_0_are_not_the_oldest(sandbox: StartSandbox, program: Program) -> None:
    """Another writer's documents without a time do not end the history."""
    box = sandbox()
    page_id = only_page(box)
    box.pancake.add_customers(page_id, [*people(70, 60, 60, "new"), *people(70, 40 * DAY, 60, "old")])
    webhook = people(60, 41 * DAY, 60, "webhook")
    box.pancake.add_customers(page_id, webhook)
    now = int(time.time() * 1000)
    for customer in webhook:
        times = {"panCakeUpdatedAt": 0, "createdAt": now, "updatedAt": now}
        box.folkform.store({"psid": customer["psid"], "pageId": page_id, "panCakeData": {}, **times})
    program.incremental(box)
    assert program.backfill(box).status is Status.OK
    assert box.difference().equal


def test_trap_14_documents_with_time_0_do_not_flip_the_dialect(sandbox: StartSandbox, program: Program) -> None:
    """A hundred documents of another writer, first in the collection, do not make the time of a write a watermark."""
    box = sandbox(pancake_clock_offset=-3600.0)
    page_id = only_page(box)
    webhook = people(110, 20 * DAY, 60, "webhook")
    for customer in webhook:
        milliseconds = int(datetime.fromisoformat(customer["updated_at"] + "+00:00").timestamp() * 1000)
        times = {"panCakeUpdatedAt": 0, "createdAt": milliseconds, "updatedAt": milliseconds}
        data = {**customer, "page_id": page_id}
        box.folkform.store({"psid": customer["psid"], "pageId": page_id, "panCakeData": data, **times})
    box.pancake.add_customers(page_id, [*webhook, *people(120, 7200, 60)])
    program.incremental(box)
    changed = change_at(box, age=1800, count=5)
    # Some time later: a write of this very moment would be no watermark for another reason.
    assert program.incremental(box, QuickClock(time.time() + 10)).upserted >= len(changed)
    assert box.difference().missing == box.difference().stale == []


@pytest.mark.parametrize("pass_name", ["incremental", "backfill"])
def test_trap_15_by_hand_a_window_may_grow_but_opens_no_gap(
    sandbox: StartSandbox, run: Cli, program: Program, pass_name: str
) -> None:
    """`--since yesterday` after ten days of lag (`--until` below the oldest watermark) leaves no customer out."""
    box = sandbox()
    if pass_name == "incremental":
        half_filled(box, there=people(80, 10 * DAY, 60, "there"), coming=people(200, 60, 1000, "coming"))
        asked = run(box, "incremental", "--since", str(int(time.time()) - DAY))
    else:
        half_filled(box, there=people(80, 60, 60, "there"), coming=people(200, 40 * DAY, 4000, "coming"))
        asked = run(box, "backfill", "--until", str(int(time.time()) - 45 * DAY))
    assert asked.code == 0
    all_customers_arrive(program, box)


def test_trap_15_both_ends_below_all_that_is_there(sandbox: StartSandbox, run: Cli, program: Program) -> None:
    """`--since` and `--until` below the oldest watermark leave no customer of its own second out."""
    box = sandbox()
    page_id = only_page(box)
    tied = [person(f"tied{number:02}", 10 * DAY) for number in range(60)]
    for customer in tied:
        customer["updated_at"] = tied[0]["updated_at"]
    box.pancake.add_customers(page_id, [*people(80, 60, 60, "there"), *tied])
    fill_folkform(box)
    box.folkform.delete(page_id, "tied30")  # As after a backfill that was killed within that second.
    box.pancake.add_customers(page_id, people(80, 20 * DAY, 60, "history"))
    ends = [str(int(time.time()) - days * DAY) for days in (40, 30)]
    assert run(box, "incremental", "--since", ends[0], "--until", ends[1]).code == 0
    all_customers_arrive(program, box)


@pytest.mark.parametrize("since", ["2020-01-01", None])
def test_trap_15_an_earlier_start_killed_half_way(
    sandbox: StartSandbox,
    program: Program,
    run: Cli,
    in_between: Callable[[Sandbox], Proxy],
    since: str | None,
) -> None:
    """An incremental that starts below all that FolkForm has, killed in the history, leaves no gap above it."""
    box = sandbox()
    half_filled(box, there=people(80, 60, 60, "there"), coming=people(200, 40 * DAY, 60, "history"))
    proxy = in_between(box)
    proxy.environment["CUSTOMER_SYNC_OVERLAP"] = "300d"
    code = kill_at_upsert(run, proxy, 130, "incremental", *(["--since", since] if since else []))
    # The overlap never reaches into the history; `--since` writes it as a backfill does.
    assert code == (-9 if since else 0)
    all_customers_arrive(program, box)


def test_trap_15_an_earlier_start_while_too_few_are_stored(
    sandbox: StartSandbox, program: Program, run: Cli, in_between: Callable[[Sandbox], Proxy]
) -> None:
    """Where FolkForm has too few customers for a watermark, one that hangs in the history holds all after it back."""
    box = sandbox()
    page_id = only_page(box)
    box.pancake.add_customers(page_id, people(5, 60, 60, "there"))
    fill_folkform(box)
    history = people(200, 40 * DAY, DAY, "history")
    box.pancake.add_customers(page_id, history)
    hanging = history[100]["psid"]
    proxy = in_between(box)
    killed = KillableRun(run, proxy, "incremental", "--since", "2020-01-01")
    _dies_while_one_hangs(killed, proxy, hanging)
    killed.start()
    assert killed.end() == -9
    assert hanging in box.difference().missing
    all_customers_arrive(program, box)


@pytest.mark.parametrize("pass_name", ["incremental", "backfill"])
def test_trap_15_a_clock_behind_all_that_is_covered(sandbox: StartSandbox, program: Program, pass_name: str) -> None:
    """For a clock that is behind, all that FolkForm has is still to come: no new start below it."""

    class ClockBehind(QuickClock):
        def now(self) -> float:
            return super().now() - 20 * DAY

    box = sandbox()
    half_filled(
        box,
        there=people(60, 60, 10, "covered"),
        coming=[*people(60, 10 * DAY, 10, "below"), *people(60, 22 * DAY, 60, "old")],
    )
    result = getattr(program, pass_name)(box, ClockBehind())
    assert (result.status, type(result.error)) == (Status.FAILED, WrongClock)
    all_customers_arrive(program, box)


@pytest.mark.parametrize("between", [0, 50, 150], ids=["beside it", "in its batch", "in a later one"])
@pytest.mark.parametrize("pass_name", ["incremental", "backfill"])
def test_trap_16_an_older_record_of_the_psid(
    sandbox: StartSandbox, program: Program, pass_name: str, between: int
) -> None:
    """Pancake lists a psid twice, with two ids: the older record never replaces the newer one, and is reported."""
    box = sandbox()
    page_id = only_page(box)
    newest, oldest = (10 * DAY, 20 * DAY) if pass_name == "incremental" else (100 * DAY, 200 * DAY)
    others = people(between, (newest + oldest) / 2, 60, "between")
    box.pancake.add_customers(page_id, [*people(120, 60, 60), *others, *people(120, 300 * DAY, 60, "old")])
    box.pancake.add_customer(page_id, person("twice", newest, id="newer"))
    box.pancake.add_customer(page_id, person("twice", oldest, id="older"))
    # Were the older one sent, too, it would arrive last.
    box.faults.add(Fault("status", service="folkform", endpoint="/upsert-one", psid="twice", status=503, skip=1))
    program.incremental(box)
    for _ in range(2):
        result = program.backfill(box)
        document = box.folkform.document(page_id, "twice")
        assert document
        assert document["customerId"] == "newer"
    full = program.backfill(box, full=True)
    assert full.upserted == 0
    assert {(one.pancake_id, one.problem) for one in (*result.problems, *full.problems)} == {("older", "malformed")}


@pytest.mark.parametrize(
    "hides", [{"until_step": 60}, {"until_step": 86_400}, {"until_early": 25_200}], ids=["minute", "day", "7 h early"]
)
@pytest.mark.parametrize("total", [True, False])
def test_trap_17_an_until_that_hides_customers(
    sandbox: StartSandbox, program: Program, hides: dict[str, int], total: bool
) -> None:
    """Pancake rounds `until` down, or takes it for another zone's: continuity between answers shows it."""
    box = sandbox(total=total, **hides)
    box.pancake.add_customers(only_page(box), [*people(400, 20, 900, "new"), *people(400, 20 * DAY, 3_600, "old")])
    all_customers_arrive(program, box)
    changed = change_at(box, age=600, count=10)
    assert program.incremental(box).upserted == len(changed)
    assert box.difference().equal


@pytest.mark.parametrize("offset", [-5.0, -60_000_000.0, -1_790_000_000.0], ids=["5 s", "2 years", "1970"])
def test_trap_18_a_date_that_the_rows_disprove(sandbox: StartSandbox, program: Program, offset: float) -> None:
    """A cache's Date hides no customer; where it is minutes off, the pass is not complete."""
    box = sandbox(pancake_date_offset=offset)
    box.pancake.add_customers(only_page(box), people(200, 10, 3_600))
    for result in (program.incremental(box), program.backfill(box)):
        assert (result.complete, type(result.error)) == ((True, type(None)) if offset > -60 else (False, WrongClock))
    assert box.difference().equal


def test_trap_19_refused_customers_do_not_block_a_backfill(sandbox: StartSandbox, program: Program) -> None:
    """More than SPAN refused customers, spread among stored ones of the last days, are looked at again every night."""
    box = sandbox()
    page_id = only_page(box)
    recent = people(400, 60, 900, "recent")
    for one in recent[:360:6]:
        refuse(box, one["psid"])
    box.pancake.add_customers(page_id, recent)
    assert program.incremental(box).failed == 60
    box.pancake.add_customers(page_id, people(100, 40 * DAY, 60, "old"))
    for _ in range(2):
        result = program.backfill(box)
        assert (result.status, result.failed) == (Status.PARTIAL, 60)
        assert len(box.difference().missing) == 60
    box.faults.clear()
    all_customers_arrive(program, box)


def test_trap_19_a_closing_incremental_writes_nothing_again(
    sandbox: StartSandbox, program: Program, in_between: Callable[[Sandbox], Proxy]
) -> None:
    """What incrementals beside a backfill have stored is not sent a second time."""
    box = sandbox(pancake_clock_offset=-3600.0)
    page_id = only_page(box)
    box.pancake.add_customers(page_id, [*people(80, 7200, 60, "new"), *people(80, 40 * DAY, 60, "old")])
    proxy, others = in_between(box), threading.Event()

    def before(passing: Passing) -> None:
        if passing.upserts == "old0040" and not others.is_set():
            others.set()
            box.pancake.add_customers(page_id, people(200, 60, 5, "beside"))
            box.behaviour.pancake_clock_offset = 0.0
            program.incremental(box)

    proxy.before = before
    assert program.backfill(proxy).upserted == 160
    assert box.difference().equal
