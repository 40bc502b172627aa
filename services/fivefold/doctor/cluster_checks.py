"""What the chart needs of a cluster: versions, controllers, classes, and the rights to install it.

Asked through the `kubernetes` package with the user's own kubeconfig; answers are read as plain JSON. What this machine
needs is `fivefold.doctor.machine_checks`'s.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from fivefold.doctor.finding import Finding, Verdict, dotted, version_of
from fivefold.doctor.upgrade_room import room_for_upgrade

SECONDS = 5
"""For each question."""

SERVER = (1, 30)
"""The sleep action of preStop hooks is on by default from here on."""

GATEWAY_API = (1, 1)
"""The first release with GRPCRoute in v1."""

KUBERAY = (1, 6)
"""What the chart is tried with; its operator knows every field that the chart sets."""

HELP_GATEWAY_API = (
    "kubectl apply --server-side -f https://github.com/kubernetes-sigs/gateway-api/releases/download/v1.6.1/"
    "standard-install.yaml"
)
HELP_KUBERAY = "kubectl apply --server-side -k 'github.com/ray-project/kuberay/ray-operator/config/default?ref=v1.6.0'"

CREATED = (
    ("ray.io", "rayservices"),
    ("gateway.networking.k8s.io", "gateways"),
    ("gateway.networking.k8s.io", "httproutes"),
    ("gateway.networking.k8s.io", "grpcroutes"),
    ("networking.k8s.io", "networkpolicies"),
    ("policy", "poddisruptionbudgets"),
    ("rbac.authorization.k8s.io", "roles"),
    ("rbac.authorization.k8s.io", "rolebindings"),
    ("batch", "jobs"),
    ("", "serviceaccounts"),
    ("", "services"),
    ("", "secrets"),
    ("", "configmaps"),
)
"""Group and resource of everything that installing the chart creates."""


class Unreachable(Exception):
    """No kubeconfig, no such context, or nobody who answers; the message says which."""


class ClusterReader:
    """A cluster through one context of the kubeconfig."""

    def __init__(self, context: str | None = None) -> None:
        """`context` None is the current one. Raises `Unreachable`, and `ModuleNotFoundError` without `kubernetes`."""
        from kubernetes import client, config

        try:
            configuration = client.Configuration()
            # A server out of reach, behind a VPN say, is waited for once.
            configuration.retries = 0
            # The package itself reads the variable only once, when it is imported.
            self._api = config.new_client_from_config(  # type: ignore[no-untyped-call]  # it has no annotations
                config_file=os.environ.get("KUBECONFIG"),
                context=context,
                persist_config=False,
                client_configuration=configuration,
            )
        except (config.ConfigException, OSError) as err:
            raise Unreachable(str(err)) from err
        self._client = client

    def get(self, path: str, **query: str) -> Any:
        """The JSON at a path of the API; None where there is nothing. Raises `Unreachable` and `PermissionError`."""
        return self._ask("GET", path, list(query.items()), None)

    def allowed(self, namespace: str, group: str, resource: str) -> bool:
        """Whether the user may create such objects in the namespace."""
        attributes = {"namespace": namespace, "verb": "create", "group": group, "resource": resource}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        answer = self._ask("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", [], review)
        return bool(answer and answer.get("status", {}).get("allowed"))

    def close(self) -> None:
        self._api.close()

    def _ask(self, method: str, path: str, query: list[tuple[str, str]], body: Any) -> Any:
        from urllib3.exceptions import HTTPError

        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        try:
            asked = self._api.param_serialize(
                method, path, query_params=query, header_params=headers, body=body, auth_settings=["BearerToken"]
            )
            answer = self._api.call_api(*asked, _request_timeout=SECONDS)
            answer.read()
        except self._client.ApiException as err:
            raise Unreachable(str(err.reason)) from err
        except HTTPError as err:
            raise Unreachable(f"{self._api.configuration.host} does not answer: {getattr(err, 'reason', err)}") from err
        if answer.status in (401, 403):
            raise PermissionError(f"{path}: HTTP status {answer.status}")
        if answer.status == 404:
            return None
        try:
            return json.loads(answer.data)
        except ValueError as err:
            raise Unreachable(f"{path}: HTTP status {answer.status} and no JSON") from err


def examine(cluster: ClusterReader, namespace: str) -> list[Finding]:
    """All findings about a cluster. Raises `Unreachable`."""
    found = [*_seen("server", cluster, _server)]
    found += _seen("gateway API", cluster, _gateway_api)
    found += _seen("gateway class", cluster, _gateway_class)
    found += _seen("kuberay", cluster, _kuberay_crds)
    found += _seen("kuberay operator", cluster, _kuberay_operator)
    found += _seen("storage class", cluster, _storage_class)
    found += _seen("monitoring", cluster, _monitoring)
    found += _seen("rights", cluster, lambda asked: _rights(asked, namespace))
    found += _seen("room to upgrade", cluster, lambda asked: room_for_upgrade(asked, namespace))
    return found


def _seen(name: str, cluster: ClusterReader, look: Callable[[ClusterReader], Iterator[Finding]]) -> list[Finding]:
    """What is not ours to read is told, not fatal: whoever installs may have fewer rights than who prepared."""
    try:
        return list(look(cluster))
    except PermissionError as err:
        return [Finding(name, "warn", f"you may not look: {err}", help="ask who runs the cluster")]


def _server(cluster: ClusterReader) -> Iterator[Finding]:
    found = str((cluster.get("/version") or {}).get("gitVersion", ""))
    version = version_of(found) or (0, 0, 0)
    verdict: Verdict = "ok" if version >= SERVER else "missing"
    need = f"Kubernetes {dotted(SERVER)} or newer"
    yield Finding(
        "server", verdict, found or "tells no version", need, "" if verdict == "ok" else "upgrade the cluster"
    )


def _served(cluster: ClusterReader, name: str, version: str) -> Mapping[str, Any] | None:
    """The definition of a resource, if it serves that version."""
    found = cluster.get(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}")
    versions = (found or {}).get("spec", {}).get("versions", ())
    served = any(entry.get("name") == version and entry.get("served") for entry in versions)
    return found if served else None


def _gateway_api(cluster: ClusterReader) -> Iterator[Finding]:
    need = "HTTPS and gRPC from outside the cluster"
    names = [f"{kind}.gateway.networking.k8s.io" for kind in ("gatewayclasses", "gateways", "httproutes", "grpcroutes")]
    found = {name: _served(cluster, name, "v1") for name in names}
    lacking = [name.partition(".")[0] for name, definition in found.items() if definition is None]
    if lacking:
        yield Finding("gateway API", "missing", f"no {', '.join(lacking)} in v1", need, HELP_GATEWAY_API)
        return
    annotations = (found[names[-1]] or {}).get("metadata", {}).get("annotations", {})
    release = str(annotations.get("gateway.networking.k8s.io/bundle-version", ""))
    version = version_of(release)
    if version is None or version < GATEWAY_API:
        says = f"release {release or 'unknown'}, not {dotted(GATEWAY_API)} or newer"
        yield Finding("gateway API", "warn", says, need, HELP_GATEWAY_API)
        return
    yield Finding("gateway API", "ok", release, need)


def _gateway_class(cluster: ClusterReader) -> Iterator[Finding]:
    classes = (cluster.get("/apis/gateway.networking.k8s.io/v1/gatewayclasses") or {}).get("items", [])
    accepted = [entry["metadata"]["name"] for entry in classes if _holds(entry, "Accepted")]
    need = "a controller that runs gateways"
    if accepted:
        yield Finding("gateway class", "ok", ", ".join(accepted), need)
        return
    others = ", ".join(entry["metadata"]["name"] for entry in classes)
    says = f"none is accepted by its controller: {others}" if others else "there is none"
    yield Finding(
        "gateway class", "missing", says, need, "install a controller: Traefik, Envoy Gateway, Istio, Cilium …"
    )


def _holds(entry: Mapping[str, Any], condition: str) -> bool:
    conditions = entry.get("status", {}).get("conditions") or ()
    return any(one.get("type") == condition and one.get("status") == "True" for one in conditions)


def _kuberay_crds(cluster: ClusterReader) -> Iterator[Finding]:
    need = "Ray Serve and Ray jobs"
    kinds = ("rayservices", "rayclusters", "rayjobs")
    lacking = [kind for kind in kinds if _served(cluster, f"{kind}.ray.io", "v1") is None]
    if lacking:
        yield Finding("kuberay", "missing", f"no {', '.join(lacking)} in ray.io/v1", need, HELP_KUBERAY)
    else:
        yield Finding("kuberay", "ok", "RayService, RayCluster and RayJob in ray.io/v1", need)


def _kuberay_operator(cluster: ClusterReader) -> Iterator[Finding]:
    need = "what makes pods of a RayService"
    selector = "app.kubernetes.io/component=kuberay-operator"
    found = (cluster.get("/apis/apps/v1/deployments", labelSelector=selector) or {}).get("items", [])
    if not found:
        yield Finding("kuberay operator", "missing", "no deployment of it", need, HELP_KUBERAY)
        return
    deployment = found[0]
    where = f"{deployment['metadata'].get('namespace', '')}/{deployment['metadata']['name']}"
    image = str(deployment["spec"]["template"]["spec"]["containers"][0].get("image", ""))
    tag = image.partition("@")[0].rpartition("/")[2].partition(":")[2]
    version = version_of(tag)
    if not deployment.get("status", {}).get("availableReplicas"):
        help = f"kubectl -n {where.replace('/', ' describe deployment ')}"
        yield Finding("kuberay operator", "missing", f"{where} has no available pod", need, help)
    elif version is None or version < KUBERAY:
        says = f"{where} runs {tag or image}, not {dotted(KUBERAY)} or newer"
        yield Finding("kuberay operator", "warn", says, need, HELP_KUBERAY)
    else:
        yield Finding("kuberay operator", "ok", f"{tag} in {where}", need)


def _storage_class(cluster: ClusterReader) -> Iterator[Finding]:
    classes = (cluster.get("/apis/storage.k8s.io/v1/storageclasses") or {}).get("items", [])
    mark = "storageclass.kubernetes.io/is-default-class"
    default = [
        entry["metadata"]["name"]
        for entry in classes
        if (entry["metadata"].get("annotations") or {}).get(mark) == "true"
    ]
    need = "volumes that name no class; online serving needs none"
    if default:
        yield Finding("storage class", "ok", ", ".join(default), need)
    else:
        yield Finding("storage class", "warn", "none is the default", need, f"annotate one with {mark}=true")


def _monitoring(cluster: ClusterReader) -> Iterator[Finding]:
    kinds = ("podmonitors", "prometheusrules")
    lacking = [kind for kind in kinds if _served(cluster, f"{kind}.monitoring.coreos.com", "v1") is None]
    need = "metrics and alerts, optional: the chart leaves them out where they are not known"
    if lacking:
        help = "install the Prometheus operator, if you want them"
        yield Finding("monitoring", "warn", f"no {', '.join(lacking)} in monitoring.coreos.com/v1", need, help)
    else:
        yield Finding("monitoring", "ok", "PodMonitor and PrometheusRule", need)


def _rights(cluster: ClusterReader, namespace: str) -> Iterator[Finding]:
    lacking = [resource for group, resource in CREATED if not cluster.allowed(namespace, group, resource)]
    need = f"installing the chart in the namespace {namespace}"
    if lacking:
        help = "ask who runs the cluster for a role that may"
        yield Finding("rights", "missing", f"you may not create {', '.join(lacking)}", need, help)
    else:
        yield Finding("rights", "ok", f"you may create all {len(CREATED)} kinds of objects", need)
