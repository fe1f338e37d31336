"""The `customer-sync` command, also as `python -m customer_sync`."""

import gc

from customer_sync.core.interrupt import end_at_once_on_signals


def main() -> None:
    """Runs the command line; signals are heard even while it is being loaded."""
    end_at_once_on_signals()
    # Modules are no garbage; to look among them for some takes a tenth of a start. The commands let it begin again.
    gc.disable()
    from customer_sync.cli.app import main

    main()


if __name__ == "__main__":
    main()
