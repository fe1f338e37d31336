"""FolkForm's page records: which pages there are, and the tokens that open them in Pancake."""

import logging
from itertools import count
from typing import Any

from customer_sync.core.errors import ContractBroken
from customer_sync.core.page import Page
from customer_sync.http.service import path_segment
from customer_sync.http.session import Call
from customer_sync.services.documents import read_documents
from customer_sync.services.folkform_access import SERVICE, FolkFormAccess

log = logging.getLogger(__name__)

_PAGES_AT_ONCE = 50


class FolkFormPages:
    """Reads page records, and stores page tokens in them. Threads share it."""

    def __init__(self, access: FolkFormAccess) -> None:
        self._access = access

    def pages(self) -> list[Page]:
        """Every page, synced or not."""
        records = self._records()
        if not records and self._access.take_another_role():
            records = self._records()
        pages = [_read_page(record) for record in records]
        if nameless := pages.count(None):
            log.info("FolkForm lists %d page records without a pageId, which are not synced", nameless)
        return list({page.page_id: page for page in pages if page}.values())

    def page(self, page_id: str) -> Page:
        """One page, as its record is now. Raises Refused when there is none."""
        path = f"/facebook/page/find-by-page-id/{path_segment(page_id)}"
        page = _read_page(self._access.get(path, {}, page_id=page_id))
        if page is None:
            raise ContractBroken(SERVICE, f"answered something else than the record of page {page_id}")
        return page

    def store_page_token(self, page_id: str, token: str) -> None:
        """Stores a new page token, where every program finds it."""
        body = {"pageId": page_id, "pageAccessToken": token}
        self._access.data(Call("PUT", "/facebook/page/update-token", {}, body, page_id=page_id, must_complete=True))

    def _records(self) -> list[dict[str, Any]]:
        records: list[dict[str, Any]] = []
        for number in count(1):
            params = {"page": str(number), "limit": str(_PAGES_AT_ONCE)}
            data = self._access.get("/facebook/page/find-with-pagination", params)
            found = [record for record in read_documents(data) if record not in records]
            records += found
            total = data.get("total") if isinstance(data, dict) else None
            if not found or (isinstance(total, int) and len(records) >= total):
                break
        return records


def _read_page(record: Any) -> Page | None:
    page_id = record.get("pageId") if isinstance(record, dict) else None
    if not isinstance(page_id, str) or not page_id:
        return None
    return Page(
        page_id,
        str(record.get("pageName") or record.get("pageUsername") or ""),
        record.get("isSync") is True,
        str(record.get("pageAccessToken") or ""),
        str(record.get("accessToken") or ""),
    )
