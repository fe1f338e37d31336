"""The embedded Pancake and FolkForm: `sandbox` serves them, `demo` runs the program on them."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import TYPE_CHECKING

from customer_sync.core.command_line import NAME, own_path, quoted
from customer_sync.core.errors import ExitCode, SettingsError
from customer_sync.output.console import Screen

if TYPE_CHECKING:
    from customer_sync.sandbox import Sandbox

_PAGES, _CUSTOMERS, _CHANGES = 3, 400, 25
# A pass leaves the last two seconds to the next one.
_SETTLE_SECONDS = 3.0
_OURS = ("PANCAKE_", "FOLKFORM_", "FIREBASE_", "CUSTOMER_SYNC_")


def serve_sandbox(screen: Screen, port: int, pages: int, customers: int, seed: int, data: str | None) -> int:
    """Serves until SIGINT or SIGTERM; prints the variables that point the program here. Returns the exit code."""
    from_package = _sandbox_package()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # The server stops gracefully on Ctrl-C.

    def ready(sandbox: "Sandbox") -> None:
        for variable, value in (sandbox.environment | sandbox.sign_in_environment).items():
            screen.print_raw(f"export {variable}={quoted(value)}")
        if shutil.which(NAME) is None:
            screen.print_raw(f'export PATH={quoted(str(own_path().parent))}:"$PATH"')
        counts = f"{len(sandbox.pancake.page_ids())} pages; behaviour: {sandbox.url}/sandbox/behaviour"
        screen.info(f"Serving Pancake and FolkForm at {sandbox.url}, {counts}. Ctrl-C stops it.")

    try:
        from_package.serve(port=port, pages=pages, customers=customers, seed=seed, data=data, ready=ready)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise SettingsError([f"the sandbox cannot serve on port {port} ({reason})"], "Try --port 0.") from None
    except sqlite3.Error as error:
        raise SettingsError([f"--data {data} cannot be used ({error})"], "Name a SQLite file or a new one.") from None
    except KeyboardInterrupt:
        screen.info("Stopped.")
    return ExitCode.OK


def run_demo(screen: Screen) -> int:
    """Both passes, some changes, another pass, then both sides compared. Returns 0 when they are equal."""
    sandbox_class = _sandbox_package().Sandbox
    # Ended by a signal it removes its files, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(ExitCode.SIGTERM))
    with sandbox_class(pages=_PAGES, customers=_CUSTOMERS) as sandbox, TemporaryDirectory() as lock_dir:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        environment |= {**sandbox.environment, "CUSTOMER_SYNC_LOCK_DIR": lock_dir}
        screen.print(
            f"An embedded Pancake and FolkForm: {_PAGES} pages, {_CUSTOMERS:,} customers each. FolkForm is empty."
        )
        _run(screen, "incremental", "the last 30 days", environment)
        _run(screen, "backfill", "the older history", environment)
        changed = sandbox.pancake.change_customers(_CHANGES)
        screen.print("")
        screen.print(f"… {len(changed)} customers change in Pancake …")
        time.sleep(_SETTLE_SECONDS)
        _run(screen, "incremental", "what changed", environment)
        _run(screen, "verify", "both sides, compared", environment)
        equal = sandbox.difference().equal
    screen.print("")
    screen.print("Both sides are equal, field by field." if equal else "The two sides differ.")
    return ExitCode.OK if equal else ExitCode.PARTIAL


def _run(screen: Screen, command: str, why: str, environment: dict[str, str]) -> None:
    screen.print("")
    screen.print(f"$ customer-sync {command}    # {why}")
    subprocess.run([sys.executable, "-m", "customer_sync", command], env=environment, check=False)  # noqa: S603


def _sandbox_package() -> ModuleType:
    """The sandbox, imported only here: the passes work without the extra. Raises SettingsError."""
    try:
        from customer_sync import sandbox
    except ModuleNotFoundError as error:
        problem = f"the sandbox needs {error.name}, which is not installed"
        raise SettingsError(
            [problem], "Install it in a clone: pip install '.[sandbox]', or pipx install --force '.[sandbox]'"
        ) from None
    return sandbox
