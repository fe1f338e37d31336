"""What `check` prints: lines on a terminal and elsewhere, one JSON object, nothing with `-q`; and never a secret."""

import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from customer_sync.sandbox import Fault, Sandbox

from .checked import check, read
from .conftest import (
    COMMAND,
    STAMP,
    Command,
    Outcome,
    StartSandbox,
    fill_folkform,
    on_a_terminal,
    only_page,
    without_colours,
)

_ESCAPE = "\x1b"
_HEADINGS = ["Settings", "FolkForm", "Pancake", "This machine"]


def _damaged(start: StartSandbox) -> Sandbox:
    """A sandbox with a warning, and a page whose token is dead."""
    box = start(pages=2, customers=3, total=False)
    fill_folkform(box)
    box.folkform.set_page(box.pancake.page_ids()[1], pageAccessToken="a-dead-page-token", accessToken="")
    return box


def _marked(shown: str, mark: str) -> list[str]:
    return [line for line in shown.splitlines() if re.match(rf"  {re.escape(mark)} ", line)]


def _column(line: str) -> int:
    """Where the detail of a finding begins, behind its mark and its name."""
    found = re.match(r"  \S .*?\S {2,}", line)
    assert found
    return found.end()


def _letters(text: str) -> str:
    """*text* without spaces and without durations."""
    return re.sub(r"\d+ms|\d\.\ds", "", "".join(text.split()))


def test_json(sandbox: StartSandbox, run: Command) -> None:
    """`--json` prints one object of exactly the documented shape, and nothing else."""
    outcome = run(_damaged(sandbox), "check", "--json")
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
    """Without a terminal each finding is one line under its heading, its next step the line below."""
    outcome = run(_damaged(sandbox), "check")
    assert (outcome.code, outcome.err) == (3, "")
    lines = outcome.out.splitlines()
    assert [line for line in lines if line and not line.startswith(" ")][:-1] == _HEADINGS
    assert _ESCAPE not in outcome.out
    troubles = [number for number, line in enumerate(lines) if re.match("  [!✗] ", line)]
    assert len(troubles) == 2
    for number in troubles:
        assert lines[number + 1].startswith(" " * _column(lines[number]) + "→ ")
    for section in outcome.out.split("\n\n")[:-1]:
        assert len({_column(line) for line in section.splitlines() if re.match(r"  \S ", line)}) == 1


def test_the_summary(sandbox: StartSandbox, run: Command) -> None:
    """The last line counts the findings and the requests."""
    box = _damaged(sandbox)
    outcome = run(box, "check")
    warnings, wrong = len(_marked(outcome.out, "!")), len(_marked(outcome.out, "✗"))
    summary = outcome.out.splitlines()[-1]
    counts = [int(number) for number in re.findall(r"\b\d+\b(?!\.\d| s$)", summary.rpartition(",")[0])]
    assert counts[1:] == [warnings, wrong, box.requests.count()]
    assert counts[0] >= len(_marked(outcome.out, "✓"))
    assert (warnings, wrong) == (1, 1)


def test_findings_are_printed_at_once(sandbox: StartSandbox, run: Command) -> None:
    """FolkForm's findings are printed before Pancake answers."""
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
    """A stream whose encoding has no ✓ gets ok, !, x and ->."""
    box = _damaged(sandbox)
    plain = run(box, "check", **settings).out
    fancy = run(box, "check").out
    for mark, word in (("✓", "ok"), ("!", "!"), ("✗", "x")):
        assert len(_marked(plain, word)) == len(_marked(fancy, mark)) > 0
    assert plain.count("  -> ") == fancy.count("  → ") > 0
    assert not any(mark in plain for mark in "✓✗→")


@pytest.mark.parametrize(("settings", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)], ids=str)
def test_a_terminal(sandbox: StartSandbox, run: Command, settings: dict[str, str], coloured: bool) -> None:
    """A terminal gets the same lines in colours, unless NO_COLOR is set, and never wider than it is."""
    box = _damaged(sandbox)
    box.folkform.set_page(box.pancake.page_ids()[0], pageName="Một cửa hàng có tên rất dài " * 5)
    environment = run.environment(box, **settings)
    code, shown = on_a_terminal(environment, "check", columns=90)
    assert code == 3
    assert bool(re.search(r"\x1b\[(?:\d;)*3[123]m", shown)) == coloured
    plain = without_colours(shown).replace("\r", "")
    assert max(map(len, plain.splitlines())) <= 90
    text = _letters(plain)
    for line in run(box, "check").out.splitlines()[:-1]:
        assert _letters(line) in text


def test_quiet(sandbox: StartSandbox, run: Command) -> None:
    """`-q` prints nothing unless something is wrong, and then only that, on stderr, with its area."""
    box = sandbox(customers=3, total=False)
    assert run(box, "check", "-q") == Outcome(0, "", "")
    box = _damaged(sandbox)
    outcome = run(box, "check", "-q")
    assert (outcome.code, outcome.out) == (3, "")
    finding, step, summary = outcome.err.splitlines()
    assert re.match(rf"{STAMP} ✗ Pancake: {box.pancake.page_ids()[1]} token: ", finding)
    assert re.match(f"{STAMP} → ", step)
    assert re.match(f"{STAMP} check: ", summary)


def test_quiet_json(sandbox: StartSandbox, run: Command) -> None:
    """`--json` prints its object with `-q`, too, and nothing else."""
    outcome = run(_damaged(sandbox), "check", "-q", "--json")
    assert (read(outcome).code, outcome.err) == (3, "")


def test_verbose(sandbox: StartSandbox, run: Command) -> None:
    """`-v` logs each request, with the token redacted."""
    box = sandbox(customers=3)
    outcome = run(box, "check", "-v", "--json")
    logged = re.findall(r"(?:Pancake|FolkForm): GET /.*", outcome.err)
    assert len(logged) == box.requests.count()
    assert all("page_access_token=***" in line for line in logged if "page_customers" in line)


def test_debug(sandbox: StartSandbox, run: Command) -> None:
    """`--debug` prints the traceback behind a finding."""
    box = sandbox(customers=3)
    assert "Traceback" not in run(box, "check", "-v", FOLKFORM_TOKEN="a-token-that-is-wrong").output
    outcome = run(box, "check", "--debug", FOLKFORM_TOKEN="a-token-that-is-wrong")
    assert "Traceback (most recent call last)" in outcome.err
    assert "TokenRefused" in outcome.err
    assert "a-token-that-is-wrong" not in outcome.output


@pytest.mark.parametrize("arguments", [[], ["--json"], ["-q"], ["-v", "--debug"]])
def test_nothing_private(sandbox: StartSandbox, run: Command, arguments: list[str]) -> None:
    """Names of customers, phone numbers and tokens are in no output."""
    box = _damaged(sandbox)
    page_ids = box.pancake.page_ids()
    outcome = run(box, "check", *arguments, PANCAKE_ACCESS_TOKEN="canary-user-token", CUSTOMER_SYNC_RENEW_TOKENS="0")
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
    outcome = run(box, "check", *arguments)
    assert outcome.code == 0
    assert not any(mark in outcome.output for mark in (_ESCAPE, "\r", "\x07", "\u202e"))
    assert _marked(outcome.out, "✗") == []
    if not arguments:
        assert r"Shop [red]\x1b[31m\r\n" in outcome.out


def test_a_full_disk(sandbox: StartSandbox, run: Command) -> None:
    """Findings that cannot be written are an error, reported once: exit code 1."""
    environment = run.environment(sandbox(customers=3))
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [COMMAND, "check"], env=environment, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert ended.returncode == 1
    assert ended.stderr.count("No space left on device") == 1


# The end


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals(sandbox: StartSandbox, run: Command, sent: signal.Signals, code: int) -> None:
    """A signal stops it; the findings so far are printed."""
    box = sandbox(customers=3, folkform_latency=0.4)
    process = run.start(box, "check", "--json")
    box.requests.wait_for(lambda request: request.service == "folkform")
    process.send_signal(sent)
    checked = read(run.end(process))
    assert (checked.code, checked.json["status"]) == (code, "interrupted")
    assert "Settings: FOLKFORM_BASE_URL" in checked
    assert box.requests.count("pancake") == 0


def test_a_time_limit(sandbox: StartSandbox, run: Command) -> None:
    """It starts no wait that would exceed CUSTOMER_SYNC_MAX_RUNTIME; an incomplete check is exit code 75."""
    box = sandbox(customers=3, folkform_limit=1, folkform_window=60.0)
    started = time.monotonic()
    checked = check(run, box, CUSTOMER_SYNC_MAX_RUNTIME="5s")
    assert (checked.code, checked.json["status"]) == (75, "stopped")
    assert time.monotonic() - started < 10
