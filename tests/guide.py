"""The guide's two jobs read literally, one request at a time, as a program that follows it to the letter does them.

It loses customers: `until` comes down every ten batches while `page_number` keeps growing.
"""

import json
import time
from collections.abc import Mapping
from itertools import count
from typing import Any

import requests

from customer_sync.customer import parse_customer_updated_at

MONTH = 30 * 86_400


class Guide:
    """Both jobs for one page. *environment* holds the variables that the real program reads."""

    def __init__(self, environment: Mapping[str, str], page_id: str, page_size: int = 100) -> None:
        self._pancake, self._folkform = environment["PANCAKE_BASE_URL"], environment["FOLKFORM_BASE_URL"]
        self._page_id = page_id
        self._page_size = page_size
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Bearer {environment['FOLKFORM_TOKEN']}"
        self._session.headers["X-Active-Role-ID"] = environment.get("FOLKFORM_ROLE_ID", "")
        record = self._ask("GET", f"{self._folkform}/facebook/page/find-by-page-id/{page_id}")["data"]
        self._page_token = record["pageAccessToken"]

    def incremental(self) -> None:
        """From FolkForm's newest time up to now, newest first."""
        now = int(time.time())
        newest = self._edge(-1)
        since = now - MONTH if newest is None else newest
        for number in count(1):
            batch = self._batch(number, since, now)
            for customer, updated_at in batch:
                if updated_at < since:
                    return
                self._upsert(customer)
            if not batch:
                return

    def backfill(self) -> None:
        """From FolkForm's oldest time down to 0, newest first; the oldest time is read again after every 10 batches."""
        until = self._edge(1) or int(time.time())
        for number in count(1):
            batch = self._batch(number, 0, until)
            for customer, updated_at in batch:
                if updated_at <= until:
                    self._upsert(customer)
            if len(batch) < self._page_size:
                return
            if number % 10 == 0:
                until = min(until, self._edge(1) or until)

    def _batch(self, number: int, since: int, until: int) -> list[tuple[dict[str, Any], int]]:
        answer = self._ask(
            "GET",
            f"{self._pancake}/public_api/v1/pages/{self._page_id}/page_customers",
            page_access_token=self._page_token,
            page_number=number,
            page_size=self._page_size,
            since=since,
            until=until,
            order_by="updated_at",
        )
        return [(customer, parse_customer_updated_at(customer["updated_at"])) for customer in answer["customers"]]

    def _edge(self, direction: int) -> int | None:
        """FolkForm's newest (-1) or oldest (1) `updatedAt`, Unix seconds."""
        found = self._ask(
            "GET",
            f"{self._folkform}/customer/find",
            filter=json.dumps({"pageId": self._page_id}),
            options=json.dumps({"sort": {"updatedAt": direction}, "limit": 1}),
        )["data"]
        return found[0]["updatedAt"] // 1000 if found else None

    def _upsert(self, customer: dict[str, Any]) -> None:
        filter_ = json.dumps({"psid": customer["psid"], "pageId": self._page_id})
        data = {**customer, "page_id": self._page_id}
        self._ask("POST", f"{self._folkform}/customer/upsert-one", {"panCakeData": data}, filter=filter_)

    def _ask(self, method: str, url: str, body: Any = None, **params: Any) -> dict[str, Any]:
        answer = self._session.request(method, url, params=params, json=body, timeout=60)
        answer.raise_for_status()
        loaded: dict[str, Any] = answer.json()
        return loaded
