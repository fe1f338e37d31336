"""FolkForm's filters, sorts and options: MongoDB's semantics, and nothing outside the contract."""

import json
from typing import Any

import pytest

from customer_sync.sandbox.fb_customer import ZEROS

from .services import Services

VALUES: dict[str, Any] = {
    "null": None,
    "false": False,
    "true": True,
    "0": 0,
    "1": 1,
    "1.5": 1.5,
    "2^53": 2**53,
    "2^53+1": 2**53 + 1,
    "text 1": "1",
    "text a": "a",
    "text é": "é",
    "list": [1],
    "object": {"a": 1},
}
NUMBERS = ["0", "1", "1.5", "2^53", "2^53+1"]
TEXTS = ["text 1", "text a", "text é"]
MISSING = "missing"


@pytest.fixture
def valued(services: Services) -> Services:
    """A page with a customer for each value of `panCakeData.deep.value`, and one without any."""
    for psid, value in VALUES.items():
        services.upsert(services.customer(psid, deep={"value": value}))
    services.upsert(services.customer(MISSING))
    return services


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (1, ["1"]),
        (1.0, ["1"]),
        ("1", ["text 1"]),
        (True, ["true"]),
        (None, ["null", MISSING]),
        ([1], ["list"]),
        ({"a": 1}, ["object"]),
        ({"$eq": 1}, ["1"]),
        ({"$eq": None}, ["null", MISSING]),
        ({"$eq": 2**53 + 1}, ["2^53+1"]),
        ({"$gt": 1}, ["1.5", "2^53", "2^53+1"]),
        ({"$gte": 1}, ["1", "1.5", "2^53", "2^53+1"]),
        ({"$gt": 2**53}, ["2^53+1"]),
        ({"$lt": 1}, ["0"]),
        ({"$lte": 1.25}, ["0", "1"]),
        ({"$gt": -1}, NUMBERS),
        ({"$gt": -(10**300), "$lt": 10**300}, NUMBERS),
        ({"$gt": ""}, TEXTS),
        ({"$lt": "é"}, ["text 1", "text a"]),
        ({"$lt": "~"}, ["text 1", "text a"]),
        ({"$gt": 0, "$lt": 2}, ["1", "1.5"]),
        ({"$in": [1, "a", True]}, ["true", "1", "text a"]),
        ({"$in": [None, 0]}, ["null", "0", MISSING]),
        ({"$in": []}, []),
        ({"$nin": [0, 1, 1.5, 2**53, "1", "a", "é", True]}, ["null", "false", "2^53+1", "list", "object", MISSING]),
        ({"$nin": [None, True, False, [1], {"a": 1}]}, [*NUMBERS, *TEXTS]),
        ({"$nin": []}, [*VALUES, MISSING]),
        ({"$exists": True}, list(VALUES)),
        ({"$exists": False}, [MISSING]),
    ],
    ids=lambda value: json.dumps(value)[:40],
)
def test_operators(valued: Services, condition: Any, expected: list[str]) -> None:
    """Values compare only within their type, exactly; a missing field is null."""
    assert valued.found({"panCakeData.deep.value": condition}) == expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"panCakeUpdatedAt": {"$gt": 1735689600000}}, ["2", "3"]),
        ({"panCakeUpdatedAt": {"$gte": 1735689600000, "$lt": 1767225600000}}, ["1", "2"]),
        ({"panCakeUpdatedAt": 0}, ["0"]),
        ({"panCakeUpdatedAt": {"$gt": ""}}, []),
        ({"panCakeUpdatedAt": {"$exists": True}}, ["0", "1", "2", "3"]),
        ({"panCakeUpdatedAt": None}, []),
        ({"panCakeData.updated_at": {"$gt": "2025-01-01T00:00:00"}}, ["0", "2", "3"]),
        ({"panCakeData.updated_at": {"$lt": 5}}, []),
        ({"psid": {"$in": ["1", "3", 2]}}, ["1", "3"]),
        ({"psid": 1}, []),
        ({"psid": {"$nin": ["1"]}, "panCakeUpdatedAt": {"$gt": 0}}, ["2", "3"]),
        ({"_id": {"$exists": False}}, []),
        ({"id": {"$in": []}}, []),
        ({"pageId": "another"}, []),
    ],
    ids=json.dumps,
)
def test_filters_on_the_extracted_fields(services: Services, condition: Any, expected: list[str]) -> None:
    """Indexed fields compare like all others."""
    for psid, day in {"1": "2025-01-01", "2": "2025-06-01", "3": "2026-01-01"}.items():
        services.upsert(services.customer(psid, f"{day}T00:00:00"))
    services.upsert(services.customer("0", "broken"))
    assert sorted(services.found(condition)) == expected


@pytest.mark.parametrize(
    "wanted",
    [
        {"$or": []},
        {"a": {"$ne": 1}},
        {"a": {"$regex": "x"}},
        {"a": {"$gt": 1, "b": 2}},
        {"a": {"$in": 1}},
        {"a": {"$nin": "x"}},
        {"a": {"$exists": 1}},
        {"a": {"$gt": None}},
        {"a": {"$gt": True}},
        {"a": {"$lt": [1]}},
        {"": 1},
        [],
        None,
    ],
    ids=json.dumps,
)
def test_rejects_other_filters(services: Services, wanted: Any) -> None:
    """Anything outside the contract is VAL_002, in a find and in a count."""
    for path in ("/fb-customer/find", "/fb-customer/count"):
        answer = services.find(wanted, path=path)
        assert (answer.status_code, answer.json()["code"]) == (400, "VAL_002")


@pytest.mark.parametrize(
    "options",
    [
        {"collation": {}},
        {"limit": 1001},
        {"limit": 0},
        {"limit": "5"},
        {"limit": True},
        {"skip": -1},
        {"sort": {"a": 2}},
        {"sort": {"a": "asc"}},
        {"sort": {"a": True}},
        {"sort": [["a", 1]]},
        {"projection": {"psid": 0}},
        {"projection": {"psid": "x"}},
        {"projection": ["psid"]},
        [],
    ],
    ids=json.dumps,
)
def test_rejects_other_options(services: Services, options: Any) -> None:
    """Options other than a correct sort, limit, skip and projection are VAL_002."""
    parameters = {"filter": "{}", "options": json.dumps(options)}
    answer = services.call("GET", "/fb-customer/find", params=parameters)
    assert (answer.status_code, answer.json()["code"]) == (400, "VAL_002")


@pytest.mark.parametrize("name", ["filter", "options"])
def test_refuses_broken_json(services: Services, name: str) -> None:
    """A filter or options that are not JSON are VAL_002."""
    answer = services.call("GET", "/fb-customer/find", params={name: "{'a': 1}"})
    assert (answer.status_code, answer.json()["code"]) == (400, "VAL_002")


def test_sorts_across_kinds(valued: Services) -> None:
    """Null before numbers before text before objects before lists before booleans, as in MongoDB."""
    rising = ["null", MISSING, *NUMBERS, *TEXTS, "object", "list", "false", "true"]
    path = "panCakeData.deep.value"
    assert sorted(valued.found({}, {"sort": {path: 1}})[:2]) == sorted(rising[:2])
    assert valued.found({}, {"sort": {path: 1}})[2:] == rising[2:]
    assert valued.found({}, {"sort": {path: -1}})[:-2] == rising[:1:-1]


def test_sorts_by_several_keys(services: Services) -> None:
    """The second key orders equals of the first, and the order of the keys counts."""
    for psid, time in {"1": "2025-01-01", "2": "2025-01-02", "3": "2025-01-01", "4": "2025-01-02"}.items():
        services.upsert(services.customer(psid, f"{time}T00:00:00"))
    by_time = {"panCakeUpdatedAt": -1, "psid": 1}
    by_psid = {"psid": -1, "panCakeUpdatedAt": 1}
    assert services.found({}, {"sort": by_time}) == ["2", "4", "1", "3"]
    assert services.found({}, {"sort": by_psid}) == ["4", "3", "2", "1"]
    assert services.found({}, {"sort": by_time, "skip": 1, "limit": 2}) == ["4", "1"]


@pytest.mark.parametrize(
    ("projection", "expected"),
    [
        ({"psid": 1, "panCakeData.updated_at": 1}, ["id", "psid", "panCakeData"]),
        ({"psid": True, "_id": 0}, ["psid"]),
        ({"psid": 1, "id": 0, "nothing": 1, "psid.deeper": 1}, ["psid"]),
        ({"id": 1}, ["id"]),
    ],
    ids=json.dumps,
)
def test_projection(services: Services, projection: Any, expected: list[str]) -> None:
    """Only the requested fields are returned, with the id unless it is turned off; every other key has a zero value."""
    services.upsert(services.customer("7", name="Mai"))
    (document,) = services.find({"pageId": services.page_id}, {"projection": projection}).json()["data"]
    assert [name for name, value in document.items() if value not in ("", 0, None)] == expected
    assert document.keys() >= ZEROS.keys()
    if "panCakeData" in expected:
        assert document["panCakeData"] == {"updated_at": "2025-12-07T10:23:23"}


def test_projection_of_the_id_alone(services: Services) -> None:
    """A projection that only turns the id off returns everything else."""
    whole = services.upsert(services.customer("7")).json()["data"]
    (document,) = services.find({"pageId": services.page_id}, {"projection": {"_id": 0}}).json()["data"]
    assert document == {name: value for name, value in whole.items() if name != "id"}
