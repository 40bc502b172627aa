"""CronJobs and Jobs of batch scoring as the API of a cluster has them."""

from __future__ import annotations

from typing import Any

from fivefold.cluster import rerun

STARTS = {"app.kubernetes.io/part-of": "fivefold", "app.kubernetes.io/component": "batch-start"}


def cron_job(name: str = "fivefold-batch", job: str = "", release: str = "fivefold", **more: str) -> dict[str, Any]:
    """A CronJob as the chart makes it; `more`: time_zone, and period where it is for hours."""
    labels = {**rerun.LABELS, rerun.INSTANCE: release}
    template = {**STARTS, rerun.INSTANCE: release}
    if job:
        labels[rerun.NAME] = template[rerun.NAME] = job
    about: dict[str, Any] = {"name": name, "uid": f"uid-of-{name}", "labels": labels}
    if "period" in more:
        about["annotations"] = {rerun.PERIOD: more["period"]}
    return {
        "metadata": about,
        "spec": {
            "timeZone": more.get("time_zone", "Etc/UTC"),
            "jobTemplate": {"metadata": {"labels": template}, "spec": {"backoffLimit": 6, "template": {"spec": {}}}},
        },
    }


def owned(name: str, cron: dict[str, Any], **annotations: str) -> dict[str, Any]:
    """A Job of the CronJob."""
    about = cron["metadata"]
    return {
        "metadata": {
            "name": name,
            "uid": f"uid-of-{name}",
            "creationTimestamp": "2026-01-31T09:41:30Z",
            "labels": dict(cron["spec"]["jobTemplate"]["metadata"]["labels"]),
            "annotations": annotations,
            "ownerReferences": [{"kind": "CronJob", "name": about["name"], "uid": about["uid"]}],
        }
    }


def ended(job: dict[str, Any], how: str, message: str = "") -> dict[str, Any]:
    """The Job with its end in its status: Complete or Failed."""
    job["status"] = {"conditions": [{"type": how, "status": "True", "message": message}]}
    return job
