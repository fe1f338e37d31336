"""A table as data: rows of cells with their colours; `output.summary` draws it."""

from dataclasses import dataclass

# The colour of a text shows what it means.
GOOD, DOUBTFUL, BAD, QUIET = "green", "yellow", "red", "dim"


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table; *detail* is a second line in small print."""

    text: str
    detail: str = ""
    style: str = ""

    def __str__(self) -> str:
        return f"{self.text} ({self.detail})" if self.detail else self.text


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of as many cells as there are column titles."""

    title: str
    columns: list[str]
    rows: list[list[Cell]]
