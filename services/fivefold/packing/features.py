"""Which contract fields are a fitted model's features, and in which order.

A model fitted on a data frame knows its columns' names; one fitted on an array only knows how many there are. What the
features become in ONNX is left to the converters, feeding them to `fivefold.core.runtime.scorer`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fivefold.core.bundle import frame
from fivefold.core.columns import Array, Columns
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import ContractInvalid
from fivefold.core.fields.field import Field
from fivefold.packing.bind import normal
from fivefold.packing.libraries import require

_ANONYMOUS = re.compile(r"(f|x|column_|feature_?|v)\d+\Z", re.IGNORECASE)


@dataclass(frozen=True)
class Features:
    """The model's features as contract fields, in the model's order.

    `names` are the model's own names where it has some; `block` says that one field of shape [n] holds them all.
    """

    fields: tuple[Field, ...]
    names: tuple[str, ...] | None
    block: bool = False

    @property
    def numeric(self) -> bool:
        """Whether one 2-D array of numbers can hold a row."""
        return all(field.kind not in ("string", "bytes") for field in self.fields)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns of a frame for the model: its own, else the fields'."""
        return self.names or tuple(field.name for field in self.fields)

    def array(self, columns: Columns, missing: Any = np.nan) -> Array:
        """[rows, features] as the model's author would have made it: float64, or float32 where that loses nothing.

        Null is NaN; in an array that holds text it is `missing`, for text, and NaN for numbers.
        """
        if self.block:
            (field,) = self.fields
            return _numbers(field, columns)
        if not self.numeric:
            out = np.empty((columns.rows, len(self.fields)), object)
            for index, field in enumerate(self.fields):
                out[:, index] = columns[field.name]
                out[columns.nulls(field.name), index] = missing if field.kind == "string" else np.nan
            return out
        wide = np.result_type(*(np.dtype(field.dtype) for field in self.fields), np.float32)
        return columns.block([field.name for field in self.fields], wide)

    def frame(self, columns: Columns, layout: Sequence[frame.FrameColumn]) -> Any:
        """The same rows as a data frame of that layout, under the model's own column names."""
        if self.block:
            (field,) = self.fields
            names = self.names or tuple(f"{field.name}_{index}" for index in range(field.shape[0]))
            return require("pandas").DataFrame(_numbers(field, columns), columns=list(names))
        return frame.frame(columns, layout)


def _numbers(field: Field, columns: Columns) -> Array:
    """The array of a shaped field; integers and booleans that may be null are floats, with NaN for null."""
    values = columns[field.name]
    if not field.nullable or field.kind == "float":
        return values
    out = values.astype(np.float64)
    out[columns.nulls(field.name)] = np.nan
    return out


def match(
    contract: Contract, names: Sequence[str] | None, count: int | None, order: Sequence[str] | None = None
) -> Features:
    """Find the model's features among the contract's inputs; `order` is what the user said. `ContractInvalid`."""
    fields = {field.name: field for field in contract.inputs}
    own = tuple(str(name) for name in names) if names is not None else None
    count = len(own) if own is not None else count
    if order is not None:
        return _counted(tuple(fields[name] for name in order), own, count)
    if len(fields) == 1 and contract.inputs[0].shape:
        field = contract.inputs[0]
        if len(field.shape) != 1 or (count is not None and field.shape[0] != count):
            raise ContractInvalid(
                f"the model takes {count} features, and a row of {field.name!r} has shape {list(field.shape)}",
                path=f"inputs.{field.name}",
                help=f'give the field "shape": [{count}]',
            )
        return Features(contract.inputs, own, block=True)
    if own is not None and not all(_ANONYMOUS.match(name) for name in own):
        return _named(contract, own)
    shaped = [field.name for field in contract.inputs if field.shape]
    if shaped:
        raise ContractInvalid(
            f"the model takes a row of scalars, and {shaped[0]!r} holds an array",
            path=f"inputs.{shaped[0]}",
            help="use one scalar field a feature, or one field that holds all of them",
        )
    return _counted(contract.inputs, own, count)


def _counted(fields: tuple[Field, ...], names: tuple[str, ...] | None, count: int | None) -> Features:
    if count is not None and count != len(fields):
        raise ContractInvalid(
            f"the model takes {count} features, and the contract has {len(fields)} inputs",
            path="inputs",
            help=f"list exactly the model's features in its order: {', '.join((names or ())[:8]) or count}",
        )
    return Features(fields, names)


def _named(contract: Contract, names: tuple[str, ...]) -> Features:
    exact = {name: field for field in contract.inputs for name in (field.name, *field.aliases)}
    loose: dict[str, list[Field]] = {}
    for field in contract.inputs:
        loose.setdefault(normal(field.name), []).append(field)
    found: list[Field] = []
    missing: list[str] = []
    for name in names:
        near = loose.get(normal(name), [])
        match = exact.get(name) or (near[0] if len(near) == 1 else None)
        if match is None or match in found:
            missing.append(name)
        else:
            found.append(match)
    spare = [field.name for field in contract.inputs if field not in found]
    if missing or spare:
        parts = []
        if missing:
            parts.append(f"no field for the model's {', '.join(map(repr, missing[:8]))}")
        if spare:
            parts.append(f"the model has no feature for {', '.join(map(repr, spare[:8]))}")
        if missing and len(missing) == len(spare):
            order = ",".join(field.name for field in contract.inputs[:3])
            fix = f"rename the fields, or give the model's order: --bind X={order},…"
        else:
            fix = f"the model was fitted on: {', '.join(names[:12])}{' …' if len(names) > 12 else ''}"
        raise ContractInvalid("; ".join(parts), path="inputs", help=fix)
    shaped = next((field for field in found if field.shape), None)
    if shaped is not None:
        raise ContractInvalid(
            "a feature of this model is one value a row", path=f"inputs.{shaped.name}", help="take the shape out"
        )
    return Features(tuple(found), names)
