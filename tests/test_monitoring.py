"""What those learn who watch runs: a JSON log, metrics, pings; and that nothing of it changes a run."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from customer_sync.sandbox import Sandbox
from customer_sync.sandbox.faults import Fault

from .conftest import Command, Outcome, StartSandbox, fill_folkform, only_page, people, person, wait_until, writes

ROOT = Path(__file__).parent.parent


class Monitor(ThreadingHTTPServer):
    """Takes whatever is posted or put."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.told: list[tuple[str, str]] = []
        """Path and body of each request."""
        super().__init__(("127.0.0.1", 0), _Taker)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Taker(BaseHTTPRequestHandler):
    server: Monitor

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.told.append((self.path, body.decode()))
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
    """One page with so many recent customers."""
    box = start(**more)
    box.pancake.add_customers(only_page(box), people(count, 60, 60))
    return box


def _troubled(start: StartSandbox) -> Sandbox:
    """Two pages: of one a customer is refused, the other's token is dead for good."""
    box = start(pages=2, customers=5)
    one, other = box.pancake.page_ids()
    box.pancake.add_customer(one, person("refused", 90, page_id="another"))
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


def test_a_json_log_tells_what_failed_and_what_to_do(sandbox: StartSandbox, run: Command) -> None:
    """Each failure has its event, its page or customer, and the next step; the variable asks for it as the option."""
    box = _troubled(sandbox)
    one, other = box.pancake.page_ids()
    log = _log(run(box, "incremental", CUSTOMER_SYNC_LOG_FORMAT="json"))
    by_event = {entry["event"]: entry for entry in log}
    assert (by_event["customer_failed"]["page_id"], by_event["customer_failed"]["psid"]) == (one, "refused")
    assert "FolkForm answered 400" in by_event["customer_failed"]["reason"]
    assert by_event["page_failed"]["page_id"] == other
    assert "PANCAKE_ACCESS_TOKEN" in by_event["page_failed"]["next_step"]
    assert by_event["page_failed"]["level"] == "error"
    assert log[-1]["event"] == "run_ended"
    assert "a-token-that-is-dead" not in json.dumps(log)


def test_a_json_log_of_settings(run: Command) -> None:
    """What is wrong with the settings is told in the same form."""
    outcome = run(None, "incremental", "--log-format", "json")
    assert outcome.code == 2
    assert {entry["event"] for entry in _log(outcome)} == {"error"}
    assert all(entry["exit_code"] == 2 for entry in _log(outcome))


def test_a_json_log_beside_json(sandbox: StartSandbox, run: Command) -> None:
    """`--json` still prints its object on stdout; -v adds each request, --debug tracebacks, each in one line."""
    outcome = run(_troubled(sandbox), "backfill", "--json", "-v", "--debug", "--log-format", "json")
    events = {entry["event"] for entry in _log(outcome)}
    assert outcome.json["pass"] == "backfill"
    assert {"debug", "traceback"} <= events


@pytest.mark.parametrize("command", ["verify", "status", "check"])
def test_a_json_log_of_other_commands(sandbox: StartSandbox, run: Command, command: str) -> None:
    """The commands that only read log alike."""
    outcome = run(_recent(sandbox, 3), command, "--log-format", "json")
    assert outcome.out == ""
    assert _log(outcome)[-1]["event"] == "run_ended"


def test_an_unknown_log_format(run: Command) -> None:
    """Another format is a mistake."""
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
    """A run leaves a textfile that Prometheus reads: success, duration, customers, requests, and each page's lag."""
    box = _recent(sandbox, 7, folkform_limit=5, folkform_window=1.0)
    file = tmp_path / "customer-sync.prom"
    assert run(box, "incremental", "--metrics-file", str(file)).code == 0
    metrics = _metrics(file.read_text())
    assert metrics["exit_code"] == {"": 0}
    assert metrics["last_success_timestamp_seconds"] == metrics["last_run_timestamp_seconds"]
    assert metrics["customers"]["upserted"] == 7
    assert metrics["requests"]["FolkForm"] == box.requests.count("folkform")
    assert metrics["requests"]["Pancake"] == box.requests.count("pancake")
    assert metrics["too_many_requests"]["Pancake"] == 0
    assert metrics["page_complete"] == {only_page(box): 1}
    assert 2 <= metrics["page_lag_seconds"][only_page(box)] < 60
    assert [path.name for path in tmp_path.glob("*.prom*")] == [file.name]


def test_what_a_failed_run_carries_over(sandbox: StartSandbox, run: Command, tmp_path: Path) -> None:
    """A run that fails tells so, and when the last good one was stays known."""
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


def test_metrics_of_a_429(sandbox: StartSandbox, run: Command, tmp_path: Path) -> None:
    """Every 429 is counted for its service."""
    box = _recent(sandbox, 3)
    box.faults.add(Fault("status", service="folkform", status=429, times=2, retry_after="0"))
    assert run(box, "incremental", "--metrics-file", str(tmp_path / "m.prom")).code == 0
    assert _metrics((tmp_path / "m.prom").read_text())["too_many_requests"]["FolkForm"] == 2


def test_metrics_of_verify(sandbox: StartSandbox, run: Command, tmp_path: Path) -> None:
    """What verify finds is told by kind."""
    box = _recent(sandbox, 3)
    assert run(box, "verify", "--metrics-file", str(tmp_path / "m.prom")).code == 1
    assert _metrics((tmp_path / "m.prom").read_text())["customers"]["missing"] == 3


def test_a_pushgateway(sandbox: StartSandbox, run: Command) -> None:
    """The same is pushed to a gateway, for each pass a group of its own; a failed run pushes no success."""
    box = _recent(sandbox, 3)
    with _monitor() as gateway:
        assert run(box, "incremental", "--pushgateway", gateway.url).code == 0
        assert run(box, "incremental", CUSTOMER_SYNC_PUSHGATEWAY=gateway.url, FOLKFORM_TOKEN="wrong-token").code == 3
    (path, good), (_, bad) = gateway.told
    assert path == "/metrics/job/customer-sync/pass/incremental"
    assert "customer_sync_last_success_timestamp_seconds" in good
    assert "customer_sync_last_success_timestamp_seconds" not in bad
    assert "customer_sync_exit_code" in bad


def test_metrics_that_cannot_be_kept(sandbox: StartSandbox, run: Command) -> None:
    """A file that cannot be written and a gateway that is not there are told and change nothing."""
    box = _recent(sandbox, 3)
    outcome = run(
        box,
        "incremental",
        CUSTOMER_SYNC_METRICS_FILE="/nowhere/at.all",
        CUSTOMER_SYNC_PUSHGATEWAY="http://user:gateway-password@127.0.0.1:9",
    )
    assert (outcome.code, writes(box)) == (0, 3)
    assert "the metrics cannot be written to /nowhere/at.all (No such file or directory)" in outcome.err
    assert "the metrics cannot be pushed to the gateway" in outcome.err
    assert "gateway-password" not in outcome.said


def test_metrics_without_the_extra(sandbox: StartSandbox, run: Command, tmp_path: Path) -> None:
    """Without its library metrics are refused before anything is done, with the way to get it; else nobody needs it."""
    (tmp_path / "prometheus_client.py").write_text(
        'raise ModuleNotFoundError("No module", name="prometheus_client")\n', encoding="utf-8"
    )
    box = _recent(sandbox, 3)
    outcome = run(box, "incremental", "--metrics-file", "m.prom", PYTHONPATH=str(tmp_path))
    assert (outcome.code, box.requests.count()) == (2, 0)
    assert "prometheus_client" in outcome.err
    assert "metrics" in outcome.err
    assert run(box, "incremental", PYTHONPATH=str(tmp_path)).code == 0


# Pings


def test_pings(sandbox: StartSandbox, run: Command) -> None:
    """The check hears of the start and of the success, with the summary line as body."""
    with _monitor() as check:
        outcome = run(_recent(sandbox, 3), "incremental", "--ping-url", f"{check.url}/ping/secret-uuid-123/")
    (start, nothing), (end, summary) = check.told
    assert (start, nothing, end) == ("/ping/secret-uuid-123/start", "", "/ping/secret-uuid-123")
    assert summary == outcome.out.strip()
    assert summary.startswith("incremental: ok, 1 page, 3 read = 3 upserted")


def test_pings_of_failures(sandbox: StartSandbox, run: Command) -> None:
    """A run that fails pings so, whether a customer failed, nothing could be done, or a page is unknown."""
    with _monitor() as check:
        settings = {"CUSTOMER_SYNC_PING_URL": f"{check.url}/secret-uuid-123"}
        assert run(_troubled(sandbox), "incremental", **settings).code == 1
        assert run(sandbox(), "backfill", **settings, FOLKFORM_TOKEN="wrong-token").code == 3
        assert run(sandbox(), "backfill", "--page", "nobodys", **settings).code == 2
    ends = [body for path, body in check.told if path == "/secret-uuid-123/fail"]
    assert len(ends) == 3
    assert len(check.told) == 6
    assert "1 failed" in ends[0]
    assert "broke off (FolkForm knows no page nobodys" in ends[2]


def test_a_signal_pings(sandbox: StartSandbox, run: Command) -> None:
    """A run that is told to end pings a failure."""
    box = _recent(sandbox, 60, folkform_latency=0.2)
    with _monitor() as check:
        process = run.start(box, "incremental", "--ping-url", f"{check.url}/uuid")
        wait_until(lambda: writes(box) > 3)
        process.terminate()
        assert run.end(process).code == 143
    assert [path for path, _ in check.told] == ["/uuid/start", "/uuid/fail"]


@pytest.mark.parametrize("status", [404, 500, None])
def test_a_monitor_that_does_not_take_it(sandbox: StartSandbox, run: Command, status: int | None) -> None:
    """What becomes of a ping changes no result; its address is a secret all the same."""
    with _monitor(status or 200) as check:
        url = f"{check.url if status else 'http://127.0.0.1:9'}/secret-uuid-123"
        outcome = run(_recent(sandbox, 3), "incremental", "-v", "--debug", "--ping-url", url)
    assert outcome.code == 0
    assert "the monitor could not be pinged" in outcome.err
    assert "secret-uuid-123" not in outcome.said


def test_a_dry_run_is_nobodys_business(sandbox: StartSandbox, run: Command, tmp_path: Path) -> None:
    """A dry run tells no monitor that all is well."""
    box = _recent(sandbox, 3)
    fill_folkform(box)
    with _monitor() as check:
        settings = {"CUSTOMER_SYNC_PING_URL": check.url, "CUSTOMER_SYNC_METRICS_FILE": str(tmp_path / "m.prom")}
        assert run(box, "incremental", "--dry-run", **settings).code == 0
    assert check.told == []
    assert not (tmp_path / "m.prom").exists()


# The alerts


def test_the_alerts_ask_for_what_is_told(sandbox: StartSandbox, run: Command, tmp_path: Path) -> None:
    """Every metric, pass and outcome that an alert names is one that a run tells."""
    rules = yaml.safe_load((ROOT / "deploy" / "alerts.yaml").read_text(encoding="utf-8"))["groups"][0]["rules"]
    assert len(rules) == 3
    box = _recent(sandbox)
    for command in ("incremental", "verify"):
        assert run(box, command, CUSTOMER_SYNC_METRICS_FILE=str(tmp_path)).code == 0
    told = "".join(file.read_text() for file in tmp_path.glob("*.prom"))
    for rule in rules:
        assert {"alert", "expr", "labels", "annotations"} <= rule.keys()
        names = re.findall(r"customer_sync_\w+", rule["expr"])
        assert names
        assert all(f"\n{name}{{" in told for name in names)
        for value in re.findall(r'"([^"]+)"', rule["expr"]):
            assert all(f'"{one}"' in told for one in value.split("|"))
