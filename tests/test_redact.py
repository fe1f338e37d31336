"""Secrets never survive in a text that leaves the program."""

import json
from urllib.parse import quote, quote_plus, urlencode

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
