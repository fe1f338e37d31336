"""The streams that a scheduler gives us, made fit to be written to, and texts made fit for them."""

import io
import os
import re
import sys
from typing import Any, TextIO


class _Story(io.FileIO):
    """Standard error, which swallows what nobody takes any more: the work goes on."""

    def write(self, text: Any, /) -> int:
        try:
            return super().write(text) or len(text)
        except OSError:
            return len(text)


def prepare_streams() -> None:
    """Makes the best of whatever streams, encoding and width a scheduler starts us with. To be called first."""
    for number in range(3):  # The next file opened must not take the place of a closed one.
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    encoding = sys.stderr.encoding if sys.stderr else None
    story = io.BufferedWriter(_Story(2, "w", closefd=False))
    sys.stderr = io.TextIOWrapper(story, encoding, errors="backslashreplace", line_buffering=True)
    for size in ("COLUMNS", "LINES"):  # Rich would write into 0 columns, which is nothing.
        if not re.fullmatch("[1-9][0-9]{0,3}", os.environ.get(size, "80")):
            del os.environ[size]


def silence(stream: TextIO) -> None:
    """Nothing may be left to be written when the interpreter ends: it would fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def printable(text: str) -> str:
    """*text* with every control character, surrogate and invisible mark shown as an escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
