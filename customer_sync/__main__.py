"""The `customer-sync` command, also as `python -m customer_sync`."""

from customer_sync.core.command_line import name_program
from customer_sync.core.errors import ExitCode
from customer_sync.core.interrupt import end_at_once_on_signals
from customer_sync.core.streams import prepare_streams


def main() -> None:
    """Runs the command line; ends the process with its exit code. Signals end it even while it loads."""
    end_at_once_on_signals()
    from customer_sync.cli.app import app

    prepare_streams()
    name_program()
    try:
        app()
    except OSError as error:  # The help could not be written; the commands themselves write through the screen.
        from customer_sync.output.console import Screen
        from customer_sync.output.options import OutputOptions

        Screen(OutputOptions()).cannot_write(error)
        raise SystemExit(ExitCode.PARTIAL) from None


if __name__ == "__main__":
    main()
