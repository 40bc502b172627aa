"""Rows of a contract as a library of Avro's writes them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import fastavro

from fivefold.core.fields.field import Field
from fivefold.core.readers.records import Records
from fivefold.exports import avro


def row_of(fields: Sequence[Field], record: Any) -> dict[str, Any]:
    """A record as an Avro writer takes it: typed, under Avro's names, decimals where long is too short."""
    columns = Records(fields).read([record]).accept()
    names = avro.field_names(fields)
    out = {}
    for field in fields:
        nulls = columns.nulls(field.name)
        decimal = isinstance(_bare(avro.avro_type(field, "x")), dict) and field.dtype == "uint64"

        def cell(value: Any, null: Any, decimal: bool = decimal) -> Any:
            if isinstance(value, list):
                return [cell(*pair) for pair in zip(value, null, strict=True)]
            return None if null else Decimal(value) if decimal else value

        out[names[field.name]] = cell(columns[field.name].tolist()[0], nulls.tolist()[0])
    return out


def _bare(kind: Any) -> Any:
    while True:
        if isinstance(kind, list):
            kind = next(branch for branch in kind if branch != "null")
        elif isinstance(kind, dict) and kind["type"] == "array":
            kind = kind["items"]
        else:
            return kind


def written(schema: Any, row: dict[str, Any]) -> io.BytesIO:
    """The bytes of a row under its writer's schema."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, row, strict=True)
    out.seek(0)
    return out
