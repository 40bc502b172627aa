"""Rows as binary formats hold them to columns: Python values that have types of their own.

They are read as records are, with the same codes and paths, but for what JSON cannot say:

    bytes         are a value of a bytes field; text is none, base64 or not
    float         may be NaN or infinite: `not_finite` where a field allows none, null where a nullable one has NaN
    Fractional    a decimal number that is not integral, however binary64 rounds it
    OtherValue    what no field has (a date, say): `wrong_type` everywhere

Decoding a format is left to whoever knows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fivefold.core.check.findings import Findings, Reading, describe
from fivefold.core.errors import ContractError
from fivefold.core.fields.field import Field, indices
from fivefold.core.readers.cells import OtherValue
from fivefold.core.readers.defaults import Defaults
from fivefold.core.readers.instances import Instances
from fivefold.core.readers.lines import ReadLines

__all__ = ["BinaryRows", "Fractional", "OtherValue", "exact_decimal"]


class Fractional(float):
    """A number that has a fraction, as binary64 rounds it: 3.0000000000000000001 is no 3. Infinite where it is beyond
    binary64."""

    __slots__ = ()

    def is_integer(self) -> bool:
        """Never."""
        return False


def exact_decimal(unscaled: int, scale: int) -> int | Fractional:
    """The number `unscaled` / 10^`scale`, scale at least 0: exact where it is integral, else rounded once."""
    power: int = 10**scale
    whole, rest = divmod(unscaled, power)
    if not rest:
        return whole
    try:
        return Fractional(unscaled / power)
    except OverflowError:
        return Fractional("inf" if unscaled > 0 else "-inf")


class BinaryRows:
    """Reads rows of such values under a list of fields, each row for itself."""

    def __init__(self, fields: Sequence[Field]) -> None:
        self.fields = tuple(fields)
        self._names = indices(self.fields)
        self._required = tuple(index for index, field in enumerate(self.fields) if field.required)
        self._shaped = tuple(index for index, field in enumerate(self.fields) if field.shape)
        self._bytes = frozenset(name for name, index in self._names.items() if self.fields[index].kind == "bytes")
        self._defaults = Defaults(self.fields)

    def read_each(self, rows: Sequence[Any]) -> ReadLines:
        """Read rows, each a dict, or as in JSON a list with one value a field or the value of the only field.

        The verdict on each is that on it alone, and paths are those of a request with this one row.
        """
        if self._bytes:
            rows = [self._without_text(row) for row in rows]
        reading = self._read(rows)
        refused = [
            (row, ContractError.of(self._read(rows[row : row + 1]).violations))
            for row in np.flatnonzero(reading.bad).tolist()
        ]
        return ReadLines(reading.columns, np.flatnonzero(~reading.bad), [], refused)

    def _read(self, rows: Sequence[Any]) -> Reading:
        if not rows:
            return Findings(self.fields, 0).reading(self._defaults.empty())
        instances = Instances(self.fields, self._names, self._required, rows, None)
        return instances.reading(self._defaults, self._shaped)

    def _without_text(self, row: Any) -> Any:
        """The row with what the readers would take for base64 made to what it is: text."""
        if isinstance(row, dict):
            return {name: _no_text(value) if name in self._bytes else value for name, value in row.items()}
        if len(self.fields) == 1 and (self.fields[0].shape or not isinstance(row, list)):
            return _no_text(row)
        if isinstance(row, list) and len(row) == len(self.fields):
            return [
                _no_text(value) if at.kind == "bytes" else value for at, value in zip(self.fields, row, strict=True)
            ]
        return row


def _no_text(value: Any) -> Any:
    if isinstance(value, str):
        return OtherValue(f"the string {describe(value)}")
    if isinstance(value, list):
        return [_no_text(each) for each in value]
    return OtherValue("an object") if isinstance(value, dict) else value
