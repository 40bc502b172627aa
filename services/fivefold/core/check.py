"""The law on values, applied to whole columns.

Every reader hands its values to the functions here, so a value is accepted or refused the same way whatever it came in.
The numeric path is vectorised; text is walked value by value. Decoding wire forms is left to the readers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as attribute
from functools import partial
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt

from fivefold.core.columns import Array, Columns, narrow, null_mask
from fivefold.core.contract import Field, Limits, nearest
from fivefold.core.errors import MAX_DETAILS, ContractError, ModelFailed, Violation

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

FEW = 64
"""Numbers up to which walking through them in Python is quicker than reducing an array."""

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
        said = message() if callable(message) else message
        violation = Violation(code, path(), said or "", help() if callable(help) else help)
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
            where += "".join(f"[{i}]" for i in np.unravel_index(element, field.shape))
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


class Part(Findings):
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


def say(value: Any) -> str:
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


def expected(field: Field) -> str:
    """What a scalar of the field is, as a message says it."""
    nouns = {
        "bool": "true or false",
        "int": "an integer",
        "float": "a number",
        "string": "a string",
        "bytes": "base64 text",
    }
    return nouns[field.kind]


def _limit(field: Field, word: str, value: Any) -> str:
    return f"expected {expected(field)} of {word} {say(value)}{f' {field.unit}' if field.unit else ''}"


def numbers(findings: Findings, index: int, source: Array, skip: Mask | None, *, json_source: bool = False) -> Array:
    """Check a numeric source against a numeric field; returns the column in the field's dtype.

    `source` has shape [rows, *field.shape] and any integer or float dtype. Cells under `skip` are null or already
    refused and hold whatever stands for null. JSON has no infinities, so an infinite `json_source` is a number beyond
    binary64.
    """
    field = findings.fields[index]
    if skip is None:
        values = plain_numbers(field, source)
        if values is not None:
            return values
    if field.kind == "float":
        return _floats(findings, index, field, source, skip, json_source)
    return _integers(findings, index, field, source, skip, json_source)


def plain_numbers(field: Field, source: Array) -> Array | None:
    """The short way for the usual few numbers that are all right: the column in the field's dtype, or None.

    It only accepts; what it leaves, the full check tells apart. A reduction in numpy costs more than a walk through a
    few dozen Python numbers.
    """
    interval = field.interval
    if (
        interval is None
        or not 0 < source.size <= FEW
        or source.dtype.kind not in ("f" if field.kind == "float" else "iu")
    ):
        return None
    values = source.ravel().tolist()
    # The sum of finite numbers that is not finite itself is left to the full check, like NaN and the infinities.
    if field.kind == "float" and not isfinite(sum(values)):
        return None
    low, high = interval
    return source.astype(field.dtype, copy=False) if min(values) >= low and max(values) <= high else None


def _floats(findings: Findings, index: int, field: Field, source: Array, skip: Mask | None, json_source: bool) -> Array:
    values = narrow(source, np.dtype(field.dtype))
    finite = np.isfinite(values)
    law = field.limits
    skipped = skip
    if field.nullable:
        nan = np.isnan(values)
        skipped = nan if skip is None else skip | nan
    plain = law.enum is None
    if plain and skipped is None and finite.all():
        inside = (law.low is None or (values >= law.low).all()) and (law.high is None or (values <= law.high).all())
        if inside:
            return values
    live = ~skipped if skipped is not None else np.ones(values.shape, np.bool_)
    wide = source.astype(np.float64, copy=False)
    came_finite = np.isfinite(wide)
    beyond = live & ~finite & (came_finite | np.isinf(wide) if json_source else came_finite)
    _report(
        findings,
        "out_of_range",
        index,
        beyond,
        lambda at: (
            f"expected {expected(field)} that fits {field.dtype}, got "
            + (say(wide[at]) if came_finite[at] else "one beyond binary64")
        ),
    )
    if not field.allow_nan:
        unfinite = live & ~finite & ~beyond
        _report(findings, "not_finite", index, unfinite, lambda at: f"expected a finite number, got {say(wide[at])}")
        live = live & finite
    else:
        live = live & ~beyond & ~np.isnan(values)
    _bounds(findings, index, field, law, values, source, live)
    return values


def _integers(
    findings: Findings, index: int, field: Field, source: Array, skip: Mask | None, json_source: bool
) -> Array:
    info = np.iinfo(field.dtype)
    if skip is None and not field.nullable and field.enum is None and source.dtype.kind in "iu" and source.size:
        # The usual case, two reductions: whatever they do not settle is told apart below.
        low = info.min if field.minimum is None else field.minimum
        high = info.max if field.maximum is None else field.maximum
        if int(source.min()) >= low and int(source.max()) <= high:
            return source.astype(field.dtype, copy=False)
    live = ~skip if skip is not None else np.ones(source.shape, np.bool_)
    if source.dtype.kind == "f":
        wide = source.astype(np.float64, copy=False)
        finite = np.isfinite(wide)
        if json_source:
            huge = live & ~finite
            _report(
                findings, "out_of_range", index, huge, lambda _: "expected an integer, got a number beyond binary64"
            )
        else:
            _report(
                findings, "not_finite", index, live & ~finite, lambda at: f"expected an integer, got {say(wide[at])}"
            )
        live = live & finite
        whole = np.zeros(wide.shape, np.bool_)
        whole[finite] = np.floor(wide[finite]) == wide[finite]
        _report(findings, "wrong_type", index, live & ~whole, lambda at: f"expected an integer, got {say(wide[at])}")
        live = live & whole
        # 2^63 and 2^64 are exact in binary64 while the largest int64 and uint64 are not: compare with the open end.
        fits = (wide >= float(info.min)) & (wide < float(int(info.max) + 1))
    else:
        fits = (source >= int(info.min)) & (source <= int(info.max))
    _report(
        findings,
        "out_of_range",
        index,
        live & ~fits,
        lambda at: f"expected {_article(field.dtype)}, got {say(source[at])}",
    )
    live = live & fits
    filler = field.null_value if field.nullable else 0
    values = np.full(source.shape, filler, np.dtype(field.dtype))
    values[live] = source[live].astype(field.dtype)
    if field.nullable:
        live = live & ~null_mask(field, values)
    _bounds(findings, index, field, field.limits, values, source, live)
    return values


def _article(dtype: str) -> str:
    return f"{'an' if dtype[0] in 'iu' and dtype[:2] != 'ui' else 'a'} {dtype}"


def _bounds(
    findings: Findings, index: int, field: Field, law: Limits, values: Array, source: Array, live: Mask
) -> None:
    refused = np.zeros(values.shape, np.bool_)
    if law.low is not None:
        below = live & (values < law.low)
        _report(
            findings,
            "out_of_range",
            index,
            below,
            lambda at: f"{_limit(field, 'at least', field.minimum)}, got {say(source[at])}",
        )
        refused |= below
    if law.high is not None:
        above = live & (values > law.high)
        _report(
            findings,
            "out_of_range",
            index,
            above,
            lambda at: f"{_limit(field, 'at most', field.maximum)}, got {say(source[at])}",
        )
        refused |= above
    if law.enum is not None:
        outside = live & ~refused & ~np.isin(values, law.enum)
        _report(findings, "not_in_enum", index, outside, lambda at: f"{_one_of(field)}, got {say(source[at])}")


def _report(findings: Findings, code: str, index: int, mask: Mask, message: Callable[[tuple[int, ...]], str]) -> None:
    if not mask.any():
        return
    scalar = mask.ndim == 1
    findings.bad |= mask if scalar else mask.reshape(len(mask), -1).any(axis=1)
    for place in first(mask):
        row, element = divmod(place, mask.size // len(mask))
        at = tuple(int(i) for i in np.unravel_index(place, mask.shape))
        findings.cell(code, index, row, None if scalar else element, partial(message, at))


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


def _one_of(field: Field) -> str:
    assert field.enum is not None
    shown = ", ".join(say(value) for value in field.enum[:6])
    return f"expected one of {shown}{', …' if len(field.enum) > 6 else ''}"


def text(findings: Findings, index: int, source: Array, skip: Mask | None) -> Array:
    """Check an object array of `str` (or of `bytes` for a bytes field), shape [rows, *field.shape]; returns it.

    A string value may come as UTF-8 `bytes`. Cells under `skip` are replaced by the field's null or an empty value.
    """
    field = findings.fields[index]
    law = field.limits
    string = field.kind == "string"
    filler = field.null if field.nullable else ("" if string else b"")
    flat = source.reshape(-1)
    if skip is None and string and not field.nullable:
        plain = _plain_text(field, source)
        if plain is not None:
            return plain
    values = flat.tolist()
    hidden = None if skip is None else skip.reshape(-1).tolist()
    per_row = field.size
    scalar = not field.shape
    least, most = field.min_length, field.max_length
    lawless = law.pattern is None and field.enum is None and least is None and most is None
    for position, value in enumerate(values):
        if hidden is not None and hidden[position]:
            values[position] = filler
            continue
        try:
            if string:
                if isinstance(value, bytes):
                    values[position] = value = value.decode("utf-8")
                elif not value.isascii():
                    value.encode("utf-8")
        except UnicodeError:
            kind = "a lone surrogate" if isinstance(value, str) else "other bytes"
            row, element = divmod(position, per_row)
            message = f"expected valid UTF-8, got {kind}"
            findings.cell("not_utf8", index, row, None if scalar else element, message)
            values[position] = filler
            continue
        if lawless or (field.nullable and value == field.null):
            continue
        code, sentence, help = _text_law(field, law, value)
        if code:
            row, element = divmod(position, per_row)
            findings.cell(code, index, row, None if scalar else element, sentence, help)
    out = np.empty(len(values), object)
    out[:] = values
    return out.reshape(source.shape)


def _text_law(field: Field, law: Limits, value: Any) -> tuple[str, Sentence, Sentence]:
    if field.enum is not None and value not in law.known:
        return (
            "not_in_enum",
            lambda: f"{_one_of(field)}, got {say(value)}",
            lambda: nearest(value, map(str, field.enum or ())),
        )
    unit = "code points" if field.kind == "string" else "bytes"
    if field.min_length is not None and len(value) < field.min_length:
        return "too_short", lambda: f"expected at least {field.min_length} {unit}, got {len(value)}", None
    if field.max_length is not None and len(value) > field.max_length:
        return "too_long", lambda: f"expected at most {field.max_length} {unit}, got {len(value)}", None
    if law.pattern is not None and not law.pattern.matches(value):
        return "pattern_mismatch", lambda: f"expected a match of {field.pattern}, got {say(value)}", None
    return "", "", None


def column(
    findings: Findings, index: int, source: Array, skip: Mask | None = None, *, json_source: bool = False
) -> Array:
    """Check a typed source of the field's own family; returns the column in the field's dtype.

    `source` has shape [rows, *field.shape]. Cells under `skip` are null, or of a row that is refused or filled later.
    """
    field = findings.fields[index]
    if field.null_is_value:
        findings.nulls[field.name] = np.zeros(source.shape, np.bool_) if skip is None else np.array(skip)
    if field.numeric:
        return numbers(findings, index, source, skip, json_source=json_source)
    if field.kind == "bool":
        values = np.where(skip, bool(field.null_value), source) if skip is not None else source
        return np.asarray(values, np.bool_)
    return text(findings, index, source, skip)


def refuse_nulls(findings: Findings, index: int, nulls: Mask) -> None:
    """Report nulls of a field that allows none. `nulls` has shape [rows] (whole values) or the column's shape."""
    field = findings.fields[index]
    if field.nullable or not nulls.any():
        return
    message = f"expected {expected(field)}, got null"
    findings.bad |= nulls if nulls.ndim == 1 else nulls.reshape(len(nulls), -1).any(axis=1)
    for place in first(nulls):
        row, element = divmod(place, nulls.size // len(nulls))
        findings.cell("null_not_allowed", index, row, None if nulls.ndim == 1 else element, message)


def every_cell(findings: Findings, index: int, code: str, message: str) -> None:
    """Refuse every cell of a field with one sentence: the whole column is of the wrong family."""
    findings.bad[:] = True
    field = findings.fields[index]
    if not findings.rows:
        findings.name(code, index, field.name, (), message)
        return
    for cell in range(min(findings.rows * field.size, MAX_DETAILS)):
        row, element = divmod(cell, field.size)
        findings.cell(code, index, row, element if field.shape else None, message)


def check_outputs(fields: Sequence[Field], arrays: Mapping[str, Array], rows: int) -> Columns:
    """A model's answer as columns under the contract's outputs; `ModelFailed` where it leaves them.

    Values decide, as on the way in: any numeric source converts, families never mix. Arrays have shape
    [rows, *field.shape].
    """
    findings: Findings | None = None
    out: dict[str, Array] = {}
    for index, field in enumerate(fields):
        array = arrays.get(field.name)
        if array is None:
            raise ModelFailed("model_failed", "the model gave no such output", path=f"outputs.{field.name}")
        if array.shape != (rows, *field.shape):
            message = f"expected shape {[rows, *field.shape]} from the model, got {list(array.shape)}"
            raise ModelFailed("model_failed", message, path=f"outputs.{field.name}")
        plain = plain_numbers(field, array) if field.numeric else _plain_text(field, array)
        if plain is not None:
            out[field.name] = plain
            continue
        if array.dtype.kind not in _FAMILY[field.kind]:
            message = f"expected {field.dtype} from the model, got {array.dtype}"
            raise ModelFailed("model_failed", message, path=f"outputs.{field.name}")
        if array.dtype.kind in "US":
            array = array.astype(object)
        if array.dtype.kind == "O" and not all(isinstance(value, str | bytes) for value in array.reshape(-1)):
            message = f"expected {field.dtype} from the model, got other objects"
            raise ModelFailed("model_failed", message, path=f"outputs.{field.name}")
        findings = findings or Findings(fields, rows, "outputs")
        out[field.name] = column(findings, index, array)
    if findings:
        first = findings.ordered()[0]
        raise ModelFailed("model_failed", f"the model left its contract: {first.message}", path=first.path)
    return Columns(fields, out, rows)


def _plain_text(field: Field, array: Array) -> Array | None:
    """The short way for text that is all right, as `plain_numbers` is for numbers: the column itself, or None."""
    if field.kind != "string" or array.dtype.kind != "O" or field.limits.pattern is not None or field.nullable:
        return None
    values = array.ravel().tolist()
    if not all(type(value) is str and value.isascii() for value in values):
        return None
    if field.enum is not None:
        return array if field.limits.known.issuperset(values) else None
    return array if field.min_length is None and field.max_length is None else None


_FAMILY = {"bool": "b", "int": "iuf", "float": "iuf", "string": "OUS", "bytes": "OS"}
