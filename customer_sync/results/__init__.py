"""What a command found or did: counts, problems, exit codes; nothing of how it is printed."""
