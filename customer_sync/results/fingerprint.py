"""What failed in a run, as fingerprints: the same as long as the same fails for the same cause."""

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
    return _text(_fact(page, problem))


def failed_customers(result: PassResult[Any]) -> Iterator[str]:
    """The fingerprints of the customers that failed."""
    for page in result.pages:
        yield from (fingerprint_of(page, problem) for problem in page.problems if problem.problem == FAILED)


def causes(result: PassResult[Any]) -> set[str]:
    """The fingerprints of all else that failed, the exit code among them. In an outage the pages do not count."""
    facts: set[object] = {int(result.exit_code)}
    facts.update(_cause(error) for error in (result.error, result.stopped, result.unanswered) if error)
    for page in result.pages:
        if page.error and (result.stopped or isinstance(page.error, Unreachable)):  # Which ones it met is chance.
            facts.add(_cause(page.error))
        elif page.error or page.status not in _NO_FAILURE:
            facts.add((page.page.page_id, page.status, page.error and _cause(page.error), _differences(page)))
    return set(map(_text, facts))


def _differences(page: PageResult) -> int:
    """What a comparison found, as a sum: a million customers need no memory, and their order does not count."""
    found = (problem for problem in page.problems if problem.problem not in (FAILED, "malformed"))
    return sum(int(fingerprint_of(page, problem), 16) for problem in found) % 2**128


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


def _text(fact: object) -> str:
    return sha256(repr(fact).encode(errors="replace")).hexdigest()[:32]
