"""What the user sees: progress, tables, plain lines, JSON."""
