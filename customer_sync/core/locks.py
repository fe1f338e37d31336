"""One run at a time per pass and page on this machine: `flock`, which the kernel releases when its holder dies."""

import errno
import fcntl
import json
import logging
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

from customer_sync.core.clock import Clock, local_time
from customer_sync.core.errors import CustomerSyncError, SettingsError
from customer_sync.core.regular_file import open_regular
from customer_sync.core.reported import ReportedFailures

log = logging.getLogger(__name__)

_POLL = 0.2
_LENGTH = 200


class PageLocked(CustomerSyncError):
    """Another run holds the lock."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock, as the lock file says: the command, its process, and since when it runs (Unix seconds)."""

    command: str
    pid: int | None = None
    since: int | None = None

    def __str__(self) -> str:
        process = "" if self.pid is None else f" (process {self.pid})"
        return f"{self.command}{process}" + ("" if self.since is None else f" since {local_time(self.since)}")


class PageLocks:
    """The locks of one directory."""

    def __init__(self, directory: Path, clock: Clock, command: str = "") -> None:
        """*command* is what others read of the holder."""
        self._command = command
        self._directory = directory
        self._clock = clock
        self._since = int(clock.now())
        self._warned = False

    def make_directory(self) -> None:
        """Makes the directory when it is missing. Raises SettingsError when it cannot be used."""
        directory = self._directory
        try:
            for path in (directory.absolute(), directory.resolve()):
                if stranger := _strangers_entry(path):
                    raise PermissionError(0, f"{stranger} belongs to another user")
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise _unusable(directory, error) from None

    def held(self, pass_name: str, page_id: str, *, wait: bool = False) -> AbstractContextManager[None]:
        """Holds the lock of a pass and page. Locked by another run: waits for it, or raises PageLocked."""
        return self._held(pass_name, page_id, wait=wait)

    @contextmanager
    def _held(self, pass_name: str, page_id: str, *, wait: bool) -> Iterator[None]:
        self.make_directory()
        handle = self._open(pass_name, page_id)
        try:
            if not self._locked_soon(handle):
                holder = _read_holder(handle)
                locked = PageLocked(f"page {page_id} is locked by another run{f': {holder}' if holder else ''}")
                if not wait:
                    raise locked
                log.info("waiting: %s", locked)
                while not _lock(handle):
                    self._clock.sleep(_POLL)
            self._write_holder(handle)
            yield
        finally:
            os.close(handle)

    def note(self, name: str, page_id: str) -> Path:
        """Where something else about a page is kept, beside its locks."""
        return self._directory / f"{name}-{quote(page_id, safe='')}.txt"

    def failures(self, run: str) -> ReportedFailures | None:
        """What the runs of one schedule have printed; *run* tells it from others. None in an unusable directory."""
        try:
            self.make_directory()
        except SettingsError:
            return None
        path = self._directory / f"{self._command}-{sha256(run.encode()).hexdigest()[:16]}.failures"
        return ReportedFailures(path, self._clock.now())

    def holders(self, pass_names: Iterable[str], page_id: str) -> list[Holder]:
        """Who holds these locks of a page at this moment, each process once. Makes no file and delays no run."""
        held = [holder for name in pass_names if (holder := self._holder(name, page_id))]
        by_process: dict[tuple[str, int | None], Holder] = {}
        for holder in sorted(held, key=lambda holder: holder.since or 0):
            by_process.setdefault((holder.command, holder.pid), holder)
        return list(by_process.values())

    def _holder(self, pass_name: str, page_id: str) -> Holder | None:
        path = self._path(pass_name, page_id)
        try:
            handle = open_regular(path, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unusable(path, error) from None
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _read_holder(handle) or Holder(pass_name)
        else:
            return None
        finally:
            os.close(handle)

    def _locked_soon(self, handle: int) -> bool:
        """Takes the lock now or a moment later: `status` may only be reading who holds it."""
        if _lock(handle):
            return True
        self._clock.sleep(_POLL)
        return _lock(handle)

    def _write_holder(self, handle: int) -> None:
        """A full disk, or a file that another user made, must not keep the pass from running."""
        holder = Holder(self._command, os.getpid(), self._since)
        try:  # All of one length, so that nothing of a longer one is left behind.
            os.pwrite(handle, json.dumps(asdict(holder)).encode().ljust(_LENGTH), 0)
        except OSError as error:
            if not self._warned:  # The same for every page.
                self._warned = True
                log.warning("cannot write to the lock directory %s (%s)", self._directory, error.strerror)

    def _path(self, pass_name: str, page_id: str) -> Path:
        return self._directory / f"{pass_name}-{quote(page_id, safe='')}.lock"

    def _open(self, pass_name: str, page_id: str) -> int:
        """The lock file. Raises SettingsError unless it has this one name: another user may link it to any file."""
        handle = self._open_file(pass_name, page_id)
        if os.fstat(handle).st_nlink > 1:
            os.close(handle)
            raise _unusable(self._path(pass_name, page_id), OSError(0, "it is a link to another file; remove it"))
        return handle

    def _open_file(self, pass_name: str, page_id: str) -> int:
        path = self._path(pass_name, page_id)
        try:
            return open_regular(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        except PermissionError as error:  # Another user's file: to hold its lock, to read it is enough.
            with suppress(OSError):
                return open_regular(path, os.O_RDONLY | os.O_NOFOLLOW)
            if not os.access(path, os.F_OK):
                raise _unusable(self._directory, error) from None
            raise _unusable(path, PermissionError(0, "another user made it; run as that user")) from None
        except OSError as error:
            raise _unusable(path if error.errno == errno.EINVAL else self._directory, error) from None


def _lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_holder(handle: int) -> Holder | None:
    """Who holds the lock; None where the file does not say."""
    try:
        written = json.loads(os.pread(handle, _LENGTH, 0))
        holder = Holder(str(written["command"])[:20], int(written["pid"]), int(written["since"]))
        str(holder)
    except (OSError, ValueError, TypeError, KeyError, OverflowError):
        return None
    return holder


def _strangers_entry(path: Path) -> Path | None:
    """The part of a *path*, itself included, that another user made in a directory like /tmp, where all may write.

    A directory, or a link to one: its owner could hold our locks for ever. Links are not followed.
    """
    for entry in (path, *path.parents):
        with suppress(FileNotFoundError):
            is_shared = entry.parent.stat().st_mode & stat.S_IWOTH
            if is_shared and entry != entry.parent and entry.lstat().st_uid not in (0, os.getuid()):
                return entry
    return None


def _unusable(directory: Path, error: OSError) -> SettingsError:
    reason = error.strerror or type(error).__name__
    return SettingsError([f"CUSTOMER_SYNC_LOCK_DIR {directory} cannot be used ({reason})"], "Name another directory.")
