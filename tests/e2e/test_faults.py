"""What breaks under load: a replica, a worker's pod, a worker's node. Unary calls that the proxy can ask again survive.

Open streams and bodies beyond the proxy's buffer may be lost with what answers them; they are counted and reported.
"""

from __future__ import annotations

import pytest

from tests.e2e import bundles, cluster
from tests.e2e.load import UNARY, Load
from tests.e2e.report import Report

pytestmark = pytest.mark.e2e


def test_a_replica_is_killed(figures: Report) -> None:
    """SIGKILL: what it had in work is asked again of another one."""
    cluster.until_settled()
    victim = cluster.replicas()[0]
    with Load(bundles.build(1)) as load:
        cluster.kubectl(
            *("exec", cluster.pod_of(victim).name, "-c", "ray-worker", "--", "bash", "-c", f"kill -9 {victim.pid}")
        )
        cluster.until("the replica's end", lambda: victim not in cluster.replicas())
        cluster.until_settled()
        load.steady()
        course = load.course()

    figures.course("replica killed", course)
    assert course.failures(UNARY) == []


def test_a_worker_pod_is_killed(figures: Report) -> None:
    """Without grace: its proxy and its replica end in the same moment."""
    cluster.until_settled()
    victim = cluster.pod_of(cluster.replicas()[0])
    with Load(bundles.build(1)) as load:
        cluster.kubectl("delete", "pod", victim.name, "--grace-period=0", "--force", "--wait=false")
        cluster.until("another pod", lambda: victim.uid not in {pod.uid for pod in cluster.pods("worker")})
        cluster.until_settled()
        load.steady()
        course = load.course()

    figures.course("worker pod killed without grace", course)
    assert course.failures(UNARY) == []


def test_a_worker_node_is_drained(figures: Report) -> None:
    """Its pods go elsewhere, finish what they have begun, and take nothing with them."""
    cluster.until_settled()
    node = _beside_the_head()
    try:
        with Load(bundles.build(1)) as load:
            cluster.kubectl(
                *("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=15m"),
                *("--pod-selector", f"app.kubernetes.io/instance={cluster.NAME}"),
            )
            cluster.until_settled()
            load.steady()
            course = load.course()
        assert node not in {cluster.pod_of(replica).node for replica in cluster.replicas()}
    finally:
        cluster.kubectl("uncordon", node)

    figures.course("worker node drained", course)
    assert course.failures(UNARY) == []


def _beside_the_head() -> str:
    """A node with a replica and without the head: where all replicas are beside the head, one is sent elsewhere."""
    heads = cluster.head().node
    for _ in range(4):
        pods = [cluster.pod_of(replica) for replica in cluster.replicas()]
        if away := [pod.node for pod in pods if pod.node != heads]:
            return away[0]
        try:
            cluster.kubectl("cordon", heads)
            cluster.kubectl("delete", "pod", pods[0].name)
            cluster.until_settled()
        finally:
            cluster.kubectl("uncordon", heads)
    raise AssertionError("every replica stayed on the head's node")
