"""gRPC by a route of its own kind, on a host of its own behind the same gateway and port, and back by REST's route."""

from __future__ import annotations

import json
from collections.abc import Iterator

import grpc
import httpx
import pytest

from fivefold.serving.grpc.proto import inference_pb2 as wire
from tests.e2e import bundles, cluster
from tests.e2e.load import SERVICE

pytestmark = [pytest.mark.e2e, pytest.mark.rare]

HOST = "grpc.localhost"
APART = (
    f"{bundles.ALONE} --set gateway.hostnames={{localhost}} --set gateway.grpc.route=GRPCRoute"
    f" --set gateway.grpc.hostnames={{{HOST}}}"
)
DEADLINE = 30.0


def conditions(kind: str) -> dict[str, str]:
    """What the controller says of a route."""
    route = json.loads(cluster.kubectl("get", kind, cluster.NAME, "-o", "json"))
    (parent,) = route["status"]["parents"]
    return {each["type"]: each["status"] for each in parent["conditions"]}


def accepted(kind: str) -> bool:
    """Whether a controller has taken a route with all that it names."""
    found = conditions(kind)
    return found["Accepted"] == found["ResolvedRefs"] == "True"


def ready(host: str) -> grpc.StatusCode:
    """What a call to the gateway under that name ends with."""
    request = wire.ModelReadyRequest(name=bundles.DEMO)
    with cluster.channel(host=host) as opened:
        call = opened.unary_unary(
            f"{SERVICE}/ModelReady", wire.ModelReadyRequest.SerializeToString, wire.ModelReadyResponse.FromString
        )
        try:
            answer = call(request, DEADLINE, (("authorization", f"Bearer {cluster.key()}"),))
        except grpc.RpcError as refused:
            code: grpc.StatusCode = refused.code()
            return code
    assert answer.ready
    return grpc.StatusCode.OK


def rest(host: str) -> int:
    """The status of a question over REST under that name."""
    address = cluster.ADDRESS.replace("localhost", host)
    with httpx.Client(verify=cluster.trust(), timeout=DEADLINE) as client:
        headers = {"authorization": f"Bearer {cluster.key()}", "host": address}
        answer = client.get(f"https://{cluster.ADDRESS}/v1/models", headers=headers, extensions={"sni_hostname": host})
        return answer.status_code


@pytest.fixture(scope="module")
def apart() -> Iterator[None]:
    """The release with two routes; the first form is back afterwards."""
    first = bundles.build(1)
    cluster.make("deploy", BUNDLE=str(first.path), ARGS=APART)
    yield
    cluster.make("deploy", BUNDLE=str(first.path), ARGS=bundles.ALONE)
    cluster.until("gRPC through REST's route", lambda: ready("localhost") is grpc.StatusCode.OK)


def test_the_controller_accepts_both_routes(apart: None) -> None:
    """Neither is refused for the other."""
    for kind in ("httproute", "grpcroute"):
        cluster.until(f"the {kind} to be accepted", lambda kind=kind: accepted(kind))


def test_each_answers_on_its_own_host_and_no_other(apart: None) -> None:
    """With one certificate for both names."""
    cluster.until("gRPC on its host", lambda: ready(HOST) is grpc.StatusCode.OK)

    assert rest("localhost") == 200
    assert ready("localhost") is not grpc.StatusCode.OK
    assert rest(HOST) == 404


def test_one_route_has_both_again() -> None:
    """The default form: one HTTPRoute, which the controller accepts, and no GRPCRoute."""
    assert cluster.kubectl("get", "grpcroute", "-o", "name") == ""
    assert accepted("httproute")
    assert (ready("localhost"), rest("localhost")) == (grpc.StatusCode.OK, 200)
