"""What the programs in foreign environments share: named steps, tensors as JSON, one report.

A program reads what it is `Given` as JSON from standard input, runs its steps one after the other and prints a report:
for each step its facts, or the traceback of what it raised. Judging the facts is left to the tests. It runs in the
clients' own environments, beside the program, so it knows the standard library and numpy alone.
"""

from __future__ import annotations

import asyncio
import base64
import inspect
import json
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Tensor = dict[str, Any]
"""`{name, datatype, shape, data}`; data is flat, elements of BYTES are base64."""


@dataclass(frozen=True)
class Example:
    """A model to ask: its tensors for JSON and for raw transports, and the names of its outputs.

    They differ in fields of bytes: those are base64 text in JSON.
    """

    json: list[Tensor]
    raw: list[Tensor]
    outputs: list[str]


@dataclass(frozen=True)
class Given:
    """What a program is told: where the server is (HOST:PORT), and what to ask of which model."""

    http: str
    grpc: str
    models: dict[str, Example]


Step = Callable[[Given], Any]

_STEPS: dict[str, Step] = {}


def step(function: Step) -> Step:
    """Register a function, or a coroutine function, as a step of its name."""
    _STEPS[function.__name__] = function
    return function


def array_of(tensor: Tensor) -> np.ndarray[Any, Any]:
    """The tensor as an array; BYTES as objects of bytes."""
    data = tensor["data"]
    if tensor["datatype"] == "BYTES":
        flat = np.empty(len(data), object)
        flat[:] = [base64.b64decode(item) for item in data]
    else:
        names = {"BOOL": "bool", "FP16": "float16", "FP32": "float32", "FP64": "float64"}
        flat = np.array(data, names.get(tensor["datatype"], tensor["datatype"].lower()))
    return flat.reshape(tensor["shape"])


def told(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    """An answer's array as JSON: its kind, its shape and its elements; NaN as null."""
    flat = array.reshape(-1).tolist()
    kind = array.dtype.name
    if array.dtype.kind in "OSU":
        kind = "bytes"
        flat = [base64.b64encode(item.encode() if isinstance(item, str) else item).decode() for item in flat]
    return {"dtype": kind, "shape": list(array.shape), "data": [None if item != item else item for item in flat]}


def main() -> None:
    """Run the steps on what standard input gives; print the report, the only thing on standard output."""
    told_us = json.load(sys.stdin)
    models = {name: Example(**example) for name, example in told_us.pop("models").items()}
    given = Given(models=models, **told_us)
    report, sys.stdout = sys.stdout, sys.stderr
    out: dict[str, Any] = {}
    for name, function in _STEPS.items():
        try:
            facts = function(given)
            if inspect.iscoroutine(facts):
                facts = asyncio.run(facts)
            out[name] = {"facts": facts}
        except Exception:
            out[name] = {"raised": traceback.format_exc()}
    json.dump(out, report)
