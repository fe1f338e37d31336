"""Every page of a run: which ones, some at once, and no error of one ends another."""

import logging
import random
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from customer_sync.core.clock import Clock
from customer_sync.core.customer import Customer
from customer_sync.core.errors import CustomerSyncError, SettingsError, StopRequested
from customer_sync.core.locks import PageLocked
from customer_sync.core.page import Page
from customer_sync.results.result import PageResult, Problem, Status, SyncedPage

log = logging.getLogger(__name__)

R = TypeVar("R", bound=PageResult)


class HealthCheck(Protocol):
    """What every page needs of FolkForm."""

    def ensure_up(self, page_id: str) -> None: ...


class Listener(Protocol):
    """Who is told how a run goes on, from several threads; the result is filled in as it goes."""

    def page_started(self, result: PageResult) -> None: ...

    def customer_failed(self, result: SyncedPage, problem: Problem) -> None: ...

    def page_ended(self, result: PageResult) -> None: ...


class ReadingAhead(Protocol):
    """How batches are read while the ones before are being written."""

    def __call__(self, batches: Iterable[list[Customer]], /) -> AbstractContextManager[Iterator[list[Customer]]]: ...


class PagesRun(Protocol):
    """What a run over pages works with."""

    @property
    def folkform(self) -> HealthCheck: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def listener(self) -> Listener: ...

    @property
    def requests(self) -> Callable[[str], int]:
        """How many requests a page has cost so far."""
        ...

    @property
    def pages_at_once(self) -> int: ...


def select_pages(pages: Iterable[Page], named: Iterable[str]) -> list[Page]:
    """The pages to work at: the *named* ones, switched on or not, or else all that are switched on.

    Raises SettingsError for a name that no page has.
    """
    known = {page.page_id: page for page in pages}
    if unknown := [page_id for page_id in named if page_id not in known]:
        listed = ", ".join(known) or "none"
        raise SettingsError([f"FolkForm knows no page {page_id}" for page_id in unknown], f"It knows: {listed}.")
    return [known[page_id] for page_id in dict.fromkeys(named)] or [page for page in known.values() if page.is_sync]


def for_each_page(run: PagesRun, results: Iterable[R], work: Callable[[R], None]) -> None:
    """Does *work* for every page, some at once, in random order, so that a time limit starves none.

    However the work ends stands in the page's result.
    """
    waiting = list(results)
    random.shuffle(waiting)
    with ThreadPoolExecutor(run.pages_at_once, thread_name_prefix="page") as pool:
        list(pool.map(lambda result: _work_at(run, result, work), waiting))


def _work_at(run: PagesRun, result: R, work: Callable[[R], None]) -> None:
    run.listener.page_started(result)
    try:
        run.clock.check()
        run.folkform.ensure_up(result.page.page_id)
        work(result)
        result.complete = True
        result.status = result.PROBLEM_STATUS if result.has_problems else Status.OK
    except StopRequested as reason:
        result.status, result.stopped = Status.INTERRUPTED, reason
    except PageLocked as error:
        result.status = Status.BUSY
        result.warnings.append(error.sentence)
    except CustomerSyncError as error:
        result.status, result.error = Status.FAILED, error
    except Exception as error:
        log.debug("page %s failed", result.page.page_id, exc_info=True)
        problem = f"An error of customer-sync itself ended this page ({type(error).__name__})"
        result.status = Status.FAILED
        result.error = CustomerSyncError(problem, "Run it with --debug and report it.")
    result.requests = run.requests(result.page.page_id)
    run.listener.page_ended(result)
