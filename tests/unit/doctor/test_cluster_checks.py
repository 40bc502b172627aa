"""What a cluster lacks, asked of a real HTTP server that answers the API's paths."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from fivefold.cli import main
from fivefold.doctor.cluster_checks import CREATED, ClusterReader, Unreachable, examine
from fivefold.doctor.finding import Finding

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/"
OPERATOR = "/apis/apps/v1/deployments"
CLASSES = "/apis/gateway.networking.k8s.io/v1/gatewayclasses"
STORAGE = "/apis/storage.k8s.io/v1/storageclasses"


def definition(*versions: str, release: str = "") -> dict[str, Any]:
    """A resource definition that serves the versions."""
    annotations = {"gateway.networking.k8s.io/bundle-version": release} if release else {}
    served = [{"name": version, "served": True} for version in versions]
    return {"metadata": {"annotations": annotations}, "spec": {"versions": served}}


def operator(image: str, available: int = 1) -> dict[str, Any]:
    """The list of the operator's deployments."""
    pod = {"spec": {"containers": [{"image": image}]}}
    metadata = {"name": "kuberay-operator", "namespace": "default"}
    return {"items": [{"metadata": metadata, "spec": {"template": pod}, "status": {"availableReplicas": available}}]}


def gateway_class(status: str) -> dict[str, Any]:
    """A list with one class whose controller says so."""
    conditions = [{"type": "Accepted", "status": status}]
    return {"items": [{"metadata": {"name": "traefik"}, "status": {"conditions": conditions}}]}


class Server:
    """The API server: what it answers by path, whom it lets create what, and what it was asked."""

    def __init__(self) -> None:
        gateway = [
            f"{kind}.gateway.networking.k8s.io" for kind in ("gatewayclasses", "gateways", "httproutes", "grpcroutes")
        ]
        ray = [f"{kind}.ray.io" for kind in ("rayservices", "rayclusters", "rayjobs")]
        watched = [f"{kind}.monitoring.coreos.com" for kind in ("podmonitors", "prometheusrules")]
        mark = {"storageclass.kubernetes.io/is-default-class": "true"}
        self.answers: dict[str, Any] = {
            "/version": {"gitVersion": "v1.34.3"},
            CLASSES: gateway_class("True"),
            OPERATOR: operator("quay.io/kuberay/operator:v1.6.0"),
            STORAGE: {"items": [{"metadata": {"name": "standard", "annotations": mark}}]},
            **{CRDS + name: definition("v1", release="v1.6.1") for name in gateway},
            **{CRDS + name: definition("v1alpha1", "v1") for name in ray},
            **{CRDS + name: definition("v1") for name in watched},
        }
        self.denied: set[str] = set()
        self.forbidden: set[str] = set()
        self.asked: list[str] = []
        self.reviews: list[dict[str, Any]] = []
        self.authorization: set[str | None] = set()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A cluster that has everything, and a kubeconfig whose current context is it."""
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            state.asked.append(self.path)
            state.authorization.add(self.headers.get("authorization"))
            self.answer(403 if path in state.forbidden else 200, state.answers.get(path))

        def do_POST(self) -> None:
            review = json.loads(self.rfile.read(int(self.headers["content-length"])))
            state.reviews.append(review["spec"]["resourceAttributes"])
            allowed = review["spec"]["resourceAttributes"]["resource"] not in state.denied
            self.answer(201, {"status": {"allowed": allowed}})

        def answer(self, status: int, value: Any) -> None:
            data = json.dumps(value).encode()
            self.send_response(404 if value is None else status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    configure(tmp_path / "config", f"http://127.0.0.1:{listening.server_port}")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    # The client goes by proxies; the loopback has none.
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    try:
        yield state
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()


def configure(path: Path, address: str) -> None:
    """A kubeconfig of one context."""
    values = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": address}}],
        "users": [{"name": "u", "user": {"token": "the-token"}}],
    }
    path.write_text(json.dumps(values))


def findings() -> dict[str, Finding]:
    """By name."""
    cluster = ClusterReader()
    try:
        return {finding.name: finding for finding in examine(cluster, "models")}
    finally:
        cluster.close()


def test_a_cluster_that_has_everything(server: Server) -> None:
    """Every finding is ok and says what it saw; the user's own token is shown."""
    found = findings()

    assert {finding.verdict for finding in found.values()} == {"ok"}, found
    assert found["server"].says == "v1.34.3"
    assert found["kuberay operator"].says == "v1.6.0 in default/kuberay-operator"
    assert found["gateway class"].says == "traefik"
    assert server.authorization == {"Bearer the-token"}
    assert any("labelSelector=app.kubernetes.io" in path for path in server.asked)


@pytest.mark.parametrize(
    ("path", "answer", "name", "verdict", "says"),
    [
        ("/version", {"gitVersion": "v1.28.4"}, "server", "missing", "v1.28.4"),
        (CRDS + "grpcroutes.gateway.networking.k8s.io", None, "gateway API", "missing", "no grpcroutes in v1"),
        (
            CRDS + "gateways.gateway.networking.k8s.io",
            definition("v1beta1"),
            "gateway API",
            "missing",
            "no gateways in v1",
        ),
        (
            CRDS + "grpcroutes.gateway.networking.k8s.io",
            definition("v1", release="v1.0.0"),
            "gateway API",
            "warn",
            "v1.0.0",
        ),
        (CLASSES, gateway_class("False"), "gateway class", "missing", "none is accepted by its controller: traefik"),
        (CLASSES, {"items": []}, "gateway class", "missing", "there is none"),
        (CRDS + "rayservices.ray.io", definition("v1alpha1"), "kuberay", "missing", "no rayservices in ray.io/v1"),
        (OPERATOR, {"items": []}, "kuberay operator", "missing", "no deployment of it"),
        (OPERATOR, operator("quay.io/kuberay/operator:v1.6.0", 0), "kuberay operator", "missing", "no available pod"),
        (
            OPERATOR,
            operator("registry:5000/operator:v1.3.2@sha256:00"),
            "kuberay operator",
            "warn",
            "runs v1.3.2, not 1.6",
        ),
        (OPERATOR, operator("registry:5000/operator"), "kuberay operator", "warn", "runs registry:5000/operator"),
        (STORAGE, {"items": [{"metadata": {"name": "slow"}}]}, "storage class", "warn", "none is the default"),
        (CRDS + "podmonitors.monitoring.coreos.com", None, "monitoring", "warn", "no podmonitors"),
    ],
)
def test_what_is_not_there_is_named(server: Server, path: str, answer: Any, name: str, verdict: str, says: str) -> None:
    """And nothing else is; each with what it is for and how to get it."""
    server.answers[path] = answer
    found = findings()

    assert found[name].verdict == verdict
    assert says in found[name].says
    assert found[name].need
    assert found[name].help
    assert {other.verdict for other in found.values() if other.name != name} == {"ok"}


def test_rights_are_asked_for_in_the_namespace(server: Server) -> None:
    """For each kind of object that the chart creates."""
    server.denied = {"secrets", "rayservices"}

    assert findings()["rights"].says == "you may not create rayservices, secrets"
    assert {(review["group"], review["resource"]) for review in server.reviews} == set(CREATED)
    assert {(review["namespace"], review["verb"]) for review in server.reviews} == {("models", "create")}


def test_what_one_may_not_read_is_a_warning(server: Server) -> None:
    """Whoever installs the chart may have fewer rights than who prepared the cluster."""
    server.forbidden = {OPERATOR}
    found = findings()

    assert (found["kuberay operator"].verdict, found["rights"].verdict) == ("warn", "ok")
    assert "you may not look" in found["kuberay operator"].says


def test_nobody_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A context whose server does not answer, one that does not exist, and no kubeconfig at all."""
    configure(tmp_path / "config", "http://127.0.0.1:1")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(Unreachable, match="does not answer"):
        findings()
    with pytest.raises(Unreachable):
        ClusterReader("elsewhere")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(Unreachable):
        ClusterReader()


def test_without_the_package_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """And looks at the machine all the same."""
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    assert main(["doctor", "--cluster"]) == 1
    out = capsys.readouterr().out

    assert "needs the Python package kubernetes" in out
    assert "pip install 'fivefold[cluster]'" in out
    assert "cores" in out
