"""Metrics and pings for those who watch the runs."""
