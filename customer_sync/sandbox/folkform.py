"""FolkForm's data: page records, the collection `customers`, and who may do what."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from sqlite3 import IntegrityError
from typing import Any

from customer_sync.sandbox.behaviour import Behaviour
from customer_sync.sandbox.database import Database
from customer_sync.sandbox.fb_customer import fb_customer, new_id
from customer_sync.sandbox.json_text import dumps, loads
from customer_sync.sandbox.query import Options, Sql, cell, field_cell, find_path, has_field

Document = dict[str, Any]
TOKEN = "folkform-sandbox-token"
ROLE_ID = "65f0c0ffee0000000000beef"
PERMISSIONS = frozenset({"Customer.Insert", "Customer.Read", "Customer.Update", "Customer.Delete"})
_COLUMNS = ("id", "psid", "pageId", "createdAt", "updatedAt", "panCakeUpdatedAt", "panCakeData.updated_at")


class DuplicateCustomerError(Exception):
    """Another document has the same psid and pageId."""


@dataclass(frozen=True)
class Access:
    """What a bearer token opens."""

    permissions: frozenset[str] = PERMISSIONS
    role_id: str | None = ROLE_ID


class FolkForm:
    """The destination of customers: documents as JSON text, what is searched for in columns beside it."""

    def __init__(self, database: Database, behaviour: Behaviour) -> None:
        self._database = database
        self._behaviour = behaviour
        self.tokens: dict[str, Access] = {TOKEN: Access()}
        """Who may do what; add tokens to imitate other users."""
        database.create_function("field_cell", 2, field_cell)
        database.create_function("has_field", 2, has_field)

    # Pages

    def add_page(self, page_id: str, name: str = "", **fields: Any) -> Document:
        """Stores the record of a page; *fields* are isSync, accessToken, pageAccessToken and others."""
        record = {
            "id": new_id(),
            "pageId": page_id,
            "pageName": name,
            "pageUsername": "",
            "isSync": True,
            "accessToken": "",
            "pageAccessToken": "",
        }
        return self._store_page({**record, **fields})

    def set_page(self, page_id: str, **fields: Any) -> Document:
        """Changes fields of a page's record, `isSync=False` say; raises KeyError for an unknown page."""
        page = self.page(page_id)
        if page is None:
            raise KeyError(page_id)
        return self._store_page({**page, **fields})

    def page(self, page_id: str) -> Document | None:
        """One page's record."""
        rows = self._database.rows("SELECT document FROM pages WHERE pageId = ?", (page_id,))
        return loads(rows[0][0]) if rows else None

    def pages(self, skip: int = 0, limit: int = -1) -> list[Document]:
        """The page records in the order they were added."""
        sql = "SELECT document FROM pages ORDER BY rowid LIMIT ? OFFSET ?"
        return [loads(text) for (text,) in self._database.rows(sql, (limit, skip))]

    def page_count(self) -> int:
        """How many page records there are."""
        return int(self._database.rows("SELECT count(*) FROM pages")[0][0])

    def _store_page(self, page: Document) -> Document:
        self._database.write(_PUT_PAGE, (page["pageId"], dumps(page)))
        return page

    # Documents

    def upsert(self, customer: Mapping[str, Any]) -> str:
        """Inserts or updates the document of Pancake's *customer* and returns its text."""
        sql = "SELECT id, createdAt FROM customers WHERE psid = ? AND pageId = ?"
        with self._writing():
            rows = self._database.rows(sql, (customer["psid"], customer["page_id"]))
            document_id, created_at = rows[0] if rows else (new_id(), None)
            return self._put(self._document(customer, document_id, created_at))

    def insert(self, customer: Mapping[str, Any]) -> str:
        """Inserts the document of a customer and returns its text; raises DuplicateCustomerError."""
        with self._writing():
            return self._put(self._document(customer, new_id(), None))

    def update(self, document_id: str, customer: Mapping[str, Any]) -> str | None:
        """Replaces the document with this id, None if there is none; raises DuplicateCustomerError."""
        with self._writing():
            rows = self._database.rows("SELECT createdAt FROM customers WHERE id = ?", (document_id,))
            return self._put(self._document(customer, document_id, rows[0][0])) if rows else None

    def store(self, document: Document) -> Document:
        """Stores a document as another writer would, as it is, over the one with its psid and pageId."""
        sql = "SELECT id FROM customers WHERE psid = ? AND pageId = ?"
        with self._writing():
            rows = self._database.rows(sql, (document.get("psid"), document.get("pageId")))
            stored = {"id": rows[0][0] if rows else new_id(), **document}
            self._put(stored)
        return stored

    def delete(self, page_id: str, psid: str | None = None) -> int:
        """Deletes a customer's document, or all of the page, and returns how many there were."""
        if psid is None:
            return self._database.write("DELETE FROM customers WHERE pageId = ?", (page_id,))
        return self._database.write("DELETE FROM customers WHERE pageId = ? AND psid = ?", (page_id, psid))

    def delete_by_id(self, document_id: str) -> bool:
        """Deletes one document; False if there is none."""
        return bool(self._database.write("DELETE FROM customers WHERE id = ?", (document_id,)))

    def document(self, page_id: str, psid: str) -> Document | None:
        """One customer's document."""
        sql = "SELECT document FROM customers WHERE psid = ? AND pageId = ?"
        rows = self._database.rows(sql, (psid, page_id))
        return loads(rows[0][0]) if rows else None

    def documents(self, page_id: str) -> list[Document]:
        """The page's documents in the order they were first stored."""
        sql = "SELECT document FROM customers WHERE pageId = ? ORDER BY rowid"
        return [loads(text) for (text,) in self._database.rows(sql, (page_id,))]

    def page_ids(self) -> list[str]:
        """The pages that there are documents of."""
        rows = self._database.rows("SELECT DISTINCT pageId FROM customers")
        return [page_id for (page_id,) in rows]

    def find(self, condition: Sql, options: Options) -> list[str]:
        """The texts of the documents that meet the condition; the options' projection is left to the caller."""
        # A condition's and an order's text hold names of columns only, every value is a parameter.
        where, order = condition.text, options.order.text
        sql = f"SELECT document FROM customers WHERE {where} ORDER BY {order}"  # noqa: S608
        parameters = (*condition.parameters, *options.order.parameters, options.limit, options.skip)
        return [text for (text,) in self._database.rows(sql + " LIMIT ? OFFSET ?", parameters)]

    def count(self, condition: Sql) -> int:
        """How many documents meet the condition."""
        sql = f"SELECT count(*) FROM customers WHERE {condition.text}"  # noqa: S608
        return int(self._database.rows(sql, condition.parameters)[0][0])

    def _document(self, customer: Mapping[str, Any], document_id: str, created_at: int | None) -> Document:
        dialect = self._behaviour.dialect
        return fb_customer(customer, dialect, document_id=document_id, created_at=created_at)

    def _put(self, document: Document) -> str:
        text = dumps(document)
        self._database.write(_PUT_DOCUMENT, (*(cell(find_path(document, path)[1]) for path in _COLUMNS), text))
        return text

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with self._database.transaction():
                yield
        except IntegrityError as error:
            raise DuplicateCustomerError from error


class EmptyFolkForm(FolkForm):
    """FolkForm as a role sees it that nothing belongs to."""

    def page(self, _page_id: str) -> Document | None:
        """No page's record."""
        return None

    def pages(self, _skip: int = 0, _limit: int = -1) -> list[Document]:
        """No records."""
        return []

    def page_count(self) -> int:
        """0."""
        return 0

    def find(self, _condition: Sql, _options: Options) -> list[str]:
        """No documents."""
        return []

    def count(self, _condition: Sql) -> int:
        """0."""
        return 0


_PUT_PAGE = "INSERT INTO pages VALUES (?, ?) ON CONFLICT (pageId) DO UPDATE SET document = excluded.document"
_PUT_DOCUMENT = """
INSERT INTO customers (id, psid, pageId, createdAt, updatedAt, panCakeUpdatedAt, version, document)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET psid = excluded.psid, pageId = excluded.pageId, createdAt = excluded.createdAt,
  updatedAt = excluded.updatedAt, panCakeUpdatedAt = excluded.panCakeUpdatedAt, version = excluded.version,
  document = excluded.document
"""
