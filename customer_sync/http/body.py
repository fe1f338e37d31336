"""The body of an answer: received, decompressed and parsed, never beyond what an honest list needs.

Measured: 100 customers of Pancake are 36 KB, 1,000 documents of FolkForm 360 KB, and whole ones 750 KB.
"""

import io
import json
import re
import sys
import zlib
from collections.abc import Iterator
from typing import Any, NoReturn

import requests

from customer_sync.core.customer import is_deeper

MAX_RECEIVED = 3 * 2**20
"""Bytes of one answer on the wire, its headers included."""
MAX_TEXT = 2 * 2**20
"""Bytes of one decompressed body."""
_MAX_PARSED = 12 * 2**20
# Of any JSON value, its place in a list or an object included; its characters are counted apart.
_VALUE_SIZE = 120
_CHUNK = 65536
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_PACKED = frozenset({"gzip", "x-gzip", "deflate"})
# What is deeper is cut off: no record may be nested so deeply (see core.customer). Some versions of Python parse more.
_MAX_DEPTH = 400
# A text, closed or not, or a bracket: always matches at once, however long the text.
_TEXT_OR_BRACKET = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)


class TooLarge(Exception):
    """The answer is larger than any honest one."""


class UnknownEncoding(Exception):
    """The body is compressed in a way that was not asked for, or more than once."""


class BoundedReader(io.BufferedReader):
    """Refuses to read until the end: `http.client` does that only where a chunk has a negative size."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            raise OSError("a negative size")
        return super().read(size)


def read_body(response: requests.Response) -> bytearray:
    """The body, decompressed. Raises TooLarge, UnknownEncoding, and `zlib.error` or what the network raises."""
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ("", "identity", *_PACKED):
        raise UnknownEncoding(encoding)
    received = iter(lambda: response.raw.read(_CHUNK, decode_content=False), b"")
    body = bytearray()
    for piece in _unpacked(received) if encoding in _PACKED else received:
        body += piece
        if len(body) > MAX_TEXT:
            raise TooLarge
    return body


def _unpacked(received: Iterator[bytes]) -> Iterator[bytes]:
    """The decompressed pieces, each bounded; several packed parts in a row are one body."""
    unpacker = None
    for chunk in received:
        while chunk:
            if unpacker is None or unpacker.eof:
                unpacker = zlib.decompressobj(_GZIP_OR_ZLIB)
            yield unpacker.decompress(chunk, _CHUNK)
            chunk = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail  # noqa: PLW2901
    if unpacker is not None and not unpacker.eof:
        raise zlib.error("half a body")


def read_json_object(body: bytes | bytearray) -> dict[str, Any] | None:
    """The JSON object in a body, cut off below 400 levels; None when it holds anything else. Raises TooLarge."""
    try:
        text = body.decode(json.detect_encoding(body), "surrogatepass")
        if sys.getsizeof(text) + _VALUE_SIZE * sum(map(text.count, "[{:,")) > _MAX_PARSED:
            raise TooLarge
        try:
            value = _DECODER.decode(text)
            is_too_deep = is_deeper([value], _MAX_DEPTH)
        except RecursionError:
            is_too_deep = True
        if is_too_deep:
            value = _DECODER.decode(_without_depth(text))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _without_depth(text: str) -> str:
    """A JSON text without what is nested too deeply."""
    kept: list[str] = []
    depth = kept_until = 0
    for found in _TEXT_OR_BRACKET.finditer(text):
        if found[0] in ("[", "{"):
            depth += 1
            if depth == _MAX_DEPTH:
                kept.append(text[kept_until : found.end()])
        elif found[0] in ("]", "}"):
            if depth == _MAX_DEPTH:
                kept_until = found.start()
            depth -= 1
    return "".join([*kept, text[kept_until:]])


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _read_integer(digits: str) -> float:
    """A whole number; infinity for one of more digits than Python reads, so that it fails its customer alone."""
    try:
        return int(digits)
    except ValueError:
        return float(digits)


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=_read_integer)
