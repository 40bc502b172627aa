"""Batch: the CronJob, the RayJob that a Job of it makes, and what its pods see."""

from __future__ import annotations

import datetime as dt
import json
import re
import shlex
from typing import Any

import pytest
import yaml

from fivefold.cluster import rayjob
from tests.chart.rendering import CHART, JOB, KUBERNETES, ROOT, Release, helm, objects, template, typed

DIGEST = "a" * 64
ENABLED = ("batch", "batch-volume")
KUBERAYS_LIMIT = 47
"""Characters of a RayJob's name."""


def pods(release: Release) -> list[Any]:
    """Head and worker of a run."""
    return [typed(group["template"]["spec"], "V1PodSpec") for group in release.run_groups().values()]


def test_nothing_is_made_unless_values_say_so() -> None:
    """No account, no role, no CronJob."""
    release = Release("default")

    assert not release.of("CronJob")
    assert not release.runs()
    assert not [item for item in release.objects if "batch" in item["metadata"]["name"]]


def test_the_command_reaches_its_program_word_for_word() -> None:
    """Through the shell that Ray starts it with: blanks, quotes and wild cards stay; dates are filled in."""
    (run,) = Release("batch").runs()

    assert shlex.split(run["spec"]["entrypoint"]) == [
        *("fivefold", "batch", "run", "--model", f"s3://models/breast-cancer-2.tar#sha256={'b' * 64}"),
        *("--input", "s3://data/patients/year=2026/month=02/day=28/*.parquet"),
        "s3://data/late arrivals/2026-02-28's/*.jsonl.gz",
        *("--output", "s3://scores/patients/2026-02-28", "--format", "csv", "--columns", "patient,taken at"),
        *("--max-bad-fraction", "0.001", "--workers", "32"),
    ]


def test_a_run_has_a_cluster_of_its_own_and_tries_again() -> None:
    """The operator hands over the command, takes the cluster away, and begins anew after a failure."""
    (run,) = Release("batch").runs()
    spec = run["spec"]
    cluster = spec["rayClusterSpec"]

    assert run["metadata"]["name"] == "fivefold-batch-20260301-0200"
    assert spec["submissionMode"] == "HTTPMode"
    assert spec["shutdownAfterJobFinishes"] is True
    assert (spec["ttlSecondsAfterFinished"], spec["activeDeadlineSeconds"], spec["backoffLimit"]) == (60, 7200, 2)
    assert cluster["authOptions"] == {"mode": "token", "secretName": "fivefold-ray-token"}
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert cluster["workerGroupSpecs"][0]["rayStartParams"]["num-cpus"] == "8"
    assert {cluster["workerGroupSpecs"][0][name] for name in ("replicas", "minReplicas", "maxReplicas")} == {4}


def test_runs_do_not_overlap_and_are_kept_as_values_say() -> None:
    """The time zone that the CronJob goes by is the one whose yesterday is scored."""
    cron = Release("batch").one("CronJob")["spec"]
    container = cron["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]

    assert cron["concurrencyPolicy"] == "Forbid"
    assert (cron["schedule"], cron["timeZone"], cron["suspend"]) == ("30 1 * * 1-5", "Europe/Berlin", False)
    assert cron["startingDeadlineSeconds"] == 1800
    assert (cron["successfulJobsHistoryLimit"], cron["failedJobsHistoryLimit"]) == (14, 7)
    assert f"--time-zone={cron['timeZone']}" in container["args"]


@pytest.mark.parametrize("scenario", ENABLED)
def test_a_job_lasts_as_long_as_its_run_may(scenario: str) -> None:
    """Longer than all tries; a run that failed is not begun again by the Job, a drained node does not end it."""
    release = Release(scenario)
    (run,) = release.runs()
    job = release.one("CronJob")["spec"]["jobTemplate"]["spec"]
    failed, drained = job["podFailurePolicy"]["rules"]

    assert job["activeDeadlineSeconds"] > run["spec"]["activeDeadlineSeconds"] * (run["spec"]["backoffLimit"] + 1)
    assert job["template"]["spec"]["restartPolicy"] == "Never"
    assert (failed["action"], failed["onExitCodes"]["values"]) == ("FailJob", [1, 2])
    assert (drained["action"], drained["onPodConditions"][0]["type"]) == ("Ignore", "DisruptionTarget")


def test_the_pod_that_starts_a_run_finds_its_manifest_and_its_own_job() -> None:
    """By the mounted ConfigMap and by the label that Kubernetes gives the pods of a Job."""
    release = Release("batch")
    pod = dict(release.pods())["fivefold-batch"]
    container = pod.containers[0]
    mounts = {mount.name: mount.mount_path for mount in container.volume_mounts}
    volumes = {volume.name: volume for volume in pod.volumes}

    assert container.command == ["fivefold", "cluster", "rayjob"]
    assert f"--manifest={mounts['manifest']}/rayjob.json" in container.args
    assert volumes["manifest"].config_map.name == release.one("ConfigMap", "fivefold-batch")["metadata"]["name"]
    assert "--job=$(JOB)" in container.args
    field = next(item for item in container.env if item.name == "JOB").value_from.field_ref.field_path
    assert field == "metadata.labels['batch.kubernetes.io/job-name']"


def test_its_account_may_make_and_read_runs_and_nothing_else() -> None:
    """No Secret, no pod; of Jobs, whose time it needs, it may read."""
    release = Release("batch")
    rules = release.one("Role", "fivefold-batch-start")["rules"]
    binding = release.one("RoleBinding", "fivefold-batch-start")
    pod = dict(release.pods())["fivefold-batch"]

    assert {(*rule["apiGroups"], *rule["resources"]): rule["verbs"] for rule in rules} == {
        ("ray.io", "rayjobs"): ["create", "get"],
        ("batch", "jobs"): ["get"],
    }
    assert [subject["name"] for subject in binding["subjects"]] == [pod.service_account_name]
    assert binding["roleRef"]["name"] == "fivefold-batch-start"


def test_the_pods_of_a_run_have_its_account_machines_and_variables() -> None:
    """The head reads and lists as the workers do; machines are chosen for the workers."""
    release = Release("batch")
    head, worker = pods(release)
    account = release.one("ServiceAccount", "fivefold-batch")

    assert {head.service_account_name, worker.service_account_name} == {account["metadata"]["name"]}
    assert account["metadata"]["annotations"] == {"eks.amazonaws.com/role-arn": "arn:aws:iam::000000000000:role/batch"}
    assert worker.node_selector == {"pool": "batch"}
    assert [each.value for each in worker.tolerations] == ["batch"]
    assert head.node_selector is None
    for pod in (head, worker):
        variables = {item.name: item.value for item in pod.containers[0].env}
        assert variables["AWS_REGION"] == "eu-central-1"
        assert variables["RAY_AUTH_MODE"] == "token"
        assert [each.secret_ref.name for each in pod.containers[0].env_from] == ["object-store"]
        assert float(variables["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"]) < pod.termination_grace_period_seconds


def test_without_a_bundle_of_its_own_a_run_has_the_one_that_is_served() -> None:
    """Out of its image here: copied for head and workers, verified where it is opened, signed if keys are trusted."""
    release = Release("batch-volume")
    (run,) = release.runs()

    assert "--model /bundles/images/0 " in run["spec"]["entrypoint"]
    for pod in pods(release):
        (copy,) = pod.init_containers
        mounts = {mount.mount_path: mount.name for mount in pod.containers[0].volume_mounts}
        assert copy.volume_mounts[0].name == mounts["/bundles/images/0"]
        assert "/etc/fivefold/trusted" in mounts
        variables = {item.name: item.value for item in pod.containers[0].env}
        assert variables["FIVEFOLD_TRUSTED_KEYS"] == "/etc/fivefold/trusted/release.pem"


def test_a_url_is_taken_as_it_is_served() -> None:
    """No init container, the digest with it."""
    values = yaml.safe_load((CHART / "ci" / "default.yaml").read_text())
    values["batch"] = {"enabled": True, "input": ["/data/in/*.csv"], "output": "/data/{date}", "claim": "data"}
    manifest = manifest_of(template(yaml.safe_dump(values)).stdout)

    assert f"--model 'https://models.example/breast-cancer-1.tar#sha256={DIGEST}'" in manifest["spec"]["entrypoint"]
    pod = manifest["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    assert "initContainers" not in pod


def test_head_and_workers_see_the_files() -> None:
    """The volume is writable, and at the same path for all."""
    for pod in pods(Release("batch-volume")):
        mount = next(each for each in pod.containers[0].volume_mounts if each.mount_path == "/data")
        volume = next(each for each in pod.volumes if each.name == mount.name)

        assert volume.persistent_volume_claim.claim_name == "data"
        assert not mount.read_only
        assert not volume.persistent_volume_claim.read_only


@pytest.mark.parametrize("name", ["fivefold", "a" * 53, "a" * 26 + "-" + "b" * 26])
def test_names_are_short_enough_whatever_the_release_is_called(name: str) -> None:
    """KubeRay adds to a RayJob's name, and Kubernetes to a CronJob's; neither takes a name that is cut at a dash."""
    done = helm("template", name, str(CHART), "-f", str(CHART / "ci" / "batch.yaml"), "--kube-version", KUBERNETES)
    assert done.returncode == 0, done.stderr
    (cron,) = [item for item in objects(done.stdout) if item["kind"] == "CronJob"]
    made = rayjob.rayjob(manifest_of(done.stdout), JOB, dt.UTC)["metadata"]["name"]

    assert len(cron["metadata"]["name"]) <= 52
    assert len(made) <= KUBERAYS_LIMIT
    assert re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", made)
    assert "--" not in made


def test_the_readmes_values_are_taken() -> None:
    """As they stand there, beside what has to be given."""
    readme = (ROOT / "README.md").read_text()
    blocks = re.findall(r"^```yaml\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    (block,) = [text for text in blocks if "batch:" in text]
    done = template((CHART / "ci" / "default.yaml").read_text() + block)

    assert done.returncode == 0, done.stderr
    made = rayjob.rayjob(manifest_of(done.stdout), JOB, dt.UTC)
    assert "--input 's3://data/2026-02-28/*.parquet' --output 's3://scores/2026-02-28'" in made["spec"]["entrypoint"]


def manifest_of(text: str) -> dict[str, Any]:
    """The manifest in a rendering."""
    (found,) = [item for item in objects(text) if item["kind"] == "ConfigMap" and "rayjob.json" in item["data"]]
    manifest: dict[str, Any] = json.loads(found["data"]["rayjob.json"])
    return manifest
