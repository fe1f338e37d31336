"""What a command did or found: counts, problems, exit codes; not how it is printed."""
