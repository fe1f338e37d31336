"""The sample customers."""

import json
from collections import Counter
from typing import Any

import pytest

from customer_sync.sandbox import Sandbox, sample_data
from customer_sync.sandbox.times import microseconds

NOW = 1_770_000_000_000_000
DAY = 86_400_000_000


def sample(count: int, time_formats: sample_data.TimeFormats = "real", seed: int = 1) -> list[dict[str, Any]]:
    return list(sample_data.SampleCustomers("104", seed, NOW, time_formats).take(count))


def readable(text: str) -> int:
    time = microseconds(text)
    assert time is not None
    return time


def test_deterministic() -> None:
    """The same seed and time make the same customers, another seed makes others."""
    assert sample(50) == sample(50)
    assert sample(50) != sample(50, seed=2)
    assert sample_data.page(1, 0) == sample_data.page(1, 0)


@pytest.mark.parametrize("time_formats", ["real", "mixed"])
def test_times(time_formats: sample_data.TimeFormats) -> None:
    """Times are readable, within two years, many within 30 days; no change is before the insertion."""
    customers = sample(2000, time_formats)
    times = [(readable(each["inserted_at"]), readable(each["updated_at"])) for each in customers]
    updated = [updated_at for _, updated_at in times]
    assert all(inserted_at <= updated_at for inserted_at, updated_at in times)
    assert NOW - 731 * DAY < min(updated) < NOW - 700 * DAY
    assert max(updated) < NOW
    assert sum(updated_at > NOW - 30 * DAY for updated_at in updated) > 500


def test_ties() -> None:
    """More customers than one batch share a second, and some share the exact time."""
    times = [readable(each["updated_at"]) for each in sample(500)]
    assert Counter(time // 1_000_000 for time in times).most_common(1)[0][1] > 100
    assert Counter(times).most_common(1)[0][1] > 5


def test_layouts() -> None:
    """Pancake's real times have no zone, some no fraction; mixed ones have every layout of the contract."""
    real = {len(each["updated_at"]) for each in sample(200)}
    assert real == {len("2025-12-07T10:23:23"), len("2025-12-07T10:23:23.123456")}
    endings = {each["updated_at"][19:] for each in sample(400, "mixed")}
    assert {len(ending) for ending in endings if ending.endswith("Z")} == {1, 5, 11}
    assert any(ending.endswith("+07:00") for ending in endings)


def test_shapes() -> None:
    """The sample has every oddity of real records."""
    customers = sample(300)
    text = json.dumps(customers, ensure_ascii=False)
    assert {"page_id" in each for each in customers} == {True, False}
    assert {type(each["notes"]) for each in customers} == {type(None), list}
    assert any(each["notes"] and each["notes"][0]["id"] > 2**64 for each in customers)
    assert {type(each["thread_id"]) for each in customers} == {type(None), int}
    assert any(isinstance(each.get("order_stats", {}).get("return_rate"), float) for each in customers)
    assert "Nguyễn" in text
    assert "🌸" in text
    assert all(each["psid"].isdigit() and len(each["psid"]) in (16, 17) for each in customers)
    assert all(len(phone) == 10 for each in customers for phone in each["phone_numbers"])
    assert len({each["psid"] for each in customers}) == 300


def test_pages() -> None:
    """Sample pages are of several kinds, have unique ids, and are synced."""
    with Sandbox(pages=60, customers=0) as sandbox:
        records = sandbox.folkform.pages()
    page_ids = [record["pageId"] for record in records]
    assert len(set(page_ids)) == 60
    assert {page_id[:3] for page_id in page_ids} == {"104", "igo", "pzl"}
    assert all(record["isSync"] for record in records)
