"""What the package promises to its users and contributors."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import customer_sync

ROOT = Path(__file__).parent.parent
_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
_MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def test_runtime_dependencies() -> None:
    """The program needs these five packages, each with a lower bound, and no other."""
    bounds = [re.fullmatch(r"([\w-]+)>=\d+(\.\d+)*", one) for one in _PROJECT["dependencies"]]
    assert all(bounds)
    assert {bound[1] for bound in bounds if bound} == {"typer", "requests", "backoff", "python-dateutil", "rich"}


def test_extras_and_entry_point() -> None:
    """The extras, the Python version and the command are those that README names."""
    assert set(_PROJECT["optional-dependencies"]) == {"sandbox", "metrics", "dev"}
    assert _PROJECT["requires-python"] == ">=3.11"
    assert _PROJECT["scripts"] == {"customer-sync": "customer_sync.__main__:main"}


def test_the_changelog_has_the_version() -> None:
    """The changelog has a section for this version, or for what is not released yet."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[(?:Unreleased|{re.escape(customer_sync.__version__)})\]", changelog, re.MULTILINE)


def test_make_help() -> None:
    """`make help`, and `make` alone, list every documented target."""
    targets = dict(re.findall(r"^([a-z-]+):.*## (.+)$", _MAKEFILE, re.MULTILINE))
    assert {"help", "demo", "sandbox", "test", "check"} <= set(targets)
    for arguments in (["help"], []):
        environment = {"PATH": os.environ["PATH"]}
        made = subprocess.run(
            ["/usr/bin/env", "make", "--no-print-directory", *arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        listed = [line.split(maxsplit=2) for line in made.stdout.splitlines()]
        assert {line[1]: line[2] for line in listed} == targets
        assert all(line[0] == "make" for line in listed)


def test_every_phony_target_is_documented() -> None:
    """Every phony target is in `make help`."""
    phony = re.findall(r"^\.PHONY: (.+)$", _MAKEFILE, re.MULTILINE)[0].split()
    assert set(phony) == set(re.findall(r"^([a-z-]+):.*## ", _MAKEFILE, re.MULTILINE))


def test_ci() -> None:
    """The continuous integration runs exactly what a contributor runs: the checks, then the tests."""
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    commands = [line for line in script.read_text(encoding="utf-8").splitlines() if line.startswith("make ")]
    assert commands == ["make check", "make test"]
    assert "set -euo pipefail" in script.read_text(encoding="utf-8")
