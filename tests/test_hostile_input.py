"""Whatever the services answer: a clear error, no traceback, no wrong document, no silent end of the data.

Each page of a sandbox gets another answer, so that one pass tries a whole table. What a record may contain is a table
of test_customer.py.
"""

import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from customer_sync.core.errors import CustomerSyncError, ExitCode
from customer_sync.results.page_result import Status, SyncedPage
from customer_sync.results.pass_result import PassResult
from customer_sync.sandbox import Sandbox
from customer_sync.sandbox.kept import kept
from customer_sync.sync.passes import BACKFILL, INCREMENTAL

from .conftest import StartSandbox, ago, only_page, people, person
from .in_process import Passes
from .proxy import Passing, Proxy

Between = Callable[[Sandbox], Proxy]
WHEN = ago(3600)
LONG = "x" * 100_000
MARKUP = "[bold red]x[/] \x1b[31m \u202e \x07"

# Answers of Pancake that are no list

LISTS: dict[str, bytes] = {
    "nothing": b"",
    "a brace": b"{",
    "half a word": b"nul",
    "an array": b"[]",
    "a text": b'"x"',
    "a number": b"5",
    "null": b"null",
    "true": b"true",
    "HTML": b"<html>502 Bad Gateway</html>",
    "two objects": b"{}{}",
    "a comma too many": b'{"success": true, "customers": [],}',
    "single quotes": b"{'success': true, 'customers': []}",
    "NaN": b'{"success": true, "customers": [], "total": NaN}',
    "Infinity": b'{"success": true, "customers": [], "total": -Infinity}',
    "broken UTF-8": b'{"success": true, "customers": [], "x": "\xff"}',
    "half a character": b'{"success": true, "customers": [], "x": "\xe1\xba"}',
    "UTF-16 cut off": '{"success": true}'.encode("utf-16")[:-1],
    "a control character": b'{"success": true, "customers": [], "x": "\x01"}',
    "nested deep": b'{"x":' + b"[" * 100_000,
    "nested deep and closed": b'{"x":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "an empty object": b"{}",
    "no success": b'{"customers": []}',
    "success null": b'{"success": null, "customers": []}',
    "success 1": b'{"success": 1, "customers": []}',
    "success text": b'{"success": "true", "customers": []}',
    "success list": b'{"success": [], "customers": []}',
    "success false": b'{"success": false}',
    "success false, customers": b'{"success": false, "customers": []}',
    "success twice": b'{"success": true, "customers": [], "success": false}',
    "code unknown": b'{"success": false, "error_code": 999, "message": "?"}',
    "code huge": b'{"success": false, "error_code": 1e400}',
    "code a list": b'{"success": false, "error_code": [102]}',
    "code negative": b'{"success": false, "error_code": -429}',
    "code in other digits": '{"success": false, "error_code": "١٠٣"}'.encode(),
    "message null": b'{"success": false, "message": null}',
    "message a list": b'{"success": false, "message": ["x"]}',
    "message long": json.dumps({"success": False, "message": LONG}).encode(),
    "message markup": json.dumps({"success": False, "message": MARKUP}).encode(),
    "no customers": b'{"success": true}',
    "customers null": b'{"success": true, "customers": null}',
    "customers an object": b'{"success": true, "customers": {}}',
    "customers a text": b'{"success": true, "customers": "[]"}',
    "customers 0": b'{"success": true, "customers": 0}',
    "customers false": b'{"success": true, "customers": false}',
    "customers elsewhere": b'{"success": true, "data": {"customers": []}}',
    "Customers": b'{"success": true, "Customers": []}',
    "more than asked": json.dumps({"success": True, "customers": people(101, 60, 1)}).encode(),
    "oldest first": json.dumps({"success": True, "customers": people(9, 60, 1)[::-1]}).encode(),
    "out of order": json.dumps({"success": True, "customers": [*people(9, 60, 1), *people(9, 30, 1, "q")]}).encode(),
    "always the same hundred": json.dumps(
        {"success": True, "customers": [person(str(n), 60) for n in range(100)]}
    ).encode(),
}


def assert_clear(error: CustomerSyncError | None) -> None:
    """The error is one sentence about a service, and not about a bug of ours."""
    text = str(error)
    assert text.startswith(("Pancake ", "FolkForm "))
    assert "customer-sync itself" not in text
    assert len(text) < 600


def page_of(passing: Passing) -> str:
    """The page that a request is about."""
    if "filter" in passing.query:
        return str(json.loads(passing.query["filter"])["pageId"])
    return passing.path.split("/")[-2]


def answer_by_page(proxy: Proxy, ending: str, bodies: Iterable[bytes], *first: bytes) -> dict[str, int]:
    """For each page, calls to paths with this *ending* get the *first* answers, then a body of the page's own.

    Returns the position of each page's body.
    """
    own = dict(zip(proxy.box.pancake.page_ids(), bodies, strict=True))
    coming = {page_id: [*first] for page_id in own}

    def before(passing: Passing) -> bytes | None:
        if not passing.path.endswith(ending):
            return None
        page_id = page_of(passing)
        return coming[page_id].pop(0) if coming[page_id] else own[page_id]

    proxy.before = before
    return {page_id: position for position, page_id in enumerate(own)}


def by_name(result: PassResult[SyncedPage], table: dict[str, Any], positions: dict[str, int]) -> dict[str, SyncedPage]:
    """The results of the pages, by the names of their bodies."""
    names = list(table)
    assert len(result.pages) == len(names)
    return {names[positions[page.page.page_id]]: page for page in result.pages}


@pytest.mark.parametrize("later", [False, True], ids=["first", "later"])
def test_an_answer_that_is_no_list(sandbox: StartSandbox, passes: Passes, in_between: Between, later: bool) -> None:
    """It fails the page, first or later: it is not taken for the end of the data."""
    good = json.dumps({"success": True, "customers": people(4, 3600, 1), "total": 9}).encode()
    proxy = in_between(sandbox(pages=len(LISTS)))
    positions = answer_by_page(proxy, "/page_customers", LISTS.values(), *[good] * later)
    result = passes(proxy, INCREMENTAL, dry_run=True)
    assert result.exit_code in (ExitCode.REFUSED, ExitCode.TRY_LATER)
    for name, page in by_name(result, LISTS, positions).items():
        assert not page.complete, name
        assert_clear(page.error)


# Answers of FolkForm


def success(data: bytes) -> bytes:
    return b'{"code": 200, "message": "ok", "status": "success", "data": ' + data + b"}"


ENVELOPES: dict[str, bytes] = {
    "nothing": b"",
    "HTML": b"<html></html>",
    "an array": b"[]",
    "an empty object": b"{}",
    "no data": b'{"status": "success"}',
    "no status": b'{"data": []}',
    "status null": b'{"status": null, "data": []}',
    "status 200": b'{"status": 200, "data": []}',
    "status Success": b'{"status": "Success", "data": []}',
    "status error": b'{"status": "error", "code": "VAL_002", "message": "no"}',
    "error with data": b'{"status": "error", "data": []}',
    "error, message null": b'{"status": "error", "message": null}',
    "error, markup": json.dumps({"status": "error", "message": MARKUP}).encode(),
    "error, long": json.dumps({"status": "error", "message": LONG}).encode(),
    "Pancake's envelope": b'{"success": true, "customers": []}',
    "NaN": success(b"NaN"),
    "broken UTF-8": success(b'"\xff"'),
}
DOCUMENTS: dict[str, bytes] = {
    "a number": success(b"5"),
    "a text": success(b'"x"'),
    "true": success(b"true"),
    "an object": success(b"{}"),
    "items a number": success(b'{"items": 5}'),
    "items an object": success(b'{"items": {}}'),
    "a list of numbers": success(b"[1, 2]"),
    "a list of nulls": success(b"[null]"),
    "a list of lists": success(b"[[]]"),
    "items of texts": success(b'{"items": ["x"]}'),
}
TIMES: dict[str, bytes] = {
    "infinite": b"1e400",
    "infinite, negative": b"-1e400",
    "the largest double": b"1.7976931348623157e308",
    "a huge integer": b"1" + b"0" * 400,
    "a huge integer, negative": b"-1" + b"0" * 400,
    "seconds after all dates": b"253402300800000",
    "zero": b"0",
    "a fraction": b"1e-300",
    "true": b"true",
    "a text": b'"2026-01-01T00:00:00"',
    "an object": b'{"$date": "2026-01-01T00:00:00Z"}',
    "a list": b"[[1766656122]]",
}
STRANGE_DOCUMENTS: dict[str, bytes] = {
    **{
        f"{field} {name}": b'{"psid": "p", "%s": %s}' % (field.encode(), time)
        for name, time in TIMES.items()
        for field in ("panCakeUpdatedAt", "updatedAt")
    },
    **{f"version {name}": b'{"psid": "p", "panCakeData": {"updated_at": %s}}' % time for name, time in TIMES.items()},
    "version after all dates": b'{"psid": "p", "panCakeData": {"updated_at": "9999-12-31T23:59:59-23:59"}}',
    "no psid": b'{"panCakeUpdatedAt": 1766656122000}',
    **{
        f"psid {psid.decode()}": b'{"psid": %s, "panCakeUpdatedAt": 1766656122000}' % psid
        for psid in (b"null", b"5", b"1e400", b"true", b'""', b'["p"]', b'{"$ne": ""}')
    },
    **{
        f"data {data.decode()}": b'{"psid": "p", "panCakeUpdatedAt": 1766656122000, "panCakeData": %s}' % data
        for data in (b"null", b"1e400", b'"x"', b"[[]]", b'{"updated_at": [[]], "id": 1e400}')
    },
}
COUNTS = {"a text": b'"5"', "null": b"null", "true": b"true", "a float": b"1.5", "a list": b"[1]", "an object": b"{}"}


@pytest.mark.parametrize("name", [*ENVELOPES, "an object", "a list of nulls", "items of texts"])
def test_an_answer_that_is_no_list_of_pages(
    sandbox: StartSandbox, passes: Passes, in_between: Between, name: str
) -> None:
    """Anything else than pages is not taken for none: the pass fails."""
    proxy = in_between(sandbox(customers=1))
    proxy.before = lambda passing: (ENVELOPES | DOCUMENTS)[name] if passing.path.endswith("pagination") else None
    result = passes(proxy, BACKFILL)
    assert result.exit_code in (ExitCode.REFUSED, ExitCode.TRY_LATER)
    assert_clear(result.error)


def test_an_answer_that_is_no_list_of_documents(sandbox: StartSandbox, passes: Passes, in_between: Between) -> None:
    """Anything else than documents is not taken for none: the page fails, and nothing is written."""
    table = ENVELOPES | DOCUMENTS
    box = sandbox(pages=len(table), customers=2)
    proxy = in_between(box)
    positions = answer_by_page(proxy, "/find", table.values())
    result = passes(proxy, BACKFILL)
    assert result.exit_code in (ExitCode.REFUSED, ExitCode.TRY_LATER)
    for name, page in by_name(result, table, positions).items():
        assert not page.complete, name
        assert_clear(page.error)
        assert box.folkform.documents(page.page.page_id) == []


def test_strange_documents(sandbox: StartSandbox, passes: Passes, in_between: Between) -> None:
    """A document whose psid or time is unreadable loses no customer, or the page fails with a clear error."""
    box = sandbox(pages=len(STRANGE_DOCUMENTS), customers=2)
    proxy = in_between(box)
    positions = answer_by_page(proxy, "/find", [success(b"[%s]" % document) for document in STRANGE_DOCUMENTS.values()])
    for pass_name in (INCREMENTAL, BACKFILL):
        for name, page in by_name(passes(proxy, pass_name), STRANGE_DOCUMENTS, positions).items():
            if not page.complete:
                assert_clear(page.error)
            elif pass_name == BACKFILL:
                assert box.difference(page.page.page_id).equal, name
    for compared in passes.verify(proxy).pages:
        for error in (compared.error, passes.explain(proxy, "p", compared.page.page_id)["error"]):
            assert "customer-sync itself" not in str(error)


def test_an_unconfirmed_upsert(sandbox: StartSandbox, passes: Passes, in_between: Between) -> None:
    """An upsert counts only if FolkForm confirms it; a later pass writes what was not confirmed."""
    box = sandbox(pages=len(ENVELOPES), customers=2)
    proxy = in_between(box)
    positions = answer_by_page(proxy, "/upsert-one", ENVELOPES.values())
    result = passes(proxy, BACKFILL)
    assert result.exit_code != ExitCode.OK
    for name, page in by_name(result, ENVELOPES, positions).items():
        assert page.upserted == 0, name
        assert page.failed or page.error, name
    passes(box, BACKFILL, full=True)
    assert box.difference().equal


def test_an_answer_that_is_no_count(sandbox: StartSandbox, passes: Passes, in_between: Between) -> None:
    """A count that is no number is a warning; the customers are written."""
    box = sandbox(pages=len(COUNTS), customers=2)
    proxy = in_between(box)
    answer_by_page(proxy, "/count", [success(count) for count in COUNTS.values()])
    result = passes(proxy, BACKFILL)
    assert result.exit_code == ExitCode.OK
    for page in result.pages:
        assert (page.status, len(page.warnings)) == (Status.OK, 1)
    assert box.difference().equal


# Records


MALFORMED: list[Any] = [
    *(None, 5, "x", [], {}, {"psid": "no-id", "updated_at": WHEN}, {"id": None, "psid": "null-id", "updated_at": WHEN}),
    *({"id": ["a"], "psid": "list-id", "updated_at": WHEN}, {"id": "", "psid": "", "updated_at": WHEN}),
    *({"id": "a", "psid": "a", "page_id": "another", "updated_at": WHEN}, {"id": "b", "psid": 1.5, "updated_at": WHEN}),
    *(
        {"id": "c", "psid": {"$ne": ""}, "updated_at": WHEN},
        {"id": "d", "psid": "d"},
        {"id": "e", "updated_at": "soon"},
    ),
    *({"id": "f", "updated_at": [WHEN]}, {"id": "g", "updated_at": LONG}, {"id": "h", "updated_at": MARKUP}),
    dict.fromkeys(("id", "psid", "page_id", "updated_at", "inserted_at", "name")),
]


def list_first(proxy: Proxy, rows: list[bytes]) -> None:
    """Makes Pancake list these rows, then the sandbox's own customers."""
    rows = [*rows, *(json.dumps(one).encode() for one in proxy.box.pancake.customers(only_page(proxy.box)))]
    body = b'{"success": true, "total": %d, "customers": [%s]}' % (len(rows), b",".join(rows))
    proxy.before = lambda passing: body if passing.path.endswith("/page_customers") else None


def test_malformed_records(sandbox: StartSandbox, passes: Passes, in_between: Between) -> None:
    """Each is listed with a reason and never written; the customers behind them are."""
    box = sandbox()
    box.pancake.add_customers(only_page(box), people(3, 7200, 1))
    proxy = in_between(box)
    list_first(proxy, [json.dumps(row).encode() for row in MALFORMED])
    result = passes(proxy, INCREMENTAL)
    (page,) = result.pages
    assert (result.exit_code, page.status, page.complete) == (ExitCode.OK, Status.OK, True)
    assert (page.malformed, page.upserted, page.failed) == (len(MALFORMED), 3, 0)
    assert {problem.problem for problem in page.problems} == {"malformed"}
    assert all(0 < len(problem.reason) < 300 for problem in page.problems)
    assert box.difference().equal


WELCOME: dict[str, dict[str, Any]] = {
    "large integers": {"a": 2**53 + 1, "b": -(2**63), "c": 2**64, "d": 10**300},
    "floats": {"a": 0.1, "b": 1e-300, "c": 1.7976931348623157e308, "d": -0.0, "e": 1.0, "f": 5e-324},
    "unknown keys": {"x-y": 1, "": 2, "a.b": 3, "ключ": 4, "🌸": 5, "__proto__": {}, "constructor": None},
    "operators as keys": {"$set": {"name": "x"}, "$where": "1", "$ne": None},
    "order of lists": {"notes": [3, 1, 2, [2, 1], {"b": 1, "a": 2}], "phone_numbers": ["2", "1", "2"]},
    "control characters": {"name": "a\x00b\x1b[31m\r\n\t\x7f\u0085"},
    "right to left": {"name": "\u202eabc\u202c \u200f \u2066"},
    "combining marks": {"name": "Thảo", "nick": "e\u0301" * 50},
    "half a surrogate pair": {"name": "\ud83c x"},
    "astral": {"name": "𝔐𝔞𝔦 🌸👩‍👩‍👧"},
    "markup": {"name": MARKUP, "notes": ["[/]", "[link=http://x]y[/link]"]},
    "quotes": {"name": "\"'`\\ \\\\ \\u0000 ${x} %s {0} <script>"},
    "null everywhere": dict.fromkeys(("name", "phone_numbers", "email", "gender", "birthday", "lives_in", "thread_id")),
    "wrong types": {"name": 5, "phone_numbers": "0903154539", "email": [], "notes": {}, "gender": True},
    "empty": {"name": "", "phone_numbers": [], "notes": [], "email": ""},
    "huge": {"notes": [LONG] * 3},
    "nested": {"x": json.loads("[" * 200 + "]" * 200)},
    "names of ours": {"pageId": "999", "panCakeData": {}, "_id": "6571a1b2c3d4e5f601020304", "upsert": True},
    "id a number": {"id": 5},
    "inserted_at broken": {"inserted_at": "yesterday"},
    "booleans": {"a": True, "b": False, "c": [True, None]},
    "many keys": {f"k{number}": number for number in range(2000)},
}
PSIDS = [
    *("25149177694676594", "6571a1b2c3d4e5f601020304", "0", "-1", "1e5", "null", "true", " x ", "a b", "a+b", "a&b=c"),
    *(
        '{"$ne": ""}',
        "$where",
        "$gt",
        '"',
        "'",
        "\\",
        "}",
        '", "pageId": "999',
        "[]",
        "..",
        "/",
        "%22",
        "#?",
        "*",
        ".*",
    ),
    *("Nguyễn", "🌸", "\u202e1", "a\nb", "\x01", "e\u0301", "é", "İ", "ß", "x" * 500),
]


def assert_unchanged(box: Sandbox, passes: Passes, customers: list[dict[str, Any]]) -> None:
    """The customers arrive, each in a document of its own, exactly as Pancake has it; the next pass writes none."""
    page_id = only_page(box)
    box.pancake.add_customers(page_id, customers)
    result = passes(box, BACKFILL)
    assert (result.exit_code, result.totals["upserted"]) == (ExitCode.OK, len(customers))
    stored = [document["panCakeData"] for document in box.folkform.documents(page_id)]
    expected = [kept({"page_id": page_id, **customer}) for customer in customers]
    assert sorted(json.dumps(one, sort_keys=True) for one in stored) == sorted(
        json.dumps(one, sort_keys=True) for one in expected
    )
    assert box.difference().equal
    assert passes(box, BACKFILL, full=True).totals["upserted"] == 0


def test_other_fields_stay_unchanged(sandbox: StartSandbox, passes: Passes) -> None:
    """Whatever a customer has besides its ids and times arrives unchanged."""
    ages = range(3600, 3600 + len(WELCOME))
    rows = [person(f"p{age}", age) | fields for age, fields in zip(ages, WELCOME.values(), strict=True)]
    assert_unchanged(sandbox(), passes, rows)


@pytest.mark.parametrize("field", ["psid", "id"])
def test_an_identifier_finds_one_customer(sandbox: StartSandbox, passes: Passes, field: str) -> None:
    """However a psid, or the id of a customer without a psid, is written, its filter matches no other customer."""
    texts = [*PSIDS, MARKUP, *["\ud83c x"] * (field == "id")]
    rows = [person(f"p{age}", 3600 + age) | {"psid": None, field: text} for age, text in enumerate(texts)]
    assert_unchanged(sandbox(), passes, rows)


def test_a_number_beyond_all_doubles(sandbox: StartSandbox, passes: Passes, in_between: Between) -> None:
    """FolkForm would store it changed: the customer fails with a reason, the others are written."""
    box = sandbox()
    box.pancake.add_customers(only_page(box), people(3, 7200, 1))
    numbers = [b"1e400", b"-1e999", b"[1e400]", b'{"x": 1e400}']
    rows = [json.dumps(person(f"q{one}", 60 + one) | {"amount": "@"}).encode() for one in range(len(numbers))]
    proxy = in_between(box)
    list_first(proxy, [row.replace(b'"@"', number) for row, number in zip(rows, numbers, strict=True)])
    result = passes(proxy, INCREMENTAL)
    problems = result.pages[0].problems
    assert result.exit_code == ExitCode.PARTIAL
    assert {(problem.psid, problem.problem) for problem in problems} == {(f"q{one}", "failed") for one in range(4)}
    assert len(box.folkform.documents(only_page(box))) == 3


def test_a_customer_with_an_endless_number(sandbox: StartSandbox, passes: Passes, in_between: Between) -> None:
    """It fails; the others of its batch are copied."""
    proxy = in_between(sandbox())
    customers = [{**one, "x": "number"} if number == 3 else one for number, one in enumerate(people(9, 60, 1))]
    body = json.dumps({"success": True, "total": 9, "customers": customers}).replace('"number"', "9" * 5000)
    answer_by_page(proxy, "/page_customers", [body.encode()])
    result = passes(proxy, BACKFILL)
    assert (result.exit_code, result.totals["upserted"], result.totals["failed"]) == (ExitCode.PARTIAL, 8, 1)
    assert [problem.psid for problem in result.pages[0].problems] == ["p0003"]


@pytest.mark.parametrize("levels", [400, 980, 20_000])
def test_a_customer_nested_too_deeply(sandbox: StartSandbox, passes: Passes, in_between: Between, levels: int) -> None:
    """It is malformed, with its ids; the others of its batch are copied."""
    proxy = in_between(sandbox())
    customers = [{**one, "x": "deep"} if number == 3 else one for number, one in enumerate(people(9, 60, 1))]
    body = json.dumps({"success": True, "total": 9, "customers": customers}).replace(
        '"deep"', "[" * levels + "]" * levels
    )
    answer_by_page(proxy, "/page_customers", [body.encode()])
    result = passes(proxy, BACKFILL)
    assert (result.exit_code, result.totals["upserted"], result.totals["malformed"]) == (ExitCode.OK, 8, 1)
    (problem,) = result.pages[0].problems
    assert (problem.psid, problem.problem) == ("p0003", "malformed")
