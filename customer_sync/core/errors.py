"""The errors a user can meet. Each is one sentence and the next step, and knows its exit code.

CustomerSyncError
├── SettingsError         the command line or the environment is wrong               2
├── StopRequested         a signal ended the work                                    its own
│   └── TimeIsUp          the time limit did                                         0
└── ServiceError          Pancake or FolkForm
    ├── Unreachable       no usable answer: connection, timeout, 5xx, 429, not JSON  75
    │   └── ServerError   its own 500: it is down, or cannot take this one request   75
    ├── Refused           it said no to this one request                             3
    ├── TokenRefused      it said no to us: token, role, permission                  3
    └── ContractBroken    it answered what the contract rules out                    3
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """What a scheduler learns from a run."""

    OK = 0
    PARTIAL = 1
    USAGE = 2
    REFUSED = 3
    TRY_LATER = 75
    SIGINT = 130
    SIGTERM = 143

    @property
    def next_step(self) -> str:
        """What to do about a run that ended so; empty where nothing is to be done."""
        return _NEXT_STEPS.get(self, "")


_GOES_ON = "Nothing: the next run goes on from there."
_NEXT_STEPS = {
    ExitCode.PARTIAL: "Read what failed: the next run tries failed pages again, backfill --page X failed customers.",
    ExitCode.USAGE: "Mend what is named, then customer-sync check.",
    ExitCode.REFUSED: "A person must act, as the error says; customer-sync check looks at everything.",
    ExitCode.TRY_LATER: _GOES_ON,
    ExitCode.SIGINT: _GOES_ON,
    ExitCode.SIGTERM: _GOES_ON,
}


class CustomerSyncError(Exception):
    """*problem* is a sentence without its full stop, *next_step* what to do about it."""

    exit_code = ExitCode.PARTIAL

    def __init__(self, problem: str, next_step: str = "") -> None:
        super().__init__(problem, next_step)
        self.problem = problem
        self.next_step = next_step

    @property
    def sentence(self) -> str:
        """What went wrong, without the next step."""
        return self.problem

    def __str__(self) -> str:
        return f"{self.sentence}. {self.next_step}" if self.next_step else self.sentence


class SettingsError(CustomerSyncError):
    """The command line or the environment is wrong; *problems* names everything at once."""

    exit_code = ExitCode.USAGE

    def __init__(self, problems: list[str], next_step: str = "") -> None:
        super().__init__("; ".join(problems), next_step)
        self.problems = problems


class StopRequested(CustomerSyncError):
    """The work was asked to end; its exit code is that of the request."""

    def __init__(self, problem: str, exit_code: ExitCode) -> None:
        super().__init__(problem)
        self.exit_code = exit_code


class TimeIsUp(StopRequested):
    """The time limit is reached, or a wait would outlast it."""

    def __init__(self, problem: str = "The time limit (--max-runtime) was reached") -> None:
        super().__init__(problem, ExitCode.OK)


class ServiceError(CustomerSyncError):
    """One of the two services is the cause; *service* is its name, *said* its own words.

    *status* is HTTP's, 0 where there was none; *code* the one in the service's own answer, empty where there was none.
    """

    exit_code = ExitCode.REFUSED

    def __init__(
        self,
        service: str,
        problem: str,
        next_step: str = "",
        *,
        server_message: str = "",
        status: int = 0,
        code: str = "",
    ) -> None:
        super().__init__(f"{service} {problem}", next_step)
        self.service = service
        self.server_message = server_message
        self.status = status
        self.code = code

    @property
    def sentence(self) -> str:
        return f"{self.problem}: {self.server_message.rstrip('.')}" if self.server_message else self.problem


class Unreachable(ServiceError):
    """No usable answer, but there may be one later.

    *retry_after* is how long the service asked us to wait (seconds), *too_many* that we asked too fast.
    """

    exit_code = ExitCode.TRY_LATER

    def __init__(
        self,
        service: str,
        problem: str,
        next_step: str = "",
        *,
        server_message: str = "",
        status: int = 0,
        code: str = "",
        retry_after: float = 0.0,
        too_many: bool = False,
    ) -> None:
        super().__init__(service, problem, next_step, server_message=server_message, status=status, code=code)
        self.retry_after = retry_after
        self.too_many = too_many


class ServerError(Unreachable):
    """The service itself answered 500, no proxy before it: it is down, or it cannot take this one request."""


class Refused(ServiceError):
    """The service said no to this one request; asking again would not help."""


class TokenRefused(ServiceError):
    """The service said no to us: a token, a role or a permission."""


class ContractBroken(ServiceError):
    """The service answered what its contract rules out; going on could lose customers."""
