"""Golden rows: the rows of a probe that travel in the bundle and judge every server that opens it.

They are typical rows, evenly spaced, and a few rows each of what is rare: nulls, categories, odd text. They are written
as JSON, so rows with NaN or an infinity that is not null stay behind, and rows of large arrays are few.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fivefold.core.columns import Columns
from fivefold.core.contract.contract import Contract
from fivefold.core.fields.field import Field
from fivefold.packing.generated import Mask
from fivefold.packing.golden import GOLDEN_LEAST, GOLDEN_MADE, GOLDEN_MOST
from fivefold.packing.probe import Probe
from fivefold.packing.special import spread

GOLDEN_BYTES = 8 << 20
"""JSON of all golden rows, about; two rows are kept even where they take more."""
_NULL_FIELDS = 12
_VALUES = 8
_TEXTS = 4
_JSON = {"bool": 6, "int": 12, "float": 20, "string": 40, "bytes": 40}
"""Characters of one value in JSON, about."""


@dataclass(frozen=True)
class Kept:
    """Golden rows, where they come from in words, and notes for the report."""

    columns: Columns
    source: str
    notes: tuple[str, ...] = ()


def keep(probe: Probe, contract: Contract) -> Kept:
    """1 to 256 golden rows: at least 32 unless rows are large, 64 where all are made, otherwise of the data first."""
    affordable = max(GOLDEN_BYTES // _json_bytes((*contract.inputs, *contract.outputs)), 2)
    notes = [] if affordable >= GOLDEN_LEAST else [f"rows are large: {affordable} golden rows are kept"]
    fit = _in_json(probe.columns)
    spans = {sort: [row for row in probe.span(sort) if fit[row]] for sort in probe.sorts}
    if probe.data is None:
        most = min(GOLDEN_MADE, affordable)
        usual = _picked(probe.columns, spans.get("made", []))
        extra = _extra(probe.columns, spans, usual.slice(0, most), most // 2)
        main = usual.slice(0, most - len(extra))
        kept = [main, _picked(probe.columns, extra)]
        return Kept(_joined(kept), "made from the contract", tuple(notes))
    most = min(GOLDEN_MOST, affordable)
    clean = _in_json(probe.data.columns)
    usual = probe.data.columns if clean.all() else probe.data.columns.take(clean)
    extra = _extra(probe.columns, spans, _even(usual, most), most // 2)
    main = _even(usual, most - len(extra))
    missing = min(GOLDEN_LEAST, affordable) - main.rows - len(extra)
    fill = [row for row in spans.get("made", []) if row not in extra][: max(missing, 0)]
    source = probe.data.source
    if fill:
        count = probe.data.columns.rows
        notes.append(f"{source} has {count} legal rows; the rest of {GOLDEN_LEAST} are made from the contract")
    if fill or any(row not in probe.span("data") for row in extra):
        source = f"{source} and made from the contract"
    kept = [main, _picked(probe.columns, extra), _picked(probe.columns, fill)]
    return Kept(_joined(kept), source, tuple(notes))


def _joined(parts: Sequence[Columns]) -> Columns:
    return Columns.concat([part for part in parts if part.rows])


def _picked(columns: Columns, rows: Sequence[int]) -> Columns:
    return columns.take(np.array(rows, np.int64))


def _even(columns: Columns, most: int) -> Columns:
    return columns if columns.rows <= most else _picked(columns, spread(range(columns.rows), most))


def _json_bytes(fields: Sequence[Field]) -> int:
    return sum(field.size * _JSON[field.kind] for field in fields)


def _in_json(columns: Columns) -> Mask:
    """The rows that JSON can spell."""
    fit = np.ones(columns.rows, np.bool_)
    for field in columns.fields:
        if field.kind == "float" and (field.allow_nan or field.nullable):
            spelled = np.isfinite(columns[field.name]) | columns.nulls(field.name)
            fit &= spelled.reshape(columns.rows, -1).all(axis=1)
    return fit


def _extra(columns: Columns, spans: Mapping[str, list[int]], usual: Columns, most: int) -> list[int]:
    """Positions of rows that show what `usual` does not: nulls of each field and of all, rare values, odd text."""
    found = spans.get("all null", [])[:1]
    order = [row for sort in ("data", "null", "all null", "made", "many") for row in spans.get(sort, ())]
    lacking = [field for field in columns.fields if field.nullable and not usual.nulls(field.name).any()]
    for field in lacking[:_NULL_FIELDS]:
        held: Mask = np.any(columns.nulls(field.name).reshape(columns.rows, -1), axis=1)
        found += [row for row in order if held[row]][:1]
    found += _values(columns, spans, usual)
    found += spread(spans.get("text", []), _TEXTS)
    return list(dict.fromkeys(found))[:most]


def _values(columns: Columns, spans: Mapping[str, list[int]], usual: Columns) -> list[int]:
    """Rows with values of enumerations that no usual row holds, the data's own before others."""
    found: list[int] = []
    for field in columns.fields:
        if field.enum is None or field.shape:
            continue
        met = set(usual[field.name].tolist())
        values, nulls = columns[field.name].tolist(), columns.nulls(field.name)
        for row in (*spans.get("data", ()), *spans.get("value", ())):
            if not nulls[row] and values[row] not in met:
                met.add(values[row])
                found.append(row)
    return found[:_VALUES]
