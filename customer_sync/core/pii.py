"""What a service says, without what would tell who a customer is. Ids, dates and Unix times stay."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any
from unicodedata import normalize
from urllib.parse import unquote

# What may be shown of her without telling who she is.
IMPERSONAL = frozenset({"id", "psid", "page_id", "updated_at", "inserted_at", "gender"})
# A shorter detail may be part of an ordinary word, and is then left there.
_SHORTEST_ANYWHERE = 6
_ACCENT = "\u0300-\u036f"
# What a text that was encoded once more has between two words.
_GAP = r"(?:[\s+]|\\+[nrt])+"
_WORD = re.compile(rf"(?:[^\W\d_][{_ACCENT}]*){{3,}}")
_EMAIL = re.compile(rf"(?<![\w{_ACCENT}.+-])[\w{_ACCENT}.+-]+@[\w-]+(?:\.[\w-]+)+")
_ESCAPED = re.compile(r"(?<!\\)(?:\\+u[0-9a-fA-F]{4})+")
_HEX_ID = r"(?<![0-9A-Za-z])(?:[0-9a-f]{24}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?![0-9A-Za-z])"
_LONG_ID = r"(?<!\d)\d{15,17}(?!\d)"
_YEAR = r"(?:0001|19\d\d|20\d\d)"
_TIME = r"\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:[+-]\d\d:\d\d)?"
_DAY = rf"{_YEAR}-[01]\d-[0-3]\d|[0-3]\d[-./][01]\d[-./]{_YEAR}"
_DATE = rf"(?<!\d)(?:(?:{_DAY})(?:[T ]{_TIME})?|{_TIME})(?!\d)"
_UNIX_TIME = r"(?<!\d)1\d{9}(?:\d{3})?(?!\d)"
# However it is written, a number has eight digits, and behind a prefix in parentheses four.
_NUMBER = r"\(\+?\d{1,4}\)(?:[\s./+-]*\d){4,}|\+?\d(?:[\s.()/+-]*\d){7,}"
# What begins like a phone number, with no more digits than one can have, so that what stands behind it stays.
_BETWEEN = r"[\s.()+-]*"
_NEXT = rf"(?:{_BETWEEN}(?!{_DATE}|{_LONG_ID}|{_HEX_ID})\d)"
_PHONE = (
    rf"(?<!\d)(?<!\d\.)(?:\((?:\+\d|0)\d{{0,3}}\){_NEXT}{{4,14}}"
    rf"|(?:\+\d|0(?!{_BETWEEN}{_UNIX_TIME})){_NEXT}{{7,14}}|84{_NEXT}{{9}})(?!\d)"
)
# However a phone number begins (0, +84, 84 or nothing), it ends alike.
_END_OF_PHONE = 8


def mask_contacts(text: str) -> str:
    """Takes phone numbers and e-mail addresses out of *text*, whosever they are."""
    return _decoded_where_hidden(_without_anybodys, text)


def mask_personal(text: str, data: Mapping[str, Any], ids: Collection[str]) -> str:
    """Takes what *data* tells of a customer out of *text* too, however it is written; her *ids* stay."""
    details = list(_details(data))
    return _decoded_where_hidden(lambda plain: _without_hers(details, plain, ids), text)


def _decoded_where_hidden(hide: Callable[[str], str], text: str) -> str:
    """*text* stays as it is where there is nothing to hide, even in what it holds URL-encoded or escaped."""
    plain = normalize("NFC", _decoded(text))
    hidden = hide(plain)
    return text if hidden == plain else hidden


def _decoded(text: str) -> str:
    """*text* as it was before it became part of an address or of JSON."""
    return re.sub(r'(?<!\\)\\+(["/])', r"\1", _ESCAPED.sub(_unescaped, unquote(text)))


def _unescaped(found: re.Match[str]) -> str:
    return bytes.fromhex(re.sub(r"\\+u", "", found[0])).decode("utf-16-be", "replace")


def _without_hers(details: list[tuple[str, str]], text: str, ids: Collection[str]) -> str:
    told = {" ".join(normalize("NFC", _decoded(detail)).split()) for _, detail in details} - set(ids)
    numbers = {_digits(run) for detail in told for run in re.findall(_NUMBER, detail) if not re.match(_DATE, run)}
    # Without its accents a detail is as long as its composed form; a longer one than the text is not in it.
    told = {detail for detail in told if 1 < len(detail) <= len(text)}
    # Words first: a number that is hidden within them would leave the rest of them.
    in_words = {detail for detail in told if any(map(str.isalpha, detail))}
    text = _without(in_words, normalize("NFD", text))
    text = _without_anybodys(text, ids)
    pattern = rf"{_LONG_ID}|{_UNIX_TIME}|{_NUMBER}"
    text = _without_numbers(pattern, text, _kept(ids), lambda run: _is_one_of(numbers, _digits(run)))
    text = _without(told - in_words, text)
    names = (normalize("NFD", detail) for key, detail in details if "name" in key.lower())
    words = {word for name in names for word in _WORD.findall(name) if len(word) <= len(text)}
    return normalize("NFC", _without_words(words, text))


def _details(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Everything personal, each with what it is called."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name not in IMPERSONAL:
                yield from _details(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _details(inner, key)
    elif isinstance(value, str | int) and not isinstance(value, bool):
        yield key, str(value)


def _without(details: Iterable[str], text: str) -> str:
    """*text* with these details hidden, the longest first."""
    bare = _bare(text)
    for detail in sorted(details, key=len, reverse=True):
        words = detail.split()
        if _bare(words[0]) not in bare:  # To look costs less than to make a pattern, and she may have many notes.
            continue
        pattern = _GAP.join(filter(None, map(_pattern, words)))
        if pattern and len(detail) < _SHORTEST_ANYWHERE:
            flags = re.IGNORECASE if len(detail) > 2 else re.NOFLAG  # "An" is a name, "an" is not.
            text = re.sub(_whole(pattern), "…", text, flags=flags)
        elif pattern:
            text = re.sub(pattern, "…", text, flags=re.IGNORECASE)
    return text


def _without_words(words: Iterable[str], text: str) -> str:
    """*text* without single words of a name, in their own case, so that ordinary words survive."""
    patterns = "|".join(map(_pattern, words))
    return re.sub(_whole(f"(?:{patterns})"), "…", text) if patterns else text


def _without_anybodys(text: str, ids: Collection[str] = ()) -> str:
    return _without_numbers(_PHONE, _EMAIL.sub("…", text), [*_kept(ids), _LONG_ID], lambda _: True)


def _without_numbers(pattern: str, text: str, kept: list[str], is_hidden: Callable[[str], bool]) -> str:
    """*text* without the numbers of this *pattern* that are to be hidden and do not begin what is *kept*."""

    def shown(found: re.Match[str]) -> str:
        return found[0] if found[1] or not is_hidden(found[0]) else "…"

    return re.sub(rf"({'|'.join(kept)})|{pattern}", shown, text)


def _kept(ids: Collection[str]) -> list[str]:
    """Patterns of what is no number of anybody; too short an id would keep a piece of one."""
    return [*(rf"(?<!\w){re.escape(one)}(?!\w)" for one in ids if len(one) >= _END_OF_PHONE), _HEX_ID, _DATE]


def _is_one_of(numbers: set[str], digits: str) -> bool:
    """Whether a number ends like one of hers, or holds one."""
    return any(hers[-_END_OF_PHONE:] in digits or digits[-_END_OF_PHONE:] in hers for hers in numbers)


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text)


def _bare(text: str) -> str:
    """*text* without accents, in lower case."""
    return re.sub(f"[{_ACCENT}]", "", normalize("NFD", text)).lower().replace("đ", "d")


def _whole(pattern: str) -> str:
    return rf"(?<![\w{_ACCENT}]){pattern}(?![\w{_ACCENT}])"


def _pattern(word: str) -> str:
    """Matches a word with its accents or without, in a text where they are characters of their own, but for đ's."""
    letters = re.sub(f"[{_ACCENT}]", "", normalize("NFD", word))
    same = {"d": "[dđ]", "đ": "[dđ]", "D": "[DĐ]", "Đ": "[DĐ]"}
    return "".join(same.get(letter, re.escape(letter)) + f"[{_ACCENT}]*" for letter in letters)
