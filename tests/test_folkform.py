"""FolkForm as the program asks it: against the sandbox in its three dialects, and against what no sandbox answers."""

import json
import logging
import random
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Literal, get_args

import pytest

from customer_sync.core.clock import Clock
from customer_sync.core.customer import Customer, read_customer
from customer_sync.core.errors import ContractBroken, Refused, ServiceError, SettingsError, TokenRefused, Unreachable
from customer_sync.http.rate_limiter import AdaptiveRateLimiter
from customer_sync.http.redact import Redactor
from customer_sync.http.retry import TRIES
from customer_sync.http.service import Service
from customer_sync.http.session import ApiSession
from customer_sync.sandbox import Behaviour, Fault, Sandbox
from customer_sync.sandbox.faults import FaultKind
from customer_sync.sandbox.folkform import ROLE_ID, TOKEN, Access, Role
from customer_sync.sandbox.json_text import canonical
from customer_sync.services.documents import StoredVersion
from customer_sync.services.folkform import FolkFormClient
from customer_sync.services.folkform_access import CHECK_TOKEN, SERVICE, FolkFormAccess, check_envelope
from customer_sync.services.folkform_order import LARGEST_LIMIT
from customer_sync.services.sign_in import BearerToken

from .test_http import PatientClock, RawServer, reply

Dialect = Literal["deployed", "guide", "older"]
PAGE, OTHER = "104000000000001", "igo_178000000002"
T0 = 1_750_000_000
FAR = 4_000_000_000
NEVER = "0001-01-01T00:00:00Z"
NOBODYS = "6b08a4eca6028ffac65aaaaa"
_LONG = 30.0
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
    """Loopback is never asked through the machine's proxy."""
    monkeypatch.setenv("NO_PROXY", "*")


def client(url: str, clock: Clock | None = None, **settings: Any) -> FolkFormClient:
    """A client whose waits take no time."""
    clock, redact = clock or PatientClock(), Redactor()
    given = {"role_id": ROLE_ID, "customer_path": "/fb-customer", **settings}
    token = given.pop("token", TOKEN)
    redact.add(token)
    service = Service(SERVICE, url, "FOLKFORM_BASE_URL", CHECK_TOKEN)
    session = ApiSession(service, check_envelope, clock=clock, redact=redact, timeout=10)
    paces = AdaptiveRateLimiter(clock), AdaptiveRateLimiter(clock)
    return FolkFormClient(FolkFormAccess(session, *paces, token=BearerToken(token, None, clock), **given))


def of(box: Sandbox, **settings: Any) -> FolkFormClient:
    """A client of the sandbox's FolkForm that has learned nothing yet."""
    return client(box.environment["FOLKFORM_BASE_URL"], **settings)


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


def person(psid: str, time: int | str | None = T0, **fields: Any) -> dict[str, Any]:
    """A customer as Pancake lists her."""
    version = text_of(time) if isinstance(time, int) else time
    return {"id": f"id-{psid}", "psid": psid, "updated_at": version, **fields}


def customer(psid: str, time: int | str = T0, **fields: Any) -> Customer:
    """A customer who can be synced."""
    read = read_customer(person(psid, time, **fields), PAGE)
    assert isinstance(read, Customer)
    return read


def fill(box: Sandbox, people: Iterable[dict[str, Any]], page_id: str = PAGE) -> None:
    """Stores customers as FolkForm's other writers do, beside the program."""
    for one in people:
        box.folkform.upsert({**one, "page_id": page_id})


def mixed(count: int, span: int, seed: int) -> dict[str, int]:
    """Times of *count* customers in every layout, within *span* seconds, with ties."""
    rng = random.Random(seed)
    times = {}
    for number in range(count):
        second = T0 + rng.randrange(span)
        times[f"p{number}"] = second
    return times


def fill_mixed(box: Sandbox, times: dict[str, int], seed: int) -> dict[str, str]:
    """Stores a customer for each time, in a layout drawn by lot. Returns the versions."""
    rng = random.Random(seed)
    versions = {psid: text_of(second, rng.choice(_LAYOUTS), rng.randrange(10**6)) for psid, second in times.items()}
    order = list(times)
    rng.shuffle(order)
    fill(box, (person(psid, versions[psid]) for psid in order))
    return versions


def check_stored(stored: list[StoredVersion], times: dict[str, int], versions: dict[str, str]) -> None:
    """Each is a stored customer, once, with her own time and version."""
    assert len({one.psid for one in stored}) == len(stored)
    for one in stored:
        assert (one.time, one.version) == (times[str(one.psid)], versions[str(one.psid)])


def finds(box: Sandbox) -> int:
    """How many times FolkForm was asked for documents."""
    return box.requests.count("folkform", "/find")


# Pages


@pytest.mark.parametrize(("pages", "requests"), [(0, 1), (1, 1), (49, 1), (50, 1), (51, 2), (100, 2), (120, 3)])
def test_lists_every_page(pages: int, requests: int) -> None:
    """However many there are, each page comes once, in as few requests as possible."""
    with Sandbox(pages=0) as box:
        for number in range(pages):
            box.add_page(f"104{number:03}", f"Trang {number}", is_sync=number % 3 != 0)
        found = of(box, role_id=ROLE_ID).pages()
        assert [page.page_id for page in found] == [f"104{number:03}" for number in range(pages)]
        assert [page.is_sync for page in found] == [number % 3 != 0 for number in range(pages)]
        assert box.requests.count("folkform", "/find-with-pagination") == requests
        for page in found:
            assert page.name == f"Trang {int(page.page_id[3:])}"
            assert page.page_access_token == box.pancake.page_token(page.page_id)
            assert page.access_token == box.pancake.user_token(page.page_id)


def _page_data(items: Any, **more: Any) -> Any:
    return {"page": 1, "limit": 50, "itemCount": 1, "items": items, **more}


@pytest.mark.parametrize(
    ("record", "name", "is_sync", "token"),
    [
        ({"pageId": "1"}, "", False, ""),
        (
            {"pageId": "1", "pageName": None, "pageUsername": None, "isSync": None, "pageAccessToken": None},
            "",
            False,
            "",
        ),
        ({"pageId": "1", "pageName": "", "pageUsername": "trang", "isSync": True}, "trang", True, ""),
        ({"pageId": "1", "pageName": "Trang", "pageUsername": "x", "isSync": "true"}, "Trang", False, ""),
        ({"pageId": "1", "isSync": 1, "pageAccessToken": "t"}, "", False, "t"),
    ],
)
def test_reads_a_page_record(record: dict[str, Any], name: str, is_sync: bool, token: str) -> None:
    """What a record lacks is empty, and only a plain true switches a page on."""
    with canned(_page_data([record], total=1)) as server:
        (page,) = client(server.url).pages()
    assert (page.page_id, page.name, page.is_sync, page.page_access_token) == ("1", name, is_sync, token)


@pytest.mark.parametrize("bad", [{}, {"pageId": None}, {"pageId": ""}, {"pageId": 104}])
def test_a_record_without_page_id_is_passed_over(bad: dict[str, Any]) -> None:
    """A record that names no page ends no listing."""
    with canned(_page_data([bad, {"pageId": "1"}], total=2)) as server:
        assert [page.page_id for page in client(server.url).pages()] == ["1"]


def test_pages_without_a_total() -> None:
    """Where FolkForm does not count, a listing ends when nothing new comes."""
    first, last = ([{"pageId": f"{batch}-{number}"} for number in range(50)] for batch in "ab")
    for end in ([], None, first):
        with canned(_page_data(first), _page_data(last), _page_data(end)) as server:
            assert len(client(server.url).pages()) == 100
        assert [request.params["page"] for request in server.requests] == ["1", "2", "3"]


@pytest.mark.parametrize("data", [{}, 5, "x", {"items": {}}, {"items": "x"}, {"items": [1]}])
def test_what_is_no_list_of_pages_breaks_the_contract(data: Any) -> None:
    """Something else than pages is not taken for no pages."""
    with canned(data) as server, pytest.raises(ContractBroken):
        client(server.url).pages()


# The upsert

PSIDS = [
    *("25149177694676594", "a b", "'", '"', '"}', '{"$ne": ""}', "$where", "}{", "\\", "\\u0000", "a\nb", "[]"),
    *("Nguyễn", "🌸", "a&b=c", "a+b", "100%", "%22", "#?/", "null", "true", "1e5", " 25149 ", "x" * 300),
]


@pytest.mark.parametrize("psid", PSIDS)
def test_the_filter_is_exactly_psid_and_page(box: Sandbox, psid: str) -> None:
    """Whatever a psid looks like, it stays a text: the filter finds her and nobody else."""
    fill(box, [person("bystander")])
    for _ in range(2):
        of(box).upsert_customer(customer(psid))
    first, second = box.requests.recent
    assert first.filter == second.filter == {"psid": psid, "pageId": PAGE}
    assert json.loads(first.query["filter"]) == {"psid": psid, "pageId": PAGE}
    assert first.query.keys() == {"filter"}
    assert [document["psid"] for document in box.folkform.documents(PAGE)] == ["bystander", psid]


@pytest.mark.parametrize(
    ("fields", "stored"),
    [
        ({}, PAGE),
        ({"page_id": None}, PAGE),
        ({"page_id": ""}, PAGE),
        ({"page_id": PAGE}, PAGE),
    ],
)
def test_the_page_is_added_only_when_missing(box: Sandbox, fields: dict[str, Any], stored: str) -> None:
    """FolkForm needs the page inside of the customer; nothing else is added or changed, here or in her own data."""
    one = customer("1", **fields)
    before = canonical(one.data)
    of(box).upsert_customer(one)
    document = box.folkform.document(PAGE, "1")
    assert document is not None
    assert canonical(document["panCakeData"]) == canonical({**one.data, "page_id": stored})
    assert canonical(one.data) == before


def test_the_body_is_pan_cake_data_alone() -> None:
    """The body holds the customer under `panCakeData` and nothing beside it."""
    with canned({}) as server:
        client(server.url, role_id=None).upsert_customer(customer("1", name="Thảo"))
    (request,) = server.requests
    assert json.loads(request.body) == {"panCakeData": {**person("1", name="Thảo"), "page_id": PAGE}}
    assert request.method == "POST"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["authorization"] == "Bearer folkform-sandbox-token"
    assert "x-active-role-id" not in request.headers


def test_the_data_arrive_unchanged() -> None:
    """Numbers above 2^53, floats, nulls, emoji and unknown keys are sent as they are."""
    data: dict[str, Any] = {
        "thread_id": 2**53 + 1,
        "huge": [2**63 - 1, 2**63, 2**100, -(2**70)],
        "floats": [0.1, 1e-9, 1.0, 1e300],
        "nothing": {"null": None, "list": [], "object": {}, "text": "", "false": False, "zero": 0},
        "text": 'tiếng Việt "🌸" \\ \u2028 \x00 </script>',
        "$odd.key": {"$set": {"x": 1}},
        "deep": [[[[{"notes": [{"id": 2**60 + 1}]}]]]],
    }
    with canned({}) as server:
        client(server.url).upsert_customer(customer("1", **data))
    sent = json.loads(server.requests[0].body)
    assert canonical(sent["panCakeData"]) == canonical({**person("1", **data), "page_id": PAGE})


def test_a_second_upsert_updates(box: Sandbox) -> None:
    """The same psid of the same page is one document; the same psid elsewhere is another."""
    asked = of(box)
    asked.upsert_customer(customer("1", name="before"))
    asked.upsert_customer(customer("1", T0 + 5, name="after"))
    fill(box, [person("1", id="another", name="elsewhere")], OTHER)
    (document,) = box.folkform.documents(PAGE)
    assert document["panCakeData"]["name"] == "after"


def test_a_refused_customer_is_refused_once(box: Sandbox) -> None:
    """What FolkForm refuses is not sent a second time."""
    box.behaviour.server = "2025-12"
    one = customer("1")
    del one.data["id"]
    with pytest.raises(Refused, match="VAL_002"):
        of(box, customer_path="/customer").upsert_customer(one)
    assert box.requests.count("folkform", "/upsert-one") == 1


def test_folkforms_message_does_not_tell_who_she_is(caplog: pytest.LogCaptureFixture) -> None:
    """FolkForm may quote a name or number when it refuses; neither reaches an error or the log."""
    caplog.set_level(logging.DEBUG, "customer_sync")
    message = 'E11000 dup key: { name: "Nguyễn Thị Thảo", phone: "0903154539" }'
    long = "x" * 290 + " Nguyễn Thị Thảo"
    one = customer("1", name="Nguyễn Thị Thảo", phone_numbers=["0903154539"])
    for status, said in ((400, message), (500, message), (403, message), (400, long)):
        server = RawServer(reply({"status": "error", "code": "DB_002", "message": said}, status))
        with server, pytest.raises(ServiceError) as failure:
            client(server.url).upsert_customer(one)
        assert "DB_002" in str(failure.value)
        assert "Nguyễn" not in str(failure.value) + caplog.text
        assert "0903154539" not in str(failure.value) + caplog.text


# Who we are


def test_the_role_is_sent(box: Sandbox) -> None:
    """With a role set every call carries it, and nothing more is asked."""
    asked = of(box, role_id=ROLE_ID)
    asked.upsert_customer(customer("1"))
    assert (asked.count(PAGE), len(asked.last_customers(PAGE, 5))) == (1, 1)
    assert box.requests.count("folkform", "/auth/roles") == 0


@pytest.mark.parametrize("wrong", [None, "xyz", "6b08a4eca6028ffac65aaaaa"], ids=["none", "malformed", "another's"])
@pytest.mark.parametrize("shape", ["list", "roles"])
def test_the_only_role_is_used(
    box: Sandbox, wrong: str | None, shape: Literal["list", "roles"], caplog: pytest.LogCaptureFixture
) -> None:
    """Where FolkForm does not take the role, and the user has exactly one, that is used: found out once, said once."""
    caplog.set_level(logging.INFO, "customer_sync")
    box.behaviour.roles = shape
    asked = of(box, role_id=wrong)
    asked.upsert_customer(customer("1"))
    assert (asked.count(PAGE), asked.role_id) == (1, ROLE_ID)
    assert box.requests.count("folkform", "/auth/roles") == 1
    assert [request.status for request in box.requests.recent] == [400 if wrong != NOBODYS else 403, 200, 200, 200]
    (said,) = [record.getMessage() for record in caplog.records if "FOLKFORM_ROLE_ID" in record.getMessage()]
    assert said.endswith(f"{ROLE_ID}  Agent, Sandbox")


@pytest.mark.parametrize("count", [0, 2])
@pytest.mark.parametrize("wrong", [None, NOBODYS])
def test_no_role_or_several(box: Sandbox, count: int, wrong: str | None) -> None:
    """Several are listed with the variable to set, none is said: settings to correct, exit code 2."""
    roles = tuple(Role(f"{number}" * 24, f"Role {number}", "Cô Ba") for number in range(count))
    box.folkform.tokens["another-users-token"] = Access(roles=roles)
    with pytest.raises(SettingsError) as refusal:
        of(box, role_id=wrong, token="another-users-token").count(PAGE)
    assert "FOLKFORM_ROLE_ID" in refusal.value.problem
    assert all(f"{role.role_id}  {role.name}, Cô Ba" in refusal.value.next_step for role in roles)


def test_threads_find_the_role_once(box: Sandbox) -> None:
    """However many calls meet the refusal, the roles are asked for once."""
    asked = of(box, role_id=None)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: asked.count(PAGE), range(24))) == [0] * 24
    assert box.requests.count("folkform", "/auth/roles") == 1


@pytest.mark.parametrize(("blocked", "code"), [(False, "AUTH_003"), (True, "AUTH_002")])
def test_what_our_own_role_may_not_do(box: Sandbox, blocked: bool, code: str) -> None:
    """A role that is the user's and lacks a permission, or a blocked user, is not replaced: that is said at once."""
    box.folkform.tokens["reader-token"] = Access(frozenset({"Customer.Read"}), blocked=blocked)
    with pytest.raises(TokenRefused, match=code):
        of(box, token="reader-token").upsert_customer(customer("1"))
    assert box.requests.count("folkform", "/upsert-one") == 1


def test_a_wrong_value_is_not_the_roles(box: Sandbox) -> None:
    """Once FolkForm has answered in our role, its VAL_002 is about the call: nothing is asked about roles."""
    box.behaviour.server = "2025-12"
    asked = of(box, customer_path="/customer")
    asked.count(PAGE)
    one = customer("1")
    del one.data["id"]
    for _ in range(2):
        with pytest.raises(Refused, match="VAL_002"):
            asked.upsert_customer(one)
    assert box.requests.count("folkform", "/auth/roles") == 0


def test_a_wrong_token_is_refused(box: Sandbox) -> None:
    """A token that FolkForm does not know is refused once, and not shown."""
    with pytest.raises(TokenRefused, match="AUTH_001") as refusal:
        of(box, token="wrong-t0ken").pages()
    assert "FOLKFORM_TOKEN" in str(refusal.value)
    assert "wrong-t0ken" not in str(refusal.value)
    assert box.requests.count() == 1


@pytest.mark.parametrize("length", [3, 19, 20])
def test_a_token_that_is_cut_off(box: Sandbox, length: int) -> None:
    """In 2025-12 a short wrong token is answered with 500: the token is named, since FolkForm's health is well."""
    box.behaviour.server = "2025-12"
    with pytest.raises(ServiceError) as refusal:
        of(box, token="x" * length).pages()
    assert isinstance(refusal.value, TokenRefused)
    assert "FOLKFORM_TOKEN" in refusal.value.next_step
    assert (refusal.value.status == 500) == (length < 20)


@pytest.mark.parametrize("server", ["2026-04", "2025-12"])
def test_500_to_the_very_first_call(box: Sandbox, server: Literal["2026-04", "2025-12"]) -> None:
    """With a token of usual length it may pass, but the token is named; with ill health it is not."""
    box.behaviour.server = server
    with box.faults.add(Fault("status", endpoint="/find-with-pagination", times=None)):
        with pytest.raises(Unreachable) as failure:
            of(box).pages()
        assert "FOLKFORM_TOKEN" in failure.value.next_step
        with box.faults.add(Fault("reset", endpoint="/system/health", times=None)), pytest.raises(Unreachable) as down:
            of(box).pages()
    assert "FOLKFORM_TOKEN" not in down.value.next_step


# Where customers are kept


@pytest.mark.parametrize(("server", "path", "missing"), [("2025-12", "/customer", 0), ("2026-04", "/fb-customer", 2)])
def test_the_path_is_found(box: Sandbox, server: Literal["2026-04", "2025-12"], path: str, missing: int) -> None:
    """/customer where it exists, else /fb-customer, found out once; no request more where the first one exists."""
    box.behaviour.server = server
    asked = of(box, customer_path=None)
    asked.upsert_customer(customer("1"))
    assert [one.psid for one in asked.last_customers(PAGE, 5)] == ["1"]
    assert [one.psid for one in asked.oldest_customers(PAGE, 5)] == ["1"]
    assert [one.psid for one in asked.versions(PAGE, FAR)] == ["1"]
    assert (asked.count(PAGE), asked.customer_path) == (1, path)
    assert [request.status for request in box.requests.recent].count(404) == missing
    assert box.other_folkform.documents(PAGE) == []


def test_a_path_stays_once_it_has_answered(box: Sandbox) -> None:
    """A 404 later on does not move the customers into another collection."""
    box.behaviour.server = "2025-12"
    asked = of(box, customer_path=None)
    asked.count(PAGE)
    with box.faults.add(Fault("status", endpoint="/upsert-one", status=404, times=None)), pytest.raises(Refused):
        asked.upsert_customer(customer("1"))
    assert box.other_folkform.documents(PAGE) == []


@pytest.mark.parametrize("endpoint", ["/customer/find", "/customer/upsert-one", "/customer/count"])
def test_one_wrong_404_does_not_move_the_path(box: Sandbox, endpoint: str) -> None:
    """A path that is said not to exist is asked for once more before the customers go elsewhere."""
    box.behaviour.server = "2025-12"
    asked = of(box, customer_path=None)
    with box.faults.add(Fault("status", endpoint=endpoint, status=404)):
        for call in (lambda: asked.count(PAGE), asked.time_field, lambda: asked.upsert_customer(customer("1"))):
            with suppress(Refused):
                call()
    assert asked.customer_path == "/customer"
    assert box.other_folkform.documents(PAGE) == []


def test_a_proxys_404_does_not_move_the_path(box: Sandbox) -> None:
    """Only FolkForm's own envelope says that a path does not exist."""
    box.behaviour.server = "2025-12"
    with box.faults.add(Fault("html", endpoint="/count", status=404, times=None)), pytest.raises(Refused):
        of(box, customer_path=None).count(PAGE)
    assert box.other_folkform.documents(PAGE) == []


@pytest.mark.parametrize("path", ["/customer", "/customers"])
def test_a_path_that_was_set_and_does_not_exist(box: Sandbox, path: str) -> None:
    """It is the setting that is wrong: named, exit code 2."""
    for call in (lambda: of(box, customer_path=path).count(PAGE), lambda: of(box, customer_path=path).time_field()):
        with pytest.raises(SettingsError, match="FOLKFORM_CUSTOMER_PATH"):
            call()


def test_no_path_exists() -> None:
    """A FolkForm without customers names the address and the variable."""
    missing = {"code": "DB_002", "message": "no", "status": "error"}
    with (
        RawServer(reply(missing, 404), reply(missing, 404)) as server,
        pytest.raises(SettingsError, match="neither") as refusal,
    ):
        client(server.url, customer_path=None).count(PAGE)
    assert "FOLKFORM_BASE_URL" in refusal.value.next_step


# What is stored already


@dialects
@founds
def test_an_empty_folkform(box: Sandbox, dialect: Dialect, found: Literal["list", "items"]) -> None:
    """Nothing is there: that is no error, and it is asked again once something is."""
    box.behaviour.dialect, box.behaviour.found = dialect, found
    asked = of(box, role_id=ROLE_ID)
    assert asked.last_customers(PAGE, 50) == asked.oldest_customers(PAGE, 50) == list(asked.versions(PAGE, FAR)) == []
    assert asked.count(PAGE) == 0
    assert box.requests.count() <= 7
    asked.upsert_customer(customer("1"))
    expected = [StoredVersion("1", text_of(T0), T0)]
    assert asked.last_customers(PAGE, 50) == asked.oldest_customers(PAGE, 50) == expected
    assert list(asked.versions(PAGE, FAR)) == expected


@dialects
@founds
@pytest.mark.parametrize("span", [30, 86_400, 90 * 86_400])
def test_newest_and_oldest(box: Sandbox, dialect: Dialect, found: Literal["list", "items"], span: int) -> None:
    """In every dialect, by Pancake's time, whatever layouts are mixed: the newest, the oldest, and all."""
    box.behaviour.dialect, box.behaviour.found = dialect, found
    times = mixed(120, span, seed=span)
    versions = fill_mixed(box, times, seed=span)
    fill(box, [person("stranger", T0 + 10 * span)], OTHER)
    asked = of(box)
    falling = sorted(times.values(), reverse=True)
    for limit in (1, 7, 50, 119, 120, 500):
        newest, oldest = asked.last_customers(PAGE, limit), asked.oldest_customers(PAGE, limit)
        assert [one.time for one in newest] == falling[:limit]
        assert [one.time for one in oldest] == falling[::-1][:limit]
        check_stored(newest, times, versions)
        check_stored(oldest, times, versions)
    everybody = list(asked.versions(PAGE, FAR))
    assert [one.time for one in everybody] == falling
    check_stored(everybody, times, versions)


@dialects
def test_versions_up_to_a_second(box: Sandbox, dialect: Dialect) -> None:
    """Nobody of the last second is left out and nobody later comes, in every layout and zone."""
    box.behaviour.dialect = dialect
    times = mixed(150, 40, seed=1)
    versions = fill_mixed(box, times, seed=2)
    asked = of(box)
    for until in range(T0 - 2, T0 + 43, 5):
        stored = list(asked.versions(PAGE, until))
        assert {one.psid for one in stored} == {psid for psid, time in times.items() if time <= until}
        assert [one.time for one in stored] == sorted((one.time for one in stored), reverse=True)
        check_stored(stored, times, versions)


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
    fill(box, (person(psid, time) for psid, time in times.items()))
    asked = of(box)
    everybody = list(asked.versions(PAGE, FAR))
    check_stored(everybody, times, {psid: text_of(time) for psid, time in times.items()})
    assert len(everybody) == len(times)
    assert [one.time for one in everybody] == sorted(times.values(), reverse=True)
    assert len(asked.oldest_customers(PAGE, len(times))) == len(times)
    if not above:
        assert [one.time for one in asked.last_customers(PAGE, 50)] == [T0] * 50
    assert all(request.status == 200 for request in box.requests.recent)


@pytest.mark.parametrize(
    ("dialect", "field"),
    [("deployed", "panCakeUpdatedAt"), ("guide", "updatedAt"), ("older", "panCakeData.updated_at")],
)
@pytest.mark.parametrize("zeros", [0, 150])
def test_asks_by_pancakes_time(box: Sandbox, dialect: Dialect, field: str, zeros: int) -> None:
    """Each dialect is asked by the field that holds Pancake's time there, which FolkForm has an index of."""
    box.behaviour.dialect = dialect
    if dialect == "deployed":  # Another writer's documents hide the field from the first look.
        fill(box, (person(f"zero{number}", None) for number in range(zeros)))
    fill(box, [person("1")])
    asked = of(box)
    for newest_first, ask in ((True, asked.last_customers), (False, asked.oldest_customers)):
        assert [one.psid for one in ask(PAGE, 5)] == ["1"]
        request = box.requests.recent[-1]
        assert request.options["sort"] == {field: -1 if newest_first else 1}
        assert request.filter.keys() == {"pageId", field}
        assert request.filter["pageId"] == PAGE


@dialects
def test_requests_are_precious(box: Sandbox, dialect: Dialect) -> None:
    """A thousand versions a request; a mark costs one; nothing more is asked than is used."""
    box.behaviour.dialect = dialect
    fill(box, (person(f"p{number}", T0 + 60 * number) for number in range(2500)))
    asked = of(box)
    asked.last_customers(PAGE, 50)
    learned = finds(box)
    asked.last_customers(PAGE, 50)
    asked.oldest_customers(PAGE, 50)
    assert finds(box) - learned == 2
    box.requests.clear()
    assert len(list(asked.versions(PAGE, FAR))) == 2500
    assert finds(box) == 3
    box.requests.clear()
    assert next(asked.versions(PAGE, FAR)).psid == "p2499"
    assert finds(box) == 1
    for request in box.requests.recent:
        assert request.options["limit"] <= LARGEST_LIMIT
        assert request.options.keys() == {"sort", "limit", "skip", "projection"}


@dialects
@pytest.mark.parametrize("empty_times", [0, 1, 150])
def test_the_dialect_is_learned_once(box: Sandbox, dialect: Dialect, empty_times: int) -> None:
    """Telling the dialects apart costs a pass three requests at most, however many pages and questions it has."""
    box.behaviour.dialect = dialect
    fill(box, (person(f"zero{number}", None) for number in range(empty_times)))
    fill(box, (person(f"p{number}", T0 + number) for number in range(3)))
    fill(box, [person("other", T0)], OTHER)
    asked = of(box)
    questions = 0
    for _ in range(3):
        for page_id, newest in ((PAGE, "p2"), (OTHER, "other"), ("no such page", None)):
            stored = asked.last_customers(page_id, 5)
            assert (stored[0].psid if stored else None) == newest
            questions += 1
    assert questions < finds(box) <= questions + 3


@dialects
def test_threads_learn_the_dialect_together(box: Sandbox, dialect: Dialect) -> None:
    """Pages that start at once do not each learn it."""
    box.behaviour.dialect = dialect
    box.behaviour.folkform_latency = 0.02
    fill(box, (person(f"p{number}", T0 + number) for number in range(3)))
    asked = of(box, clock=Clock())
    newest: list[str] = []
    threads = [
        threading.Thread(target=lambda: newest.extend(str(one.psid) for one in asked.last_customers(PAGE, 1)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_LONG)
    assert newest == ["p2"] * 8
    assert finds(box) <= 8 + 3


@dialects
def test_a_time_of_zero_is_no_time(box: Sandbox, dialect: Dialect) -> None:
    """Documents of another writer without a time are neither the oldest nor a reason to doubt the others."""
    box.behaviour.dialect = dialect
    zeros = [None, NEVER, "", "1970-01-01T00:00:00"]
    fill(box, (person(f"zero{number}", time) for number, time in enumerate(zeros * 40)))
    times = {f"p{number}": T0 + number for number in range(60)}
    fill(box, (person(psid, time) for psid, time in times.items()))
    fill(box, (person(f"late{number}", time) for number, time in enumerate(zeros * 5)))
    asked = of(box)
    assert [one.time for one in asked.oldest_customers(PAGE, 50)] == sorted(times.values())[:50]
    assert [one.time for one in asked.last_customers(PAGE, 50)] == sorted(times.values(), reverse=True)[:50]
    assert {one.psid for one in asked.versions(PAGE, FAR)} == times.keys()
    assert asked.count(PAGE) == 60 + 160 + 20


@dialects
def test_only_times_of_zero(box: Sandbox, dialect: Dialect) -> None:
    """A page that another writer alone has filled, without times, has no marks."""
    box.behaviour.dialect = dialect
    fill(box, (person(f"zero{number}", None) for number in range(5)))
    asked = of(box)
    assert asked.last_customers(PAGE, 50) == asked.oldest_customers(PAGE, 50) == list(asked.versions(PAGE, FAR)) == []


@dialects
def test_unreadable_versions_are_passed_over(box: Sandbox, dialect: Dialect) -> None:
    """A version that is no time sorts anywhere among the texts; it is no mark and hides nobody."""
    box.behaviour.dialect = dialect
    unreadable = [
        "yesterday",
        "zzz",
        "!",
        "0000",
        "2025",
        "2025-99-99T00:00:00",
        "٢٠٢٥-01-01T00:00:00",
        5,
        True,
        {},
        [],
    ]
    people = [person(f"bad{number}") | {"updated_at": version} for number, version in enumerate(unreadable)]
    fill(box, people)
    times = {f"p{number}": T0 + 3600 * number for number in range(30)}
    versions = fill_mixed(box, times, seed=3)
    asked = of(box)
    for stored in (asked.last_customers(PAGE, 30), asked.oldest_customers(PAGE, 30), list(asked.versions(PAGE, FAR))):
        assert len(stored) == 30
        check_stored(stored, times, versions)
    assert [one.psid for one in asked.last_customers(PAGE, 2)] == ["p29", "p28"]
    assert [one.psid for one in asked.oldest_customers(PAGE, 2)] == ["p0", "p1"]


@pytest.mark.parametrize("dialect", ["guide", "older"])
def test_times_around_1970(box: Sandbox, dialect: Dialect) -> None:
    """A customer of the first hours of 1970, written in a zone where it was 1969 still, ends no reading."""
    box.behaviour.dialect = dialect
    fill(box, [person("west", "1969-12-31T19:00:05-05:00"), person("utc", "1970-01-01T00:00:07"), person("now", T0)])
    asked = of(box)
    assert [(one.psid, one.time) for one in asked.oldest_customers(PAGE, 5)] == [("west", 5), ("utc", 7), ("now", T0)]
    assert [one.psid for one in asked.versions(PAGE, FAR)] == ["now", "utc", "west"]


def test_a_server_that_was_renewed(box: Sandbox) -> None:
    """Where only some documents tell Pancake's time, marks look at those, and no time of a write becomes one."""
    box.behaviour.dialect = "older"
    fill(box, (person(f"old{number}", T0 - number) for number in range(150)))
    box.behaviour.dialect = "deployed"
    fill(box, (person(f"new{number}", T0 + number) for number in range(3)))
    asked = of(box)
    assert [one.psid for one in asked.last_customers(PAGE, 2)] == ["new2", "new1"]
    assert all(one.time <= T0 + 2 for one in asked.versions(PAGE, FAR))


def test_a_time_of_the_write_is_never_a_mark(box: Sandbox) -> None:
    """In no dialect does a customer written just now look as if she had changed just now."""
    for dialect in get_args(Dialect):
        box.folkform.delete(PAGE)
        box.behaviour.dialect = dialect
        asked = of(box)
        for number in range(5):
            asked.upsert_customer(customer(f"p{number}", T0 - number * 86_400))
            assert [one.time for one in asked.last_customers(PAGE, 1)] == [T0]
            assert [one.time for one in asked.oldest_customers(PAGE, 1)] == [T0 - number * 86_400]


def _document(psid: Any, milliseconds: Any, version: str | None = None) -> dict[str, Any]:
    return {"psid": psid, "panCakeUpdatedAt": milliseconds, "panCakeData": {"updated_at": version}}


@pytest.mark.parametrize(
    ("stored", "seconds"),
    [
        (1_765_103_003_123, 1_765_103_003),
        (1_765_103_003_999, 1_765_103_003),
        (1_765_103_003_123.5, 1_765_103_003),
        (1_765_103_003, 1_765_103_003),
        (1_765_103_003.9, 1_765_103_003),
        (100_000_000_001, 100_000_000),
        (99_999_999_999, 99_999_999_999),
    ],
)
def test_milliseconds_or_seconds(stored: Any, seconds: int) -> None:
    """A time above 10^11 is milliseconds, below it seconds; both are floored."""
    documents = [_document("1", stored, "v")]
    with canned(documents) as server:
        assert client(server.url).last_customers(PAGE, 5) == [StoredVersion("1", "v", seconds)]


@pytest.mark.parametrize("found", [list, lambda items: {"items": items}], ids=["list", "items"])
@pytest.mark.parametrize("nothing", [[], None])
def test_data_as_list_items_or_null(found: Any, nothing: Any) -> None:
    """Documents come as a list or under `items`; null, in either place, stands for none."""
    documents = [_document("1", 1_765_103_003_123)]
    with canned(found(documents)) as server:
        assert [one.psid for one in client(server.url).last_customers(PAGE, 5)] == ["1"]
    for empty in (nothing, {"items": nothing}):
        with canned(found(documents), empty) as server:
            assert client(server.url).last_customers(PAGE, 5) == []
        with canned(empty) as server:
            assert client(server.url).last_customers(PAGE, 5) == []


@pytest.mark.parametrize(
    "data", [{}, 0, "", False, "none", {"docs": []}, {"items": 5}, [1], [None], [[]], {"items": ["x"]}]
)
def test_what_is_no_list_of_documents_breaks_the_contract(data: Any) -> None:
    """Taken for an empty FolkForm it would move a mark by years."""
    with canned(data) as server, pytest.raises(ContractBroken):
        client(server.url).last_customers(PAGE, 5)


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
    """What comes out of the order asked for, or past the filter, is not taken for the newest."""
    sample = [_document("1", 1_000_000_000_000)]
    with canned(sample, answer) as server, pytest.raises(ContractBroken, match="out of the order"):
        client(server.url).last_customers(PAGE, 5)


@pytest.mark.parametrize("psid", [None, "", " ", ["x"]])
def test_a_document_without_psid_is_passed_over(psid: Any) -> None:
    """A document that is nobody's hides nobody."""
    documents = [_document(psid, 2_000_000_000_000), _document("1", 1_000_000_000_000)]
    with canned(documents) as server:
        assert [one.psid for one in client(server.url).last_customers(PAGE, 5)] == ["1"]


@pytest.mark.parametrize("psid", [None, 5, ["1"], "2"])
def test_who_was_not_asked_for_is_passed_over(psid: Any) -> None:
    """Of the customers looked up by psid nobody else is told, and nobody without one."""
    documents = [_document(psid, 2_000_000_000_000), _document("1", 1_000_000_000_000)]
    with canned(documents) as server:
        assert [one.psid for one in client(server.url).versions_of(PAGE, ["1"])] == ["1"]


@pytest.mark.parametrize("time", [float("1e300"), 10**400, 253_402_300_800_000])
def test_a_time_after_all_dates_is_none(time: Any) -> None:
    """A time that no date can hold is no mark and hides nobody."""
    documents = [_document("2", time), _document("1", 253_402_300_799_999)]
    with canned(documents) as server:
        assert [one.time for one in client(server.url).last_customers(PAGE, 5)] == [253_402_300_799]


@pytest.mark.parametrize("data", [None, 5, "x", [], {}, {"updated_at": 5}, {"updated_at": None}])
def test_a_document_without_version_has_none(data: Any) -> None:
    """A stored customer whose version cannot be told is not mistaken for unchanged."""
    document = {"psid": "1", "panCakeUpdatedAt": 1_000_000_000_000, "panCakeData": data}
    with canned([document]) as server:
        assert client(server.url).last_customers(PAGE, 5) == [StoredVersion("1", None, 1_000_000_000)]


# Counting and asking whether it is there


@founds
def test_counts(box: Sandbox, found: Literal["list", "items"]) -> None:
    """All customers of the page and of no other, in one request."""
    box.behaviour.found = found
    fill(box, (person(f"p{number}", None if number % 2 else T0) for number in range(7)))
    fill(box, [person("other")], OTHER)
    assert of(box).count(PAGE) == 7
    assert of(box).count("no such page") == 0
    assert box.requests.count() == 2


@pytest.mark.parametrize("data", [None, "7", 7.0, True, [7], {"count": 7}])
def test_a_count_is_a_number(data: Any) -> None:
    """Anything else is not taken for a count."""
    with canned(data) as server, pytest.raises(ContractBroken):
        client(server.url).count(PAGE)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({}, ContractBroken),
        ({"data": 7}, ContractBroken),
        ({"status": "ok", "data": 7}, ContractBroken),
        ({"status": "success"}, ContractBroken),
        ({"status": True, "data": 7}, ContractBroken),
        ({"status": "error", "code": "VAL_002", "message": "sai", "data": 7}, Refused),
        ({"status": "error"}, Refused),
    ],
    ids=str,
)
def test_the_envelope_is_checked(body: Any, kind: type[ServiceError]) -> None:
    """An HTTP 200 that says "error", or that is no envelope at all, is no answer; it is not tried again."""
    with RawServer(reply(body)) as server, pytest.raises(ServiceError) as failure:
        client(server.url).count(PAGE)
    assert type(failure.value) is kind
    assert len(server.requests) == 1


def test_an_outage_costs_one_call_a_page() -> None:
    """Down is found out with all tries; after that one call each asks whether it is over, until it is."""
    with Sandbox(pages=0) as box:
        box.add_page(PAGE)
        clock = PatientClock()
        asked = client(box.environment["FOLKFORM_BASE_URL"], clock)
        asked.ensure_up(PAGE)
        assert box.requests.count() == 0
        box.stop()
        with pytest.raises(Unreachable, match="5 attempts"):
            asked.count(PAGE)
        waits = len(clock.waits)
        assert waits == TRIES - 1
        for _ in range(3):
            with pytest.raises(Unreachable):
                asked.ensure_up(PAGE)
        assert len(clock.waits) == waits
        box.start()
        asked.ensure_up(PAGE)
        assert asked.count(PAGE) == 0
        asked.ensure_up(PAGE)
        assert [request.template for request in box.requests.recent] == ["/system/health", "/fb-customer/count"]


@pytest.mark.parametrize(
    ("kind", "status"),
    [("status", 200), ("status", 404), ("status", 401), ("status", 400), ("status", 429), ("html", 200), ("html", 404)],
)
def test_any_answer_about_health_will_do(box: Sandbox, kind: FaultKind, status: int) -> None:
    """Older servers do not know the path: that is an answer, too; it is asked without a sign-in."""
    asked = of(box)
    with box.faults.add(Fault("reset", endpoint="/count", times=None)), pytest.raises(Unreachable):
        asked.count(PAGE)
    with box.faults.add(Fault(kind, endpoint="/system/health", status=status)):
        asked.ensure_up(PAGE)


@pytest.mark.parametrize(("kind", "status"), [("html", 502), ("status", 503), ("status", 500), ("reset", None)])
def test_ill_health_is_an_outage(box: Sandbox, kind: FaultKind, status: int | None) -> None:
    """A proxy with nothing behind it, or a server that fails whatever it is asked, is down."""
    asked = of(box)
    with box.faults.add(Fault("reset", endpoint="/count", times=None)), pytest.raises(Unreachable):
        asked.count(PAGE)
    with box.faults.add(Fault(kind, endpoint="/system/health", status=status)), pytest.raises(Unreachable):
        asked.ensure_up(PAGE)


@pytest.mark.parametrize("status", [403, 404, 500])
def test_roles_that_cannot_be_listed_hinder_nothing(box: Sandbox, status: int) -> None:
    """An empty FolkForm is empty where it does not say which roles there are."""
    with box.faults.add(Fault("status", endpoint="/auth/roles", status=status, times=None)):
        assert of(box).last_customers(PAGE, 50) == []
