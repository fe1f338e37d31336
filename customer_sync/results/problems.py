"""The customers with a problem of one page: kept in a temporary file once they are many, so that memory stays flat."""

import errno
import io
import json
import os
import tempfile
import threading
import weakref
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from customer_sync.core.command_line import command
from customer_sync.core.errors import CustomerSyncError

FAILED = "failed"
_NEXT_STEPS = {
    FAILED: "Fix the cause, then run {}.",
    "malformed": "Fix the record in Pancake.",
    "missing": "Run {}.",
    "stale": "Run {}.",
    "extra": "Nothing to do if the customer was merged or deleted in Pancake.",
    "duplicate": "Delete the older record in FolkForm (see docs/commands.md).",
}
_IN_MEMORY = 1000


@dataclass(frozen=True, slots=True)
class Problem:
    """A customer with a problem."""

    psid: str | None
    pancake_id: str | None
    problem: str
    """`failed` or `malformed`; of a comparison `missing`, `stale`, `extra`, `duplicate` or `malformed`."""
    reason: str
    own_next_step: str = ""
    """What to do before the repair, if that is not the usual."""

    @property
    def customer(self) -> str:
        """How messages identify the customer."""
        if self.psid:
            return f"psid {self.psid:.80}"
        return f"Pancake id {self.pancake_id}" if self.pancake_id else "a customer without id"

    def next_step(self, page_id: str, remedy: str | None = None) -> str:
        """What to do about it; *remedy* is the command that repairs its page, where one is known."""
        repair = command("backfill", "--page", page_id)
        if self.own_next_step:
            return f"{self.own_next_step} Then run {repair}."
        return _NEXT_STEPS[self.problem].format(remedy or repair)

    def as_json(self, page_id: str, remedy: str | None = None) -> dict[str, Any]:
        return {
            "psid": self.psid,
            "id": self.pancake_id,
            "problem": self.problem,
            "reason": self.reason,
            "next_step": self.next_step(page_id, remedy),
        }


class Problems:
    """Problems in the order in which they were found. Threads may add some while one of them reads."""

    def __init__(self) -> None:
        self._first: list[Problem] = []
        self._rest: _Rest | None = None
        self._length = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._length

    def append(self, problem: Problem) -> None:
        """Adds one. Raises CustomerSyncError when the temporary directory has no room."""
        with self._lock:
            if self._length < _IN_MEMORY:
                self._first.append(problem)
            else:
                self._write(f"{json.dumps(asdict(problem))}\n".encode())
            self._length += 1

    def __iter__(self) -> Iterator[Problem]:
        length = self._length
        yield from self._first
        if self._rest is not None:
            for line in self._rest.lines(length - _IN_MEMORY):
                yield Problem(**json.loads(line))

    def _write(self, line: bytes) -> None:
        try:
            if self._rest is None:
                self._rest = _Rest()
                weakref.finalize(self, self._rest.close)
            self._rest.write(line)
        except OSError as error:
            raise no_room(error.strerror or type(error).__name__) from None


class _Rest:
    """Lines in a temporary file without a name, which ends with the process. Raises OSError."""

    def __init__(self) -> None:
        handle, path = tempfile.mkstemp(prefix="customer-sync-")
        # Unbuffered, so that a full disk is noticed at the line that it has no room for.
        self._writer = io.FileIO(handle, "wb")
        self._reader = io.BufferedReader(io.FileIO(path))
        Path(path).unlink()

    def write(self, line: bytes) -> None:
        if self._writer.write(line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def lines(self, count: int) -> Iterator[bytes]:
        """The first *count* of them."""
        self._reader.seek(0)
        return islice(self._reader, count)

    def close(self) -> None:
        self._writer.close()
        self._reader.close()


def no_room(reason: str) -> CustomerSyncError:
    """The error of a temporary file that cannot be written."""
    problem = f"The temporary directory has no room for what was found ({reason})"
    return CustomerSyncError(problem, "Set TMPDIR to a directory with more room.")
