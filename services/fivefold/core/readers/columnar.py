"""Values that are spelled by column, `{"field": [one value a row, …]}`, as TensorFlow Serving's clients do.

Codes and paths are those of the same values spelled as records. One cell is left to `cells`. Tables in memory come here
too, with a numpy array for a column where they have one: it means what the list of its values does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from fivefold.core.check.findings import Findings, Reading, describe
from fivefold.core.check.values import column
from fivefold.core.columns import Array, Columns
from fivefold.core.errors import ContractError
from fivefold.core.fields.field import Field
from fivefold.core.fields.suggestion import nearest
from fivefold.core.readers.cells import rows_of_cells
from fivefold.core.readers.defaults import Defaults
from fivefold.core.readers.exact_json import Watch
from fivefold.core.readers.instances import first_names


class Columnar:
    """The arrays of an object by their field, or the array alone where there is a single field.

    `names` leads to the fields' indices. Raises `ContractError` `malformed` for what is no such object, or where
    lengths disagree.
    """

    def __init__(self, fields: Sequence[Field], names: Mapping[str, int], inputs: Any) -> None:
        self._begin(fields, names)
        if isinstance(inputs, list) and len(self.fields) == 1:
            inputs = {self.fields[0].name: inputs}
        if not isinstance(inputs, dict):
            raise _malformed(f"expected an object with an array for each field, got {describe(inputs)}", "inputs")
        if not inputs and not any(field.required for field in self.fields):
            raise _malformed("expected one field at least: no field, no number of rows", "inputs")
        for name, values in inputs.items():
            self._name(name, values)

    @classmethod
    def of_table(
        cls,
        fields: Sequence[Field],
        names: Mapping[str, int],
        rows: int,
        columns: Sequence[tuple[str, list[Any] | Array]],
    ) -> Columnar:
        """The columns of a table that has so many rows, in its order; a name may be there twice."""
        out = cls.__new__(cls)
        out._begin(fields, names)
        for name, values in columns:
            out._name(name, values)
        out.rows = rows
        return out

    def _begin(self, fields: Sequence[Field], names: Mapping[str, int]) -> None:
        self.fields, self._names = tuple(fields), names
        self.rows = 0
        self._arrays: dict[int, list[Any] | Array] = {}
        self._unknown: list[str] = []
        self._doubled: set[int] = set()

    def _name(self, name: str, values: Any) -> None:
        index = self._names.get(name, -1)
        if index < 0:
            self._unknown.append(name)
        else:
            self._take(index, values)

    def _take(self, index: int, values: Any) -> None:
        path = f"inputs.{self.fields[index].name}"
        if not isinstance(values, list | np.ndarray):
            raise _malformed(f"expected an array with one value a row, got {describe(values)}", path)
        if not self._arrays:
            self.rows = len(values)
        elif len(values) != self.rows:
            raise _malformed(f"expected {self.rows} values as in the first field, got {len(values)}", path)
        if index in self._arrays:
            self._doubled.add(index)
        self._arrays[index] = values

    def reading(self, defaults: Defaults, watch: Watch | None = None) -> Reading:
        """The columns of the good rows, and everything that was found."""
        findings, every = Findings(self.fields, self.rows), range(self.rows)
        for name in first_names(self._unknown):
            help = partial(nearest, name, self._names)
            findings.name("unknown_field", len(self.fields), name, every, "no such field", help)
        arrays = {}
        for index, field in enumerate(self.fields):
            if watch is not None:
                watch.look()
            values = None if index in self._doubled else self._arrays.get(index)
            if values is None and index not in self._doubled and not field.required:
                arrays[field.name] = defaults.column(findings, index)
                continue
            if values is None:
                twice = index in self._doubled
                message = "given under two of its names" if twice else "expected a value, got nothing"
                findings.name("duplicate_field" if twice else "missing_field", index, field.name, every, message)
            if isinstance(values, np.ndarray):
                plain = _plain(field, values)
                if plain is not None:
                    arrays[field.name] = column(findings, index, plain)
                    continue
                values = values.tolist()
            absent = values is None
            arrays[field.name] = rows_of_cells(findings, index, values or [None] * self.rows, [absent] * self.rows)
        return findings.reading(Columns(self.fields, arrays, self.rows))


def _plain(field: Field, values: Array) -> Array | None:
    """An array that is checked as it is with what the list of its values would be: of the field's family and shape."""
    kind = values.dtype.kind
    if values.shape[1:] != field.shape or values.dtype.itemsize > 8:
        return None
    if field.kind == "float" and kind in "fiu":
        # A number becomes binary64 first, whatever it came as.
        return values.astype(np.float64, copy=False)
    if field.kind == "int" and kind in "iu":
        info = np.iinfo(field.dtype)
        inside = not values.size or (int(values.min()) >= int(info.min) and int(values.max()) <= int(info.max))
        return values.astype(field.dtype, copy=False) if inside else None
    return values if field.kind == "bool" and kind == "b" else None


def _malformed(message: str, path: str) -> ContractError:
    return ContractError("malformed", message, path=path)


def spelled_by_column(columns: Columns) -> Any:
    """Answers as TensorFlow Serving spells them: an array for each output, or the one output's alone."""
    lists = columns.to_lists()
    return lists if len(lists) > 1 else next(iter(lists.values()))
