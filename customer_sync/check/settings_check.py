"""Every setting: its value, where it comes from, and what is wrong with it."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches

from customer_sync.config.raw_setting import Problem, RawSetting, option_name
from customer_sync.config.settings import SHARDS, Settings, load_shard, open_addresses, variables
from customer_sync.core.errors import ExitCode, SettingsError
from customer_sync.results.findings import Finding, Report, State

SETTINGS = "Settings"
_API = "/api/v1"
_PREFIX = "CUSTOMER_SYNC_"
_ALIKE = 0.85


def check_settings(
    report: Report,
    given: Sequence[RawSetting],
    problems: Sequence[Problem],
    settings: Settings,
    environment: Mapping[str, str],
) -> None:
    """Whatever somebody has set stands on a line of its own, and so does whatever is wrong."""
    troubled = {problem.name for problem in problems}
    chosen = [one for one in given if one.source != "default" or one.name in troubled]
    with report.section(SETTINGS, [one.variable for one in chosen]):
        for one in chosen:
            report.add(_finding(one, problems, settings))
        if environment.get(SHARDS):
            _tell_shard(report, environment)
        for unread in _unread(environment):
            report.add(unread)
        _tell_the_rest(report, [one for one in given if one not in chosen], settings)


def _finding(one: RawSetting, problems: Sequence[Problem], settings: Settings) -> Finding:
    for problem in problems:
        if problem.name == one.name:
            return Finding(SETTINGS, problem.variable, State.WRONG, problem.wrong, _step(problem.step), ExitCode.USAGE)
    detail = f"{one.shown} ({one.source.removesuffix(f' {one.variable}')})"
    if one.name in open_addresses(settings):
        detail += "; tokens and customers travel unencrypted"
        return Finding(SETTINGS, one.variable, State.WARNING, detail, "Give an address that begins with https://.")
    if one.name == "folkform_base_url" and not one.value.endswith(_API):
        return Finding(SETTINGS, one.variable, State.WARNING, detail, f"Is it whole? It usually ends in {_API}.")
    return Finding(SETTINGS, one.variable, State.OK, detail)


def _tell_shard(report: Report, environment: Mapping[str, str]) -> None:
    """Which share of the pages a pass would take that is started here."""
    try:
        shard = load_shard(environment, None)
    except SettingsError as error:
        problem, _, step = error.problem.rpartition(": ")
        report.wrong(SHARDS, problem, _step(step), ExitCode.USAGE)
    else:
        report.ok(SHARDS, f"{environment[SHARDS]} (environment variable), so a pass takes shard {shard}")


def _unread(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Variables that are set and that nobody reads: ours misspelt, or ours by their beginning."""
    known = variables()
    for name in sorted(name for name in environment if environment[name] and name not in known):
        meant = get_close_matches(name, known, 1, _ALIKE)
        if meant or name.startswith(_PREFIX):
            step = f"Is {meant[0]} meant?" if meant else "Unset it; customer-sync check --help lists those that are."
            yield Finding(SETTINGS, name, State.WARNING, "is set, and nobody reads it", step)


def _step(step: str) -> str:
    return f"{step[0].upper()}{step[1:]}."


def _tell_the_rest(report: Report, rest: Sequence[RawSetting], settings: Settings) -> None:
    """What nobody has set: by its option where there is a default, by its variable where there is none."""
    defaults = [one for one in rest if _default(one, settings)]
    listed = ", ".join(f"{option_name(one.name)}={_default(one, settings)}" for one in defaults)
    report.add_together(
        "by default", listed, [_in_order(one, f"{_default(one, settings)} (default)") for one in defaults]
    )
    unset = [one for one in rest if not _default(one, settings)]
    report.add_together(
        "not set", ", ".join(one.variable for one in unset), [_in_order(one, "not set") for one in unset]
    )


def _default(one: RawSetting, settings: Settings) -> str:
    return one.shown or str(getattr(settings, one.name) or "")


def _in_order(one: RawSetting, detail: str) -> Finding:
    return Finding(SETTINGS, one.variable, State.OK, detail)
