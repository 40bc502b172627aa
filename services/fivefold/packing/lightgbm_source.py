"""A LightGBM booster without its scikit-learn estimator, as a source."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from fivefold.core.bundle.binding import Binding
from fivefold.core.columns import Array, Columns
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import BundleInvalid
from fivefold.core.fields.field import Field
from fivefold.packing import graph, measure
from fivefold.packing.asking import Witness
from fivefold.packing.booster_converters import comparing_as_given
from fivefold.packing.estimators import library_versions
from fivefold.packing.features import match
from fivefold.packing.frames import Seen, pandas_categories
from fivefold.packing.graph import Port
from fivefold.packing.libraries import require, versions
from fivefold.packing.source_model import Conversion, ConversionPlan

_OPERATORS = ("LgbmClassifier", "LgbmRegressor", "LgbmRanker")
"""What the converter calls the boosters of one kind each."""


class LightgbmSource:
    """A LightGBM booster without its scikit-learn estimator: classes are 0, 1, …"""

    kind: ClassVar[str] = "lightgbm"

    def __init__(self, booster: Any) -> None:
        self._booster = booster
        self._witness: Any = None
        self.facts = {**library_versions(["lightgbm"]), **versions("onnxmltools")}
        dump = booster.dump_model(num_iteration=1)
        objective = str(dump.get("objective", "")).split(" ")[0]
        classifier = objective in ("binary", "multiclass", "multiclassova", "cross_entropy")
        self._classes = max(int(dump["num_class"]), 2) if classifier else 0

    def features(self) -> tuple[str, ...] | None:
        """The booster's own names, unless it made them up."""
        names = tuple(self._booster.feature_name())
        return None if all(name.startswith("Column_") for name in names) else names

    def outputs(self, inputs: Sequence[Field], sample: Columns, seen: Mapping[str, Seen]) -> tuple[Field, ...]:
        """label and probability of a classifier, prediction of a regressor or a ranker."""
        self._witness = self._ready(Contract("draft", "0", tuple(inputs), ()), {}, seen)
        values = self._predict(sample)
        if not self._classes:
            shape = tuple(int(size) for size in values.shape[1:] if size != 1)
            return (Field("prediction", "float64", shape),)
        count = self._classes
        label = Field("label", "int64", enum=tuple(range(count)))
        return label, Field(
            "probability", "float32", (count,), minimum=0, maximum=1, labels=tuple(map(str, range(count)))
        )

    def plans(
        self, contract: Contract, order: Mapping[str, Sequence[str]], seen: Mapping[str, Seen], _sample: Columns
    ) -> Sequence[ConversionPlan]:
        """float32, and float64, which is what a booster compares."""
        self._witness = self._ready(contract, order, seen)
        return tuple(ConversionPlan(floats, {"floats": floats}) for floats in ("float32", "float64"))

    def _ready(self, contract: Contract, order: Mapping[str, Sequence[str]], seen: Mapping[str, Seen]) -> Any:
        features = match(contract, self.features(), self._booster.num_feature(), order.get("X"))
        framed = bool(self._booster.pandas_categorical)
        return Witness(self._booster, features, seen, text=False, framed=framed)

    def convert(self, plan: ConversionPlan) -> Conversion:
        """By onnxmltools."""
        categories = pandas_categories(self._booster)
        if categories:
            raise BundleInvalid(
                f"the booster was trained on pandas categories in {', '.join(map(repr, categories))}, "
                f"and its converter takes numbers",
                help="pack the LGBMModel of the scikit-learn interface instead, or pack it with --as python",
            )
        fields = self._witness.features.fields
        types = require("onnxmltools.convert.common.data_types")
        convert = require("onnxmltools").convert_lightgbm
        own = require("onnxmltools.convert.lightgbm.operator_converters.LightGbm").convert_lightgbm
        floats = str(plan.options["floats"])
        number = types.DoubleTensorType if floats == "float64" else types.FloatTensorType
        width = self._booster.num_feature()
        with warnings.catch_warnings(), graph.plain_numbers():
            warnings.simplefilter("ignore")
            model = convert(
                self._booster,
                "model",
                [("X", number([None, width]))],
                target_opset=15,
                custom_conversion_functions=dict.fromkeys(_OPERATORS, comparing_as_given(own)),
                zipmap=False,
            )
        graph.without_zipmap(model)
        graph.free_rows(model)
        graph.learnt_shapes(model)
        return Conversion(model, floats, {"X": tuple(field.name for field in fields)})

    def answers(self, columns: Columns, _binding: Binding, outputs: Sequence[Port]) -> Mapping[str, Array]:
        """predict; for classes also the probabilities of both, and the label with the largest."""
        values = self._predict(columns)
        if not self._classes:
            return {port.name: values.reshape(columns.rows, -1) for port in outputs}
        return {port.name: values.argmax(axis=1) if port.name == "label" else values for port in outputs}

    def _predict(self, columns: Columns) -> Array:
        values = np.asarray(self._witness.ask("predict", columns))
        return np.stack([1 - values, values], axis=1) if self._classes == 2 and values.ndim == 1 else values

    def felt(self, columns: Columns) -> Array:
        """What it predicts."""
        return self._predict(columns).reshape(columns.rows, -1)

    def undecided(self, columns: Columns, tolerance: float) -> measure.Mask | None:
        """Rows whose two best classes are as good as equal."""
        return measure.undecided(self._predict(columns), tolerance) if self._classes else None
