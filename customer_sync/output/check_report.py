"""What `customer-sync check` prints: each finding with its next step, and one line about all."""

import sys

from rich.console import Console
from rich.text import Text

from customer_sync.output.console import Screen, is_terminal
from customer_sync.results.findings import CHECK, CheckResult, Finding, State
from customer_sync.results.page_result import counted

_MARKS = {State.OK: ("✓", "ok", "green"), State.WARNING: ("!", "!", "yellow"), State.WRONG: ("✗", "x", "red")}
_MIN_WIDTH = 20


class CheckReport:
    """Prints findings as they are made."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._name_width = 0

    def heading(self, title: str, width: int) -> None:
        """The subject of the next findings; the longest of their names is *width* cells wide."""
        lines = ["", title] if self._name_width else [title]
        self._name_width = width
        if self._screen.options.plain and not self._screen.options.quiet:
            for line in lines:
                self._screen.print(line, "bold")

    def finding(self, finding: Finding) -> None:
        """One finding and its next step; with `--quiet` only if it needs a person."""
        screen, options = self._screen, self._screen.options
        mark, plain_mark, style = _MARKS[finding.state]
        if options.json or (options.quiet and not finding.needs_a_person):
            return
        if options.log_json:
            text = f"{finding.area}: {finding.what}: {finding.detail}"
            screen.log(text, style, event="finding", **finding.as_json())
            return
        fancy = _can_write(screen.err if options.quiet else screen.out, "✓✗→")
        shown_mark, arrow = (f"{mark} ", "→ ") if fancy else (f"{plain_mark:<3}", "-> ")
        if options.quiet:
            screen.log(f"{shown_mark}{finding.area}: {finding.what}: {finding.detail}", style)
            for line in finding.next_step.splitlines():
                screen.log(f"{arrow}{line}")
            return
        name = screen.clean(finding.what).ljust(self._name_width)
        head = Text.assemble("  ", (shown_mark, style), name, "  ")
        self._print_indented(screen.out, head, finding.detail)
        for line in finding.next_step.splitlines():
            self._print_indented(screen.out, Text(" " * head.cell_len + arrow, style), line)
            arrow = " " * len(arrow)

    def end(self, result: CheckResult) -> None:
        """How the check ended."""
        screen, options, summary = self._screen, self._screen.options, _summary(result)
        if options.log_json:
            screen.final_facts = {"message": summary, "result": result.as_json()}
        if options.json:
            screen.print_json(result.as_json())
        elif not options.log_json and (not options.quiet or result.exit_code):
            if result.stopped is not None:
                screen.log(result.stopped.sentence)
            for line in [summary] if options.quiet else ["", summary]:
                screen.print_end(line)

    def _print_indented(self, console: Console, head: Text, text: str) -> None:
        """*text* after *head*; on a terminal its lines are indented by the width of *head*."""
        width = max(console.width - head.cell_len, _MIN_WIDTH) if is_terminal(console) else sys.maxsize
        for line in Text(self._screen.clean(text)).wrap(console, width):
            line.rstrip()
            self._screen.render(console, head + line)
            head = Text(" " * head.cell_len)


def _can_write(console: Console, characters: str) -> bool:
    try:
        characters.encode(console.encoding)
    except UnicodeEncodeError:
        return False
    return True


def _summary(result: CheckResult) -> str:
    warnings = counted(result.count(State.WARNING), "warning")
    counts = f"{result.count(State.OK):,} in order, {warnings}, {result.count(State.WRONG):,} wrong"
    ended = "ended early, " if result.stopped else ""
    return f"{CHECK}: {ended}{counts}; {counted(result.requests(), 'request')}, {result.duration:.1f} s"
