"""Which outputs of two models are compared, and as what: categories, which agree or not, or numbers, which are apart.

    category   an enum, a bool, text, bytes; of numbers with labels the label of the largest one (the first of equals)
    number     every other number, those with labels included

Outputs are paired as an adapter pairs them. What has no counterpart of its own kind, shape and unit is left out, with
the reason. Counting is left to `measures`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fivefold.core.columns import Array, Columns, Nulls
from fivefold.core.evolution.pairing import pairs
from fivefold.core.fields.field import Field


@dataclass(frozen=True, slots=True)
class OutputPair:
    """One output of both models, compared in one way."""

    old: Field
    new: Field
    kind: Literal["category", "number"]
    largest: bool = False
    """Whether the categories are the labels of the largest numbers."""
    shared: tuple[str, ...] = ()
    """The labels whose numbers are compared, where the two have others."""

    @property
    def name(self) -> str:
        """The old output's, with what is compared of it."""
        return f"{self.old.name}, largest label" if self.largest else self.old.name

    @property
    def one_class(self) -> bool:
        """Whether a row's old answer is one category."""
        return self.kind == "category" and (self.old.shape[:-1] if self.largest else self.old.shape) == ()

    def values(self, columns: Columns, *, old: bool) -> tuple[Array, Nulls]:
        """One side's column as it is compared, and where it is null."""
        field = self.old if old else self.new
        array, nulls = columns[field.name], columns.nulls(field.name)
        if self.largest:
            lost = np.asarray((nulls | np.isnan(array) if field.kind == "float" else nulls).any(axis=-1), np.bool_)
            labels = np.empty(len(field.labels), object)
            labels[:] = field.labels
            return labels[np.where(lost, 0, array.argmax(axis=-1))], lost
        if self.shared:
            places = [field.labels.index(label) for label in self.shared]
            return array[..., places], nulls[..., places]
        return array, nulls


def output_pairs(old: Sequence[Field], new: Sequence[Field]) -> tuple[list[OutputPair], list[str]]:
    """The pairs in the old outputs' order, and a sentence for each output that is in none."""
    found: list[OutputPair] = []
    left_out: list[str] = []
    pairing = pairs(new, old)
    for theirs, ours in pairing.matched:
        reason = _reason(ours, theirs)
        if reason:
            left_out.append(f"{ours.name}: {reason}")
        elif ours.labels and theirs.labels and ours.numeric:
            shared = tuple(label for label in ours.labels if label in theirs.labels)
            found.append(OutputPair(ours, theirs, "category", largest=True))
            if not shared:
                left_out.append(f"{ours.name}: the two have no label in common")
            elif ours.labels == theirs.labels:
                found.append(OutputPair(ours, theirs, "number"))
            else:
                found.append(OutputPair(ours, theirs, "number", shared=shared))
                left_out += [f"{ours.name}, {label}: only one of the two has it" for label in _lone(ours, theirs)]
        else:
            category = not ours.numeric or ours.enum is not None
            found.append(OutputPair(ours, theirs, "category" if category else "number"))
    left_out += [f"{field.name}: the new model does not give it" for field in pairing.unsent]
    left_out += [f"{field.name}: only the new model gives it" for field in pairing.unreceived]
    return found, left_out


def _lone(ours: Field, theirs: Field) -> list[str]:
    return [
        *(label for label in ours.labels if label not in theirs.labels),
        *(label for label in theirs.labels if label not in ours.labels),
    ]


def _reason(ours: Field, theirs: Field) -> str | None:
    """Why two outputs of one name cannot be compared."""
    mine, other = ("number" if field.numeric else field.kind for field in (ours, theirs))
    if mine != other:
        return f"{mine} in the old model, {other} in the new one"
    if ours.unit and theirs.unit and ours.unit != theirs.unit:
        return f"{ours.unit} in the old model, {theirs.unit} in the new one"
    labelled = bool(ours.labels and theirs.labels)
    if bool(ours.labels) != bool(theirs.labels):
        return "only one of the two has labels"
    before, after = ((field.shape[:-1] if labelled else field.shape) for field in (ours, theirs))
    return (
        None if before == after else f"shape {list(ours.shape)} in the old model, {list(theirs.shape)} in the new one"
    )
