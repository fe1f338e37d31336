"""What one run works with, whatever its command does."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, Protocol

from customer_sync.config.settings import Settings
from customer_sync.core.clock import Clock
from customer_sync.core.locks import PageLocks
from customer_sync.core.page import Page
from customer_sync.results.page_result import PageResult, SyncedPage
from customer_sync.results.problems import Problem
from customer_sync.services.folkform import FolkFormClient
from customer_sync.sync.list_reader import CustomerSource
from customer_sync.sync.read_ahead import read_ahead
from customer_sync.sync.slices import LARGEST_SLICE
from customer_sync.sync.watermarks import SPAN


class Listener(Protocol):
    """Hears how a run goes on, from several threads; the results fill as it goes."""

    def page_started(self, result: PageResult) -> None: ...

    def customer_failed(self, result: SyncedPage, problem: Problem) -> None: ...

    def page_ended(self, result: PageResult) -> None: ...


ReadAheadFn = Callable[[Iterable[Any]], AbstractContextManager[Iterator[Any]]]
"""Iterates over items, some of them ahead, until the context is left."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """What the random histories vary: they run small histories with small numbers, on one thread."""

    span: int = SPAN
    largest_slice: int = LARGEST_SLICE
    read_ahead: ReadAheadFn = read_ahead
    outcomes: Callable[[], Any] = SimpleQueue
    """Makes the queue of one writer."""


@dataclass(frozen=True, slots=True)
class RunContext:
    """What a command works with. Threads share it."""

    settings: Settings
    clock: Clock
    folkform: FolkFormClient
    pancake: Callable[[Page], CustomerSource]
    """A client for one page."""
    locks: PageLocks
    listener: Listener
    pool: Executor
    """Runs the upserts of all pages."""
    requests: Callable[[str | None], int]
    """How many requests were made for a page; for None in all."""
    tuning: Tuning = field(default_factory=Tuning)
