"""deploy/kubernetes: Kubernetes accepts the manifests, and their pods do their work on the sandbox."""

import re
import shutil
import subprocess
from collections.abc import Iterable
from copy import deepcopy
from functools import reduce
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import kubernetes_validate
import pytest
import yaml

import customer_sync
from customer_sync.config.readers import read_duration
from customer_sync.config.settings import SHARDS, declared
from customer_sync.core.errors import ExitCode
from customer_sync.core.interrupt import GRACE_SECONDS

from .conftest import Command, StartSandbox

DEPLOY = Path(__file__).parent.parent / "deploy"
BASE, OVERLAY = DEPLOY / "kubernetes" / "base", DEPLOY / "kubernetes" / "overlays" / "sharded"
Manifest = dict[str, Any]


def kustomization(folder: Path) -> Manifest:
    """What a folder's kustomization.yaml says."""
    loaded: Manifest = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    return loaded


def base() -> list[Manifest]:
    """The manifests of the base: they are complete in their files."""
    files = [(BASE / name).read_text(encoding="utf-8") for name in kustomization(BASE)["resources"]]
    return [manifest for file in files for manifest in yaml.safe_load_all(file)]


def sharded() -> list[Manifest]:
    """The manifests of the overlay, as kustomize builds them."""
    manifests, overlay = deepcopy(base()), kustomization(OVERLAY)
    for patch in overlay["patches"]:
        for manifest in manifests:
            if manifest["kind"] == patch["target"]["kind"]:
                for change in yaml.safe_load(patch["patch"]):
                    change_at(manifest, change["path"].strip("/").split("/"), change.get("value"))
    (replacement,) = overlay["replacements"]
    count = next(one for one in manifests if one["kind"] == "ConfigMap")["data"][SHARDS]
    for job in (one for one in manifests if one["kind"] == "CronJob"):
        for path in replacement["targets"][0]["fieldPaths"]:
            change_at(job, path.split("."), int(count))
    return manifests


def change_at(manifest: Manifest, path: list[str], value: Any) -> None:
    """Sets what is at a path, or removes it."""
    *parents, name = path
    parent = reduce(lambda node, key: node[int(key) if isinstance(node, list) else key], parents, manifest)
    parent.pop(name, None)
    if value is not None:
        parent[name] = value


def by_name(manifests: Iterable[Manifest]) -> dict[tuple[str, str], Manifest]:
    """The manifests by kind and name."""
    return {(one["kind"], one["metadata"]["name"]): one for one in manifests}


PLAIN, SHARDED = base(), sharded()
CONFIG, SECRET = PLAIN[0]["data"], PLAIN[1]["stringData"]
_NEWEST = kubernetes_validate.latest_version().removesuffix(".0")
_PLACEHOLDER = re.compile("<.+>")


class CronJob:
    """One CronJob, and the parts of it that matter here."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.name = document["metadata"]["name"].removeprefix("customer-sync-")
        self.spec = document["spec"]
        self.job = self.spec["jobTemplate"]["spec"]
        self.pod = self.job["template"]["spec"]
        (self.container,) = self.pod["containers"]
        self.shards = self.job.get("completions", 1)

    @property
    def max_runtime(self) -> int:
        args = self.container["args"]
        return read_duration(args[args.index("--max-runtime") + 1])

    def action_on(self, code: int) -> str:
        """What Kubernetes does with a pod that ended with an exit code; Count if there is no rule."""
        for rule in self.job["podFailurePolicy"]["rules"]:
            if code in rule.get("onExitCodes", {}).get("values", []):
                return str(rule["action"])
        return "Count"


JOBS, SHARDED_JOBS = ([CronJob(one) for one in file if one["kind"] == "CronJob"] for file in (PLAIN, SHARDED))
each_job = pytest.mark.parametrize(
    "job",
    [
        pytest.param(job, id=f"{kind}-{job.name}")
        for kind, jobs in (("plain", JOBS), ("sharded", SHARDED_JOBS))
        for job in jobs
    ],
)


# The manifests


@pytest.mark.parametrize(("folder", "manifests"), [(BASE, PLAIN), (OVERLAY, SHARDED)], ids=["base", "sharded"])
def test_kustomize_builds_them(folder: Path, manifests: list[Manifest]) -> None:
    """`kubectl apply -k` applies what the other tests look at."""
    builders = {"kustomize": ["kustomize", "build"], "kubectl": ["kubectl", "kustomize"]}
    command = next((command for name, command in builders.items() if shutil.which(name)), None)
    if command is None:
        pytest.skip("needs kubectl or kustomize: go install sigs.k8s.io/kustomize/kustomize/v5@latest")
    built = subprocess.run([*command, folder], check=True, capture_output=True, text=True, timeout=60).stdout
    assert by_name(yaml.safe_load_all(built)) == by_name(manifests)


@pytest.mark.parametrize("version", ["1.29", _NEWEST])
@pytest.mark.parametrize("document", [*PLAIN, *SHARDED], ids=lambda document: document["metadata"]["name"])
def test_the_schema(version: str, document: dict[str, Any]) -> None:
    """Every field is valid in the oldest version that is promised and in the newest that the library knows."""
    assert kubernetes_validate.validate(document, version, strict=True) == version
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**document, "speck": {}}, version, strict=True)


def test_the_schedules() -> None:
    """Every five minutes, every night at two in Vietnam, and every Sunday after the backfill."""
    zone = "Asia/Ho_Chi_Minh"
    expected = {"incremental": ("*/5 * * * *", None), "backfill": ("0 2 * * *", zone), "verify": ("0 8 * * 0", zone)}
    for jobs in (JOBS, SHARDED_JOBS):
        assert {job.name: (job.spec["schedule"], job.spec.get("timeZone")) for job in jobs} == expected
    assert ZoneInfo(zone).key == zone


@each_job
def test_the_times_fit(job: CronJob) -> None:
    """A run stops before Kubernetes ends it, and a pod that is to end gets the time that the program needs."""
    assert job.max_runtime + job.pod["terminationGracePeriodSeconds"] < job.job["activeDeadlineSeconds"]
    assert job.pod["terminationGracePeriodSeconds"] >= GRACE_SECONDS + 5
    assert job.spec["startingDeadlineSeconds"] >= 10  # Kubernetes checks every ten seconds.
    if job.name == "incremental":
        assert job.max_runtime < 300


@each_job
def test_one_at_a_time(job: CronJob) -> None:
    """Two runs of a kind never overlap, and no failure is retried except by the policy."""
    assert job.spec["concurrencyPolicy"] == "Forbid"
    assert job.pod["restartPolicy"] == "Never"
    assert job.job["backoffLimit" if job.shards == 1 else "backoffLimitPerIndex"] == 0


@each_job
def test_exit_codes(job: CronJob) -> None:
    """75 is retried, but not by a verify, which would start from the beginning; 2 and 3 fail the Job; in a shard, 3 is
    that shard's own; other codes count as failures.
    """
    refused = "FailJob" if job.shards == 1 else "Count"
    later = "Count" if job.name == "verify" else "Ignore"
    actions = {ExitCode.USAGE: "FailJob", ExitCode.REFUSED: refused, ExitCode.TRY_LATER: later}
    assert {code: job.action_on(code) for code in ExitCode} == dict.fromkeys(ExitCode, "Count") | actions
    drained, *rules = job.job["podFailurePolicy"]["rules"]
    assert (drained["action"], drained["onPodConditions"][0]["type"]) == ("Ignore", "DisruptionTarget")
    assert {rule["onExitCodes"]["containerName"] for rule in rules} == {job.container["name"]}


@each_job
def test_the_pods_are_restricted(job: CronJob) -> None:
    """Kubernetes' level "restricted", a read-only root and no token, as the image's user."""
    pod, container = job.pod["securityContext"], job.container["securityContext"]
    user = re.search(r"^USER (\d+):(\d+)$", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert user is not None
    assert (pod["runAsNonRoot"], str(pod["runAsUser"]), str(pod["runAsGroup"])) == (True, user[1], user[2])
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert job.pod["automountServiceAccountToken"] is False
    assert {kind for volume in job.pod["volumes"] for kind in volume} == {"name", "secret", "emptyDir"}


@each_job
def test_references(job: CronJob) -> None:
    """The image is this version's; the ConfigMap, the Secret and the volumes exist, and /tmp is writable."""
    assert job.container["image"] == f"registry.example.com/customer-sync:{customer_sync.__version__}"
    assert job.container["envFrom"] == [{"configMapRef": {"name": PLAIN[0]["metadata"]["name"]}}]
    volumes = {volume["name"]: volume for volume in job.pod["volumes"]}
    mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in job.container["volumeMounts"]}
    assert "emptyDir" in mounts["/tmp"]  # noqa: S108
    assert mounts["/run/secrets/customer-sync"]["secret"]["secretName"] == PLAIN[1]["metadata"]["name"]


def test_the_settings_are_known() -> None:
    """Every variable is one of ours, and each file that one names is a key of the Secret."""
    secrets = {declaration.variable for declaration in declared().values() if declaration.secret}
    files = {variable: text for variable, text in CONFIG.items() if variable.endswith("_FILE")}
    known = {declaration.variable for declaration in declared().values()} - secrets
    assert CONFIG.keys() - files.keys() <= known | {"TZ"}
    assert files == {f"{name}_FILE": f"/run/secrets/customer-sync/{name}" for name in SECRET}
    assert SECRET.keys() <= secrets


# What the pods run


def _environment(run: Command, manifests: list[Manifest], fill_in: dict[str, str]) -> dict[str, str]:
    """What a pod gets: the ConfigMap, and the Secret as files; *fill_in* replaces the placeholders."""

    def filled_in(name: str, text: str) -> str:
        return fill_in.get(name, text) if _PLACEHOLDER.fullmatch(text) else text

    for name, text in SECRET.items():
        (run.home / name).write_text(filled_in(name, text))
    config = {name: filled_in(name, text) for name, text in manifests[0]["data"].items()}
    return {name: text.replace("/run/secrets/customer-sync", str(run.home)) for name, text in config.items()}


@each_job
def test_the_command_lines(run: Command, job: CronJob) -> None:
    """Each pod runs a valid command line of this program."""
    outcome = run(None, *job.container["args"], "--help")
    assert (outcome.code, outcome.err) == (0, "")
    assert f"Usage: customer-sync {job.name}" in outcome.out


def test_placeholders(run: Command) -> None:
    """A run with placeholders left ends with exit code 2 and names exactly those."""
    outcome = run(None, *JOBS[0].container["args"], **_environment(run, PLAIN, {}))
    left = [name for name, text in {**CONFIG, **SECRET}.items() if _PLACEHOLDER.fullmatch(text)]
    assert outcome.code == 2
    assert sorted(re.findall(r"Error: (\w+)", outcome.err)) == sorted(left)


@pytest.mark.parametrize("manifests", [PLAIN, SHARDED], ids=["plain", "sharded"])
def test_the_jobs_do_their_work(sandbox: StartSandbox, run: Command, manifests: list[Manifest]) -> None:
    """With the settings of the manifests, the three Jobs copy every customer, and verify finds no difference."""
    box = sandbox(pages=5, customers=20)
    pancake = {"PANCAKE_BASE_URL": box.environment["PANCAKE_BASE_URL"]}
    environment = {**pancake, **_environment(run, manifests, box.environment)}
    for job in JOBS if manifests is PLAIN else SHARDED_JOBS:
        for pod in _start_pods(run, job, environment):
            assert run.end(pod).code == 0
    assert box.difference().equal


def _start_pods(run: Command, job: CronJob, environment: dict[str, str]) -> list[Any]:
    indexes = [{"JOB_COMPLETION_INDEX": str(index)} for index in range(job.shards)] if job.shards > 1 else [{}]
    return [run.start(None, *job.container["args"], **environment, **index) for index in indexes]


@pytest.mark.parametrize(("plain", "sharded"), list(zip(JOBS, SHARDED_JOBS, strict=True)), ids=lambda job: job.name)
def test_a_shard_is_a_pod_like_any_other(plain: CronJob, sharded: CronJob) -> None:
    """The overlay changes how many pods a Job has, and nothing in them: the ConfigMap has the number of shards."""
    assert plain.name == sharded.name
    assert sharded.pod == plain.pod
    assert sharded.job["completionMode"] == "Indexed"
    assert sharded.job["parallelism"] == sharded.job["completions"] == int(SHARDED[0]["data"][SHARDS]) > 1
