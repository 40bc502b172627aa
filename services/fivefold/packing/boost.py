"""XGBoost and LightGBM: their own files, their converters, and what both need to be converted at all."""

from __future__ import annotations

import contextlib
import json
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fivefold.core.bundle.binding import Binding
from fivefold.core.columns import Array, Columns
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import BundleInvalid
from fivefold.core.fields.field import Field
from fivefold.packing import graph, measure
from fivefold.packing.features import match
from fivefold.packing.frames import Seen
from fivefold.packing.graph import Port
from fivefold.packing.needs import need
from fivefold.packing.needs import versions as installed
from fivefold.packing.source import Conversion, Plan, SourceModel

_DISTRIBUTIONS = {"sklearn": ("scikit-learn",), "lightgbm": ("lightgbm",), "xgboost": ("xgboost", "xgboost-cpu")}
_PARTS = ("steps", "estimators_", "estimators", "transformers_", "calibrated_classifiers_", "transformer_list")
_PART = ("estimator", "base_estimator", "best_estimator_", "final_estimator_", "regressor_", "estimator_")


def versions(libraries: Sequence[str]) -> dict[str, str]:
    """The installed versions, whichever distribution a library comes from."""
    out = {}
    for library in libraries:
        for distribution in _DISTRIBUTIONS[library]:
            with contextlib.suppress(ModuleNotFoundError):  # importlib.metadata's PackageNotFoundError is one
                out.update({library: installed(distribution)[distribution]})
    return out


def walk(model: Any) -> Iterator[Any]:
    """The estimator and every estimator inside it: steps, columns, members, calibrated classifiers."""
    yield model
    for name in (*_PARTS, *_PART):
        yield from _inside(getattr(model, name, None))


def _inside(value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        for item in value:
            yield from _inside(item)
    elif not isinstance(value, type) and (hasattr(value, "get_params") or hasattr(value, "calibrators")):
        yield from walk(value)


def register() -> None:
    """Teach skl2onnx the boosters that are loaded. Registering twice is harmless."""
    from fivefold.packing.categories import coded
    from fivefold.packing.operators import classifier_shape, regressor_shape

    options = {"zipmap": [True, False, "columns"], "nocl": [True, False]}
    if "xgboost" in sys.modules:
        xgboost = need("xgboost")
        convert = coded(need("onnxmltools.convert.xgboost.operator_converters.XGBoost").convert_xgboost)
        for model in (xgboost.XGBClassifier, xgboost.XGBRFClassifier):
            _register(model, f"XGBoost{model.__name__}", classifier_shape, convert, options)
        for model in (xgboost.XGBRegressor, xgboost.XGBRFRegressor, xgboost.XGBRanker):
            _register(model, f"XGBoost{model.__name__}", regressor_shape, convert, None)
    if "lightgbm" in sys.modules:
        lightgbm = need("lightgbm")
        convert = coded(need("onnxmltools.convert.lightgbm.operator_converters.LightGbm").convert_lightgbm)
        _register(lightgbm.LGBMClassifier, "LightGbmLGBMClassifier", classifier_shape, convert, options)
        for model in (lightgbm.LGBMRegressor, lightgbm.LGBMRanker):
            _register(model, f"LightGbm{model.__name__}", regressor_shape, convert, {"split": None})


def _register(model: type, alias: str, shape: Any, convert: Any, options: Mapping[str, Any] | None) -> None:
    need("skl2onnx").update_registered_converter(model, alias, shape, convert, overwrite=True, options=options)


_named: ContextVar[Mapping[int, tuple[Any, Any]] | None] = ContextVar("named", default=None)


@contextlib.contextmanager
def anonymous(model: Any) -> Iterator[None]:
    """While it holds, XGBoost's boosters forget their features' names: the converter only reads f0, f1, …

    `described` still knows them.
    """
    from fivefold.packing.frames import pandas_categories

    steps = [step for step in walk(model) if hasattr(step, "get_booster")]
    token = _named.set({id(step): (step.get_booster().feature_names, pandas_categories(step)) for step in steps})
    boosters = [step.get_booster() for step in steps]
    names = [(booster, booster.feature_names, booster.feature_types) for booster in boosters]
    try:
        for booster, _, kinds in names:
            booster.feature_names = None
            booster.feature_types = None
            if kinds is not None and "c" in kinds:
                # Without its types XGBoost does not write down a split by categories.
                booster.feature_names = [f"f{index}" for index in range(len(kinds))]
                booster.feature_types = kinds
        yield
    finally:
        _named.reset(token)
        for booster, name, kind in names:
            booster.feature_names = name
            booster.feature_types = kind


def described(model: Any) -> tuple[list[str], Mapping[str, tuple[Any, ...]]]:
    """The names of a booster's features, and the categories of those that were fitted on pandas categories."""
    from fivefold.packing.frames import pandas_categories

    known = (_named.get() or {}).get(id(model))
    names, found = known or (getattr(model, "feature_names_in_", None), pandas_categories(model))
    return [str(name) for name in (range(int(model.n_features_in_)) if names is None else names)], found


def load_xgboost(path: Path) -> Any:
    """A .json or .ubj file of XGBoost as its scikit-learn estimator. Raises `BundleInvalid`."""
    booster = need("xgboost").Booster()
    try:
        booster.load_model(path)
    except Exception as err:  # XGBoost's own error carries a C++ stack
        raise BundleInvalid(f"{path.name} is not a model of XGBoost", help="save it with model.save_model") from err
    return _estimator(booster)


def _estimator(booster: Any) -> Any:
    xgboost = need("xgboost")
    objective = json.loads(booster.save_config())["learner"]["objective"]["name"]
    if objective.startswith("rank:"):
        model = xgboost.XGBRanker(objective=objective)
    else:
        model = xgboost.XGBClassifier() if objective.startswith(("binary:", "multi:")) else xgboost.XGBRegressor()
    model.load_model(booster.save_raw("ubj"))
    return model


def load_lightgbm(path: Path) -> Any:
    """A text file of LightGBM as its booster. Raises `BundleInvalid`."""
    lightgbm = need("lightgbm")
    try:
        return lightgbm.Booster(model_file=str(path))
    except Exception as err:  # LightGBM's own error
        raise BundleInvalid(f"{path.name} is not a model of LightGBM", help="save it with booster.save_model") from err


def of_booster(booster: Any) -> SourceModel:
    """A bare booster of either library."""
    if type(booster).__module__.startswith("xgboost"):
        from fivefold.packing.sklearn_ import SklearnSource

        return SklearnSource(_estimator(booster))
    return LightgbmSource(booster)


class LightgbmSource:
    """A LightGBM booster without its scikit-learn estimator: classes are 0, 1, …"""

    kind: ClassVar[str] = "lightgbm"

    def __init__(self, booster: Any) -> None:
        self._booster = booster
        self._witness: Any = None
        self.facts = {**versions(["lightgbm"]), **installed("onnxmltools")}
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
    ) -> Sequence[Plan]:
        """One, float32: the converter knows no other."""
        self._witness = self._ready(contract, order, seen)
        return (Plan("float32"),)

    def _ready(self, contract: Contract, order: Mapping[str, Sequence[str]], seen: Mapping[str, Seen]) -> Any:
        from fivefold.packing.asking import Witness

        features = match(contract, self.features(), self._booster.num_feature(), order.get("X"))
        framed = bool(self._booster.pandas_categorical)
        return Witness(self._booster, features, seen, text=False, framed=framed)

    def convert(self, _plan: Plan) -> Conversion:
        """By onnxmltools."""
        from fivefold.packing.frames import pandas_categories

        categories = pandas_categories(self._booster)
        if categories:
            raise BundleInvalid(
                f"the booster was trained on pandas categories in {', '.join(map(repr, categories))}, "
                f"and its converter takes numbers",
                help="pack the LGBMModel of the scikit-learn interface instead, or pack it with --as python",
            )
        fields = self._witness.features.fields
        types = need("onnxmltools.convert.common.data_types")
        convert = need("onnxmltools").convert_lightgbm
        width = self._booster.num_feature()
        with warnings.catch_warnings(), graph.plain_numbers():
            warnings.simplefilter("ignore")
            model = convert(
                self._booster, "model", [("X", types.FloatTensorType([None, width]))], target_opset=15, zipmap=False
            )
        graph.without_zipmap(model)
        graph.free_rows(model)
        graph.learnt_shapes(model)
        return Conversion(model, "float32", {"X": tuple(field.name for field in fields)})

    def answers(self, columns: Columns, _binding: Binding, outputs: Sequence[Port]) -> Mapping[str, Array]:
        """predict; for classes also the probabilities of both, and the label with the largest."""
        values = self._predict(columns)
        if not self._classes:
            return {port.name: values.reshape(columns.rows, -1) for port in outputs}
        return {port.name: values.argmax(axis=1) if port.name == "label" else values for port in outputs}

    def _predict(self, columns: Columns) -> Array:
        values = np.asarray(self._witness.ask("predict", columns))
        return np.stack([1 - values, values], axis=1) if self._classes == 2 and values.ndim == 1 else values

    def undecided(self, columns: Columns, tolerance: float) -> measure.Mask | None:
        """Rows whose two best classes are as good as equal."""
        return measure.undecided(self._predict(columns), tolerance) if self._classes else None
