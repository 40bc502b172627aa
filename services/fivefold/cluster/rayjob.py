"""The RayJob of a scheduled run: made from a manifest when its Job's time has come, once, and watched to its end.

A CronJob makes Jobs, and what runs on Ray is a RayJob. So the Job's pod makes one, and stays until it has ended: that
no two runs overlap, how many are kept and who hears of a failure then holds for the run, not for its beginning alone.
The time that the Job was meant for is in the RayJob's name, so a second pod of the Job, after a drained node, finds
what the first one made and watches on. The RayJob belongs to its Job and goes with it.

What is in the manifest is left to the chart, how a run goes on after a fault to KubeRay and to the run's own ledger.
"""

from __future__ import annotations

import copy
import datetime as dt
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from fivefold.cluster import period
from fivefold.cluster.kubernetes_api import JOB, RAYJOB, ApiError, Objects
from fivefold.cluster.period import DATE

SECONDS = 10.0
"""Between two questions for a run's state."""

FAILURES = 30
"""Questions without an answer, one after another, after which the pod gives up; its Job then starts another one."""

ENDED = ("Complete", "Failed", "ValidationFailed")
"""KubeRay's states of a RayJob that it leaves no more."""

LONGEST = 47
"""Characters of a RayJob's name, to which KubeRay appends."""

Status = Mapping[str, Any]


class NotDone(Exception):
    """A run has ended, and not by having done its work; the message says how, and what it said last."""


def run(
    api: Objects,
    manifest: Mapping[str, Any],
    job: str,
    zone: dt.tzinfo,
    seconds: float = SECONDS,
    said: Callable[[Status], Iterator[str]] = lambda _: iter(()),
) -> Iterator[str]:
    """Make the RayJob for the Job of that name, or take the one that is there; a sentence for each state it comes to.

    `said` is asked at each look for what the command has said since, by the RayJob's status. Ends when the run has done
    its work. Raises `NotDone` where it has ended otherwise or is not to be, and `ApiError`.
    """
    owner = api.read(JOB, job)
    if owner is None:
        raise ApiError(f"there is no Job {job} in the namespace {api.namespace}", 404)
    try:
        made = rayjob(manifest, owner, zone)
    except ValueError as error:
        raise NotDone(f"the annotation {DATE} of the Job {job}: {error}") from None
    name, date = made["metadata"]["name"], made["metadata"]["annotations"][DATE]
    new = api.create(RAYJOB, made)
    if not new:
        found = api.read(RAYJOB, name)
        if found is not None and period.annotations_of(found).get(DATE) != date:
            raise NotDone(f"{name} is there already, for {period.annotations_of(found).get(DATE)} and not for {date}")
    yield f"{name}: {'made' if new else 'there already'}, for {date}"
    yield from _watch(api, name, seconds, said)


def rayjob(manifest: Mapping[str, Any], job: Mapping[str, Any], zone: dt.tzinfo) -> dict[str, Any]:
    """The manifest with what the Job is for in its command, and a name that is this Job's alone.

    Raises `ValueError` where the Job says what it is for, and that is no day, or no hour where the command needs one.
    """
    command = manifest["spec"]["entrypoint"]
    wanted = period.of_job(job, zone, hourly=period.is_hourly(command))
    made = copy.deepcopy(dict(manifest))
    about, of = made["metadata"], job["metadata"]
    # Of several that were made for given days within a minute, each has its own.
    own = f"{wanted.digits}-{of['uid'][:5]}" if DATE in period.annotations_of(job) else f"{period.due(job):%Y%m%d-%H%M}"
    about["name"] = _name(about["name"], own)
    about["annotations"] = {**about.get("annotations", {}), DATE: str(wanted)}
    about["ownerReferences"] = [{"apiVersion": "batch/v1", "kind": "Job", "name": of["name"], "uid": of["uid"]}]
    made["spec"]["entrypoint"] = wanted.fill(command)
    return made


def _name(job: str, own: str) -> str:
    """Both, and of a job's name that leaves no room a part with what tells it from others."""
    room = LONGEST - len(own) - 1
    if len(job) > room:
        told_by = hashlib.sha256(job.encode()).hexdigest()[:8]
        job = f"{job[: room - 9].rstrip('-')}-{told_by}"
    return f"{job}-{own}"


def state(status: Status) -> str:
    """What KubeRay says of a RayJob, and Ray of its command."""
    deployment, job = status.get("jobDeploymentStatus") or "New", status.get("jobStatus") or ""
    return deployment + (f", the command {job}" if job else "")


def reason(status: Status) -> str:
    """Why a RayJob has ended as it has; empty where nobody says."""
    return ": ".join(filter(None, (status.get("reason"), status.get("message"))))


def _watch(api: Objects, name: str, seconds: float, said: Callable[[Status], Iterator[str]]) -> Iterator[str]:
    last, failures = "", 0
    while True:
        try:
            found = api.read(RAYJOB, name)
        except ApiError:
            failures += 1
            if failures == FAILURES:
                raise
            time.sleep(seconds)
            continue
        failures = 0
        if found is None:
            raise NotDone(f"{name} has been deleted")
        status = found.get("status", {})
        yield from said(status)
        sentence = f"{name}: {state(status)}"
        if sentence != last:
            last = sentence
            yield sentence
        if status.get("jobDeploymentStatus") in ENDED:
            if (status["jobDeploymentStatus"], status.get("jobStatus")) == ("Complete", "SUCCEEDED"):
                return
            raise NotDone(f"{sentence}; {reason(status) or 'nothing more is known'}")
        time.sleep(seconds)
