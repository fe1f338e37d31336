"""The summary of a run: the table of pages, warnings and failures, what to do now, and one line about all."""

from itertools import islice
from typing import Any

from customer_sync.output.console import Screen, is_terminal
from customer_sync.output.table import print_table
from customer_sync.results.page_result import PageResult, Status
from customer_sync.results.pass_result import PassResult
from customer_sync.results.problems import FAILED

_MAX_LISTED = 20


def print_result(screen: Screen, result: PassResult[Any]) -> None:
    """Prints the result of a run, in the form that the options ask for."""
    screen.stop_progress()
    options = screen.options
    if options.log_json:
        facts = {"message": result.summary, "next_step": result.next_step, "result": result.as_json()}
        screen.final_facts = facts
    if options.json:
        screen.print_json(result.as_json())
    if options.quiet and result.exit_code == 0:
        return
    if result.pages and options.plain and not options.quiet:
        _print_pages(screen, result)
    _print_run_problems(screen, result)
    for page in result.pages:
        _print_page_problems(screen, result, page)
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


def _print_page_problems(screen: Screen, result: PassResult[Any], page: PageResult) -> None:
    page_id, code = page.page.page_id, result.exit_code
    if error := page.error:
        text = f"Page {page_id} failed: "
        step = error.next_step or error.exit_code.next_step
        facts = {"message": f"{text}{error.sentence}", "exit_code": error.exit_code, "next_step": step}
        screen.log(f"{text}{error}", "red", event="page_failed", page_id=page_id, **facts)
        screen.traceback(error)
    problems = (problem for problem in page.problems if problem.problem != FAILED)  # Those were printed at once.
    for problem in islice(problems, _MAX_LISTED):
        screen.problem(page, problem)
    if more := sum(1 for _ in problems):
        text = f"Page {page_id}: {more:,} more such customers; --json lists all"
        screen.log(text, "red" if page.has_problems else "yellow", page_id=page_id, next_step=result.next_step)
    # A page with a problem may have its reason in a warning only.
    style = "yellow" if not code or page.status in (Status.OK, Status.OFF) else "red"
    write = screen.log if code else screen.info
    for warning in page.warnings:
        facts = {"page_id": page_id, "next_step": page.remedy or code.next_step}
        write(f"Page {page_id}: {warning}", style, event="page_warning", **facts)
