"""How one runtime's answers agree with the expected ones, row for row.

Floats agree within the limit, relative above 1 as golden answers do (`core.runtime.scorer.within`); all else is equal,
and refusals are equal in every code and path. Which class is the largest is counted apart: a difference that is small
and turns a decision is shown as what it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fivefold.behaviour.output_pairs import OutputPair, output_pairs
from fivefold.core.check.findings import describe
from fivefold.core.columns import Columns
from fivefold.core.fields.field import Field
from fivefold.core.runtime.scorer import within
from fivefold.parity.question_rows import Question
from fivefold.parity.row_answers import RowAnswer, RowRefused, RowUnreadable

SHOWN = 5
"""Rows that differ which a report names; all are counted."""


@dataclass(slots=True)
class RuntimeAgreement:
    """What became of one runtime: `agrees`, `differs`, `failed` while it was asked, or `absent` on this machine."""

    name: str
    status: str = "agrees"
    reason: str = ""
    help: str = ""
    asked: int = 0
    unsaid: int = 0
    """Rows that this runtime's form of a request cannot say."""
    largest: float = 0.0
    """The largest difference of any float, infinity where one side has none."""
    largest_at: str = ""
    largest_scaled: float = 0.0
    """The largest difference in proportion to max(1, |expected|): what the limit is a limit of."""
    classed: int = 0
    same_class: int = 0
    refused: int = 0
    same_refusal: int = 0
    differing: int = 0
    examples: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """For programs; an infinite difference is null."""
        if self.status == "absent":
            return {"runtime": self.name, "status": self.status, "reason": self.reason, "help": self.help}
        return {
            "runtime": self.name,
            "status": self.status,
            **({"reason": self.reason} if self.reason else {}),
            "rows": self.asked,
            "rows_not_said": self.unsaid,
            "largest_difference": self.largest if np.isfinite(self.largest) else None,
            "largest_at": self.largest_at,
            "largest_scaled_difference": self.largest_scaled if np.isfinite(self.largest_scaled) else None,
            "rows_with_a_class": self.classed,
            "same_class": self.same_class,
            "refused": self.refused,
            "same_refusal": self.same_refusal,
            "differing_rows": self.differing,
            "examples": self.examples,
            "seconds": round(self.seconds, 3),
        }


class RowComparison:
    """Compares answers under one contract's outputs, within one limit."""

    def __init__(self, outputs: Sequence[Field], limit: float) -> None:
        self._outputs, self._limit = tuple(outputs), limit
        pairs, _ = output_pairs(self._outputs, self._outputs)
        self._classes: list[OutputPair] = [pair for pair in pairs if pair.kind == "category"]

    def compare(
        self,
        into: RuntimeAgreement,
        asked: Sequence[Question],
        expected: Sequence[RowAnswer],
        got: Sequence[RowAnswer],
    ) -> None:
        """Count and name what differs; the status becomes `differs` where anything does."""
        into.asked += len(asked)
        if len(got) != len(asked):
            into.status, into.reason = "failed", f"{len(got):,} answers to {len(asked):,} rows"
            return
        for question, wanted, given in zip(asked, expected, got, strict=True):
            problem = self._row(into, wanted, given, f"row {question.number} ({question.origin})")
            if problem:
                into.differing += 1
                into.status = "differs"
                if len(into.examples) < SHOWN:
                    into.examples.append(f"row {question.number} ({question.origin}): {problem}")

    def _row(self, into: RuntimeAgreement, wanted: RowAnswer, given: RowAnswer, where: str) -> str | None:
        if isinstance(wanted, RowRefused):
            into.refused += 1
            if wanted == given:
                into.same_refusal += 1
                return None
            said = given.describe() if isinstance(given, RowRefused) else _answer(given)
            return f"expected a refusal, {wanted.describe()}; got {said}"
        assert isinstance(wanted, Columns)
        if not isinstance(given, Columns):
            said = f"a refusal, {given.describe()}" if isinstance(given, RowRefused) else given.reason
            return f"expected an answer; got {said}"
        if self._classes:
            into.classed += 1
            into.same_class += all(_same_class(pair, wanted, given) for pair in self._classes)
        problem = None
        for output in self._outputs:
            problem = self._output(into, output, wanted, given, where) or problem
        return problem

    def _output(self, into: RuntimeAgreement, output: Field, wanted: Columns, given: Columns, where: str) -> str | None:
        ours, theirs = given[output.name], wanted[output.name]
        if output.kind == "float":
            apart, scaled = _apart(ours, theirs)
            into.largest_scaled = max(into.largest_scaled, scaled)
            if apart > into.largest:
                into.largest, into.largest_at = apart, f"{where}, outputs.{output.name}"
        good = within(output, ours, theirs, self._limit)
        if output.nullable:
            good &= wanted.nulls(output.name) == given.nulls(output.name)
        outside = np.argwhere(~good)
        if not len(outside):
            return None
        at = tuple(int(index) for index in outside[0])
        place = "".join(f"[{index}]" for index in at[1:])
        limit = f" within {self._limit:g}" if output.kind == "float" and self._limit else ""
        return f"outputs.{output.name}{place}: expected {_value(theirs[at])}{limit}, got {_value(ours[at])}"


def _apart(ours: np.ndarray[Any, Any], theirs: np.ndarray[Any, Any]) -> tuple[float, float]:
    """The largest difference, and the largest in proportion to the expected value, where that is above 1."""
    left, right = ours.astype(np.float64), theirs.astype(np.float64)
    with np.errstate(invalid="ignore"):
        apart = np.abs(left - right)
    apart[(left == right) | (np.isnan(left) & np.isnan(right))] = 0.0
    apart[np.isnan(apart)] = np.inf
    size = np.maximum(1.0, np.where(np.isfinite(right), np.abs(right), 1.0))
    return float(apart.max(initial=0.0)), float((apart / size).max(initial=0.0))


def _same_class(pair: OutputPair, wanted: Columns, given: Columns) -> bool:
    (left, lost), (right, gone) = pair.values(wanted, old=True), pair.values(given, old=True)
    return bool(((left == right) | lost).all() and (lost == gone).all())


def _value(value: Any) -> str:
    """A value in full: two floats that differ by a bit must not look alike."""
    return repr(value.item()) if isinstance(value, np.floating) else describe(value)


def _answer(given: Columns | RowUnreadable) -> str:
    return given.reason if isinstance(given, RowUnreadable) else "an answer"
