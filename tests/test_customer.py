"""Reading a customer and her times, and keeping who she is out of every message."""

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any
from unicodedata import normalize
from urllib.parse import quote, quote_plus

import pytest

from customer_sync.core.customer import Customer, Key, Malformed, parse_customer_updated_at, parse_moment, read_customer
from customer_sync.core.pii import mask_contacts

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

REFUSED: list[Any] = [
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
]


@pytest.fixture
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The machine's zone, until the test ends."""
    with monkeypatch.context() as environment:
        environment.setenv("TZ", request.param)
        time.tzset()
        yield request.param
    time.tzset()


def customer(**fields: Any) -> Customer:
    """A customer with these fields beside what every customer has."""
    data = {"id": "600208cc", "psid": "25149", "updated_at": "2025-12-07T10:23:23", **fields}
    read = read_customer(data, data.get("page_id", PAGE_ID))
    assert isinstance(read, Customer)
    return read


@pytest.mark.parametrize(("text", "seconds"), READABLE)
def test_reads_every_layout(text: str, seconds: int) -> None:
    """Each layout of the guide is read to the whole second, floored, UTC."""
    assert parse_customer_updated_at(text) == seconds


@pytest.mark.parametrize(
    "zone",
    ["Asia/Ho_Chi_Minh", "America/New_York", "Asia/Kathmandu", "ICT-7", "EST5EDT,M3.2.0,M11.1.0", "NPT-5:45"],
    indirect=True,
)
@pytest.mark.usefixtures("zone")
def test_no_zone_means_utc() -> None:
    """The machine's zone changes no customer's time, in winter, in summer and where its clocks jump."""
    assert [parse_customer_updated_at(text) for text, _ in READABLE] == [seconds for _, seconds in READABLE]
    jumps = ["2024-03-10T02:30:00", "2024-03-10T07:30:00", "2024-11-03T01:30:00", "2024-11-03T06:30:00"]
    assert [parse_customer_updated_at(text) - parse_customer_updated_at(text + "Z") for text in jumps] == [0] * 4


@pytest.mark.parametrize("value", REFUSED, ids=repr)
def test_refuses_everything_else(value: Any) -> None:
    """Anything but the guide's layouts, and any time not after 1970, is an error."""
    with pytest.raises(ValueError, match="updated_at is no"):
        parse_customer_updated_at(value)


@pytest.mark.parametrize(
    "value",
    [
        *("2024-13-01T00:00:00", "0001-01-01T00:00:00Z", "1970-01-01T07:00:00+07:00", "2019-02-29T14:15:22.123456"),
        *("2019-08-24 14:15:22", "2019-08-24", "2019-08-24T14:15", "2019-8-24T14:15:22", "2019-08-24T14:15:22+0700"),
        *("2019-08-24T14:15:22.", "2019-08-24T24:00:00", "0000-00-00T00:00:00", "1566656122", "2019", ""),
        *(0, 1700000000, 1566656122123, 1566656122.5, True),
    ],
    ids=repr,
)
def test_a_time_that_is_refused_is_quoted(value: Any) -> None:
    """What cannot be a person's is told as it is, for whoever has to find out where it comes from."""
    with pytest.raises(ValueError, match="updated_at is no") as refusal:
        parse_customer_updated_at(value)
    assert str(refusal.value).endswith(f": {value!r}")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        *[
            ({"name": "Nguyễn Thị Bích", "phone": "0901234567"}, "a text but an object"),
            ([["Bích"]], "a text but a list"),
        ],
        *[
            (number, "a text but a number")
            for number in (84901234567, 901234567, 10**400, 0.901234567, 1e300, -901234567)
        ],
        *[
            (text, f"a time but a text of length {len(text)}")
            for text in (
                *("Nguyễn Thị Bích", "Bích", "Ty", "bich@example.com", "yesterday", "2019-08-24T14:15:22 Bích", " "),
                *("0901234567", "+84901234567", "84 901 234 567", "090-123-4567", "0901-23-45-67", "0901-23-45 67"),
                *("901234567", "0901.234.567", "2019-08-24T14:15:22 0901234567", "12:30 0901 234 567", "(090)1234567"),
            )
        ],
        ("Bích" * 1000, "a time but a text of length 4,000"),
        (b"0901234567", "a text but something else"),
    ],
)
def test_what_may_be_a_persons_is_not_quoted(value: Any, told: str) -> None:
    """A name or a phone number where a time should be is told by its kind only."""
    with pytest.raises(ValueError, match="updated_at is not") as refusal:
        parse_customer_updated_at(value)
    assert str(refusal.value) == f"updated_at is not {told}"


def test_a_missing_time_is_called_missing() -> None:
    """No `updated_at` at all is said in words of its own."""
    with pytest.raises(ValueError, match="updated_at is missing"):
        parse_customer_updated_at(None)


@pytest.mark.parametrize("value", ["x" * 100_000, " " * 100_000, "1" * 100_000, "2019-08-24T14:15:22." + "1" * 100_000])
def test_a_long_value_makes_a_short_message(value: str) -> None:
    """A value of any length makes a short message."""
    with pytest.raises(ValueError, match="is not a time") as refusal:
        parse_customer_updated_at(value)
    assert len(str(refusal.value)) < 150


def test_a_malformed_customer_shows_no_personal_details() -> None:
    """The repr of one who has no id, as it may stand in a traceback, does not tell all that Pancake said about her."""
    for row in ({"name": "Nguyễn Thị Bích"}, ["Nguyễn Thị Bích"]):
        assert "Bích" not in repr(read_customer(row, PAGE_ID))


def test_reads_a_customer_untouched() -> None:
    """Psid, second and version are read out of what Pancake said, which stays as it is."""
    data = {"id": "600208cc", "psid": " 25149 ", "updated_at": "2019-08-24T21:15:22.7+07:00", "huge": 2**70, "x": [{}]}
    before = repr(data)
    read = read_customer(data, PAGE_ID)
    assert read == Customer(" 25149 ", PAGE_ID, SECOND, "2019-08-24T21:15:22.7+07:00", data)
    assert isinstance(read, Customer)
    assert read.data is data
    assert repr(data) == before


@pytest.mark.parametrize(
    ("psid", "reason"),
    [
        (True, "psid is not a text"),
        (1.5, "psid is not a text"),
        (2**63, "psid is not a text"),
        (["25149"], "psid is not a text"),
        ({"$ne": None}, "psid is not a text"),
    ],
)
def test_a_psid_that_is_no_text(psid: Any, reason: str) -> None:
    """What FolkForm may keep otherwise than we think is malformed; the time is known all the same."""
    data = {"id": "600208cc", "psid": psid, "updated_at": "2019-08-24T14:15:22"}
    assert read_customer(data, PAGE_ID) == Malformed("600208cc", None, SECOND, reason, "600208cc")


@pytest.mark.parametrize(
    ("psid", "known_as"),
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
def test_what_a_customer_is_known_by(psid: Any, known_as: Key) -> None:
    """The psid as FolkForm keeps it, else Pancake's id; nothing of the data is changed."""
    data = {"id": "600208cc", "psid": psid, "updated_at": "2019-08-24T14:15:22"}
    read = read_customer(data, PAGE_ID)
    assert read == Customer(known_as, PAGE_ID, SECOND, "2019-08-24T14:15:22", data)
    assert isinstance(read, Customer)
    assert (read.pancake_id, read.psid) == ("600208cc", None if isinstance(known_as, tuple) else known_as)
    assert read.data["psid"] is psid


def test_no_psid_is_taken_for_an_id() -> None:
    """A customer whose psid reads like another's id is another customer."""
    by_id = read_customer({"id": "7", "updated_at": "2019-08-24T14:15:22"}, PAGE_ID)
    by_psid = read_customer({"id": "8", "psid": "7", "updated_at": "2019-08-24T14:15:22"}, PAGE_ID)
    assert isinstance(by_id, Customer)
    assert isinstance(by_psid, Customer)
    assert by_id.key != by_psid.key


@pytest.mark.parametrize("fields", [{}, {"id": None}, {"id": ""}, {"id": " "}, {"id": []}, {"id": 2**63}], ids=str)
def test_without_an_id(fields: dict[str, Any]) -> None:
    """FolkForm refuses a customer without an id."""
    read = read_customer({"psid": "25149", "updated_at": "2019-08-24T14:15:22", **fields}, PAGE_ID)
    assert read == Malformed(None, "25149", SECOND, "id is missing", "25149")


@pytest.mark.parametrize("version", [None, "", 5, "soon", "0001-01-01T00:00:00Z"])
def test_without_a_time_she_is_malformed(version: Any) -> None:
    """A customer without a readable time is known by her ids, and the reason is the parser's."""
    read = read_customer({"id": "600208cc", "psid": "25149", "updated_at": version}, PAGE_ID)
    assert isinstance(read, Malformed)
    assert (read.pancake_id, read.psid, read.updated_at) == ("600208cc", "25149", None)
    with pytest.raises(ValueError, match="updated_at") as refusal:
        parse_customer_updated_at(version)
    assert read.reason == str(refusal.value)


@pytest.mark.parametrize("row", [None, 5, "25149", [], [{"psid": "25149"}], True])
def test_what_is_no_object_is_malformed(row: Any) -> None:
    """Anything may stand in Pancake's list."""
    assert read_customer(row, PAGE_ID) == Malformed(None, None, None, "not an object", repr(row))


def test_malformed_customers_are_told_apart() -> None:
    """By Pancake's id, else by psid, else by everything: two who differ in nothing are one."""
    rows: list[dict[str, Any]] = [
        {"id": "a"},
        {"id": "b"},
        {"psid": "a-psid"},
        {"id": 7, "psid": "other-psid"},
        {"name": "An"},
        {"name": "Bình"},
        {},
    ]
    identities = [one.identity for row in rows if isinstance(one := read_customer(row, PAGE_ID), Malformed)]
    assert len(set(identities)) == len(rows)
    again = read_customer({"name": "An"}, PAGE_ID)
    assert isinstance(again, Malformed)
    assert again.identity in identities


def test_hides_every_personal_detail() -> None:
    """Name, phones, email, birthday, place, notes and what is nested anywhere do not survive in a message."""
    personal = {
        "name": "Nguyễn Thị Thảo",
        "phone_numbers": ["0903154539", "+84 903 154 540"],
        "email": "thao@example.com",
        "birthday": "1990-02-03",
        "lives_in": "Đắk Lắk",
        "thread_id": 9223372036854775807,
        "notes": [{"message": "Gọi trước khi giao ☎️", "created_by": {"uid": None, "name": "Chị Tư"}}],
        "unknown": {"deep": [[{"deeper": "Người yêu tên Bảo (bí mật)"}]]},
    }
    secrets = [
        *("Nguyễn Thị Thảo", "0903154539", "+84 903 154 540", "thao@example.com", "1990-02-03", "Đắk Lắk"),
        *("9223372036854775807", "Gọi trước khi giao ☎️", "Chị Tư", "Người yêu tên Bảo (bí mật)"),
    ]
    for template in ("{}", "E11000 duplicate key: {}.", 'dup key: {{ name: "{}" }}', "'{}'", "<b>{}</b>", "({}):{}"):
        for secret in secrets:
            hidden = customer(**personal).hide(template.format(secret, secret))
            assert secret not in hidden
            assert hidden == template.format("…", "…")


@pytest.mark.parametrize(
    ("message", "hidden"),
    [
        ("phone_0903154539 is taken", "phone_… is taken"),
        ("cannot store\\nNguyễn Thị Thảo", "cannot store\\n…"),
        ("THAO@EXAMPLE.COM is no address", "… is no address"),
        ("nguyễn thị thảo", "…"),
        ("Nguyen Thi Thao is there", "… is there"),
        ("NGUYEN THI THAO", "…"),
        (normalize("NFD", "Nguyễn Thị Thảo ở Đà Nẵng"), "… ở …"),
        ("in da nang, DA NANG", "in …, …"),
    ],
)
def test_hides_details_however_they_are_written(message: str, hidden: str) -> None:
    """Letters around a detail, and another case, do not give it away."""
    personal = {"name": "Nguyễn Thị Thảo", "phone_numbers": ["0903154539"]}
    personal |= {"email": "Thao@Example.com", "lives_in": "Đà Nẵng"}
    assert customer(**personal).hide(message) == hidden


@pytest.mark.parametrize("kept", ["0903154539", "+84903154539", "84903154539", "090 315 4539", "903154539"])
@pytest.mark.parametrize(
    "told",
    [
        *("0903154539", "+84903154539", "84903154539", "903154539", "0084903154539", "(+84) 903-154-539"),
        *("(0903) 154 539", "0903/154/539", "0903\u00a0154\u00a0539", "84-903.154.539", "+84 (0) 903 154 539"),
    ],
)
def test_hides_a_phone_number_however_it_is_written(kept: str, told: str) -> None:
    """A server that writes a number in its own way does not give it away either."""
    assert customer(phone_numbers=[kept]).hide(f"25149: {told} is taken") == "25149: … is taken"
    assert customer(phone_numbers=["", "0987654321"]).hide("order 84903154 of 2026") == "order 84903154 of 2026"


def test_hides_what_holds_a_number_as_a_whole() -> None:
    """A number inside a detail is not all that is hidden of it; one detail may hold two numbers."""
    address = "giao 12 Lê Lợi, 84903154539"
    shopper = customer(email="maithao19901203@gmail.com", notes=[address, "0903154539 - 0987654321"])
    for told in ("maithao19901203@gmail.com", address, "84903154539", "987654321"):
        assert shopper.hide(f"{told}.") == "…."


def test_hides_no_ids_and_dates() -> None:
    """Her psid, the page's id and a time stay, even where a detail of hers holds the same digits."""
    shopper = customer(psid="25149177694676594", seen="2025-12-07T01:02:03", thread="104001234567890_25149177694676594")
    shopper = replace(shopper, page_id="104001234567890")
    told = "psid 25149177694676594, page 104001234567890 at 2025-12-07T10:23:23, 07/12/2025"
    assert shopper.hide(told) == told


def test_hides_a_name_with_other_spaces() -> None:
    """How many spaces there are between two words tells no names apart; spaces alone are nobody's."""
    assert customer(name="   ", notes=["\t\n"]).hide("E11000   duplicate") == "E11000   duplicate"
    assert customer(name="Mai  Thao").hide("Mai Thao, Mai\u00a0 Thao") == "…, …"
    assert customer(name="Mai  Thao", phone_numbers=["+84 903 154 539"]).hide("Mai Thao") == "…"
    assert customer(phone_numbers=["+84 903 154 539"]).hide("903154539") == "…"


def test_hiding_leaves_the_message_readable() -> None:
    """Ids, times, codes and ordinary words stay, though a short name is part of a word."""
    message = "VAL_002 psid 25149 of page 104 at 2025-12-07T10:23:23 cannot be stored: Another An has an index"
    assert customer(name="An", page_id="104", gender="female", email=None, notes=[], x=False).hide(message) == (
        "VAL_002 psid 25149 of page 104 at 2025-12-07T10:23:23 cannot be stored: Another … has an index"
    )


def test_hides_the_longer_detail_first() -> None:
    """A name that is part of another leaves nothing of either."""
    assert customer(name="Mai", notes=["Mai Thao"]).hide("Mai Thao, Mai") == "…, …"


def test_what_looks_like_a_pattern_is_text() -> None:
    """A name full of special characters is hidden as it stands."""
    assert customer(name=r"(.*)+ \d[x]").hide(r"a (.*)+ \d[x] b") == "a … b"


_BICH = {
    "name": "Nguyễn Thị Bích Đào",
    "phone_numbers": ["+84 903 154 539"],
    "email": "bich.dao+shop@example.com",
    "notes": [{"message": 'Gọi\n"trước" 50%', "created_by": {"name": "Trần Tú"}}],
}
_HERS = [_BICH["name"], "+84 903 154 539", "bich.dao+shop@example.com", 'Gọi\n"trước" 50%']


def _lower(encoded: str) -> str:
    return re.sub("%..", lambda found: found[0].lower(), encoded)


@pytest.mark.parametrize("detail", _HERS)
@pytest.mark.parametrize(
    "write",
    [
        *(quote, quote_plus, lambda text: _lower(quote(text, safe="")), lambda text: _lower(quote_plus(text))),
        lambda text: quote(normalize("NFD", text)),
        *(lambda text: json.dumps(text)[1:-1], lambda text: json.dumps(json.dumps(text)[1:-1])[1:-1]),
        lambda text: json.dumps(text, ensure_ascii=False)[1:-1].upper().replace("\\N", "\\n"),
        lambda text: re.sub(r"u....", lambda found: found[0].upper().replace("U", "u"), json.dumps(text)[1:-1]),
    ],
    ids=["quote", "plus", "lower quote", "lower plus", "NFD", "JSON", "JSON twice", "upper", "upper JSON"],
)
def test_hides_what_was_encoded(detail: str, write: Callable[[str], str]) -> None:
    """A detail that a service quotes as it stood in an address or in JSON is hidden as well."""
    told = f"dup key {{x: '{write(detail)}'}} of 25149 at 2025-12-07T10:23:23+07:00"
    assert customer(**_BICH).hide(told) == "dup key {x: '…'} of 25149 at 2025-12-07T10:23:23+07:00"


@pytest.mark.parametrize(
    "kept", ["GET /x?a=%7B%22b%22%3A1%7D is 100%25", r"a \u0041 \"b\" \/ c", "e\u0301 %C3%A9 %zz %E1%BB"]
)
def test_what_holds_nothing_of_hers_stays_encoded(kept: str) -> None:
    """A message without anything to hide is told as it came."""
    assert customer(**_BICH).hide(kept) == kept


@pytest.mark.parametrize(
    ("message", "hidden"),
    [
        ("Bích and Đào, Dao Bich: Nguyễn", "… and …, … …: …"),
        ("B\u00edch, B%C3%ADch, Tran Tú", "…, …, …"),
        (normalize("NFD", "Thị"), "…"),
        ("bích dao NGUYEN", "bích dao NGUYEN"),
        ("Thịnh, Bíchs, xBích, Thiy", "Thịnh, Bíchs, xBích, Thiy"),
    ],
)
def test_hides_single_words_of_a_name(message: str, hidden: str) -> None:
    """Whole words of three letters and more, in their own case, so that ordinary words stay."""
    assert customer(**_BICH).hide(message) == hidden


@pytest.mark.parametrize(
    "told",
    [
        *(
            "84987654321",
            "84 987 654 321",
            "+84987654321",
            "0987654321",
            "(0987) 654 321",
            "098.765.4321",
            "02838221234",
        ),
        *(
            "Other.Person+x@mail.example.vn",
            "o@x.vn",
            "ọe@x.vn",
            "other%40example.com",
            "%2B84+987+654+321",
            "0 987 654 321",
        ),
    ],
)
def test_hides_numbers_and_addresses_of_others(told: str) -> None:
    """A phone number or an e-mail address that is not hers is somebody's, too."""
    for message in ("{} is taken by '{}'.", "key={}, psid 25149177694676594 {} 1766656122"):
        assert customer(**_BICH).hide(message.format(told, told)) == message.format("…", "…")
        assert mask_contacts(message.format(told, told)) == message.format("…", "…")


@pytest.mark.parametrize(
    "kept",
    [
        *("25149", "25149177694676594", "104001234567890", "65a1b2c3d4e5f0901234567f", "090123456709012345670901"),
        *(
            "600208cc-0901-4234-9567-0901234567ab",
            "2025-12-07",
            "2025-12-07 10:23:23",
            "2025-12-07T10:23:23.012345678Z",
        ),
        *(
            "0001-01-01T00:00:00Z",
            "07/12/2025",
            "07-12-2025",
            "07.12.2025",
            "1766656122",
            "1766656122123",
            "0, 1766656122",
        ),
        *(
            "0 1766656122",
            "84",
            "849876543210",
            "84987654",
            "VAL_002",
            "127.0.0.1:27017",
            "10.0.0.12:8080",
            "5 @ 3",
            "a@b",
        ),
    ],
)
def test_ids_and_times_stay(kept: str) -> None:
    """Whoever has to act finds the ids and times of a message in it, also beside what is hidden."""
    shopper = customer(**_BICH)
    for message, hidden in (("{}", "{}"), ("{} x", "{} x"), ("Bích 0987654321, {}, a@x.vn", "… …, {}, …")):
        assert shopper.hide(message.format(kept)) == hidden.format(kept)
    assert mask_contacts(f"0987654321, {kept}") == f"…, {kept}"


@pytest.mark.parametrize(
    "kept",
    [
        *("25149177694676594", "104001234567890", "65a1b2c3d4e5f0901234567f", "600208cc-0901-4234-9567-0901234567ab"),
        *("2025-12-07", "07.12.2025", "1766656122", "1766656122123"),
    ],
)
@pytest.mark.parametrize("told", ["0987654321", "+84987654321", "84987654321", "0903154539"])
def test_ids_and_times_beside_a_number_stay(kept: str, told: str) -> None:
    """A space does not make one number of a phone number and an id or a time, on either side of it."""
    for message in ("{} {}.", "{}-{}."):
        assert customer(**_BICH).hide(message.format(told, kept)) == message.format("…", kept)
        assert mask_contacts(message.format(told, kept)) == message.format("…", kept)
    assert mask_contacts(f"{kept} {told}.") == f"{kept} …."


def test_her_own_ids_stay() -> None:
    """Her psid and her page's id are told, though they begin like a phone number or are a detail of hers, too."""
    shopper = replace(customer(psid="0987654321", fb={"id_": "0987654321", "page": "0901234567"}), page_id="0901234567")
    told = "0987654321 of 0901234567"
    assert shopper.hide(f"{told}: 0911222333 is taken") == f"{told}: … is taken"


@pytest.mark.parametrize("name", ["\u0301\u0323", "\u0301 \u0323", " \u0301"])
def test_accents_alone_are_nobodys(name: str) -> None:
    """A detail without a letter hides nothing, and leaves no holes in a message."""
    assert customer(name=name, notes=[name]).hide("E11000 duplicate é") == "E11000 duplicate é"
    assert customer(name=f"Mai {name} Thao").hide("Mai Thao, Mai") == "…, …"


def test_hides_marks_that_are_no_accents() -> None:
    """Names whose script writes its vowels and tones as marks are hidden as well."""
    assert customer(name="น้ำฝน").hide("น้ำฝน is taken") == "… is taken"


def test_hiding_takes_no_time() -> None:
    """Neither a long message nor a long detail keeps a run waiting."""
    shopper = customer(name="x" * 500, notes=["\\n" * 500, "0" * 500])
    started = time.monotonic()
    for text in ("x" * 50_000, "0 " * 20_000, "+" * 50_000, "\\" * 50_000, "%" * 50_000, "a@" * 20_000, "1." * 20_000):
        shopper.hide(text)
    assert time.monotonic() - started < 10


def test_a_customer_shows_no_personal_details() -> None:
    """Her repr, as it may stand in a traceback, tells the psid and no name."""
    assert "Thảo" not in repr(customer(name="Thảo"))


@pytest.mark.parametrize("zone", ["ICT-7"], indirect=True)
@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2019-08-24", 1566579600, 1566665999),
        ("2019-08-24T14:15", 1566630900, 1566630900),
        ("2019-08-24 14:15:22", 1566630922, 1566630922),
        ("2019-08-24T14:15:22.9", 1566630922, 1566630922),
        ("2019-08-24T14:15:22Z", SECOND, SECOND),
        ("2019-08-24T14:15:22-04:00", 1566670522, 1566670522),
        ("1566656122", SECOND, SECOND),
        ("0", 0, 0),
    ],
)
@pytest.mark.usefixtures("zone")
def test_reads_a_moment(text: str, first: int, last: int) -> None:
    """A date, a date and time, or Unix seconds; the machine's zone where none is named."""
    assert parse_moment(text) == first
    assert parse_moment(text, end_of_day=True) == last


@pytest.mark.parametrize("zone", ["EST5EDT,M3.2.0,M11.1.0"], indirect=True)
@pytest.mark.usefixtures("zone")
def test_a_day_is_as_long_as_the_clocks_make_it() -> None:
    """The last second of a day whose clocks jump is the one before the next day."""
    for day, after, hours in (("2024-03-10", "2024-03-11", 23), ("2024-11-03", "2024-11-04", 25)):
        assert parse_moment(day, end_of_day=True) + 1 == parse_moment(after)
        assert parse_moment(after) - parse_moment(day) == hours * 3600


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "yesterday", "-5", "1.5", "1e9", "20190824", "２０１９", "٢٠١٩", "2019-08", "2019-W01"),
        *(
            "2019-W01-3",
            "2019-236",
            "2019-13-01",
            "2019-02-29",
            "2019-08-24T",
            "2019-08-24Tx",
            "2019-08-24T14:15:22+99:00",
        ),
        *("2019-08-2x", "24.08.2019", "08/24/2019", "1960-01-01", "2019-08-24T25:00", "2019-08-24T14:15:22 +07:00"),
    ],
)
def test_refuses_what_is_no_moment(text: str) -> None:
    """Anything else, and any moment before 1970, is an error that quotes the value."""
    for end_of_day in (False, True):
        with pytest.raises(ValueError, match="is no time: give") as refusal:
            parse_moment(text, end_of_day=end_of_day)
        assert repr(text) in str(refusal.value)
