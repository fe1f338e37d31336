"""One server for all tests; each test has a page of its own and starts with the default behaviour."""

from collections.abc import Iterator

import pytest

from customer_sync.sandbox import Sandbox

from .services import Services


@pytest.fixture(scope="session")
def served() -> Iterator[Sandbox]:
    with Sandbox(pages=0) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(served: Sandbox) -> Sandbox:
    served.reset()
    return served


@pytest.fixture
def services(sandbox: Sandbox) -> Services:
    return Services(sandbox)
