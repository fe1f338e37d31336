"""FolkForm's page records: which pages there are, and the tokens that open them in Pancake."""

import logging
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from customer_sync.core.errors import ContractBroken
from customer_sync.core.page import CORRECT_RECORD, Page
from customer_sync.core.stored_value import kept_text
from customer_sync.http.service import path_segment
from customer_sync.http.session import Call
from customer_sync.services.documents import read_documents
from customer_sync.services.folkform_access import SERVICE, FolkFormAccess

log = logging.getLogger(__name__)

# A record holds what Pancake knows of its page: fifty large ones are too large an answer, then fewer are asked for.
_PAGES_AT_ONCE = (50, 10, 1)
_MAX_PAGES = 50_000
# As it is in an address. A file name has room for 255 characters, a request line to FolkForm for less than 4,096.
_LONGEST_PAGE_ID = 200


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
        return _one_of_each(page for page in pages if page)

    def page(self, page_id: str) -> Page:
        """One page, as its record is now. Raises Refused when there is none, ContractBroken for another page's record
        and for one that cannot be used.
        """
        path = f"/facebook/page/find-by-page-id/{path_segment(page_id)}"
        page = _read_page(self._access.get(path, {}, page_id=page_id))
        if page is None:
            raise ContractBroken(SERVICE, f"answered something else than the record of page {page_id}")
        if page.page_id != page_id:
            raise ContractBroken(SERVICE, f"returned the record of page {page.page_id} for page {page_id}")
        if page.broken:
            problem = f"returned a record of page {page_id} that cannot be used: {page.broken}"
            raise ContractBroken(SERVICE, problem, CORRECT_RECORD)
        return page

    def store_page_token(self, page_id: str, token: str) -> None:
        """Stores a new page token, where every program finds it."""
        body = {"pageId": page_id, "pageAccessToken": token}
        call = Call("PUT", "/facebook/page/update-token", {}, body, page_id=page_id, must_complete=True)
        stored = _read_page(self._access.data(call))
        if stored and stored.page_id != page_id:
            raise ContractBroken(SERVICE, f"stored the token of page {page_id} in the record of page {stored.page_id}")

    def _records(self) -> list[dict[str, Any]]:
        *many, one = _PAGES_AT_ONCE
        for limit in many:
            try:
                return self._listed(limit)
            except ContractBroken as error:
                if not error.too_large:
                    raise
                log.debug("FolkForm's page records, %d at once: %s", limit, error)
        return self._listed(one)

    def _listed(self, limit: int) -> list[dict[str, Any]]:
        records: list[dict[str, Any]] = []
        for number in range(1, _MAX_PAGES // limit + 1):
            params = {"page": str(number), "limit": str(limit)}
            data = self._access.get("/facebook/page/find-with-pagination", params)
            found = [record for record in read_documents(data) if record not in records]
            records += found
            total = data.get("total") if isinstance(data, dict) else None
            if not found or (isinstance(total, int) and len(records) >= total):
                return records
        raise ContractBroken(SERVICE, f"lists more than {_MAX_PAGES:,} pages")


def _read_page(record: Any) -> Page | None:
    page_id = record.get("pageId") if isinstance(record, dict) else None
    if not isinstance(page_id, str) or not page_id:
        return None
    name, is_sync = str(record.get("pageName") or record.get("pageUsername") or ""), record.get("isSync") is True
    page_token, user_token = (str(record.get(field) or "") for field in ("pageAccessToken", "accessToken"))
    texts = {"pageId": page_id, "pageAccessToken": page_token, "accessToken": user_token}
    if halved := [field for field, text in texts.items() if kept_text(text) != text]:
        return Page(kept_text(page_id), name, is_sync, "", broken=f"{halved[0]} holds half a surrogate pair")
    if len(path_segment(page_id)) > _LONGEST_PAGE_ID:
        return Page(page_id, name, is_sync, "", broken=f"its pageId has {len(page_id)} characters")
    return Page(page_id, name, is_sync, page_token, user_token)


def _one_of_each(pages: Iterable[Page]) -> list[Page]:
    """One record of each page, which is on where any is: one that can be used, with a token, and on comes first."""
    by_id: dict[str, list[Page]] = {}
    for page in pages:
        by_id.setdefault(page.page_id, []).append(page)
    return [
        replace(max(one, key=_usefulness), is_sync=any(page.is_sync for page in one), records=len(one))
        for one in by_id.values()
    ]


def _usefulness(page: Page) -> tuple[bool, bool, bool]:
    return not page.broken, bool(page.page_access_token), page.is_sync
