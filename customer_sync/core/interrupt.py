"""Work that ends in time when the process is told to: SIGTERM of a scheduler, SIGINT of a person."""

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

from customer_sync.core.clock import Clock
from customer_sync.core.errors import ExitCode, StopRequested

# Kubernetes grants 30 seconds; calls in flight get these.
GRACE = 10.0
# And this is left for the summary, which may meet a stream that nobody empties.
_LAST_WORDS = 2.0
_POLL = 0.1
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def end_at_once_on_signals() -> None:
    """Until the work can end softly. Named handlers, because the first process of a container has no default ones."""
    for number in _SIGNALS:
        signal.signal(number, lambda received, _: os._exit(128 + received))


def run_until_stopped(work: Callable[[], None], clock: Clock) -> bool:
    """Runs *work* and raises what it raises. The first signal asks it to end, the second one ends the process.

    Returns whether it ended: False when it was asked to and did not within the grace period.
    """
    _stop_on_signals(clock)
    threading.Thread(target=_end_in_any_case, args=(clock,), name="watchdog", daemon=True).start()
    failure: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:
            failure.append(error)

    # Signals reach only the main thread, and only while it runs.
    thread = threading.Thread(target=guarded, name="work", daemon=True)
    thread.start()
    asked_at: float | None = None
    while thread.is_alive():
        thread.join(_POLL)
        if asked_at is None and clock.signalled:
            asked_at = clock.monotonic()
        if asked_at is not None and clock.monotonic() - asked_at > GRACE:
            return False
    if failure:
        raise failure[0]
    return True


def _end_in_any_case(clock: Clock) -> None:
    """Ends the process some time after it was asked to, whatever still holds it."""
    code = clock.await_stop().exit_code
    threading.Event().wait(GRACE + _LAST_WORDS)
    os._exit(code)


def _stop_on_signals(clock: Clock) -> None:
    def stop(number: int, _: FrameType | None) -> None:
        if clock.signalled:
            os._exit(128 + number)
        clock.stop(StopRequested(f"Ended by {signal.Signals(number).name}", ExitCode(128 + number)))

    for number in _SIGNALS:
        signal.signal(number, stop)
