"""One of two models that are compared: a row under its caller's contract version in, its answer or its refusal out.

A version that the bundle does not carry, but the other one has, is adapted as if it carried it, where that can be done
for every value; it is noted. Answers of the new model are taken back to the old one's contract the same way. Which
outputs can then be compared is left to `output_pairs`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.columns import Columns
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import FivefoldError, ProtocolError
from fivefold.core.evolution.adapter import NotAdaptable
from fivefold.core.runtime.scorer import Scorer
from fivefold.core.view import View


@dataclass(frozen=True, slots=True)
class RowRefusal:
    """A row that a model does not answer."""

    row: int
    code: str
    path: str
    """Without the row's number."""


@dataclass(frozen=True, slots=True)
class SideAnswer:
    """What one model made of some rows."""

    rows: npt.NDArray[np.int64]
    """Those that it answered, rising."""
    inputs: Columns
    """What reached the model, under its own contract."""
    outputs: Columns
    """Its answers, under the contract that is compared."""
    refused: list[RowRefusal]


class ModelSide:
    """A model, opened; `notes` says in words what was adapted for the comparison."""

    def __init__(self, side: str, bundle: Bundle, other: Bundle, compared: Contract) -> None:
        """`side` is `old` or `new`; answers are given under the contract `compared` where that can be done. Raises
        `BundleInvalid` for a model that does not give its golden answers."""
        self.side = side
        self.bundle = bundle
        self.notes: list[str] = []
        self._other = other
        self._views: dict[str, View | ProtocolError] = {}
        out = bundle.views.own if compared is bundle.contract else self._answering(compared)
        self._back = out.back
        self.outputs = out.outputs
        self.scorer = Scorer.open(bundle)

    def answer(self, contract: str, records: Sequence[Any]) -> SideAnswer:
        """Ask about records under a contract version."""
        view = self._view(contract)
        if isinstance(view, ProtocolError):
            return self._nothing([RowRefusal(row, view.code, view.path) for row in range(len(records))])
        reading = view.records.read(records)
        refused = []
        good = np.arange(len(records))
        if reading.violations:
            good = np.flatnonzero(~reading.bad)
            for row in np.flatnonzero(reading.bad).tolist():
                first = view.records.read([records[row]]).violations[0]
                refused.append(RowRefusal(row, first.code, _without_row(first.path)))
        columns = reading.columns if view.into is None else view.into(reading.columns)
        kept: list[npt.NDArray[np.int64]] = []
        outputs: list[Columns] = []
        for places, got in self._scored(columns, np.arange(columns.rows)):
            if isinstance(got, FivefoldError):
                refused.append(RowRefusal(int(good[places[0]]), got.code, _without_row(got.path)))
            else:
                kept.append(places)
                outputs.append(got)
        if not kept:
            return self._nothing(refused)
        places = np.concatenate(kept)
        return SideAnswer(good[places], columns.take(places), Columns.concat(outputs), refused)

    def _scored(
        self, columns: Columns, places: npt.NDArray[np.int64]
    ) -> Iterator[tuple[npt.NDArray[np.int64], Columns | FivefoldError]]:
        """Answers in order; of rows that cannot be answered together, halves are asked until it is one row's matter."""
        if not columns.rows:
            return
        try:
            answer = self.scorer.score(columns)
            yield places, answer if self._back is None else self._back(answer)
        except FivefoldError as error:
            if columns.rows == 1:
                yield places, error
                return
            middle = columns.rows // 2
            for start, stop in ((0, middle), (middle, columns.rows)):
                yield from self._scored(columns.slice(start, stop), places[start:stop])

    def _nothing(self, refused: list[RowRefusal]) -> SideAnswer:
        none = self.bundle.golden()[0].slice(0, 0)
        answer = Columns(self.outputs, {f.name: np.empty((0, *f.shape), f.numpy_dtype) for f in self.outputs}, 0)
        return SideAnswer(np.empty(0, np.int64), none, answer, refused)

    def _view(self, contract: str) -> View | ProtocolError:
        found = self._views.get(contract)
        if found is None:
            try:
                found = self._found(contract)
            except ProtocolError as error:
                found = error
                self.notes.append(f"{self.side}: {error.message}")
            self._views[contract] = found
        return found

    def _found(self, contract: str) -> View:
        """The view of a contract version; raises `ProtocolError` where the model cannot be asked under it."""
        try:
            return self.bundle.views.find(contract)
        except ProtocolError:
            theirs = self._other.views.find(contract).contract
        try:
            view = self._adapted(replace(theirs, outputs=self.bundle.contract.outputs))
        except NotAdaptable as error:
            message = f"rows of {contract} cannot be asked of {self.bundle.views.own.name}: {error}"
            raise ProtocolError("contract_unsupported", message) from error
        self.notes.append(f"{self.side}: does not carry {contract}, whose rows are adapted as if it did")
        return view

    def _answering(self, compared: Contract) -> View:
        """The view under whose outputs the answers are given."""
        name = f"{compared.name}@{compared.version}"
        found = self.bundle.views.get(compared.version)
        if found is not None and found.contract.name == compared.name:
            return found
        try:
            view = self._adapted(replace(compared, inputs=self.bundle.contract.inputs))
        except NotAdaptable as error:
            own = self.bundle.views.own
            self.notes.append(f"{self.side}: answers cannot be given under {name}, but under {own.name}: {error}")
            return own
        self.notes.append(f"{self.side}: does not carry {name}, its answers are adapted as if it did")
        return view

    def _adapted(self, caller: Contract) -> View:
        return View.between(caller, self.bundle.contract, newer=self.side == "old")

    def __enter__(self) -> ModelSide:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.scorer.close()


def _without_row(path: str) -> str:
    """`inputs.age[0][2]` of one row as `inputs.age[2]`: rows are counted, elements named."""
    head, bracket, rest = path.partition("[")
    return head + rest.partition("]")[2] if bracket else path
