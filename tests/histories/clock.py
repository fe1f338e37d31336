"""Simulated time: sleeping costs nothing."""

from datetime import UTC, datetime

from customer_sync.core.clock import Clock

SECOND = 1_000_000
START = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * SECOND


class WorldTime:
    """The true time, which is Pancake's, too. It moves only by `move`."""

    def __init__(self) -> None:
        self.now = START
        """Unix microseconds, UTC."""

    @property
    def second(self) -> int:
        """The running Unix second."""
        return self.now // SECOND

    def move(self, seconds: float) -> None:
        self.now += round(seconds * SECOND)


class SimulatedClock(Clock):
    """One process's clock, *ahead* of the true time by so many seconds (negative: behind it)."""

    def __init__(self, time: WorldTime, ahead: float) -> None:
        super().__init__()
        self._time = time
        self._ahead = ahead

    def now(self) -> float:
        return self._time.now / SECOND + self._ahead

    def monotonic(self) -> float:
        return self._time.now / SECOND

    def sleep(self, seconds: float) -> None:
        self.check()
        self._time.move(seconds)
        self.check()


def time_text(micros: int) -> str:
    """A time as the story shows it."""
    return f"{datetime.fromtimestamp(micros / SECOND, UTC):%b %d %H:%M:%S.%f}"[:-4]
