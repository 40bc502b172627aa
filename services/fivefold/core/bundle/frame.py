"""Columns as the data frame that a model was trained on: its column names, its dtypes, its way to say null.

A bundle's manifest may hold the layout (`FrameColumn`s), so that a Python model is asked with what its training data
held. Finding the layout out of a training frame is left to packing, asking the model to `python_runner`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np

from fivefold.core.bundle.binding import refused
from fivefold.core.columns import Array, Columns, narrow
from fivefold.core.errors import ContractError
from fivefold.core.fields.field import FLOATS, INTEGERS, Field
from fivefold.core.fields.suggestion import nearest

if TYPE_CHECKING:
    import pandas as pd

Category = str | int | float | bool


class FrameColumn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One column of the data frame and the contract field that fills it.

    `dtype` is pandas' name of the dtype (`float64`, `Int64`, `boolean`, `object`, `str`, `category`, ...). `null` is
    what a missing value is in an object column: NaN, None or `pd.NA`; every other dtype has its own. `categories` and
    `ordered` belong to the dtype `category`, in the order of its codes.
    """

    field: str
    name: str
    dtype: str
    null: Literal["nan", "none", "na"] = "nan"
    categories: tuple[Category, ...] | None = None
    ordered: bool = False


def default_layout(fields: Sequence[Field]) -> tuple[FrameColumn, ...]:
    """The layout under which no value of the fields is lost: integers and booleans that may be null in pandas' own
    nullable dtypes, text and bytes as objects with None for null, arrays as objects, all else in its own dtype."""
    return tuple(FrameColumn(field.name, field.name, _own_dtype(field), "none") for field in fields)


def _own_dtype(field: Field) -> str:
    if field.shape or field.kind in ("string", "bytes"):
        return "object"
    if not field.nullable or field.kind == "float":
        return field.dtype
    return "boolean" if field.kind == "bool" else _own_nullable(field.dtype)


def _own_nullable(dtype: str) -> str:
    """pandas' nullable dtype of a number's width."""
    return {"float16": "Float32"}.get(dtype) or ("UI" + dtype[2:] if dtype[0] == "u" else dtype.capitalize())


def check_layout(layout: Sequence[FrameColumn], fields: Sequence[Field]) -> None:
    """Refuse a layout that does not fit the contract's inputs: `BundleInvalid` at bundle.json, which says where."""
    known = {field.name: field for field in fields}
    filled: set[str] = set()
    named: set[str] = set()
    for index, column in enumerate(layout):
        where = f"frame[{index}]"
        field = known.get(column.field)
        if field is None:
            message = f"the contract has no input field {column.field!r}"
            raise refused(f"{where}.field", message, nearest(column.field, known))
        if column.field in filled:
            raise refused(f"{where}.field", f"the field {column.field!r} fills two columns")
        if column.name in named:
            raise refused(f"{where}.name", f"two columns are named {column.name!r}")
        filled.add(column.field)
        named.add(column.name)
        if field.shape and column.dtype != "object":
            message = f"{column.field!r} has shape {list(field.shape)}: a column of arrays is of dtype object"
            raise refused(f"{where}.dtype", f"{message}, not {column.dtype}")
        if (column.dtype == "category") != (column.categories is not None):
            message = "a column has categories where its dtype is category, and only there"
            raise refused(f"{where}.categories", message)
        if column.categories is not None and len(set(column.categories)) != len(column.categories):
            raise refused(f"{where}.categories", "the same category twice")


def frame(columns: Columns, layout: Sequence[FrameColumn]) -> pd.DataFrame:
    """The rows as the training frame held them, one column for each of the layout, under a plain row index.

    Null is what the dtype has for it: NaN in floats and categories, `pd.NA` in pandas' nullable dtypes, `null` in
    objects. A numpy integer cannot be null: such a column becomes float64 where there is a null, as in pandas. A number
    that the column's integer dtype cannot hold keeps its field's own dtype. An array field gives an object column of
    arrays. Raises `ContractError` `not_in_enum` for a value outside of a column's categories, and `ImportError`
    without pandas.
    """
    import pandas as pd

    fields = {field.name: field for field in columns.fields}
    made = {column.name: _column(columns, fields[column.field], column) for column in layout}
    return pd.DataFrame(made, index=pd.RangeIndex(columns.rows), columns=[column.name for column in layout], copy=True)


def _column(columns: Columns, field: Field, column: FrameColumn) -> Any:

    values, nulls, dtype = np.asarray(columns[field.name]), columns.nulls(field.name), column.dtype
    empty = not nulls.any()
    if field.shape:
        return _arrays(field, values, nulls, column)
    if dtype == "object":
        return _objects(values, nulls, _missing(column))
    if dtype == "category":
        return _categories(field, values, nulls, column)
    if dtype in FLOATS:
        if field.kind in ("string", "bytes"):
            return _objects(values, nulls, None).astype(np.dtype(dtype))
        return _with_nan(values, nulls, np.dtype(dtype))
    if dtype == "bool" and field.kind == "bool":
        return values if empty else _objects(values, nulls, _missing(column))
    if dtype in INTEGERS and field.kind not in ("string", "bytes"):
        if not empty:
            return _with_nan(values, nulls, np.dtype(np.float64))
        with np.errstate(invalid="ignore"):
            narrowed = values.astype(dtype)
        return narrowed if np.array_equal(narrowed, values) else values
    return _extension(values, nulls, dtype)


def _missing(column: FrameColumn) -> Any:
    import pandas as pd

    return {"nan": np.nan, "none": None, "na": pd.NA}[column.null]


def _objects(values: Array, nulls: Array, missing: Any) -> pd.Series[Any]:
    """Python objects as a column, of dtype object whatever pandas would make of them."""
    import pandas as pd

    return pd.Series(_with(values, nulls, missing), dtype=object)


def _with(values: Array, nulls: Array, missing: Any) -> Array:
    out = values.astype(object)
    out[nulls] = missing
    return out


def _with_nan(values: Array, nulls: Array, dtype: np.dtype[Any]) -> Array:
    out = np.array(narrow(values, dtype))
    out[nulls] = np.nan
    return out


def _extension(values: Array, nulls: Array, dtype: str) -> Any:
    """A column in one of pandas' own dtypes, or in whatever else pandas makes of the values."""
    import pandas as pd

    kind: Any = pd.api.types.pandas_dtype(dtype)
    if isinstance(kind, np.dtype):
        if kind.kind in "US":
            # `str` is a dtype of its own from pandas 3 on; before it, text was an object column.
            return _objects(values, nulls, np.nan)
        return _objects(values, nulls, None).astype(kind)
    if values.dtype.kind in "iuf":
        # What stands under a null need not fit the dtype, and NaN is refused before it is told to be null.
        values = np.where(nulls, values.dtype.type(0), values)
    try:
        out = pd.array(values, dtype=kind, copy=True)
    except (TypeError, ValueError, OverflowError):
        if values.dtype.kind not in "iuf":
            raise
        kind = pd.api.types.pandas_dtype(_own_nullable(values.dtype.name))
        out = pd.array(values, dtype=kind, copy=True)
    if nulls.any():
        out[nulls] = kind.na_value
    return out


def _categories(field: Field, values: Array, nulls: Array, column: FrameColumn) -> Any:
    import pandas as pd

    assert column.categories is not None  # check_layout
    known = column.categories
    if field.kind == "float":
        # A category is compared as the data is: rounded once to the field's own dtype.
        known = tuple(narrow(np.array(known, np.float64), np.dtype(field.dtype)).tolist())
    code = {value: index for index, value in enumerate(known)}
    codes = np.full(len(values), -1, np.int64)
    for row, (value, null) in enumerate(zip(values.tolist(), nulls.tolist(), strict=True)):
        if null:
            continue
        found = code.get(value)
        if found is None:
            shown = ", ".join(map(repr, column.categories[:6])) + (", …" if len(known) > 6 else "")
            raise ContractError(
                "not_in_enum",
                f"expected one of the categories that the model was trained with ({shown}), got {value!r:.60}",
                path=f"inputs.{field.name}[{row}]",
                help="name them as the field's enum in the contract",
            )
        codes[row] = found
    categories: Any = list(column.categories)
    return pd.Categorical.from_codes(codes, categories=categories, ordered=column.ordered)


def _arrays(field: Field, values: Array, nulls: Array, column: FrameColumn) -> pd.Series[Any]:
    """One array a row; where integers may be null they are float64 in every row: no row depends on another."""
    import pandas as pd

    if field.nullable and field.kind == "int":
        values = _with_nan(values, nulls, np.dtype(np.float64))
    elif field.nullable and field.kind != "float":
        values = _with(values, nulls, _missing(column))
    out = np.empty(len(values), object)
    for row, value in enumerate(values):
        out[row] = np.array(value)
    return pd.Series(out, dtype=object)
