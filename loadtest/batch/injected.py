"""Files of good rows of which one in a hundred is broken in a known way.

`make` writes the files of one format and returns where each fault lies and what code it must get, twelve kinds in each
format, from a seed. `bundle` packs a model for them whose answer is `amount + count`. Comparing a run with that is left
to `finding`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from loadtest.batch import injected_parquet, injected_text
from loadtest.batch.fault_kinds import FIELDS, NAMES, SHARE, FaultyFiles, Kind, draw

CONTRACT: Final[Mapping[str, Any]] = {
    "format": 1,
    "name": "faults",
    "version": "1.0.0",
    "inputs": list(FIELDS),
    "outputs": [{"name": "score", "dtype": "float64"}],
}


def make(format: str, directory: Path, rows: int, seed: int = 0) -> FaultyFiles:
    """Write `rows` rows (a multiple of 1,200, so that every kind is there equally) in a format: parquet, csv, jsonl."""
    if rows % (SHARE * 12) or not rows:
        raise ValueError(f"expected a multiple of {SHARE * 12} rows, got {rows}")
    directory.mkdir(parents=True)
    rng = random.Random(f"{seed} {format}")
    writers = {"parquet": injected_parquet.write, "csv": injected_text.write_csv, "jsonl": injected_text.write_jsonl}
    return writers[format](directory, [draw(index, rng) for index in range(rows)], rng)


def kinds(format: str) -> tuple[Kind, ...]:
    """The twelve kinds of a format."""
    return {"parquet": injected_parquet.KINDS, "csv": injected_text.CSV_KINDS, "jsonl": injected_text.JSON_KINDS}[
        format
    ]


def bundle(directory: Path) -> Path:
    """A bundle for the rows, below `directory`: `amount + count`, the other fields are looked at and not used."""
    from onnx import TensorProto, helper

    from fivefold.core.bundle.bundle import Binding, Bundle, InputBinding, OutputBinding
    from fivefold.core.contract.contract import Contract

    types = {
        "float64": TensorProto.DOUBLE,
        "int32": TensorProto.INT32,
        "bool": TensorProto.BOOL,
        "string": TensorProto.STRING,
    }
    nodes = [
        helper.make_node("Cast", ["count"], ["as_double"], to=TensorProto.DOUBLE),
        helper.make_node("Add", ["amount", "as_double"], ["score"]),
    ]
    graph = helper.make_graph(
        nodes,
        "faults",
        [helper.make_tensor_value_info(str(field["name"]), types[str(field["dtype"])], ["rows"]) for field in FIELDS],
        [helper.make_tensor_value_info("score", TensorProto.DOUBLE, ["rows"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    rng = random.Random(1)
    golden = [draw(index, rng) for index in range(32)]
    given = [{name: row.record()[name] for name in NAMES} for row in golden]
    target = directory / "faults"
    Bundle.write(
        target,
        contract=Contract.from_json(dict(CONTRACT)),
        model={"model.onnx": model.SerializeToString(deterministic=True)},
        runtime="onnx",
        golden=(given, [{"score": row.score} for row in golden]),
        tolerance=0.0,
        binding=Binding(
            tuple(InputBinding(str(field["name"]), (str(field["name"]),), str(field["dtype"])) for field in FIELDS),
            (OutputBinding("score", "score"),),
        ),
    )
    return target
