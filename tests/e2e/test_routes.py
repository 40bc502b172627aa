"""gRPC by a route of its own kind, on a host of its own behind the same gateway and port, and back by REST's route."""

from __future__ import annotations

import grpc
import pytest

from tests.e2e import bundles, cluster
from tests.e2e.routes import APART, HOST, accepted, ready, rest

pytestmark = [pytest.mark.e2e, pytest.mark.rare]


@pytest.fixture(scope="module")
def apart() -> None:
    """The release with two routes, until a test takes them back."""
    cluster.make("deploy", BUNDLE=str(bundles.build(1).path), ARGS=APART)


@pytest.mark.usefixtures("apart")
def test_the_controller_accepts_both_routes() -> None:
    """Neither is refused for the other."""
    for kind in ("httproute", "grpcroute"):
        cluster.until(f"the {kind} to be accepted", lambda kind=kind: accepted(kind))


@pytest.mark.usefixtures("apart")
def test_each_answers_on_its_own_host_and_no_other() -> None:
    """With one certificate for both names."""
    cluster.until("gRPC on its host", lambda: ready(HOST) is grpc.StatusCode.OK)

    assert rest("localhost") == 200
    assert ready("localhost") is not grpc.StatusCode.OK
    assert rest(HOST) == 404


def test_one_route_has_both_again() -> None:
    """The default form: one HTTPRoute, which the controller accepts, and no GRPCRoute."""
    cluster.make("deploy", BUNDLE=str(bundles.build(1).path), ARGS=bundles.ALONE)
    cluster.until("gRPC through REST's route", lambda: ready("localhost") is grpc.StatusCode.OK)

    assert cluster.kubectl("get", "grpcroute", "-o", "name") == ""
    assert accepted("httproute")
    assert (ready("localhost"), rest("localhost")) == (grpc.StatusCode.OK, 200)
