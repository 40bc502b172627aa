"""What packing asks of a model in its author's hands: what it is, its conversions to ONNX, and its own answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from fivefold.core.bundle.binding import Binding
from fivefold.core.columns import Array, Columns
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import BundleInvalid
from fivefold.core.fields.field import Field
from fivefold.packing.frames import Seen
from fivefold.packing.graph import Port
from fivefold.packing.measure import Mask


class Unconverted(BundleInvalid):
    """No conversion came about, or none that gives the model's answers: the model may still be packed as it is."""


class Unrunnable(Unconverted):
    """What the converter wrote cannot be run here: the runtime lacks an operator for the types of this one way."""


@dataclass(frozen=True)
class ConversionPlan:
    """One way to convert a model, before it is gone: `name` is what people read of it, `options` are the source's."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Conversion:
    """A model in ONNX. `floats` is the float type that it computes in; `feeds` says which fields a model input takes
    where the converter knows, and the rest is inferred; `notes` are sentences for the report. `nulls` is the text that
    a string input gets for null, where that is not the field's `null_value`."""

    model: Any
    floats: str = ""
    feeds: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    nulls: Mapping[str, str] = field(default_factory=dict)


class SourceModel(Protocol):
    """A model as its author has it: what it is, its conversions to ONNX, and its own answers to compare them with.

    Python classes have neither and are a case of their own.
    """

    kind: ClassVar[str]

    @property
    def facts(self) -> Mapping[str, str]:
        """Libraries and their versions, for the bundle's `created_from`."""

    def features(self) -> tuple[str, ...] | None:
        """The names of the columns that the model was fitted on, in order, where it knows them."""

    def outputs(self, inputs: Sequence[Field], sample: Columns, seen: Mapping[str, Seen], /) -> tuple[Field, ...]:
        """The output fields that a drafted contract starts with, as the model's answers to `sample` show them: a few
        legal rows of the drafted `inputs`. `seen` is what the data holds (`fivefold.packing.frames`)."""

    def plans(
        self, contract: Contract, order: Mapping[str, Sequence[str]], seen: Mapping[str, Seen], sample: Columns, /
    ) -> Sequence[ConversionPlan]:
        """The conversions to try, the preferred one first; `order` is what the user bound, `seen` what the data holds,
        `sample` rows that the model will be measured with. Nothing is converted yet, but the contract's fields are
        matched with the model's features: `ContractInvalid` where they do not fit."""

    def convert(self, plan: ConversionPlan, /) -> Conversion:
        """Convert by one of `plans`, which comes first. Raises whatever the converter raises; `BundleInvalid` where the
        sentence is ours."""

    def answers(self, columns: Columns, binding: Binding, outputs: Sequence[Port], /) -> Mapping[str, Array]:
        """The original's answers under the names of the converted model's outputs, first axis = rows."""

    def felt(self, columns: Columns, /) -> Array | None:
        """The original's answers, [rows, numbers or texts], in which a jump shows where the model decides; None where
        the source is no estimator that could be asked before it is converted."""

    def undecided(self, columns: Columns, tolerance: float, /) -> Mask | None:
        """The rows on which the original's label hangs on rounding."""
