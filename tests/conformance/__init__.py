"""What two real FolkForm servers answered, and a program that asks any FolkForm the same: `make conformance BASE=…`."""
