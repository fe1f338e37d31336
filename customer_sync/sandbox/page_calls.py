"""FolkForm's `/facebook/page/*`: the page records, with isSync and the tokens."""

from customer_sync.sandbox.behaviour import Behaviour
from customer_sync.sandbox.call import Answer, Call
from customer_sync.sandbox.envelope import (
    INVALID,
    FolkFormError,
    json_object,
    not_found,
    page_and_limit,
    paginated,
    success,
)
from customer_sync.sandbox.folkform import FolkForm
from customer_sync.sandbox.json_text import dumps


class PageCalls:
    """The calls for page records."""

    def __init__(self, folkform: FolkForm, behaviour: Behaviour) -> None:
        self._folkform = folkform
        self._behaviour = behaviour

    def find_with_pagination(self, call: Call) -> Answer:
        """Answers `GET find-with-pagination?page=&limit=`."""
        page, limit = page_and_limit(call)
        found = self._folkform.pages((page - 1) * limit, limit)
        return paginated([dumps(record) for record in found], page, limit, self._folkform.page_count())

    def find_by_page_id(self, call: Call) -> Answer:
        """Answers `GET find-by-page-id/{page_id}`."""
        record = self._folkform.page(call.path["page_id"])
        if self._behaviour.ignores_page_id == "records":
            record = next(iter(self._folkform.pages(limit=1)), None)
        if record is None:
            raise not_found()
        return success(dumps(record))

    def update_token(self, call: Call) -> Answer:
        """Answers `PUT update-token`."""
        body = json_object(call)
        page_id, token = body.get("pageId"), body.get("pageAccessToken")
        if not isinstance(page_id, str) or not isinstance(token, str):
            raise FolkFormError(400, INVALID, "pageId and pageAccessToken must be texts")
        try:
            return success(dumps(self._folkform.set_page(page_id, pageAccessToken=token)))
        except KeyError:
            raise not_found() from None
