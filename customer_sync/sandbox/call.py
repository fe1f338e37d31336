"""One call to a service: the request and the answer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from customer_sync.sandbox.json_text import dumps


@dataclass(frozen=True, slots=True)
class Call:
    """A complete request."""

    path: Mapping[str, str]
    """The variable parts of the path, by name."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Keys are in lower case."""
    body: bytes
    head_size: int
    """Bytes of the request line and the headers together."""
    client: str
    """The caller's network address."""
    target: str
    """Path and query, unchanged."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, sent after *delay* seconds."""

    text: str
    status: int = 200
    delay: float = 0.0
    headers: tuple[tuple[str, str], ...] = ()
    """Headers in addition to those of every answer."""
    media_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A method (None: any) and path template of a service, and the function that answers it."""

    method: str | None
    template: str
    answer: Callable[[Call], Answer]


def json_answer(value: Any, status: int = 200) -> Answer:
    """A value as an answer."""
    return Answer(dumps(value), status)
