"""The guide's two jobs, literally: one request at a time, newest first, by page number.

`python guide.py incremental|backfill`, with PAGE_SIZE customers per batch. It is here to be measured. Do not run it on
real data: it loses customers, as docs/guide-departures.md explains.
"""

import json
import os
import sys
import time
from datetime import UTC, datetime
from typing import Any

import requests

PAGE_SIZE = int(os.environ.get("PAGE_SIZE", "100"))
FIRST_RUN = 30 * 86_400
BATCHES_PER_REFRESH = 10

session = requests.Session()


def main(name: str) -> None:
    """One job over all pages."""
    session.headers["Authorization"] = f"Bearer {os.environ['FOLKFORM_TOKEN']}"
    session.headers["X-Active-Role-ID"] = os.environ["FOLKFORM_ROLE_ID"]
    sync = {"incremental": sync_new_customers_of_page, "backfill": sync_all_customers_of_page}[name]
    for page in pages():
        sync(page["pageId"], page["pageAccessToken"])


def sync_new_customers_of_page(page_id: str, token: str) -> None:
    """From the newest `updatedAt` up to now."""
    until = int(time.time())
    since = time_in_folkform(page_id, newest=True) or until - FIRST_RUN
    number = 1
    while customers := pancake_customers(page_id, token, number, since, until):
        for customer in customers:
            if parse_updated_at(customer["updated_at"]) < since:
                return
            upsert(page_id, customer)
        number += 1


def sync_all_customers_of_page(page_id: str, token: str) -> None:
    """From the oldest `updatedAt` down to 0."""
    until = time_in_folkform(page_id, newest=False) or int(time.time())
    number = 1
    while True:
        customers = pancake_customers(page_id, token, number, 0, until)
        for customer in customers:
            if parse_updated_at(customer["updated_at"]) <= until:
                upsert(page_id, customer)
        if len(customers) < PAGE_SIZE:
            return
        if number % BATCHES_PER_REFRESH == 0:
            until = min(until, time_in_folkform(page_id, newest=False) or until)
        number += 1


def pages() -> list[dict[str, Any]]:
    """Every page with isSync."""
    found: list[dict[str, Any]] = []
    while True:
        data = folkform("GET", "/facebook/page/find-with-pagination", page=str(len(found) // 50 + 1), limit="50")
        found += data["items"] or []
        if len(found) >= data["total"]:
            return [page for page in found if page["isSync"]]


def time_in_folkform(page_id: str, *, newest: bool) -> int | None:
    """The newest or oldest `updatedAt`, Unix seconds; None if there is no customer."""
    options = json.dumps({"sort": {"updatedAt": -1 if newest else 1}, "limit": 1})
    found = folkform("GET", "/fb-customer/find", filter=json.dumps({"pageId": page_id}), options=options)
    return found[0]["updatedAt"] // 1000 if found else None


def upsert(page_id: str, customer: dict[str, Any]) -> None:
    """Inserts or updates a customer."""
    wanted = json.dumps({"psid": customer["psid"], "pageId": page_id})
    folkform("POST", "/fb-customer/upsert-one", {"panCakeData": {**customer, "page_id": page_id}}, filter=wanted)


def folkform(method: str, path: str, body: Any = None, **params: str) -> Any:
    """The data in FolkForm's answer."""
    address = os.environ["FOLKFORM_BASE_URL"] + path
    answer = session.request(method, address, params=params, json=body, timeout=30)
    answer.raise_for_status()
    return answer.json()["data"]


def pancake_customers(page_id: str, token: str, number: int, since: int, until: int) -> list[dict[str, Any]]:
    """One batch of Pancake's list."""
    address = f"{os.environ['PANCAKE_BASE_URL']}/public_api/v1/pages/{page_id}/page_customers"
    params: dict[str, str | int] = {
        "page_access_token": token,
        "page_number": number,
        "page_size": PAGE_SIZE,
        "since": since,
        "until": until,
        "order_by": "updated_at",
    }
    answer = session.get(address, params=params, timeout=30)
    answer.raise_for_status()
    customers: list[dict[str, Any]] = answer.json()["customers"]
    return customers


def parse_updated_at(text: str) -> int:
    """Unix seconds of Pancake's time, which is UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


if __name__ == "__main__":
    main(sys.argv[1])
