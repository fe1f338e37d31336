"""A moment as a person writes it, for --since and --until."""

import re
from datetime import datetime, timedelta

# Eight digits are a date to many people, and twelve or more are milliseconds.
_UNIX_SECONDS = re.compile(r"\d{1,7}|\d{9,11}", flags=re.ASCII)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d(?:[T ].+)?", flags=re.ASCII)


def parse_moment(text: str, *, end_of_day: bool = False) -> int:
    """Unix seconds of a date, a date and time, or Unix seconds; without a zone it is the machine's.

    A bare date is its first second, or with *end_of_day* its last one. Raises ValueError, quoting the value.
    """
    if _UNIX_SECONDS.fullmatch(text):
        return int(text)
    try:
        whole_day = end_of_day and len(text) == len("2019-08-24")
        moment = _parse_iso(text) + timedelta(days=whole_day)
        seconds = int(moment.timestamp()) - whole_day
    except (ValueError, OverflowError, OSError):
        seconds = -1
    if seconds < 0 or not _MOMENT.fullmatch(text):
        raise ValueError(
            f"{text!r:.80} is not a valid time: give 2026-01-31, 2026-01-31T14:00, …+07:00 or Unix seconds"
        )
    return seconds


def has_zone(text: str) -> bool:
    """Whether a moment that *parse_moment* accepts is the same on every machine."""
    return bool(_UNIX_SECONDS.fullmatch(text)) or _parse_iso(text).tzinfo is not None


def _parse_iso(text: str) -> datetime:
    from dateutil.parser import isoparse  # Slow to load, and few runs need it.

    return isoparse(text.replace(" ", "T"))
