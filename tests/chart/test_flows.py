"""Flows between pods, strangers and the world, tried on the rendered policies."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.chart.flows import NAMESPACE, Host, Pod, allowed, pods
from tests.chart.rendering import CHART, ROOT, SCENARIOS, Release, objects, template

GUARDED = [name for name in SCENARIOS if name not in {"open", "stream-image"}]
OPERATOR = {"app.kubernetes.io/component": "kuberay-operator", "app.kubernetes.io/name": "kuberay"}
TRAEFIK = {"app.kubernetes.io/name": "traefik"}
DNS = {"k8s-app": "kube-dns"}
API = Host("10.20.0.2")
STORE = Host("203.0.113.7")
METADATA = [
    Host(address)
    for address in (
        *("169.254.169.254", "169.254.169.252", "169.254.170.2", "169.254.170.23", "100.100.100.200"),
        *("168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fe80::a9fe:a9fe"),
    )
]
STRANGERS = {
    "operator": Pod("elsewhere", OPERATOR),
    "gateway": Pod("elsewhere", TRAEFIK),
    "dns": Pod("elsewhere", DNS),
    "neighbour": Pod(NAMESPACE, {"app": "shop"}),
    "neighbour with the operator's label": Pod(NAMESPACE, OPERATOR),
    "neighbour with the gateway's label": Pod(NAMESPACE, TRAEFIK),
    "pod beside the operator": Pod("default", {"app": "shop"}),
    "pod beside the gateway": Pod("traefik", {"app": "shop"}),
    "pod of another release": Pod(
        NAMESPACE,
        {
            "app.kubernetes.io/part-of": "fivefold",
            "app.kubernetes.io/instance": "other",
            "app.kubernetes.io/component": "online",
            "ray.io/node-type": "worker",
            "fivefold.dev/calls": "online",
        },
    ),
    "our own release's labels in another namespace": Pod(
        "elsewhere",
        {
            "app.kubernetes.io/part-of": "fivefold",
            "app.kubernetes.io/instance": "fivefold",
            "app.kubernetes.io/component": "online",
            "ray.io/node-type": "head",
            "fivefold.dev/calls": "online",
        },
    ),
    "outside": Host("198.51.100.9"),
}
PORTS = (
    *(22, 443, 6379, 6380, 6381, 6382, 6383, 8000, 8080, 8265, 8404, 8500),
    *(9000, 9500, 10002, 10201, 30000, 40000, 52365),
)
EVERY_OPENER = {"worker", "fivefold-gate", "run-head", "run-worker"}
"""Pods that open bundles, or read and write files."""

FLOWS = [
    # Those who call.
    ("gateway", "worker", 8000, True),
    ("gateway", "worker", 9000, True),
    ("gateway", "worker", 8265, False),
    ("gateway", "worker", 8404, False),
    ("gateway", "worker", 30000, False),
    ("gateway", "head", 8000, False),
    ("fivefold-test", "worker", 8000, True),
    ("fivefold-gate", "worker", 9000, True),
    ("fivefold-test", "head", 8265, False),
    ("fivefold-secrets", "worker", 8000, False),
    # The operator.
    ("operator", "head", 8265, True),
    ("operator", "run-head", 8265, True),
    ("operator", "head", 6379, False),
    ("operator", "worker", 8000, False),
    ("operator", "worker", 52365, False),
    # Ray among itself: what listens on the head alone is reached there alone.
    ("worker", "head", 6379, True),
    ("worker", "head", 8265, True),
    ("worker", "head", 8500, True),
    ("worker", "head", 9500, True),
    ("worker", "head", 30000, False),
    ("worker", "head", 22, False),
    ("head", "worker", 6380, True),
    ("head", "worker", 10201, True),
    ("head", "worker", 10202, False),
    ("head", "worker", 52365, True),
    ("head", "worker", 31000, True),
    ("head", "worker", 31001, False),
    ("worker", "worker", 40000, True),
    ("worker", "worker", 6381, True),
    ("worker", "worker", 6379, False),
    ("worker", "worker", 8265, False),
    ("worker", "worker", 8500, False),
    ("worker", "worker", 8404, False),
    # Runs are apart.
    ("run-worker", "run-head", 6379, True),
    ("run-head", "run-worker", 6381, True),
    ("run-worker", "run-worker", 10002, True),
    ("run-worker", "run-worker", 6379, False),
    ("run-worker", "run-worker", 30000, False),
    ("run-worker", "head", 6379, False),
    ("worker", "run-head", 8265, False),
    ("run-head", "worker", 8000, False),
    # The Job's pod repeats what the command says.
    ("fivefold-batch", "run-head", 8265, True),
    ("fivefold-batch", "run-head", 6379, False),
    ("fivefold-batch", "run-worker", 8265, False),
    ("fivefold-batch", "head", 8265, False),
    # The Kubernetes API: who has an account there.
    ("fivefold-secrets", "api", 6443, True),
    ("fivefold-gate", "api", 6443, True),
    ("fivefold-batch", "api", 443, True),
    ("fivefold-batch", "api", 80, False),
    ("run-head", "api", 6443, False),
    ("head", "api", 6443, False),
    ("worker", "api", 6443, False),
    ("fivefold-test", "api", 443, False),
    # Names.
    ("worker", "dns", 53, True),
    ("fivefold-gate", "dns", 53, True),
    ("worker", "dns", 443, False),
    ("worker", "a stranger's dns", 53, False),
    ("worker", "store", 53, False),
]


@pytest.fixture(scope="module")
def parties() -> dict[str, Pod | Host]:
    """Who there is in a release with runs, and about it."""
    others = {
        "gateway": Pod("traefik", TRAEFIK),
        "operator": Pod("default", OPERATOR),
        "dns": Pod("kube-system", DNS),
        "a stranger's dns": Pod("elsewhere", DNS),
        "api": API,
        "store": STORE,
    }
    return {**pods(Release("batch-volume")), **others}


@pytest.mark.parametrize(("source", "target", "port", "expected"), FLOWS)
def test_a_flow_is_allowed_or_not(
    parties: dict[str, Pod | Host], source: str, target: str, port: int, expected: bool
) -> None:
    """One flow of a release with runs and without a word on what is reached outside."""
    policies = Release("batch-volume").of("NetworkPolicy")
    protocol = "UDP" if port == 53 else "TCP"

    assert allowed(policies, parties[source], parties[target], port, protocol) is expected


@pytest.mark.parametrize("scenario", GUARDED)
@pytest.mark.parametrize("stranger", STRANGERS)
def test_a_stranger_reaches_nothing_whatever_its_labels_are(scenario: str, stranger: str) -> None:
    """The operator's or the gateway's label in another namespace, or in ours, opens no port of any pod."""
    release = Release(scenario)
    policies = release.of("NetworkPolicy")
    opened = {
        (name, port)
        for name, pod in pods(release).items()
        for port in PORTS
        if allowed(policies, STRANGERS[stranger], pod, port)
    }

    assert opened == set()


@pytest.mark.parametrize("scenario", GUARDED)
def test_the_metadata_address_is_reached_by_nobody(scenario: str) -> None:
    """Although a rule may say anywhere, 0.0.0.0/0, or nothing but a port."""
    release = Release(scenario)
    policies = release.of("NetworkPolicy")
    reached = {
        (name, host.address, port)
        for name, pod in pods(release).items()
        for host in METADATA
        for port in (53, 80, 443, 988, 6443)
        if allowed(policies, pod, host, port)
    }

    assert reached == set()


@pytest.mark.parametrize(
    ("scenario", "who", "target", "port"),
    [
        ("two-models", {"worker", "fivefold-gate", "fivefold-secrets"}, STORE, 443),
        ("two-models", {"worker"}, Pod("tracing"), 4318),
        ("oidc", {"worker", "fivefold-gate", "fivefold-secrets"}, STORE, 443),
        ("autoscale", {"head"}, Pod(NAMESPACE, {"app": "redis"}), 6379),
        ("autoscale", {"head", "fivefold-gate", "fivefold-secrets"}, API, 6443),
        ("batch", EVERY_OPENER | {"head", "fivefold-secrets", "fivefold-batch"}, STORE, 443),
        ("upstream-tls", {"fivefold-gate", "fivefold-secrets"}, API, 6443),
        ("upstream-tls", set(), Host("10.20.0.3"), 6443),
        ("upstream-tls", set(), API, 443),
        ("default", set(), STORE, 80),
        ("default", {"worker", "fivefold-gate", "fivefold-secrets"}, STORE, 443),
        ("hub", {"fivefold-gate", "fivefold-secrets"}, STORE, 443),
    ],
)  # fmt: skip
def test_what_is_outside_is_reached_by_those_who_have_to(
    scenario: str, who: set[str], target: Pod | Host, port: int
) -> None:
    """Each purpose has its pods. Where the API's addresses are not given, its callers reach its ports anywhere."""
    release = Release(scenario)
    policies = release.of("NetworkPolicy")

    assert {name for name, pod in pods(release).items() if allowed(policies, pod, target, port)} == who


def test_jobs_of_a_release_do_not_reach_each_other() -> None:
    """Neither a run another job's, nor what starts one; each reaches its own."""
    release = Release("batch-jobs")
    policies, made = release.of("NetworkPolicy"), pods(release)
    own, other = made["run-nightly-head"], made["run-hourly-admissions-head"]
    start = made["fivefold-batch-nightly"]

    for source, port in ((made["run-nightly-worker"], 6379), (start, 8265)):
        assert allowed(policies, source, own, port)
        assert not allowed(policies, source, other, port)
    assert {name for name, pod in made.items() if allowed(policies, pod, STORE, 443)} == {
        *("run-nightly-head", "run-nightly-worker", "run-hourly-admissions-head", "run-hourly-admissions-worker"),
        *("fivefold-secrets", "fivefold-batch-nightly", "fivefold-batch-hourly-admissions"),
    }


def test_stores_are_for_runs_as_well() -> None:
    """With no more said than where bundles and files are, a run's head and workers reach them."""
    release = rendered("batch", {"networkPolicy": {"egress": None, "stores": [{"ports": [{"port": 443}]}]}})
    policies = [item for item in release if item["kind"] == "NetworkPolicy"]
    made = pods(Release("batch"))
    who = {name for name, pod in made.items() if allowed(policies, pod, STORE, 443)}

    assert who == EVERY_OPENER | {"fivefold-secrets", "fivefold-batch"}


def test_redis_is_emptied_by_the_operators_own_pod() -> None:
    """It is made from the head's, under another type."""
    release = Release("autoscale")
    head = pods(release)["head"]
    cleanup = Pod(NAMESPACE, {**head.labels, "ray.io/node-type": "redis-cleanup"})

    assert allowed(release.of("NetworkPolicy"), cleanup, Pod(NAMESPACE, {"app": "redis"}), 6379)


@pytest.mark.parametrize(
    ("cidr", "port", "address", "expected"),
    [
        ("169.254.169.254/32", 80, "169.254.169.254", True),
        ("169.254.169.254/32", 80, "169.254.169.252", False),
        ("169.254.170.23/32", 80, "169.254.170.23", True),
        ("169.254.0.0/16", 80, "169.254.169.254", False),
        ("169.254.0.0/16", 80, "169.254.20.10", True),
        ("169.254.169.0/24", 80, "169.254.169.254", False),
        ("169.254.169.254/31", 80, "169.254.169.254", False),
        ("128.0.0.0/1", 80, "169.254.169.254", False),
        ("160.0.0.0/3", 80, "169.254.1.1", False),
        ("160.0.0.0/3", 80, "169.253.1.1", True),
        ("100.64.0.0/10", 80, "100.100.100.200", False),
        ("::/0", 80, "fd00:ec2::254", False),
        ("::/0", 80, "2001:db8::1", True),
        ("fd00::/8", 80, "fd00:ec2::254", False),
        ("fd00:ec2::/32", 80, "fd00:ec2::23", False),
        ("FD00:0EC2:0:0:0:0:0:0/64", 80, "fd00:ec2::254", False),
        ("fd00:ec2::254/128", 80, "fd00:ec2::254", True),
    ],
)
def test_the_metadata_address_is_reached_where_it_is_asked_for(
    cidr: str, port: int, address: str, expected: bool
) -> None:
    """A block that is the address, and no wider one that merely holds it."""
    rule = {"to": [{"ipBlock": {"cidr": cidr}}], "ports": [{"protocol": "TCP", "port": port}]}
    policies = [item for item in rendered("default", {"networkPolicy": {"egress": [rule]}}) if _is_policy(item)]

    assert allowed(policies, pods(Release("default"))["worker"], Host(address), port) is expected


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.one_of(
            st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)).map(lambda it: ipaddress.IPv4Network(it, False)),
            st.integers(0, 31).map(lambda size: ipaddress.IPv4Network(("169.254.169.254", size), False)),
            st.tuples(st.integers(0, 2**128 - 1), st.integers(0, 128)).map(lambda it: ipaddress.IPv6Network(it, False)),
            st.integers(0, 127).map(lambda size: ipaddress.IPv6Network(("fd00:ec2::254", size), False)),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_holes_are_inside_of_their_blocks(networks: list[Any]) -> None:
    """Kubernetes refuses an exception that is no part of its block; and each block loses those addresses alone."""
    peers = [{"ipBlock": {"cidr": str(network)}} for network in networks]
    items = rendered("default", {"networkPolicy": {"egress": [{"to": peers}]}})
    (policy,) = [item for item in items if item["metadata"]["name"] == "fivefold-egress"]
    metadata = [ipaddress.ip_address(host.address) for host in METADATA]

    for network, peer in zip(networks, policy["spec"]["egress"][0]["to"], strict=True):
        block = peer["ipBlock"]
        holes = [ipaddress.ip_network(text) for text in block.get("except", [])]
        assert block["cidr"] == str(network)
        assert all(hole.version == network.version and hole.subnet_of(network) for hole in holes)
        assert network not in holes
        for address in metadata:
            # Asked for: the address itself, or a block within link-local addresses that holds none that is known.
            if address in network and network.prefixlen < network.max_prefixlen and str(address)[:4] != "fe80":
                assert any(address in hole for hole in holes), (block, address)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ("operator: [{namespaceSelector: {}, podSelector: {matchLabels: {a: b}}}]", "namespaceSelector"),
        ("operator: [{podSelector: {matchLabels: {a: b}}}]", "namespaceSelector"),
        ("operator: [{namespaceSelector: {matchLabels: {}}, podSelector: {matchLabels: {a: b}}}]", "matchLabels"),
        ("operator: [{namespaceSelector: {matchLabels: {a: b}}}]", "podSelector"),
        ("callers: [{namespaceSelector: {}}]", "callers"),
        ("callers: [{}]", "callers"),
        ("metrics: [{namespaceSelector: {}, podSelector: {matchLabels: {a: b}}}]", "metrics"),
        ("dns: [{namespaceSelector: {}}]", "dns"),
        ("egress: [{}]", "egress"),
        ("egress: [{to: []}]", "to"),
        ("egress: [{to: [{}]}]", "egress"),
        ("stores: [{to: [{ipBlock: {cidr: 10.0.0.0}}]}]", "cidr"),
        ("stores: [{to: [{ipBlock: {cidr: 10.0.0.300/8}}]}]", "cidr"),
        ("stores: [{to: [{ipBlock: {cidr: '::ffff:169.254.169.254/128'}}]}]", "cidr"),
        ("stores: [{to: [{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}]}]", "stores"),
        ("spans: [{port: 4318}]", "port"),
        ("redis: [{to: [{namespaceSelector: {}}]}]", "redis"),
        ("api: []", "api"),
    ],
)
def test_peers_that_choose_nobody_are_refused(values: str, word: str) -> None:
    """An empty selector means every namespace, and an empty rule everything; a block is one that can be read."""
    base = yaml.safe_load((CHART / "ci" / "default.yaml").read_text())
    base["networkPolicy"] = yaml.safe_load(f"{{{values}}}")
    done = template(yaml.safe_dump(base))

    assert done.returncode != 0
    assert word in done.stderr


def test_a_namespace_of_ones_own_is_named_for_the_operator() -> None:
    """Then the one of the defaults is a stranger too."""
    peer = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ray-system"}},
        "podSelector": {"matchLabels": OPERATOR},
    }
    policies = [item for item in rendered("default", {"networkPolicy": {"operator": [peer]}}) if _is_policy(item)]
    head = pods(Release("default"))["head"]

    assert allowed(policies, Pod("ray-system", OPERATOR), head, 8265)
    assert not allowed(policies, Pod("default", OPERATOR), head, 8265)


def test_the_documents_words_let_another_namespace_in() -> None:
    """What docs/kubernetes.md says for an operator that is elsewhere, as it stands there."""
    text = (ROOT / "docs" / "kubernetes.md").read_text()
    words = re.findall(r"--set '(networkPolicy\.operator[^']+)'", text)
    done = template((CHART / "ci" / "default.yaml").read_text(), *(part for word in words for part in ("--set", word)))
    assert done.returncode == 0, done.stderr
    policies = [item for item in objects(done.stdout) if _is_policy(item)]
    head = pods(Release("default"))["head"]

    assert len(words) == 2
    assert allowed(policies, Pod("ray-system", OPERATOR), head, 8265)
    assert not allowed(policies, Pod("ray-system", {}), head, 8265)
    assert not allowed(policies, Pod("default", OPERATOR), head, 8265)


def test_the_example_of_a_run_is_as_closed() -> None:
    """Its pods reach each other on Ray's ports, the operator reaches the dashboard, nobody anything else."""
    documents = list(yaml.safe_load_all((ROOT / "k8s" / "examples" / "batch-run.yaml").read_text()))
    policies = [item for item in documents if _is_policy(item)]
    (cluster,) = [item["spec"]["rayClusterSpec"] for item in documents if item["kind"] == "RayJob"]
    mine = Pod(NAMESPACE, {"fivefold.dev/run": "score-once"})
    for group in (cluster["headGroupSpec"], cluster["workerGroupSpecs"][0]):
        told = group["rayStartParams"]
        for name in told:
            if name.endswith("port"):
                assert allowed(policies, mine, mine, int(told[name])), name

    assert allowed(policies, Pod("default", OPERATOR), mine, 8265)
    assert not allowed(policies, Pod("elsewhere", OPERATOR), mine, 8265)
    assert not allowed(policies, Pod(NAMESPACE, OPERATOR), mine, 8265)
    assert not allowed(policies, mine, mine, 22)
    assert not allowed(policies, mine, STORE, 443)


def rendered(scenario: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    """The objects of a scenario with other values on top."""
    base = yaml.safe_load((CHART / "ci" / f"{scenario}.yaml").read_text())
    done = template(yaml.safe_dump(_merged(base, values)))
    assert done.returncode == 0, done.stderr
    return objects(done.stdout)


def _merged(base: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    out = dict(base)
    for key, value in values.items():
        if value is None:
            out.pop(key, None)
        else:
            out[key] = _merged(out.get(key, {}), value) if isinstance(value, dict) else value
    return out


def _is_policy(item: dict[str, Any]) -> bool:
    return bool(item["kind"] == "NetworkPolicy")


def test_the_gate_runs_under_the_policies_that_come_with_it() -> None:
    """It runs before the release's policies are changed: beside those of before, which know nothing of a new store, its
    own lets it to all that the new values say, and to the service."""
    values = yaml.safe_load((CHART / "ci" / "two-models.yaml").read_text())
    values["networkPolicy"]["stores"] = [{"ports": [{"protocol": "TCP", "port": 9443}]}]
    release = Release.of_values(values)
    own = [item for item in release.of("NetworkPolicy") if item["metadata"]["name"] == "fivefold-gate"]
    before = [*Release("image-bundle").of("NetworkPolicy"), *own]
    gate, worker = pods(release)["fivefold-gate"], pods(release)["worker"]

    assert [item["metadata"]["annotations"]["helm.sh/hook"] for item in own] == ["pre-upgrade"]
    assert not allowed(Release("image-bundle").of("NetworkPolicy"), gate, STORE, 9443)
    assert allowed(before, gate, STORE, 9443)
    assert allowed(before, gate, Pod("kube-system", DNS), 53, "UDP")
    assert allowed(before, gate, worker, 8000)
    assert allowed(before, gate, worker, 9000)
    assert not allowed(before, gate, worker, 30000)
    assert not allowed(before, worker, gate, 8000)
