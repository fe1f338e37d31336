"""The command line: settings in, exit code out. The only room that knows Typer."""

import functools
import inspect
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import MISSING, dataclass, fields, is_dataclass, make_dataclass
from enum import StrEnum
from functools import partial
from typing import Annotated, Any, get_type_hints

import typer

from customer_sync import __version__
from customer_sync.check import run_check
from customer_sync.clock import Clock, local_time
from customer_sync.comparison import CountedPage, VerifiedPage
from customer_sync.console import Manner, Screen, prepare_streams
from customer_sync.customer import names_zone, parse_moment
from customer_sync.errors import CustomerSyncError, ExitCode, SettingsError
from customer_sync.explain import EXPLAIN
from customer_sync.explanation import Explanation
from customer_sync.findings import CHECK, CheckResult
from customer_sync.interrupt import run_until_stopped
from customer_sync.monitor import Monitor
from customer_sync.page_status import PageStatus
from customer_sync.passes import run_explain, run_pass, run_status, run_verify
from customer_sync.redact import Redactor
from customer_sync.result import PageResult, PassResult, SyncedPage
from customer_sync.settings import LOG_FORMAT, SHARDS, Settings, declared, load_settings, load_shard, option_name
from customer_sync.shard import Shard
from customer_sync.status import STATUS
from customer_sync.sync import BACKFILL, INCREMENTAL, Wishes
from customer_sync.verify import VERIFY

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """The command line; ends the process with its exit code."""
    prepare_streams()
    try:
        app()
    except OSError as error:  # Help that nobody takes; the commands themselves write through the screen.
        Screen(Manner(), Redactor()).cannot_write(error)
        raise SystemExit(ExitCode.PARTIAL) from None


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"customer-sync {__version__}")
        raise typer.Exit


@app.callback()
def customer_sync(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Copies every Pancake page's customers into FolkForm, and loses none."""


ShardOption = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help=f"Only this share of the pages: number I, from 0, of N (in an Indexed Job: {SHARDS}). --page beats it.",
    ),
]


@dataclass(frozen=True)
class Choice:
    """The options that choose pages and time."""

    page: Annotated[
        list[str] | None,
        typer.Option("--page", metavar="ID", help="Only this page; repeatable. Synced even when off."),
    ] = None
    shard: ShardOption = None
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Start this early. A date, date and time, or Unix seconds.")
    ] = None
    until: Annotated[str | None, typer.Option(metavar="TIME", help="End here. A bare date means its last second.")] = (
        None
    )
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read everything, write nothing, say what would be done.")
    ] = False


class LogFormat(StrEnum):
    """How the story is told on stderr."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True)
class Output:
    """The options that every pass has for what it says."""

    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a summary.")] = False
    log_format: Annotated[
        LogFormat,
        typer.Option("--log-format", envvar=LOG_FORMAT, help="json: an object a line on stderr."),
    ] = LogFormat.TEXT
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing unless something failed.")] = False
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Tell each request, secrets hidden.")] = False
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False

    @property
    def manner(self) -> Manner:
        return Manner(self.quiet, self.verbose, self.json, self.debug, self.log_format is LogFormat.JSON)


def _setting_option(name: str) -> Any:
    declaration = declared()[name]
    default = f"default {declaration['default']}, " if declaration["default"] else ""
    help_ = f"{declaration['purpose']} ({default}{declaration['variable']})"
    return Annotated[
        str | None, typer.Option(option_name(name), metavar="VALUE", help=help_, rich_help_panel="Settings")
    ]


SettingTexts: Any = make_dataclass(
    "SettingTexts",
    [(name, _setting_option(name), None) for name, declaration in declared().items() if declaration["option"]],
)
"""An option for every setting that may be one, as text."""


def _with_option_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Lets *command* take its options in dataclasses: each field of such a parameter becomes an option."""
    hints = get_type_hints(command, include_extras=True)
    groups = {name: hint for name, hint in hints.items() if isinstance(hint, type) and is_dataclass(hint)}
    parameters = [
        option
        for name, parameter in inspect.signature(command).parameters.items()
        for option in (_options_of(groups[name]) if name in groups else [parameter])
    ]

    @functools.wraps(command)
    def with_options(**given: Any) -> None:
        grouped = {
            name: group(**{field.name: given.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        command(**grouped, **given)

    with_options.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {one.name: one.annotation for one in parameters}
    return with_options


def _options_of(group: type) -> Iterator[inspect.Parameter]:
    annotations = get_type_hints(group, include_extras=True)
    for field in fields(group):
        default = inspect.Parameter.empty if field.default is MISSING else field.default
        yield inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotations[field.name]
        )


@app.command()
@_with_option_groups
def incremental(choice: Choice, output: Output, texts: SettingTexts) -> None:
    """One pass over all pages: what changed lately.

    Starts at the newest time that is safely in FolkForm; nothing there yet: 30 days back. --since and --until can
    only start earlier and end earlier, never leave a gap.
    """
    _end(output.manner, lambda terminal: _run_pass(terminal, INCREMENTAL, choice, texts))


@app.command()
@_with_option_groups
def backfill(
    choice: Choice,
    output: Output,
    texts: SettingTexts,
    *,
    full: Annotated[
        bool,
        typer.Option("--full", help="Compare everything down to the oldest, write what differs. Implied by --page."),
    ] = False,
    rewrite: Annotated[
        bool, typer.Option("--rewrite", help="With --full: send unchanged customers again, too.")
    ] = False,
) -> None:
    """One pass over all pages: the older history.

    Starts at the oldest time that is safely in FolkForm and goes down to the first customer (or --since), between
    two incrementals. With --page it repairs: the whole page, writing only what differs.
    """
    full = full or bool(choice.page)
    _end(output.manner, lambda terminal: _run_pass(terminal, BACKFILL, choice, texts, full=full, rewrite=rewrite))


PagesOption = Annotated[list[str] | None, typer.Option("--page", metavar="ID", help="Only this page; repeatable.")]


@app.command(name=VERIFY)
@_with_option_groups
def verify(
    output: Output,
    texts: SettingTexts,
    *,
    page: PagesOption = None,
    shard: ShardOption = None,
    quick: Annotated[bool, typer.Option("--quick", help="Compare counts only: two requests a page.")] = False,
    allow_extra: Annotated[
        bool, typer.Option("--allow-extra", help="Whom only FolkForm holds is listed and does not count.")
    ] = False,
) -> None:
    """Compares every customer's version on both sides; writes nothing.

    Names who is missing or stale in FolkForm, extra there, or malformed in Pancake, and the command that mends it.
    Exit 1 when somebody is missing, stale or extra.
    """

    def work(terminal: _Terminal) -> int:
        problems: list[str] = []
        share = _read_shard(shard, page, problems)
        settings = _read_settings(texts, problems)
        compare = partial(run_verify, page_ids=page or [], quick=quick, allow_extra=allow_extra, settings=settings)
        return _run(terminal, VERIFY, CountedPage if quick else VerifiedPage, compare, shard=share, watched=settings)

    _end(output.manner, work)


@app.command(name=STATUS)
@_with_option_groups
def status(output: Output, texts: SettingTexts, *, page: PagesOption = None) -> None:
    """Shows where every page stands; changes nothing.

    Its newest and oldest customer in FolkForm, how far that is behind Pancake, how many of Pancake's customers are
    there, and who is at work. A page that is off is only named, unless --page asks for it.
    """

    def work(terminal: _Terminal) -> int:
        ask = partial(run_status, page_ids=page or [], settings=_read_settings(texts))
        return _run(terminal, STATUS, PageStatus, ask)

    _end(output.manner, work)


@app.command(name=EXPLAIN)
@_with_option_groups
def explain(
    psid: Annotated[str, typer.Argument(metavar="PSID", help="The customer's psid, or Pancake's id of her.")],
    output: Output,
    texts: SettingTexts,
    *,
    page: Annotated[str, typer.Option("--page", metavar="ID", help="The page whose customer she is.")],
) -> None:
    """Shows one customer on both sides and which pass would bring her; changes nothing.

    Tells what differs, but nothing personal. Exit 1 when FolkForm does not hold Pancake's version of her.
    """

    def work(terminal: _Terminal) -> int:
        settings = _read_settings(texts, [] if psid.strip() else ["PSID is empty"])
        look = partial(run_explain, who=psid, page_id=page, settings=settings)
        return _run(terminal, EXPLAIN, Explanation, look)

    _end(output.manner, work)


@app.command(name=CHECK)
@_with_option_groups
def check(output: Output, texts: SettingTexts, *, page: PagesOption = None) -> None:
    """Looks at everything that can be wrong before a first run; changes nothing.

    Settings, both services, tokens, role, lists, clocks, locks, and what cron sees otherwise, with the next step.
    Exit 0 when nothing is wrong; warnings do not count.
    """
    _end(output.manner, lambda terminal: _run_check(terminal, page or [], texts))


@app.command()
def sandbox(
    port: Annotated[int, typer.Option(help="The port to serve on; 0 takes a free one.")] = 8787,
    pages: Annotated[int, typer.Option(min=1, help="How many pages there are.")] = 3,
    customers: Annotated[int, typer.Option(min=0, help="How many customers a page has.")] = 1000,
    seed: Annotated[int, typer.Option(help="The same seed makes the same customers.")] = 1,
    data: Annotated[
        str | None, typer.Option(metavar="FILE", help="Keep the data in this SQLite file; else in memory.")
    ] = None,
) -> None:
    """Serves an embedded Pancake and FolkForm on 127.0.0.1, to try everything without an account."""
    from customer_sync.demo import serve_sandbox

    _end(Manner(), lambda terminal: serve_sandbox(terminal.screen, port, pages, customers, seed, data))


@app.command()
def demo() -> None:
    """Tells the whole story on an embedded Pancake and FolkForm; exit 0 when both sides end up equal."""
    from customer_sync.demo import tell_the_story

    _end(Manner(), lambda terminal: tell_the_story(terminal.screen))


class _Terminal:
    """What a command talks to: the screen, and the secrets that it must not show."""

    def __init__(self, manner: Manner) -> None:
        self.redact = Redactor()
        self.screen = Screen(manner, self.redact)


def _end(manner: Manner, work: Callable[[_Terminal], int]) -> None:
    """Runs *work*, says what went wrong, and ends with the right exit code."""
    terminal = _Terminal(manner)
    try:
        code = work(terminal)
    except CustomerSyncError as error:
        terminal.screen.error(error)
        code = error.exit_code
    except Exception as error:
        terminal.screen.unexpected(error)
        code = ExitCode.PARTIAL
    if code == ExitCode.OK and terminal.screen.unwritable:
        code = ExitCode.PARTIAL
    raise typer.Exit(code)


def _run_pass(
    terminal: _Terminal, name: str, choice: Choice, texts: Any, *, full: bool = False, rewrite: bool = False
) -> int:
    """Returns the exit code. Raises SettingsError that names everything wrong at once."""
    problems: list[str] = []
    since = _read_moment("--since", choice.since, problems)
    until = _read_moment("--until", choice.until, problems, end_of_day=True)
    if rewrite and not full:
        problems.append("--rewrite goes with --full or --page")
    if since is not None and until is not None and since > until:
        problems.append("--since is later than --until")
    shard = _read_shard(choice.shard, choice.page, problems)
    settings = _read_settings(texts, problems)
    for option, text, moment in (("--since", choice.since, since), ("--until", choice.until, until)):
        if text is not None and moment is not None and not names_zone(text):
            terminal.screen.note(f"{option} {text} is taken as this machine's time: {local_time(moment)}")
    wishes = Wishes(full, rewrite, since, until, choice.dry_run)
    work = partial(run_pass, page_ids=choice.page or [], wishes=wishes, settings=settings)
    watched = None if wishes.dry_run else settings
    return _run(terminal, name, SyncedPage, work, dry_run=wishes.dry_run, shard=shard, watched=watched)


def _run(
    terminal: _Terminal,
    name: str,
    page_result: type[PageResult],
    work: Callable[..., None],
    *,
    dry_run: bool = False,
    shard: Shard | None = None,
    watched: Settings | None = None,
) -> int:
    """Runs *work* over pages until it ends or is told to, and shows its result. Returns the exit code.

    *watched* names those to whom the run is told, too.
    """
    clock = Clock()
    result = PassResult(name, clock.now(), page_result, dry_run, shard)
    with Monitor(watched, terminal.redact, clock) if watched else nullcontext() as monitor:
        started = clock.monotonic()
        with terminal.screen.watching(result):
            ended = run_until_stopped(
                partial(work, result, clock=clock, redact=terminal.redact, listener=terminal.screen), clock
            )
            result.end(clock.stopping, clock.monotonic() - started, in_time=ended)
        terminal.screen.result(result)
        if monitor:
            monitor.ended(result)
    if not ended:
        os._exit(result.exit_code)  # Calls that hang must not hold the process.
    return result.exit_code


def _run_check(terminal: _Terminal, page_ids: list[str], texts: Any) -> int:
    """Shows what is found as it is found. Returns the exit code."""
    clock = Clock()
    result = CheckResult(clock.now())
    started = clock.monotonic()
    work = partial(run_check, result, page_ids, os.environ, vars(texts))
    ended = run_until_stopped(partial(work, clock, redact=terminal.redact, listener=terminal.screen), clock)
    if clock.signalled:
        result.stopped = clock.stopping
    result.duration = clock.monotonic() - started
    terminal.screen.checked(result)
    if not ended:
        os._exit(result.exit_code)  # A lookup that hangs must not hold the process.
    return result.exit_code


def _read_settings(texts: Any, problems: Iterable[str] = ()) -> Settings:
    """Raises SettingsError that names these *problems*, too."""
    found = list(problems)
    settings = None
    try:
        settings = load_settings(os.environ, vars(texts))
    except SettingsError as error:
        found += error.problems
    if settings is None or found:
        raise SettingsError(found)
    return settings


def _read_shard(text: str | None, named: list[str] | None, problems: list[str]) -> Shard | None:
    """Pages *named* by hand are worked at whatever the shard: then there is none."""
    try:
        shard = load_shard({} if named else os.environ, text)
    except SettingsError as error:
        problems += error.problems
        return None
    return None if named else shard


def _read_moment(option: str, text: str | None, problems: list[str], *, end_of_day: bool = False) -> int | None:
    if text is None:
        return None
    try:
        return parse_moment(text, end_of_day=end_of_day)
    except ValueError as error:
        problems.append(f"{option}: {error}")
        return None
