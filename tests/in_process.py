"""Passes in this process, over HTTP, on a clock that runs fifty times as fast."""

from pathlib import Path
from typing import Any, TypeVar

from customer_sync.cli import commands
from customer_sync.cli.run import Command, run_pages
from customer_sync.config.settings import load_settings
from customer_sync.core.clock import Clock
from customer_sync.core.errors import ExitCode
from customer_sync.http.redact import Redactor
from customer_sync.results.page_result import PageResult, SyncedPage
from customer_sync.results.pass_result import PassResult
from customer_sync.results.problems import Problem
from customer_sync.results.verified_page import VerifiedPage
from customer_sync.sandbox import Sandbox
from customer_sync.sync.passes import BACKFILL, INCREMENTAL
from customer_sync.sync.plan import PassOptions

from .proxy import Proxy

R = TypeVar("R", bound=PageResult)
WORKERS = 4
# How many times faster waits pass.
SPEED = 50
# A writer has twice as many upserts in flight as there are workers.
IN_FLIGHT = 2 * WORKERS


class QuickClock(Clock):
    """A clock whose waits are fifty times shorter; *fixed* is the time of day, Unix seconds."""

    def __init__(self, fixed: float | None = None) -> None:
        super().__init__()
        self._fixed = fixed

    def now(self) -> float:
        return super().now() if self._fixed is None else self._fixed

    def monotonic(self) -> float:
        return super().monotonic() * SPEED

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds / SPEED)


class NullListener:
    """Ignores how a pass goes on."""

    def page_started(self, result: PageResult) -> None: ...

    def customer_failed(self, result: SyncedPage, problem: Problem) -> None: ...

    def page_ended(self, result: PageResult) -> None: ...


class Passes:
    """Runs passes, one page after the other."""

    def __init__(self, lock_dir: Path) -> None:
        self.environment: dict[str, str] = {}
        """Settings of this test's own."""
        self._lock_dir = lock_dir

    def __call__(
        self, at: Sandbox | Proxy, name: str, clock: Clock | None = None, **options: Any
    ) -> PassResult[SyncedPage]:
        """One pass."""
        command = {INCREMENTAL: commands.incremental, BACKFILL: commands.backfill}[name]
        return self._run(at, command(PassOptions(**options)), clock=clock)

    def verify(self, at: Sandbox | Proxy) -> PassResult[VerifiedPage]:
        """One comparison of both sides."""
        return self._run(at, commands.verify())

    def explain(self, at: Sandbox | Proxy, customer: str, page_id: str) -> dict[str, Any]:
        """What `--json` prints about one customer, with the exit code."""
        result = self._run(at, commands.explain(customer), page_id)
        (page,) = result.pages
        return {**page.as_json(), "exit_code": int(result.exit_code)}

    def _run(
        self, at: Sandbox | Proxy, command: Command[R], *page_ids: str, clock: Clock | None = None
    ) -> PassResult[R]:
        environment = {
            **at.whole_environment,
            "CUSTOMER_SYNC_LOCK_DIR": str(self._lock_dir),
            "CUSTOMER_SYNC_PAGES_AT_ONCE": "1",
            "CUSTOMER_SYNC_PANCAKE_RPS": "1000",
            "CUSTOMER_SYNC_WORKERS": str(WORKERS),
            **self.environment,
        }
        clock = clock or QuickClock()
        result = PassResult(command.name, started_at=clock.now(), page_result=command.page_type)
        settings = load_settings(environment, {})
        run_pages(command, result, settings, clock, page_ids, redact=Redactor(), listener=NullListener())
        result.end(clock.stopping, 0.0)
        return result

    def undisturbed(self, box: Sandbox) -> None:
        """Both passes, after which no customer may be missing."""
        for name in (INCREMENTAL, BACKFILL):
            assert self(box, name).exit_code == ExitCode.OK
        assert box.difference().equal
