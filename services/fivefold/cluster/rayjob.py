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
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

from fivefold.cluster.kubernetes_api import JOB, RAYJOB, Api, ApiError

SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"
"""The annotation of a Job that its CronJob made; one that a person made from the CronJob has none."""

DATE = "fivefold.dev/date"
"""The annotation of a RayJob with the date whose files it is for."""

SECONDS = 10.0
"""Between two questions for a run's state."""

FAILURES = 30
"""Questions without an answer, one after another, after which the pod gives up; its Job then starts another one."""

ENDED = ("Complete", "Failed", "ValidationFailed")
"""KubeRay's states of a RayJob that it leaves no more."""

_PLACE = re.compile(r"\{(date|year|month|day)\}")


class NotDone(Exception):
    """A run has ended, and not by having done its work; the message says how, and what it said last."""


def run(api: Api, manifest: Mapping[str, Any], job: str, zone: dt.tzinfo, seconds: float = SECONDS) -> Iterator[str]:
    """Make the RayJob for the Job of that name, or take the one that is there; a sentence for each state it comes to.

    Ends when the run has done its work. Raises `NotDone` where it has ended otherwise, and `ApiError`.
    """
    owner = api.read(JOB, job)
    if owner is None:
        raise ApiError(f"there is no Job {job} in the namespace {api.namespace}", 404)
    made = rayjob(manifest, owner, zone)
    name = made["metadata"]["name"]
    new = api.create(RAYJOB, made)
    yield f"{name}: {'made' if new else 'there already'}, for {made['metadata']['annotations'][DATE]}"
    yield from _watch(api, name, seconds)


def rayjob(manifest: Mapping[str, Any], job: Mapping[str, Any], zone: dt.tzinfo) -> dict[str, Any]:
    """The manifest with the Job's time in its name and the date before, as `zone` has it, in its command."""
    due = _due(job)
    date = due.astimezone(zone).date() - dt.timedelta(days=1)
    words = {"date": f"{date}", "year": f"{date:%Y}", "month": f"{date:%m}", "day": f"{date:%d}"}
    made = copy.deepcopy(dict(manifest))
    about = made["metadata"]
    about["name"] = f"{about['name']}-{due:%Y%m%d-%H%M}"
    about["annotations"] = {**about.get("annotations", {}), DATE: words["date"]}
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job["metadata"]["name"], "uid": job["metadata"]["uid"]}
    about["ownerReferences"] = [owner]
    made["spec"]["entrypoint"] = _PLACE.sub(lambda found: words[found[1]], made["spec"]["entrypoint"])
    return made


def _due(job: Mapping[str, Any]) -> dt.datetime:
    """When the Job was meant to start, in UTC: a late start is for the same date as a punctual one."""
    about = job["metadata"]
    due = about.get("annotations", {}).get(SCHEDULED) or about["creationTimestamp"]
    return dt.datetime.fromisoformat(due).astimezone(dt.UTC)


def _watch(api: Api, name: str, seconds: float) -> Iterator[str]:
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
        deployment, job = status.get("jobDeploymentStatus") or "New", status.get("jobStatus") or ""
        sentence = f"{name}: {deployment}" + (f", the command {job}" if job else "")
        if sentence != last:
            last = sentence
            yield sentence
        if deployment in ENDED:
            if (deployment, job) == ("Complete", "SUCCEEDED"):
                return
            why = ": ".join(filter(None, (status.get("reason"), status.get("message"))))
            raise NotDone(f"{sentence}; {why or 'nothing more is known'}")
        time.sleep(seconds)
