"""CONTRIBUTING.md: its targets, packages and calls exist."""

import re
from collections.abc import Iterator
from typing import get_args

import pytest
import requests

from customer_sync.sandbox import Sandbox
from customer_sync.sandbox.faults import FaultKind

from .documents import ROOT, text_of

CONTRIBUTING = text_of("CONTRIBUTING.md")


def test_every_make_target() -> None:
    """It names the targets of `make`, and README those to try it with."""
    targets = set(re.findall(r"^([a-z-]+):.*## ", text_of("Makefile"), re.MULTILINE))
    named = set(re.findall(r"(?:\$ |`|^)make ([a-z-]+)", CONTRIBUTING + text_of("README.md"), re.MULTILINE))
    assert named <= targets
    assert {
        "demo",
        "sandbox",
        "test",
        "test-cron",
        "histories",
        "acceptance",
        "kills",
        "mutants",
        "check",
        "record",
    } <= named


def test_every_package() -> None:
    """CONTRIBUTING's picture has every package."""
    section = CONTRIBUTING.partition("\n## The packages\n")[2].partition("\n## ")[0]
    packages = {path.parent.name for path in (ROOT / "customer_sync").glob("*/__init__.py")}
    assert {name for name in packages if not re.search(rf"\b{name}\b", section)} == set()


_CURLS = re.findall(r"-X (\w+) \$URL(/sandbox/\w+)(?: -d '(.*?)')?", CONTRIBUTING)


@pytest.mark.parametrize(("method", "path", "body"), _CURLS, ids=lambda part: str(part)[:60])
def test_what_to_break_can_be_broken(served: Sandbox, method: str, path: str, body: str) -> None:
    """The sandbox accepts every call that CONTRIBUTING shows."""
    answer = requests.request(method, served.url + path, data=body.encode(), timeout=30)
    assert answer.status_code == 200, answer.text
    assert requests.post(f"{served.url}/sandbox/reset", timeout=30).status_code == 200


def test_every_kind_of_fault() -> None:
    """CONTRIBUTING shows every kind of fault, except variants of those that it shows."""
    named = set(re.findall(r'"kind": "(\w+)"', CONTRIBUTING))
    assert set(get_args(FaultKind)) - named == {
        *("error_code", "redirect", "huge", "broken_utf8", "drip_body", "gzip_twice", "negative_chunk", "many_values")
    }


@pytest.fixture(scope="module")
def served() -> Iterator[Sandbox]:
    """One sandbox, reset after each call."""
    with Sandbox(pages=1, customers=1) as sandbox:
        yield sandbox
