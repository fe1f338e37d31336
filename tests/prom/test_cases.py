"""deploy/alerts.yaml: which alerts fire in which situation, decided by Prometheus' own rule engine."""

from pathlib import Path

import pytest

from .cases import CASES
from .promtool import Case, check, needs_promtool


@needs_promtool
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_situation(case: Case, tmp_path: Path) -> None:
    """Just the alerts that are expected fire at each of the minutes looked at."""
    check(case, tmp_path)
