"""Reading a customer and its times."""

import time
from datetime import datetime
from typing import Any

import pytest

from customer_sync.core.customer import Customer, Key, Malformed, parse_customer_updated_at, read_customer
from customer_sync.core.pii import mask_contacts

from .conftest import in_zone

PAGE_ID = "104000000000001"
SECOND = 1566656122  # 2019-08-24T14:15:22Z

READABLE = [
    ("2019-08-24T14:15:22.000000", SECOND),
    ("2019-08-24T14:15:22.123456", SECOND),
    ("2019-08-24T14:15:22.999999", SECOND),
    ("2019-08-24T14:15:22", SECOND),
    ("2019-08-24T14:15:22Z", SECOND),
    ("2019-08-24T14:15:22.1Z", SECOND),
    ("2019-08-24T14:15:22.123Z", SECOND),
    ("2019-08-24T14:15:22.9999999", SECOND),
    ("2019-08-24T14:15:22.123456789Z", SECOND),
    ("2019-08-24T14:15:22.999999999Z", SECOND),
    ("2019-08-24T14:15:22.999999999", SECOND),
    ("2019-08-24T21:15:22+07:00", SECOND),
    ("2019-08-24T21:15:22.999999+07:00", SECOND),
    ("2019-08-24T20:00:22.5+05:45", SECOND),
    ("2019-08-24T10:15:22-04:00", SECOND),
    ("2019-08-25T04:15:22.000001+14:00", SECOND),
    ("2019-08-24T02:15:22-12:00", SECOND),
    ("2019-08-24T14:15:22+00:00", SECOND),
    ("2019-08-24T14:15:22-00:00", SECOND),
    ("2020-02-29T00:00:00", 1582934400),
    ("1970-01-01T00:00:01", 1),
    ("1970-01-01T00:00:01.999999999", 1),
    ("1969-12-31T19:00:01-05:00", 1),
    ("2038-01-19T03:14:08Z", 2**31),
    ("9999-12-31T23:59:59-23:59", 253402387139),
]

MALFORMED: list[Any] = [
    "",
    " ",
    "null",
    "yesterday",
    "1566656122",
    0,
    1566656122,
    1566656122123,
    1566656122.5,
    True,
    [],
    ["2019-08-24T14:15:22"],
    {},
    b"2019-08-24T14:15:22",
    datetime.fromisoformat("2019-08-24T14:15:22+00:00"),
    "2019",
    "2019-08",
    "2019-08-24",
    "2019-08-24T",
    "2019-08-24T14",
    "2019-08-24T14:15",
    "2019-08-24T14:15Z",
    "2019-08-24 14:15:22",
    "2019-08-24t14:15:22",
    "20190824T141522",
    "20190824T141522Z",
    "2019-08-24T141522",
    "2019-W34-6T14:15:22",
    "2019-236T14:15:22",
    "2019-8-24T14:15:22",
    "2019-08-24T4:15:22",
    "2019/08/24T14:15:22",
    "24-08-2019T14:15:22",
    "2019-08-24T24:00:00",
    "2019-08-24T25:15:22",
    "2019-08-24T14:60:22",
    "2019-08-24T14:15:60",
    "2019-08-24T23:59:60Z",
    "2019-13-24T14:15:22",
    "2019-00-24T14:15:22",
    "2019-08-32T14:15:22",
    "2019-08-00T14:15:22",
    "2019-02-29T14:15:22",
    "2100-02-29T14:15:22Z",
    "2019-08-24T14:15:22.",
    "2019-08-24T14:15:22.Z",
    "2019-08-24T14:15:22.1234567890",
    "2019-08-24T14:15:22,123",
    "2019-08-24T14:15:22.12e3",
    "2019-08-24T14:15:22z",
    "2019-08-24T14:15:22ZZ",
    "2019-08-24T14:15:22UTC",
    "2019-08-24T14:15:22Z+07:00",
    "2019-08-24T14:15:22+07",
    "2019-08-24T14:15:22+0700",
    "2019-08-24T14:15:22 +07:00",
    "2019-08-24T14:15:22+7:00",
    "2019-08-24T14:15:22+07:60",
    "2019-08-24T14:15:22+24:00",
    "2019-08-24T14:15:22\N{MINUS SIGN}07:00",
    " 2019-08-24T14:15:22",
    "2019-08-24T14:15:22 ",
    "2019-08-24T14:15:22\n",
    "2019-08-24T14:15:22\x00",
    "+2019-08-24T14:15:22",
    "-2019-08-24T14:15:22",
    "02019-08-24T14:15:22",
    "２０１９-08-24T14:15:22",
    "2019-08-24T14:15:٢٢",
    "0000-00-00T00:00:00",
    "0000-01-01T00:00:00Z",
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "1969-12-31T23:59:59Z",
    "1970-01-01T00:00:00",
    "1970-01-01T00:00:00.999999Z",
    "1970-01-01T07:00:00+07:00",
    "T10:00:00",
    "01/02/2026",
    "2026-01-01T10:00:00+25:00",
    "2026-01-01T10:00:00 ICT",
    "٢٠٢٦-٠١-٠١T١٠:٠٠:٠٠",
    "2026-W01-1T10:00:00",
    "10000-01-01T00:00:00",
    "∞",
    "[bold red]x[/] \x1b[31m \u202e \x07",
    "x" * 100_000,
]


NAME_OR_NUMBER: list[Any] = [
    *({"name": "Nguyễn Thị Bích", "phone": "0901234567"}, [["Bích"]], 84901234567, 901234567, 0.901234567, -901234567),
    *("Nguyễn Thị Bích", "Bích", "Ty", "bich@example.com", "2019-08-24T14:15:22 Bích", "0901234567", "+84901234567"),
    *("84 901 234 567", "090-123-4567", "0901-23-45-67", "0901-23-45 67", "901234567", "0901.234.567"),
    *("2019-08-24T14:15:22 0901234567", "2019-08-24 0901234567", "12:30 0901 234 567", "(090)1234567", "Bích" * 1000),
]


def malformed_reason(value: Any) -> str:
    """Why a record with this `updated_at` is malformed."""
    read = read_customer({"id": "600208cc", "psid": "25149", "updated_at": value}, PAGE_ID)
    assert isinstance(read, Malformed)
    assert (read.pancake_id, read.psid, read.updated_at) == ("600208cc", "25149", None)
    return read.reason


@pytest.mark.parametrize(("text", "seconds"), READABLE)
def test_accepts_every_layout(text: str, seconds: int) -> None:
    """Each layout of the guide is parsed to the whole second, floored, UTC."""
    assert parse_customer_updated_at(text) == seconds


@pytest.mark.parametrize("zone", ["Asia/Ho_Chi_Minh", "America/New_York", "NPT-5:45"])
def test_no_zone_means_utc(zone: str) -> None:
    """The machine's zone changes no customer's time, in winter, in summer and where its clocks jump."""
    jumps = ["2024-03-10T02:30:00", "2024-03-10T07:30:00", "2024-11-03T01:30:00", "2024-11-03T06:30:00"]
    with in_zone(zone):
        assert [parse_customer_updated_at(text) for text, _ in READABLE] == [seconds for _, seconds in READABLE]
        assert [parse_customer_updated_at(text) - parse_customer_updated_at(text + "Z") for text in jumps] == [0] * 4


@pytest.mark.parametrize("value", MALFORMED, ids=lambda value: repr(value)[:40])
def test_rejects_everything_else(value: Any) -> None:
    """Anything but the guide's layouts, and any time up to 1970, makes a malformed record with a short reason."""
    reason = malformed_reason(value)
    assert reason.startswith("updated_at is ")
    assert len(reason) < 100


@pytest.mark.parametrize(
    "value",
    [
        *("2024-13-01T00:00:00", "0001-01-01T00:00:00Z", "1970-01-01T07:00:00+07:00", "2019-02-29T14:15:22.123456"),
        *("2019-08-24 14:15:22", "2019-08-24", "2019-08-24T14:15", "2019-8-24T14:15:22", "2019-08-24T14:15:22+0700"),
        *("2019-08-24T14:15:22.", "2019-08-24T24:00:00", "0000-00-00T00:00:00", "2019-08-24T14:15:22,123 +07:00"),
    ],
)
def test_a_malformed_time_is_quoted(value: str) -> None:
    """A value that can only be a time is quoted, so that an operator can search for it."""
    assert malformed_reason(value).endswith(f": {value!r}")


@pytest.mark.parametrize("value", NAME_OR_NUMBER, ids=lambda value: repr(value)[:40])
def test_a_name_or_a_number_is_not_quoted(value: Any) -> None:
    """Of a value that may be a customer's name or phone number only the type is shown."""
    kind = malformed_reason(value).removeprefix("updated_at is not a time: ")
    assert kind in ("a text", "a number", "an object", "a list")


def test_a_missing_time() -> None:
    """A record without `updated_at` has a reason of its own."""
    assert malformed_reason(None) == "updated_at is missing"


def test_the_repr_has_no_personal_data() -> None:
    """A customer and a malformed record may appear in a traceback."""
    for row in ({"name": "Bích"}, ["Bích"], {"name": "Bích", "id": "1", "updated_at": "2019-08-24T14:15:22"}):
        assert "Bích" not in repr(read_customer(row, PAGE_ID))


def test_the_record_stays_unchanged() -> None:
    """Psid, second and version are read; the record itself stays as it is."""
    data = {"id": "600208cc", "psid": " 25149 ", "updated_at": "2019-08-24T21:15:22.7+07:00", "huge": 2**70, "x": [{}]}
    before = repr(data)
    read = read_customer(data, PAGE_ID)
    assert read == Customer(" 25149 ", PAGE_ID, SECOND, "2019-08-24T21:15:22.7+07:00", data)
    assert isinstance(read, Customer)
    assert read.data is data
    assert repr(data) == before


@pytest.mark.parametrize("psid", [True, 1.5, 2**63, ["25149"], {"$ne": None}], ids=str)
def test_a_psid_that_is_not_a_text(psid: Any) -> None:
    """A psid that FolkForm may store differently is malformed; the time is still known."""
    data = {"id": "600208cc", "psid": psid, "updated_at": "2019-08-24T14:15:22"}
    assert read_customer(data, PAGE_ID) == Malformed("600208cc", None, SECOND, "psid is not a text", "600208cc")


@pytest.mark.parametrize(
    ("psid", "key"),
    [
        (None, ("600208cc",)),
        ("", ("600208cc",)),
        (" \t", ("600208cc",)),
        (25149, "25149"),
        (0, "0"),
        (2**63 - 1, "9223372036854775807"),
        ("\ud83d5", "\ufffd5"),
    ],
)
def test_the_key(psid: Any, key: Key) -> None:
    """The key is the psid as FolkForm stores it, else Pancake's id; the record stays unchanged."""
    data = {"id": "600208cc", "psid": psid, "updated_at": "2019-08-24T14:15:22"}
    read = read_customer(data, PAGE_ID)
    assert read == Customer(key, PAGE_ID, SECOND, "2019-08-24T14:15:22", data)
    assert isinstance(read, Customer)
    assert (read.pancake_id, read.psid) == ("600208cc", None if isinstance(key, tuple) else key)
    assert read.data["psid"] is psid


def test_a_psid_never_equals_an_id() -> None:
    """A customer whose psid has the text of another's id is another customer."""
    by_id = read_customer({"id": "7", "updated_at": "2019-08-24T14:15:22"}, PAGE_ID)
    by_psid = read_customer({"id": "8", "psid": "7", "updated_at": "2019-08-24T14:15:22"}, PAGE_ID)
    assert isinstance(by_id, Customer)
    assert isinstance(by_psid, Customer)
    assert by_id.key != by_psid.key


@pytest.mark.parametrize(
    "fields",
    [{}, {"id": None}, {"id": ""}, {"id": " \t\n"}, {"id": []}, {"id": {"$gt": ""}}, {"id": 2**63}],
    ids=str,
)
def test_without_an_id(fields: dict[str, Any]) -> None:
    """FolkForm rejects a customer without an id."""
    read = read_customer({"psid": "25149", "updated_at": "2019-08-24T14:15:22", **fields}, PAGE_ID)
    assert read == Malformed(None, "25149", SECOND, "id is missing", "25149")


@pytest.mark.parametrize("page_id", ["another", ["x"], 5])
def test_a_record_of_another_page(page_id: Any) -> None:
    """FolkForm would store it for that page."""
    data = {"id": "600208cc", "psid": "25149", "updated_at": "2019-08-24T14:15:22", "page_id": page_id}
    read = read_customer(data, PAGE_ID)
    assert read == Malformed("600208cc", "25149", SECOND, "page_id is another page's", "600208cc")


@pytest.mark.parametrize("row", [None, 5, "25149", [], [{"psid": "25149"}], True], ids=str)
def test_a_row_that_is_not_an_object(row: Any) -> None:
    """Pancake's list may contain anything."""
    malformed = read_customer(row, PAGE_ID)
    assert isinstance(malformed, Malformed)
    assert (malformed.pancake_id, malformed.psid, malformed.reason) == (None, None, "not an object")


def test_malformed_records_are_distinguished() -> None:
    """By Pancake's id, else by psid, else by the whole record: two identical ones count once."""
    rows: list[dict[str, Any]] = [
        *({"id": "a"}, {"id": "b"}, {"psid": "a-psid"}, {"id": 7, "psid": "other-psid"}),
        *({"name": "An"}, {"name": "Bình"}, {}),
    ]
    identities = [one.identity for row in rows if isinstance(one := read_customer(row, PAGE_ID), Malformed)]
    assert len(set(identities)) == len(rows)
    again = read_customer({"name": "An"}, PAGE_ID)
    assert isinstance(again, Malformed)
    assert again.identity in identities


# Personal data in a service's own words

BICH = {
    "name": "Nguyễn Thị Bích Đào",
    "phone_numbers": ["+84 903 154 539"],
    "email": "bich.dao+shop@example.com",
    "birthday": "1990-02-03",
    "lives_in": "Đắk Lắk",
    "notes": [{"message": "Gọi trước khi giao, nhà màu xanh", "created_by": {"name": "Trần Tú"}}],
    "unknown": {"deep": [[{"deeper": "Người yêu tên Bảo (bí mật)"}]]},
}


def hide(text: str, **fields: Any) -> str:
    """*text* as it is shown for a customer with these fields."""
    ids = {"id": "600208cc-0901-4234-9567-0901234567ab", "psid": "25149177694676594"}
    read = read_customer({**BICH, **ids, "updated_at": "2025-12-07T10:23:23", **fields}, PAGE_ID)
    assert isinstance(read, Customer)
    return read.hide(text)


@pytest.mark.parametrize(
    "secret",
    [
        *("Nguyễn Thị Bích Đào", "NGUYEN thi  bich dao", "Nguye\u0302\u0303n", "Bích", "Trần Tú", "tu", "dak lak"),
        *("Người yêu tên Bảo", "màu xanh", "1990-02-03", "Nguy%E1%BB%85n+Th%E1%BB%8B", "Nguy\\u1ec5n Th\\u1ECB"),
        *("0903154539", "+84903154539", "(+84) 903-154-539", "0903/154/539", "84 (0) 903.154.539", "0 9 0 3 1 5 4 5"),
        *("84987654321", "Other.Person+x@mail.example.vn", "ọe@x.vn", "other%40example.com", "12345678"),
    ],
)
def test_personal_data_is_masked(secret: str) -> None:
    """The record's own values, any e-mail address and any number of eight and more digits, however written."""
    for text in (f"E11000 dup key {{x: '{secret}'}}.", f"({secret}):{secret}", f"cannot store\\n{secret}"):
        shown = hide(text).replace("…+…", "…").replace("store\\n", "store\\")
        assert shown in ("E11000 dup key {x: '…'}.", "…):…", "(…):…", "cannot store\\…")


@pytest.mark.parametrize(
    "text",
    [
        "VAL_002 psid 25149177694676594 of page 104000000000001 at 2025-12-07T10:23:23.123456+07:00 has no index",
        "0987 600208cc-0901-4234-9567-0901234567ab, 65a1b2c3d4e5f60901234567: exists since 2025-12-07",
        "connection to 127.0.0.1:27017 refused (Thịnh, a@b, 5 @ 3, 1234567)",
    ],
)
def test_ids_times_and_other_words_stay(text: str) -> None:
    """A message stays readable for an operator."""
    assert hide(text) == text


def test_contacts_are_masked_without_a_record() -> None:
    """Where the customer is unknown, e-mail addresses and numbers are masked, and times stay."""
    assert mask_contacts("2025-12-07: 0987654321 or a@x.vn, 25149177694676594") == "2025-12-07: … or …, …"


@pytest.mark.parametrize("secret", ["0903154539 ", "0903 154 539, ", "Nguyễn Thị Bích Đào; ", "màu xanh " * 50])
def test_a_text_is_cut_before_it_is_masked(secret: str) -> None:
    """At most 300 characters remain, and nothing personal of a value that the cut has broken."""
    for length in range(250, 320):
        shown = hide("x " * (length // 2) + secret * 30, notes=["màu xanh " * 50])
        assert len(shown) <= 300
        assert not set(shown.replace(" màu…", "")) - set("x …,;")  # One word of a note identifies no person.


def test_masking_is_fast() -> None:
    """Neither a long message nor a long value delays a run."""
    started = time.monotonic()
    for text in ("x" * 50_000, "0 " * 20_000, "+" * 50_000, "\\" * 50_000, "%" * 50_000, "a@" * 20_000, "1." * 20_000):
        hide(text, name="x" * 50_000, notes=["\\n" * 50_000, "0" * 50_000])
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(("levels", "is_malformed"), [(298, False), (301, True), (390, True), (900, True)])
@pytest.mark.parametrize("ids", [{"id": "7", "psid": "25149"}, {"psid": "25149"}, {}])
def test_a_record_that_is_nested_too_deeply(levels: int, is_malformed: bool, ids: dict[str, str]) -> None:
    """It is malformed, with the ids and the time that are readable."""
    deep: Any = 0
    for number in range(levels):
        deep = [deep] if number % 2 else {"x": deep}
    read = read_customer({"updated_at": "2019-08-24T14:15:22", **ids, "deep": deep}, PAGE_ID)
    assert isinstance(read, Malformed) == (is_malformed or "id" not in ids)
    if is_malformed:
        assert isinstance(read, Malformed)
        assert (read.psid, read.updated_at, "300 levels" in read.reason) == (ids.get("psid"), SECOND, True)
