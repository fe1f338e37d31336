"""The arguments of one run, read and checked together with the settings, so that one error names every problem."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from customer_sync.config.settings import Settings, load_settings, load_shard
from customer_sync.core.clock import local_time
from customer_sync.core.errors import SettingsError
from customer_sync.core.moment import has_zone, parse_moment
from customer_sync.core.shard import Shard

if TYPE_CHECKING:
    from customer_sync.sync.plan import PassOptions


@dataclass(frozen=True, slots=True)
class Arguments:
    """What the command line says about one run, as text."""

    page_ids: Sequence[str] = ()
    shard: str | None = None
    since: str | None = None
    until: str | None = None
    max_runtime: str | None = None
    jitter: str | None = None
    full: bool = False
    rewrite: bool = False
    dry_run: bool = False
    quick: bool = False
    psid: str | None = None
    scheduled: bool = True
    """Whether a scheduler runs this command: then it takes a shard, waits the jitter and notifies the monitors."""

    @property
    def is_monitored(self) -> bool:
        """A part of the work and a dry run notify no monitor."""
        is_part = self.page_ids or self.since or self.until or self.quick
        return self.scheduled and not (is_part or self.dry_run)


@dataclass(frozen=True, slots=True)
class RunInput:
    """Arguments and environment of one run, ready to use."""

    settings: Settings
    shard: Shard | None
    """None: all pages."""
    options: "PassOptions"


def read_input(arguments: Arguments, note: Callable[[str], None]) -> RunInput:
    """Raises SettingsError that names every problem. *note* gets how a time without a zone was read."""
    from customer_sync.sync.plan import PassOptions  # Loads HTTP, which the help does not need.

    problems: list[str] = []
    since = _read_moment(note, "--since", arguments.since, problems)
    until = _read_moment(note, "--until", arguments.until, problems)
    if since is not None and until is not None and since > until:
        problems.append("--since is later than --until")
    if arguments.rewrite and not arguments.full:
        problems.append("--rewrite requires --full or --page")
    if arguments.psid is not None and not arguments.psid.strip():
        problems.append("PSID is empty")
    shard, settings = None, None
    jitter = arguments.jitter if arguments.scheduled else "0"
    try:
        if arguments.shard is not None or (arguments.scheduled and not arguments.page_ids):
            shard = load_shard(os.environ, arguments.shard)
    except SettingsError as error:
        problems += error.problems
    try:
        settings = load_settings(os.environ, {"max_runtime": arguments.max_runtime, "jitter": jitter})
    except SettingsError as error:
        problems += error.problems
    if settings is None or problems:
        raise SettingsError(problems)
    shard = None if arguments.page_ids else shard
    return RunInput(settings, shard, PassOptions(arguments.full, arguments.rewrite, since, until, arguments.dry_run))


def _read_moment(note: Callable[[str], None], option: str, text: str | None, problems: list[str]) -> int | None:
    if text is None:
        return None
    try:
        moment = parse_moment(text, end_of_day=option == "--until")
    except ValueError as error:
        problems.append(f"{option}: {error}")
        return None
    if not has_zone(text):
        note(f"{option} {text} is read in this machine's time zone: {local_time(moment)}")
    return moment
