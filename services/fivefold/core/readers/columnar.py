"""Values that are spelled by column, `{"field": [one value a row, …]}`: which field each array belongs to.

What the values may be is left to the record reader, which reads them like those of records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fivefold.core.check import say
from fivefold.core.contract import Field
from fivefold.core.errors import ContractError


@dataclass(slots=True)
class Spelled:
    """Arrays by their field's index, all of `rows` values; names of no field, and fields that were given twice."""

    rows: int = 0
    arrays: dict[int, list[Any]] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    doubled: list[int] = field(default_factory=list)


def spelled(fields: Sequence[Field], names: Mapping[str, int], inputs: Any) -> Spelled:
    """The arrays of an object, or the array alone where there is a single field; `names` leads to the fields' indices.

    Raises `ContractError` `malformed` for what is no such object, or where lengths disagree.
    """
    if isinstance(inputs, list) and len(fields) == 1:
        inputs = {fields[0].name: inputs}
    if not isinstance(inputs, dict):
        raise _malformed(f"expected an object with an array for each field, got {say(inputs)}", "inputs")
    if not inputs and not any(item.required for item in fields):
        raise _malformed("expected one field at least: no field, no number of rows", "inputs")
    out = Spelled()
    for name, values in inputs.items():
        index = names.get(name, -1)
        if index < 0:
            out.unknown.append(name)
            continue
        path = f"inputs.{fields[index].name}"
        if not isinstance(values, list):
            raise _malformed(f"expected an array with one value a row, got {say(values)}", path)
        if not out.arrays:
            out.rows = len(values)
        elif len(values) != out.rows:
            raise _malformed(f"expected {out.rows} values as in the first field, got {len(values)}", path)
        if index in out.arrays:
            out.doubled.append(index)
        out.arrays[index] = values
    return out


def _malformed(message: str, path: str) -> ContractError:
    return ContractError("malformed", message, path=path)
