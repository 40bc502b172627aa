"""Access: keys, TLS, and what nobody outside can reach whatever key they have."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator

import grpc
import httpx
import pytest

from fivefold.cluster import certificate
from fivefold.serving.grpc.proto import inference_pb2 as wire
from tests.e2e import cluster
from tests.e2e.load import SERVICE

pytestmark = pytest.mark.e2e

URL = f"https://{cluster.ADDRESS}"
DEADLINE = 30.0
WRONG = "ff_00000000_" + "0" * 43


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with httpx.Client(base_url=URL, verify=cluster.trust(), timeout=DEADLINE) as opened:
        yield opened


@pytest.fixture(scope="module")
def channel() -> Iterator[grpc.Channel]:
    with cluster.channel() as opened:
        yield opened


def _bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def _asked(channel: grpc.Channel, method: str, request: object, key: str | None) -> tuple[grpc.StatusCode, str]:
    """The status and our own code of a call that the server must refuse."""
    call = channel.unary_unary(f"{SERVICE}/{method}", type(request).SerializeToString, lambda raw: raw)  # type: ignore[attr-defined]  # a message
    with pytest.raises(grpc.RpcError) as refused:
        call(request, DEADLINE, tuple(_bearer(key).items()) if key else ())
    error = refused.value
    return error.code(), dict(error.trailing_metadata() or ()).get("fivefold-code", "")


@pytest.mark.parametrize("headers", [{}, _bearer(WRONG), _bearer("nonsense")], ids=["none", "wrong", "nonsense"])
def test_http_asks_for_a_key(client: httpx.Client, headers: dict[str, str]) -> None:
    """No key and a wrong one are refused alike, in the product's own words."""
    answer = client.get("/v1/models", headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("key", [None, WRONG], ids=["none", "wrong"])
def test_grpc_asks_for_a_key(channel: grpc.Channel, key: str | None) -> None:
    """Likewise."""
    said = _asked(channel, "ModelInfer", wire.ModelInferRequest(model_name="breast-cancer"), key)

    assert said == (grpc.StatusCode.UNAUTHENTICATED, "unauthenticated")


def test_the_installed_key_may_ask_and_no_more(client: httpx.Client, channel: grpc.Channel) -> None:
    """The key that was made at install time has the scope to ask; what an administrator does is refused to it."""
    key = cluster.key()

    assert client.get("/v1/models", headers=_bearer(key)).status_code == 200
    answer = client.post("/v2/repository/models/breast-cancer/load", headers=_bearer(key))
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    said = _asked(channel, "RepositoryModelLoad", wire.RepositoryModelLoadRequest(model_name="breast-cancer"), key)
    assert said == (grpc.StatusCode.PERMISSION_DENIED, "forbidden")


@pytest.mark.parametrize("path", ["/metrics", "/-/healthz", "/-/routes", "/api/jobs/", "/api/serve/applications/"])
def test_what_is_the_clusters_own_is_not_routed(client: httpx.Client, path: str) -> None:
    """Figures, Ray's own routes and its job API are not there for callers outside, with a key or without."""
    answer = client.get(path, headers=_bearer(cluster.key()))

    assert answer.status_code == 404
    assert "fivefold" not in answer.text


def test_rays_own_grpc_service_is_not_routed(channel: grpc.Channel) -> None:
    """It tells the names of applications."""
    call = channel.unary_unary("/ray.serve.RayServeAPIService/ListApplications")

    with pytest.raises(grpc.RpcError) as refused:
        call(b"", DEADLINE)
    assert refused.value.code() in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNKNOWN)
    assert "fivefold" not in (refused.value.details() or "")


def test_a_client_that_trusts_others_refuses_the_gateway() -> None:
    """The certificate is the release's own: neither the system's authorities nor a stranger's vouch for it."""
    stranger = certificate.make(["localhost"]).authority
    for context in (ssl.create_default_context(), ssl.create_default_context(cadata=stranger.decode())):
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(f"{URL}/readyz", verify=context, timeout=DEADLINE)
    with cluster.channel(stranger) as opened, pytest.raises(grpc.RpcError, match="CERTIFICATE_VERIFY_FAILED"):
        opened.unary_unary(f"{SERVICE}/ServerLive")(b"", DEADLINE)


def test_the_certificate_is_for_the_hosts_that_were_asked_for() -> None:
    """A client that trusts the authority but knows the gateway by another name refuses it too.

    It is shown a certificate of the gateway's own, or the release's, which is for other names.
    """
    host, port = cluster.ADDRESS.split(":")
    with (
        socket.create_connection((host, int(port)), DEADLINE) as plain,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        cluster.trust().wrap_socket(plain, server_hostname="models.example")


def test_old_tls_is_refused() -> None:
    """Nothing older than TLS 1.2 is spoken."""
    context = cluster.trust()
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    host, port = cluster.ADDRESS.split(":")

    with (
        socket.create_connection((host, int(port)), DEADLINE) as plain,
        pytest.raises((ssl.SSLError, ConnectionResetError)),
    ):
        context.wrap_socket(plain, server_hostname="localhost")


def test_clear_text_is_refused() -> None:
    """The port speaks TLS alone: a request in clear text, key and all, gets no answer from the service."""
    try:
        answer = httpx.get(f"http://{cluster.ADDRESS}/v1/models", timeout=DEADLINE)
    except httpx.HTTPError:
        return
    assert answer.status_code in (400, 404)
    assert "models" not in answer.text


_PROBE = """
import json, socket, sys, time
control, targets = json.load(sys.stdin)

def opens(address):
    try:
        socket.create_connection(tuple(address), 3).close()
        return True
    except OSError:
        return False

# A pod's first moments are before its network's: what must answer answers first.
deadline = time.monotonic() + 60
while not opens(control) and time.monotonic() < deadline:
    time.sleep(0.5)
found = {name: any(opens(address) for _ in range(2)) for name, address in targets.items()}
print("FOUND " + json.dumps({"control": opens(control), **found}))
"""


def _default(*words: str, given: str | None = None) -> str:
    """kubectl in a namespace that is nobody's."""
    return cluster.command("kubectl", "--context", cluster.CONTEXT, "--namespace", "default", *words, given=given)


def test_a_pod_outside_reaches_no_port_of_ray() -> None:
    """Dashboard, job API, cluster state and the replicas' own ports, from a pod of another namespace: all closed."""
    head, worker = cluster.head(), next(pod for pod in cluster.pods("worker") if pod.ready)
    gateway = cluster.command(
        *("kubectl", "--context", cluster.CONTEXT, "-n", "traefik", "get", "service", "traefik"),
        *("-o", "jsonpath={.spec.clusterIP} {.spec.ports[?(@.name=='websecure')].port}"),
    ).split()
    targets = {
        "dashboard": (head.address, 8265),
        "cluster state": (head.address, 6379),
        "agent": (head.address, 52365),
        "worker's agent": (worker.address, 52365),
        "REST past the gateway": (worker.address, 8000),
        "gRPC past the gateway": (worker.address, 9000),
        "a replica's REST": (worker.address, 30000),
        "the proxy's figures": (worker.address, 8404),
        "metrics": (worker.address, 8080),
    }
    _default("delete", "pod", "stranger", "--ignore-not-found")
    given = json.dumps([[gateway[0], int(gateway[1])], targets])
    image = cluster.kubectl("get", "pod", worker.name, "-o", "jsonpath={.spec.containers[0].image}")
    said = _default(
        *("run", "stranger", f"--image={image}", "--restart=Never", "--rm", "--stdin", "--quiet"),
        *("--pod-running-timeout=5m", "--command", "--", "python", "-c", _PROBE),
        given=given,
    )
    found = json.loads(next(line for line in said.splitlines() if line.startswith("FOUND ")).removeprefix("FOUND "))

    assert found.pop("control"), "the pod reached nothing at all, so nothing is proven"
    assert found == dict.fromkeys(targets, False)


@pytest.mark.parametrize("path", ["/api/jobs/", "/api/serve/applications/", "/api/version"])
def test_rays_dashboard_asks_for_the_token(path: str) -> None:
    """Inside of the Ray pods too, where the ports are open."""
    ask = (
        f"wget -q -S -T 20 -t 1 -O /dev/null %s http://localhost:8265{path} 2>&1 | grep -o 'HTTP/1.1 [0-9]*' | tail -1"
    )
    said = {}
    for name, header in (
        ("none", ""),
        ("wrong", "--header 'Authorization: Bearer wrong'"),
        ("right", '--header "Authorization: Bearer $RAY_AUTH_TOKEN"'),
    ):
        pod = cluster.head().name
        said[name] = cluster.kubectl("exec", pod, "-c", "ray-head", "--", "bash", "-c", ask % header).split()[-1]

    assert said == {"none": "401", "wrong": "403", "right": "200"}
