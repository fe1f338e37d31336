"""A table as data: rows of cells with their colours; `output.table` draws it."""

from dataclasses import dataclass

# The colour of a text shows what it means.
GOOD, DOUBTFUL, BAD, QUIET = "green", "yellow", "red", "dim"


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table; *detail* is further lines in small print."""

    text: str
    detail: str = ""
    style: str = ""
    short: str = ""
    """What a narrow terminal shows instead; empty for the same."""

    def __str__(self) -> str:
        detail = self.detail.replace("\n", ", ")
        return f"{self.text} ({detail})" if detail else self.text


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of as many cells as there are column titles. The first column names the rows, and only it may be folded."""

    title: str
    columns: list[str]
    rows: list[list[Cell]]
