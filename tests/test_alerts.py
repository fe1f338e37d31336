"""deploy/alerts.yaml: its rules fire when they should, on the metrics of real runs; evaluated here as by Prometheus."""

import operator
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from customer_sync.sandbox import Sandbox

from .conftest import Command, StartSandbox, only_page, people, person, refuse

RULES: list[dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parent.parent / "deploy" / "alerts.yaml").read_text(encoding="utf-8")
)["groups"][0]["rules"]
LATE, ACTION_REQUIRED, MISSING = (rule["alert"] for rule in RULES)

_COMPARISONS = {">": operator.gt, "==": operator.eq}
_SELECTOR = re.compile(r"(\w+)(?:\{(.*)\})?")
_MATCHER = re.compile(r'(\w+)(=~?)"([^"]*)"')


@dataclass(frozen=True)
class Sample:
    """One series' value."""

    name: str
    labels: frozenset[tuple[str, str]]
    value: float


def _select(selector: str, samples: Iterable[Sample]) -> list[Sample]:
    found = _SELECTOR.fullmatch(selector.strip())
    assert found, selector
    patterns = {
        label: text if sign == "=~" else re.escape(text) for label, sign, text in _MATCHER.findall(found[2] or "")
    }
    return [
        sample
        for sample in samples
        if sample.name == found[1]
        and all(re.fullmatch(pattern, dict(sample.labels).get(label, "")) for label, pattern in patterns.items())
    ]


def _evaluate(term: str, samples: list[Sample], now: float) -> list[Sample]:
    """The result of a term of a rule; it supports the part of PromQL that the rules use."""
    if found := re.fullmatch(r"absent\((.+)\)", term):
        return [] if _select(found[1], samples) else [Sample("absent", frozenset(), 1)]
    if found := re.fullmatch(r"(.+) unless (.+)", term):
        others = {sample.labels for sample in _select(found[2], samples)}
        return [sample for sample in _select(found[1], samples) if sample.labels not in others]
    # With the samples of one moment, the maximum over time is the present value.
    term = re.sub(r"max_over_time\((.+)\[1d\]\)", r"\1", term)
    found = re.fullmatch(r"(time\(\) - )?(.+) (>|==) ([\d *]+)", term)
    assert found, term
    bound = 1.0
    for factor in found[4].split("*"):
        bound *= float(factor)
    values = [
        Sample(one.name, one.labels, now - one.value if found[1] else one.value) for one in _select(found[2], samples)
    ]
    return [one for one in values if _COMPARISONS[found[3]](one.value, bound)]


def _firing(samples: list[Sample], now: float) -> dict[str, list[Sample]]:
    """The series of each alert that fires."""
    terms = {rule["alert"]: re.split(r"\s*\bor\b\s*", rule["expr"].strip()) for rule in RULES}
    firing = {alert: [one for term in parts for one in _evaluate(term, samples, now)] for alert, parts in terms.items()}
    return {alert: series for alert, series in firing.items() if series}


def _samples(directory: Path) -> list[Sample]:
    return [
        Sample(sample.name, frozenset(sample.labels.items()), sample.value)
        for file in directory.glob("*.prom")
        for family in text_string_to_metric_families(file.read_text())
        for sample in family.samples
    ]


@pytest.fixture
def box(sandbox: StartSandbox) -> Sandbox:
    """One page with three recent customers."""
    box = sandbox()
    box.pancake.add_customers(only_page(box), people(3, 60, 60))
    return box


def test_the_rules_are_complete() -> None:
    """Each rule has an expression, a severity, a summary and a next step."""
    assert len(RULES) == 3
    for rule in RULES:
        assert rule.keys() - {"for"} == {"alert", "expr", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert "customer-sync" in rule["annotations"]["description"]


def test_complete_runs(box: Sandbox, run: Command, tmp_path: Path) -> None:
    """Nothing fires after complete runs until the next ones are overdue; then each pass is late in turn."""
    for command in ("incremental", "backfill", "verify"):
        assert run(box, command, CUSTOMER_SYNC_METRICS_FILE=str(tmp_path)).code == 0
    samples, now = _samples(tmp_path), time.time()
    assert _firing(samples, now + 15 * 60) == {}
    for seconds, late in ((30 * 60, 1), (3 * 86_400, 2), (9 * 86_400, 3)):
        assert {alert: len(series) for alert, series in _firing(samples, now + seconds).items()} == {LATE: late}


def test_no_run_yet() -> None:
    """Without any run the alert for late passes fires."""
    assert _firing([], time.time()).keys() == {LATE}


def test_no_success_yet(box: Sandbox, run: Command, tmp_path: Path) -> None:
    """If all runs have failed, the pass is late, whatever the cause."""
    nowhere = {"FOLKFORM_BASE_URL": "http://127.0.0.1:9/api/v1"}
    assert run(box, "incremental", CUSTOMER_SYNC_METRICS_FILE=str(tmp_path), **nowhere).code == 75
    assert _firing(_samples(tmp_path), time.time()).keys() == {LATE}


def test_manual_action_required(box: Sandbox, run: Command, tmp_path: Path) -> None:
    """A rejected token fires at once, even if another machine ends differently."""
    assert run(box, "incremental", CUSTOMER_SYNC_METRICS_FILE=str(tmp_path)).code == 0
    wrong = {"FOLKFORM_TOKEN": "a-wrong-token"}
    assert run(box, "incremental", CUSTOMER_SYNC_METRICS_FILE=str(tmp_path), **wrong).code == 3
    samples = _samples(tmp_path)
    other = [Sample(one.name, one.labels | {("instance", "other")}, 75.0) for one in samples if "exit" in one.name]
    assert _firing(samples + other, time.time()).keys() == {ACTION_REQUIRED}


def test_missing_customers(box: Sandbox, run: Command, tmp_path: Path) -> None:
    """Customers that verify finds missing, or that FolkForm rejects, are a ticket; no pass is late."""
    assert run(box, "incremental", CUSTOMER_SYNC_METRICS_FILE=str(tmp_path)).code == 0
    box.pancake.add_customer(only_page(box), person("refused", 90))
    refuse(box, "refused")
    assert run(box, "verify", CUSTOMER_SYNC_METRICS_FILE=str(tmp_path)).code == 1
    assert run(box, "incremental", CUSTOMER_SYNC_METRICS_FILE=str(tmp_path)).code == 1
    firing = _firing(_samples(tmp_path), time.time())
    assert firing.keys() == {MISSING}
    assert len(firing[MISSING]) == 2


def test_a_shard_does_not_hide_another(sandbox: StartSandbox, run: Command, tmp_path: Path) -> None:
    """A shard that has stopped is late, even if another one runs."""
    box = sandbox(pages=8, customers=2)
    for shard in ("0/2", "1/2"):
        assert run(box, "incremental", "--shard", shard, CUSTOMER_SYNC_METRICS_FILE=str(tmp_path)).code == 0
    old = [
        Sample(one.name, one.labels, one.value - 3600) if ("shard", "1/2") in one.labels else one
        for one in _samples(tmp_path)
    ]
    (late,) = _firing(old, time.time())[LATE]
    assert ("shard", "1/2") in late.labels
