"""The command line: settings in, exit code out. The only room that knows Typer."""

import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass, make_dataclass
from typing import Annotated, Any, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup

from customer_sync import __version__
from customer_sync.config.settings import LOG_FORMAT, SHARDS, declared, option_name
from customer_sync.core.errors import ExitCode
from customer_sync.core.streams import prepare_streams
from customer_sync.output.options import OutputOptions

_AS_THEY_ARE = (bool, str, str | None, list[str], list[str] | None)


class _TakesTexts:
    """Takes texts and switches as they are: Typer would have pydantic look at each, and to load that takes longer than
    an idle pass.
    """

    def get_params(self, ctx: Any) -> list[Any]:
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            descriptor = getattr(param, "type_descriptor", None)
            if descriptor is not None and descriptor.annotation in _AS_THEY_ARE:
                param.get_runtime_param = lambda: _AsIs
        return params


class _Group(_TakesTexts, TyperGroup):
    """All commands."""


class _TextCommand(_TakesTexts, TyperCommand):
    """A command whose options are texts and switches."""


class _AsIs:
    """What Typer asks to turn what was given into what was declared."""

    @staticmethod
    def coerce(value: Any, **_: Any) -> Any:
        return value


app = typer.Typer(
    cls=_Group,
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
        from customer_sync.cli.commands import Terminal

        Terminal(OutputOptions()).screen.cannot_write(error)
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


_LOG_FORMATS = ("text", "json")


@dataclass(frozen=True)
class Output:
    """The options that every pass has for what it says."""

    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a summary.")] = False
    log_format: Annotated[
        str,
        typer.Option(
            "--log-format",
            metavar="|".join(_LOG_FORMATS),
            envvar=LOG_FORMAT,
            help="json: an object a line on stderr.",
        ),
    ] = "text"
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing unless something failed.")] = False
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Tell each request, secrets hidden.")] = False
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False

    @property
    def manner(self) -> OutputOptions:
        if self.log_format not in _LOG_FORMATS:
            formats = " or ".join(_LOG_FORMATS)
            raise typer.BadParameter(f"{self.log_format!r} is no log format: give {formats}", param_hint="--log-format")
        return OutputOptions(self.quiet, self.verbose, self.json, self.debug, self.log_format == "json")


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


@app.command(cls=_TextCommand)
@_with_option_groups
def incremental(choice: Choice, output: Output, texts: SettingTexts) -> None:
    """One pass over all pages: what changed lately.

    Starts at the newest time that is safely in FolkForm; nothing there yet: 30 days back. --since and --until can
    only start earlier and end earlier, never leave a gap.
    """
    from customer_sync.cli import commands

    raise typer.Exit(commands.sync(output.manner, "incremental", vars(texts), **vars(choice)))


@app.command(cls=_TextCommand)
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
    from customer_sync.cli import commands

    full = full or bool(choice.page)
    code = commands.sync(output.manner, "backfill", vars(texts), **vars(choice), full=full, rewrite=rewrite)
    raise typer.Exit(code)


PagesOption = Annotated[list[str] | None, typer.Option("--page", metavar="ID", help="Only this page; repeatable.")]


@app.command(cls=_TextCommand)
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
    from customer_sync.cli import commands

    code = commands.verify(output.manner, vars(texts), page=page, shard=shard, quick=quick, allow_extra=allow_extra)
    raise typer.Exit(code)


@app.command(cls=_TextCommand)
@_with_option_groups
def status(output: Output, texts: SettingTexts, *, page: PagesOption = None) -> None:
    """Shows where every page stands; changes nothing.

    Its newest and oldest customer in FolkForm, how far that is behind Pancake, how many of Pancake's customers are
    there, and who is at work. A page that is off is only named, unless --page asks for it.
    """
    from customer_sync.cli import commands

    raise typer.Exit(commands.status(output.manner, vars(texts), page=page))


@app.command(cls=_TextCommand)
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
    from customer_sync.cli import commands

    raise typer.Exit(commands.explain(output.manner, vars(texts), psid=psid, page=page))


@app.command(cls=_TextCommand)
@_with_option_groups
def check(output: Output, texts: SettingTexts, *, page: PagesOption = None) -> None:
    """Looks at everything that can be wrong before a first run; changes nothing.

    Settings, both services, tokens, role, lists, clocks, locks, and what cron sees otherwise, with the next step.
    Exit 0 when nothing is wrong; warnings do not count.
    """
    from customer_sync.cli import commands

    raise typer.Exit(commands.check(output.manner, vars(texts), page=page))


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
    from customer_sync.cli import commands
    from customer_sync.cli.demo import serve_sandbox

    def work(terminal: commands.Terminal) -> int:
        return serve_sandbox(terminal.screen, port, pages, customers, seed, data)

    raise typer.Exit(commands.end(OutputOptions(), work))


@app.command()
def demo() -> None:
    """Tells the whole story on an embedded Pancake and FolkForm; exit 0 when both sides end up equal."""
    from customer_sync.cli import commands
    from customer_sync.cli.demo import tell_the_story

    raise typer.Exit(commands.end(OutputOptions(), lambda terminal: tell_the_story(terminal.screen)))
