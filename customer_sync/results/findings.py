"""What a check has found: each thing looked at, in order or not, and the exit code that follows from them."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Protocol

from customer_sync.core.errors import CustomerSyncError, ExitCode, ServiceError, StopRequested
from customer_sync.results.page_result import Status
from customer_sync.results.pass_result import utc_text

log = logging.getLogger(__name__)

CHECK = "check"
_NAME_WIDTH = 20
_LOOK_CLOSER = "Try again later; with -v each request is told."


class State(StrEnum):
    """How a thing is."""

    OK = "ok"
    WARNING = "warning"
    """The passes work, but somebody should know."""
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: *detail* tells how it is, *next_step* what to do about it."""

    area: str
    what: str
    state: State
    detail: str
    next_step: str = ""
    exit_code: ExitCode = ExitCode.OK
    """What a scheduler should learn of it; 0 unless it is wrong."""

    def as_json(self) -> dict[str, Any]:
        return {
            "area": self.area,
            "what": self.what,
            "state": self.state.value,
            "detail": self.detail,
            "next_step": self.next_step,
        }


def found_wrong(area: str, what: str, error: CustomerSyncError) -> Finding:
    """What an error says."""
    log.debug("%s: %s is wrong", area, what, exc_info=error)
    return Finding(area, what, State.WRONG, error.sentence, error.next_step or _LOOK_CLOSER, error.exit_code)


@dataclass
class CheckResult:
    """Everything found. *started_at* is Unix seconds, UTC; *duration* is seconds."""

    started_at: float
    duration: float = 0.0
    findings: list[Finding] = field(default_factory=list)
    requests: Callable[[], int] = lambda: 0
    """How many requests were made."""
    ended: bool = False
    stopped: StopRequested | None = None
    """Why not everything was looked at."""

    def count(self, state: State) -> int:
        return sum(finding.state is state for finding in self.findings)

    @property
    def exit_code(self) -> ExitCode:
        if self.stopped and self.stopped.exit_code:
            return self.stopped.exit_code
        codes = {finding.exit_code for finding in self.findings}
        for code in (ExitCode.USAGE, ExitCode.REFUSED, ExitCode.TRY_LATER):
            if code in codes:
                return code
        return ExitCode.TRY_LATER if self.stopped else ExitCode.OK

    @property
    def status(self) -> Status:
        if self.stopped:
            return Status.INTERRUPTED
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


class Listener(Protocol):
    """Who is told what is found, as it is found."""

    def heading(self, title: str, width: int) -> None: ...

    def finding(self, finding: Finding) -> None: ...


class _SectionEndsError(Exception):
    """What comes next in a section hangs on what has failed."""


class Report:
    """Takes down what is found, without secrets, and tells it at once."""

    def __init__(self, result: CheckResult, listener: Listener, redact: Callable[[str], str]) -> None:
        self._result = result
        self._listener = listener
        self._redact = redact
        self._area = ""

    @contextmanager
    def section(self, title: str, names: Sequence[str] = ()) -> Iterator[None]:
        """What is found about one subject, until a step fails. *names* are those of the things, where they are long."""
        self._area = title
        self._listener.heading(title, max([_NAME_WIDTH, *map(len, names)]))
        with suppress(_SectionEndsError):
            yield

    @contextmanager
    def step(self, what: str, kind: type[CustomerSyncError] = ServiceError) -> Iterator[None]:
        """An error of this *kind* is what is found; the section ends with it."""
        try:
            yield
        except kind as error:
            self.add(found_wrong(self._area, what, error))
            raise _SectionEndsError from None

    def ok(self, what: str, detail: str) -> None:
        self.add(Finding(self._area, what, State.OK, detail))

    def warn(self, what: str, detail: str, next_step: str) -> None:
        self.add(Finding(self._area, what, State.WARNING, detail, next_step))

    def wrong(self, what: str, detail: str, next_step: str, exit_code: ExitCode) -> None:
        self.add(Finding(self._area, what, State.WRONG, detail, next_step, exit_code))

    def add(self, finding: Finding) -> None:
        self._listener.finding(self._note(finding))

    def add_together(self, what: str, detail: str, findings: Sequence[Finding]) -> None:
        """Several things in order, told as one; each counts."""
        for finding in findings:
            self._note(finding)
        if findings:
            self._listener.finding(Finding(self._area, what, State.OK, self._redact(detail)))

    def _note(self, finding: Finding) -> Finding:
        clean = replace(finding, detail=self._redact(finding.detail), next_step=self._redact(finding.next_step))
        self._result.findings.append(clean)
        return clean
