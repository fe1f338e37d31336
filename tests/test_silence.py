"""A service that does not answer is reported while it lasts: once for all threads, and once when it answers again."""

import json
import re
import time
from contextlib import suppress
from typing import Any

import pytest

from customer_sync.core.clock import Clock
from customer_sync.core.errors import Unreachable
from customer_sync.http.answer_watch import AnswerWatch, Attempt
from customer_sync.sandbox import Fault

from .conftest import STAMP, Command, StartSandbox, on_a_terminal, only_page, people, without_colours

_AGAIN = r"answers again after \d+ s"


def _lines(text: str, service: str = "FolkForm") -> list[str]:
    """What was said of a service's silence, without the time."""
    return [re.sub(f"^{STAMP} ", "", line) for line in text.splitlines() if f"{service} " in line and "answer" in line]


@pytest.mark.parametrize("command", ["incremental", "verify", "status", "explain x --page {}", "check"])
def test_before_the_call_times_out(sandbox: StartSandbox, run: Command, command: str) -> None:
    """The first call hangs: after some seconds a line reports it, long before the timeout of the call."""
    box = sandbox(customers=3)
    box.faults.add(Fault("hang", service="folkform", times=1))
    arguments = command.format(only_page(box)).split()
    outcome = run(box, *arguments, CUSTOMER_SYNC_TIMEOUT="9")
    tries = 2 if command == "check" else 5
    first, second, again = _lines(outcome.err)
    assert first == f"FolkForm does not answer, attempt 1 of {tries}"
    assert second == f"FolkForm does not answer, attempt 2 of {tries} (did not answer within 9 s)"
    assert re.fullmatch(f"FolkForm {_AGAIN}", again)
    assert all(re.match(f"{STAMP} ", line) for line in outcome.err.splitlines())


def test_at_once(sandbox: StartSandbox, run: Command) -> None:
    """The line is there while the run still waits."""
    box = sandbox(customers=3)
    box.faults.add(Fault("hang", service="folkform", times=None))
    began = time.monotonic()
    process = run.start(box, "incremental")
    assert process.stderr is not None
    assert "FolkForm does not answer, attempt 1 of 5" in process.stderr.readline()
    assert 4 < time.monotonic() - began < 15
    assert process.poll() is None


@pytest.mark.parametrize("service", ["folkform", "pancake"])
def test_once_for_all_threads(sandbox: StartSandbox, run: Command, service: Any) -> None:
    """Many upserts, or the lists of many pages, fail at the same time: each number of an attempt is one line."""
    box = sandbox(pages=8, customers=60)
    endpoint = "/upsert-one" if service == "folkform" else ""
    box.faults.add(Fault("reset", service=service, endpoint=endpoint, times=60))
    outcome = run(box, "incremental", CUSTOMER_SYNC_WORKERS="16")
    name = "FolkForm" if service == "folkform" else "Pancake"
    numbers = [line.split("attempt ")[1][0] for line in _lines(outcome.err, name) if "attempt" in line]
    assert numbers == sorted(set(numbers))
    assert numbers[0] == "2"
    assert len([line for line in _lines(outcome.err, name) if "again" in line]) <= len(numbers)


def test_one_flaky_call_among_many(sandbox: StartSandbox, run: Command) -> None:
    """While others are answered, a call that is retried is no silence of the service."""
    box = sandbox(folkform_latency=0.05)
    box.pancake.add_customers(only_page(box), people(300, 60, 60))
    for number in range(30, 300, 60):
        box.faults.add(Fault("reset", endpoint="/upsert-one", psid=f"p{number:04}", times=1, effect=True))
    assert len(_lines(run(box, "incremental").err)) <= 1


def test_an_answer_that_is_no_good(sandbox: StartSandbox, run: Command) -> None:
    """A 503 is named as what it is."""
    box = sandbox(customers=3)
    box.faults.add(Fault("status", service="folkform", status=503, times=2))
    first, second, again = (line for line in run(box, "incremental").err.splitlines() if " answer" in line)
    assert first.endswith("FolkForm answered 503, attempt 2 of 5")
    assert second.endswith("FolkForm answered 503, attempt 3 of 5")
    assert re.search(f"FolkForm {_AGAIN}$", again)


def test_in_a_json_log(sandbox: StartSandbox, run: Command) -> None:
    """Each line is an object: a warning with the service and the attempt, then the end with its duration."""
    box = sandbox(customers=3)
    box.faults.add(Fault("reset", service="folkform", times=1))
    events: list[dict[str, Any]] = list(
        map(json.loads, run(box, "incremental", "--log-format", "json").err.splitlines())
    )
    (silent,) = (one for one in events if one["event"] == "no_answer")
    (again,) = (one for one in events if one["event"] == "answers_again")
    facts = {"level": "warning", "service": "FolkForm", "attempt": 2, "attempts": 5}
    assert {name: silent[name] for name in facts} == facts
    assert (again["level"], again["service"]) == ("info", "FolkForm")
    assert 0 < again["seconds"] < 30


def test_quiet(sandbox: StartSandbox, run: Command) -> None:
    """With `-q` a silence that ends is not reported."""
    box = sandbox(customers=3)
    box.faults.add(Fault("reset", service="folkform", times=2))
    outcome = run(box, "incremental", "-q")
    assert (outcome.code, outcome.output) == (0, "")


def test_on_a_terminal(sandbox: StartSandbox, run: Command) -> None:
    """The lines are above the live display."""
    box = sandbox(customers=30)
    box.faults.add(Fault("hang", endpoint="/upsert-one", times=None, skip=5))
    arguments = ("incremental", "--max-runtime", "12s")
    code, shown = on_a_terminal(run.environment(box, CUSTOMER_SYNC_TIMEOUT="8"), *arguments)
    assert code == 75
    plain = without_colours(shown)
    assert "FolkForm does not answer, attempt 1 of 5" in plain
    assert "FolkForm does not answer, attempt 2 of 5 (did not answer within 8 s" in plain


class _SetClock(Clock):
    """A clock that stands still until it is set."""

    seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds


def test_each_attempt_once(caplog: pytest.LogCaptureFixture) -> None:
    """However long an attempt lasts, its number is one line; the attempts of later calls are one line in 30 s."""
    clock = _SetClock()
    watch = AnswerWatch("FolkForm", clock)
    silent = Unreachable("FolkForm", "did not answer within 30 s at http://x", "")
    for call in range(3):
        attempt = Attempt(1, 5)
        for number in range(1, 6):
            attempt.number = number
            if number > 1:
                watch.retrying(attempt, silent, 1)
            with suppress(Unreachable), watch.during(attempt):
                for _ in range(62):
                    clock.seconds += 0.5
                    watch.look()
                raise silent
        numbers = [int(record.getMessage().split("attempt ")[1][0]) for record in caplog.records]
        assert numbers[:5] == [1, 2, 3, 4, 5]
        assert len(numbers) <= 5 * (call + 1)


def test_later_calls_are_one_line_in_half_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """Calls that begin anew while the service is still silent."""
    clock = _SetClock()
    watch = AnswerWatch("FolkForm", clock)
    for _ in range(20):
        attempt = Attempt(1, 5)
        for attempt.number in range(2, 6):
            clock.seconds += 2
            watch.retrying(attempt, Unreachable("FolkForm", "refused the connection at http://x", ""), 1)
    numbers = [int(record.getMessage().split("attempt ")[1][0]) for record in caplog.records]
    assert numbers[:4] == [2, 3, 4, 5]
    assert len(numbers) <= 4 + clock.seconds / 30
