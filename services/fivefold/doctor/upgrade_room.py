"""Whether nodes have room for the second cluster that an upgrade of pods makes beside the first.

Asked is what the scheduler will ask: each pod's requests, node by node, against what a node can give less what its pods
have asked for. Taints, node selectors and cordons count; affinities, quotas and nodes that an autoscaler would add do
not, which the finding says. Which pods there will be is read of the RayService that is installed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from fivefold.doctor.finding import Finding

NEED = "an upgrade that changes pods makes a second cluster beside the first, for minutes"


class ApiReader(Protocol):
    """Who asks the cluster's API."""

    def get(self, path: str, **query: str) -> Any:
        """What the API says of a path."""


Amounts = dict[str, float]
"""Resource to amount: cores, bytes, or pieces; `pods` is how many pods."""


@dataclass(frozen=True, slots=True)
class WantedPod:
    """A pod of the second cluster."""

    role: str
    requests: Amounts
    selector: Mapping[str, str]
    tolerations: list[Mapping[str, Any]]


@dataclass(slots=True)
class NodeRoom:
    """A node, and what it can still give."""

    name: str
    free: Amounts
    labels: Mapping[str, str]
    taints: list[Mapping[str, Any]]

    def takes(self, pod: WantedPod) -> bool:
        """Whether the pod may run here, and finds what it asks for."""
        return (
            all(self.labels.get(name) == value for name, value in pod.selector.items())
            and all(any(_tolerates(one, taint) for one in pod.tolerations) for taint in self.taints)
            and all(self.free.get(name, 0.0) >= amount for name, amount in pod.requests.items())
        )


def room_for_upgrade(cluster: ApiReader, namespace: str) -> Iterator[Finding]:
    """A finding for each RayService of the namespace, with what its pods ask for and how many find no node."""
    services = (cluster.get(f"/apis/ray.io/v1/namespaces/{namespace}/rayservices") or {}).get("items", [])
    if not services:
        return
    nodes = _nodes(cluster)
    for service in services:
        pods = list(wanted_pods(service["spec"]["rayClusterConfig"]))
        left = unplaced(pods, [NodeRoom(node.name, dict(node.free), node.labels, node.taints) for node in nodes])
        name = f"room to upgrade {service['metadata']['name']}"
        says = f"{len(pods)} pods, {_said(_total(pods))}"
        if not left:
            yield Finding(name, "ok", f"{says}: the nodes have it", NEED)
            continue
        roles = ", ".join(f"{count} {role}" for role, count in Counter(pod.role for pod in left).items())
        free = _said({kind: sum(node.free.get(kind, 0.0) for node in nodes) for kind in ("cpu", "memory")})
        yield Finding(
            name,
            "warn",
            f"{says}: no node for {roles}; all {len(nodes)} nodes that take pods have {free} left",
            NEED,
            "add nodes, unless an autoscaler does; or ask for less: online.workers.resources, online.workers.count",
        )


def wanted_pods(config: Mapping[str, Any]) -> Iterator[WantedPod]:
    """The pods of a RayCluster as it is begun."""
    yield _wanted("head", config["headGroupSpec"])
    for group in config.get("workerGroupSpecs", ()):
        for _ in range(group.get("replicas", 0)):
            yield _wanted("workers", group)


def unplaced(pods: Iterable[WantedPod], nodes: list[NodeRoom]) -> list[WantedPod]:
    """The pods that find no node, the largest having been placed first, each where most is free. Takes from `nodes`."""
    left = []
    for pod in sorted(pods, key=lambda each: (-each.requests.get("cpu", 0.0), -each.requests.get("memory", 0.0))):
        fitting = [node for node in nodes if node.takes(pod)]
        if not fitting:
            left.append(pod)
            continue
        most = max(fitting, key=lambda node: (node.free.get("cpu", 0.0), node.free.get("memory", 0.0)))
        for name, amount in pod.requests.items():
            most.free[name] -= amount
    return left


def _wanted(role: str, group: Mapping[str, Any]) -> WantedPod:
    spec = group["template"]["spec"]
    return WantedPod(role, pod_requests(spec), spec.get("nodeSelector") or {}, spec.get("tolerations") or [])


def pod_requests(spec: Mapping[str, Any]) -> Amounts:
    """What a pod asks for: its containers together, or the largest that runs before them, beside those that stay."""
    staying: Amounts = {}
    largest: Amounts = {}
    for container in spec.get("initContainers") or ():
        asked = _requests(container)
        if container.get("restartPolicy") == "Always":
            staying = _sum(staying, asked)
        else:
            largest = _most(largest, _sum(staying, asked))
    for container in spec["containers"]:
        staying = _sum(staying, _requests(container))
    return _sum(_most(staying, largest), {"pods": 1.0}, _amounts(spec.get("overhead")))


def _nodes(cluster: ApiReader) -> list[NodeRoom]:
    taken: dict[str, Amounts] = {}
    # As the API's own cache has them: a large cluster's pods are many, and a moment's difference is none here.
    for pod in (cluster.get("/api/v1/pods", resourceVersion="0") or {}).get("items", []):
        node = pod["spec"].get("nodeName")
        if node and pod.get("status", {}).get("phase") not in ("Succeeded", "Failed"):
            taken[node] = _sum(taken.get(node, {}), pod_requests(pod["spec"]))
    rooms = []
    for node in (cluster.get("/api/v1/nodes") or {}).get("items", []):
        if node["spec"].get("unschedulable"):
            continue
        metadata, gives = node["metadata"], _amounts(node["status"]["allocatable"])
        free = {name: amount - taken.get(metadata["name"], {}).get(name, 0.0) for name, amount in gives.items()}
        taints = [
            each for each in node["spec"].get("taints") or () if each.get("effect") in ("NoSchedule", "NoExecute")
        ]
        rooms.append(NodeRoom(metadata["name"], free, metadata.get("labels") or {}, taints))
    # Those that nothing of ours may run on say nothing about room, so they are left out of what is said to be free.
    return [room for room in rooms if not any(taint.get("key", "").endswith("/control-plane") for taint in room.taints)]


def _requests(container: Mapping[str, Any]) -> Amounts:
    """A limit without a request is asked for."""
    resources = container.get("resources") or {}
    return _amounts(resources.get("limits")) | _amounts(resources.get("requests"))


def _amounts(quantities: Mapping[str, Any] | None) -> Amounts:
    from kubernetes.utils.quantity import parse_quantity

    return {
        name: float(parse_quantity(amount))  # type: ignore[no-untyped-call]  # it has no annotations
        for name, amount in (quantities or {}).items()
    }


def _sum(*parts: Amounts) -> Amounts:
    return {name: sum(part.get(name, 0.0) for part in parts) for name in {name for part in parts for name in part}}


def _most(one: Amounts, other: Amounts) -> Amounts:
    return {name: max(one.get(name, 0.0), other.get(name, 0.0)) for name in one | other}


def _total(pods: Iterable[WantedPod]) -> Amounts:
    return _sum(*(pod.requests for pod in pods))


def _said(amounts: Amounts) -> str:
    others = [f"{amount:g} {name}" for name, amount in sorted(amounts.items()) if "/" in name and "storage" not in name]
    parts = [f"{amounts.get('cpu', 0.0):.3g} cores", f"{amounts.get('memory', 0.0) / 2**30:.3g} GiB of memory", *others]
    return ", ".join(parts)


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    if toleration.get("effect") not in (None, "", taint.get("effect")):
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return toleration.get("key") in (None, "", taint.get("key"))
    return toleration.get("key") == taint.get("key") and (toleration.get("value") or "") == (taint.get("value") or "")
