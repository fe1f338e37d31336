"""What the command line and the environment say, read and checked together, so that one error names everything."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from customer_sync.config.settings import Settings, load_settings, load_shard
from customer_sync.core.clock import local_time
from customer_sync.core.errors import SettingsError
from customer_sync.core.moment import has_zone, parse_moment
from customer_sync.core.shard import Shard
from customer_sync.output.console import Screen
from customer_sync.sync.plan import PassOptions


@dataclass(frozen=True, slots=True)
class PassArguments:
    """The arguments of a pass."""

    options: PassOptions
    settings: Settings
    shard: Shard | None
    is_whole: bool
    """Whether the pass is the one that a scheduler runs: a part of the work, or a dry run, notifies no monitor."""


def read_pass_arguments(
    screen: Screen,
    *,
    page: Sequence[str],
    shard: str | None,
    since: str | None,
    until: str | None,
    dry_run: bool,
    settings: Mapping[str, str | None],
    full: bool = False,
    rewrite: bool = False,
) -> PassArguments:
    """Raises SettingsError that names all problems. Times without a zone are this machine's: prints which they are."""
    problems: list[str] = []
    start = _read_moment(screen, "--since", since, problems)
    end = _read_moment(screen, "--until", until, problems)
    if start is not None and end is not None and start > end:
        problems.append("--since is later than --until")
    if rewrite and not full:
        problems.append("--rewrite requires --full or --page")
    options = PassOptions(full, rewrite, start, end, dry_run)
    loaded, share = read_settings_and_shard(settings, shard, page, problems)
    return PassArguments(options, loaded, share, is_whole=not (page or since or until or dry_run))


def read_settings_and_shard(
    settings: Mapping[str, str | None], shard: str | None, page: Sequence[str], problems: Sequence[str] = ()
) -> tuple[Settings, Shard | None]:
    """The settings, and the shard; None where pages are named. Raises SettingsError that names *problems*, too."""
    found = list(problems)
    loaded, share = None, None
    try:
        share = None if page else load_shard(os.environ, shard)
    except SettingsError as error:
        found += error.problems
    try:
        loaded = load_settings(os.environ, settings)
    except SettingsError as error:
        found += error.problems
    if loaded is None or found:
        raise SettingsError(found)
    return loaded, share


def _read_moment(screen: Screen, option: str, text: str | None, problems: list[str]) -> int | None:
    if text is None:
        return None
    try:
        moment = parse_moment(text, end_of_day=option == "--until")
    except ValueError as error:
        problems.append(f"{option}: {error}")
        return None
    if not has_zone(text):
        screen.info(f"{option} {text} is taken as this machine's time: {local_time(moment)}")
    return moment
