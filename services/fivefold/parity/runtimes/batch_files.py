"""Batch: all rows as one file, scored by the engine of one process, read back from the parts and the quarantine."""

from __future__ import annotations

import base64
import binascii
import io
import json
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fivefold.batch.engine.inline import Inline
from fivefold.batch.plan.settings import BatchSettings
from fivefold.batch.run.execute import score
from fivefold.batch.run.preparation import RunOrder
from fivefold.core.fields.field import Field
from fivefold.core.readers.arrow import Arrow
from fivefold.exports.arrow_schema import arrow_type
from fivefold.parity.question_rows import Question
from fivefold.parity.row_answers import RowAnswer, RowRefused, RowUnreadable, of_records
from fivefold.parity.runtimes.asked_runtime import Runtime


class BatchFiles(Runtime):
    """A run of `fivefold score` over one file of each row in turn."""

    format: str

    @abstractmethod
    def write(self, asked: Sequence[Question], path: Path) -> None:
        """Write the input file."""

    @abstractmethod
    def read(self, part: Path) -> list[RowAnswer]:
        """The answers of an output file, in its order."""

    def ask(self, asked: Sequence[Question]) -> list[RowAnswer]:
        if not asked:
            return []
        source, output = self.scratch / f"rows.{self.format}", self.scratch / "out"
        self.write(asked, source)
        settings = BatchSettings(format=self.format, contract=self.view.version, max_bad_fraction=1.0, workers=1)
        order = RunOrder(str(self.directory), (str(source),), str(output))
        score(order, settings, out=io.StringIO(), actors=Inline)
        refused = {
            line["row"]: RowRefused.of_body(line)
            for file in sorted((output / "quarantine").glob("*.jsonl"))
            for line in map(json.loads, file.read_bytes().splitlines())
        }
        answers = [answer for part in sorted(output.glob(f"part-*.{self.format}")) for answer in self.read(part)]
        if len(answers) + len(refused) != len(asked):
            lost = f"{len(asked):,} rows in, {len(answers):,} answered and {len(refused):,} quarantined"
            return [RowUnreadable(lost)] * len(asked)
        rest = iter(answers)
        return [refused[row] if row in refused else next(rest) for row in range(len(asked))]


class BatchJsonLines(BatchFiles):
    """The rows as they are, one a line."""

    format = "jsonl"

    def write(self, asked: Sequence[Question], path: Path) -> None:
        path.write_bytes(b"".join(question.text.encode() + b"\n" for question in asked))

    def read(self, part: Path) -> list[RowAnswer]:
        names = {field.name for field in self.view.outputs}
        lines = [json.loads(line) for line in part.read_bytes().splitlines()]
        return of_records(
            self.view.outputs,
            [json.dumps({name: value for name, value in line.items() if name in names}) for line in lines],
        )


class BatchParquet(BatchFiles):
    """The rows as one table of the contract's Arrow types, for those whose cells are of these types."""

    format = "parquet"

    def can_say(self, question: Question) -> bool:
        record = question.record
        fields = self.view.inputs
        return (
            isinstance(record, dict)
            and set(record) == {field.name for field in fields}
            and all(_cell(field, record[field.name]) is not None for field in fields)
        )

    def write(self, asked: Sequence[Question], path: Path) -> None:
        columns: dict[str, Any] = {}
        for field in self.view.inputs:
            parts = [_cell(field, question.record[field.name]) for question in asked]
            columns[field.name] = pa.concat_arrays([part for part in parts if part is not None])
        pq.write_table(pa.table(columns), path)

    def read(self, part: Path) -> list[RowAnswer]:
        table = pq.read_table(part).select([field.name for field in self.view.outputs])
        reader = Arrow(self.view.outputs)
        out: list[RowAnswer] = []
        for batch in table.to_batches():
            reading = reader.read(batch)
            if reading.violations:
                out += [RowUnreadable(f"no answer under the contract: {reading.violations[0].message}")] * reading.rows
            else:
                out += [reading.columns.slice(row, row + 1) for row in range(reading.rows)]
        return out


class _Unsayable(Exception):
    """The Arrow type of the field does not hold the value."""


def _cell(field: Field, value: Any) -> Any:
    """The cell as an array of one, None where its Arrow type does not hold it."""
    try:
        return pa.array([_held(field, value, inside=False)], arrow_type(field))
    except (pa.ArrowException, OverflowError, _Unsayable):
        return None


def _held(field: Field, value: Any, *, inside: bool) -> Any:
    """The value as Arrow is given it. Raises `_Unsayable`: what it would convert is another row."""
    if isinstance(value, list):
        return [_held(field, item, inside=True) for item in value]
    if value is None:
        # A column may hold a null where the contract has none, an element of a list may not.
        if inside and not field.nullable:
            raise _Unsayable
        return None
    if field.kind == "bytes" and isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except binascii.Error:
            raise _Unsayable from None
    if not isinstance(value, _PYTHON[field.kind]) or isinstance(value, bool) != (field.kind == "bool"):
        raise _Unsayable
    if field.kind == "float" and abs(value) > float(np.finfo(field.dtype).max):
        raise _Unsayable
    return value


_PYTHON: dict[str, Any] = {"bool": bool, "int": int, "float": int | float, "string": str, "bytes": bytes}
