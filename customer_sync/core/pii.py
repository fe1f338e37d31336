"""Personal data masked in a service's own words."""

import re
from collections.abc import Collection, Iterator
from itertools import count, pairwise
from typing import Any
from unicodedata import combining, normalize
from urllib.parse import unquote

IMPERSONAL = frozenset({"id", "psid", "page_id", "updated_at", "inserted_at", "gender"})
"""The fields of a record that identify no person outside the two services."""
MAX_LENGTH = 300
# No message quotes more of a value.
_MAX_VALUE = 10_000
# What the cut has left of a word or a number: too little to be recognised.
_BROKEN_END = re.compile(r"[\d\s().+/_-]*\S{0,80}$")
_ESCAPED = re.compile(r"\\u(?!d[89a-f])([0-9a-f]{4})", re.IGNORECASE)
_HEX_ID = "[0-9a-f]{24}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_TIME = r"(?:19|20)\d\d-[01]\d-[0-3]\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d)?)?"
_CONTACT = re.compile(r"[^\s\"'<>(){}\[\]:;,=\\]+@[\w-]+(?:\.[\w-]+)+|[+(]{0,2}\d(?:[\s().+/_-]{0,3}\d){7,}")
_WORD = re.compile(r"(?<!\\)[^\W_]+")


def mask_contacts(text: str) -> str:
    """The first 300 characters of *text*, without e-mail addresses and numbers of eight and more digits."""
    return mask_personal(text, {}, ())


def mask_personal(text: str, data: Any, ids: Collection[str]) -> str:
    """The same, also without the values of the record *data*. Its *ids*, hexadecimal ids and times stay."""
    is_cut, text = len(text) > MAX_LENGTH, text[:MAX_LENGTH]
    text = normalize("NFC", _ESCAPED.sub(lambda found: chr(int(found[1], 16)), unquote(text)))
    alone, pairs = _personal_words(data)
    kept = "|".join([*(re.escape(one) for one in ids if 8 <= len(one) <= MAX_LENGTH), _HEX_ID, _TIME])
    parts = re.split(rf"(?<!\w)({kept})(?!\w)", text)
    for index, part in enumerate(parts):
        is_id_or_time = index % 2 == 1
        if not (is_id_or_time and part in ids):
            masked = _mask_words(part if is_id_or_time else _CONTACT.sub("…", part), alone, pairs)
            parts[index] = "…" if is_id_or_time and masked != part else masked
    text = "".join(parts)
    return re.sub(r"…(?:\s*…)+", "…", _BROKEN_END.sub("…", text, count=1) if is_cut else text)


def _personal_words(data: Any) -> tuple[set[str], set[tuple[str, str]]]:
    """The words to mask of a record: those of names and one-word values, and any two neighbours of the others."""
    alone: set[str] = set()
    pairs: set[tuple[str, str]] = set()
    for name, value in _values(data):
        words = _words(value)
        pairs.update(pairwise(words))
        alone.update(word for word in words if len(word) > 1 and ("name" in name or len(words) == 1))
    return alone, pairs


def _values(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Every personal text of a record, with the name of its field."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in IMPERSONAL:
                yield from _values(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from _values(inner, name)
    elif isinstance(value, str):
        yield name, value[:_MAX_VALUE]


def _mask_words(text: str, alone: set[str], pairs: set[tuple[str, str]]) -> str:
    words = _words(text)
    masked = {index for index, word in enumerate(words) if word in alone}
    masked |= {one for index, pair in enumerate(pairwise(words)) if pair in pairs for one in (index, index + 1)}
    position = count()
    return _WORD.sub(lambda found: "…" if next(position) in masked else found[0], text)


def _words(text: str) -> list[str]:
    """The words of a text, in lower case and without accents."""
    plain = (normalize("NFD", word.casefold()) for word in _WORD.findall(normalize("NFC", text)))
    return ["".join(one for one in word if not combining(one)).replace("đ", "d") for word in plain]
