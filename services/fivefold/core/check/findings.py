"""What is wrong with an input, in the contract's order, and which rows it hits.

Collecting it is cheap whatever comes: only what is shown is put into words. What is legal is left to `check`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from dataclasses import field as attribute
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from fivefold.core.columns import Columns
from fivefold.core.errors import MAX_DETAILS, ContractError, Violation
from fivefold.core.fields.field import Field

Mask = npt.NDArray[np.bool_]

RANK = {
    "malformed": 0,
    "too_large": 0,
    "unknown_field": 1,
    "duplicate_field": 2,
    "missing_field": 3,
    "null_not_allowed": 4,
    "wrong_type": 5,
    "not_utf8": 5,
    "wrong_shape": 6,
    "not_finite": 7,
    "out_of_range": 8,
    "not_in_enum": 8,
    "too_short": 8,
    "too_long": 8,
    "pattern_mismatch": 8,
}
"""The class of each code in the order of violations."""

MAX_NAME = 128
"""Characters of an unknown name that a path shows: as many as a contract allows its own (`Contract`)."""


@dataclass(slots=True)
class Reading:
    """What a reader made of its input: the good rows as columns, the violations of the others.

    `columns` holds the good rows only, in input order; `bad` is a mask over all `rows`; `violations` are the first
    sixteen in the contract's order. A request-wide violation marks every row.
    """

    columns: Columns
    rows: int
    violations: tuple[Violation, ...] = ()
    bad: Mask = attribute(default_factory=lambda: np.zeros(0, np.bool_))

    def accept(self) -> Columns:
        """All rows, or `ContractError` with the violations."""
        if self.violations:
            raise ContractError.of(self.violations)
        return self.columns


Sentence = str | Callable[[], str | None] | None
"""A message or a help line, or what makes it once it is known to be shown."""

Order = tuple[int, int, bytes, int, int]
"""Class, field, UTF-8 bytes of an unknown name, row, element: -1 where one does not apply."""


class Findings:
    """Collects violations in any order and gives them back in the contract's order, with the rows they hit.

    Only the first sixteen are kept, and only of what may be among them is a path or a sentence made: input that is
    wrong everywhere costs no more than input that is right.
    """

    def __init__(self, fields: Sequence[Field], rows: int, side: str = "inputs") -> None:
        self.fields = fields
        self.rows = rows
        self.side = side
        self.bad: Mask = np.zeros(rows, np.bool_)
        self.nulls: dict[str, Mask] = {}
        """Where the fields hold null whose array alone cannot tell (`Field.null_is_value`)."""
        self._found: list[tuple[Order, Violation]] = []
        self._last: Order | None = None
        """The sixteenth violation so far: what comes after it is not shown."""
        self._whole = 0

    def __bool__(self) -> bool:
        return bool(self._found)

    def whole(self, code: str, path: str, message: Sentence, help: Sentence = None) -> None:
        """A violation of the whole input: every row is bad."""
        self.bad[:] = True
        self._whole += 1
        self._add((RANK[code], -1, b"", -1, self._whole), code, lambda: path, message, help)

    def row(self, row: int, message: Sentence) -> None:
        """A record that cannot be read at all."""
        self.bad[row] = True
        self._add((0, -1, b"", row, 0), "malformed", lambda: f"{self.side}[{row}]", message)

    def name(
        self,
        code: str,
        index: int,
        name: str,
        rows: Sequence[int] | npt.NDArray[np.int64],
        message: Sentence,
        help: Sentence = None,
    ) -> None:
        """A name that is unknown, doubled or missing in `rows` (rising): reported once when that is every row."""
        order = name.encode("utf-8", "surrogatepass") if index >= len(self.fields) else b""
        if len(rows) == self.rows:
            self.bad[:] = True
            self._add((RANK[code], index, order, -1, 0), code, lambda: f"{self.side}.{shown_name(name)}", message, help)
            return
        self.bad[np.asarray(rows, np.int64)] = True
        for row in map(int, rows[:MAX_DETAILS]):
            where = partial("{}.{}[{}]".format, self.side, shown_name(name), row)
            self._add((RANK[code], index, order, row, 0), code, where, message, help)

    def cell(
        self, code: str, index: int, row: int, element: int | None, message: Sentence, help: Sentence = None
    ) -> None:
        """A cell of field `index`; `element` counts in row-major order, None = the row's whole value."""
        self.bad[row] = True
        self._cell((RANK[code], index, b"", row, -1 if element is None else element), code, message, help)

    def _cell(self, order: Order, code: str, message: Sentence, help: Sentence) -> None:
        _, index, _, row, element = order
        self._add(order, code, lambda: self.path(index, row, None if element < 0 else element), message, help)

    def _add(self, order: Order, code: str, path: Callable[[], str], message: Sentence, help: Sentence = None) -> None:
        if self._last is not None and order > self._last:
            return
        text = message() if callable(message) else message
        violation = Violation(code, path(), text or "", help() if callable(help) else help)
        self._found.append((order, violation))
        if len(self._found) >= 4 * MAX_DETAILS:
            self._found.sort(key=_order)
            del self._found[MAX_DETAILS:]
            self._last = self._found[-1][0]

    def path(self, index: int, row: int, element: int | None) -> str:
        """`inputs.field[row][i][j]`."""
        field = self.fields[index]
        where = f"{self.side}.{field.name}[{row}]"
        if element is not None and field.shape:
            at = ""
            for size in reversed(field.shape):
                element, i = divmod(element, size)
                at = f"[{i}]{at}"
            where += at
        return where

    def ordered(self) -> tuple[Violation, ...]:
        """The first sixteen violations: by class, field, row, element; unknown names by their UTF-8 bytes."""
        return tuple(violation for _, violation in sorted(self._found, key=_order)[:MAX_DETAILS])

    def reading(self, columns: Columns) -> Reading:
        """The outcome: the good rows of `columns` under their nulls, and everything that was found."""
        if self.nulls:
            columns = columns.with_nulls(self.nulls)
        if not self:
            return Reading(columns, self.rows, (), self.bad)
        return Reading(columns.take(~self.bad), self.rows, self.ordered(), self.bad)


class PartialFindings(Findings):
    """Findings of some rows of an input: counted here from 0, reported there under their own number."""

    def __init__(self, whole: Findings, rows: npt.NDArray[np.int64]) -> None:
        """`rows` are the input's, rising."""
        super().__init__(whole.fields, len(rows), whole.side)
        self._of, self._at = whole, rows

    def __bool__(self) -> bool:
        return bool(self._of)

    def ordered(self) -> tuple[Violation, ...]:
        """Those of the whole input."""
        return self._of.ordered()

    def _cell(self, order: Order, code: str, message: Sentence, help: Sentence) -> None:
        rank, index, name, row, element = order
        self._of._cell((rank, index, name, int(self._at[row]), element), code, message, help)


def _order(found: tuple[Order, Violation]) -> Order:
    return found[0]


def shown_name(name: str) -> str:
    """A name as a path shows it: valid UTF-8, and no longer than the longest name that a contract may give."""
    if len(name) <= MAX_NAME and name.isascii():
        return name
    text = name[:MAX_NAME].encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text if len(name) <= MAX_NAME else f"{text}…"


def describe(value: Any) -> str:
    """A value as a message shows it: short, never a whole body."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return repr(float(value))
    if isinstance(value, int):
        return str(value) if abs(value) < 10**40 else "an integer of more than 40 digits"
    if isinstance(value, str):
        text = json.dumps(value[:40], ensure_ascii=not value[:40].isprintable())
        return text if len(value) <= 40 else f'{text[:-1]}…" ({len(value)} characters)'
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, list):
        return f"an array of {len(value)}"
    return "an object" if isinstance(value, dict) else type(value).__name__


def sizes(shape: Sequence[int]) -> str:
    """A shape as a message shows it: never all of a hundred thousand dimensions."""
    if len(shape) <= _DIMENSIONS:
        return str(list(shape))
    return f"{str(list(shape[:_DIMENSIONS]))[:-1]}, …] ({len(shape)} dimensions)"


_DIMENSIONS = 16


def elements(shape: Sequence[int]) -> int:
    """The product of a shape's sizes, all at least 0, as far as `MOST_ELEMENTS`: more cannot be held anyway."""
    count = 1
    if 0 in shape:
        return 0
    for size in shape:
        count *= size
        if count >= MOST_ELEMENTS:
            return MOST_ELEMENTS
    return count


MOST_ELEMENTS = 2**62


def first(mask: Mask) -> list[int]:
    """The places, in row-major order, of the first few that are set: as many as can be reported."""
    flat = mask.reshape(-1)
    out: list[int] = []
    start = int(flat.argmax()) if flat.size else 0
    # In steps: the few that are wanted are usually near one another, however many there are.
    while start < flat.size and len(out) < MAX_DETAILS:
        out += (np.flatnonzero(flat[start : start + _STEP]) + start).tolist()
        start += _STEP
    return out[:MAX_DETAILS]


_STEP = 4096
