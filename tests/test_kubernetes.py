"""deploy/kubernetes*.yaml: Kubernetes takes them, and what their pods run does its work on the sandbox."""

import re
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
PLAIN, SHARDED = (
    list(yaml.safe_load_all((DEPLOY / name).read_text(encoding="utf-8")))
    for name in ("kubernetes.yaml", "kubernetes-sharded.yaml")
)
CONFIG, SECRET = PLAIN[0]["data"], PLAIN[1]["stringData"]
_NEWEST = kubernetes_validate.latest_version().removesuffix(".0")
_PLACEHOLDER = re.compile("<.+>")


class CronJob:
    """One CronJob of a file, and the parts of it that matter here."""

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
        """What becomes of a pod that ends with an exit code; Count is Kubernetes' word for what has no rule."""
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


# What Kubernetes makes of it


@pytest.mark.parametrize("version", ["1.29", _NEWEST])
@pytest.mark.parametrize("document", [*PLAIN, *SHARDED], ids=lambda document: document["metadata"]["name"])
def test_the_schema(version: str, document: dict[str, Any]) -> None:
    """Kubernetes knows every field, from the oldest version that is promised to the newest that the library ships."""
    assert kubernetes_validate.validate(document, version, strict=True) == version
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**document, "speck": {}}, version, strict=True)


def test_the_schedules() -> None:
    """Both files: every five minutes, every night at two in Vietnam, and every Sunday after the backfill."""
    zone = "Asia/Ho_Chi_Minh"
    expected = {"incremental": ("*/5 * * * *", None), "backfill": ("0 2 * * *", zone), "verify": ("0 8 * * 0", zone)}
    for jobs in (JOBS, SHARDED_JOBS):
        assert {job.name: (job.spec["schedule"], job.spec.get("timeZone")) for job in jobs} == expected
    assert ZoneInfo(zone).key == zone


@each_job
def test_the_times_fit(job: CronJob) -> None:
    """A run ends softly before Kubernetes ends it, a pod that is told to end has the time that the program takes."""
    assert job.max_runtime + job.pod["terminationGracePeriodSeconds"] < job.job["activeDeadlineSeconds"]
    assert job.pod["terminationGracePeriodSeconds"] >= GRACE_SECONDS + 5
    assert job.spec["startingDeadlineSeconds"] >= 10  # Kubernetes looks every ten seconds.
    if job.name == "incremental":
        assert job.max_runtime < 300


@each_job
def test_one_at_a_time(job: CronJob) -> None:
    """Two runs of a kind are never at work together, and no failure is tried again behind the policy's back."""
    assert job.spec["concurrencyPolicy"] == "Forbid"
    assert job.pod["restartPolicy"] == "Never"
    assert job.job["backoffLimit" if job.shards == 1 else "backoffLimitPerIndex"] == 0


@each_job
def test_what_follows_from_an_exit_code(job: CronJob) -> None:
    """75 is tried again, but not by a verify, which would begin anew; 2 and 3 end the Job by name; in a shard a refusal
    is that shard's own; the rest just fails.
    """
    refused = "FailJob" if job.shards == 1 else "Count"
    later = "Count" if job.name == "verify" else "Ignore"
    actions = {ExitCode.USAGE: "FailJob", ExitCode.REFUSED: refused, ExitCode.TRY_LATER: later}
    assert {code: job.action_on(code) for code in ExitCode} == dict.fromkeys(ExitCode, "Count") | actions
    drained, *rules = job.job["podFailurePolicy"]["rules"]
    assert (drained["action"], drained["onPodConditions"][0]["type"]) == ("Ignore", "DisruptionTarget")
    assert {rule["onExitCodes"]["containerName"] for rule in rules} == {job.container["name"]}


@each_job
def test_nothing_is_permitted_that_is_not_needed(job: CronJob) -> None:
    """The pods are of Kubernetes' level "restricted", with a read-only root and no token, as the image's user."""
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
def test_everything_named_is_there(job: CronJob) -> None:
    """The image is this version's; its ConfigMap, its Secret and its volumes exist, and the locks have their place."""
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


def _environment(run: Command, fill_in: dict[str, str]) -> dict[str, str]:
    """What a pod sees: the ConfigMap, the Secret as files; *fill_in* goes in the place of the placeholders."""

    def filled_in(name: str, text: str) -> str:
        return fill_in.get(name, text) if _PLACEHOLDER.fullmatch(text) else text

    for name, text in SECRET.items():
        (run.home / name).write_text(filled_in(name, text))
    config = {name: filled_in(name, text) for name, text in CONFIG.items()}
    return {name: text.replace("/run/secrets/customer-sync", str(run.home)) for name, text in config.items()}


@each_job
def test_every_command_line_is_understood(run: Command, job: CronJob) -> None:
    """What each pod runs is a command line of this program."""
    outcome = run(None, *job.container["args"], "--help")
    assert (outcome.code, outcome.err) == (0, "")
    assert f"Usage: customer-sync {job.name}" in outcome.out


def test_nothing_runs_before_it_is_filled_in(run: Command) -> None:
    """As long as a placeholder is left, a run is refused and names exactly those; it asks nobody anything."""
    outcome = run(None, *JOBS[0].container["args"], **_environment(run, {}))
    left = [name for name, text in {**CONFIG, **SECRET}.items() if _PLACEHOLDER.fullmatch(text)]
    assert outcome.code == 2
    assert sorted(re.findall(r"Error: (\w+)", outcome.err)) == sorted(left)


@pytest.mark.parametrize("jobs", [JOBS, SHARDED_JOBS], ids=["plain", "sharded"])
def test_the_jobs_do_their_work(sandbox: StartSandbox, run: Command, jobs: list[CronJob]) -> None:
    """With the settings that the files give to them, the three Jobs bring everybody and find nobody missing."""
    box = sandbox(pages=5, customers=20)
    environment = {"PANCAKE_BASE_URL": box.environment["PANCAKE_BASE_URL"], **_environment(run, box.environment)}
    for job in jobs:
        for pod in _start_pods(run, job, environment):
            assert run.end(pod).code == 0
    assert box.difference().equal


def _start_pods(run: Command, job: CronJob, environment: dict[str, str]) -> list[Any]:
    own = {variable["name"]: variable["value"] for variable in job.container.get("env", [])}
    indexes = [{"JOB_COMPLETION_INDEX": str(index)} for index in range(job.shards)] if job.shards > 1 else [{}]
    return [run.start(None, *job.container["args"], **environment, **own, **index) for index in indexes]


@pytest.mark.parametrize(("plain", "sharded"), list(zip(JOBS, SHARDED_JOBS, strict=True)), ids=lambda job: job.name)
def test_a_shard_is_a_pod_like_any_other(plain: CronJob, sharded: CronJob) -> None:
    """The sharded file replaces the other one's CronJobs; its pods know how many they are, and differ in that only."""
    assert plain.name == sharded.name
    shards = {"name": SHARDS, "value": str(sharded.shards)}
    assert {**sharded.pod, "containers": [plain.container]} == plain.pod
    assert sharded.container == {**plain.container, "env": [shards]}
    assert sharded.job["completionMode"] == "Indexed"
    assert sharded.job["parallelism"] == sharded.job["completions"] > 1
