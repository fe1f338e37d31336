"""What was asked of the sandbox: a count of each call, and the latest requests."""

import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from customer_sync.sandbox.json_text import loads

_KEPT = 10_000


@dataclass(slots=True)
class LoggedRequest:
    """One request that came at *time* (Unix seconds, UTC), and what became of it."""

    time: float
    service: str
    method: str
    template: str
    """The path without the service's base address, `{page_id}` and the like left in."""
    path: Mapping[str, str]
    query: Mapping[str, str]
    status: int = 0
    """What it was answered with; 0 until its answer was worked out."""
    fault: str | None = None
    """The kind of the fault that it met, set after the effect if there is one."""

    @property
    def filter(self) -> Any:
        """FolkForm's filter, None without one."""
        return _json(self.query.get("filter"))

    @property
    def options(self) -> Any:
        """FolkForm's options, None without any."""
        return _json(self.query.get("options"))

    @property
    def page_id(self) -> str | None:
        """The page that was asked about, as far as the path or the filter names one."""
        return self.path["page_id"] if "page_id" in self.path else self._filtered("pageId")

    @property
    def psid(self) -> str | None:
        """The customer who was asked about, as far as the filter names one."""
        return self._filtered("psid")

    def _filtered(self, name: str) -> str | None:
        wanted = self.filter
        value = wanted.get(name) if isinstance(wanted, dict) else None
        return value if isinstance(value, str) else None


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Requests with everything that is named here, all of them if nothing is."""

    service: Literal["pancake", "folkform", "firebase"] | None = None
    method: str | None = None
    endpoint: str = ""
    """How the template of the path ends: `/upsert-one`, `/page_customers`."""
    page_id: str | None = None
    psid: str | None = None

    def matches(self, request: LoggedRequest) -> bool:
        """Whether the request is one of them."""
        return (
            self.service in (None, request.service)
            and self.method in (None, request.method)
            and request.template.endswith(self.endpoint)
            and (self.page_id is None or self.page_id == request.page_id)
            and (self.psid is None or self.psid == request.psid)
        )


class RequestLog:
    """Every request since the start or the last `clear`, counted; the latest 10,000 kept."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str, str]] = Counter()
        """By service, method and template."""
        self._recent: deque[LoggedRequest] = deque(maxlen=_KEPT)
        self._news = threading.Condition()

    def add(self, request: LoggedRequest) -> None:
        """Logs one request, before anything is done about it."""
        with self._news:
            self.counts[request.service, request.method, request.template] += 1
            self._recent.append(request)
            self._news.notify_all()

    def note(self, request: LoggedRequest, status: int, fault: str | None = None) -> None:
        """Adds to a logged request how it is answered."""
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
        """Waits until *count* of the latest requests match, and returns them; raises TimeoutError.

        `wait_for(Selection(endpoint="/upsert-one").matches, 3)` returns as the third upsert comes in,
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
        """How many requests there were, of one service and to templates with this ending if given."""
        return sum(
            count
            for (name, _, template), count in list(self.counts.items())
            if service in (None, name) and template.endswith(ending)
        )

    def clear(self) -> None:
        """Forgets everything."""
        with self._news:
            self.counts.clear()
            self._recent.clear()


def _json(text: str | None) -> Any:
    try:
        return None if text is None else loads(text)
    except ValueError:
        return None
