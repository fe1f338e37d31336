"""Programs that measure customer-sync beside its rivals. `make bench` runs them and prints a table."""
