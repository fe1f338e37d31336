"""One run of a command: settings, services, every page, the result, the exit code."""

import logging
import os
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Generic, TypeVar

import typer

from customer_sync.config.settings import Settings, warnings
from customer_sync.core.clock import Clock
from customer_sync.core.errors import CustomerSyncError, ExitCode, StopRequested, machine_error
from customer_sync.core.interrupt import FinalReport, stop_on_signals
from customer_sync.core.locks import PageLocked, PageLocks
from customer_sync.core.page import CORRECT_RECORD, DELETE_RECORDS, Page, check_names
from customer_sync.core.reported import MOST_KEPT
from customer_sync.core.shard import Shard
from customer_sync.http.redact import Redactor
from customer_sync.monitoring.monitor import Monitor
from customer_sync.output.console import Screen
from customer_sync.output.options import OutputOptions
from customer_sync.output.summary import print_result
from customer_sync.results.fingerprint import causes, failed_customers
from customer_sync.results.page_result import PageResult, Status
from customer_sync.results.pass_result import PassResult, status_when
from customer_sync.services.exposed import exposure_warnings
from customer_sync.services.factory import Services
from customer_sync.services.page_token import RenewalDisabled
from customer_sync.sync.run_context import Listener, RunContext

log = logging.getLogger(__name__)

R = TypeVar("R", bound=PageResult)


@dataclass(frozen=True, slots=True)
class Command(Generic[R]):
    """What a command does, page by page."""

    name: str
    page_type: type[R]
    new_result: Callable[[Page, float], R]
    """Makes the empty result of a page, at this moment (Unix seconds); one that is OFF is not worked on."""
    work: Callable[[RunContext, R], None]
    """Fills in the result of one page. Raises CustomerSyncError."""
    prepare: Callable[[RunContext, list[R]], None] = lambda *_: None
    """Called before the first page, with the results of all."""
    renewal: RenewalDisabled | None = None
    """Why this command makes no page token; None where it may."""
    dry_run: bool = False
    takes_locks: bool = False
    lists_off: bool = False
    """Whether pages that are switched off are listed, too."""


@dataclass
class Process:
    """The process of one command: its screen, and the exit code it will end with."""

    screen: Screen
    exit_code: int = ExitCode.OK


@contextmanager
def process(output: OutputOptions) -> Iterator[Process]:
    """Prints what goes wrong inside, and ends the process with its exit code."""
    run = Process(Screen(output))
    try:
        yield run
    except CustomerSyncError as error:
        run.screen.error(error)
        run.exit_code = error.exit_code
    except Exception as error:
        if known := machine_error(error):
            run.screen.error(known)
        else:
            run.screen.unexpected(error)
        run.exit_code = known.exit_code if known else ExitCode.PARTIAL
    if run.exit_code == ExitCode.OK and run.screen.unwritable:
        run.exit_code = ExitCode.PARTIAL
    run.screen.ended(run.exit_code)
    raise typer.Exit(run.exit_code)


def run_command(
    command: Command[R],
    screen: Screen,
    settings: Settings,
    page_ids: Sequence[str] = (),
    shard: Shard | None = None,
    *,
    monitored: bool = False,
    scheduled: bool = False,
) -> int:
    """Runs *command* over the pages named, or all that are switched on, until it ends or a signal stops it.

    Prints the result, and reports it to the monitors when *monitored*. Where a *scheduled* command is quiet and has no
    terminal, it prints the same failure once an hour. Returns the exit code.
    """
    clock = Clock()
    started = clock.monotonic()
    result = PassResult(command.name, clock.now(), command.page_type, command.dry_run, shard)
    options = screen.options
    if scheduled and options.quiet and not options.log_json and not screen.err.file.isatty():
        locks = PageLocks(settings.lock_dir, clock, command.name)
        screen.reported = locks.failures(
            f"{shard} {sorted(page_ids)} {command.dry_run} {settings.folkform_base_url} {settings.pancake_base_url}"
        )
    with Monitor(settings if monitored else None, result, screen.redact, clock) as monitor:

        def report(in_time: bool) -> int:
            result.end(clock.stopping, clock.monotonic() - started, in_time=in_time)
            _print_once(screen, result)
            monitor.ended()
            return result.exit_code

        finish = FinalReport(report, screen.ended)
        stop_on_signals(clock, finish.give_up)
        with screen.watching(result):
            run_pages(command, result, settings, clock, page_ids, redact=screen.redact, listener=screen)
        return finish()


def _print_once(screen: Screen, result: PassResult[Any]) -> None:
    """Prints the result, unless earlier runs have printed all that failed."""
    reported = screen.reported
    if reported is None or result.exit_code == ExitCode.OK:
        print_result(screen, result)
        if reported is not None and result.complete:
            reported.forget()
        return
    of_run, customers = causes(result), islice(failed_customers(result), MOST_KEPT)
    new = [failure for failure in (*of_run, *customers) if not reported.has(failure)]
    print_result(screen, result, repeated=not new)
    if new and reported.add((*of_run, *new)):
        screen.log("Later runs with -q print the same failure again after 1 h, and any other at once.")


def run_pages(
    command: Command[R],
    result: PassResult[R],
    settings: Settings,
    clock: Clock,
    page_ids: Sequence[str],
    *,
    redact: Redactor,
    listener: Listener,
) -> None:
    """Does the work of *command* for every page, several at once; how it ended is in *result*."""
    locks = PageLocks(settings.lock_dir, clock, command.name)
    services = Services(
        settings, clock, redact, locks if command.takes_locks else None, renewal_disabled=command.renewal
    )
    result.services = services
    result.warnings += [*exposure_warnings(settings), *warnings(os.environ)]
    if settings.max_runtime:
        clock.end_after(settings.max_runtime)
    upserts = partial(ThreadPoolExecutor, settings.workers, thread_name_prefix="upsert")
    with _errors_in(result), services.watched(), upserts() as pool:
        if command.takes_locks:
            locks.make_directory()
        _wait_jitter(settings.jitter, clock)
        result.pages = [command.new_result(page, clock.now()) for page in _pages(command, services, page_ids, result)]
        context = RunContext(
            settings, clock, services.folkform, services.pancake, locks, listener, pool, services.requests
        )
        command.prepare(context, [one for one in result.pages if not one.page.broken])
        # In random order, so that a time limit starves no page.
        waiting = random.sample(result.active_pages, len(result.active_pages))
        with ThreadPoolExecutor(settings.pages_at_once, thread_name_prefix="page") as pages:
            list(pages.map(partial(work_on_page, context, command.work), waiting))


def work_on_page(context: RunContext, work: Callable[[RunContext, R], None], result: R) -> None:
    """Does the *work* of one page; how it ended is in *result*, so that no page's error ends another."""
    context.listener.page_started(result)
    try:
        context.clock.check()
        if result.page.broken:
            raise CustomerSyncError(result.page.problem, CORRECT_RECORD)
        context.folkform.ensure_up(result.page.page_id)
        work(context, result)
        result.complete = True
        result.status = result.PROBLEM_STATUS if result.has_problems else Status.OK
    except StopRequested as reason:
        result.status, result.stopped = status_when(reason), reason
    except PageLocked as error:
        result.status = Status.BUSY
        result.warnings.append(error.sentence)
    except CustomerSyncError as error:
        result.status, result.error = Status.FAILED, error
    except Exception as error:
        log.debug("page %s failed", result.page.page_id, exc_info=True)
        problem = f"An error of customer-sync itself ended this page ({type(error).__name__})"
        result.status = Status.FAILED
        result.error = machine_error(error) or CustomerSyncError(problem, "Run it with --debug and report it.")
    result.requests = context.requests(result.page.page_id)
    context.listener.page_ended(result)


@contextmanager
def _errors_in(result: PassResult[R]) -> Iterator[None]:
    try:
        yield
    except StopRequested as reason:
        result.stopped = reason
    except CustomerSyncError as error:
        result.error = error
    except (RuntimeError, MemoryError) as error:
        result.error = machine_error(error)
        if result.error is None:
            raise


def _wait_jitter(jitter: int, clock: Clock) -> None:
    """So that not every machine starts at the same second."""
    if jitter:
        seconds = random.uniform(0, jitter)
        log.info("starting in %.0f s (--jitter)", seconds)
        clock.sleep(seconds)


def _pages(command: Command[R], services: Services, page_ids: Sequence[str], result: PassResult[R]) -> list[Page]:
    """The pages to work on: those named, switched on or not, else all of the shard that are switched on.

    Raises SettingsError for a name that no page has.
    """
    known = {page.page_id: page for page in services.pages()}
    check_names(page_ids, list(known))
    on = [page for page in known.values() if page.is_sync]
    selected = [known[page_id] for page_id in dict.fromkeys(page_ids)] or on
    pages = [page for page in selected if result.shard is None or result.shard.holds(page.page_id)]
    if not pages:
        state = "has no page switched on (isSync)" if known else "shows no page at all"
        if selected:
            state = f"has no page in shard {result.shard} (switched on in all: {len(selected)})"
        result.warnings.append(f"FolkForm {state}, so there was nothing to do")
    result.warnings += [f"{page.several_records}. {DELETE_RECORDS}" for page in selected if page.records > 1]
    off = [page for page in known.values() if not page.is_sync]
    return pages + (off if command.lists_off and not page_ids else [])
