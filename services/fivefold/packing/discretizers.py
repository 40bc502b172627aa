"""KBinsDiscretizer as plain ONNX operators: a number is in the bin whose lower edge it has reached.

skl2onnx compares with edges of float32, so that numbers beside an edge were in the other bin.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fivefold.packing.libraries import require
from fivefold.packing.operators import Writer, register, set_shape


def register_discretizers() -> None:
    """Teach skl2onnx this module's estimator."""
    register(require("sklearn.preprocessing").KBinsDiscretizer, _shape, _convert)


def _shape(operator: Any) -> None:
    bins = np.asarray(operator.raw_operator.n_bins_)
    set_shape(operator, len(bins) if operator.raw_operator.encode == "ordinal" else int(bins.sum()))


def _convert(scope: Any, operator: Any, container: Any) -> None:
    write = Writer(scope, operator, container)
    model = operator.raw_operator
    given = write.numbers()
    parts = []
    for column, (edges, bins) in enumerate(zip(model.bin_edges_, model.n_bins_, strict=True)):
        # What scikit-learn counts: edges between two bins that are not above the number.
        number = write.columns(given, [column])
        reached = write.node("GreaterOrEqual", [number, write.constant([np.asarray(edges)[1:-1]])])
        index = write.node("ReduceSum", [write.cast(reached, write.floats), write.constant([1], "int64")], keepdims=1)
        if model.encode != "ordinal":
            index = write.cast(write.node("Equal", [index, write.constant([np.arange(int(bins))])]), write.floats)
        parts.append(index)
    write.finish(parts[0] if len(parts) == 1 else write.node("Concat", parts, axis=1))
