"""What happened, in plain words, so that a counter-example can be read."""

from tests.histories.clock import WorldTime, time_text


class Story:
    """One line for each thing that happened: when, in which service or run, what."""

    def __init__(self, time: WorldTime) -> None:
        self._time = time
        self._lines: list[str] = []

    def log(self, subject: str, what: str) -> None:
        """Adds a line about what happens now."""
        self._lines.append(f"{time_text(self._time.now)}  {subject:<8}  {what}")

    def __str__(self) -> str:
        return "\n".join(self._lines)
