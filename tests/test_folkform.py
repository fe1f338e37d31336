"""FolkForm as the program asks it: the sandbox in its three dialects, and answers that no sandbox gives."""

import json
import logging
import random
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Literal, get_args

import pytest

from customer_sync.core.clock import Clock
from customer_sync.core.customer import Customer, read_customer
from customer_sync.core.errors import ContractBroken, Refused, ServiceError, SettingsError, TokenRefused, Unreachable
from customer_sync.core.page import Page
from customer_sync.http.rate_limiter import AdaptiveRateLimiter
from customer_sync.http.redact import Redactor
from customer_sync.http.retry import TRIES
from customer_sync.http.service import Service
from customer_sync.http.session import ApiSession
from customer_sync.sandbox import Behaviour, Fault, Sandbox
from customer_sync.sandbox.faults import FaultKind
from customer_sync.sandbox.folkform import ROLE_ID, TOKEN, Access, Role
from customer_sync.sandbox.json_text import canonical
from customer_sync.services.document_paging import LARGEST_LIMIT
from customer_sync.services.documents import StoredVersion
from customer_sync.services.folkform import FolkFormClient
from customer_sync.services.folkform_access import CHECK_ROLE, SERVICE, FolkFormAccess, check_envelope
from customer_sync.services.folkform_pages import FolkFormPages
from customer_sync.services.sign_in import BearerToken

from .test_http import PatientClock, RawServer, reply

Dialect = Literal["deployed", "guide", "older"]
Server = Literal["2026-04", "2025-12"]
PAGE, OTHER = "104000000000001", "igo_178000000002"
T0 = 1_750_000_000
OTHER_USERS_ROLE = "6b08a4eca6028ffac65aaaaa"
NOT_TIMES = [None, "0001-01-01T00:00:00Z", "", "1970-01-01T00:00:00"]
_LAYOUTS = ["plain", "micro", "z", "milli", "nano", "hanoi", "west", "east"]
dialects = pytest.mark.parametrize("dialect", get_args(Dialect))
founds = pytest.mark.parametrize("found", ["list", "items"])


@pytest.fixture(scope="module")
def served() -> Iterator[Sandbox]:
    """One sandbox for all tests that need no page records."""
    with Sandbox(pages=0) as sandbox:
        yield sandbox


@pytest.fixture
def box(served: Sandbox) -> Sandbox:
    """The sandbox as it usually behaves, its FolkForm empty."""
    served.behaviour.change(Behaviour().as_dict())
    for page_id in served.folkform.page_ids():
        served.folkform.delete(page_id)
    served.requests.clear()
    return served


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback is never called through the machine's proxy."""
    monkeypatch.setenv("NO_PROXY", "*")


def access_to(
    server: Sandbox | RawServer,
    clock: Clock | None = None,
    *,
    token: str = TOKEN,
    role_id: str | None = ROLE_ID,
    customer_path: str | None = "/fb-customer",
) -> FolkFormAccess:
    """A FolkForm of which nothing has been learned yet; unless a clock is given, waits take no time."""
    url = server.url if isinstance(server, RawServer) else server.environment["FOLKFORM_BASE_URL"]
    clock, redact = clock or PatientClock(), Redactor()
    redact.add(token)
    service = Service(SERVICE, url, "FOLKFORM_BASE_URL", CHECK_ROLE)
    session = ApiSession(service, check_envelope, clock=clock, redact=redact, timeout=10)
    paces, bearer = (AdaptiveRateLimiter(clock), AdaptiveRateLimiter(clock)), BearerToken(token, None, clock)
    return FolkFormAccess(session, *paces, token=bearer, role_id=role_id, customer_path=customer_path)


def client(server: Sandbox | RawServer, **settings: Any) -> FolkFormClient:
    return FolkFormClient(access_to(server, **settings))


def pages_of(server: Sandbox | RawServer, **settings: Any) -> list[Page]:
    return FolkFormPages(access_to(server, **settings)).pages()


def canned(*data: Any) -> RawServer:
    """A FolkForm whose answers carry these data, one after the other."""
    return RawServer(*(reply({"code": 200, "message": "ok", "status": "success", "data": one}) for one in data))


def text_of(second: int, layout: str = "plain", micros: int = 123456) -> str:
    """A time as Pancake may write it."""
    zone = {"hanoi": 7, "west": -12, "east": 14}.get(layout)
    moment = datetime.fromtimestamp(second, UTC if zone is None else timezone(timedelta(hours=zone)))
    whole = moment.strftime("%Y-%m-%dT%H:%M:%S")
    tail = {"plain": "", "micro": f".{micros:06}", "z": "Z", "milli": ".123Z", "nano": f".{micros:06}789Z"}
    return whole + (tail[layout] if layout in tail else moment.strftime("%z")[:3] + ":00")


def listed(psid: str, time: Any = T0, **fields: Any) -> dict[str, Any]:
    """A customer as Pancake lists one; *time* is a second, or `updated_at` itself."""
    return {"id": f"id-{psid}", "psid": psid, "updated_at": text_of(time) if type(time) is int else time, **fields}


def customer(psid: str, time: int = T0, **fields: Any) -> Customer:
    read = read_customer(listed(psid, time, **fields), PAGE)
    assert isinstance(read, Customer)
    return read


def fill(box: Sandbox, times: dict[str, Any], page_id: str = PAGE, layouts: Iterable[str] = ("plain",)) -> None:
    """Stores a customer for each time, as FolkForm's other writers do."""
    rng, layouts = random.Random(len(times)), list(layouts)
    for psid in rng.sample(sorted(times), len(times)):
        time = times[psid]
        version = text_of(time, rng.choice(layouts), rng.randrange(10**6)) if type(time) is int else time
        box.folkform.upsert({**listed(psid, version), "page_id": page_id})


def check_stored(box: Sandbox, stored: list[StoredVersion], times: dict[str, int]) -> None:
    """Each is a stored customer, once, with its own time and version."""
    assert len({one.psid for one in stored}) == len(stored)
    versions = {document["psid"]: document["panCakeData"]["updated_at"] for document in box.folkform.documents(PAGE)}
    for one in stored:
        assert (one.time, one.version) == (times[str(one.psid)], versions[str(one.psid)])


def read_three_ways(folkform: FolkFormClient, limit: int = 50) -> tuple[list[StoredVersion], ...]:
    """The newest documents, the oldest ones, and all."""
    return folkform.last_customers(PAGE, limit), folkform.oldest_customers(PAGE, limit), list(folkform.versions(PAGE))


def finds(box: Sandbox) -> int:
    """How many times FolkForm was asked for documents."""
    return box.requests.count("folkform", "/find")


# Page records


@pytest.mark.parametrize(("size", "requests"), [(60_000, 1 + 5), (600_000, 1 + 1 + 45)])
def test_large_page_records(size: int, requests: int) -> None:
    """Where fifty records are too large an answer, ten are asked for, then single ones; no page is left out."""
    with Sandbox(pages=0) as box:
        for number in range(45):
            box.add_page(f"104{number:03}")
            box.folkform.set_page(f"104{number:03}", panCakeData={"settings": "x" * size})
        assert [page.page_id for page in pages_of(box)] == [f"104{number:03}" for number in range(45)]
        assert box.requests.count("folkform", "/find-with-pagination") == requests


@pytest.mark.parametrize(("pages", "requests"), [(0, 1), (1, 1), (50, 1), (51, 2), (120, 3)])
def test_lists_every_page(pages: int, requests: int) -> None:
    """Each page comes once, in as few requests as possible."""
    with Sandbox(pages=0) as box:
        for number in range(pages):
            box.add_page(f"104{number:03}", f"Trang {number}", is_sync=number % 3 != 0)
        found = pages_of(box)
        assert [(page.page_id, page.name, page.is_sync) for page in found] == [
            (f"104{number:03}", f"Trang {number}", number % 3 != 0) for number in range(pages)
        ]
        assert box.requests.count("folkform", "/find-with-pagination") == requests
        for page in found:
            assert page.page_access_token == box.pancake.page_token(page.page_id)
            assert page.access_token == box.pancake.user_token(page.page_id)


def _page_data(items: Any, **more: Any) -> Any:
    return {"page": 1, "limit": 50, "itemCount": 1, "items": items, **more}


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({}, ("", False, "")),
        ({"pageName": None, "pageUsername": None, "isSync": None, "pageAccessToken": None}, ("", False, "")),
        ({"pageName": "", "pageUsername": "trang", "isSync": True}, ("trang", True, "")),
        ({"pageName": "Trang", "pageUsername": "x", "isSync": "true"}, ("Trang", False, "")),
        ({"isSync": 1, "pageAccessToken": "t"}, ("", False, "t")),
    ],
)
def test_reads_a_page_record(record: dict[str, Any], expected: tuple[str, bool, str]) -> None:
    """What a record lacks is empty, and only a plain true switches a page on; records without a page id are skipped."""
    without_id = [{}, {"pageId": None}, {"pageId": ""}, {"pageId": 104}]
    with canned(_page_data([*without_id, {"pageId": "1", **record}], total=5)) as server:
        (page,) = pages_of(server)
    assert page.page_id == "1"
    assert (page.name, page.is_sync, page.page_access_token) == expected


def test_pages_without_a_total() -> None:
    """Where FolkForm does not count, a listing ends when nothing new comes."""
    first, last = ([{"pageId": f"{batch}-{number}"} for number in range(50)] for batch in "ab")
    for end in ([], None, first):
        with canned(_page_data(first), _page_data(last), _page_data(end)) as server:
            assert len(pages_of(server)) == 100
        assert [request.params["page"] for request in server.requests] == ["1", "2", "3"]


# The upsert

PSIDS = [
    *("25149177694676594", "a b", "'", '"', '"}', '{"$ne": ""}', "$where", "}{", "\\", "\\u0000", "a\nb", "[]"),
    *("Nguyễn", "🌸", "a&b=c", "a+b", "100%", "%22", "#?/", "null", "true", "1e5", " 25149 ", "x" * 300),
]


def test_the_filter_is_exactly_psid_and_page(box: Sandbox) -> None:
    """Whatever a psid looks like, it stays a text: the filter finds this customer and no other."""
    fill(box, {"bystander": T0})
    for psid in PSIDS * 2:
        client(box).upsert_customer(customer(psid))
        request = box.requests.recent[-1]
        assert request.query.keys() == {"filter"}
        assert json.loads(request.query["filter"]) == {"psid": psid, "pageId": PAGE}
    assert [document["psid"] for document in box.folkform.documents(PAGE)] == ["bystander", *PSIDS]


def test_the_body_is_the_customer_unchanged() -> None:
    """Numbers above 2^53, floats, nulls, emoji and unknown keys are sent as they are; only a missing page is added."""
    data: dict[str, Any] = {
        "thread_id": 2**53 + 1,
        "huge": [2**63 - 1, 2**63, 2**100, -(2**70)],
        "floats": [0.1, 1e-9, 1.0, 1e300],
        "nothing": {"null": None, "list": [], "object": {}, "text": "", "false": False, "zero": 0},
        "text": 'tiếng Việt "🌸" \\ \u2028 \x00 </script>',
        "$odd.key": {"$set": {"x": 1}},
        "deep": [[[[{"notes": [{"id": 2**60 + 1}]}]]]],
    }
    for page in ({}, {"page_id": None}, {"page_id": ""}, {"page_id": PAGE}):
        one = customer("1", **data, **page)
        before = canonical(one.data)
        with canned({}) as server:
            client(server, role_id=None).upsert_customer(one)
        (request,) = server.requests
        sent = {"panCakeData": {**listed("1", **data), "page_id": PAGE}}
        assert canonical(json.loads(request.body)) == canonical(sent)
        assert canonical(one.data) == before
        assert (request.method, request.headers["content-type"]) == ("POST", "application/json")
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        assert "x-active-role-id" not in request.headers


def test_a_refusal_does_not_name_the_customer(caplog: pytest.LogCaptureFixture) -> None:
    """FolkForm may quote a name or number when it refuses; neither reaches an error or the log."""
    caplog.set_level(logging.DEBUG, "customer_sync")
    message = 'E11000 dup key: { name: "Nguyễn Thị Thảo", phone: "0903154539" }'
    one = customer("1", name="Nguyễn Thị Thảo", phone_numbers=["0903154539"])
    for status in (400, 403, 500):
        server = RawServer(reply({"status": "error", "code": "DB_002", "message": message}, status))
        with server, pytest.raises(ServiceError) as failure:
            client(server).upsert_customer(one)
        assert failure.value.code == "DB_002"
        for personal in ("Nguyễn", "0903154539"):
            assert personal not in str(failure.value) + caplog.text


# Token and role


@pytest.mark.parametrize("shape", ["list", "roles"])
@pytest.mark.parametrize(("wrong", "status"), [(None, 400), ("xyz", 400), (OTHER_USERS_ROLE, 403)])
def test_the_only_role_is_used(
    box: Sandbox, wrong: str | None, status: int, shape: Literal["list", "roles"], caplog: pytest.LogCaptureFixture
) -> None:
    """Where FolkForm does not accept the role, and the user has exactly one, that is used: found and logged once."""
    caplog.set_level(logging.DEBUG, "customer_sync")
    box.behaviour.roles = shape
    folkform = client(box, role_id=wrong)
    folkform.upsert_customer(customer("1"))
    assert (folkform.count(PAGE), folkform.role_id) == (1, ROLE_ID)
    assert [request.status for request in box.requests.recent] == [status, 200, 200, 200]
    (said,) = [record.getMessage() for record in caplog.records if "FOLKFORM_ROLE_ID" in record.getMessage()]
    assert ROLE_ID in said


@pytest.mark.parametrize("count", [0, 2])
@pytest.mark.parametrize("wrong", [None, OTHER_USERS_ROLE])
def test_no_role_or_several(box: Sandbox, count: int, wrong: str | None) -> None:
    """The settings are wrong; where there are several roles, they are listed."""
    roles = tuple(Role(f"{number}" * 24, f"Role {number}", "Cô Ba") for number in range(count))
    box.folkform.tokens["another-users-token"] = Access(roles=roles)
    with pytest.raises(SettingsError) as refusal:
        client(box, role_id=wrong, token="another-users-token").count(PAGE)
    assert "FOLKFORM_ROLE_ID" in refusal.value.problem
    assert all(role.role_id in refusal.value.next_step for role in roles)


def test_threads_find_the_role_once(box: Sandbox) -> None:
    """However many calls meet the refusal, the roles are listed once."""
    folkform = client(box, role_id=None)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: folkform.count(PAGE), range(24))) == [0] * 24
    assert box.requests.count("folkform", "/auth/roles") == 1


@pytest.mark.parametrize(("blocked", "code"), [(False, "AUTH_003"), (True, "AUTH_002")])
def test_a_missing_permission_replaces_no_role(box: Sandbox, blocked: bool, code: str) -> None:
    """A role of the user's that lacks a permission, or a blocked user, fails at once."""
    box.folkform.tokens["reader-token"] = Access(frozenset({"Customer.Read"}), blocked=blocked)
    with pytest.raises(TokenRefused) as refusal:
        client(box, token="reader-token").upsert_customer(customer("1"))
    assert refusal.value.code == code
    assert box.requests.count("folkform", "/upsert-one") == 1


def test_a_wrong_value_is_not_the_roles(box: Sandbox) -> None:
    """Once FolkForm has answered in our role, its VAL_002 is about the call: one try, no question about roles."""
    box.behaviour.server = "2025-12"
    folkform = client(box, customer_path="/customer")
    folkform.count(PAGE)
    one = customer("1")
    del one.data["id"]
    for tried in (1, 2):
        with pytest.raises(Refused) as refusal:
            folkform.upsert_customer(one)
        assert refusal.value.code == "VAL_002"
        assert box.requests.count("folkform", "/upsert-one") == tried
    assert box.requests.count("folkform", "/auth/roles") == 0


@pytest.mark.parametrize(
    ("server", "length", "status"),
    [("2026-04", 3, 401), ("2025-12", 3, 500), ("2025-12", 19, 500), ("2025-12", 20, 401)],
)
def test_a_wrong_token(box: Sandbox, server: Server, length: int, status: int) -> None:
    """It is refused once, and not shown; a server of 2025-12 answers 500 to a short one, while its health is good."""
    box.behaviour.server, token = server, "wr0ng-token-wr0ng-token"[:length]
    with pytest.raises(TokenRefused) as refusal:
        pages_of(box, token=token)
    assert "FOLKFORM_TOKEN" in refusal.value.next_step
    assert refusal.value.status == status
    assert token not in str(refusal.value)
    assert box.requests.count("folkform", "/find-with-pagination") == (1 if status == 401 else TRIES)


@pytest.mark.parametrize("server", get_args(Server))
@pytest.mark.parametrize("is_up", [True, False])
def test_500_to_the_very_first_call(box: Sandbox, server: Server, is_up: bool) -> None:
    """With a token of usual length it may pass, but while FolkForm is up the token is named."""
    box.behaviour.server = server
    with (
        box.faults.add(Fault("status", endpoint="/find-with-pagination", times=None)),
        box.faults.add(Fault("reset", endpoint="/system/health", times=0 if is_up else None)),
        pytest.raises(Unreachable) as failure,
    ):
        pages_of(box)
    assert ("FOLKFORM_TOKEN" in failure.value.next_step) is is_up


# The path of the customers


@pytest.mark.parametrize(("server", "path", "missing"), [("2025-12", "/customer", 0), ("2026-04", "/fb-customer", 2)])
def test_the_path_is_found(box: Sandbox, server: Server, path: str, missing: int) -> None:
    """/customer where it exists, else /fb-customer, found out once; no request more where the first one exists."""
    box.behaviour.server = server
    folkform = client(box, customer_path=None)
    folkform.upsert_customer(customer("1"))
    for stored in read_three_ways(folkform):
        assert [one.psid for one in stored] == ["1"]
    assert (folkform.count(PAGE), folkform.customer_path) == (1, path)
    assert [request.status for request in box.requests.recent].count(404) == missing
    assert box.other_folkform.documents(PAGE) == []


@pytest.mark.parametrize(
    ("endpoint", "kind", "times"),
    [
        ("/customer/find", "status", 1),
        ("/customer/upsert-one", "status", 1),
        ("/customer/count", "status", 1),
        ("/upsert-one", "status", None),
        ("/count", "html", None),
    ],
)
def test_no_wrong_404_moves_the_path(box: Sandbox, endpoint: str, kind: FaultKind, times: int | None) -> None:
    """One 404, one after the path has answered, and one that is not FolkForm's own, change nothing."""
    box.behaviour.server = "2025-12"
    folkform = client(box, customer_path=None)
    with box.faults.add(Fault(kind, endpoint=endpoint, status=404, times=times)):
        for call in (
            lambda: folkform.count(PAGE),
            folkform.time_field,
            lambda: folkform.upsert_customer(customer("1")),
        ):
            with suppress(Refused):
                call()
    assert folkform.customer_path == "/customer"
    assert box.other_folkform.documents(PAGE) == []


@pytest.mark.parametrize("path", ["/customer", "/customers"])
def test_a_path_that_was_set_and_does_not_exist(box: Sandbox, path: str) -> None:
    """It is the setting that is wrong."""
    for call in (lambda: client(box, customer_path=path).count(PAGE), client(box, customer_path=path).time_field):
        with pytest.raises(SettingsError) as refusal:
            call()
        assert "FOLKFORM_CUSTOMER_PATH" in refusal.value.problem


def test_no_path_exists() -> None:
    """A FolkForm without customers is a wrong address."""
    missing = reply({"code": "DB_002", "message": "no", "status": "error"}, 404)
    with RawServer(missing) as server, pytest.raises(SettingsError) as refusal:
        client(server, customer_path=None).count(PAGE)
    assert "FOLKFORM_BASE_URL" in refusal.value.next_step


# What is stored already


@dialects
@founds
def test_an_empty_folkform(box: Sandbox, dialect: Dialect, found: Literal["list", "items"]) -> None:
    """An empty FolkForm is no error, and is read anew once it holds something."""
    box.behaviour.dialect, box.behaviour.found = dialect, found
    folkform = client(box)
    assert read_three_ways(folkform) == ([], [], [])
    assert folkform.count(PAGE) == 0
    assert box.requests.count() <= 7
    folkform.upsert_customer(customer("1"))
    assert read_three_ways(folkform) == ([StoredVersion("1", text_of(T0), T0)],) * 3


@dialects
@founds
@pytest.mark.parametrize("span", [30, 86_400, 90 * 86_400])
def test_newest_and_oldest(box: Sandbox, dialect: Dialect, found: Literal["list", "items"], span: int) -> None:
    """In every dialect, by Pancake's time, whatever layouts are mixed: the newest, the oldest, and all."""
    box.behaviour.dialect, box.behaviour.found = dialect, found
    rng = random.Random(span)
    times = {f"p{number}": T0 + rng.randrange(span) for number in range(120)}
    fill(box, times, layouts=_LAYOUTS)
    fill(box, {"stranger": T0 + 10 * span}, OTHER)
    folkform = client(box)
    assert (folkform.count(PAGE), folkform.count("no such page")) == (120, 0)
    falling = sorted(times.values(), reverse=True)
    for limit in (1, 50, 119, 120, 500):
        newest, oldest = folkform.last_customers(PAGE, limit), folkform.oldest_customers(PAGE, limit)
        assert [one.time for one in newest] == falling[:limit]
        assert [one.time for one in oldest] == falling[::-1][:limit]
        check_stored(box, newest, times)
        check_stored(box, oldest, times)
    for until in (None, T0 + 60 * span, T0 - 2, *(T0 + span * part // 7 for part in range(8))):
        stored = list(folkform.versions(PAGE, until))
        assert [one.time for one in stored] == [time for time in falling if until is None or time <= until]
        check_stored(box, stored, times)


@dialects
@pytest.mark.parametrize(
    ("tied", "above", "below"),
    [(LARGEST_LIMIT, 0, 0), (LARGEST_LIMIT + 1, 0, 0), (2 * LARGEST_LIMIT + 300, 7, 9), (LARGEST_LIMIT, 500, 500)],
)
def test_ties_bigger_than_an_answer(box: Sandbox, dialect: Dialect, tied: int, above: int, below: int) -> None:
    """More customers of one time than an answer holds: each comes once, from both ends, and the reading ends."""
    box.behaviour.dialect = dialect
    times = {f"t{number}": T0 for number in range(tied)}
    times |= {f"a{number}": T0 + 1 + number for number in range(above)}
    times |= {f"b{number}": T0 - 1 - number for number in range(below)}
    fill(box, times)
    folkform = client(box)
    everything = list(folkform.versions(PAGE))
    check_stored(box, everything, times)
    assert [one.time for one in everything] == sorted(times.values(), reverse=True)
    assert len(folkform.oldest_customers(PAGE, len(times))) == len(times)
    if not above:
        assert [one.time for one in folkform.last_customers(PAGE, 50)] == [T0] * 50
    assert all(request.status == 200 for request in box.requests.recent)


@pytest.mark.parametrize(
    ("dialect", "field", "zeros"),
    [
        ("deployed", "panCakeUpdatedAt", 0),
        ("deployed", "panCakeUpdatedAt", 150),
        ("guide", "updatedAt", 0),
        ("older", "panCakeData.updated_at", 0),
    ],
)
def test_few_requests(box: Sandbox, dialect: Dialect, field: str, zeros: int) -> None:
    """A thousand versions a request; a watermark costs one, by the field that is indexed, though zeros may hide it."""
    box.behaviour.dialect = dialect
    fill(box, {f"zero{number}": None for number in range(zeros)})
    fill(box, {f"p{number}": T0 + 60 * number for number in range(2500)})
    folkform = client(box)
    folkform.time_field()
    box.requests.clear()
    for requests, ask in (
        (1, lambda: folkform.last_customers(PAGE, 50)),
        (1, lambda: folkform.oldest_customers(PAGE, 50)),
        (3, lambda: list(folkform.versions(PAGE))),
        (1, lambda: next(folkform.versions(PAGE))),
    ):
        before = finds(box)
        ask()
        assert finds(box) - before == requests
    assert [request.options["sort"][field] for request in box.requests.recent] == [-1, 1, -1, -1, -1, -1]
    for request in box.requests.recent:
        assert request.filter.keys() == {"pageId", field}
        assert request.filter["pageId"] == PAGE
        assert request.options["limit"] <= LARGEST_LIMIT
        assert request.options.keys() == {"sort", "limit", "skip", "projection"}


@dialects
@pytest.mark.parametrize("zeros", [0, 1, 150])
def test_the_dialect_is_learned_once(box: Sandbox, dialect: Dialect, zeros: int) -> None:
    """It costs a pass three requests at most, however many pages ask side by side, and however often."""
    box.behaviour.dialect, box.behaviour.folkform_latency = dialect, 0.02
    fill(box, {f"zero{number}": None for number in range(zeros)})
    fill(box, {f"p{number}": T0 + number for number in range(3)})
    fill(box, {"other": T0}, OTHER)
    folkform = client(box, clock=Clock())

    def newest(page_id: str) -> list[str | None]:
        return [one.psid for one in folkform.last_customers(page_id, 1)]

    with ThreadPoolExecutor(9) as pool:
        assert list(pool.map(newest, [PAGE, OTHER, "no such page"] * 3)) == [["p2"], ["other"], []] * 3
    assert finds(box) <= 9 + 3


@dialects
def test_a_time_of_zero_is_no_time(box: Sandbox, dialect: Dialect) -> None:
    """Documents of another writer without a time are neither the oldest nor a reason to doubt the others."""
    box.behaviour.dialect = dialect
    fill(box, {f"zero{number}": time for number, time in enumerate(NOT_TIMES * 40)})
    folkform = client(box)
    assert read_three_ways(folkform) == ([], [], [])
    times = {f"p{number}": T0 + number for number in range(60)}
    fill(box, times)
    fill(box, {f"late{number}": time for number, time in enumerate(NOT_TIMES * 5)})
    folkform = client(box)
    assert [one.time for one in folkform.oldest_customers(PAGE, 50)] == sorted(times.values())[:50]
    assert [one.time for one in folkform.last_customers(PAGE, 50)] == sorted(times.values(), reverse=True)[:50]
    assert {one.psid for one in folkform.versions(PAGE)} == times.keys()
    assert folkform.count(PAGE) == 60 + 160 + 20
    assert len([one for one in folkform.all_versions(PAGE) if not one.has_time]) == 160 + 20


@dialects
def test_unreadable_versions_are_skipped(box: Sandbox, dialect: Dialect) -> None:
    """A version that is no time sorts anywhere among the texts; it is no watermark and hides no customer."""
    box.behaviour.dialect = dialect
    texts = ["yesterday", "zzz", "!", "0000", "2025", "2025-99-99T00:00:00", "٢٠٢٥-01-01T00:00:00", True, {}, []]
    fill(box, {f"bad{number}": version for number, version in enumerate(texts)})
    box.folkform.upsert({**listed("bad", 5.0), "page_id": PAGE})
    times = {f"p{number}": T0 + 3600 * number for number in range(30)}
    fill(box, times, layouts=_LAYOUTS)
    folkform = client(box)
    for stored in read_three_ways(folkform):
        assert len(stored) == 30
        check_stored(box, stored, times)
    assert [one.psid for one in folkform.last_customers(PAGE, 2)] == ["p29", "p28"]
    assert [one.psid for one in folkform.oldest_customers(PAGE, 2)] == ["p0", "p1"]


@pytest.mark.parametrize("dialect", ["guide", "older"])
def test_times_around_1970(box: Sandbox, dialect: Dialect) -> None:
    """A customer of the first hours of 1970, written in a zone where it was 1969 still, ends no reading."""
    box.behaviour.dialect = dialect
    fill(box, {"west": "1969-12-31T19:00:05-05:00", "utc": "1970-01-01T00:00:07", "now": T0})
    folkform = client(box)
    assert [(one.psid, one.time) for one in folkform.oldest_customers(PAGE, 5)] == [
        ("west", 5),
        ("utc", 7),
        ("now", T0),
    ]
    assert [one.psid for one in folkform.versions(PAGE)] == ["now", "utc", "west"]


def test_a_server_that_was_renewed(box: Sandbox) -> None:
    """Where only some documents have Pancake's time, watermarks are read from those."""
    box.behaviour.dialect = "older"
    fill(box, {f"old{number}": T0 - number for number in range(150)})
    box.behaviour.dialect = "deployed"
    fill(box, {f"new{number}": T0 + number for number in range(3)})
    folkform = client(box)
    assert [one.psid for one in folkform.last_customers(PAGE, 2)] == ["new2", "new1"]
    assert all(one.time <= T0 + 2 for one in folkform.versions(PAGE))


@dialects
def test_a_time_of_the_write_is_no_time(box: Sandbox, dialect: Dialect) -> None:
    """A customer written just now does not look as if it had changed just now, also where a sample misleads."""
    box.behaviour.dialect = "guide"
    fill(box, {f"sampled{number}": T0 for number in range(120)}, OTHER)
    box.behaviour.dialect = dialect
    folkform = client(box)
    assert folkform.last_customers(PAGE, 1) == []
    for number in range(5):
        folkform.upsert_customer(customer(f"p{number}", T0 - number * 86_400))
        assert [one.time for one in folkform.last_customers(PAGE, 1)] == [T0]
        assert [one.time for one in folkform.oldest_customers(PAGE, 1)] == [T0 - number * 86_400]


# Answers that no sandbox gives


def _document(psid: Any, time: Any, data: Any = None) -> dict[str, Any]:
    return {"psid": psid, "panCakeUpdatedAt": time, "panCakeData": data}


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        (1_765_103_003_123, 1_765_103_003),
        (1_765_103_003_999, 1_765_103_003),
        (1_765_103_003_123.5, 1_765_103_003),
        (1_765_103_003, 1_765_103_003),
        (1_765_103_003.9, 1_765_103_003),
        (100_000_000_001, 100_000_000),
        (99_999_999_999, 99_999_999_999),
        (253_402_300_799_999, 253_402_300_799),
    ],
)
def test_reads_times_and_versions(time: Any, seconds: int) -> None:
    """A time above 10^11 is milliseconds, below it seconds; both are floored. What is no text is no version."""
    without_version: list[Any] = [None, 5, "x", [], {}, {"updated_at": 5}, {"updated_at": None}]
    for version, data in (("v", {"updated_at": "v"}), *((None, data) for data in without_version)):
        with canned([_document("1", time, data)]) as server:
            assert client(server).last_customers(PAGE, 5) == [StoredVersion("1", version, seconds)]


@pytest.mark.parametrize("time", [float("1e300"), 10**400, 253_402_300_800_000])
@pytest.mark.parametrize("psid", [None, "", " ", ["x"], "2"])
def test_what_has_no_customer_or_no_time_is_skipped(psid: Any, time: Any) -> None:
    """A document without psid and id, and a time that no date can hold, hide no customer."""
    unusable = _document(psid, time if psid == "2" else 2_000_000_000_000)
    with canned([unusable, _document("1", 1_000_000_000_000)]) as server:
        assert [one.psid for one in client(server).last_customers(PAGE, 5)] == ["1"]


@pytest.mark.parametrize("psid", [None, 5, ["1"], "2"])
def test_a_customer_who_was_not_asked_for_is_skipped(psid: Any) -> None:
    """A look-up by psid returns these psids only."""
    with canned([_document(psid, 2_000_000_000_000), _document("1", 1_000_000_000_000)]) as server:
        assert [one.psid for one in client(server).versions_of(PAGE, ["1"])] == ["1"]


@pytest.mark.parametrize("nothing", [[], None, {"items": []}, {"items": None}])
def test_no_documents(nothing: Any) -> None:
    """An empty list and null, alone or under `items`, are no documents."""
    sample = [_document("1", 1_765_103_003_123)]
    for answers in ([nothing], [sample, nothing], [{"items": sample}, nothing]):
        with canned(*answers) as server:
            assert client(server).last_customers(PAGE, 5) == []


@pytest.mark.parametrize(
    "data",
    [{}, 0, "", False, "none", {"docs": []}, {"items": 5}, {"items": {}}, [1], [None], [[]], {"items": ["x"]}],
    ids=repr,
)
def test_what_is_no_list_breaks_the_contract(data: Any) -> None:
    """Taken for an empty FolkForm it would move a watermark by years, or leave pages out."""
    with canned(data) as server:
        for ask in (lambda: client(server).last_customers(PAGE, 5), lambda: pages_of(server)):
            with pytest.raises(ContractBroken):
                ask()


@pytest.mark.parametrize(
    "answer",
    [
        [_document("1", 1_000_000_000_000), _document("2", 2_000_000_000_000)],
        [_document("1", 0), _document("2", 1_000_000_000_000)],
        [_document("1", None)],
        [_document("1", "text"), _document("2", 5)],
        [_document("1", 2_000_000_000_000), _document("2", None)],
    ],
    ids=["oldest first", "zero", "no time", "text", "no second time"],
)
def test_a_server_that_does_not_sort_or_filter(answer: Any) -> None:
    """What is out of order, or should not have passed the filter, is not taken for the newest."""
    with canned([_document("1", 1_000_000_000_000)], answer) as server, pytest.raises(ContractBroken):
        client(server).last_customers(PAGE, 5)


# Counts, and whether FolkForm is up


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        *(({"status": "success", "data": data}, ContractBroken) for data in (None, "7", 7.0, True, [7], {"count": 7})),
        *((body, ContractBroken) for body in ({}, {"data": 7}, {"status": "ok", "data": 7}, {"status": "success"})),
        ({"status": True, "data": 7}, ContractBroken),
        ({"status": "error", "code": "VAL_002", "message": "sai", "data": 7}, Refused),
        ({"status": "error"}, Refused),
    ],
    ids=str,
)
def test_what_is_no_count(body: Any, kind: type[ServiceError]) -> None:
    """An HTTP 200 that has an error, no envelope, or no number, is no count; there is no second try."""
    with RawServer(reply(body)) as server, pytest.raises(ServiceError) as failure:
        client(server).count(PAGE)
    assert type(failure.value) is kind
    assert len(server.requests) == 1


def test_an_outage_costs_one_call_a_page() -> None:
    """All tries find out that FolkForm is down; after that one call each asks whether it is over, until it is."""
    with Sandbox(pages=0) as box:
        box.add_page(PAGE)
        clock = PatientClock()
        folkform = client(box, clock=clock)
        folkform.ensure_up(PAGE)
        assert box.requests.count() == 0
        box.stop()
        with pytest.raises(Unreachable):
            folkform.count(PAGE)
        for _ in range(3):
            assert len(clock.waits) == TRIES - 1
            with pytest.raises(Unreachable):
                folkform.ensure_up(PAGE)
        assert len(clock.waits) == TRIES - 1
        box.start()
        folkform.ensure_up(PAGE)
        assert folkform.count(PAGE) == 0
        folkform.ensure_up(PAGE)
        assert [request.template for request in box.requests.recent] == ["/system/health", "/fb-customer/count"]


@pytest.mark.parametrize(
    ("kind", "status", "is_up"),
    [
        *(("status", status, True) for status in (200, 400, 401, 404, 429)),
        *(("html", status, True) for status in (200, 404)),
        *(("status", status, False) for status in (500, 503)),
        ("html", 502, False),
        ("reset", None, False),
    ],
)
def test_which_answers_about_health_end_an_outage(
    box: Sandbox, kind: FaultKind, status: int | None, is_up: bool
) -> None:
    """Any answer will do, as older servers do not know the path; not that of a proxy, or of a server that fails."""
    folkform = client(box)
    with box.faults.add(Fault("reset", endpoint="/count", times=None)), pytest.raises(Unreachable):
        folkform.count(PAGE)
    ended = False
    with box.faults.add(Fault(kind, endpoint="/system/health", status=status)), suppress(Unreachable):
        folkform.ensure_up(PAGE)
        ended = True
    assert ended is is_up


@pytest.mark.parametrize("status", [403, 404, 500])
def test_roles_that_cannot_be_listed_change_nothing(box: Sandbox, status: int) -> None:
    """An empty FolkForm is empty where it does not list its roles."""
    with box.faults.add(Fault("status", endpoint="/auth/roles", status=status, times=None)):
        assert client(box).last_customers(PAGE, 50) == []
