"""`python -m customer_sync` is `customer-sync`."""

from customer_sync.cli import main

main()
