"""Which failures `-q` has printed lately, so that an outage is one mail and not one for every run."""

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from customer_sync.core.regular_file import read_own, write_own

REPEAT_AFTER = 3600
"""Seconds after which the same failure is printed again."""
MOST_KEPT = 10_000
"""So many failures are remembered."""
_MAX_BYTES = 1_000_000


class ReportedFailures:
    """The fingerprints of failures that were printed, with their times, in one file; without it, all are new."""

    def __init__(self, path: Path, now: float) -> None:
        """Reads what earlier runs have printed; *now* is Unix seconds."""
        self._path = path
        self._now = now
        self._known = self._recent()

    def has(self, fingerprint: str) -> bool:
        """Whether an earlier run has printed this failure within the last hour."""
        return fingerprint in self._known

    def add(self, fingerprints: Iterable[str]) -> bool:
        """This run prints these failures. Returns whether later runs will know."""
        recent = {**self._recent(), **dict.fromkeys(fingerprints, int(self._now))}
        try:
            write_own(self._path, json.dumps(dict(list(recent.items())[-MOST_KEPT:])))
        except OSError:
            return False
        return True

    def forget(self) -> None:
        """Nothing fails: whatever fails next is new."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _recent(self) -> dict[str, int]:
        try:
            stored = json.loads(read_own(self._path, _MAX_BYTES))
            # A time in the future comes from a clock that was wrong.
            return {str(one): int(at) for one, at in stored.items() if 0 <= self._now - int(at) < REPEAT_AFTER}
        except (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
            return {}
