"""Signals: SIGTERM of a scheduler and SIGINT of an operator stop the work gracefully."""

import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from typing import NoReturn

from customer_sync.core.clock import Clock
from customer_sync.core.errors import ExitCode, StopRequested

# Kubernetes grants 30 seconds; calls in flight get these.
GRACE_SECONDS = 10.0
# The summary may meet a stream that blocks.
_SUMMARY_SECONDS = 2.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def end_at_once_on_signals() -> None:
    """Until the work can stop gracefully. Named handlers, because the first process of a container has no default."""
    for number in _SIGNALS:
        signal.signal(number, lambda received, _: os._exit(128 + received))


def run_until_stopped(
    clock: Clock, work: Callable[[], None], report: Callable[[bool], int], ended: Callable[[int], None]
) -> int:
    """Runs *work*, then *report*: with True, or with False when the work hangs after a signal. Returns its exit code.

    The first signal stops *clock*, the second one ends the process. When the work still runs GRACE_SECONDS after the
    first one, the process reports, calls *ended* with the exit code, and exits.
    """
    reporting = threading.Lock()
    codes: list[int] = []

    def report_once(in_time: bool) -> int:
        with reporting:
            if not codes:
                codes.append(report(in_time))
            return codes[0]

    def give_up() -> NoReturn:
        code = report_once(False)
        ended(code)
        os._exit(code)

    _stop_on_signals(clock, give_up)
    work()
    return report_once(True)


def _stop_on_signals(clock: Clock, give_up: Callable[[], NoReturn]) -> None:
    # Blocked in every thread, signals reach sigwait even while the main thread hangs in a DNS lookup.
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    threading.Thread(target=_await_signals, args=(clock, give_up), name="signals", daemon=True).start()


def _await_signals(clock: Clock, give_up: Callable[[], NoReturn]) -> None:
    code = 128 + signal.sigwait(_SIGNALS)
    clock.stop(StopRequested(f"Stopped by {signal.Signals(code - 128).name}", ExitCode(code)))
    for seconds, end in ((GRACE_SECONDS, give_up), (GRACE_SECONDS + _SUMMARY_SECONDS, partial(os._exit, code))):
        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()
    os._exit(128 + signal.sigwait(_SIGNALS))
