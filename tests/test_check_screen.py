"""What `check` shows: to a person as it is learned, to a program, to nobody; and what it never shows."""

import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from customer_sync.sandbox import Fault, Sandbox

from .checked import CRON_FILE, read
from .conftest import (
    COMMAND,
    Command,
    Outcome,
    StartSandbox,
    fill_folkform,
    on_a_terminal,
    only_page,
    without_colours,
)

_ESCAPE = "\x1b"
_HEADINGS = ["Settings", "FolkForm", "Pancake", "This machine", "Cron"]


def _damaged(start: StartSandbox) -> Sandbox:
    """A sandbox with something to warn of, and a page whose token is dead."""
    box = start(pages=2, customers=3, total=False)
    fill_folkform(box)
    box.folkform.set_page(box.pancake.page_ids()[1], pageAccessToken="a-dead-page-token", accessToken="")
    return box


def _show(run: Command, box: Sandbox, *arguments: str, **environment: str) -> Outcome:
    return run(box, "check", *arguments, **{"ENVIRONMENT": str(run.home / CRON_FILE), **environment})


def _marked(shown: str, mark: str) -> list[str]:
    return [line for line in shown.splitlines() if re.match(rf"  {re.escape(mark)} ", line)]


def _column(line: str) -> int:
    """Where what is said of a thing begins, behind its mark and its name."""
    found = re.match(r"  \S .*?\S {2,}", line)
    assert found
    return found.end()


def _letters(text: str) -> str:
    """*text* without spaces, and without the seconds that something took."""
    return re.sub(r"\d+ms|\d\.\ds", "", "".join(text.split()))


def test_json(sandbox: StartSandbox, run: Command) -> None:
    """`--json` prints one object of exactly the documented shape, and nothing else."""
    outcome = _show(run, _damaged(sandbox), "--json")
    assert (outcome.out.count("\n"), outcome.err) == (1, "")
    result = outcome.json
    assert list(result) == ["pass", "status", "exit_code", "started_at", "duration_s", "findings", "totals"]
    assert (result["pass"], result["status"], result["exit_code"], outcome.code) == ("check", "failed", 3, 3)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", result["started_at"])
    assert isinstance(result["duration_s"], float)
    assert set(result["totals"]) == {"ok", "warning", "wrong", "requests"}
    assert all(type(count) is int for count in result["totals"].values())
    for finding in result["findings"]:
        assert list(finding) == ["area", "what", "state", "detail", "next_step"]
        assert all(type(text) is str for text in finding.values())
        assert finding["area"] in _HEADINGS
        assert finding["state"] in ("ok", "warning", "wrong")
    names = [(finding["area"], finding["what"]) for finding in result["findings"]]
    assert len(set(names)) == len(names)


def test_lines(sandbox: StartSandbox, run: Command) -> None:
    """Elsewhere than on a terminal each finding is a line under its heading, its next step the line below."""
    outcome = _show(run, _damaged(sandbox))
    assert (outcome.code, outcome.err) == (3, "")
    lines = outcome.out.splitlines()
    assert [line for line in lines if line and not line.startswith(" ")][:-1] == _HEADINGS
    assert _ESCAPE not in outcome.out
    troubles = [number for number, line in enumerate(lines) if re.match("  [!✗] ", line)]
    assert len(troubles) == 5
    for number in troubles:
        assert lines[number + 1].startswith(" " * _column(lines[number]) + "→ ")
    for section in outcome.out.split("\n\n")[:-1]:
        assert len({_column(line) for line in section.splitlines() if re.match(r"  \S ", line)}) == 1


def test_the_summary(sandbox: StartSandbox, run: Command) -> None:
    """The last line sums up what was marked, and what it has cost."""
    box = _damaged(sandbox)
    outcome = _show(run, box)
    warnings, wrong = len(_marked(outcome.out, "!")), len(_marked(outcome.out, "✗"))
    summary = outcome.out.splitlines()[-1]
    said = re.fullmatch(r"check: (\d+) in order, (\d+) warnings, (\d+) wrong; (\d+) requests, \d+\.\d s", summary)
    assert said
    assert [int(number) for number in said.groups()[1:]] == [warnings, wrong, box.requests.count()]
    assert int(said[1]) >= len(_marked(outcome.out, "✓"))
    assert (warnings, wrong) == (4, 1)


def test_findings_are_told_as_they_are_learned(sandbox: StartSandbox, run: Command) -> None:
    """Whoever waits for Pancake has FolkForm's findings before the eyes already."""
    box = sandbox(customers=3)
    held = box.faults.add(Fault("hang", service="pancake", times=None))
    process = run.start(box, "check")
    assert process.stdout
    for line in process.stdout:
        if "limit" in line:
            break
    box.requests.wait_for(lambda request: request.fault == "hang")
    assert process.poll() is None
    held.remove()
    assert run.end(process).code == 0


@pytest.mark.parametrize(
    "settings",
    [{"PYTHONIOENCODING": "ascii"}, {"PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}],
    ids=str,
)
def test_a_stream_without_the_marks(sandbox: StartSandbox, run: Command, settings: dict[str, str]) -> None:
    """Where the stream knows no ✓ it says ok, !, x and ->, and nothing is lost."""
    box = _damaged(sandbox)
    plain = _show(run, box, **settings).out
    fancy = _show(run, box).out
    for mark, word in (("✓", "ok"), ("!", "!"), ("✗", "x")):
        assert len(_marked(plain, word)) == len(_marked(fancy, mark)) > 0
    assert plain.count("-> ") == fancy.count("→ ")
    assert not any(mark in plain for mark in "✓✗→")


@pytest.mark.parametrize(("settings", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)], ids=str)
def test_a_terminal(sandbox: StartSandbox, run: Command, settings: dict[str, str], coloured: bool) -> None:
    """On a terminal the same lines come in colours, unless they are not wanted, and never wider than it is."""
    box = _damaged(sandbox)
    box.folkform.set_page(box.pancake.page_ids()[0], pageName="Một cửa hàng có tên rất dài " * 5)
    environment = run.environment(box, ENVIRONMENT=str(run.home / CRON_FILE), **settings)
    code, shown = on_a_terminal(environment, "check", columns=90)
    assert code == 3
    assert bool(re.search(r"\x1b\[(?:\d;)*3[123]m", shown)) == coloured
    plain = without_colours(shown).replace("\r", "")
    assert max(map(len, plain.splitlines())) <= 90
    text = _letters(plain)
    for line in _show(run, box).out.splitlines()[:-1]:
        assert _letters(line) in text


def test_quiet(sandbox: StartSandbox, run: Command) -> None:
    """`-q` is silent unless something is wrong, and then tells only that, on stderr, with where it belongs."""
    box = sandbox(customers=3, total=False)
    assert _show(run, box, "-q") == Outcome(0, "", "")
    box = _damaged(sandbox)
    outcome = _show(run, box, "-q")
    assert (outcome.code, outcome.out) == (3, "")
    finding, step, summary = outcome.err.splitlines()
    assert finding.startswith(f"  ✗ Pancake: {box.pancake.page_ids()[1]} token  Pancake refuses the page token")
    assert step.strip().startswith("→ Store a page token")
    assert summary.startswith("check: ")


def test_quiet_json(sandbox: StartSandbox, run: Command) -> None:
    """`--json` prints its object with `-q`, too, and nothing else."""
    outcome = _show(run, _damaged(sandbox), "-q", "--json")
    assert (read(outcome).code, outcome.err) == (3, "")


def test_verbose(sandbox: StartSandbox, run: Command) -> None:
    """`-v` tells each request, with the token hidden."""
    box = sandbox(customers=3)
    outcome = _show(run, box, "-v", "--json")
    told = re.findall(r"(?:Pancake|FolkForm): GET /.*", outcome.err)
    assert len(told) == box.requests.count()
    assert all("page_access_token=***" in line for line in told if "page_customers" in line)


def test_debug(sandbox: StartSandbox, run: Command) -> None:
    """`--debug` shows the traceback of an error that is found, which is not shown otherwise."""
    box = sandbox(customers=3)
    assert "Traceback" not in _show(run, box, "-v", FOLKFORM_TOKEN="a-token-that-is-wrong").output
    outcome = _show(run, box, "--debug", FOLKFORM_TOKEN="a-token-that-is-wrong")
    assert "Traceback (most recent call last)" in outcome.err
    assert "TokenRefused" in outcome.err
    assert "a-token-that-is-wrong" not in outcome.output


@pytest.mark.parametrize("arguments", [[], ["--json"], ["-q"], ["-v", "--debug"]])
def test_nothing_private(sandbox: StartSandbox, run: Command, arguments: list[str]) -> None:
    """Names of customers, phone numbers and tokens are in no output."""
    box = _damaged(sandbox)
    page_ids = box.pancake.page_ids()
    outcome = _show(run, box, *arguments, PANCAKE_ACCESS_TOKEN="canary-user-token", CUSTOMER_SYNC_RENEW_TOKENS="0")
    assert outcome.code == 3
    private = [box.environment["FOLKFORM_TOKEN"], "a-dead-page-token", "canary-user-token"]
    private += [box.pancake.page_token(page_ids[0]) or "", box.pancake.user_token(page_ids[0]) or ""]
    for customer in box.pancake.customers(page_ids[0]):
        private += [customer["name"], *customer["phone_numbers"]]
    assert len(private) > 6
    assert [text for text in private if text in outcome.output] == []


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_a_page_name_forges_no_output(sandbox: StartSandbox, run: Command, arguments: list[str]) -> None:
    """Control characters in a page's name are shown as escapes, so that it can neither colour nor forge a line."""
    box = sandbox(customers=3)
    box.folkform.set_page(only_page(box), pageName="Shop [red]\x1b[31m\r\n  ✗ forged\x07\u202e")
    outcome = _show(run, box, *arguments)
    assert outcome.code == 0
    assert not any(mark in outcome.output for mark in (_ESCAPE, "\r", "\x07", "\u202e"))
    assert _marked(outcome.out, "✗") == []
    if not arguments:
        assert r"Shop [red]\x1b[31m\r\n" in outcome.out


def test_a_result_that_nobody_takes(sandbox: StartSandbox, run: Command) -> None:
    """A full disk loses what is found: that is said once and counts."""
    environment = run.environment(sandbox(customers=3))
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [COMMAND, "check"], env=environment, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert ended.returncode == 1
    assert ended.stderr.count("cannot be written to standard output (No space left on device)") == 1


# The end


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals(sandbox: StartSandbox, run: Command, sent: signal.Signals, code: int) -> None:
    """A signal ends it with what was found until then."""
    box = sandbox(customers=3, folkform_latency=0.4)
    process = run.start(box, "check", "--json")
    box.requests.wait_for(lambda request: request.service == "folkform")
    process.send_signal(sent)
    checked = read(run.end(process))
    assert (checked.code, checked.json["status"]) == (code, "interrupted")
    assert "FolkForm: connection" in checked
    assert box.requests.count("pancake") == 0


def test_a_time_limit(sandbox: StartSandbox, run: Command) -> None:
    """A wait that would outlast --max-runtime is not begun; not everything was looked at, so: look again later."""
    box = sandbox(customers=3, folkform_limit=1, folkform_window=60.0)
    started = time.monotonic()
    outcome = _show(run, box, "--max-runtime", "5s")
    assert (outcome.code, time.monotonic() - started < 10) == (75, True)
    assert "The time limit (--max-runtime) was reached" in outcome.err
    assert re.search(r"^check: ended early, \d+ in order", outcome.out, re.MULTILINE)
