"""Pings a Healthchecks check when a run starts and when it ends.

A POST to the check's address is a success; `/start` and `/fail` below its path are a start and a failure; the body is
kept as the log. The address is a secret: everyone who knows it can ping.
"""

import logging
from typing import Any
from urllib.parse import urlsplit

from customer_sync.core.clock import Clock
from customer_sync.http.transport import post
from customer_sync.results.pass_result import PassResult

log = logging.getLogger(__name__)

_TIMEOUT = 10.0


def check_url(url: str, result: PassResult[Any]) -> str:
    """The address of one run's check: `{pass}` and `{shard}` in *url* are replaced with the run's."""
    return url.replace("{pass}", result.name).replace("{shard}", result.shard.slug if result.shard else "all")


class Ping:
    """One check. A ping that fails is a warning and changes nothing else."""

    def __init__(self, url: str, clock: Clock) -> None:
        parts = urlsplit(url)
        self._url = parts._replace(path=parts.path.rstrip("/"))
        self._clock = clock

    def start(self) -> None:
        """The run starts."""
        self._post("/start", "")

    def end(self, summary: str, *, success: bool) -> None:
        """The run has ended; *summary* is one line."""
        self._post("" if success else "/fail", summary)

    def _post(self, what: str, text: str) -> None:
        url = self._url._replace(path=self._url.path + what).geturl()
        if trouble := post(url, text.encode(errors="replace"), {"Content-Type": "text/plain"}, self._clock, _TIMEOUT):
            log.warning("cannot ping the monitor (%s)", trouble)
