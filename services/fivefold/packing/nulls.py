"""Null on its way into a converted model: NaN in a number, a reserved text in a string.

ONNX has no missing text. Where a text may be null, the packed model's input gets a text that no row can hold, and the
converters (`fivefold.packing.imputers`, `fivefold.packing.encoders`) give it what the estimator gave to missing values.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from fivefold.core.fields.field import Field

NONCHARACTER = "\ufdd0"
"""Unicode keeps it for a program's own use: no text that is meant for others holds it."""


@dataclass(frozen=True)
class TextNull:
    """The reserved text, and the object (NaN, None, `pd.NA`) that the original model gets in its place."""

    text: str
    value: Any

    @property
    def none(self) -> bool:
        """Whether the original gets None, which scikit-learn tells apart from NaN."""
        return self.value is None


_current: ContextVar[TextNull | None] = ContextVar("text_null", default=None)


@contextlib.contextmanager
def converting(null: TextNull | None) -> Iterator[None]:
    """While it holds, `current()` is what the converters of texts work with."""
    token = _current.set(null)
    try:
        yield
    finally:
        _current.reset(token)


def current() -> TextNull | None:
    """The reserved text of the conversion that runs; None where no text may be null."""
    return _current.get()


def reserved(fields: Sequence[Field]) -> str | None:
    """The text that stands for null in every string input of a model with these fields; None where none is nullable.

    The fields' own `null_value` where all nullable texts share it and no text may be equal to it, else a noncharacter.
    """
    texts = [field for field in fields if field.kind == "string"]
    values = {field.null_value for field in texts if field.nullable}
    if not values:
        return None
    (value, *others) = values
    return value if not others and not any(_legal(field, value) for field in texts) else NONCHARACTER


def _legal(field: Field, value: str) -> bool:
    if field.nullable:
        return field.null_is_value
    return field.enum is None or value in field.enum


def is_missing(value: Any) -> bool:
    """Whether a category or a constant of an estimator stands for a missing value: None, NaN or `pd.NA`."""
    if value is None or type(value).__name__ == "NAType":
        return True
    return isinstance(value, float) and value != value
