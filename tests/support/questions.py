"""What mixed traffic asks, and what must come back: golden rows of several models, and the same rows spoiled.

A question is a table of JSON values that every wire can spell; putting it on a wire, and judging the answer, is left to
`traffic`. Right answers are the bundles' golden ones; a spoiled row's code and path follow from what was spoiled.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.contract.contract import Contract
from fivefold.core.fields.field import Field
from tests.conformance import models

JSON = ("v1", "v2")
TYPED = ("v2-binary", "grpc", "grpc-typed", "stream")
WIRES = JSON + TYPED

STRANGER = "nobody"
MAX_ROWS = 6

_AFFINE = b"""
class Affine:
    def predict(self, columns):
        return {"y": columns["x"] * %d - %d}
"""

_AFFINE_CONTRACT = Contract.from_json(
    {
        "format": 1,
        "name": "affine",
        "version": "1.0.0",
        "inputs": [{"name": "x", "dtype": "int64", "minimum": -1000, "maximum": 1000}],
        "outputs": [{"name": "y", "dtype": "int64"}],
    }
)


def bundles(demo: Path, directory: Path) -> list[Bundle]:
    """The models: the demo's trees (a bundle), an echo of mixed types, and one model in two versions that differ."""
    return [
        Bundle.open(demo),
        _patients(directory),
        *(_affine(directory, version) for version in (1, 2)),
    ]


def _patients(directory: Path) -> Bundle:
    """The conformance echo with more golden rows than its one, so that each answer tells whose it is."""
    bare = models.bundle("patient", directory)
    chance = random.Random(1)
    rows = [
        {
            "age": chance.randint(0, 130),
            "height": float(np.float32(chance.uniform(0, 2.5))),
            "name": "".join(chance.choices("abcdeäöü→😀", k=chance.randint(1, 5))),
            "smoker": chance.random() < 0.5,
            "site": chance.choice(["left", "right"]),
        }
        for _ in range(64)
    ]
    return Bundle.write(
        directory / "patients",
        contract=bare.contract,
        model={"model.onnx": bare.read("model.onnx")},
        runtime="onnx",
        binding=bare.manifest.binding,
        golden=(rows, rows),
        tolerance=0.0,
    )


def _affine(directory: Path, version: int) -> Bundle:
    factor, less = version * 3, version * 7
    given = [{"x": x} for x in random.Random(version).sample(range(-1000, 1001), 64)]
    return Bundle.write(
        directory / f"affine-{version}",
        contract=_AFFINE_CONTRACT,
        model={"model/affine.py": _AFFINE % (factor, less)},
        runtime="python",
        entry="affine:Affine",
        golden=(given, [{"y": row["x"] * factor - less} for row in given]),
        tolerance=0.0,
        version=str(version),
    )


@dataclass(frozen=True)
class Question:
    """`model` in `version` (None: the default) is asked about `table`, input name -> one JSON value for each row.

    `bundle` is who must answer, with `outputs`; where `refused` is a code and a path, that must come back instead.
    """

    bundle: Bundle
    model: str
    version: str | None
    table: dict[str, list[Any]]
    wires: tuple[str, ...] = WIRES
    outputs: dict[str, np.ndarray[Any, Any]] | None = None
    refused: tuple[str, str] | None = None

    @property
    def kind(self) -> tuple[str, str]:
        """What it stands for in a count of what was asked: the bundle that it is about, and what comes back."""
        return f"{self.bundle.name}@{self.bundle.version}", self.refused[0] if self.refused else "right"

    def dtype(self, name: str) -> str:
        """The dtype of an input; one that the contract does not know is a number."""
        return next((f.dtype for f in self.bundle.contract.inputs if f.name == name), "float64")

    @property
    def rows(self) -> int:
        """How many rows."""
        return len(next(iter(self.table.values())))

    def records(self) -> list[dict[str, Any]]:
        """The table row by row."""
        return [{name: values[row] for name, values in self.table.items()} for row in range(self.rows)]

    def disagreement(self, outputs: dict[str, list[Any]]) -> str | None:
        """The first difference between an answer's outputs and the golden ones: floats within the tolerance."""
        assert self.outputs is not None
        tolerance = self.bundle.manifest.tolerance
        for name, expected in self.outputs.items():
            got = outputs.get(name)
            if got is None or np.shape(got) != expected.shape:
                return f"{name}: expected the shape {expected.shape}, got {got}"
            if expected.dtype.kind == "f":
                near = np.abs(np.asarray(got, float) - expected) <= tolerance * np.maximum(1.0, np.abs(expected))
                if not near.all():
                    return f"{name}: expected {expected.tolist()}, got {got}"
            elif got != expected.tolist():
                return f"{name}: expected {expected.tolist()}, got {got}"
        return None if set(outputs) == set(self.outputs) else f"expected {list(self.outputs)}, got {list(outputs)}"


def questions(served: Sequence[Bundle], chance: random.Random, each: int = 24) -> list[Question]:
    """For each bundle `each` questions that have answers, and every way of spoiling one that its contract knows."""
    return [
        question
        for bundle in served
        for question in (*(_golden(bundle, served, chance) for _ in range(each)), *_spoiled(bundle, served, chance))
    ]


def _golden(bundle: Bundle, served: Sequence[Bundle], chance: random.Random) -> Question:
    given, answers = bundle.golden()
    picked = np.array(chance.choices(range(given.rows), k=chance.randint(1, MAX_ROWS)))
    table = {name: column.tolist() for name, column in given.take(picked).items()}
    newest = max(other.version for other in served if other.name == bundle.name)
    named = bundle.version != newest or chance.random() < 0.5
    version = bundle.version if named else None
    return Question(bundle, bundle.name, version, table, outputs=dict(answers.take(picked)))


def _spoiled(bundle: Bundle, served: Sequence[Bundle], chance: random.Random) -> Iterator[Question]:
    def wrong(code: str, path: str, table: dict[str, list[Any]], wires: tuple[str, ...] = WIRES) -> Question:
        return Question(bundle, bundle.name, sound.version, table, wires, refused=(code, path))

    for field in bundle.contract.inputs:
        for code, value, wires in _spoilers(field):
            sound = _golden(bundle, served, chance)
            row = chance.randrange(sound.rows)
            column = [value if at == row else kept for at, kept in enumerate(sound.table[field.name])]
            yield wrong(code, f"inputs.{field.name}[{row}]", sound.table | {field.name: column}, wires)
        sound = _golden(bundle, served, chance)
        left = {name: column for name, column in sound.table.items() if name != field.name}
        if field.required and left:
            yield wrong("missing_field", f"inputs.{field.name}", left)
    sound = _golden(bundle, served, chance)
    yield wrong("unknown_field", f"inputs.{STRANGER}", sound.table | {STRANGER: [0.5] * sound.rows})
    yield Question(bundle, STRANGER, None, sound.table, refused=("model_not_found", ""))
    yield Question(bundle, bundle.name, "99", sound.table, refused=("version_not_found", ""))


def _spoilers(field: Field) -> Iterator[tuple[str, Any, tuple[str, ...]]]:
    """Codes, the values that earn them, and the wires that can spell those."""
    yield "null_not_allowed", None, JSON
    yield "wrong_type", "seven" if field.kind != "string" else 7, JSON
    if field.kind in ("int", "float"):
        assert field.maximum is not None
        yield "out_of_range", field.maximum + 1, WIRES
    if field.kind == "float":
        yield "not_finite", math.nan, TYPED
    if field.enum is not None:
        yield "not_in_enum", STRANGER, WIRES
    elif field.kind == "string":
        yield "too_long", STRANGER * 10, WIRES


def compact(value: Any) -> bytes:
    """JSON bytes."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
