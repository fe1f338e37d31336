"""Every record that names its page is compared with the page asked for, and one page's broken record ends no other."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from customer_sync.results.page_result import Status
from customer_sync.sandbox import Sandbox
from customer_sync.sync.passes import BACKFILL, INCREMENTAL

from .checked import Checks
from .conftest import Command, StartSandbox, fill_folkform, of_page, only_page, people
from .in_process import Passes
from .proxy import Passing, Proxy

Between = Callable[[Sandbox], Proxy]
BROKEN: dict[str, dict[str, Any]] = {
    "half a character in the page token": {"pageAccessToken": "page-token-\ud800-of-a-shop"},
    "half a character in the user token": {"accessToken": "user-token-\udc00-of-a-shop"},
}
BROKEN_IDS = {"half a character in the id": "104\ud800", "a long id": "1" * 261, "a long id in UTF-8": "bé" * 60}


@pytest.fixture
def shop(sandbox: StartSandbox) -> Callable[..., Sandbox]:
    """Starts a sandbox whose pages have twenty customers each."""

    def start(pages: int = 2, **behaviour: Any) -> Sandbox:
        box = sandbox(pages=pages, **behaviour)
        for page_id in box.pancake.page_ids():
            box.pancake.add_customers(page_id, of_page(page_id, people(20, 60, 600)))
        return box

    return start


# FolkForm's answers


@pytest.mark.parametrize("name", [INCREMENTAL, BACKFILL])
@pytest.mark.parametrize("dialect", ["deployed", "guide", "older"])
def test_a_folkform_that_ignores_the_page(
    shop: Callable[..., Sandbox], passes: Passes, name: str, dialect: str
) -> None:
    """Where FolkForm returns another page's customers, the page fails: its watermarks would be theirs."""
    box = shop(dialect=dialect)
    there, missing = box.pancake.page_ids()
    for customer in box.pancake.customers(there):
        box.folkform.upsert({**customer, "page_id": there})
    box.behaviour.ignores_page_id = "customers"
    result = passes(box, name)
    status = {page.page.page_id: page.status for page in result.pages}
    assert (result.exit_code, status[missing]) == (3, Status.FAILED)
    assert result.totals["upserted"] == 0


@pytest.mark.parametrize("command", [["verify"], ["status"], ["explain", "p0001"]], ids=lambda words: words[0])
def test_commands_that_read_a_folkform_that_ignores_the_page(
    shop: Callable[..., Sandbox], run: Command, command: list[str]
) -> None:
    """They fail as the passes do."""
    box = shop()
    fill_folkform(box)
    box.behaviour.ignores_page_id = "customers"
    page_id = box.pancake.page_ids()[1]
    outcome = run(box, *command, "--page", page_id, "--json")
    assert (outcome.code, outcome.page(page_id)["status"]) == (3, "failed")


def test_a_record_of_another_page(shop: Callable[..., Sandbox], run: Command) -> None:
    """Where FolkForm answers another page's record, no token of it is sent for this page, and none is stored."""
    box = shop()
    first, second = box.pancake.page_ids()
    dead = "page-token-that-is-dead"
    box.folkform.set_page(second, pageAccessToken=dead)
    box.behaviour.ignores_page_id = "records"
    outcome = run(box, "incremental", "--json")
    assert outcome.code == 3
    assert [outcome.page(page_id)["status"] for page_id in (first, second)] == ["ok", "failed"]
    sent = {str(value) for one in box.requests.recent if one.page_id == second for value in one.query.values()}
    assert not sent & {box.pancake.user_token(first), box.pancake.page_token(first)}
    assert (box.folkform.page(second) or {})["pageAccessToken"] == dead
    assert box.requests.count(None, "/update-token") == 0


def test_a_customer_that_is_stored_under_another_page(
    shop: Callable[..., Sandbox], passes: Passes, in_between: Between
) -> None:
    """It has failed, although FolkForm answered with success."""
    proxy = in_between(shop(1))
    data = b'{"code": 200, "message": "ok", "status": "success", "data": {"pageId": "another"}}'
    proxy.before = lambda passing: data if passing.upserts == "p0004" else None
    result = passes(proxy, INCREMENTAL)
    assert (result.exit_code, result.totals["failed"], result.totals["upserted"]) == (1, 1, 19)


# Pancake's answers


@pytest.mark.parametrize(
    ("own", "others", "status"),
    [(0, 60, Status.FAILED), (0, 3, Status.FAILED), (2, 3, Status.FAILED), (3, 2, Status.OK), (60, 1, Status.OK)],
)
def test_a_list_of_another_page(sandbox: StartSandbox, passes: Passes, own: int, others: int, status: Status) -> None:
    """A page fails where most customers of an answer name another page; a few of them are malformed."""
    box = sandbox()
    strays = [customer | {"page_id": "another"} for customer in people(others, 60, 600, "stray")]
    box.pancake.add_customers(only_page(box), [*strays, *people(own, 90, 600)])
    result = passes(box, INCREMENTAL)
    (page,) = result.pages
    assert (page.status, page.malformed) == (status, others if status is Status.OK else 0)
    assert (result.exit_code, page.upserted) == ((0, own) if status is Status.OK else (3, 0))
    assert box.folkform.documents("another") == []


@pytest.mark.parametrize("total", [10**400, -(10**400), 1e300])
@pytest.mark.parametrize("command", [["incremental"], ["verify"], ["verify", "--quick"]])
def test_a_total_that_is_no_count(
    shop: Callable[..., Sandbox], run: Command, in_between: Between, total: float, command: list[str]
) -> None:
    """A total too large for any count fails that page alone; another that is none counts as missing."""
    proxy = in_between(shop())
    bad, good = proxy.box.pancake.page_ids()
    fill_folkform(proxy.box)
    customers = proxy.box.pancake.customers(bad)

    def before(passing: Passing) -> bytes | None:
        if not passing.path.endswith(f"/{bad}/page_customers"):
            return None
        rows = [] if int(passing.query["until"]) < 10**9 or passing.query["page_number"] != "1" else customers
        return json.dumps({"success": True, "customers": rows, "total": total}).encode()

    proxy.before = before
    outcome = run(None, *command, "--json", **proxy.whole_environment)
    assert "customer-sync itself" not in outcome.output
    assert outcome.page(good)["status"] == "ok"
    if isinstance(total, int) and total >= 2**63:
        assert outcome.page(bad)["status"] == "failed"
        assert "Pancake answered with a total" in outcome.page(bad)["error"]


# Page records


def list_pages(proxy: Proxy, records: list[dict[str, Any]]) -> None:
    """Makes FolkForm list these page records."""
    data = {"page": 1, "limit": 50, "itemCount": len(records), "items": records, "total": len(records), "totalPage": 1}
    answer = json.dumps({"code": 200, "message": "ok", "status": "success", "data": data}).encode()
    proxy.before = lambda passing: answer if passing.path.endswith("/facebook/page/find-with-pagination") else None


@pytest.mark.parametrize("fields", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("command", ["incremental", "backfill", "verify", "status"])
def test_a_broken_token(shop: Callable[..., Sandbox], run: Command, fields: dict[str, Any], command: str) -> None:
    """Half a surrogate pair in a token fails that page with its reason; the others are worked on."""
    box = shop(3)
    broken, *good = box.pancake.page_ids()
    fill_folkform(box)
    box.folkform.set_page(broken, **fields)
    outcome = run(box, command, "--json")
    assert outcome.code == 1
    assert [outcome.page(page_id)["status"] for page_id in good] == ["ok", "ok"]
    page = outcome.page(broken)
    assert page["status"] == "failed"
    assert next(iter(fields)) in page["error"]
    assert "of-a-shop" not in outcome.output


def test_a_broken_name(shop: Callable[..., Sandbox], run: Command) -> None:
    """Half a surrogate pair in a page's name keeps no page from being synced."""
    box = shop()
    box.folkform.set_page(box.pancake.page_ids()[0], pageName="Shop \ud800", pageUsername={})
    assert run(box, "incremental").code == 0
    assert box.difference().equal


@pytest.mark.parametrize("page_id", BROKEN_IDS.values(), ids=BROKEN_IDS)
def test_a_broken_id(shop: Callable[..., Sandbox], run: Command, in_between: Between, page_id: str) -> None:
    """A page whose id fits in no file name, or is no text, fails with its reason; the others are worked on."""
    proxy = in_between(shop())
    records = proxy.box.folkform.pages()
    list_pages(proxy, [{**records[0], "pageId": page_id}, *records])
    outcome = run(None, "incremental", "--json", **proxy.whole_environment)
    assert (outcome.code, outcome.json["status"], proxy.box.difference().equal) == (1, "partial", True)
    (failed,) = (page for page in outcome.json["pages"] if page["status"] == "failed")
    assert "pageId" in failed["error"]


def test_check_names_a_broken_record(shop: Callable[..., Sandbox], tmp_path: Any) -> None:
    """It is wrong, with what to correct, and no token of it is sent."""
    box = shop()
    broken, _ = box.pancake.page_ids()
    box.folkform.set_page(broken, pageAccessToken="page-token-\ud800")
    checked = Checks(tmp_path)(box)
    assert (checked.code, checked.wrong) == (3, [f"Pancake: {broken} record"])
    asked = [one.template.rpartition("/")[2] for one in box.requests.recent if one.service == "pancake"]
    assert sorted(asked) == ["page_customers", "pages"]  # Of the other page, and of its user token.


@pytest.mark.parametrize("broken", [True, False])
def test_all_records_of_a_page(shop: Callable[..., Sandbox], run: Command, in_between: Between, broken: bool) -> None:
    """The tokens are those of a record that can be used; where all are off, the page is, too."""
    proxy = in_between(shop(1))
    record = proxy.box.folkform.page(only_page(proxy.box)) or {}
    other = {**record, "id": "another", "isSync": broken, "pageAccessToken": "page-token-\ud800" if broken else ""}
    list_pages(proxy, [other, {**record, "isSync": False}])
    outcome = run(None, "incremental", "--json", **proxy.whole_environment)
    assert (outcome.code, outcome.json["totals"]["pages"]) == (0, 1 if broken else 0)


@pytest.mark.parametrize("first_is_on", [True, False])
def test_two_records_of_one_page(
    shop: Callable[..., Sandbox], run: Command, in_between: Between, tmp_path: Any, first_is_on: bool
) -> None:
    """A page with a record that is on and one that is off is synced, and that is a warning."""
    proxy = in_between(shop(1))
    box = proxy.box
    page_id = only_page(box)
    on = box.folkform.page(page_id) or {}
    off = {**on, "id": "another", "isSync": False, "pageAccessToken": ""}
    records = [on, off] if first_is_on else [off, on]
    list_pages(proxy, records)
    outcome = run(None, "incremental", "--json", **proxy.whole_environment)
    assert (outcome.code, box.difference().equal) == (0, True)
    (warning,) = outcome.json["warnings"]
    assert f"2 records of page {page_id}" in warning
    assert "FolkForm: 2 records" in " ".join(Checks(tmp_path)(proxy).warnings)
