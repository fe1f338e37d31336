"""What was asked of the sandbox: a count of each call, and the latest requests."""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from customer_sync.sandbox.json_text import loads

_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One request and the status it was answered with, at *time* (Unix seconds, UTC)."""

    time: float
    service: str
    method: str
    template: str
    """The path without the service's base address, `{page_id}` and the like left in."""
    path: Mapping[str, str]
    query: Mapping[str, str]
    status: int

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
        if "page_id" in self.path:
            return self.path["page_id"]
        wanted = self.filter
        page_id = wanted.get("pageId") if isinstance(wanted, dict) else None
        return page_id if isinstance(page_id, str) else None


class RequestLog:
    """Every request since the start or the last `clear`, counted; the latest 10,000 kept."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str, str]] = Counter()
        """By service, method and template."""
        self._recent: deque[LoggedRequest] = deque(maxlen=_KEPT)

    def add(self, request: LoggedRequest) -> None:
        """Logs one request."""
        self.counts[request.service, request.method, request.template] += 1
        self._recent.append(request)

    @property
    def recent(self) -> list[LoggedRequest]:
        """The latest requests, oldest first."""
        return list(self._recent)

    def count(self, service: str | None = None, ending: str = "") -> int:
        """How many requests there were, of one service and to templates with this ending if given."""
        return sum(
            count
            for (name, _, template), count in list(self.counts.items())
            if service in (None, name) and template.endswith(ending)
        )

    def clear(self) -> None:
        """Forgets everything."""
        self.counts.clear()
        self._recent.clear()


def _json(text: str | None) -> Any:
    try:
        return None if text is None else loads(text)
    except ValueError:
        return None
