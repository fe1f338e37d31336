"""Keeps secrets out of every text that leaves the program."""

import json
import re
from collections.abc import Iterator
from html import unescape
from itertools import pairwise
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from customer_sync.core.streams import printable

HIDDEN = "***"
_BY_NAME = re.compile(
    r"""(?:access_?token|id_?token|password|authorization|api_?key|[?&]key)["']?\s*[=:]\s*["']?(?:Bearer\s+)?"""
    r"""([^\s&"',;)}\]]+)""",
    re.IGNORECASE,
)
_LOGIN_IN_ADDRESS = re.compile(r"//([^/@\s]+)@")
# A shorter value may be part of an ordinary word.
_MIN_LENGTH = 6
# The escapes of URLs, JSON, Python, bash and HTML. An echo may be escaped once by each program on its way.
_ESCAPE = re.compile(
    r"""(?:%[0-9a-f]{2})+|(?:(?-i:\\u)[0-9a-f]{4})+|(?-i:\\U)00(?:0[0-9a-f]|10)[0-9a-f]{4}|\\x[0-9a-f]{2}|\\["'/\\]|&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z]{2,31});?""",
    re.IGNORECASE,
)
_MAX_LAYERS = 4
# No message is longer; to search a longer one would take seconds.
_LONGEST = 200_000

Span = tuple[int, int]
"""Where a part of a text starts and ends."""


class Redactor:
    """Hides the secrets of this run by value, and unknown ones by the name of their parameter, escaped or not."""

    def __init__(self) -> None:
        self._values: frozenset[str] = frozenset()

    def add(self, *secrets: str | None) -> None:
        """Hides these values from now on, in every form."""
        for secret in secrets:
            if secret and len(secret) >= _MIN_LENGTH:
                encoded = {quote(secret, safe=""), quote_plus(secret), secret.replace(" ", "+")}
                decoded = {one for one in (unquote(secret), unquote_plus(secret)) if len(one) >= _MIN_LENGTH}
                self._values |= {secret, *encoded, *decoded}

    def __call__(self, text: str) -> str:
        """*text* without secrets. What is far too long for a message is cut between two words."""
        if len(text) > _LONGEST:
            text = f"{text[: max(text.rfind(' ', 0, _LONGEST), 0)]}…"
        spans = sorted(self._spans(text))
        if not spans:
            return text
        parts, end = [], 0
        for start, stop in spans:
            if start >= end:
                parts += [text[end:start], HIDDEN]
            end = max(end, stop)
        return "".join([*parts, text[end:]])

    def clean(self, text: str) -> str:
        """*text* without secrets and control characters: what a terminal, a log and a monitor get."""
        return printable(self(text))

    def _spans(self, text: str) -> Iterator[Span]:
        """The secrets in *text*, and those that appear once its escapes are decoded."""
        yield from self._plain_spans(text)
        places = None
        for _ in range(_MAX_LAYERS):
            if not _ESCAPE.search(text):
                return
            text, places = _decoded(text, places or list(pairwise(range(len(text) + 1))))
            for start, end in self._plain_spans(text):
                yield places[start][0], places[end - 1][1]

    def _plain_spans(self, text: str) -> Iterator[Span]:
        for value in self._values:
            start = text.find(value)
            while start >= 0:
                yield start, start + len(value)
                start = text.find(value, start + len(value))
        for pattern in (_BY_NAME, _LOGIN_IN_ADDRESS):
            yield from (found.span(1) for found in pattern.finditer(text))


def _decoded(text: str, places: list[Span]) -> tuple[str, list[Span]]:
    """*text* with one layer of escapes decoded, and the place of each of its characters in the original text."""
    parts: list[str] = []
    origins: list[Span] = []
    end = 0
    for found in _ESCAPE.finditer(text):
        start, stop = found.span()
        plain = _plain(found[0])
        parts += [text[end:start], plain]
        origins += [*places[end:start], *[(places[start][0], places[stop - 1][1])] * len(plain)]
        end = stop
    return "".join([*parts, text[end:]]), [*origins, *places[end:]]


def _plain(escaped: str) -> str:
    """What one escape, or a run of them, stands for."""
    match escaped[:2]:
        case r"\u":
            return str(json.loads(f'"{escaped}"'))
        case r"\U" | r"\x" | r"\X":
            return chr(int(escaped[2:], 16))
        case _ if escaped[0] == "\\":
            return escaped[1]
        case _:
            return unquote(escaped) if escaped[0] == "%" else unescape(escaped)
