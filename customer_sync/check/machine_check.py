"""This machine: where its locks are kept, and what its clock says beside those of the services."""

import os
from collections.abc import Mapping
from pathlib import Path

from customer_sync.core.clock import Clock
from customer_sync.core.errors import ExitCode, SettingsError
from customer_sync.core.locks import PageLocks
from customer_sync.results.findings import Finding, Report, State, found_wrong
from customer_sync.services.pancake import SERVICE as PANCAKE

MACHINE = "This machine"
_APART = 60.0


def check_locks(report: Report, directory: Path, clock: Clock) -> None:
    """Makes the directory when it is missing, as the first pass would."""
    try:
        PageLocks(directory, clock).make_directory()
    except SettingsError as error:
        report.add(found_wrong(MACHINE, "lock directory", error))
        return
    if os.access(directory, os.W_OK | os.X_OK):
        report.ok("lock directory", f"{directory}, owned by {_owner(directory)}; let cron run as the same user")
    else:
        detail = f"CUSTOMER_SYNC_LOCK_DIR {directory} cannot be written to (it is {_owner(directory)}'s)"
        report.wrong("lock directory", detail, "Name another directory, or run as that user.", ExitCode.USAGE)


def _owner(directory: Path) -> str:
    try:
        return directory.owner()
    except KeyError:
        return f"user {directory.stat().st_uid}"


def check_clocks(report: Report, ahead: Mapping[str, float]) -> None:
    """*ahead* is how far the clock of each service is ahead of this machine's, seconds."""
    agreeing = {name: seconds for name, seconds in ahead.items() if abs(seconds) <= _APART}
    if agreeing:
        findings = [
            Finding(MACHINE, f"{name}'s clock", State.OK, f"{abs(seconds):.0f} s apart")
            for name, seconds in agreeing.items()
        ]
        report.add_together("clock", "agrees with " + " and ".join(f"{name}'s" for name in agreeing), findings)
    for name, seconds in ahead.items():
        if name not in agreeing:
            _tell_difference(report, name, seconds)


def _tell_difference(report: Report, service: str, seconds: float) -> None:
    behind = "this machine's is {} behind it" if seconds > 0 else "is {} behind this machine's"
    follows = "whoever changed since is synced that much later" if service == PANCAKE else "no pass goes by it"
    detail = f"{behind.format(f'{abs(seconds):,.0f} s')}: {follows}"
    report.warn(f"{service}'s clock", detail, "Set the one that is wrong; timedatectl tells of this machine's.")
