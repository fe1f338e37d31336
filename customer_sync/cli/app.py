"""The command line: options in, exit code out."""

import os
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from customer_sync import __version__
from customer_sync.cli.arguments import Options, read_input
from customer_sync.cli.typer_commands import NamedCommand, with_options
from customer_sync.config.env_file import ENV_FILE
from customer_sync.output.options import OutputOptions

if TYPE_CHECKING:  # Loaded when a command runs: the help needs neither HTTP nor a screen.
    from customer_sync.cli.run import Command
    from customer_sync.sync.plan import PassOptions

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# The options that commands share; `sandbox` and `demo` take none.
_OF_ALL = ("env_file", "json", "log_format", "quiet", "verbose", "debug")
_SCHEDULED = ("max_runtime", "jitter", *_OF_ALL)
_PAGES = ("page", "shard")
_WINDOW = ("since", "until")
_ENV_FILE = "--env-file /etc/customer-sync.env"
_SETTINGS = """\b
Settings are environment variables, or lines of the file of --env-file:
  FOLKFORM_BASE_URL     FolkForm's address, which ends in /api/v1
  FOLKFORM_TOKEN        its bearer token; or, to sign in, FOLKFORM_EMAIL,
                        FOLKFORM_PASSWORD and FIREBASE_API_KEY
  PANCAKE_ACCESS_TOKEN  user token for pages that have no valid one
A secret can have a file of its own: FOLKFORM_TOKEN_FILE=/run/secrets/token.

\b
Examples:
  customer-sync demo
  customer-sync check --env-file /etc/customer-sync.env"""


def _command(example: str, *names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command that takes the Options of these *names*, if any, and has further parameters."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        name, _, _ = example.partition(" ")
        epilog = f"\b\nExample:\n  customer-sync {example}"
        read = with_options(function, Options, names) if names else function
        return app.command(name, cls=NamedCommand, epilog=epilog)(read)

    return register


def _run(command: "Callable[[PassOptions], Command[Any]]", options: Options) -> None:
    """Runs what *command* makes of the options; ends the process with its exit code."""
    from customer_sync.cli.run import process, run_command

    with process(options.output) as run:
        given = read_input(options, run.screen.info)
        run.exit_code = run_command(
            command(given.options),
            run.screen,
            given.settings,
            options.page or (),
            given.shard,
            monitored=options.is_monitored,
            scheduled=options.scheduled,
        )


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"customer-sync {__version__}")
        raise typer.Exit


@app.callback(epilog=_SETTINGS)
def customer_sync(
    env_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="Read more variables; also after a command.")
    ] = None,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Copies every Pancake page's customers into FolkForm, and loses none."""
    if env_file is not None:
        os.environ[ENV_FILE] = env_file


@_command(f"incremental -q {_ENV_FILE}", *_PAGES, *_WINDOW, "dry_run", *_SCHEDULED)
def incremental(options: Options) -> None:
    """One pass over all pages: what changed lately.

    Starts at the newest time that is safely in FolkForm; nothing there yet: 30
    days back. --since and --until can only start earlier and end earlier, never
    leave a gap.
    """
    from customer_sync.cli import commands

    _run(commands.incremental, options)


@_command(f"backfill --page 102 {_ENV_FILE}", *_PAGES, *_WINDOW, "full", "rewrite", "dry_run", *_SCHEDULED)
def backfill(options: Options) -> None:
    """One pass over all pages: the older history.

    Starts at the oldest time that is safely in FolkForm and goes down to the
    first customer (or --since), between two incrementals. With --page it repairs:
    it compares the whole page and writes what differs.
    """
    from customer_sync.cli import commands

    _run(commands.backfill, replace(options, full=options.full or bool(options.page)))


@_command(f"verify --allow-extra {_ENV_FILE}", *_PAGES, "quick", "allow_extra", *_SCHEDULED)
def verify(options: Options) -> None:
    """Compares both sides, customer by customer; changes nothing.

    Lists customers that are missing or stale in FolkForm, extra there, or
    malformed in Pancake, and the command that repairs them. Exit 1 when any is
    missing, stale or extra.
    """
    from customer_sync.cli import commands

    compare = commands.verify_counts if options.quick else commands.verify
    _run(lambda _: compare(allow_extra=options.allow_extra), options)


@_command(f"status {_ENV_FILE}", "page", *_OF_ALL)
def status(options: Options) -> None:
    """Shows the state of every page; changes nothing.

    The newest and oldest customer in FolkForm, how far that is behind Pancake,
    how many of Pancake's customers are there, and which runs are active. A page
    that is switched off is only listed, unless --page names it.
    """
    from customer_sync.cli import commands

    _run(lambda _: commands.status(named=bool(options.page)), replace(options, scheduled=False))


@_command(f"explain 24681357 --page 102 {_ENV_FILE}", *_OF_ALL)
def explain(
    options: Options,
    psid: Annotated[str, typer.Argument(metavar="PSID", hidden=True)],
    page: Annotated[str, typer.Option("--page", metavar="ID", help="The customer's page.")],
) -> None:
    """Shows one customer on both sides; changes nothing.

    PSID is the customer's psid or Pancake id. Lists the fields that differ, but
    nothing personal, and which pass will copy the customer. Exit 1 when FolkForm
    does not have Pancake's version.
    """
    from customer_sync.cli import commands

    _run(lambda _: commands.explain(psid), replace(options, page=[page], psid=psid, scheduled=False))


@_command(f"check {_ENV_FILE}", "page", *_OF_ALL)
def check(options: Options) -> None:
    """Checks all that a first run needs; changes nothing.

    Settings, both services, tokens, role, lists, clocks and lock directory, each
    with the next step. Exit 0 when nothing is wrong; warnings do not count.
    """
    from customer_sync.check.run import run_check
    from customer_sync.cli.run import process

    with process(options.output) as run:
        run.exit_code = run_check(run.screen, options.page or ())


@_command("sandbox --pages 60 --customers 100")
def sandbox(
    port: Annotated[
        int, typer.Option(metavar="PORT", max=65535, min=0, help="Serve there; 0 takes a free one.")
    ] = 8787,
    pages: Annotated[int, typer.Option(metavar="N", min=1, max=1000, help="How many pages there are.")] = 3,
    customers: Annotated[
        int, typer.Option(metavar="N", min=0, max=1_000_000, help="How many customers a page has.")
    ] = 1000,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed makes the same customers.")] = 1,
    data: Annotated[
        str | None, typer.Option(metavar="FILE", help="Keep the data in this SQLite file; else in memory.")
    ] = None,
) -> None:
    """Serves an embedded Pancake and FolkForm to try it on.

    It listens on 127.0.0.1 and prints the variables that point the commands there.
    """
    from customer_sync.cli import demo, run

    with run.process(OutputOptions()) as process:
        process.exit_code = demo.serve_sandbox(process.screen, port, pages, customers, seed, data)


@_command("demo")
def show_demo() -> None:
    """Runs both passes and a verify on a sandbox of its own.

    Exit 0 when both sides end up equal.
    """
    from customer_sync.cli import demo, run

    with run.process(OutputOptions()) as process:
        process.exit_code = demo.run_demo(process.screen)
