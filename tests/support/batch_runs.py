"""Runs over small files with a model whose every answer is known: total = a + b, and the note that came along."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from fivefold.batch.engine.inline import Inline
from fivefold.batch.output.ledger import Record
from fivefold.batch.plan.settings import BatchSettings
from fivefold.batch.run.execute import Result, score
from fivefold.batch.run.preparation import RunOrder
from fivefold.core.bundle.bundle import Binding, Bundle, InputBinding, OutputBinding
from tests.support.bundles import contract, field, graph, node

CONTRACT = contract(
    [
        field("a", minimum=-100, maximum=100),
        field("b", minimum=-100, maximum=100, default=0.5),
        field("note", "string", nullable=True, null_value="none", maxLength=12),
    ],
    [field("total"), field("said", "string")],
    "noted",
)

MODEL = graph(
    [node("Add", "a b", "total"), node("Identity", "note", "said")],
    [("a", "float32", ["N"]), ("b", "float32", ["N"]), ("note", "string", ["N"])],
    [("total", "float32", ["N"]), ("said", "string", ["N"])],
)


def write_noted(directory: Path) -> Bundle:
    """The bundle."""
    return Bundle.write(
        directory,
        contract=CONTRACT,
        model={"model.onnx": MODEL},
        runtime="onnx",
        binding=Binding(
            tuple(
                InputBinding(name, (name,), dtype)
                for name, dtype in (("a", "float32"), ("b", "float32"), ("note", "string"))
            ),
            (OutputBinding("total", "total"), OutputBinding("said", "said")),
        ),
        golden=([{"a": 1.0, "b": 2.0, "note": "x"}], [{"total": 3.0, "said": "x"}]),
        tolerance=0.0,
        facts={"kind": "onnx"},
    )


def run(model: Path, inputs: Path | str | Iterable[str], output: Path | str, **settings: Any) -> Result:
    """A whole run without Ray."""
    patterns = (str(inputs),) if isinstance(inputs, str | Path) else tuple(inputs)
    order = RunOrder(str(model), patterns, str(output))
    return score(order, BatchSettings(**settings), out=io.StringIO(), actors=Inline)


def answers(output: Path) -> list[dict[str, Any]]:
    """All rows of the output, in the order of the files and of their rows."""
    report = json.loads((output / "run.json").read_text())
    rows: list[dict[str, Any]] = []
    for part in report["parts"]:
        path = output / part["part"]
        if path.suffix == ".parquet":
            rows += pq.read_table(path).to_pylist()
        else:
            rows += [json.loads(line) for line in path.read_text().splitlines()]
    return rows


def quarantined(output: Path) -> list[dict[str, Any]]:
    """All records of the quarantine, by file and row."""
    lines = [line for path in (output / "quarantine").glob("*.jsonl") for line in path.read_text().splitlines()]
    return sorted((json.loads(line) for line in lines), key=lambda record: (record["file"], record["row"]))


def files(output: Path) -> dict[str, bytes]:
    """The answers and the quarantine, byte by byte."""
    found = [*output.glob("part-*"), *(output / "quarantine").glob("*")]
    return {str(path.relative_to(output)): path.read_bytes() for path in found}


def records(output: Path) -> list[Record]:
    """The ledger's records."""
    import msgspec

    paths = [path for path in (output / "_ledger").glob("*.json") if path.name != "plan.json"]
    return [msgspec.json.decode(path.read_bytes(), type=Record) for path in paths]
