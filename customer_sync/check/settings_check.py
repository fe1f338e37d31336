"""Every setting: its value, where it comes from, and what is wrong with it."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from customer_sync.config import env_file
from customer_sync.config.raw_setting import RawSetting
from customer_sync.config.settings import SHARDS, Settings, load_shard, variables
from customer_sync.core.command_line import quoted
from customer_sync.core.errors import ExitCode, SettingsError
from customer_sync.http.service import complete_address
from customer_sync.results.findings import Finding, Report, State
from customer_sync.services.exposed import exposed_addresses
from customer_sync.services.folkform_access import BASE_PATH

SETTINGS = "Settings"
_PREFIX = "CUSTOMER_SYNC_"
_SIMILAR = 0.85


def check_settings(
    report: Report, raw: Sequence[RawSetting], settings: Settings, environment: Mapping[str, str]
) -> None:
    """Reports each setting that was given or is wrong on its own, the others together."""
    in_file = env_file.loaded().problems  # What seems to be missing may be there.
    given = [one for one in raw if one.source != "default" or (one.problem and not (in_file and one.is_missing))]
    with report.section(SETTINGS, [one.variable for one in given]):
        _check_env_file(report)
        for one in given:
            report.add(_finding(one, settings))
        if environment.get(SHARDS):
            _check_shard(report, environment)
        for name in sorted(name for name in environment if environment[name]):
            _check_name(report, name)
        for what, is_default in (("default", True), ("not set", False)):
            rest = [one for one in raw if one not in given and bool(one.shown) == is_default]
            findings = [_ok(one, f"{one.shown} (default)" if is_default else "not set") for one in rest]
            listed = [f"{one.variable}={one.shown}" if is_default else one.variable for one in rest]
            report.add_together(what, ", ".join(listed), findings)


def _finding(one: RawSetting, settings: Settings) -> Finding:
    if one.problem:
        step = _sentence(one.problem.step)
        return Finding(SETTINGS, one.problem.variable, State.WRONG, one.problem.wrong, step, ExitCode.USAGE)
    detail = f"{one.shown} ({one.source.removesuffix(f' {one.variable}')})"
    if what := exposed_addresses(settings).get(one.name):
        step = "Set an address that begins with https://."
        return Finding(SETTINGS, one.variable, State.WARNING, f"{detail}; {what}", step)
    if one.warning:
        problem, _, step = one.warning.rpartition(": ")
        return Finding(SETTINGS, one.variable, State.WARNING, f"{detail}; {problem}", f"Run {step}.")
    if one.name == "folkform_base_url" and not one.value.endswith(BASE_PATH):
        address = quoted(complete_address(one.value, BASE_PATH))
        step = f"Set {one.variable}={address} (it must end in {BASE_PATH})."
        return Finding(SETTINGS, one.variable, State.WARNING, detail, step)
    return _ok(one, detail)


def _check_env_file(report: Report) -> None:
    file, name = env_file.loaded(), "--env-file"
    for problem in file.problems:
        what, _, step = problem.removeprefix(f"{name} ").rpartition(": ")
        report.wrong(name, what, _sentence(step), ExitCode.USAGE)
    if file.warning:
        what, _, step = file.warning.rpartition(": ")
        report.warn(name, what, f"Run {step.removeprefix('run ')}.")
    elif file.path and not file.problems:
        report.ok(name, f"{file.path}; the environment takes precedence")


def _check_shard(report: Report, environment: Mapping[str, str]) -> None:
    """Which shard a pass in this environment takes."""
    try:
        shard = load_shard(environment, None)
    except SettingsError as error:
        problem, _, step = error.problem.rpartition(": ")
        report.wrong(SHARDS, problem, _sentence(step), ExitCode.USAGE)
    else:
        source = env_file.source(SHARDS).removesuffix(f" {SHARDS}")
        report.ok(SHARDS, f"{environment[SHARDS]} ({source}); a pass takes shard {shard}")


def _check_name(report: Report, name: str) -> None:
    """Warns of a variable that looks like one of ours and is none."""
    known = variables()
    if name in known:
        return
    similar = get_close_matches(name, known, 1, _SIMILAR)
    if similar or name.startswith(_PREFIX):
        step = f"Rename it to {similar[0]}, or unset it." if similar else "Unset it."
        report.warn(name, "unknown variable, ignored", step)


def _ok(one: RawSetting, detail: str) -> Finding:
    return Finding(SETTINGS, one.variable, State.OK, detail)


def _sentence(step: str) -> str:
    return f"{step[0].upper()}{step[1:]}."
