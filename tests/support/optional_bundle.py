"""A bundle whose every field has a default."""

from __future__ import annotations

from pathlib import Path

from fivefold.core.bundle.bundle import Binding, Bundle, InputBinding, OutputBinding
from tests.support.bundles import contract, field, graph, node

A, TWICE = ("a", "float32", ["N"]), ("twice", "float32", ["N"])


def write_optional(directory: Path) -> Path:
    """It doubles `a`, which is 1 where nothing is said."""
    return Bundle.write(
        directory,
        contract=contract([field("a", default=1.0)], [field("twice")], "optional"),
        model={
            "model.onnx": graph([node("Add", "a a", "twice")], [("a", "float32", ["N"])], [("twice", "float32", ["N"])])
        },
        runtime="onnx",
        binding=Binding((InputBinding("a", ("a",), "float32"),), (OutputBinding("twice", "twice"),)),
        golden=([{"a": 1.0}], [{"twice": 2.0}]),
        tolerance=0.0,
        facts={"kind": "onnx"},
    ).path
