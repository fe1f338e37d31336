"""Tells a monitor that a run starts and how it ended, in the manner of Healthchecks.

Healthchecks: a POST to the check's address is a success, to `/start` and `/fail` below it what they say; the body is
kept as the log. Who can read the address can ping, so it is a secret.
"""

import logging

from customer_sync.clock import Clock
from customer_sync.http import post_text

log = logging.getLogger(__name__)

_TIMEOUT = 10.0


class Ping:
    """One check of the monitor. Whatever becomes of a ping changes nothing else."""

    def __init__(self, url: str, clock: Clock) -> None:
        self._url = url.rstrip("/")
        self._clock = clock

    def start(self) -> None:
        """A run starts."""
        self._post("/start", "")

    def end(self, *, well: bool, summary: str) -> None:
        """It has ended; *summary* is one line."""
        self._post("" if well else "/fail", summary)

    def _post(self, what: str, text: str) -> None:
        if trouble := post_text(self._url + what, text, self._clock, _TIMEOUT):
            log.warning("the monitor could not be pinged (%s)", trouble)
