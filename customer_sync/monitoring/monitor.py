"""Reports a run to the monitors that the settings name: a ping, a metrics file, a gateway. Changes no run."""

import logging
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from customer_sync.config.settings import Settings
from customer_sync.core.clock import Clock
from customer_sync.core.errors import ExitCode
from customer_sync.http.redact import Redactor
from customer_sync.monitoring.ping import Ping, check_url
from customer_sync.results.pass_result import PassResult

log = logging.getLogger(__name__)


class Monitor:
    """A context around the run of *result*; left without `ended`, the run is reported as failed."""

    def __init__(self, settings: Settings | None, result: PassResult[Any], redact: Redactor, clock: Clock) -> None:
        """Without *settings* nothing is reported. Raises SettingsError where metrics lack their library."""
        self._result = result
        self._redact = redact
        self._ping: Ping | None = None
        self._metrics: list[tuple[str, Callable[[], None]]] = []
        self._reported = False
        if settings is None:
            return
        redact.add(settings.ping_url)
        if settings.ping_url:
            url = check_url(settings.ping_url, result)
            redact.add(url, urlsplit(url).password)
            self._ping = Ping(url, clock)
        if settings.metrics_file or settings.pushgateway:
            from customer_sync.monitoring import metrics  # Its library is slow to load, and an extra.

        if file := settings.metrics_file:
            self._metrics.append((f"written to {file}", lambda: metrics.write_file(file, result, redact.clean)))
        if gateway := settings.pushgateway:
            redact.add(gateway, urlsplit(gateway).password)
            self._metrics.append(("pushed to the gateway", lambda: metrics.push(gateway, result, clock, redact.clean)))

    def __enter__(self) -> Self:
        if self._ping:
            self._ping.start()
        return self

    def ended(self) -> None:
        """The run has ended, successfully or not."""
        result = self._result
        for what, report in self._metrics:
            try:
                report()
            except Exception as error:
                # Not its own text: an address may hold a login.
                reason = getattr(error, "strerror", None) or type(error).__name__
                log.warning("the metrics cannot be %s (%s)", what, reason)
        summary = result.summary if result.error is None else f"{result.title}: {result.error}"
        self._end_ping(summary, success=result.exit_code == ExitCode.OK)

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        if not self._reported:
            # Only its name: an unexpected error may quote anything.
            self._end_ping(f"{self._result.title}: failed ({kind.__name__ if kind else 'unknown'})", success=False)

    def _end_ping(self, summary: str, *, success: bool) -> None:
        self._reported = True
        if self._ping:
            self._ping.end(self._redact.clean(" ".join(summary.split())), success=success)
