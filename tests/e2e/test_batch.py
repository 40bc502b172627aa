"""Runs over files of a volume: killed and gone on with, submitted from outside, started by the CronJob.

What a run writes is compared with what this machine writes for the same files without a disturbance, byte by byte.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
import yaml

from fivefold.cluster import rayjob
from tests.e2e import bundles, cluster
from tests.e2e.report import Report

pytestmark = pytest.mark.e2e

DATA = cluster.ROOT / ".cache" / "kind" / "data"
"""The volume `data`, as this machine sees it."""

EXAMPLE = cluster.ROOT / "k8s" / "examples" / "batch-run.yaml"
RUN = "score-once"
FILES, ROWS = 100, 100_000
"""Each file is one fragment, and a run lasts long enough to be met in the middle."""

BAD = 3
"""Rows that the contract refuses."""

CRON = f"{cluster.NAME}-batch"
OF_CRON = ("-l", f"app.kubernetes.io/component=batch,app.kubernetes.io/instance={cluster.NAME}")

JOBS = "jobs"
"""A release of runs alone, beside the other."""

DAY = "2026-02-28"
"""The day that it scores."""


def _image() -> str:
    return f"fivefold/ray:{(cluster.ROOT / '.cache' / 'kind' / 'tag').read_text().strip()}"


def _rows(count: int, first: int = 0) -> pa.Table:
    """Golden rows of the demo, over and over, from the given one on."""
    golden, _ = bundles.build(1).golden()
    table = pa.Table.from_pylist(golden.to_records())
    return table.take(np.arange(first, first + count) % table.num_rows)


@pytest.fixture(scope="module", autouse=True)
def volume() -> Iterator[None]:
    """The volume with a bundle and files to score, and nothing of an earlier run; at the end no run is left."""
    _clear()
    # Runs write as a user of their own, whose files this one may not be able to remove.
    inside = ("in", "out", "models", "nightly", "jobs")
    cluster.command(
        *("docker", "run", "--rm", "--user", "0", "--network", "none", "--volume", f"{DATA}:/data", _image()),
        *("rm", "-rf", *(f"/data/{name}" for name in inside)),
    )
    (DATA / "in").mkdir()
    (DATA / "models").mkdir()
    bundles.build(1).archive(DATA / "models" / "breast-cancer.tar")
    for number in range(FILES):
        table = _rows(ROWS, number)
        if number == 0:
            radius = table["mean_radius"].to_numpy().copy()
            radius[:BAD] = -1
            table = table.set_column(table.column_names.index("mean_radius"), "mean_radius", pa.array(radius))
        pa.parquet.write_table(table, DATA / "in" / f"{number:03}.parquet")
    yield
    _clear()


def _clear() -> None:
    """Take away every run, and wait until its pods have gone."""
    _delete("rayjob", RUN)
    _delete("job", "--selector=app.kubernetes.io/component=batch-start")
    _delete("networkpolicy", RUN)
    cluster.until("the pods of runs to go", lambda: not _pods("ray.io/cluster") - _serving())


def _delete(kind: str, *words: str) -> None:
    cluster.kubectl("delete", kind, *words, "--ignore-not-found")


def _pods(selector: str) -> set[str]:
    return set(cluster.kubectl("get", "pods", "-l", selector, "-o", "name").split())


def _serving() -> set[str]:
    return _pods("app.kubernetes.io/component=online")


@pytest.fixture(scope="module")
def undisturbed(volume: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The report of the same run on this machine."""
    output = tmp_path_factory.mktemp("undisturbed")
    cluster.command(
        *(sys.executable, "-m", "fivefold", "score", "--model", str(bundles.build(1).path)),
        *("--input", str(DATA / "in" / "*.parquet"), "--output", str(output)),
    )
    return _report(output)


def _report(output: Path) -> dict[str, Any]:
    assert (output / "_SUCCESS").exists()
    found: dict[str, Any] = json.loads((output / "run.json").read_text())
    return found


def _parts(report: dict[str, Any]) -> dict[str, tuple[str, int]]:
    """Input file to the digest and the rows of what it became; paths differ between a pod and this machine."""
    return {Path(part["file"]).name: (part["sha256"], part["rows"]) for part in report["parts"]}


def _run() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cluster.kubectl("get", "rayjob", RUN, "-o", "json"))
    return found


def _status() -> dict[str, Any]:
    found: dict[str, Any] = _run().get("status", {})
    return found


def _finished() -> int:
    """Fragments that the run has finished, by its ledger."""
    return len([path for path in (DATA / "out" / "_ledger").glob("*.json") if path.name != "plan.json"])


def _kill(kind: str) -> int:
    """Take away the head or one worker without a farewell; the fragments that were finished by then."""
    ray = _status()["rayClusterName"]
    victim = sorted(_pods(f"ray.io/cluster={ray},ray.io/node-type={kind}"))[0]
    cluster.kubectl("delete", victim, "--grace-period=0", "--force", "--wait=false")
    return _finished()


def _ended() -> bool:
    return _status().get("jobDeploymentStatus") in rayjob.ENDED


def _example() -> str:
    text = re.sub(r"image: fivefold/ray:\S+", f"image: {_image()}", EXAMPLE.read_text())
    return text.replace("0" * 64, bundles.build(1).digest)


@pytest.mark.rare
def test_a_run_outlives_its_head_and_a_worker(undisturbed: dict[str, Any], figures: Report) -> None:
    """The driver goes with the head; the run goes on from its ledger on the next one, and comes out as undisturbed."""
    cluster.kubectl("apply", "--server-side", "-f", "-", given=_example())
    begun = time.monotonic()
    cluster.until("a part of the run", lambda: _finished() >= FILES // 10)
    first = _kill("head")
    cluster.until("the run to go on", lambda: _finished() >= first + FILES // 10)
    second = _kill("worker")
    cluster.until("the end of the run", _ended)
    seconds = time.monotonic() - begun
    assert _status()["jobStatus"] == "SUCCEEDED", _status()
    report = _report(DATA / "out")

    assert first < second < FILES, "the run was over before it was disturbed: more FILES"
    assert report["resumed_rows"] >= first * ROWS
    assert (report["rows"], report["quarantined"]) == (FILES * ROWS, BAD)
    assert report["scored"] + report["quarantined"] == report["rows"]
    assert _parts(report) == _parts(undisturbed)
    for part in report["parts"]:
        assert hashlib.sha256((DATA / "out" / part["part"]).read_bytes()).hexdigest() == part["sha256"]
    figures.fact(
        f"A run over {FILES * ROWS:,} rows in {FILES} files, its head killed after {first} files and a worker after "
        f"{second}: {seconds:.0f} s from `kubectl apply` to the end, and the same bytes as undisturbed."
    )


@contextmanager
def _forwarded(service: str) -> Iterator[str]:
    """`kubectl port-forward` to a service's dashboard; the address on this machine."""
    words = ["kubectl", "--context", cluster.CONTEXT, "--namespace", cluster.NAME, "port-forward", service, ":8265"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            found = re.search(r"127\.0\.0\.1:\d+", said)
            assert found, said
            yield f"http://{found[0]}"
        finally:
            process.terminate()


@pytest.mark.rare
def test_a_job_is_submitted_from_outside_with_the_token() -> None:
    """Through the port that kubectl opens, to the cluster that the run has left: the same run again scores nothing."""
    ray = _status()["rayClusterName"]
    token = base64.b64decode(cluster.kubectl("get", "secret", ray, "-o", "jsonpath={.data.auth_token}")).decode()
    with _forwarded(f"service/{_status()['rayClusterStatus']['head']['serviceName']}") as address:
        submit = [sys.executable, "-m", "ray.scripts.scripts", "job", "submit", "--address", address, "--"]
        submit += shlex.split(_run()["spec"]["entrypoint"])
        said = cluster.command(*submit, errors=True, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=token)
        refused = subprocess.run(
            submit,
            env=os.environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64},
            capture_output=True,
            text=True,
            timeout=cluster.SLOW,
        )

    assert "finished before, 0 rows scored now" in said
    assert "succeeded" in said
    assert refused.returncode != 0
    assert "Invalid authentication token" in refused.stderr


def test_the_cron_job_starts_a_run_for_yesterday(figures: Report) -> None:
    """Started by hand, as an operator would: its Job ends when the run has ended, with what the day's files became."""
    now = dt.datetime.now(dt.UTC).date()
    # The Job may be made a moment later, on the next day.
    days = [str(now - dt.timedelta(days=1)), str(now)]
    for day in days:
        (DATA / "nightly" / "in" / day).mkdir(parents=True)
        pa.csv.write_csv(_rows(500), DATA / "nightly" / "in" / day / "patients.csv")
    (DATA / "nightly").chmod(0o777)
    begun = time.monotonic()
    cluster.kubectl("create", "job", f"--from=cronjob/{CRON}", f"{CRON}-now")
    cluster.until("the Job", lambda: _job("succeeded") == "1" or _job("failed") == "1")
    seconds = time.monotonic() - begun
    said = cluster.kubectl("logs", f"job/{CRON}-now")
    (run,) = json.loads(cluster.kubectl("get", "rayjob", *OF_CRON, "-o", "json"))["items"]
    day = run["metadata"]["annotations"][rayjob.DATE]

    assert _job("succeeded") == "1", said
    assert day in days
    assert f"made, for {day}" in said
    assert "Complete, the command SUCCEEDED" in said
    report = _report(DATA / "nightly" / "out" / day)
    assert (report["rows"], report["scored"], report["quarantined"]) == (500, 500, 0)
    assert report["bundle"] == bundles.build(1).digest
    assert [owner["name"] for owner in run["metadata"]["ownerReferences"]] == [f"{CRON}-now"]
    figures.fact(f"A run that the CronJob starts, over 500 rows: {seconds:.0f} s, its own Ray cluster included.")


@pytest.mark.rare
def test_a_run_goes_with_its_job() -> None:
    """What the history limits remove takes its RayJob along, and so its cluster."""
    _delete("job", f"{CRON}-now")

    cluster.until(
        "the RayJob to go",
        lambda: not cluster.kubectl("get", "rayjob", *OF_CRON, "-o", "name").strip(),
    )


def _job(what: str) -> str:
    return cluster.kubectl("get", "job", f"{CRON}-now", "-o", f"jsonpath={{.status.{what}}}")


@pytest.fixture
def two_jobs(volume: None, tmp_path: Path) -> Iterator[None]:
    """A release with two jobs over the volume `data`; the first has its scratch on a volume of its own."""
    values = yaml.safe_load((cluster.ROOT / "k8s" / "kind" / "values.yaml").read_text())
    digest = bundles.build(1).digest
    places = {name: f"jobs/{name}" for name in ("first", "second")}
    values["online"] = {"enabled": False}
    values["image"] = {"tag": _image().rpartition(":")[2]}
    values["batch"] |= {
        "model": f"file:///bundles/claim/{digest}.tar#sha256={digest}",
        "workers": values["batch"]["workers"] | {"count": 1},
        # Long enough for the Job's pod to hear the end of what the command says.
        "ttlSecondsAfterFinished": 60,
        "jobs": [
            {"name": name, "input": [f"/data/{place}/in/{{date}}/*.csv"], "output": f"/data/{place}/out/{{date}}"}
            for name, place in places.items()
        ],
    }
    values["batch"]["jobs"][0] |= {"tmpClassName": "standard", "tmpSize": "1Gi", "format": "csv"}
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(values))
    cluster.helm("upgrade", "--install", JOBS, "helm/fivefold", "--values", tmp_path / "values.yaml")
    yield
    cluster.helm("uninstall", JOBS)
    _delete("secret", f"{JOBS}-fivefold-ray-token")


def _submit(job: str, *words: str, check: bool = True) -> str:
    """`fivefold batch submit --date` as a person types it; what it said."""
    where = ("--namespace", cluster.NAME, "--context", cluster.CONTEXT, "--release", JOBS)
    return cluster.command(
        *(sys.executable, "-m", "fivefold", "batch", "submit", "--date", DAY, "--job", job, *where, *words),
        check=check,
        errors=True,
    )


@pytest.mark.rare
def test_a_given_day_of_one_of_two_jobs(two_jobs: None, figures: Report) -> None:
    """By one command, once however often it is asked for; the other job does nothing."""
    for name, rows in (("first", 300), ("second", 500)):
        (DATA / "jobs" / name / "in" / DAY).mkdir(parents=True)
        pa.csv.write_csv(_rows(rows), DATA / "jobs" / name / "in" / DAY / "patients.csv")
    for path in (DATA / "jobs", DATA / "jobs" / "first", DATA / "jobs" / "second"):
        path.chmod(0o777)
    begun = time.monotonic()
    made = _submit("first", "--wait")
    seconds = time.monotonic() - begun
    again = _submit("first")
    unknown = _submit("third", check=False)
    name = made.split(":")[0]
    logged = cluster.kubectl("logs", f"job/{name}")

    report = _report(DATA / "jobs" / "first" / "out" / DAY)
    assert (report["rows"], report["scored"], report["quarantined"]) == (300, 300, 0)
    assert report["bundle"] == bundles.build(1).digest
    assert f"{name} has scored {DAY} already" in again
    assert "no job 'third'" in unknown
    assert "first, second" in unknown
    # The Job keeps what the run's command said.
    assert "300 in, 300 scored, 0 quarantined" in logged, logged
    assert not (DATA / "jobs" / "second" / "out").exists()
    assert not cluster.kubectl("get", "rayjob", "-l", "fivefold.dev/job=second", "-o", "name").strip()
    figures.fact(f"`fivefold batch submit --date` over 300 rows of one job of two: {seconds:.0f} s until it is done.")
