"""The `customer-sync` command, also as `python -m customer_sync`."""

from customer_sync.interrupt import end_at_once_on_signals


def main() -> None:
    """Runs the command line; signals are heard even while it is being loaded."""
    end_at_once_on_signals()
    from customer_sync.cli import main

    main()


if __name__ == "__main__":
    main()
