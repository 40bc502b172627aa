"""A run over a given day: a Job made from the chart's CronJob, with the day as its annotation.

The Job is the CronJob's own, so its history limits hold for it and its success counts as the CronJob's. A day that is
under way, or whose Job has succeeded, is not begun again unless that is asked for; a day whose Job failed is, and the
run goes on from its ledger. Names tell the attempts at a day apart, and the API refuses a name twice: two who ask at
the same time have one Job.

What becomes of the Job is left to its pod (`rayjob`), what is scored to the run itself.
"""

from __future__ import annotations

import copy
import datetime as dt
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from fivefold.cluster import rayjob
from fivefold.cluster.kubernetes_api import CRONJOB, JOB, RAYJOB, ApiError, Objects
from fivefold.cluster.period import DATE, Period, annotations_of, of_job
from fivefold.core.errors import NotFound, RunFailed

LABELS = {"app.kubernetes.io/part-of": "fivefold", "app.kubernetes.io/component": "batch"}
"""What the chart's CronJobs of batch scoring have."""

INSTANCE = "app.kubernetes.io/instance"
NAME = "fivefold.dev/job"
"""The label with the name that a job has in `batch.jobs`."""

PERIOD = "fivefold.dev/period"
"""The annotation of a CronJob whose runs are for an hour each; its value is `hour`."""

LONGEST = 63
"""Characters of a Job's name, which its pods have as a label."""

SECONDS = 5.0
"""Between two questions for a Job's state."""


@dataclass(frozen=True)
class SubmittedDay:
    """A Job; `fresh` where this call has made it. `state`: running, done or failed."""

    name: str
    period: str
    fresh: bool
    state: str


def cron_job(api: Objects, *, job: str = "", release: str = "") -> dict[str, Any]:
    """The CronJob that is meant. Raises `NotFound` where none is or several are, and `ApiError`."""
    found = api.find(CRONJOB, LABELS | ({INSTANCE: release} if release else {}))
    meant = [item for item in found if not job or job in (_job(item), item["metadata"]["name"])]
    if len(meant) == 1:
        return meant[0]
    where = f"in the namespace {api.namespace}"
    names = ", ".join(sorted(_job(item) or item["metadata"]["name"] for item in (meant or found)))
    if meant:
        again = len({_job(item) or item["metadata"]["name"] for item in meant}) < len(meant)
        way = "--release says of which release it is" if again else f"--job NAME says which is meant: {names}"
        raise NotFound("not_found", f"{len(meant)} CronJobs of batch scoring are {where}", help=way)
    if found:
        raise NotFound("not_found", f"no job {job!r} is {where}", help=f"there are: {names}")
    raise NotFound(
        "not_found",
        f"no CronJob of batch scoring is {where}",
        help="--namespace and --release say where it is; the chart makes one with batch.enabled",
    )


def _job(cron: Mapping[str, Any]) -> str:
    """The name in `batch.jobs`; empty for the only one of a release."""
    name: str = (cron["metadata"].get("labels") or {}).get(NAME, "")
    return name


def wanted(cron: Mapping[str, Any], text: str, now: dt.datetime | None = None) -> Period:
    """What the text means for this CronJob. Raises `ValueError` where that is nothing, or is not over yet."""
    zone = _zone(cron)
    period = Period.parse(text, zone, hourly=_hourly(cron))
    now = now or dt.datetime.now(dt.UTC)
    if now < period.end:
        raise ValueError(f"{period} is not over yet: it ends at {period.end:%Y-%m-%d %H:%M} ({zone})")
    return period


def _hourly(cron: Mapping[str, Any]) -> bool:
    return annotations_of(cron).get(PERIOD) == "hour"


def _zone(cron: Mapping[str, Any]) -> ZoneInfo:
    return ZoneInfo(cron["spec"].get("timeZone") or "Etc/UTC")


def submit(api: Objects, cron: Mapping[str, Any], period: Period, *, again: bool = False) -> SubmittedDay:
    """A Job for the period, or the one that is there: under way, or done unless it is wanted `again`.

    Raises `RunFailed` where the name is somebody else's, and `ApiError`.
    """
    jobs = _jobs(api, cron)
    there = [job for job in jobs if _is_for(job, cron, period)]
    for state in ("running", *(() if again else ("done",))):
        for job in there:
            if _state(job) == state:
                return SubmittedDay(job["metadata"]["name"], str(period), False, state)
    taken = {job["metadata"]["name"] for job in jobs}
    item = _made(cron, period, taken)
    name = item["metadata"]["name"]
    if api.create(JOB, item):
        return SubmittedDay(name, str(period), True, "running")
    found = api.read(JOB, name)
    if found is None or not _owned(found, cron) or not _is_for(found, cron, period):
        raise RunFailed("run_conflict", f"a Job {name} is there already, and is not for {period}")
    return SubmittedDay(name, str(period), False, _state(found))


def _jobs(api: Objects, cron: Mapping[str, Any]) -> list[dict[str, Any]]:
    labels = cron["spec"]["jobTemplate"].get("metadata", {}).get("labels") or {}
    return [job for job in api.find(JOB, labels) if _owned(job, cron)]


def _owned(item: Mapping[str, Any], owner: Mapping[str, Any]) -> bool:
    uid = owner["metadata"]["uid"]
    return any(each.get("uid") == uid for each in item["metadata"].get("ownerReferences") or ())


def _is_for(job: Mapping[str, Any], cron: Mapping[str, Any], period: Period) -> bool:
    try:
        return str(of_job(job, _zone(cron), hourly=_hourly(cron))) == str(period)
    except ValueError:
        return False


def _state(job: Mapping[str, Any]) -> str:
    ended = {each["type"] for each in job.get("status", {}).get("conditions") or () if each.get("status") == "True"}
    return "done" if "Complete" in ended else "failed" if "Failed" in ended else "running"


def _made(cron: Mapping[str, Any], period: Period, taken: set[str]) -> dict[str, Any]:
    """As `kubectl create job --from` makes it, with the day and the first name that nobody has."""
    about, template = cron["metadata"], copy.deepcopy(cron["spec"]["jobTemplate"])
    number = 1
    while (name := _name(about["name"], period, number)) in taken:
        number += 1
    owner = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "name": about["name"],
        "uid": about["uid"],
        "controller": True,
    }
    given = template.get("metadata") or {}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "labels": given.get("labels") or {},
            "annotations": {
                **(given.get("annotations") or {}),
                "cronjob.kubernetes.io/instantiate": "manual",
                DATE: str(period),
            },
            "ownerReferences": [owner],
        },
        "spec": template["spec"],
    }


def _name(cron: str, period: Period, number: int) -> str:
    end = f"-{period.digits}" + (f"-{number}" if number > 1 else "")
    return cron[: LONGEST - len(end)].rstrip("-") + end


def watch(api: Objects, name: str, seconds: float = SECONDS) -> Iterator[str]:
    """A sentence for each state that the Job and its RayJob come to, until the work is done.

    Raises `rayjob.NotDone` where it has ended otherwise, and `ApiError` where the API stays away.
    """
    last, failures = "", 0
    while True:
        try:
            job, run = _look(api, name)
        except ApiError as error:
            failures += 1
            if failures == rayjob.FAILURES or error.status in (401, 403):
                raise
            time.sleep(seconds)
            continue
        failures = 0
        if job is None:
            raise rayjob.NotDone(f"{name} has been deleted")
        status = run.get("status", {}) if run else {}
        sentence = f"{name}: {rayjob.state(status) if run else 'its pod starts'}"
        if sentence != last:
            last = sentence
            yield sentence
        if (state := _state(job)) == "done":
            return
        if state == "failed":
            raise rayjob.NotDone(f"{sentence}; {rayjob.reason(status) or _reason(job) or 'nothing more is known'}")
        time.sleep(seconds)


def _look(api: Objects, name: str) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """The Job, and the RayJob that its pod has made."""
    job = api.read(JOB, name)
    if job is None:
        return None, None
    runs: Sequence[dict[str, Any]] = api.find(RAYJOB, LABELS)
    return job, next((run for run in runs if _owned(run, job)), None)


def _reason(job: Mapping[str, Any]) -> str:
    """Why Kubernetes has given the Job up."""
    for each in job.get("status", {}).get("conditions") or ():
        if each["type"] == "Failed":
            return ": ".join(filter(None, (each.get("reason"), each.get("message"))))
    return ""
