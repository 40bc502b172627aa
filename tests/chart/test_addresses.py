"""IPv6 and both families: what pods listen on, what Services have, and what is written into policies."""

from __future__ import annotations

import re

import pytest
import yaml

from fivefold.core.settings import address
from tests.chart import flows
from tests.chart.flows import Host, Pod
from tests.chart.rendering import SCENARIOS, Release


def listening(release: Release) -> dict[str, str]:
    """Every address that a process of the release is told to listen on, by where that is said."""
    found = {}
    for name, template in release.templates():
        for container in template["spec"]["containers"]:
            for argument in container.get("args", []):
                match = re.fullmatch(r"--(http|metrics|health)=(\S+)", argument)
                if match and "://" not in match[2]:
                    found[f"{name} {match[1]}"] = match[2]
    runs = {f"run-{name}": group for name, group in release.run_groups().items()}
    for name, group in (release.groups() | runs).items():
        if "dashboard-host" in group["rayStartParams"]:
            found[f"{name} dashboard"] = _any_port(group["rayStartParams"]["dashboard-host"])
    if release.of("RayService"):
        serve = release.serve()
        settings = serve["applications"][0]["args"]["settings"]
        found |= {"http": settings["http"], "grpc": settings["grpc"]}
        found["proxies"] = _any_port(serve["http_options"]["host"])
    return found


def _any_port(host: str) -> str:
    return f"[{host}]:0" if ":" in host else f"{host}:0"


@pytest.mark.parametrize(("scenario", "host"), [("default", "0.0.0.0"), ("dual-stack", "::")])
def test_every_process_listens_where_values_say(scenario: str, host: str) -> None:
    """Ray's dashboard, the proxies, our settings, the hub and the stream; the product reads each address."""
    found = listening(Release(scenario))

    assert {"head dashboard", "http", "grpc", "proxies"} <= set(found)
    assert {where: address(text, where)[0] for where, text in found.items()} == dict.fromkeys(found, host)


def test_runs_hub_and_stream_listen_there_as_well() -> None:
    """Nothing is left on IPv4 alone."""
    release = Release("dual-stack")
    others = {"fivefold-hub http", "fivefold-hub metrics", "fivefold-stream health", "run-head dashboard"}

    assert others <= set(listening(release))
    assert "0.0.0.0" not in yaml.safe_dump([item for item in release.objects if item["kind"] != "NetworkPolicy"])


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_services_have_the_families_that_values_say(scenario: str) -> None:
    """And say nothing of them where values do not: the cluster's own choice stands."""
    asked = scenario == "dual-stack"
    for service in Release(scenario).of("Service"):
        spec = service["spec"]

        assert spec.get("ipFamilyPolicy") == ("RequireDualStack" if asked else None)
        assert spec.get("ipFamilies") == (["IPv6", "IPv4"] if asked else None)


def test_the_clusters_own_domain_needs_no_proxy() -> None:
    """Whatever it is called."""
    for scenario, domain in (("corporate", ".cluster.local"), ("dual-stack", ".cluster.example")):
        pods = dict(Release(scenario).pods())
        hosts = {each.name: each.value for each in pods["fivefold-hub"].containers[0].env}["NO_PROXY"].split(",")

        assert domain in hosts
        assert len([each for each in hosts if each.startswith(".cluster.")]) == 1


def test_policies_know_the_apis_port_and_that_of_names() -> None:
    """A policy sees the port of the pod behind a Service, and the API's address may be one of IPv6."""
    release = Release("dual-stack")
    policies = release.of("NetworkPolicy")
    pods = flows.pods(release)
    dns = Pod("kube-system", {"k8s-app": "kube-dns"})
    api = Host("fd00:10:96::1")

    for name in ("worker", "fivefold-gate", "fivefold-hub", "fivefold-stream"):
        assert flows.allowed(policies, pods[name], dns, 5353, "UDP"), name
        assert flows.allowed(policies, pods[name], dns, 53, "TCP"), name
    for name in ("fivefold-gate", "fivefold-secrets", "fivefold-batch"):
        assert flows.allowed(policies, pods[name], api, 8443), name
        assert not flows.allowed(policies, pods[name], api, 6443), name
    assert not flows.allowed(policies, pods["worker"], api, 8443)
