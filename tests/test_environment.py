"""Any environment of a scheduler, a container or a terminal: the command runs, or names what is missing."""

import calendar
import json
import os
import pty
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from customer_sync.sandbox import Fault, Sandbox

from .conftest import COMMAND, Command, Outcome, StartSandbox, fill_folkform, only_page, people, person, wait_until
from .surroundings import ConnectProxy, Relay, make_certificate, permitted, served

_SHOP = "Trà sữa Hạ Long"
_ESCAPED = r"Tr\xe0 s\u1eefa H\u1ea1 Long"
_ESCAPE = "\x1b"


@pytest.fixture(scope="module")
def shared() -> Iterator[Sandbox]:
    with Sandbox(pages=1, customers=0) as box:
        box.folkform.set_page(only_page(box), pageName=_SHOP)
        box.pancake.add_customers(only_page(box), people(5, 600, 600))
        fill_folkform(box)
        yield box


@pytest.fixture
def shop(shared: Sandbox) -> Sandbox:
    """A sandbox that several tests share; its sides differ by a new customer."""
    count = len(shared.pancake.customers(only_page(shared)))
    shared.pancake.add_customer(only_page(shared), person(f"new{count}", 60))
    shared.requests.clear()
    return shared


def _run(arguments: list[Any], environment: dict[str, str], **more: Any) -> Outcome:
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    ended = subprocess.run(arguments, env=environment, timeout=60, check=False, encoding="utf-8", **streams)
    return Outcome(ended.returncode, ended.stdout or "", ended.stderr or "")


def _in_shell(script: str, *arguments: str, environment: dict[str, str], **more: Any) -> Outcome:
    """Runs the command in a shell script, as `exec "$@"`."""
    return _run(["/bin/sh", "-c", script, "sh", COMMAND, *arguments], environment, **more)


def _has_one_error(text: str, part: str) -> None:
    """Exactly one line is an error, contains *part*, and is not a traceback."""
    assert "Traceback" not in text
    (error,) = [line for line in text.splitlines() if "Error" in line]
    assert part in error


# A scheduler's bare environment


def test_a_bare_environment(sandbox: StartSandbox) -> None:
    """`env -i PATH=… HOME=/ LANG=C`, in /, without terminal or stdin, is enough; the locks go to /tmp."""
    box = sandbox(pages=0)
    page_id = f"bare-{os.getpid()}"  # All tests share this lock directory.
    box.add_page(page_id, _SHOP)
    box.pancake.add_customers(page_id, people(30, 60, 600_000))
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/", "LANG": "C", **box.whole_environment}
    locks = Path("/tmp") / f"customer-sync-{os.getuid()}"  # noqa: S108
    try:
        outcome = _in_shell('exec "$@" <&-', "backfill", environment=environment, cwd="/")
        assert (outcome.code, outcome.err.count("\n")) == (0, 1)
        assert f"{_SHOP} ({page_id}): ok" in outcome.err
        assert "backfill: ok, 1 page, 30 read = 30 upserted" in outcome.out
        assert box.difference().equal
        assert locks.stat().st_mode & 0o777 == 0o700
        assert {path.name for path in locks.glob(f"*-{page_id}.lock")} == {
            f"incremental-{page_id}.lock",
            f"backfill-{page_id}.lock",
        }
    finally:
        for path in locks.glob(f"*-{page_id}.lock"):
            path.unlink()


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"LC_ALL": "C"}, _SHOP),
        ({"LC_ALL": "POSIX"}, _SHOP),
        ({"PYTHONIOENCODING": "ascii"}, _ESCAPED),
        ({"PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}, _ESCAPED),
    ],
    ids=str,
)
def test_vietnamese(shop: Sandbox, run: Command, settings: dict[str, str], name: str) -> None:
    """Vietnamese text is stored unchanged in every locale, and shown, escaped where the encoding lacks it."""
    outcome = _run([COMMAND, "incremental", "-v"], run.environment(shop, **settings))
    assert outcome.code == 0
    assert f"{name} ({only_page(shop)}): ok" in outcome.err
    assert shop.difference().equal
    assert {stored["panCakeData"]["name"] for stored in shop.folkform.documents(only_page(shop))} == {"Mai Thảo"}


# Both ends of a window, which each zone writes differently.
_FIRST, _LAST = "2019-01-31T07:30:00", "2019-07-31T19:30:59"
_WINDOW = (1548919800, 1564601459)


@pytest.mark.parametrize(
    ("zone", "since", "until", "offsets"),
    [
        ("Asia/Ho_Chi_Minh", "2019-01-31T14:30", "2019-08-01 02:30:59", ["+07:00", "+07:00"]),
        ("America/New_York", "2019-01-31T02:30", "2019-07-31 15:30:59", ["-05:00", "-04:00"]),
        ("Asia/Kathmandu", "2019-01-31T13:15", "2019-08-01 01:15:59", ["+05:45", "+05:45"]),
    ],
)
def test_time_zones(sandbox: StartSandbox, run: Command, zone: str, since: str, until: str, offsets: list[str]) -> None:
    """The same pass in every zone; a time given without a zone is the machine's, which is logged."""
    if not Path("/usr/share/zoneinfo", zone).exists():
        pytest.skip("this machine knows no time zones (tzdata)")
    box = sandbox()
    times = {"early": "2019-01-31T07:29:59", "first": _FIRST, "last": _LAST, "late": "2019-07-31T19:31:00"}
    for psid, at in times.items():
        box.pancake.add_customer(only_page(box), person(psid, 0, inserted_at=at, updated_at=f"{at}.900000"))
    before = int(time.time())
    outcome = run(box, "incremental", "--json", "--since", since, "--until", until, TZ=zone)
    assert outcome.code == 0
    assert re.findall(r"this machine's time zone: .* ([+-]\d\d:\d\d)", outcome.err) == offsets
    page = outcome.page(only_page(box))
    assert (page["since"], page["until"]) == _WINDOW
    assert {stored["psid"] for stored in box.folkform.documents(only_page(box))} == {"first", "last"}
    assert before <= calendar.timegm(time.strptime(outcome.json["started_at"], "%Y-%m-%dT%H:%M:%SZ")) <= time.time()


# Streams


@contextmanager
def _full_disk() -> Iterator[int]:
    with Path("/dev/full").open("w") as full:
        yield full.fileno()


@contextmanager
def _dead_pipe() -> Iterator[int]:
    """A pipe without a reader."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@pytest.mark.parametrize("arguments", [["incremental"], ["incremental", "--json"]])
def test_a_result_that_cannot_be_written(shop: Sandbox, run: Command, arguments: list[str]) -> None:
    """A full disk loses the result: one error and exit 1; the work is done."""
    with _full_disk() as broken:
        outcome = _run([COMMAND, *arguments], run.environment(shop), stdout=broken)
    assert outcome.code == 1
    _has_one_error(outcome.err, "the result cannot be written to standard output (No space left on device)")
    assert shop.difference().equal


@pytest.mark.parametrize("arguments", [["incremental"], ["incremental", "--json"], ["status"], ["check"]])
def test_a_reader_that_has_read_enough(shop: Sandbox, run: Command, arguments: list[str]) -> None:
    """A closed pipe, as after `| head -1`, is no error: exit 1 and no message; the work is done."""
    with _dead_pipe() as broken:
        outcome = _run([COMMAND, *arguments], run.environment(shop), stdout=broken)
    assert outcome.code == 1
    assert not any(word in outcome.err for word in ("rror", "roken", "Traceback"))
    assert shop.difference().equal == ("incremental" in arguments)


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_into_a_full_disk(run: Command, argument: str) -> None:
    """Help that cannot be written is an error, exit 1."""
    with _full_disk() as full:
        outcome = _run([COMMAND, argument], run.environment(None), stdout=full)
    assert outcome.code == 1
    _has_one_error(outcome.err, "the result cannot be written to standard output (No space left on device)")


def test_help_into_a_closed_pipe(run: Command) -> None:
    """A closed pipe ends help without another message."""
    with _dead_pipe() as pipe:
        assert _run([COMMAND, "--help"], run.environment(None), stdout=pipe) == Outcome(1, "", "")


@pytest.mark.parametrize("stream", [_dead_pipe, _full_disk])
def test_a_log_that_cannot_be_written(shop: Sandbox, run: Command, stream: Any) -> None:
    """A broken stderr ends no pass."""
    with stream() as broken:
        outcome = _run([COMMAND, "incremental", "--json", "-v"], run.environment(shop), stderr=broken)
    assert (outcome.code, outcome.json["complete"]) == (0, True)
    assert shop.difference().equal


@pytest.mark.parametrize("stream", [_dead_pipe, _full_disk])
def test_a_usage_error_that_cannot_be_written(run: Command, stream: Any) -> None:
    """A broken stderr changes no exit code."""
    with stream() as broken:
        assert _run([COMMAND, "incremental", "--nonsense"], run.environment(None), stderr=broken) == Outcome(2, "", "")


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(shop: Sandbox, run: Command, closed: str) -> None:
    """No file opened later replaces a closed stream: no log line gets into a lock or a request."""
    outcome = _in_shell(f'exec "$@" {closed}', "backfill", "-v", environment=run.environment(shop))
    assert outcome.code == 0
    assert ("backfill: ok" in outcome.out) == (">&-" not in closed.split())
    assert (_SHOP in outcome.err) == ("2>&-" not in closed)
    assert all(json.loads(path.read_text())["pid"] for path in run.lock_dir.iterdir())
    assert shop.difference().equal


@pytest.mark.parametrize("argument", ["--help", "--nonsense"])
def test_all_streams_closed(run: Command, argument: str) -> None:
    """With every stream closed the exit code is still the right one."""
    outcome = _in_shell('exec "$@" <&- >&- 2>&-', argument, environment=run.environment(None))
    assert outcome == Outcome(2 if argument == "--nonsense" else 0, "", "")


# Directories


@pytest.mark.parametrize("wrong", ["{tmp}/file/locks", "/proc/customer-sync", "~nobody-by-this-name/locks"])
def test_a_lock_directory_that_cannot_be(run: Command, tmp_path: Path, wrong: str) -> None:
    """A lock directory that cannot be used is named before anything is asked, exit code 2."""
    (tmp_path / "file").touch()
    directory = wrong.format(tmp=tmp_path)
    nowhere = {"FOLKFORM_BASE_URL": "http://127.0.0.1:9/api/v1", "FOLKFORM_TOKEN": "x"}
    outcome = run(None, "incremental", **nowhere, CUSTOMER_SYNC_LOCK_DIR=directory)
    assert (outcome.code, outcome.out) == (2, "")
    _has_one_error(outcome.err, "CUSTOMER_SYNC_LOCK_DIR")
    assert directory in outcome.err


@pytest.fixture(scope="module")
def read_only() -> list[str]:
    """What makes the whole file system read-only for a command, but for the directories that are its first argument."""
    script = (
        'for kept in $1; do mount --bind "$kept" "$kept" || exit 1; done; '
        'mount -o remount,bind,ro / || exit 1; shift; exec "$@"'
    )
    return permitted(["--mount"], ["--user", "--map-root-user", "--mount"], then=["/bin/sh", "-c", script, "sh"])


@pytest.fixture(scope="module")
def nameless() -> list[str]:
    """What makes a command run as a user without a name, who is bound by permissions."""
    return permitted(["--user", "--map-user=12345", "--map-group=12345"])


def test_a_read_only_file_system(shop: Sandbox, run: Command, read_only: list[str]) -> None:
    """With everything but the lock directory read-only it runs: it writes nowhere else."""
    run.lock_dir.mkdir()
    environment = {**run.environment(shop), "HOME": "/"}
    outcome = _run([*read_only, str(run.lock_dir), COMMAND, "backfill", "-v"], environment, cwd="/")
    assert (outcome.code, "Read-only" in outcome.output) == (0, False)
    assert shop.difference().equal


@pytest.mark.parametrize("made", [True, False])
def test_a_read_only_lock_directory(shop: Sandbox, run: Command, read_only: list[str], made: bool) -> None:
    """A read-only lock directory is named, exit code 2, and no customer is written."""
    if made:
        run.lock_dir.mkdir()
    outcome = _run([*read_only, "", COMMAND, "incremental"], run.environment(shop))
    assert outcome.code == 2
    assert f"CUSTOMER_SYNC_LOCK_DIR {run.lock_dir} cannot be used (Read-only file system)" in outcome.err
    assert "Traceback" not in outcome.err
    assert not shop.difference().equal


def test_a_lock_directory_of_another(shop: Sandbox, run: Command, nameless: list[str]) -> None:
    """A lock directory that its user may not write to is named, exit code 2."""
    run.lock_dir.mkdir(mode=0o500)
    outcome = _run([*nameless, COMMAND, "incremental"], run.environment(shop))
    assert outcome.code == 2
    assert f"CUSTOMER_SYNC_LOCK_DIR {run.lock_dir} cannot be used (Permission denied)" in outcome.err


def test_a_user_without_a_name(shop: Sandbox, run: Command, nameless: list[str]) -> None:
    """A user without a passwd entry, without HOME and in an unreadable directory, syncs."""
    environment = run.environment(shop)
    del environment["HOME"]
    script = 'mkdir "$1/cwd" && cd "$1/cwd" && chmod 0 . && shift && exec "$@"'
    outcome = _run([*nameless, "/bin/sh", "-c", script, "sh", run.home, COMMAND, "incremental"], environment)
    assert (outcome.code, outcome.err.count("\n")) == (0, 1)
    assert shop.difference().equal
    (run.home / "cwd").chmod(0o700)
    environment["CUSTOMER_SYNC_LOCK_DIR"] = "~/locks"
    outcome = _run([*nameless, COMMAND, "incremental"], environment)
    assert outcome.code == 2
    _has_one_error(outcome.err, "CUSTOMER_SYNC_LOCK_DIR is '~/locks'")


def test_writes_only_locks(shop: Sandbox, run: Command, tmp_path: Path) -> None:
    """Home, working and temporary directory stay as they were: only lock files are left."""
    for name in ("home", "cwd", "tmp"):
        (tmp_path / name).mkdir()
    environment = run.environment(shop, HOME=str(tmp_path / "home"), TMPDIR=str(tmp_path / "tmp"))
    assert _run([COMMAND, "backfill", "-v", "--json"], environment, cwd=tmp_path / "cwd").code == 0
    files = {path for path in tmp_path.rglob("*") if not path.is_dir()}
    assert files == {run.lock_dir / f"{name}-{only_page(shop)}.lock" for name in ("incremental", "backfill")}


def test_a_deleted_directory(shop: Sandbox, run: Command) -> None:
    """In a deleted working directory it runs; only a relative lock directory cannot be made."""
    deleted = 'mkdir cwd && cd cwd && rmdir ../cwd && exec "$@"'
    assert _in_shell(deleted, "backfill", environment=run.environment(shop), cwd=run.home).code == 0
    assert shop.difference().equal
    environment = run.environment(shop, CUSTOMER_SYNC_LOCK_DIR="locks")
    outcome = _in_shell(deleted, "incremental", environment=environment, cwd=run.home)
    assert (outcome.code, outcome.out) == (2, "")
    _has_one_error(outcome.err, "CUSTOMER_SYNC_LOCK_DIR locks cannot be used (No such file or directory)")


# Terminals


@contextmanager
def _terminal(environment: dict[str, str], *arguments: str, **streams: Any) -> Iterator[tuple[Any, int]]:
    """The process, and our end of its terminal, to be closed; the process ignores SIGHUP."""
    ours, theirs = pty.openpty()
    with_terminal = {"stdin": theirs, "stdout": theirs, "stderr": theirs, **streams}
    script = 'trap "" HUP; exec "$@"'
    with subprocess.Popen(["/bin/sh", "-c", script, "sh", COMMAND, *arguments], env=environment, **with_terminal) as it:
        os.close(theirs)
        try:
            yield it, ours
        finally:
            it.kill()


def _on_a_terminal(environment: dict[str, str], *arguments: str) -> str:
    """What the command shows on a terminal."""
    shown = b""
    with _terminal(environment, *arguments) as (process, ours):
        with suppress(OSError):  # on Linux, when the other end is closed
            while chunk := os.read(ours, 65536):
                shown += chunk
        os.close(ours)
        assert process.wait(30) == 0
    return shown.decode()


def _colours(text: str) -> list[str]:
    """The codes in *text* that set a colour."""
    codes = [code for codes in re.findall(r"\x1b\[([\d;]*)m", text) for code in codes.split(";")]
    return [code for code in codes if re.fullmatch(r"[349][0-8]|10[0-7]", code)]


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


@pytest.mark.parametrize(
    ("settings", "codes", "colours"),
    [
        ({}, True, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, False, False),
    ],
    ids=str,
)
def test_a_terminal(shop: Sandbox, run: Command, settings: dict[str, str], codes: bool, colours: bool) -> None:
    """A terminal gets a table in colours; with NO_COLOR none, and plain lines where it is dumb."""
    environment = run.environment(shop, **{"TERM": "xterm-256color", "COLUMNS": "140", **settings})
    shown = _on_a_terminal(environment, "incremental")
    assert (_ESCAPE in shown, bool(_colours(shown))) == (codes, colours)
    assert ("───" in shown) == codes
    assert f"{_SHOP} ({only_page(shop)})" in _plain(shown)
    assert "incremental: ok, 1 page, " in shown


def test_a_terminal_without_vietnamese(shop: Sandbox, run: Command) -> None:
    """A terminal that knows no Vietnamese gets its table all the same, names escaped."""
    environment = run.environment(shop, TERM="xterm", COLUMNS="140", PYTHONIOENCODING="ascii")
    assert f"{_ESCAPED} ({only_page(shop)})" in _plain(_on_a_terminal(environment, "incremental"))


@pytest.mark.parametrize(("settings", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)], ids=str)
def test_forced_colours(shop: Sandbox, run: Command, settings: dict[str, str], coloured: bool) -> None:
    """FORCE_COLOR without a terminal gives colours, unless NO_COLOR forbids them, and never a live display."""
    with shop.faults.add(Fault("status", endpoint="/page_customers", status=400, times=None)):
        outcome = run(shop, "incremental", "-v", FORCE_COLOR="1", TERM="xterm-256color", **settings)
    assert (outcome.code, bool(_colours(outcome.err))) == (3, coloured)
    assert not re.search(r"\x1b\[[\d;?]*[A-Za-ln-z]|\r", outcome.output)
    assert "───" not in outcome.output


@pytest.mark.parametrize(("columns", "widest"), [("60", 60), ("0", 80)])
def test_the_width(shop: Sandbox, run: Command, columns: str, widest: int) -> None:
    """Tables and help are as wide as COLUMNS, and 80 columns where that is 0; nothing is lost."""
    environment = run.environment(shop, TERM="xterm", COLUMNS=columns, LINES=columns)
    shown = _plain(_on_a_terminal(environment, "incremental"))
    table = shown[shown.index("customer-sync incremental") : shown.index("incremental: ok")].splitlines()
    assert max(map(len, table)) <= widest
    assert any(only_page(shop) in line for line in table)
    assert "incremental: ok, 1 page, " in shown
    options = run(None, "backfill", "--help", COLUMNS=columns).out.partition("Example:")[0]
    assert widest - 4 <= max(map(len, options.splitlines())) <= widest


def test_a_terminal_that_goes_away(shop: Sandbox, run: Command) -> None:
    """A lost connection in the middle of the display loses no customer and no result that goes elsewhere."""
    held = shop.faults.add(Fault("hang", endpoint="/upsert-one", times=None))
    result = run.home / "result.json"
    with (
        result.open("w") as stdout,
        _terminal(run.environment(shop, TERM="xterm"), "backfill", "--json", stdout=stdout) as (process, ours),
    ):
        shop.requests.wait_for(lambda request: request.fault == "hang")
        wait_until(lambda: b"page 1 of 1" in os.read(ours, 65536))
        os.close(ours)
        held.remove()
        outcome = Outcome(process.wait(30), result.read_text(), "")
    assert (outcome.code, outcome.json["complete"]) == (0, True)
    assert shop.difference().equal


# Proxies and certificates


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate that signs itself, for folkform.example and 127.0.0.1, and its key."""
    return make_certificate(tmp_path_factory.mktemp("certificate"))


def test_a_proxy_and_a_bundle(shop: Sandbox, run: Command, certificate: tuple[Path, Path]) -> None:
    """HTTPS_PROXY is used for FolkForm's host, REQUESTS_CA_BUNDLE for its certificate; NO_PROXY bypasses the proxy."""
    asked: list[str] = []
    with ExitStack() as servers:
        folkform = servers.enter_context(served(Relay, urlsplit(shop.url).netloc, [], certificate))
        proxy = servers.enter_context(served(ConnectProxy, folkform, asked))
        settings = {
            "HTTPS_PROXY": f"http://user:secret@{proxy}",
            "REQUESTS_CA_BUNDLE": str(certificate[0]),
            "NO_PROXY": "127.0.0.1",
        }
        named = "https://folkform.example/folkform/api/v1"
        outcome = run(
            shop, "incremental", "-v", **{**settings, "CUSTOMER_SYNC_WORKERS": "1", "FOLKFORM_BASE_URL": named}
        )
        assert (outcome.code, "secret" in outcome.output) == (0, False)
        assert set(asked) == {"folkform.example:443"}
        assert shop.difference().equal
        asked.clear()
        direct = f"https://{folkform}/folkform/api/v1"
        assert run(shop, "incremental", "-q", **{**settings, "FOLKFORM_BASE_URL": direct}).code == 0
        assert asked == []


@pytest.mark.parametrize(
    ("bundle", "why"),
    [
        (None, "self-signed certificate"),
        ("missing.pem", "bundle holds no certificate"),
        ("wrong.pem", "bundle holds no certificate"),
    ],
)
def test_no_trust(shop: Sandbox, run: Command, certificate: tuple[Path, Path], bundle: str | None, why: str) -> None:
    """A certificate that is not trusted is one error, at once: no retry can help."""
    (run.home / "wrong.pem").write_text("not a certificate")
    settings = {"REQUESTS_CA_BUNDLE": str(run.home / bundle)} if bundle else {}
    with served(Relay, urlsplit(shop.url).netloc, [], certificate) as folkform:
        settings["FOLKFORM_BASE_URL"] = f"https://{folkform}/folkform/api/v1"
        started = time.monotonic()
        outcome = run(shop, "incremental", **settings)
    assert (outcome.code, outcome.out, shop.requests.count()) == (3, "", 0)
    assert time.monotonic() - started < 5
    _has_one_error(outcome.err, f"{why}). Check REQUESTS_CA_BUNDLE")
    assert settings["FOLKFORM_BASE_URL"] in outcome.err
