"""Measures customer-sync and its rivals, prints a table and writes it as JSON.

`python -m tests.benchmarks [GROUP …]`; `--long` for the large ones, `--tiny` only to check that all of them run.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from . import growth, limiter, memory, million, spared_requests, start_up, throughput
from .figure import Figure
from .machine import Machine
from .programs import has_dlt
from .sizes import LONG, TINY, USUAL
from .table import print_markdown, print_table, write_json

Group = Callable[[], Iterator[Figure]]
_MILLION, _PAGES = 1_000_000, 10


def main() -> None:
    """Runs the groups of the command line."""
    options = _options()
    groups = _groups(options)
    if unknown := set(options.groups) - groups.keys():
        raise SystemExit(f"Unknown group {', '.join(unknown)}. Available: {', '.join(groups)}.")
    machine = Machine()
    figures: list[Figure] = []
    for name in options.groups or groups:
        _log(f"— {name}")
        for figure in groups[name]():
            figures.append(figure)
            _log(f"  {figure.title}: {figure.shown} {figure.spread}")
            write_json(options.json, machine.about(), figures)
    (print_markdown if options.markdown else print_table)(machine.about(), figures)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("groups", nargs="*", metavar="GROUP", help="a group of figures; default: all")
    parser.add_argument("--long", action="store_true", help="the large histories, and a million customers")
    parser.add_argument("--tiny", action="store_true", help="a few customers: checks that it runs, measures nothing")
    parser.add_argument("--without-dlt", action="store_true", help="omit dlt even if it is installed")
    parser.add_argument("--customers", type=int, default=_MILLION, help="the number of customers of the million")
    parser.add_argument("--json", type=Path, default=Path(".bench/bench.json"), help="the file for the figures")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    return parser.parse_args()


def _groups(options: argparse.Namespace) -> dict[str, Group]:
    """The groups by name."""
    if options.long:
        return {
            "growth": partial(growth.figures, LONG),
            "million": partial(million.figures, options.customers, _PAGES),
            "memory": partial(memory.figures, memory.TINY if options.tiny else memory.USUAL),
        }
    sizes = replace(TINY if options.tiny else USUAL, with_dlt=_with_dlt(options))
    return {
        "throughput": partial(throughput.figures, sizes),
        "start-up": partial(start_up.figures, sizes),
        "requests": partial(spared_requests.figures, sizes),
        "limiter": partial(limiter.figures, sizes),
        "growth": partial(growth.figures, sizes),
    }


def _with_dlt(options: argparse.Namespace) -> bool:
    if not has_dlt():
        _log("dlt is not installed (make bench-rivals installs it): its rows are omitted")
    return has_dlt() and not options.without_dlt


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
