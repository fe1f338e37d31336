"""What failed in a run, as a fingerprint: the same as long as the same fails for the same cause."""

import re
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from customer_sync.core.errors import CustomerSyncError, ServiceError, Unreachable
from customer_sync.results.page_result import PageResult, Status
from customer_sync.results.pass_result import PassResult
from customer_sync.results.problems import FAILED, Problem

# Counts, durations, ports and ids of requests are other ones each time.
_VARIABLE = re.compile(r"\S*\d\S*")
# Pages whose state says nothing about a cause: which of them another run works on is chance.
_NO_FAILURE = (Status.OK, Status.OFF, Status.BUSY, Status.STOPPED, Status.INTERRUPTED)


def fingerprint_of(page: PageResult, problem: Problem) -> str:
    """One customer with a problem."""
    return _text(_hash(_fact(page, problem)))


def fingerprint(result: PassResult[Any]) -> str:
    """The exit code, every cause, and the pages and customers with it, hashed; the order does not count."""
    total = 0  # A sum, so that a million customers need no memory.
    for fact in {int(result.exit_code), *_causes_of_run(result)}:
        total += _hash(fact)
    for page in result.pages:
        total += sum(map(_hash, _failures_of_page(page, named=result.stopped is None)))
    return _text(total)


def failed_customers(result: PassResult[Any]) -> Iterator[str]:
    """The fingerprints of the customers that failed."""
    for page in result.pages:
        yield from (fingerprint_of(page, problem) for problem in page.problems if problem.problem == FAILED)


def _causes_of_run(result: PassResult[Any]) -> Iterator[object]:
    for error in (result.error, result.stopped, result.unanswered):
        if error is not None:
            yield _cause(error)
    if result.stopped is not None:  # Which pages were reached before is chance.
        yield from {_cause(page.error) for page in result.pages if page.error}


def _failures_of_page(page: PageResult, *, named: bool) -> Iterator[object]:
    page_id = page.page.page_id
    if named and page.status not in _NO_FAILURE:
        yield page_id, page.status, page.error and _cause(page.error)
    for problem in page.problems if page.has_problems else ():
        if problem.problem != "malformed":
            yield _fact(page, problem)


def _fact(page: PageResult, problem: Problem) -> object:
    return page.page.page_id, problem.psid, problem.pancake_id, problem.problem, _steady(problem.reason)


def _cause(error: CustomerSyncError) -> object:
    """In an outage a service times out now and refuses the connection then."""
    if isinstance(error, Unreachable):
        return Unreachable.__name__, error.service
    if isinstance(error, ServiceError):
        return error.service, error.status, error.code, _steady(error.problem)
    return type(error).__name__, _steady(error.problem)


def _steady(text: str) -> str:
    return _VARIABLE.sub("", text)


def _text(total: int) -> str:
    return f"{total % 2**128:032x}"


def _hash(fact: object) -> int:
    return int.from_bytes(sha256(repr(fact).encode(errors="replace")).digest())
