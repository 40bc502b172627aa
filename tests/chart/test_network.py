"""Who may reach what: every port that Ray needs between its pods, and nothing else from anywhere."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes import client
from ray.serve._private import constants

from tests.chart import flows
from tests.chart.rendering import SCENARIOS, SERVING, Release

ONLINE = {
    "app.kubernetes.io/part-of": "fivefold",
    "app.kubernetes.io/instance": "fivefold",
    "app.kubernetes.io/component": "online",
}
STORES = {
    *("autoscale", "cert-manager", "default", "existing-gateway", "gate", "monitoring", "no-gateway", "oidc"),
    *(
        "dual-stack",
        "grpc-host",
        "grpc-listener",
        "own-keys",
        "own-secrets",
        "stream-registry",
        "stream-scaled",
        "two-models",
    ),
}
"""Scenarios in which replicas get their bundles over the network."""

GUARDED = [name for name in SCENARIOS if name not in {"open", "stream-image"}]
"""Scenarios with policies."""
BATCH = ONLINE | {"app.kubernetes.io/component": "batch"}
START = ONLINE | {"app.kubernetes.io/component": "batch-start"}


def ports(rule: client.V1NetworkPolicyIngressRule) -> set[tuple[int, int]]:
    """A rule's TCP ports as ranges."""
    return {(port.port, port.end_port or port.port) for port in rule.ports if port.protocol == "TCP"}


HEADS = {"port", "dashboard-port"}
"""Of what `ray start` is told, the ports that the head alone listens on."""


def told(groups: dict[str, dict[str, Any]]) -> tuple[set[tuple[int, int]], set[tuple[int, int]]]:
    """The ports that `ray start` is told, as ranges: those of every pod, and those of the head alone."""
    everywhere, heads = set(), set()
    for group in groups.values():
        params = group["rayStartParams"]
        for name in params:
            if name.endswith("port") and "worker" not in name:
                (heads if name in HEADS else everywhere).add((int(params[name]),) * 2)
        everywhere.add((int(params["min-worker-port"]), int(params["max-worker-port"])))
    return everywhere, heads


@pytest.mark.parametrize("scenario", [name for name in GUARDED if name in SERVING])
def test_ray_pods_reach_each_other_on_every_port_of_ray_and_on_no_other(scenario: str) -> None:
    """The ports are those that `ray start` is told and those that Serve takes by itself, for both directions, each
    where it is listened on."""
    release = Release(scenario)
    policies = release.policies()
    everywhere, heads = told(release.groups())
    heads |= {
        (constants.RAY_SERVE_FALLBACK_PROXY_HTTP_PORT,) * 2,
        (constants.RAY_SERVE_FALLBACK_PROXY_GRPC_PORT,) * 2,
    }
    replicas = {
        (constants.RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT, constants.RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT),
        (constants.RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT, constants.RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT),
    }
    head, worker = ({**ONLINE, "ray.io/node-type": kind} for kind in ("head", "worker"))
    expected = [(ONLINE, everywhere), (head, heads), (worker, replicas)]

    for (labels, found), name in zip(expected, ("ray", "ray-head", "ray-replicas"), strict=True):
        spec = policies[name].spec
        assert spec.pod_selector.match_labels == labels
        assert [ports(rule) for rule in spec.ingress] == [found]
        assert [peer.pod_selector.match_labels for rule in spec.ingress for peer in rule._from] == [ONLINE]
        assert all(peer.namespace_selector is None for rule in spec.ingress for peer in rule._from)
    egress = policies["ray"].spec.egress
    assert [([peer.pod_selector.match_labels for peer in rule.to], ports(rule)) for rule in egress] == [
        ([labels], found) for labels, found in expected
    ]
    assert all(peer.namespace_selector is None for rule in egress for peer in rule.to)


def test_the_pods_of_runs_reach_each_other_and_those_that_serve_stay_apart() -> None:
    """On Ray's own ports, which `ray start` is told, and on none of Serve's; each kind of pod reaches its own kind."""
    release = Release("batch")
    policies = release.policies()
    everywhere, heads = told(release.run_groups())
    head = {**BATCH, "ray.io/node-type": "head"}
    expected = [(BATCH, everywhere), (head, heads)]

    for (labels, found), name in zip(expected, ("batch-ray", "batch-ray-head"), strict=True):
        spec = policies[name].spec
        assert spec.pod_selector.match_labels == labels
        assert [ports(rule) for rule in spec.ingress] == [found]
        assert [peer.pod_selector.match_labels for rule in spec.ingress for peer in rule._from] == [BATCH]
    egress = policies["batch-ray"].spec.egress
    assert [([peer.pod_selector.match_labels for peer in rule.to], ports(rule)) for rule in egress] == [
        ([labels], found) for labels, found in expected
    ]


def test_the_operator_and_the_jobs_pod_reach_the_head_of_a_run_and_nothing_else_does() -> None:
    """It hands over the command, whose words the pod repeats; nobody scrapes, calls or submits from elsewhere."""
    release = Release("batch")
    policies = release.policies()
    head = {**BATCH, "ray.io/node-type": "head"}

    assert policies["batch-operator"].spec.pod_selector.match_labels == head
    operator, starts = policies["batch-operator"].spec.ingress
    assert ports(operator) == ports(starts) == {(8265, 8265)}
    assert operator._from[0].namespace_selector is not None
    assert [peer.pod_selector.match_labels for peer in starts._from] == [START]
    lets_in = {name for name, found in policies.items() if selects(found, BATCH) and found.spec.ingress}
    assert lets_in == {"batch-ray"}


def test_runs_reach_what_the_values_say() -> None:
    """Object stores are among `networkPolicy.egress`, for pods that read and write; the CronJob's has the API and the
    run's head alone."""
    policies = Release("batch").policies()

    assert selects(policies["egress"], BATCH)
    starts = {name for name, found in policies.items() if selects(found, START) and found.spec.egress}
    assert starts == {"dns", "batch-start"}
    *api, heads = policies["batch-start"].spec.egress
    assert [ports(rule) for rule in api] == [{(443, 443), (6443, 6443)}]
    assert ports(heads) == {(8265, 8265)}
    assert [peer.pod_selector.match_labels for peer in heads.to] == [{**BATCH, "ray.io/node-type": "head"}]


def selects(policy: client.V1NetworkPolicy, labels: dict[str, str]) -> bool:
    """Whether a policy is about pods with these labels."""
    return flows.selects(client.ApiClient().sanitize_for_serialization(policy.spec.pod_selector), labels)


@pytest.mark.parametrize("scenario", GUARDED)
def test_every_pod_is_denied_what_is_not_allowed(scenario: str) -> None:
    """One policy names every pod and allows nothing; nobody but Ray's pods and the operator reaches the job API."""
    release = Release(scenario)
    policies = release.policies()
    deny = policies["deny"].spec
    labels = [template["metadata"]["labels"] for _, template in release.templates()]
    labels += [item["metadata"]["labels"] for item in release.of("Pod")]

    assert deny.policy_types == ["Ingress", "Egress"]
    assert deny.ingress is None
    assert deny.egress is None
    assert all(deny.pod_selector.match_labels.items() <= found.items() for found in labels)
    dashboard = 8265
    reached = {name for name, found in policies.items() for rule in found.spec.ingress or [] if opens(rule, dashboard)}
    serving = {"ray-head", "operator"} if scenario in SERVING else set()
    runs = {f"batch{job and '-'}{job}-{what}" for job in jobs(release) for what in ("ray-head", "operator")}
    assert reached == serving | runs


def jobs(release: Release) -> set[str]:
    """The names of its batch jobs; empty for the only one."""
    return {run["metadata"]["labels"].get("fivefold.dev/job", "") for run in release.runs()}


def opens(rule: client.V1NetworkPolicyIngressRule, port: int) -> bool:
    """Whether a rule lets somebody in on a port."""
    return not rule.ports or any(first <= port <= last for first, last in ports(rule))


def test_callers_reach_the_two_endpoints_of_workers_alone() -> None:
    """The gateway's namespace, and our own jobs: REST and gRPC."""
    serve = Release("default").policies()["serve"].spec

    assert serve.pod_selector.match_labels == {**ONLINE, "ray.io/node-type": "worker"}
    assert [ports(rule) for rule in serve.ingress] == [{(8000, 8000), (9000, 9000)}]
    gateway, own = serve.ingress[0]._from
    assert gateway.namespace_selector.match_labels == {"kubernetes.io/metadata.name": "traefik"}
    assert gateway.pod_selector.match_labels == {"app.kubernetes.io/name": "traefik"}
    assert own.pod_selector.match_labels["fivefold.dev/calls"] == "online"


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_world_is_reached_where_values_say_so(scenario: str) -> None:
    """No rule is without somebody whom it names: what the values say anywhere for is written out. Each purpose has a
    policy where the values have something for it."""
    policies = Release(scenario).policies()
    rules = [(name, rule) for name, found in policies.items() for rule in found.spec.egress or []]

    assert not [name for name, rule in rules if not rule.to or not rule.ports]
    assert ("egress" in policies) == (scenario in {"batch", "batch-alone", "batch-jobs"})
    assert ("stores" in policies) == (scenario in STORES)
    assert ("issuer" in policies) == (scenario in {"oidc", "stream-scaled", "hub-postgres"})
    assert ("spans" in policies) == (scenario == "two-models")
    assert ("redis" in policies) == (scenario == "autoscale")
    assert ("batch-start" in policies) == (
        scenario in {"batch", "batch-volume", "batch-alone", "corporate", "dual-stack"}
    )
    assert ("batch-nightly-start" in policies) == (scenario == "batch-jobs")
    assert ("api" in policies) == (scenario in {"autoscale", "openshift"})
    assert ({"proxy", "proxy-others"} <= policies.keys()) == (scenario in {"corporate", "dual-stack"})
    assert ("metrics" in policies) == (scenario in GUARDED and scenario in SERVING)
    streams = {"stream", "stream-alone", "stream-scaled", "stream-registry", "corporate", "dual-stack"}
    assert ("stream-brokers" in policies) == (scenario in streams)
    assert ("stream-stores" in policies) == (scenario in {"stream-scaled", "stream-registry", "dual-stack"})
    assert ("stream-registry" in policies) == (scenario == "stream-registry")
    assert ("stream-issuer" in policies) == (scenario == "stream-scaled")
    assert ("stream-metrics" in policies) == (scenario in streams)
    assert ("hub" in policies) == (scenario in {"hub", "hub-postgres", "corporate", "grpc-host", "dual-stack"})
    assert {"hub-database", "hub-brokers", "hub-issuer"} <= set(policies) or scenario != "hub-postgres"


def test_no_policy_is_made_where_none_is_wanted() -> None:
    """`networkPolicy.enabled: false` leaves the network to others."""
    assert not Release("open").policies()


def test_the_gateway_passes_on_what_clients_ask_and_nothing_else() -> None:
    """Ray's own routes, its gRPC service and the metrics stay inside."""
    release = Release("default")
    paths = [match["path"] for rule in release.one("HTTPRoute")["spec"]["rules"] for match in rule["matches"]]
    services = [path["value"].removeprefix("/") for path in paths]

    assert not [path for path in paths if path["type"] == "PathPrefix" and path["value"] in ("/", "/-", "/metrics")]
    assert {"/v1", "/v2", "/"} <= {path["value"] for path in paths}
    assert "ray.serve.RayServeAPIService" not in services
    assert {"inference.GRPCInferenceService", "grpc.health.v1.Health"} <= set(services)


def test_grpc_is_spoken_in_clear_text_behind_the_gateway() -> None:
    """The Service says so, or gateways would speak HTTP/1.1 to it."""
    service = Release("default").one("Service")["spec"]

    assert {port["name"]: port["appProtocol"] for port in service["ports"]} == {
        "http": "http",
        "grpc": "kubernetes.io/h2c",
    }


def test_the_service_has_the_workers_of_every_cluster() -> None:
    """It names no cluster, so that one can take over from another without a moment that has neither."""
    service = Release("default").one("Service")["spec"]

    assert service["selector"] == {**ONLINE, "ray.io/node-type": "worker"}
