"""Fitted scikit-learn models and pipelines, with XGBoost and LightGBM steps or alone, as sources.

The same estimator is converted with float32 and with float64 inputs, and per column with integers as integers; which of
the forms agrees best with the original is measured by `fivefold.packing.assembly`, since it cannot be known: a forest
compares float32 thresholds, a linear model on large numbers needs float64.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from fivefold.core.binding import Binding
from fivefold.core.columns import Array, Columns
from fivefold.core.contract import FLOATS, Contract, Field
from fivefold.core.errors import BundleInvalid
from fivefold.packing import boost, graph, measure
from fivefold.packing.features import Features, match
from fivefold.packing.graph import Port
from fivefold.packing.needs import need, versions
from fivefold.packing.source import Conversion, Plan

BLOCK = "X"
"""The name of the model's input where it is one 2-D array."""

FLOAT32 = "float32"
FLOAT64 = "float64"
BOTH = "float64, then float32"

_ASCII = "texts are lower-cased by ASCII's rules, which need no locale: other letters reach the model as they are"

_LABEL = ("label", "output_label")
_PROBABILITY = ("probabilities", "output_probability")


class SklearnSource:
    """One fitted estimator with the scikit-learn interface."""

    kind: ClassVar[str] = "scikit-learn"

    def __init__(self, model: Any) -> None:
        need("sklearn")
        need("skl2onnx")
        self.model = model
        libraries = {cls.__module__.partition(".")[0] for step in boost.walk(model) for cls in type(step).__mro__}
        known = {"sklearn": "scikit-learn", "xgboost": "xgboost-cpu", "lightgbm": "lightgbm"}
        used = [library for library in known if library in libraries]
        self.facts = {**boost.versions(used), **versions("skl2onnx")}
        self._features: Features | None = None
        self._check_fitted()

    def _check_fitted(self) -> None:
        sklearn = need("sklearn")
        try:
            need("sklearn.utils.validation").check_is_fitted(self.model)
        except sklearn.exceptions.NotFittedError as err:
            raise BundleInvalid(
                f"the {type(self.model).__name__} is not fitted", help="call fit before packing"
            ) from err
        except TypeError:
            pass  # an estimator without fit, such as a FunctionTransformer-like object: conversion decides

    @property
    def _classifier(self) -> bool:
        return bool(need("sklearn.base").is_classifier(self.model))

    @property
    def _reads_text(self) -> bool:
        """Whether the model reads one text a row, as a vectoriser does, and not a table."""
        first = self.model.steps[0][1] if hasattr(self.model, "steps") else self.model
        return hasattr(first, "build_analyzer")

    def features(self) -> tuple[str, ...] | None:
        """`feature_names_in_` of the model, or of its first step that has one."""
        first = self.model.steps[0][1] if hasattr(self.model, "steps") else self.model
        for step in (self.model, first):
            names = getattr(step, "feature_names_in_", None)
            if names is not None:
                return tuple(str(name) for name in names)
        return None

    def outputs(self) -> tuple[Field, ...]:
        """label (and probability) of a classifier, prediction of a regressor."""
        model = self.model
        if self._classifier:
            classes = graph.plain(np.asarray(model.classes_))
            text = all(isinstance(value, str) for value in classes)
            label = Field("label", "string" if text else "int64", enum=tuple(classes if text else map(int, classes)))
            if not hasattr(model, "predict_proba"):
                return (label,)
            names = tuple(str(value) for value in classes)
            return label, Field("probability", "float32", (len(classes),), minimum=0, maximum=1, labels=names)
        if need("sklearn.base").is_outlier_detector(model):
            return Field("label", "int64", enum=(-1, 1)), Field("score", "float32")
        width = getattr(model, "n_outputs_", 1) or 1
        return (Field("prediction", "float64", () if width == 1 else (int(width),)),)

    def plans(self, contract: Contract, order: Mapping[str, Sequence[str]], /) -> Sequence[Plan]:
        """float32; float64; and, for a pipeline, its preparation in float64 before its model in float32, which is what
        trees see in scikit-learn itself. Where columns have inputs of their own each also with integers as they are."""
        features = self._features = self._match(contract, order)
        whole = self._columnar(features) and any(field.kind in ("int", "bool") for field in features.fields)
        return [
            Plan(f"{floats}{', integers as they are' if integers else ''}", {"floats": floats, "integers": integers})
            for floats in ((FLOAT32, FLOAT64, BOTH) if hasattr(self.model, "steps") else (FLOAT32, FLOAT64))
            for integers in ((True, False) if whole else (False,))
        ]

    def convert(self, plan: Plan, /) -> Conversion:
        """By skl2onnx, with the converters of the boosters."""
        features = self._features
        assert features is not None  # plans come first
        columnar = self._columnar(features)
        floats = str(plan.options["floats"])
        model = self._model(features, floats, columnar, bool(plan.options["integers"]))
        names = tuple(field.name for field in features.fields)
        feeds: dict[str, tuple[str, ...]] = {BLOCK: names}
        if columnar:
            feeds = {port: (name,) for port, name in zip(self._inputs(features), names, strict=True)}
        return Conversion(model, floats, feeds, (_ASCII,) if graph.portable_case(model) else ())

    def _match(self, contract: Contract, order: Mapping[str, Sequence[str]]) -> Features:
        if self._reads_text:
            return Features(contract.inputs, None)
        count = getattr(self.model, "n_features_in_", None)
        names = self.features()
        if count is None and names is None and hasattr(self.model, "steps"):
            count = getattr(self.model.steps[0][1], "n_features_in_", None)
        return match(contract, names, None if count is None else int(count), order.get(BLOCK))

    def _columnar(self, features: Features) -> bool:
        """Whether every feature gets an input of its own: text beside numbers, or columns chosen by name."""
        if features.block:
            return False
        steps = [step for step in boost.walk(self.model) if hasattr(step, "transformers_")]
        chosen = [column for step in steps for _, _, columns in step.transformers_ for column in _listed(columns)]
        return not features.numeric or any(isinstance(column, str) for column in chosen)

    def _inputs(self, features: Features) -> tuple[str, ...]:
        return features.names or tuple(field.name for field in features.fields)

    def _model(self, features: Features, floats: str, columnar: bool, integers: bool) -> Any:
        types = need("skl2onnx.common.data_types")
        number = types.FloatTensorType if floats == FLOAT32 else types.DoubleTensorType
        if self._reads_text:
            given = [(field.name, types.StringTensorType([None, 1])) for field in features.fields]
        elif columnar:
            given = [
                (name, _column_type(field, number, types, integers)([None, 1]))
                for name, field in zip(self._inputs(features), features.fields, strict=True)
            ]
        else:
            width = features.fields[0].shape[0] if features.block else len(features.fields)
            given = [(BLOCK, number([None, width]))]
        if floats == BOTH:
            last = self.model[-1]
            prepared = self._convert(self.model[:-1], given)
            model = graph.joined(
                prepared, self._convert(last, [("prepared", types.FloatTensorType([None, last.n_features_in_]))])
            )
        else:
            model = self._convert(self.model, given)
        graph.without_zipmap(model)
        graph.free_rows(model)
        if self._classifier and hasattr(self.model, "predict_proba"):
            for port in graph.ports(model)[1]:
                if port.name in _PROBABILITY:
                    graph.clip(model, port.name)
        return model

    def _convert(self, estimator: Any, given: list[tuple[str, Any]]) -> Any:
        boost.register()
        convert = need("skl2onnx").convert_sklearn
        last = estimator
        while hasattr(last, "steps"):
            last = last.steps[-1][1]
        classifier = bool(need("sklearn.base").is_classifier(estimator))
        with warnings.catch_warnings(), graph.plain_numbers(), boost.anonymous(estimator):
            warnings.simplefilter("ignore")
            try:
                options = {"zipmap": False} if classifier else None
                return convert(estimator, "model", given, target_opset=graph.OPSETS, options=options)
            except NameError:  # how skl2onnx says that this classifier has no such option
                return convert(estimator, "model", given, target_opset=graph.OPSETS, options={id(last): {}})

    def answers(self, columns: Columns, _binding: Binding, outputs: Sequence[Port]) -> Mapping[str, Array]:
        """predict, predict_proba and their relatives, by what skl2onnx calls their outputs."""
        given = self._given(columns)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return {port.name: self._answer(port, given) for port in outputs}
            except BundleInvalid:
                raise
            except Exception as err:  # the author's model may raise anything on a legal row
                raise BundleInvalid(
                    f"the original model fails on a row that the contract allows: {str(err).splitlines()[0][:300]}",
                    help="tighten the contract (enum, minimum, maximum, nullable), or give rows with --golden DATA",
                ) from err

    def _given(self, columns: Columns) -> Any:
        features = self._features
        assert features is not None  # plans come before answers
        if self._reads_text:
            return columns[features.fields[0].name]
        return features.frame(columns) if self.features() is not None else features.array(columns)

    def _answer(self, port: Port, given: Any) -> Array:
        model = self.model
        if port.name in _LABEL:
            labels = np.asarray(model.predict(given))
            return labels.astype(np.int64) if labels.dtype == np.bool_ else labels
        if port.name in _PROBABILITY:
            if hasattr(model, "predict_proba"):
                return np.asarray(model.predict_proba(given))
            margin = np.asarray(model.decision_function(given))
            two = margin.ndim == 1 and port.shape is not None and port.shape[1:] == (2,)
            return np.stack([-margin, margin], axis=1) if two else margin
        if port.name == "scores":
            name = "decision_function" if hasattr(model, "decision_function") else "transform"
            return np.asarray(getattr(model, name)(given))
        if port.name in ("variable", "GPmean") or not hasattr(model, "predict"):
            answer = np.asarray(model.predict(given) if hasattr(model, "predict") else model.transform(given))
            return answer.reshape(len(answer), -1) if answer.ndim == 1 else answer
        raise BundleInvalid(
            f"the converted model's output {port.name!r} has no counterpart in the original to compare it with",
            help="take the field out of the contract's outputs, or bind another output with --bind",
        )

    def undecided(self, columns: Columns, tolerance: float) -> measure.Mask | None:
        """Rows whose two best classes are as good as equal."""
        if not self._classifier or not hasattr(self.model, "predict_proba"):
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return measure.undecided(np.asarray(self.model.predict_proba(self._given(columns))), tolerance)


def _listed(columns: Any) -> list[Any]:
    return [columns] if isinstance(columns, str | int | slice) else list(columns)


def _column_type(field: Field, number: Any, types: Any, integers: bool) -> Any:
    if field.kind == "string":
        return types.StringTensorType
    if field.dtype in FLOATS or not integers:
        return number
    return types.Int64TensorType
