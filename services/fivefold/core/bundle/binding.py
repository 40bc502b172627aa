"""The binding: which contract field feeds which model input, and which model output answers which field.

`check` holds a binding against a contract, so that nothing is left unfed, answered twice or converted in a way that
loses values. Whether the model really has those inputs and outputs is left to the runner that opens the model.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
import numpy as np

from fivefold.core.contract.contract import Contract
from fivefold.core.errors import BundleInvalid
from fivefold.core.fields.field import DTYPES, FLOATS, INTEGERS, Field
from fivefold.core.fields.suggestion import nearest

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]

MANIFEST = "bundle.json"


class InputBinding(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One input of the model and the fields that feed it.

    With `stack` the input is 2-D, [rows, len(fields)], and the fields are scalars in that order; without it there is
    exactly one field and the input is [rows, *field.shape] (or [rows, 1] for a scalar, where the model says so).
    `dtype` is the model's element type under its contract name, such as `float32`.

    Null reaches a float input as NaN, and an input of another dtype as the field's `null_value`; `null` is the text
    that a string input gets instead.
    """

    model_input: Name
    fields: tuple[Name, ...]
    dtype: str
    stack: bool = False
    null: str | None = None


class OutputBinding(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The model output that answers a field; `column` picks one column of a 2-D output for a scalar field."""

    field: Name
    model_output: Name
    column: Annotated[int, msgspec.Meta(ge=0)] | None = None


class Binding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of a model's inputs and outputs, in the order in which the model is fed and read."""

    inputs: tuple[InputBinding, ...]
    outputs: tuple[OutputBinding, ...]


def check(binding: Binding, contract: Contract) -> None:
    """Refuse a binding that does not fit the contract: `BundleInvalid` at bundle.json, which says where inside."""
    _check_inputs(binding, {field.name: field for field in contract.inputs})
    _check_outputs(binding, {field.name: field for field in contract.outputs})


def _check_inputs(binding: Binding, fields: dict[str, Field]) -> None:
    bound: dict[str, str] = {}
    fed: set[str] = set()
    for index, item in enumerate(binding.inputs):
        where = f"binding.inputs[{index}]"
        if item.model_input in fed:
            raise refused(f"{where}.model_input", f"the input {item.model_input!r} is fed twice")
        fed.add(item.model_input)
        if item.dtype not in DTYPES or item.dtype == "bytes":
            raise refused(
                f"{where}.dtype", f"{item.dtype!r} is not an element type of a model", nearest(item.dtype, DTYPES)
            )
        if not item.fields or (len(item.fields) > 1 and not item.stack):
            raise refused(f"{where}.fields", f"expected one field, got {len(item.fields)}", "several fields need stack")
        if item.null is not None and item.dtype != "string":
            message = f"a text for null needs an input of strings, and {item.model_input!r} is {item.dtype}"
            raise refused(f"{where}.null", message, "null reaches a float as NaN, any other input as the null_value")
        if item.null is not None and not any(name in fields and fields[name].nullable for name in item.fields):
            raise refused(f"{where}.null", "none of the fields is nullable, so the model never gets a null")
        for position, name in enumerate(item.fields):
            at = f"{where}.fields[{position}]"
            field = fields.get(name)
            if field is None:
                raise refused(at, f"the contract has no input field {name!r}", nearest(name, fields))
            if name in bound:
                raise refused(at, f"the field {name!r} is already bound by {bound[name]}")
            bound[name] = at
            if item.stack and field.shape:
                raise refused(at, f"a stacked field is a scalar, and {name!r} has shape {list(field.shape)}")
            reason = lossy(field, item.dtype)
            if reason:
                raise refused(at, reason)
    for name in fields:
        if name not in bound:
            raise refused(
                "binding.inputs",
                f"the contract's input field {name!r} feeds no input of the model",
                "bind it, or take it out of the contract",
            )


def _check_outputs(binding: Binding, fields: dict[str, Field]) -> None:
    answered: set[str] = set()
    for index, item in enumerate(binding.outputs):
        where = f"binding.outputs[{index}]"
        field = fields.get(item.field)
        if field is None:
            raise refused(
                f"{where}.field", f"the contract has no output field {item.field!r}", nearest(item.field, fields)
            )
        if item.field in answered:
            raise refused(f"{where}.field", f"the field {item.field!r} is answered twice")
        answered.add(item.field)
        if item.column is not None and field.shape:
            shape = list(field.shape)
            raise refused(f"{where}.column", f"a column answers a scalar, and {item.field!r} has shape {shape}")
        if field.kind == "bytes":
            raise refused(f"{where}.field", f"{item.field!r} is bytes, which no tensor of a model holds")
    for name in fields:
        if name not in answered:
            raise refused("binding.outputs", f"no output of the model answers the contract's field {name!r}")


def lossy(field: Field, dtype: str) -> str | None:
    """Why values of the field cannot go to a model input of `dtype`, or None where every legal value arrives whole.

    A float may be rounded to a narrower float and an integer to a float: that is how models are trained. An integer
    that would wrap around, a number that would be cut to an integer and text that would be parsed are refused.
    """
    kind = field.kind
    if dtype == field.dtype and kind != "bytes":
        return None
    answer = f"the field {field.name!r} is {field.dtype} and does not convert to {dtype}"
    if kind in ("string", "bytes") or dtype not in (*INTEGERS, *FLOATS) or (kind == "float" and dtype in INTEGERS):
        return answer
    if kind != "int" or dtype in FLOATS or np.can_cast(field.dtype, dtype, "safe"):
        return None
    legal = np.iinfo(field.dtype)
    lows = [int(legal.min) if field.minimum is None else int(field.minimum)]
    highs = [int(legal.max) if field.maximum is None else int(field.maximum)]
    if field.enum is not None:
        lows, highs = [min(field.enum)], [max(field.enum)]
    if field.nullable:
        lows.append(field.null_value)
        highs.append(field.null_value)
    info = np.iinfo(dtype)
    if int(info.min) <= min(lows) and max(highs) <= int(info.max):
        return None
    return f"{answer}: set minimum and maximum inside {info.min} and {info.max}"


def refused(where: str, message: str, help: str | None = None) -> BundleInvalid:
    """The error of a place inside bundle.json."""
    return BundleInvalid(f"{where}: {message}", path=MANIFEST, help=help)
