"""Calls that are read here, under the model's contract, with the readers of the server: a mistake is refused alike.

The client asks for the model's contract (it travels in the model's configuration, with the digest of its bundle), keeps
it, and notices by refusals and by the bundle that each answer names when the server has another one. How a contract is
fetched and how columns are scored is left to the dialects.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np

from fivefold.client import foreign
from fivefold.client.retry import Attempts, CallOptions
from fivefold.client.tables import Given
from fivefold.core.columns import Array, Columns
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import ContractError, FivefoldError, ProtocolError
from fivefold.core.readers.records import Records

ROUNDS = 4
"""How often a call is made whose answers come from bundles with differing contracts, as while one replaces another."""

_KEPT = 4
"""Bundles whose contracts are kept for one model and version: as many as a roll-out may have at once, and more."""


@dataclass(frozen=True, slots=True)
class Known:
    """A model's contract as the server gave it, with the digest of the bundle that it stands in."""

    contract: Contract
    bundle: str
    records: Records


@dataclass(frozen=True, slots=True)
class ScoredTensors:
    """Output arrays by name, text as bytes, or records, and the metadata; inside `reading` faults are the answer's."""

    outputs: Mapping[str, Array] | list[Any]
    metadata: dict[str, Any]
    reading: Callable[[], AbstractContextManager[None]]


class UnderContract(ABC):
    """Contracts are kept, per model and asked version, and read again where the server's is another by now: where it
    refuses what was read under ours, or says in its answer that another bundle gave it.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, str | None], dict[str, Known]] = {}

    @abstractmethod
    def fetch(self, model: str, version: str | None, options: CallOptions) -> Attempts[tuple[Contract, str]]:
        """The contract as the server holds it now, and the digest of its bundle."""

    @abstractmethod
    def score(self, model: str, version: str | None, columns: Columns, options: CallOptions) -> Attempts[ScoredTensors]:
        """The outputs for legal columns."""

    def predict_given(
        self, model: str, version: str | None, given: Given, options: CallOptions
    ) -> Attempts[tuple[Any, dict[str, Any]]]:
        """Rows in any form to outputs in the same."""
        kept = self._known.setdefault((model, version), {})
        known = next(reversed(kept.values()), None)
        fresh = known is None
        for _ in range(ROUNDS):
            if known is None:
                known = yield from self.ask(model, version, options)
            refusal: FivefoldError
            try:
                columns = given.read(known.records).accept()
                found = yield from self.score(model, version, columns, options.under(known.contract.version))
            except FivefoldError as err:
                if fresh or not (isinstance(err, ContractError) or err.code == "contract_unsupported"):
                    raise
                refusal = err
            else:
                bundle = found.metadata.get("bundle")
                if bundle is None or bundle == known.bundle:
                    return given.answer(_outputs(found, known.contract, columns.rows)), found.metadata
                other = kept.get(bundle) or (yield from self.ask(model, version, options))
                if other.bundle == bundle and other.contract == known.contract:
                    return given.answer(_outputs(found, known.contract, columns.rows)), found.metadata
                # What was read under one contract was answered under another: that is no answer.
                known, fresh = other, True
                continue
            other = yield from self.ask(model, version, options)
            if other.contract == known.contract:
                raise refusal
            known, fresh = other, True
        raise ProtocolError(
            "contract_unsupported",
            f"{model!r} is answered under another contract with each call",
            help="ask again when its new version is everywhere, or name the version",
        )

    def ask(self, model: str, version: str | None, options: CallOptions) -> Attempts[Known]:
        """The model's contract as it is now, which is kept."""
        contract, bundle = yield from self.fetch(model, version, options)
        found = Known(contract, bundle, Records(contract.inputs))
        kept = self._known.setdefault((model, version), {})
        kept.pop(bundle, None)
        kept[bundle] = found
        while len(kept) > _KEPT:
            del kept[next(iter(kept))]
        return found


def _outputs(found: ScoredTensors, contract: Contract, rows: int) -> Columns:
    """The outputs as columns."""
    with found.reading():
        if isinstance(found.outputs, list):
            return Records(contract.outputs).read(found.outputs).accept()
        outputs = {field.name: _column(found.outputs[field.name], field.kind) for field in contract.outputs}
        for field in contract.outputs:
            if outputs[field.name].shape != (rows, *field.shape):
                raise foreign.Misread(f"{field.name} has shape {list(outputs[field.name].shape)} for {rows} records")
        return Columns(contract.outputs, outputs, rows)


def _column(array: Array, kind: str) -> Array:
    if kind != "string":
        return array
    out = np.empty(array.shape, object)
    out.reshape(-1)[:] = [item.decode() for item in array.reshape(-1)]
    return out
