"""Two bundles on the same rows: what they answer differently, in how many rows, by how much, and where it is worst.

Rows reach both models under the contract version that they speak; answers are compared under the old bundle's own
contract where the new one can give it. A row that one of them refuses is counted by its code and path and compared
nowhere. What is too much is left to `thresholds`, words and pictures to `wording` and `picture`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fivefold.behaviour.compared_rows import BrokenLine, RowBatch, RowSource, golden_batches, recorded_batches
from fivefold.behaviour.measures import Change, Disagreement, change, differing, disagreement, distances
from fivefold.behaviour.model_side import ModelSide
from fivefold.behaviour.output_pairs import OutputPair, output_pairs
from fivefold.behaviour.slices import Slicing, by_input, by_source, by_value, sliceable
from fivefold.core.bundle.bundle import Bundle
from fivefold.core.columns import Columns
from fivefold.core.errors import RunFailed
from fivefold.core.outcome import showable

EXAMPLES = 5
"""Rows that are named for each output, the worst first."""

Measure = Disagreement | Change


@dataclass(frozen=True, slots=True)
class SlicedMeasure:
    """One output's measure in one slice; `slicing` is `class of NAME`, an input or `rows`."""

    slicing: str
    slice: str
    measure: Measure

    def to_json(self) -> dict[str, Any]:
        return {"slicing": self.slicing, "slice": self.slice} | self.measure.to_json()


@dataclass(frozen=True, slots=True)
class DifferingRow:
    """A row as somebody finds it again, and what both models answer."""

    source: str
    number: int
    old: Any
    new: Any

    def to_json(self) -> dict[str, Any]:
        return {
            "rows": self.source,
            "number": self.number,
            "old": showable(self.old),
            "new": showable(self.new),
        }


@dataclass(frozen=True, slots=True)
class OutputDifference:
    """One output of both models."""

    name: str
    kind: str
    whole: Measure
    slices: tuple[SlicedMeasure, ...]
    examples: tuple[DifferingRow, ...]

    @property
    def worst(self) -> SlicedMeasure | None:
        """The slice that is worst for sure: the highest low end of a rate's interval, or the largest change."""
        return max(self.slices, key=_badness, default=None)

    def to_json(self) -> dict[str, Any]:
        return {
            "output": self.name,
            "kind": self.kind,
            **self.whole.to_json(),
            "slices": [each.to_json() for each in self.slices],
            "examples": [each.to_json() for each in self.examples],
        }


@dataclass(frozen=True, slots=True)
class RefusalCount:
    """Rows that one side did not answer, for one reason; `side` is `old`, `new` or `file`."""

    side: str
    code: str
    path: str
    rows: int
    first: str
    """Where the first of them stands."""

    def describe(self) -> str:
        """A line about them."""
        who = "lines without a record" if self.side == "file" else f"refused by the {self.side} model"
        where = f" at {self.path}" if self.path else ""
        return f"{self.rows:,} {who}: {self.code}{where} (first: {self.first})"

    def to_json(self) -> dict[str, Any]:
        return {"side": self.side, "code": self.code, "path": self.path, "rows": self.rows, "first": self.first}


@dataclass(frozen=True, slots=True)
class BehaviourDifference:
    """All that was found."""

    old: str
    new: str
    """`NAME@VERSION (DIGEST…)` of the bundles."""
    contract: str
    """Under which the answers are compared."""
    sources: tuple[RowSource, ...]
    rows: int
    """Compared ones."""
    lost: int
    """Rows that the old model answers and the new one refuses."""
    gained: int
    """The other way round."""
    refused: tuple[RefusalCount, ...]
    outputs: tuple[OutputDifference, ...]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "old": self.old,
            "new": self.new,
            "contract": self.contract,
            "sources": [each.to_json() for each in self.sources],
            "rows": self.rows,
            "lost": self.lost,
            "gained": self.gained,
            "refused": [each.to_json() for each in self.refused],
            "outputs": [each.to_json() for each in self.outputs],
            "left_out": list(self.left_out),
            "notes": list(self.notes),
        }


def contrast(old: Bundle, new: Bundle, rows: Sequence[str | Path] = (), by: Sequence[str] = ()) -> BehaviourDifference:
    """Ask both models about the golden rows of both and about the rows of files, and compare the answers.

    `by` names inputs of the old bundle's contract by which rows are sliced. Raises `BundleInvalid` for a model that
    does not give its golden answers, `ProtocolError` for a field that no rows can be sliced by, `NotFound` for a file
    that is not there, and `RunFailed` where no row could be compared.
    """
    fields = [sliceable(name, old.contract.inputs) for name in by]
    with ModelSide("old", old, new, old.contract) as mine, ModelSide("new", new, old, old.contract) as theirs:
        pairs, left_out = output_pairs(mine.outputs, theirs.outputs)
        counted = _Answers(mine, theirs)
        for batch in _batches(old, new, rows):
            counted.add(batch)
        notes = (*dict.fromkeys((*mine.notes, *theirs.notes)),)
    if not counted.rows:
        why = "".join(f"; {each.describe()}" for each in counted.refusals())
        raise RunFailed("input_broken", f"no row could be compared{why}", help=notes[0] if notes else None)
    inputs, before, after = (Columns.concat(parts) for parts in (counted.inputs, counted.before, counted.after))
    slicings = [by_input(each, inputs[each.name], inputs.nulls(each.name)) for each in fields]
    codes = np.concatenate(counted.places)
    if len(counted.sources) > 1:
        slicings.append(by_source([source.name for source in counted.sources], codes))
    found = [_PairOnRows(pair, before, after) for pair in pairs]
    classes = {each.pair.name: each.slicing() for each in found if each.pair.one_class}
    first = next(iter(classes.values()), None)
    where = _Where([source.name for source in counted.sources], codes, np.concatenate(counted.numbers))
    outputs = []
    for each in found:
        # Numbers go by the class that the old model's first category gives a row.
        own = classes.get(each.pair.name) if each.pair.kind == "category" else first
        outputs.append(each.difference([*([own] if own else []), *slicings], where))
    return BehaviourDifference(
        _named(old),
        _named(new),
        f"{old.contract.name}@{old.contract.version}",
        tuple(counted.sources),
        counted.rows,
        counted.lost,
        counted.gained,
        tuple(counted.refusals()),
        tuple(outputs),
        tuple(left_out),
        notes,
    )


def _batches(old: Bundle, new: Bundle, rows: Sequence[str | Path]) -> Iterator[RowBatch | BrokenLine]:
    yield from golden_batches(old, new)
    for path in rows:
        yield from recorded_batches(path, old, new)


def _named(bundle: Bundle) -> str:
    return f"{bundle.name}@{bundle.version} ({bundle.digest[:12]}…)"


@dataclass(slots=True)
class _Answers:
    """What both models have answered so far."""

    old: ModelSide
    new: ModelSide
    sources: list[RowSource] = field(default_factory=list)
    inputs: list[Columns] = field(default_factory=list)
    before: list[Columns] = field(default_factory=list)
    after: list[Columns] = field(default_factory=list)
    places: list[npt.NDArray[np.int64]] = field(default_factory=list)
    numbers: list[npt.NDArray[np.int64]] = field(default_factory=list)
    tally: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    firsts: dict[tuple[str, str, str], str] = field(default_factory=dict)
    rows: int = 0
    lost: int = 0
    gained: int = 0

    def add(self, batch: RowBatch | BrokenLine) -> None:
        """Ask about some rows."""
        place = next((at for at, known in enumerate(self.sources) if known is batch.source), len(self.sources))
        if place == len(self.sources):
            self.sources.append(batch.source)
        if isinstance(batch, BrokenLine):
            self._refuse("file", batch.error.code, batch.error.path, f"{batch.source.name}, {batch.number}")
            return
        if not batch.records:
            return
        mine, theirs = (side.answer(batch.contract, batch.records) for side in (self.old, self.new))
        numbers = np.array(batch.numbers, np.int64)
        for side, answer in (("old", mine), ("new", theirs)):
            for refusal in sorted(answer.refused, key=lambda each: each.row):
                where = f"{batch.source.name}, {numbers[refusal.row]}"
                self._refuse(side, refusal.code, refusal.path, where)
        both, at_old, at_new = np.intersect1d(mine.rows, theirs.rows, assume_unique=True, return_indices=True)
        self.lost += len(mine.rows) - len(both)
        self.gained += len(theirs.rows) - len(both)
        if not len(both):
            return
        self.rows += len(both)
        batch.source.compared += len(both)
        self.inputs.append(mine.inputs.take(at_old))
        self.before.append(mine.outputs.take(at_old))
        self.after.append(theirs.outputs.take(at_new))
        self.places.append(np.full(len(both), place, np.int64))
        self.numbers.append(numbers[both])

    def refusals(self) -> list[RefusalCount]:
        """By side, the most frequent reason first."""
        order = {"file": 0, "old": 1, "new": 2}
        found = sorted(self.tally.items(), key=lambda each: (order[each[0][0]], -each[1], each[0]))
        return [RefusalCount(*key, count, self.firsts[key]) for key, count in found]

    def _refuse(self, side: str, code: str, path: str, where: str) -> None:
        key = side, code, path
        self.tally[key] += 1
        self.firsts.setdefault(key, where)


@dataclass(frozen=True, slots=True)
class _Where:
    """Where each compared row stands."""

    names: Sequence[str]
    codes: npt.NDArray[np.int64]
    numbers: npt.NDArray[np.int64]

    def row(self, at: int, old: Any, new: Any) -> DifferingRow:
        return DifferingRow(self.names[self.codes[at]], int(self.numbers[at]), old, new)


class _PairOnRows:
    """One pair of outputs on all rows that both models answer."""

    def __init__(self, pair: OutputPair, before: Columns, after: Columns) -> None:
        self.pair = pair
        self._old, self._old_nulls = pair.values(before, old=True)
        self._new, self._new_nulls = pair.values(after, old=False)
        values = (self._old, self._old_nulls, self._new, self._new_nulls)
        if pair.kind == "category":
            self._differ = differing(*values)
            self._apart = self._differ.astype(np.float64)
        else:
            self._apart, self._differ = distances(*values)

    def slicing(self) -> Slicing:
        """Rows by the class of the old answer; for pairs of one class a row alone."""
        count = len(self._old)
        labels = self.pair.old.labels if self.pair.largest else self.pair.old.enum or ()
        title = f"class of {self.pair.name}"
        return by_value(title, self._old.reshape(count), self._old_nulls.reshape(count), labels)

    def difference(self, slicings: Sequence[Slicing], where: _Where) -> OutputDifference:
        """Measured as a whole, and in every slice that has rows."""
        everything = np.ones(len(self._apart), np.bool_)
        slices = []
        for slicing in slicings:
            for at, name in enumerate(slicing.names):
                members = slicing.members(at)
                if members.any():
                    slices.append(SlicedMeasure(slicing.title, name, self._measure(members)))
        return OutputDifference(
            self.pair.name, self.pair.kind, self._measure(everything), tuple(slices), self._examples(where)
        )

    def _measure(self, members: npt.NDArray[np.bool_]) -> Measure:
        if self.pair.kind == "category":
            return disagreement(self._differ[members])
        return change(self._apart[members], self._differ[members])

    def _examples(self, where: _Where) -> tuple[DifferingRow, ...]:
        # A number on one side alone is worse than any distance.
        weight = np.where(self._differ, np.inf, self._apart)
        worst = np.argsort(-weight, kind="stable")[:EXAMPLES]
        return tuple(
            where.row(int(at), _value(self._old, self._old_nulls, at), _value(self._new, self._new_nulls, at))
            for at in worst
            if weight[at] > 0
        )


def _value(array: npt.NDArray[Any], nulls: npt.NDArray[np.bool_], at: int) -> Any:
    """A row's value as JSON, null where it is null."""
    row, none = array[at], nulls[at]
    if array.ndim == 1:
        return None if none else row.item() if isinstance(row, np.generic) else row
    out = row.astype(object)
    out[none] = None
    return out.tolist()


def _badness(each: SlicedMeasure) -> tuple[float, float, int]:
    measure = each.measure
    if isinstance(measure, Disagreement):
        # A slice of two rows that both differ says less than one of sixty of which forty do.
        return measure.interval[0] if measure.interval and measure.differ else 0.0, measure.rate or 0.0, measure.rows
    return float(measure.unlike > 0), measure.largest or 0.0, measure.rows
