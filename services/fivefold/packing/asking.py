"""A fitted estimator is asked: by a frame as its training saw it, or by an array; and what its answers look like.

The first form of the rows that the estimator takes is the one that it is asked in from then on. Which fields its
features are is found by `features`, what training held by `frames`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from fivefold.core.columns import Array, Columns
from fivefold.core.errors import BundleInvalid, first_line
from fivefold.core.fields.field import Field
from fivefold.packing import frames
from fivefold.packing.estimators import walk
from fivefold.packing.features import Features
from fivefold.packing.frames import Seen
from fivefold.packing.libraries import require


class Witness:
    """The original estimator, asked for `features` under the forms that its training data may have had.

    `text` says that it reads one text a row, as a vectoriser does, `framed` that it was fitted on a data frame.
    """

    def __init__(self, model: Any, features: Features, columns: Mapping[str, Seen], *, text: bool, framed: bool):
        self.model = model
        self.features = features
        self._text = text
        parts = list(walk(model))
        self._forms: list[Any]
        if text or features.block or not framed:
            first = frames.text_null(parts)
            self._forms = [frames.missing(null) for null in dict.fromkeys((first, "nan", "none"))]
        else:
            self._forms = list(frames.layouts(features.fields, features.columns, columns, parts))
        self._framed = framed

    def ask(self, method: str, columns: Columns) -> Any:
        """What `method` of the estimator answers. Raises `BundleInvalid` where it fails in every form."""
        reason: Exception | None = None
        for place, form in enumerate(self._forms):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    answer = getattr(self.model, method)(self._given(form, columns))
            except Exception as err:
                reason = reason or err
                continue
            if place:
                self._forms.insert(0, self._forms.pop(place))
            return answer
        raise BundleInvalid(
            f"the original model fails on a row that the contract allows: {first_line(reason or Exception())}",
            help="tighten the contract (enum, minimum, maximum, nullable), or give rows with --golden DATA",
        ) from reason

    def text_null(self) -> Any:
        """What the estimator gets for a text that is null."""
        form = self._forms[0]
        if not isinstance(form, tuple):
            return form
        for column, field in zip(form, self.features.fields, strict=True):
            if field.kind == "string" and field.nullable:
                na = column.dtype == "string" or (column.dtype == "object" and column.null == "na")
                return frames.missing("na" if na else column.null if column.dtype == "object" else "nan")
        return np.nan

    def _given(self, form: Any, columns: Columns) -> Any:
        if self._text:
            (field, *_) = self.features.fields
            values = columns[field.name]
            if not columns.nulls(field.name).any():
                return values
            values = values.copy()
            values[columns.nulls(field.name)] = form
            return values
        if self._framed:
            return self.features.frame(columns, form if isinstance(form, tuple) else ())
        return self.features.array(columns, form)


def drafted(witness: Witness, sample: Columns) -> tuple[Field, ...]:
    """The output fields of the estimator, as its answers to `sample` (at least one row) show them."""
    model = witness.model
    base = require("sklearn.base")
    if hasattr(model, "predict"):
        answer = np.asarray(witness.ask("predict", sample))
        if base.is_classifier(model):
            return (_label(answer, classes(model)), *_probabilities(witness, sample))
        if base.is_outlier_detector(model):
            score = (Field("score", "float32"),) if hasattr(model, "decision_function") else ()
            return (Field("label", "int64", enum=(-1, 1)), *score)
        if hasattr(model, "predict_proba"):
            count = int(np.asarray(witness.ask("predict_proba", sample)).shape[1])
            return (_label(answer, [np.arange(count)]), *_probabilities(witness, sample))
        if base.is_clusterer(model):
            known = np.arange(model.n_clusters) if hasattr(model, "n_clusters") else None
            label = _label(answer, None if known is None else [known])
            if not hasattr(model, "transform"):
                return (label,)
            return label, _numbers("distances", np.asarray(witness.ask("transform", sample)), "float32")
        return (_numbers("prediction", answer, "float64"),)
    if hasattr(model, "transform"):
        answer = witness.ask("transform", sample)
        values = np.asarray(answer.toarray() if hasattr(answer, "toarray") else answer)
        return (_numbers("values", values, "float64"),)
    raise BundleInvalid(
        f"a {type(model).__name__} has neither predict nor transform",
        help="give a model that answers rows it has not seen, or pack a class: module:Class",
    )


def classes(model: Any) -> list[Array] | None:
    """The classes of each of the classifier's outputs; None where it does not keep them."""
    known = getattr(model, "classes_", None)
    if known is None:
        return None
    return [np.asarray(one) for one in known] if isinstance(known, list) else [np.asarray(known)]


def _label(answer: Array, known: list[Array] | None) -> Field:
    dtype = label_dtype(answer)
    shape = tuple(int(size) for size in answer.shape[1:] if size != 1) if answer.ndim > 1 else ()
    if known is None or dtype in ("bool", "float64"):
        return Field("label", dtype, shape)
    if shape and len(known) == 1 and {int(value) for value in known[0]} == set(range(shape[0])):
        # A multilabel classifier's classes count its columns, each of which is 0 or 1.
        known = [np.array([0, 1])]
    values = dict.fromkeys(_plain(value, dtype) for one in known for value in one)
    return Field("label", dtype, shape, enum=tuple(values))


def _plain(value: Any, dtype: str) -> Any:
    return str(value) if dtype == "string" else int(value)


def label_dtype(answer: Array) -> str:
    """A label's dtype in a contract: whole numbers are int64, also those that the model spells 1.0."""
    kind = answer.dtype.kind
    if kind == "b":
        return "bool"
    if kind in "iu":
        return "int64"
    if kind == "O" and all(isinstance(value, bool | np.bool_) for value in answer.ravel()):
        return "bool"
    try:
        numbers = answer.astype(np.float64)
    except (TypeError, ValueError):
        return "string"
    if kind in "US" or (kind == "O" and any(isinstance(value, str) for value in answer.ravel())):
        return "string"
    return "int64" if np.array_equal(numbers, np.round(numbers)) else "float64"


def _probabilities(witness: Witness, sample: Columns) -> tuple[Field, ...]:
    if not hasattr(witness.model, "predict_proba"):
        return ()
    answer = witness.ask("predict_proba", sample)
    known = classes(witness.model)
    if isinstance(answer, list):
        return tuple(
            _probability(f"probability_{index}", np.asarray(one), None if known is None else known[index])
            for index, one in enumerate(answer)
        )
    one = None if known is None or len(known) != 1 else known[0]
    return (_probability("probability", np.asarray(answer), one),)


def _probability(name: str, answer: Array, known: Array | None) -> Field:
    count = int(answer.shape[1])
    labels = tuple(str(value) for value in known) if known is not None and len(known) == count else ()
    return Field(name, "float32", (count,), minimum=0, maximum=1, labels=labels)


def _numbers(name: str, answer: Array, dtype: str) -> Field:
    shape = tuple(int(size) for size in answer.shape[1:])
    if answer.dtype.kind in "OUS" and any(isinstance(value, str) for value in answer.ravel()):
        dtype = "string"
    return Field(name, dtype, () if shape == (1,) else shape)
