"""Standard output and error as schedulers provide them: closed, full, of any encoding or width."""

import io
import os
import re
import sys
from typing import Any, TextIO


class _LenientFile(io.FileIO):
    """A file that ignores failed writes: a closed standard error must not end the run."""

    def write(self, text: Any, /) -> int:
        try:
            return super().write(text) or len(text)
        except OSError:
            return len(text)


def prepare_streams() -> None:
    """Makes the streams writable whatever the scheduler provides. Must run before anything is printed."""
    for number in range(3):  # The next opened file must not become a closed stream.
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    encoding = sys.stderr.encoding if sys.stderr else None
    file = io.BufferedWriter(_LenientFile(2, "w", closefd=False))
    sys.stderr = io.TextIOWrapper(file, encoding, errors="backslashreplace", line_buffering=True)
    for size in ("COLUMNS", "LINES"):  # Rich would print nothing into 0 columns.
        if not re.fullmatch("[1-9][0-9]{0,3}", os.environ.get(size, "80")):
            del os.environ[size]


def silence(stream: TextIO) -> None:
    """Discards what is left in a broken stream, which the interpreter would write at its end and fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def printable(text: str) -> str:
    """*text* with control characters, surrogates and invisible marks escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
