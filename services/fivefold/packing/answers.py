"""What a model's methods answer, found by asking: names, dtypes, shapes, and the output fields of a draft."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fivefold.core.columns import Array
from fivefold.core.errors import BundleInvalid
from fivefold.core.fields.field import DTYPES, Field
from fivefold.packing.graph import Port
from fivefold.packing.libraries import require
from fivefold.packing.training import plain_array

_NAMES = {
    "predict": "prediction",
    "predict_proba": "probabilities",
    "decision_function": "scores",
    "score_samples": "log_density",
    "transform": "transformed",
}
_FIELDS = {"probabilities": "probability", "scores": "score"}
_INSTEAD = ("transform", "predict_proba", "decision_function", "kneighbors", "score_samples")
"""What a model without `predict` is for, the likeliest first."""
_MOST_CLASSES = 1000


@dataclass(frozen=True)
class WrappedAnswer:
    """One array that a model gives: its method, the item where the method gives several, dtype and shape of a row, the
    classes that it names, and whether NaN or an infinity was among the values."""

    name: str
    method: str
    item: int | None
    dtype: str
    shape: tuple[int, ...]
    classes: tuple[Any, ...] | None = None
    nan: bool = False
    infinite: bool = False

    @property
    def port(self) -> Port:
        """As an output that a contract's field can be bound to."""
        return Port(self.name, self.dtype, (None, *self.shape))


def item(answer: Any, index: int | None) -> Array:
    """One item of a method's answer, or the whole, as an array."""
    return plain_array(answer if index is None else answer[index])


def answers(model: Any, method: str, answer: Any, rows: int) -> list[WrappedAnswer]:
    """The arrays in what a method answered to `rows` rows."""
    classes = _classes(model)
    several = _several(answer, rows)
    if not several:
        array = plain_array(answer)
        name = _NAMES.get(method, method)
        if method == "predict" and (classes is not None or _labels(model)):
            name = "label"
            classes = (-1, 1) if classes is None and _kind(model) == "outlier_detector" else classes
        own = (
            classes if classes and not isinstance(classes[0], list) and method in ("predict", "predict_proba") else None
        )
        return [_answer(name, method, None, array, rows, own)]
    names = ("distances", "indices") if method == "kneighbors" else None
    out = []
    for index, part in enumerate(answer):
        name = names[index] if names else f"{_NAMES.get(method, method)}_{index}"
        own = tuple(classes[index]) if classes and isinstance(classes[0], list) else None
        out.append(_answer(name, method, index, plain_array(part), rows, own))
    return out


def _several(answer: Any, rows: int) -> bool:
    """Whether an answer is a list or a tuple of arrays, one a target, and not one of rows."""
    if isinstance(answer, tuple):
        return True
    if not isinstance(answer, list) or not answer:
        return False
    return all(isinstance(part, np.ndarray) and part.ndim > 0 and len(part) == rows for part in answer) and (
        len(answer) != rows or answer[0].ndim > 1
    )


def _answer(
    name: str, method: str, index: int | None, array: Array, rows: int, classes: tuple[Any, ...] | None
) -> WrappedAnswer:
    if array.ndim == 0 or len(array) != rows:
        raise BundleInvalid(
            f"the model's {method} gives shape {list(array.shape)} for {rows} rows, and a row has one answer",
            help="pack a model that answers row by row, or write module:Class with predict(columns)",
        )
    floats = array if array.dtype.kind == "f" else np.empty(0)
    nan, infinite = bool(np.isnan(floats).any()), bool(np.isinf(floats).any())
    return WrappedAnswer(name, method, index, _dtype(array), tuple(map(int, array.shape[1:])), classes, nan, infinite)


def _dtype(array: Array) -> str:
    """The dtype under its contract name; what has none there is described."""
    if array.dtype.kind in "UT":
        return "string"
    if array.dtype.kind == "S":
        return "bytes"
    if array.dtype == object:
        kinds = {type(value) for value in array.ravel()}
        return "string" if kinds <= {str, np.str_} else "bytes" if kinds == {bytes} else "object"
    if array.dtype == np.longdouble:
        return "float64"
    return array.dtype.name


def _classes(model: Any) -> tuple[Any, ...] | None:
    """The classes of a classifier; a list of lists where it has several targets."""
    try:
        classes = getattr(model, "classes_", None)
    except Exception:  # a property of the author's own
        return None
    if classes is None or not len(classes):
        return None
    if isinstance(classes, list) and isinstance(classes[0], np.ndarray | list):
        return tuple(np.asarray(part).tolist() for part in classes)
    flat = np.asarray(classes)
    return tuple(flat.tolist()) if flat.ndim == 1 else None


def _labels(model: Any) -> bool:
    """Whether `predict` names a class, a cluster, or an outlier."""
    return callable(getattr(model, "predict_proba", None)) or _kind(model) in (
        "classifier",
        "clusterer",
        "outlier_detector",
    )


def _kind(model: Any) -> str | None:
    """What scikit-learn calls the kind of an estimator."""
    kind = getattr(model, "_estimator_type", None)
    with contextlib.suppress(Exception):  # an object without tags, or those of another version
        kind = kind or require("sklearn.utils").get_tags(model).estimator_type
    return kind


def ports(found: Sequence[WrappedAnswer]) -> list[Port]:
    """The answers as outputs to bind."""
    return [answer.port for answer in found]


def chief(found: Sequence[WrappedAnswer]) -> list[WrappedAnswer]:
    """What a model is asked for first: the label with its probabilities, else its score; or what there is."""
    by_method: dict[str, list[WrappedAnswer]] = {}
    for answer in found:
        by_method.setdefault(answer.method, []).append(answer)
    chosen = list(by_method.get("predict", ()))
    labelled = any(answer.name.startswith("label") for answer in chosen)
    if labelled or not chosen:
        more = ("predict_proba", "decision_function") if chosen else _INSTEAD
        rest = next((by_method[method] for method in more if method in by_method), [])
        if not (chosen and rest and rest[0].method == "decision_function" and _multiclass(rest[0])):
            chosen += rest
    return chosen


def drafted(model: Any, found: Sequence[WrappedAnswer]) -> tuple[Field, ...]:
    """The output fields of a draft."""
    fields = tuple(_field(answer) for answer in chief(found) if answer.dtype in DTYPES)
    if not fields:
        given = ", ".join(f"{answer.name} ({answer.dtype})" for answer in found)
        raise BundleInvalid(
            f"the {type(model).__name__} answers {given}, which no contract can hold",
            help="write module:Class with predict(columns) that gives numbers, text or booleans",
        )
    return fields


def _multiclass(answer: WrappedAnswer) -> bool:
    return len(answer.shape) > 1


def _field(answer: WrappedAnswer) -> Field:
    name, _, number = answer.name.partition("_") if answer.name.startswith("probabilities_") else (answer.name, "", "")
    name = _FIELDS.get(name, name) + (f"_{number}" if number else "")
    shape = answer.shape if answer.shape != (1,) else ()
    plain = Field(name, answer.dtype, shape, nullable=answer.nan and not answer.infinite, allow_nan=answer.infinite)
    if answer.method == "predict_proba":
        names = tuple(map(str, answer.classes)) if answer.classes and len(shape) == 1 else ()
        labels = names if shape and len(names) == shape[0] and len(set(names)) == len(names) else ()
        return replace(plain, minimum=0, maximum=1, labels=labels)
    if answer.method == "predict" and answer.classes and not shape and len(answer.classes) <= _MOST_CLASSES:
        kind = {"string": str}.get(answer.dtype, int if answer.dtype.startswith(("int", "uint")) else None)
        if kind is not None and all(type(value) is kind for value in answer.classes):
            return replace(plain, enum=answer.classes)
    return plain
