"""The times of the wire contract: texts in Pancake, integers everywhere else."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

_LAYOUT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)?", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)


def microseconds(text: Any) -> int | None:
    """Unix microseconds, UTC, of a contract time (finer digits are dropped); None if it is unreadable."""
    if not isinstance(text, str) or not _LAYOUT.fullmatch(text):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment - (_EPOCH if moment.tzinfo else _NAIVE_EPOCH)) // _MICROSECOND


def milliseconds(text: Any) -> int:
    """Unix milliseconds, UTC, of a contract time; 0, which means "no time", if it is unreadable."""
    return (microseconds(text) or 0) // 1000


def pancake_text(moment: int, *, fraction: bool = True) -> str:
    """Unix microseconds as Pancake writes them: UTC without a zone, optionally without a fraction."""
    text = (_NAIVE_EPOCH + timedelta(microseconds=moment)).isoformat(timespec="microseconds")
    return text if fraction else text[:19]
