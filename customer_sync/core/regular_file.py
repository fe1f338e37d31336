"""Files that a setting names: only regular ones are opened, so that a FIFO or a device can neither hang nor flood."""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

_MAX_TEXT = 16 * 2**20


def open_regular(path: Path, flags: int, mode: int = 0o600) -> int:
    """The handle of a regular file. Raises OSError; `not a regular file` for anything else."""
    try:
        handle = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, mode)
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.EISDIR):  # A FIFO without a reader, or a socket; a directory.
            raise _not_regular(path) from None
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise _not_regular(path)
    return handle


def read_regular(path: Path, max_bytes: int = _MAX_TEXT) -> str:
    """The text of a regular file. Raises OSError, and ValueError when it is not UTF-8."""
    with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
        text = file.read(max_bytes + 1)
    if len(text) > max_bytes:
        raise OSError(errno.EFBIG, f"larger than {max_bytes:,} bytes", str(path))
    return text.decode()


def read_own(path: Path, max_bytes: int) -> str:
    """The text of a file that the program keeps for itself; a link is not followed. Raises OSError, ValueError."""
    with os.fdopen(open_regular(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        return file.read(max_bytes).decode()


def write_own(path: Path, text: str, mode: int = 0o600) -> None:
    """Replaces such a file atomically; it has *mode*, whatever the umask is. Raises OSError."""
    new = path.with_suffix(f".{os.getpid()}")
    new.unlink(missing_ok=True)
    try:
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            if mode & ~os.fstat(handle).st_mode:
                os.fchmod(handle, mode)
            file.write(text)
        new.replace(path)
    except OSError:
        with suppress(OSError):
            new.unlink(missing_ok=True)
        raise


def is_public(path: Path) -> bool:
    """Whether every user of this machine can read or change the file. Raises OSError."""
    is_open = path.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH)
    return bool(is_open) and all(one.stat().st_mode & stat.S_IXOTH for one in path.resolve().parents)


def _not_regular(path: Path) -> OSError:
    return OSError(errno.EINVAL, "not a regular file", str(path))
