"""A service and its answers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlsplit

from customer_sync.core.command_line import quoted


@dataclass(frozen=True, slots=True)
class Service:
    """A service to call, and what the user can do when that fails."""

    name: str
    base_url: str
    address_setting: str
    """The variable that holds the base address."""
    token_step: str
    """What to do when the service refuses the token (401)."""
    base_path: str = ""
    """What every base address of this service ends in."""
    not_found_step: str = ""
    """What to do when the service has no such path (404), although the address ends as it should."""
    role_step: str = ""
    """What to do when it forbids a request (403); the same as for the token where it is empty."""
    too_large_step: str = ""
    """What to do when its answers are too large."""

    @property
    def address_step(self) -> str:
        """What to do when the address may be wrong."""
        if not self.base_url.rstrip("/").endswith(self.base_path):
            address = quoted(complete_address(self.base_url, self.base_path))
            return f"Set {self.address_setting}={address} (it must end in {self.base_path})."
        return self.not_found_step or f"Check {self.address_setting}."


@dataclass(frozen=True, slots=True)
class Answer:
    """A service's answer: HTTP status, headers, and the JSON object in its body."""

    status: int
    headers: Mapping[str, str]
    body: dict[str, Any]

    @property
    def date(self) -> float | None:
        """The service's clock at that moment, Unix seconds; None when it sent none."""
        return read_http_date(self.headers.get("Date"))


def complete_address(address: str, base_path: str) -> str:
    """A base address with the end that it lacks; what it has of that end, or behind it, is not kept."""
    address = address.partition(f"{base_path}/")[0].rstrip("/")
    place = address.removesuffix(urlsplit(address).path)
    segments = urlsplit(address).path.split("/")
    while segments[-1] in base_path.split("/")[1:] or re.fullmatch(r"v\d+", segments[-1]):
        segments.pop()
    return place + "/".join(segments) + base_path


def path_segment(text: str) -> str:
    """*text* as one segment of a path, also one that a client or a proxy would take for a way up."""
    return "%2E" * len(text) if text in (".", "..") else quote(text, safe="")


def read_http_date(text: str | None) -> float | None:
    """Unix seconds of an HTTP date, UTC unless it names a zone; None when it is not a date."""
    try:
        moment = parsedate_to_datetime(text or "")
    except (ValueError, OverflowError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
