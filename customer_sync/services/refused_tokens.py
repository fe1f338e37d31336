"""The tokens of one page for which a new one did not help, so that no later run makes another for the same refusal.

They are kept in the lock directory, as fingerprints: FolkForm's page record does not tell when a token was stored. A
token that was stored there since, by whomever, is not among them.
"""

import logging
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from customer_sync.core.regular_file import read_own, write_own

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
        try:
            write_own(self._path, "\n".join(kept))
        except OSError as error:
            log.warning("cannot write %s (%s): the next run may make another page token", self._path, error.strerror)

    def _read(self) -> list[str]:
        if self._path is None:
            return []
        try:
            return read_own(self._path, _LONGEST).split()
        except (OSError, ValueError):
            return []


def _fingerprint(token: str, refusal: str) -> str:
    return sha256(f"{refusal} {token}".encode()).hexdigest()
