"""deploy/Dockerfile and .dockerignore, parsed as by Docker; `make check` lints them, too."""

import json
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def _stages() -> list[list[tuple[str, str]]]:
    """The instructions before the first stage and of each stage, as pairs of name and the rest."""
    text = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    whole = re.sub(r"\\\n *", "", "\n".join(lines)).splitlines()
    stages: list[list[tuple[str, str]]] = [[]]
    for name, _, rest in (line.partition(" ") for line in whole):
        if name == "FROM":
            stages.append([])
        stages[-1].append((name, rest))
    return stages


GLOBAL, BUILD, IMAGE = _stages()


def _all(stage: list[tuple[str, str]], instruction: str) -> list[str]:
    return [rest for name, rest in stage if name == instruction]


def _only(stage: list[tuple[str, str]], instruction: str) -> str:
    (rest,) = _all(stage, instruction)
    return rest


def test_one_python_for_both_stages() -> None:
    """Both stages have the same slim Python, of a minor version that we test, unless the builder names a digest."""
    (base,) = (rest for name, rest in GLOBAL if name == "ARG")
    assert (_only(BUILD, "FROM"), _only(IMAGE, "FROM")) == ("${BASE} AS build", "${BASE}")
    version = re.fullmatch(r"BASE=python:(3\.\d+)-slim", base)
    assert version is not None
    assert f"Programming Language :: Python :: {version[1]}" in _PROJECT["classifiers"]


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


def test_only_what_is_locked_is_downloaded() -> None:
    """pip downloads only what has a hash in the lock files; the package itself is built and installed offline."""
    calls = [call for rest in _all(BUILD, "RUN") for call in rest.split(" && ") if call.startswith("pip ")]
    assert len(calls) == 4
    assert all("--require-hashes" in call or "--no-index" in call for call in calls)
    locked = [re.findall(r"-r (\S+)", call)[0] for call in calls if "--require-hashes" in call]
    assert locked == ["constraints.txt", "constraints-build.txt"]


def test_no_secret_can_get_into_it() -> None:
    """No argument but the base, no variable but the path; copied files are listed, no others are sent to Docker."""
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
    """The image has the name, description and licence of the package; a release adds the version."""
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', _only(IMAGE, "LABEL")))
    assert labels == {
        "title": _PROJECT["name"],
        "description": _PROJECT["description"],
        "licenses": _PROJECT["license"],
    }
