"""deploy/alerts.yaml and deploy/grafana.json: Prometheus parses each query, and real runs export all that it names."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from .cases import CASES, every, shard
from .conftest import Exported
from .promtool import ALERTS, PREFIX, RULES, Series, check_expressions, check_results, needs_promtool

DASHBOARD: dict[str, Any] = json.loads((ALERTS.parent / "grafana.json").read_text(encoding="utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
TARGETS = [target for panel in PANELS for target in panel["targets"]]
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
# What Grafana puts in before it asks Prometheus.
QUERIES = [target["expr"].replace("$shard", ".*") for target in TARGETS]

_SELECTOR = re.compile(rf"\b({PREFIX}\w+)(?:\{{([^}}]*)\}})?")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_LABEL_LIST = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")
# Prometheus adds the first two; the others are made inside of the rules.
_OTHER_LABELS = {"instance", "job", "of", "le"}


def _check_names(expression: str, exported: Exported) -> None:
    assert set(re.findall(r"\bcustomer_sync:\w+", expression)) <= RECORDED, expression
    for metric, matchers in _SELECTOR.findall(expression):
        assert metric in exported, expression
        for label, sign, text in _MATCHER.findall(matchers):
            values = exported[metric].get(label, set())
            assert values, f"{metric} has no label {label}: {expression}"
            for one in text.split("|") if "~" in sign else [text]:
                assert any(re.fullmatch(one, value) for value in values), f"{label}={one}: {expression}"
    known = _OTHER_LABELS.union(*(labels for labels in exported.values()))
    for labels in _LABEL_LIST.findall(expression):
        assert set(re.findall(r"\w+", labels)) <= known, expression


def test_the_names_of_the_queries(exported: Exported) -> None:
    """Every metric, label and value of a rule or a panel is recorded by a rule, or exported by a real run."""
    for expression in (*(rule["expr"] for rule in RULES), *QUERIES):
        _check_names(expression, exported)


def test_the_names_of_the_cases(exported: Exported) -> None:
    """The series of the cases are those that a real run exports."""
    for case in CASES:
        for series in case.series:
            labels = exported[PREFIX + series.metric]
            assert series.labels.keys() - {"instance", "job"} <= labels.keys()
            assert all(
                text in labels[label] for label, text in series.labels.items() if label in ("pass", "outcome", "status")
            )


def test_every_metric_is_on_the_dashboard(exported: Exported) -> None:
    """All but those that others on it are derived from."""
    shown = {metric for expression in QUERIES for metric, _ in _SELECTOR.findall(expression)}
    derived_from = ("last_run_timestamp_seconds", "last_success_timestamp_seconds", "shards")
    assert exported.keys() - shown == {f"{PREFIX}{name}" for name in derived_from}


@needs_promtool
def test_former_shards_are_not_on_the_dashboard(exported: Exported, tmp_path: Path) -> None:
    """Each query shows a shard; none shows it once runs of another number of shards report."""
    queries = [one for one in QUERIES if "customer_sync:shards_missing" not in one]
    series = [
        Series(metric.removeprefix(PREFIX), dict(zip(labels, texts, strict=True)), lambda _: 1)
        for metric, labels in exported.items()
        for texts in product(*labels.values())
    ]
    incomplete = [replace(one, values=lambda _: 0) if one.metric == "page_complete" else one for one in series]
    newer = [
        Series("last_run_timestamp_seconds", shard({"pass": one}, 0, 3), every(5, first=10))
        for one in exported[f"{PREFIX}exit_code"]["pass"]
    ]
    check_results([*incomplete, *newer], queries, {5: True, 15: False}, tmp_path)


@needs_promtool
def test_prometheus_parses_the_queries(tmp_path: Path) -> None:
    """Those of the dashboard; the rules run in the other tests."""
    check_expressions(QUERIES, tmp_path)


def test_the_dashboard_can_be_imported() -> None:
    """It asks for a data source, names no server's, and no two panels have one id or overlap."""
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert (variables["datasource"]["type"], variables["datasource"]["query"]) == ("datasource", "prometheus")
    assert DASHBOARD.get("id") is None
    assert set(_data_sources(DASHBOARD)) == {"${datasource}"}
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    cells = [cell for panel in DASHBOARD["panels"] for cell in _cells(panel["gridPos"])]
    assert len(cells) == len(set(cells))
    assert all(0 <= x < 24 for x, _ in cells)


def test_the_legends(exported: Exported) -> None:
    """A legend names labels that its query keeps."""
    for target in TARGETS:
        for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
            kept = _LABEL_LIST.findall(target["expr"])
            assert label in (kept[0] if kept else exported[_SELECTOR.findall(target["expr"])[0][0]]), target


def _data_sources(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if part.get("type") == "prometheus":
            yield part["uid"]
        part = list(part.values())
    if isinstance(part, list):
        for one in part:
            yield from _data_sources(one)


def _cells(position: dict[str, int]) -> Iterator[tuple[int, int]]:
    for x in range(position["x"], position["x"] + position["w"]):
        for y in range(position["y"], position["y"] + position["h"]):
            yield x, y
