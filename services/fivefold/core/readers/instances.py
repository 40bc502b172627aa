"""Instances of a request told apart, row by row, and the columns of the good ones.

Parsing them, and what an optional field holds where nothing is given, is left to `records`; one cell, to `cells`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from heapq import nsmallest
from typing import Any

import numpy as np

from fivefold.core.check.findings import Findings, PartialFindings, Reading, describe
from fivefold.core.columns import Columns
from fivefold.core.errors import MAX_DETAILS
from fivefold.core.fields.field import Field
from fivefold.core.fields.suggestion import nearest
from fivefold.core.readers.cells import elements, rows_of_cells
from fivefold.core.readers.defaults import Defaults
from fivefold.core.readers.exact_json import Watch


class Instances:
    """Instances, told apart: those that give what every row must, in lines of one value a field, and the others.

    Of the others each cell that is given is checked too, for what it has to report, but no column is made: an empty
    object costs as little as it says.
    """

    def __init__(
        self,
        fields: tuple[Field, ...],
        names: dict[str, int],
        required: tuple[int, ...],
        instances: Sequence[Any],
        watch: Watch | None,
    ) -> None:
        self.fields, self._names, self._required, self._watch = fields, names, required, watch
        self.findings = Findings(fields, len(instances))
        self._lines: list[list[Any]] = []
        self._line_rows: list[int] = []
        self._cells: dict[int, tuple[list[int], list[Any]]] = {}
        """Field -> rows and values of the cells of the others."""
        self._unknown: dict[str, list[int]] = {}
        self._doubled: dict[int, list[int]] = {}
        self._unreadable: list[int] = []
        for start in range(0, len(instances), LOOK_ROWS):
            if watch is not None:
                watch.look()
            for row, instance in enumerate(instances[start : start + LOOK_ROWS], start):
                if isinstance(instance, dict):
                    self._record(row, instance)
                else:
                    self._positional(row, instance)

    def _record(self, row: int, instance: dict[str, Any]) -> None:
        if len(instance) < len(self._required):
            self._torn(row, instance.items())
            return
        line = [_ABSENT] * len(self.fields)
        for name, value in instance.items():
            index = self._names.get(name, -1)
            if index < 0 or line[index] is not _ABSENT:
                self._torn(row, instance.items())
                return
            line[index] = value
        if len(instance) < len(line) and any(line[index] is _ABSENT for index in self._required):
            self._torn(row, instance.items())
            return
        self._lines.append(line)
        self._line_rows.append(row)

    def _positional(self, row: int, instance: Any) -> None:
        width = len(self.fields)
        alone = width == 1
        if alone and (self.fields[0].shape or not isinstance(instance, list)):
            self._lines.append([instance])
        elif not isinstance(instance, list) or len(instance) != width:
            self._unreadable.append(row)
            if len(self._unreadable) <= MAX_DETAILS:
                message = f"expected an object or an array of {width} values, got {describe(instance)}"
                self.findings.row(row, message)
            return
        else:
            self._lines.append(list(instance))
        self._line_rows.append(row)

    def _torn(self, row: int, items: Iterable[tuple[str, Any]]) -> None:
        """A record that is bad by its names: take down each cell that it gives."""
        seen: set[int] = set()
        for name, value in items:
            index = self._names.get(name, -1)
            if index < 0:
                self._unknown.setdefault(name, []).append(row)
                if len(self._unknown) > _MANY_NAMES:
                    # The first by their bytes are the ones that are reported, whatever is still to come.
                    self._unknown = {name: self._unknown[name] for name in first_names(self._unknown)}
            elif index in seen:
                twice = self._doubled.setdefault(index, [])
                # Under a third name of its it is still one violation of one row.
                if not twice or twice[-1] != row:
                    twice.append(row)
            else:
                seen.add(index)
                at, values = self._cells.setdefault(index, ([], []))
                at.append(row)
                values.append(value)
        self.findings.bad[row] = True

    def reading(self, defaults: Defaults, shaped: tuple[int, ...]) -> Reading:
        """The columns of the good rows, and everything that was found."""
        findings = self.findings
        self._report_names()
        for index in shaped:
            self._flatten(index)
        for index, (at, values) in self._cells.items():
            self._look()
            if self._doubled.get(index):
                twice = set(self._doubled[index])
                pairs = [(row, value) for row, value in zip(at, values, strict=True) if row not in twice]
                at, values = [row for row, _ in pairs], [value for _, value in pairs]
            part = PartialFindings(findings, np.array(at, np.int64))
            rows_of_cells(part, index, values, [False] * len(values))
        rows = np.array(self._line_rows, np.int64)
        lines = findings if len(rows) == findings.rows else PartialFindings(findings, rows)
        arrays = {}
        for index, (field, column_) in enumerate(zip(self.fields, zip(*self._lines, strict=True), strict=False)):
            self._look()
            absent = [value is _ABSENT for value in column_]
            arrays[field.name] = rows_of_cells(lines, index, column_, absent)
            if True in absent:
                defaults.fill(lines, index, arrays[field.name], np.array(absent))
        if lines is findings:
            return findings.reading(Columns(self.fields, arrays, findings.rows))
        good = Columns(self.fields, arrays, len(rows)) if arrays else defaults.empty()
        reading = lines.reading(good)
        findings.bad[rows[lines.bad]] = True
        return Reading(reading.columns, findings.rows, findings.ordered(), findings.bad)

    def _report_names(self) -> None:
        findings, width = self.findings, len(self.fields)
        for name in first_names(self._unknown):
            findings.name(
                "unknown_field", width, name, self._unknown[name], "no such field", partial(nearest, name, self._names)
            )
        for index, rows in self._doubled.items():
            findings.name("duplicate_field", index, self.fields[index].name, rows, "given under two of its names")
        findings.bad[self._unreadable] = True
        given, reported = len(self._lines) + len(self._unreadable), 0
        for index in self._required:
            at = self._cells.get(index, ([], []))[0]
            if given + len(at) == findings.rows:
                continue
            if reported == MAX_DETAILS:
                # Those that follow come after them; which rows are bad is known.
                break
            reported += 1
            missing: Any = range(findings.rows)
            if given or at:
                absent = np.ones(findings.rows, np.bool_)
                for rows in (self._line_rows, self._unreadable, at):
                    absent[np.array(rows, np.int64)] = False
                missing = np.flatnonzero(absent)
            name = self.fields[index].name
            findings.name("missing_field", index, name, missing, "expected a value, got nothing")

    def _flatten(self, index: int) -> None:
        """The lines' values of a shaped field as flat lists; lines whose value has another shape go to the others."""
        field = self.fields[index]
        kept = []
        for row, line in zip(self._line_rows, self._lines, strict=True):
            value = line[index]
            if (value is not _ABSENT and value is not None) or (not field.nullable and value is None):
                value = elements(self.findings, index, field, row, value)
                if value is None:
                    line[index] = _ABSENT
                    for other, cell in enumerate(line):
                        if cell is not _ABSENT:
                            at, values = self._cells.setdefault(other, ([], []))
                            at.append(row)
                            values.append(cell)
                    continue
                line[index] = value
            kept.append((row, line))
        if len(kept) < len(self._lines):
            self._line_rows, self._lines = [row for row, _ in kept], [line for _, line in kept]

    def _look(self) -> None:
        if self._watch is not None:
            self._watch.look()


_ABSENT: Any = object()

LOOK_ROWS = 1024
"""Rows between two looks whether anybody waits."""

_MANY_NAMES = 4096


def first_names(names: Iterable[str]) -> list[str]:
    """The unknown names that can be reported, by their UTF-8 bytes."""
    return nsmallest(MAX_DETAILS, names, key=lambda name: name.encode("utf-8", "surrogatepass"))
