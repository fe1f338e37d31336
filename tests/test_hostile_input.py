"""Whatever the services send: a clear report, no traceback, no wrong document, nobody else's, no silent end of data."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from customer_sync.core.errors import ExitCode
from customer_sync.results.page_result import Status, SyncedPage
from customer_sync.results.pass_result import PassResult
from customer_sync.sandbox import Sandbox
from customer_sync.sandbox.kept import kept
from customer_sync.sync.passes import BACKFILL, INCREMENTAL

from .conftest import StartSandbox, ago, only_page, people, person
from .in_process import Passes
from .proxy import Passing, Proxy

WHEN = ago(3600)
LONG = "x" * 100_000
MARKUP = "[bold red]x[/] \x1b[31m \u202e \x07"

# What Pancake may answer instead of a list

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
    "an endless number": b'{"success": true, "customers": [], "total": ' + b"9" * 5000 + b"}",
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


def instead_of(ending: str, *bodies: bytes) -> Callable[[Passing], bytes | None]:
    """Answers calls to paths with this ending by one of the *bodies* after the other; the last one repeats."""
    coming = list(bodies)

    def before(passing: Passing) -> bytes | None:
        if not passing.path.endswith(ending):
            return None
        return coming.pop(0) if len(coming) > 1 else coming[0]

    return before


def told_clearly(result: PassResult[SyncedPage]) -> str:
    """What went wrong, as one sentence that is not about ourselves; fails when nothing is told."""
    errors = [result.error, *(page.error for page in result.pages)]
    (error,) = (error for error in errors if error is not None)
    text = str(error)
    assert text.startswith(("Pancake ", "FolkForm "))
    assert "customer-sync itself" not in text
    assert len(text) < 600
    assert result.exit_code in (ExitCode.REFUSED, ExitCode.TRY_LATER)
    assert not result.complete
    return text


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    """One page with three customers, shared by tests that write nothing."""
    with Sandbox(pages=1, customers=3) as shared:
        yield shared


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("later", [False, True], ids=["first", "later"])
def test_what_is_no_list(
    box: Sandbox, passes: Passes, in_between: Callable[[Sandbox], Proxy], name: str, later: bool
) -> None:
    """An answer of Pancake that is no list fails the page, first or later: it is not taken for the end of the data."""
    good = json.dumps({"success": True, "customers": people(4, 3600, 1), "total": 9}).encode()
    proxy = in_between(box)
    proxy.before = instead_of("/page_customers", *[good] * later, LISTS[name])
    told_clearly(passes(proxy, INCREMENTAL, dry_run=True))


# What FolkForm may answer


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


@pytest.mark.parametrize("name", [*ENVELOPES, *DOCUMENTS])
@pytest.mark.parametrize("ending", ["/find-with-pagination", "/find"])
def test_what_is_no_answer_of_folkform(
    box: Sandbox, passes: Passes, in_between: Callable[[Sandbox], Proxy], ending: str, name: str
) -> None:
    """Something else than pages or documents is not taken for none: nothing is written on the strength of it."""
    proxy = in_between(box)
    proxy.before = instead_of(ending, (ENVELOPES | DOCUMENTS)[name])
    told_clearly(passes(proxy, BACKFILL))
    assert box.folkform.documents(only_page(box)) == []


@pytest.mark.parametrize("name", STRANGE_DOCUMENTS)
def test_a_strange_document(
    sandbox: StartSandbox, passes: Passes, in_between: Callable[[Sandbox], Proxy], name: str
) -> None:
    """A document whose psid or time nobody can read keeps nobody out, or the page fails with FolkForm named."""
    box = sandbox(customers=2)
    proxy = in_between(box)
    proxy.before = instead_of("/find", success(b"[%s]" % STRANGE_DOCUMENTS[name]))
    for pass_name in (INCREMENTAL, BACKFILL):
        result = passes(proxy, pass_name)
        if not result.complete:
            told_clearly(result)
    if result.complete:
        assert box.difference().equal
    (compared,) = passes.verify(proxy).pages
    for error in (compared.error, passes.explain(proxy, "p", only_page(box))["error"]):
        assert "customer-sync itself" not in str(error)


@pytest.mark.parametrize("name", ENVELOPES)
def test_what_is_no_receipt(
    sandbox: StartSandbox, passes: Passes, in_between: Callable[[Sandbox], Proxy], name: str
) -> None:
    """An upsert counts only when FolkForm says success; who got no such word is not called written."""
    box = sandbox(customers=2)
    proxy = in_between(box)
    proxy.before = instead_of("/upsert-one", ENVELOPES[name])
    result = passes(proxy, BACKFILL)
    (page,) = result.pages
    assert page.upserted == 0
    assert page.failed or page.error
    assert result.exit_code != ExitCode.OK
    passes(box, BACKFILL, full=True)
    assert box.difference().equal


@pytest.mark.parametrize("name", COUNTS)
def test_what_is_no_count(
    sandbox: StartSandbox, passes: Passes, in_between: Callable[[Sandbox], Proxy], name: str
) -> None:
    """A count that is no number is told as a warning; the customers have arrived."""
    box = sandbox(customers=2)
    proxy = in_between(box)
    proxy.before = instead_of("/count", success(COUNTS[name]))
    result = passes(proxy, BACKFILL)
    assert (result.exit_code, result.pages[0].status) == (ExitCode.OK, Status.OK)
    assert "could not be counted" in result.pages[0].warnings[0]
    assert box.difference().equal


# Customers whom nobody can sync, and those whom everybody can

UNREADABLE: tuple[Any, ...] = (
    *(None, "", " ", 0, 1766656122, 1766656122123, 1.5, True, [], {}, "null", "yesterday", "1766656122"),
    *("2026", "2026-01", "2026-01-01", "2026-01-01 10:00:00", "2026-13-01T00:00:00", "2026-02-30T00:00:00"),
    *("2026-01-01T24:00:00", "2026-01-01T10:60:00", "2026-01-01T10:00:60", "2026-01-01T10:00", "T10:00:00"),
    *("01/02/2026", "2026-01-01T10:00:00+25:00", "2026-01-01T10:00:00 ICT", "2026-01-01T10:00:00\x00"),
    *("٢٠٢٦-٠١-٠١T١٠:٠٠:٠٠", "2026-W01-1T10:00:00", "20260101T100000", "-2026-01-01T10:00:00", LONG, MARKUP),
    *("10000-01-01T00:00:00", "0000-01-01T00:00:00", "1969-12-31T23:59:59", "2026-01-01T10:00:00.", "∞"),
)
MALFORMED: dict[str, Any] = {
    "null": None,
    "a number": 5,
    "a text": "x",
    "a list": [],
    "empty": {},
    "no id": {"psid": "a", "updated_at": WHEN},
    "id null": {"id": None, "psid": "a", "updated_at": WHEN},
    "id blank": {"id": " \t\n", "psid": "a", "updated_at": WHEN},
    "id a list": {"id": ["a"], "psid": "a", "updated_at": WHEN},
    "neither": {"id": "", "psid": "", "updated_at": WHEN},
    "another page's": {"id": "a", "psid": "a", "page_id": "another", "updated_at": WHEN},
    "page_id a list": {"id": "a", "psid": "a", "page_id": ["x"], "updated_at": WHEN},
    "psid a float": {"id": "a", "psid": 1.5, "updated_at": WHEN},
    "psid true": {"id": "a", "psid": True, "updated_at": WHEN},
    "psid a list": {"id": "a", "psid": ["1"], "updated_at": WHEN},
    "psid an operator": {"id": "a", "psid": {"$ne": ""}, "updated_at": WHEN},
    "id an object": {"id": {"$gt": ""}, "psid": None, "updated_at": WHEN},
    **{f"updated_at {text!r:.40}": {"id": "a", "psid": "p", "updated_at": text} for text in UNREADABLE},
    "no updated_at": {"id": "a", "psid": "p"},
    "all null": dict.fromkeys(("id", "psid", "page_id", "updated_at", "inserted_at", "name")),
}


def listing(box: Sandbox, rows: list[Any]) -> bytes:
    """Pancake's answer with these rows and the sandbox's own customers behind them."""
    own = box.pancake.customers(only_page(box))
    return json.dumps({"success": True, "total": len(rows) + len(own), "customers": [*rows, *own]}).encode()


@pytest.mark.parametrize("name", MALFORMED)
def test_who_cannot_be_synced(
    sandbox: StartSandbox, passes: Passes, in_between: Callable[[Sandbox], Proxy], name: str
) -> None:
    """She is named with a reason and never written; whoever stands behind her arrives."""
    box = sandbox()
    box.pancake.add_customers(only_page(box), people(3, 7200, 1))
    proxy = in_between(box)
    proxy.before = instead_of("/page_customers", listing(box, [MALFORMED[name]]))
    result = passes(proxy, INCREMENTAL)
    page: SyncedPage = result.pages[0]
    assert (result.exit_code, page.status, page.complete) == (ExitCode.OK, Status.OK, True)
    assert (page.malformed, page.upserted, page.failed) == (1, 3, 0)
    (problem,) = page.problems
    assert problem.problem == "malformed"
    assert 0 < len(problem.reason) < 300
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


def arrives_unchanged(box: Sandbox, passes: Passes, customer: dict[str, Any]) -> None:
    """She and two others arrive, each in a document of her own, exactly as Pancake gave her."""
    page_id = only_page(box)
    box.pancake.add_customers(page_id, [*people(2, 60, 60), customer])
    result = passes(box, BACKFILL)
    assert (result.exit_code, result.totals["upserted"]) == (ExitCode.OK, 3)
    document = box.folkform.document(page_id, customer["psid"])
    assert document is not None
    stored = document["panCakeData"]
    assert json.dumps(stored, sort_keys=True) == json.dumps(kept({"page_id": page_id, **customer}), sort_keys=True)
    assert box.difference().equal
    assert passes(box, BACKFILL, full=True).totals["upserted"] == 0


@pytest.mark.parametrize("name", WELCOME)
def test_what_is_none_of_our_business(sandbox: StartSandbox, passes: Passes, name: str) -> None:
    """Whatever a customer carries besides her psid and her times arrives unchanged."""
    arrives_unchanged(sandbox(), passes, person("p", 3600) | WELCOME[name])


@pytest.mark.parametrize("pancake_id", [*PSIDS, MARKUP, "\ud83c x"])
def test_an_id_finds_the_customer_alone(sandbox: StartSandbox, passes: Passes, pancake_id: str) -> None:
    """However the id of a customer without a psid is written, its filter matches that customer and no other."""
    box = sandbox()
    page_id = only_page(box)
    customer = person("p", 3600) | {"psid": None, "id": pancake_id}
    box.pancake.add_customers(page_id, [*people(2, 60, 60), customer])
    assert passes(box, BACKFILL).totals["upserted"] == 3
    assert box.difference().equal
    assert passes(box, BACKFILL, full=True).totals["upserted"] == 0


@pytest.mark.parametrize("psid", PSIDS)
def test_a_psid_finds_her_alone(sandbox: StartSandbox, passes: Passes, psid: str) -> None:
    """However a psid is written, its filter matches her and nobody else."""
    arrives_unchanged(sandbox(), passes, person(psid, 3600))


@pytest.mark.parametrize("number", [b"1e400", b"-1e999", b"[1e400]", b'{"x": 1e400}'])
def test_a_number_that_no_double_holds(
    sandbox: StartSandbox, passes: Passes, in_between: Callable[[Sandbox], Proxy], number: bytes
) -> None:
    """A number beyond all doubles would arrive changed: she is failed with a reason, the others arrive."""
    box = sandbox()
    box.pancake.add_customers(only_page(box), people(3, 7200, 1))
    strange = json.dumps(person("p", 3600) | {"amount": "@"}).encode().replace(b'"@"', number)
    proxy = in_between(box)
    proxy.before = instead_of("/page_customers", listing(box, ["@"]).replace(b'"@"', strange))
    result = passes(proxy, INCREMENTAL)
    (problem,) = result.pages[0].problems
    assert (problem.psid, problem.problem, result.exit_code) == ("p", "failed", ExitCode.PARTIAL)
    assert "number is too large" in problem.reason
    assert box.folkform.document(only_page(box), "p") is None
    assert len(box.folkform.documents(only_page(box))) == 3


def test_there_are_enough_of_them() -> None:
    """The tables hold what was promised."""
    assert (
        len(LISTS)
        + len(ENVELOPES)
        + len(DOCUMENTS)
        + len(STRANGE_DOCUMENTS)
        + len(COUNTS)
        + len(MALFORMED)
        + len(WELCOME)
        + len(PSIDS)
        >= 150
    )
