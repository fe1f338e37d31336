"""The tree of errors, and the exit code and status that a pass ends with."""

import json
from dataclasses import dataclass

import pytest

from customer_sync.core.errors import (
    ContractBroken,
    CustomerSyncError,
    ExitCode,
    Refused,
    ServiceError,
    SettingsError,
    StopRequested,
    TimeIsUp,
    TokenRefused,
    Unreachable,
)
from customer_sync.core.locks import PageLocked
from customer_sync.core.page import Page
from customer_sync.output.json_text import json_pieces
from customer_sync.results.page_result import Status, SyncedPage
from customer_sync.results.pass_result import PassResult

PAGE = Page("104", "Trà sữa", is_sync=True, page_access_token="page-token", access_token="user-token")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CustomerSyncError("x"), 1),
        (PageLocked("x"), 1),
        (SettingsError(["x"]), 2),
        (Refused("FolkForm", "x"), 3),
        (TokenRefused("FolkForm", "x"), 3),
        (ContractBroken("FolkForm", "x"), 3),
        (ServiceError("FolkForm", "x"), 3),
        (Unreachable("FolkForm", "x"), 75),
        (StopRequested("x", ExitCode.OK), 0),
        (StopRequested("x", ExitCode.SIGINT), 130),
        (StopRequested("x", ExitCode.SIGTERM), 143),
    ],
    ids=repr,
)
def test_exit_codes(error: CustomerSyncError, code: int) -> None:
    """Every error has the exit code for a scheduler."""
    assert error.exit_code == code


def test_an_error_is_a_sentence_and_a_step() -> None:
    """What went wrong, the service's own message, and what to do about it."""
    error = Refused("FolkForm", "answered 400", "Check it.", server_message="VAL_002 bad")
    assert error.sentence == "FolkForm answered 400: VAL_002 bad"
    assert str(error) == "FolkForm answered 400: VAL_002 bad. Check it."
    assert str(Refused("FolkForm", "answered 400")) == "FolkForm answered 400"
    assert str(SettingsError(["A is missing", "B is wrong"], "Set them.")) == "A is missing; B is wrong. Set them."


def test_unreachable_has_the_wait() -> None:
    """There is a wait only if the service demands one."""
    plain, asked = Unreachable("X", "y"), Unreachable("X", "y", retry_after=30, too_many=True)
    assert (plain.retry_after, plain.too_many, asked.retry_after, asked.too_many) == (0, False, 30, True)


@dataclass(frozen=True)
class Ending:
    """How a page ended."""

    status: Status
    error: CustomerSyncError | None = None


OK = Ending(Status.OK)
PARTIAL = Ending(Status.PARTIAL)
BUSY = Ending(Status.BUSY)
INTERRUPTED = Ending(Status.INTERRUPTED)
STOPPED = Ending(Status.STOPPED)
PANCAKE_REFUSED = Ending(Status.FAILED, TokenRefused("Pancake", "x"))
PANCAKE_BROKEN = Ending(Status.FAILED, ContractBroken("Pancake", "x"))
PANCAKE_DOWN = Ending(Status.FAILED, Unreachable("Pancake", "x"))
FOLKFORM_REFUSED = Ending(Status.FAILED, TokenRefused("FolkForm", "x"))
FOLKFORM_DOWN = Ending(Status.FAILED, Unreachable("FolkForm", "x"))
NO_LOCK = Ending(Status.FAILED, SettingsError(["x"]))
OUR_BUG = Ending(Status.FAILED, CustomerSyncError("x"))
SIGTERM = StopRequested("Ended by SIGTERM", ExitCode.SIGTERM)
SIGINT = StopRequested("Ended by SIGINT", ExitCode.SIGINT)
TIME_IS_UP = TimeIsUp()


def pass_result(endings: list[Ending], stopped: StopRequested | None = None) -> PassResult[SyncedPage]:
    """A pass whose pages ended like this."""
    result = PassResult("incremental", started_at=0.0, page_result=SyncedPage, stopped=stopped)
    for ending in endings:
        page = SyncedPage(PAGE, status=ending.status, error=ending.error)
        page.complete = ending.status in (Status.OK, Status.PARTIAL)
        result.pages.append(page)
    return result


@pytest.mark.parametrize(
    ("endings", "code", "status"),
    [
        ([], 0, "ok"),
        ([OK], 0, "ok"),
        ([OK, OK], 0, "ok"),
        # Some customers failed.
        ([PARTIAL], 1, "partial"),
        ([PARTIAL, PARTIAL], 1, "partial"),
        ([OK, PARTIAL], 1, "partial"),
        # Busy pages are a warning, unless all are.
        ([OK, BUSY], 0, "partial"),
        ([BUSY], 75, "busy"),
        ([BUSY, BUSY], 75, "busy"),
        ([PARTIAL, BUSY], 1, "partial"),
        # Pancake's trouble concerns one page, unless every page has it.
        ([OK, PANCAKE_REFUSED], 1, "partial"),
        ([OK, PANCAKE_DOWN], 1, "partial"),
        ([PARTIAL, PANCAKE_REFUSED], 1, "partial"),
        ([PANCAKE_REFUSED], 3, "failed"),
        ([PANCAKE_REFUSED, PANCAKE_BROKEN], 3, "failed"),
        ([PANCAKE_DOWN], 75, "failed"),
        ([PANCAKE_DOWN, PANCAKE_DOWN], 75, "failed"),
        ([PANCAKE_REFUSED, PANCAKE_DOWN], 3, "failed"),
        ([PANCAKE_REFUSED, BUSY], 3, "partial"),
        ([PANCAKE_DOWN, BUSY], 75, "partial"),
        ([OK, PANCAKE_DOWN, BUSY], 1, "partial"),
        # FolkForm's trouble concerns every page.
        ([OK, FOLKFORM_DOWN], 75, "partial"),
        ([OK, FOLKFORM_REFUSED], 3, "partial"),
        ([OK, OK, FOLKFORM_DOWN, FOLKFORM_REFUSED], 3, "partial"),
        ([FOLKFORM_DOWN, FOLKFORM_DOWN], 75, "failed"),
        ([PANCAKE_REFUSED, FOLKFORM_DOWN, OK], 75, "partial"),
        ([PANCAKE_DOWN, FOLKFORM_REFUSED], 3, "failed"),
        ([BUSY, FOLKFORM_DOWN, OK], 75, "partial"),
        # A setting takes precedence over a service.
        ([OK, NO_LOCK], 2, "partial"),
        ([NO_LOCK, FOLKFORM_REFUSED, FOLKFORM_DOWN], 2, "failed"),
        # An error of our own.
        ([OK, OUR_BUG], 1, "partial"),
        ([OUR_BUG], 1, "failed"),
    ],
)
def test_exit_code_of_a_pass(endings: list[Ending], code: int, status: str) -> None:
    """2, then 3 or 75 if FolkForm or every page is concerned, else 1 for trouble and 0 for none."""
    for order in (endings, endings[::-1]):
        result = pass_result(order)
        assert (result.exit_code, result.status) == (code, status)
        assert result.complete == all(ending in (OK, PARTIAL) for ending in endings)


@pytest.mark.parametrize("endings", [[OK], [INTERRUPTED], [OK, INTERRUPTED], [FOLKFORM_REFUSED, NO_LOCK], [BUSY], []])
def test_a_signal_takes_precedence(endings: list[Ending]) -> None:
    """A pass that a signal ended has that signal's exit code, whatever else happened."""
    assert pass_result(endings, SIGTERM).exit_code == 143
    assert pass_result(endings, SIGINT).exit_code == 130
    expected = Status.INTERRUPTED if INTERRUPTED in endings or not endings else pass_result(endings).status
    assert pass_result(endings, SIGTERM).status == expected


@pytest.mark.parametrize(
    ("endings", "code"),
    [
        ([STOPPED], 75),
        ([OK, STOPPED], 0),
        ([STOPPED, BUSY], 75),
        ([STOPPED, PARTIAL], 1),
        ([STOPPED, PANCAKE_REFUSED], 1),
        ([STOPPED, FOLKFORM_DOWN], 75),
        ([STOPPED, FOLKFORM_REFUSED], 3),
    ],
)
def test_the_time_limit_is_no_failure(endings: list[Ending], code: int) -> None:
    """Such a pass is stopped and incomplete; only trouble, or nothing done at all, changes the exit code."""
    result = pass_result(endings, TIME_IS_UP)
    assert (result.exit_code, result.status, result.complete) == (code, "stopped", False)


@pytest.mark.parametrize(
    ("error", "code"),
    [(TokenRefused("FolkForm", "x"), 3), (Unreachable("FolkForm", "x"), 75), (ContractBroken("FolkForm", "x"), 3)],
)
def test_no_pages_at_all(error: ServiceError, code: int) -> None:
    """If the pages cannot be listed, that error is the pass's."""
    result = PassResult("incremental", started_at=0.0, page_result=SyncedPage, error=error)
    assert (result.exit_code, result.status, result.complete) == (code, "failed", False)
    assert result.as_json()["error"] == str(error)


def test_totals_add_up() -> None:
    """The totals are the pages' sums."""
    result = pass_result([OK, PARTIAL])
    for number, page in enumerate(result.pages, start=1):
        page.read, page.upserted, page.unchanged, page.failed = 10 * number, number, 9, number
    totals = result.totals
    assert totals["pages"] == 2
    assert (totals["read"], totals["upserted"], totals["unchanged"], totals["failed"]) == (30, 3, 18, 3)
    assert (totals["skipped"], totals["malformed"]) == (0, 0)


def test_json_shows_no_token() -> None:
    """`--json` prints JSON with the design's fields and without the tokens of a page."""
    result = pass_result([OK, PANCAKE_REFUSED])
    text = "".join(json_pieces(result.as_json(), str, only_ascii=False))
    assert "token" not in text.replace("TokenRefused", "")
    shown = json.loads(text)
    assert shown.keys() >= {"pass", "status", "complete", "exit_code", "started_at", "duration_s", "totals", "pages"}
    assert shown["started_at"] == "1970-01-01T00:00:00Z"
    assert shown["pages"][1]["error"] == "Pancake x"


def test_a_page_shows_no_token() -> None:
    """A page may appear in a traceback: its repr shows neither token."""
    assert "token" not in repr(PAGE)
