from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from tests.support.kubernetes_api import Cluster, running

from fivefold.cli import main
from fivefold.cluster import period, rayjob
from fivefold.cluster.kubernetes_api import Api, ApiError

JOB = "fivefold-batch-29430120"
BERLIN = ZoneInfo("Europe/Berlin")
NAME = "fivefold-batch-20260131-0030"
MANIFEST = {
    "apiVersion": "ray.io/v1",
    "kind": "RayJob",
    "metadata": {"name": "fivefold-batch", "labels": {"app": "scores"}},
    "spec": {"entrypoint": "fivefold batch run --input '/data/{year}/{month}/{day}/*.{csv,gz}' --output '/out/{date}'"},
}

STARTING: dict[str, Any] = {"jobDeploymentStatus": "Initializing"}
RUNNING: dict[str, Any] = {"jobDeploymentStatus": "Running", "jobStatus": "RUNNING"}
DONE: dict[str, Any] = {"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"}


def job(scheduled: str | None = "2026-01-31T00:30:00Z", created: str = "2026-01-31T00:30:04Z") -> dict[str, Any]:
    """A Job as the API has it; `scheduled` is written by its CronJob."""
    about: dict[str, Any] = {"name": JOB, "uid": "4711", "creationTimestamp": created}
    if scheduled:
        about["annotations"] = {period.SCHEDULED: scheduled}
    return {"metadata": about}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[tuple[Cluster, Api]]:
    with running(tmp_path) as (cluster, api):
        cluster.jobs[JOB] = job()
        yield cluster, api


def run(api: Api) -> list[str]:
    """Every sentence, without waiting between the questions."""
    return list(rayjob.run(api, MANIFEST, JOB, BERLIN, 0))


def test_a_run_is_made_with_its_dates_and_belongs_to_its_job() -> None:
    """Yesterday, in the time zone, wherever its command says a date; other braces are the command's own."""
    made = rayjob.rayjob(MANIFEST, job(), BERLIN)

    assert made["metadata"]["name"] == NAME
    assert made["metadata"]["annotations"] == {period.DATE: "2026-01-30"}
    assert made["metadata"]["labels"] == {"app": "scores"}
    assert made["spec"]["entrypoint"] == (
        "fivefold batch run --input '/data/2026/01/30/*.{csv,gz}' --output '/out/2026-01-30'"
    )
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": JOB, "uid": "4711"}
    assert made["metadata"]["ownerReferences"] == [owner]
    assert "{date}" in MANIFEST["spec"]["entrypoint"]  # type: ignore[index]  # the manifest is as it was


@pytest.mark.parametrize("given", [None, "2026-01-30"])
def test_names_have_room_for_what_kuberay_appends(given: str | None) -> None:
    """A job's name that leaves none is cut, and still told from another that begins alike."""
    asked = job()
    if given:
        asked["metadata"]["annotations"] = {period.DATE: given}
    names = [
        rayjob.rayjob({**MANIFEST, "metadata": {"name": name}}, asked, BERLIN)["metadata"]["name"]
        for name in ("a" * 33, "a" * 51 + "b", "a" * 51 + "c")
    ]

    assert len(set(names)) == 3
    assert all(len(name) <= 47 for name in names)
    assert names[0].startswith("a" * 33 + "-") or given


@pytest.mark.parametrize(
    ("scheduled", "zone", "date"),
    [
        ("2026-01-31T22:59:00Z", BERLIN, "2026-01-30"),
        ("2026-01-31T23:00:00Z", BERLIN, "2026-01-31"),
        ("2026-01-31T23:00:00Z", dt.UTC, "2026-01-30"),
        ("2026-01-31T23:00:00+01:00", dt.UTC, "2026-01-30"),
        ("2026-03-29T01:30:00Z", BERLIN, "2026-03-28"),
        ("2026-03-01T12:00:00Z", dt.UTC, "2026-02-28"),
    ],
)
def test_the_day_ends_where_the_time_zone_says(scheduled: str, zone: dt.tzinfo, date: str) -> None:
    """Also where a day has 23 hours, and over the end of a month."""
    assert rayjob.rayjob(MANIFEST, job(scheduled), zone)["metadata"]["annotations"][period.DATE] == date


def test_a_late_start_is_for_the_same_date() -> None:
    """A pod that starts after midnight does what its Job was meant for before."""
    late = rayjob.rayjob(MANIFEST, job("2026-01-31T23:55:00Z", "2026-02-01T00:10:00Z"), dt.UTC)

    assert late["metadata"]["annotations"][period.DATE] == "2026-01-30"
    assert late["metadata"]["name"] == "fivefold-batch-20260131-2355"


def test_a_job_that_a_person_made_is_for_the_time_it_was_made() -> None:
    """`kubectl create job --from` writes no scheduled time."""
    made = rayjob.rayjob(MANIFEST, job(None, "2026-01-31T09:41:30Z"), dt.UTC)

    assert made["metadata"]["name"] == "fivefold-batch-20260131-0941"


def test_a_run_is_watched_to_its_end(world: tuple[Cluster, Api]) -> None:
    """One sentence for each state, however often it is found."""
    cluster, api = world
    cluster.course = [{}, STARTING, STARTING, RUNNING, RUNNING, DONE]

    assert run(api) == [
        f"{NAME}: made, for 2026-01-30",
        f"{NAME}: New",
        f"{NAME}: Initializing",
        f"{NAME}: Running, the command RUNNING",
        f"{NAME}: Complete, the command SUCCEEDED",
    ]
    assert cluster.asked[:2] == [f"GET {JOB}", f"POST {NAME}"]


def test_a_second_pod_watches_on(world: tuple[Cluster, Api]) -> None:
    """What the first one has made is neither made again nor changed."""
    cluster, api = world
    cluster.course = [DONE]
    run(api)
    first = cluster.rayjobs[NAME]
    cluster.course = [RUNNING, DONE]

    said = run(api)

    assert said[0] == f"{NAME}: there already, for 2026-01-30"
    assert cluster.rayjobs == {NAME: first}


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (
            {"jobDeploymentStatus": "Failed", "jobStatus": "FAILED", "reason": "AppFailed", "message": "exit code 3"},
            ["Failed, the command FAILED", "AppFailed: exit code 3"],
        ),
        ({"jobDeploymentStatus": "Failed", "reason": "DeadlineExceeded"}, ["DeadlineExceeded"]),
        ({"jobDeploymentStatus": "ValidationFailed", "message": "name"}, ["ValidationFailed", "name"]),
        ({"jobDeploymentStatus": "Complete", "jobStatus": "STOPPED"}, ["STOPPED", "nothing more is known"]),
    ],
)
def test_an_end_without_the_work_is_told(world: tuple[Cluster, Api], state: dict[str, Any], words: list[str]) -> None:
    """A command that failed, a deadline, what the operator does not take, and a run that somebody stopped."""
    cluster, api = world
    cluster.course = [RUNNING, state]
    with pytest.raises(rayjob.NotDone) as caught:
        run(api)

    assert all(word in str(caught.value) for word in [NAME, *words])


def test_a_run_that_is_tried_again_has_not_ended(world: tuple[Cluster, Api]) -> None:
    """KubeRay goes on with a new cluster."""
    cluster, api = world
    retrying = {"jobDeploymentStatus": "Retrying", "jobStatus": "FAILED", "reason": "AppFailed"}
    cluster.course = [RUNNING, retrying, STARTING, RUNNING, DONE]

    assert run(api)[-1] == f"{NAME}: Complete, the command SUCCEEDED"


def test_a_run_that_is_deleted_is_not_done(world: tuple[Cluster, Api]) -> None:
    """Somebody has taken it away while it was watched."""
    cluster, api = world
    cluster.course = [RUNNING]
    course = rayjob.run(api, MANIFEST, JOB, BERLIN, 0)
    assert [next(course), next(course)][1] == f"{NAME}: Running, the command RUNNING"
    del cluster.rayjobs[NAME]

    with pytest.raises(rayjob.NotDone, match="deleted"):
        next(course)


@pytest.mark.full
def test_an_api_that_is_away_for_a_while_is_asked_again(world: tuple[Cluster, Api]) -> None:
    """Control planes are upgraded while runs go on; one that stays away ends the pod."""
    cluster, api = world
    cluster.course = [RUNNING, *[503] * (rayjob.FAILURES - 1), RUNNING, *[503] * (rayjob.FAILURES - 1), DONE]
    assert run(api)[-1] == f"{NAME}: Complete, the command SUCCEEDED"
    cluster.course = [RUNNING, *[503] * rayjob.FAILURES, DONE]

    with pytest.raises(ApiError, match="503"):
        run(api)


def test_a_job_that_is_not_there_is_named(world: tuple[Cluster, Api]) -> None:
    """Nothing is made for it."""
    cluster, api = world
    with pytest.raises(ApiError, match="no Job other"):
        list(rayjob.run(api, MANIFEST, "other", BERLIN, 0))

    assert not cluster.rayjobs


def test_what_the_api_says_against_a_run_is_passed_on(world: tuple[Cluster, Api]) -> None:
    """Its own sentence, beside the status."""
    cluster, api = world
    cluster.forbidden.add(NAME)

    with pytest.raises(ApiError, match=f"rayjobs: 403 Forbidden: {NAME} is none of yours"):
        run(api)


def command(
    world: tuple[Cluster, Api], directory: Path, patched: pytest.MonkeyPatch, *more: str, manifest: str = ""
) -> int:
    """`fivefold cluster rayjob` in a pod of this cluster."""
    patched.setattr(Api, "of_pod", lambda: world[1])
    (directory / "rayjob.json").write_text(manifest or json.dumps(MANIFEST))
    return main(["cluster", "rayjob", "--manifest", str(directory / "rayjob.json"), "--job", JOB, *more])


@pytest.mark.parametrize(
    ("state", "status", "words"),
    [
        (DONE, 0, ""),
        ({"jobDeploymentStatus": "Failed", "message": "exit code 3"}, 1, "goes on from there"),
        (403, 5, "KubeRay"),
    ],
)
def test_the_exit_status_tells_a_failed_run_from_an_api_that_does_not_answer(
    world: tuple[Cluster, Api],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    state: dict[str, Any] | int,
    status: int,
    words: str,
) -> None:
    """The Job's policy goes by it: another pod may reach the API, and changes nothing about a run that failed."""
    monkeypatch.setattr(rayjob, "FAILURES", 1)
    world[0].course = [state]

    assert command(world, tmp_path, monkeypatch, "--time-zone", "Europe/Berlin") == status
    said = capsys.readouterr()
    assert f"{NAME}: made, for 2026-01-30" in said.out
    assert words in said.err


@pytest.mark.parametrize("zone", ["Nowhere/City", "../etc/passwd", "Europe"])
def test_a_time_zone_that_is_none_is_refused(
    world: tuple[Cluster, Api], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    """Before anything is made, and for good."""
    assert command(world, tmp_path, monkeypatch, "--time-zone", zone) == 2
    assert not world[0].asked


def test_a_manifest_that_is_none_is_refused(
    world: tuple[Cluster, Api], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Likewise, with its file's name."""
    assert command(world, tmp_path, monkeypatch, manifest="kind: RayJob") == 2
    assert "rayjob.json" in capsys.readouterr().err
    assert not world[0].asked
