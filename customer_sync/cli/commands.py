"""Each command, from what the command line says to its exit code.

What a command alone needs is loaded by it alone: every start costs, and cron starts one every five minutes.
"""

import gc
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

from customer_sync.config.settings import Settings, load_settings, load_shard
from customer_sync.core.clock import Clock, local_time
from customer_sync.core.errors import CustomerSyncError, ExitCode, SettingsError
from customer_sync.core.interrupt import run_until_stopped
from customer_sync.core.moment import has_zone, parse_moment
from customer_sync.core.shard import Shard
from customer_sync.http.redact import Redactor
from customer_sync.monitoring.monitor import MONITORS, Monitor
from customer_sync.output.console import Screen
from customer_sync.output.options import OutputOptions
from customer_sync.results.findings import CheckResult
from customer_sync.results.result import PageResult, PassResult, SyncedPage

Texts = Mapping[str, str | None]
"""What the command line says of settings: field name → text."""


class Terminal:
    """What a command talks to: the screen, and the secrets that it must not show."""

    def __init__(self, manner: OutputOptions) -> None:
        self.redact = Redactor()
        self.screen = Screen(manner, self.redact)


def end(manner: OutputOptions, work: Callable[[Terminal], int]) -> int:
    """Runs *work*, says what went wrong, and returns the exit code."""
    gc.freeze()  # What has been loaded stays: it need not be looked through again and again.
    gc.enable()
    terminal = Terminal(manner)
    try:
        code = work(terminal)
    except CustomerSyncError as error:
        terminal.screen.error(error)
        code = error.exit_code
    except Exception as error:
        terminal.screen.unexpected(error)
        code = ExitCode.PARTIAL
    if code == ExitCode.OK and terminal.screen.unwritable:
        code = ExitCode.PARTIAL
    terminal.screen.ended(code)
    return code


def sync(
    manner: OutputOptions,
    name: str,
    texts: Texts,
    *,
    page: list[str] | None,
    since: str | None,
    until: str | None,
    dry_run: bool,
    shard: str | None,
    full: bool = False,
    rewrite: bool = False,
) -> int:
    """The pass of this *name*."""
    from customer_sync.cli.passes import run_pass
    from customer_sync.sync.passes import PassOptions

    def work(terminal: Terminal) -> int:
        problems: list[str] = []
        given = {"--since": since, "--until": until}
        moments = {option: _read_moment(option, text, problems) for option, text in given.items()}
        if rewrite and not full:
            problems.append("--rewrite goes with --full or --page")
        options = PassOptions(full, rewrite, moments["--since"], moments["--until"], dry_run)
        if options.since is not None and options.until is not None and options.since > options.until:
            problems.append("--since is later than --until")
        share = _read_shard(shard, page, problems)
        settings = _read_settings(texts, problems)
        _tell_zones(terminal.screen, given, moments)
        run = partial(run_pass, page_ids=page or [], options=options, settings=settings)
        watched = None if dry_run else _watched(settings, texts, by_hand=bool(page or since or until))
        return _run(terminal, name, SyncedPage, run, dry_run=dry_run, shard=share, watched=watched)

    return end(manner, work)


def verify(
    manner: OutputOptions, texts: Texts, *, page: list[str] | None, shard: str | None, quick: bool, allow_extra: bool
) -> int:
    """Both sides compared."""
    from customer_sync.cli.readings import run_verify
    from customer_sync.inspect.verify import VERIFY
    from customer_sync.results.verified_page import CountedPage, VerifiedPage

    def work(terminal: Terminal) -> int:
        problems: list[str] = []
        share = _read_shard(shard, page, problems)
        settings = _read_settings(texts, problems)
        run = partial(run_verify, page_ids=page or [], quick=quick, allow_extra=allow_extra, settings=settings)
        kind = CountedPage if quick else VerifiedPage
        watched = _watched(settings, texts, by_hand=quick or bool(page))
        return _run(terminal, VERIFY, kind, run, shard=share, watched=watched)

    return end(manner, work)


def status(manner: OutputOptions, texts: Texts, *, page: list[str] | None) -> int:
    """Where every page stands."""
    from customer_sync.cli.readings import run_status
    from customer_sync.inspect.status import STATUS
    from customer_sync.results.page_status import PageStatus

    def work(terminal: Terminal) -> int:
        ask = partial(run_status, page_ids=page or [], settings=_read_settings(texts))
        return _run(terminal, STATUS, PageStatus, ask)

    return end(manner, work)


def explain(manner: OutputOptions, texts: Texts, *, psid: str, page: str) -> int:
    """One customer on both sides."""
    from customer_sync.cli.readings import run_explain
    from customer_sync.inspect.explain import EXPLAIN
    from customer_sync.results.explanation import Explanation

    def work(terminal: Terminal) -> int:
        settings = _read_settings(texts, [] if psid.strip() else ["PSID is empty"])
        look = partial(run_explain, who=psid, page_id=page, settings=settings)
        return _run(terminal, EXPLAIN, Explanation, look)

    return end(manner, work)


def check(manner: OutputOptions, texts: Texts, *, page: list[str] | None) -> int:
    """Everything that can be wrong before a first run."""
    return end(manner, lambda terminal: _run_check(terminal, page or [], texts))


def _run(
    terminal: Terminal,
    name: str,
    page_result: type[PageResult],
    work: Callable[..., None],
    *,
    dry_run: bool = False,
    shard: Shard | None = None,
    watched: Settings | None = None,
) -> int:
    """Runs *work* over pages until it ends or is told to, and shows its result. Returns the exit code.

    *watched* names those to whom the run is told, too.
    """
    clock = Clock()
    result = PassResult(name, clock.now(), page_result, dry_run, shard)
    with Monitor(watched, result, terminal.redact, clock) if watched else nullcontext() as monitor:
        started = clock.monotonic()
        with terminal.screen.watching(result):
            run = partial(work, result, clock=clock, redact=terminal.redact, listener=terminal.screen)
            ended = True
            try:
                ended = run_until_stopped(run, clock)
            except CustomerSyncError as error:
                result.error = error
            result.end(clock.stopping, clock.monotonic() - started, in_time=ended)
        terminal.screen.result(result)
        if monitor:
            monitor.ended()
    if not ended:
        _end_at_once(terminal, result.exit_code)
    return result.exit_code


def _run_check(terminal: Terminal, page_ids: list[str], texts: Texts) -> int:
    """Shows what is found as it is found. Returns the exit code."""
    from customer_sync.check.run import run_check

    clock = Clock()
    result = CheckResult(clock.now())
    started = clock.monotonic()
    work = partial(run_check, result, page_ids, os.environ, texts)
    ended = run_until_stopped(partial(work, clock, redact=terminal.redact, listener=terminal.screen), clock)
    if clock.signalled:
        result.stopped = clock.stopping
    result.duration = clock.monotonic() - started
    terminal.screen.checked(result)
    if not ended:
        _end_at_once(terminal, result.exit_code)
    return result.exit_code


def _end_at_once(terminal: Terminal, code: int) -> None:
    """Calls and lookups that hang must not hold the process."""
    terminal.screen.ended(code)
    os._exit(code)


def _read_settings(texts: Texts, problems: Iterable[str] = ()) -> Settings:
    """Raises SettingsError that names these *problems*, too."""
    found = list(problems)
    settings = None
    try:
        settings = load_settings(os.environ, texts)
    except SettingsError as error:
        found += error.problems
    if settings is None or found:
        raise SettingsError(found)
    return settings


def _watched(settings: Settings, texts: Texts, *, by_hand: bool) -> Settings:
    """Who is told of the run. A part of the work must not pass for the whole: it is told only to those whom its own
    command line names.
    """
    if not by_hand:
        return settings
    nobody: dict[str, Any] = {name: None for name in MONITORS if texts.get(name) is None}
    return replace(settings, **nobody)


def _tell_zones(screen: Screen, texts: Mapping[str, str | None], moments: Mapping[str, int | None]) -> None:
    for option, text in texts.items():
        if text is not None and (moment := moments[option]) is not None and not has_zone(text):
            screen.info(f"{option} {text} is taken as this machine's time: {local_time(moment)}")


def _read_shard(text: str | None, named: list[str] | None, problems: list[str]) -> Shard | None:
    """Pages *named* by hand are worked at whatever the shard: then there is none."""
    try:
        shard = load_shard({} if named else os.environ, text)
    except SettingsError as error:
        problems += error.problems
        return None
    return None if named else shard


def _read_moment(option: str, text: str | None, problems: list[str]) -> int | None:
    if text is None:
        return None
    try:
        return parse_moment(text, end_of_day=option == "--until")
    except ValueError as error:
        problems.append(f"{option}: {error}")
        return None
