"""A run as a job of a Ray cluster: submitted once, whoever asks for it how often.

A job's id is `batch-RUN-aN`: RUN is the digest of bundle, files and options where they can be seen from here, else of
what is asked for; N counts the attempts that the cluster has seen. Ray refuses an id that it knows, so two who submit
the same at once have one job. Token and address come from Ray's own variables.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fivefold.batch.output.sinks import Layout
from fivefold.batch.plan import planning
from fivefold.batch.plan.contract_choice import view_of
from fivefold.batch.plan.settings import BatchSettings
from fivefold.batch.run.job import Job
from fivefold.batch.run.preparation import RunOrder
from fivefold.batch.storage import sources as inputs
from fivefold.core.errors import AccessError, FivefoldError, RunFailed, Unavailable, first_line
from fivefold.delivery.fetch import fetch
from fivefold.delivery.settings import DeliverySettings
from fivefold.stores import object_store

ADDRESS = "RAY_API_SERVER_ADDRESS"
ADDRESS_HELP = (
    f"give --address http://HOST:8265, or set {ADDRESS}; RAY_AUTH_MODE=token with RAY_AUTH_TOKEN is Ray's login"
)

ENDED = ("FAILED", "STOPPED")


@dataclass(frozen=True, slots=True)
class Submitted:
    """A job; `fresh` where this call has submitted it, else it was there, in that state."""

    id: str
    fresh: bool
    state: str


def named(order: RunOrder, settings: BatchSettings, delivery: DeliverySettings) -> tuple[str, Job]:
    """The part of a job's id that says which run it is, and the job.

    Files of a disk of the cluster's own cannot be seen from here: then it is the digest of the order, and whatever lies
    there when the job begins is scored. Nothing is written: the plan is the job's own, made by the versions that do the
    work. Raises what `fetch` and `sources.find` raise.
    """
    if not all(map(object_store.is_remote, (*order.inputs, order.output))):
        return _digest({**asdict(order), "settings": asdict(settings)}), Job(order, settings)
    bundle = fetch(order.model, delivery)
    Layout.of(view_of(bundle, settings), bundle.name, settings.columns)
    files = inputs.find(order.inputs, digests=settings.digest_inputs, allow_http=settings.store_http)
    expected = planning.asked(bundle, files)
    name = _digest({"output": order.output, "facts": planning.facts(bundle, settings), "expected": expected})
    return name, Job(order, settings, expected)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def submit(name: str, command: Sequence[str], *, address: str | None, metadata: dict[str, str]) -> Submitted:
    """Submit `python -m fivefold COMMAND` as the next attempt, unless one is on its way or has succeeded.

    Raises `Unavailable` where the cluster does not answer, `AccessError` without its login, `RunFailed` where it
    refuses.
    """
    client = _client(address)
    prefix = f"batch-{name}-a"
    try:
        jobs = {job.submission_id: str(job.status.value) for job in client.list_jobs() if job.submission_id}
    except Exception as err:
        raise _refused(err) from err
    attempts = {
        int(id.removeprefix(prefix)): id for id in jobs if id.startswith(prefix) and id[len(prefix) :].isdigit()
    }
    last = max(attempts, default=0)
    if last and jobs[attempts[last]] not in ENDED:
        return Submitted(attempts[last], False, jobs[attempts[last]])
    id = f"{prefix}{last + 1}"
    try:
        client.submit_job(
            entrypoint=shlex.join(("python", "-m", "fivefold", *command)), submission_id=id, metadata=metadata
        )
    except Exception as err:
        if "already exists" in str(err):
            return Submitted(id, False, "PENDING")
        raise _refused(err) from err
    return Submitted(id, True, "PENDING")


def _client(address: str | None) -> Any:
    address = address or os.environ.get(ADDRESS)
    if not address:
        raise Unavailable("not_ready", "no cluster is named", help=ADDRESS_HELP)
    from ray.job_submission import JobSubmissionClient

    try:
        return JobSubmissionClient(address)
    except Exception as err:
        raise _refused(err) from err


def _refused(err: Exception) -> FivefoldError:
    """What the cluster's answer, or its silence, means; Ray's client raises bare exceptions for most of it."""
    from ray.exceptions import AuthenticationError

    reason = first_line(err)
    if isinstance(err, AuthenticationError):
        return AccessError("unauthenticated", f"the cluster refuses: {reason}", help=ADDRESS_HELP)
    if isinstance(err, OSError) or "Failed to connect" in reason or "status code 5" in reason:
        return Unavailable("not_ready", f"the cluster does not answer: {reason}", help=ADDRESS_HELP)
    return RunFailed("run_conflict", f"the cluster refuses: {reason}", help=ADDRESS_HELP)
