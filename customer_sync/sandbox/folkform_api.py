"""FolkForm over HTTP: its calls, and who may make them."""

from collections.abc import Callable
from typing import get_args, get_type_hints

from customer_sync.sandbox.behaviour import Behaviour
from customer_sync.sandbox.call import Answer, Call, Endpoint
from customer_sync.sandbox.customer_calls import CustomerCalls
from customer_sync.sandbox.envelope import FolkFormError, refused, success
from customer_sync.sandbox.folkform import Access, FolkForm
from customer_sync.sandbox.json_text import dumps
from customer_sync.sandbox.page_calls import PageCalls

_MAX_HEAD_SIZE = 4096
_CUSTOMER_PATHS = get_args(get_type_hints(Behaviour)["customer_path"])
_INSERT, _READ, _UPDATE, _DELETE = (f"Customer.{verb}" for verb in ("Insert", "Read", "Update", "Delete"))


class FolkFormApi:
    """Answers calls out of FolkForm's data."""

    name = "folkform"
    prefix = "/folkform/api/v1"

    def __init__(self, folkform: FolkForm, behaviour: Behaviour) -> None:
        self._folkform = folkform
        self._behaviour = behaviour

    @property
    def latency(self) -> float:
        """Seconds before every answer."""
        return self._behaviour.folkform_latency

    @property
    def clock_offset(self) -> float:
        """Seconds that the clock is ahead."""
        return 0.0

    def endpoints(self) -> list[Endpoint]:
        """Every call that FolkForm knows; the customers' under each path that they may be kept at."""
        pages = PageCalls(self._folkform)
        return [
            *(endpoint for path in _CUSTOMER_PATHS for endpoint in self._customer_endpoints(path)),
            Endpoint("GET", "/facebook/page/find-with-pagination", self._guarded(pages.find_with_pagination)),
            Endpoint("GET", "/facebook/page/find-by-page-id/{page_id}", self._guarded(pages.find_by_page_id)),
            Endpoint("PUT", "/facebook/page/update-token", self._guarded(pages.update_token)),
            Endpoint("GET", "/auth/roles", self._roles),
        ]

    def _customer_endpoints(self, path: str) -> list[Endpoint]:
        customers = CustomerCalls(self._folkform, self._behaviour)

        def endpoint(method: str, name: str, answer: Callable[[Call], Answer], *permissions: str) -> Endpoint:
            return Endpoint(method, path + name, self._mounted(path, self._guarded(answer, *permissions)))

        return [
            endpoint("POST", "/upsert-one", customers.upsert_one, _INSERT, _UPDATE),
            endpoint("POST", "/insert-one", customers.insert_one, _INSERT),
            endpoint("GET", "/find", customers.find, _READ),
            endpoint("GET", "/find-one", customers.find_one, _READ),
            endpoint("GET", "/find-by-id/{id}", customers.find_by_id, _READ),
            endpoint("GET", "/find-with-pagination", customers.find_with_pagination, _READ),
            endpoint("GET", "/count", customers.count, _READ),
            endpoint("PUT", "/update-by-id/{id}", customers.update_by_id, _UPDATE),
            endpoint("DELETE", "/delete-by-id/{id}", customers.delete_by_id, _DELETE),
        ]

    def answer(self, endpoint: Endpoint, call: Call) -> Answer:
        """Answers a call, refusals included."""
        try:
            if call.head_size > _MAX_HEAD_SIZE:
                raise FolkFormError(431, "HTTP_431", "Request Header Fields Too Large")
            return endpoint.answer(call)
        except FolkFormError as error:
            return refused(error)

    def _mounted(self, path: str, answer: Callable[[Call], Answer]) -> Callable[[Call], Answer]:
        """The function *answer* while customers are kept at *path*."""

        def checked(call: Call) -> Answer:
            if self._behaviour.customer_path != path:
                raise FolkFormError(404, "HTTP_404", "Not Found")
            return answer(call)

        return checked

    def _guarded(self, answer: Callable[[Call], Answer], *permissions: str) -> Callable[[Call], Answer]:
        """The function *answer* for tokens with all *permissions*, and the right role where one is asked."""

        def checked(call: Call) -> Answer:
            access = self._access(call)
            if self._behaviour.role_required:
                _check_role(access, call)
            for permission in permissions:
                if permission not in access.permissions:
                    raise FolkFormError(403, "AUTH_002", f"Permission {permission} is missing")
            return answer(call)

        return checked

    def _access(self, call: Call) -> Access:
        scheme, _, token = call.headers.get("authorization", "").partition(" ")
        access = self._folkform.tokens.get(token)
        if scheme != "Bearer" or access is None:
            raise FolkFormError(401, "AUTH_001", "Token is missing or invalid")
        return access

    def _roles(self, call: Call) -> Answer:
        role_id = self._access(call).role_id
        return success(dumps([{"roleId": role_id, "roleName": "Sandbox"}] if role_id else []))


def _check_role(access: Access, call: Call) -> None:
    role_id = call.headers.get("x-active-role-id")
    if not role_id:
        raise FolkFormError(401, "AUTH_003", "X-Active-Role-ID is missing")
    if role_id != access.role_id:
        raise FolkFormError(403, "AUTH_003", "X-Active-Role-ID is not a role of this user")
