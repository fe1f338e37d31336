"""One HTTP call: paced, retried, bounded, redacted."""
