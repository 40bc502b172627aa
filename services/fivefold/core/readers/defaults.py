"""What a row holds in an optional field that it does not give, for every reader the same cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fivefold.core.check.findings import Findings
from fivefold.core.columns import Array, Columns
from fivefold.core.fields.field import Field
from fivefold.core.readers.cells import rows_of_cells


class Defaults:
    """The default cell of each optional field, read once by the same rules as a given value."""

    def __init__(self, fields: Sequence[Field]) -> None:
        self.fields = tuple(fields)
        self._cells: dict[int, tuple[Any, Any]] = {}
        for index, field in enumerate(self.fields):
            if not field.required:
                findings = Findings(self.fields, 1)
                cell = rows_of_cells(findings, index, [field.default], [False])[0]
                null = findings.nulls.get(field.name)
                self._cells[index] = cell, None if null is None else null[0]

    def cell(self, index: int) -> Any:
        """The default of field `index`: a scalar or an array of the field's shape."""
        return self._cells[index][0]

    def null(self, index: int) -> Any:
        """Where that cell is null, for a field that has a mask of its nulls (`Field.null_is_value`), else None."""
        return self._cells[index][1]

    def fill(self, findings: Findings, index: int, array: Array, rows: Any) -> None:
        """Put the default, and whether it is null, into some rows of a column (a mask or positions)."""
        cell, null = self._cells[index]
        array[rows] = cell
        if null is not None:
            findings.nulls[self.fields[index].name][rows] = null

    def column(self, findings: Findings, index: int) -> Array:
        """The default in every row."""
        field, rows = self.fields[index], findings.rows
        cell, null = self._cells[index]
        out = np.empty((rows, *field.shape), field.numpy_dtype)
        out[:] = cell
        if null is not None:
            findings.nulls[field.name] = np.full(out.shape, null)
        return out

    def empty(self) -> Columns:
        """No rows at all."""
        arrays = {field.name: np.empty((0, *field.shape), field.numpy_dtype) for field in self.fields}
        return Columns(self.fields, arrays, 0)
