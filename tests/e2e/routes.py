"""gRPC's route apart from REST's, and what the gateway answers by a host's name."""

from __future__ import annotations

import json

import grpc
import httpx

from fivefold.serving.grpc.proto import inference_pb2 as wire
from tests.e2e import bundles, cluster
from tests.e2e.load import SERVICE

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
