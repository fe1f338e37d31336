"""This machine: its lock directory, and its clock compared with those of the services."""

import os
from collections.abc import Mapping
from pathlib import Path

from customer_sync.core.clock import Clock
from customer_sync.core.errors import ExitCode, SettingsError
from customer_sync.core.locks import PageLocks
from customer_sync.results.findings import Report, found_wrong
from customer_sync.services.folkform_access import SERVICE as FOLKFORM
from customer_sync.services.pancake import SERVICE as PANCAKE

MACHINE = "This machine"
_APART = 60.0


def check_locks(report: Report, directory: Path, clock: Clock) -> None:
    """Makes the directory if it is missing, as the first pass would."""
    try:
        PageLocks(directory, clock).make_directory()
    except SettingsError as error:
        report.add(found_wrong(MACHINE, "lock directory", error))
        return
    if os.access(directory, os.W_OK | os.X_OK):
        report.ok("lock directory", f"{directory}, owned by {_owner(directory)}; run cron as the same user")
    else:
        detail = f"CUSTOMER_SYNC_LOCK_DIR {directory} is not writable (owned by {_owner(directory)})"
        report.wrong("lock directory", detail, "Set another directory, or run as that user.", ExitCode.USAGE)


def _owner(directory: Path) -> str:
    try:
        return directory.owner()
    except KeyError:
        return f"user {directory.stat().st_uid}"


def check_clocks(report: Report, ahead: Mapping[str, float]) -> None:
    """*ahead* is how far each service's clock is ahead of this machine's, seconds."""
    for service in (one for one in (FOLKFORM, PANCAKE) if one in ahead):
        seconds = ahead[service]
        if abs(seconds) <= _APART:
            report.ok(f"{service}'s clock", "agrees with this machine's")
            continue
        apart = f"{abs(seconds):,.0f} s"
        detail = f"this machine is {apart} behind it" if seconds > 0 else f"{apart} behind this machine"
        effect = "changes are copied that much later" if service == PANCAKE else "no pass depends on it"
        step = "Correct the clock that is wrong; timedatectl shows this machine's."
        report.warn(f"{service}'s clock", f"{detail}: {effect}", step)
