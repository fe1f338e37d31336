"""The requests to the sandbox: counts by call, and the latest ones."""

import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from customer_sync.sandbox.json_text import loads

_KEPT = 10_000


@dataclass(slots=True)
class LoggedRequest:
    """One request at *time* (Unix seconds, UTC), and its result."""

    time: float
    service: str
    method: str
    template: str
    """The path without the service's base address, with `{page_id}` and other placeholders."""
    path: Mapping[str, str]
    query: Mapping[str, str]
    status: int = 0
    """The status of the answer; 0 until there is one."""
    fault: str | None = None
    """The kind of its fault, set after the effect if there is one."""

    @property
    def filter(self) -> Any:
        """FolkForm's filter; None if there is none."""
        return _json(self.query.get("filter"))

    @property
    def options(self) -> Any:
        """FolkForm's options; None if there are none."""
        return _json(self.query.get("options"))

    @property
    def page_id(self) -> str | None:
        """The page in the path or the filter, if any."""
        return self.path["page_id"] if "page_id" in self.path else self._filtered("pageId")

    @property
    def psid(self) -> str | None:
        """The psid in the filter, if any."""
        return self._filtered("psid")

    def _filtered(self, name: str) -> str | None:
        wanted = self.filter
        value = wanted.get(name) if isinstance(wanted, dict) else None
        return value if isinstance(value, str) else None


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Selects the requests with all given values; without any, all requests."""

    service: Literal["pancake", "folkform", "firebase"] | None = None
    method: str | None = None
    endpoint: str = ""
    """The end of the path template: `/upsert-one`, `/page_customers`."""
    page_id: str | None = None
    psid: str | None = None

    def matches(self, request: LoggedRequest) -> bool:
        """Whether the request is selected."""
        return (
            self.service in (None, request.service)
            and self.method in (None, request.method)
            and request.template.endswith(self.endpoint)
            and (self.page_id is None or self.page_id == request.page_id)
            and (self.psid is None or self.psid == request.psid)
        )


class RequestLog:
    """Counts every request since the start or the last `clear`, and stores the latest 10,000."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str, str]] = Counter()
        """By service, method and template."""
        self._recent: deque[LoggedRequest] = deque(maxlen=_KEPT)
        self._news = threading.Condition()

    def add(self, request: LoggedRequest) -> None:
        """Logs one request, before it is processed."""
        with self._news:
            self.counts[request.service, request.method, request.template] += 1
            self._recent.append(request)
            self._news.notify_all()

    def note(self, request: LoggedRequest, status: int, fault: str | None = None) -> None:
        """Adds the result to a logged request."""
        with self._news:
            request.status = status
            request.fault = fault or request.fault
            self._news.notify_all()

    @property
    def recent(self) -> list[LoggedRequest]:
        """The latest requests, oldest first."""
        with self._news:
            return list(self._recent)

    def wait_for(
        self, matches: Callable[[LoggedRequest], bool], count: int = 1, timeout: float = 10.0
    ) -> list[LoggedRequest]:
        """Waits until *count* of the latest requests match, and returns them. Raises TimeoutError.

        `wait_for(Selection(endpoint="/upsert-one").matches, 3)` returns when the third upsert arrives,
        `wait_for(lambda request: request.fault == "hang")` once a request hangs.
        """
        found: list[LoggedRequest] = []

        def enough() -> bool:
            found[:] = filter(matches, self._recent)
            return len(found) >= count

        with self._news:
            if not self._news.wait_for(enough, timeout):
                raise TimeoutError(f"{len(found)} of {count} requests came within {timeout} s")
        return found

    def count(self, service: str | None = None, ending: str = "") -> int:
        """The number of requests, optionally of one service and to templates with this ending."""
        return sum(
            count
            for (name, _, template), count in list(self.counts.items())
            if service in (None, name) and template.endswith(ending)
        )

    def clear(self) -> None:
        """Removes everything."""
        with self._news:
            self.counts.clear()
            self._recent.clear()


def _json(text: str | None) -> Any:
    try:
        return None if text is None else loads(text)
    except ValueError:
        return None
