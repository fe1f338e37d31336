"""The role that FolkForm is called in: the one that was set, or else the only one that the token's user has.

Facts: FolkForm's `X-Active-Role-ID`; `GET /auth/roles` needs none. Without a role today's servers answer 400 AUTH_003,
to one of a wrong form 400 VAL_002, to one that is not the user's 403 AUTH_003; older ones may look empty.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from customer_sync.core.errors import SettingsError

log = logging.getLogger(__name__)

VARIABLE = "FOLKFORM_ROLE_ID"


@dataclass(frozen=True, slots=True)
class Role:
    """One of the roles of the token's user."""

    role_id: str
    name: str = ""
    organization: str = ""

    def __str__(self) -> str:
        where = ", ".join(filter(None, (self.name, self.organization)))
        return f"{self.role_id}  {where}" if where else self.role_id


class ActiveRole:
    """The role in use. Threads share it."""

    def __init__(self, role_id: str | None, ask: Callable[[], list[Role] | None]) -> None:
        """*ask* returns the user's roles; None where the server does not know roles."""
        self.current = role_id
        self._ask = ask
        self._lock = threading.Lock()

    def another_than(self, refused: str | None) -> str | None:
        """The role to use in place of the *refused* one (None: none was sent).

        Returns None where the role is not the cause: it is the user's, or the server does not know roles. Raises
        SettingsError where the user has no role, or several.
        """
        with self._lock:
            if self.current != refused:
                return self.current
            roles = self._ask()
            if roles is None or refused in [role.role_id for role in roles]:
                return None
            why = f"{VARIABLE} {refused} is not a role of the token's user" if refused else f"{VARIABLE} is not set"
            if len(roles) != 1:
                raise _unclear(why, roles)
            log.log(logging.INFO if refused else logging.DEBUG, "%s; using the only one there is: %s", why, roles[0])
            self.current = roles[0].role_id
            return self.current


def read_roles(data: Any) -> list[Role]:
    """The roles of `[{"roleId", "roleName", "organizationName", …}]` or `{"roles": […]}`."""
    records = data.get("roles") if isinstance(data, dict) else data
    roles = [_read(record) for record in records or [] if isinstance(record, dict)] if isinstance(records, list) else []
    return [role for role in roles if role.role_id]


def choose(roles: list[Role]) -> str:
    """The next step where one of several roles must be set."""
    return "\n  ".join([f"Set {VARIABLE} to one of the user's roles:", *map(str, roles)])


def missing_permission(role_id: str) -> str:
    """The next step where the user's own role lacks a permission."""
    step = f"Give the role {role_id} the permissions Customer.Insert, .Read and .Update in FolkForm"
    return f"{step}, or set {VARIABLE} to another role."


def _unclear(why: str, roles: list[Role]) -> SettingsError:
    if roles:
        return SettingsError([f"{why}, and the user has {len(roles)} roles"], choose(roles))
    step = "Give the user a role in FolkForm, or set another FOLKFORM_TOKEN."
    return SettingsError([f"{why}, and the user has no role"], step)


def _read(record: dict[str, Any]) -> Role:
    names = (record.get(key) for key in ("roleId", "roleName", "organizationName"))
    return Role(*(name if isinstance(name, str) else "" for name in names))
