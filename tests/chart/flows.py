"""What rendered network policies let through: a flow is allowed where both of its ends allow it.

It follows the rules of `networking.k8s.io/v1`: a pod that no policy of a direction selects is open in that direction;
one that some select may do what any of them allows. A block of addresses means what is outside of the cluster.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.chart.rendering import Release

NAMESPACE = "scores"


@dataclass(frozen=True)
class Pod:
    """A pod by what selectors see of it; a namespace has its own name as a label."""

    namespace: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Host:
    """An address outside of the cluster."""

    address: str


def pods(release: Release) -> dict[str, Pod]:
    """Every pod that a release makes, by name, with the labels that KubeRay and Kubernetes add to it."""
    made = {}
    for name, template in release.templates():
        labels = dict(template["metadata"]["labels"])
        kind = name.rpartition("-")[2]
        if name == kind or name.startswith("run-"):
            labels["ray.io/node-type"] = kind
        made[name] = Pod(NAMESPACE, labels)
    for pod in release.of("Pod"):
        made[pod["metadata"]["name"]] = Pod(NAMESPACE, pod["metadata"]["labels"])
    return made


def allowed(
    policies: Iterable[Mapping[str, Any]], source: Pod | Host, target: Pod | Host, port: int, protocol: str = "TCP"
) -> bool:
    """Whether the policies, all of `NAMESPACE`, let `source` open a connection to `target`."""
    specs = [policy["spec"] for policy in policies]
    return _side(specs, "Egress", source, target, port, protocol) and _side(
        specs, "Ingress", target, source, port, protocol
    )


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector is about these labels."""
    if not (selector.get("matchLabels") or {}).items() <= labels.items():
        return False
    return all(_expression(each, labels) for each in selector.get("matchExpressions") or [])


def _expression(each: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value, values = labels.get(each["key"]), each.get("values", [])
    match each["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
    raise AssertionError(each)


def _side(
    specs: Sequence[Mapping[str, Any]], direction: str, mine: Pod | Host, other: Pod | Host, port: int, protocol: str
) -> bool:
    if isinstance(mine, Host) or mine.namespace != NAMESPACE:
        return True
    about = [spec for spec in specs if direction in spec["policyTypes"] and selects(spec["podSelector"], mine.labels)]
    if not about:
        return True
    peers = "to" if direction == "Egress" else "from"
    return any(
        _peers(rule.get(peers), other) and _ports(rule.get("ports"), port, protocol)
        for spec in about
        for rule in spec.get(direction.lower()) or []
    )


def _peers(peers: Sequence[Mapping[str, Any]] | None, other: Pod | Host) -> bool:
    return not peers or any(_peer(peer, other) for peer in peers)


def _peer(peer: Mapping[str, Any], other: Pod | Host) -> bool:
    if isinstance(other, Host):
        return "ipBlock" in peer and _block(peer["ipBlock"], other.address)
    if "ipBlock" in peer:
        return False
    namespace = peer.get("namespaceSelector")
    there = (
        other.namespace == NAMESPACE
        if namespace is None
        else selects(namespace, {"kubernetes.io/metadata.name": other.namespace})
    )
    return there and selects(peer.get("podSelector") or {}, other.labels)


def _block(block: Mapping[str, Any], address: str) -> bool:
    found = ipaddress.ip_address(address)
    return found in ipaddress.ip_network(block["cidr"], strict=False) and not any(
        found in ipaddress.ip_network(hole, strict=False) for hole in block.get("except") or []
    )


def _ports(ports: Sequence[Mapping[str, Any]] | None, port: int, protocol: str) -> bool:
    return not ports or any(
        each.get("protocol", "TCP") == protocol and each["port"] <= port <= each.get("endPort", each["port"])
        for each in ports
    )
