"""The `customer-sync` command, also as `python -m customer_sync`."""

from customer_sync.core.interrupt import end_at_once_on_signals


def main() -> None:
    """Runs the command line; signals end the process even while it loads."""
    end_at_once_on_signals()
    from customer_sync.cli.app import main

    main()


if __name__ == "__main__":
    main()
