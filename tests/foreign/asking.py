"""The tests' side of the foreign programs: what they are given, how they are run, and their answers as columns."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from fivefold.core import oip_tensors
from fivefold.core.bundle.bundle import Bundle
from fivefold.core.columns import Columns
from fivefold.core.readers.records import Records
from tests.foreign.steps import Example, Tensor
from tests.support import programs
from tests.support.serve_process import Host

SECONDS = 120.0
"""The longest that a program may run."""

ROWS = 3
"""Rows of each example."""

ECHOED: dict[str, list[dict[str, Any]]] = {
    "kinds": [
        {"b": True, "i": -7, "f": 0.1, "s": "grün 😀", "y": "/wD+"},
        {"b": False, "i": 2**31 - 1, "f": -1e300, "s": "", "y": ""},
        {"b": True, "i": -(2**31), "f": 5e-324, "s": "a\nb\u0000c", "y": "AAECAw=="},
    ],
    "integers": [
        {
            f"{sign}int{bits}": [2**bits - 1 if sign else -(2 ** (bits - 1)), 1, 2 ** (bits - 1) - 1][row]
            for sign in ("", "u")
            for bits in (8, 16, 32, 64)
        }
        for row in range(ROWS)
    ],
    "floats": [
        {"float16": 0.5, "float32": 0.1, "float64": 0.1},
        {"float16": -65504, "float32": 3.4028234663852886e38, "float64": 1.7976931348623157e308},
        {"float16": 6e-8, "float32": 1e-45, "float64": -0.0},
    ],
    "shapes": [
        {
            "v": [1, 2.5, -3],
            "m": [[1, 2], [3, 4]],
            "one": [0.25],
            "deep": [[[0, 255]], [[1, 2]]],
            "nv": [2.5, 1.5],
            "ni": [0, 7],
            "sv": ["é", "abc"],
            "bv": [True, False],
            "yv": ["AA==", "/w=="],
            "x": row,
        }
        for row in range(ROWS)
    ],
}
"""Rows of the models that answer with what they get: the edges of each dtype, texts that need care, shapes."""


def example(bundle: Bundle) -> tuple[Columns, Columns]:
    """What to ask of a model, and what it has to answer."""
    if bundle.name in ECHOED:
        columns = Records(bundle.contract.inputs).read(ECHOED[bundle.name]).accept()
        return columns, columns
    given, answers = bundle.golden()
    return given.slice(0, ROWS), answers.slice(0, ROWS)


def tensors(columns: Columns, *, in_json: bool) -> list[Tensor]:
    """Columns as tensors; in JSON a field of bytes is base64 text."""
    out = []
    for field in columns.fields:
        array = columns[field.name]
        data = array.reshape(-1).tolist()
        if field.dtype in ("string", "bytes"):
            if field.dtype == "bytes" and in_json:
                data = [base64.b64encode(item).decode() for item in data]
            data = [base64.b64encode(item.encode() if isinstance(item, str) else item).decode() for item in data]
        out.append(
            {"name": field.name, "datatype": oip_tensors.NAMES[field.dtype], "shape": list(array.shape), "data": data}
        )
    return out


class Facts:
    """What a program reported, by step; a step that raised fails the test that asks for it."""

    def __init__(self, report: Mapping[str, Any]) -> None:
        self._report = report

    def __call__(self, step: str) -> Any:
        """The facts of a step."""
        said = self._report[step]
        assert "facts" in said, said["raised"]
        return said["facts"]


def run(name: str, running: Host, served: Mapping[str, Bundle]) -> Facts:
    """Run `NAME_program.py` in the environment of that name."""
    home = programs.environment(name, f"the program {name}")
    assert home is not None
    models = {}
    for model, bundle in served.items():
        columns = example(bundle)[0]
        outputs = [field.name for field in bundle.contract.outputs]
        models[model] = asdict(Example(tensors(columns, in_json=True), tensors(columns, in_json=False), outputs))
    done = subprocess.run(
        [home / "python", Path(__file__).with_name(f"{name}_program.py")],
        input=json.dumps({"http": running.http, "grpc": running.grpc, "models": models}),
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return Facts(json.loads(done.stdout))


def check(answer: Mapping[str, Any], bundle: Bundle, *, in_json: bool, names: Sequence[str] | None = None) -> None:
    """That an answer (output name to what `steps.told` says) is the model's: echoes exactly, golden rows closely.

    `names` are the outputs that it must hold, in their order; all of them without.
    """
    wanted = example(bundle)[1]
    fields = {field.name: field for field in wanted.fields}
    spelled = {tensor["name"]: tensor for tensor in tensors(wanted, in_json=in_json)}
    assert list(answer) == list(fields if names is None else names)
    for name, got in answer.items():
        tensor = spelled[name]
        assert got["shape"] == tensor["shape"], name
        assert got["dtype"] == ("bytes" if tensor["datatype"] == "BYTES" else fields[name].dtype), name
        if bundle.name in ECHOED or tensor["datatype"] == "BYTES":
            assert got["data"] == tensor["data"], name
        else:
            np.testing.assert_allclose(got["data"], tensor["data"], rtol=0, atol=bundle.manifest.tolerance)
