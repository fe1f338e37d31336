"""The next step after a token died names the place that the present one comes from."""

from pathlib import Path

import pytest

from customer_sync.sandbox import Sandbox

from .conftest import Command, StartSandbox, only_page

_SIGN_IN = "or sign in with FOLKFORM_EMAIL instead (docs/operating.md, FolkForm's token); then run customer-sync check"


def _env_file(run: Command, box: Sandbox, **more: str) -> Path:
    file = run.home / "customer-sync.env"
    file.write_text("".join(f"{name}='{value}'\n" for name, value in (box.environment | more).items()))
    file.chmod(0o600)
    return file


@pytest.mark.parametrize("place", ["variable", "env file", "variable beside the env file", "secret file"])
def test_a_dead_bearer_token(sandbox: StartSandbox, run: Command, place: str) -> None:
    """A 401 of FolkForm: where the new token belongs, and the check that shows that it is right."""
    box = sandbox(customers=3)
    dead = "a-token-that-is-long-enough"
    options: list[str] = []
    environment, expected = {"FOLKFORM_TOKEN": dead}, "the environment"
    if place == "secret file":
        secret = run.home / "token"
        secret.write_text(dead)
        secret.chmod(0o600)
        environment, expected = {"FOLKFORM_TOKEN": "", "FOLKFORM_TOKEN_FILE": str(secret)}, str(secret)
    elif place != "variable":
        file = _env_file(run, box, FOLKFORM_TOKEN=dead)
        options = ["--env-file", str(file)]
        if place == "env file":
            environment, expected = {}, str(file)
    for command in ("incremental", "status", "check"):
        outcome = run(None if place == "env file" else box, command, *options, **environment)
        assert outcome.code == 3
        step = f"Set a new FOLKFORM_TOKEN in {expected}, {_SIGN_IN}{''.join(f' {word}' for word in options)}."
        assert step in " ".join(outcome.output.split())


def test_a_dead_user_token(sandbox: StartSandbox, run: Command) -> None:
    """With an env file in use, PANCAKE_ACCESS_TOKEN belongs there."""
    box = sandbox(customers=3)
    box.folkform.set_page(only_page(box), pageAccessToken="a-token-that-is-wrong", accessToken="")
    file = _env_file(run, box)
    outcome = run(box, "incremental", "--env-file", str(file))
    assert outcome.code == 3
    assert f"set PANCAKE_ACCESS_TOKEN to it in {file}, or store it" in outcome.err


def test_the_only_role_is_no_news(sandbox: StartSandbox, run: Command) -> None:
    """That the user's only role is used is in `check` and with `-v` only."""
    box = sandbox(customers=3)
    text = "using the only one there is"
    assert text not in run(box, "incremental", FOLKFORM_ROLE_ID="").output
    assert text in run(box, "incremental", "-v", FOLKFORM_ROLE_ID="").err
    check = run(box, "check", FOLKFORM_ROLE_ID="").output
    assert text not in check
    assert "the user's only one; FOLKFORM_ROLE_ID can stay unset" in " ".join(check.split())


def test_what_a_refused_token_hides(sandbox: StartSandbox, run: Command) -> None:
    """Where Pancake refuses the page token it is unknown whether it has the customer."""
    box = sandbox(customers=3)
    page_id = only_page(box)
    box.folkform.set_page(page_id, pageAccessToken="a-token-that-is-wrong", accessToken="")
    outcome = run(box, "explain", box.pancake.customers(page_id)[0]["psid"], "--page", page_id)
    assert outcome.code == 3
    for name in ("version", "psid", "id"):
        assert f"{name}: unknown in Pancake" in outcome.out
