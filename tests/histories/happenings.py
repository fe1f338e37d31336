"""What can happen at any moment, also in the middle of a pass: to the customers, to a service, to the process."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from tests.histories.process import Process
    from tests.histories.world import World


class Happening(Protocol):
    """Something that happens in the middle of a process."""

    def happen(self, world: "World", process: "Process", /) -> None: ...


class WorldHappening(Happening, Protocol):
    """Something that happens whatever runs."""

    def happen(self, world: "World", process: "Process | None" = None, /) -> None: ...


@dataclass(frozen=True)
class TimePasses:
    """A while in which nothing else happens."""

    seconds: float

    def happen(self, world: "World", process: "Process | None" = None, /) -> None:  # noqa: ARG002
        world.time.move(self.seconds)


@dataclass(frozen=True)
class Changes:
    """Some customers change at once, seen *late* seconds later."""

    first: int
    count: int = 1
    late: float = 0

    def happen(self, world: "World", process: "Process | None" = None, /) -> None:  # noqa: ARG002
        world.change(self.first, self.count, self.late)


@dataclass(frozen=True)
class Appears:
    """Somebody new writes to a page, seen *late* seconds later."""

    page: int
    count: int = 1
    late: float = 0

    def happen(self, world: "World", process: "Process | None" = None, /) -> None:  # noqa: ARG002
        world.appear(self.page, self.count, self.late)


@dataclass(frozen=True)
class Fault:
    """A service does not answer so many calls, which *arrive* all the same or do not."""

    service: str
    calls: int = 1
    arrive: bool = False

    def happen(self, world: "World", process: "Process", /) -> None:  # noqa: ARG002
        process.faults[self.service].extend([self.arrive] * self.calls)


@dataclass(frozen=True)
class Stop:
    """SIGTERM."""

    def happen(self, world: "World", process: "Process", /) -> None:  # noqa: ARG002
        process.stop()


@dataclass(frozen=True)
class Kill:
    """SIGKILL; *survivors* says of each upsert in flight whether it still arrives."""

    survivors: tuple[bool, ...] = ()

    def happen(self, world: "World", process: "Process", /) -> None:  # noqa: ARG002
        process.kill(self.survivors)
