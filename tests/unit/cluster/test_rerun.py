from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.cron_jobs import cron_job, ended, owned
from tests.support.kubernetes_api import Cluster, running

from fivefold.cluster import period, rayjob, rerun
from fivefold.cluster.kubernetes_api import Api
from fivefold.core.errors import NotFound, RunFailed

NOW = dt.datetime(2026, 2, 1, 12, tzinfo=dt.UTC)
NAME = "fivefold-batch-20260130"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[tuple[Cluster, Api]]:
    with running(tmp_path) as (cluster, api):
        have(cluster, cron_job())
        yield cluster, api


def have(cluster: Cluster, *crons: dict[str, Any]) -> None:
    """These CronJobs and no others."""
    cluster.cronjobs = {each["metadata"]["name"]: each for each in crons}


def submit(api: Api, day: str = "2026-01-30", **more: Any) -> rerun.SubmittedDay:
    """A day by the only CronJob."""
    cron = rerun.cron_job(api)
    return rerun.submit(api, cron, rerun.wanted(cron, day, NOW), **more)


def test_a_day_becomes_a_job_of_the_cron_job(world: tuple[Cluster, Api]) -> None:
    """Made as kubectl makes it, so that history, success and labels are the CronJob's."""
    cluster, api = world

    made = submit(api)

    assert made == rerun.SubmittedDay(NAME, "2026-01-30", True, "running")
    job = cluster.jobs[NAME]
    assert job["metadata"]["annotations"][period.DATE] == "2026-01-30"
    (owner,) = job["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("CronJob", "uid-of-fivefold-batch", True)
    template = cluster.cronjobs["fivefold-batch"]["spec"]["jobTemplate"]
    assert job["spec"] == template["spec"]
    assert job["metadata"]["labels"] == template["metadata"]["labels"]


def test_the_job_makes_the_run_of_its_day() -> None:
    """What its pod reads of it: the day is in the command, and the name is no other Job's."""
    manifest = {"metadata": {"name": "fivefold-batch"}, "spec": {"entrypoint": "score {date} {hour}"}}
    one, other = (owned(NAME, cron_job(), **{period.DATE: f"2026-01-30T0{hour}"}) for hour in (1, 2))

    made = [rayjob.rayjob(manifest, job, dt.UTC) for job in (one, other)]

    assert [run["spec"]["entrypoint"] for run in made] == ["score 2026-01-30 01", "score 2026-01-30 02"]
    assert made[0]["metadata"]["name"] == "fivefold-batch-2026013001-uid-o"
    assert len({run["metadata"]["name"] for run in made}) == 2


def test_the_same_day_twice_is_one_job(world: tuple[Cluster, Api]) -> None:
    """The second says so."""
    cluster, api = world
    submit(api)

    assert submit(api) == rerun.SubmittedDay(NAME, "2026-01-30", False, "running")
    assert list(cluster.jobs) == [NAME]


def test_a_day_that_is_done_is_done_again_only_when_asked(world: tuple[Cluster, Api]) -> None:
    """Then with a name of its own."""
    cluster, api = world
    submit(api)
    ended(cluster.jobs[NAME], "Complete")
    assert submit(api) == rerun.SubmittedDay(NAME, "2026-01-30", False, "done")

    assert submit(api, again=True) == rerun.SubmittedDay(f"{NAME}-2", "2026-01-30", True, "running")
    assert submit(api, again=True).fresh is False


def test_a_day_that_failed_begins_again(world: tuple[Cluster, Api]) -> None:
    """As often as it fails."""
    cluster, api = world
    for name in (NAME, f"{NAME}-2", f"{NAME}-3"):
        assert submit(api) == rerun.SubmittedDay(name, "2026-01-30", True, "running")
        ended(cluster.jobs[name], "Failed")


def test_the_schedules_own_job_counts(world: tuple[Cluster, Api]) -> None:
    """It is for the day before it was due; one of another CronJob is not it."""
    cluster, api = world
    scheduled = owned("fivefold-batch-29498401", cron_job(), **{period.SCHEDULED: "2026-01-31T02:00:00Z"})
    other = owned("other-29498401", cron_job("other"), **{period.SCHEDULED: "2026-01-30T02:00:00Z"})
    cluster.jobs = {each["metadata"]["name"]: each for each in (scheduled, other)}

    assert submit(api).name == "fivefold-batch-29498401"
    assert submit(api, "2026-01-29").fresh


def test_two_who_ask_at_once_have_one_job(world: tuple[Cluster, Api], monkeypatch: pytest.MonkeyPatch) -> None:
    """The second sees none, and the API refuses the name."""
    cluster, api = world
    submit(api)
    monkeypatch.setattr(rerun, "_jobs", lambda *_: [])

    assert submit(api) == rerun.SubmittedDay(NAME, "2026-01-30", False, "running")
    assert len(cluster.jobs) == 1


def test_a_name_that_is_somebody_elses_is_refused(world: tuple[Cluster, Api]) -> None:
    """A day that was never begun is not called under way."""
    cluster, api = world
    cluster.jobs[NAME] = owned(NAME, cron_job("other"), **{period.DATE: "2026-01-30"})

    with pytest.raises(RunFailed, match=f"{NAME} is there already, and is not for 2026-01-30"):
        submit(api)


@pytest.mark.parametrize(
    ("day", "zone"),
    [
        ("2026-02-01", "Etc/UTC"),
        ("2027-01-01", "Etc/UTC"),
        ("2026-02-01", "Pacific/Kiritimati"),
        ("2026-01-31", "Etc/GMT+12"),
    ],
)
def test_a_day_that_is_not_over_is_refused(world: tuple[Cluster, Api], day: str, zone: str) -> None:
    """Half a day would be published as a whole one. Where the zone's day ends counts."""
    cluster, api = world
    have(cluster, cron_job(time_zone=zone))
    with pytest.raises(ValueError, match=f"{day} is not over yet") as caught:
        rerun.wanted(rerun.cron_job(api), day, NOW.replace(hour=9))

    assert zone in str(caught.value)


def test_hours_are_meant_where_the_cron_job_says_so(world: tuple[Cluster, Api]) -> None:
    """A day there is refused."""
    cluster, api = world
    have(cluster, cron_job(period="hour"))

    assert submit(api, "2026-02-01T11").name == "fivefold-batch-2026020111"
    with pytest.raises(ValueError, match="not over"):
        submit(api, "2026-02-01T12")
    with pytest.raises(ValueError, match="expected an hour"):
        submit(api, "2026-01-31")


def test_one_of_several_jobs_has_to_be_named(world: tuple[Cluster, Api]) -> None:
    """The refusal says which there are."""
    cluster, api = world
    have(cluster, cron_job("fivefold-batch-eu", "eu"), cron_job("fivefold-batch-us", "us"))

    assert rerun.cron_job(api, job="us")["metadata"]["name"] == "fivefold-batch-us"
    with pytest.raises(NotFound) as caught:
        rerun.cron_job(api)
    assert caught.value.help == "--job NAME says which is meant: eu, us"
    with pytest.raises(NotFound, match="no job 'asia'") as caught:
        rerun.cron_job(api, job="asia")
    assert caught.value.help == "there are: eu, us"


def test_one_of_several_releases_has_to_be_named(world: tuple[Cluster, Api]) -> None:
    """Where a job's name is not enough."""
    cluster, api = world
    have(cluster, cron_job("a-batch-eu", "eu", "a"), cron_job("b-batch-eu", "eu", "b"))
    with pytest.raises(NotFound) as caught:
        rerun.cron_job(api, job="eu")

    assert "--release" in (caught.value.help or "")
    assert rerun.cron_job(api, job="eu", release="b")["metadata"]["name"] == "b-batch-eu"


def test_without_a_cron_job_the_way_to_one_is_told(world: tuple[Cluster, Api]) -> None:
    """Its namespace, and the value that makes one."""
    cluster, api = world
    have(cluster)
    with pytest.raises(NotFound, match="in the namespace scores") as caught:
        rerun.cron_job(api)

    assert "batch.enabled" in (caught.value.help or "")


def test_names_are_short_enough_however_long_the_cron_jobs_is(world: tuple[Cluster, Api]) -> None:
    """A Job's name is a label of its pods."""
    cluster, api = world
    have(cluster, cron_job("f" * 46 + "-batch", period="hour"))
    first = submit(api, "2026-01-30T05")
    ended(cluster.jobs[first.name], "Failed")
    second = submit(api, "2026-01-30T05")

    assert first.name != second.name
    assert all(len(made.name) <= rerun.LONGEST and "--" not in made.name for made in (first, second))


def watched(api: Api, name: str = NAME) -> Iterator[str]:
    return rerun.watch(api, name, 0)


def test_a_job_is_watched_to_its_end(world: tuple[Cluster, Api]) -> None:
    """By what its RayJob comes to, each state once."""
    cluster, api = world
    submit(api)
    course = watched(api)
    assert next(course) == f"{NAME}: its pod starts"
    cluster.jobs[NAME]["metadata"]["uid"] = "of-the-job"
    run = {"name": "run", "labels": rerun.LABELS, "ownerReferences": [{"uid": "of-the-job"}]}
    cluster.rayjobs["run"] = {"metadata": run, "status": {"jobDeploymentStatus": "Running", "jobStatus": "RUNNING"}}
    assert next(course) == f"{NAME}: Running, the command RUNNING"
    cluster.rayjobs["run"]["status"] = {"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"}
    ended(cluster.jobs[NAME], "Complete")

    assert list(course) == [f"{NAME}: Complete, the command SUCCEEDED"]


def test_a_job_that_fails_says_why(world: tuple[Cluster, Api]) -> None:
    """In the RayJob's words where there is one, otherwise in Kubernetes'."""
    cluster, api = world
    submit(api)
    ended(cluster.jobs[NAME], "Failed", "DeadlineExceeded")

    with pytest.raises(rayjob.NotDone, match="DeadlineExceeded"):
        list(watched(api))


def test_a_job_that_is_deleted_is_not_done(world: tuple[Cluster, Api]) -> None:
    """Somebody took it away."""
    with pytest.raises(rayjob.NotDone, match="deleted"):
        list(watched(world[1]))
