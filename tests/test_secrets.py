"""Canary tokens, passwords, names and phone numbers in all places: no output contains any of them."""

import html
import json
import re
from typing import Any
from urllib.parse import quote, quote_plus, unquote

import pytest

from customer_sync.sandbox import Sandbox
from customer_sync.sandbox.faults import Fault

from .conftest import DAY, Command, Outcome, StartSandbox, ago, only_page

NAMES = ["Canarỵ Nguyễn Bích", "CANARY"]
PHONES = ["0901234567", "+84 901 234 567"]
SECRETS = {
    "FOLKFORM_PASSWORD": "p4ss/w0rd+canary=&ü",
    "FIREBASE_API_KEY": "AIza-canary-key/+=",
    "PANCAKE_ACCESS_TOKEN": "eyJ.canary-user-token.x/+=",
    "FOLKFORM_TOKEN": "canary-bearer-token",
}
PAGE_TOKEN = "canary/page+token=&%41"


def canaries(box: Sandbox) -> list[str]:
    """Every secret: plain, URL-encoded and escaped."""
    plain = [*SECRETS.values(), PAGE_TOKEN, *box.folkform.tokens, *NAMES, "Bích", *PHONES, "canary@example.com"]
    for page_id in box.pancake.page_ids():
        plain += [token for token in (box.pancake.page_token(page_id), box.pancake.user_token(page_id)) if token]
    return [form for text in plain for form in (text, quote(text, safe=""), quote_plus(text), json.dumps(text)[1:-1])]


@pytest.fixture
def box(sandbox: StartSandbox) -> Sandbox:
    """A page of canary customers: one has no psid, one is malformed, one is rejected by FolkForm."""
    started = sandbox()
    page_id = only_page(started)
    private = {"name": NAMES[0], "phone_numbers": PHONES, "email": "canary@example.com", "notes": [{"text": "CANARY"}]}
    rows: list[dict[str, Any]] = [
        {"id": f"id-{number}", "psid": f"p{number}", "updated_at": ago(60 + number * DAY), **private}
        for number in range(40)
    ]
    rows[0]["psid"] = None
    rows[1]["updated_at"] = "yesterday"
    started.pancake.add_customers(page_id, rows)
    started.folkform.set_page(page_id, pageAccessToken=PAGE_TOKEN)
    message = f"{{name}}, {{phone}} is taken: CANARY, Bích, {quote_plus(NAMES[0])}, {json.dumps(NAMES[0])[1:-1]}"
    started.faults.add(Fault("status", service="folkform", psid="p5", status=400, times=None, message=message))
    return started


def assert_no_secret(box: Sandbox, run: Command, outcome: Outcome) -> None:
    """No canary is in the output, in any case, or in a file that the run left."""
    output = outcome.output.lower()
    left = [path.read_text(errors="replace") for path in run.home.rglob("*") if path.is_file()]
    for canary in canaries(box):
        assert canary.lower() not in output
        assert not any(canary in text for text in left)


FAILURES: dict[str, Fault | None] = {
    "none": None,
    "FolkForm down": Fault("reset", service="folkform", skip=2),
    "FolkForm refuses us": Fault(
        "status", service="folkform", status=403, times=None, skip=2, message="{name} {phone}"
    ),
    "FolkForm fails": Fault("status", service="folkform", method="POST", message="{name} {phone}"),
    "FolkForm moved": Fault("redirect", service="folkform", times=None, skip=1),
    "Pancake down": Fault("reset", service="pancake"),
    "Pancake refuses us": Fault("error_code", service="pancake", error_code=105, times=None),
    "Pancake moved": Fault("redirect", service="pancake", times=None),
    "Pancake sends HTML": Fault("html", service="pancake"),
}


@pytest.mark.parametrize("command", ["backfill", "check"])
@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure(box: Sandbox, run: Command, failure: str, command: str) -> None:
    """Whatever fails, and however verbose the output is."""
    if fault := FAILURES[failure]:
        box.faults.add(fault)
    user_token = SECRETS["PANCAKE_ACCESS_TOKEN"]
    assert_no_secret(box, run, run(box, command, "-v", "--debug", PANCAKE_ACCESS_TOKEN=user_token))


@pytest.mark.parametrize("arguments", [["incremental"], ["incremental", "--json"], ["backfill", "-q", "--full"]])
def test_a_usual_run(box: Sandbox, run: Command, arguments: list[str]) -> None:
    """FolkForm's error about a customer contains the name; the output does not."""
    outcome = run(box, *arguments)
    assert outcome.code == 1
    assert "is taken" in outcome.output
    assert_no_secret(box, run, outcome)


@pytest.fixture
def readable_box(box: Sandbox) -> Sandbox:
    """The same page with a valid page token, for commands that make no new one."""
    box.folkform.set_page(only_page(box), pageAccessToken=box.pancake.page_token(only_page(box)))
    return box


@pytest.mark.parametrize("arguments", [["status"], ["explain", "p7"]])
def test_a_reading_command(readable_box: Sandbox, run: Command, arguments: list[str]) -> None:
    """The same for commands that only read, whatever fails."""
    for number, (failure, fault) in enumerate(FAILURES.items()):
        readable_box.faults.clear()
        if fault:
            readable_box.faults.add(fault)
        more = ["--json"] if number % 2 else []
        outcome = run(readable_box, *arguments, "--page", only_page(readable_box), "-v", "--debug", *more)
        assert outcome.code in (0, 1, 3, 75), failure
        assert_no_secret(readable_box, run, outcome)


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_malformed_customer(readable_box: Sandbox, run: Command, more: list[str]) -> None:
    """The same for a malformed customer."""
    outcome = run(readable_box, "explain", "p1", "--page", only_page(readable_box), "-v", "--debug", *more)
    assert "updated_at is not a time" in outcome.output
    assert_no_secret(readable_box, run, outcome)


@pytest.mark.parametrize(
    ("endpoint", "arguments"),
    [
        *(("/page_customers", ["backfill", "-v", "--debug"]), ("/page_customers", ["verify", "--log-format", "json"])),
        *(("/find", ["backfill", "--log-format", "json"]), ("/find", ["verify", "--json", "-v"])),
        *(("/count", ["backfill", "--log-format", "json", "-v"]), ("/count", ["verify", "--quick", "--json"])),
    ],
)
def test_an_error_of_a_reading_call(readable_box: Sandbox, run: Command, endpoint: str, arguments: list[str]) -> None:
    """The same for a list, a search or a count, where the customer in the message is unknown; a date stays."""
    shown = [*PHONES, "84901234567", "canary@example.com"]
    message = f"refused since 2026-01-31: {'; '.join(form for text in shown for form in (text, quote_plus(text)))}"
    readable_box.faults.add(Fault("status", endpoint=endpoint, status=400, times=None, message=message))
    outcome = run(readable_box, *arguments)
    assert "refused since 2026-01-31" in outcome.output
    assert "84901234567" not in outcome.output
    assert_no_secret(readable_box, run, outcome)


ECHOES = {
    "percent": quote(PAGE_TOKEN, safe=""),
    "percent, lower case": quote(PAGE_TOKEN, safe="").lower(),
    "percent, every character": "".join(f"%{byte:02x}" for byte in PAGE_TOKEN.encode()),
    "percent, twice": quote(quote(PAGE_TOKEN, safe=""), safe=""),
    "slashes": PAGE_TOKEN.replace("/", r"\/"),
    "code points": "".join(rf"\u{ord(one):04x}" for one in PAGE_TOKEN),
    "entities": html.escape(PAGE_TOKEN).replace("/", "&#x2F;"),
}


@pytest.mark.parametrize("echo", ECHOES)
def test_an_escaped_echo(readable_box: Sandbox, run: Command, echo: str) -> None:
    """A service that quotes the token, in whatever form, beside a phone number."""
    box = readable_box
    message = f"0901234567 {ECHOES[echo]} 0901234567"
    box.faults.add(
        Fault("status", service="pancake", endpoint="/page_customers", status=400, times=None, message=message)
    )
    box.folkform.set_page(only_page(box), pageAccessToken=PAGE_TOKEN)
    for arguments in (["incremental", "--json"], ["incremental", "--log-format", "json"], ["verify", "-v"], ["check"]):
        outcome = run(box, *arguments)
        assert outcome.code != 0
        assert "answered 400" in outcome.output
        text = outcome.output
        for _ in range(4):
            assert "page+token" not in text
            text = html.unescape(unquote(text)).replace("\\\\", "\\").replace(r"\/", "/")
            text = re.sub(r"\\u([0-9a-f]{4})", lambda found: chr(int(found[1], 16)), text)


@pytest.mark.parametrize("command", ["incremental", "check"])
@pytest.mark.parametrize("name", SECRETS)
def test_a_wrong_secret_is_not_shown(box: Sandbox, run: Command, name: str, command: str) -> None:
    """A rejected token, password or key, and one that cannot be sent, is not shown."""
    for secret in (SECRETS[name], f"{SECRETS[name]}\x07\n"):
        environment = {**box.sign_in_environment, "FOLKFORM_TOKEN": "", "CUSTOMER_SYNC_RENEW_TOKENS": "0", name: secret}
        outcome = run(box, command, "-v", "--debug", **environment)
        assert outcome.code in (1, 2, 3)
        assert_no_secret(box, run, outcome)


def test_a_login_in_an_address_is_not_shown(box: Sandbox, run: Command) -> None:
    """A password in an address is not shown, valid or not."""
    for variable in ("FOLKFORM_BASE_URL", "PANCAKE_BASE_URL"):
        secret = SECRETS["FOLKFORM_PASSWORD"].replace("/", "")
        for address in (box.environment[variable].replace("//", f"//user:{secret}@"), f"ftp://user:{secret}@x"):
            for command in ("incremental", "check"):
                outcome = run(box, command, "-v", "--debug", **{variable: address})
                assert secret not in outcome.output
                assert_no_secret(box, run, outcome)
