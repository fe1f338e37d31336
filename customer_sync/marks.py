"""The marks: where a pass starts, read from FolkForm, the only state there is.

A pass has several upserts in flight. Killed, it leaves customers stored above (a backfill: below) one who is not.
The SPAN rule (write.py) keeps those fewer than SPAN, so the SPAN-th newest customer is never above a hole, and the
SPAN-th oldest never below one.
"""

from collections.abc import Callable, Sequence

from customer_sync.folkform import StoredVersion

# Below one batch of Pancake's list, so that an idle page's first answer already reaches the stop rule.
SPAN = 50
FIRST_RUN = 30 * 86400


def newest_mark(
    newest: Sequence[StoredVersion], until: int, span: int = SPAN, *, oldest: Callable[[], int | None]
) -> int:
    """Where an incremental starts (Unix seconds): all customers from there on may be missing.

    *newest* are the newest *span* customers stored up to *until*. Fewer: at least 30 days, but not below the *oldest*
    mark. There is one when the others are later than *until*, brought by a machine whose clock is ahead of ours: what
    that has covered would get a gap below it.
    """
    times = [stored.time for stored in newest]
    if len(times) >= span:
        return min(times)
    lowest, covered_from = min([until - FIRST_RUN, *times]), oldest()
    return lowest if covered_from is None else max(lowest, covered_from)


def oldest_mark(oldest: Sequence[StoredVersion], span: int = SPAN) -> int | None:
    """Where a backfill starts (Unix seconds); None while too few customers are stored to tell."""
    return max(stored.time for stored in oldest) if len(oldest) >= span else None


def lowered(mark: int, wished: int, oldest: int | None) -> int:
    """The newest *mark*, or earlier where that is *wished*, but not below the *oldest* one: killed there, an
    incremental, which writes the oldest first, would leave a gap between what it wrote and what is covered.
    """
    return wished if oldest is None else min(mark, max(wished, oldest))
