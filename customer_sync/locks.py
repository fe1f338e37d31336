"""One run at a time per pass and page on this machine: `flock`, which the kernel releases when its holder dies."""

import fcntl
import json
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from customer_sync.clock import Clock, local_time
from customer_sync.errors import CustomerSyncError, SettingsError

log = logging.getLogger(__name__)

_POLL = 0.2


class BusyError(CustomerSyncError):
    """Another run holds the lock."""


class PageLocks:
    """The locks of one directory, made when missing."""

    def __init__(self, directory: Path, clock: Clock, command: str = "") -> None:
        """*command* is what others are told of the holder. Raises SettingsError when the directory cannot be used."""
        self._command = command
        self._directory = directory
        self._clock = clock
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            owner = directory.stat().st_uid
            anybody_makes_it = directory.resolve().parent.stat().st_mode & stat.S_IWOTH
        except OSError as error:
            raise _unusable(directory, error) from None
        # In a directory like /tmp somebody else may have made it before us, to hold our locks for ever.
        if anybody_makes_it and owner not in (0, os.getuid()):
            raise _unusable(directory, PermissionError(0, "it belongs to somebody else"))

    @contextmanager
    def held(self, pass_name: str, page_id: str, *, wait: bool = False) -> Iterator[None]:
        """Holds the lock of a pass and page. Taken already: waits for it, or raises BusyError."""
        handle = self._open(pass_name, page_id)
        try:
            if not _taken(handle):
                busy = BusyError(f"another run is at page {page_id}{_holder(handle)}")
                if not wait:
                    raise busy
                log.info("waiting: %s", busy)
                while not _taken(handle):
                    self._clock.sleep(_POLL)
            self._sign(handle)
            yield
        finally:
            os.close(handle)

    def _open(self, pass_name: str, page_id: str) -> int:
        path = self._directory / f"{pass_name}-{quote(page_id, safe='')}.lock"
        flags = os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o644)
        except PermissionError as error:  # Another user's file: to hold its lock, to read it is enough.
            with suppress(OSError):
                return os.open(path, os.O_RDONLY | flags)
            if not os.access(path, os.F_OK):
                raise _unusable(self._directory, error) from None
            raise _unusable(path, PermissionError(0, "another user made it; run as that user")) from None
        except OSError as error:
            raise _unusable(self._directory, error) from None

    def _sign(self, handle: int) -> None:
        """Leaves word of who holds the lock; a full disk must not keep the pass from running."""
        with suppress(OSError):
            os.ftruncate(handle, 0)
            os.pwrite(
                handle,
                json.dumps({"pid": os.getpid(), "since": self._clock.now(), "command": self._command}).encode(),
                0,
            )


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(handle: int) -> str:
    """Who holds the lock, and since when; nothing where the holder left no word."""
    try:
        word = json.loads(os.pread(handle, 1000, 0))
        return f": {str(word['command'])[:20]} (process {int(word['pid'])}) since {local_time(float(word['since']))}"
    except (OSError, ValueError, TypeError, KeyError, OverflowError):
        return ""


def _unusable(directory: Path, error: OSError) -> SettingsError:
    reason = error.strerror or type(error).__name__
    return SettingsError([f"CUSTOMER_SYNC_LOCK_DIR {directory} cannot be used ({reason})"], "Name another directory.")
