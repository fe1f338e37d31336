"""FolkForm's data: page records, a collection of customers, and the access of tokens."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from customer_sync.sandbox.behaviour import Behaviour
from customer_sync.sandbox.database import COLLECTIONS, Database
from customer_sync.sandbox.fb_customer import fb_customer, identifier, new_id
from customer_sync.sandbox.json_text import dumps, loads
from customer_sync.sandbox.query import Options, Sql, cell, field_cell, find_path, has_field

Document = dict[str, Any]
TOKEN = "folkform-sandbox-token"
ROLE_ID = "65f0c0ffee0000000000beef"
PERMISSIONS = frozenset({"Customer.Insert", "Customer.Read", "Customer.Update", "Customer.Delete"})
_COLUMNS = (
    "id",
    "customerId",
    "psid",
    "pageId",
    "createdAt",
    "updatedAt",
    "panCakeUpdatedAt",
    "panCakeData.updated_at",
)


class DuplicateCustomerError(Exception):
    """Another document has the same value in a unique index."""


@dataclass(frozen=True)
class Role:
    """A user's role in an organization."""

    role_id: str = ROLE_ID
    name: str = "Agent"
    organization: str = "Sandbox"
    organization_id: str = "65f0c0ffee00000000000a11"


@dataclass(frozen=True)
class Access:
    """What a bearer token gives access to."""

    permissions: frozenset[str] = PERMISSIONS
    roles: tuple[Role, ...] = (Role(),)
    blocked: bool = False


class FolkForm:
    """The destination of customers: documents as JSON texts, with columns for what is searched."""

    def __init__(self, database: Database, behaviour: Behaviour, collection: str = COLLECTIONS[0]) -> None:
        self._collection = collection
        self._database = database
        self._behaviour = behaviour
        self.tokens: dict[str, Access] = {TOKEN: Access()}
        """The access of each bearer token; add tokens to imitate other users."""
        database.create_function("field_cell", 2, field_cell)
        database.create_function("has_field", 2, has_field)

    # Pages

    def add_page(self, page_id: str, name: str = "", **fields: Any) -> Document:
        """Stores a page record; *fields* are isSync, accessToken, pageAccessToken and others."""
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
        """Changes fields of a page record, such as `isSync=False`. Raises KeyError for an unknown page."""
        page = self.page(page_id)
        if page is None:
            raise KeyError(page_id)
        return self._store_page({**page, **fields})

    def page(self, page_id: str) -> Document | None:
        """One page record; None if there is none."""
        rows = self._database.rows("SELECT document FROM pages WHERE pageId = ?", (page_id,))
        return loads(rows[0][0]) if rows else None

    def pages(self, skip: int = 0, limit: int = -1) -> list[Document]:
        """The page records in insertion order."""
        sql = "SELECT document FROM pages ORDER BY rowid LIMIT ? OFFSET ?"
        return [loads(text) for (text,) in self._database.rows(sql, (limit, skip))]

    def page_count(self) -> int:
        """The number of page records."""
        return int(self._database.rows("SELECT count(*) FROM pages")[0][0])

    def _store_page(self, page: Document) -> Document:
        self._database.write(_PUT_PAGE, (page["pageId"], dumps(page)))
        return page

    # Documents

    def upsert(self, customer: Mapping[str, Any], where: Sql | None = None) -> str:
        """Inserts or updates the document of Pancake's *customer*: the first that *where* finds, by default the one
        with its psid and page, or without a psid its id. Returns its text. Raises DuplicateCustomerError.
        """
        with self._database.transaction():
            rows = self._rows("id, createdAt", where or _identity(customer), "ORDER BY rowid LIMIT 1")
            document_id, created_at = rows[0] if rows else (new_id(), None)
            return self._put(self._document(customer, document_id, created_at))

    def insert(self, customer: Mapping[str, Any]) -> str:
        """Inserts the document of a customer and returns its text. Raises DuplicateCustomerError."""
        with self._database.transaction():
            return self._put(self._document(customer, new_id(), None))

    def update(self, document_id: str, customer: Mapping[str, Any]) -> str | None:
        """Replaces the document with this id; returns its text or None. Raises DuplicateCustomerError."""
        with self._database.transaction():
            rows = self._rows("createdAt", Sql("id = ?", (document_id,)))
            return self._put(self._document(customer, document_id, rows[0][0])) if rows else None

    def store(self, document: Document) -> Document:
        """Stores a document unchanged, as another writer would; replaces the one with its psid and pageId."""
        with self._database.transaction():
            rows = self._rows("id", _of_customer(document.get("pageId"), document.get("psid")))
            stored = {"id": rows[0][0] if rows else new_id(), **document}
            self._put(stored)
        return stored

    def delete(self, page_id: str, psid: str | None = None) -> int:
        """Deletes a customer's documents, or all of the page, and returns their number."""
        condition = Sql("pageId = ?", (page_id,)) if psid is None else _of_customer(page_id, psid)
        return self._delete(condition)

    def delete_by_id(self, document_id: str) -> bool:
        """Deletes one document; False if there is none."""
        return bool(self._delete(Sql("id = ?", (document_id,))))

    def document(self, page_id: str, psid: str) -> Document | None:
        """A customer's document, by psid or else by Pancake's id."""
        for condition in (_of_customer(page_id, psid), Sql("pageId = ? AND customerId = ?", (page_id, psid))):
            for (text,) in self._rows("document", condition):
                document: Document = loads(text)
                return document
        return None

    def documents(self, page_id: str) -> list[Document]:
        """The page's documents in insertion order."""
        rows = self._rows("document", Sql("pageId = ?", (page_id,)), "ORDER BY rowid")
        return [loads(text) for (text,) in rows]

    def page_ids(self) -> list[str]:
        """The pages that have documents."""
        return [page_id for (page_id,) in self._rows("DISTINCT pageId", Sql("1"))]

    def find(self, condition: Sql, options: Options) -> list[str]:
        """The texts of the documents that meet the condition; the caller applies the projection."""
        end = Sql(f"ORDER BY {options.order.text} LIMIT ? OFFSET ?", options.order.parameters)
        parameters = (*condition.parameters, *end.parameters, options.limit, options.skip)
        return [text for (text,) in self._rows("document", Sql(condition.text, parameters), end.text)]

    def count(self, condition: Sql) -> int:
        """The number of documents that meet the condition."""
        return int(self._rows("count(*)", condition)[0][0])

    def _rows(self, columns: str, condition: Sql, end: str = "") -> list[Any]:
        # Conditions and orders contain column names only; every value is a parameter.
        sql = f"SELECT {columns} FROM {self._collection} WHERE {condition.text} {end}"  # noqa: S608
        return self._database.rows(sql, condition.parameters)

    def _delete(self, condition: Sql) -> int:
        sql = f"DELETE FROM {self._collection} WHERE {condition.text}"  # noqa: S608
        return self._database.write(sql, condition.parameters)

    def _document(self, customer: Mapping[str, Any], document_id: str, created_at: int | None) -> Document:
        dialect = self._behaviour.dialect
        return fb_customer(customer, dialect, document_id=document_id, created_at=created_at)

    def _put(self, document: Document) -> str:
        """Raises DuplicateCustomerError."""
        for path, same in self._unique(document).items():
            if self._rows("1", Sql(f"{same.text} AND id != ?", (*same.parameters, document["id"])), "LIMIT 1"):
                raise DuplicateCustomerError(f"{path} of {self._collection}")
        text = dumps(document)
        values = (*(cell(find_path(document, path)[1]) for path in _COLUMNS), text)
        self._database.write(_PUT_DOCUMENT.format(self._collection), values)
        return text

    def _unique(self, document: Document) -> dict[str, Sql]:
        """What no other document may have, by index name."""
        unique = {}
        if customer_id := document.get("customerId"):
            unique["customerId_1"] = Sql("customerId = ?", (customer_id,))
        psid = document.get("psid")
        if psid is not None and self._behaviour.unique_psid == "everywhere":
            unique["psid_1"] = Sql("psid = ?", (psid,))
        elif psid is not None and self._behaviour.unique_psid == "per_page":
            unique["psid_1_pageId_1"] = _of_customer(document.get("pageId"), psid)
        return unique


def _identity(customer: Mapping[str, Any]) -> Sql:
    psid = identifier(customer.get("psid"))
    if psid.strip():
        return _of_customer(customer["page_id"], psid)
    return Sql("customerId = ?", (identifier(customer.get("id")),))


def _of_customer(page_id: Any, psid: Any) -> Sql:
    return Sql("psid = ? AND pageId = ?", (psid, page_id))


class EmptyFolkForm(FolkForm):
    """FolkForm for a role that owns nothing."""

    def page(self, _page_id: str) -> Document | None:
        """No page record."""
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
INSERT INTO {0} (id, customerId, psid, pageId, createdAt, updatedAt, panCakeUpdatedAt, version, document)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET customerId = excluded.customerId, psid = excluded.psid, pageId = excluded.pageId,
  createdAt = excluded.createdAt, updatedAt = excluded.updatedAt, panCakeUpdatedAt = excluded.panCakeUpdatedAt,
  version = excluded.version, document = excluded.document
"""
