"""The two streams: plain lines or a JSON log on stderr, the result on stdout. Only `output` knows Rich."""

import errno
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from customer_sync.core.clock import local_time
from customer_sync.core.errors import CustomerSyncError, ExitCode, SettingsError
from customer_sync.core.reported import ReportedFailures
from customer_sync.core.streams import printable, silence
from customer_sync.http.redact import Redactor
from customer_sync.output.json_text import json_pieces, large_pieces
from customer_sync.output.options import OutputOptions
from customer_sync.results.fingerprint import fingerprint_of
from customer_sync.results.page_result import PageResult, SyncedPage, counted
from customer_sync.results.pass_result import PassResult
from customer_sync.results.problems import FAILED, Problem

if TYPE_CHECKING:
    from customer_sync.output.progress import ProgressDisplay

_LEVELS = {"red": "error", "yellow": "warning", "dim": "debug"}


class Screen:
    """Prints lines, errors and the JSON log, without secrets; the listener of a run."""

    def __init__(self, options: OutputOptions) -> None:
        self.options = options
        self.redact = Redactor()
        self.out = _Console(markup=False, highlight=False, emoji=False)
        self.err = _Console(stderr=True, markup=False, highlight=False, emoji=False)
        self.unwritable = False
        """Whether the result could not be written."""
        self.reported: ReportedFailures | None = None
        """What earlier runs have printed and this one need not print again; None: everything is printed."""
        self.final_facts: dict[str, Any] = {}
        """What the last object of a JSON log contains."""
        self._run_facts: dict[str, Any] = {}
        """What every object of a JSON log contains."""
        self._progress: ProgressDisplay | None = None
        self._one_object = threading.RLock()
        package = logging.getLogger("customer_sync")
        package.handlers = [_LogLines(self)]
        package.setLevel(logging.DEBUG if options.verbose or options.debug else logging.INFO)

    # The progress of a run

    @contextmanager
    def watching(self, result: PassResult[Any]) -> Iterator[None]:
        """Shows the pages at work inside, on a terminal."""
        self._run_facts = {"pass": result.name, "run": token_hex(4)}
        if is_terminal(self.err) and not (self.options.quiet or self.options.log_json):
            from customer_sync.output.progress import ProgressDisplay  # Slow to load, and only terminals show it.

            self._progress = ProgressDisplay(self.err, result, self.clean)
        try:
            yield
        finally:
            self.stop_progress()

    def stop_progress(self) -> None:
        if self._progress is not None:
            self._progress.stop()

    def page_started(self, result: PageResult) -> None:
        if self._progress is not None:
            self._progress.start_page(result)

    def customer_failed(self, result: SyncedPage, problem: Problem) -> None:
        """Printed at once, unless an earlier run has: a run that is killed prints no summary."""
        if self.reported is None or not self.reported.has(fingerprint_of(result, problem)):
            self.problem(result, problem)

    def page_ended(self, result: PageResult) -> None:
        if self._progress is not None:
            self._progress.end_page(result)
        elif not self.options.quiet and not result.IS_REPORT:
            facts = {"status": result.status, **{name: getattr(result, name) for name in result.COUNTS}}
            counts = ", ".join([result.status.shown, *result.words(), counted(result.requests, "request")])
            self.log(f"{result.page.title}: {counts}", event="page_ended", page_id=result.page.page_id, **facts)

    def problem(self, page: PageResult, problem: Problem) -> None:
        """One customer with a problem."""
        page_id = page.page.page_id
        style = "red" if page.has_problems and problem.problem != "malformed" else "yellow"
        facts = {"page_id": page_id, "psid": problem.psid, "id": problem.pancake_id, "reason": problem.reason}
        text = f"Page {page_id}, {problem.customer} {problem.problem}: {problem.reason}"
        step = problem.next_step(page_id, page.remedy)
        # What all customers of a state need is printed once, in the end.
        shown = f"{text.rstrip('.')}. {step}" if problem.problem == FAILED or problem.own_next_step else text
        self.log(shown, style, event=f"customer_{problem.problem}", message=text, **facts, next_step=step)

    # Lines

    def log(self, text: str, style: str = "", *, event: str = "note", **facts: Any) -> None:
        """A line on stderr; in a JSON log an object with *event* and *facts*."""
        if self.options.log_json:
            self._log_object(event, _LEVELS.get(style, "info"), {"message": text, **facts})
        else:
            stamp = "" if is_terminal(self.err) else f"{local_time()} "
            self._line(self.err, f"{stamp}{text}", style)

    def info(self, text: str, style: str = "", *, event: str = "note", **facts: Any) -> None:
        """The same, but not with `--quiet`."""
        if not self.options.quiet:
            self.log(text, style, event=event, **facts)

    def print(self, text: str, style: str = "") -> None:
        """A line of the result."""
        self._line(self.out, text, style)

    def print_end(self, text: str) -> None:
        """A line of how the run ended: on stdout, but on stderr with `--quiet`."""
        if self.options.quiet:
            self.log(text)
        else:
            self.print(text)

    def print_raw(self, text: str) -> None:
        """A line of the result, secrets included."""
        self.render(self.out, Text(printable(text)))

    def print_json(self, value: Mapping[str, Any]) -> None:
        """An object of the result, on one line."""
        self._write_json(self.out, value)

    def clean(self, text: str) -> str:
        """*text* without secrets and control characters."""
        return self.redact.clean(text)

    def render(self, console: Console, what: RenderableType) -> None:
        """Prints anything. A stream that cannot be written to does not end the run, but changes its exit code."""
        with self._writing():
            console.print(what, soft_wrap=True)
            console.file.flush()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:  # Only standard output raises it.
            self.cannot_write(error)

    def cannot_write(self, error: OSError) -> None:
        """Standard output cannot be written to."""
        self.unwritable = True
        silence(sys.stdout)
        if error.errno == errno.EPIPE:
            return  # The reader has read enough, as `head` does.
        text = f"Error: the result cannot be written to standard output ({error.strerror})"
        self.log(text, "red", event="error", next_step="Check the file or program that standard output goes to.")

    def _line(self, console: Console, text: str, style: str = "") -> None:
        self.render(console, Text(self.clean(text), style))

    def _log_object(self, event: str, level: str, facts: dict[str, Any]) -> None:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        entry = {"time": now, "level": level, "event": event, **self._run_facts, **facts}
        self._write_json(self.err, entry)

    def _write_json(self, console: Console, value: Mapping[str, Any]) -> None:
        with self._writing(), self._one_object:
            only_ascii = not console.encoding.startswith("utf")
            for piece in large_pieces(chain(json_pieces(value, self.redact, only_ascii=only_ascii), "\n")):
                console.file.write(piece)
            console.file.flush()

    # Errors

    def error(self, error: CustomerSyncError) -> None:
        """Why the run could not begin, and the next step."""
        facts = {"exit_code": error.exit_code, "next_step": error.next_step or error.exit_code.next_step}
        if isinstance(error, SettingsError):
            for problem in error.problems:
                self.log(f"Error: {problem}", "red", event="error", **facts)
            for line in [] if self.options.log_json else error.next_step.splitlines():
                self.log(line)
        else:
            self.log(f"Error: {error}", "red", event="error", message=f"Error: {error.sentence}", **facts)
        self.traceback(error)

    def unexpected(self, error: Exception) -> None:
        """An error of the program itself."""
        step = "Run it with --debug and report it."
        text = f"Error: customer-sync itself failed ({type(error).__name__})"
        code = ExitCode.PARTIAL
        self.log(f"{text}. {step}", "red", event="error", message=text, exit_code=code, next_step=step)
        self.traceback(error)
        self.final_facts = {"message": "broke off", "next_step": step}

    def traceback(self, error: BaseException) -> None:
        """The traceback of an error, with `--debug`."""
        text = "".join(traceback.format_exception(error)) if self.options.debug else ""
        if self.options.log_json and text:
            self.log(text, "dim", event="traceback")
        else:
            for line in text.splitlines():
                self._line(self.err, line)

    def ended(self, code: int) -> None:
        """The last object of a JSON log: how the run ended."""
        if self.options.log_json and (code or not self.options.quiet):
            default = {"message": "ended before anything was done", "next_step": ExitCode(code).next_step}
            facts = {**default, **self.final_facts, "exit_code": code}
            self._log_object("run_ended", "error" if code else "info", facts)


class _Console(Console):
    """Rich's console. All that it prints is printable, and a broken pipe is an error like any other."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The last place where a text can be stopped that moves the cursor or colours a line."""
        for segment in super().render(renderable, options):
            lines = segment.text.split("\n")
            safe = segment.text if segment.control else "\n".join(map(printable, lines))
            yield Segment(safe, segment.style, segment.control)

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    def show_cursor(self, show: bool = True) -> bool:  # noqa: ARG002
        """Never hides it: a second Ctrl-C ends the process at once and would not show it again."""
        return False


class _LogLines(logging.Handler):
    """Prints the program's log: each request with `-v`, tracebacks with `--debug`."""

    def __init__(self, screen: Screen) -> None:
        super().__init__()
        self._screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        screen, options, text = self._screen, self._screen.options, record.getMessage()
        facts = getattr(record, "facts", {})
        if record.levelno >= logging.WARNING:
            screen.info(text, "yellow", event=getattr(record, "event", "warning"), **facts)
        elif record.levelno >= logging.INFO:
            screen.info(text, event=getattr(record, "event", "note"), **facts)
        elif options.verbose or (options.debug and record.exc_info):
            screen.log(text, "dim", event="debug")
        if record.exc_info and record.exc_info[1]:
            screen.traceback(record.exc_info[1])


def is_terminal(console: Console) -> bool:
    """Whether a person is watching; FORCE_COLOR asks for colours, not for a live display."""
    return console.file.isatty() and not console.is_dumb_terminal
