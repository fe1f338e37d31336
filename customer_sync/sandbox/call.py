"""One call as the services see it: what was asked, what is answered."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from customer_sync.sandbox.json_text import dumps


@dataclass(frozen=True, slots=True)
class Call:
    """A request, read completely."""

    path: Mapping[str, str]
    """The parts of the path that vary, by name."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes
    head_size: int
    """Bytes of the request line and the headers together."""
    client: str
    """The network address that it came from."""
    target: str
    """Path and query as they were asked for."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, sent *delay* seconds after it was worked out."""

    text: str
    status: int = 200
    delay: float = 0.0
    headers: tuple[tuple[str, str], ...] = ()
    """Headers beside those that every answer has."""
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
