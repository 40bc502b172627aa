"""How far floats of two runtimes may be apart: the bundle's tolerance, and nothing at all where every step is exact.

A tree compares and adds in one order, so all runtimes of ONNX give its very bits; a graph of trees and of operators
that only move, choose or convert values is held to that. Whatever multiplies matrices is held to the tolerance.
"""

from __future__ import annotations

from typing import Final

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.bundle.manifest import MODEL
from fivefold.edge.export.browser_support import operators

TREES: Final = frozenset({"TreeEnsemble", "TreeEnsembleClassifier", "TreeEnsembleRegressor"})

EXACT: Final = TREES | {
    *("Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Concat", "Split", "Slice", "Transpose"),
    *("Gather", "GatherElements", "ArrayFeatureExtractor", "FeatureVectorizer", "Where", "IsNaN", "Not", "And", "Or"),
    *("Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual", "ArgMax", "ArgMin", "LabelEncoder", "Clip"),
    *("OneHotEncoder", "Imputer", "Binarizer", "Shape", "Constant", "ConstantOfShape", "Expand", "Max", "Min"),
}
"""Operators that give the same bits wherever they run: measured for trees with what they do to their sums."""


def limit_of(bundle: Bundle) -> float:
    """The largest difference that is none, as `core.runtime.scorer.within` takes it."""
    if bundle.manifest.runtime == "onnx":
        used = {name for _, name in operators(bundle.read(MODEL))}
        if used & TREES and used <= EXACT:
            return 0.0
    return bundle.manifest.tolerance
