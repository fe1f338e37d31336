"""What the tests of the documents share."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCUMENTS = [
    *("README.md", "README.vi.md", "CONTRIBUTING.md", "CHANGELOG.md"),
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md")),
]
# What is gone stays in the changelog.
PRESENT = [name for name in DOCUMENTS if name != "CHANGELOG.md"]


def text_of(document: str) -> str:
    """The text of a document."""
    return (ROOT / document).read_text(encoding="utf-8")


def section(document: str, heading: str) -> str:
    """The part of a document below a heading such as `## Options`, up to the next one of its level."""
    level = len(heading.partition(" ")[0])
    kept: list[str] = []
    in_code = False
    for line in text_of(document).partition(f"\n{heading}\n")[2].splitlines():
        in_code ^= line.lstrip().startswith("```")
        if not in_code and re.match(rf"#{{1,{level}}} ", line):
            break
        kept.append(line)
    return "\n".join(kept)


def rows(text: str) -> list[list[str]]:
    """The cells of every row of the tables whose first cell is code or a number."""
    lines = [line for line in text.splitlines() if re.match(r"\| (`|\d)", line)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def code(cell: str) -> list[str]:
    """What a cell has in backticks."""
    return re.findall(r"`([^`]+)`", cell)
