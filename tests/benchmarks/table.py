"""The figures as a table, on a screen or in Markdown, and as JSON."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .figure import Figure

_MARKS = {True: "✓", False: "✗", None: ""}


def write_json(path: Path, about: dict[str, Any], figures: Iterable[Figure]) -> None:
    """Keeps everything that was measured."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shown = {"machine": about, "figures": [figure.as_json() for figure in figures]}
    path.write_text(json.dumps(shown, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def print_table(about: dict[str, Any], figures: Iterable[Figure]) -> None:
    """A table for a screen."""
    # Imported here alone, after everything was measured: who measures must stay small.
    from rich.console import Console
    from rich.table import Table

    table = Table(title=_told(about), title_justify="left")
    for column in ("Figure", "Value", "Target", "", "Ours", "Beside", "Single runs", "Note"):
        table.add_column(column, justify="right" if column in ("Value", "Target") else "left")
    for figure in figures:
        mark, target = _MARKS[figure.met], str(figure.target or "")
        table.add_row(figure.title, figure.shown, target, mark, figure.ours, figure.rival, figure.spread, figure.note)
    console = Console(markup=False, emoji=False, highlight=False)
    console.width = max(console.width, 200)
    console.print(table)


def print_markdown(about: dict[str, Any], figures: Iterable[Figure]) -> None:
    """The same for a README."""
    print(f"{_told(about)}\n\n| figure | value | target | | ours | beside |\n| --- | ---: | ---: | --- | --- | --- |")
    for figure in figures:
        cells = (figure.title, figure.shown, figure.target or "", _MARKS[figure.met], figure.ours, figure.rival)
        print(f"| {' | '.join(map(str, cells))} |")


def _told(about: dict[str, Any]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in about.items())
