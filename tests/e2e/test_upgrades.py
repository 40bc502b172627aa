"""To another bundle under load: in place, and by a second cluster. Nobody may notice."""

from __future__ import annotations

import pytest

from tests.e2e import bundles, cluster
from tests.e2e.load import UNARY, Load
from tests.e2e.report import Report

pytestmark = pytest.mark.e2e


def test_in_place(figures: Report) -> None:
    """A bundle by its digest: replicas are replaced one by one, and the models of the cases go. Nothing is lost.

    A stream may stay where it began for as long as that replica drains.
    """
    new = bundles.build(2)
    before = cluster.ray_cluster()
    with Load(bundles.build(1)) as load:
        said = cluster.upgrade(bundles.paths(new), ARGS=bundles.ALONE)
        cluster.until_settled()
        load.until_from(new.digest)
        course = load.course()

    figures.course("upgrade in place to another bundle", course)
    assert "changed in place" in said
    assert cluster.ray_cluster() == before
    assert course.failures(UNARY) == []
    assert cluster.served() == {bundles.DEMO: new.digest}


@pytest.mark.rare
def test_contract_versions_forward_and_back(figures: Report) -> None:
    """Version 2.0.0 of the contract comes and is taken back, with callers of both: nothing promised is refused.

    A release that answers one version less is stopped before anything changes, unless that is accepted by name.
    """
    before, new, again = bundles.build(2), bundles.renamed(), bundles.taken_back()
    with Load(before) as old:
        cluster.upgrade(bundles.paths(new))
        cluster.until_settled()
        old.until_from(new.digest)
        with Load(new, {"http": 4, "grpc": 4}, contract="2.0.0") as newer:
            cluster.upgrade(bundles.paths(again))
            cluster.until_settled()
            newer.until_from(again.digest)
            callers = newer.course()
        said = cluster.make("upgrade", check=False, BUNDLE=str(before.path))
        course = old.course()
        cluster.upgrade(bundles.paths(before), ARGS=f"--set gate.acceptContractChange={{{bundles.DEMO}}}")
        cluster.until_settled()

    figures.course("contract 1.0.0, 2.0.0 and back: callers that name no version", course)
    figures.course("contract 2.0.0 taken back: callers that name it", callers)
    assert course.failures(UNARY) == []
    assert callers.failures(UNARY) == []
    assert "is answered now, the release answers 1.0.0" in said
    assert cluster.served() == {bundles.DEMO: before.digest}


@pytest.mark.rare
def test_by_a_second_cluster(figures: Report) -> None:
    """A bundle in an image changes the pods: a second cluster takes over and the first one drains. Nothing is lost."""
    new = bundles.build(3)
    before = cluster.ray_cluster()
    with Load(bundles.build(1)) as load:
        said = cluster.upgrade(bundles.paths(new), DELIVERY="image")
        cluster.until(
            "the old cluster to be gone", lambda: not any(pod.name.startswith(before) for pod in cluster.pods("worker"))
        )
        cluster.until_settled()
        load.until_from(new.digest)
        course = load.course()

    figures.course("upgrade by a second cluster", course)
    assert "moved to a second cluster" in said
    assert course.failures(UNARY) == []
    assert cluster.served() == {bundles.DEMO: new.digest}
