"""The head is killed under load: what is lost and for how long is measured, and all recovers by itself."""

from __future__ import annotations

import pytest

from tests.e2e import bundles, cluster
from tests.e2e.load import Load
from tests.e2e.report import Report

# What is lost is measured, not promised.
pytestmark = [pytest.mark.e2e, pytest.mark.rare]


def test_the_head_is_killed(figures: Report) -> None:
    """Without a store of its own the cluster's state goes with it, so that workers start anew: a gap, and then none."""
    cluster.until_settled()
    victim = cluster.head()
    with Load(bundles.build(1)) as load:
        cluster.kubectl("delete", "pod", victim.name, "--grace-period=0", "--force", "--wait=false")
        cluster.until("another head", lambda: cluster.head().ready and cluster.head().uid != victim.uid)
        cluster.until_settled()
        load.steady()
        course = load.course()

        load.restart()
        load.steady()
        after = load.course()

    figures.course("head killed, its state not kept", course)
    assert after.failures(("http", "grpc", "stream", "large")) == []
    assert after.bundles() == course.bundles()
