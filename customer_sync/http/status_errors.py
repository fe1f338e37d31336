"""What an HTTP status means: 401 and 403 refuse the token, 408, 409, 425, 429 and 5xx may pass, the rest is final.

What a wrong address answers names the likely cause.
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus

from customer_sync.core.command_line import quoted
from customer_sync.core.errors import ExitCode, Refused, ServerError, ServiceError, TokenRefused, Unreachable
from customer_sync.http.service import Answer, Service

_RETRIED = frozenset({408, 409, 425, 429})
_MAX_ADDRESS = 300


def check_status(service: Service, answer: Answer, path: str, redact: Callable[[str], str]) -> None:
    """Raises ServiceError unless the status is 2xx, for a call of *path*. The error is without the service's own
    message.
    """
    status = answer.status
    if 200 <= status < 300:
        return
    problem = f"answered {status}"
    code = answer.body["code"] if isinstance(answer.body.get("code"), str) else ""
    if status in _RETRIED or status >= 500:
        kind = ServerError if status == HTTPStatus.INTERNAL_SERVER_ERROR and code else Unreachable
        raise kind(service.name, problem, status=status, code=code, too_many=status == HTTPStatus.TOO_MANY_REQUESTS)
    if not 300 <= status < 400:
        problem += with_web_page(answer.headers)
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        token_step = (status == HTTPStatus.FORBIDDEN and service.role_step) or service.token_step
        raise TokenRefused(service.name, problem, token_step, status=status, code=code)
    step = ""
    if 300 <= status < 400:
        location = redact(answer.headers.get("Location", "nowhere"))[:_MAX_ADDRESS]
        problem += f" (moved to {location})"
        step = _moved_step(service, location, path)
    elif status == HTTPStatus.NOT_FOUND:
        step = service.address_step
    raise Refused(service.name, problem, step, status=status, code=code)


def with_web_page(headers: Mapping[str, str]) -> str:
    """The words to add for an answer that is HTML; empty for any other."""
    is_html = "html" in headers.get("Content-Type", "").lower()
    return " with a web page, not JSON (a web site, a login page or a proxy?)" if is_html else ""


def _moved_step(service: Service, location: str, path: str) -> str:
    address = location.partition("?")[0]
    if "://" in address and address.endswith(path):
        return f"Set {service.address_setting}={quoted(address.removesuffix(path))} instead."
    return f"Check {service.address_setting}: a web site or a login page seems to be there."


def doubt_address(service: Service, error: ServiceError) -> None:
    """Adds to the *error* of a service that has not answered in JSON even once the step that names its address. After
    a good status that is lasting trouble: another server is there.
    """
    if error.status and service.address_setting not in error.next_step:
        step = service.address_step
        if error.status == HTTPStatus.BAD_REQUEST and service.base_url.startswith("http:"):
            address = quoted(f"https:{service.base_url.removeprefix('http:')}")
            step = f"If the server expects HTTPS, set {service.address_setting}={address} instead. {step}"
        step = f"If this persists, {step[0].lower()}{step[1:]}" if error.status >= 500 else step
        error.next_step = f"{error.next_step} {step}".strip()
    if 200 <= error.status < 300:
        error.exit_code = ExitCode.REFUSED
