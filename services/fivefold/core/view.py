"""How a model looks to a caller of one contract version: what it sends, what it gets, and the way between.

There is one view of a model, its own contract's, unless its bundle carries further versions: then `into` and `back`
take columns from the caller's version to the model's and back. Encoders and decoders are given a view and never ask for
the model's contract. `Views` are a bundle's, by version. How columns change on the way is left to `evolution.adapter`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fivefold.core.errors import ProtocolError
from fivefold.core.evolution.adapter import Adapter
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

    contract: Contract
    """The contract in this version, for whoever gives it out."""

    into: Callable[[Columns], Columns] | None = None
    """Columns under `inputs` to columns under the model's own inputs; None: they are the same."""

    back: Callable[[Columns], Columns] | None = None
    """Columns under the model's own outputs to columns under `outputs`; None: they are the same."""

    ignored: tuple[str, ...] = ()
    """Inputs of this version that the model does not take."""

    deprecated: dt.date | None = None
    """Since when callers are asked to leave this version."""

    sunset: dt.date | None = None
    """From when on it may be gone."""

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
            contract,
        )

    @classmethod
    def between(
        cls,
        caller: Contract,
        own: Contract,
        *,
        newer: bool = False,
        deprecated: dt.date | None = None,
        sunset: dt.date | None = None,
    ) -> View:
        """A model of the contract `own` as callers of another version see it; raises `NotAdaptable`."""
        adapter = Adapter.between(caller, own, newer=newer)
        return cls(
            f"{caller.name}@{caller.version}",
            caller.description,
            caller.inputs,
            caller.outputs,
            Records(caller.inputs),
            Tensors(caller.inputs),
            caller,
            adapter.into,
            adapter.back,
            adapter.ignored,
            deprecated,
            sunset,
        )

    @property
    def version(self) -> str:
        """The version of the contract."""
        return self.contract.version


class Views(Mapping[str, View]):
    """A bundle's views by contract version, oldest first as the bundle has them; the model's own is among them."""

    def __init__(self, model: str, views: Mapping[str, View], own: str, default: str) -> None:
        self._model = model
        self._views = dict(views)
        self.own = self._views[own]
        """The model's own contract."""
        self.default = self._views[default]
        """What a caller that names no version is answered under."""

    def __getitem__(self, version: str) -> View:
        return self._views[version]

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def find(self, asked: str) -> View:
        """The view of a version, `VERSION` or `NAME@VERSION`; raises `ProtocolError` `contract_unsupported`."""
        found = self._views.get(asked)
        if found is None:
            found = next((view for view in self._views.values() if view.name == asked), None)
        if found is None:
            raise ProtocolError(
                "contract_unsupported",
                f"model {self._model!r} is not served under version {asked[:64]!r} of its contract",
                help=f"versions: {', '.join(self._views)}",
            )
        return found
