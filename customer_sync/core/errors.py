"""The errors a user can meet. Each is one sentence and the next step, and has its exit code.

CustomerSyncError
├── SettingsError         the command line or the environment is wrong               2
├── WrongClock            a clock is minutes off: what is recent is not known        3
├── MachineError          no more threads or memory                                  75
├── StopRequested         a signal ended the run                                     its own
│   └── TimeIsUp          the time limit ended the run                               0
└── ServiceError          Pancake or FolkForm
    ├── Unreachable       no usable answer: connection, timeout, 5xx, 429, not JSON  75
    │   └── ServerError   the service's own 500: down, or cannot process one request 75
    ├── Refused           the service rejected one request                           3
    ├── TokenRefused      the service rejected a token, a role or a permission       3
    └── ContractBroken    the answer violates the service's contract                 3
"""

from enum import IntEnum

from customer_sync.core.command_line import command


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
        """What to do after a run with this exit code; empty if nothing is to be done."""
        match self:
            case ExitCode.OK:
                return ""
            case ExitCode.PARTIAL:
                repair = command("backfill", "--page", "X")
                return f"Fix the cause. The next run retries failed pages; for failed customers run {repair}."
            case ExitCode.USAGE:
                return f"Fix the settings listed above, then run {command('check')}."
            case ExitCode.REFUSED:
                return f"Manual action required: do what the error says, then run {command('check')}."
            case _:
                return "Nothing to do: the next run continues from there."


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
    """The command line or the environment is wrong; *problems* lists everything at once."""

    exit_code = ExitCode.USAGE

    def __init__(self, problems: list[str], next_step: str = "") -> None:
        super().__init__("; ".join(problems), next_step)
        self.problems = problems


class WrongClock(CustomerSyncError):
    """A clock is minutes off, so the latest changes may not have been read."""

    exit_code = ExitCode.REFUSED


class MachineError(CustomerSyncError):
    """This machine gives the process no more threads or memory."""

    exit_code = ExitCode.TRY_LATER


def machine_error(error: Exception) -> MachineError | None:
    """Our error for one of Python that means that the machine gives no more; None for any other."""
    if isinstance(error, MemoryError):
        return MachineError("This machine has no memory left for the process", "Raise its memory limit.")
    if "can't start new thread" in str(error):
        step = (
            "Raise its limit of processes and memory, or lower CUSTOMER_SYNC_WORKERS and CUSTOMER_SYNC_PAGES_AT_ONCE."
        )
        return MachineError("This machine starts no more threads for the process", step)
    return None


class StopRequested(CustomerSyncError):
    """The run was asked to end; the request has the exit code."""

    def __init__(self, problem: str, exit_code: ExitCode) -> None:
        super().__init__(problem)
        self.exit_code = exit_code


class TimeIsUp(StopRequested):
    """The time limit is reached, or a wait would exceed it."""

    def __init__(self, problem: str = "The time limit (--max-runtime) was reached") -> None:
        super().__init__(problem, ExitCode.OK)


class ServiceError(CustomerSyncError):
    """One of the two services is the cause.

    *server_message* is the service's own text, *status* HTTP's (0: none), *code* the one in the service's own answer.
    Of an Unreachable, *retry_after* is the wait that the service demands (seconds), *too_many* whether it was a 429;
    of a ContractBroken, *too_large* whether fewer records at once may be an answer that can be taken.
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
        retry_after: float = 0.0,
        too_many: bool = False,
        too_large: bool = False,
    ) -> None:
        super().__init__(f"{service} {problem}", next_step)
        self.service = service
        self.server_message = server_message
        self.status = status
        self.code = code
        self.retry_after = retry_after
        self.too_many = too_many
        self.too_large = too_large

    @property
    def sentence(self) -> str:
        return f"{self.problem}: {self.server_message.rstrip('.')}" if self.server_message else self.problem


class Unreachable(ServiceError):
    """No usable answer; a later request may get one."""

    exit_code = ExitCode.TRY_LATER


class ServerError(Unreachable):
    """The service itself answered 500, no proxy before it: it is down, or it cannot process this one request."""


class Refused(ServiceError):
    """The service rejected this one request; a retry would not help."""


class TokenRefused(ServiceError):
    """The service rejected a token, a role or a permission."""


class ContractBroken(ServiceError):
    """The answer violates the service's contract; to continue could lose customers."""
