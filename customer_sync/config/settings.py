"""What the environment and the command line say, read and checked once.

Each setting is declared in one place: its variable, its option, its default, how it is read and what it is for.
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from customer_sync.config.raw_setting import Problem, RawSetting, read_setting
from customer_sync.config.raw_setting import option_name as option_name
from customer_sync.core.errors import SettingsError
from customer_sync.core.shard import MAX_SHARDS, Shard, read_shard

T = TypeVar("T")

SHARDS, LOG_FORMAT = "CUSTOMER_SYNC_SHARDS", "CUSTOMER_SYNC_LOG_FORMAT"
# Kubernetes sets it in every pod of an Indexed Job.
_INDEX = "JOB_COMPLETION_INDEX"
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def _header_value(value: str) -> str:
    if not re.fullmatch(r"[\x21-\x7e]+", value):
        raise ValueError("give only characters that an HTTP header carries: no spaces, no accents")
    return value


def _text(value: str) -> str:
    return value


def _switch(value: str) -> bool:
    if value not in ("0", "1"):
        raise ValueError("give 1 or 0")
    return value == "1"


def _address(value: str) -> str:
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # Its own text may quote a password.
        good = False
    if not good:
        raise ValueError("give an address such as https://example.com/api")
    return value.rstrip("/")


def _monitor(value: str) -> str:
    """An address that customers do not travel to."""
    return _address(value)


def _path(value: str) -> str:
    if not re.fullmatch(r"(/[\w-]+)+", value):
        raise ValueError("give a path such as /customer")
    return value


def _whole(low: int, high: int) -> Callable[[str], int]:
    def read(value: str) -> int:
        if not re.fullmatch(r"\d{1,9}", value, re.ASCII) or not low <= int(value) <= high:
            raise ValueError(f"give a whole number from {low} to {high}")
        return int(value)

    return read


def _number(low: float, high: float) -> Callable[[str], float]:
    def read(value: str) -> float:
        if not re.fullmatch(r"\d+(\.\d+)?", value, re.ASCII) or not low <= float(value) <= high:
            raise ValueError(f"give a number from {low:g} to {high:g}")
        return float(value)

    return read


def read_duration(value: str) -> int:
    """Seconds of "90", "20s", "4m", "2h" or "1d"."""
    found = re.fullmatch(r"(\d{1,9})([smhd]?)", value, re.ASCII)
    if not found:
        raise ValueError("give a duration such as 20s, 4m or 2h")
    return int(found[1]) * _UNITS[found[2]]


def _local_path(value: str) -> Path:
    try:
        return Path(value).expanduser()
    except RuntimeError:
        raise ValueError("give a whole path: nobody knows that home directory") from None


def setting(
    variable: str,
    read: Callable[[str], Any],
    purpose: str,
    *,
    default: str | None = None,
    required: bool = False,
    secret: bool = False,
    option: bool | None = None,
) -> Any:
    """Declares a setting. *default* is written as a user would write it. A *secret* may be a file; it is an *option*
    only where that is asked for, since options show in `ps`.
    """
    meta = {
        "variable": variable,
        "read": read,
        "purpose": purpose,
        "default": default,
        "required": required,
        "secret": secret,
        "option": not secret if option is None else option,
    }
    return field(metadata=meta, repr=not secret)


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting, ready to use; durations are seconds."""

    folkform_base_url: str = setting(
        "FOLKFORM_BASE_URL", _address, "FolkForm's address; it ends in /api/v1", required=True
    )
    folkform_token: str | None = setting("FOLKFORM_TOKEN", _header_value, "FolkForm's bearer token", secret=True)
    folkform_email: str | None = setting("FOLKFORM_EMAIL", _text, "instead of a token: sign in as this user")
    folkform_password: str | None = setting("FOLKFORM_PASSWORD", _text, "and with this password", secret=True)
    firebase_api_key: str | None = setting("FIREBASE_API_KEY", _text, "through Firebase, with this key", secret=True)
    firebase_base_url: str = setting(
        "FIREBASE_BASE_URL", _address, "Firebase's address", default="https://identitytoolkit.googleapis.com/v1"
    )
    folkform_role_id: str | None = setting(
        "FOLKFORM_ROLE_ID", _header_value, "the role to act in (X-Active-Role-ID); unset: the user's only one"
    )
    folkform_customer_path: str | None = setting(
        "FOLKFORM_CUSTOMER_PATH",
        _path,
        "where FolkForm keeps customers; unset: /customer where it exists, else /fb-customer",
    )
    pancake_base_url: str = setting("PANCAKE_BASE_URL", _address, "Pancake's address", default="https://pages.fm/api")
    pancake_access_token: str | None = setting(
        "PANCAKE_ACCESS_TOKEN",
        _text,
        "the user token that makes page tokens where a page record holds none",
        secret=True,
    )
    renew_tokens: bool = setting(
        "CUSTOMER_SYNC_RENEW_TOKENS", _switch, "1: make a new page token when Pancake refuses it, 0: never", default="1"
    )
    workers: int = setting("CUSTOMER_SYNC_WORKERS", _whole(1, 64), "upserts in flight, all pages together", default="8")
    pages_at_once: int = setting("CUSTOMER_SYNC_PAGES_AT_ONCE", _whole(1, 64), "pages synced at once", default="4")
    page_size: int = setting(
        "CUSTOMER_SYNC_PAGE_SIZE", _whole(1, 100), "customers per answer of Pancake", default="100"
    )
    pancake_rps: float = setting(
        "CUSTOMER_SYNC_PANCAKE_RPS",
        _number(0.01, 1000),
        "requests a second to Pancake, per page",
        default="5",
    )
    overlap: int = setting(
        "CUSTOMER_SYNC_OVERLAP",
        read_duration,
        "how far below the mark to start, for a FolkForm with other writers",
        default="0",
    )
    timeout: float = setting(
        "CUSTOMER_SYNC_TIMEOUT",
        _number(0.1, 60),
        "seconds of silence before a call is given up",
        default="30",
    )
    max_runtime: int = setting(
        "CUSTOMER_SYNC_MAX_RUNTIME", read_duration, "end softly after this long, such as 4m; 0: never", default="0"
    )
    jitter: int = setting(
        "CUSTOMER_SYNC_JITTER", read_duration, "wait up to this long, at random, before starting", default="0"
    )
    metrics_file: Path | None = setting(
        "CUSTOMER_SYNC_METRICS_FILE",
        _local_path,
        "write Prometheus' textfile of a run here; in a directory one for each pass",
    )
    pushgateway: str | None = setting(
        "CUSTOMER_SYNC_PUSHGATEWAY", _monitor, "push the same to this Pushgateway", secret=True, option=True
    )
    ping_url: str | None = setting(
        "CUSTOMER_SYNC_PING_URL",
        _monitor,
        "ping this check of Healthchecks: start, success, fail",
        secret=True,
        option=True,
    )
    lock_dir: Path = setting(
        "CUSTOMER_SYNC_LOCK_DIR",
        _local_path,
        "where the lock files are kept; else in /tmp/customer-sync-UID",
    )


def warnings(settings: Settings) -> list[str]:
    """What is allowed and unwise: addresses to which tokens and customers travel for everybody to read."""
    return [
        f"{declared()[name]['variable']} is no https address: tokens and customers travel unencrypted"
        for name in open_addresses(settings)
    ]


def open_addresses(settings: Settings) -> list[str]:
    """The field names of addresses that are neither encrypted nor this machine's own."""
    return [
        name
        for name, declaration in declared().items()
        if declaration["read"] is _address and _is_open(getattr(settings, name))
    ]


def _is_open(address: str) -> bool:
    return urlsplit(address).scheme == "http" and not is_this_machine(address)


def is_this_machine(address: str) -> bool:
    """Whether an address leads no further than loopback."""
    host = urlsplit(address).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def declared() -> dict[str, Mapping[str, Any]]:
    """Field name → declaration of every setting, in order."""
    return {one.name: one.metadata for one in fields(Settings)}


def variables() -> list[str]:
    """Every variable that is ours, in order."""
    secrets = [f"{one['variable']}_FILE" for one in declared().values() if one["secret"]]
    return [*(one["variable"] for one in declared().values()), *secrets, SHARDS, LOG_FORMAT]


def load_settings(environment: Mapping[str, str], options: Mapping[str, str | None]) -> Settings:
    """The settings of *environment*, overridden by *options* (field name → text).

    Raises SettingsError that names everything missing or malformed at once, with where it comes from.
    """
    given = read_settings(environment, options)
    if problems := problems_of(given):
        raise SettingsError([str(problem) for problem in problems])
    return usable_settings(given)


def read_settings(environment: Mapping[str, str], options: Mapping[str, str | None]) -> list[RawSetting]:
    """Every setting as *environment* gives it, overridden by *options* (field name → text)."""
    return [read_setting(name, declaration, environment, options) for name, declaration in declared().items()]


def problems_of(given: Sequence[RawSetting]) -> list[Problem]:
    """Everything missing or malformed, and what does not go together."""
    values = {one.name: one.value for one in given if one.problem is None}
    own = [one.problem for one in given if one.problem is not None]
    return own + _sign_in_problems(values) + _jitter_problems(values)


def usable_settings(given: Sequence[RawSetting]) -> Settings:
    """The settings as far as they can be used: one with a problem is as by default, or empty."""
    values = {one.name: _default(one.declaration) if one.problem else one.value for one in given}
    values["lock_dir"] = values["lock_dir"] or _default_lock_dir()
    return Settings(**values)


def _default(declaration: Mapping[str, Any]) -> Any:
    return "" if declaration["default"] is None else declaration["read"](declaration["default"])


def load_shard(environment: Mapping[str, str], option: str | None) -> Shard | None:
    """The shard that *option* names ("2/8"), else the one that an Indexed Job gives to this run; None: all pages.

    Raises SettingsError.
    """
    try:
        if option is not None:
            return _checked(option, read_shard, "the shard", "--shard")
        return _shard_of_job(environment)
    except ValueError as error:
        raise SettingsError([str(error)]) from None


def _shard_of_job(environment: Mapping[str, str]) -> Shard | None:
    shards, index = environment.get(SHARDS), environment.get(_INDEX)
    if not shards:
        return None
    count = _checked(shards, _whole(1, MAX_SHARDS), SHARDS, f"environment variable {SHARDS}")
    if not index:
        ways = f"run it in an Indexed Job, which sets it, or give --shard I/{count}"
        raise ValueError(f"{_INDEX} is missing: {SHARDS} is {count}, but not which of them this run is: {ways}")
    return Shard(_checked(index, _whole(0, count - 1), _INDEX, f"environment variable {_INDEX}"), count)


def _jitter_problems(values: Mapping[str, Any]) -> list[Problem]:
    jitter, limit = values.get("jitter", 0), values.get("max_runtime", 0)
    if not 0 < limit <= jitter:
        return []
    return [_problem("jitter", "must be shorter than CUSTOMER_SYNC_MAX_RUNTIME", "lower it or raise the limit")]


def _sign_in_problems(values: Mapping[str, Any]) -> list[Problem]:
    """A bearer token, or everything that a sign-in needs."""
    ways = ("folkform_email", "folkform_password", "firebase_api_key")
    if "folkform_token" not in values or values["folkform_token"] or not values.keys() >= set(ways):
        return []
    missing = [name for name in ways if not values[name]]
    listed = ", ".join(declared()[name]["variable"] for name in ways)
    if len(missing) == len(ways):
        step = f"set FOLKFORM_TOKEN or FOLKFORM_TOKEN_FILE, or sign in with {listed}"
        return [_problem("folkform_token", "is missing", step)]
    return [_problem(name, "is missing", f"a sign-in needs {listed}") for name in missing]


def _problem(name: str, wrong: str, step: str) -> Problem:
    return Problem(name, declared()[name]["variable"], wrong, step)


def _checked(text: str, read: Callable[[str], T], name: str, source: str) -> T:
    """What *read* makes of *text*. Raises ValueError that says what *name* is, and its *source*."""
    try:
        return read(text.strip())
    except ValueError as error:
        raise ValueError(f"{name} is {text!r:.80} (from {source}): {error}") from None


def _default_lock_dir() -> Path:
    # Not the runtime directory: a login shell has one and cron has none, and the two must share their locks.
    return Path("/tmp") / f"customer-sync-{os.getuid()}"  # noqa: S108
