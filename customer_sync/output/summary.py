"""The summary of a run: the table of pages, warnings and failures, what to do now, and one line about all."""

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from customer_sync.core.command_line import quoted
from customer_sync.output.console import Screen, is_terminal
from customer_sync.output.table import print_table
from customer_sync.results.page_result import PageResult, Status, listed
from customer_sync.results.pass_result import PassResult
from customer_sync.results.problems import FAILED

_MAX_LISTED = 20


def print_result(screen: Screen, result: PassResult[Any], *, repeated: bool = False) -> None:
    """Prints the result of a run, in the form that the options ask for.

    With `--quiet` it prints no failure that is *repeated*: the last runs have printed the same one.
    """
    screen.stop_progress()
    options = screen.options
    if options.log_json:
        facts = {"message": result.summary, "next_step": result.next_step, "result": result.as_json()}
        screen.final_facts = facts
    if options.json:
        screen.print_json(result.as_json())
    if options.quiet and (result.exit_code == 0 or repeated):
        return
    if result.pages and options.plain and not options.quiet:
        _print_pages(screen, result)
    _print_run_problems(screen, result)
    _print_page_errors(screen, result)
    for page in result.pages:
        _print_customers(screen, result, page)
    _print_page_warnings(screen, result)
    if options.plain and result.error is None:
        for line in (*result.page_result.next_steps(result.pages), result.summary):
            screen.print_end(line)


def _print_pages(screen: Screen, result: PassResult[Any]) -> None:
    if is_terminal(screen.out):
        print_table(screen, result.table)
    elif result.page_result.IS_REPORT:
        for page in result.pages:
            for line in page.lines():
                screen.print(line)


def _print_run_problems(screen: Screen, result: PassResult[Any]) -> None:
    code = result.exit_code
    write = screen.log if code else screen.info
    if result.error is not None:
        screen.error(result.error)
    if result.stopped is not None:
        abandoned = "" if result.in_time else "; requests in flight did not end in time and were given up"
        text = f"{result.stopped.sentence}{abandoned}"
        write(text, "red" if code else "", event="stopped", exit_code=code, next_step=code.next_step)
    for warning in result.warnings:
        write(f"Warning: {warning}", "yellow", event="warning")


def _print_page_errors(screen: Screen, result: PassResult[Any]) -> None:
    for text, page in _grouped(screen, ((page, f" failed: {page.error}") for page in result.pages if page.error)):
        if error := page.error:
            page_id, step = page.page.page_id, error.next_step or error.exit_code.next_step
            facts = {"message": f"Page {page_id} failed: {error.sentence}", "exit_code": error.exit_code}
            screen.log(text, "red", event="page_failed", page_id=page_id, **facts, next_step=step)
            screen.traceback(error)


def _print_customers(screen: Screen, result: PassResult[Any], page: PageResult) -> None:
    problems = (one for one in page.problems if one.problem != FAILED)  # Those were printed at once.
    for problem in islice(problems, _MAX_LISTED):
        screen.problem(page, problem)
    if more := sum(1 for _ in problems):
        page_id = page.page.page_id
        text = f"Page {page_id}: {more:,} more such customers; --json lists all"
        screen.log(text, "red" if page.has_problems else "yellow", page_id=page_id, next_step=result.next_step)


def _print_page_warnings(screen: Screen, result: PassResult[Any]) -> None:
    code = result.exit_code
    write = screen.log if code else screen.info
    warnings = ((page, f": {warning}") for page in result.pages for warning in page.warnings)
    for text, page in _grouped(screen, warnings):
        # A page with a problem may have its reason in a warning only.
        style = "yellow" if not code or page.status in (Status.OK, Status.OFF) else "red"
        facts = {"page_id": page.page.page_id, "next_step": page.remedy or code.next_step}
        write(text, style, event="page_warning", **facts)


def _grouped(screen: Screen, texts: Iterable[tuple[PageResult, str]]) -> Iterator[tuple[str, PageResult]]:
    """One line for several pages with the same text, with their ids and the first page. In a JSON log each page has its
    own object.
    """
    groups: dict[tuple[str, ...], list[tuple[PageResult, str]]] = {}
    for page, text in texts:
        page_id = page.page.page_id
        alike = re.sub(rf"(?<=page ){re.escape(page_id)}(?!\w)", "X", text)
        key = (alike, page_id) if screen.options.log_json else (alike, page.status)
        groups.setdefault(key, []).append((page, text))
    for (alike, *_), group in groups.items():
        first, text = group[0]
        page_ids = [page.page.page_id for page, _ in group]
        if len(group) == 1:
            yield f"Page {page_ids[0]}{text}", first
        else:
            named = " ".join(f"--page {quoted(page_id)}" for page_id in page_ids)
            text = alike.replace("--page X", named).replace("page X", "each page").rstrip(".")
            yield f"{len(group):,} pages{text}. {listed(page_ids)}", first
