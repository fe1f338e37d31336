"""Where FolkForm keeps Pancake's customers: the path that was set, or else the first one that exists.

Facts: `/customer` until April 2026, for a while beside `/fb-customer`, another collection; since then the latter alone.
A path that does not exist is answered with 404 in FolkForm's envelope.
"""

from customer_sync.errors import Refused, SettingsError
from customer_sync.http import MISSING

VARIABLE = "FOLKFORM_CUSTOMER_PATH"
PATH, NEWER_PATH = "/customer", "/fb-customer"


class CustomerPath:
    """The path in use. Threads share it."""

    def __init__(self, path: str | None) -> None:
        self.current = path or PATH
        self.is_set = path is not None
        self._exists = False

    def exists(self) -> None:
        """FolkForm has answered at it: from now on it stays, whatever a later answer says."""
        self._exists = True

    def replace(self, path: str, error: Refused) -> None:
        """Uses another path where *error* refuses this one. Raises *error* where the path is not the trouble, and
        SettingsError where FolkForm has none that could be used.
        """
        if path != self.current:
            return  # Another thread has found it out.
        if error.status != MISSING or not error.code or self._exists:
            raise error
        if self.is_set:
            step = f"Unset it: {PATH} or {NEWER_PATH} is found by itself; then run customer-sync check."
            raise SettingsError([f"{VARIABLE} is {path}, which FolkForm does not have (404)"], step)
        if path == NEWER_PATH:
            step = f"Check that FOLKFORM_BASE_URL ends in /api/v1, or set {VARIABLE}."
            raise SettingsError([f"FolkForm has neither {PATH} nor {NEWER_PATH} (404)"], step)
        self.current = NEWER_PATH
