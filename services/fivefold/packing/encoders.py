"""OneHotEncoder, OrdinalEncoder and TargetEncoder as tables: a category's place, then what the encoder makes of it.

What stands in a table is asked of the encoder itself, one category after another, a missing and an unknown value among
them: infrequent categories, `drop`, `encoded_missing_value` and every `handle_unknown` come out as they are.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from fivefold.core.columns import Array
from fivefold.core.errors import BundleInvalid
from fivefold.packing import nulls
from fivefold.packing.libraries import require
from fivefold.packing.operators import ML, Writer, dtype_of, register, rows_of, set_shape

_UNKNOWN = "\ufdd1"
"""A text that no encoder was fitted on."""

Place = tuple[str, str, int | None]
"""Where a feature stands: tensor, dtype, column (None where the tensor has only one)."""


def register_encoders() -> None:
    """Teach skl2onnx this module's estimators."""
    preprocessing = require("sklearn.preprocessing")
    for model in (preprocessing.OneHotEncoder, preprocessing.OrdinalEncoder, preprocessing.TargetEncoder):
        register(model, _shape, _convert)


@dataclass(frozen=True)
class _Feature:
    """One encoded column: its known values, the place of null among them, and how many columns it becomes."""

    values: Array
    null: Any
    width: int
    start: int

    @property
    def text(self) -> bool:
        return any(isinstance(value, str) for value in self.values)


def _features(encoder: Any) -> list[_Feature]:
    out, start = [], 0
    null = nulls.current()
    for index, known in enumerate(encoder.categories_):
        values = np.asarray(known)
        text = any(isinstance(value, str) for value in values)
        size = _width(encoder, index)
        out.append(_Feature(values, null.value if text and null is not None else np.nan, size, start))
        start += size
    return out


def _width(encoder: Any, index: int) -> int:
    if hasattr(encoder, "_n_features_outs"):
        return int(encoder._n_features_outs[index])
    return len(encoder.classes_) if getattr(encoder, "target_type_", "") == "multiclass" else 1


def _shape(operator: Any) -> None:
    set_shape(operator, sum(feature.width for feature in _features(operator.raw_operator)))


def _convert(scope: Any, operator: Any, container: Any) -> None:
    encoder, write = operator.raw_operator, Writer(scope, operator, container)
    given = places(operator, len(encoder.categories_))
    parts = [encoded(write, encoder, index, given[index]) for index in range(len(given))]
    write.finish(parts[0] if len(parts) == 1 else write.node("Concat", parts, axis=1))


def encoded(write: Writer, encoder: Any, index: int, place: Place) -> str:
    """[rows, width]: what the encoder makes of its feature `index`, which stands at `place`."""
    feature = _features(encoder)[index]
    name, dtype = _column(write, place), place[1]
    known = [value for value in feature.values if not nulls.is_missing(value)]
    rows = _ask(encoder, index, [*known, _unknown(feature, known), feature.null], feature)
    if feature.text and dtype != "string":
        raise BundleInvalid(
            f"the {type(encoder).__name__} was fitted on texts in column {_name(encoder, index)}, and the contract has "
            f"a number",
            help='give that field "dtype": "string"',
        )
    found = (
        _text_place(write, name, [str(value) for value in known])
        if dtype == "string"
        else _number_place(write, name, dtype, [_number(value, encoder, index) for value in known])
    )
    return _looked_up(write, encoder, found, rows, feature.width)


def number(write: Writer, place: Place) -> str:
    """[rows, 1]: the number at `place`, in the writer's float type."""
    name = _column(write, place)
    return name if place[1] == write.floats else write.cast(name, write.floats)


def code(write: Writer, place: Place, categories: list[Any]) -> str:
    """[rows, 1]: the place among the categories of what stands at `place`; NaN for null and for another value."""
    name, dtype = _column(write, place), place[1]
    found = (
        _text_place(write, name, [str(value) for value in categories])
        if dtype == "string"
        else _number_place(write, name, dtype, [float(value) for value in categories])
    )
    table = np.array([*range(len(categories)), np.nan, np.nan], np.float64).reshape(-1, 1)
    return write.node("Gather", [write.constant(table), write.node("Reshape", [found, write.constant([-1], "int64")])])


def _column(write: Writer, place: Place) -> str:
    name, _, column = place
    return name if column is None else write.columns(name, [column])


def _name(encoder: Any, index: int) -> str:
    names = getattr(encoder, "feature_names_in_", None)
    return str(index) if names is None else repr(str(names[index]))


def places(operator: Any, count: int) -> list[Place]:
    """Where each of the operator's `count` features stands."""
    if len(operator.inputs) == 1:
        (given,) = operator.inputs
        return [(given.full_name, dtype_of(given), index if count > 1 else None) for index in range(count)]
    out: list[Place] = []
    for given in operator.inputs:
        size = given.type.shape[1] or 1
        out += [(given.full_name, dtype_of(given), index if size > 1 else None) for index in range(size)]
    assert len(out) == count  # skl2onnx has checked the features
    return out


def _number(value: Any, encoder: Any, index: int) -> float:
    if isinstance(value, bool | np.bool_ | int | float | np.number):
        return float(value)
    raise BundleInvalid(
        f"the {type(encoder).__name__} knows {value!r} in column {_name(encoder, index)}, a number in the contract",
        help='give that field "dtype": "string"',
    )


def _unknown(feature: _Feature, known: list[Any]) -> Any:
    if feature.text:
        return _UNKNOWN
    if feature.values.dtype == np.bool_:
        return None
    return max((float(value) for value in known), default=0.0) + 1


def _ask(encoder: Any, index: int, values: list[Any], feature: _Feature) -> list[Array | None]:
    """What the encoder makes of each value of one feature: [width], or None where it refuses the value."""
    base = [next((value for value in known if not nulls.is_missing(value)), np.nan) for known in encoder.categories_]
    kinds = [np.asarray(known).dtype for known in encoder.categories_]
    names = list(getattr(encoder, "feature_names_in_", range(len(base))))

    def asked(column: list[Any]) -> Array:
        frame = {
            name: _series(column if place == index else [base[place]] * len(column), kinds[place])
            for place, name in enumerate(names)
        }
        rows = encoder.transform(require("pandas").DataFrame(frame))
        picked = (
            rows[:, feature.start : feature.start + feature.width]
            if not hasattr(rows, "iloc")
            else (rows.iloc[:, feature.start : feature.start + feature.width].to_numpy())
        )
        return rows_of(picked)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        known = values[:-2]
        out: list[Array | None] = []
        for start in range(0, len(known), 256):
            out += list(asked(known[start : start + 256]))
        for value in values[-2:]:
            try:
                out += list(asked([value])) if value is not None or feature.text else [None]
            except Exception:
                out.append(None)
    return out


def _series(values: list[Any], kind: Any) -> Any:
    if kind.kind in "iub" and any(nulls.is_missing(value) for value in values):
        kind = np.dtype(np.float64) if kind.kind in "iu" else np.dtype(object)
    if kind.kind in "iu" and any(isinstance(value, float) for value in values):
        kind = np.dtype(np.float64)
    array = np.empty(len(values), object)
    array[:] = values
    return require("pandas").Series(
        array if kind.kind in "OUSb" else array.astype(kind), dtype=object if kind.kind in "OUS" else None
    )


def _text_place(write: Writer, name: str, known: list[str]) -> str:
    """[rows, 1] int64: the place among the known texts, one behind them for null, then one for every other text."""
    null = nulls.current()
    places = {text: place for place, text in enumerate(known)}
    if null is not None:
        # The reserved text is no row's value, so that a category that happens to be equal is never asked for.
        places[null.text] = len(known) + 1
    return write.node(
        "LabelEncoder",
        [name],
        domain=ML,
        keys_strings=list(places),
        values_int64s=list(places.values()),
        default_int64=len(known),
    )


def _number_place(write: Writer, name: str, dtype: str, known: list[float]) -> str:
    """[rows, 1] int64 like `_text_place`; NaN is null."""
    if dtype != write.floats:
        name = write.cast(name, write.floats)
    values = write.constant(np.array([known], np.float64).reshape(1, -1))
    equal = write.cast(write.node("Equal", [name, values]), "float32")
    null = write.cast(write.node("IsNaN", [name]), "float32")
    count = write.node("ReduceSum", [equal, write.constant([1], "int64")], keepdims=1)
    other = write.node("Sub", [write.constant([[1]], "float32"), write.node("Add", [count, null])])
    table = write.node("Concat", [equal, other, null], axis=1)
    return write.node("ArgMax", [table], axis=1, keepdims=1)


def _looked_up(write: Writer, encoder: Any, place: str, rows: list[Array | None], size: int) -> str:
    """[rows, size]: the encoder's answer for each place; zeros (one-hot) or NaN where the encoder refuses the value."""
    one_hot = hasattr(encoder, "_n_features_outs")
    flat = write.node("Reshape", [place, write.constant([-1], "int64")])
    if one_hot:
        # One column at most is hot: its number does, where a table would be as large as the square of the categories.
        hot = [size if row is None or not row.any() else int(np.argmax(row)) for row in rows]
        column = write.node("Gather", [write.constant(hot, "int64"), flat])
        depth, ends = write.constant(size + 1, "int64"), write.constant([0, 1], "float32")
        spread = write.node("OneHot", [column, depth, ends], axis=1)
        hot_columns = write.columns(spread, list(range(size)))
        # ONNX Runtime has no OneHot that gives float64.
        return hot_columns if write.floats == "float32" else write.cast(hot_columns, write.floats)
    table = np.array([np.full(size, np.nan) if row is None else row.reshape(-1) for row in rows], np.float64)
    return write.node("Gather", [write.constant(table), flat])
