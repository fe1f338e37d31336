"""deploy/kubernetes: Kubernetes accepts what kustomize builds, and the pods do their work on the sandbox."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import kubernetes_validate
import pytest
import yaml

from customer_sync.config.readers import read_duration
from customer_sync.config.settings import SHARDS, declared
from customer_sync.core.errors import ExitCode
from customer_sync.core.interrupt import GRACE_SECONDS

from .conftest import Command, StartSandbox

DEPLOY = Path(__file__).parent.parent / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
Manifest = dict[str, Any]
_BUILDERS = {"kustomize": ["kustomize", "build"], "kubectl": ["kubectl", "kustomize"]}
BUILDERS = [command for name, command in _BUILDERS.items() if shutil.which(name)]
if not BUILDERS:
    step = "go install sigs.k8s.io/kustomize/kustomize/v5@v5.7.0"
    pytest.skip(f"needs kustomize or kubectl: {step}", allow_module_level=True)


def build(folder: Path, builder: list[str] = BUILDERS[0]) -> list[Manifest]:
    """The manifests that a folder's kustomization makes, as `kubectl apply -k` applies them."""
    built = subprocess.run([*builder, folder], check=True, capture_output=True, text=True, timeout=60).stdout
    return list(yaml.safe_load_all(built))


PLAIN, SHARDED, EXAMPLE = (build(KUBERNETES / name) for name in ("base", "overlays/sharded", "overlays/example"))
_NEWEST = kubernetes_validate.latest_version().removesuffix(".0")
_TOKEN = "FOLKFORM_TOKEN"


def config_map(manifests: list[Manifest]) -> dict[str, str]:
    """The variables of the only ConfigMap."""
    (data,) = (one["data"] for one in manifests if one["kind"] == "ConfigMap")
    return dict(data)


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
    def variables(self) -> dict[str, str]:
        """The variables of the container itself, which has no other but those of the ConfigMap."""
        return {one["name"]: one["value"] for one in self.container.get("env", [])}

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


def scheduled(manifests: list[Manifest]) -> list[CronJob]:
    """The CronJobs that run by schedule, in the order of a day."""
    jobs = {job.name: job for job in (CronJob(one) for one in manifests if one["kind"] == "CronJob")}
    return [jobs[name] for name in ("incremental", "backfill", "verify")]


def manual(manifests: list[Manifest]) -> CronJob:
    """The CronJob for commands by hand."""
    (job,) = (CronJob(one) for one in manifests if one["metadata"]["name"] == "customer-sync-manual")
    return job


JOBS, SHARDED_JOBS = scheduled(PLAIN), scheduled(SHARDED)
MANUAL = manual(PLAIN)
each_scheduled_job, each_job = (
    pytest.mark.parametrize(
        "job",
        [
            pytest.param(job, id=f"{kind}-{job.name}")
            for kind, jobs in (("plain", [*JOBS, *more]), ("sharded", SHARDED_JOBS))
            for job in jobs
        ],
    )
    for more in ([], [MANUAL])
)


# The manifests


@pytest.mark.parametrize("folder", ["base", "overlays/sharded", "overlays/example"])
def test_every_builder_builds_the_same(folder: str) -> None:
    """kustomize itself, and the one within kubectl, where this machine has both."""
    first, *others = (build(KUBERNETES / folder, builder) for builder in BUILDERS)
    for other in others:
        assert other == first


@pytest.mark.parametrize("version", ["1.29", _NEWEST])
@pytest.mark.parametrize("document", [*PLAIN, *SHARDED, *EXAMPLE], ids=lambda document: document["metadata"]["name"])
def test_the_schema(version: str, document: dict[str, Any]) -> None:
    """Every field is valid in the oldest version that is promised and in the newest that the library knows."""
    assert kubernetes_validate.validate(document, version, strict=True) == version
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**document, "speck": {}}, version, strict=True)


def test_what_is_applied() -> None:
    """Four CronJobs and the settings. No Secret: each apply would restore what is written in the file."""
    names = {"incremental", "backfill", "verify", "manual"}
    expected = {("ConfigMap", "customer-sync")} | {("CronJob", f"customer-sync-{name}") for name in names}
    for manifests in (PLAIN, SHARDED, EXAMPLE):
        assert {(one["kind"], one["metadata"]["name"]) for one in manifests} == expected


def test_the_labels() -> None:
    """Everything has the program's name, each pod that of its run too: `kubectl logs -l` finds them."""
    for manifest in (*PLAIN, *SHARDED, *EXAMPLE):
        assert manifest["metadata"]["labels"] == {"app.kubernetes.io/name": "customer-sync"}
    for job in (*JOBS, *SHARDED_JOBS, MANUAL):
        labels = job.job["template"]["metadata"]["labels"]
        assert labels == {"app.kubernetes.io/name": "customer-sync", "app.kubernetes.io/component": job.name}


def test_the_example() -> None:
    """It sets the image by digest, the namespace and settings, and changes nothing else."""
    assert {one["metadata"]["namespace"] for one in EXAMPLE} == {"customer-sync"}
    plain, ours = config_map(PLAIN), config_map(EXAMPLE)
    assert plain.items() < ours.items()
    assert "FOLKFORM_BASE_URL" in ours.keys() - plain.keys()
    for job, own in zip([*JOBS, MANUAL], [*scheduled(EXAMPLE), manual(EXAMPLE)], strict=True):
        image = own.container.pop("image")
        assert re.fullmatch(r"[a-z./-]+@sha256:[0-9a-f]{64}", image)
        assert own.spec == {**job.spec, "jobTemplate": _without_image(job)}


def _without_image(job: CronJob) -> Manifest:
    copy: Manifest = json.loads(json.dumps(job.spec["jobTemplate"]))
    del copy["spec"]["template"]["spec"]["containers"][0]["image"]
    return copy


def test_the_schedules() -> None:
    """Every five minutes, every night at two in Vietnam, and every Sunday after the backfill."""
    zone = "Asia/Ho_Chi_Minh"
    expected = {"incremental": ("*/5 * * * *", None), "backfill": ("0 2 * * *", zone), "verify": ("0 8 * * 0", zone)}
    for jobs in (JOBS, SHARDED_JOBS):
        assert {job.name: (job.spec["schedule"], job.spec.get("timeZone")) for job in jobs} == expected
        assert not any(job.spec.get("suspend") for job in jobs)
    assert ZoneInfo(zone).key == zone


@each_scheduled_job
def test_the_times_fit(job: CronJob) -> None:
    """A run stops before Kubernetes ends it, and a pod that is to end gets the time that the program needs."""
    stop = job.pod["terminationGracePeriodSeconds"]
    assert job.max_runtime + stop < job.job["activeDeadlineSeconds"]
    assert stop >= GRACE_SECONDS + 5
    assert job.spec["startingDeadlineSeconds"] >= 10  # Kubernetes checks every ten seconds.
    if job.name == "incremental":  # Otherwise an outage of one shard would hold up the next run of all others.
        assert job.job["activeDeadlineSeconds"] + stop < 300


@each_job
def test_one_at_a_time(job: CronJob) -> None:
    """Two runs of a kind never overlap, and no failure is retried except by the policy."""
    assert job.spec["concurrencyPolicy"] == "Forbid"
    assert job.pod["restartPolicy"] == "Never"
    assert job.job["backoffLimit" if job.shards == 1 else "backoffLimitPerIndex"] == 0


@each_job
def test_exit_codes(job: CronJob) -> None:
    """75 is retried by both passes: a verify would start from the beginning, a command by hand has its reader; 2 and 3
    fail the Job; in a shard, 3 is that shard's own; other codes count as failures.
    """
    refused = "FailJob" if job.shards == 1 else "Count"
    later = "Ignore" if job.name in ("incremental", "backfill") else "Count"
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
    """The ConfigMap and the volumes exist, /tmp is writable, and the Secret has the name that the document gives it."""
    assert job.container["envFrom"] == [{"configMapRef": {"name": "customer-sync"}}]
    volumes = {volume["name"]: volume for volume in job.pod["volumes"]}
    mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in job.container["volumeMounts"]}
    assert "emptyDir" in mounts["/tmp"]  # noqa: S108
    assert mounts["/run/secrets/customer-sync"]["secret"]["secretName"] == "customer-sync"


def test_the_settings_are_known() -> None:
    """Every variable is one of ours, in the comments of the example too, and none holds a secret."""
    secrets = {declaration.variable for declaration in declared().values() if declaration.secret}
    known = {declaration.variable for declaration in declared().values()} - secrets
    commented = (KUBERNETES / "overlays" / "example" / "settings.yaml").read_text(encoding="utf-8")
    proposed = set(re.findall(r"^  (?:# )?([A-Z_]+): ", commented, re.MULTILINE))
    assert proposed | config_map(EXAMPLE).keys() <= known | {f"{name}_FILE" for name in secrets} | {
        "TZ",
        "CUSTOMER_SYNC_LOG_FORMAT",
        "CUSTOMER_SYNC_PUSHGATEWAY",
    }
    assert config_map(PLAIN)[f"{_TOKEN}_FILE"] == f"/run/secrets/customer-sync/{_TOKEN}"


def _document() -> str:
    return (DEPLOY.parent / "docs" / "kubernetes.md").read_text(encoding="utf-8")


def test_the_memory_limit() -> None:
    """It leaves a quarter above the largest measurement; the request is what ordinary answers need."""
    rows = dict(re.findall(r"^\| \d+ pages at once: (\w+).*?((?: \| [\d,]+)+) \|$", _document(), re.MULTILINE))
    largest = max(int(figure.replace(",", "")) for row in rows.values() for figure in re.findall(r"[\d,]+", row))
    ordinary = max(map(int, re.findall(r"\d+", rows["ordinary"])))
    for job in (*JOBS, *SHARDED_JOBS, MANUAL):
        resources = job.container["resources"]
        assert int(resources["limits"]["memory"].removesuffix("Mi")) >= 1.25 * largest
        assert int(resources["requests"]["memory"].removesuffix("Mi")) >= ordinary


def test_the_document_names_what_there_is() -> None:
    """Each path, CronJob and deadline in the document exists."""
    text = _document()
    ours = KUBERNETES / "overlays" / "ours"  # what the reader makes of the example
    paths = {KUBERNETES.joinpath(path.rstrip(".")) for path in re.findall(r"deploy/kubernetes/([\w./-]+)", text)}
    assert all(path.exists() for path in paths if not path.is_relative_to(ours))
    rows = re.findall(r"^\| `(\w+)` \| ", text, re.MULTILINE)
    assert rows == [job.name for job in (*JOBS, MANUAL)]
    named = set(re.findall(r"customer-sync-(incremental|backfill|verify|manual)\b", text))
    assert named <= set(rows)
    assert f"{JOBS[0].job['activeDeadlineSeconds']} s after its start" in text


# What the pods run


def _environment(run: Command, manifests: list[Manifest], token: str) -> dict[str, str]:
    """What a pod gets: the ConfigMap, and the Secret as files."""
    (run.home / _TOKEN).write_text(token)
    return {
        name: text.replace("/run/secrets/customer-sync", str(run.home)) for name, text in config_map(manifests).items()
    }


@each_job
def test_the_command_lines(run: Command, job: CronJob) -> None:
    """Each pod runs a valid command line of this program."""
    outcome = run(None, *job.container["args"], "--help")
    assert (outcome.code, outcome.err) == (0, "")
    assert f"Usage: customer-sync {job.container['args'][0]}" in outcome.out


def test_the_base_alone(run: Command) -> None:
    """Without an overlay the run ends with exit code 2, and names the address that is missing."""
    outcome = run(None, *JOBS[0].container["args"], **_environment(run, PLAIN, "token"))
    assert outcome.code == 2
    assert re.findall(r"Error: (\w+)", outcome.err) == ["FOLKFORM_BASE_URL"]


@pytest.mark.parametrize("manifests", [PLAIN, SHARDED], ids=["plain", "sharded"])
def test_the_jobs_do_their_work(sandbox: StartSandbox, run: Command, manifests: list[Manifest]) -> None:
    """With the settings of the manifests, the three Jobs copy every customer, and verify finds no difference."""
    box = sandbox(pages=5, customers=20)
    addresses = {name: box.environment[name] for name in ("PANCAKE_BASE_URL", "FOLKFORM_BASE_URL")}
    environment = {**addresses, **_environment(run, manifests, box.environment[_TOKEN])}
    for job in scheduled(manifests):
        for pod in _start_pods(run, job, environment):
            assert run.end(pod).code == 0
    assert box.difference().equal


def _start_pods(run: Command, job: CronJob, environment: dict[str, str]) -> list[Any]:
    indexes = [{"JOB_COMPLETION_INDEX": str(index)} for index in range(job.shards)] if job.shards > 1 else [{}]
    return [run.start(None, *job.container["args"], **environment, **job.variables, **index) for index in indexes]


@pytest.mark.parametrize(("plain", "sharded"), list(zip(JOBS, SHARDED_JOBS, strict=True)), ids=lambda job: job.name)
def test_a_shard_is_a_pod_like_any_other(plain: CronJob, sharded: CronJob) -> None:
    """The overlay changes how many pods a Job has, and tells them how many: nothing else in them."""
    env = sharded.container["env"]
    assert {**sharded.pod, "containers": [{**plain.container, "env": env}]} == {
        **plain.pod,
        "containers": [sharded.container],
    }
    assert sharded.job["completionMode"] == "Indexed"


@pytest.mark.parametrize("count", [None, 2, 7])
def test_the_number_of_shards_is_in_one_place(tmp_path: Path, count: int | None) -> None:
    """One edit changes the pods of every Job and what they are told; with fewer pods, pages would never be synced."""
    shutil.copytree(KUBERNETES, tmp_path / "kubernetes")
    file = tmp_path / "kubernetes" / "overlays" / "sharded" / "shards.yaml"
    text = file.read_text(encoding="utf-8")
    (written,) = re.findall(r'shards: "(\d+)"', text)
    if count:
        file.write_text(text.replace(f'"{written}"', f'"{count}"'))
    expected = count or int(written)
    for job in scheduled(build(file.parent)):
        assert job.job["completions"] == job.job["parallelism"] == expected > 1
        assert job.variables == {SHARDS: str(expected)}


def test_an_own_overlay_holds_the_number_of_shards(tmp_path: Path) -> None:
    """The example with the two entries that the document names; without its own number it is not built."""
    shutil.copytree(KUBERNETES, tmp_path / "kubernetes")
    ours = tmp_path / "kubernetes" / "overlays" / "example"
    (added,) = re.findall(r"```yaml\n(resources:\n.*?)```", _document(), re.DOTALL)
    file = ours / "kustomization.yaml"
    kustomization = yaml.safe_load(file.read_text(encoding="utf-8"))
    file.write_text(yaml.safe_dump({**kustomization, **yaml.safe_load(added)}), encoding="utf-8")
    with pytest.raises(subprocess.CalledProcessError):
        build(ours)
    text = (KUBERNETES / "overlays" / "sharded" / "shards.yaml").read_text(encoding="utf-8")
    (ours / "shards.yaml").write_text(text.replace('shards: "4"', 'shards: "9"'), encoding="utf-8")
    manifests = build(ours)
    assert [job.shards for job in scheduled(manifests)] == [9, 9, 9]
    assert config_map(manifests) == config_map(EXAMPLE)  # the number itself is not sent to the cluster


def test_by_hand_it_is_one_pod_for_all_pages() -> None:
    """The CronJob for commands by hand never runs by itself, and no overlay makes shards of it."""
    assert MANUAL.spec["suspend"] is True
    assert manual(SHARDED).spec == MANUAL.spec
    assert "completions" not in MANUAL.job
    assert MANUAL.variables == {}
    assert MANUAL.job["ttlSecondsAfterFinished"] > 0
    # Kubernetes deletes the older ones with their logs, however short ago they ran.
    assert MANUAL.spec["successfulJobsHistoryLimit"] == MANUAL.spec["failedJobsHistoryLimit"] == 20


# Plays kubectl and, one line of `polls` after the other, the cluster: conditions of the Job, then its pods with name,
# start and exit code. `!` is a cluster that does not answer, `-` a Job that does not exist.
_KUBECTL = r"""#!/bin/sh
cd "${0%/*}"
echo "$*" >> calls
case "$*" in
  "create job "*) cat job.json ;;
  create*) cat > made ;;
  patch*) [ ! -e patch ] && cat || exec ./patch "$@" ;;
  "get "*" job "*)
    head -n 1 polls > now
    [ "$(wc -l < polls)" -eq 1 ] || { tail -n +2 polls > rest; mv rest polls; }
    case "$(cat now)" in !*) exit 1 ;; -*) ;; *) echo "Job $(cut -d ";" -f 1 now)" ;; esac ;;
  "get "*" pods "*) cut -s -d ";" -f 2- now | tr ";" "\n" ;;
  "get "*" pod "*) echo "ImagePullBackOff" ;;
  "logs "*)
    for pod; do :; done
    if grep -q "$pod <none> <none>" now; then echo "is waiting to start: ContainerCreating" >&2; exit 1; fi
    case "$*" in *"--tail 0"*) ;; *) echo "log of $pod" ;; esac ;;
esac
"""


def _run_sh(folder: Path, polls: list[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs run.sh with the kubectl above, without its pauses."""
    template = {**MANUAL.spec["jobTemplate"], "metadata": {"name": "any", "namespace": "ours"}}
    (folder / "job.json").write_text(json.dumps({"apiVersion": "batch/v1", "kind": "Job", **template}))
    (folder / "polls").write_text("".join(f"{poll}\n" for poll in polls))
    for name, script in (("kubectl", _KUBECTL), ("sleep", "#!/bin/sh\n")):
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
    return subprocess.run(
        [KUBERNETES / "run.sh", *arguments],
        env={"PATH": f"{folder}:{os.environ['PATH']}", "HOME": str(folder), "NAMESPACE": "ours"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl: kubernetes.io/docs/tasks/tools")
def test_run_sh_starts_the_command(tmp_path: Path) -> None:
    """The script starts the manual Job with the arguments as they are, in the namespace that it gets."""
    (tmp_path / "patch").symlink_to(str(shutil.which("kubectl")))
    arguments = ["explain", 'a "quoted" \\ name', "--page", "trang/của tôi 1"]
    ended = _run_sh(tmp_path, ["Failed;a <none> 75"], *arguments)
    assert (ended.returncode, ended.stdout) == (75, "log of a\n"), ended.stderr
    created = json.loads((tmp_path / "made").read_text())
    assert created["spec"]["template"]["spec"]["containers"][0]["args"] == arguments
    calls = (tmp_path / "calls").read_text().splitlines()
    assert all("--namespace ours" in call for call in calls if not call.startswith(("patch", "create --filename")))


_WAITING, _DRAINED = ";a <none> <none>", [";a now <none>", ";a <none> 143", ""]


@pytest.mark.parametrize(
    ("polls", "code", "out"),
    [
        (["", "", _WAITING, _WAITING, ";a now <none>", ";a <none> 0", "Complete;a <none> 0"], 0, ["a"]),
        ([_WAITING, ";a <none> 3", "FailureTarget;a <none> 3", "FailureTarget Failed;a <none> 3"], 3, ["a"]),
        ([*_DRAINED, ";b <none> <none>", ";b now <none>", "Complete;b <none> 0"], 0, ["a", "b"]),
        (
            [*_DRAINED, ";a <none> 143;b <none> <none>", ";a <none> 143;b now <none>", "Failed;b <none> 1"],
            1,
            ["a", "b"],
        ),
        (["!", ";a now <none>", "!", "!", ";a now <none>", "Complete;a <none> 0"], 0, ["a"]),
        ([";a now <none>", ";a <none> 143", "Failed;"], 143, ["a"]),
    ],
    ids=["slow start", "failed", "drained", "drained and failed", "cluster silent", "pod deleted"],
)
def test_run_sh_follows_the_command_to_its_end(tmp_path: Path, polls: list[str], code: int, out: list[str]) -> None:
    """The log of each pod once, from the moment that it has one, and the exit code of the newest."""
    ended = _run_sh(tmp_path, polls, "status")
    assert (ended.returncode, ended.stdout) == (code, "".join(f"log of {pod}\n" for pod in out)), ended.stderr
    assert ended.stderr == ""


@pytest.mark.parametrize(
    ("polls", "message"),
    [
        ([_WAITING] * 31 + ["Failed;"], r"\S+ has not started: a ImagePullBackOff\n\S+ failed, and has no pod .*\n"),
        ([""] * 31 + ["Failed;"], r"\S+ has not started: no pod yet .*\n\S+ failed, and has no pod .*\n"),
        (["-"], r"\S+ was deleted\n"),
    ],
    ids=["pod waits", "no pod", "Job deleted"],
)
def test_run_sh_names_what_keeps_the_command(tmp_path: Path, polls: list[str], message: str) -> None:
    """A Job that does not start is not silent: every 30 polls, a second apart, the reason is printed."""
    ended = _run_sh(tmp_path, polls, "status")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert re.fullmatch(message, ended.stderr)
