"""The command line: settings in, exit code out. The only room that knows Typer."""

import functools
import inspect
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from types import FrameType
from typing import Annotated, Any

import typer

from customer_sync import __version__
from customer_sync.clock import Clock
from customer_sync.console import Manner, Screen
from customer_sync.customer import Customer, parse_moment
from customer_sync.errors import CustomerSyncError, ExitCode, SettingsError, StopRequested
from customer_sync.locks import PageLocks
from customer_sync.page import Page
from customer_sync.redact import Redactor
from customer_sync.result import PageResult, PassResult
from customer_sync.services import Services
from customer_sync.settings import Settings, declared, load_settings, option_name
from customer_sync.sync import (
    BACKFILL,
    INCREMENTAL,
    Run,
    Wishes,
    select_pages,
    sync_all_customers,
    sync_new_customers,
)
from customer_sync.write import Upserts

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """The `customer-sync` command."""
    app()


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


PageIds = Annotated[
    list[str] | None,
    typer.Option("--page", metavar="ID", help="Only this page; repeatable. Synced even when off."),
]
Since = Annotated[
    str | None, typer.Option(metavar="TIME", help="Start this early. A date, date and time, or Unix seconds.")
]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="End here. A bare date means its last second.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Read everything, write nothing, say what would be done.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a summary.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing unless something failed.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Tell each request, secrets hidden.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")]


def _with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Gives *command* an option for every setting that is no secret; it receives them as `options`."""
    names = [name for name, declaration in declared().items() if not declaration["secret"]]
    own = [one for name, one in inspect.signature(command).parameters.items() if name != "options"]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_setting_option(name))
        for name in names
    ]

    @functools.wraps(command)
    def with_settings(**given: Any) -> None:
        command(options={name: given.pop(name) for name in names}, **given)

    parameters = own + added
    with_settings.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    with_settings.__annotations__ = {one.name: one.annotation for one in parameters}
    return with_settings


def _setting_option(name: str) -> Any:
    declaration = declared()[name]
    default = f"default {declaration['default']}, " if declaration["default"] else ""
    help_ = f"{declaration['purpose']} ({default}{declaration['variable']})"
    return Annotated[
        str | None, typer.Option(option_name(name), metavar="VALUE", help=help_, rich_help_panel="Settings")
    ]


@app.command()
@_with_settings
def incremental(
    options: dict[str, str | None],
    page: PageIds = None,
    since: Since = None,
    until: Until = None,
    dry_run: DryRun = False,
    json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """One pass over all pages: what changed lately.

    Starts at the newest time that is safely in FolkForm; nothing there yet: 30 days back. --since and --until can
    only start earlier and end earlier, never leave a gap.
    """
    command = _Pass(INCREMENTAL, sync_new_customers, page or [], since, until, Wishes(dry_run=dry_run), options)
    _end(Manner(quiet, verbose, json, debug), command.run)


@app.command()
@_with_settings
def backfill(
    options: dict[str, str | None],
    page: PageIds = None,
    full: Annotated[
        bool,
        typer.Option("--full", help="Compare everything down to the oldest, write what differs. Implied by --page."),
    ] = False,
    rewrite: Annotated[
        bool, typer.Option("--rewrite", help="With --full: send unchanged customers again, too.")
    ] = False,
    since: Since = None,
    until: Until = None,
    dry_run: DryRun = False,
    json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """One pass over all pages: the older history.

    Starts at the oldest time that is safely in FolkForm and goes down to the first customer (or --since), between
    two incrementals. With --page it repairs: the whole page, writing only what differs.
    """
    wishes = Wishes(full=full or bool(page), rewrite=rewrite, dry_run=dry_run)
    command = _Pass(BACKFILL, sync_all_customers, page or [], since, until, wishes, options)
    _end(Manner(quiet, verbose, json, debug), command.run)


@app.command()
def sandbox(
    port: Annotated[int, typer.Option(help="The port to serve on; 0 takes a free one.")] = 8787,
    pages: Annotated[int, typer.Option(min=1, help="How many pages there are.")] = 3,
    customers: Annotated[int, typer.Option(min=0, help="How many customers a page has.")] = 1000,
    seed: Annotated[int, typer.Option(help="The same seed makes the same customers.")] = 1,
    data: Annotated[
        str | None, typer.Option(metavar="FILE", help="Keep the data in this SQLite file. [default: memory]")
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
    raise typer.Exit(code)


@dataclass(frozen=True)
class _Pass:
    """One run of `incremental` or `backfill`, as the command line asks for it."""

    name: str
    sync: Callable[[Run, list[Page]], list[PageResult]]
    page_ids: list[str]
    since: str | None
    until: str | None
    wishes: Wishes
    options: dict[str, str | None]

    def run(self, terminal: _Terminal) -> int:
        """Returns the exit code. Raises SettingsError."""
        settings, wishes = self._read()
        clock = Clock()
        _stop_on_signals(clock)
        services = Services(settings, clock, terminal.redact)
        result = PassResult(self.name, started_at=clock.now(), dry_run=wishes.dry_run)
        started = clock.monotonic()
        try:
            pages = select_pages(services.pages(), self.page_ids)
            if not pages:
                result.warnings.append("FolkForm has no page switched on (isSync), so there was nothing to do")
            result.pages = self._sync(settings, wishes, clock, services, terminal.screen, pages)
        except SettingsError:
            raise
        except CustomerSyncError as error:
            result.error = error
        result.stopped = clock.stopping
        result.duration = clock.monotonic() - started
        result.requests = services.requests()
        terminal.screen.result(result)
        return result.exit_code

    def _sync(
        self,
        settings: Settings,
        wishes: Wishes,
        clock: Clock,
        services: Services,
        screen: Screen,
        pages: list[Page],
    ) -> list[PageResult]:
        with ThreadPoolExecutor(settings.workers, thread_name_prefix="upsert") as pool, screen.watching():
            upsert = _write_nothing if wishes.dry_run else services.folkform.upsert_customer
            run = Run(
                wishes,
                services.folkform,
                services.pancake,
                Upserts(pool, settings.workers, upsert, services.folkform.ping, clock),
                PageLocks(settings.lock_dir, clock),
                clock,
                screen,
                services.requests,
                settings.page_size,
                settings.pages_at_once,
                settings.overlap,
            )
            return self.sync(run, pages)

    def _read(self) -> tuple[Settings, Wishes]:
        """Settings and wishes; everything that is wrong with either is named at once."""
        problems: list[str] = []
        since = _read_moment("--since", self.since, problems)
        until = _read_moment("--until", self.until, problems, end_of_day=True)
        if self.wishes.rewrite and not self.wishes.full:
            problems.append("--rewrite goes with --full or --page")
        if since is not None and until is not None and since > until:
            problems.append("--since is later than --until")
        try:
            settings = load_settings(os.environ, self.options)
        except SettingsError as error:
            problems += error.problems
        if problems:
            raise SettingsError(problems)
        return settings, replace(self.wishes, since=since, until=until)


def _read_moment(option: str, text: str | None, problems: list[str], *, end_of_day: bool = False) -> int | None:
    if text is None:
        return None
    try:
        return parse_moment(text, end_of_day=end_of_day)
    except ValueError as error:
        problems.append(f"{option}: {error}")
        return None


def _write_nothing(_: Customer) -> None:
    """The upsert of a dry run."""


def _stop_on_signals(clock: Clock) -> None:
    """The first SIGTERM or SIGINT asks the work to end, the second one ends the process."""

    def stop(number: int, _: FrameType | None) -> None:
        if clock.stopping:
            os._exit(128 + number)
        name = signal.Signals(number).name
        clock.stop(StopRequested(f"Ended by {name}", ExitCode(128 + number)))

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
