"""KMeans as plain ONNX operators: the label by what the centres differ in alone, as scikit-learn finds it.

skl2onnx's own form compares whole squared distances: far from every centre, a row's own square drowns the rest of
them, and every row is in the first cluster.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fivefold.packing.libraries import require
from fivefold.packing.operators import Writer, register, set_shape


def register_clusters() -> None:
    """Teach skl2onnx this module's estimators."""
    cluster = require("sklearn.cluster")
    for model in (cluster.KMeans, cluster.MiniBatchKMeans):
        register(model, _shape, _convert)


def _shape(operator: Any) -> None:
    rows = operator.inputs[0].get_first_dimension()
    operator.outputs[0].type = require("skl2onnx.common.data_types").Int64TensorType([rows])
    set_shape(operator, len(operator.raw_operator.cluster_centers_), index=1)


def _convert(scope: Any, operator: Any, container: Any) -> None:
    write = Writer(scope, operator, container)
    centres = np.asarray(operator.raw_operator.cluster_centers_, np.float64)
    given = write.numbers()
    cross = write.node("MatMul", [given, write.constant(-2 * centres.T)])
    apart = write.node("Add", [cross, write.constant((centres**2).sum(axis=1))])
    write.finish(write.node("ArgMin", [apart], axis=1, keepdims=0))
    own = write.node("ReduceSumSquare", [given, write.constant([1], "int64")], keepdims=1)
    squared = write.node("Max", [write.node("Add", [apart, own]), write.constant(0.0)])
    write.finish(write.node("Sqrt", [squared]), 1)
