"""What the user sees: progress, tables, plain lines, JSON. The only room that knows Rich.

stdout is the result, stderr is the story. On a terminal a live display and a table, elsewhere plain lines.
"""

import errno
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.text import Text

from customer_sync.core.errors import CustomerSyncError, ExitCode, SettingsError
from customer_sync.core.streams import printable, silence
from customer_sync.http.redact import Redactor
from customer_sync.output.options import OutputOptions
from customer_sync.results.findings import CHECK, CheckResult, Finding, State
from customer_sync.results.result import FAILED, PageResult, PassResult, Problem, Status, SyncedPage, counted
from customer_sync.results.table import Cell, Table, Tone

if TYPE_CHECKING:
    from customer_sync.output.progress import ProgressDisplay

_MAX_LISTED = 20
_BAR_WIDTH = 12
_STYLES = {Tone.PLAIN: "", Tone.GOOD: "green", Tone.DOUBTFUL: "yellow", Tone.BAD: "red", Tone.QUIET: "dim"}
_MARKS = {State.OK: ("✓", "ok", "green"), State.WARNING: ("!", "!", "yellow"), State.WRONG: ("✗", "x", "red")}
_LEVELS = {"red": "error", "yellow": "warning", "dim": "debug"}
_ARROW = ("→", "->")
_NARROWEST = 20


class Screen:
    """Says everything the program has to say."""

    def __init__(self, options: OutputOptions) -> None:
        self._name_width = 0
        self.unwritable = False
        """Whether the result could not be written."""
        self._options = options
        self.redact = Redactor()
        self._out = _Console(markup=False, highlight=False, emoji=False)
        self._err = _Console(stderr=True, markup=False, highlight=False, emoji=False)
        shows_bars = _is_screen(self._err) and not (options.quiet or options.log_json)
        self._progress = _progress(self._err) if shows_bars else None
        self._run: dict[str, Any] = {}
        """What every object of a JSON log names."""
        self._end: dict[str, Any] = {}
        """What its last one tells."""
        package = logging.getLogger("customer_sync")
        package.handlers = [_LogLines(self)]
        package.setLevel(logging.DEBUG if options.verbose or options.debug else logging.INFO)

    @contextmanager
    def watching(self, result: PassResult[Any]) -> Iterator[None]:
        """While it lasts, a terminal shows the pages at work."""
        self._run = {"pass": result.name, "run": token_hex(4)}
        if self._progress is not None:
            self._progress.watch(result)
        try:
            yield
        finally:
            if self._progress is not None:
                self._progress.stop()

    def page_started(self, result: PageResult) -> None:
        if self._progress is not None:
            self._progress.start_page(result)

    def customer_failed(self, result: SyncedPage, problem: Problem) -> None:
        """Who is passed over is named at once: a run that is killed tells nothing any more."""
        self._problem(result, problem)

    def page_ended(self, result: PageResult) -> None:
        if self._progress is not None:
            self._progress.end_page(result)
        elif not self._options.quiet and not result.IS_REPORT:
            facts = {"status": result.status, **{name: getattr(result, name) for name in result.COUNTS}}
            self.log(f"{result.page.title}: {_counts(result)}", event="page_ended", page_id=_id(result), **facts)

    def log(self, text: str, style: str = "", *, event: str = "note", **facts: Any) -> None:
        """A line of the story; in a JSON log *event* names what happened, *facts* what belongs to it."""
        if self._options.log_json:
            self._log_object(event, _LEVELS.get(style, "info"), {"message": text, **facts})
            return
        stamp = "" if _is_screen(self._err) else time.strftime("%H:%M:%S ")
        self._line(self._err, f"{stamp}{text}", style)

    def _log_object(self, event: str, level: str, facts: dict[str, Any]) -> None:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        entry = {"time": now, "level": level, "event": event, **self._run, **facts}
        clean = {name: self.redact(value) if isinstance(value, str) else value for name, value in entry.items()}
        self._print(self._err, Text(json.dumps(clean)))

    def hand_over(self, text: str) -> None:
        """A line of the result whose secrets are what it is for."""
        self._print(self._out, Text(printable(text)))

    def print(self, text: str) -> None:
        """A line of the result."""
        self._line(self._out, text)

    def table(self, table: Table) -> None:
        """A table of the result."""
        from rich.table import Table as RichTable

        several_lines = any(cell.detail for row in table.rows for cell in row)
        drawn = RichTable(title=Text(self._fit(table.title), "bold"), title_justify="left", show_lines=several_lines)
        for column in table.columns:
            drawn.add_column(column.title, justify="right" if column.numbers else "left", overflow="fold")
        for row in table.rows:
            drawn.add_row(*map(self._drawn, row))
        self._print(self._out, drawn)

    def _drawn(self, cell: Cell) -> RenderableType:
        text = Text(self._fit(cell.text), _STYLES[cell.tone])
        drawn = text if cell.share is None else _with_bar(cell.share, text)
        return Group(drawn, Text(self._fit(cell.detail), "dim")) if cell.detail else drawn

    def _fit(self, text: str) -> str:
        """*text* as it may be shown."""
        return printable(self.redact(text))

    def info(self, text: str, style: str = "", *, event: str = "note", **facts: Any) -> None:
        """Something worth knowing, unless silence is wished."""
        if not self._options.quiet:
            self.log(text, style, event=event, **facts)

    def log_record(self, record: logging.LogRecord) -> None:
        """A line of the log: what is worth knowing, each request with `-v`, tracebacks with `--debug`."""
        if record.levelno >= logging.WARNING:
            self.info(record.getMessage(), "yellow", event="warning")
        elif record.levelno >= logging.INFO:
            self.info(record.getMessage())
        elif self._options.verbose or (self._options.debug and record.exc_info):
            self.log(record.getMessage(), "dim", event="debug")
        if self._options.debug and record.exc_info and record.exc_info[1]:
            self.traceback(record.exc_info[1])

    def traceback(self, error: BaseException) -> None:
        """The traceback of an error, when `--debug` asks for it, without secrets."""
        text = "".join(traceback.format_exception(error)) if self._options.debug else ""
        if self._options.log_json and text:
            self.log(text, "dim", event="traceback")
        else:
            for line in text.splitlines():
                self._line(self._err, line)

    def error(self, error: CustomerSyncError) -> None:
        """Why nothing could be done, and the next step."""
        if isinstance(error, SettingsError):
            facts = {"exit_code": error.exit_code, "next_step": error.next_step or error.exit_code.next_step}
            for problem in error.problems:
                self.log(f"Error: {problem}", "red", event="error", **facts)
            for line in [] if self._options.log_json else error.next_step.splitlines():
                self.log(line)
        else:
            facts = {"exit_code": error.exit_code, "next_step": error.next_step or error.exit_code.next_step}
            self.log(f"Error: {error}", "red", event="error", message=f"Error: {error.sentence}", **facts)
        self.traceback(error)

    def unexpected(self, error: Exception) -> None:
        """An error that customer-sync should have known."""
        step = "Run it with --debug and report it."
        told = f"Error: customer-sync itself failed ({type(error).__name__})"
        facts = {"exit_code": ExitCode.PARTIAL, "next_step": step}
        self.log(f"{told}. {step}", "red", event="error", message=told, **facts)
        self.traceback(error)
        self._end = {"message": "broke off", "next_step": step}

    def ended(self, code: int) -> None:
        """The last line of a JSON log: how the run ended."""
        if not self._options.log_json or (self._options.quiet and code == ExitCode.OK):
            return
        facts = {"message": "ended before anything was done", "next_step": ExitCode(code).next_step}
        self._log_object("run_ended", "error" if code else "info", {**facts, **self._end, "exit_code": code})

    def heading(self, title: str, width: int) -> None:
        """What the findings that follow are about; the longest of their names is *width* cells wide."""
        lines = ["", title] if self._name_width else [title]
        self._name_width = width
        if not (self._options.quiet or self._options.json or self._options.log_json):
            for line in lines:
                self._line(self._out, line, "bold")

    def finding(self, finding: Finding) -> None:
        """One thing looked at, and right under it what to do about it. Silence leaves only what is wrong."""
        if self._options.json or (self._options.quiet and finding.state is not State.WRONG):
            return
        if self._options.log_json:
            text = f"{finding.area}: {finding.what}: {finding.detail}"
            self.log(text, _MARKS[finding.state][2], event="finding", **finding.as_json())
            return
        console = self._err if self._options.quiet else self._out
        fancy = _can_write(console, "✓✗→")
        mark, plain_mark, style = _MARKS[finding.state]
        name = f"{finding.area}: {finding.what}" if self._options.quiet else finding.what.ljust(self._name_width)
        head = Text.assemble("  ", (f"{mark} " if fancy else f"{plain_mark:<3}", style), name, "  ")
        self._hang(console, head, finding.detail)
        arrow = _ARROW[0 if fancy else 1]
        for line in finding.next_step.splitlines():
            self._hang(console, Text(" " * head.cell_len + f"{arrow} ", style), line)
            arrow = " " * len(arrow)

    def _hang(self, console: Console, head: Text, text: str) -> None:
        """*text* behind *head*, and on a terminal under itself."""
        body = Text(printable(self.redact(text)))
        room = max(console.width - head.cell_len, _NARROWEST) if _is_screen(console) else sys.maxsize
        for line in body.wrap(console, room):
            line.rstrip()
            self._print(console, head + line)
            head = Text(" " * head.cell_len)

    def checked(self, result: CheckResult) -> None:
        """How the check ended."""
        if self._options.log_json:
            self._end = {"message": _check_summary(result), "result": result.as_json()}
        if self._options.json:
            self._print(self._out, Text(json.dumps(result.as_json())))
        elif not self._options.log_json and (not self._options.quiet or result.exit_code):
            if result.stopped is not None:
                self.log(result.stopped.sentence)
            lines = [_check_summary(result)] if self._options.quiet else ["", _check_summary(result)]
            for line in lines:
                self._line(self._err if self._options.quiet else self._out, line)

    def result(self, result: PassResult[Any]) -> None:
        """What the pass did."""
        if self._progress is not None:
            self._progress.stop()
        if self._options.log_json:
            self._end = {"message": result.summary, "next_step": result.next_step, "result": result.as_json()}
        if self._options.json:
            self._print(self._out, Text(json.dumps(result.as_json())))
        if self._options.quiet and result.exit_code == 0:
            return
        is_for_people = not (self._options.json or self._options.log_json)
        if result.pages and is_for_people and not self._options.quiet:
            self._pages(result)
        self._troubles(result)
        if is_for_people and result.error is None:
            for line in (*result.page_result.next_steps(result), result.summary):
                self._line(self._err if self._options.quiet else self._out, line)

    def _pages(self, result: PassResult[Any]) -> None:
        if _is_screen(self._out):
            self.table(result.page_result.table(result))
        elif result.page_result.IS_REPORT:
            for line in result.page_result.lines(result):
                self.print(line)

    def _troubles(self, result: PassResult[Any]) -> None:
        write = self.log if result.exit_code else self.info
        if result.error is not None:
            self.error(result.error)
        if result.stopped is not None:
            given_up = "" if result.in_time else "; what was in flight did not end in time and was given up"
            told, code = f"{result.stopped.sentence}{given_up}", result.exit_code
            write(told, "red" if code else "", event="stopped", exit_code=code, next_step=code.next_step)
        for warning in result.warnings:
            write(f"Warning: {warning}", "yellow", event="warning")
        for page in result.pages:
            self._troubles_of(page, result)

    def _troubles_of(self, page: PageResult, result: PassResult[Any]) -> None:
        where, page_id = f"Page {_id(page)}", _id(page)
        if page.error is not None:
            told, code = f"{where} failed: {page.error.sentence}", page.error.exit_code
            facts = {"page_id": page_id, "exit_code": code, "next_step": page.error.next_step or code.next_step}
            self.log(f"{where} failed: {page.error}", "red", event="page_failed", message=told, **facts)
            self.traceback(page.error)
        to_name = [problem for problem in page.problems if problem.problem != FAILED]
        for problem in to_name[:_MAX_LISTED]:
            self._problem(page, problem)
        if len(to_name) > _MAX_LISTED:
            told = f"{where}: {len(to_name) - _MAX_LISTED:,} more such customers; --json lists all"
            self.log(told, "red" if page.has_problems else "yellow", page_id=page_id, next_step=result.next_step)
        # A page that is not in order may say why in a warning only.
        in_order = not result.exit_code or page.status in (Status.OK, Status.OFF)
        for warning in page.warnings:
            told, style = f"{where}: {warning}", "yellow" if in_order else "red"
            facts = {"page_id": page_id, "next_step": page.remedy or result.exit_code.next_step}
            write = self.log if result.exit_code else self.info
            write(told, style, event="page_warning", **facts)

    def _problem(self, page: PageResult, problem: Problem) -> None:
        told = f"Page {_id(page)}, {_who(problem)} {problem.problem}: {problem.reason}"
        style = "red" if page.has_problems and problem.problem != "malformed" else "yellow"
        facts = {"page_id": _id(page), "psid": problem.psid, "id": problem.pancake_id, "reason": problem.reason}
        facts["next_step"] = problem.next_step(_id(page))
        self.log(told, style, event=f"customer_{problem.problem}", **facts)

    def _line(self, console: Console, text: str, style: str = "") -> None:
        self._print(console, Text(self._fit(text), style=style))

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
        silence(sys.stdout)
        told = f"Error: the result cannot be written to standard output ({error.strerror})"
        self.log(told, "red", event="error", next_step="Mend what takes it.")


class _Console(Console):
    """Rich's console, whose broken pipe is an error like any other and not the end of the process."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    def show_cursor(self, show: bool = True) -> bool:  # noqa: ARG002
        """Never hides it: a second Ctrl-C ends the process at once, and nobody would bring it back."""
        return False


class _LogLines(logging.Handler):
    """Hands the program's log to the screen."""

    def __init__(self, screen: Screen) -> None:
        super().__init__()
        self._screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        self._screen.log_record(record)


def _can_write(console: Console, characters: str) -> bool:
    try:
        characters.encode(console.encoding)
    except UnicodeEncodeError:
        return False
    return True


def _progress(console: Console) -> "ProgressDisplay":
    from customer_sync.output.progress import ProgressDisplay  # Slow to load, and only terminals show it.

    return ProgressDisplay(console)


def _is_screen(console: Console) -> bool:
    """Whether a person is watching; FORCE_COLOR asks for colours, not for a live display."""
    return console.file.isatty() and not console.is_dumb_terminal


def _with_bar(share: float, text: Text) -> RenderableType:
    """A bar filled by *share*, from 0 to 1, and the text beside it, in one colour."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table as RichTable

    bar = ProgressBar(1.0, share, _BAR_WIDTH, complete_style=text.style, finished_style=text.style)
    beside_each_other = RichTable.grid(padding=(0, 1))
    beside_each_other.add_column()
    beside_each_other.add_column(no_wrap=True)
    beside_each_other.add_row(bar, text)
    return beside_each_other


def _who(problem: Problem) -> str:
    if problem.psid:
        return f"psid {problem.psid:.80}"
    return f"Pancake id {problem.pancake_id}" if problem.pancake_id else "a customer without id"


def _id(result: PageResult) -> str:
    return result.page.page_id


def _counts(result: PageResult) -> str:
    return ", ".join([str(result.status), *result.words(), counted(result.requests, "request")])


def _check_summary(result: CheckResult) -> str:
    warnings = counted(result.count(State.WARNING), "warning")
    counts = f"{result.count(State.OK):,} in order, {warnings}, {result.count(State.WRONG):,} wrong"
    ended = "ended early, " if result.stopped else ""
    return f"{CHECK}: {ended}{counts}; {counted(result.requests(), 'request')}, {result.duration:.1f} s"
