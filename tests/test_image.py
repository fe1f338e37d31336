"""deploy/Dockerfile and .dockerignore, parsed as by Docker; `make check` lints them, too."""

import json
import re
import tomllib
from pathlib import Path

import customer_sync

ROOT = Path(__file__).parent.parent
_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def _stages() -> list[list[tuple[str, str]]]:
    """The instructions of each stage, as pairs of name and the rest."""
    text = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    whole = re.sub(r"\\\n *", "", "\n".join(lines)).splitlines()
    stages: list[list[tuple[str, str]]] = []
    for name, _, rest in (line.partition(" ") for line in whole):
        if name == "FROM":
            stages.append([])
        stages[-1].append((name, rest))
    return stages


BUILD, IMAGE = _stages()


def _all(stage: list[tuple[str, str]], instruction: str) -> list[str]:
    return [rest for name, rest in stage if name == instruction]


def _only(stage: list[tuple[str, str]], instruction: str) -> str:
    (rest,) = _all(stage, instruction)
    return rest


def test_one_python_for_both_stages() -> None:
    """Both stages have the same slim Python, pinned to a minor version that we support."""
    base = _only(IMAGE, "FROM")
    assert _only(BUILD, "FROM") == f"{base} AS build"
    version = re.fullmatch(r"python:(3\.\d+)-slim", base)
    assert version is not None
    assert [int(part) for part in version[1].split(".")] >= [3, 11]
    assert set(re.findall(r"python(3\.\d+)", "".join(_all(IMAGE, "RUN")))) == {version[1]}


def test_it_runs_the_command_and_nothing_else() -> None:
    """The command is the entry point itself, without a shell that would block signals."""
    assert json.loads(_only(IMAGE, "ENTRYPOINT")) == list(_PROJECT["scripts"])
    assert json.loads(_only(IMAGE, "CMD")) == ["--help"]


def test_it_runs_as_a_numbered_user() -> None:
    """After the last instruction of root, the user is a number, so that Kubernetes can verify that it is not root."""
    user, group = map(int, _only(IMAGE, "USER").split(":"))
    assert user > 0 < group
    after = [name for name, _ in IMAGE[IMAGE.index(("USER", f"{user}:{group}")) + 1 :]]
    assert after == ["ENTRYPOINT", "CMD"]


def test_nothing_of_the_building_is_left() -> None:
    """Only the environment is copied from the first stage; it has no pip, and the image's own is removed."""
    assert "python -m venv --without-pip /opt/customer-sync" in _all(BUILD, "RUN")
    assert _only(IMAGE, "COPY") == "--from=build /opt/customer-sync /opt/customer-sync"
    removal, compilation = _all(IMAGE, "RUN")
    assert removal.startswith("pip uninstall --yes")
    assert compilation == "customer-sync --version"


def test_no_secret_can_get_into_it() -> None:
    """No argument and no variable but the path; copied files are listed, and no others are sent to Docker."""
    assert not _all(BUILD, "ARG") + _all(IMAGE, "ARG") + _all(BUILD, "ENV")
    assert _only(IMAGE, "ENV") == 'PATH="/opt/customer-sync/bin:$PATH"'
    everything, *rules = [
        line for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if not line.startswith("#")
    ]
    assert everything == "*"
    assert rules == [*(f"!{source}" for source in _copied()), "**/__pycache__"]


def _copied() -> list[str]:
    """The files that the first stage copies from the repository."""
    return sorted(source for rest in _all(BUILD, "COPY") for source in rest.split()[:-1])


def test_its_labels() -> None:
    """The image has the name, description, version and licence of the package."""
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', _only(IMAGE, "LABEL")))
    assert labels == {
        "title": _PROJECT["name"],
        "description": _PROJECT["description"],
        "version": customer_sync.__version__,
        "licenses": _PROJECT["license"],
    }
