"""What the user sees: progress, tables, plain lines, JSON. The only room that knows Rich.

stdout is the result, stderr is the story. On a terminal a live display and a table, elsewhere plain lines.
"""

import errno
import io
import json
import logging
import os
import re
import sys
import time
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TextIO

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from customer_sync.errors import CustomerSyncError, SettingsError
from customer_sync.redact import Redactor
from customer_sync.result import PageResult, PassResult, Problem, Status

_MOST_LISTED = 20
_TITLES = {"folkform": "FolkForm"}
_STYLES = {
    Status.OK: "green",
    Status.PARTIAL: "yellow",
    Status.DIFFERS: "yellow",
    Status.FAILED: "red",
    Status.BUSY: "yellow",
    Status.INTERRUPTED: "yellow",
}


@dataclass(frozen=True, slots=True)
class Manner:
    """How much is said, and in which form."""

    quiet: bool = False
    verbose: bool = False
    json: bool = False
    debug: bool = False


class Screen:
    """Says everything the program has to say."""

    def __init__(self, manner: Manner, redact: Redactor) -> None:
        self.unwritable = False
        """Whether the result could not be written."""
        self._manner = manner
        self._redact = redact
        self._out = _Console(markup=False, highlight=False, emoji=False)
        self._err = _Console(stderr=True, markup=False, highlight=False, emoji=False)
        self._bars = _Bars(self._err) if _is_screen(self._err) and not manner.quiet else None
        package = logging.getLogger("customer_sync")
        package.handlers = [_LogLines(self)]
        package.setLevel(logging.DEBUG)

    @contextmanager
    def watching(self, result: PassResult[Any]) -> Iterator[None]:
        """While it lasts, a terminal shows the pages at work."""
        if self._bars is not None:
            self._bars.watch(result)
        try:
            yield
        finally:
            if self._bars is not None:
                self._bars.stop()

    def page_started(self, result: PageResult) -> None:
        if self._bars is not None:
            self._bars.start_page(result)

    def page_ended(self, result: PageResult) -> None:
        if self._bars is not None:
            self._bars.end_page(result)
        elif not self._manner.quiet:
            self.tell(f"{_page_name(result)}: {_counts(result)}")

    def tell(self, text: str, style: str = "") -> None:
        """A line of the story."""
        stamp = "" if _is_screen(self._err) else time.strftime("%H:%M:%S ")
        self._line(self._err, f"{stamp}{text}", style)

    def say(self, text: str) -> None:
        """A line of the result."""
        self._line(self._out, text)

    def table(self, title: str, columns: list[str], rows: list[list[str]]) -> None:
        """A table of the result: the first column names, the others count."""
        table = Table(title=title, title_justify="left")
        for number, column in enumerate(columns):
            table.add_column(column, justify="right" if number else "left", no_wrap=True)
        for row in rows:
            table.add_row(*(Text(printable(cell)) for cell in row))
        self._print(self._out, table)

    def note(self, text: str) -> None:
        """Something worth knowing, unless silence is wished."""
        if not self._manner.quiet:
            self.tell(text)

    def log(self, record: logging.LogRecord) -> None:
        """A line of the log: what is worth knowing, each request with `-v`, tracebacks with `--debug`."""
        if record.levelno >= logging.INFO:
            self.note(record.getMessage())
        elif self._manner.verbose or (self._manner.debug and record.exc_info):
            self.tell(record.getMessage(), "dim")
        if self._manner.debug and record.exc_info and record.exc_info[1]:
            self.traceback(record.exc_info[1])

    def traceback(self, error: BaseException) -> None:
        """The traceback of an error, when `--debug` asks for it, without secrets."""
        if self._manner.debug:
            for line in "".join(traceback.format_exception(error)).splitlines():
                self._line(self._err, line)

    def error(self, error: CustomerSyncError) -> None:
        """Why nothing could be done, and the next step."""
        if isinstance(error, SettingsError):
            for problem in error.problems:
                self.tell(f"Error: {problem}", "red")
            if error.next_step:
                self.tell(error.next_step)
        else:
            self.tell(f"Error: {error}", "red")
        self.traceback(error)

    def unexpected(self, error: Exception) -> None:
        """An error that customer-sync should have known."""
        self.tell(
            f"Error: customer-sync itself failed ({type(error).__name__}). Run it with --debug and report it.",
            "red",
        )
        self.traceback(error)

    def result(self, result: PassResult[Any]) -> None:
        """What the pass did."""
        if self._manner.json:
            self._print(self._out, Text(json.dumps(result.as_json())))
        if self._manner.quiet and result.exit_code == 0:
            return
        summary = self._err if self._manner.quiet else self._out
        if result.pages and _is_screen(self._out) and not self._manner.json and not self._manner.quiet:
            self._print(self._out, _table(result))
        self._troubles(result)
        if not self._manner.json and result.error is None:
            self._line(summary, _summary(result))

    def _troubles(self, result: PassResult[Any]) -> None:
        note = self.tell if result.exit_code else self.note
        if result.error is not None:
            self.error(result.error)
        if result.stopped is not None:
            given_up = "" if result.in_time else "; what was in flight did not end in time and was given up"
            note(f"{result.stopped.sentence}{given_up}")
        for warning in result.warnings:
            note(f"Warning: {warning}")
        for page in result.pages:
            where = f"Page {page.page.page_id}"
            if page.error is not None:
                self.tell(f"{where} failed: {page.error}", "red")
                self.traceback(page.error)
            for problem in page.problems[:_MOST_LISTED]:
                self.tell(f"{where}, {_who(problem)} {problem.problem}: {problem.reason}", "yellow")
            if len(page.problems) > _MOST_LISTED:
                self.tell(f"{where}: {len(page.problems) - _MOST_LISTED:,} more such customers; --json lists all")
            for warning in page.warnings:
                note(f"{where}: {warning}")

    def _line(self, console: Console, text: str, style: str = "") -> None:
        self._print(console, Text(printable(self._redact(text)), style=style))

    def _print(self, console: Console, what: RenderableType) -> None:
        """A stream that takes nothing more must not end the work; that the result was lost is said and counts."""
        try:
            console.print(what, soft_wrap=True)
            console.file.flush()
        except OSError as error:  # Standard output's; the other one forgives.
            self.cannot_write(error)

    def cannot_write(self, error: OSError) -> None:
        """Standard output takes nothing more: that is said, and the exit code must tell it."""
        self.unwritable = True
        _silence(sys.stdout)
        self.tell(f"Error: the result cannot be written to standard output ({error.strerror})", "red")


class _Console(Console):
    """Rich's console, whose broken pipe is an error like any other and not the end of the process."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    def show_cursor(self, show: bool = True) -> bool:  # noqa: ARG002
        """Never hides it: a second Ctrl-C ends the process at once, and nobody would bring it back."""
        return False


class _Story(io.FileIO):
    """Standard error, which swallows what nobody takes any more: the work goes on."""

    def write(self, text: Any, /) -> int:
        try:
            return super().write(text) or len(text)
        except OSError:
            return len(text)


class _LogLines(logging.Handler):
    """Hands the program's log to the screen."""

    def __init__(self, screen: Screen) -> None:
        super().__init__()
        self._screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        self._screen.log(record)


class _Bars(Progress):
    """A bar for every page at work, drawn from the results as they fill."""

    def __init__(self, console: Console) -> None:
        self._results: dict[TaskID, PageResult] = {}
        self._pass: PassResult[Any] | None = None
        super().__init__(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed_text]}", markup=False),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )

    def watch(self, result: PassResult[Any]) -> None:
        self._pass = result

    def start_page(self, result: PageResult) -> None:
        self.start()  # Not before: a pass that cannot begin shows no empty display.
        task = self.add_task(_page_name(result), total=None, speed_text="")
        self._results[task] = result

    def end_page(self, result: PageResult) -> None:
        for task, shown in list(self._results.items()):
            if shown is result:
                del self._results[task]
                self.remove_task(task)

    def get_renderables(self) -> Iterable[RenderableType]:
        held_for = self._pass.held_for() if self._pass else 0.0
        for task, result in list(self._results.items()):
            speed = self._tasks[task].speed
            text = f"{speed:,.0f} customers/s" if speed else ""
            if held_for > 1:
                text = f"FolkForm's limit: {held_for:.0f} s"
            self.update(task, completed=result.read, total=result.expected, speed_text=text)
        return super().get_renderables()


def prepare_streams() -> None:
    """Makes the best of whatever streams, encoding and width a scheduler starts us with. To be called first."""
    for number in range(3):  # The next file opened must not take the place of a closed one.
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    encoding = sys.stderr.encoding if sys.stderr else None
    story = io.BufferedWriter(_Story(2, "w", closefd=False))
    sys.stderr = io.TextIOWrapper(story, encoding, errors="backslashreplace", line_buffering=True)
    for size in ("COLUMNS", "LINES"):  # Rich would write into 0 columns, which is nothing.
        if not re.fullmatch("[1-9][0-9]{0,3}", os.environ.get(size, "80")):
            del os.environ[size]


def _silence(stream: TextIO) -> None:
    """Nothing may be left to be written when the interpreter ends: it would fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _is_screen(console: Console) -> bool:
    """Whether a person is watching; FORCE_COLOR asks for colours, not for a live display."""
    return console.file.isatty() and not console.is_dumb_terminal


def printable(text: str) -> str:
    """*text* with every control character, surrogate and invisible mark shown as an escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _page_name(result: PageResult) -> str:
    page = result.page
    return f"{printable(page.name)} ({page.page_id})" if page.name else page.page_id


def _who(problem: Problem) -> str:
    if problem.psid:
        return f"psid {problem.psid}"
    return f"Pancake id {problem.pancake_id}" if problem.pancake_id else "a customer without id"


def _counts(result: PageResult) -> str:
    return ", ".join([str(result.status), *result.words(), _count(result.requests, "request")])


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _summary(result: PassResult[Any]) -> str:
    said = result.page_result.sum_up(result)
    pages, requests = _count(result.totals["pages"], "page"), _count(result.totals["requests"], "request")
    return f"{_title(result)}: {result.status}, {pages}, {said}; {requests}, {result.duration:.1f} s"


def _title(result: PassResult[Any]) -> str:
    return result.name if result.shard is None else f"{result.name}, shard {result.shard}"


def _table(result: PassResult[Any]) -> Table:
    title = f"customer-sync {_title(result)}" + (" (dry run)" if result.dry_run else "")
    table = Table(title=title, title_justify="left")
    table.add_column("Page", overflow="fold")
    table.add_column("Status")
    columns = [name for name in result.page_result.COUNTS if name != "skipped"]
    for name in columns:
        title = "to upsert" if name == "upserted" and result.dry_run else name
        table.add_column(_TITLES.get(title, title.capitalize()), justify="right")
    for page in result.pages:
        counts = [f"{getattr(page, name):,}" for name in columns]
        table.add_row(Text(_page_name(page)), Text(page.status.value, style=_STYLES[page.status]), *counts)
    return table
