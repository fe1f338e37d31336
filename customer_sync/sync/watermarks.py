"""The watermarks: where a pass starts, read from FolkForm.

A pass has several upserts in flight. Killed, it leaves customers stored above (a backfill: below) a missing one. The
SPAN rule (span_rule) keeps them fewer than SPAN, so the SPAN-th newest customer is never above a hole, and the SPAN-th
oldest never below one.
"""

from collections.abc import Sequence

from customer_sync.services.documents import StoredVersion

# Below one batch of Pancake's list, so that an idle page's first answer already reaches the stop rule.
SPAN = 50
FIRST_RUN = 30 * 86400


def newest_watermark(newest: Sequence[StoredVersion], until: int, span: int = SPAN) -> int:
    """Where an incremental starts (Unix seconds): all customers from there on may be missing.

    *newest* are the newest *span* customers stored up to *until*. Fewer: nothing is known to be covered, so at least 30
    days.
    """
    times = [stored.time for stored in newest]
    return min(times) if len(times) >= span else min([until - FIRST_RUN, *times])


def oldest_watermark(oldest: Sequence[StoredVersion], span: int = SPAN) -> int | None:
    """Where a backfill starts (Unix seconds); None while too few customers are stored to be one."""
    return max(stored.time for stored in oldest) if len(oldest) >= span else None


def clamp_start(watermark: int, wanted: int, oldest: int | None) -> int:
    """The newest *watermark*, or earlier where *wanted*, but not below the *oldest* one: killed there, an incremental,
    which writes the oldest first, would leave a gap between what it wrote and what is covered.
    """
    return wanted if oldest is None else min(watermark, max(wanted, oldest))
