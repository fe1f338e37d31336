"""Preparation of a sandbox before a measurement, and its inspection afterwards; see `Served.do`."""

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .crowd import Ages, crowd

if TYPE_CHECKING:
    from customer_sync.sandbox import Sandbox

_FRESH = 10.0


def add_pages(box: "Sandbox", pages: int, customers: int, ages: Ages, notes: str | None = None) -> None:
    """Adds *pages* pages of *customers* customers each, all of them with *notes*."""
    from customer_sync.sandbox import sample_data

    now = time.time_ns() // 1000
    for index in range(pages):
        page_id, name = sample_data.page(1, index)
        box.add_page(page_id, name)
        box.pancake.add_customers(page_id, crowd(page_id, customers, ages, now, notes))


def write_documents(box: "Sandbox", path: Path) -> None:
    """Writes all customers to a file, one line of JSON each, as sent to FolkForm."""
    with path.open("w", encoding="utf-8") as file:
        for page_id in box.pancake.page_ids():
            for customer in box.pancake.customers(page_id):
                file.write(json.dumps({**customer, "page_id": page_id}) + "\n")


def add_fault(box: "Sandbox", fault: dict[str, Any]) -> None:
    """Adds a fault with these settings."""
    from customer_sync.sandbox import Fault

    box.faults.add(Fault.from_settings(fault))


def fill_folkform(box: "Sandbox") -> None:
    """Copies all customers to FolkForm."""
    for page_id in box.pancake.page_ids():
        for customer in box.pancake.customers(page_id):
            box.folkform.upsert({**customer, "page_id": page_id})


def empty_folkform(box: "Sandbox") -> None:
    """Deletes all customers from FolkForm."""
    for page_id in box.pancake.page_ids():
        box.folkform.delete(page_id)


def change_customers(box: "Sandbox", count: int, within: float) -> None:
    """Changes customers of the first page, evenly spread over the last seconds."""
    page_id = box.pancake.page_ids()[0]
    for number, customer in enumerate(box.pancake.customers(page_id)[:count]):
        changed = datetime.now(UTC) - timedelta(seconds=_FRESH + within * number / count)
        box.pancake.change_customer(page_id, customer["psid"], {"updated_at": changed.strftime("%Y-%m-%dT%H:%M:%S.%f")})


def pages_with_tokens(box: "Sandbox") -> dict[str, str]:
    """Every page's id and page token."""
    return {page_id: box.pancake.page_token(page_id) or "" for page_id in box.pancake.page_ids()}


def differing(box: "Sandbox") -> int:
    """How many customers differ between FolkForm and Pancake."""
    difference = box.difference()
    return len(difference.missing) + len(difference.stale) + len(difference.changed) + len(difference.extra)


@dataclass(frozen=True, slots=True)
class Asked:
    """The number of requests."""

    pancake: int
    folkform: int
    writes: int

    @property
    def all(self) -> int:
        return self.pancake + self.folkform


def asked(box: "Sandbox") -> Asked:
    """The requests since the last `forget_requests`."""
    log = box.requests
    return Asked(log.count("pancake"), log.count("folkform"), log.count("folkform", "/upsert-one"))


def forget_requests(box: "Sandbox") -> None:
    """Resets the counts of requests."""
    box.requests.clear()


def folkform_requests(box: "Sandbox") -> list[tuple[float, int]]:
    """The times (Unix seconds) and statuses of FolkForm's latest 10,000 requests."""
    return [(request.time, request.status) for request in box.requests.recent if request.service == "folkform"]
