"""Pancake's data: pages, their tokens and customers, and lists of a window."""

import random
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from customer_sync.sandbox.behaviour import Behaviour
from customer_sync.sandbox.database import Database
from customer_sync.sandbox.fb_customer import identifier
from customer_sync.sandbox.json_text import dumps, loads
from customer_sync.sandbox.times import microseconds, pancake_text

Customer = dict[str, Any]
SECOND = 1_000_000
# How far below the rows just listed are the customers that change during a walk.
_AHEAD = 1000
_FOREVER = 2**62


@dataclass(frozen=True)
class ListRequest:
    """The parameters of a list call: *since* and *until* in Unix seconds, *order* is a column of times."""

    page_id: str
    since: int
    until: int
    page_number: int
    page_size: int
    order: str

    @property
    def offset(self) -> int:
        """The number of rows before the requested page."""
        return (self.page_number - 1) * self.page_size


@dataclass(frozen=True)
class ListAnswer:
    """Customers as JSON texts, the total of the window, and the last row's time in microseconds."""

    customers: list[str]
    total: int
    last_time: int | None


class Pancake:
    """The source of customers. Every customer is stored and listed exactly as given."""

    def __init__(self, database: Database, behaviour: Behaviour, seed: int) -> None:
        self._database = database
        self._behaviour = behaviour
        self._rng = random.Random(seed)

    def now(self) -> int:
        """Pancake's clock: Unix microseconds, UTC, off by the behaviour's `pancake_clock_offset`."""
        return time.time_ns() // 1000 + round(self._behaviour.pancake_clock_offset * SECOND)

    # Pages and tokens

    def page_ids(self) -> list[str]:
        """All pages in insertion order."""
        rows = self._database.rows("SELECT page_id FROM pancake_pages ORDER BY rowid")
        return [page_id for (page_id,) in rows]

    def add_page(self, page_id: str, name: str = "") -> None:
        """Adds a page; `make_page_token` gives access to it."""
        row = (page_id, name, f"user-token-of-{page_id}")
        self._database.write("INSERT INTO pancake_pages VALUES (?, ?, ?, NULL)", row)

    def user_token(self, page_id: str) -> str | None:
        """The user token of the page, which can make page tokens; None for an unknown page."""
        return self._tokens(page_id)[0]

    def page_token(self, page_id: str) -> str | None:
        """The valid page token; None if none was made."""
        return self._tokens(page_id)[1]

    def make_page_token(self, page_id: str) -> str:
        """Makes a page token; the previous one is invalid from now on."""
        token = f"page-token-{secrets.token_hex(16)}"
        sql = "UPDATE pancake_pages SET page_token = ? WHERE page_id = ?"
        with self._database.transaction():
            if not self._database.write(sql, (token, page_id)):
                raise KeyError(page_id)
            self._database.write("INSERT INTO pancake_tokens VALUES (?, ?)", (token, page_id))
        return token

    def page_of_token(self, token: str) -> str | None:
        """The page of a page token, valid or not."""
        rows = self._database.rows("SELECT page_id FROM pancake_tokens WHERE token = ?", (token,))
        return rows[0][0] if rows else None

    def is_user_token(self, token: str) -> bool:
        """Whether this is a user token."""
        return bool(self._database.rows("SELECT 1 FROM pancake_pages WHERE user_token = ?", (token,)))

    def _tokens(self, page_id: str) -> tuple[str | None, str | None]:
        sql = "SELECT user_token, page_token FROM pancake_pages WHERE page_id = ?"
        rows = self._database.rows(sql, (page_id,))
        return rows[0] if rows else (None, None)

    # Customers

    def add_customer(self, page_id: str, customer: Any) -> None:
        """Adds a customer exactly as given, any JSON value, even if its psid exists."""
        self.add_customers(page_id, [customer])

    def add_customers(self, page_id: str, customers: Iterable[Any]) -> None:
        """Adds many customers, each exactly as given."""
        sql = "INSERT INTO pancake_customers VALUES (NULL, ?, ?, ?, ?, ?)"
        self._database.write_many(sql, ((page_id, *_columns(customer)) for customer in customers))

    def customers(self, page_id: str) -> list[Any]:
        """The page's customers in insertion order."""
        sql = "SELECT customer FROM pancake_customers WHERE page_id = ? ORDER BY position"
        return [loads(text) for (text,) in self._database.rows(sql, (page_id,))]

    def change_customer(self, page_id: str, name: str, changes: Mapping[str, Any]) -> Customer:
        """Sets fields of the customer with this psid, or id if there is no psid, and returns the customer;
        `updated_at` only if it is among them.
        """
        sql = "SELECT position, customer FROM pancake_customers WHERE name = ? AND page_id = ?"
        with self._database.transaction():
            rows = self._database.rows(sql, (name, page_id))
            if not rows:
                raise KeyError(name)
            return self._replace(rows[0], changes)

    def change_customers(self, count: int, rng: random.Random | None = None) -> list[tuple[str, Customer]]:
        """Changes *count* random customers now and returns them with their pages."""
        sql = "SELECT position, page_id FROM pancake_customers WHERE name IS NOT NULL"
        with self._database.transaction():
            rows = self._database.rows(sql)
            chosen = (rng or self._rng).sample(rows, min(count, len(rows)))
            return [(page_id, self._change_now(position)) for position, page_id in chosen]

    def remove_customer(self, page_id: str, name: str) -> None:
        """Removes every customer with this psid, or id if there is no psid, as a merge or a deletion does."""
        self._database.write("DELETE FROM pancake_customers WHERE name = ? AND page_id = ?", (name, page_id))

    def change_behind(self, page_id: str, last_time: int | None, count: int) -> None:
        """Changes *count* customers now, three of four shortly below *last_time*, which are not listed yet."""
        with self._database.transaction():
            for _ in range(count):
                ahead = self._positions_below(page_id, last_time) if self._rng.random() < 0.75 else []
                if positions := ahead or self._positions_below(page_id, None):
                    self._change_now(self._rng.choice(positions))

    def _positions_below(self, page_id: str, time: int | None) -> list[int]:
        sql = (
            "SELECT position FROM pancake_customers WHERE page_id = ? AND updated_at_us < ? AND name IS NOT NULL"
            " ORDER BY updated_at_us DESC LIMIT ?"
        )
        rows = self._database.rows(sql, (page_id, _FOREVER if time is None else time, _AHEAD))
        return [position for (position,) in rows]

    def _change_now(self, position: int) -> Customer:
        sql = "SELECT position, customer FROM pancake_customers WHERE position = ?"
        now = pancake_text(self.now())
        changes = {"updated_at": now, "last_message": f"Tin nhắn lúc {now} 💬"}
        return self._replace(self._database.rows(sql, (position,))[0], changes)

    def _replace(self, row: tuple[int, str], changes: Mapping[str, Any]) -> Customer:
        position, text = row
        customer = {**loads(text), **changes}
        sql = (
            "UPDATE pancake_customers SET name = ?, updated_at_us = ?, inserted_at_us = ?, customer = ?"
            " WHERE position = ?"
        )
        self._database.write(sql, (*_columns(customer), position))
        return customer

    # Lists

    def list_customers(self, request: ListRequest) -> ListAnswer:
        """One page of the window, newest first; equal times in insertion order."""
        condition, parameters = self._window(request)
        inside = f"FROM pancake_customers WHERE {condition}"
        rows = self._database.rows(
            f"SELECT customer, updated_at_us {inside} ORDER BY {request.order} DESC, position LIMIT ? OFFSET ?",
            (*parameters, request.page_size, request.offset),
        )
        total = self._database.rows(f"SELECT count(*) {inside}", parameters)[0][0]
        return ListAnswer([text for text, _ in rows], total, rows[-1][1] if rows else None)

    def _window(self, request: ListRequest) -> tuple[str, tuple[Any, ...]]:
        if self._behaviour.window == "ignored":
            return "page_id = ?", (request.page_id,)
        by_update = request.order == "updated_at_us" and self._behaviour.window == "updated_at"
        column = "updated_at_us" if by_update else "inserted_at_us"
        whole_second = self._behaviour.window_precision == "second"
        until = (request.until - self._behaviour.until_early) // self._behaviour.until_step * self._behaviour.until_step
        last = until * SECOND + (SECOND - 1 if whole_second else 0)
        return f"page_id = ? AND {column} BETWEEN ? AND ?", (request.page_id, request.since * SECOND, last)


def _columns(customer: Any) -> tuple[str | None, int, int, str]:
    """The columns and the text; an unreadable time is 0, so that it is last."""
    fields = customer if isinstance(customer, dict) else {}
    psid = identifier(fields.get("psid"))
    name = psid if psid.strip() else identifier(fields.get("id"))
    updated_at = microseconds(fields.get("updated_at")) or 0
    inserted_at = microseconds(fields.get("inserted_at")) or 0
    return name or None, updated_at, inserted_at, dumps(customer)
