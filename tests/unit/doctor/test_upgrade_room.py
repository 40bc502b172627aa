"""Room for a second cluster: what its pods ask for, and whether nodes have it."""

from __future__ import annotations

from typing import Any

import pytest

from fivefold.doctor.finding import Finding
from fivefold.doctor.upgrade_room import pod_requests, room_for_upgrade

Spec = dict[str, Any]
GIB = 2**30


def container(cpu: str, memory: str, **more: Any) -> Spec:
    """One with these requests."""
    return {"resources": {"requests": {"cpu": cpu, "memory": memory}}, **more}


def service(workers: int = 2, cpu: str = "2", **pod: Any) -> Spec:
    """A RayService of a head with half a core and workers with `cpu`."""
    head = {"template": {"spec": {"containers": [container("500m", "1Gi")]}}}
    worker = {"replicas": workers, "template": {"spec": {"containers": [container(cpu, "2Gi")], **pod}}}
    config = {"headGroupSpec": head, "workerGroupSpecs": [worker]}
    return {"metadata": {"name": "fivefold"}, "spec": {"rayClusterConfig": config}}


def node(name: str, cpu: str = "4", memory: str = "16Gi", pods: str = "110", labels: Any = None, **spec: Any) -> Spec:
    """A node that can give so much."""
    return {
        "metadata": {"name": name, "labels": labels or {}},
        "spec": spec,
        "status": {"allocatable": {"cpu": cpu, "memory": memory, "pods": pods}},
    }


def pod(where: str, cpu: str, phase: str = "Running") -> Spec:
    """A pod that is there."""
    return {"spec": {"nodeName": where, "containers": [container(cpu, "1Gi")]}, "status": {"phase": phase}}


class Cluster:
    """Answers by path."""

    def __init__(self, services: list[Spec], nodes: list[Spec], pods: list[Spec]) -> None:
        self._answers = {
            "/apis/ray.io/v1/namespaces/models/rayservices": {"items": services},
            "/api/v1/nodes": {"items": nodes},
            "/api/v1/pods": {"items": pods},
        }

    def get(self, path: str, **_: str) -> Any:
        return self._answers.get(path)


def finding(services: list[Spec], nodes: list[Spec], pods: list[Spec]) -> Finding:
    """The only one."""
    (found,) = room_for_upgrade(Cluster(services, nodes, pods), "models")  # type: ignore[arg-type]  # all that is asked
    return found


TAINT = {"key": "pool", "value": "scores", "effect": "NoSchedule"}
MASTER = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}

ROOM: dict[str, tuple[Spec, list[Spec], list[Spec], str]] = {
    "enough": (service(), [node("a"), node("b")], [pod("a", "1"), pod("b", "1")], ""),
    "all but a piece": (service(), [node("a"), node("b")], [pod("a", "3"), pod("b", "3")], "no node for 2 workers"),
    "enough together and on no node": (service(1, "3"), [node("a", "2"), node("b", "2")], [], "no node for 1 workers"),
    "pods that have ended take nothing": (service(1), [node("a", "3")], [pod("a", "2", "Succeeded")], ""),
    "memory": (service(), [node("a", memory="4Gi")], [], "no node for 1 head"),
    "no more pods": (service(1), [node("a", pods="1")], [], "no node for 1 head"),
    "a cordon": (service(1), [node("a", unschedulable=True)], [], "no node for 1 workers, 1 head; all 0 nodes"),
    "a control plane": (service(1), [node("a", taints=[MASTER])], [], "all 0 nodes"),
    "a taint": (service(1), [node("a", "1"), node("b", taints=[TAINT])], [], "no node for 1 workers"),
    "a taint that is tolerated": (
        service(1, tolerations=[{"key": "pool", "operator": "Equal", "value": "scores"}]),
        [node("a", "1"), node("b", taints=[TAINT])],
        [],
        "",
    ),
    "every taint is tolerated": (
        service(1, tolerations=[{"operator": "Exists"}]),
        [node("a", "1"), node("b", taints=[TAINT])],
        [],
        "",
    ),
    "another effect is tolerated": (
        service(1, tolerations=[{"operator": "Exists", "effect": "NoExecute"}]),
        [node("a", "1"), node("b", taints=[TAINT])],
        [],
        "no node for 1 workers",
    ),
    "a label": (service(1, nodeSelector={"pool": "scores"}), [node("a"), node("b")], [], "no node for 1 workers"),
    "a label that is there": (
        service(1, nodeSelector={"pool": "scores"}),
        [node("a"), node("b", labels={"pool": "scores"})],
        [],
        "",
    ),
}


@pytest.mark.parametrize("case", ROOM)
def test_a_second_cluster_finds_room_or_is_told_which_pods_do_not(case: str) -> None:
    """Each pod by itself, where it may run."""
    asked, nodes, pods, says = ROOM[case]

    found = finding([asked], nodes, pods)

    assert found.name == "room to upgrade fivefold"
    assert found.verdict == ("warn" if says else "ok"), found
    assert (says or "the nodes have it") in found.says
    assert bool(found.help) == bool(says)


def test_what_is_asked_for_is_said() -> None:
    """Of all pods together, those devices too that are no cores."""
    asked = service(2)
    limits = {"nvidia.com/gpu": 1}
    asked["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]["resources"][
        "limits"
    ] = limits

    says = finding([asked], [node("a", "8")], []).says

    assert says.startswith("3 pods, 4.5 cores, 5 GiB of memory, 2 nvidia.com/gpu: ")


def test_nothing_is_said_where_nothing_is_installed() -> None:
    """Nor where the kind is not known."""
    assert list(room_for_upgrade(Cluster([], [node("a")], []), "models")) == []  # type: ignore[arg-type]  # as above
    assert list(room_for_upgrade(Cluster([service()], [], []), "others")) == []  # type: ignore[arg-type]  # as above


def test_a_pod_asks_for_what_its_largest_moment_needs() -> None:
    """Init containers come one after the other, before the others; those that stay are there all the time."""
    copies = container("4", "1Gi")
    stays = container("1", "1Gi", restartPolicy="Always")
    spec = {"initContainers": [stays, copies], "containers": [container("1", "3Gi")], "overhead": {"memory": "1Gi"}}

    assert pod_requests(spec) == {"cpu": 5.0, "memory": 5.0 * GIB, "pods": 1.0}
    assert pod_requests({"containers": [{"resources": {"limits": {"cpu": "250m"}}}]}) == {"cpu": 0.25, "pods": 1.0}
