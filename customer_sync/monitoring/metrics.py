"""Prometheus metrics of a run: written to a textfile, or pushed to a gateway. Needs the extra `metrics`.

A failed run must not erase what the last good one reported: what it does not know is carried over from the previous
textfile. A gateway keeps the metrics of a group that are not pushed again.
"""

import errno
import logging
import re
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from customer_sync.core.clock import Clock
from customer_sync.core.errors import ExitCode, SettingsError
from customer_sync.core.regular_file import read_regular, write_own
from customer_sync.core.streams import printable
from customer_sync.http.transport import post
from customer_sync.results.page_result import PageResult, Status, SyncedPage
from customer_sync.results.pass_result import PassResult

try:
    from prometheus_client import CollectorRegistry, generate_latest, pushadd_to_gateway
    from prometheus_client.core import Metric
    from prometheus_client.parser import text_string_to_metric_families
    from prometheus_client.registry import Collector
except ModuleNotFoundError as missing:
    raise SettingsError(
        [f"metrics need {missing.name}, which is not installed"],
        "Install it in a clone of the repository with: pip install '.[metrics]'",
    ) from None

log = logging.getLogger(__name__)

Labels = tuple[tuple[str, str], ...]
Samples = dict[Labels, float]
Family = tuple[str, str, Samples]
"""Name, help text and samples of a metric."""
PreviousSamples = dict[str, Samples]
"""The samples of the previous textfile, by metric name."""

_PREFIX = "customer_sync_"
# Metrics that may be carried over.
_COMPLETED, _SUCCEEDED = "last_complete_timestamp_seconds", "last_success_timestamp_seconds"
_CUSTOMERS, _COMPLETE, _UNTIL = "customers", "page_complete", "page_synced_until_timestamp_seconds"
_TIMEOUT = 10.0
_JOB = "customer-sync"


def write_file(path: Path, result: PassResult[Any], clean: Callable[[str], str]) -> None:
    """Writes the textfile atomically; every label goes through *clean*. Raises OSError.

    A *path* that does not end in `.prom` is a directory with one file for each pass and shard. In a file that passes or
    shards share, each replaces only its own samples. A shard deletes what a former number of shards left.
    """
    directory = None if path.suffix == ".prom" else path
    if directory:
        shard = f"-{result.shard.slug}" if result.shard else ""
        path = directory / f"customer-sync-{result.name}{shard}.prom"
    own, others = _read_previous(path, result)
    registry = CollectorRegistry()
    registry.register(_Metrics(_families(result, own), others, clean))
    # An exporter that runs as another user reads it.
    write_own(path, generate_latest(registry).decode(), mode=0o644)
    if directory:
        _delete_replaced(directory, result)


def _delete_replaced(directory: Path, result: PassResult[Any]) -> None:
    """Deletes this pass's files of another number of shards."""
    kept: dict[str, str] = {}
    for file in directory.glob(f"customer-sync-{result.name}*.prom"):
        shard = re.fullmatch(rf"customer-sync-{result.name}(?:-(\d+-of-\d+))?", file.stem)
        try:
            # A newer file belongs to a run that started later, after a change of the shards.
            if shard and _replaced(shard[1], result) and file.stat().st_mtime < result.started_at:
                file.unlink()
        except FileNotFoundError:
            pass  # Another shard has deleted it.
        except OSError as error:
            kept[str(file)] = error.strerror or type(error).__name__
    if kept:
        text = "%s of a former number of shards cannot be deleted (%s): delete by hand"
        log.warning(text, ", ".join(sorted(kept)), ", ".join(sorted(set(kept.values()))))


def _replaced(shard: str | None, result: PassResult[Any]) -> bool:
    """Whether *shard*, "2-of-8" or None, is of a former number of shards: one other than the run's.

    None are for a run without shards: it may be one by hand beside scheduled shards.
    """
    return result.shard is not None and (shard or "").partition("-")[2] != result.shard.slug.partition("-")[2]


def push(gateway: str, result: PassResult[Any], clock: Clock, clean: Callable[[str], str]) -> None:
    """Pushes to the gateway's group of this pass and shard; a login in the address is used. Raises OSError.

    Every label goes through *clean*.
    """

    def handler(
        url: str, method: str, timeout: float, headers: list[tuple[str, str]], data: bytes
    ) -> Callable[[], None]:
        def send() -> None:
            if trouble := post(url, data, dict(headers), clock, timeout, method=method):
                raise OSError(errno.EIO, trouble)

        return send

    registry = CollectorRegistry()
    registry.register(_Metrics(_families(result, {}), {}, clean))
    group = dict(_labels(result))
    pushadd_to_gateway(gateway, _JOB, registry, grouping_key=group, timeout=_TIMEOUT, handler=handler)


class _Metrics(Collector):
    """Hands families to a registry, with the samples of *others*."""

    def __init__(self, families: Iterator[Family], others: PreviousSamples, clean: Callable[[str], str]) -> None:
        self._clean = clean
        self._families = [(_PREFIX + name, text, others.get(name, {}) | samples) for name, text, samples in families]

    def collect(self) -> Iterator[Metric]:
        for name, text, samples in self._families:
            metric = Metric(name, text, "gauge")
            for labels, value in samples.items():
                metric.add_sample(name, {label: self._clean(text) for label, text in labels}, value)
            if samples:
                yield metric


def _families(result: PassResult[Any], previous: PreviousSamples) -> Iterator[Family]:
    """Every metric; what this run does not know is as in *previous*."""
    yield from _run_families(result, previous)
    yield from _count_families(result, previous)
    yield from _page_families(result, previous)


def _run_families(result: PassResult[Any], previous: PreviousSamples) -> Iterator[Family]:
    this = _labels(result)
    ended: Samples = {this: result.started_at + result.duration}
    # With every page off the run did nothing; a shard may have no pages.
    complete = result.complete and bool(result.active_pages or result.shard)
    succeeded = complete and result.exit_code == ExitCode.OK
    text = "End of the last run that reached the end of every page"
    yield "last_run_timestamp_seconds", "End of the last run", ended
    yield _COMPLETED, f"{text}, failed customers or not", ended if complete else previous.get(_COMPLETED, {})
    yield _SUCCEEDED, f"{text}, with exit code 0", ended if succeeded else previous.get(_SUCCEEDED, {})
    yield "exit_code", "Exit code of the last run", {this: result.exit_code}
    yield "duration_seconds", "Duration of the last run", {this: result.duration}
    yield "shards", "Number of shards; 1 without --shard", {this: result.shard.count if result.shard else 1}


def _count_families(result: PassResult[Any], previous: PreviousSamples) -> Iterator[Family]:
    counts = result.totals.items()
    customers: Samples = {
        _labels(result, outcome=name): count for name, count in counts if name not in ("pages", "requests")
    }
    if not (result.complete or result.page_result.RESUMABLE):
        customers = previous.get(_CUSTOMERS, {})  # An incomplete comparison does not know that none is missing.
    services = result.services.calls() if result.services else []
    calls = {_labels(result, service=one.service): one for one in services}
    yield _CUSTOMERS, "Customers of the last run", customers
    yield "requests", "Requests of the last run", {labels: one.calls for labels, one in calls.items()}
    yield "too_many_requests", "Requests answered with 429", {labels: one.too_many for labels, one in calls.items()}


def _page_families(result: PassResult[Any], previous: PreviousSamples) -> Iterator[Family]:
    statuses = [page.status for page in result.pages]
    complete: Samples = {_page_labels(result, page): page.complete for page in result.active_pages}
    if not (result.complete or result.pages):  # The run ended before FolkForm listed the pages.
        complete = dict.fromkeys(previous.get(_COMPLETE, {}), 0)
    until: Samples = {labels: time for labels, time in previous.get(_UNTIL, {}).items() if labels in complete} | {
        _page_labels(result, page): page.until
        for page in result.pages
        if isinstance(page, SyncedPage) and page.complete and page.until is not None
    }
    ended = result.started_at + result.duration
    yield (
        "pages",
        "Pages of the last run",
        {_labels(result, status=status): statuses.count(status) for status in Status},
    )
    yield _COMPLETE, "Whether the last run reached the end of the page", complete
    yield _UNTIL, "Time up to which the page is synced", until
    yield (
        "page_lag_seconds",
        "Lag of that time at the end of the run",
        {labels: ended - time for labels, time in until.items()},
    )


def _labels(result: PassResult[Any], **more: str) -> Labels:
    shard = {"shard": result.shard.slug} if result.shard else {}
    return tuple(sorted({"pass": result.name, **shard, **more}.items()))


def _page_labels(result: PassResult[Any], page: PageResult) -> Labels:
    return _labels(result, page_id=printable(page.page.page_id))


def _read_previous(path: Path, result: PassResult[Any]) -> tuple[PreviousSamples, PreviousSamples]:
    """The samples of this pass and shard in a textfile, and those of others; none where it cannot be read.

    Without those of a former number of shards.
    """
    own: PreviousSamples = {}
    others: PreviousSamples = {}
    try:
        families = list(text_string_to_metric_families(read_regular(path)))
    except (FileNotFoundError, ValueError):
        return own, others
    this = _labels(result)
    for sample in chain.from_iterable(family.samples for family in families):
        if sample.labels.get("pass") == result.name and _replaced(sample.labels.get("shard"), result):
            continue
        labels = tuple(sorted(sample.labels.items()))
        samples = own if this == tuple(one for one in labels if one[0] in ("pass", "shard")) else others
        samples.setdefault(sample.name.removeprefix(_PREFIX), {})[labels] = sample.value
    return own, others
