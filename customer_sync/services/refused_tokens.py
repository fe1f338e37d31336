"""The tokens of one page for which a new one did not help, so that no later run makes another for the same refusal.

They are kept in the lock directory, as fingerprints: FolkForm's page record does not tell when a token was stored. A
token that was stored there since, by whomever, is not among them.
"""

import logging
import os
import stat
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

log = logging.getLogger(__name__)

_MOST = 100
_LONGEST = _MOST * 80


class RefusedTokens:
    """The refusals that one page's file lists, a fingerprint per line; none without a *path*."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path

    def holds(self, token: str, refusal: str) -> bool:
        """Whether a new token was made after this *refusal* of *token*, and was refused, too."""
        return _fingerprint(token, refusal) in self._read()

    def add(self, refusals: Mapping[str, str]) -> None:
        """Keeps these *refusals*, by token. A directory that cannot be written must not end the page."""
        if self._path is None:
            return
        kept = list(dict.fromkeys([*self._read(), *(_fingerprint(*one) for one in refusals.items())]))[-_MOST:]
        new = self._path.with_suffix(f".{os.getpid()}")
        try:
            new.unlink(missing_ok=True)
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
                file.write("\n".join(kept))
            new.replace(self._path)
        except OSError as error:
            log.warning("cannot write %s (%s): the next run may make another page token", self._path, error.strerror)

    def _read(self) -> list[str]:
        if self._path is None:
            return []
        try:  # Neither another file behind a link nor a pipe that nothing writes to.
            handle = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return []
        try:
            is_file = stat.S_ISREG(os.fstat(handle).st_mode)
            return os.read(handle, _LONGEST).decode(errors="replace").split() if is_file else []
        finally:
            os.close(handle)


def _fingerprint(token: str, refusal: str) -> str:
    return sha256(f"{refusal} {token}".encode()).hexdigest()
