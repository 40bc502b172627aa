"""The page that predicts offline: its pods, its place on a host, and who reaches it."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.chart.flows import Pod, allowed, pods
from tests.chart.rendering import CHART, ROOT, Release

NAME = "fivefold-site"
TRAEFIK = Pod("traefik", {"app.kubernetes.io/name": "traefik"})
DOCKERFILE = (ROOT / "services" / "site.Dockerfile").read_text()


def values(scenario: str = "site", **site: Any) -> dict[str, Any]:
    """The scenario's values, with others of the page."""
    given: dict[str, Any] = yaml.safe_load((CHART / "ci" / f"{scenario}.yaml").read_text())
    given["site"] |= site
    return given


def route(release: Release) -> dict[str, Any]:
    """The page's route."""
    spec: dict[str, Any] = release.one("HTTPRoute", NAME)["spec"]
    return spec


def test_nothing_is_made_unless_values_say_so() -> None:
    """No pod, no route."""
    release = Release("default")

    assert not release.of("Deployment")
    assert [item["metadata"]["name"] for item in release.of("HTTPRoute")] == ["fivefold"]


def test_on_a_host_of_its_own_the_page_is_at_its_root() -> None:
    """The Gateway gets a listener for that host, and its certificate names it."""
    release = Release("site")
    listeners = release.one("Gateway")["spec"]["listeners"]

    assert route(release)["hostnames"] == ["ward.example"]
    assert [match["path"]["value"] for match in route(release)["rules"][0]["matches"]] == ["/"]
    assert [each["hostname"] for each in listeners] == ["scores.example", "ward.example"]
    (made,) = (item for item in release.of("Job") if item["metadata"]["name"] == "fivefold-secrets")
    assert "ward.example" in str(made)
    assert release.one("HTTPRoute", "fivefold")["spec"]["hostnames"] == ["scores.example"]


def test_beside_the_service_the_page_is_at_its_path() -> None:
    """On the same hosts; the pods are told the path, so that no controller has to rewrite it."""
    release = Release.of_values(values(hostnames=[], path="/ward"))
    container = dict(release.pods())[NAME].containers[0]

    assert route(release)["hostnames"] == ["scores.example"]
    assert route(release)["rules"][0]["matches"] == [{"path": {"type": "PathPrefix", "value": "/ward"}}]
    assert "filters" not in route(release)["rules"][0]
    assert {item.name: item.value for item in container.env} == {"SITE_PATH": "/ward"}
    assert container.readiness_probe.http_get.path == "/ward/model.json"
    assert len(release.one("Gateway")["spec"]["listeners"]) == 1


def test_routes_are_attached_to_listeners_of_their_hosts_alone() -> None:
    """Where gRPC has listeners of its own kind, every other route names its own, and none that has another host."""
    given = values("site")
    given["gateway"] |= {"grpc": {"route": "GRPCRoute", "hostnames": ["grpc.example"]}}
    release = Release.of_values(given)
    listeners = {each["name"]: each["hostname"] for each in release.one("Gateway")["spec"]["listeners"]}
    routes = [*release.of("HTTPRoute"), *release.of("GRPCRoute")]

    assert len(listeners) == len(set(listeners.values())) == 3
    for each in routes:
        sections = [parent["sectionName"] for parent in each["spec"]["parentRefs"]]
        assert sections
        assert {listeners[section] for section in sections} == set(each["spec"]["hostnames"])


def test_by_itself_it_needs_no_ray_and_no_key() -> None:
    """A Gateway and its certificate are made for it alone."""
    release = Release("site-alone")

    assert not release.of("RayService")
    assert release.one("Gateway")
    assert route(release)["rules"][0]["matches"] == [{"path": {"type": "PathPrefix", "value": "/site"}}]
    (job,) = release.of("Job")
    assert "--no-keys" in job["spec"]["template"]["spec"]["containers"][0]["args"]


@pytest.mark.parametrize(
    ("source", "port", "expected"),
    [(TRAEFIK, 8080, True), (TRAEFIK, 8081, False), (Pod("events", {"app": "shop"}), 8080, False)],
)
def test_browsers_come_through_the_gateway(source: Pod, port: int, expected: bool) -> None:
    """Nothing else reaches the pods."""
    release = Release("site")

    assert allowed(release.of("NetworkPolicy"), source, pods(release)[NAME], port) is expected


def test_two_pods_do_not_go_at_once() -> None:
    """A budget, and another pod before the old one goes; one pod alone has no budget that would hold a drain."""
    release = Release("site")

    assert release.one("PodDisruptionBudget", NAME)["spec"]["maxUnavailable"] == 1
    assert release.one("Deployment")["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    single = Release.of_values(values(replicas=1))
    assert NAME not in [item["metadata"]["name"] for item in single.of("PodDisruptionBudget")]


def test_the_image_listens_where_the_chart_says() -> None:
    """Port, the variable of the path, and a place to write that is a volume."""
    container = dict(Release("site").pods())[NAME].containers[0]

    assert f"listen {container.ports[0].container_port};" in DOCKERFILE
    assert all(item.name in DOCKERFILE for item in container.env)
    assert [mount.mount_path for mount in container.volume_mounts] == ["/tmp"]
    assert set(re.findall(r"(?:pid|_path|root|include|>{1,2}) ?(/tmp)", DOCKERFILE)) == {"/tmp"}
