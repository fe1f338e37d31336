"""One run at a time per pass and page on this machine: `flock`, which the kernel releases when its holder dies."""

import fcntl
import json
import logging
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from customer_sync.core.clock import Clock, local_time
from customer_sync.core.errors import CustomerSyncError, SettingsError

log = logging.getLogger(__name__)

_POLL = 0.2
_LENGTH = 1000
_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW


class PageLocked(CustomerSyncError):
    """Another run holds the lock."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock, as far as it left word: the command, its process, and since when (Unix seconds)."""

    command: str
    pid: int | None = None
    since: int | None = None

    def __str__(self) -> str:
        process = "" if self.pid is None else f" (process {self.pid})"
        return f"{self.command}{process}" + ("" if self.since is None else f" since {local_time(self.since)}")


class HeldLock:
    """A lock while it is held. Its file outlives whoever holds it, and keeps a word for the next one."""

    def __init__(self, handle: int, holder: Holder) -> None:
        self.sure_until = _read_sure_until(handle)
        """Up to which second no pass under this lock can have left an older version (Unix); None where none told."""
        self._handle = handle
        self._holder = holder
        self._leave_word()

    def note_sure_until(self, second: int) -> None:
        self.sure_until = second
        self._leave_word()

    def _leave_word(self) -> None:
        """A full disk, or a file that another user made, must not keep the pass from running."""
        word = json.dumps({**asdict(self._holder), "sure_until": self.sure_until}).encode()
        try:  # All of one length, so that a kill leaves the old word or the new one.
            os.pwrite(self._handle, word.ljust(_LENGTH), 0)
        except OSError as error:
            log.info("no word can be left in the lock of %s: %s", self._holder.command, error.strerror)


class PageLocks:
    """The locks of one directory, made when missing."""

    def __init__(self, directory: Path, clock: Clock, command: str = "", *, makes_directory: bool = True) -> None:
        """*command* is what others are told of the holder. Raises SettingsError when the directory cannot be used;
        who only asks for holders need not make it.
        """
        self._command = command
        self._directory = directory
        self._clock = clock
        if not makes_directory:
            return
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
    def held(self, pass_name: str, page_id: str, *, wait: bool = False) -> Iterator[HeldLock]:
        """Holds the lock of a pass and page. Taken already: waits for it, or raises PageLocked."""
        handle = self._open(pass_name, page_id)
        try:
            if not self._taken_soon(handle):
                holder = _read_word(handle)
                busy = PageLocked(f"another run is at page {page_id}" + (f": {holder}" if holder else ""))
                if not wait:
                    raise busy
                log.info("waiting: %s", busy)
                while not _taken(handle):
                    self._clock.sleep(_POLL)
            yield HeldLock(handle, Holder(self._command, os.getpid(), int(self._clock.now())))
        finally:
            os.close(handle)

    def holders(self, pass_names: Iterable[str], page_id: str) -> list[Holder]:
        """Who holds these locks of a page at this moment, each process once. Makes no file and holds up nobody."""
        held = [holder for name in pass_names if (holder := self._look(name, page_id))]
        by_process: dict[tuple[str, int | None], Holder] = {}
        for holder in sorted(held, key=lambda holder: holder.since or 0):
            by_process.setdefault((holder.command, holder.pid), holder)
        return list(by_process.values())

    def _look(self, pass_name: str, page_id: str) -> Holder | None:
        path = self._path(pass_name, page_id)
        try:
            handle = os.open(path, os.O_RDONLY | _FLAGS)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unusable(path, error) from None
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _read_word(handle) or Holder(pass_name)
        else:
            return None
        finally:
            os.close(handle)

    def _taken_soon(self, handle: int) -> bool:
        """Takes the lock now or a moment later: somebody may only be looking who holds it."""
        if _taken(handle):
            return True
        self._clock.sleep(_POLL)
        return _taken(handle)

    def _path(self, pass_name: str, page_id: str) -> Path:
        return self._directory / f"{pass_name}-{quote(page_id, safe='')}.lock"

    def _open(self, pass_name: str, page_id: str) -> int:
        path = self._path(pass_name, page_id)
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT | _FLAGS, 0o644)
        except PermissionError as error:  # Another user's file: to hold its lock, to read it is enough.
            with suppress(OSError):
                return os.open(path, os.O_RDONLY | _FLAGS)
            if not os.access(path, os.F_OK):
                raise _unusable(self._directory, error) from None
            raise _unusable(path, PermissionError(0, "another user made it; run as that user")) from None
        except OSError as error:
            raise _unusable(self._directory, error) from None


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_word(handle: int) -> Holder | None:
    """Who holds the lock; None where the holder left no word that can be told."""
    try:
        word = _read(handle)
        holder = Holder(str(word["command"])[:20], int(word["pid"]), int(word["since"]))
        str(holder)
    except (OSError, ValueError, TypeError, KeyError, OverflowError):
        return None
    return holder


def _read(handle: int) -> Any:
    return json.loads(os.pread(handle, _LENGTH, 0))


def _read_sure_until(handle: int) -> int | None:
    try:
        return int(_read(handle)["sure_until"])
    except (OSError, ValueError, TypeError, KeyError, OverflowError):
        return None


def _unusable(directory: Path, error: OSError) -> SettingsError:
    reason = error.strerror or type(error).__name__
    return SettingsError([f"CUSTOMER_SYNC_LOCK_DIR {directory} cannot be used ({reason})"], "Name another directory.")
