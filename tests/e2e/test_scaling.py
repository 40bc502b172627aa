"""Replicas come and go: with the load by themselves, and by their values. Nobody may notice."""

from __future__ import annotations

import time

import pytest

from tests.e2e import bundles, cluster
from tests.e2e.load import UNARY, Load
from tests.e2e.report import Report

pytestmark = pytest.mark.e2e

SCALES = (
    "--set online.replicas.min=1 --set online.replicas.max=2 --set-json online.settings.target_ongoing_requests=0.3 "
    "--set online.settings.upscale_delay=5 --set online.settings.downscale_delay=15"
)
BUSY = {"http": 2, "grpc": 2, "large": 6}
"""Callers of large bodies that ask again at once: there is always a request in work."""

CALM = {"http": 2, "grpc": 2}


def test_replicas_follow_the_load(figures: Report) -> None:
    """A busy service gets a second replica, a calm one gives it back, and no caller loses a call to either."""
    now = bundles.build(4)
    cluster.upgrade(bundles.paths(now), ARGS=SCALES)
    with Load(now, CALM, http=0.5, grpc=0.5) as calm:
        cluster.until("one replica where little is asked", lambda: len(cluster.replicas()) == 1)
        calm.restart()
        with Load(now, BUSY, large=0.02) as busy:
            begun = time.monotonic()
            cluster.until("a second replica", lambda: len(cluster.replicas()) == 2)
            figures.fact(f"Autoscaling: a second replica ran {time.monotonic() - begun:.0f} s after the load came.")
            cluster.until_settled(2)
            busy.steady()
            up = busy.course()
        calm.steady()
        out = calm.course()
        calm.restart()
        begun = time.monotonic()
        cluster.until("one replica again", lambda: len(cluster.replicas()) == 1)
        figures.fact(f"Autoscaling: it was given back {time.monotonic() - begun:.0f} s after the load went.")
        cluster.until_settled(1)
        calm.steady()
        down = calm.course()

    figures.course("autoscaling out: the busy callers", up)
    figures.course("autoscaling out: the calm callers", out)
    figures.course("autoscaling in, 2 replicas to 1", down)
    assert up.failures(UNARY) == []
    assert out.failures(UNARY) == []
    assert down.failures(UNARY) == []


@pytest.mark.rare
def test_replicas_follow_their_values(figures: Report) -> None:
    """Back to the two that the values ask for, by an upgrade."""
    with Load(bundles.build(4)) as load:
        cluster.upgrade(bundles.paths(bundles.build(4)))
        cluster.until_settled(2)
        load.steady()
        course = load.course()

    figures.course("scale-out by values, 1 replica to 2", course)
    assert course.failures(UNARY) == []
