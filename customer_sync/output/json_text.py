"""JSON as it is written: every text cleaned, and long lists streamed."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any


def json_pieces(value: Any, clean: Callable[[str], str], *, only_ascii: bool) -> Iterator[str]:
    """The JSON of *value* on one line, piece by piece; each of its texts goes through *clean*.

    Mappings become objects, other iterables become arrays and are read once. With *only_ascii* all other characters
    are escaped; if not, those that cannot be printed.
    """
    if isinstance(value, str):
        yield _quoted(clean(value), only_ascii=only_ascii)
    elif isinstance(value, Mapping):
        yield "{"
        for number, (name, inner) in enumerate(value.items()):
            yield f"{', ' if number else ''}{json.dumps(name)}: "
            yield from json_pieces(inner, clean, only_ascii=only_ascii)
        yield "}"
    elif isinstance(value, Iterable):
        yield "["
        for number, inner in enumerate(value):
            if number:
                yield ", "
            yield from json_pieces(inner, clean, only_ascii=only_ascii)
        yield "]"
    else:
        yield json.dumps(value)


def _quoted(text: str, *, only_ascii: bool) -> str:
    quoted = json.dumps(text, ensure_ascii=only_ascii)
    if quoted.isprintable():
        return quoted
    return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in quoted)


def large_pieces(pieces: Iterable[str], size: int = 1 << 16) -> Iterator[str]:
    """The same text in pieces of about *size* characters: a short object is written at once."""
    some: list[str] = []
    length = 0
    for piece in pieces:
        some.append(piece)
        length += len(piece)
        if length >= size:
            yield "".join(some)
            some, length = [], 0
    yield "".join(some)
