"""deploy/alerts.yaml: which alerts fire in which situation, and their texts, decided by Prometheus' own rule engine."""

from pathlib import Path

import pytest

from .cases import CASES, INCREMENTAL, exit_code, shard, steady
from .promtool import LATE, PERSON, RULES, Case, Labels, check, check_summary, needs_promtool


@needs_promtool
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_situation(case: Case, tmp_path: Path) -> None:
    """Just the alerts that are expected fire at each of the minutes looked at."""
    check(case, tmp_path)


@needs_promtool
@pytest.mark.parametrize(
    ("alert", "labels", "summary"),
    [
        (PERSON, INCREMENTAL, "customer-sync incremental ended with exit code 3."),
        (PERSON, shard(INCREMENTAL, 0, 2), "customer-sync incremental 0-of-2 ended with exit code 3."),
        (LATE, INCREMENTAL, "customer-sync incremental does not report."),
    ],
)
def test_a_summary(alert: str, labels: Labels, summary: str, tmp_path: Path) -> None:
    """It names the pass and, where there is one, the shard."""
    series = [exit_code(labels, steady(3))] if alert == PERSON else []
    (rule,) = (one for one in RULES if one.get("alert") == alert and one["labels"].get("reason") in (None, "no_report"))
    check_summary(series, rule, labels, summary, tmp_path)


def test_each_reason_is_one_rule() -> None:
    """An alert's labels say which rule raised it."""
    late = [one["labels"]["reason"] for one in RULES if one.get("alert") == LATE]
    assert len(late) == len(set(late))
