"""Asks a service for every model that it serves, over REST and gRPC, and compares the two: what `helm test` runs.

The rows come from the service's own examples, which are golden rows of the bundles. Whether the answers are right is
proven by each replica when it starts; here it is whether they arrive, on both ways, and are the same.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

from fivefold.client import Client

SECONDS = 30.0


class Differs(Exception):
    """The two transports gave different answers, or the service has no model to ask; the message says which."""


def call(http: str, grpc: str, headers: Mapping[str, str]) -> Iterator[str]:
    """Ask both addresses for every model and version, and give a sentence for each.

    Raises `Differs`, any `FivefoldError` of the service, and `OSError` where its document cannot be had.
    """
    document = _document(http, headers)
    with Client(http, headers=headers, timeout=SECONDS) as rest, Client(grpc, headers=headers, timeout=SECONDS) as rpc:
        found = rest.models()
        if not found:
            raise Differs(f"{http} serves no model")
        for model in found:
            name, version = model["name"], model["version"]
            rows = _rows(document, name, version)
            first, second = (client.predict(rows, model=name, version=version) for client in (rest, rpc))
            if first.predictions != second.predictions:
                raise Differs(f"{name}@{version}: REST answers {first.predictions}, gRPC {second.predictions}")
            yield f"{name}@{version}: {len(rows)} rows, the same over REST and gRPC; bundle {first.metadata['bundle']}"


def _document(http: str, headers: Mapping[str, str]) -> dict[str, Any]:
    request = urllib.request.Request(f"{http.rstrip('/')}/openapi.json", headers=dict(headers))  # noqa: S310  # given
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=SECONDS) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def _rows(document: Mapping[str, Any], name: str, version: str) -> list[Any]:
    path = f"/v1/models/{name}/versions/{version}:predict"
    content = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    rows: list[Any] = content["example"]["instances"]
    return rows
