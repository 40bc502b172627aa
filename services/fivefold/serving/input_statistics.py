"""What came in, in numbers: for each input field values, nulls, a histogram or counts by enumeration, and refusals.

Nothing of a single value is kept but the least and the greatest number: text that no enumeration lists is counted and
not looked at, and neither are arrays. Requests that were answered are put by, and counted many at a time, column by
column; of a request with more than `LOOKED_AT` rows so many are looked at, evenly spread. One event loop does all of
it. What is counted is of one process; adding up several is left to whoever reads the metrics.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from fivefold.core.columns import Array, Columns
from fivefold.core.errors import ContractError
from fivefold.core.telemetry import describe, log

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from fivefold.core.fields.field import Field
    from fivefold.serving.repository import Model

LOOKED_AT: Final = 1024
"""Rows of one request that are looked at."""

PUT_BY: Final = 256
"""Requests that are counted together, or `LOOKED_AT` rows of them."""

BUCKETS: Final = 10
"""Of a number between two bounds, all as wide."""

EDGES: Final = (-1e6, -1e4, -1e2, -1.0, 0.0, 1.0, 1e2, 1e4, 1e6)
"""Between the buckets of a number without two bounds."""

CATEGORIES: Final = 20
"""Values of an enumeration that are told, the most frequent ones."""

FIELDS_IN_METRICS: Final = 256
"""Fields of one model that the metrics name, the first ones of its contract."""


class FieldStatistics:
    """What came in for one field."""

    def __init__(self, field: Field) -> None:
        self.field = field
        self.values = self.nulls = self.not_finite = 0
        self.least: float | int | None = None
        self.greatest: float | int | None = None
        self.counts: Counter[Any] = Counter()
        self.listed = not field.shape and (field.kind == "bool" or field.enum is not None)
        self.number = not field.shape and field.numeric and not self.listed
        self.edges = _edges(field)
        self.buckets = np.zeros(len(self.edges) + 1, np.int64)

    def add(self, values: Array, nulls: Array | None) -> None:
        """Count a column of scalars."""
        self.values += len(values)
        if nulls is not None and nulls.any():
            self.nulls += int(np.count_nonzero(nulls))
            values = values[~nulls]
        if self.listed:
            self.counts.update(values.tolist())
        elif self.number and len(values):
            self._add_numbers(values)

    def _add_numbers(self, values: Array) -> None:
        low, high = values.min().item(), values.max().item()
        self.least = low if self.least is None else min(self.least, low)
        self.greatest = high if self.greatest is None else max(self.greatest, high)
        places = np.searchsorted(self.edges, values.astype(np.float64), "right")
        self.buckets += np.bincount(places, minlength=len(self.buckets))

    def to_json(self) -> dict[str, Any]:
        """`name, values`, and where they apply `nulls, not_finite, minimum, maximum, buckets` or `categories`."""
        out: dict[str, Any] = {"name": self.field.name, "values": self.values}
        if not self.field.shape:
            out["nulls"] = self.nulls
        if self.listed:
            names = {_key(self.field, value): value for value in self.field.enum or (False, True)}
            told = self.counts.most_common(CATEGORIES)
            out["categories"] = [{"value": names.get(value, value), "count": count} for value, count in told]
        elif self.number:
            out |= {"not_finite": self.not_finite, "minimum": self.least, "maximum": self.greatest}
            below = [*map(float, self.edges), None]
            out["buckets"] = [
                {"below": edge, "count": int(count)} for edge, count in zip(below, self.buckets, strict=True)
            ]
        return out


class _NumberBlock:
    """Fields of numbers that binary64 holds, counted side by side: a few operations for all of them."""

    def __init__(self, fields: Sequence[FieldStatistics]) -> None:
        self.fields = fields
        self._names = [each.field.name for each in fields]
        self._nullable = [(at, each.field.name) for at, each in enumerate(fields) if each.field.nullable]
        self._edges = np.stack([each.edges for each in fields], axis=1)
        self._rows = 0
        self._nulls = np.zeros(len(fields), np.int64)
        self._finite = np.zeros(len(fields), np.int64)
        self._least = np.full(len(fields), np.inf)
        self._greatest = np.full(len(fields), -np.inf)
        buckets = len(self._edges) + 1
        self._buckets = np.zeros((len(fields), buckets), np.int64)
        """What is not finite reaches no edge, and is in the first of them too."""
        self._offsets = np.arange(len(fields)) * buckets

    def add(self, columns: Columns, index: Array | None) -> None:
        """Count columns, or the rows of `index`."""
        block = columns.block(self._names, np.float64)
        if index is not None:
            block = block[index]
        self._rows += len(block)
        for at, name in self._nullable:
            nulls = columns.nulls(name)
            self._nulls[at] += np.count_nonzero(nulls if index is None else nulls[index])
        finite = np.isfinite(block)
        if finite.all():
            self._finite += len(block)
            np.minimum(self._least, block.min(axis=0), out=self._least)
            np.maximum(self._greatest, block.max(axis=0), out=self._greatest)
        else:
            self._finite += np.count_nonzero(finite, axis=0)
            np.minimum(self._least, np.where(finite, block, np.inf).min(axis=0), out=self._least)
            np.maximum(self._greatest, np.where(finite, block, -np.inf).max(axis=0), out=self._greatest)
            block = np.where(finite, block, np.nan)
        places = np.zeros(block.shape, np.int64)
        for edges in self._edges:
            places += block >= edges
        places += self._offsets
        self._buckets += np.bincount(places.ravel(), minlength=self._buckets.size).reshape(self._buckets.shape)

    def tell(self) -> None:
        """Bring the fields' own statistics up to date."""
        for at, each in enumerate(self.fields):
            each.values, each.nulls = self._rows, int(self._nulls[at])
            each.not_finite = int(self._rows - self._finite[at] - self._nulls[at])
            each.buckets = self._buckets[at].copy()
            each.buckets[0] -= self._rows - self._finite[at]
            if self._finite[at]:
                each.least, each.greatest = (
                    _number(each.field, self._least[at]),
                    _number(each.field, self._greatest[at]),
                )


def _number(field: Field, value: np.float64) -> float | int:
    return int(value) if field.kind == "int" else float(value)


def _edges(field: Field) -> Array:
    low, high = field.minimum, field.maximum
    if low is None or high is None or low >= high:
        return np.array(EDGES)
    return np.linspace(float(low), float(high), BUCKETS + 1)[1:-1]


def _key(field: Field, value: Any) -> Any:
    """A value of the enumeration as a column holds it: a float of few bits is another number in more of them."""
    return np.dtype(field.dtype).type(value).item() if field.kind == "float" else value


class ReceivedInputs:
    """What came in for one model, under its own contract version."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.since = time.time()
        self.rows = self.looked_at = 0
        self.refusals: Counter[tuple[str, str]] = Counter()
        fields = model.contract.inputs
        self._scalars = [FieldStatistics(field) for field in fields if not field.shape]
        together = [each for each in self._scalars if each.number and each.field.dtype not in ("int64", "uint64")]
        self._block = _NumberBlock(together) if together else None
        self._alone = [each for each in self._scalars if each not in together]
        self._arrays = [FieldStatistics(field) for field in fields if field.shape]
        self._order = {field.name: at for at, field in enumerate(fields)}
        # Arrays and text may be large, or lie in a request's own bytes: they are not kept until their turn comes.
        self._keeps = all(each.number or each.listed for each in self._scalars) and not self._arrays
        self._put_by: list[Columns] = []
        self._waiting = 0
        self._failed = False

    def answered(self, columns: Columns) -> None:
        """The columns of a request that was answered."""
        if self._keeps and columns.rows < LOOKED_AT:
            self._put_by.append(columns)
            self._waiting += columns.rows
            if self._waiting >= LOOKED_AT or len(self._put_by) >= PUT_BY:
                self._count_put_by()
            return
        self._count([columns])

    def refused(self, error: ContractError) -> None:
        """A request that its data has ended: each code counts once for each field that is told with it."""
        told = {(each.code, each.path) for each in error.details} or {(error.code, error.path)}
        self.refusals.update({(code, self._field(path)) for code, path in told})

    def _field(self, path: str) -> str:
        """The field that a path names; "" for what is none of the contract's."""
        name = path[7:] if path.startswith("inputs.") else ""
        while name and name not in self._order:
            name = name[: name.rfind("[")] if "[" in name else ""
        return name

    def fields(self) -> list[FieldStatistics]:
        """Every field as it stands, in the contract's order."""
        self._count_put_by()
        if self._block is not None:
            self._block.tell()
        return sorted([*self._scalars, *self._arrays], key=lambda each: self._order[each.field.name])

    def to_json(self) -> dict[str, Any]:
        """`since` (seconds from 1970 on), `rows, looked_at, fields, refusals`."""
        fields = [each.to_json() for each in self.fields()]
        refusals = [
            {"code": code, "field": field, "requests": count} for (code, field), count in self.refusals.most_common()
        ]
        return {
            "since": self.since,
            "rows": self.rows,
            "looked_at": self.looked_at,
            "fields": fields,
            "refusals": refusals,
        }

    def _count_put_by(self) -> None:
        if self._put_by:
            parts, self._put_by, self._waiting = self._put_by, [], 0
            self._count(parts)

    def _count(self, parts: list[Columns]) -> None:
        """Count requests. What goes wrong here is told once, and no request hears of it."""
        try:
            self._add(parts)
        except Exception as error:
            if not self._failed:
                name = {"model": self.model.name, "version": self.model.version}
                log(logging.ERROR, {"event": "input_statistics"} | name | describe(error))
            self._failed = True

    def _add(self, parts: list[Columns]) -> None:
        rows = sum(part.rows for part in parts)
        alone = len(parts) == 1 and rows > LOOKED_AT
        index = np.linspace(0, rows - 1, LOOKED_AT).astype(np.int64) if alone else None
        looked_at = rows if index is None else len(index)
        self.rows += rows
        self.looked_at += looked_at
        for each in self._arrays:
            each.values += looked_at
        if not rows:
            return
        columns = Columns.concat(parts)
        if self._block is not None:
            self._block.add(columns, index)
        for each in self._alone:
            values = columns[each.field.name]
            nulls = columns.nulls(each.field.name) if each.field.nullable else None
            if index is not None:
                values, nulls = values[index], nulls[index] if nulls is not None else None
            each.add(values, nulls)


class InputStatistics(Collector):
    """What came in for every model of a process, and the part of it that is in the metrics: counts alone."""

    def __init__(self, pattern: str, models: Iterable[Model]) -> None:
        self._pattern = pattern
        self._models: dict[Model, ReceivedInputs] = {}
        self.follow(models)

    def follow(self, models: Iterable[Model]) -> None:
        """Count for these models; those that stay keep their numbers."""
        self._models = {model: self._models.get(model) or ReceivedInputs(model) for model in models}

    def note(self, model: Model, columns: Columns | None, error: BaseException | None) -> None:
        """One request that has ended: with the columns that were answered, or with an error."""
        inputs = self._models.get(model)
        if inputs is None:
            return
        if columns is not None:
            inputs.answered(columns)
        elif isinstance(error, ContractError):
            inputs.refused(error)

    def of(self, model: Model) -> ReceivedInputs:
        """One model's; raises `KeyError` where it has been replaced."""
        return self._models[model]

    def collect(self) -> Iterable[Metric]:
        """The metrics as they stand."""
        where = ["pattern", "model", "version", "field"]
        values = CounterMetricFamily(
            "fivefold_input_values", "Values that were looked at, null ones too.", labels=where
        )
        nulls = CounterMetricFamily("fivefold_input_nulls", "Values that were null.", labels=where)
        refusals = CounterMetricFamily(
            "fivefold_input_refusals", "Requests that a field has ended, or the whole.", labels=[*where, "code"]
        )
        for model, inputs in list(self._models.items()):
            labels = [self._pattern, model.name, model.version]
            fields = inputs.fields()[:FIELDS_IN_METRICS]
            named = {each.field.name for each in fields}
            for each in fields:
                values.add_metric([*labels, each.field.name], each.values)
                if each.field.nullable and not each.field.shape:
                    nulls.add_metric([*labels, each.field.name], each.nulls)
            counted: Counter[tuple[str, str]] = Counter()
            for (code, field), count in inputs.refusals.items():
                counted[field if field in named else "", code] += count
            for key, count in counted.items():
                refusals.add_metric([*labels, *key], count)
        return [values, nulls, refusals]
