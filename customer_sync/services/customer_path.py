"""Where FolkForm keeps Pancake's customers: the path that was set, or else the first one that exists.

Facts: `/customer` until April 2026, for a while beside `/fb-customer`, another collection; since then the latter alone.
A path that does not exist is answered with 404 and `DB_002` in FolkForm's envelope.
"""

import logging
import threading
from collections.abc import Callable

from customer_sync.core.errors import Refused, SettingsError
from customer_sync.http.session import MISSING

log = logging.getLogger(__name__)

VARIABLE = "FOLKFORM_CUSTOMER_PATH"
PATH, NEWER_PATH = "/customer", "/fb-customer"
_NO_SUCH_PATH = "DB_002"


class CustomerPath:
    """The path in use. Threads share it."""

    def __init__(self, path: str | None) -> None:
        self.current = path or PATH
        self.is_set = path is not None
        self._proven: str | None = None
        """The path that has answered: it stays, whatever a later answer says."""
        self._lock = threading.Lock()

    def exists(self, path: str) -> None:
        """FolkForm has answered at this path."""
        if self._proven is None:
            with self._lock:
                self._proven = self._proven or path

    def replace(self, path: str, error: Refused, exists: Callable[[str], bool]) -> None:
        """Uses another path where *error* refuses this one; *exists* asks FolkForm about a path once more, so that one
        wrong 404 does not send the customers into another collection.

        Raises *error* where the path is not the trouble, and SettingsError where there is none that could be used.
        """
        with self._lock:
            if path != self.current:
                return  # Another thread has found it out.
            if error.status != MISSING or error.code != _NO_SUCH_PATH or self._proven:
                raise error
            if self.is_set:
                step = f"Unset it: {PATH} or {NEWER_PATH} is found by itself; then run customer-sync check."
                raise SettingsError([f"{VARIABLE} is {path}, which FolkForm does not have (404)"], step)
            if path == NEWER_PATH:
                step = f"Check that FOLKFORM_BASE_URL ends in /api/v1, or set {VARIABLE}."
                raise SettingsError([f"FolkForm has neither {PATH} nor {NEWER_PATH} (404)"], step)
            if exists(path):
                raise error
            log.debug("FolkForm keeps customers at %s", NEWER_PATH)
            self.current = NEWER_PATH
