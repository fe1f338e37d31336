"""Nouns and tools that every other package uses: errors, time, locks, the customer."""
