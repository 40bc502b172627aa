"""What a model's training data looked like: its data frame's columns, dtypes and missing values, or its array.

Known from data where there is some, else from the model's own memory of categories, else the plainest form. The frames
of a server are made by `fivefold.core.bundle.frame`, those of the witness here, from records: neither is its own proof.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fivefold.core.bundle.frame import FrameColumn
from fivefold.core.columns import Array, Columns
from fivefold.core.errors import BundleInvalid, ContractInvalid
from fivefold.core.fields.field import FLOATS, INTEGERS, Field
from fivefold.packing.estimators import walk
from fivefold.packing.frames import Seen
from fivefold.packing.libraries import require
from fivefold.packing.spelling import spelled

Layout = tuple[FrameColumn, ...]


def of_seen(columns: Mapping[str, Seen], fields: Sequence[Field]) -> Layout:
    """The columns of a data set that fill the fields; fields that it does not hold are left out."""
    known = spelled(fields, tuple(columns))
    found = {name: header for header, name in known.items()}
    out = []
    for field in fields:
        header = next((found[name] for name in (field.name, *field.aliases) if name in found), None)
        if header is not None:
            out.append(_column(field, header, columns[header]))
    return tuple(out)


def _column(field: Field, name: str, seen: Seen) -> FrameColumn:
    if field.shape:
        return FrameColumn(field.name, name, "object")
    if seen.dtype == "category":
        categories = seen.categories or ()
        if all(isinstance(value, str | int | float | bool) for value in categories):
            # What the contract allows beyond them is the model's to answer.
            more = [value for value in field.enum or () if value not in categories]
            return FrameColumn(field.name, name, "category", categories=(*categories, *more), ordered=seen.ordered)
        return FrameColumn(field.name, name, "object")
    if seen.dtype == "object":
        return FrameColumn(field.name, name, "object", seen.null)
    if seen.dtype in INTEGERS and field.nullable:
        # One null makes such a column floats, and no row may depend on the rows beside it.
        return FrameColumn(field.name, name, "float64")
    if seen.dtype == "bool" and field.nullable:
        return FrameColumn(field.name, name, "object")
    return FrameColumn(field.name, name, seen.dtype)


def guessed(field: Field, name: str, model: Any, categorical: frozenset[str]) -> FrameColumn:
    """The column of a field of which no data is known: numbers and missing ones as pandas reads them from a file."""
    if name in categorical:
        if field.enum is None:
            raise BundleInvalid(
                f"the model takes {name!r} as a pandas category, and its categories are not known",
                help=f"give the training data: --golden DATA or --draft-from DATA; or an enum to inputs.{field.name}",
            )
        return FrameColumn(field.name, name, "category", categories=tuple(field.enum))
    if field.shape:
        return FrameColumn(field.name, name, "object")
    if field.kind == "int" and not field.nullable:
        return FrameColumn(field.name, name, field.dtype)
    if field.numeric:
        return FrameColumn(field.name, name, "float64")
    if field.kind == "bool" and not field.nullable:
        return FrameColumn(field.name, name, "bool")
    return FrameColumn(field.name, name, "object", "none" if knows_none(model) else "nan")


def knows_none(model: Any) -> bool:
    """Whether the model's training data said None for what is missing, as an encoder or an imputer of it remembers."""
    for step in walk(model):
        if getattr(step, "missing_values", np.nan) is None:
            return True
        for categories in getattr(step, "categories_", None) or ():
            if any(value is None for value in np.asarray(categories, object).ravel()):
                return True
    return False


def categorical_columns(model: Any) -> frozenset[str]:
    """The columns that a booster inside the model knows as pandas categories."""
    found: set[str] = set()
    for step in walk(model):
        try:
            booster = step.get_booster() if hasattr(step, "get_booster") else getattr(step, "booster_", step)
        except ValueError:  # not fitted
            continue
        root = type(booster).__module__.partition(".")[0]
        if root == "xgboost" and getattr(booster, "feature_types", None):
            names = booster.feature_names or ()
            found.update(name for name, kind in zip(names, booster.feature_types, strict=True) if kind == "c")
        elif root == "lightgbm" and getattr(booster, "pandas_categorical", None):
            names = booster.feature_name()
            found.update(names[index] for index in _lightgbm_categories(booster) if index < len(names))
    return frozenset(found)


def _lightgbm_categories(booster: Any) -> list[int]:
    for line in booster.model_to_string(num_iteration=1).splitlines():
        if line.startswith("[categorical_feature: "):
            return [int(part) for part in line[len("[categorical_feature: ") : -1].split(",") if part.strip().isdigit()]
    return []


@dataclass(frozen=True)
class InputForm:
    """The form in which a model takes rows.

    `frame`: a data frame of `layout`. `array`: one 2-D array of the scalar `fields`, of `dtype`. `field`: the array of
    one field as it is, or as floats or objects where null has to be said.
    """

    kind: str
    fields: tuple[Field, ...]
    layout: Layout = ()
    dtype: str = ""
    none: bool = False

    @property
    def null(self) -> Any:
        """What a missing value is in an array."""
        return None if self.none else np.nan

    def describe(self) -> str:
        """The form in words."""
        if self.kind == "frame":
            return "a data frame with the columns, dtypes and missing values of training"
        if self.kind == "array":
            return f"an array of {len(self.fields)} columns ({self.dtype}) as in training"
        return f"the values of the field {self.fields[0].name}"

    def rows(self, columns: Columns) -> Any:
        """The rows of legal columns in this form, made from their records."""
        return self._of(columns.to_records())

    def _of(self, records: Sequence[Mapping[str, Any]]) -> Any:
        fields = {field.name: field for field in self.fields}
        if self.kind == "frame":
            made = {
                column.name: _series([_value(fields[column.field], record) for record in records], column)
                for column in self.layout
            }
            return require("pandas").DataFrame(made)
        if self.kind == "array":
            out = np.empty((len(records), len(self.fields)), self.dtype)
            for at, field in enumerate(self.fields):
                for row, record in enumerate(records):
                    value = _value(field, record)
                    out[row, at] = self.null if value is None else value
            return out
        field = self.fields[0]
        values = [_nested(_value(field, record), self.null) for record in records]
        out = np.empty((len(records), *field.shape), self.dtype)
        for row, value in enumerate(values):
            out[row] = value
        return out


def _value(field: Field, record: Mapping[str, Any]) -> Any:
    value = record[field.name]
    return _decoded(value) if field.kind == "bytes" else value


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    return value if value is None else base64.b64decode(value)


def _nested(value: Any, null: Any) -> Any:
    if isinstance(value, list):
        return [_nested(item, null) for item in value]
    return null if value is None else value


def _series(values: list[Any], column: FrameColumn) -> Any:
    """A column of a data frame out of JSON values."""
    pandas = require("pandas")
    missing = {"nan": np.nan, "none": None, "na": pandas.NA}[column.null]
    dtype = column.dtype
    if any(isinstance(value, list) for value in values):
        out = np.empty(len(values), object)
        for row, value in enumerate(values):
            out[row] = np.array(_nested(value, np.nan))
        return pandas.Series(out, dtype=object)
    if dtype == "object":
        held = np.empty(len(values), object)
        held[:] = [missing if value is None else value for value in values]
        return pandas.Series(held, dtype=object)
    if dtype == "category":
        kind = pandas.CategoricalDtype(list(column.categories or ()), column.ordered)
        return pandas.Series(pandas.Categorical(values, dtype=kind))
    if dtype in FLOATS:
        return pandas.Series(np.array([np.nan if value is None else value for value in values], np.float64)).astype(
            dtype
        )
    return pandas.Series(values, dtype=dtype)


def form_of_array(fields: Sequence[Field], known: Layout, model: Any) -> InputForm:
    """One 2-D array of scalar fields: of the data's own dtype, else of float64 as Python's numbers are."""
    kinds = {field.kind for field in fields}
    if kinds & {"string", "bytes"}:
        return InputForm("array", tuple(fields), dtype="object", none=knows_none(model))
    there = {column.field: column.dtype for column in known if column.dtype in FLOATS}
    dtypes = [there.get(field.name, "float64" if field.kind == "float" else field.dtype) for field in fields]
    wide = np.result_type(*map(np.dtype, dtypes))
    if any(field.nullable for field in fields) and wide.kind != "f":
        wide = np.dtype(np.float64)
    return InputForm("array", tuple(fields), dtype=wide.name)


def form_of_field(field: Field, model: Any) -> InputForm:
    """The array of one field: an image, a block of features, one text a row."""
    if field.kind in ("string", "bytes"):
        return InputForm("field", (field,), dtype="object", none=knows_none(model))
    dtype = "float64" if field.nullable and field.kind != "float" else field.dtype
    return InputForm("field", (field,), dtype=dtype)


def form_of_frame(
    fields: Sequence[Field], names: Sequence[str] | None, known: Layout, model: Any, *, own: bool = True
) -> InputForm:
    """A data frame under the model's column names, else the data's, else the fields'."""
    by_field = {column.field: column for column in known}
    categorical = categorical_columns(model)
    layout = []
    for at, field in enumerate(fields):
        there = by_field.get(field.name)
        name = names[at] if names is not None else there.name if there and own else field.name
        if there is None:
            there = guessed(field, name, model, categorical)
        elif name in categorical and there.dtype != "category":
            if field.enum is None:
                raise ContractInvalid(
                    f"the model takes {name!r} as a pandas category, and in the data it is {there.dtype}",
                    path=f"inputs.{field.name}",
                    help="give the data as the model was trained on it (Parquet keeps categories), or an enum",
                )
            there = guessed(field, name, model, categorical)
        layout.append(replace(there, name=name) if there.name != name else there)
    return InputForm("frame", tuple(fields), tuple(layout))


def plain_array(answer: Any) -> Array:
    """A model's answer as an array: sparse matrices, data frames and lists become one."""
    if hasattr(answer, "toarray"):
        answer = answer.toarray()
    array = np.asarray(answer)
    if array.dtype == object and array.size and not isinstance(array.flat[0], str | bytes):
        array = np.array(array.tolist())
    return array
