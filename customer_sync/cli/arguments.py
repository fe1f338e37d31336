"""The options of the commands, each declared once, and what a run reads from them and the settings together."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from customer_sync.config.env_file import ENV_FILE, load_env_file
from customer_sync.config.settings import LOG_FORMAT, Settings, load_settings, load_shard
from customer_sync.core.clock import Clock, local_time
from customer_sync.core.errors import SettingsError
from customer_sync.core.moment import has_zone, parse_moment
from customer_sync.core.shard import Shard
from customer_sync.output.options import OutputOptions

if TYPE_CHECKING:  # Loads HTTP, which the help does not need.
    from customer_sync.sync.plan import PassOptions

_LOG_FORMATS = ("text", "json")


def _load(context: typer.Context, file: str | None) -> str | None:
    if file is not None and not context.resilient_parsing:
        load_env_file(file, os.environ)
    return file


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says, as text; a command takes some of these options."""

    page: Annotated[
        list[str] | None, typer.Option("--page", metavar="ID", help="Only this page, even if off; repeatable.")
    ] = None
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="Only shard I (from 0) of N; --page takes precedence.")
    ] = None
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Include changes since TIME.")] = None
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="End at TIME; a bare date means its last second.")
    ] = None
    full: Annotated[bool, typer.Option("--full", help="Compare everything; implied by --page.")] = False
    rewrite: Annotated[bool, typer.Option("--rewrite", help="With --full or --page: resend unchanged ones.")] = False
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read everything, write nothing.")] = False
    quick: Annotated[bool, typer.Option("--quick", help="Compare counts only: two requests a page.")] = False
    allow_extra: Annotated[
        bool, typer.Option("--allow-extra", help="Accept customers that exist only in FolkForm.")
    ] = False
    max_runtime: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Stop gracefully after this long: 30, 30s, 4m, 2h.")
    ] = None
    jitter: Annotated[str | None, typer.Option(metavar="DURATION", help="Wait up to this long before starting.")] = None
    # Read before the others: a variable of the file may be an option's default.
    env_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            envvar=ENV_FILE,
            is_eager=True,
            callback=_load,
            help="Read more variables, one VARIABLE='value' per line; the environment takes precedence.",
        ),
    ] = None
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a summary.")] = False
    log_format: Annotated[
        str,
        typer.Option(
            metavar="|".join(_LOG_FORMATS), envvar=LOG_FORMAT, help="json: one JSON object per line on stderr."
        ),
    ] = "text"
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing unless something failed.")] = False
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log every request, secrets redacted.")] = False
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False
    psid: str | None = None
    scheduled: bool = True
    """Whether a scheduler runs this command: then it takes a shard, waits the jitter and notifies the monitors."""

    @property
    def is_monitored(self) -> bool:
        """A part of the work and a dry run notify no monitor."""
        is_part = self.page or self.since or self.until or self.quick
        return self.scheduled and not (is_part or self.dry_run)

    @property
    def output(self) -> OutputOptions:
        """Raises BadParameter."""
        if self.log_format not in _LOG_FORMATS:
            problem = f"{self.log_format!r} is not a log format: give {' or '.join(_LOG_FORMATS)}"
            raise typer.BadParameter(problem, param_hint="--log-format")
        if self.quiet and self.verbose:
            raise typer.BadParameter("it contradicts --verbose: give one of them", param_hint="--quiet")
        return OutputOptions(self.quiet, self.verbose, self.json, self.debug, self.log_format == "json")


@dataclass(frozen=True, slots=True)
class RunInput:
    """Options and environment of one run, ready to use."""

    settings: Settings
    shard: Shard | None
    """None: all pages."""
    options: "PassOptions"


def read_input(given: Options, note: Callable[[str], None]) -> RunInput:
    """Raises SettingsError that names every problem. *note* gets how a time without a zone was read."""
    from customer_sync.sync.plan import PassOptions

    problems: list[str] = []
    since = _read_moment(note, "--since", given.since, problems)
    until = _read_moment(note, "--until", given.until, problems)
    if since is not None and until is not None and since > until:
        problems.append("--since is later than --until")
    if since is not None and since > Clock().now():
        problems.append(f"--since {given.since} is in the future")
    if given.rewrite and not given.full:
        problems.append("--rewrite requires --full or --page")
    if given.psid is not None and not given.psid.strip():
        problems.append("PSID is empty")
    shard, settings = None, None
    jitter = given.jitter if given.scheduled else "0"
    try:
        if given.shard is not None or (given.scheduled and not given.page):
            shard = load_shard(os.environ, given.shard)
    except SettingsError as error:
        problems += error.problems
    try:
        settings = load_settings(os.environ, {"max_runtime": given.max_runtime, "jitter": jitter})
    except SettingsError as error:
        problems += error.problems
    if settings is None or problems:
        raise SettingsError(problems)
    shard = None if given.page else shard
    return RunInput(settings, shard, PassOptions(given.full, given.rewrite, since, until, given.dry_run))


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
