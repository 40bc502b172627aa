"""Asks a service for every model that it serves, over REST and gRPC, and compares the two: what `helm test` runs.

Each is asked for one record made from its contract, which whoever may ask may read. Whether answers are right is proven
by each replica when it starts; here it is whether they arrive, on both ways, and are the same.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fivefold.client import Client
from fivefold.core.contract.contract import Contract
from fivefold.core.fields.field import Field
from fivefold.core.fields.pattern import Pattern

SECONDS = 30.0


class Differs(Exception):
    """The two transports gave different answers, or the service has no model to ask; the message says which."""


def call(http: str, grpc: str, headers: Mapping[str, str]) -> Iterator[str]:
    """Ask both addresses for every model and version, and give a sentence for each.

    Raises `Differs` and any `FivefoldError` of the service.
    """
    with Client(http, headers=headers, timeout=SECONDS) as rest, Client(grpc, headers=headers, timeout=SECONDS) as rpc:
        found = rest.models()
        if not found:
            raise Differs(f"{http} serves no model")
        for model in found:
            name, version = model["name"], model["version"]
            rows = [record(rest.contract(name, version))]
            first, second = (client.predict(rows, model=name, version=version) for client in (rest, rpc))
            if first.predictions != second.predictions:
                raise Differs(f"{name}@{version}: REST answers {first.predictions}, gRPC {second.predictions}")
            yield f"{name}@{version}: {len(rows)} row, the same over REST and gRPC; bundle {first.metadata['bundle']}"


def record(contract: Contract) -> dict[str, Any]:
    """One legal record of the inputs: the first of an enumeration, the middle of a range, the shortest text."""
    return {field.name: _nested(_value(field), field.shape) for field in contract.inputs}


def _nested(value: Any, shape: Sequence[int]) -> Any:
    for size in reversed(shape):
        value = [value] * size
    return value


def _value(field: Field) -> Any:
    if field.enum is not None:
        return field.enum[0]
    if field.kind == "bool":
        return False
    if field.numeric:
        return _number(field)
    least = field.min_length or 0
    if field.kind == "bytes":
        return base64.b64encode(b"a" * least).decode()
    if field.pattern is None:
        return "a" * least
    pattern, source = Pattern.parse(field.pattern), random.Random(0)  # noqa: S311 - a row to ask with, no secret
    most = float("inf") if field.max_length is None else field.max_length
    texts = (pattern.example(source) for _ in range(200))
    return next((text for text in texts if least <= len(text) <= most and pattern.matches(text)), "a" * least)


def _number(field: Field) -> float | int:
    low, high = field.minimum, field.maximum
    if low is not None and high is not None:
        return low + (high - low) // 2 if field.kind == "int" else low / 2 + high / 2
    return low if low is not None else high if high is not None else 0
