"""Secrets never survive in a text that leaves the program."""

import html
import json
import re
from urllib.parse import quote, quote_plus, unquote, urlencode

import pytest

from customer_sync.http.redact import HIDDEN, Redactor

SECRET = "s3cr3t+/=&: ü"


def redact(*secrets: str | None) -> Redactor:
    """A redactor that knows these secrets."""
    redactor = Redactor()
    redactor.add(*secrets)
    return redactor


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        f"Bearer {SECRET}",
        f"once {SECRET}, twice {SECRET}",
        "https://pages.fm/api?" + urlencode({"x": SECRET}),
    ],
)
def test_hides_a_known_secret_anywhere(text: str) -> None:
    """A known value disappears, plain and URL-encoded, under any name."""
    hidden = redact(SECRET)(text)
    assert HIDDEN in hidden
    assert "s3cr3t" not in hidden


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("GET /p?page_access_token=abc&page_number=1", "GET /p?page_access_token=***&page_number=1"),
        ("GET /p?access_token=abc", "GET /p?access_token=***"),
        ("POST /signIn?key=abc&x=1", "POST /signIn?key=***&x=1"),
        ("POST /signIn?x=1&key=abc", "POST /signIn?x=1&key=***"),
        ("Authorization: Bearer abc", "Authorization: Bearer ***"),
        ("{'Authorization': 'Bearer abc', 'x': 1}", "{'Authorization': 'Bearer ***', 'x': 1}"),
        ('{"accessToken": "abc", "pageId": "104"}', '{"accessToken": "***", "pageId": "104"}'),
        ('{"pageAccessToken":"abc","pageId":"104"}', '{"pageAccessToken":"***","pageId":"104"}'),
        ('{"idToken": "abc"}', '{"idToken": "***"}'),
        ('{"password": "abc", "email": "x"}', '{"password": "***", "email": "x"}'),
        ("api_key=abc", "api_key=***"),
        ("ACCESS_TOKEN=abc", "ACCESS_TOKEN=***"),
        ("at https://user:abc@pages.fm/api", "at https://***@pages.fm/api"),
        ("at http://abc@127.0.0.1:80/x@y", "at http://***@127.0.0.1:80/x@y"),
        ("(page_access_token=abc)", "(page_access_token=***)"),
    ],
)
def test_hides_an_unknown_secret_by_its_name(text: str, hidden: str) -> None:
    """The value of a secret parameter disappears, and nothing else."""
    assert Redactor()(text) == hidden


@pytest.mark.parametrize(
    "text", ["", "monkey=abc", "turkey?", "the key is missing", "page_number=1&since=0", "tokens: 3", "https://x/@me"]
)
def test_leaves_ordinary_words(text: str) -> None:
    """A text without secrets stays as it is."""
    assert redact("secret-value")(text) == text


def _every_character(form: str) -> str:
    """The secret with each of its characters as *form*."""
    return "".join(form.format(ord(one)) for one in SECRET)


@pytest.mark.parametrize(
    "escaped",
    [
        quote(SECRET, safe="").lower(),
        quote(quote(SECRET, safe=""), safe=""),
        quote(SECRET, safe="+=:"),
        "".join(f"%{byte:02x}" for byte in SECRET.encode()),
        SECRET.replace("/", r"\/"),
        json.dumps(SECRET),
        json.dumps(json.dumps(SECRET)),
        json.dumps(SECRET).replace("/", r"\/").replace(r"\u00fc", r"\u00FC"),
        _every_character(r"\u{:04x}"),
        _every_character(r"\U{:08x}"),
        _every_character("&#{};"),
        _every_character("&#x{:X};"),
        html.escape(SECRET),
        quote(html.escape(SECRET)),
        quote(SECRET.replace("/", r"\/"), safe=""),
        repr(SECRET.encode("latin-1")),
    ],
)
def test_hides_an_escaped_secret(escaped: str) -> None:
    """However it is escaped, once or twice, wholly or in part; the words around it stay."""
    assert redact(SECRET)(f"refused {escaped}, 0901234567")[:7] == "refused"
    hidden = _decoded_wholly(redact(SECRET)(f"refused {escaped}, 0901234567"))
    assert HIDDEN in hidden
    assert "s3cr3t" not in hidden
    assert hidden.endswith(", 0901234567")


def _decoded_wholly(text: str) -> str:
    """*text* as a reader can decode it."""
    for _ in range(4):
        text = html.unescape(unquote(text)).replace(r"\/", "/")
        text = re.sub(r"\\U([0-9a-f]{8})", lambda found: chr(int(found[1], 16)), text)
        text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), text)
    return text


@pytest.mark.parametrize(
    "text",
    [
        "GET%20/p?page_access_token%3Dabcdef",
        r"{\"accessToken\": \"abcdef\"}",
        "password&#61;abcdef",
        r"https:\/\/user:abcdef@pages.fm",
    ],
)
def test_hides_an_unknown_secret_behind_an_escaped_name(text: str) -> None:
    """The name may be escaped, too."""
    assert "abcdef" not in Redactor()(text)


@pytest.mark.parametrize("text", ["100 % & more", r"C:\users\new", "a&b;c", "50%", r"\u12", r"\U00ffffff", "%zz&#;"])
def test_leaves_what_only_looks_escaped(text: str) -> None:
    """A text without secrets keeps its own escapes."""
    assert redact("secret-value")(text) == text
    assert redact("secret-value")(f"{text} caf%C3%A9 &amp; {text}") == f"{text} caf%C3%A9 &amp; {text}"


@pytest.mark.parametrize("filler", ["%41", "word ", "&amp;", r"\u0041"])
@pytest.mark.parametrize("length", [199_980, 199_990, 200_000, 200_010])
def test_a_flood_is_cut_before_a_secret(filler: str, length: int) -> None:
    """A text too long for a message ends with a whole word, so that no part of a secret is left."""
    flood = (filler * 70_000)[:length]
    hidden = redact("secret-value")(f"{flood} secret-value {flood}")
    assert "secret" not in hidden
    assert len(hidden) <= 200_001


def test_cleans_a_text_for_a_terminal() -> None:
    """Neither a secret nor a control character is left."""
    assert redact(SECRET).clean(f"\x1b[2J{SECRET}\n\u202e") == r"\x1b[2J***\n\u202e"


def test_short_and_missing_values_hide_nothing() -> None:
    """A value as short as a word, an empty one and None hide nothing."""
    assert redact("a", "page", "", None)("a page of Pancake") == "a page of Pancake"


def test_one_secret_inside_another_leaves_nothing() -> None:
    """The longer of two secrets is hidden entirely."""
    assert redact("secret", "secret-and-more")("secret-and-more secret") == "*** ***"


def test_learns_secrets_as_they_come() -> None:
    """A secret added later is hidden from then on, besides the previous ones."""
    redactor = redact("first-secret")
    assert redactor("first-secret second-secret") == "*** second-secret"
    redactor.add("second-secret")
    assert redactor("first-secret second-secret") == "*** ***"


def test_is_the_same_twice() -> None:
    """Redacting a redacted text changes nothing."""
    redactor = redact(SECRET)
    text = f"?page_access_token={quote(SECRET)}&access_token=x Authorization: Bearer {SECRET}"
    assert redactor(redactor(text)) == redactor(text)


def test_hides_a_secret_in_json() -> None:
    """A secret that JSON writes with escapes is hidden by its name."""
    assert "s3cr3t" not in redact(SECRET)(json.dumps({"pageAccessToken": SECRET}))
