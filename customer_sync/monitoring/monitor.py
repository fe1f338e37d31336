"""Tells those who watch how runs go: a ping, a textfile, a gateway, each where it is set. Changes no run."""

import logging
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from customer_sync.config.settings import Settings
from customer_sync.core.clock import Clock
from customer_sync.core.errors import ExitCode
from customer_sync.http.redact import Redactor
from customer_sync.monitoring.ping import Ping, check_of
from customer_sync.results.pass_result import PassResult

log = logging.getLogger(__name__)


class Monitor:
    """A context for the run that *result* is about; left without `ended`, it broke."""

    def __init__(self, settings: Settings | None, result: PassResult[Any], redact: Redactor, clock: Clock) -> None:
        """*settings* name the monitors; None: none.

        Raises SettingsError where metrics are wanted and their library is not installed."""
        ping_url = check_of(settings.ping_url, result) if settings and settings.ping_url else None
        for address in (settings.ping_url, ping_url, settings.pushgateway) if settings else ():
            if address:
                redact.add(address, urlsplit(address).password)
        self._settings = settings
        self._result = result
        self._redact = redact
        self._clock = clock
        self._ping = Ping(ping_url, clock) if ping_url else None
        self._is_told = False
        if settings and (settings.metrics_file or settings.pushgateway):
            from customer_sync.monitoring import metrics  # Its library is slow to load, and an extra.

            self._metrics = metrics

    def __enter__(self) -> Self:
        if self._ping:
            self._ping.start()
        return self

    def ended(self) -> None:
        """The run has ended, one way or another."""
        result, settings = self._result, self._settings
        if settings and settings.metrics_file:
            what = f"written to {settings.metrics_file}"
            _keep_metrics(what, partial(self._metrics.write_file, settings.metrics_file, result))
        if settings and settings.pushgateway:
            what = "pushed to the gateway"
            _keep_metrics(what, partial(self._metrics.push, settings.pushgateway, result, self._clock))
        summary = result.summary if result.error is None else f"{result.title}: {result.error}"
        self._end(well=result.exit_code == ExitCode.OK, summary=summary)

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        if not self._is_told:
            # Its name only: nobody knows what an unexpected error quotes.
            self._end(well=False, summary=f"{self._result.title}: broke off ({kind.__name__ if kind else 'unknown'})")

    def _end(self, *, well: bool, summary: str) -> None:
        self._is_told = True
        if self._ping:
            self._ping.end(well=well, summary=self._redact(summary))


def _keep_metrics(what: str, work: Callable[[], None]) -> None:
    """Whatever becomes of it is told, and changes nothing else."""
    try:
        work()
    except Exception as error:
        # Not its own text: an address may carry a login.
        reason = getattr(error, "strerror", None) or type(error).__name__
        log.warning("the metrics cannot be %s (%s)", what, reason)
