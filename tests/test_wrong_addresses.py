"""An address of another server: its variable is named, and lasting trouble is not filed as passing trouble."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from customer_sync.sandbox import Sandbox
from customer_sync.sandbox.faults import Fault
from customer_sync.sync.passes import INCREMENTAL

from .checked import Checks
from .conftest import StartSandbox, only_page
from .in_process import Passes
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
