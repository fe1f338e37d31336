"""One run at a time per pass and page on this machine: `flock`, which the kernel releases when its holder dies."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from customer_sync.clock import Clock
from customer_sync.errors import CustomerSyncError, SettingsError

_POLL = 0.2


class BusyError(CustomerSyncError):
    """Another run holds the lock."""


class PageLocks:
    """The locks of one directory, made when missing."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        """Raises SettingsError when the directory cannot be used."""
        self._directory = directory
        self._clock = clock
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise _unusable(directory, error) from None

    @contextmanager
    def held(self, pass_name: str, page_id: str, *, wait: bool = False) -> Iterator[None]:
        """Holds the lock of a pass and page. Taken already: waits for it, or raises BusyError."""
        path = self._directory / f"{pass_name}-{quote(page_id, safe='')}.lock"
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unusable(self._directory, error) from None
        try:
            while not _taken(handle):
                if not wait:
                    raise BusyError(f"another {pass_name} is at page {page_id}")
                self._clock.sleep(_POLL)
            yield
        finally:
            os.close(handle)


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _unusable(directory: Path, error: OSError) -> SettingsError:
    reason = error.strerror or type(error).__name__
    return SettingsError([f"CUSTOMER_SYNC_LOCK_DIR {directory} cannot be used ({reason})"], "Name another directory.")
