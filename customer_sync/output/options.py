"""The output options of a command: how much is printed, and in which form."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """How much is printed, and in which form."""

    quiet: bool = False
    verbose: bool = False
    json: bool = False
    debug: bool = False
    log_json: bool = False
    """Whether stderr has one JSON object per line."""

    @property
    def plain(self) -> bool:
        """Whether people read the result."""
        return not (self.json or self.log_json)
