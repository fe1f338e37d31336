"""FbCustomer: FolkForm's document of a Pancake customer, in three dialects of its times.

As recorded, absent values are stored as Go's zero values, and a number in place of a text as text.
"""

import itertools
import secrets
import time
from collections.abc import Mapping
from typing import Any

from customer_sync.sandbox.kept import kept
from customer_sync.sandbox.times import milliseconds

_MACHINE = secrets.token_hex(5)
_COUNTER = itertools.count(secrets.randbelow(1 << 24))


def new_id() -> str:
    """A new id in MongoDB's form: 24 hex digits that begin with the present second."""
    return f"{int(time.time()):08x}{_MACHINE}{next(_COUNTER) & 0xFFFFFF:06x}"


ZEROS: dict[str, Any] = {
    "customerId": "",
    "psid": "",
    "pageId": "",
    "name": "",
    "phoneNumbers": None,
    "email": "",
    "birthday": "",
    "gender": "",
    "livesIn": "",
    "threadId": "",
    "panCakeData": None,
    "panCakeUpdatedAt": 0,
    "createdAt": 0,
    "updatedAt": 0,
}
"""The values of absent fields and of fields outside of the projection."""


def fb_customer(
    customer: Mapping[str, Any], dialect: str, *, document_id: str, created_at: int | None
) -> dict[str, Any]:
    """The document of Pancake's *customer*, written now; *created_at* (ms) is that of the replaced document.

    guide: `updatedAt` is Pancake's time.
    deployed: `updatedAt` and `createdAt` are the time of every write, `panCakeUpdatedAt` is Pancake's time.
    older: `updatedAt` is the time of the write; Pancake's time is missing.

    Raises ValueError for a customer without an id or with a number that cannot be stored.
    """
    now = time.time_ns() // 1_000_000
    pancake_time = milliseconds(customer.get("updated_at"))
    times = {"createdAt": now if created_at is None else created_at, "updatedAt": now}
    if dialect == "guide":
        times["updatedAt"] = pancake_time
    elif dialect == "deployed":
        times = {"panCakeUpdatedAt": pancake_time, "createdAt": now, "updatedAt": now}
    return {"id": document_id, **_extracted(customer), "panCakeData": kept(customer), **times}


def identifier(value: Any) -> str:
    """A psid or an id as FolkForm extracts it."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return kept(value) if isinstance(value, str) else str(value) if is_number else ""


def _extracted(customer: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that FolkForm copies from `panCakeData`."""
    customer_id = identifier(customer.get("id"))
    if not customer_id:
        raise ValueError("id is missing")
    texts = {
        "birthday": "birthday",
        "email": "email",
        "gender": "gender",
        "lives_in": "livesIn",
        "thread_id": "threadId",
    }
    phones = customer.get("phone_numbers")
    return {
        "customerId": customer_id,
        "psid": identifier(customer.get("psid")),
        "pageId": customer["page_id"],
        "name": kept(customer.get("name") or ""),
        "phoneNumbers": _texts(phones) if isinstance(phones, list) else None,
        **{field: kept(customer.get(name) or "") for name, field in texts.items()},
    }


def _texts(values: list[Any]) -> list[str] | None:
    """A list of texts; None if it contains anything else."""
    return kept(values) if all(isinstance(value, str) for value in values) else None
