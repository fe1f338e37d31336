"""The command line: options in, exit code out."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from customer_sync import __version__
from customer_sync.cli.arguments import Arguments, read_input
from customer_sync.config.settings import LOG_FORMAT
from customer_sync.output.options import OutputOptions

if TYPE_CHECKING:  # Loaded when a command runs: the help needs neither HTTP nor a screen.
    from customer_sync.cli.run import Command
    from customer_sync.sync.plan import PassOptions

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

LOG_FORMATS = ("text", "json")

Page = Annotated[
    list[str] | None, typer.Option("--page", metavar="ID", help="Only this page, even if off; repeatable.")
]
Shard = Annotated[str | None, typer.Option(metavar="I/N", help="Only shard I (from 0) of N; --page takes precedence.")]
Since = Annotated[str | None, typer.Option(metavar="TIME", help="Include changes since TIME.")]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="End at TIME; a bare date means its last second.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Read everything, write nothing.")]
MaxRuntime = Annotated[str | None, typer.Option(metavar="DURATION", help="Stop gracefully after this long: 4m, 2h.")]
Jitter = Annotated[str | None, typer.Option(metavar="DURATION", help="Wait up to this long before starting.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a summary.")]
LogFormat = Annotated[
    str,
    typer.Option(metavar="|".join(LOG_FORMATS), envvar=LOG_FORMAT, help="json: one JSON object per line on stderr."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing unless something failed.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log every request, secrets redacted.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")]


def _run(command: "Callable[[PassOptions], Command[Any]]", arguments: Arguments, output: OutputOptions) -> None:
    """Runs what *command* makes of the options; ends the process with its exit code."""
    from customer_sync.cli.run import process, run_command

    with process(output) as run:
        given = read_input(arguments, run.screen.info)
        run.exit_code = run_command(
            command(given.options),
            run.screen,
            given.settings,
            arguments.page_ids,
            given.shard,
            monitored=arguments.is_monitored,
            scheduled=arguments.scheduled,
        )


def _output(log_format: str, json: bool, quiet: bool, verbose: bool, debug: bool) -> OutputOptions:
    if log_format not in LOG_FORMATS:
        problem = f"{log_format!r} is not a log format: give {' or '.join(LOG_FORMATS)}"
        raise typer.BadParameter(problem, param_hint="--log-format")
    return OutputOptions(quiet, verbose, json, debug, log_format == "json")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"customer-sync {__version__}")
        raise typer.Exit


@app.callback()
def customer_sync(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Copies every Pancake page's customers into FolkForm, and loses none."""


@app.command()
def incremental(
    page: Page = None,
    shard: Shard = None,
    since: Since = None,
    until: Until = None,
    dry_run: DryRun = False,
    max_runtime: MaxRuntime = None,
    jitter: Jitter = None,
    json: Json = False,
    log_format: LogFormat = "text",
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """One pass over all pages: what changed lately.

    Starts at the newest time that is safely in FolkForm; nothing there yet: 30
    days back. --since and --until can only start earlier and end earlier, never
    leave a gap.
    """
    from customer_sync.cli import commands

    arguments = Arguments(page or (), shard, since, until, max_runtime, jitter, dry_run=dry_run)
    _run(commands.incremental, arguments, _output(log_format, json, quiet, verbose, debug))


@app.command()
def backfill(
    page: Page = None,
    shard: Shard = None,
    since: Since = None,
    until: Until = None,
    full: Annotated[
        bool, typer.Option("--full", help="Compare everything, write what differs; implied by --page.")
    ] = False,
    rewrite: Annotated[bool, typer.Option("--rewrite", help="With --full or --page: resend unchanged ones.")] = False,
    dry_run: DryRun = False,
    max_runtime: MaxRuntime = None,
    jitter: Jitter = None,
    json: Json = False,
    log_format: LogFormat = "text",
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """One pass over all pages: the older history.

    Starts at the oldest time that is safely in FolkForm and goes down to the
    first customer (or --since), between two incrementals. With --page it repairs:
    it compares the whole page and writes what differs.
    """
    from customer_sync.cli import commands

    full = full or bool(page)
    arguments = Arguments(page or (), shard, since, until, max_runtime, jitter, full, rewrite, dry_run)
    _run(commands.backfill, arguments, _output(log_format, json, quiet, verbose, debug))


@app.command()
def verify(
    page: Page = None,
    shard: Shard = None,
    quick: Annotated[bool, typer.Option("--quick", help="Compare counts only: two requests a page.")] = False,
    allow_extra: Annotated[
        bool, typer.Option("--allow-extra", help="Do not fail because of customers that exist only in FolkForm.")
    ] = False,
    max_runtime: MaxRuntime = None,
    jitter: Jitter = None,
    json: Json = False,
    log_format: LogFormat = "text",
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Compares every customer's version on both sides; changes nothing.

    Lists customers that are missing or stale in FolkForm, extra there, or
    malformed in Pancake, and the command that repairs them. Exit 1 when any is
    missing, stale or extra.
    """
    from customer_sync.cli import commands

    compare = commands.verify_counts if quick else commands.verify
    arguments = Arguments(page or (), shard, max_runtime=max_runtime, jitter=jitter, quick=quick)
    _run(lambda _: compare(allow_extra=allow_extra), arguments, _output(log_format, json, quiet, verbose, debug))


@app.command()
def status(
    page: Page = None,
    json: Json = False,
    log_format: LogFormat = "text",
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Shows the state of every page; changes nothing.

    The newest and oldest customer in FolkForm, how far that is behind Pancake,
    how many of Pancake's customers are there, and which runs are active. A page
    that is switched off is only listed, unless --page names it.
    """
    from customer_sync.cli import commands

    arguments = Arguments(page or (), scheduled=False)
    output = _output(log_format, json, quiet, verbose, debug)
    _run(lambda _: commands.status(named=bool(page)), arguments, output)


@app.command()
def explain(
    psid: Annotated[str, typer.Argument(metavar="PSID", help="psid or Pancake id of the customer.")],
    page: Annotated[str, typer.Option("--page", metavar="ID", help="The customer's page.")],
    json: Json = False,
    log_format: LogFormat = "text",
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Shows one customer on both sides and which pass will copy it; changes nothing.

    Lists the fields that differ, but nothing personal. Exit 1 when FolkForm does
    not have Pancake's version.
    """
    from customer_sync.cli import commands

    arguments = Arguments([page], psid=psid, scheduled=False)
    _run(lambda _: commands.explain(psid), arguments, _output(log_format, json, quiet, verbose, debug))


@app.command()
def check(
    page: Page = None,
    json: Json = False,
    log_format: LogFormat = "text",
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Checks everything that can be wrong before a first run; changes nothing.

    Settings, both services, tokens, role, lists, clocks and lock directory, each
    with the next step. Exit 0 when nothing is wrong; warnings do not count.
    """
    from customer_sync.check.run import run_check
    from customer_sync.cli.run import process

    with process(_output(log_format, json, quiet, verbose, debug)) as run:
        run.exit_code = run_check(run.screen, page or ())


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
    """Serves an embedded Pancake and FolkForm on 127.0.0.1, to try the commands without an account."""
    from customer_sync.cli import demo, run

    with run.process(OutputOptions()) as process:
        process.exit_code = demo.serve_sandbox(process.screen, port, pages, customers, seed, data)


@app.command("demo")
def show_demo() -> None:
    """Runs a self-contained demo on an embedded Pancake and FolkForm; exit 0 when both sides end up equal."""
    from customer_sync.cli import demo, run

    with run.process(OutputOptions()) as process:
        process.exit_code = demo.run_demo(process.screen)
