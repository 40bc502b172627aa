"""The Secrets that an installation lacks: an API key, Ray's token, the gateway's certificate. Made once, then kept.

They are made in the cluster, by a job with an account that may touch these names alone, and not by the chart: a value
in a template would stand in Helm's own records, and would be another one at each rendering where nobody can look up the
last. What exists is never overwritten, a certificate that ends soon or is for other hosts excepted.

Argo CD takes what bears an application's label for a part of it, and would delete what it does not find in Git: the
annotations tell it to leave these alone.

    NAME-api-keys      keys.json   what the servers know of the keys: digests      mounted by the replicas
    NAME-api-key       key         the first key, for people; delete it once read  read by tests and the release gate
    NAME-caller-keys   keys.json   the same of the key below, beside keys of others  mounted by the replicas
    NAME-caller-key    key         for our own jobs, where the keys are others'     read by tests and the release gate
    NAME-ray-token     auth_token  what Ray's own ports ask for                    read by Ray and its operator
    NAME-tls           tls.crt, tls.key, ca.crt                                    read by the gateway
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fivefold.cluster import certificate
from fivefold.cluster.kubernetes_api import SECRET, Api

TOKEN_BYTES = 32


@dataclass(frozen=True)
class Wanted:
    """Which Secrets an installation needs that nobody else gives it."""

    name: str
    """What their names begin with."""

    keys: bool = True
    token: bool = True
    caller: bool = False
    """A key for our own jobs alone, where people have keys or tokens of somebody else's."""
    hosts: Sequence[str] = ()
    """For whom a certificate is made; empty: none is."""


def ensure(api: Api, wanted: Wanted) -> list[str]:
    """Make what is missing, and say it in a sentence for each Secret. Raises `ApiError`."""
    sentences = []
    if wanted.keys:
        sentences += _keys(api, wanted.name, "api", "installed")
    if wanted.caller:
        sentences += _keys(api, wanted.name, "caller", "release jobs")
    if wanted.token:
        make = {"auth_token": secrets.token_hex(TOKEN_BYTES).encode()}
        sentences.append(_missing(api, wanted, f"{wanted.name}-ray-token", lambda: make))
    if wanted.hosts:
        sentences.append(_certificate(api, wanted))
    return sentences


def _keys(api: Api, name: str, whose: str, called: str) -> list[str]:
    """A first key. Its digest is written first: a key that nobody knows of is better than one that opens nothing."""
    from fivefold.guard import keys

    known, shown = f"{name}-{whose}-keys", f"{name}-{whose}-key"
    if api.read(SECRET, known) is not None:
        return [f"{known}: kept"]
    key, entry = keys.make(called, ("infer",))
    if not api.create(SECRET, _secret(name, known, {"keys.json": keys.File(1, (entry,)).to_bytes()})):
        return [f"{known}: kept"]
    old = api.read(SECRET, shown)
    if old is None:
        api.create(SECRET, _secret(name, shown, {"key": key.encode()}))
    else:
        # Of keys that were deleted: it opens nothing any more.
        api.replace(SECRET, _secret(name, shown, {"key": key.encode()}, old["metadata"]["resourceVersion"]))
    return [f"{known}: made", f"{shown}: made"]


def _certificate(api: Api, wanted: Wanted) -> str:
    name = f"{wanted.name}-tls"
    found = api.read(SECRET, name)
    if found is None:
        return _missing(api, wanted, name, lambda: _pem(wanted.hosts), "kubernetes.io/tls")
    if certificate.stands(base64.b64decode(found.get("data", {}).get("tls.crt", "")), wanted.hosts):
        return f"{name}: kept"
    version = found["metadata"]["resourceVersion"]
    api.replace(SECRET, _secret(wanted.name, name, _pem(wanted.hosts), version, type="kubernetes.io/tls"))
    return f"{name}: made anew for {', '.join(wanted.hosts)}"


def _pem(hosts: Sequence[str]) -> dict[str, bytes]:
    made = certificate.make(hosts)
    return {"tls.crt": made.chain, "tls.key": made.key, "ca.crt": made.authority}


def _missing(api: Api, wanted: Wanted, name: str, make: Callable[[], Mapping[str, bytes]], type: str = "Opaque") -> str:
    if api.read(SECRET, name) is None and api.create(SECRET, _secret(wanted.name, name, make(), type=type)):
        return f"{name}: made"
    return f"{name}: kept"


def _secret(
    instance: str, name: str, data: Mapping[str, bytes], version: str = "", *, type: str = "Opaque"
) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "name": name,
        "labels": {"app.kubernetes.io/part-of": "fivefold", "app.kubernetes.io/instance": instance},
        "annotations": {
            "argocd.argoproj.io/compare-options": "IgnoreExtraneous",
            "argocd.argoproj.io/sync-options": "Prune=false",
        },
    }
    if version:
        metadata["resourceVersion"] = version
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": type,
        "metadata": metadata,
        "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
    }
