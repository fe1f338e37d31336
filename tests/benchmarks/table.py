"""Prints the figures as a table or Markdown, and writes them as JSON."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .figure import Figure

_MARKS = {True: "✓", False: "✗", None: ""}


def write_json(path: Path, about: dict[str, Any], figures: Iterable[Figure]) -> None:
    """Writes all figures to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shown = {"machine": about, "figures": [figure.as_json() for figure in figures]}
    path.write_text(json.dumps(shown, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def print_table(about: dict[str, Any], figures: Iterable[Figure]) -> None:
    """Prints a table for a terminal."""
    # Imported here only, after all measurements: the measuring process must stay small.
    from rich.console import Console
    from rich.table import Table

    table = Table(title=_title(about), title_justify="left")
    for column in ("Figure", "Value", "Target", "", "Ours", "Beside", "Single runs", "Note"):
        table.add_column(column, justify="right" if column in ("Value", "Target") else "left")
    for figure in figures:
        mark, target = _MARKS[figure.met], str(figure.target or "")
        table.add_row(figure.title, figure.shown, target, mark, figure.ours, figure.rival, figure.spread, figure.note)
    console = Console(markup=False, emoji=False, highlight=False)
    console.width = max(console.width, 200)
    console.print(table)


def print_markdown(about: dict[str, Any], figures: Iterable[Figure]) -> None:
    """Prints the same as Markdown."""
    print(f"{_title(about)}\n\n| figure | value | target | | ours | beside |\n| --- | ---: | ---: | --- | --- | --- |")
    for figure in figures:
        cells = (figure.title, figure.shown, figure.target or "", _MARKS[figure.met], figure.ours, figure.rival)
        print(f"| {' | '.join(map(str, cells))} |")


def _title(about: dict[str, Any]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in about.items())
