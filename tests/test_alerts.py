"""deploy/alerts.yaml on the metrics of real runs; `tests/prom` has the situations that take hours or days."""

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from customer_sync.sandbox import Sandbox

from .conftest import Command, StartSandbox, only_page, people, person, refuse
from .prom.promtool import LATE, MISSING, PERSON, PREFIX, RULES, Case, Fires, Series, check, needs_promtool

DAY = 1440


def _samples(directory: Path) -> list[Sample]:
    return [
        sample
        for file in directory.glob("*.prom")
        for family in text_string_to_metric_families(file.read_text())
        for sample in family.samples
    ]


def _series(samples: Iterable[Sample]) -> list[Series]:
    """The samples as Prometheus goes on scraping them when no run follows; now is minute 0."""
    now = time.time()

    def series(sample: Sample) -> Series:
        value = sample.value - now if sample.name.endswith("_timestamp_seconds") else sample.value
        return Series(sample.name.removeprefix(PREFIX), sample.labels, lambda _: value)

    return [series(sample) for sample in samples]


def _check(samples: Iterable[Sample], expected: Mapping[int, Sequence[Fires]], tmp_path: Path, every: int = 1) -> None:
    check(Case("real runs", _series(samples), expected, every), tmp_path)


@pytest.fixture
def box(sandbox: StartSandbox) -> Sandbox:
    """One page with three recent customers."""
    box = sandbox()
    box.pancake.add_customers(only_page(box), people(3, 60, 60))
    return box


def test_the_rules_are_complete() -> None:
    """Each rule has an expression, a severity, a summary and a next step."""
    alerts = [rule for rule in RULES if "alert" in rule]
    assert {rule["alert"] for rule in alerts} == {LATE, PERSON, MISSING}
    for rule in alerts:
        assert rule.keys() - {"for"} == {"alert", "expr", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert "customer-sync" in rule["annotations"]["description"]


@needs_promtool
def test_complete_runs(box: Sandbox, run: Command, tmp_path: Path) -> None:
    """Nothing fires after complete runs until the next ones are overdue; then each pass is late in turn."""
    for command in ("incremental", "backfill", "verify"):
        assert run(box, command, CUSTOMER_SYNC_METRICS_FILE=str(tmp_path)).code == 0
    late = [Fires(LATE, name) for name in ("incremental", "backfill", "verify")]
    expected = {10: [], 30: late[:1], 3 * DAY: late[:2], 9 * DAY: late}
    _check(_samples(tmp_path), expected, tmp_path, every=10)


@needs_promtool
def test_no_success_yet(box: Sandbox, run: Command, tmp_path: Path) -> None:
    """An incremental that only ever met an outage is late."""
    nowhere = {"FOLKFORM_BASE_URL": "http://127.0.0.1:9/api/v1"}
    assert run(box, "incremental", CUSTOMER_SYNC_METRICS_FILE=str(tmp_path), **nowhere).code == 75
    _check(_samples(tmp_path), {10: [], 20: [Fires(LATE, "incremental")]}, tmp_path)


@needs_promtool
def test_a_rejected_token(box: Sandbox, run: Command, tmp_path: Path) -> None:
    """A rejected token needs a person, even if another machine ends differently."""
    assert run(box, "incremental", CUSTOMER_SYNC_METRICS_FILE=str(tmp_path)).code == 0
    wrong = {"FOLKFORM_TOKEN": "a-wrong-token"}
    assert run(box, "incremental", CUSTOMER_SYNC_METRICS_FILE=str(tmp_path), **wrong).code == 3
    samples = _samples(tmp_path)
    other = [
        Sample(one.name, {**one.labels, "instance": "other"}, 75.0 if "exit" in one.name else one.value)
        for one in samples
    ]
    _check([*samples, *other], {14: [], 18: [Fires(PERSON, "incremental")]}, tmp_path)


@needs_promtool
def test_a_dead_user_token_of_one_page(sandbox: StartSandbox, run: Command, tmp_path: Path) -> None:
    """A page whose token no one can renew needs a person, even if the other pages are fine."""
    box = sandbox(pages=2, customers=3)
    box.folkform.set_page(box.pancake.page_ids()[1], pageAccessToken="a-token-that-is-dead", accessToken="")
    assert run(box, "incremental", CUSTOMER_SYNC_METRICS_FILE=str(tmp_path)).code == 1
    _check(_samples(tmp_path), {14: [], 18: [Fires(PERSON, "incremental")]}, tmp_path)


@needs_promtool
def test_missing_customers(box: Sandbox, run: Command, tmp_path: Path) -> None:
    """Customers that verify finds missing, or that FolkForm rejects, are a ticket; no pass is late."""
    assert run(box, "incremental", CUSTOMER_SYNC_METRICS_FILE=str(tmp_path)).code == 0
    box.pancake.add_customer(only_page(box), person("refused", 900))
    refuse(box, "refused")
    assert run(box, "verify", CUSTOMER_SYNC_METRICS_FILE=str(tmp_path)).code == 1
    assert run(box, "incremental", CUSTOMER_SYNC_METRICS_FILE=str(tmp_path)).code == 1
    expected = [Fires(MISSING, "verify", outcome="missing"), Fires(MISSING, "incremental", outcome="failed")]
    _check(_samples(tmp_path), {5: expected}, tmp_path)


@needs_promtool
def test_a_shard_does_not_report(sandbox: StartSandbox, run: Command, tmp_path: Path) -> None:
    """The shards that report know how many they are, so that a missing one is noticed."""
    box = sandbox(pages=8, customers=2)
    assert run(box, "incremental", "--shard", "1/2", CUSTOMER_SYNC_METRICS_FILE=str(tmp_path)).code == 0
    one = _samples(tmp_path)
    assert run(box, "incremental", "--shard", "0/2", CUSTOMER_SYNC_METRICS_FILE=str(tmp_path)).code == 0
    _check(_samples(tmp_path), {22: []}, tmp_path)
    _check(one, {10: [], 22: [Fires(LATE, "incremental")]}, tmp_path)


@needs_promtool
def test_former_shards(sandbox: StartSandbox, run: Command, tmp_path: Path) -> None:
    """What a former number of shards left raises no alert."""
    box = sandbox(pages=8, customers=2)
    samples = []
    for shard in ("0/2", "1/2", "0/3", "1/3", "2/3"):
        directory = tmp_path / shard.replace("/", "-")
        directory.mkdir()
        assert run(box, "incremental", "--shard", shard, CUSTOMER_SYNC_METRICS_FILE=str(directory)).code == 0
        samples += _samples(directory)
    late = [Fires(LATE, "incremental", shard) for shard in ("0-of-3", "1-of-3", "2-of-3")]
    _check(samples, {15: [], 30: late}, tmp_path)
