"""FbCustomer: the document that FolkForm keeps of a Pancake customer, in three dialects of its times."""

import itertools
import secrets
import time
from collections.abc import Mapping
from typing import Any

from customer_sync.sandbox.times import milliseconds

_MACHINE = secrets.token_hex(5)
_COUNTER = itertools.count(secrets.randbelow(1 << 24))


def new_id() -> str:
    """A fresh id in MongoDB's form: 24 hex digits that begin with the second of their making."""
    return f"{int(time.time()):08x}{_MACHINE}{next(_COUNTER) & 0xFFFFFF:06x}"


def fb_customer(
    customer: Mapping[str, Any], dialect: str, *, document_id: str, created_at: int | None
) -> dict[str, Any]:
    """The document for Pancake's *customer*, written now; *created_at* (ms) is from the document it replaces.

    guide: `updatedAt` is Pancake's time.
    deployed: `updatedAt` and `createdAt` are the time of every write, `panCakeUpdatedAt` is Pancake's time.
    older: `updatedAt` is the time of the write, Pancake's time is not told.
    """
    now = time.time_ns() // 1_000_000
    pancake_time = milliseconds(customer.get("updated_at"))
    times = {"createdAt": now if created_at is None else created_at, "updatedAt": now}
    if dialect == "guide":
        times["updatedAt"] = pancake_time
    elif dialect == "deployed":
        times = {"panCakeUpdatedAt": pancake_time, "createdAt": now, "updatedAt": now}
    return {"id": document_id, **_extracted(customer), "panCakeData": customer, **times}


def _extracted(customer: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that FolkForm copies out of `panCakeData`; it keeps an empty text where Pancake has null."""
    return {
        "customerId": customer.get("id") or "",
        "psid": customer["psid"],
        "pageId": customer["page_id"],
        "name": customer.get("name") or "",
        "phoneNumbers": customer.get("phone_numbers") or [],
        "email": customer.get("email") or "",
        "birthday": customer.get("birthday") or "",
        "gender": customer.get("gender") or "",
        "livesIn": customer.get("lives_in") or "",
        "threadId": customer.get("thread_id") or "",
    }
