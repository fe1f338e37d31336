"""An address of another server: its variable is named, and lasting trouble is not filed as passing trouble."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from customer_sync.sandbox import Sandbox
from customer_sync.sandbox.faults import Fault
from customer_sync.sync.passes import INCREMENTAL

from .checked import Checks
from .conftest import Command, StartSandbox, only_page
from .in_process import Passes
from .surroundings import ConnectProxy, Relay, make_certificate, served
from .test_http import RawServer, Reply, reply

HTML = b"<!doctype html><html><title>Pancake</title></html>"
ELSEWHERE: dict[str, tuple[Reply, bool]] = {
    "HTML with 200": (reply(HTML, Content_Type="text/html"), True),
    "nothing with 200": (reply(b""), True),
    "a list": (reply([]), True),
    "HTML with 404": (reply(HTML, 404, Content_Type="text/html"), True),
    "JSON with 404": (reply({"detail": "Not Found"}, 404), True),
    "HTML with 403": (reply(HTML, 403, Content_Type="text/html"), True),
    "HTML with 405": (reply(HTML, 405, Content_Type="text/html"), True),
    "another API": (reply({"ok": True}), True),
    "HTML with 502": (reply(HTML, 502, Content_Type="text/html"), False),
}
VARIABLES = ["PANCAKE_BASE_URL", "FOLKFORM_BASE_URL"]
WEB_PAGE = "with a web page, not JSON (a web site, a login page or a proxy?)"


@pytest.mark.parametrize("variable", VARIABLES)
@pytest.mark.parametrize(("answer", "is_lasting"), ELSEWHERE.values(), ids=ELSEWHERE)
@pytest.mark.parametrize("has_token", [True, False])
def test_check(
    sandbox: StartSandbox, tmp_path: Path, answer: Reply, variable: str, *, is_lasting: bool, has_token: bool
) -> None:
    """A check names the variable, with or without a page token; exit code 3 unless the trouble may pass."""
    box = sandbox(customers=3)
    if not has_token:
        box.folkform.set_page(only_page(box), pageAccessToken="")
    with RawServer(answer) as server:
        checked = Checks(tmp_path)(box, **{variable: f"{server.url}/api/v1"})
    assert checked.code == (3 if is_lasting else 75)
    assert variable in checked[checked.wrong[0]]["next_step"]


@pytest.mark.parametrize("variable", VARIABLES)
@pytest.mark.parametrize(("answer", "is_lasting"), ELSEWHERE.values(), ids=ELSEWHERE)
def test_passes(sandbox: StartSandbox, passes: Passes, answer: Reply, variable: str, *, is_lasting: bool) -> None:
    """A pass names the variable; exit code 3 unless the trouble may pass."""
    box = sandbox(customers=3)
    with RawServer(answer) as server:
        passes.environment = {variable: f"{server.url}/api/v1"}
        result = passes(box, INCREMENTAL)
    assert result.exit_code == (3 if is_lasting else 75)
    errors = [error for error in (result.error, *(page.error for page in result.pages)) if error]
    assert [variable in error.next_step for error in errors] == [True]


@contextmanager
def html(box: Sandbox, *, after: int) -> Iterator[None]:
    """Pancake answers HTML with 200 after so many lists."""
    with ExitStack() as stack:
        for service in ("pancake", "folkform"):
            fault = {"kind": "html", "service": service, "status": 200, "times": None, "skip": after}
            stack.enter_context(box.faults.add(Fault.from_settings(fault)))
        yield


@pytest.mark.parametrize("after", [0, 1])
def test_html_after_a_good_answer(sandbox: StartSandbox, passes: Passes, after: int) -> None:
    """A service that has answered once is out of order: the next run retries."""
    box = sandbox(customers=3)
    with html(box, after=after):
        assert passes(box, INCREMENTAL).exit_code == (75 if after else 3)
    assert passes(box, INCREMENTAL).exit_code == 0


# The likely cause


def _steps(run: Command, box: Sandbox, **environment: str) -> list[str]:
    """What `check`, a pass and `status` say to do about an address, where all exit with 3."""
    outcomes = [run(box, command, **environment) for command in ("check", "incremental", "status")]
    assert [outcome.code for outcome in outcomes] == [3, 3, 3], [outcome.output for outcome in outcomes]
    return [outcome.output for outcome in outcomes]


@pytest.mark.parametrize(
    ("variable", "right", "wrong"),
    [
        ("FOLKFORM_BASE_URL", "/folkform/api/v1", "/folkform"),
        ("FOLKFORM_BASE_URL", "/folkform/api/v1", "/folkform/"),
        ("FOLKFORM_BASE_URL", "/folkform/api/v1", "/folkform/api"),
        ("FOLKFORM_BASE_URL", "/folkform/api/v1", "/folkform/v1"),
        ("FOLKFORM_BASE_URL", "/folkform/api/v1", "/folkform/api/v1/customer"),
        ("FOLKFORM_BASE_URL", "/api/v1", ""),
        ("PANCAKE_BASE_URL", "/pancake/api", "/pancake"),
        ("PANCAKE_BASE_URL", "/pancake/api", "/pancake/api/v1"),
    ],
)
def test_an_address_that_is_incomplete(
    sandbox: StartSandbox, run: Command, variable: str, right: str, wrong: str
) -> None:
    """The address to set is given whole."""
    box = sandbox(customers=3)
    for output in _steps(run, box, **{variable: f"{box.url}{wrong}"}):
        assert f"Set {variable}={box.url}{right} (it must end in /api" in output


@pytest.mark.parametrize("variable", VARIABLES)
@pytest.mark.parametrize("status", [200, 404, 403])
def test_a_web_page(sandbox: StartSandbox, run: Command, variable: str, status: int) -> None:
    """A web page is called one."""
    with RawServer(reply(HTML, status, Content_Type="text/html; charset=utf-8")) as server:
        outputs = _steps(run, sandbox(customers=3), **{variable: f"{server.url}/api/v1"})
    assert all(f"answered {status} {WEB_PAGE}" in output for output in outputs)


def test_a_proxys_page_is_no_web_site(sandbox: StartSandbox, run: Command) -> None:
    """A 502 comes from a proxy, whatever it looks like."""
    with RawServer(reply(HTML, 502, Content_Type="text/html")) as server:
        outcome = run(sandbox(), "check", FOLKFORM_BASE_URL=f"{server.url}/api/v1")
    assert (outcome.code, WEB_PAGE in outcome.output) == (75, False)


@pytest.mark.parametrize("variable", VARIABLES)
def test_https_for_http(sandbox: StartSandbox, run: Command, variable: str) -> None:
    """The address of an HTTP server that begins with https."""
    box = sandbox(customers=3)
    address = box.whole_environment[variable]
    for output in _steps(run, box, **{variable: address.replace("http:", "https:")}):
        assert "attempt" not in output
        assert "is not an HTTPS server at https://" in output
        assert f"Set {variable}={address} instead." in output


def test_https_for_http_on_another_machine(sandbox: StartSandbox, run: Command) -> None:
    """No message proposes to send tokens unencrypted to another machine."""
    box = sandbox()
    with served(ConnectProxy, urlsplit(box.url).netloc, []) as proxy:
        settings = {"HTTPS_PROXY": f"http://{proxy}", "NO_PROXY": "127.0.0.1"}
        outcome = run(box, "check", FOLKFORM_BASE_URL="https://folkform.example/api/v1", **settings)
    assert outcome.code == 3
    assert "Check the host and port in FOLKFORM_BASE_URL: plain HTTP is spoken there." in outcome.output


def test_http_for_https(sandbox: StartSandbox, run: Command, tmp_path: Path) -> None:
    """The address of an HTTPS server that begins with http: the server says so with a 400, or hangs up."""
    box = sandbox(customers=3)
    plain = b"<html>The plain HTTP request was sent to HTTPS port</html>"
    with RawServer(reply(plain, 400, Content_Type="text/html")) as server:
        for output in _steps(run, box, FOLKFORM_BASE_URL=f"{server.url}/api/v1"):
            address = f"https{server.url.removeprefix('http')}/api/v1"
            assert f"If the server expects HTTPS, set FOLKFORM_BASE_URL={address} instead." in output
    with served(Relay, urlsplit(box.url).netloc, [], make_certificate(tmp_path)) as place:
        outcome = run(box, "check", FOLKFORM_BASE_URL=f"http://{place}/folkform/api/v1")
    assert outcome.code == 75
    assert "Check FOLKFORM_BASE_URL (https instead of http?)" in outcome.output


def test_an_outage_is_no_wrong_address(sandbox: StartSandbox, run: Command) -> None:
    """Where the service has answered, its closed connections are no reason to doubt the address."""
    box = sandbox(customers=3)
    box.faults.add(Fault("reset", service="folkform", skip=1, times=None))
    outcome = run(box, "check")
    assert "closed the connection" in outcome.output
    assert "https instead of http" not in outcome.output


@pytest.mark.parametrize(
    ("location", "step"),
    [
        ("https://folkform.example/api/v1{path}?a=1", "Set FOLKFORM_BASE_URL=https://folkform.example/api/v1 instead."),
        ("https://folkform.example/login?next={path}", "a web site or a login page seems to be there"),
        ("/login", "a web site or a login page seems to be there"),
    ],
)
def test_a_redirect(sandbox: StartSandbox, run: Command, location: str, step: str) -> None:
    """The new address is given whole; a login page is called one."""
    moved = reply(b"", 301, Location=location.format(path="/facebook/page/find-with-pagination"))
    with RawServer(moved) as server:
        outcome = run(sandbox(), "check", FOLKFORM_BASE_URL=f"{server.url}/api/v1")
    assert outcome.code == 3
    assert step in outcome.output
