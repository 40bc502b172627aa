"""Every pod meets the profile `restricted` of the Pod Security Standards, and has no right that it does not use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.chart.rendering import ROOT, SCENARIOS, Release

VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}


def specs(release: Release) -> Iterator[tuple[str, dict[str, Any], list[dict[str, Any]]]]:
    """Every pod's name, specification and containers; the operator's own container of the autoscaler among them."""
    sidecar = release.cluster().get("autoscalerOptions")
    for name, template in release.templates():
        beside = [{"name": "autoscaler", **sidecar}] if sidecar and name == "head" else []
        yield name, template["spec"], [*containers(template["spec"]), *beside]
    for pod in release.of("Pod"):
        yield pod["metadata"]["name"], pod["spec"], containers(pod["spec"])


def containers(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Containers of every sort."""
    return [each for sort in ("initContainers", "containers", "ephemeralContainers") for each in spec.get(sort) or []]


def violations(spec: dict[str, Any], held: list[dict[str, Any]]) -> list[str]:
    """What the profile forbids, each as a word; empty for a pod that the admission lets in under `restricted`."""
    found = [name for name in ("hostNetwork", "hostPID", "hostIPC", "hostUsers") if spec.get(name)]
    context = spec.get("securityContext") or {}
    found += ["sysctls"] * bool(context.get("sysctls"))
    found += ["volume"] * any(set(volume) - {"name"} - VOLUMES for volume in spec.get("volumes") or [])
    for container in held:
        own = container.get("securityContext") or {}
        effective = {**context, **own}
        found += ["privileged"] * bool(own.get("privileged"))
        found += ["escalation"] * (own.get("allowPrivilegeEscalation") is not False)
        found += ["root"] * (effective.get("runAsNonRoot") is not True or effective.get("runAsUser") == 0)
        seccomp = (effective.get("seccompProfile") or {}).get("type")
        found += ["seccomp"] * (seccomp not in ("RuntimeDefault", "Localhost"))
        capabilities = own.get("capabilities") or {}
        found += ["drop"] * ("ALL" not in capabilities.get("drop", []))
        found += ["add"] * bool(set(capabilities.get("add") or []) - {"NET_BIND_SERVICE"})
        found += ["hostPort"] * any(port.get("hostPort") for port in container.get("ports") or [])
        found += ["procMount"] * (own.get("procMount", "Default") != "Default")
        for handler in (container.get("lifecycle") or {}).values():
            found += ["host of a hook"] * bool((handler.get("httpGet") or handler.get("tcpSocket") or {}).get("host"))
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            asked = container.get(probe) or {}
            found += ["host of a probe"] * bool((asked.get("httpGet") or asked.get("tcpSocket") or {}).get("host"))
    return found


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_pod_is_admitted_as_restricted(scenario: str) -> None:
    """Those of hooks, of runs and of the test as well."""
    found = {name: violations(spec, held) for name, spec, held in specs(Release(scenario))}

    assert found == {name: [] for name in found}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_nothing_is_written_but_what_is_mounted(scenario: str) -> None:
    """The root of every container is read-only, and what is somebody's Secret or key is mounted so that it can be read
    by the group alone."""
    for name, spec, held in specs(Release(scenario)):
        for container in held:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, (name, container["name"])
        for volume in spec.get("volumes") or []:
            secret = volume.get("secret") or volume.get("configMap")
            assert secret is None or secret["defaultMode"] == 0o440, (name, volume["name"])


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"hostNetwork": True}, "hostNetwork"),
        ({"volumes": [{"name": "a", "hostPath": {"path": "/"}}]}, "volume"),
        ({"securityContext": {"runAsNonRoot": True}}, "seccomp"),
        ({"containers": [{"name": "a"}]}, "escalation"),
    ],
)
def test_a_pod_that_is_not_is_found(change: dict[str, Any], word: str) -> None:
    """The rules above are rules."""
    spec = {**Release("default").groups()["head"]["template"]["spec"], **change}

    assert word in violations(spec, containers(spec))


@pytest.mark.parametrize("path", sorted((ROOT / "k8s" / "examples").glob("*.yaml")), ids=lambda path: path.name)
def test_pods_beside_the_chart_are_admitted_too(path: Any) -> None:
    """The namespaces of the examples say restricted."""
    from tests.chart.test_storage import pod_specs

    for spec in pod_specs(list(yaml.safe_load_all(path.read_text()))):
        assert violations(spec, containers(spec)) == []
        assert spec["automountServiceAccountToken"] is False


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_rights_are_named_one_by_one(scenario: str) -> None:
    """No role has a wild card, a cluster's resource, or a verb by which its holder could get more rights."""
    release = Release(scenario)

    assert not release.of("ClusterRole")
    assert not release.of("ClusterRoleBinding")
    for role in release.of("Role"):
        for rule in role["rules"]:
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]], role["metadata"]["name"]
            assert not {"escalate", "bind", "impersonate", "list", "watch", "deletecollection"} & set(rule["verbs"])
            assert not {"pods/exec", "serviceaccounts/token", "rolebindings", "roles"} & set(rule["resources"])
    accounts = {item["metadata"]["name"]: item for item in release.of("ServiceAccount")}
    assert all(item["automountServiceAccountToken"] is False for item in accounts.values())
    for binding in release.of("RoleBinding"):
        assert {subject["name"] for subject in binding["subjects"]} <= set(accounts)
