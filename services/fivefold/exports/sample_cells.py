"""What the text cells of a CSV column are: numbers, truth values or text, and what was decided about it.

A contract's CSV spells numbers as JSON does, booleans `true` and `false`, and null as an empty cell without quotes.
Data written by others has `NA`, `True`, `.5`: a draft takes such cells for what they mean and says so, because a model
was trained on the meaning. Reading data under a finished contract is left to core's reader of cells, which knows none
of these spellings; `respelled` writes them as it reads them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fivefold.core.fields.field import Field

Mask = npt.NDArray[np.bool_]

MISSING = frozenset(
    {"", "-", "--", "?", ".", "na", "n/a", "n.a.", "#n/a", "#n/a n/a", "#na", "<na>", "nan", "-nan", "null", "nil"}
    | {"none", "missing", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"}
)
"""Words that stand for a missing number, in lower case and without blanks around them."""

_OF_PANDAS = frozenset(
    {"#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA"}
    | {"NULL", "NaN", "None", "n/a", "nan", "null"}
)
"""Cells that pandas reads as missing, in a column of text too."""

_TRUTH = {"true": True, "false": False}

_NUMBER = r"^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$"
_LOOSE = r"^[+-]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"
_WHOLE = r"^-?(?:0|[1-9][0-9]*)$"
_ZEROS = r"^[+-]?0[0-9]+(?:\.[0-9]*)?$"
_GROUPED = r"^[+-]?[0-9]{1,3}(?:[ ,.'’\x{a0}\x{202f}][0-9]{3})+(?:[.,][0-9]+)?$"
_COMMA = r"^[+-]?[0-9]*,[0-9]+$"
_INFINITE = r"(?i)^[+-]?inf(?:inity)?$"
_MARKED = r"^[+-]?[$€£¥]?\s?[0-9][0-9.,]*\s?[%$€£¥]$|^[+-]?[$€£¥]\s?[0-9][0-9.,]*$"
_TIME = (
    r"^(?:[0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}|[0-9]{1,2}[-/.][0-9]{1,2}[-/.][0-9]{2,4})(?:[T ].*)?$"
    r"|^[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?$"
)
_HINTS = (
    (_ZEROS, "leading zeros are an identifier's, and no number has them"),
    (_COMMA, "a decimal comma or a separator of thousands; write 1234.5"),
    (_GROUPED, "a separator of thousands; write 1234.5"),
    (_INFINITE, "CSV has no spelling for infinity; use Parquet"),
    (_MARKED, "a unit or a currency; write the number alone"),
)
_SHOWN = 40
"""Characters of a cell that a note shows."""


def typed(cells: Any, column: str) -> tuple[Any, list[str]]:
    """A column of text cells (an Arrow array of strings, null for an empty one) by what they are, and notes on it.

    Integers, floats, booleans or the cells themselves; all null where no cell holds anything.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    known = ~_mask(cells.is_null())
    if not known.any():
        return pa.nulls(len(cells)), []
    bare = pc.utf8_trim_whitespace(cells)
    exact = _matches(cells, _NUMBER)
    number = exact | _matches(bare, _LOOSE)
    missing = known & _among(pc.utf8_lower(bare), MISSING)
    other = known & ~number & ~missing
    if number.any() and not other.any():
        return _numbers(cells, bare, column, exact, number, missing)
    truth = _among(pc.utf8_lower(cells), frozenset(_TRUTH))
    if truth.any() and not (known & ~truth & ~missing).any():
        values = pc.equal(pc.utf8_lower(cells), "true")
        odd = truth & ~_among(cells, frozenset(_TRUTH))
        notes = _said_missing(cells, column, missing)
        if odd.any():
            notes.append(
                f"column {column!r}: {_first(cells, odd)} is taken for a boolean; requests and CSV to score spell true "
                f"and false"
            )
        return pc.if_else(pa.array(truth), values, pa.scalar(None, pa.bool_())), notes
    return cells, _why_text(cells, bare, column, known, number, missing)


def respelled(field: Field, cells: Sequence[str | None]) -> list[str | None]:
    """Cells of a field's column as core's reader of cells reads them: what `typed` takes for null is None.

    Only what cannot be meant otherwise changes: cells of numbers and booleans that the contract's CSV has no reading
    for. A missing word stays as it is where the field is not nullable.
    """
    if field.shape or not (field.numeric or field.kind == "bool"):
        return list(cells)
    if field.numeric:
        return [_number(cell, field.nullable) for cell in cells]
    return [_boolean(cell, field.nullable) for cell in cells]


def _number(cell: str | None, nullable: bool) -> str | None:
    if cell is None or re.match(_NUMBER, cell):
        return cell
    bare = cell.strip()
    if re.match(_LOOSE, bare):
        bare = re.sub(r"\.(?=[eE]|$)", "", bare.removeprefix("+"))
        return re.sub(r"^(-?)\.", r"\g<1>0.", bare)
    return None if nullable and bare.lower() in MISSING else cell


def _boolean(cell: str | None, nullable: bool) -> str | None:
    if cell is None or cell.lower() in _TRUTH:
        return cell and cell.lower()
    return None if nullable and cell.strip().lower() in MISSING else cell


def _numbers(cells: Any, bare: Any, column: str, exact: Mask, number: Mask, missing: Mask) -> tuple[Any, list[str]]:
    """The column as numbers, null where a word stands for that; as it is where one of them is too large for a dtype."""
    import pyarrow as pa
    import pyarrow.compute as pc

    text = pc.if_else(pa.array(number), pc.replace_substring_regex(bare, r"^\+", ""), pa.scalar(None, pa.string()))
    wide = text.cast(pa.float64())
    sizes = np.abs(wide.fill_null(0.0).to_numpy(zero_copy_only=False))
    if np.isinf(sizes).any():
        return cells, [f"column {column!r}: text, because {_first(cells, np.isinf(sizes))} is beyond 64 bits"]
    values = wide
    if _matches(text, _WHOLE)[number].all():
        fitting = (kind for kind in (pa.int64(), pa.uint64()) if _fits(text, kind))
        kind = next(fitting, None)
        if kind is None:
            largest = sizes == sizes.max()
            return cells, [
                f"column {column!r}: text, because {_first(cells, largest)} is beyond 64 bits and no digit may be lost"
            ]
        values = text.cast(kind)
    notes = _said_missing(cells, column, missing)
    odd = number & ~exact
    if odd.any():
        notes.append(
            f"column {column!r}: {_first(cells, odd)} is taken for a number; requests and CSV to score spell numbers "
            f"as JSON does"
        )
    return values, notes


def _fits(text: Any, kind: Any) -> bool:
    import pyarrow as pa

    try:
        text.cast(kind)
    except pa.ArrowInvalid:
        return False
    return True


def _said_missing(cells: Any, column: str, missing: Mask) -> list[str]:
    if not missing.any():
        return []
    words = list(dict.fromkeys(cells.filter(_arrow(missing)).to_pylist()))
    shown = ", ".join(repr(word) for word in words[:6]) + (", …" if len(words) > 6 else "")
    count = int(missing.sum())
    return [
        f"column {column!r}: {shown} is taken for null ({count} cell{'' if count == 1 else 's'}, the first in row "
        f"{int(np.flatnonzero(missing)[0]) + 1}); in CSV to score leave those cells empty"
    ]


def _why_text(cells: Any, bare: Any, column: str, known: Mask, number: Mask, missing: Mask) -> list[str]:
    """Notes on a column that stays text although it looks like something else."""
    texts = known & ~missing
    hinted = [(_matches(bare, pattern) & texts & ~number, hint) for pattern, hint in _HINTS]
    like = number.copy()
    for mask, _ in hinted:
        like |= mask
    notes = []
    if 2 * like.sum() > texts.sum():
        culprits = texts & ~number
        first = int(np.flatnonzero(culprits)[0])
        hint = next((hint for mask, hint in hinted if mask[first]), None)
        why = f": {hint}" if hint else ""
        notes.append(
            f"column {column!r}: text, because {_first(cells, culprits)} is no number ({int(culprits.sum())} of "
            f"{int(known.sum())} cells){why}"
        )
    elif texts.any() and _matches(bare, _TIME)[texts].all():
        notes.append(
            f"column {column!r}: text, although {_first(cells, texts)} looks like a time; contracts have no times: "
            f"write a number (days, seconds), or leave it out: --drop {column}"
        )
    words = known & _among(cells, _OF_PANDAS)
    if words.any():
        count = int(words.sum())
        notes.append(
            f"column {column!r}: {_first(cells, words)} is text here ({count} cell{'' if count == 1 else 's'}) and "
            f"missing for pandas; leave those cells empty where they are null"
        )
    return notes


def _first(cells: Any, mask: Mask) -> str:
    """The first cell that the mask marks, and its row: the first below the header is 1."""
    row = int(np.flatnonzero(mask)[0]) if mask.any() else 0
    text = cells[row].as_py() or ""
    return f"{text if len(text) <= _SHOWN else text[:_SHOWN] + '…'!r} in row {row + 1}"


def _arrow(mask: Mask) -> Any:
    import pyarrow as pa

    return pa.array(mask)


def _mask(values: Any) -> Mask:
    return np.asarray(values.fill_null(False).to_numpy(zero_copy_only=False), np.bool_)


def _matches(values: Any, pattern: str) -> Mask:
    import pyarrow.compute as pc

    return _mask(pc.match_substring_regex(values, pattern))


def _among(values: Any, words: frozenset[str]) -> Mask:
    import pyarrow as pa
    import pyarrow.compute as pc

    return _mask(pc.is_in(values, value_set=pa.array(sorted(words))))
