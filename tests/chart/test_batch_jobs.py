"""Several batch jobs of one release: what each has of its own, and what it has from the values of batch."""

from __future__ import annotations

import datetime as dt
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from fivefold.cluster import rayjob, rerun
from fivefold.cluster.period import Period
from tests.chart.rendering import CHART, JOB, KUBERNETES, Release, helm, notes, objects, template

HOURLY, NIGHTLY = "fivefold-batch-hourly-admissions", "fivefold-batch-nightly"
KUBERAYS_LIMIT = 47
"""Characters of a RayJob's name."""


def runs() -> dict[str, dict[str, Any]]:
    """The RayJob that `JOB` makes, by the job's name."""
    return {run["metadata"]["labels"]["fivefold.dev/job"]: run for run in Release("batch-jobs").runs()}


def pod(run: dict[str, Any]) -> dict[str, Any]:
    """The pod of a run's workers."""
    spec: dict[str, Any] = run["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["template"]["spec"]
    return spec


def test_each_job_has_a_cron_job_with_a_schedule_of_its_own() -> None:
    """What it does not say, it has from batch; a history of one kind leaves the other as it is."""
    hourly, nightly = (Release("batch-jobs").one("CronJob", name)["spec"] for name in (HOURLY, NIGHTLY))

    assert [(cron["schedule"], cron["timeZone"], cron["suspend"]) for cron in (hourly, nightly)] == [
        ("7 * * * *", "Etc/UTC", False),
        ("0 2 * * *", "Europe/Berlin", True),
    ]
    assert [cron["startingDeadlineSeconds"] for cron in (hourly, nightly)] == [600, 3600]
    limits = ("successfulJobsHistoryLimit", "failedJobsHistoryLimit")
    assert [tuple(cron[limit] for limit in limits) for cron in (hourly, nightly)] == [(24, 3), (3, 3)]


def test_each_command_is_the_jobs_own() -> None:
    """Model, files, words and metrics; an empty value of a job stands in for one of batch."""
    said = {name: shlex.split(run["spec"]["entrypoint"])[3:] for name, run in runs().items()}

    assert said["hourly-admissions"] == [
        *("--model", f"s3://models/breast-cancer-1.tar#sha256={'a' * 64}"),
        *("--input", "s3://data/admissions/2026-03-01/01/*.parquet"),
        *("--output", "s3://scores/admissions/2026-03-01/01", "--format", "parquet", "--max-bad-fraction", "0"),
        *("--workers", "4", "--metrics", "http://push.monitoring.svc:9091", "--max-bad-rows", "1000"),
    ]
    assert said["nightly"] == [
        *("--model", f"s3://models/breast-cancer-2.tar#sha256={'b' * 64}"),
        *("--input", "/data/in/2026-02-28/*.csv", "--output", "/data/out/2026-02-28", "--format", "parquet"),
        *("--max-bad-fraction", "0.01", "--workers", "16", "--na", "NA,n a"),
    ]


def test_pods_have_machines_variables_and_scratch_of_their_job() -> None:
    """Mappings are taken key by key; scratch is the node's disk, or a volume that goes with the pod."""
    hourly, nightly = pod(runs()["hourly-admissions"]), pod(runs()["nightly"])
    scratch = [each["volumes"][0] for each in (hourly, nightly)]
    variables = {item["name"]: item.get("value") for item in nightly["containers"][0]["env"]}

    assert "nodeSelector" not in hourly
    assert nightly["nodeSelector"] == {"pool": "batch"}
    of = nightly["containers"][0]["resources"]
    assert (of["limits"]["memory"], of["limits"]["cpu"], of["requests"]["memory"]) == ("8Gi", "2", "3Gi")
    assert variables["AWS_REGION"] == "eu-central-1"
    assert variables["LANG"] == "C.UTF-8"
    assert scratch[0] == {"name": "tmp", "emptyDir": {"sizeLimit": "16Gi"}}
    claim = scratch[1]["ephemeral"]["volumeClaimTemplate"]["spec"]
    assert (claim["storageClassName"], claim["resources"]) == ("fast", {"requests": {"storage": "100Gi"}})
    assert [each["name"] for each in (hourly, nightly) for each in each["volumes"] if each["name"] == "data"] == [
        "data"
    ]


def test_a_job_with_annotations_for_its_account_has_one_of_its_own() -> None:
    """The others have that of all, which has no right of the one's."""
    release = Release("batch-jobs")
    accounts = {name: pod(run)["serviceAccountName"] for name, run in runs().items()}
    shared, own = release.one("ServiceAccount", "fivefold-batch"), release.one("ServiceAccount", f"{NIGHTLY}-run")

    assert accounts == {"hourly-admissions": "fivefold-batch", "nightly": f"{NIGHTLY}-run"}
    assert "annotations" not in shared["metadata"]
    assert own["metadata"]["annotations"] == {"eks.amazonaws.com/role-arn": "arn:aws:iam::000000000000:role/nightly"}
    assert own["automountServiceAccountToken"] is False


def test_each_job_is_watched() -> None:
    """An alert of each kind for each job, told apart by labels; the time that counts as missed is the job's own."""
    (group,) = [
        group
        for item in Release("batch-jobs").of("PrometheusRule")
        for group in item["spec"]["groups"]
        if any("Batch" in rule.get("alert", "") for rule in group["rules"])
    ]
    rules = [rule for rule in group["rules"] if "batch" in str(rule)]
    told = {(rule.get("alert") or rule["record"], rule["labels"]["cronjob"]) for rule in rules}
    missed = {rule["labels"]["cronjob"]: rule["expr"] for rule in rules if "Missed" in rule.get("alert", "")}

    assert told == {
        (name, cron)
        for name in ("fivefold:batch_failed:start", "FivefoldBatchRunFailed", "FivefoldBatchRunIsMissed")
        for cron in (HOURLY, NIGHTLY)
    }
    assert len(rules) == len(told)
    assert missed[HOURLY].endswith("> 600")
    assert missed[NIGHTLY].endswith("> 3600")


@pytest.mark.parametrize("release", ["fivefold", "a" * 53])
def test_names_fit_whatever_release_and_job_are_called(release: str) -> None:
    """Of CronJobs, of Jobs for a given day or hour, and of RayJobs, which differ where only a cut part differs."""
    values = yaml.safe_load((CHART / "ci" / "batch-jobs.yaml").read_text())
    first, second = values["batch"]["jobs"]
    first["name"], second["name"] = "a" * 17 + "b", "a" * 17 + "c"
    given = ("-f", "-", "--kube-version", KUBERNETES)
    done = helm("template", release, str(CHART), *given, values=yaml.safe_dump(values))
    assert done.returncode == 0, done.stderr
    found = objects(done.stdout)
    crons = [item for item in found if item["kind"] == "CronJob"]
    manifests = [json.loads(item["data"]["rayjob.json"]) for item in found if item["kind"] == "ConfigMap"]
    day = {"metadata": JOB["metadata"] | {"annotations": {"fivefold.dev/date": "2026-02-28"}}}
    hour = {"metadata": JOB["metadata"] | {"annotations": {"fivefold.dev/date": "2026-02-28T05"}}}
    made = [
        rayjob.rayjob(manifest, job, dt.UTC)["metadata"]["name"]
        for manifest in manifests
        for job in (JOB, hour if "{hour}" in manifest["spec"]["entrypoint"] else day)
    ]

    assert len(crons) == 2
    assert all(len(cron["metadata"]["name"]) <= 52 for cron in crons)
    assert len(set(made)) == 4
    assert all(len(name) <= KUBERAYS_LIMIT and "--" not in name for name in made)


def test_what_reruns_a_day_finds_the_jobs_of_the_chart() -> None:
    """Labels, annotations and time zone are those that `fivefold batch submit --date` goes by."""
    for cron, hourly in ((Release("batch-jobs").one("CronJob", name), name == HOURLY) for name in (HOURLY, NIGHTLY)):
        text = "2026-02-28T05" if hourly else "2026-02-28"
        period = rerun.wanted(cron, text, dt.datetime(2026, 3, 2, tzinfo=dt.UTC))

        assert rerun.LABELS.items() <= cron["metadata"]["labels"].items()
        assert cron["metadata"]["labels"][rerun.NAME] == cron["metadata"]["name"].removeprefix("fivefold-batch-")
        assert isinstance(period, Period)
        assert str(period) == text


def test_notes_say_how_each_is_run_again(noted: Path) -> None:
    """By its name."""
    said = notes(noted, yaml.safe_load((CHART / "ci" / "batch-jobs.yaml").read_text()))

    assert re.search(r"--date YYYY-MM-DDTHH --namespace \S+ --job hourly-admissions --wait", said)
    assert re.search(r"--date YYYY-MM-DD --namespace \S+ --job nightly --wait", said)
    assert "/data/in/{date}/*.csv to /data/out/{date}, by hand alone" in said


def test_who_asks_a_store_is_said_for_each_job(noted: Path) -> None:
    """By the path of the job's value, and with the account that its pods have."""
    values = yaml.safe_load((CHART / "ci" / "batch-jobs.yaml").read_text())
    values["batch"]["jobs"][1]["workers"].pop("accountAnnotations")
    said = notes(noted, values)

    assert "batch.jobs[0].input[0]: nothing says who asks s3://data/admissions/{date}/{hour}/*.parquet" in said
    assert "expected a Secret in batch.jobs[0].credentialsSecret" in said
    assert "batch.jobs[1].model: nothing says who asks s3://models/breast-cancer-2.tar" in said


def test_the_same_path_in_another_volume_is_another_place() -> None:
    """Which of two claims is meant is not in the path."""
    values = yaml.safe_load((CHART / "ci" / "batch-alone.yaml").read_text())
    job = {"input": ["/data/in/{date}/*.csv"], "output": "/data/out/{date}"}
    values["batch"]["jobs"] = [job | {"name": "a", "claim": "a"}, job | {"name": "b", "claim": "b"}]
    done = template(yaml.safe_dump(values))

    assert done.returncode == 0, done.stderr
