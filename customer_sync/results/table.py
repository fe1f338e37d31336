"""What a terminal shows in rows and columns: the words and what they mean, nothing of how they are drawn."""

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
    """A place in a table."""

    text: str
    detail: str = ""
    """A second line, quieter."""
    tone: Tone = Tone.PLAIN
    share: float | None = None
    """From 0 to 1, drawn as a bar before the text."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of cells, which may be numbers."""

    title: str
    numbers: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of as many cells as there are columns."""

    title: str
    columns: list[Column]
    rows: list[list[Cell]]
