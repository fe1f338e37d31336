"""Benchmarks of customer-sync and its rivals. `make bench` runs them and prints a table."""
