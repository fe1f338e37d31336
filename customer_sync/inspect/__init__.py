"""Commands that only read: verify, status, explain."""
