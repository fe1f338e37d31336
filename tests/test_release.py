"""What a release stands on: the lock files, the changelog and the workflows."""

import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import customer_sync

ROOT = Path(__file__).parent.parent
_PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
_PROJECT = _PYPROJECT["project"]
_WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
# Actions run with our rights: only those of GitHub and of PyPI's maintainers.
_TRUSTED = r"actions/[\w-]+@v\d+|pypa/gh-action-pypi-publish@release/v1|\./\.github/workflows/test\.yml"


def _locked(name: str) -> dict[str, tuple[Requirement, int]]:
    """Package → its pinned requirement and the number of its hashes."""
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.split(" --hash=sha256:") for line in re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).splitlines()]
    pinned = [(Requirement(line.split("#")[0]), len(hashes)) for line, *hashes in lines]
    return {canonicalize_name(requirement.name): (requirement, hashes) for requirement, hashes in pinned}


@pytest.mark.parametrize("name", ["constraints.txt", "constraints-build.txt"])
def test_everything_is_pinned_with_hashes(name: str) -> None:
    """Each package has one version and the hashes of its files; the file is what its target makes."""
    for requirement, hashes in _locked(name).values():
        assert [one.operator for one in requirement.specifier] == ["=="]
        assert hashes > 0
    assert (ROOT / name).read_text(encoding="utf-8").splitlines()[1] == "#    make constraints"


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("constraints.txt", [*_PROJECT["dependencies"], *_PROJECT["optional-dependencies"]["metrics"]]),
        ("constraints-build.txt", _PYPROJECT["build-system"]["requires"]),
    ],
)
def test_the_lock_is_within_the_bounds(name: str, wanted: list[str]) -> None:
    """What pyproject.toml asks for is locked, in a version that it permits."""
    locked = _locked(name)
    for bound in map(Requirement, wanted):
        requirement, _ = locked[canonicalize_name(bound.name)]
        (pin,) = requirement.specifier
        assert bound.specifier.contains(pin.version), f"{requirement} is not {bound}: make constraints"


def test_the_changelog_keeps_its_format() -> None:
    """Keep a Changelog: versions with a date, the newest first, and its six kinds of change."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## (.+)$", text, re.MULTILINE)
    undated = ["[Unreleased]", f"[{customer_sync.__version__}]"]
    assert [one for one in sections if not re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", one)] == [
        one for one in undated if one in sections
    ]
    released = [tuple(map(int, re.findall(r"\d+", one.partition("]")[0]))) for one in sections if "Unrel" not in one]
    assert released == sorted(released, reverse=True)
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.+)$", text, re.MULTILINE)) <= kinds


def _jobs(workflow: Path) -> dict[str, Any]:
    jobs: dict[str, Any] = yaml.safe_load(workflow.read_text(encoding="utf-8"))["jobs"]
    return jobs


def _script(job: dict[str, Any], name: str) -> str:
    (script,) = (step["run"] for step in job["steps"] if step.get("name") == name)
    return str(script)


def test_the_workflows_are_valid() -> None:
    """actionlint(1) has no complaint; `go install` puts it into ~/go/bin."""
    actionlint = shutil.which("actionlint", path=f"{os.environ['PATH']}:{Path.home() / 'go' / 'bin'}")
    if actionlint is None:
        pytest.skip("actionlint(1) is not installed")
    linted = subprocess.run([actionlint, *_WORKFLOWS], capture_output=True, text=True, timeout=60, check=False)
    assert (linted.returncode, linted.stdout) == (0, "")


def test_every_supported_python_is_tested() -> None:
    """The classifiers, the matrix and the lower bound name the same versions."""
    tested = _jobs(ROOT / ".github" / "workflows" / "test.yml")["test"]["strategy"]["matrix"]["python"]
    claimed = [one.rpartition(" ")[2] for one in _PROJECT["classifiers"] if one.startswith("Programming Language")]
    assert claimed == tested
    assert _PROJECT["requires-python"] == f">={tested[0]}"


@pytest.mark.parametrize("workflow", _WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_may_do_little(workflow: Path) -> None:
    """Read access only, unless a job says why; few actions, all of them known; no stored secret."""
    text = workflow.read_text(encoding="utf-8")
    assert yaml.safe_load(text)["permissions"] == {"contents": "read"}
    used = re.findall(r"uses: (\S+)", text)
    assert [action for action in used if not re.fullmatch(_TRUSTED, action)] == []
    assert set(re.findall(r"secrets\.(\w+)", text)) <= {"GITHUB_TOKEN"}
    # Text of others, such as the name of a branch, must never become a part of a script.
    scripts = [step.get("run", "") for job in _jobs(workflow).values() for step in job.get("steps", ())]
    assert "${{" not in "".join(scripts)


def _needed(jobs: dict[str, Any], name: str) -> set[str]:
    """The jobs that must succeed before this one starts."""
    needs = jobs[name].get("needs", [])
    direct = {needs} if isinstance(needs, str) else set(needs)
    return direct.union(*(_needed(jobs, one) for one in direct))


def test_nothing_is_published_untested() -> None:
    """Each job that writes somewhere needs the tests, which need the right tag."""
    jobs = _jobs(ROOT / ".github" / "workflows" / "release.yml")
    assert jobs["test"]["uses"] == "./.github/workflows/test.yml"
    assert {name: _needed(jobs, name) for name in jobs} == {
        "tag": set(),
        "test": {"tag"},
        "pypi": {"tag", "test"},
        "image": {"tag", "test"},
        "release": {"tag", "test", "pypi", "image"},
    }
    assert jobs["pypi"]["permissions"] == {"id-token": "write"}


@pytest.mark.parametrize(
    ("tag", "accepted"),
    [(f"v{customer_sync.__version__}", True), (f"v{customer_sync.__version__}1", False), ("v", False)],
)
def test_the_tag_is_the_version(tag: str, accepted: bool) -> None:
    """A tag that is not the version ends the release."""
    script = _script(_jobs(ROOT / ".github" / "workflows" / "release.yml")["tag"], "The tag is the version")
    ended = subprocess.run(["/bin/sh", "-ec", script], env=os.environ | {"TAG": tag}, cwd=ROOT, check=False)
    assert (ended.returncode == 0) is accepted


def test_the_image_is_built_for_the_runner() -> None:
    """Without an emulator, a runner of GitHub builds only for its own architecture."""
    release = _jobs(ROOT / ".github" / "workflows" / "release.yml")["image"]
    script = _script(release, "Build on one base image, with SBOM and provenance")
    assert release["runs-on"] == "ubuntu-latest"
    assert re.findall(r"--platform (\S+)", script) == ["linux/amd64"]


@pytest.mark.slow
def test_the_bill_of_materials() -> None:
    """It is about this version, lists what the lock file installs, and names no file of the machine that made it."""
    if not (ROOT / ".venv-release" / ".ready").exists():
        pytest.skip("the tools of `make sbom` are not installed")
    subprocess.run(["make", "--silent", "sbom"], cwd=ROOT, check=True)  # noqa: S607
    text = (ROOT / "dist" / "customer-sync.cdx.json").read_text(encoding="utf-8")
    bill = json.loads(text)
    root = bill["metadata"]["component"]
    assert (root["name"], root["version"]) == ("customer-sync", customer_sync.__version__)
    assert not re.search(rf"file:|{re.escape(str(ROOT))}", text)
    listed = {canonicalize_name(one["name"]) for one in bill["components"]}
    here = {name for name, (one, _) in _locked("constraints.txt").items() if not one.marker or one.marker.evaluate()}
    assert listed == here
    (direct,) = (set(one["dependsOn"]) for one in bill["dependencies"] if one["ref"] == root["bom-ref"])
    assert {canonicalize_name(one.partition("==")[0]) for one in direct} == {
        canonicalize_name(Requirement(one).name)
        for one in [*_PROJECT["dependencies"], *_PROJECT["optional-dependencies"]["metrics"]]
    }
