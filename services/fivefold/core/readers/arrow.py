"""Arrow record batches to columns: Parquet, and tables in memory.

A column outside the contract is ignored and named in `ignored`; a required column that is missing refuses every row.
Types do not bind: any numeric column converts under the contract's rules, families never mix.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fivefold.core.check.findings import Findings, Mask, Reading
from fivefold.core.check.values import column, every_cell, expected, refuse_nulls
from fivefold.core.columns import Array, Columns
from fivefold.core.fields.field import Field
from fivefold.core.readers.arrow_numpy import to_numpy
from fivefold.core.readers.cells import flatten, refuse_shape, rows_of_cells
from fivefold.core.readers.decimals import decimals
from fivefold.core.readers.defaults import Defaults
from fivefold.core.readers.encodings import plain

if TYPE_CHECKING:
    import pyarrow as pa


class Arrow:
    """Reads `pyarrow.RecordBatch`es under a list of fields."""

    def __init__(self, fields: Sequence[Field]) -> None:
        self.fields = tuple(fields)
        self._defaults = Defaults(self.fields)

    def ignored(self, names: Sequence[str]) -> list[str]:
        """The column names that no field answers to."""
        known = {name for field in self.fields for name in (field.name, *field.aliases)}
        return [name for name in names if name not in known]

    def read(self, batch: pa.RecordBatch) -> Reading:
        rows = batch.num_rows
        findings = Findings(self.fields, rows)
        names = batch.schema.names
        arrays = {}
        for index, field in enumerate(self.fields):
            present = [name for name in (field.name, *field.aliases) if name in names]
            if len(present) > 1 or (present and names.count(present[0]) > 1):
                findings.name("duplicate_field", index, field.name, range(rows), "given under two of its names")
                arrays[field.name] = _blank(field, rows)
            elif present:
                found = self._column(findings, index, batch.column(names.index(present[0])))
                arrays[field.name] = _blank(field, rows) if found is None else found
            elif field.required:
                findings.name("missing_field", index, field.name, range(rows), "expected a column, got nothing")
                arrays[field.name] = _blank(field, rows)
            else:
                arrays[field.name] = self._defaults.column(findings, index)
        return findings.reading(Columns(self.fields, arrays, rows))

    def _column(self, findings: Findings, index: int, values: Any) -> Array | None:
        import pyarrow as pa

        field = self.fields[index]
        values = plain(values)
        kind = values.type
        if pa.types.is_null(kind):
            return rows_of_cells(findings, index, [None] * findings.rows, [False] * findings.rows)
        if field.shape:
            return self._shaped(findings, index, values)
        if not _same_family(field, kind):
            every_cell(findings, index, "wrong_type", f"expected {expected(field)}, got a column of {_named(kind)}")
            return None
        if pa.types.is_decimal(kind):
            nulls = to_numpy(values.is_null())
            refuse_nulls(findings, index, nulls)
            return decimals(findings, index, values, nulls, nulls.shape, nulls)
        if not values.null_count:
            return column(findings, index, _source(field, values, None))
        nulls = to_numpy(values.is_null())
        refuse_nulls(findings, index, nulls)
        return column(findings, index, _source(field, values, nulls), nulls)

    def _shaped(self, findings: Findings, index: int, values: Any) -> Array | None:
        """A list column: all of it at once where its lists are as long as the contract says, else row by row."""
        import pyarrow as pa
        import pyarrow.compute as pc

        field = self.fields[index]
        leaf = _leaf(values.type)
        if pa.types.is_null(leaf):
            return rows_of_cells(findings, index, values.to_pylist(), [False] * findings.rows)
        if not _same_family(field, leaf):
            every_cell(
                findings, index, "wrong_type", f"expected {expected(field)}, got a column of {_named(values.type)}"
            )
            return None
        inner, sizes = values, []
        while _is_list(inner.type) and not inner.null_count:
            lengths = pc.unique(pc.list_value_length(inner))
            if len(lengths) != 1:
                break
            sizes.append(lengths[0].as_py())
            inner = plain(inner.flatten())
        hidden = np.zeros((findings.rows, *field.shape), np.bool_)
        if _is_list(inner.type) or (tuple(sizes) != field.shape and sizes != [field.size]):
            inner = self._elements(findings, index, values, leaf, hidden)
        nulls = to_numpy(inner.is_null())
        refuse_nulls(findings, index, nulls.reshape(hidden.shape) & ~hidden)
        skip = nulls.reshape(hidden.shape) | hidden
        if pa.types.is_decimal(leaf):
            return decimals(findings, index, inner, nulls, hidden.shape, skip)
        source = _source(field, inner, nulls).reshape(hidden.shape)
        return column(findings, index, source, skip if skip.any() else None)

    def _elements(self, findings: Findings, index: int, values: Any, leaf: Any, hidden: Mask) -> Any:
        """The elements of lists of any lengths as one flat Arrow array; rows that were refused are `hidden`."""
        import pyarrow as pa

        field = self.fields[index]
        absent = to_numpy(values.is_null())
        refuse_nulls(findings, index, absent)
        hidden[absent] = not field.nullable
        flat: list[Any] = []
        for row, value in enumerate(values.to_pylist()):
            elements = flatten(value, field.shape) if isinstance(value, list) else None
            if elements is None:
                elements = [None] * field.size
                if value is not None:
                    refuse_shape(findings, index, row, value)
                    hidden[row] = True
            flat.extend(elements)
        return pa.array(flat, leaf)


def _blank(field: Field, rows: int) -> Array:
    """What stands in a column that was refused: never seen, since every one of its rows is bad."""
    return np.zeros((rows, *field.shape), field.numpy_dtype)


def _is_list(kind: Any) -> bool:
    import pyarrow as pa

    types = pa.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _leaf(kind: Any) -> Any:
    """The type of a column's values, or of its lists' innermost elements."""
    import pyarrow as pa

    types = pa.types
    while (
        _is_list(kind)
        or types.is_dictionary(kind)
        or types.is_run_end_encoded(kind)
        or types.is_list_view(kind)
        or types.is_large_list_view(kind)
    ):
        kind = kind.value_type
    return kind


def _named(kind: Any) -> str:
    """A type as a message names it: of a wide struct its beginning."""
    text = str(kind)
    return text if len(text) <= 120 else f"{text[:120]}…"


def _same_family(field: Field, kind: Any) -> bool:
    import pyarrow as pa

    if field.numeric:
        return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))
    if field.kind == "bool":
        return bool(pa.types.is_boolean(kind))
    if field.kind == "string":
        return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_binary_view(kind)
    )


def _source(field: Field, values: Any, nulls: Array | None) -> Array:
    """A typed numpy array with something harmless under the nulls; None where there are none."""
    import pyarrow as pa

    if field.numeric or field.kind == "bool":
        if nulls is not None and nulls.any():
            import pyarrow.compute as pc

            values = pc.fill_null(values, False if field.kind == "bool" else 0)
        source = to_numpy(values)
        if field.kind == "float" and nulls is not None and nulls.any():
            # In a nullable float null is NaN; what stands under a refused null does not matter.
            source = np.where(nulls, np.nan, source.astype(np.float64, copy=False))
        return source
    out = np.empty(len(values), object)
    try:
        out[:] = values.to_pylist()
    except UnicodeDecodeError:
        # A file may call text what is none: as bytes, each cell is told apart by the rules.
        out[:] = values.cast(pa.large_string()).view(pa.large_binary()).to_pylist()
    return out
