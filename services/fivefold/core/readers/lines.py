"""JSON records to columns, one a line or one a value, and one that cannot be read is its own matter alone.

Lines are decoded one by one by the typed decoder, which may only accept, and their values are checked together; each
line that is refused is read again by itself, exactly. Cutting bytes into lines, and what becomes of a refused one, is
left to the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from fivefold.core.columns import Array, Columns
from fivefold.core.errors import ContractError
from fivefold.core.fields.field import Field
from fivefold.core.readers.exact_json import Literal, loads
from fivefold.core.readers.records import Records, typed_rows

FEW = 64
"""Lines among which the typed reader does not look for the one that it cannot tell."""


@dataclass(slots=True)
class ReadLines:
    """What became of some lines.

    `columns` holds the good ones, `rows` their positions among the lines (int64, rising), `carried` a list of values
    for each carried name, None for an absent one; `refused` gives the error of each other line, paths as of a request
    with this one row.
    """

    columns: Columns
    rows: Array
    carried: list[list[Any]]
    refused: list[tuple[int, ContractError]] = field(default_factory=list)


class Lines:
    """Reads lines under a list of fields; `carried` are names beside them that a record may have."""

    def __init__(self, fields: Sequence[Field], carried: Sequence[str] = ()) -> None:
        self.fields = tuple(fields)
        self.carried = tuple(carried)
        self._records = Records(self.fields)
        self._typed = typed_rows(self.fields, self.carried)
        self._decoder: Any = msgspec.json.Decoder(self._typed.row) if self._typed else None

    def read(self, text: bytes, lines: Sequence[tuple[int, int]]) -> ReadLines:
        """Read the lines of `text` at the given places (start, end), which cover all of it that is not blank."""

        def line(row: int) -> bytes:
            start, end = lines[row]
            return text[start:end]

        # Each for itself: the decoder of lines would take two values in a line, and one over two.
        cut = text.removesuffix(b"\n").split(b"\n") if self._typed else []
        return self._read(len(lines), line, cut if len(cut) == len(lines) else None)

    def read_each(self, values: Sequence[bytes]) -> ReadLines:
        """Read values of one record each, as messages hold them: the verdict on each is that of `read` on it alone.

        A value may hold newlines, which are blanks in JSON, be empty, or be no UTF-8.
        """
        return self._read(len(values), values.__getitem__, values)

    def _read(self, count: int, line: Callable[[int], bytes], together: Sequence[bytes] | None) -> ReadLines:
        """Read `count` lines; `together` are the same bytes where they are at hand in one sequence."""
        if self._typed is None:
            return self._exactly(line, range(count))
        parts = list(self._accepted(*self._decode(count, line, together)))
        if len(parts) == 1 and len(parts[0].rows) == count:
            return parts[0]
        left = np.ones(count, np.bool_)
        for part in parts:
            left[part.rows] = False
        rest = self._exactly(line, np.flatnonzero(left).tolist())
        if len(parts) == 1 and not len(rest.rows):
            return ReadLines(parts[0].columns, parts[0].rows, parts[0].carried, rest.refused)
        return merged([*parts, rest])

    def _accepted(self, rows: Array, instances: list[Any]) -> Iterator[ReadLines]:
        """The good ones of decoded lines; what the typed reader cannot tell is left out, with a few around it."""
        assert self._typed is not None
        if not instances:
            return
        reading = self._typed.read(instances)
        if reading is None:
            middle = len(instances) // 2
            if middle >= FEW:
                yield from self._accepted(rows[:middle], instances[:middle])
                yield from self._accepted(rows[middle:], instances[middle:])
            return
        good = rows[~reading.bad] if reading.violations else rows
        kept = (each for each, bad in zip(instances, reading.bad, strict=True) if not bad)
        yield ReadLines(reading.columns, good, _columns(map(self._typed.extra, kept), len(self.carried)))

    def _decode(
        self, count: int, line: Callable[[int], bytes], together: Sequence[bytes] | None
    ) -> tuple[Array, list[Any]]:
        """The lines that the typed decoder accepts, and which ones they are."""
        decode = self._decoder.decode
        if together is not None:
            try:
                return np.arange(count), list(map(decode, together))
            except (msgspec.MsgspecError, UnicodeError, RecursionError):
                pass
        rows, found = [], []
        for row in range(count):
            try:
                found.append(decode(line(row)))
                rows.append(row)
            except (msgspec.MsgspecError, UnicodeError, RecursionError):
                continue
        return np.array(rows, np.int64), found

    def _exactly(self, line: Callable[[int], bytes], rows: Sequence[int]) -> ReadLines:
        """Some of the lines, each by itself."""
        values: list[Any] = []
        extras: list[list[Any]] = []
        good: list[int] = []
        refused: list[tuple[int, ContractError]] = []
        for row in rows:
            try:
                value, extra = self._one(line(row))
            except ContractError as error:
                # Without what it was raised in: there may be as many of them as there are lines.
                refused.append((row, error.with_traceback(None)))
                continue
            reading = self._records.read([value])
            if reading.violations:
                refused.append((row, ContractError.of(reading.violations)))
                continue
            values.append(value)
            extras.append(extra)
            good.append(row)
        columns = self._records.read(values).accept()
        return ReadLines(columns, np.array(good, np.int64), _columns(extras, len(self.carried)), refused)

    def _one(self, line: bytes) -> tuple[Any, list[Any]]:
        value = loads(line)
        if not self.carried or not isinstance(value, dict):
            return value, [None] * len(self.carried)
        carried = [_plain(name, value.pop(name, None)) for name in self.carried]
        return value, carried


def _plain(name: str, value: Any) -> Any:
    """A carried value as the typed decoder gives it. It is nobody's to judge but in what no output can hold."""
    path = f"inputs.{name}[0]"
    try:
        return msgspec.json.decode(msgspec.json.encode(value, enc_hook=_digits))
    except UnicodeError:
        raise ContractError("not_utf8", "expected UTF-8, got a lone surrogate", path=path) from None
    except msgspec.ValidationError:
        raise ContractError("out_of_range", "expected numbers that binary64 can hold", path=path) from None


def _digits(number: Literal) -> msgspec.Raw:
    return msgspec.Raw(number.text.encode())


def merged(parts: Sequence[ReadLines]) -> ReadLines:
    """All lines of some readings, whose rows count among the same lines, in the lines' order."""
    rows = np.concatenate([part.rows for part in parts])
    order = np.argsort(rows, kind="stable")
    carried = [[value for values in column for value in values] for column in zip(*(part.carried for part in parts))]
    refused = [each for part in parts for each in part.refused]
    columns = Columns.concat([part.columns for part in parts]).take(order)
    return ReadLines(columns, rows[order], [[values[at] for at in order] for values in carried], refused)


def _columns(rows: Any, count: int) -> list[list[Any]]:
    """Rows of values as columns of them; what was absent is None."""
    out: list[list[Any]] = [[] for _ in range(count)]
    if count:
        for row in rows:
            for values, value in zip(out, row, strict=True):
                values.append(None if value is msgspec.UNSET else value)
    return out
