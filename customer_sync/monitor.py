"""Tells those who watch how runs go: a ping, a textfile, a gateway, each where it is set. Changes no run."""

from types import TracebackType
from typing import Any, Self

from customer_sync.clock import Clock
from customer_sync.errors import ExitCode
from customer_sync.ping import Ping
from customer_sync.redact import Redactor
from customer_sync.result import PassResult
from customer_sync.settings import Settings


class Monitor:
    """A context for one run: left without `ended`, the run broke."""

    def __init__(self, settings: Settings, redact: Redactor, clock: Clock) -> None:
        """Raises SettingsError where metrics are wanted and their library is not installed."""
        redact.add(settings.ping_url, settings.pushgateway)
        self._settings = settings
        self._ping = Ping(settings.ping_url, clock) if settings.ping_url else None
        self._is_told = False
        if settings.metrics_file or settings.pushgateway:
            from customer_sync import metrics  # Its library is slow to load, and an extra.

            self._metrics = metrics

    def __enter__(self) -> Self:
        if self._ping:
            self._ping.start()
        return self

    def ended(self, result: PassResult[Any]) -> None:
        """The run has ended, one way or another."""
        if self._settings.metrics_file:
            self._metrics.write_file(self._settings.metrics_file, result)
        if self._settings.pushgateway:
            self._metrics.push(self._settings.pushgateway, result)
        self._end(well=result.exit_code == ExitCode.OK, summary=result.summary)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if not self._is_told:
            self._end(well=False, summary=f"broke off ({error})")

    def _end(self, *, well: bool, summary: str) -> None:
        self._is_told = True
        if self._ping:
            self._ping.end(well=well, summary=summary)
