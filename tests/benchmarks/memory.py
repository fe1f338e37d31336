"""Peak memory of every pass at 4 and at 64 pages at once, with ordinary, large and hostile answers.

The memory limits of deploy/kubernetes are set by these figures.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from . import scenes
from .crowd import OLD, RECENT
from .figure import Figure
from .programs import QUICKLY, customer_sync
from .served import Served

USUAL = dict.fromkeys((4, 64), ("incremental", "backfill", "verify"))
"""Which commands are measured, for each number of pages at once."""
TINY = {1: ("backfill",)}
_CUSTOMERS = 200
"""Customers of a page: two batches, so that one is read ahead while the other is written."""
# A batch of 100 is just below the 2 MiB that are read; one wide character makes Python store four bytes for each.
_NOTES = 19_500 * "x" + "😀"
_COMMANDS = {
    "incremental": (["incremental"], RECENT),
    "backfill": (["backfill", "--full"], OLD),
    "verify": (["verify"], OLD),
}
_LISTS, _FINDS = "/page_customers", "/find"
_MANY_VALUES = 130_000  # bytes of empty objects: the most values that are read
_TOO_LARGE = 8 * 2**20
_FAULTS = {
    "answers of many values": [("many_values", _LISTS, _MANY_VALUES), ("many_values", _FINDS, _MANY_VALUES)],
    "hostile huge": [("huge", _LISTS, _TOO_LARGE)],
    "hostile gzip_bomb": [("gzip_bomb", _LISTS, _TOO_LARGE)],
    "hostile negative_chunk": [("negative_chunk", _LISTS, _TOO_LARGE)],
    "hostile many_values": [("many_values", _LISTS, _TOO_LARGE)],
    "hostile many_values of FolkForm": [("many_values", _FINDS, _TOO_LARGE)],
}


def figures(measured: Mapping[int, Sequence[str]]) -> Iterator[Figure]:
    """Each of the commands (USUAL or TINY) with each kind of answers."""
    for pages, commands in measured.items():
        for command in commands:
            yield _figure(command, pages, "ordinary answers")
            yield _figure(command, pages, "large customers", notes=_NOTES)
            for answers in _FAULTS:
                yield _figure(command, pages, answers)


def _figure(command: str, pages: int, answers: str, *, notes: str | None = None) -> Figure:
    arguments, ages = _COMMANDS[command]
    faults: list[Any] = _FAULTS.get(answers, [])
    with Served(on_disk=True) as served:
        served.do(scenes.add_pages, pages, _CUSTOMERS, ages, notes)
        if command == "verify":
            served.do(scenes.fill_folkform)
        for kind, endpoint, size in faults:
            served.do(scenes.add_fault, {"kind": kind, "endpoint": endpoint, "size": size, "times": None})
        settings = {**QUICKLY, "CUSTOMER_SYNC_PAGES_AT_ONCE": str(pages)}
        run = customer_sync(served, *arguments, settings=settings, may_fail=bool(faults))
    title = f"{command}, {pages} pages at once, {answers}: memory"
    return Figure(title, run.peak, "MiB", ours=f"exit code {run.code}, {run.seconds:.0f} s")
