"""A table as data: rows of cells and what their colours mean; `output.summary` draws it."""

from dataclasses import dataclass
from enum import Enum, auto


class Tone(Enum):
    """What a text means; each tone has its colour."""

    PLAIN = auto()
    GOOD = auto()
    DOUBTFUL = auto()
    BAD = auto()
    QUIET = auto()


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table; *detail* is a second line in small print."""

    text: str
    detail: str = ""
    tone: Tone = Tone.PLAIN

    def __str__(self) -> str:
        return f"{self.text} ({self.detail})" if self.detail else self.text


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of as many cells as there are column titles."""

    title: str
    columns: list[str]
    rows: list[list[Cell]]
