"""Behind a second controller, Envoy Gateway: each kind of call, an upgrade under load, both kinds of route."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import httpx
import pytest

from tests.e2e import bundles, cluster
from tests.e2e.load import UNARY, Load
from tests.e2e.report import Report
from tests.e2e.routes import APART, HOST, accepted, ready, rest

pytestmark = [pytest.mark.e2e, pytest.mark.rare]

ADDRESS = "localhost:8444"
VALUES = "-f k8s/kind/envoy.yaml"
EVERY = ("http", "grpc", "stream", "large")


@pytest.fixture(scope="module", autouse=True)
def behind_envoy() -> Iterator[None]:
    """The release with a gateway of that class; afterwards Traefik's again."""
    cluster.make("kind-envoy")
    first = bundles.build(1)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(cluster, "ADDRESS", ADDRESS)
        cluster.make("deploy", BUNDLE=str(first.path), GATEWAY=ADDRESS, ARGS=f"{VALUES} {bundles.ALONE}")
        yield
    cluster.make("deploy", BUNDLE=str(first.path), ARGS=bundles.ALONE)


def test_it_accepts_the_one_route_of_both() -> None:
    """An HTTPRoute with gRPC by path."""
    cluster.until("the route to be accepted", lambda: accepted("httproute"))
    assert cluster.kubectl("get", "grpcroute", "-o", "name") == ""


def test_without_a_key_nobody_is_answered() -> None:
    """The refusal is the product's own, not the gateway's."""
    with httpx.Client(base_url=f"https://{ADDRESS}", verify=cluster.trust(), timeout=60) as client:
        refused = client.get("/v1/models")
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")


def test_an_upgrade_loses_nothing(figures: Report) -> None:
    """Each kind of call gets the golden answers, before and after; no unary one is lost between."""
    cluster.until_settled()
    with Load(bundles.build(1)) as load:
        load.steady()
        before = load.course()
        load.restart()
        cluster.upgrade(bundles.paths(bundles.build(2)), GATEWAY=ADDRESS, ARGS=VALUES)
        load.until_from(bundles.build(2).digest)
        load.steady()
        course = load.course()

    figures.course("behind Envoy Gateway, at rest", before)
    figures.course("behind Envoy Gateway, another bundle in place", course)
    assert before.failures(EVERY) == []
    assert course.failures(UNARY) == []


def test_two_routes() -> None:
    """gRPC by a GRPCRoute on a host of its own."""
    now = bundles.build(2)
    cluster.make("deploy", BUNDLE=str(now.path), GATEWAY=ADDRESS, ARGS=f"{VALUES} {APART}")
    for kind in ("httproute", "grpcroute"):
        cluster.until(f"the {kind} to be accepted", lambda kind=kind: accepted(kind))
    cluster.until("gRPC on its host", lambda: ready(HOST) is grpc.StatusCode.OK)

    assert rest("localhost") == 200
    assert ready("localhost") is not grpc.StatusCode.OK
    assert rest(HOST) == 404
