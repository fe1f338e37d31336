"""Where a pass starts and ends at a page: decided from what FolkForm stores, before anything is read or written."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from customer_sync.core.clock import local_time
from customer_sync.core.customer import Window
from customer_sync.services.documents import StoredVersion
from customer_sync.sync.watermarks import clamp_start, newest_watermark, oldest_watermark

# How far below the watermark a backfill's first incremental starts, seconds: it heals what failed or was overwritten.
LOOK_BACK = 7 * 86_400


@dataclass(frozen=True, slots=True)
class PassOptions:
    """What the command line asks of a pass. *since* and *until* are Unix seconds, UTC."""

    full: bool = False
    rewrite: bool = False
    since: int | None = None
    until: int | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """One walk and its writes."""

    window: Window
    watermark: int | None
    """Which second of FolkForm it starts from; None where too few customers are stored."""
    bound_from: int | None
    """From which second on the SPAN rule binds; None: everywhere."""
    warnings: Sequence[str] = ()


def plan_incremental(
    newest: Sequence[StoredVersion],
    oldest: Callable[[], int | None],
    until: int,
    options: PassOptions,
    *,
    span: int,
    overlap: int = 0,
    covered_from: int | None = None,
) -> Plan:
    """From the newest watermark up to *until*.

    *newest* are the newest *span* customers that FolkForm stores up to *until*, *oldest* asks for the oldest
    watermark, where that matters.
    *covered_from* is where the stored span begins when all of it is later than *until*: our clock is behind.
    *overlap* seconds and the options may lower both ends; neither may open a gap.
    """
    watermark = newest_watermark(newest, until, span) if covered_from is None else covered_from
    wanted = watermark - overlap
    if options.since is not None:
        wanted = min(wanted, options.since)
    since = watermark if wanted >= watermark else clamp_start(watermark, wanted, oldest())
    until = until if options.until is None else min(until, options.until)
    # A customer below the watermark does not move it; too few customers are no watermark yet.
    bound_from = watermark if len(newest) >= span else None
    window, warnings = Window(max(since, 0), until), []
    if options.until is not None and options.until < window.since:
        warnings = [f"--until {local_time(options.until)} is before the start of this pass: nothing was read"]
    return Plan(window, watermark, bound_from, warnings)


def plan_closing(newest: Sequence[StoredVersion], above: int, until: int, *, span: int) -> Plan:
    """A backfill's last incremental: everything after the second *above*, whatever other passes have written there."""
    watermark = newest_watermark(newest, until, span)
    return Plan(Window(above + 1, until), watermark, watermark if len(newest) >= span else None)


def plan_backfill(oldest: Sequence[StoredVersion], below: int, options: PassOptions, *, span: int) -> Plan:
    """The history before the second *below*, from the oldest watermark down.

    *oldest* are the oldest *span* customers that FolkForm stores. A full backfill starts at the top; `--until` raises
    the start, but never above the top, where nothing is missing, and never below the watermark: that would leave a gap.
    """
    watermark, top = oldest_watermark(oldest, span), below - 1
    if watermark is None or (options.full and options.until is None):
        until = top
    else:
        until = min(top, max(watermark, options.until or 0))
    warnings: Sequence[str] = ()
    if options.until is not None and options.until < until:
        warnings = [f"--until {local_time(options.until)} would leave a gap: this pass starts above it"]
    return Plan(Window(options.since or 0, until), watermark, watermark, warnings)
