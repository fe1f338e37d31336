"""How much is said, and in which form."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """How much is said, and in which form."""

    quiet: bool = False
    verbose: bool = False
    json: bool = False
    debug: bool = False
    log_json: bool = False
    """Whether the story is told as JSON, an object a line."""
