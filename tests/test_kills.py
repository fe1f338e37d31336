"""SIGKILL at any request of a pass: the next passes make both sides equal.

`make kills` kills at each request, one run after the other; `make test` at one request of each kind.
"""

import os
from collections.abc import Callable
from typing import Any

import pytest

from customer_sync.core.errors import ExitCode
from customer_sync.sandbox import Sandbox
from customer_sync.sync.passes import BACKFILL, INCREMENTAL

from .conftest import DAY, Command, StartSandbox, ago, of_page, person
from .in_process import Passes
from .killable_run import KillableRun
from .proxy import Lost, Passing, Proxy

_PASSES = {"incremental": ["incremental"], "backfill": ["backfill"], "full": ["backfill", "--full"]}
# A backfill begins and ends with an incremental; these requests are in the middle, among its own writes.
_SPREAD = {
    "incremental": {("empty", "before"): 60, ("empty", "after"): 90, ("filled", "before"): 20, ("filled", "after"): 33},
    "backfill": {("empty", "before"): 150, ("empty", "after"): 180, ("filled", "before"): 60, ("filled", "after"): 90},
}
_SPREAD["full"] = _SPREAD["backfill"]
"""The request that `make test` kills at, by the state of FolkForm, before or after the request took effect."""
# More requests than any of these passes makes; the first pass that ends before its kill is the last one.
_MAX_REQUESTS = 400


def with_ties(count: int, youngest: float, name: str) -> list[dict[str, Any]]:
    """Customers in groups of four with the same second, ten minutes apart; some psids are missing or a number."""
    times = [ago(youngest + number // 4 * 600, "%Y-%m-%dT%H:%M:%S") for number in range(count)]
    customers = [
        person(f"{name}{number:03}", 0, updated_at=time, inserted_at=time) for number, time in enumerate(times)
    ]
    for number in range(4, count, 9):
        customers[number]["psid"] = None
    for number in range(7, count, 9):
        customers[number]["psid"] = int(f"7{number}{sum(map(ord, name))}")
    return customers


def world(sandbox: StartSandbox, passes: Passes, filled: bool) -> Sandbox:
    """Two pages with new and old customers; *filled*: most are in FolkForm, some have changed or appeared since."""
    box = sandbox(pages=2)
    for page_id in box.pancake.page_ids():
        box.pancake.add_customers(
            page_id, of_page(page_id, [*with_ties(60, 3600, "new"), *with_ties(30, 40 * DAY, "old")])
        )
    if filled:
        passes(box, INCREMENTAL)
        for page_id in box.pancake.page_ids():
            for number in range(0, 60, 9):
                box.pancake.change_customer(page_id, f"new{number:03}", {"updated_at": ago(60 + number)})
            for number in range(4, 60, 9):
                changes = {"psid": f"late{number}", "updated_at": ago(70 + number)}
                box.pancake.change_customer(page_id, f"{page_id}-id-new{number:03}", changes)
            box.pancake.add_customers(page_id, of_page(page_id, with_ties(10, 90, "newer")))
    return box


def kill_at(run: KillableRun, proxy: Proxy, number: int, *, after: bool) -> int:
    """Kills it at its n-th request, before or *after* the effect. Returns its exit code."""
    seen = 0

    def count(_: Passing) -> None:
        nonlocal seen
        seen += 1
        if seen > number:
            raise Lost  # In flight when the program dies.
        if seen == number:
            run.die()

    if after:
        proxy.after = count
    else:
        proxy.before = count
    run.start()
    return run.end()


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("folkform", ["empty", "filled"])
@pytest.mark.parametrize("name", _PASSES)
def test_killed_at_any_request(
    sandbox: StartSandbox,
    passes: Passes,
    run: Command,
    in_between: Callable[[Sandbox], Proxy],
    name: str,
    folkform: str,
    side: str,
) -> None:
    """Whatever had arrived when the program died, both passes copy the rest: none is missing, none is stale."""
    box = world(sandbox, passes, folkform == "filled")
    one = _SPREAD[name][folkform, side]
    for number in range(1, _MAX_REQUESTS) if os.environ.get("KILLS") == "all" else [one]:
        proxy = in_between(box)
        if kill_at(KillableRun(run, proxy, *_PASSES[name]), proxy, number, after=side == "after") != -9:
            assert number > one, "it ended before the kill"
            break
        for name_of_pass in (INCREMENTAL, BACKFILL):
            assert passes(box, name_of_pass).exit_code == ExitCode.OK
        assert box.difference().equal, f"killed at request {number}"
        box = world(sandbox, passes, folkform == "filled")
