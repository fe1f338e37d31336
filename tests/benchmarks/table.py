"""The figures as a table for people and as JSON for programs."""

import json
import os
import platform
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .figure import Figure


def write_json(path: Path, machine: dict[str, Any], figures: Iterable[Figure]) -> None:
    """Keeps everything that was measured."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shown = {"machine": machine, "figures": [figure.as_json() for figure in figures]}
    path.write_text(json.dumps(shown, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def print_table(machine: dict[str, Any], figures: Iterable[Figure]) -> None:
    """Prints one row for each figure."""
    # Imported here alone, after everything was measured: who measures must stay small.
    from rich.console import Console
    from rich.table import Table

    table = Table(title=", ".join(f"{name}: {value}" for name, value in machine.items()), title_justify="left")
    for column in ("Figure", "Value", "Target", "Met", "Ours", "Beside", "Single runs", "Note"):
        table.add_column(column, justify="right" if column in ("Value", "Target") else "left")
    for figure in figures:
        met = {True: "[green]✓", False: "[red]✗", None: ""}[figure.met]
        target = str(figure.target or "")
        table.add_row(figure.title, figure.shown, target, met, figure.ours, figure.rival, figure.spread, figure.note)
    console = Console(markup=True, emoji=False, highlight=False)
    console.width = max(console.width, 200)
    console.print(table)


def machine() -> dict[str, Any]:
    """Where and when this is measured, and how busy that machine is with other things."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M %Z"),
        "cores": os.cpu_count(),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1024**3:.0f} GiB",
        "python": platform.python_version(),
        "load before": round(os.getloadavg()[0], 2),
    }
