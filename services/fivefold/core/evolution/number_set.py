"""The numbers that a field allows, exactly: members of an enumeration, or an interval of its dtype's numbers.

Numbers are Python's, which compare integers with floats exactly; floats are those of the dtype, bounds rounded once as
the data is. Null and NaN are none of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fivefold.core.fields.field import ABSENT, Field

Number = int | float

_NICE = (0, 1, 0.5, -1, 0.1, 1.5)


def rounded(dtype: str, value: Number) -> float:
    """A number as a float of that dtype: to binary64 first, then once more; infinite where it is beyond."""
    try:
        wide = float(value)
    except OverflowError:
        wide = math.copysign(math.inf, value)
    with np.errstate(over="ignore"):
        return float(np.float64(wide).astype(dtype))


class NumberSet:
    """The numbers of a numeric field: `members`, or everything of the dtype from `low` to `high`."""

    def __init__(self, field: Field) -> None:
        self.field = field
        self.float = field.kind == "float"
        info: Any = np.finfo(field.dtype) if self.float else np.iinfo(field.dtype)
        number = float if self.float else int
        self.least, self.most = number(info.min), number(info.max)
        limits = field.limits
        self.low = self.least if limits.low is None else max(self.least, number(limits.low))
        self.high = self.most if limits.high is None else min(self.most, number(limits.high))
        self.digits = int(info.nmant) + 1 if self.float else 0
        self.members: tuple[Number, ...] | None = None
        self._known: frozenset[Number] = frozenset()
        if limits.enum is not None:
            self._known = frozenset(limits.enum.tolist())
            self.members = tuple(value for value in limits.enum.tolist() if self.low <= value <= self.high)

    @property
    def empty(self) -> bool:
        """Whether there is no number at all."""
        return self.low > self.high or self.members == ()

    def example(self) -> Any:
        """One of them, a plain one where there is a choice; ABSENT where there is none."""
        if self.empty:
            return ABSENT
        if self.members is not None:
            return self.members[0]
        return next(value for value in (*_NICE, self.low) if self.holds(value))

    def changes(self, value: Number) -> bool:
        """Whether the dtype has no such number."""
        if self.float:
            return rounded(self.field.dtype, value) != value
        return value != math.floor(value) or not self.least <= value <= self.most

    def is_below(self, value: Number) -> bool:
        """Whether the field's minimum refuses the number, once it is one of the dtype."""
        return self.field.minimum is not None and self._cast(value) < self.low

    def is_above(self, value: Number) -> bool:
        """Whether the field's maximum refuses the number, once it is one of the dtype."""
        return self.field.maximum is not None and self._cast(value) > self.high

    def is_no_member(self, value: Number) -> bool:
        """Whether the field's enumeration refuses the number, once it is one of the dtype."""
        return self.members is not None and self._cast(value) not in self._known

    def find(self, aspect: str, refuses: Callable[[Number], bool], other: NumberSet) -> Number | None:
        """A number of this set that `refuses`, a question of `other`'s about `aspect`, is true of; None: there is none.

        Exact: the candidates hold such a number wherever the set does.
        """
        if self.members is not None:
            return next((value for value in self.members if refuses(value)), None)
        candidates = {
            "dtype": self._of_no_dtype,
            "minimum": self._below,
            "maximum": self._above,
            "enum": self._first,
        }[aspect](other)
        return next((value for value in candidates if self.holds(value) and refuses(value)), None)

    def _cast(self, value: Number) -> Number:
        return rounded(self.field.dtype, value) if self.float else value

    def holds(self, value: Number) -> bool:
        """Whether the number is one of the set."""
        if not self.low <= value <= self.high:
            return False
        return not self.changes(value) and (self.members is None or value in self._known)

    def _below(self, other: NumberSet) -> Iterator[Number]:
        yield from (self._own(other.low - 1), self._own(math.floor(other.low)), self.low)

    def _above(self, other: NumberSet) -> Iterator[Number]:
        yield from (self._own(other.high + 1), self._own(math.ceil(other.high)), self.high)

    def _own(self, value: Number) -> Number:
        """The number as one of this dtype, which may be another."""
        if self.float:
            return rounded(self.field.dtype, value)
        return math.floor(value) if math.isfinite(value) else self.low

    def _first(self, other: NumberSet) -> Iterator[Number]:
        """More numbers than the other has members, counted in this dtype and in the other's."""
        yield from (self._own(value) for value in _NICE)
        for counting in (self, other):
            value = counting._own(self.low)
            for _ in range(len(other.members or ()) + 2):
                yield self._own(value)
                value = counting._next(value)

    def _of_no_dtype(self, other: NumberSet) -> Iterator[Number]:
        """Numbers of this interval, among which is one that the other dtype lacks if it lacks any."""
        yield from (self._own(value) for value in _NICE)
        if self.float:
            # Floats are finest next to zero: if two neighbours there are whole, or fit a narrower dtype, all do.
            nearest = min(max(self.low, 0.0), self.high)
            yield from (nearest, self._next(nearest), -self._next(-nearest), self.low, self.high)
            return
        # Of the integers that a float dtype lacks those next to 2^digits come first, and beyond it is every odd one.
        fine = 2**other.digits
        yield from (fine + 1, -fine - 1) if other.float else (other.most + 1, other.least - 1)
        yield from (self.low, self.low + 1, self.high, self.high - 1)

    def _next(self, value: Number) -> Number:
        if not self.float:
            return value + 1
        kind = np.dtype(self.field.dtype).type
        with np.errstate(over="ignore", under="ignore"):
            return float(np.nextafter(kind(value), kind(np.inf)))
