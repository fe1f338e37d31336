"""What a run did, for Prometheus: written as a textfile, or pushed to a gateway. Needs the extra `metrics`.

A run that failed must not make the monitoring forget what the last good one told: what this run cannot tell is carried
over from the previous textfile. A gateway keeps, of each group, the metrics that are not pushed again.
"""

import errno
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from customer_sync.core.clock import Clock
from customer_sync.core.errors import ExitCode, SettingsError
from customer_sync.core.streams import printable
from customer_sync.http.transport import post
from customer_sync.results.page_result import PageResult, Status, SyncedPage
from customer_sync.results.pass_result import PassResult

try:
    from prometheus_client import CollectorRegistry, pushadd_to_gateway, write_to_textfile
    from prometheus_client.core import Metric
    from prometheus_client.parser import text_string_to_metric_families
    from prometheus_client.registry import Collector
except ModuleNotFoundError as missing:
    raise SettingsError(
        [f"metrics need {missing.name}, which is not installed"],
        "Install it in a clone of the repository with: pip install '.[metrics]'",
    ) from None

Labels = tuple[tuple[str, str], ...]
Samples = dict[Labels, float]
Family = tuple[str, str, Samples]
"""Name, meaning and samples of a metric."""
PreviousSamples = dict[str, Samples]
"""What was told before, by the name of the metric."""

_PREFIX = "customer_sync_"
# What may be carried over.
_COMPLETED, _SUCCEEDED = "last_complete_timestamp_seconds", "last_success_timestamp_seconds"
_CUSTOMERS, _COMPLETE, _UNTIL = "customers", "page_complete", "page_synced_until_timestamp_seconds"
_TIMEOUT = 10.0
_JOB = "customer-sync"


def write_file(path: Path, result: PassResult[Any]) -> None:
    """Writes the textfile at once and as a whole. Raises OSError.

    A *path* that does not end in `.prom` is a directory, where each pass and shard has a file. In a file that several
    share, each replaces only what it told before.
    """
    if path.suffix != ".prom":
        shard = f"-{result.shard.slug}" if result.shard else ""
        path = path / f"customer-sync-{result.name}{shard}.prom"
    own, others = _previous(path, result)
    registry = CollectorRegistry()
    registry.register(_Metrics(_families(result, own), others))
    write_to_textfile(str(path), registry)


def push(gateway: str, result: PassResult[Any], clock: Clock) -> None:
    """Pushes to a gateway, to the group of this pass and shard. Raises OSError; a login in the address is used."""

    def handler(
        url: str, method: str, timeout: float, headers: list[tuple[str, str]], data: bytes
    ) -> Callable[[], None]:
        def send() -> None:
            if trouble := post(url, data, dict(headers), clock, timeout, method=method):
                raise OSError(errno.EIO, trouble)

        return send

    registry = CollectorRegistry()
    registry.register(_Metrics(_families(result, {}), {}))
    key = dict(_labels(result))
    pushadd_to_gateway(gateway, _JOB, registry, grouping_key=key, timeout=_TIMEOUT, handler=handler)


class _Metrics(Collector):
    """Hands families to a registry, with the samples of *others*."""

    def __init__(self, families: Iterator[Family], others: PreviousSamples) -> None:
        self._families = [(_PREFIX + name, text, others.get(name, {}) | samples) for name, text, samples in families]

    def collect(self) -> Iterator[Metric]:
        for name, text, samples in self._families:
            metric = Metric(name, text, "gauge")
            for labels, value in samples.items():
                metric.add_sample(name, dict(labels), value)
            if samples:
                yield metric


def _families(result: PassResult[Any], previous: PreviousSamples) -> Iterator[Family]:
    """Everything that is told; what cannot be told this time is as *previous* has it."""
    yield from _of_run(result, previous)
    yield from _of_services(result, previous)
    yield from _of_pages(result, previous)


def _of_run(result: PassResult[Any], previous: PreviousSamples) -> Iterator[Family]:
    this = _labels(result)
    ended: Samples = {this: result.started_at + result.duration}
    # With every page switched off nothing was done; a shard may have no pages.
    complete = result.complete and bool(result.active_pages or result.shard)
    succeeded = complete and result.exit_code == ExitCode.OK
    came_to_the_end = "When the last run ended that came to the end of every page"
    yield "last_run_timestamp_seconds", "When the last run ended", ended
    yield (
        _COMPLETED,
        f"{came_to_the_end}, whoever failed on the way",
        ended if complete else previous.get(_COMPLETED, {}),
    )
    yield _SUCCEEDED, f"{came_to_the_end} with exit code 0", ended if succeeded else previous.get(_SUCCEEDED, {})
    yield "exit_code", "How the last run ended", {this: result.exit_code}
    yield "duration_seconds", "How long the last run took", {this: result.duration}


def _of_services(result: PassResult[Any], previous: PreviousSamples) -> Iterator[Family]:
    totals = result.totals
    counts: Samples = {
        _labels(result, outcome=name): totals[name] for name in totals if name not in ("pages", "requests")
    }
    if not (result.complete or result.page_result.RESUMABLE):
        counts = previous.get(_CUSTOMERS, {})  # A comparison cut short has not found that nobody is missing.
    services = result.services.calls() if result.services else []
    calls: Samples = {_labels(result, service=one.service): one.calls for one in services}
    too_many: Samples = {_labels(result, service=one.service): one.too_many for one in services}
    yield _CUSTOMERS, "Customers of the last run", counts
    yield "requests", "Requests of the last run", calls
    yield "too_many_requests", "How many of them met a 429", too_many


def _of_pages(result: PassResult[Any], previous: PreviousSamples) -> Iterator[Family]:
    ended = [page.status for page in result.pages]
    pages: Samples = {_labels(result, status=status): ended.count(status) for status in Status}
    complete: Samples = {_of_page(result, page): page.complete for page in result.active_pages}
    if not (result.complete or result.pages):  # It did not even learn which pages there are.
        complete = dict.fromkeys(previous.get(_COMPLETE, {}), 0)
    told: Samples = {
        _of_page(result, page): page.until
        for page in result.pages
        if isinstance(page, SyncedPage) and page.complete and page.until is not None
    }
    until = {labels: moment for labels, moment in previous.get(_UNTIL, {}).items() if labels in complete} | told
    lag: Samples = {labels: result.started_at + result.duration - moment for labels, moment in until.items()}
    yield "pages", "Pages of the last run", pages
    yield _COMPLETE, "Whether the last run came to the end of the page", complete
    yield _UNTIL, "Up to when every customer of the page is synced", until
    yield "page_lag_seconds", "How far that was behind when the run ended", lag


def _labels(result: PassResult[Any], **more: str) -> Labels:
    shard = {"shard": str(result.shard)} if result.shard else {}
    return tuple(sorted({"pass": result.name, **shard, **more}.items()))


def _of_page(result: PassResult[Any], page: PageResult) -> Labels:
    return _labels(result, page_id=printable(page.page.page_id))


def _previous(path: Path, result: PassResult[Any]) -> tuple[PreviousSamples, PreviousSamples]:
    """What a textfile holds of this pass and shard, and of others; nothing where it cannot be read."""
    own: PreviousSamples = {}
    others: PreviousSamples = {}
    try:
        families = list(text_string_to_metric_families(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError):
        return own, others
    this = _labels(result)
    for sample in chain.from_iterable(family.samples for family in families):
        labels = tuple(sorted(sample.labels.items()))
        whose = own if this == tuple(one for one in labels if one[0] in ("pass", "shard")) else others
        whose.setdefault(sample.name.removeprefix(_PREFIX), {})[labels] = sample.value
    return own, others
