"""The SQLite database of both services: a file, or memory."""

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Without column types SQLite compares numbers with numbers and text with text, as MongoDB does.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS pancake_pages (page_id PRIMARY KEY, name, user_token, page_token);
CREATE TABLE IF NOT EXISTS pancake_tokens (token PRIMARY KEY, page_id);
CREATE TABLE IF NOT EXISTS pancake_customers (
  position INTEGER PRIMARY KEY, page_id, name, updated_at_us, inserted_at_us, customer);
CREATE INDEX IF NOT EXISTS pancake_updated ON pancake_customers (page_id, updated_at_us DESC);
CREATE INDEX IF NOT EXISTS pancake_inserted ON pancake_customers (page_id, inserted_at_us DESC);
CREATE INDEX IF NOT EXISTS pancake_name ON pancake_customers (name, page_id);

CREATE TABLE IF NOT EXISTS pages (pageId PRIMARY KEY, document);
"""

COLLECTIONS = ("customers", "fb_customers")
_COLLECTION = """
CREATE TABLE IF NOT EXISTS {0} (
  id PRIMARY KEY, customerId, psid, pageId, createdAt, updatedAt, panCakeUpdatedAt, version, document);
CREATE INDEX IF NOT EXISTS {0}_customer_id ON {0} (customerId);
CREATE INDEX IF NOT EXISTS {0}_psid ON {0} (psid, pageId);
CREATE INDEX IF NOT EXISTS {0}_newest ON {0} (pageId, updatedAt DESC);
CREATE INDEX IF NOT EXISTS {0}_oldest ON {0} (pageId, updatedAt);
CREATE INDEX IF NOT EXISTS {0}_pancake_time ON {0} (pageId, panCakeUpdatedAt);
CREATE INDEX IF NOT EXISTS {0}_version ON {0} (pageId, version);
"""


class Database:
    """One connection for several threads; statements that belong together run in a `transaction`."""

    def __init__(self, path: str | Path | None = None) -> None:
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level=None)
        # A power failure may lose sample data; a killed process loses nothing.
        self._connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;" + _SCHEMA)
        for collection in COLLECTIONS:
            self._connection.executescript(_COLLECTION.format(collection))

    def create_function(self, name: str, parameters: int, function: Any) -> None:
        """Registers a pure function for SQL."""
        self._connection.create_function(name, parameters, function, deterministic=True)

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """All rows of the answer."""
        with self._lock:
            return self._connection.execute(sql, parameters).fetchall()

    def write(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Executes one statement and returns the number of changed rows."""
        with self._lock:
            return self._connection.execute(sql, parameters).rowcount

    def write_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Executes one statement for each row, all or none."""
        with self.transaction():
            self._connection.executemany(sql, rows)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Blocks other threads and commits everything or nothing; may be nested."""
        with self._lock:
            if self._connection.in_transaction:
                yield
                return
            self._connection.execute("BEGIN")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def close(self) -> None:
        """Closes the file and the connection."""
        with self._lock:
            self._connection.close()
