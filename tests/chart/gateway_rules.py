"""What the Gateway API says of routes and listeners: which hosts of a listener a route has, and what may not be twice.

The rules are those of `gateway.networking.k8s.io/v1`: a route has, of each listener that it is attached to, the hosts
that both name. Of an HTTPRoute and a GRPCRoute with one of them in common, a controller accepts the older one alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

Object = Mapping[str, Any]
Attachment = tuple[str, str, str]
"""Gateway, listener and host; `*` is a listener of somebody else's Gateway that is not named, and every host."""


def attachments(route: Object, gateways: Iterable[Object]) -> Iterator[Attachment]:
    """What a route is attached to, as far as the Gateways are known."""
    ours = {gateway["metadata"]["name"]: gateway["spec"]["listeners"] for gateway in gateways}
    for parent in route["spec"]["parentRefs"]:
        unknown = [{"name": parent.get("sectionName", "*")}]
        for listener in ours.get(parent["name"], unknown) if "namespace" not in parent else unknown:
            if parent.get("sectionName", listener["name"]) != listener["name"]:
                continue
            kinds = [each["kind"] for each in listener.get("allowedRoutes", {}).get("kinds", [])]
            if kinds and route["kind"] not in kinds:
                continue
            for host in route["spec"].get("hostnames") or ["*"]:
                for found in meeting(listener.get("hostname", "*"), host):
                    yield parent["name"], listener["name"], found


def meeting(one: str, other: str) -> list[str]:
    """The narrower of two hosts where they have a name in common; `*` is every host, `*.` in front any labels."""
    for wide, narrow in ((one, other), (other, one)):
        if wide in ("*", narrow) or (wide.startswith("*.") and narrow.removeprefix("*").endswith(wide[1:])):
            return [narrow]
    return []


def conflicts(routes: Sequence[Object], gateways: Sequence[Object]) -> list[tuple[str, str]]:
    """Pairs of routes of different kinds of which a controller would refuse one."""
    return [
        (http["metadata"]["name"], grpc["metadata"]["name"])
        for http in routes
        for grpc in routes
        if (http["kind"], grpc["kind"]) == ("HTTPRoute", "GRPCRoute")
        and any(_clash(one, other) for one in attachments(http, gateways) for other in attachments(grpc, gateways))
    ]


def _clash(one: Attachment, other: Attachment) -> bool:
    same = one[1] == other[1] or "*" in (one[1], other[1])
    return one[0] == other[0] and same and bool(meeting(one[2], other[2]))


def twice(gateway: Object) -> list[str]:
    """What the API refuses of a Gateway's listeners: names, and places, that are there twice."""
    listeners = gateway["spec"]["listeners"]
    names = [each["name"] for each in listeners]
    places = [f"{each['protocol']} {each['port']} {each.get('hostname', '')}" for each in listeners]
    return [each for each in {*names, *places} if names.count(each) > 1 or places.count(each) > 1]
