"""One field of a contract: a named value of a row, its dtype, and what it may be.

Reading fields from contract.json is left to `fivefold.core.contract.parse`, holding values against them to
`fivefold.core.check`. Keywords keep the names and the meaning of JSON Schema 2020-12 where it has them.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from fivefold.core.fields.pattern import Pattern

Kind = Literal["bool", "int", "float", "string", "bytes"]

INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
FLOATS = ("float16", "float32", "float64")
DTYPES = ("bool", *INTEGERS, *FLOATS, "string", "bytes")

SAFE_INTEGER = 2**53 - 1
"""The largest integer that a JavaScript number holds exactly (ECMA-262, Number.MAX_SAFE_INTEGER)."""


class _Absent:
    """The default of a field that has none: `None` is a default too."""

    def __repr__(self) -> str:
        return "ABSENT"

    def __reduce__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()


@dataclass(frozen=True)
class FieldLimits:
    """A field's limits in its own dtype, ready to be compared with arrays."""

    low: Any
    high: Any
    enum: npt.NDArray[Any] | None
    known: frozenset[Any]
    pattern: Pattern | None


@dataclass(frozen=True)
class Field:
    """One named value of a row and what it may be.

    `shape` is empty for a scalar; otherwise each row holds an array of exactly that shape. `minimum` and `maximum` are
    inclusive and in the field's `unit`; lengths are in code points (string) or bytes (bytes). In a nullable float NaN
    is null; a nullable field of another dtype names the `null_value` that stands for null where an array has no null
    of its own, and that the model receives there (`null_is_value` says when it is a value all the same). `aliases` are
    other names for the field in data, any text: the headers of somebody's tables are no names. `unknown` is the member
    of an output's `enum`, or of its `labels`, that a caller of this contract gets for what a later one has added.
    """

    name: str
    dtype: str
    shape: tuple[int, ...] = ()
    minimum: float | int | None = None
    maximum: float | int | None = None
    enum: tuple[Any, ...] | None = None
    nullable: bool = False
    null_value: Any = None
    default: Any = ABSENT
    allow_nan: bool = False
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    unit: str | None = None
    description: str | None = None
    aliases: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    unknown: Any = None

    @cached_property
    def kind(self) -> Kind:
        """The family of the dtype; values never convert between families, except integers into floats."""
        if self.dtype in INTEGERS:
            return "int"
        if self.dtype in FLOATS:
            return "float"
        return self.dtype  # type: ignore[return-value]  # the three others are their own family

    @cached_property
    def numeric(self) -> bool:
        """Whether the values are numbers."""
        return self.kind in ("int", "float")

    @property
    def required(self) -> bool:
        """Whether a row must carry the field."""
        return self.default is ABSENT

    @cached_property
    def size(self) -> int:
        """Elements in one row."""
        return math.prod(self.shape)

    @cached_property
    def numpy_dtype(self) -> npt.DTypeLike:
        """The dtype of the column's array: the field's own for numbers and booleans, object for text and bytes."""
        return object if self.kind in ("string", "bytes") else np.dtype(self.dtype)

    @cached_property
    def null(self) -> Any:
        """The value that stands for null in the column's array."""
        if self.kind == "float":
            return math.nan
        return base64.b64decode(self.null_value) if self.kind == "bytes" and self.nullable else self.null_value

    @cached_property
    def null_is_value(self) -> bool:
        """Whether `null_value` is itself a legal value of the field.

        Then it is an ordinary value on every transport, and null is only what a spelling has of its own for null; a
        tensor of plain values has nothing of the kind. Where it is False, a value equal to `null_value` is null too.
        """
        if not self.nullable or self.kind == "float":
            return False
        value, limits = self.null, self.limits
        if self.kind == "bool":
            return True
        if self.kind == "int":
            low, high = self.minimum, self.maximum
            inside = (low is None or value >= low) and (high is None or value <= high)
            return inside and (self.enum is None or value in self.enum)
        least, most = self.min_length, self.max_length
        return (
            (self.enum is None or value in self.enum)
            and (least is None or len(value) >= least)
            and (most is None or len(value) <= most)
            and (limits.pattern is None or limits.pattern.matches(value))
        )

    @cached_property
    def limits(self) -> FieldLimits:
        """Bounds and enum as values of the dtype: floats rounded once from binary64, as the data is."""
        low, high, enum = self.minimum, self.maximum, None
        if self.kind == "float":
            cast = np.dtype(self.dtype).type
            low = None if low is None else cast(float(low))
            high = None if high is None else cast(float(high))
        if self.enum is not None and self.numeric:
            wide = np.array(self.enum, np.float64 if self.kind == "float" else self.dtype)
            enum = wide.astype(self.dtype)
        return FieldLimits(
            low, high, enum, frozenset(self.enum or ()), Pattern.parse(self.pattern) if self.pattern else None
        )

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """Where a plain number may lie, both ends included, as Python numbers: the field's bounds, or its dtype's.

        None for what needs another look than two comparisons: text, nulls, NaN, enumerations.
        """
        if not self.numeric or self.nullable or self.allow_nan or self.enum is not None:
            return None
        info: Any = np.finfo(self.dtype) if self.kind == "float" else np.iinfo(self.dtype)
        number = float if self.kind == "float" else int
        low, high = self.limits.low, self.limits.high
        least, most = number(info.min), number(info.max)
        return (
            least if low is None else max(least, number(low)),
            most if high is None else min(most, number(high)),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # Fields travel to other processes; what is cached on them (a compiled pattern) does not.
        return Field, tuple(getattr(self, f.name) for f in fields(self))

    def to_json(self) -> dict[str, Any]:
        """The field as it stands in contract.json; keywords at their default are left out."""
        out: dict[str, Any] = {"name": self.name, "dtype": self.dtype}
        for keyword, attribute in KEYWORDS.items():
            value = getattr(self, attribute)
            idle = value is None or value is False or value == ()
            if keyword in out or value is ABSENT or (idle and keyword not in ("default", "null_value")):
                continue
            if keyword == "null_value" and (value is None or not self.nullable):
                continue
            out[keyword] = list(value) if isinstance(value, tuple) else value
        return out


KEYWORDS: Final = {
    "name": "name",
    "dtype": "dtype",
    "shape": "shape",
    "minimum": "minimum",
    "maximum": "maximum",
    "enum": "enum",
    "nullable": "nullable",
    "null_value": "null_value",
    "default": "default",
    "allow_nan": "allow_nan",
    "minLength": "min_length",
    "maxLength": "max_length",
    "pattern": "pattern",
    "unit": "unit",
    "description": "description",
    "aliases": "aliases",
    "labels": "labels",
    "unknown": "unknown",
}
assert set(KEYWORDS.values()) == {f.name for f in fields(Field)}


def indices(fields: Sequence[Field]) -> dict[str, int]:
    """The fields' places by their names and aliases."""
    return {name: index for index, field in enumerate(fields) for name in (field.name, *field.aliases)}
