"""What is set up in a sandbox before a program is measured there, and looked at afterwards; see `Served.do`."""

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from .crowd import Ages, crowd

if TYPE_CHECKING:
    from customer_sync.sandbox import Sandbox

_FRESH = 10.0


def add_pages(box: "Sandbox", pages: int, customers: int, ages: Ages) -> None:
    """Adds *pages* pages of *customers* customers each."""
    from customer_sync.sandbox import sample_data

    now = time.time_ns() // 1000
    for index in range(pages):
        page_id, name = sample_data.page(1, index)
        box.add_page(page_id, name)
        box.pancake.add_customers(page_id, crowd(page_id, customers, ages, now))


def write_documents(box: "Sandbox", path: Path) -> None:
    """Writes all customers to a file, a line of JSON each, as FolkForm is to get them."""
    with path.open("w", encoding="utf-8") as file:
        for page_id in box.pancake.page_ids():
            for customer in box.pancake.customers(page_id):
                file.write(json.dumps({**customer, "page_id": page_id}) + "\n")


def fill_folkform(box: "Sandbox") -> None:
    """Makes FolkForm hold everybody."""
    for page_id in box.pancake.page_ids():
        for customer in box.pancake.customers(page_id):
            box.folkform.upsert({**customer, "page_id": page_id})


def empty_folkform(box: "Sandbox") -> None:
    """Takes all customers out of FolkForm."""
    for page_id in box.pancake.page_ids():
        box.folkform.delete(page_id)


def change_customers(box: "Sandbox", count: int, within: float) -> None:
    """Changes some customers of the first page, one after the other within so many seconds, lately."""
    page_id = box.pancake.page_ids()[0]
    for number, customer in enumerate(box.pancake.customers(page_id)[:count]):
        changed = datetime.now(UTC) - timedelta(seconds=_FRESH + within * number / count)
        box.pancake.change_customer(page_id, customer["psid"], {"updated_at": changed.strftime("%Y-%m-%dT%H:%M:%S.%f")})


def pages_with_tokens(box: "Sandbox") -> dict[str, str]:
    """Every page's id, and the token that opens it in Pancake."""
    return {page_id: box.pancake.page_token(page_id) or "" for page_id in box.pancake.page_ids()}


def differing(box: "Sandbox") -> int:
    """How many customers are not in FolkForm as they are in Pancake."""
    difference = box.difference()
    return len(difference.missing) + len(difference.stale) + len(difference.changed) + len(difference.extra)


@dataclass(frozen=True, slots=True)
class Asked:
    """How many requests there were."""

    pancake: int
    folkform: int
    writes: int

    @property
    def all(self) -> int:
        return self.pancake + self.folkform


def asked(box: "Sandbox") -> Asked:
    """What was asked since the last time that it was forgotten."""
    log = box.requests
    return Asked(log.count("pancake"), log.count("folkform"), log.count("folkform", "/upsert-one"))


def forget_requests(box: "Sandbox") -> None:
    """Counts requests from 0 again."""
    box.requests.clear()


def folkform_requests(box: "Sandbox") -> list[tuple[float, int]]:
    """When FolkForm's latest 10,000 requests came, Unix seconds, and the status they were answered with."""
    return [(request.time, request.status) for request in box.requests.recent if request.service == "folkform"]
