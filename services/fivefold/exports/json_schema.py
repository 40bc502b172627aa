"""JSON Schema 2020-12: one record, one prediction, and the bodies that carry them.

A schema accepts exactly what the record reader accepts, as far as JSON Schema can say it (it cannot say that a string
is valid UTF-8). An input of float16 or float32 is rounded before it is compared, so its bounds here are those of the
binary64 numbers that round into the declared range, and the declared ones stand in `x-minimum` and `x-maximum`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from fivefold.core.contract.contract import Contract
from fivefold.core.fields.field import ABSENT, Field
from fivefold.core.fields.pattern import Pattern
from fivefold.core.view import View
from fivefold.exports.naming import document

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_BASE64 = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
_ESCAPED = re.compile(r"\\u\{([0-9A-F]+)\}")


def files(contract: Contract) -> dict[str, bytes]:
    """Four self-contained schemas: `record`, `prediction`, and the V1 bodies `request` and `response`."""
    parts = schemas(contract, "#/$defs/")
    out = {}
    for name, needs in (("Record", ()), ("Prediction", ()), ("Request", ("Record",)), ("Response", ("Prediction",))):
        schema = record(contract.inputs, "#") if name == "Record" else parts[name]
        kind = name.lower()
        head: Schema = {
            "$schema": DIALECT,
            "$id": f"urn:fivefold:{contract.name}:{contract.version}:{kind}",
            "title": f"{contract.name} {contract.version}: {kind}",
        }
        defs = {"$defs": {need: parts[need] for need in needs}} if needs else {}
        out[f"{contract.name}.{kind}.schema.json"] = document({**head, **schema, **defs})
    return out


def schemas(contract: Contract | View, base: str) -> dict[str, Schema]:
    """`Record`, `Prediction`, `Request` and `Response`; references between them start with `base`."""
    many = {"type": "array", "description": "one entry a row"}
    metadata = ("model", "version", "bundle", "contract", "transport", "request_id")
    return {
        "Record": {**_about(contract), **record(contract.inputs, f"{base}Record")},
        "Prediction": prediction(contract.outputs),
        "Request": {
            "type": "object",
            "properties": {
                "instances": {**many, "items": instance(contract.inputs, f"{base}Record")},
                "parameters": {"description": "accepted and not used"},
                "signature_name": {"description": "accepted and not used"},
            },
            "required": ["instances"],
            "additionalProperties": False,
        },
        "Response": {
            "type": "object",
            "properties": {
                "predictions": {**many, "items": {"$ref": f"{base}Prediction"}},
                "metadata": {
                    "type": "object",
                    "properties": {name: {"type": "string"} for name in metadata},
                    "required": list(metadata),
                },
            },
            "required": ["predictions", "metadata"],
        },
    }


def record(fields: Sequence[Field], here: str) -> Schema:
    """One input row as an object, closed. `here` is the reference to this very schema, for the aliases."""
    properties: Schema = {}
    rules: list[Schema] = []
    for field in fields:
        properties[field.name] = value(field)
        for alias in field.aliases:
            properties[alias] = {"$ref": f"{here}/properties/{field.name}"}
        names = (field.name, *field.aliases)
        if field.aliases and field.required:
            rules.append({"oneOf": [{"required": [name]} for name in names]})
        else:
            rules += [{"not": {"required": list(pair)}} for pair in combinations(names, 2)]
    required = [field.name for field in fields if field.required and not field.aliases]
    out: Schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return out if not rules else {**out, "allOf": rules}


def instance(fields: Sequence[Field], reference: str) -> Schema:
    """One input row in any spelling: the object (at `reference`), or positional values in field order."""
    values: list[Schema] = [{"$ref": f"{reference}/properties/{field.name}"} for field in fields]
    spellings: list[Schema] = [{"$ref": reference}]
    if len(fields) == 1:
        spellings.append(values[0])
    if len(fields) > 1 or not fields[0].shape:
        spellings.append(
            {"type": "array", "prefixItems": values, "items": False, "minItems": len(fields), "maxItems": len(fields)}
        )
    return {"anyOf": spellings}


def prediction(fields: Sequence[Field]) -> Schema:
    """One output row, as the server writes it: every field present, arrays nested by their shape."""
    return {
        "type": "object",
        "properties": {field.name: value(field, answer=True) for field in fields},
        "required": [field.name for field in fields],
        "additionalProperties": False,
    }


def value(field: Field, *, answer: bool = False) -> Schema:
    """What one row may hold in the field. An `answer` is only ever nested; an input may also be flat."""
    out = scalar(field, answer=answer)
    if field.shape:
        nested = out
        for size in reversed(field.shape):
            nested = _array(nested, size)
        out = nested if answer or len(field.shape) == 1 else {"anyOf": [nested, _array(out, field.size)]}
        if field.nullable and not answer:
            out = {"anyOf": [out, {"type": "null"}]}
    notes: Schema = {} if field.description is None else {"description": field.description}
    notes["x-dtype"] = field.dtype
    if field.kind == "float" and field.dtype != "float64" and not answer:
        declared = {"x-minimum": field.minimum, "x-maximum": field.maximum}
        notes |= {name: bound for name, bound in declared.items() if bound is not None}
    if field.unit is not None:
        notes["x-unit"] = field.unit
    if field.labels:
        notes["x-labels"] = list(field.labels)
    if field.default is not ABSENT:
        notes["default"] = field.default
    return {**notes, **out}


def scalar(field: Field, *, answer: bool = False) -> Schema:
    """One element of the field: its family, its limits, and null where it may be."""
    rules = _float(field, answer) if field.kind == "float" else _RULES[field.kind](field)
    if field.kind == "bytes" and not answer:
        return _wrapped(field, rules)
    if not field.nullable:
        return rules
    rules["type"] = [rules["type"], "null"]
    if "enum" in rules:
        rules["enum"] = [*rules["enum"], None]
    if "anyOf" in rules:
        rules["anyOf"] = [*rules["anyOf"], {"type": "null"}]
    if answer or field.kind == "float" or field.null_is_value:
        return rules
    # On the way in, a null_value that is no legal value itself is null too and skips the limits that values obey.
    return {"anyOf": [rules, {"const": field.null_value}]}


def _array(items: Schema, size: int) -> Schema:
    return {"type": "array", "items": items, "minItems": size, "maxItems": size}


def _about(contract: Contract | View) -> Schema:
    return {} if contract.description is None else {"description": contract.description}


def _integer(field: Field) -> Schema:
    info = np.iinfo(field.dtype)
    low = int(info.min) if field.minimum is None else int(field.minimum)
    high = int(info.max) if field.maximum is None else int(field.maximum)
    out: Schema = {"type": "integer", "minimum": low, "maximum": high}
    if field.dtype in ("int32", "int64"):
        out["format"] = field.dtype
    if field.enum is not None:
        out["enum"] = list(field.enum)
    return out


def _float(field: Field, answer: bool) -> Schema:
    edge = float(np.finfo(field.dtype).max)
    ends = _rounded if answer else _rounding_to
    low, _ = ends(-edge if field.minimum is None else field.minimum, field.dtype)
    _, high = ends(edge if field.maximum is None else field.maximum, field.dtype)
    out: Schema = {"type": "number", "minimum": low, "maximum": high}
    if field.dtype != "float16":
        out["format"] = "float" if field.dtype == "float32" else "double"
    if field.enum is not None:
        pairs = [ends(item, field.dtype) for item in field.enum]
        if all(low == high for low, high in pairs):
            out["enum"] = [low for low, _ in pairs]
        else:
            out["anyOf"] = [{"minimum": low, "maximum": high} for low, high in pairs]
    return out


Number = float | int


def _rounded(bound: Number, dtype: str) -> tuple[Number, Number]:
    """The bound as a value of `dtype` has it, twice; an integer that stays one keeps its spelling."""
    value = float(np.dtype(dtype).type(float(bound)))
    return (bound, bound) if value == bound else (value, value)


def _rounding_to(bound: Number, dtype: str) -> tuple[Number, Number]:
    """The least and the largest binary64 that rounds (ties to even) to the same value of `dtype` as `bound` does."""
    if dtype == "float64":
        return bound, bound
    kind = np.dtype(dtype).type
    edge = float(np.finfo(dtype).max)
    centre = kind(float(bound))
    ends = []
    with np.errstate(over="ignore"):
        for direction in (-math.inf, math.inf):
            beside = float(np.nextafter(centre, kind(direction)))
            if math.isinf(beside):
                # What overflows starts half a step beyond the largest value, as if the range went on.
                beside = math.copysign(2 * edge - float(np.nextafter(kind(edge), kind(0))), direction)
            middle = (float(centre) + beside) / 2
            ends.append(middle if kind(middle) == centre else math.nextafter(middle, float(centre)))
    return ends[0], ends[1]


def _string(field: Field) -> Schema:
    out: Schema = {"type": "string"}
    if field.min_length is not None:
        out["minLength"] = field.min_length
    if field.max_length is not None:
        out["maxLength"] = field.max_length
    if field.pattern is not None:
        out["pattern"] = portable(Pattern.parse(field.pattern))
    if field.enum is not None:
        out["enum"] = list(field.enum)
    return out


def _bytes(field: Field) -> Schema:
    """Standard base64 with padding. Lengths are in bytes: four characters for three, and the padding says the rest."""
    out: Schema = {"type": "string", "contentEncoding": "base64", "pattern": _BASE64}
    rules: list[Schema] = []
    if field.min_length:
        groups, short = math.ceil(field.min_length / 3), -field.min_length % 3
        out["minLength"] = 4 * groups
        if short < 2:
            rules.append({"anyOf": [{"minLength": 4 * groups + 4}, {"pattern": ("[^=]$", "[^=].$")[short]}]})
    if field.max_length is not None:
        groups, short = math.ceil(field.max_length / 3), -field.max_length % 3
        out["maxLength"] = 4 * groups
        if short:
            rules.append({"anyOf": [{"maxLength": 4 * groups - 4}, {"pattern": ("=$", "==$")[short - 1]}]})
    return {**out, "allOf": rules} if rules else out


def _wrapped(field: Field, text: Schema) -> Schema:
    """Bytes on the way in: base64 text, or the object in which TensorFlow Serving's clients send it."""
    spellings = [text]
    if field.nullable and not field.null_is_value:
        # A null_value that is no legal value itself is null too and skips the limits that values obey.
        spellings.append({"const": field.null_value})
    inner = spellings[0] if len(spellings) == 1 else {"anyOf": spellings}
    spellings = [*spellings, {"type": "object", "properties": {"b64": inner}, "required": ["b64"]}]
    spellings[-1]["additionalProperties"] = False
    return {"anyOf": [*spellings, *([{"type": "null"}] if field.nullable else [])]}


_RULES: dict[str, Callable[[Field], Schema]] = {
    "bool": lambda _: {"type": "boolean"},
    "int": _integer,
    "string": _string,
    "bytes": _bytes,
}


def portable(pattern: Pattern) -> str:
    r"""The pattern in the spelling that ECMAScript (with the `u` flag), RE2, PCRE, Java, Rust and Python share.

    `\u{…}` is known to two of them only, so characters are written as themselves or as `\xHH`.
    """
    return _ESCAPED.sub(lambda match: _spell(int(match[1], 16)), pattern.to_javascript())


def _spell(code: int) -> str:
    character = chr(code)
    if character in "^$\\.*+?()[]{}|/":
        return f"\\{character}"
    # These three mean something inside a class: a range here, set operations in newer dialects.
    if code < 0x20 or 0x7F <= code <= 0xFF or character in "-&~":
        return f"\\x{code:02X}"
    return character
