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


class FinalReport:
    """Reports a run once: when it ends, or when it hangs after a signal."""

    def __init__(self, report: Callable[[bool], int], ended: Callable[[int], None]) -> None:
        """*report* gets whether the run ended in time, and returns its exit code; *ended* is called before an exit."""
        self._report = report
        self._ended = ended
        self._lock = threading.Lock()
        self._code: int | None = None

    def __call__(self, in_time: bool = True) -> int:
        """Returns the exit code."""
        with self._lock:
            if self._code is None:
                self._code = self._report(in_time)
            return self._code

    def give_up(self) -> NoReturn:
        """Reports, and ends the process: calls and lookups that hang must not hold it."""
        code = int(ExitCode.PARTIAL)
        try:
            code = self(in_time=False)
            self._ended(code)
        finally:  # Nothing may keep the process, not even a report that fails.
            os._exit(code)


def stop_on_signals(clock: Clock, give_up: Callable[[], NoReturn]) -> None:
    """The first signal stops *clock*, the second one ends the process.

    When the process still runs GRACE_SECONDS after the first one, *give_up* is called.
    """
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
