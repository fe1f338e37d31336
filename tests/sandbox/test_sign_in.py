"""The sign-in: email and password for Firebase's idToken, the idToken for a bearer token."""

from typing import Any

import pytest
import requests

from customer_sync.sandbox import Sandbox

from .services import TIMEOUT, Services


def test_environment(sandbox: Sandbox) -> None:
    """The variables of a sign-in replace the bearer token."""
    plain, signing_in = sandbox.environment, sandbox.sign_in_environment
    assert plain.keys() - signing_in.keys() == {"FOLKFORM_TOKEN"}
    added = {"FOLKFORM_EMAIL", "FOLKFORM_PASSWORD", "FIREBASE_API_KEY", "FIREBASE_BASE_URL"}
    assert signing_in.keys() - plain.keys() == added


def test_signs_in(services: Services) -> None:
    """Every sign-in returns a new token with all permissions; the others stay valid."""
    first, second = sign_in(services), sign_in(services)
    assert first != second
    for token in (first, second, services.token):
        assert services.upsert(services.customer("7"), token=token).status_code == 200


def test_a_sign_in_may_kill_the_former(services: Services) -> None:
    """Optionally only the token of the latest sign-in is valid, and the one without a sign-in."""
    services.sandbox.behaviour.sign_in_kills = True
    tokens = [sign_in(services), sign_in(services), services.token]
    assert [services.call("GET", "/auth/roles", token=token).status_code for token in tokens] == [401, 200, 200]


def test_tokens_of_a_sign_in_may_die(services: Services) -> None:
    """Optionally a sign-in's token expires after some calls; a new sign-in helps."""
    services.sandbox.behaviour.sign_in_calls = 2
    token = sign_in(services)
    statuses = [services.call("GET", "/auth/roles", token=token).status_code for _ in range(3)]
    assert statuses == [200, 200, 401]
    assert services.call("GET", "/auth/roles", token=sign_in(services)).status_code == 200


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"password": "wrong"}, "INVALID_LOGIN_CREDENTIALS"),
        ({"email": "nobody@folkform.example"}, "INVALID_LOGIN_CREDENTIALS"),
        ({"password": ""}, "MISSING_PASSWORD"),
        ({"key": "wrong"}, "API key not valid. Please pass a valid API key."),
    ],
    ids=str,
)
def test_firebase_refuses(sandbox: Sandbox, changes: dict[str, str], message: str) -> None:
    """A wrong password, email or key is a 400 in Google's error JSON."""
    answer = ask_firebase(sandbox, **changes)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["message"]) == (400, 400, message)
    assert error["errors"][0]["message"] == message


def test_firebase_refuses_broken_bodies(sandbox: Sandbox) -> None:
    """Anything but a JSON object is a 400 too."""
    environment = sandbox.sign_in_environment
    url = f"{environment['FIREBASE_BASE_URL']}/accounts:signInWithPassword?key={environment['FIREBASE_API_KEY']}"
    for body in (b"{", b"[]"):
        assert requests.post(url, data=body, timeout=TIMEOUT).status_code == 400


def test_firebase_gives_tokens_when_asked(sandbox: Sandbox) -> None:
    """Without returnSecureToken there is no idToken in the answer."""
    assert "idToken" not in ask_firebase(sandbox, returnSecureToken=False).json()


@pytest.mark.parametrize(
    ("body", "status"),
    [({"idToken": "forged", "hwid": "x"}, 401), ({"idToken": "forged"}, 400), ({"hwid": "x"}, 400), ([], 400)],
    ids=str,
)
def test_folkform_refuses(services: Services, body: Any, status: int) -> None:
    """FolkForm accepts only Firebase's idTokens, and requires a hwid."""
    url = f"{services.folkform_url}/auth/login/firebase"
    answer = requests.post(url, json=body, timeout=TIMEOUT)
    assert (answer.status_code, answer.json()["status"]) == (status, "error")


def ask_firebase(sandbox: Sandbox, **changes: Any) -> requests.Response:
    environment = sandbox.sign_in_environment
    parameters = {"key": changes.pop("key", environment["FIREBASE_API_KEY"])}
    email, password = environment["FOLKFORM_EMAIL"], environment["FOLKFORM_PASSWORD"]
    body = {"email": email, "password": password, "returnSecureToken": True, **changes}
    url = f"{environment['FIREBASE_BASE_URL']}/accounts:signInWithPassword"
    return requests.post(url, params=parameters, json=body, timeout=TIMEOUT)


def sign_in(services: Services) -> str:
    body = {"idToken": ask_firebase(services.sandbox).json()["idToken"], "hwid": "test"}
    answer = requests.post(f"{services.folkform_url}/auth/login/firebase", json=body, timeout=TIMEOUT)
    token: str = answer.json()["data"]["token"]
    return token
