"""The head goes, under load: killed, drained with its node, without its Redis. Where its state is kept nobody notices.

Without a store of its own the cluster's state goes with its head, so that workers start anew: what is lost then, and
for how long, is measured and not promised.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.e2e import bundles, cluster
from tests.e2e.load import UNARY, Load
from tests.e2e.report import Report

pytestmark = [pytest.mark.e2e, pytest.mark.rare]

EVERY = ("http", "grpc", "stream", "large")
KEPT = "-f k8s/kind/kept-head.yaml"


def _kill_the_head() -> None:
    """Without grace, and wait until another one is ready."""
    victim = cluster.head()
    cluster.kubectl("delete", "pod", victim.name, "--grace-period=0", "--force", "--wait=false")
    cluster.until("another head", lambda: cluster.head().ready and cluster.head().uid != victim.uid)


def _drain(node: str) -> None:
    """As who runs the cluster drains a node, of the release's pods."""
    cluster.kubectl(
        *("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=15m"),
        *("--pod-selector", f"app.kubernetes.io/instance={cluster.NAME}"),
    )


def _workers() -> dict[str, int]:
    """The worker pods by uid, and how often each one's container was started again."""
    said = json.loads(cluster.kubectl("get", "pods", "-l", "ray.io/node-type=worker", "-o", "json"))
    return {
        item["metadata"]["uid"]: sum(each["restartCount"] for each in item["status"]["containerStatuses"])
        for item in said["items"]
    }


def _redis(*words: str) -> str:
    return cluster.command("kubectl", "--context", cluster.CONTEXT, "--namespace", "redis", *words)


def test_the_head_is_killed(figures: Report) -> None:
    """Its state not kept: a gap, and then none."""
    cluster.until_settled()
    with Load(bundles.build(1)) as load:
        _kill_the_head()
        cluster.until_settled()
        load.steady()
        course = load.course()

        load.restart()
        load.steady()
        after = load.course()

    figures.course("head killed, its state not kept", course)
    assert after.failures(EVERY) == []
    assert after.bundles() == course.bundles()


def _move_the_head(victim: cluster.Pod) -> None:
    """Drain its node until all is settled elsewhere; afterwards the node takes pods again."""
    try:
        _drain(victim.node)
        cluster.until("a head elsewhere", lambda: cluster.head().ready and cluster.head().node != victim.node)
        cluster.until_settled()
    finally:
        cluster.kubectl("uncordon", victim.node)


def test_the_heads_node_is_drained(figures: Report) -> None:
    """Its state not kept: a gap as of a head that is killed; so autoscalers of nodes are asked to leave it."""
    cluster.until_settled()
    victim = cluster.head()
    with Load(bundles.build(1)) as load:
        _move_the_head(victim)
        load.steady()
        course = load.course()

        load.restart()
        load.steady()
        after = load.course()

    figures.course("head's node drained, its state not kept", course)
    assert after.failures(EVERY) == []


@pytest.fixture(scope="module")
def kept() -> Iterator[None]:
    """A release whose head has its state in a Redis; afterwards one without, as before."""
    cluster.make("kind-redis")
    cluster.upgrade(bundles.paths(bundles.build(1)), ARGS=KEPT)
    cluster.until_settled()
    yield
    cluster.upgrade(bundles.paths(bundles.build(1)))


@pytest.mark.usefixtures("kept")
def test_a_kept_head_is_killed(figures: Report) -> None:
    """No worker is started again, and no caller notices, whatever they call over. What is told the new head is done."""
    before = _workers()
    with Load(bundles.build(1)) as load:
        _kill_the_head()
        cluster.until_settled()
        load.steady()
        course = load.course()
    figures.course("head killed, its state in Redis", course)
    assert course.failures(EVERY) == []
    assert _workers() == before

    new = bundles.build(2)
    with Load(bundles.build(1)) as load:
        said = cluster.upgrade(bundles.paths(new), ARGS=KEPT)
        cluster.until_settled()
        load.until_from(new.digest)
        upgraded = load.course()
    assert "changed in place" in said
    assert upgraded.failures(UNARY) == []


@pytest.mark.usefixtures("kept")
def test_a_kept_heads_node_is_drained(figures: Report) -> None:
    """Head and workers of a node go elsewhere; unary calls survive it."""
    victim = cluster.head()
    with Load(bundles.build(1)) as load:
        _move_the_head(victim)
        load.steady()
        course = load.course()

    figures.course("head's node drained, its state in Redis", course)
    assert course.failures(UNARY) == []


@pytest.mark.usefixtures("kept")
def test_redis_is_away_for_a_while(figures: Report) -> None:
    """The head cannot run without it, and says so by not being ready; answers go on, and it comes back by itself."""
    before = _workers()
    with Load(bundles.build(1)) as load:
        _redis("scale", "statefulset/redis", "--replicas=0")
        try:
            cluster.until("a head that is not ready", lambda: not cluster.head().ready)
        finally:
            _redis("scale", "statefulset/redis", "--replicas=1")
        cluster.until("the head again", lambda: cluster.head().ready)
        cluster.until_settled()
        load.steady()
        course = load.course()

    figures.course("Redis away until the head was not ready, and back", course)
    assert course.failures(EVERY) == []
    assert _workers() == before
