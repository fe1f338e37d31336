"""Draws a table in the width of the terminal. Only names are folded, so that an id can be copied in one piece."""

from collections.abc import Iterable, Iterator
from itertools import product

from rich.cells import cell_len
from rich.padding import Padding
from rich.text import Text

from customer_sync.output.console import Screen
from customer_sync.results.table import Cell, Table

_GAP = 2
_NARROWEST_NAME = 16


def print_table(screen: Screen, table: Table) -> None:
    """Prints a table without the columns that have no content; on a terminal too narrow for it, a block per row."""
    kept = [number for number in range(len(table.columns)) if number == 0 or _has_content(table, number)]
    titles = [screen.clean(table.columns[number]) for number in kept]
    rows = [[row[number] for number in kept] for row in table.rows]
    _print_wrapped(screen, [Text(screen.clean(table.title), "bold")])
    for has_details, is_short in product((False, True), repeat=2):
        lines = [[_lines(screen, cell, has_details=has_details, is_short=is_short) for cell in row] for row in rows]
        if widths := _widths(titles, lines, screen.out.width):
            _draw(screen, titles, widths, rows, lines)
            return
    for row in rows:
        _print_block(screen, titles, row)


def _has_content(table: Table, number: int) -> bool:
    return any(row[number].text not in ("", "0") for row in table.rows)


def _lines(screen: Screen, cell: Cell, *, has_details: bool, is_short: bool) -> list[str]:
    if is_short and cell.short:
        return [screen.clean(cell.short)]
    lines = [cell.text, *cell.detail.splitlines()] if has_details else [str(cell)]
    return [screen.clean(line) for line in lines]


def _widths(titles: list[str], rows: list[list[list[str]]], room: int) -> list[int]:
    """The widths of the columns; empty if there is no room for them."""
    widths = [
        max(cell_len(line) for line in (title, *(line for row in rows for line in row[number])))
        for number, title in enumerate(titles)
    ]
    rest = room - sum(width + _GAP for width in widths[1:])
    # Where lines follow it, the first line is a name.
    unfolded = max(cell_len(line) for row in rows for line in row[0][len(row[0]) > 1 :])
    narrowest = max(unfolded, min(widths[0], _NARROWEST_NAME))
    return [min(widths[0], rest), *widths[1:]] if rest >= narrowest else []


def _draw(
    screen: Screen, titles: list[str], widths: list[int], rows: list[list[Cell]], lines: list[list[list[str]]]
) -> None:
    from rich import box
    from rich.table import Table as RichTable  # Slow to load, and only terminals show it.

    several_lines = any(len(cell) > 1 for row in lines for cell in row)
    drawn = RichTable(
        box=box.HORIZONTALS, show_edge=False, pad_edge=False, padding=(0, _GAP - 1, 0, 0), show_lines=several_lines
    )
    for number, (title, width) in enumerate(zip(titles, widths, strict=True)):
        is_numeric = number > 0 and all(row[number].text.replace(",", "").isdigit() for row in rows)
        drawn.add_column(title, justify="right" if is_numeric else "left", overflow="fold", width=width)
    for row, texts in zip(rows, lines, strict=True):
        drawn.add_row(*(_drawn(cell, text) for cell, text in zip(row, texts, strict=True)))
    screen.render(screen.out, drawn)


def _drawn(cell: Cell, lines: list[str]) -> Text:
    first, *details = lines
    return Text("\n").join([Text(first, cell.style), *(Text(line, "dim") for line in details)])


def _print_block(screen: Screen, titles: list[str], row: list[Cell]) -> None:
    """A row as its name, and below it what the columns have."""
    name, *cells = row
    for line in _lines(screen, name, has_details=True, is_short=False):
        _print_wrapped(screen, [Text(line, "bold")])
    _print_wrapped(screen, _titled(screen, titles[1:], cells), indent=2)


def _print_wrapped(screen: Screen, parts: Iterable[Text], indent: int = 0) -> None:
    # A padding, since the console joins bare texts and never wraps them.
    text = Text(", ", no_wrap=False, overflow="fold").join(parts)
    screen.render(screen.out, Padding(text, (0, 0, 0, indent), expand=False))


def _titled(screen: Screen, titles: list[str], cells: list[Cell]) -> Iterator[Text]:
    for title, cell in zip(titles, cells, strict=True):
        if cell.text:
            yield Text(f"{title}: ", "dim").append(screen.clean(cell.short or str(cell)), cell.style or "not dim")
