"""What the package promises to its users and contributors."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

import customer_sync

ROOT = Path(__file__).parent.parent
_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
_MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def test_runtime_dependencies() -> None:
    """The program needs these six packages, each with a lower bound, and no other."""
    bounds = [re.fullmatch(r"([\w-]+)>=\d+(\.\d+)*", one) for one in _PROJECT["dependencies"]]
    assert all(bounds)
    names = {bound[1] for bound in bounds if bound}
    assert names == {"typer", "requests", "urllib3", "backoff", "python-dateutil", "rich"}


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


# `make` on a fresh machine

# Makes an environment as venv does. Its pip writes down what is to be installed, and fails where a file says so.
_PYTHON = """#!/bin/sh
case "$*" in *{missing}*) exit 1 ;; --version) echo Python 3.9.2 ;; "-m venv "*)
    mkdir -p "$3/bin"
    printf '#!/bin/sh\\ntest ! -e broken && echo "$@" >> installed\\n' > "$3/bin/pip"
    printf '#!/bin/sh\\necho "ran $1"\\n' > "$3/bin/customer-sync"
    chmod +x "$3/bin/pip" "$3/bin/customer-sync"
esac
"""


def _make(folder: Path, *goals: str, missing: str = "nothing") -> subprocess.CompletedProcess[str]:
    """Runs make in a clone with a Python that lacks something."""
    for name in ("Makefile", "pyproject.toml"):
        if not (folder / name).exists():
            shutil.copy2(ROOT / name, folder)
    python = folder / "python"
    python.write_text(_PYTHON.format(missing=missing))
    python.chmod(0o755)
    command = ["/usr/bin/env", "make", "--no-print-directory", *goals, f"PYTHON={python}"]
    environment = {"PATH": os.environ["PATH"]}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("version_info", ["needs Python 3.11 or newer", "is: Python 3.9.2", "make demo PYTHON=python3.12"]),
        ("ensurepip", ["cannot make virtual environments", "apt-get install python3-venv", "make demo"]),
    ],
)
def test_a_python_that_does_not_do(tmp_path: Path, missing: str, said: list[str]) -> None:
    """Before anything is made, make says what is wrong with the Python, and what to do."""
    made = _make(tmp_path, "demo", missing=missing)
    assert made.returncode != 0
    assert [part for part in said if part not in made.stderr] == []
    assert not (tmp_path / ".venv").exists()


def test_the_demo_installs_only_its_part(tmp_path: Path) -> None:
    """The demo needs the sandbox only; the tools join the same environment, and nothing is installed twice."""
    assert _make(tmp_path, "demo").stdout.splitlines()[-1] == "ran demo"
    assert _make(tmp_path, ".venv/.ready").returncode == 0
    assert _make(tmp_path, "sandbox").stdout == "ran sandbox\n"
    installed = (tmp_path / "installed").read_text().splitlines()
    assert [line.split()[-1] for line in installed] == [".[sandbox]", ".[dev]"]


def test_a_failed_installation_is_repeated(tmp_path: Path) -> None:
    """Where pip fails, nothing says that the environment is ready, and the next make installs again."""
    (tmp_path / "broken").touch()
    for goal, stamp in (("demo", ".demo-ready"), (".venv/.ready", ".ready")):
        assert _make(tmp_path, goal).returncode != 0
        assert not (tmp_path / ".venv" / stamp).exists()
    (tmp_path / "broken").unlink()
    assert _make(tmp_path, "demo").returncode == 0
