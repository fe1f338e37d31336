"""Settings: read and checked together, every problem named at once, secrets never shown."""

import os
from pathlib import Path
from typing import Any

import pytest

from customer_sync.config.readers import read_duration
from customer_sync.config.settings import Settings, declared, load_settings
from customer_sync.core.errors import ExitCode, SettingsError
from customer_sync.services.exposed import exposure_warnings

TOKEN = "folkform-t0ken"
ADDRESS = {"FOLKFORM_BASE_URL": "https://folkform.example/api/v1"}
NEEDED = {**ADDRESS, "FOLKFORM_TOKEN": TOKEN}


def load(environment: dict[str, str] | None = None, **options: str | None) -> Settings:
    """The settings of what is needed, *environment* and *options*."""
    return load_settings(NEEDED | (environment or {}), options)


def problems(environment: dict[str, str], **options: str | None) -> list[str]:
    """What is wrong with exactly this environment and these options."""
    with pytest.raises(SettingsError) as error:
        load_settings(environment, options)
    assert error.value.exit_code == ExitCode.USAGE
    return error.value.problems


def test_defaults() -> None:
    """FolkForm's address and token are enough; every other setting has its documented default."""
    settings = load({})
    assert settings.folkform_base_url == "https://folkform.example/api/v1"
    assert settings.folkform_token == TOKEN
    assert (settings.folkform_role_id, settings.folkform_customer_path) == (None, None)
    assert settings.pancake_base_url == "https://pages.fm/api"
    assert (settings.workers, settings.pages_at_once, settings.page_size) == (8, 4, 100)
    assert (settings.pancake_rps, settings.overlap, settings.timeout) == (5.0, 0, 30.0)
    assert settings.lock_dir == Path(f"/tmp/customer-sync-{os.getuid()}")  # noqa: S108


def test_a_login_shell_and_cron_share_their_locks(tmp_path: Path) -> None:
    """The lock directory does not depend on variables that only one of them has."""
    shell = load({"XDG_RUNTIME_DIR": str(tmp_path), "TMPDIR": str(tmp_path)})
    assert shell.lock_dir == load({}).lock_dir
    assert load({"CUSTOMER_SYNC_LOCK_DIR": "~/locks"}).lock_dir == Path.home() / "locks"


def test_everything_missing_is_named_at_once() -> None:
    """An empty environment, or an empty value, names each variable that is needed."""
    for environment in ({}, dict.fromkeys([*NEEDED, "FOLKFORM_TOKEN_FILE"], "")):
        address, token = problems(environment)
        assert address.startswith("FOLKFORM_BASE_URL is missing: set FOLKFORM_BASE_URL")
        assert token.startswith("FOLKFORM_TOKEN is missing: set FOLKFORM_TOKEN or FOLKFORM_TOKEN_FILE")
    assert load({"CUSTOMER_SYNC_WORKERS": "", "PANCAKE_BASE_URL": ""}).workers == 8


def test_everything_wrong_is_named_at_once(tmp_path: Path) -> None:
    """Missing and malformed settings come in one error, each with its source."""
    environment = {
        "FOLKFORM_TOKEN_FILE": str(tmp_path / "absent"),
        "PANCAKE_BASE_URL": "pages.fm/api",
        "CUSTOMER_SYNC_WORKERS": "many",
        "CUSTOMER_SYNC_MAX_RUNTIME": "soon",
    }
    found = problems(environment, max_runtime=None, jitter="later")
    assert len(found) == 6
    for variable, source in [
        ("FOLKFORM_BASE_URL is missing", "set FOLKFORM_BASE_URL"),
        ("FOLKFORM_TOKEN_FILE", "(No such file or directory)"),
        ("PANCAKE_BASE_URL is 'pages.fm/api'", "(from environment variable PANCAKE_BASE_URL)"),
        ("CUSTOMER_SYNC_WORKERS is 'many'", "(from environment variable CUSTOMER_SYNC_WORKERS)"),
        ("CUSTOMER_SYNC_MAX_RUNTIME is 'soon'", "(from environment variable CUSTOMER_SYNC_MAX_RUNTIME)"),
        ("CUSTOMER_SYNC_JITTER is 'later'", "(from --jitter)"),
    ]:
        (problem,) = (one for one in found if one.startswith(variable))
        assert source in problem


def test_an_incomplete_sign_in_names_what_is_missing() -> None:
    """Without a token a sign-in needs user, password and key."""
    password, key = problems({**ADDRESS, "FOLKFORM_EMAIL": "agent@folkform.example"})
    assert (password.split()[0], key.split()[0]) == ("FOLKFORM_PASSWORD", "FIREBASE_API_KEY")


_ADDRESSES = ["folkform.example/api", "ftp://folkform.example", "https://", "//pages.fm/api", "https://[::1"]
_ADDRESSES += [f"https://folkform.example:{port}" for port in ("0", "99999", "port")]
_WHOLE = ["0", "-1", "101", "1.5", "1e1", "+1", "1_0", "٣", "x", "9" * 5000]
_DECIMAL = ["0", "-1", "5000", "nan", "inf", "1e1", ".5", "5.", "٣", "x", "1,5"]
_SHORT_DURATIONS = [*_DECIMAL, "61", "2m", "0.01s", "1 s", "1w"]
_DURATIONS = ["-1", "soon", "1h30m", "4 m", "4M", "h", "1w", "٣s", "m4", "1" * 10]


@pytest.mark.parametrize(
    ("variable", "values"),
    [
        ("FOLKFORM_BASE_URL", _ADDRESSES),
        ("CUSTOMER_SYNC_PING_URL", _ADDRESSES),
        ("FOLKFORM_ROLE_ID", ["two words", "a\nb", "vai-trò"]),
        ("FOLKFORM_CUSTOMER_PATH", ["customer", "/customer/", "/../x", "/customer?x=1"]),
        ("CUSTOMER_SYNC_RENEW_TOKENS", ["yes", "2"]),
        *((f"CUSTOMER_SYNC_{name}", _WHOLE) for name in ("WORKERS", "PAGES_AT_ONCE", "PAGE_SIZE")),
        ("CUSTOMER_SYNC_PANCAKE_RPS", _DECIMAL),
        ("CUSTOMER_SYNC_TIMEOUT", _SHORT_DURATIONS),
        *((f"CUSTOMER_SYNC_{name}", _DURATIONS) for name in ("OVERLAP", "MAX_RUNTIME", "JITTER")),
    ],
)
def test_malformed_is_refused(variable: str, values: list[str]) -> None:
    """A malformed value is refused, with its source."""
    (is_secret,) = (one.secret for one in declared().values() if one.variable == variable)
    for value in values:
        (problem,) = problems(NEEDED | {variable: value})
        assert problem.startswith(f"{variable} is " + ("malformed" if is_secret else f"{value!r:.80}"))
        assert f"(from environment variable {variable}): give " in problem
        assert len(problem) < 250


@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("FOLKFORM_BASE_URL", " http://127.0.0.1:8787/api/v1/ ", "folkform_base_url", "http://127.0.0.1:8787/api/v1"),
        ("PANCAKE_BASE_URL", "http://[::1]:80", "pancake_base_url", "http://[::1]:80"),
        ("FOLKFORM_ROLE_ID", "65f0c0ffee", "folkform_role_id", "65f0c0ffee"),
        ("FOLKFORM_CUSTOMER_PATH", "/fb-customer", "folkform_customer_path", "/fb-customer"),
        ("CUSTOMER_SYNC_RENEW_TOKENS", "0", "renew_tokens", False),
        ("CUSTOMER_SYNC_WORKERS", "64", "workers", 64),
        ("CUSTOMER_SYNC_PAGES_AT_ONCE", "1", "pages_at_once", 1),
        ("CUSTOMER_SYNC_PAGE_SIZE", "100", "page_size", 100),
        ("CUSTOMER_SYNC_PANCAKE_RPS", "0.5", "pancake_rps", 0.5),
        ("CUSTOMER_SYNC_TIMEOUT", "0.1", "timeout", 0.1),
        ("CUSTOMER_SYNC_TIMEOUT", "30s", "timeout", 30.0),
        ("CUSTOMER_SYNC_TIMEOUT", "0.5m", "timeout", 30.0),
        ("CUSTOMER_SYNC_TIMEOUT", "1m", "timeout", 60.0),
        ("CUSTOMER_SYNC_OVERLAP", "2h", "overlap", 7200),
        ("CUSTOMER_SYNC_MAX_RUNTIME", "1.5h", "max_runtime", 5400),
        ("CUSTOMER_SYNC_MAX_RUNTIME", "0.4", "max_runtime", 1),
        ("CUSTOMER_SYNC_LOCK_DIR", "/run/locks", "lock_dir", Path("/run/locks")),
    ],
)
def test_reads_the_environment(variable: str, text: str, name: str, value: Any) -> None:
    """Every variable becomes a value of its type."""
    assert getattr(load({variable: text}), name) == value


def test_an_option_takes_precedence() -> None:
    """`--max-runtime` and `--jitter` override their variables, even malformed ones."""
    environment = {"CUSTOMER_SYNC_MAX_RUNTIME": "4m", "CUSTOMER_SYNC_JITTER": "many"}
    settings = load(environment, max_runtime=None, jitter="20s")
    assert (settings.max_runtime, settings.jitter) == (240, 20)
    assert {one.option for one in declared().values()} == {"", "--max-runtime", "--jitter"}


def test_the_jitter_leaves_time() -> None:
    """A jitter that can use up the whole time limit is refused."""
    (problem,) = problems(NEEDED | {"CUSTOMER_SYNC_MAX_RUNTIME": "4m"}, jitter="4m")
    assert problem.startswith("CUSTOMER_SYNC_JITTER must be shorter")


# Secrets


@pytest.mark.parametrize("text", [TOKEN, f"{TOKEN}\n", f"  {TOKEN}\r\n\n"])
def test_reads_a_secret_from_a_file(tmp_path: Path, text: str) -> None:
    """A mounted secret is read without surrounding space."""
    secret = tmp_path / "token"
    secret.write_text(text)
    environment = {**ADDRESS, "FOLKFORM_TOKEN_FILE": str(secret)}
    assert load_settings(environment, {}).folkform_token == TOKEN


def test_a_secret_is_given_once(tmp_path: Path) -> None:
    """A variable beside the one that names its file is refused: one of them would be ignored."""
    for variable in (one.variable for one in declared().values() if one.secret):
        given = {variable: TOKEN, f"{variable}_FILE": str(tmp_path / "absent")}
        (problem,) = problems(NEEDED | given)
        assert problem.startswith(
            f"{variable} is set (from environment variable {variable}), and so is {variable}_FILE"
        )
        assert problem.endswith(": unset one of them")
        assert TOKEN not in problem


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"\xff\xfe\x00", "cannot be read (not UTF-8 text)"),
    ],
)
def test_an_unusable_secret_file_is_named(tmp_path: Path, content: bytes, reason: str) -> None:
    """The message names the variable, the path and the reason."""
    secret = tmp_path / "token"
    secret.write_bytes(content)
    (problem,) = problems({**ADDRESS, "FOLKFORM_TOKEN_FILE": str(secret)})
    assert problem.startswith(f"FOLKFORM_TOKEN_FILE {secret} {reason}: ")


@pytest.mark.parametrize("more", ["", "\x00", "/" * 5000, "/etc/passwd/{}", "/dev/null/", "\ud800", "s\n" * 300])
def test_a_secret_in_place_of_its_path_is_not_shown(more: str) -> None:
    """The variable is named, its value is not: it may be the secret."""
    for variable in (one.variable for one in declared().values() if one.secret):
        (problem,) = problems({**NEEDED, variable: "", f"{variable}_FILE": f"{TOKEN}{more}"})
        assert problem.startswith(f"{variable}_FILE ")
        assert TOKEN not in problem


def test_only_a_file_is_a_secret_file(tmp_path: Path) -> None:
    """A directory and a pipe are refused; a pipe would be waited for."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/null")):
        (problem,) = problems({**ADDRESS, "FOLKFORM_TOKEN_FILE": str(path)})
        assert problem.startswith("FOLKFORM_TOKEN_FILE ")


@pytest.mark.parametrize("text", [f'"{TOKEN}"', f"'{TOKEN}'\n", f"\ufeff{TOKEN}", f' "{TOKEN}" '])
def test_quotes_and_a_byte_order_mark_are_refused(tmp_path: Path, text: str) -> None:
    """In a file and in a variable: a service would refuse such a token, and its answer would not say why."""
    file = tmp_path / "token"
    file.write_text(text, encoding="utf-8")
    for given in ({"FOLKFORM_TOKEN_FILE": str(file)}, {"FOLKFORM_TOKEN": text}):
        (problem,) = problems(ADDRESS | given)
        assert problem.startswith("FOLKFORM_TOKEN ")
        assert next(iter(given)) in problem
        assert TOKEN not in problem


@pytest.mark.parametrize("secret", ["my s3cret", "s3cret\nx", "s3crét", "s3cret\x00"])
def test_a_malformed_secret_is_not_shown(tmp_path: Path, secret: str) -> None:
    """A token that no HTTP header can carry is refused without quoting it, whatever its source."""
    file = tmp_path / "token"
    file.write_text(secret)
    for environment, source in (
        ({"FOLKFORM_TOKEN": secret}, "environment variable FOLKFORM_TOKEN"),
        ({"FOLKFORM_TOKEN_FILE": str(file)}, "the file of FOLKFORM_TOKEN_FILE"),
    ):
        (problem,) = problems(ADDRESS | environment)
        assert problem.startswith(f"FOLKFORM_TOKEN is malformed (from {source}): ")
        assert secret not in problem


def test_secrets_are_not_in_the_repr() -> None:
    """Settings may be in a traceback: their repr shows no secret."""
    settings = load()
    assert TOKEN not in repr(settings)
    assert TOKEN not in str(settings)
    assert "folkform_token" not in repr(settings)


@pytest.mark.parametrize("scheme", ["ftp", "https"])
def test_a_password_in_an_address_is_not_shown(scheme: str) -> None:
    """A rejected address is quoted without its login."""
    text = "".join(problems({"FOLKFORM_BASE_URL": f"{scheme}://admin:S3cret/Pass@host/api"}))
    assert "FOLKFORM_BASE_URL" in text
    assert "S3cret" not in text


def test_every_setting_that_opens_something_is_a_secret() -> None:
    """Tokens, passwords, keys and the addresses of monitors are secrets; no other setting is."""
    opens_a_monitor = {"ping_url", "pushgateway"}
    for name, declaration in declared().items():
        opens_a_service = bool({"token", "password", "key"} & set(name.split("_")))
        assert declaration.secret == (opens_a_service or name in opens_a_monitor)


@pytest.mark.parametrize("variable", ["FOLKFORM_BASE_URL", "PANCAKE_BASE_URL", "FIREBASE_BASE_URL"])
@pytest.mark.parametrize(
    "more", ["?token=s3cret", "?", "#s3cret", "/x#", "\\s3cret", "\\@s3cret", "/two words", "/new\nline"]
)
def test_nothing_may_follow_the_path_of_an_address(variable: str, more: str) -> None:
    """Paths are added to a base address: what would swallow or move them is refused."""
    (problem,) = problems(NEEDED | {variable: f"https://x.example/api{more}"})
    assert problem.startswith(f"{variable} is ")
    assert "s3cret" not in problem or "?" not in more
    (problem,) = problems(NEEDED | {variable: "https://user:s3cret@x.example/api"})
    assert problem.startswith(f"{variable} is ")
    assert "s3cret" not in problem


# Warnings


@pytest.mark.parametrize(
    ("address", "insecure"),
    [
        ("https://example.com/api", False),
        ("http://127.0.0.1:8787/api", False),
        ("http://localhost/api", False),
        ("http://[::1]:80/api", False),
        ("http://example.com/api", True),
        ("http://192.168.1.5/api", True),
        ("http://localhost.example.com/api", True),
        ("HTTP://EXAMPLE.COM/api", True),
    ],
)
def test_an_insecure_address_is_warned_of(address: str, insecure: bool) -> None:
    """To an http address tokens and customer data travel unencrypted; only on loopback this is no risk."""
    for variable in ("FOLKFORM_BASE_URL", "PANCAKE_BASE_URL", "FIREBASE_BASE_URL"):
        assert [text.split()[0] for text in exposure_warnings(load({variable: address}))] == [variable] * insecure


def test_every_setting_is_explained() -> None:
    """Each has a variable, a purpose, and a default that it reads itself."""
    for declaration in declared().values():
        assert declaration.purpose
        assert declaration.variable.isupper()
        if declaration.default is not None:
            declaration.read(declaration.default)


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("90", 90), ("20s", 20), ("4m", 240), ("2h", 7200), ("1d", 86400), ("007m", 420)]
)
def test_reads_durations(text: str, seconds: int) -> None:
    """A number of seconds, minutes, hours or days."""
    assert read_duration(text) == seconds


def test_a_secret_that_is_too_large(tmp_path: Path) -> None:
    """A file larger than any secret is not read to its end."""
    (secret := tmp_path / "secret").write_bytes(b"x" * 65537)
    (problem,) = problems({**ADDRESS, "FOLKFORM_TOKEN_FILE": str(secret)})
    assert problem.startswith(f"FOLKFORM_TOKEN_FILE {secret} ")
