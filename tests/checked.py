"""What the tests of `check` share: the command run with `--json`, or the same in this process, and what it found."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from customer_sync.check.run import fill_in
from customer_sync.core.clock import Clock
from customer_sync.http.redact import Redactor
from customer_sync.results.findings import CheckResult, Finding
from customer_sync.sandbox import Sandbox

from .conftest import Command, Outcome
from .proxy import Proxy

CRON_FILE = "cron.env"


@dataclass(frozen=True)
class Checked:
    """What one check has found: the object that `--json` prints."""

    json: dict[str, Any]

    @property
    def findings(self) -> list[dict[str, Any]]:
        findings: list[dict[str, Any]] = self.json["findings"]
        return findings

    @property
    def code(self) -> int:
        return int(self.json["exit_code"])

    def __getitem__(self, name: str) -> dict[str, Any]:
        """The one finding that is called `FolkForm: role`."""
        (finding,) = (one for one in self.findings if _name(one) == name)
        return finding

    def __contains__(self, name: str) -> bool:
        return any(_name(one) == name for one in self.findings)

    def of(self, state: str, *, cron: bool = False) -> list[str]:
        """The names of the findings of a state; what cron sees otherwise is nearly the same in every test."""
        return [_name(one) for one in self.findings if one["state"] == state and (cron or one["area"] != "Cron")]

    @property
    def wrong(self) -> list[str]:
        return self.of("wrong")

    @property
    def warnings(self) -> list[str]:
        return self.of("warning")


class Checks:
    """Runs checks in this process, where cron has no settings file."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def __call__(self, at: Sandbox | Proxy | None, *page_ids: str, **environment: str) -> Checked:
        variables = {
            **(at.whole_environment if at else {}),
            "CUSTOMER_SYNC_LOCK_DIR": str(self.home / "locks"),
            "CUSTOMER_SYNC_PANCAKE_RPS": "1000",
            "ENVIRONMENT": str(self.home / CRON_FILE),
            **environment,
        }
        clock = Clock()
        result = CheckResult(clock.now())
        fill_in(result, page_ids, variables, clock, redact=Redactor(), listener=_NullListener())
        return _consistent(Checked(result.as_json()))


class _NullListener:
    """Listens to a check and says nothing."""

    def heading(self, title: str, width: int) -> None: ...

    def finding(self, finding: Finding) -> None: ...


def check(run: Command, box: Sandbox | None, *arguments: str, **environment: str) -> Checked:
    """Runs the command, where cron has no settings file."""
    return read(run(box, "check", "--json", *arguments, **{"ENVIRONMENT": str(run.home / CRON_FILE), **environment}))


def read(outcome: Outcome) -> Checked:
    """What a run with `--json` has found."""
    checked = _consistent(Checked(outcome.json))
    assert checked.code == outcome.code
    return checked


def _consistent(checked: Checked) -> Checked:
    """The totals are those of the findings, and each says what to do unless there is nothing to do."""
    for state in ("ok", "warning", "wrong"):
        assert checked.json["totals"][state] == len(checked.of(state, cron=True))
    assert all((one["state"] == "ok") == (one["next_step"] == "") for one in checked.findings)
    return checked


def _name(finding: dict[str, Any]) -> str:
    return f"{finding['area']}: {finding['what']}"
