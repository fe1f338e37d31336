"""Monitoring: a JSON log, metrics, pings; none of it changes a run, and a partial or dry run notifies no monitor."""

import json
import os
import re
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import jq
import pytest
from prometheus_client.parser import text_string_to_metric_families

from customer_sync.core.clock import Clock
from customer_sync.core.locks import PageLocks
from customer_sync.core.shard import Shard
from customer_sync.sandbox import Sandbox
from customer_sync.sandbox.faults import Fault
from customer_sync.sandbox.folkform import TOKEN, Access, Role

from .conftest import (
    Command,
    Outcome,
    StartSandbox,
    fill_folkform,
    only_page,
    people,
    person,
    refuse,
    wait_until,
    writes,
)

ROOT = Path(__file__).parent.parent


class Monitor(ThreadingHTTPServer):
    """Accepts every POST and PUT."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.received: list[tuple[str, str]] = []
        """Path and body of each request."""
        self.logins: list[str | None] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Monitor

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.received.append((self.path, body.decode()))
        self.server.logins.append(self.headers.get("Authorization"))
        self.send_response(self.server.status)
        self.end_headers()

    do_PUT = do_POST  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Silence."""


@contextmanager
def _monitor(status: int = 200) -> Iterator[Monitor]:
    server = Monitor(status)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def _recent(start: StartSandbox, count: int = 3, **more: Any) -> Sandbox:
    """One page with *count* recent customers."""
    box = start(**more)
    box.pancake.add_customers(only_page(box), people(count, 600, 60))
    return box


def _troubled(start: StartSandbox) -> Sandbox:
    """Two pages: FolkForm rejects a customer of the first, and the second one's token cannot be renewed."""
    box = start(pages=2, customers=5)
    one, other = box.pancake.page_ids()
    box.pancake.add_customer(one, person("refused", 90))
    refuse(box, "refused")
    box.folkform.set_page(other, pageAccessToken="a-token-that-is-dead", accessToken="")
    return box


# The JSON log


def _log(outcome: Outcome) -> list[dict[str, Any]]:
    return [json.loads(line) for line in outcome.err.splitlines()]


def test_a_json_log(sandbox: StartSandbox, run: Command) -> None:
    """Every line is an object of one run; the last one holds what `--json` prints, and stdout stays empty."""
    outcome = run(_recent(sandbox, 5), "incremental", "--log-format", "json")
    log = _log(outcome)
    assert (outcome.code, outcome.out) == (0, "")
    assert [entry["event"] for entry in log] == ["page_ended", "run_ended"]
    assert all({"time", "level", "event", "pass", "run"} <= entry.keys() for entry in log)
    assert len({entry["run"] for entry in log}) == 1
    assert (log[0]["upserted"], log[-1]["result"]["totals"]["upserted"], log[-1]["exit_code"]) == (5, 5, 0)
    assert log[-1]["message"].startswith("incremental: ok, 1 page, 5 read")


def test_failures_in_a_json_log(sandbox: StartSandbox, run: Command) -> None:
    """Each failure has its event, its page or customer, and the next step; the variable works like the option."""
    box = _troubled(sandbox)
    one, other = box.pancake.page_ids()
    log = _log(run(box, "incremental", CUSTOMER_SYNC_LOG_FORMAT="json"))
    by_event = {entry["event"]: entry for entry in log}
    assert (by_event["customer_failed"]["page_id"], by_event["customer_failed"]["psid"]) == (one, "refused")
    assert "400" in by_event["customer_failed"]["reason"]
    assert by_event["page_failed"]["page_id"] == other
    assert "PANCAKE_ACCESS_TOKEN" in by_event["page_failed"]["next_step"]
    assert by_event["page_failed"]["level"] == "error"
    assert log[-1]["event"] == "run_ended"
    assert "a-token-that-is-dead" not in json.dumps(log)


def _no_setting(start: StartSandbox, run: Command) -> Outcome:
    return run(start(), "incremental", "--log-format", "json", FOLKFORM_TOKEN="")


def _unknown_page(start: StartSandbox, run: Command) -> Outcome:
    return run(start(), "backfill", "--log-format", "json", "--page", "unknown")


def _refused_customer(start: StartSandbox, run: Command) -> Outcome:
    box = start(customers=5)
    box.pancake.add_customer(only_page(box), person("refused", 90))
    refuse(box, "refused")
    return run(box, "incremental", "--log-format", "json", "-q")


def _customer_missing(start: StartSandbox, run: Command) -> Outcome:
    return run(_recent(start, 1), "verify", "--log-format", "json")


def _wrong_role(start: StartSandbox, run: Command) -> Outcome:
    box = start()
    box.folkform.tokens[TOKEN] = Access(roles=(Role(), Role("65f0c0ffee0000000000bee2", "Reader")))
    return run(box, "incremental", "--log-format", "json", FOLKFORM_ROLE_ID="")


def _too_slow(start: StartSandbox, run: Command) -> Outcome:
    return run(start(folkform_latency=1.5), "incremental", "--log-format", "json", "--max-runtime", "1")


def _unreachable(start: StartSandbox, run: Command) -> Outcome:
    return run(start(), "status", "--log-format", "json", FOLKFORM_BASE_URL="http://127.0.0.1:9/api/v1")


def _counts_differ(start: StartSandbox, run: Command) -> Outcome:
    return run(_recent(start, 1), "verify", "--quick", "--log-format", "json")


def _not_copied(start: StartSandbox, run: Command) -> Outcome:
    box = _recent(start, 1)
    return run(box, "explain", "p0000", "--page", only_page(box), "--log-format", "json")


def _locked(start: StartSandbox, run: Command) -> Outcome:
    box = start()
    with PageLocks(run.lock_dir, Clock(), "incremental").held("incremental", only_page(box)):
        return run(box, "incremental", "--log-format", "json")


def _wrong_settings(start: StartSandbox, run: Command) -> Outcome:
    return run(start(), "check", "--log-format", "json", FOLKFORM_TOKEN="a-wrong-token")


@pytest.mark.parametrize(
    ("fail", "code", "what", "step"),
    [
        (_no_setting, 2, "FOLKFORM_TOKEN", "customer-sync check"),
        (_unknown_page, 2, "unknown", "Available pages"),
        (_refused_customer, 1, "psid refused failed", "customer-sync backfill --page"),
        (_customer_missing, 1, "missing", "Run customer-sync incremental."),
        (_wrong_role, 2, "FOLKFORM_ROLE_ID", "FOLKFORM_ROLE_ID"),
        (_too_slow, 75, "--max-runtime", "next run"),
        (_unreachable, 75, "FolkForm", "next run"),
        (_wrong_settings, 3, "401", "FOLKFORM_TOKEN"),
        (_counts_differ, 1, "Pancake", "customer-sync verify --page"),
        (_not_copied, 1, "explain", "customer-sync incremental"),
        (_locked, 75, "locked by another run", "next run"),
    ],
)
def test_jq_alone_shows_what_failed(
    sandbox: StartSandbox,
    run: Command,
    fail: Callable[[StartSandbox, Command], Outcome],
    code: int,
    what: str,
    step: str,
) -> None:
    """The documents' jq line shows what failed and what to do; the last event has the run's end and a next step."""
    ((program,),) = [
        re.findall(r"jq -r '(.+?)'", text) for text in [(ROOT / "docs" / "operating.md").read_text(encoding="utf-8")]
    ]
    outcome = fail(sandbox, run)
    shown = "\n".join(jq.compile(program).input_text(outcome.err).all())
    assert outcome.code == code
    assert what in shown
    assert step in shown
    assert "null" not in shown
    last = _log(outcome)[-1]
    assert (last["event"], last["level"], last["exit_code"]) == ("run_ended", "error", code)
    assert last["message"]
    assert last["next_step"]


def test_a_json_log_beside_json(sandbox: StartSandbox, run: Command) -> None:
    """`--json` still prints its object on stdout; -v adds each request, --debug tracebacks, each in one line."""
    outcome = run(_troubled(sandbox), "backfill", "--json", "-v", "--debug", "--log-format", "json")
    events = {entry["event"] for entry in _log(outcome)}
    assert outcome.json["pass"] == "backfill"
    assert {"debug", "traceback"} <= events


@pytest.mark.parametrize("command", ["verify", "status", "check"])
def test_a_json_log_of_other_commands(sandbox: StartSandbox, run: Command, command: str) -> None:
    """The commands that only read have the same log."""
    outcome = run(_recent(sandbox, 3), command, "--log-format", "json")
    assert outcome.out == ""
    assert _log(outcome)[-1]["event"] == "run_ended"


def test_nothing_comes_after_the_end(sandbox: StartSandbox, run: Command, tmp_path: Path) -> None:
    """The last line is how the run ended, also where monitors are unreachable."""
    nowhere = {"CUSTOMER_SYNC_PING_URL": "http://127.0.0.1:9/x", "CUSTOMER_SYNC_METRICS_FILE": str(tmp_path / "no")}
    log = _log(run(_recent(sandbox), "incremental", "--log-format", "json", **nowhere))
    assert [entry["event"] for entry in log].count("warning") == 3
    assert log[-1]["event"] == "run_ended"


def test_an_unknown_log_format(run: Command) -> None:
    """Another format is a usage error."""
    assert run(None, "incremental", "--log-format", "xml").code == 2


# Metrics


def _metrics(text: str) -> dict[str, dict[str, float]]:
    """Name and labels but the pass → value, as Prometheus' own parser reads it."""
    metrics: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = [value for name, value in sample.labels.items() if name != "pass"]
            metrics.setdefault(sample.name.removeprefix("customer_sync_"), {})[",".join(labels)] = sample.value
    return metrics


def test_a_metrics_file(sandbox: StartSandbox, run: Command, tmp_path: Path) -> None:
    """A run writes a textfile that Prometheus reads: success, duration, customers, requests, and each page's lag."""
    box = _recent(sandbox, 7, folkform_limit=5, folkform_window=1.0)
    file = tmp_path / "customer-sync.prom"
    assert run(box, "incremental", CUSTOMER_SYNC_METRICS_FILE=str(file)).code == 0
    metrics = _metrics(file.read_text())
    assert metrics["exit_code"] == {"": 0}
    assert metrics["shards"] == {"": 1}
    assert metrics["last_success_timestamp_seconds"] == metrics["last_run_timestamp_seconds"]
    assert metrics["customers"]["upserted"] == 7
    assert metrics["requests"]["FolkForm"] == box.requests.count("folkform")
    assert metrics["requests"]["Pancake"] == box.requests.count("pancake")
    assert metrics["too_many_requests"]["Pancake"] == 0
    assert metrics["page_complete"] == {only_page(box): 1}
    assert 2 <= metrics["page_lag_seconds"][only_page(box)] < 60
    assert [path.name for path in tmp_path.glob("customer-sync*")] == [file.name]


def test_another_user_reads_the_metrics_file(sandbox: StartSandbox, run: Command, tmp_path: Path) -> None:
    """An exporter can read it, whatever the umask is: that of the systemd services is 0077."""
    before = os.umask(0o077)
    try:
        assert run(_recent(sandbox, 1), "incremental", CUSTOMER_SYNC_METRICS_FILE=str(tmp_path)).code == 0
    finally:
        os.umask(before)
    assert (tmp_path / "customer-sync-incremental.prom").stat().st_mode & 0o777 == 0o644


def test_a_metrics_file_that_is_a_fifo(sandbox: StartSandbox, run: Command, tmp_path: Path) -> None:
    """It is named, not waited for, and stays."""
    os.mkfifo(fifo := tmp_path / "customer-sync.prom")
    outcome = run(_recent(sandbox), "incremental", CUSTOMER_SYNC_METRICS_FILE=str(fifo))
    assert outcome.code == 0
    assert str(fifo) in outcome.err
    assert fifo.is_fifo()


def test_a_failed_run_carries_over(sandbox: StartSandbox, run: Command, tmp_path: Path) -> None:
    """A run that fails reports that, and keeps the time of the last good one."""
    box = _recent(sandbox, 3)
    assert run(box, "incremental", CUSTOMER_SYNC_METRICS_FILE=str(tmp_path)).code == 0
    file = tmp_path / "customer-sync-incremental.prom"
    before = _metrics(file.read_text())
    box.folkform.set_page(only_page(box), pageAccessToken="a-token-that-is-dead", accessToken="")
    assert run(box, "incremental", CUSTOMER_SYNC_METRICS_FILE=str(tmp_path)).code == 3
    after = _metrics(file.read_text())
    assert after["exit_code"] == {"": 3}
    assert after["last_success_timestamp_seconds"] == before["last_success_timestamp_seconds"]
    assert after["last_run_timestamp_seconds"][""] > before["last_run_timestamp_seconds"][""]
    assert after["page_synced_until_timestamp_seconds"] == before["page_synced_until_timestamp_seconds"]
    assert after["page_complete"] == {only_page(box): 0}
    assert after["page_lag_seconds"][only_page(box)] > before["page_lag_seconds"][only_page(box)]


def test_metrics_of_a_429(sandbox: StartSandbox, run: Command, tmp_path: Path) -> None:
    """Every 429 counts for its service."""
    box = _recent(sandbox, 3)
    box.faults.add(Fault("status", service="folkform", status=429, times=2, retry_after="0"))
    assert run(box, "incremental", CUSTOMER_SYNC_METRICS_FILE=str(tmp_path / "m.prom")).code == 0
    assert _metrics((tmp_path / "m.prom").read_text())["too_many_requests"]["FolkForm"] == 2


def test_metrics_of_verify(sandbox: StartSandbox, run: Command, tmp_path: Path) -> None:
    """The findings of verify are counted by state."""
    box = _recent(sandbox, 3)
    assert run(box, "verify", CUSTOMER_SYNC_METRICS_FILE=str(tmp_path / "m.prom")).code == 1
    assert _metrics((tmp_path / "m.prom").read_text())["customers"]["missing"] == 3


def _sharded(start: StartSandbox, run: Command, **settings: str) -> tuple[str, str]:
    """Runs both shards of eight pages. Returns a page of each."""
    box = start(pages=8, customers=2)
    shards = [[page for page in box.pancake.page_ids() if Shard(index, 2).holds(page)] for index in (0, 1)]
    assert all(shards)
    for shard in ("0/2", "1/2"):
        assert run(box, "incremental", "--shard", shard, **settings).code == 0
    return shards[0][0], shards[1][0]


def test_shards_keep_their_metrics_apart(sandbox: StartSandbox, run: Command, tmp_path: Path) -> None:
    """Each shard has its own file, group and label, so that none hides the failure of another."""
    with _monitor() as gateway:
        pages = _sharded(sandbox, run, CUSTOMER_SYNC_METRICS_FILE=str(tmp_path), CUSTOMER_SYNC_PUSHGATEWAY=gateway.url)
    assert [path for path, _ in gateway.received] == [
        f"/metrics/job/customer-sync/pass/incremental/shard/{index}-of-2" for index in (0, 1)
    ]
    for index, page in enumerate(pages):
        text = (tmp_path / f"customer-sync-incremental-{index}-of-2.prom").read_text()
        assert f'shard="{index}-of-2"' in text
        assert f"{page},{index}-of-2" in _metrics(text)["page_complete"]
        assert _metrics(text)["shards"] == {f"{index}-of-2": 2}
        assert f'shard="{1 - index}-of-2"' not in text


@pytest.mark.parametrize(("before", "after"), [(["0/2", "1/2"], "3/4"), (["3/4"], "0/2"), ([""], "0/2")])
def test_another_number_of_shards(
    sandbox: StartSandbox, run: Command, tmp_path: Path, before: list[str], after: str
) -> None:
    """A shard deletes what its pass's former number of shards left, in a directory and in a file that runs share."""
    box, file = _recent(sandbox, 3), tmp_path / "shared" / "all.prom"
    file.parent.mkdir()

    def shards(directory: Path) -> set[str]:
        return {shard for one in directory.glob("*.prom") for shard in _metrics(one.read_text())["exit_code"]}

    for path in (tmp_path, file):
        assert run(box, "backfill", "--shard", "1/2", CUSTOMER_SYNC_METRICS_FILE=str(path)).code == 0
        for shard in (*before, after):
            given = ["--shard", shard] if shard else []
            assert run(box, "incremental", *given, CUSTOMER_SYNC_METRICS_FILE=str(path)).code == 0
    present = {"1-of-2", after.replace("/", "-of-")}
    assert (shards(tmp_path), shards(file.parent)) == (present, present)
    assert len(list(tmp_path.glob("*.prom"))) == 2
    # A run by hand beside the schedule deletes nothing.
    for path in (tmp_path, file):
        assert run(box, "incremental", CUSTOMER_SYNC_METRICS_FILE=str(path)).code == 0
    assert (shards(tmp_path), shards(file.parent)) == (present | {""}, present | {""})


def test_former_shards_that_cannot_be_deleted(sandbox: StartSandbox, run: Command, tmp_path: Path) -> None:
    """They are one warning, which names them; the metrics are written, and the others are deleted."""
    box, names = _recent(sandbox, 3), [f"customer-sync-incremental-{index}-of-3.prom" for index in range(3)]
    (tmp_path / names[0]).mkdir()
    (tmp_path / names[1]).touch()
    (tmp_path / names[2]).mkdir()
    for name in names:
        os.utime(tmp_path / name, (0, 0))
    outcome = run(box, "incremental", "--shard", "0/2", CUSTOMER_SYNC_METRICS_FILE=str(tmp_path))
    assert (outcome.code, outcome.err.count("of a former number of shards cannot be deleted (")) == (0, 1)
    assert f"{tmp_path / names[0]}, {tmp_path / names[2]} of a former" in outcome.err
    assert "cannot be written" not in outcome.err
    assert {path.name for path in tmp_path.glob("*.prom")} == {
        names[0],
        names[2],
        "customer-sync-incremental-0-of-2.prom",
    }


def test_a_former_shard_that_ends_late(sandbox: StartSandbox, run: Command, tmp_path: Path) -> None:
    """A run of the former number of shards that ends after one of the new number keeps the new one's file."""
    box = _recent(sandbox, 3)
    newer = tmp_path / "customer-sync-incremental-0-of-4.prom"
    newer.touch()
    os.utime(newer, (Clock().now() + 60,) * 2)
    assert run(box, "incremental", "--shard", "0/2", CUSTOMER_SYNC_METRICS_FILE=str(tmp_path)).code == 0
    assert newer.exists()


def test_a_shared_file(sandbox: StartSandbox, run: Command, tmp_path: Path) -> None:
    """In one file a run replaces only its own samples."""
    box, file = _recent(sandbox, 3), tmp_path / "all.prom"
    assert run(box, "verify", CUSTOMER_SYNC_METRICS_FILE=str(file)).code == 1
    for _ in range(2):
        assert run(box, "incremental", CUSTOMER_SYNC_METRICS_FILE=str(file)).code == 0
    samples = [one for family in text_string_to_metric_families(file.read_text()) for one in family.samples]
    counts = {(one.labels["pass"], one.labels["outcome"]): one.value for one in samples if "outcome" in one.labels}
    assert (counts["verify", "missing"], counts["incremental", "unchanged"]) == (3, 3)
    assert counts["incremental", "upserted"] == 0


def test_metrics_of_a_comparison_cut_short(sandbox: StartSandbox, run: Command, tmp_path: Path) -> None:
    """An incomplete verify does not know that none is missing: the findings of the last one stay."""
    box, file = _recent(sandbox, 3), tmp_path / "m.prom"
    assert run(box, "verify", CUSTOMER_SYNC_METRICS_FILE=str(file)).code == 1
    nowhere = {"FOLKFORM_BASE_URL": "http://127.0.0.1:9/api/v1"}
    assert run(box, "verify", CUSTOMER_SYNC_METRICS_FILE=str(file), **nowhere).code == 75
    metrics = _metrics(file.read_text())
    assert (metrics["customers"]["missing"], metrics["exit_code"][""]) == (3, 75)
    assert metrics["page_complete"] == {only_page(box): 0}


def test_metrics_of_a_run_without_pages(sandbox: StartSandbox, run: Command, tmp_path: Path) -> None:
    """A failure before the first page is reported, too, and no success."""
    box, file = _recent(sandbox, 3), tmp_path / "m.prom"
    (tmp_path / "a-file").touch()
    lock_dir = str(tmp_path / "a-file" / "locks")
    assert run(box, "incremental", CUSTOMER_SYNC_METRICS_FILE=str(file), CUSTOMER_SYNC_LOCK_DIR=lock_dir).code == 2
    metrics = _metrics(file.read_text())
    assert metrics["exit_code"] == {"": 2}
    assert not metrics.keys() & {"last_success_timestamp_seconds", "last_complete_timestamp_seconds"}


def test_metrics_of_a_refused_customer(sandbox: StartSandbox, run: Command, tmp_path: Path) -> None:
    """A run that reached the end of every page is complete, even if a customer failed."""
    box, file = _recent(sandbox, 3), tmp_path / "m.prom"
    box.pancake.add_customer(only_page(box), person("refused", 90))
    refuse(box, "refused")
    assert run(box, "incremental", CUSTOMER_SYNC_METRICS_FILE=str(file)).code == 1
    metrics = _metrics(file.read_text())
    assert metrics["customers"]["failed"] == 1
    assert "last_complete_timestamp_seconds" in metrics
    assert "last_success_timestamp_seconds" not in metrics


def test_metrics_where_every_page_is_off(sandbox: StartSandbox, run: Command, tmp_path: Path) -> None:
    """A run with every page off is no success, and a page that is off has no lag."""
    box, file = _recent(sandbox, 3), tmp_path / "m.prom"
    assert run(box, "incremental", CUSTOMER_SYNC_METRICS_FILE=str(file)).code == 0
    before = _metrics(file.read_text())
    box.folkform.set_page(only_page(box), isSync=False)
    assert run(box, "incremental", CUSTOMER_SYNC_METRICS_FILE=str(file)).code == 0
    after = _metrics(file.read_text())
    assert (sum(before["pages"].values()), sum(after["pages"].values())) == (1, 0)
    for moment in ("last_success_timestamp_seconds", "last_complete_timestamp_seconds"):
        assert after[moment] == before[moment]
    assert "page_lag_seconds" in before
    assert not {name for name in after if name.startswith("page_")}


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("incremental", ["--page", "{}"]),
        ("incremental", ["--until", "2020-01-01"]),
        ("incremental", ["--dry-run"]),
        ("backfill", ["--since", "2020-01-01"]),
        ("backfill", ["--full", "--dry-run"]),
        ("verify", ["--page", "{}"]),
        ("verify", ["--quick"]),
        ("status", []),
        ("check", []),
    ],
    ids=lambda part: part if isinstance(part, str) else " ".join(part),
)
def test_a_partial_run_notifies_no_monitor(
    sandbox: StartSandbox, run: Command, tmp_path: Path, command: str, arguments: list[str]
) -> None:
    """A partial or dry run, and one that only reads, notifies no monitor, whatever is set."""
    box, file = _recent(sandbox, 3), tmp_path / "m.prom"
    fill_folkform(box)
    with _monitor() as monitor:
        settings = {
            "CUSTOMER_SYNC_METRICS_FILE": str(file),
            "CUSTOMER_SYNC_PING_URL": monitor.url,
            "CUSTOMER_SYNC_PUSHGATEWAY": monitor.url,
        }
        arguments = [argument.format(only_page(box)) for argument in arguments]
        assert run(box, command, *arguments, **settings).code == 0
        assert (monitor.received, file.exists()) == ([], False)


def test_a_pushgateway(sandbox: StartSandbox, run: Command) -> None:
    """A gateway gets the same metrics, one group for each pass; a failed run pushes no success."""
    box = _recent(sandbox, 3)
    with _monitor() as gateway:
        assert run(box, "incremental", CUSTOMER_SYNC_PUSHGATEWAY=gateway.url).code == 0
        assert run(box, "incremental", CUSTOMER_SYNC_PUSHGATEWAY=gateway.url, FOLKFORM_TOKEN="wrong-token").code == 3
    (path, good), (_, bad) = gateway.received
    assert path == "/metrics/job/customer-sync/pass/incremental"
    assert "customer_sync_last_success_timestamp_seconds" in good
    assert "customer_sync_last_success_timestamp_seconds" not in bad
    assert "customer_sync_exit_code" in bad


def test_a_login_at_the_gateway(sandbox: StartSandbox, run: Command) -> None:
    """A login in the gateway's address is used, and never printed."""
    with _monitor(401) as gateway:
        url = gateway.url.replace("//", "//user:gateway%40password@")
        outcome = run(_recent(sandbox, 3), "incremental", "-v", "--debug", CUSTOMER_SYNC_PUSHGATEWAY=url)
        assert (
            run(sandbox(), "incremental", CUSTOMER_SYNC_PUSHGATEWAY=gateway.url.replace("//", "//only-a-name@")).code
            == 0
        )
    assert outcome.code == 0
    logins = (b"user:gateway@password", b"only-a-name:")
    assert gateway.logins == [f"Basic {b64encode(login).decode()}" for login in logins]
    assert "it answered 401" in outcome.err
    assert "gateway%40password" not in outcome.output
    assert "gateway@password" not in outcome.output


@pytest.mark.parametrize("address", ["http://user:gateway-password@127.0.0.1:9", "http://user:gateway-password@.../"])
def test_metrics_that_cannot_be_kept(sandbox: StartSandbox, run: Command, address: str) -> None:
    """A file that cannot be written and a gateway that is unreachable are warnings and change nothing."""
    box = _recent(sandbox, 3)
    outcome = run(
        box,
        "incremental",
        CUSTOMER_SYNC_METRICS_FILE="/nowhere/at.prom",
        CUSTOMER_SYNC_PUSHGATEWAY=address,
    )
    assert (outcome.code, writes(box)) == (0, 3)
    assert "/nowhere/at.prom (No such file or directory)" in outcome.err
    assert outcome.err.count("the metrics cannot be") == 2
    assert "gateway-password" not in outcome.output


def test_metrics_without_the_extra(sandbox: StartSandbox, run: Command, tmp_path: Path) -> None:
    """Without their library metrics are a settings error before any request; without metrics it is not needed."""
    (tmp_path / "prometheus_client.py").write_text(
        'raise ModuleNotFoundError("No module", name="prometheus_client")\n', encoding="utf-8"
    )
    box = _recent(sandbox, 3)
    outcome = run(box, "incremental", CUSTOMER_SYNC_METRICS_FILE="m.prom", PYTHONPATH=str(tmp_path))
    assert (outcome.code, box.requests.count()) == (2, 0)
    assert "prometheus_client" in outcome.err
    assert "metrics" in outcome.err
    assert run(box, "incremental", PYTHONPATH=str(tmp_path)).code == 0


# Pings


def test_pings(sandbox: StartSandbox, run: Command) -> None:
    """The check gets the start and the success, with the summary line as body."""
    with _monitor() as check:
        outcome = run(_recent(sandbox, 3), "incremental", CUSTOMER_SYNC_PING_URL=f"{check.url}/ping/secret-uuid-123/")
    (start, nothing), (end, summary) = check.received
    assert (start, nothing, end) == ("/ping/secret-uuid-123/start", "", "/ping/secret-uuid-123")
    assert summary == outcome.out.strip()
    assert summary.startswith("incremental: ok, 1 page, 3 read = 3 upserted")


def test_pings_of_failures(sandbox: StartSandbox, run: Command) -> None:
    """A run that fails pings a failure, whether a customer failed or nothing could be done."""
    with _monitor() as check:
        settings = {"CUSTOMER_SYNC_PING_URL": f"{check.url}/secret-uuid-123"}
        assert run(_troubled(sandbox), "incremental", **settings).code == 1
        assert run(sandbox(), "backfill", **settings, FOLKFORM_TOKEN="wrong-token").code == 3
    (_, first), (_, second) = [one for one in check.received if one[0] == "/secret-uuid-123/fail"]
    assert len(check.received) == 4
    assert "1 failed" in first
    assert second.startswith("backfill: ")
    assert "401" in second


def test_one_address_for_every_run(sandbox: StartSandbox, run: Command) -> None:
    """`{pass}` and `{shard}` in the address give each run its own check; a query stays behind the path."""
    with _monitor() as check:
        _sharded(sandbox, run, CUSTOMER_SYNC_PING_URL=f"{check.url}/key/{{pass}}-{{shard}}?create=1")
        bad = {"CUSTOMER_SYNC_PING_URL": f"{check.url}/{{pass}}-{{shard}}?create=1", "FOLKFORM_TOKEN": "wrong-token"}
        assert run(sandbox(), "backfill", **bad).code == 3
    shards = [f"/key/incremental-{index}-of-2{what}?create=1" for index in (0, 1) for what in ("/start", "")]
    assert [path for path, _ in check.received] == [
        *shards,
        "/backfill-all/start?create=1",
        "/backfill-all/fail?create=1",
    ]


def test_an_unreachable_monitor_is_quiet(sandbox: StartSandbox, run: Command) -> None:
    """With -q a successful run prints nothing, even if its pings fail."""
    outcome = run(_recent(sandbox, 3), "incremental", "-q", CUSTOMER_SYNC_PING_URL="http://127.0.0.1:9/uuid")
    assert outcome == Outcome(0, "", "")


def test_a_ping_is_clean(sandbox: StartSandbox, run: Command) -> None:
    """Its body is one line without secrets and control characters, whatever FolkForm answers."""
    box = sandbox()
    token = quote(box.environment["FOLKFORM_TOKEN"], safe="").replace("-", "%2d")
    message = f"no {token}\x1b[2J\r\nfine"
    box.faults.add(Fault("status", service="folkform", status=400, times=None, message=message))
    with _monitor() as check:
        assert run(box, "incremental", CUSTOMER_SYNC_PING_URL=f"{check.url}/x").code == 3
    path, body = check.received[-1]
    assert path.endswith("/fail")
    assert body.isprintable()
    assert "400" in body
    assert not any(one in unquote(body) for one in (box.environment["FOLKFORM_TOKEN"], "\x1b"))


def test_a_signal_pings(sandbox: StartSandbox, run: Command) -> None:
    """A run that a signal stops pings a failure."""
    box = _recent(sandbox, 60, folkform_latency=0.2)
    with _monitor() as check:
        process = run.start(box, "incremental", CUSTOMER_SYNC_PING_URL=f"{check.url}/uuid")
        wait_until(lambda: writes(box) > 3)
        process.terminate()
        assert run.end(process).code == 143
    assert [path for path, _ in check.received] == ["/uuid/start", "/uuid/fail"]


@pytest.mark.parametrize("status", [301, 404, 500, None])
def test_a_ping_that_fails(sandbox: StartSandbox, run: Command, status: int | None) -> None:
    """A ping that fails is a warning and changes no result; its address stays secret."""
    with _monitor(status or 200) as check:
        url = f"{check.url if status else 'http://127.0.0.1:9'}/secret-uuid-123"
        outcome = run(_recent(sandbox, 3), "incremental", "-v", "--debug", CUSTOMER_SYNC_PING_URL=url)
    assert outcome.code == 0
    assert "cannot ping the monitor" in outcome.err
    assert "secret-uuid-123" not in outcome.output
