"""The settings: environment variables, each declared once, read and checked together."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from customer_sync.config import env_file
from customer_sync.config.raw_setting import IS_MISSING, Declaration, RawSetting, read_setting
from customer_sync.config.readers import (
    duration,
    number,
    read_address,
    read_base_address,
    read_duration,
    read_header_value,
    read_local_path,
    read_switch,
    read_text,
    read_url_path,
    whole_number,
)
from customer_sync.core.errors import SettingsError
from customer_sync.core.shard import MAX_SHARDS, Shard, read_shard

T = TypeVar("T")

SHARDS, LOG_FORMAT = "CUSTOMER_SYNC_SHARDS", "CUSTOMER_SYNC_LOG_FORMAT"
# Kubernetes sets it in every pod of an Indexed Job.
_INDEX = "JOB_COMPLETION_INDEX"
# Not the runtime directory: a login shell has one, cron has none, and both must share their locks.
_LOCK_DIR = f"/tmp/customer-sync-{os.getuid()}"  # noqa: S108
_FIREBASE = "https://identitytoolkit.googleapis.com/v1"


def setting(variable: str, read: Callable[[str], Any], purpose: str, default: str | None = None, **more: Any) -> Any:
    """Declares a field of Settings, as a Declaration."""
    declaration = Declaration(variable, read, purpose, default, **more)
    return field(metadata={"declaration": declaration}, repr=not declaration.secret)


_read_folkform = partial(read_base_address, example="https://example.com/api/v1")


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting, ready to use; durations are seconds."""

    folkform_base_url: str = setting("FOLKFORM_BASE_URL", _read_folkform, "address ending in /api/v1", required=True)
    folkform_token: str | None = setting("FOLKFORM_TOKEN", read_header_value, "FolkForm's bearer token", secret=True)
    folkform_email: str | None = setting("FOLKFORM_EMAIL", read_text, "instead of a token: sign in as this user")
    folkform_password: str | None = setting("FOLKFORM_PASSWORD", read_text, "that user's password", secret=True)
    firebase_api_key: str | None = setting("FIREBASE_API_KEY", read_text, "the sign-in's key", secret=True)
    firebase_base_url: str = setting("FIREBASE_BASE_URL", read_base_address, "Firebase", _FIREBASE)
    folkform_role_id: str | None = setting("FOLKFORM_ROLE_ID", read_header_value, "unset: the user's only role")
    folkform_customer_path: str | None = setting(
        "FOLKFORM_CUSTOMER_PATH", read_url_path, "unset: the first that exists"
    )
    pancake_base_url: str = setting("PANCAKE_BASE_URL", read_base_address, "Pancake", "https://pages.fm/api")
    pancake_access_token: str | None = setting(
        "PANCAKE_ACCESS_TOKEN", read_text, "user token for pages whose own is missing or dead", secret=True
    )
    renew_tokens: bool = setting("CUSTOMER_SYNC_RENEW_TOKENS", read_switch, "0: make no new page token", "1")
    workers: int = setting("CUSTOMER_SYNC_WORKERS", whole_number(1, 64), "upserts in flight, all pages together", "8")
    pages_at_once: int = setting("CUSTOMER_SYNC_PAGES_AT_ONCE", whole_number(1, 64), "pages synced at once", "4")
    page_size: int = setting("CUSTOMER_SYNC_PAGE_SIZE", whole_number(1, 100), "customers per batch", "100")
    pancake_rps: float = setting("CUSTOMER_SYNC_PANCAKE_RPS", number(0.01, 1000), "requests per second and page", "5")
    overlap: int = setting("CUSTOMER_SYNC_OVERLAP", read_duration, "start this far below the watermark", "0")
    timeout: float = setting("CUSTOMER_SYNC_TIMEOUT", duration(0.1, 60), "longest silence", "30")
    max_runtime: int = setting(
        "CUSTOMER_SYNC_MAX_RUNTIME", read_duration, "stop gracefully; 0: never", "0", option="--max-runtime"
    )
    jitter: int = setting("CUSTOMER_SYNC_JITTER", read_duration, "longest wait at the start", "0", option="--jitter")
    metrics_file: Path | None = setting("CUSTOMER_SYNC_METRICS_FILE", read_local_path, "Prometheus file or directory")
    pushgateway: str | None = setting("CUSTOMER_SYNC_PUSHGATEWAY", read_address, "Prometheus gateway", secret=True)
    ping_url: str | None = setting("CUSTOMER_SYNC_PING_URL", read_address, "Healthchecks check", secret=True)
    lock_dir: Path = setting("CUSTOMER_SYNC_LOCK_DIR", read_local_path, "where the lock files are", _LOCK_DIR)


def declared() -> dict[str, Declaration]:
    """Field name → declaration of every setting, in order."""
    return {one.name: one.metadata["declaration"] for one in fields(Settings)}


def variables() -> list[str]:
    """Every variable that the program reads, in order."""
    secrets = [f"{one.variable}_FILE" for one in declared().values() if one.secret]
    return [*(one.variable for one in declared().values()), *secrets, SHARDS, LOG_FORMAT, env_file.ENV_FILE]


def place_of(secret: str) -> str:
    """Where a new value of a secret's variable belongs: where the present one comes from, else in the file in use."""
    if not os.environ.get(secret) and (path := os.environ.get(f"{secret}_FILE")):
        return path
    file = env_file.loaded()
    return file.path if file.path and (secret in file.variables or secret not in os.environ) else "the environment"


def load_settings(environment: Mapping[str, str], options: Mapping[str, str | None]) -> Settings:
    """The settings of *environment*, overridden by *options* (field name → text).

    Raises SettingsError that names everything missing or malformed, with its source.
    """
    raw = read_settings(environment, options)
    in_file = env_file.loaded().problems
    if problems := [*in_file, *(str(one.problem) for one in raw if one.problem and not (in_file and one.is_missing))]:
        raise SettingsError(problems)
    return usable_settings(raw)


def read_settings(environment: Mapping[str, str], options: Mapping[str, str | None]) -> list[RawSetting]:
    """Every setting as it was given, in order, with what is missing, malformed, or not allowed together."""
    raw = {name: read_setting(name, declaration, environment, options) for name, declaration in declared().items()}
    values = {name: one.value for name, one in raw.items() if one.problem is None}
    for name, wrong, step in (*_sign_in_problems(values), *_jitter_problems(values)):
        raw[name] = raw[name].wrong(wrong, step)
    return list(raw.values())


def usable_settings(raw: Sequence[RawSetting]) -> Settings:
    """The settings, where a setting with a problem has its default, or is empty."""
    return Settings(**{one.name: _default(one.declaration) if one.problem else one.value for one in raw})


def _default(declaration: Declaration) -> Any:
    return "" if declaration.default is None else declaration.read(declaration.default)


def _sign_in_problems(values: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Needed: a bearer token, or everything that a sign-in takes."""
    needed = ("folkform_email", "folkform_password", "firebase_api_key")
    if values.get("folkform_token", "malformed") or not values.keys() >= set(needed):
        return
    missing = [name for name in needed if not values[name]]
    listed = ", ".join(declared()[name].variable for name in needed)
    if missing == list(needed):
        yield "folkform_token", IS_MISSING, f"set FOLKFORM_TOKEN or FOLKFORM_TOKEN_FILE, or sign in with {listed}"
    else:
        yield from ((name, IS_MISSING, f"to sign in, set {listed}") for name in missing)


def _jitter_problems(values: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    if 0 < values.get("max_runtime", 0) <= values.get("jitter", 0):
        yield "jitter", "must be shorter than CUSTOMER_SYNC_MAX_RUNTIME", "lower it or raise the limit"


def warnings(environment: Mapping[str, str]) -> list[str]:
    """What is allowed but unwise."""
    unwise = [env_file.loaded().warning, *(one.warning for one in read_settings(environment, {}))]
    return [warning for warning in unwise if warning]


def load_shard(environment: Mapping[str, str], option: str | None) -> Shard | None:
    """The shard that *option* names ("2/8"), else the one of this pod in an Indexed Job; None: all pages.

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
    count = _checked(shards, whole_number(1, MAX_SHARDS), SHARDS, env_file.source(SHARDS))
    if not index:
        step = f"run it in an Indexed Job, which sets {_INDEX}, or give --shard I/{count}"
        raise ValueError(f"{_INDEX} is missing, and {SHARDS} is {count}: {step}")
    return Shard(_checked(index, whole_number(0, count - 1), _INDEX, env_file.source(_INDEX)), count)


def _checked(text: str, read: Callable[[str], T], name: str, source: str) -> T:
    """What *read* makes of *text*. Raises ValueError that names the text and its *source*."""
    try:
        return read(text.strip())
    except ValueError as error:
        raise ValueError(f"{name} is {text!r:.80} (from {source}): {error}") from None
