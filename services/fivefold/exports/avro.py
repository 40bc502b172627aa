"""Avro schemas of a contract's rows: records `Record` and `Prediction`.

Defaults, aliases and nulls become Avro's own, so that schema resolution treats an old writer as the contract treats
an old client; a string with an enum of legal symbols is an Avro enum. Names are legal under Avro; each field keeps
its own rules, with its real name, in the property `fivefold`, because Avro has no ranges, lengths or patterns. An
unsigned 64-bit integer is a decimal: Avro's long is signed.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from fivefold.core.columns import json_values
from fivefold.core.contract.contract import Contract
from fivefold.core.fields.field import ABSENT, Field
from fivefold.core.readers.defaults import Defaults
from fivefold.exports.naming import document, identifier, identifiers, sentences, snake
from fivefold.exports.sample_headers import legal

Schema = dict[str, Any]

_LONG = 2**63
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_TYPES = {
    "bool": "boolean",
    **dict.fromkeys(("int8", "int16", "int32", "uint8", "uint16"), "int"),
    **dict.fromkeys(("uint32", "int64"), "long"),
    **dict.fromkeys(("float16", "float32"), "float"),
    "float64": "double",
    "string": "string",
    "bytes": "bytes",
}


def files(contract: Contract) -> dict[str, bytes]:
    """Two schemas: `record` for the inputs and `prediction` for the outputs."""
    sides = {"record": contract.inputs, "prediction": contract.outputs}
    return {f"{contract.name}.{kind}.avsc": document(schema(contract, kind, fields)) for kind, fields in sides.items()}


def schema(contract: Contract, kind: str, fields: Sequence[Field]) -> Schema:
    """The Avro record of one side; `kind` is `record` or `prediction`."""
    names = field_names(fields)
    defaults = Defaults(fields)
    taken = set(names.values())
    out = []
    for index, field in enumerate(fields):
        name = names[field.name]
        default = ABSENT if field.default is ABSENT else _default(field, defaults, index)
        member: Schema = {"name": name, "doc": "; ".join(sentences(field)), "type": avro_type(field, name, default)}
        if default is not ABSENT:
            member["default"] = default
        # A header that is no name has no counterpart in a schema of Avro's.
        spelt = dict.fromkeys(identifier(alias) for alias in field.aliases if legal(alias))
        aliases = [alias for alias in spelt if alias not in taken]
        if aliases:
            taken.update(aliases)
            member["aliases"] = aliases
        member["fivefold"] = field.to_json()
        out.append(member)
    head: Schema = {"type": "record", "name": kind.capitalize(), "namespace": f"fivefold.{snake(contract.name)}"}
    if contract.description is not None:
        head["doc"] = contract.description
    return {**head, "fields": out, "contract": f"{contract.name}@{contract.version}"}


def field_names(fields: Sequence[Field]) -> dict[str, str]:
    """Each field's name under Avro."""
    return identifiers(field.name for field in fields)


def avro_type(field: Field, name: str, default: Any = ABSENT) -> Any:
    """The type of the field called `name` under Avro: arrays nested by shape, a union with null where nullable.

    A union's default belongs to its first branch, so null comes first unless the `default`, as Avro has it, is a value.
    """
    out = _scalar(field, name)
    if field.shape and field.nullable:
        out = _nullable(out, default)
    for _ in field.shape:
        out = {"type": "array", "items": out}
    return _nullable(out, default) if field.nullable else out


def _nullable(branch: Any, default: Any) -> list[Any]:
    return ["null", branch] if default is ABSENT or default is None else [branch, "null"]


def _scalar(field: Field, name: str) -> Any:
    if is_decimal(field):
        return {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 0}
    if field.kind == "string" and field.enum is not None and all(map(_NAME.match, field.enum)):
        return {"type": "enum", "name": f"{name}_value", "symbols": list(field.enum)}
    return _TYPES.get(field.dtype, "long")


def is_decimal(field: Field) -> bool:
    """Whether the field's integers are more than a long of Avro's holds."""
    return field.dtype == "uint64" and (field.maximum is None or field.maximum >= _LONG)


def _default(field: Field, defaults: Defaults, index: int) -> Any:
    """The default as Avro's JSON spells it: arrays nested, bytes one character each."""
    if field.default is None:
        return None
    column = np.empty((1, *field.shape), field.numpy_dtype)
    column[0] = defaults.cell(index)
    null = defaults.null(index)
    return _spell(field, json_values(field, column, None if null is None else np.asarray(null)[np.newaxis])[0])


def _spell(field: Field, value: Any) -> Any:
    if isinstance(value, list):
        return [_spell(field, item) for item in value]
    if value is None:
        return None
    if field.kind == "bytes":
        return base64.b64decode(value).decode("latin-1")
    if is_decimal(field):
        return int(value).to_bytes(int(value).bit_length() // 8 + 1, "big").decode("latin-1")
    return value
