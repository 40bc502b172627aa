"""What values add to pods: where they run, labels, what is beside our own container, authorities and proxies."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.chart.flows import Host, allowed, pods
from tests.chart.rendering import CHART, Release, objects, template

OUTSIDE = {"worker", "run-head", "run-worker", "fivefold-gate", "fivefold-stream", "fivefold-hub"}
"""Pods that open bundles, read and write files, or ask an identity provider."""

JOBS = {"fivefold-secrets", "fivefold-batch", "fivefold-test"}
SCHEDULING = {
    "head": ({"pool": "fivefold"}, "dedicated", "standard", "runc"),
    "worker": ({"pool": "fivefold"}, "pool", "scores", "gvisor"),
    "run-head": ({"pool": "batch-heads"}, "pool", "standard", "gvisor"),
    "run-worker": ({"pool": "fivefold"}, "dedicated", "low", "gvisor"),
    "fivefold-stream": ({"pool": "fivefold"}, "dedicated", "standard", "gvisor"),
    "fivefold-hub": ({"pool": "fivefold"}, "dedicated", "standard", "gvisor"),
    "fivefold-site": ({"pool": "fivefold"}, "dedicated", "standard", "gvisor"),
    "fivefold-gate": ({"pool": "jobs"}, "pool", "standard", "gvisor"),
    **dict.fromkeys(JOBS, ({"pool": "jobs"}, "pool", "standard", "gvisor")),
}
"""Of the scenario `corporate`: what a role says stands, each key by itself; otherwise what is said for all."""


def templates(release: Release) -> dict[str, dict[str, Any]]:
    """Every pod by name, the test among them: `metadata` and `spec`."""
    return dict(release.templates()) | {pod["metadata"]["name"]: pod for pod in release.of("Pod")}


def variables(pod: dict[str, Any]) -> dict[str, Any]:
    """Of a pod's own container; each is there once."""
    found = [
        (each["name"], each.get("value", each.get("valueFrom"))) for each in pod["spec"]["containers"][0].get("env", [])
    ]

    assert len(dict(found)) == len(found)
    return dict(found)


def test_every_pod_runs_where_values_say() -> None:
    """Those of hooks, of runs and of the test as well; a role's own word comes before the one for all."""
    found = {}
    for name, pod in templates(Release("corporate")).items():
        spec = pod["spec"]
        key = spec["tolerations"][0]["key"]
        found[name] = (spec["nodeSelector"], key, spec["priorityClassName"], spec["runtimeClassName"])

        assert ("nodeAffinity" if name == "worker" else "podAntiAffinity") in spec["affinity"], name
        assert spec["imagePullSecrets"] == [{"name": "registry"}], name

    assert found == SCHEDULING


def test_pods_are_spread_among_those_of_their_role() -> None:
    """A constraint that names no pods is about the role's own; one that does is left as it is."""
    for name, pod in templates(Release("corporate")).items():
        (constraint,) = pod["spec"]["topologySpreadConstraints"]
        labels = constraint["labelSelector"]["matchLabels"]
        kind = name.removeprefix("run-")
        own = dict(pod["metadata"]["labels"]) | ({"ray.io/node-type": kind} if kind in {"head", "worker"} else {})

        assert labels.items() <= own.items(), name
        assert constraint["topologyKey"] == "topology.kubernetes.io/zone", name
        if name == "fivefold-stream":
            assert labels == {"own": "yes"}
        else:
            assert labels["app.kubernetes.io/component"] == own["app.kubernetes.io/component"], name


def test_labels_and_annotations_are_on_every_pod() -> None:
    """Beside the chart's own, and no pod template's selector is any wider or narrower for it."""
    release = Release("corporate")
    found = templates(release)
    for name, pod in found.items():
        assert pod["metadata"]["labels"]["team"] == "risk", name
        assert pod["metadata"]["annotations"]["example.com/cost-centre"] == "4711", name
        assert pod["metadata"]["labels"]["app.kubernetes.io/instance"] == "fivefold", name
    assert found["worker"]["metadata"]["labels"]["role"] == "scores"
    assert found["head"]["metadata"]["labels"]["role"] == "head"
    assert found["worker"]["metadata"]["annotations"]["example.com/scrape"] == "true"
    assert "example.com/scrape" not in found["head"]["metadata"]["annotations"]
    for workers in [*release.of("StatefulSet"), *release.of("Deployment")]:
        assert "team" not in workers["spec"]["selector"]["matchLabels"]


def test_what_is_beside_a_container_comes_after_it() -> None:
    """KubeRay takes the first container for Ray's."""
    found = templates(Release("corporate"))
    worker, head = found["worker"]["spec"], found["head"]["spec"]

    assert [each["name"] for each in worker["containers"]] == ["ray-worker", "ship-logs"]
    assert worker["containers"][0]["volumeMounts"][-1] == {"name": "extra", "mountPath": "/extra"}
    assert worker["volumes"][-1] == {"name": "extra", "emptyDir": {"sizeLimit": "16Mi"}}
    assert [each["name"] for each in head["initContainers"]] == ["wait"]
    assert variables(found["worker"])["NODE"] == {"fieldRef": {"fieldPath": "spec.nodeName"}}
    assert variables(found["head"])["RAY_LOG_TO_DRIVER"] == "0"
    assert {name for name, pod in found.items() if variables(pod).get("TZ") == "UTC"} == JOBS


def test_pods_that_reach_outside_trust_the_authorities_that_are_given() -> None:
    """By the variables that Python, the stores' library, the exporter of spans and gRPC read; the file is mounted."""
    for name, pod in templates(Release("corporate")).items():
        said = variables(pod)
        names = {"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"}
        mounts = {each["mountPath"]: each["name"] for each in pod["spec"]["containers"][0].get("volumeMounts", [])}

        assert {said.get(each) for each in names} == (
            {"/etc/fivefold/ca-bundle/ca.crt"} if name in OUTSIDE else {None}
        ), name
        assert ("/etc/fivefold/ca-bundle" in mounts) == (name in OUTSIDE), name
        if name in OUTSIDE:
            (volume,) = [each for each in pod["spec"]["volumes"] if each["name"] == "ca-bundle"]
            assert volume["configMap"]["name"] == "authorities"
            assert volume["configMap"]["items"] == [{"key": "bundle.pem", "path": "ca.crt"}]


def test_authorities_may_be_in_a_secret() -> None:
    """As in the scenario `openshift`."""
    pod = templates(Release("openshift"))["worker"]["spec"]
    (volume,) = [each["secret"] for each in pod["volumes"] if each["name"] == "ca-bundle"]

    assert (volume["secretName"], volume["items"]) == ("authorities", [{"key": "ca.crt", "path": "ca.crt"}])


def test_the_gate_knows_our_own_service_by_its_own_authority() -> None:
    """And the stores by those that are given; the test, which asks the service alone, by its own only."""
    values = (CHART / "ci" / "upstream-tls.yaml").read_text() + "caBundle: {configMap: authorities}\n"
    made = {
        item["metadata"]["name"]: item for item in objects(template(values).stdout) if item["kind"] in ("Job", "Pod")
    }
    gate, test = variables(made["fivefold-gate"]["spec"]["template"]), variables(made["fivefold-test"])

    assert gate["SSL_CERT_FILE"] == "/etc/fivefold/ca-bundle/ca.crt"
    assert gate["GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"] == "/etc/fivefold/authority/ca.crt"
    assert test["SSL_CERT_FILE"] == "/etc/fivefold/authority/ca.crt"


def test_pods_that_reach_outside_know_the_proxy_and_may_reach_it() -> None:
    """The cluster's own names and the release's are asked directly. A role's own variable stands."""
    release = Release("corporate")
    found = templates(release)
    for name, pod in found.items():
        said = variables(pod)

        assert (said.get("HTTPS_PROXY") == "http://proxy.example:3128") == (name in OUTSIDE), name
        assert said.get("HTTP_PROXY") == said.get("HTTPS_PROXY"), name
        if name in OUTSIDE - {"worker", "fivefold-gate"}:
            direct = said["NO_PROXY"].split(",")
            assert {"localhost", "127.0.0.1", ".svc", ".cluster.local", "fivefold", "fivefold.scores"} <= set(direct)
            assert {"store.internal", "10.0.0.5"} <= set(direct)
    # Of online.environment.
    assert (
        variables(found["worker"])["NO_PROXY"] == variables(found["fivefold-gate"])["NO_PROXY"] == "store.internal,.svc"
    )
    policies = release.of("NetworkPolicy")
    reach = {name for name, pod in pods(release).items() if allowed(policies, pod, Host("192.0.2.7"), 3128)}
    assert reach == OUTSIDE


@pytest.mark.parametrize("context", ["podSecurityContext", "containerSecurityContext"])
def test_a_context_that_is_null_is_left_out(context: str) -> None:
    """The line as well: null there is no context to some who read it."""
    values = (CHART / "ci" / "autoscale.yaml").read_text() + f"{context}: null\n"
    text = template(values).stdout
    left = "readOnlyRootFilesystem" if context == "podSecurityContext" else "runAsNonRoot"

    assert "securityContext: \n" not in text
    assert text.count("securityContext:") == text.count(left) > 0


def test_ids_that_are_null_are_left_to_the_cluster() -> None:
    """Everything else of the contexts stays, and what is added is there."""
    for name, pod in templates(Release("openshift")).items():
        spec = pod["spec"]

        assert spec["securityContext"] == {
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
            "supplementalGroups": [2000],
        }, name
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
                "runAsNonRoot": True,
            }, (name, container["name"])


def test_init_containers_of_a_role_run_after_those_that_copy_bundles() -> None:
    """So they may look at what was copied."""
    given = yaml.safe_load((CHART / "ci" / "image-bundle.yaml").read_text())
    given["online"]["workers"] = {"pod": {"initContainers": [{"name": "look", "image": "registry.example/tools:1"}]}}
    (service,) = [item for item in objects(template(yaml.safe_dump(given)).stdout) if item["kind"] == "RayService"]
    worker = service["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]["template"]["spec"]

    assert [each["name"] for each in worker["initContainers"]] == ["bundle-0", "look"]
