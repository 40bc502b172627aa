"""REST and gRPC beside each other: in whichever form, no controller of the Gateway API has a route to refuse."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.chart import gateway_rules
from tests.chart.rendering import CHART, SCENARIOS, Release, template

SERVICES = {
    "inference.GRPCInferenceService",
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
}
MODEL = yaml.safe_load((CHART / "ci" / "default.yaml").read_text())

APART: dict[str, dict[str, Any]] = {
    "a host": {"hostnames": ["a.example"], "grpc": {"hostnames": ["grpc.a.example"]}},
    "hosts": {"hostnames": ["a.example", "b.example"], "grpc": {"hostnames": ["*.grpc.example", "g.example"]}},
    "a port": {"grpc": {"port": 9443}},
    "a port, on REST's hosts": {"hostnames": ["a.example", "b.example"], "grpc": {"port": 9443}},
    "a port and a host": {"grpc": {"port": 9443, "hostnames": ["grpc.a.example"]}},
    "a listener": {"existing": {"name": "g", "sectionName": "https"}, "grpc": {"sectionName": "grpc"}},
    "hosts of one listener": {
        "hostnames": ["a.example"],
        "existing": {"name": "g", "namespace": "gateways", "sectionName": "https"},
        "grpc": {"hostnames": ["g.example"]},
    },
    "hosts of every listener": {
        "hostnames": ["a.example"],
        "existing": {"name": "g"},
        "grpc": {"hostnames": ["g.example"]},
    },
}
"""What `gateway` may say for a route of gRPC's own kind."""


def apart(gateway: dict[str, Any]) -> Release:
    """The release of these values, with a hub beside."""
    grpc = {"route": "GRPCRoute", **gateway["grpc"]}
    return Release.of_values(MODEL | {"hub": {"enabled": True}, "gateway": {**gateway, "grpc": grpc}})


def check(release: Release) -> None:
    """What the API and its conformance ask of routes, Gateways and what they name."""
    gateways = release.of("Gateway")
    routes = [*release.of("HTTPRoute"), *release.of("GRPCRoute")]

    assert gateway_rules.conflicts(routes, gateways) == []
    for gateway in gateways:
        assert gateway_rules.twice(gateway) == []
    for route in routes:
        parents = route["spec"]["parentRefs"]
        sections = [parent.get("sectionName") for parent in parents]
        # Several references to one Gateway have to say which listener each means.
        assert len(set(sections)) == len(sections)
        assert len(sections) == 1 or None not in sections
        assert list(gateway_rules.attachments(route, gateways)), "a route that is attached to nothing is not accepted"
        assert len(route["spec"].get("hostnames", [])) <= 16
        assert sum(len(rule["matches"]) for rule in route["spec"]["rules"]) < 128


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_controller_has_a_route_to_refuse(scenario: str) -> None:
    """No HTTPRoute and GRPCRoute have a host of one listener in common, in no scenario."""
    check(Release(scenario))


@pytest.mark.parametrize("form", APART)
def test_nor_where_grpc_has_a_route_of_its_own(form: str) -> None:
    """Each to its own listeners, or on its own hosts; the hub's stay REST's."""
    release = apart(APART[form])
    check(release)
    (grpc,) = release.of("GRPCRoute")
    rest = release.one("HTTPRoute", "fivefold")

    services = [match["method"]["service"] for rule in grpc["spec"]["rules"] for match in rule["matches"]]
    assert set(services) == SERVICES
    assert [ref["port"] for rule in grpc["spec"]["rules"] for ref in rule["backendRefs"]] == [9000]
    assert [ref["port"] for rule in rest["spec"]["rules"] for ref in rule["backendRefs"]] == [8000]
    assert release.one("HTTPRoute", "fivefold-hub")["spec"]["parentRefs"] == rest["spec"]["parentRefs"]


def test_by_default_one_route_has_both() -> None:
    """Paths of gRPC's services go to the port that says it speaks HTTP/2, all others to REST's."""
    release = Release("default")
    rest, grpc = release.one("HTTPRoute")["spec"]["rules"]
    ports = {port["port"]: port["appProtocol"] for port in release.one("Service", "fivefold")["spec"]["ports"]}

    assert not release.of("GRPCRoute")
    assert [match["path"] for match in grpc["matches"]] == [
        {"type": "PathPrefix", "value": f"/{service}"} for service in sorted(SERVICES, key=_order)
    ]
    assert ports[grpc["backendRefs"][0]["port"]] == "kubernetes.io/h2c"
    assert ports[rest["backendRefs"][0]["port"]] == "http"
    assert "sectionName" not in release.one("HTTPRoute")["spec"]["parentRefs"][0]


def _order(service: str) -> int:
    return ["inference", "health", "v1.Server", "v1alpha"].index(
        next(word for word in ("inference", "health", "v1.Server", "v1alpha") if word in service)
    )


def test_the_certificate_is_for_grpcs_hosts_too() -> None:
    """Where we make it or ask an issuer for it."""
    values = yaml.safe_load((CHART / "ci" / "cert-manager.yaml").read_text())
    values["gateway"]["grpc"] = {"route": "GRPCRoute", "hostnames": ["g.other.example"]}

    names = Release.of_values(values).one("Certificate")["spec"]["dnsNames"]

    assert names == [*values["gateway"]["hostnames"], "g.other.example"]


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        ("a.example", "a.example", True),
        ("a.example", "b.example", False),
        ("*.example", "a.example", True),
        ("a.b.example", "*.example", True),
        ("*.example", "example", False),
        ("*.a.example", "*.example", True),
        ("*.a.example", "*.b.example", False),
        ("notexample", "*.example", False),
    ],
)
def test_hosts_meet_as_the_chart_has_it(one: str, other: str, meet: bool) -> None:
    """The chart refuses the same pairs that the rules here find to have a name in common."""
    grpc = {"route": "GRPCRoute", "hostnames": [other]}
    done = template(yaml.safe_dump(MODEL | {"gateway": {"hostnames": [one], "grpc": grpc}}))

    assert ("a host that is not REST's" in done.stderr) == meet == bool(gateway_rules.meeting(one, other))
    assert (done.returncode == 0) == (not meet)


def test_a_refused_pair_is_found() -> None:
    """Two routes on one listener without hosts, as an older release had them."""
    release = Release("default")
    rest = release.one("HTTPRoute")
    grpc = {**rest, "kind": "GRPCRoute"}

    assert gateway_rules.conflicts([rest, grpc], release.of("Gateway")) == [("fivefold", "fivefold")]
