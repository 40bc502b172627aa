"""How a model looks to a caller of one contract version: what it sends, what it gets, and the way between.

There is one view of a model, its own contract's, unless versions differ: then `into` and `back` take columns from the
caller's version to the model's and back. Encoders and decoders are given a view and never ask for the model's contract.
Deciding which versions may be served so is left to evolution.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fivefold.core.readers.records import Records
from fivefold.core.readers.tensors import Tensors

if TYPE_CHECKING:
    from fivefold.core.columns import Columns
    from fivefold.core.contract.contract import Contract
    from fivefold.core.fields.field import Field


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A model's contract in one version, with its readers."""

    name: str
    """`NAME@VERSION` of the contract."""

    description: str | None
    """What the contract says of itself."""

    inputs: tuple[Field, ...]
    """What a caller sends, in order."""

    outputs: tuple[Field, ...]
    """What a caller gets, in order."""

    records: Records
    """Reads rows as objects."""

    tensors: Tensors
    """Reads one tensor for each field."""

    into: Callable[[Columns], Columns] | None = None
    """Columns under `inputs` to columns under the model's own inputs; None: they are the same."""

    back: Callable[[Columns], Columns] | None = None
    """Columns under the model's own outputs to columns under `outputs`; None: they are the same."""

    @classmethod
    def of(cls, contract: Contract) -> View:
        """The model's own contract, as it is."""
        return cls(
            f"{contract.name}@{contract.version}",
            contract.description,
            contract.inputs,
            contract.outputs,
            Records(contract.inputs),
            Tensors(contract.inputs),
        )
