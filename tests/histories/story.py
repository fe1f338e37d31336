"""What happened, told in plain words, so that a counter-example can be read."""

from tests.histories.clock import WorldTime, written


class Story:
    """One line for each thing that happened: when, who, what."""

    def __init__(self, time: WorldTime) -> None:
        self._time = time
        self._lines: list[str] = []

    def tell(self, who: str, what: str) -> None:
        """Adds a line about what happens now."""
        self._lines.append(f"{written(self._time.now)}  {who:<8}  {what}")

    def __str__(self) -> str:
        return "\n".join(self._lines)
