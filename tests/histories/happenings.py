"""What can happen at any moment, also in the middle of a pass: to the customers, to a service, to the process."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from tests.histories.folkform import Trouble
from tests.histories.pancake import Psid

if TYPE_CHECKING:
    from tests.histories.process import Process
    from tests.histories.world import World


class Happening(Protocol):
    """Something that happens in the middle of a process."""

    def happen(self, world: "World", process: "Process", /) -> None: ...


class WorldHappening(Happening, Protocol):
    """Something that happens whatever runs."""

    def happen(self, world: "World", process: "Process | None" = None, /) -> None: ...


# In Pancake


@dataclass(frozen=True)
class Change:
    """Some customers change at one instant, seen *late* seconds later."""

    first: int
    count: int = 1
    late: float = 0

    def happen(self, world: "World", process: "Process | None" = None, /) -> None:  # noqa: ARG002
        world.change(self.first, self.count, self.late)


@dataclass(frozen=True)
class Appear:
    """New customers appear on a page at one instant, seen *late* seconds later."""

    page: int
    count: int = 1
    late: float = 0
    psid: Psid = Psid.ALWAYS

    def happen(self, world: "World", process: "Process | None" = None, /) -> None:  # noqa: ARG002
        world.appear(self.page, self.count, self.late, psid=self.psid)


@dataclass(frozen=True)
class Deletion:
    """A customer is deleted. Not during a walk by page number: that may miss a customer."""

    index: int

    def happen(self, world: "World", process: "Process | None" = None, /) -> None:  # noqa: ARG002
        world.delete(self.index)


# In FolkForm


@dataclass(frozen=True)
class Refusal:
    """FolkForm rejects a customer from now on."""

    index: int
    trouble: Trouble

    def happen(self, world: "World", process: "Process | None" = None, /) -> None:  # noqa: ARG002
        world.refuse(self.index, self.trouble)


@dataclass(frozen=True)
class Recovery:
    """FolkForm accepts every customer again."""

    def happen(self, world: "World", process: "Process | None" = None, /) -> None:  # noqa: ARG002
        world.recover()


@dataclass(frozen=True)
class OtherWrite:
    """Another writer stores a customer, perhaps an older version, perhaps without a time."""

    index: int
    previous: bool = False
    knows_time: bool = True

    def happen(self, world: "World", process: "Process | None" = None, /) -> None:  # noqa: ARG002
        world.write_otherwise(self.index, previous=self.previous, knows_time=self.knows_time)


# Time


@dataclass(frozen=True)
class TimePasses:
    """A time in which nothing else happens."""

    seconds: float

    def happen(self, world: "World", process: "Process | None" = None, /) -> None:  # noqa: ARG002
        world.time.move(self.seconds)


@dataclass(frozen=True)
class WrongClock:
    """Our clock is ahead by so many seconds, except for the runs that have begun."""

    ahead: float

    def happen(self, world: "World", process: "Process | None" = None, /) -> None:  # noqa: ARG002
        world.set_clock(self.ahead)


# In a service


@dataclass(frozen=True)
class Fault:
    """A service does not answer that many calls of any run; they *arrive* all the same or do not."""

    service: str
    calls: int = 1
    arrive: bool = False

    def happen(self, world: "World", process: "Process | None" = None, /) -> None:  # noqa: ARG002
        world.faults[self.service].extend([self.arrive] * self.calls)


# To a process


@dataclass(frozen=True)
class EmptyAnswer:
    """Pancake's next answer lists no customer."""

    def happen(self, world: "World", process: "Process", /) -> None:  # noqa: ARG002
        process.empty_answers += 1


@dataclass(frozen=True)
class Stop:
    """SIGTERM."""

    def happen(self, world: "World", process: "Process", /) -> None:  # noqa: ARG002
        process.stop()


@dataclass(frozen=True)
class Kill:
    """SIGKILL; *survivors* has for each upsert in flight whether it still arrives."""

    survivors: tuple[bool, ...] = ()

    def happen(self, world: "World", process: "Process", /) -> None:  # noqa: ARG002
        process.kill(self.survivors)
