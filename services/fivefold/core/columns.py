"""Columns: field name to numpy array, the unit of work of every pattern.

The readers make columns and the scorer turns one into another; both only ever hold values that are legal under their
fields. Turning wire data into columns is left to `fivefold.core.readers`.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fivefold.core.fields.field import Field

Array = npt.NDArray[Any]
Nulls = npt.NDArray[np.bool_]


class Columns(Mapping[str, Array]):
    """An ordered mapping of field name to an array of shape [rows, *field.shape].

    Arrays have the field's own dtype; text and bytes are object arrays of `str` and `bytes`. Null is NaN in a nullable
    float and the field's `null_value` elsewhere. Where `null_value` is also a value (`Field.null_is_value`) a mask
    tells the two apart: `nulls` maps such fields to bool arrays of the column's shape. Without a mask, as in a model's
    answer, a value equal to `null_value` is null. Scalar fields that the reader decoded together share one 2-D block,
    so that a model with one stacked input is fed without a copy.
    """

    __slots__ = ("_arrays", "_blocks", "_nulls", "fields", "rows")

    def __init__(
        self,
        fields: Sequence[Field],
        arrays: Mapping[str, Array],
        rows: int,
        blocks: Mapping[tuple[str, ...], Array] | None = None,
        nulls: Mapping[str, Nulls] | None = None,
    ) -> None:
        self.fields = tuple(fields)
        self.rows = rows
        self._arrays = dict(arrays)
        self._blocks = dict(blocks or {})
        self._nulls = dict(nulls) if nulls else {}

    @classmethod
    def of_block(cls, fields: Sequence[Field], names: tuple[str, ...], block: Array) -> Columns:
        """Columns of scalar fields that are the columns of one [rows, fields] block; views are made when asked for."""
        return cls(fields, {}, len(block), {names: block})

    def __getitem__(self, name: str) -> Array:
        try:
            return self._arrays[name]
        except KeyError:
            for names, block in self._blocks.items():
                if name in names:
                    return self._arrays.setdefault(name, block[:, names.index(name)])
            raise

    def __iter__(self) -> Iterator[str]:
        return (field.name for field in self.fields)

    def __len__(self) -> int:
        return len(self.fields)

    def __repr__(self) -> str:
        return f"Columns({self.rows} rows: {', '.join(self)})"

    def nulls(self, name: str) -> Nulls:
        """Where the column holds null: bool, the column's shape."""
        mask = self._nulls.get(name)
        return self._mask(next(field for field in self.fields if field.name == name)) if mask is None else mask

    def _mask(self, field: Field) -> Nulls:
        mask = self._nulls.get(field.name)
        return null_mask(field, self[field.name]) if mask is None else mask

    def with_nulls(self, nulls: Mapping[str, Nulls]) -> Columns:
        """The same columns under masks that a reader has found."""
        return Columns(self.fields, self._arrays, self.rows, self._blocks, self._nulls | dict(nulls))

    def renamed(
        self, fields: Sequence[Field], names: Renaming, more: Mapping[str, Array], nulls: Mapping[str, Nulls]
    ) -> Columns:
        """Columns of other fields: those of `names` as they are here, the rest from `more`; `nulls` are masks."""
        plan, alone = names.of_blocks(tuple(self._blocks))
        blocks: dict[Names, Array] = {}
        for olds, kept, places in plan:
            block = self._blocks[olds]
            blocks[kept] = block if places is None else block[:, places]
        arrays = dict(more)
        for name, old in alone:
            arrays[name] = self[old]
        return Columns(fields, arrays, self.rows, blocks, nulls)

    def block(self, names: Sequence[str], dtype: npt.DTypeLike) -> Array:
        """The named scalar columns side by side: C-ordered, shape [rows, len(names)], of `dtype`.

        The very block that the reader built where it has that order and dtype, otherwise one copy. Under a float
        `dtype` null is NaN, whatever the field's own dtype.
        """
        names = tuple(names)
        found = self._blocks.get(names)
        if found is None:
            target = np.dtype(dtype)
            found = np.empty((self.rows, len(names)), target)
            # Floats are rounded once where they are put down; one guard for all of them.
            with np.errstate(over="ignore"):
                for index, name in enumerate(names):
                    array = self[name]
                    plain = target.kind == "f" and array.dtype.char in _BINARY
                    found[:, index] = array if plain else narrow(array, target)
            if target.kind == "f":
                # By name, once: to look for each of a thousand fields among the thousand would be a million looks.
                nullable = {field.name: field for field in self.fields if field.nullable and field.kind != "float"}
                for index, name in enumerate(names):
                    if name in nullable:
                        found[self._mask(nullable[name]), index] = np.nan
            return found
        return np.ascontiguousarray(narrow(found, np.dtype(dtype)))

    def take(self, index: Array) -> Columns:
        """The rows that a boolean mask or an array of positions selects."""
        blocks = {names: block[index] for names, block in self._blocks.items()}
        in_blocks = {name for names in blocks for name in names}
        arrays = {name: self[name][index] for name in self if name not in in_blocks}
        rows = int(index.sum()) if index.dtype == np.bool_ else len(index)
        nulls = {name: mask[index] for name, mask in self._nulls.items()}
        return Columns(self.fields, arrays, rows, blocks, nulls)

    def slice(self, start: int, stop: int) -> Columns:
        """Rows `start` to `stop`, as views."""
        stop = min(stop, self.rows)
        blocks = {names: block[start:stop] for names, block in self._blocks.items()}
        in_blocks = {name for names in blocks for name in names}
        arrays = {name: self[name][start:stop] for name in self if name not in in_blocks}
        nulls = {name: mask[start:stop] for name, mask in self._nulls.items()}
        return Columns(self.fields, arrays, max(stop - start, 0), blocks, nulls)

    @classmethod
    def concat(cls, parts: Sequence[Columns]) -> Columns:
        """The rows of several columns of the same fields, in order."""
        if len(parts) == 1:
            return parts[0]
        first = parts[0]
        shared = [names for names in first._blocks if all(names in part._blocks for part in parts)]
        blocks = {names: np.concatenate([part._blocks[names] for part in parts]) for names in shared}
        in_blocks = {name for names in shared for name in names}
        arrays = {name: np.concatenate([part[name] for part in parts]) for name in first if name not in in_blocks}
        masked = set().union(*(part._nulls for part in parts))
        nulls = {name: np.concatenate([part.nulls(name) for part in parts]) for name in first if name in masked}
        return cls(first.fields, arrays, sum(part.rows for part in parts), blocks, nulls)

    def to_lists(self) -> dict[str, list[Any]]:
        """Each column as JSON values, nested by shape: null for nulls, base64 for bytes."""
        nulls = self._nulls
        return {field.name: json_values(field, self[field.name], nulls.get(field.name)) for field in self.fields}

    def to_list(self, field: Field) -> list[Any]:
        """One column as JSON values, nested by shape."""
        return json_values(field, self[field.name], self._nulls.get(field.name))

    def to_records(self) -> list[dict[str, Any]]:
        """One JSON object a row, fields in contract order."""
        lists = self.to_lists()
        names = tuple(lists)
        return [dict(zip(names, row, strict=True)) for row in zip(*lists.values(), strict=True)]

    def equals(self, other: Columns) -> bool:
        """Whether both hold the same fields, rows, bits (NaN equals NaN) and nulls."""
        return (
            tuple(self) == tuple(other)
            and self.rows == other.rows
            and all(_same(self[name], other[name]) for name in self)
            and all(np.array_equal(self.nulls(name), other.nulls(name)) for name in self._nulls | other._nulls)
        )


Names = tuple[str, ...]


class Renaming:
    """Which new column is which old one; what it means for blocks is worked out once for each layout."""

    __slots__ = ("_plans", "old")

    def __init__(self, old: Mapping[str, str]) -> None:
        """`old` maps new names to old ones, each of which is there once."""
        self.old = dict(old)
        self._plans: dict[
            tuple[Names, ...], tuple[list[tuple[Names, Names, list[int] | None]], list[tuple[str, str]]]
        ] = {}

    def of_blocks(
        self, layout: tuple[Names, ...]
    ) -> tuple[list[tuple[Names, Names, list[int] | None]], list[tuple[str, str]]]:
        """For blocks of these columns: (old names, new names, places in it or None for all), and (new, old) for those
        columns that are in none."""
        found = self._plans.get(layout)
        if found is None:
            new = {name: other for other, name in self.old.items()}
            plan: list[tuple[Names, Names, list[int] | None]] = []
            placed: set[str] = set()
            for olds in layout:
                places = [place for place, old in enumerate(olds) if old in new]
                kept = tuple(new[olds[place]] for place in places)
                if kept:
                    plan.append((olds, kept, None if len(places) == len(olds) else places))
                    placed.update(kept)
            alone = [(name, old) for name, old in self.old.items() if name not in placed]
            found = self._plans[layout] = plan, alone
        return found


def narrow(array: Array, dtype: np.dtype[Any]) -> Array:
    """`array` as `dtype`, rounded once from binary64, without numpy's warning where a value overflows to infinity."""
    if array.dtype == dtype:
        return array
    return _rounded(array, dtype) if dtype.kind == "f" else array.astype(dtype)


# As a decorator it costs half of what it costs in a `with`.
@np.errstate(over="ignore")
def _rounded(array: Array, dtype: np.dtype[Any]) -> Array:
    wide = array if array.dtype.char in _BINARY else array.astype(np.float64)
    return wide.astype(dtype, copy=False)


_BINARY = "efd"
"""The codes of binary16, binary32 and binary64: every value of theirs is one of binary64 too."""


def null_mask(field: Field, array: Array) -> Nulls:
    """Where `array` holds the field's null, by its values alone."""
    if not field.nullable:
        return np.zeros(array.shape, np.bool_)
    if field.kind == "float":
        return np.isnan(array)
    # As an object: numpy would take text or bytes for a fixed-width string and drop its trailing NULs.
    null = np.empty((), array.dtype)
    null[()] = field.null
    return np.asarray(array == null, np.bool_)


def json_values(field: Field, array: Array, nulls: Nulls | None = None) -> list[Any]:
    """A column as JSON values, nested by the field's shape; null by its values where no mask is given."""
    values: list[Any]
    if not field.nullable and field.dtype != "bytes":
        values = array.tolist()
        return values
    if field.kind == "bytes":
        flat = [base64.b64encode(value).decode("ascii") for value in array.ravel()]
        out = np.array([*flat, None], object)[:-1].reshape(array.shape)
    else:
        out = array
    if field.nullable and (mask := null_mask(field, array) if nulls is None else nulls).any():
        out = out.astype(object)
        out[mask] = None
    values = out.tolist()
    return values


def _same(left: Array, right: Array) -> bool:
    return (
        left.dtype == right.dtype
        and left.shape == right.shape
        and bool(np.array_equal(left, right, equal_nan=left.dtype.kind == "f"))
    )
