"""Settings: read once, checked once, everything wrong named at once, secrets never shown."""

import os
from pathlib import Path
from typing import Any

import pytest

from customer_sync.config.settings import Settings, declared, load_settings, option_name, read_duration, warnings
from customer_sync.core.errors import ExitCode, SettingsError

TOKEN = "folkform-t0ken"
NEEDED = {"FOLKFORM_BASE_URL": "https://folkform.example/api/v1", "FOLKFORM_TOKEN": TOKEN}


def load(environment: dict[str, str] | None = None, **options: str | None) -> Settings:
    """The settings of what is needed, *environment* and *options*."""
    return load_settings(NEEDED | (environment or {}), options)


def problems(environment: dict[str, str], **options: str | None) -> list[str]:
    """What is wrong with exactly this environment and these options."""
    with pytest.raises(SettingsError) as refusal:
        load_settings(environment, options)
    assert refusal.value.exit_code == ExitCode.USAGE
    return refusal.value.problems


def test_defaults() -> None:
    """Address and token of FolkForm are enough; everything else has the documented default."""
    settings = load({})
    assert settings.folkform_base_url == "https://folkform.example/api/v1"
    assert settings.folkform_token == TOKEN
    assert settings.folkform_role_id is None
    assert settings.folkform_customer_path is None
    assert settings.pancake_base_url == "https://pages.fm/api"
    assert (settings.workers, settings.pages_at_once, settings.page_size) == (8, 4, 100)
    assert (settings.pancake_rps, settings.overlap, settings.timeout) == (5.0, 0, 30.0)
    assert settings.lock_dir == Path(f"/tmp/customer-sync-{os.getuid()}")  # noqa: S108


def test_a_login_shell_and_cron_share_their_locks(tmp_path: Path) -> None:
    """The directory of the locks does not hang on variables that only one of them has."""
    shell = load({"XDG_RUNTIME_DIR": str(tmp_path), "TMPDIR": str(tmp_path)})
    assert shell.lock_dir == load({}).lock_dir
    assert load({"CUSTOMER_SYNC_LOCK_DIR": "~/locks"}).lock_dir == Path.home() / "locks"


def test_a_password_in_an_address_is_never_told() -> None:
    """An address that is refused is quoted without what stands before its @."""
    for scheme in ("ftp", "https"):
        told = "".join(problems({"FOLKFORM_BASE_URL": f"{scheme}://admin:S3cret/Pass@host/api"}))
        assert "FOLKFORM_BASE_URL" in told
        assert "S3cret" not in told


def test_everything_missing_is_named_at_once() -> None:
    """An empty environment names each variable that is needed, and how to set it."""
    address, token = problems({})
    assert address.startswith("FOLKFORM_BASE_URL is missing: set FOLKFORM_BASE_URL or --folkform-base-url")
    assert token.startswith("FOLKFORM_TOKEN is missing: set FOLKFORM_TOKEN or FOLKFORM_TOKEN_FILE")


def test_empty_is_missing() -> None:
    """A variable set to nothing, as compose files do, is not set."""
    assert len(problems({"FOLKFORM_BASE_URL": "", "FOLKFORM_TOKEN": "", "FOLKFORM_TOKEN_FILE": ""})) == 2
    assert load({"CUSTOMER_SYNC_WORKERS": "", "PANCAKE_BASE_URL": ""}).workers == 8


def test_everything_wrong_is_named_at_once(tmp_path: Path) -> None:
    """Missing and malformed settings come in one error, each with its source."""
    environment = {
        "FOLKFORM_TOKEN_FILE": str(tmp_path / "absent"),
        "PANCAKE_BASE_URL": "pages.fm/api",
        "CUSTOMER_SYNC_WORKERS": "many",
        "CUSTOMER_SYNC_PAGE_SIZE": "101",
        "CUSTOMER_SYNC_TIMEOUT": "0",
    }
    said = problems(environment, page_size="0", overlap="soon")
    assert len(said) == 7
    for variable, source in [
        ("FOLKFORM_BASE_URL is missing", "--folkform-base-url"),
        ("FOLKFORM_TOKEN_FILE", "cannot be read (No such file or directory)"),
        ("PANCAKE_BASE_URL is 'pages.fm/api'", "(from environment variable PANCAKE_BASE_URL)"),
        ("CUSTOMER_SYNC_WORKERS is 'many'", "(from environment variable CUSTOMER_SYNC_WORKERS)"),
        ("CUSTOMER_SYNC_PAGE_SIZE is '0'", "(from --page-size)"),
        ("CUSTOMER_SYNC_OVERLAP is 'soon'", "(from --overlap)"),
        ("CUSTOMER_SYNC_TIMEOUT is '0'", "(from environment variable CUSTOMER_SYNC_TIMEOUT)"),
    ]:
        (problem,) = (one for one in said if one.startswith(variable))
        assert source in problem


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("FOLKFORM_BASE_URL", "folkform.example/api/v1"),
        ("FOLKFORM_BASE_URL", "ftp://folkform.example"),
        ("FOLKFORM_BASE_URL", "https://"),
        ("FOLKFORM_BASE_URL", "https://folkform.example:0"),
        ("FOLKFORM_BASE_URL", "https://folkform.example:99999"),
        ("FOLKFORM_BASE_URL", "https://folkform.example:port"),
        ("FOLKFORM_BASE_URL", "https://[::1"),
        ("PANCAKE_BASE_URL", "//pages.fm/api"),
        ("FOLKFORM_ROLE_ID", "two words"),
        ("FOLKFORM_ROLE_ID", "a\nb"),
        ("FOLKFORM_ROLE_ID", "vai-trò"),
        ("FOLKFORM_CUSTOMER_PATH", "customer"),
        ("FOLKFORM_CUSTOMER_PATH", "/customer/"),
        ("FOLKFORM_CUSTOMER_PATH", "/../x"),
        ("FOLKFORM_CUSTOMER_PATH", "/customer?x=1"),
        *(
            (f"CUSTOMER_SYNC_{name}", value)
            for name in ("WORKERS", "PAGES_AT_ONCE", "PAGE_SIZE")
            for value in ("0", "-1", "101", "1.5", "1e1", "+1", "1_0", "٣", "x", "9" * 5000)
        ),
        *(
            (f"CUSTOMER_SYNC_{name}", value)
            for name in ("PANCAKE_RPS", "TIMEOUT")
            for value in ("0", "-1", "5000", "nan", "inf", "1e1", ".5", "5.", "٣", "x", "1,5")
        ),
        *(("CUSTOMER_SYNC_OVERLAP", value) for value in ("-1", "soon", "1.5h", "1 h", "h", "1w", "٣s", "1" * 10)),
    ],
)
def test_malformed_is_refused(variable: str, value: str) -> None:
    """A value that makes no sense is refused, from the environment and as an option, and its source is named."""
    (said,) = problems(NEEDED | {variable: value})
    assert said.startswith(f"{variable} is {value!r:.80}")
    assert f"(from environment variable {variable}): " in said
    (name,) = (name for name, declaration in declared().items() if declaration["variable"] == variable)
    (said,) = problems(NEEDED, **{name: value})
    assert f"(from {option_name(name)}): " in said
    assert len(said) < 250


@pytest.mark.parametrize(
    ("environment", "name", "value"),
    [
        ({"FOLKFORM_BASE_URL": " http://127.0.0.1:8787/api/v1/ "}, "folkform_base_url", "http://127.0.0.1:8787/api/v1"),
        ({"PANCAKE_BASE_URL": "http://[::1]:80"}, "pancake_base_url", "http://[::1]:80"),
        ({"FOLKFORM_ROLE_ID": "65f0c0ffee"}, "folkform_role_id", "65f0c0ffee"),
        ({"FOLKFORM_CUSTOMER_PATH": "/fb-customer"}, "folkform_customer_path", "/fb-customer"),
        ({"CUSTOMER_SYNC_WORKERS": "64"}, "workers", 64),
        ({"CUSTOMER_SYNC_PAGES_AT_ONCE": "1"}, "pages_at_once", 1),
        ({"CUSTOMER_SYNC_PAGE_SIZE": "100"}, "page_size", 100),
        ({"CUSTOMER_SYNC_PANCAKE_RPS": "0.5"}, "pancake_rps", 0.5),
        ({"CUSTOMER_SYNC_TIMEOUT": "0.1"}, "timeout", 0.1),
        ({"CUSTOMER_SYNC_OVERLAP": "2h"}, "overlap", 7200),
        ({"CUSTOMER_SYNC_LOCK_DIR": "/run/locks"}, "lock_dir", Path("/run/locks")),
    ],
)
def test_reads_the_environment(environment: dict[str, str], name: str, value: Any) -> None:
    """Every variable is read as what it is."""
    assert getattr(load(environment), name) == value


def test_options_win() -> None:
    """An option overrides its variable, even a malformed one; an option not given does not."""
    environment = {"CUSTOMER_SYNC_WORKERS": "many", "CUSTOMER_SYNC_PAGE_SIZE": "50", "FOLKFORM_BASE_URL": "nonsense"}
    settings = load(environment, workers="3", page_size=None, folkform_base_url="http://127.0.0.1:1/api/v1")
    assert (settings.workers, settings.page_size) == (3, 50)
    assert settings.folkform_base_url == "http://127.0.0.1:1/api/v1"


@pytest.mark.parametrize("text", [TOKEN, f"{TOKEN}\n", f"  {TOKEN}\r\n\n"])
def test_reads_a_secret_from_a_file(tmp_path: Path, text: str) -> None:
    """A mounted secret is read without the space around it; the variable itself goes before it."""
    secret = tmp_path / "token"
    secret.write_text(text)
    environment = {"FOLKFORM_BASE_URL": NEEDED["FOLKFORM_BASE_URL"], "FOLKFORM_TOKEN_FILE": str(secret)}
    assert load_settings(environment, {}).folkform_token == TOKEN
    assert load_settings(environment | {"FOLKFORM_TOKEN": "another"}, {}).folkform_token == "another"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read (No such file or directory)"),
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"\xff\xfe\x00", "cannot be read (not UTF-8 text)"),
    ],
)
def test_an_unusable_secret_file_is_named(tmp_path: Path, content: bytes | None, reason: str) -> None:
    """What is wrong with the file is said with its variable and path."""
    secret = tmp_path / "token"
    if content is not None:
        secret.write_bytes(content)
    environment = {"FOLKFORM_BASE_URL": NEEDED["FOLKFORM_BASE_URL"], "FOLKFORM_TOKEN_FILE": str(secret)}
    (said,) = problems(environment)
    assert said.startswith(f"FOLKFORM_TOKEN_FILE {secret} {reason}: ")


def test_a_directory_is_no_secret_file(tmp_path: Path) -> None:
    """A directory in place of the file is an error like any other."""
    (said,) = problems(
        {"FOLKFORM_BASE_URL": NEEDED["FOLKFORM_BASE_URL"], "FOLKFORM_TOKEN_FILE": str(tmp_path)},
    )
    assert "cannot be read (Is a directory)" in said


@pytest.mark.parametrize("secret", ["my s3cret", "s3cret\nx", "s3crét", "s3cret\x00"])
def test_a_malformed_secret_is_not_shown(tmp_path: Path, secret: str) -> None:
    """A token that no header can carry is refused without quoting it, from wherever it comes."""
    file = tmp_path / "token"
    file.write_text(secret)
    address = {"FOLKFORM_BASE_URL": NEEDED["FOLKFORM_BASE_URL"]}
    for environment, source in (
        ({"FOLKFORM_TOKEN": secret}, "environment variable FOLKFORM_TOKEN"),
        ({"FOLKFORM_TOKEN_FILE": str(file)}, "the file of FOLKFORM_TOKEN_FILE"),
    ):
        (said,) = problems(address | environment)
        assert said.startswith(f"FOLKFORM_TOKEN is malformed (from {source}): give only characters that")


def test_secrets_are_not_in_the_repr() -> None:
    """Settings may stand in a traceback: their repr shows no secret."""
    settings = load()
    assert TOKEN not in repr(settings)
    assert TOKEN not in str(settings)
    assert "folkform_token" not in repr(settings)


def test_a_password_in_an_address_is_not_shown() -> None:
    """An address is quoted without the password in it."""
    (said,) = problems(NEEDED | {"PANCAKE_BASE_URL": "ftp://user:p4ssword@pages.fm/api"})
    assert "PANCAKE_BASE_URL is 'ftp://***@pages.fm/api'" in said
    assert "p4ssword" not in said


def test_no_secret_is_an_option() -> None:
    """Options show in `ps`, so no setting that opens a service is one; every secret may be a file, and nothing else."""
    opens_a_monitor = {"ping_url", "pushgateway"}
    for name, declaration in declared().items():
        opens_a_service = bool({"token", "password", "key"} & set(name.split("_")))
        assert declaration["secret"] == (opens_a_service or name in opens_a_monitor)
        assert declaration["option"] != opens_a_service


@pytest.mark.parametrize(
    ("address", "warned"),
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
def test_an_open_address_is_warned_about(address: str, warned: bool) -> None:
    """Tokens and customers travel unencrypted to an http address; only loopback is nobody else's to read."""
    for variable in ("FOLKFORM_BASE_URL", "PANCAKE_BASE_URL", "FIREBASE_BASE_URL"):
        told = warnings(load({variable: address}))
        assert [text.split()[0] for text in told] == [variable] * warned


def test_every_setting_is_explained() -> None:
    """Each has a variable, a purpose, and a default that it reads itself."""
    for name, declaration in declared().items():
        assert declaration["purpose"]
        assert declaration["variable"].isupper()
        assert option_name(name).startswith("--")
        if declaration["default"] is not None:
            declaration["read"](declaration["default"])


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("90", 90), ("20s", 20), ("4m", 240), ("2h", 7200), ("1d", 86400), ("007m", 420)]
)
def test_reads_durations(text: str, seconds: int) -> None:
    """A number of seconds, minutes, hours or days."""
    assert read_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-1", "1.5h", "1h30m", "4 m", "4M", "4w", "٤m", "m4", "1" * 10])
def test_refuses_what_is_no_duration(text: str) -> None:
    """Anything else is an error that shows how to write one."""
    with pytest.raises(ValueError, match="give a duration such as 20s, 4m or 2h"):
        read_duration(text)
