"""The output of the passes: for people, for programs, with `-q`; and what is never printed."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.request import Request, urlopen

import pytest
import typer.main
from rich.cells import cell_len

import customer_sync
from customer_sync.cli.app import app
from customer_sync.sandbox import Sandbox

from .conftest import (
    Command,
    StartSandbox,
    fill_folkform,
    on_a_terminal,
    only_page,
    people,
    person,
    refuse,
    without_colours,
)

PASSES = ["incremental", "backfill"]
_NAME, _PHONE, _EMAIL = "Canary Bích Ngọc", "0987654321", "canary@example.com"
_ESCAPE = "\x1b"


def _troubled(start: StartSandbox) -> Sandbox:
    """A sandbox with customers that are new, unchanged, refused and malformed, all with canaries as personal data."""
    box = start(pages=2)
    page_id, other = box.pancake.page_ids()
    box.pancake.add_customers(page_id, people(60, 3600, 600))
    fill_folkform(box)
    private: dict[str, Any] = {
        "name": _NAME,
        "phone_numbers": [_PHONE],
        "email": _EMAIL,
        "notes": [{"message": f"call {_NAME} at {_PHONE}"}],
    }
    box.pancake.add_customers(page_id, [person(f"canary{number}", 600 + number, **private) for number in range(5)])
    box.pancake.add_customer(page_id, person("refused", 900, **private))
    refuse(box, "refused", "cannot store {name}, {phone}")
    box.pancake.add_customer(page_id, {**person("malformed", 95, **private), "id": None})
    box.pancake.add_customer(other, {**person("broken", 95, **private), "psid": {"name": _NAME}})
    return box


def _secrets(box: Sandbox) -> list[str]:
    tokens = [box.environment["FOLKFORM_TOKEN"]]
    for page_id in box.pancake.page_ids():
        tokens += [box.pancake.page_token(page_id) or "", box.pancake.user_token(page_id) or ""]
    return [token for token in tokens if token]


_NUMBERS = {"read", "upserted", "unchanged", "skipped", "failed", "malformed", "requests"}


def test_json(sandbox: StartSandbox, run: Command) -> None:
    """`--json` prints one object of exactly the documented shape."""
    box = _troubled(sandbox)
    outcome = run(box, "incremental", "--json")
    assert outcome.out.count("\n") == 1
    result = outcome.json
    assert list(result) == [
        *("pass", "status", "complete", "exit_code", "dry_run", "shard", "started_at", "duration_s"),
        *("totals", "error", "stopped", "warnings", "pages"),
    ]
    assert (result["pass"], result["status"], result["complete"]) == ("incremental", "partial", True)
    assert (result["exit_code"], outcome.code, result["dry_run"], result["error"]) == (1, 1, False, None)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", result["started_at"])
    assert isinstance(result["duration_s"], float)
    assert (result["shard"], result["warnings"]) == (None, [])
    assert set(result["totals"]) == {"pages", *_NUMBERS}
    for page in result["pages"]:
        assert set(page) == {
            *("page_id", "status", "complete", "since", "until", "error", "warnings", "customers"),
            *_NUMBERS,
        }
        assert all(type(page[number]) is int for number in {*_NUMBERS, "since", "until"})
    customers = outcome.page(box.pancake.page_ids()[0])["customers"]
    assert all(set(customer) == {"psid", "id", "problem", "reason", "next_step"} for customer in customers)
    assert {(customer["psid"], customer["id"], customer["problem"]) for customer in customers} == {
        ("refused", "id-refused", "failed"),
        ("malformed", None, "malformed"),
    }


def test_json_of_a_pass_that_could_not_begin(sandbox: StartSandbox, run: Command) -> None:
    """Even when FolkForm refuses us, `--json` prints its object, with the error in it."""
    outcome = run(sandbox(), "incremental", "--json", FOLKFORM_TOKEN="a-token-that-is-wrong")
    result = outcome.json
    assert (result["status"], result["complete"], result["exit_code"]) == ("failed", False, 3)
    assert "FOLKFORM_TOKEN" in result["error"]
    assert result["pages"] == []


@pytest.mark.parametrize("command", PASSES)
def test_the_summary_adds_up(sandbox: StartSandbox, run: Command, command: str) -> None:
    """Read is upserted + unchanged + failed + malformed, of each page, in all, and in the sentence."""
    box = _troubled(sandbox)
    outcome = run(box, command, "--json")
    for counts in (outcome.totals, *outcome.json["pages"]):
        assert counts["read"] == sum(counts[name] for name in ("upserted", "unchanged", "failed", "malformed"))
    for name in _NUMBERS - {"requests"}:
        assert outcome.totals[name] == sum(page[name] for page in outcome.json["pages"])
    spoken = run(box, command).out
    numbers = [int(number.replace(",", "")) for number in re.findall(r"([\d,]+) (?:read|\w+)(?= \+|;| =)", spoken)]
    assert len(numbers) >= 5
    assert numbers[0] == sum(numbers[1:5])


def test_quiet(sandbox: StartSandbox, run: Command) -> None:
    """`-q` prints nothing about malformed customers, and on stderr what failed."""
    box = sandbox(customers=20)
    box.pancake.add_customer(only_page(box), {**person("x", 90), "id": None})
    assert run(box, "backfill", "-q").output == ""
    box.pancake.add_customer(only_page(box), person("refused", 90))
    refuse(box, "refused")
    outcome = run(box, "incremental", "-q")
    assert (outcome.code, outcome.out) == (1, "")
    assert "refused" in outcome.err


def test_quiet_json(sandbox: StartSandbox, run: Command) -> None:
    """With `-q`, `--json` prints its object and nothing else."""
    outcome = run(sandbox(customers=20), "incremental", "-q", "--json")
    assert (outcome.json["status"], outcome.err) == ("ok", "")


def test_verbose(sandbox: StartSandbox, run: Command) -> None:
    """`-v` logs each request, with the token masked."""
    box = sandbox(customers=20)
    outcome = run(box, "backfill", "-v", "--json")
    logged = [line for line in outcome.err.splitlines() if re.search(r"(Pancake|FolkForm): (GET|POST) /", line)]
    assert len(logged) == outcome.totals["requests"] == len(box.requests.recent)
    assert all("page_access_token=***" in line for line in logged if "page_customers" in line)
    assert not any(secret in outcome.output for secret in _secrets(box))


def test_debug(sandbox: StartSandbox, run: Command) -> None:
    """`--debug` adds the traceback of an error, without secrets."""
    box = sandbox(pages=2, customers=5)
    page_id = box.pancake.page_ids()[0]
    box.folkform.set_page(page_id, pageAccessToken="page-token-that-is-wrong", accessToken="")
    assert "Traceback" not in run(box, "incremental", "-v").output
    outcome = run(box, "incremental", "--debug", "-v")
    assert "Traceback (most recent call last)" in outcome.err
    assert "TokenRefused" in outcome.err
    assert not any(secret in outcome.output for secret in [*_secrets(box), "page-token-that-is-wrong"])


@pytest.mark.parametrize("arguments", [[], ["-v"], ["--json"], ["-q"], ["-v", "--debug", "--json"]])
def test_nothing_private(sandbox: StartSandbox, run: Command, arguments: list[str]) -> None:
    """Names, phone numbers and tokens are never printed, and colours only on a terminal."""
    box = _troubled(sandbox)
    for command in PASSES:
        outcome = run(box, command, *arguments, TERM="xterm-256color")
        assert outcome.code == 1
        for private in (_NAME, "Canary", "Bích", _PHONE, _EMAIL, "Mai Thảo", *_secrets(box), _ESCAPE):
            assert private not in outcome.output


class _EchoingFolkForm(BaseHTTPRequestHandler):
    """Forwards reading calls to a sandbox; refuses every upsert with a message that quotes the customer."""

    address = ""
    seen: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.seen.append(self.path)
        path = self.path.removeprefix(self.address)  # A proxy gets whole addresses.
        headers = {name: self.headers[name] for name in ("Authorization", "X-Active-Role-ID") if name in self.headers}
        request = Request(self.address + path, headers=headers)  # noqa: S310
        with urlopen(request) as answer:  # noqa: S310
            self._answer(200, answer.read())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        customer = json.loads(body)["panCakeData"]
        message = f"cannot store {customer['name']}, {customer['phone_numbers']}: {customer['email']}"
        envelope = {"code": "VAL_002", "message": message, "status": "error"}
        self._answer(400, json.dumps(envelope).encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Logs nothing."""


@contextmanager
def _echoing(box: Sandbox, seen: list[str]) -> Iterator[str]:
    """The address of a server in front of *box* that refuses and echoes; *seen* gets the paths that are read."""
    handler = type("Handler", (_EchoingFolkForm,), {"address": box.url, "seen": seen})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_an_echo_is_masked(sandbox: StartSandbox, run: Command) -> None:
    """FolkForm's message about a refused customer is printed without name, phone number and address."""
    box = sandbox()
    private = {"name": _NAME, "phone_numbers": [_PHONE], "email": _EMAIL}
    box.pancake.add_customers(only_page(box), [person(f"p{number}", 60 + number, **private) for number in range(3)])
    with _echoing(box, []) as address:
        for arguments in ([], ["--json"], ["-v", "--debug"]):
            outcome = run(box, "incremental", *arguments, FOLKFORM_BASE_URL=f"{address}/folkform/api/v1")
            assert outcome.code == 1
            for detail in (_NAME, "Canary", _PHONE, _EMAIL):
                assert detail not in outcome.output


def test_a_proxy(sandbox: StartSandbox, run: Command) -> None:
    """The environment's proxy is used, except for hosts in NO_PROXY."""
    box = sandbox(pages=0)
    seen: list[str] = []
    with _echoing(box, seen) as address:
        assert run(box, "incremental", http_proxy=address).code == 0
        assert [path.startswith(box.environment["FOLKFORM_BASE_URL"]) for path in seen] == [True, True]
        assert run(box, "incremental", http_proxy=address, no_proxy="127.0.0.1").code == 0
        assert len(seen) == 2


@pytest.mark.parametrize("arguments", [[], ["-v"], ["--json"]])
def test_a_page_name_forges_no_output(sandbox: StartSandbox, run: Command, arguments: list[str]) -> None:
    """Control characters in a page's name are escaped, so that it can neither colour nor forge a line."""
    box = sandbox(customers=3)
    box.folkform.set_page(only_page(box), pageName="Shop [red]\x1b[31m\r\nERROR: forged\x07\u202e")
    outcome = run(box, "incremental", *arguments)
    assert outcome.code == 0
    assert not any(mark in outcome.output for mark in (_ESCAPE, "\r", "\x07", "\u202e"))
    assert not any(line.startswith("ERROR") for line in outcome.output.splitlines())
    if not arguments:
        assert r"Shop [red]\x1b[31m\r\nERROR: forged\x07\u202e" in outcome.err


_HOSTILE = "9\x1b]0;owned\x07\x1b[2J\r\nok\u202e\x9b31m"


@pytest.mark.parametrize(
    "arguments",
    [
        ["check"],
        ["check", "-q"],
        ["incremental"],
        ["backfill", "-v", "--dry-run"],
        ["verify"],
        ["status"],
        ["check", "--json"],
    ],
)
def test_a_page_id_moves_no_cursor(sandbox: StartSandbox, run: Command, arguments: list[str]) -> None:
    """A control character in a page's id or name reaches no stream, no terminal and no monitor."""
    box = sandbox()
    box.add_page(_HOSTILE, name=_HOSTILE)
    box.folkform.set_page(_HOSTILE, pageAccessToken="wrong-page-token", accessToken="")
    outcome = run(box, *arguments)
    assert not set("\x1b\x07\r\u202e\x9b") & set(outcome.output)
    assert r"\x1b[2J" in outcome.output or "--json" in arguments
    _, shown = on_a_terminal(run.environment(box), *arguments)
    assert not any(mark in shown for mark in ("\x1b]0", "\x1b[2J", "\x07", "\u202e", "\x9b31m"))


def test_half_characters(sandbox: StartSandbox, run: Command) -> None:
    """Text that is not valid Unicode is escaped in every form of output."""
    box = sandbox(customers=3)
    half = "half\ud800"
    box.folkform.set_page(only_page(box), pageName=half)
    box.pancake.add_customer(only_page(box), {**person("x", 90, id=half), "psid": True})
    plain = run(box, "incremental", "-v")
    assert plain.code == 0
    assert r"half\ud800 (" in plain.err
    assert "Pancake id half\ufffd malformed" in plain.err
    outcome = run(box, "incremental", "--json")
    assert outcome.code == 0
    assert [customer["id"] for customer in outcome.page(only_page(box))["customers"]] == ["half\ufffd"]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1", "cp1258"])
def test_json_in_every_encoding(sandbox: StartSandbox, run: Command, encoding: str) -> None:
    """JSON has Vietnamese as it is where the encoding of the stream is Unicode, and is valid JSON in any other."""
    box = sandbox(customers=3)
    name = "Trà sữa Hạ Long é 😀\u202e\x9b"
    box.folkform.set_page(only_page(box), pageName=name)
    shown = run(box, "status", "--json", "--log-format", "json", PYTHONIOENCODING=encoding)
    assert shown.code == 0
    assert [page["name"] for page in shown.json["pages"]] == [name]
    assert not {"\u202e", "\x9b"} & set(shown.output)
    assert ("Trà sữa Hạ Long é 😀" in shown.out) == (encoding == "utf-8")
    assert ("Trà sữa" in shown.err) == (encoding == "utf-8")
    assert all(json.loads(line) for line in shown.err.splitlines())


def test_a_terminal(sandbox: StartSandbox, run: Command) -> None:
    """On a terminal there is a table with every page and its counts, and the summary below it."""
    box = sandbox(pages=2, customers=30)
    code, shown = on_a_terminal(run.environment(box), "backfill")
    plain = without_colours(shown)
    assert code == 0
    assert _ESCAPE in shown
    assert all(word in plain for word in ("Page", "Status", "Read", "Upserted", "Requests"))
    for page_id in box.pancake.page_ids():
        assert re.search(rf"\({page_id}\) +ok +30 +30 +\d+ *$", plain.replace("\r", ""), re.MULTILINE)
    # All of them are 0.
    assert not any(word in plain for word in ("Unchanged", "Failed", "Malformed"))
    assert "60 read = 60 upserted" in plain
    quiet = on_a_terminal(run.environment(box), "incremental", "-q")
    assert quiet == (0, "")


@pytest.mark.parametrize("columns", [60, 80])
@pytest.mark.parametrize("command", ["incremental", "verify"])
def test_a_narrow_terminal(sandbox: StartSandbox, run: Command, command: str, columns: int) -> None:
    """Every count is shown in the width of the terminal, and an id in one piece."""
    box = _troubled(sandbox)
    for page_id in box.pancake.page_ids():
        box.folkform.set_page(page_id, pageName="北京烤鸭店 Cửa hàng mỹ phẩm thiên nhiên Hương Sen chi nhánh Hoàn Kiếm")
    lines = without_colours(on_a_terminal(run.environment(box), command, columns=columns)[1]).splitlines()
    start = max(number for number, line in enumerate(lines) if line.startswith(f"customer-sync {command}, "))
    end = next(number for number, line in enumerate(lines) if number > start and line.startswith("Page "))
    # Where the table has room, its titles begin with the same word.
    end = next(n for n, line in enumerate(lines) if n > end and line.startswith("Page ")) if columns == 80 else end
    table = lines[start:end]
    assert max(map(cell_len, table)) <= columns
    for page_id in box.pancake.page_ids():
        assert any(page_id in line for line in table)
    counts = {"incremental": ("Read", "Failed", "Malformed"), "verify": ("Pancake", "Missing", "Malformed")}
    assert all(count in "".join(table) for count in counts[command])


def test_the_live_display(sandbox: StartSandbox, run: Command) -> None:
    """It counts the pages, shows what was read where the end is unknown, and fits the terminal."""
    box = sandbox(pages=3, customers=60, pancake_latency=0.4)
    for page_id in box.pancake.page_ids():
        box.folkform.set_page(page_id, pageName="北京烤鸭店上海分店官方旗舰店客户服务中心")
    environment = run.environment(box, CUSTOMER_SYNC_PAGES_AT_ONCE="1")
    for command, count in (("incremental", r"\d+ read"), ("backfill", r"\d+ of 60")):
        code, shown = on_a_terminal(environment, command, columns=60)
        live = without_colours(shown).partition("customer-sync ")[0]
        assert code == 0
        assert all(f"page {number} of 3" in live for number in (1, 2, 3))
        assert re.search(rf"北京\S* +(━+ )?{count}", live)
        assert "?" not in live
        assert max(map(cell_len, re.split(r"[\r\n]+", live))) <= 60


def test_a_terminal_shows_the_limit(sandbox: StartSandbox, run: Command) -> None:
    """While the run waits for FolkForm's limit, the display shows the wait in place of a speed."""
    box = sandbox(customers=80, folkform_limit=40, folkform_window=3.0)
    code, shown = on_a_terminal(run.environment(box), "backfill")
    assert code == 0
    assert re.search(r"FolkForm's limit: [23] s", shown)


def test_version(run: Command) -> None:
    """`--version` prints name and version."""
    outcome = run(None, "--version")
    assert (outcome.code, outcome.output) == (0, f"customer-sync {customer_sync.__version__}\n")


_COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", sorted(_COMMANDS))
def test_help(run: Command, command: str) -> None:
    """`--help` of each command lists every one of its options, and needs no settings."""
    outcome = run(None, command, "--help", COLUMNS="160")
    assert outcome.code == 0
    for parameter in _COMMANDS[command].params:
        assert all(option in outcome.out for option in parameter.opts)


def test_help_of_all(run: Command) -> None:
    """Without a command, and with `--help`, every command is listed."""
    outcome = run(None, "--help")
    assert outcome.code == 0
    assert all(command in outcome.out for command in _COMMANDS)
    assert all(command in run(None).output for command in _COMMANDS)
