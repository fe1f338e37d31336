"""What the tests of the whole program share: a sandbox to sync in, and the installed command to sync with.

`sandbox(customers=80, dialect="guide")` starts a sandbox; `run(box, "incremental", "--json")` runs the command there
and returns how it ended; `run.start(…)` returns the process. Everything is ended when the test ends.
"""

import json
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest

from customer_sync.sandbox import Behaviour, Fault, Sandbox

from .in_process import Passes
from .proxy import Proxy

COMMAND = Path(sys.executable).parent / "customer-sync"
DAY = 86_400
STAMP = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d\d:\d\d"
"""The time at the beginning of a log line, as a pattern."""
_TIMEOUT = 150.0
_POLL = 0.002


@dataclass(frozen=True)
class Outcome:
    """How a run of the command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def output(self) -> str:
        """Both streams."""
        return self.out + self.err

    @property
    def json(self) -> dict[str, Any]:
        """The one object that `--json` prints."""
        loaded: dict[str, Any] = json.loads(self.out)
        return loaded

    @property
    def totals(self) -> dict[str, int]:
        totals: dict[str, int] = self.json["totals"]
        return totals

    def page(self, page_id: str) -> dict[str, Any]:
        """What `--json` says of one page."""
        (page,) = (page for page in self.json["pages"] if page["page_id"] == page_id)
        return dict(page)


class Command:
    """The installed command, run as a process in a clean environment."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.lock_dir = home / "locks"
        self._started: list[subprocess.Popen[str]] = []

    def __call__(self, sandbox: Sandbox | None, *arguments: str, **environment: str) -> Outcome:
        """Runs it to its end."""
        return self.end(self.start(sandbox, *arguments, **environment))

    def start(self, sandbox: Sandbox | None, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Starts it and does not wait."""
        process = subprocess.Popen(
            [COMMAND, *arguments],
            env=self.environment(sandbox, **environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.home,
        )
        self._started.append(process)
        return process

    def end(self, process: subprocess.Popen[str]) -> Outcome:
        """Waits for a started one."""
        out, err = process.communicate(timeout=_TIMEOUT)
        return Outcome(process.returncode, out, err)

    def environment(self, sandbox: Sandbox | None, **more: str) -> dict[str, str]:
        """All that a process sees: nothing of the machine's own settings."""
        return {
            "PATH": f"{COMMAND.parent}:/usr/bin:/bin",
            "HOME": str(self.home),
            "TZ": "Asia/Ho_Chi_Minh",
            "CUSTOMER_SYNC_LOCK_DIR": str(self.lock_dir),
            "CUSTOMER_SYNC_PANCAKE_RPS": "1000",
            # A mutant of the program is a copy that comes first on the path.
            **{name: value for name, value in os.environ.items() if name == "PYTHONPATH"},
            **(sandbox.whole_environment if sandbox else {}),
            **more,
        }

    def kill_all(self) -> None:
        for process in self._started:
            process.kill()
            process.communicate()


class StartSandbox(Protocol):
    """Starts a sandbox; what is not named is a setting of its behaviour."""

    def __call__(self, *, pages: int = 1, customers: int = 0, seed: int = 1, **more: Any) -> Sandbox: ...


@pytest.fixture
def sandbox() -> Iterator[StartSandbox]:
    """Starts sandboxes, and closes them when the test ends."""
    started: list[Sandbox] = []

    def start(*, pages: int = 1, customers: int = 0, seed: int = 1, **more: Any) -> Sandbox:
        time_formats = more.pop("time_formats", "mixed")
        behaviour = Behaviour()
        behaviour.change(more)
        box = Sandbox(pages=pages, customers=customers, seed=seed, behaviour=behaviour, time_formats=time_formats)
        started.append(box)
        box.start()
        return box

    yield start
    for box in started:
        box.close()


@pytest.fixture
def in_between() -> Iterator[Callable[[Sandbox], Proxy]]:
    """Puts proxies before sandboxes."""
    proxies: list[Proxy] = []

    def start(box: Sandbox) -> Proxy:
        proxies.append(Proxy(box))
        return proxies[-1]

    yield start
    for proxy in proxies:
        proxy.close()


@pytest.fixture
def passes(tmp_path: Path) -> Passes:
    """Runs passes in this process."""
    return Passes(tmp_path / "locks")


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Command]:
    """The installed command; whatever still runs when the test ends is killed."""
    command = Command(tmp_path)
    yield command
    command.kill_all()


def on_a_terminal(environment: dict[str, str], *arguments: str, columns: int = 140) -> tuple[int, str]:
    """Runs the command with a terminal for all its streams. Returns its exit code and what was shown."""
    ours, theirs = pty.openpty()
    terminal = {**environment, "TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": "40"}
    process = subprocess.Popen([COMMAND, *arguments], env=terminal, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:  # how Linux reports that the other end is closed
        pass
    finally:
        os.close(ours)
        code = process.wait(timeout=30)
    return code, shown.decode()


def without_colours(shown: str) -> str:
    """What a terminal shows, without the codes that colour it and move the cursor."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)


def ago(seconds: float, layout: str = "%Y-%m-%dT%H:%M:%S.%f") -> str:
    """The time so long ago as Pancake writes it."""
    return (datetime.now(UTC) - timedelta(seconds=seconds)).strftime(layout)


def person(psid: str, age: float, **fields: Any) -> dict[str, Any]:
    """A customer who changed *age* seconds ago."""
    time_ = ago(age)
    return {"id": f"id-{psid}", "psid": psid, "name": "Mai Thảo", "inserted_at": time_, "updated_at": time_, **fields}


def people(count: int, youngest: float, step: float, name: str = "p") -> list[dict[str, Any]]:
    """Customers without ties, the newest first."""
    return [person(f"{name}{number:04}", youngest + number * step) for number in range(count)]


def of_page(page_id: str, customers: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same customers as those of one page: no two of all pages have one id."""
    return [{**customer, "id": f"{page_id}-{customer['id']}"} for customer in customers]


def refuse(box: Sandbox, psid: str, message: str = "rejected by a rule") -> None:
    """Makes FolkForm refuse a customer from now on."""
    box.faults.add(Fault("status", service="folkform", psid=psid, status=400, times=None, message=message))


def only_page(box: Sandbox) -> str:
    """The id of a sandbox's only page."""
    (page_id,) = box.pancake.page_ids()
    return page_id


def fill_folkform(box: Sandbox) -> None:
    """Makes FolkForm store every customer, as if both passes had copied them."""
    for page_id in box.pancake.page_ids():
        for customer in box.pancake.customers(page_id):
            box.folkform.upsert({**customer, "page_id": page_id})


def change_lately(box: Sandbox, count: int) -> set[str]:
    """Changes some customers ten seconds ago, so that no pass finds them too fresh. Returns their psids."""
    offset = box.behaviour.pancake_clock_offset
    box.behaviour.pancake_clock_offset = -10.0
    changed = box.pancake.change_customers(count)
    box.behaviour.pancake_clock_offset = offset
    return {customer["psid"] for _, customer in changed}


def writes(box: Sandbox) -> int:
    """How many upserts have been asked of FolkForm."""
    return box.requests.count("folkform", "/upsert-one")


def wait_until(condition: Callable[[], bool], timeout: float = 30.0) -> None:
    """Returns as soon as the condition holds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(_POLL)


def forbidden(box: Sandbox) -> list[Any]:
    """Every request that one of the services had to refuse."""
    return [request for request in box.requests.recent if request.status >= 400]


@contextmanager
def in_zone(zone: str) -> Iterator[None]:
    """Sets the machine's time zone for this process."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TZ", zone)
        time.tzset()
        yield
    time.tzset()
