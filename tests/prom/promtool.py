"""Runs deploy/alerts.yaml under Prometheus' own rule engine: `promtool test rules`."""

import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ALERTS = Path(__file__).parents[2] / "deploy" / "alerts.yaml"
PREFIX = "customer_sync_"
RULES: list[dict[str, Any]] = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"][0]["rules"]
LATE, PERSON, MISSING = "CustomerSyncLate", "CustomerSyncNeedsAPerson", "CustomerSyncCustomersMissing"

PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is not installed (Debian: apt-get install prometheus)"
)

Values = Callable[[int], float | None]
"""The value of a series at each minute; None: it does not exist."""
Labels = Mapping[str, str]


@dataclass(frozen=True)
class Series:
    """A metric, without the common prefix, with its labels and its values."""

    metric: str
    labels: Labels
    values: Values


@dataclass(frozen=True)
class Fires:
    """One alert that fires, by the labels that an operator reads."""

    alert: str
    of: str
    """The pass."""
    shard: str = ""
    outcome: str = ""


@dataclass(frozen=True)
class Case:
    """What Prometheus gets, and which alerts fire at which minutes: just those, and no others."""

    name: str
    series: Sequence[Series]
    expected: Mapping[int, Sequence[Fires]]
    every: int = 1
    """Minutes between two evaluations; a case of many days can do with fewer."""


def check(case: Case, directory: Path) -> None:
    """Fails with promtool's own report where another set of alerts fires."""
    _promtool("test", _test_file(case), directory)


def check_expressions(expressions: Iterable[str], directory: Path) -> None:
    """Fails where Prometheus cannot parse one of *expressions*."""
    rules = [{"record": f"expression_{number}", "expr": one} for number, one in enumerate(expressions)]
    _promtool("check", {"groups": [{"name": "expressions", "rules": rules}]}, directory)


def check_results(
    series: Sequence[Series], expressions: Iterable[str], minutes: Mapping[int, bool], directory: Path
) -> None:
    """Fails where an expression has a result at one of the *minutes* that say no, or none at one that says yes."""
    content = _test_file(Case("results", series, dict.fromkeys(minutes, ())))
    content["tests"][0]["promql_expr_test"] = [
        {
            "expr": f"count({one}) > bool 0",
            "eval_time": f"{minute}m",
            "exp_samples": [{"value": 1, "labels": "{}"}] * some,
        }
        for minute, some in minutes.items()
        for one in expressions
    ]
    _promtool("test", content, directory)


def check_summary(
    series: Sequence[Series], rule: Mapping[str, Any], labels: Labels, summary: str, directory: Path
) -> None:
    """Fails where the alert of *rule* at minute 30 is not one with these *labels* and this *summary*."""
    content = _test_file(Case("a summary", series, {30: ()}))
    del content["tests"][0]["promql_expr_test"]
    annotations = {**rule["annotations"], "summary": summary}
    expected = [{"exp_labels": {**labels, **rule["labels"]}, "exp_annotations": annotations}]
    content["tests"][0]["alert_rule_test"] = [{"eval_time": "30m", "alertname": rule["alert"], "exp_alerts": expected}]
    _promtool("test", content, directory)


def _promtool(command: str, content: dict[str, Any], directory: Path) -> None:
    file = directory / "promtool.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert PROMTOOL
    done = subprocess.run([PROMTOOL, command, "rules", file], check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def _test_file(case: Case) -> dict[str, Any]:
    last = max(case.expected)
    interval = f"{case.every}m"
    series = [
        {
            "series": f"{PREFIX}{one.metric}{_braced(one.labels)}",
            "values": " ".join(_text(one.values(minute)) for minute in range(0, last + 1, case.every)),
        }
        for one in case.series
    ]
    firing = 'count by (alertname, pass, shard, outcome) (ALERTS{alertstate="firing"})'
    expressions = [
        {"expr": firing, "eval_time": f"{minute}m", "exp_samples": [_sample(one) for one in fires]}
        for minute, fires in case.expected.items()
    ]
    test = {"name": case.name, "interval": interval, "input_series": series, "promql_expr_test": expressions}
    return {"rule_files": [str(ALERTS)], "evaluation_interval": interval, "tests": [test]}


def _sample(fires: Fires) -> dict[str, Any]:
    labels = {"alertname": fires.alert, "pass": fires.of, "shard": fires.shard, "outcome": fires.outcome}
    return {"labels": _braced({name: text for name, text in labels.items() if text}), "value": 1}


def _braced(labels: Labels) -> str:
    return "{" + ",".join(f'{name}="{text}"' for name, text in labels.items()) + "}"


def _text(value: float | None) -> str:
    return "_" if value is None else f"{value:.0f}"
