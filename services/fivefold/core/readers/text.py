"""CSV cells to columns: text in, the same rules.

A cell is None (an empty unquoted cell: null) or text. Numbers follow JSON's grammar, booleans are `true` and `false`,
bytes are base64, arrays are JSON. Cutting a file into cells is left to the batch pattern.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from fivefold.core.check.findings import Findings, Reading
from fivefold.core.columns import Columns
from fivefold.core.errors import ContractError
from fivefold.core.fields.field import Field
from fivefold.core.readers.cells import rows_of_cells
from fivefold.core.readers.defaults import Defaults
from fivefold.core.readers.exact_json import Literal, loads

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)((?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\Z")


class Text:
    """Reads rows of cells under a list of fields; columns that no field answers to are ignored."""

    def __init__(self, fields: Sequence[Field]) -> None:
        self.fields = tuple(fields)
        self._defaults = Defaults(self.fields)

    def read(self, header: Sequence[str], rows: Sequence[Sequence[str | None]]) -> Reading:
        """Read rows under a header. A row with another number of cells than the header is `malformed`."""
        findings = Findings(self.fields, len(rows))
        width = len(header)
        torn = [len(row) != width for row in rows]
        for row, is_torn in enumerate(torn):
            if is_torn:
                findings.row(row, f"expected {width} cells, got {len(rows[row])}")
        arrays = {}
        for index, field in enumerate(self.fields):
            places = [at for at, name in enumerate(header) if name == field.name or name in field.aliases]
            if len(places) == 1:
                at = places[0]
                values = [None if torn[row] else _value(field, cells[at]) for row, cells in enumerate(rows)]
                arrays[field.name] = rows_of_cells(findings, index, values, torn)
            elif not places and not field.required:
                arrays[field.name] = self._defaults.column(findings, index)
            else:
                code = "duplicate_field" if places else "missing_field"
                message = "given under two of its names" if places else "expected a column, got nothing"
                findings.name(code, index, field.name, range(len(rows)), message)
                arrays[field.name] = np.zeros((len(rows), *field.shape), field.numpy_dtype)
        return findings.reading(Columns(self.fields, arrays, len(rows)))


def _value(field: Field, cell: str | None) -> Any:
    """The JSON value that a cell spells; text that spells none stays text, which the field's type then refuses."""
    if cell is None:
        return None
    if field.shape:
        try:
            return loads(cell.encode("utf-8", "surrogatepass"))
        except ContractError:
            return cell
    if field.numeric:
        number = _NUMBER.match(cell)
        if number is None:
            return cell
        return Literal.parse(cell) if number.group(1) or len(cell) > 400 else int(cell)
    if field.kind == "bool":
        return {"true": True, "false": False}.get(cell, cell)
    return cell
