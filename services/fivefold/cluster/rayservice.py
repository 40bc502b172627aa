"""Whether a RayService has ever served: what tells a first release from one that does not answer just now.

KubeRay keeps it in the status. A cluster becomes the active one when its application runs for the first time, and from
the first endpoint on, the condition `Ready` says how many there are. One that has only failed so far has neither.
"""

from __future__ import annotations

from fivefold.cluster.kubernetes_api import RAYSERVICE, Api

BEFORE = ("NonZeroServeEndpoints", "ZeroServeEndpoints")
"""Reasons of `Ready` that KubeRay gives once there has been an endpoint; those before that are other ones."""


def has_served(api: Api, name: str) -> bool:
    """Whether the RayService of that name has answered at any time; False where there is none. Raises `ApiError`."""
    found = api.read(RAYSERVICE, name)
    status = (found or {}).get("status", {})
    if status.get("activeServiceStatus", {}).get("rayClusterName"):
        return True
    return any(each["type"] == "Ready" and each.get("reason") in BEFORE for each in status.get("conditions", ()))
