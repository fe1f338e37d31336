"""Which failures `-q` has printed lately, so that an outage is one mail and not one for every run."""

import json
from contextlib import suppress
from pathlib import Path

from customer_sync.core.regular_file import read_own, write_own

REPEAT_AFTER = 3600
"""Seconds after which the same failure is printed again."""
_MOST = 100
_MAX_BYTES = 100_000


class ReportedFailures:
    """The fingerprints of failures that were printed, with their times, in one file; without it, all are new."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def has(self, fingerprint: str, now: float) -> bool:
        """Whether this failure was printed within the last hour before *now*, Unix seconds."""
        return fingerprint in self._recent(now)

    def add(self, fingerprint: str, now: float) -> bool:
        """This failure is printed at *now*. Returns whether later runs will know."""
        recent = {**self._recent(now), fingerprint: int(now)}
        try:
            write_own(self._path, json.dumps(dict(list(recent.items())[-_MOST:])))
        except OSError:
            return False
        return True

    def forget(self) -> None:
        """Nothing fails: whatever fails next is new."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _recent(self, now: float) -> dict[str, int]:
        try:
            stored = json.loads(read_own(self._path, _MAX_BYTES))
            # A time in the future comes from a clock that was wrong.
            return {str(one): int(at) for one, at in stored.items() if 0 <= now - int(at) < REPEAT_AFTER}
        except (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
            return {}
