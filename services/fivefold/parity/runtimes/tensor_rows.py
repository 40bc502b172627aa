"""Rows as tensors: which rows have a spelling as such, and how they are spelled for JSON and in typed arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fivefold.core import oip_tensors
from fivefold.core.columns import Array
from fivefold.core.fields.field import ABSENT, Field
from fivefold.core.readers.records import Records
from fivefold.parity.question_rows import Question


class TensorRows:
    """The tensors of rows under some fields."""

    def __init__(self, fields: Sequence[Field]) -> None:
        self._fields = {name: field for field in fields for name in (field.name, *field.aliases)}
        self._open = {name: Records((_without_rules(field),)) for name, field in self._fields.items()}

    def kind(self, question: Question) -> tuple[str, ...]:
        """Rows of one kind have the same tensors."""
        record = question.record
        return tuple(sorted(record)) if isinstance(record, dict) else ()

    def in_json(self, question: Question) -> bool:
        """Whether the row is one of named cells, none of which is nested otherwise than its tensor says."""
        record = question.record
        return isinstance(record, dict) and all(
            _shape_of(value) == (self._fields[name].shape if name in self._fields else ())
            for name, value in record.items()
        )

    def json_tensors(self, group: Sequence[Question]) -> list[dict[str, Any]]:
        """The tensors of a V2 body, their cells as the records have them. FP16 has no JSON: FP64 holds its values."""
        out = []
        for name in group[0].record:
            field = self._fields.get(name)
            datatype = "FP64" if field is None or field.dtype == "float16" else oip_tensors.NAMES[field.dtype]
            shape = [len(group), *(field.shape if field else ())]
            cells = [question.record[name] for question in group]
            out.append({"name": name, "datatype": datatype, "shape": shape, "data": cells})
        return out

    def typed(self, question: Question) -> bool:
        """Whether each cell is a value of its field's dtype, so that an array holds it as it is."""
        record = question.record
        return isinstance(record, dict) and all(self._is_typed(name, value) for name, value in record.items())

    def _is_typed(self, name: str, value: Any) -> bool:
        field = self._fields.get(name)
        if field is None:
            return isinstance(value, int | float) and not isinstance(value, bool)
        if field.null_is_value and _has_null(value):
            return False
        return not self._open[name].read([{name: value}]).violations

    def arrays(self, group: Sequence[Question]) -> Iterator[tuple[str, str, Array]]:
        """Name, datatype and array of each tensor."""
        for name in group[0].record:
            cells = [{name: question.record[name]} for question in group]
            field = self._fields.get(name)
            if field is None:
                yield name, "FP64", np.array([cell[name] for cell in cells], np.float64)
                continue
            columns = self._open[name].read(cells).accept()
            yield name, oip_tensors.NAMES[field.dtype], columns[field.name]


def _without_rules(field: Field) -> Field:
    """The field's dtype, shape and null alone: what an array can hold, legal or not."""
    bare = Field(field.name, field.dtype, field.shape, nullable=field.nullable, null_value=field.null_value)
    return replace(bare, aliases=field.aliases, default=ABSENT)


def _shape_of(value: Any) -> tuple[int, ...] | None:
    """The shape of nested lists of scalars; None where they are ragged or hold objects."""
    if isinstance(value, Mapping):
        return None
    if not isinstance(value, list):
        return ()
    inner = {_shape_of(item) for item in value}
    if len(inner) > 1 or None in inner:
        return None
    return (len(value), *(inner.pop() if inner else ()))  # type: ignore[misc]  # None is looked for above


def _has_null(value: Any) -> bool:
    return any(map(_has_null, value)) if isinstance(value, list) else value is None
