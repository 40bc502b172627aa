"""Fitted scikit-learn models and pipelines, with XGBoost and LightGBM steps or alone, as sources.

The same estimator is converted with float32 and with float64 inputs, and per column with integers as integers; which of
the forms agrees best with the original is measured by `fivefold.packing.assembly`, since it cannot be known: a forest
compares float32 thresholds, a linear model on large numbers needs float64.
"""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from fivefold.core.bundle.binding import Binding
from fivefold.core.columns import Array, Columns
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import BundleInvalid
from fivefold.core.fields.field import FLOATS, Field
from fivefold.packing import (
    asking,
    booster_converters,
    clusters,
    discretizers,
    encoders,
    graph,
    histograms,
    imputers,
    measure,
    multi,
    neighbours,
    nets,
    nulls,
    operators,
    ties,
    transforms,
    trees,
)
from fivefold.packing.asking import Witness
from fivefold.packing.booster_features import anonymous
from fivefold.packing.estimators import library_versions, walk
from fivefold.packing.features import Features, match
from fivefold.packing.frames import Seen
from fivefold.packing.graph import Port
from fivefold.packing.libraries import require, versions
from fivefold.packing.source_model import Conversion, ConversionPlan

BLOCK = "X"
"""The name of the model's input where it is one 2-D array."""

FLOAT32 = "float32"
FLOAT64 = "float64"
BOTH = "float64, then float32"

_ASCII = "texts are lower-cased by ASCII's rules, which need no locale: other letters reach the model as they are"

_LABEL = ("label", "output_label")
_PROBABILITY = ("probabilities", "output_probability")
_FIRST = ("best_estimator_", "estimator_", "regressor_", "estimators_", "calibrated_classifiers_", "estimator")


class SklearnSource:
    """One fitted estimator with the scikit-learn interface."""

    kind: ClassVar[str] = "scikit-learn"

    def __init__(self, model: Any) -> None:
        require("sklearn")
        require("skl2onnx")
        self.model = model
        libraries = {cls.__module__.partition(".")[0] for step in walk(model) for cls in type(step).__mro__}
        known = {"sklearn": "scikit-learn", "xgboost": "xgboost-cpu", "lightgbm": "lightgbm"}
        used = [library for library in known if library in libraries]
        self.facts = {**library_versions(used), **versions("skl2onnx")}
        self._witness: Witness | None = None
        self._bool_label = False
        self._check_fitted()

    def _check_fitted(self) -> None:
        sklearn = require("sklearn")
        name = type(self.model).__name__
        try:
            require("sklearn.utils.validation").check_is_fitted(self.model)
        except sklearn.exceptions.NotFittedError as err:
            raise BundleInvalid(f"the {name} is not fitted", help="call fit before packing") from err
        except TypeError:
            pass  # an estimator without fit, such as a FunctionTransformer-like object: conversion decides
        if hasattr(self.model, "best_params_") and not hasattr(self.model, "best_estimator_"):
            raise BundleInvalid(
                f"the {name} has found its best parameters and kept no model",
                help="search with refit=True, or fit an estimator with best_params_ and pack that",
            )

    @property
    def _classifier(self) -> bool:
        return bool(require("sklearn.base").is_classifier(self.model))

    @property
    def _reads_text(self) -> bool:
        """Whether the model reads one text a row, as a vectoriser does, and not a table."""
        first = self.model.steps[0][1] if hasattr(self.model, "steps") else self.model
        return hasattr(first, "build_analyzer")

    def features(self) -> tuple[str, ...] | None:
        """`feature_names_in_` of the model, or of the first estimator inside it that sees the rows as they come."""
        names = _first(self.model, "feature_names_in_")
        return None if names is None else tuple(str(name) for name in names)

    def outputs(self, inputs: Sequence[Field], sample: Columns, seen: Mapping[str, Seen]) -> tuple[Field, ...]:
        """label (and probability) of a classifier, prediction of a regressor, values of a transformer: as asked."""
        fields = tuple(inputs)
        return asking.drafted(self._ready(Contract("draft", "0", fields, ()), {}, seen), sample)

    def plans(
        self,
        contract: Contract,
        order: Mapping[str, Sequence[str]],
        seen: Mapping[str, Seen],
        sample: Columns,
        /,
    ) -> Sequence[ConversionPlan]:
        """float32; float64; and, for a pipeline, its preparation in float64 before its model in float32, which is what
        trees see in scikit-learn itself. Where columns have inputs of their own each also with integers as they are."""
        witness = self._witness = self._ready(contract, order, seen)
        # Asked once, so that the form of the rows (and with it what null is) is known before anything is converted.
        with contextlib.suppress(BundleInvalid):
            witness.ask("predict" if hasattr(self.model, "predict") else "transform", sample)
        bools = any(field.kind == "bool" for field in contract.outputs)
        self._bool_label = bools and any(one.dtype == np.bool_ for one in asking.classes(self.model) or ())
        features = witness.features
        whole = self._columnar(features) and any(
            field.kind in ("int", "bool") and not field.nullable for field in features.fields
        )
        steps = hasattr(_unwrapped(self.model), "steps")
        return [
            ConversionPlan(
                f"{floats}{', integers as they are' if integers else ''}", {"floats": floats, "integers": integers}
            )
            for floats in ((FLOAT32, FLOAT64, BOTH) if steps else (FLOAT32, FLOAT64))
            for integers in ((True, False) if whole else (False,))
        ]

    def _ready(self, contract: Contract, order: Mapping[str, Sequence[str]], seen: Mapping[str, Seen]) -> Witness:
        features = self._match(contract, order)
        framed = self.features() is not None
        return Witness(self.model, features, seen, text=self._reads_text, framed=framed)

    def _asked(self) -> Witness:
        assert self._witness is not None  # plans come first
        return self._witness

    def convert(self, plan: ConversionPlan, /) -> Conversion:
        """By skl2onnx, with the converters of the boosters."""
        features = self._asked().features
        columnar = self._columnar(features)
        floats = str(plan.options["floats"])
        text = nulls.reserved(features.fields)
        null = None if text is None else nulls.TextNull(text, self._asked().text_null())
        with nulls.converting(null), operators.computing_in(FLOAT32 if floats == FLOAT32 else FLOAT64):
            model = self._model(features, floats, columnar, bool(plan.options["integers"]))
        names = tuple(field.name for field in features.fields)
        feeds: dict[str, tuple[str, ...]] = {BLOCK: names}
        words: dict[str, str] = {}
        if columnar or self._reads_text:
            ports = names if self._reads_text else self._inputs(features)
            feeds = {port: (name,) for port, name in zip(ports, names, strict=True)}
            words = {
                port: text
                for port, field in zip(ports, features.fields, strict=True)
                if text is not None and field.kind == "string" and field.nullable and field.null_value != text
            }
        notes = (_ASCII,) if graph.portable_case(model) else ()
        return Conversion(model, floats, feeds, notes, words)

    def _match(self, contract: Contract, order: Mapping[str, Sequence[str]]) -> Features:
        if self._reads_text:
            return Features(contract.inputs, None)
        count = _first(self.model, "n_features_in_")
        names = self.features()
        return match(contract, names, None if count is None else int(count), order.get(BLOCK))

    def _columnar(self, features: Features) -> bool:
        """Whether every feature gets an input of its own: text beside numbers, or columns chosen by name."""
        if features.block:
            return False
        steps = [step for step in walk(self.model) if hasattr(step, "transformers_")]
        chosen = [column for step in steps for _, _, columns in step.transformers_ for column in _listed(columns)]
        return not features.numeric or any(isinstance(column, str) for column in chosen)

    def _inputs(self, features: Features) -> tuple[str, ...]:
        return features.names or tuple(field.name for field in features.fields)

    def _model(self, features: Features, floats: str, columnar: bool, integers: bool) -> Any:
        types = require("skl2onnx.common.data_types")
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
        model = _unwrapped(self.model)
        final = multi.last(model)
        classes = asking.classes(final) if self._classifier else None
        if classes is not None and len(classes) == 1 and len(classes[0]) == 1:
            made = self._of_one_class(given, classes[0][0])
        elif (parts := multi.parts(model)) is not None:
            made = multi.side_by_side([self._repaired(part, given, floats) for part in parts])
        else:
            made = self._repaired(model, given, floats)
        if self._bool_label:
            graph.label_as_bool(made)
        return made

    def _of_one_class(self, given: list[tuple[str, Any]], label: Any) -> Any:
        made = [(name, kind.to_onnx_type().tensor_type.elem_type, kind.shape[1]) for name, kind in given]
        return multi.constant(made, graph.plain(label))

    def _repaired(self, model: Any, given: list[tuple[str, Any]], floats: str) -> Any:
        """The graph of an estimator of one output, with a tensor for everything that it gives."""
        types = require("skl2onnx.common.data_types")
        target = model if type(model).__name__ == "TransformedTargetRegressor" else None
        if target is not None:
            model = target.regressor_
        if floats == BOTH and hasattr(model, "steps"):
            last = model[-1]
            prepared = self._convert(model[:-1], given)
            width = int(last.n_features_in_)
            made = graph.joined(prepared, self._last(last, [("prepared", types.FloatTensorType([None, width]))]))
        else:
            made = self._convert(model, given)
            if ties.labelled_by_scores(multi.last(model)):
                made = multi.labelled_by(made, self._convert(model, given, scores=True))
            if floats != FLOAT32:
                trees.compared_as_float32(made)
        graph.without_zipmap(made)
        graph.free_rows(made)
        graph.learnt_shapes(made)
        if target is not None:
            multi.inverse(made, target)
        if self._classifier and hasattr(self.model, "predict_proba"):
            for port in graph.ports(made)[1]:
                if port.name in _PROBABILITY:
                    graph.clip(made, port.name)
        return made

    def _last(self, estimator: Any, given: list[tuple[str, Any]]) -> Any:
        with operators.computing_in(FLOAT32):
            return self._convert(estimator, given)

    def _convert(self, estimator: Any, given: list[tuple[str, Any]], *, scores: bool = False) -> Any:
        """The estimator's graph; with `scores` in place of probabilities, and the label that is theirs."""
        booster_converters.register()
        imputers.register_imputers()
        neighbours.register_neighbours()
        clusters.register_clusters()
        discretizers.register_discretizers()
        encoders.register_encoders()
        histograms.register_histograms()
        nets.register_nets()
        transforms.register_transforms()
        convert = require("skl2onnx").convert_sklearn
        last = estimator
        while hasattr(last, "steps"):
            last = last.steps[-1][1]
        classifier = bool(require("sklearn.base").is_classifier(estimator))
        with (
            warnings.catch_warnings(),
            graph.plain_numbers(),
            anonymous(estimator),
            trees.exact(),
            _unflattened(estimator),
            _halved(estimator),
        ):
            warnings.simplefilter("ignore")
            try:
                options: Any = {"zipmap": False} if classifier else None
                if scores:
                    options = {id(last): {"zipmap": False, "raw_scores": True}}
                return convert(estimator, "model", given, target_opset=graph.OPSETS, options=options)
            except NameError:  # how skl2onnx says that this classifier has no such option
                return convert(estimator, "model", given, target_opset=graph.OPSETS, options={id(last): {}})
            except Exception as err:  # converters raise whatever their authors met
                if not type(err).__name__.startswith("Missing"):
                    raise
                found = re.search(r"<class '([\w.]+)'>", str(err))
                name = found[1].rpartition(".")[2] if found else type(estimator).__name__
                raise RuntimeError(f"no converter knows a {name}") from err

    def answers(self, columns: Columns, _binding: Binding, outputs: Sequence[Port]) -> Mapping[str, Array]:
        """predict, predict_proba and their relatives, by what skl2onnx calls their outputs."""
        return {port.name: self._answer(port, columns) for port in outputs}

    def _answer(self, port: Port, columns: Columns) -> Array:
        model, ask = self.model, self._asked().ask
        name, _, part = port.name.rpartition("_")
        if port.name in _LABEL:
            return _labels(np.asarray(ask("predict", columns)), port.dtype)
        if name == "probabilities":
            return np.asarray(ask("predict_proba", columns)[int(part)])
        if port.name in _PROBABILITY:
            if hasattr(model, "predict_proba"):
                return np.asarray(ask("predict_proba", columns))
            margin = np.asarray(ask("decision_function", columns))
            two = margin.ndim == 1 and port.shape is not None and port.shape[1:] == (2,)
            return np.stack([-margin, margin], axis=1) if two else margin
        if port.name == "scores":
            return np.asarray(ask("decision_function" if hasattr(model, "decision_function") else "transform", columns))
        if port.name not in ("score_samples", "decision_path", "decision_leaf", "index", "distance"):
            answer = ask("predict" if hasattr(model, "predict") else "transform", columns)
            answer = np.asarray(answer.toarray() if hasattr(answer, "toarray") else answer)
            return answer.reshape(len(answer), -1) if answer.ndim == 1 else answer
        raise BundleInvalid(
            f"the converted model's output {port.name!r} has no counterpart in the original to compare it with",
            help="take the field out of the contract's outputs, or bind another output with --bind",
        )

    def felt(self, columns: Columns) -> Array | None:
        """Probabilities where there are any, else what it predicts or makes of the rows."""
        methods = ("predict_proba", "decision_function", "predict", "transform")
        method = next(name for name in methods if hasattr(self.model, name))
        answer = self._asked().ask(method, columns)
        several = answer if isinstance(answer, list) else [answer]
        arrays = [np.asarray(one.toarray() if hasattr(one, "toarray") else one) for one in several]
        return np.concatenate([one.reshape(columns.rows, -1) for one in arrays], axis=1)

    def undecided(self, columns: Columns, tolerance: float) -> measure.Mask | None:
        """Rows whose two best classes are as good as equal, by what the label is taken from."""
        if not self._classifier or not hasattr(self.model, "predict_proba"):
            return None
        return ties.undecided(self._asked(), columns, tolerance)


@contextlib.contextmanager
def _halved(model: Any) -> Iterator[None]:
    """While it holds, discriminants of two classes are half as long: the converter takes a softmax of plus and minus
    the discriminant, which is the logistic function of twice what it is given."""
    steps = [step for step in walk(model) if type(step).__name__ == "LinearDiscriminantAnalysis"]
    two = [(step, step.coef_, step.intercept_) for step in steps if len(step.classes_) == 2]
    try:
        for step, coefficients, intercept in two:
            step.coef_, step.intercept_ = coefficients / 2, intercept / 2
        yield
    finally:
        for step, coefficients, intercept in two:
            step.coef_, step.intercept_ = coefficients, intercept


def _labels(answer: Array, dtype: str) -> Array:
    """The model's labels as the packed model spells them: whole numbers as int64, text as it is."""
    if dtype == "bool":
        return answer.astype(np.bool_)
    if dtype == "int64" and answer.dtype.kind not in "US":
        return answer.astype(np.int64)
    return answer


def _unwrapped(model: Any) -> Any:
    """The winner of a search, which answers for it."""
    while hasattr(model, "best_estimator_"):
        model = model.best_estimator_
    return model


def _first(model: Any, attribute: str) -> Any:
    """The attribute of the model, or of the first estimator inside it that sees the rows as they come."""
    found = getattr(model, attribute, None)
    if found is not None:
        return found
    inside = [model.steps[0][1]] if hasattr(model, "steps") else [getattr(model, name, None) for name in _FIRST]
    for one in inside:
        part = one[0] if isinstance(one, list | tuple) and one else one
        if part is not None and not isinstance(part, str | np.ndarray | type):
            found = _first(part, attribute)
            if found is not None:
                return found
    return None


@contextlib.contextmanager
def _unflattened(model: Any) -> Iterator[None]:
    """While it holds, votes are not flattened: how skl2onnx knows them; `predict` never is concerned."""
    voters = [part for part in walk(model) if getattr(part, "flatten_transform", False)]
    for one in voters:
        one.flatten_transform = False
    try:
        yield
    finally:
        for one in voters:
            one.flatten_transform = True


def _listed(columns: Any) -> list[Any]:
    return [columns] if isinstance(columns, str | int | slice) else list(columns)


def _column_type(field: Field, number: Any, types: Any, integers: bool) -> Any:
    if field.kind == "string":
        return types.StringTensorType
    if field.dtype in FLOATS or field.nullable or not integers:
        return number
    return types.Int64TensorType
