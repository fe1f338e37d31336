"""What the tests of `check` share: the command run with `--json`, or the same in this process, and its findings."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from customer_sync.check import run as check_run
from customer_sync.core.clock import Clock
from customer_sync.http.redact import Redactor
from customer_sync.results.findings import CheckResult, Finding
from customer_sync.sandbox import Sandbox

from .conftest import Command, Outcome
from .proxy import Proxy


@dataclass(frozen=True)
class Checked:
    """The object that `--json` prints."""

    json: dict[str, Any]

    @property
    def findings(self) -> list[dict[str, Any]]:
        findings: list[dict[str, Any]] = self.json["findings"]
        return findings

    @property
    def code(self) -> int:
        return int(self.json["exit_code"])

    def __getitem__(self, name: str) -> dict[str, Any]:
        """The only finding of a name such as `FolkForm: role`."""
        (finding,) = (one for one in self.findings if _name(one) == name)
        return finding

    def __contains__(self, name: str) -> bool:
        return any(_name(one) == name for one in self.findings)

    def of(self, state: str) -> list[str]:
        """The names of the findings of a state."""
        return [_name(one) for one in self.findings if one["state"] == state]

    @property
    def wrong(self) -> list[str]:
        return self.of("wrong")

    @property
    def warnings(self) -> list[str]:
        return self.of("warning")


class Checks:
    """Runs checks in this process."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def __call__(self, at: Sandbox | Proxy | None, *page_ids: str, **environment: str) -> Checked:
        variables = {
            **(at.whole_environment if at else {}),
            "CUSTOMER_SYNC_LOCK_DIR": str(self.home / "locks"),
            "CUSTOMER_SYNC_PANCAKE_RPS": "1000",
            **environment,
        }
        clock = Clock()
        result = CheckResult(clock.now())
        check_run.check(result, page_ids, variables, clock, redact=Redactor(), listener=_NullListener())
        return _consistent(Checked(result.as_json()))


class _NullListener:
    """Shows nothing."""

    def heading(self, title: str, width: int) -> None: ...

    def finding(self, finding: Finding) -> None: ...


def check(run: Command, box: Sandbox | None, *arguments: str, **environment: str) -> Checked:
    """Runs the installed command."""
    return read(run(box, "check", "--json", *arguments, **environment))


def read(outcome: Outcome) -> Checked:
    """The findings of a run with `--json`."""
    checked = _consistent(Checked(outcome.json))
    assert checked.code == outcome.code
    return checked


def _consistent(checked: Checked) -> Checked:
    """The totals are those of the findings, and a finding has a next step unless it is in order."""
    for state in ("ok", "warning", "wrong"):
        assert checked.json["totals"][state] == len(checked.of(state))
    assert all((one["state"] == "ok") == (one["next_step"] == "") for one in checked.findings)
    return checked


def _name(finding: dict[str, Any]) -> str:
    return f"{finding['area']}: {finding['what']}"
