"""The findings of a check, and the exit code that follows from them."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, Protocol

from customer_sync.core.errors import CustomerSyncError, ExitCode, ServiceError, StopRequested
from customer_sync.results.page_result import Status
from customer_sync.results.pass_result import status_when, utc_text

log = logging.getLogger(__name__)

CHECK = "check"
_NAME_WIDTH = 20
_TRY_LATER = "Try again later; -v logs every request."


class State(StrEnum):
    """The state of one thing that was checked."""

    OK = "ok"
    WARNING = "warning"
    """The passes work, but an operator should know."""
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked: its *detail*, and the *next_step* unless it is in order."""

    area: str
    what: str
    state: State
    detail: str
    next_step: str = ""
    exit_code: ExitCode = ExitCode.OK
    """0 unless the thing is wrong."""

    @property
    def needs_a_person(self) -> bool:
        """Whether an operator must act on it, now or in good time."""
        return self.state is not State.OK and not self.next_step.startswith("Nothing")

    def as_json(self) -> dict[str, Any]:
        return {name: str(value) for name, value in asdict(self).items() if name != "exit_code"}


def found_wrong(area: str, what: str, error: CustomerSyncError) -> Finding:
    """The finding of an error."""
    log.debug("%s: %s is wrong", area, what, exc_info=error)
    return Finding(area, what, State.WRONG, error.sentence, error.next_step or _TRY_LATER, error.exit_code)


@dataclass
class CheckResult:
    """Everything found. *started_at* is Unix seconds, UTC; *duration* is seconds."""

    started_at: float
    duration: float = 0.0
    findings: list[Finding] = field(default_factory=list)
    requests: Callable[[], int] = lambda: 0
    """How many requests were made."""
    stopped: StopRequested | None = None
    """Why not everything was checked."""

    def count(self, state: State) -> int:
        return sum(finding.state is state for finding in self.findings)

    @property
    def exit_code(self) -> ExitCode:
        if self.stopped and self.stopped.exit_code:
            return self.stopped.exit_code
        codes = {finding.exit_code for finding in self.findings}
        worst_first = (ExitCode.USAGE, ExitCode.REFUSED, ExitCode.TRY_LATER)
        return next(
            (code for code in worst_first if code in codes), ExitCode.TRY_LATER if self.stopped else ExitCode.OK
        )

    @property
    def status(self) -> Status:
        if self.stopped:
            return status_when(self.stopped)
        return Status.FAILED if self.count(State.WRONG) else Status.OK

    def as_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {
            "pass": CHECK,
            "status": self.status.value,
            "exit_code": int(self.exit_code),
            "started_at": utc_text(self.started_at),
            "duration_s": round(self.duration, 1),
            "findings": [finding.as_json() for finding in self.findings],
            "totals": {**{state.value: self.count(state) for state in State}, "requests": self.requests()},
        }


class FindingListener(Protocol):
    """Shows the findings as they come."""

    def heading(self, title: str, width: int) -> None: ...

    def finding(self, finding: Finding) -> None: ...


class _SectionEnds(Exception):
    """The rest of a section depends on what has failed."""


class Report:
    """Collects the findings, without secrets, and shows each at once."""

    def __init__(self, result: CheckResult, listener: FindingListener, redact: Callable[[str], str]) -> None:
        self._result = result
        self._listener = listener
        self._redact = redact
        self._area = ""

    @contextmanager
    def section(self, title: str, names: Sequence[str] = ()) -> Iterator[None]:
        """The findings about one subject, until a step fails; *names* are the long names among them."""
        self._area = title
        self._listener.heading(title, max([_NAME_WIDTH, *map(len, names)]))
        with suppress(_SectionEnds):
            yield

    @contextmanager
    def step(self, what: str, kind: type[CustomerSyncError] = ServiceError) -> Iterator[None]:
        """An error of this *kind* becomes a finding and ends the section."""
        try:
            yield
        except kind as error:
            self.add(found_wrong(self._area, what, error))
            raise _SectionEnds from None

    def ok(self, what: str, detail: str) -> None:
        self.add(Finding(self._area, what, State.OK, detail))

    def warn(self, what: str, detail: str, next_step: str) -> None:
        self.add(Finding(self._area, what, State.WARNING, detail, next_step))

    def wrong(self, what: str, detail: str, next_step: str, exit_code: ExitCode) -> None:
        self.add(Finding(self._area, what, State.WRONG, detail, next_step, exit_code))

    def add(self, finding: Finding) -> None:
        self._listener.finding(self._keep(finding))

    def add_together(self, what: str, detail: str, findings: Sequence[Finding]) -> None:
        """Several findings of one state and next step, shown as one; each counts."""
        kept = [self._keep(finding) for finding in findings]
        if kept:
            self._listener.finding(replace(kept[0], area=self._area, what=what, detail=self._redact(detail)))

    def _keep(self, finding: Finding) -> Finding:
        clean = replace(finding, detail=self._redact(finding.detail), next_step=self._redact(finding.next_step))
        self._result.findings.append(clean)
        return clean
