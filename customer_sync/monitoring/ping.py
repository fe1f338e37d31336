"""Tells a monitor that a run starts and how it ended, in the manner of Healthchecks.

Healthchecks: a POST to the check's address is a success, to `/start` and `/fail` below its path what they say; the body
is kept as the log. Who can read the address can ping, so it is a secret.
"""

import logging
from typing import Any
from urllib.parse import urlsplit

from customer_sync.core.clock import Clock
from customer_sync.http.transport import post
from customer_sync.results.pass_result import PassResult

log = logging.getLogger(__name__)

_TIMEOUT = 10.0


def check_of(url: str, result: PassResult[Any]) -> str:
    """The check of one run: `{pass}` and `{shard}` in *url* stand for the run's, so that one setting names them all."""
    return url.replace("{pass}", result.name).replace("{shard}", result.shard.slug if result.shard else "all")


class Ping:
    """A check of the monitor. Whatever becomes of a ping changes nothing else."""

    def __init__(self, url: str, clock: Clock) -> None:
        parts = urlsplit(url)
        self._url = parts._replace(path=parts.path.rstrip("/"))
        self._clock = clock

    def start(self) -> None:
        """A run starts."""
        self._post("/start", "")

    def end(self, *, well: bool, summary: str) -> None:
        """It has ended; *summary* is one line."""
        self._post("" if well else "/fail", summary)

    def _post(self, what: str, text: str) -> None:
        url = self._url._replace(path=self._url.path + what).geturl()
        if trouble := post(url, text.encode(errors="replace"), {"Content-Type": "text/plain"}, self._clock, _TIMEOUT):
            log.warning("the monitor could not be pinged (%s)", trouble)
