"""The sdist, the wheel, and the wheel installed with its dependencies only. Needs no network."""

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import customer_sync

from .conftest import Outcome

ROOT = Path(__file__).parent.parent
_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def _build(source: Path, target: Path, kind: str) -> Path:
    """Builds *kind*, `wheel` or `sdist`, with the backend that is installed, and returns it."""
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", target], cwd=source, check=True)
    (built,) = target.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return built


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _build(ROOT, tmp_path_factory.mktemp("sdist"), "sdist")


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the sdist as installers do it."""
    source = tmp_path_factory.mktemp("source")
    with tarfile.open(sdist) as archive:
        archive.extractall(source, filter="data")
    (unpacked,) = source.iterdir()
    return _build(unpacked, tmp_path_factory.mktemp("wheel"), "wheel")


def _distribution(wheel: Path) -> metadata.Distribution:
    (dist_info,) = (path for path in zipfile.Path(wheel).iterdir() if path.name.endswith(".dist-info"))
    return metadata.PathDistribution(dist_info)


def _files(wheel: Path) -> set[str]:
    """The files of the wheel except its metadata."""
    return {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}


def _package() -> set[str]:
    """Every file of the package in this repository."""
    found = (path for path in (ROOT / "customer_sync").rglob("*") if path.is_file())
    return {str(path.relative_to(ROOT)) for path in found if path.suffix != ".pyc"}


def test_the_wheel_is_the_package(wheel: Path) -> None:
    """The wheel has the whole package with its type marker, and nothing else: no tests, no deploy files."""
    assert _files(wheel) == _package()
    assert "customer_sync/py.typed" in _files(wheel)


def test_the_sdist(sdist: Path) -> None:
    """The sdist has what a packager, an operator and a contributor need, and nothing that was generated."""
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {name.partition("/")[0] for name in names} == {
        *(".ci", ".dockerignore", ".github", ".gitignore", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile"),
        *("PKG-INFO", "README.md", "README.vi.md", "constraints-build.txt", "constraints.txt", "crontab.example"),
        *("customer_sync", "deploy", "docs", "pyproject.toml", "tests"),
    }
    for folder in (".github", "deploy", "docs", "tests"):
        files = {path for path in (ROOT / folder).rglob("*") if path.is_file() and path.suffix != ".pyc"}
        assert {str(path.relative_to(ROOT)) for path in files} <= names
    assert not [name for name in names if name.endswith(".pyc")]


def test_the_metadata(wheel: Path) -> None:
    """The wheel's metadata are those of pyproject.toml and README."""
    distribution = _distribution(wheel)
    headers = distribution.metadata
    assert (headers["Name"], headers["Version"]) == ("customer-sync", customer_sync.__version__)
    assert (headers["Requires-Python"], headers["License-Expression"]) == (
        _PROJECT["requires-python"],
        _PROJECT["license"],
    )
    assert headers["Description-Content-Type"] == "text/markdown"
    assert headers.get_payload().strip() == (ROOT / "README.md").read_text(encoding="utf-8").strip()  # type: ignore[attr-defined]
    assert {(point.name, point.value) for point in distribution.entry_points} == set(_PROJECT["scripts"].items())
    always = [requirement for requirement in distribution.requires or [] if "extra ==" not in requirement]
    assert sorted(always) == sorted(_PROJECT["dependencies"])
    assert set(headers.get_all("Provides-Extra") or []) == set(_PROJECT["optional-dependencies"])
    assert headers.get_all("Classifier") == sorted(_PROJECT["classifiers"])


def test_docker_gets_enough(tmp_path: Path, wheel: Path) -> None:
    """The few files that .dockerignore allows build the same wheel."""
    source = tmp_path / "source"
    source.mkdir()
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for name in (line[1:] for line in lines if line.startswith("!")):
        (source / name).symlink_to(ROOT / name)
    assert _files(_build(source, tmp_path / "wheel", "wheel")) == _files(wheel)


# Installed with its dependencies only


def _needed(distribution: metadata.Distribution, extra: str) -> dict[str, metadata.Distribution]:
    """The dependencies with an *extra*, and their dependencies, as installed here."""
    needed: dict[str, metadata.Distribution] = {}
    waiting = [(distribution, {extra})]
    while waiting:
        requiring, extras = waiting.pop()
        for requirement in _required(requiring.requires or [], extras):
            name = canonicalize_name(requirement.name)
            if name not in needed:
                needed[name] = metadata.distribution(name)
                waiting.append((needed[name], requirement.extras or {""}))
    return needed


def _required(texts: Iterable[str], extras: set[str]) -> Iterable[Requirement]:
    for requirement in map(Requirement, texts):
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in extras):
            yield requirement


def _link(distribution: metadata.Distribution, site_packages: Path) -> None:
    """Makes an installed distribution importable in another environment."""
    names = {file.parts[0] for file in distribution.files or []}
    for name in names - {"..", "__pycache__"}:
        (site_packages / name).symlink_to(str(distribution.locate_file(name)))


Run = Callable[..., Outcome]


@pytest.fixture
def install(wheel: Path, tmp_path: Path) -> Callable[[str], Run]:
    """Installs the wheel and its dependencies, with an extra, into an environment of its own."""

    def install(extra: str) -> Run:
        environment = tmp_path / "environment"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
        python = environment / "bin" / "python"
        pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
        subprocess.run([*pip, "--no-index", "--no-deps", wheel], check=True)
        (site_packages,) = environment.glob("lib/python*/site-packages")
        for distribution in _needed(_distribution(wheel), extra).values():
            _link(distribution, site_packages)
        return lambda *arguments: _run(environment / "bin" / "customer-sync", *arguments)

    return install


def _run(command: Path, *arguments: str) -> Outcome:
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(command.parent), "COLUMNS": "120"}
    ended = subprocess.run(
        [*_without_network(), command, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Outcome(ended.returncode, ended.stdout, ended.stderr)


def _without_network() -> list[str]:
    """The command line that leaves a program only a loopback of its own, where this machine permits that."""
    script = 'ip link set lo up && exec "$@"'
    for way in (["--net"], ["--user", "--map-root-user", "--net"]):
        command = ["/usr/bin/env", "unshare", *way, "/bin/sh", "-c", script, "sh"]
        if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
            return command
    return []


@pytest.mark.slow
def test_without_the_extra(install: Callable[[str], Run]) -> None:
    """With its dependencies only the command works; the demo names the command that installs the extra."""
    run = install("")
    assert run("--version") == Outcome(0, f"customer-sync {customer_sync.__version__}\n", "")
    assert "incremental" in run("--help").out
    demo = run("demo")
    assert demo.code == 2
    assert "pip install '.[sandbox]'" in demo.err


@pytest.mark.slow
def test_the_demo_with_the_extra(install: Callable[[str], Run]) -> None:
    """With the extra and no network, `demo` runs three passes, and a comparison that finds both sides equal."""
    demo = install("sandbox")("demo")
    assert demo.code == 0
    commands = ["incremental", "backfill", "incremental", "verify"]
    assert re.findall(r"^\$ customer-sync (\w+)", demo.out, re.MULTILINE) == commands
    assert re.findall(r"^(\w+): ok, 3 pages", demo.out, re.MULTILINE) == commands
    assert re.search(r"incremental: ok, 3 pages, .* 25 upserted", demo.out)
    assert "Both sides are equal" in demo.out
    assert "\x1b" not in demo.output
