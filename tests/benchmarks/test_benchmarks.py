"""Every group of figures runs, with a few customers; nothing is timed here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("group", "figures"), [("throughput", 8), ("start-up", 3), ("requests", 5), ("limiter", 2), ("growth", 7)]
)
def test_it_yields_its_figures(group: str, figures: int, tmp_path: Path) -> None:
    """The program measures, prints its table and writes all figures."""
    kept = tmp_path / "figures.json"
    command = [sys.executable, "-m", "tests.benchmarks", "--tiny", "--without-dlt", "--json", str(kept), group]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    measured = json.loads(kept.read_text(encoding="utf-8"))["figures"]
    assert len(measured) == figures
    assert all(figure["title"][:20] in ended.stdout for figure in measured)


def test_a_million_may_be_a_few(tmp_path: Path) -> None:
    """The large run accepts any number, and divides it into tenths."""
    kept = tmp_path / "figures.json"
    options = ["--long", "--customers", "1000", "--json", str(kept)]
    command = [sys.executable, "-m", "tests.benchmarks", *options, "million"]
    subprocess.run(command, cwd=ROOT, capture_output=True, timeout=120, check=True)
    whole, *_ = json.loads(kept.read_text(encoding="utf-8"))["figures"]
    assert len(whole["details"]) == 10


def test_memory_of_one_page(tmp_path: Path) -> None:
    """A pass is measured with every kind of answers; only those that are hostile end it."""
    kept = tmp_path / "figures.json"
    command = [sys.executable, "-m", "tests.benchmarks", "--long", "--tiny", "--json", str(kept), "memory"]
    subprocess.run(command, cwd=ROOT, capture_output=True, timeout=120, check=True)
    measured = json.loads(kept.read_text(encoding="utf-8"))["figures"]
    assert len(measured) == 8
    for figure in measured:
        assert ("hostile" in figure["title"]) == (not figure["ours"].startswith("exit code 0"))
