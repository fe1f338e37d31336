"""FolkForm's envelope: the form of its answers, and the parsing of common parameters."""

from collections.abc import Mapping
from typing import Any

from customer_sync.sandbox.call import Answer, Call
from customer_sync.sandbox.json_text import dumps, loads
from customer_sync.sandbox.query import MAX_LIMIT

INVALID, NOT_FOUND, SYSTEM = "VAL_002", "DB_002", "SYS_001"


class FolkFormError(Exception):
    """An error of FolkForm's own code: an HTTP status with a code and details in the envelope."""

    def __init__(self, status: int, code: str, message: str, details: Any = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.details = details


class ServerError(FolkFormError):
    """An error of the server below that code: its envelope has no details."""


def refused(error: FolkFormError) -> Answer:
    """The envelope of an error."""
    envelope = {"code": error.code, "message": str(error), "status": "error"}
    if not isinstance(error, ServerError):
        envelope["details"] = error.details
    return Answer(dumps(envelope), error.status)


def success(data: str) -> Answer:
    """The envelope around *data*, a JSON text."""
    return Answer(f'{{"code":200,"message":"Thao tác thành công","status":"success","data":{data}}}')


def paginated(items: list[str], page: int, limit: int, total: int) -> Answer:
    """One page of a list; *items* are JSON texts, null if there are none."""
    numbers = f'"page":{page},"limit":{limit},"itemCount":{len(items)}'
    return success(f'{{{numbers},"items":{list_or_null(items)},"total":{total},"totalPage":{-(-total // limit)}}}')


def list_or_null(items: list[str]) -> str:
    """JSON texts as a list, null for an empty one, as Go marshals a nil slice."""
    return f"[{','.join(items)}]" if items else "null"


def page_and_limit(call: Call) -> tuple[int, int]:
    """The page and limit of a paginated call; `page` counts from 1."""
    page, limit = call.query.get("page", "1"), call.query.get("limit", "10")
    if not (_is_positive(page) and _is_positive(limit) and int(limit) <= MAX_LIMIT):
        raise FolkFormError(400, INVALID, f"page and limit must be positive, limit at most {MAX_LIMIT}")
    return int(page), int(limit)


def json_object(call: Call) -> Mapping[str, Any]:
    """The body. Raises FolkFormError unless it is a JSON object."""
    try:
        body = loads(call.body)
    except ValueError as error:
        raise FolkFormError(400, INVALID, f"body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise FolkFormError(400, INVALID, "body must be an object")
    return body


def not_found() -> FolkFormError:
    """The error for an unknown id."""
    return FolkFormError(404, NOT_FOUND, "Không tìm thấy dữ liệu")


def _is_positive(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < len(text) < 10 and int(text) > 0
