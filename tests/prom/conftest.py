"""What real runs export."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import Command, StartSandbox

Exported = Mapping[str, Mapping[str, set[str]]]
"""Metric → label → its values."""


@pytest.fixture
def exported(sandbox: StartSandbox, run: Command, tmp_path: Path) -> Exported:
    """The metrics of all passes, of one shard of two: a plain run exports the same but the label."""
    box = sandbox(pages=4, customers=2)
    directory = tmp_path / "exported"
    directory.mkdir()
    settings = {"CUSTOMER_SYNC_METRICS_FILE": str(directory)}
    for command in ("incremental", "backfill", "verify"):
        assert run(box, command, "--shard", "0/2", **settings).code == 0
    metrics: dict[str, dict[str, set[str]]] = {}
    for file in directory.glob("*.prom"):
        for family in text_string_to_metric_families(file.read_text()):
            for sample in family.samples:
                labels = metrics.setdefault(sample.name, {})
                for label, text in sample.labels.items():
                    labels.setdefault(label, set()).add(text)
    return metrics
