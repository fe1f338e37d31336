"""What a run did, for Prometheus: written as a textfile, or pushed to a gateway. Needs the extra `metrics`.

A run that failed must not make the monitoring forget when the last good one was: moments that this run cannot tell
are carried over from the former textfile, and a gateway keeps what is not pushed again.
"""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from customer_sync.errors import ExitCode, SettingsError
from customer_sync.result import PassResult, SyncedPage

try:
    from prometheus_client import CollectorRegistry, pushadd_to_gateway, write_to_textfile
    from prometheus_client.core import GaugeMetricFamily
    from prometheus_client.parser import text_string_to_metric_families
    from prometheus_client.registry import Collector
except ModuleNotFoundError as missing:
    raise SettingsError(
        [f"metrics need {missing.name}, which is not installed"],
        "Install it in a clone of the repository with: pip install '.[metrics]'",
    ) from None

log = logging.getLogger(__name__)

_PREFIX = "customer_sync_"
_MOMENT = "_timestamp_seconds"
_TIMEOUT = 10.0
_JOB = "customer-sync"


def write_file(path: Path, result: PassResult[Any]) -> None:
    """Writes the textfile at once, as a whole; in a directory one is kept for each pass. Its failure is only told."""
    if path.is_dir():
        path = path / f"customer-sync-{result.name}.prom"
    registry = CollectorRegistry()
    registry.register(_Metrics(_families(result), _former_moments(path)))
    try:
        write_to_textfile(str(path), registry)
    except OSError as error:
        log.warning("the metrics cannot be written to %s (%s)", path, error.strerror)


def push(gateway: str, result: PassResult[Any]) -> None:
    """Pushes to a gateway; what is not told this time stays there as it was. Its failure is only told."""
    registry = CollectorRegistry()
    registry.register(_Metrics(_families(result), {}))
    try:
        pushadd_to_gateway(gateway, _JOB, registry, grouping_key={"pass": result.name}, timeout=_TIMEOUT)
    except (OSError, ValueError) as error:
        # Not its own text: an address may carry a login.
        log.warning("the metrics cannot be pushed to the gateway (%s)", type(error).__name__)


Labels = tuple[tuple[str, str], ...]
Samples = dict[Labels, float]


class _Metrics(Collector):
    """Hands the families to a registry, with the *former* samples that they lack."""

    def __init__(self, families: Iterator[tuple[str, str, Samples]], former: dict[str, Samples]) -> None:
        self._families = [(name, text, former.get(_PREFIX + name, {}) | samples) for name, text, samples in families]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        for name, text, samples in self._families:
            if samples:
                family = GaugeMetricFamily(_PREFIX + name, text, labels=[label for label, _ in next(iter(samples))])
                for labels, value in samples.items():
                    family.add_metric([shown for _, shown in labels], value)
                yield family


def _families(result: PassResult[Any]) -> Iterator[tuple[str, str, Samples]]:
    """Name, meaning and samples of everything that is told."""
    yield from _of_run(result)
    yield from _of_services(result)
    yield from _of_pages(result)


def _of_run(result: PassResult[Any]) -> Iterator[tuple[str, str, Samples]]:
    this, ended_at = _labels(result), result.started_at + result.duration
    succeeded = {this: ended_at} if result.exit_code == ExitCode.OK and result.complete else {}
    yield "last_run_timestamp_seconds", "When the last run ended", {this: ended_at}
    yield "last_success_timestamp_seconds", "When the last run ended that did everything, and well", succeeded
    yield "exit_code", "How the last run ended", {this: result.exit_code}
    yield "duration_seconds", "How long the last run took", {this: result.duration}


def _of_services(result: PassResult[Any]) -> Iterator[tuple[str, str, Samples]]:
    totals = result.totals
    outcomes = [name for name in totals if name not in ("pages", "requests")]
    counts: Samples = {_labels(result, outcome=name): totals[name] for name in outcomes}
    calls: Samples = {_labels(result, service=one.service): one.calls for one in result.calls()}
    too_many: Samples = {_labels(result, service=one.service): one.too_many for one in result.calls()}
    yield "customers", "Customers of the last run", counts
    yield "requests", "Requests of the last run", calls
    yield "too_many_requests", "How many of them met a 429", too_many


def _of_pages(result: PassResult[Any]) -> Iterator[tuple[str, str, Samples]]:
    ended_at = result.started_at + result.duration
    complete: Samples = {_labels(result, page_id=page.page.page_id): page.complete for page in result.pages}
    until: Samples = {
        _labels(result, page_id=page.page.page_id): page.until
        for page in result.pages
        if isinstance(page, SyncedPage) and page.complete and page.until is not None
    }
    lag: Samples = {labels: ended_at - moment for labels, moment in until.items()}
    yield "page_complete", "Whether the last run did all of the page", complete
    yield "page_synced_until_timestamp_seconds", "Up to when every customer of the page is synced", until
    yield "page_lag_seconds", "How far that was behind when the run ended", lag


def _labels(result: PassResult[Any], **more: str) -> Labels:
    return tuple(sorted({"pass": result.name, **more}.items()))


def _former_moments(path: Path) -> dict[str, Samples]:
    """The moments of a former textfile, by name; none where there is no readable one."""
    try:
        families = list(text_string_to_metric_families(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}
    return {
        family.name: {tuple(sorted(sample.labels.items())): sample.value for sample in family.samples}
        for family in families
        if family.name.endswith(_MOMENT)
    }
