"""Where FolkForm keeps Pancake's customers: at the path that was set, or else at the first one that exists.

Facts: `/customer` until April 2026, for a while beside `/fb-customer`, another collection; since then the latter alone.
A path that does not exist is answered with 404 and `DB_002` in FolkForm's envelope.
"""

import logging
import threading
from dataclasses import replace
from http import HTTPStatus

from customer_sync.core.command_line import command
from customer_sync.core.errors import Refused, ServiceError, SettingsError
from customer_sync.http.session import Access, ApiSession, Call

log = logging.getLogger(__name__)

VARIABLE = "FOLKFORM_CUSTOMER_PATH"
PATH, NEWER_PATH = "/customer", "/fb-customer"
_NO_SUCH_PATH = "DB_002"


class CustomerPath(Access):
    """Access to the customers: the path of a call begins behind theirs. Threads share it."""

    def __init__(self, path: str | None, access: Access, session: ApiSession) -> None:
        """*access* is that to the rest of FolkForm."""
        super().__init__(access.limiter)
        self.current = path or PATH
        self.is_set = path is not None
        self._access = access
        self._session = session
        self._has_answered = False
        """From then on the path stays."""
        self._lock = threading.Lock()

    def prepare(self, call: Call) -> Call:
        return self._access.prepare(replace(call, path=self.current + call.path))

    def recover(self, call: Call, error: ServiceError) -> bool:
        """Raises SettingsError where no path can be used."""
        if self._access.recover(call, error):
            return True
        if error.status != HTTPStatus.NOT_FOUND or error.code != _NO_SUCH_PATH:
            return False
        path = call.path.rpartition("/")[0]
        with self._lock:
            if path != self.current:
                return True  # Another thread has found the newer one.
            if self._has_answered:
                return False
            if self.is_set:
                step = f"Unset it ({PATH} or {NEWER_PATH} is then found automatically), then run {command('check')}."
                raise SettingsError([f"{VARIABLE} is {path}, which FolkForm does not have (404)"], step)
            if path == NEWER_PATH:
                step = f"Check the host in FOLKFORM_BASE_URL, or set {VARIABLE}."
                raise SettingsError([f"FolkForm has neither {PATH} nor {NEWER_PATH} (404)"], step)
            # One wrong 404 must not send the customers into another collection.
            if self._exists(path):
                return False
            log.debug("FolkForm keeps customers at %s", NEWER_PATH)
            self.current = NEWER_PATH
            return True

    def succeeded(self, call: Call) -> None:
        self._access.succeeded(call)
        self._has_answered = True

    def _exists(self, path: str) -> bool:
        try:
            self._session.call(Call("GET", f"{path}/count", {"filter": '{"pageId":""}'}), self._access)
        except Refused as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return False
            raise
        return True
