"""Faults on the wire: which requests get one, and of what kind."""

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any, Literal, Self, get_type_hints

from customer_sync.sandbox import typed
from customer_sync.sandbox.request_log import LoggedRequest, Selection

FaultKind = Literal[
    "status",
    "error_code",
    "html",
    "redirect",
    "huge",
    "gzip_bomb",
    "gzip_twice",
    "negative_chunk",
    "many_values",
    "broken_utf8",
    "truncated",
    "drip_body",
    "drip_headers",
    "reset",
    "hang",
]
_SUBSTITUTES = ("status", "error_code", "html", "redirect")
_NO_ANSWER = ("reset", "hang")
_STATUSES = {"html": 502, "redirect": 302, "error_code": 200}


@dataclass(frozen=True, kw_only=True)
class Fault(Selection):
    """What happens to requests of the selection.

    Another answer:

    - `status`: *status* (500), the service's error JSON around *message*, and *retry_after* if there is one.
    - `error_code`: HTTP 200 with `{"success": false, "error_code": …, "message": …}`, as from Pancake.
    - `html`: a proxy's page, with *status* (502).
    - `redirect`: *status* (302) to *location*, by default the same address.

    The right answer, damaged:

    - `huge`: *size* spaces before it; still valid JSON.
    - `gzip_bomb`: the same, gzipped.
    - `gzip_twice`: the same, gzipped once more.
    - `negative_chunk`: after it a chunk with the size -1 and *size* spaces.
    - `many_values`: with a list of empty objects of *size* bytes.
    - `broken_utf8`: a text in it has an invalid byte.
    - `truncated`: half of the body, with the Content-Length of all of it.
    - `drip_body`, `drip_headers`: this part byte by byte, one every *interval* seconds.

    No answer:

    - `reset`: the connection is reset. With *times* None the service is down; with *effect* only the answer is lost.
    - `hang`: nothing until the fault is removed, then the right answer. A client that disconnects before that has no
      effect, unless *effect* is set.
    """

    kind: FaultKind = field(kw_only=False)
    times: int | None = 1
    """How many requests get it; None: all."""
    skip: int = 0
    """How many requests of the selection pass before the first one gets it."""
    probability: float = 1.0
    """Of each request to get it; drawn by the sandbox's seed."""
    effect: bool = False
    """Whether the service processes the request first; always true for a damaged answer."""
    status: int | None = None
    message: str = "An error occurred. Please try again later."
    """`{name}` and `{phone}` in it become those of the customer in the request."""
    error_code: int | None = None
    retry_after: str | None = None
    location: str | None = None
    size: int = 65 * 2**20
    interval: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise ValueError("probability must be from 0 to 1")
        if self.status is not None and not 200 <= self.status <= 599:
            raise ValueError("status must be from 200 to 599")
        if min(self.times or 0, self.skip, self.size, self.interval) < 0:
            raise ValueError("times, skip, size and interval cannot be negative")

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """A fault from JSON. Raises ValueError, naming what is invalid."""
        typed.check(settings, _TYPES)
        if "kind" not in settings:
            raise ValueError("a fault has a kind")
        return cls(**settings)

    @property
    def is_substitute(self) -> bool:
        """Whether another answer is sent."""
        return self.kind in _SUBSTITUTES

    @property
    def has_effect(self) -> bool:
        """Whether the service processes the request."""
        return self.effect or not (self.is_substitute or self.kind in _NO_ANSWER)

    @property
    def answered_status(self) -> int:
        """The status of the other answer."""
        return self.status or _STATUSES.get(self.kind, 500)


_TYPES = get_type_hints(Fault)


class ActiveFault:
    """A fault in force until it is removed, at the latest at the end of a `with`."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.in_force = True
        self.left = fault.times
        """How many more requests will get it; None: all."""
        self._skip = fault.skip

    def remove(self) -> None:
        """Ends the fault, also for requests that hang."""
        self.in_force = False

    def meets(self, request: LoggedRequest, rng: random.Random) -> bool:
        """Whether the request gets it; counts it."""
        if not self.in_force or self.left == 0 or not self.fault.matches(request):
            return False
        if self._skip:
            self._skip -= 1
            return False
        if rng.random() >= self.fault.probability:
            return False
        if self.left is not None:
            self.left -= 1
        return True

    def as_dict(self) -> dict[str, Any]:
        """The fault and how many requests are left, ready for JSON."""
        return {"left": self.left, **asdict(self.fault)}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.remove()


class Faults:
    """The faults in force; a request gets the first that selects it."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._rng = random.Random(seed)
        self._faults: list[ActiveFault] = []

    def add(self, fault: Fault) -> ActiveFault:
        """Adds a fault behind those in force."""
        active = ActiveFault(fault)
        self._faults = [*self.active, active]
        return active

    @property
    def active(self) -> list[ActiveFault]:
        """The faults in force."""
        return [active for active in self._faults if active.in_force]

    def clear(self) -> None:
        """Removes every fault and restarts the random numbers."""
        for active in self._faults:
            active.remove()
        self._faults = []
        self._rng.seed(self._seed)

    def met_by(self, request: LoggedRequest) -> ActiveFault | None:
        """The fault for a request, if any."""
        for active in self._faults:
            if active.meets(request, self._rng):
                return active
        return None
