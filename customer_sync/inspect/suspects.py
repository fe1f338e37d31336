"""The customers that seem to differ, in a temporary database on disk, so that memory stays flat however many they are.

Facts: SQLite keeps a database without a name in an unlinked file of the temporary directory, and in memory while it is
small. Its directory is that of SQLITE_TMPDIR or TMPDIR, else /var/tmp or /tmp.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import Any, Self

from customer_sync.core.customer import Key
from customer_sync.core.stored_value import kept_text
from customer_sync.results.problems import no_room
from customer_sync.services.documents import StoredVersion

_SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -4000;
CREATE TABLE listed (key TEXT PRIMARY KEY, version TEXT, time INT, pancake_id TEXT) WITHOUT ROWID;
CREATE TABLE unmatched (key TEXT, record TEXT, PRIMARY KEY (key, record)) WITHOUT ROWID;
CREATE TABLE stored (key TEXT, record TEXT, version TEXT, time INT, pancake_id TEXT, record_id TEXT);
CREATE UNIQUE INDEX record ON stored (key, record);
CREATE TABLE changed (key TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE malformed (key TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE timeless (key TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE INDEX listed_id ON listed (pancake_id);
CREATE INDEX stored_id ON stored (pancake_id);
BEGIN;
"""
_SUSPECTS = "SELECT key FROM listed UNION SELECT key FROM unmatched ORDER BY key"
_COUNT = "SELECT count(*) FROM (SELECT key FROM listed UNION SELECT key FROM unmatched)"
_COUNT_CHANGED = """
SELECT count(*) FROM changed WHERE key IN (SELECT key FROM listed) OR key IN (SELECT key FROM unmatched)
"""
_COUNT_CHANGED_LISTED = "SELECT count(*) FROM changed JOIN listed USING (key)"
# At the first look FolkForm held no version of these customers but the unmatched ones.
_COUNT_NEW_RECORDS = """
SELECT count(*) FROM stored JOIN listed USING (key)
WHERE NOT EXISTS (SELECT 1 FROM unmatched WHERE key = stored.key AND record = stored.record)
"""
_MALFORMED_KEYS = """
SELECT DISTINCT key FROM stored JOIN malformed USING (key)
WHERE key NOT IN (SELECT key FROM listed) AND key NOT IN (SELECT key FROM changed) ORDER BY key
"""
_IS_SUSPECT = "SELECT EXISTS(SELECT 1 FROM listed WHERE key = ?) OR EXISTS(SELECT 1 FROM unmatched WHERE key = ?)"
_MISSING_OR_STALE = """
SELECT key, version, time, pancake_id FROM listed WHERE NOT EXISTS (SELECT 1 FROM changed WHERE key = listed.key)
AND version IS NOT (SELECT version FROM stored WHERE key = listed.key ORDER BY time DESC, rowid LIMIT 1) ORDER BY key
"""
_RECORDS = """
SELECT key, version, time, pancake_id, record_id FROM stored WHERE key = ? ORDER BY time DESC, rowid
"""
# A customer that has got, lost or changed its psid since has the earlier record under another key.
_FORMER_RECORD = """
SELECT key, version, time, pancake_id, record_id FROM stored
WHERE pancake_id = ? AND NOT EXISTS (SELECT 1 FROM listed WHERE key = stored.key) ORDER BY rowid DESC LIMIT 1
"""
_IS_FORMER_RECORD = """
SELECT EXISTS(SELECT 1 FROM listed WHERE pancake_id = ? AND NOT EXISTS (SELECT 1 FROM stored WHERE key = listed.key)
AND NOT EXISTS (SELECT 1 FROM changed WHERE key = listed.key))
"""
_STORED_KEYS = """
SELECT DISTINCT key FROM stored WHERE NOT EXISTS (SELECT 1 FROM changed WHERE key = stored.key) ORDER BY key
"""


@dataclass(frozen=True, slots=True)
class ListedCustomer:
    """A customer of Pancake whose version FolkForm did not hold when both were read."""

    key: Key
    version: str
    time: int
    pancake_id: str | None


class Suspects:
    """What is known of the customers that seem to differ; a context. Raises CustomerSyncError when the disk is full."""

    def __init__(self) -> None:
        import sqlite3  # Slow to load, and only comparisons need it.

        self._error = sqlite3.Error
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.executescript(_SCHEMA)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._database.close()
        if isinstance(error, self._error):
            raise no_room(str(error)) from None

    # What both sides held when they were read

    def add_listed(self, customer: ListedCustomer) -> None:
        """A customer of Pancake whose version FolkForm did not hold; the first of a key counts."""
        row = _name(customer.key), customer.version, customer.time, customer.pancake_id
        self._execute("INSERT OR IGNORE INTO listed VALUES (?, ?, ?, ?)", *row)

    def add_unmatched(self, stored: StoredVersion) -> None:
        """A record whose version Pancake did not list."""
        self._execute("INSERT OR IGNORE INTO unmatched VALUES (?, ?)", _name(stored.key), record_of(stored))

    def add_malformed(self, key: Key) -> None:
        """What a malformed customer of Pancake is known by."""
        self._execute("INSERT OR IGNORE INTO malformed VALUES (?)", _name(key))

    def __len__(self) -> int:
        return self._number(_COUNT)

    def __contains__(self, key: Key) -> bool:
        return bool(self._number(_IS_SUSPECT, _name(key), _name(key)))

    def keys(self) -> Iterator[Key]:
        """Every suspect."""
        return (_key(name) for (name,) in self._execute(_SUSPECTS))

    # What they hold at the second look

    def add_changed(self, key: Key) -> bool:
        """A customer that changed in Pancake meanwhile: the passes copy it. Returns whether that was unknown."""
        return bool(self._execute("INSERT OR IGNORE INTO changed VALUES (?)", _name(key)).rowcount)

    def count_changed(self) -> tuple[int, int]:
        """How many customers changed meanwhile, and how many of them are suspects."""
        return self._number("SELECT count(*) FROM changed"), self._number(_COUNT_CHANGED)

    def count_changed_listed(self) -> int:
        """How many suspects of Pancake's list changed meanwhile."""
        return self._number(_COUNT_CHANGED_LISTED)

    def count_new_records(self) -> int:
        """How many of the records were written since the first look."""
        return self._number(_COUNT_NEW_RECORDS)

    def add_stored(self, records: Iterable[StoredVersion]) -> None:
        """Records that FolkForm holds now."""
        for one in records:
            version = None if one.version is None else kept_text(one.version)
            row = _name(one.key), record_of(one), version, one.time, one.pancake_id, one.record_id
            self._execute("INSERT OR REPLACE INTO stored VALUES (?, ?, ?, ?, ?, ?)", *row)

    def add_timeless(self, key: Key) -> None:
        """A customer with a record without a time, which was not compared."""
        self._execute("INSERT OR IGNORE INTO timeless VALUES (?)", _name(key))

    def timeless(self) -> Iterator[Key]:
        """All of these."""
        return (_key(name) for (name,) in self._execute("SELECT key FROM timeless ORDER BY key"))

    def forget_stored(self) -> None:
        """The records are read anew."""
        self._execute("DELETE FROM stored")

    # What follows

    def missing_or_stale(self) -> Iterator[ListedCustomer]:
        """The customers whose version FolkForm still does not hold."""
        for name, *rest in self._execute(_MISSING_OR_STALE):
            yield ListedCustomer(_key(name), *rest)

    def stored_keys(self) -> Iterator[Key]:
        """The customers that FolkForm holds and that did not change meanwhile."""
        return (_key(name) for (name,) in self._execute(_STORED_KEYS))

    def malformed_keys(self) -> Iterator[Key]:
        """The customers that FolkForm holds and that are malformed in Pancake."""
        return (_key(name) for (name,) in self._execute(_MALFORMED_KEYS))

    def records(self, key: Key) -> list[StoredVersion]:
        """A customer's records in FolkForm, the newest first."""
        found = self._execute(_RECORDS, _name(key))
        return [_record(row) for row in found]

    def former_record(self, pancake_id: str | None) -> StoredVersion | None:
        """The record of a customer under another key."""
        row = self._execute(_FORMER_RECORD, pancake_id).fetchone()
        return row and _record(row)

    def is_former_record(self, stored: StoredVersion) -> bool:
        """Whether a customer is listed under another key than this record's."""
        return bool(self._number(_IS_FORMER_RECORD, stored.pancake_id))

    def is_listed(self, key: Key) -> bool:
        """Whether Pancake listed the customer, malformed or not."""
        listed = "SELECT EXISTS(SELECT 1 FROM listed WHERE key = ?) OR EXISTS(SELECT 1 FROM malformed WHERE key = ?)"
        return bool(self._number(listed, _name(key), _name(key)))

    def is_unmatched(self, stored: StoredVersion) -> bool:
        """Whether Pancake did not list the version of a record; records without a time were not compared."""
        found = "SELECT EXISTS(SELECT 1 FROM unmatched WHERE key = ? AND record = ?)"
        return not stored.time or bool(self._number(found, _name(stored.key), record_of(stored)))

    def _number(self, statement: str, *values: Any) -> int:
        return int(self._execute(statement, *values).fetchone()[0])

    def _execute(self, statement: str, *values: Any) -> Any:
        return self._database.execute(statement, values)


def record_of(stored: StoredVersion) -> str:
    """The identity of one of a customer's records."""
    return stored.record_id or kept_text(stored.version or "")


def in_chunks(keys: Iterator[Key], size: int) -> Iterator[list[Key]]:
    """The keys in lists of *size*."""
    while chunk := list(islice(keys, size)):
        yield chunk


def _name(key: Key) -> str:
    """A key as text."""
    return f"psid {key}" if isinstance(key, str) else f"id {key[0]}"


def _key(name: str) -> Key:
    kind, _, text = name.partition(" ")
    return text if kind == "psid" else (text,)


def _record(row: tuple[str, str | None, int, str | None, str | None]) -> StoredVersion:
    name, version, time, pancake_id, record_id = row
    return StoredVersion(_key(name), version, time, pancake_id, record_id)
