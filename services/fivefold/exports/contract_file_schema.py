"""The JSON Schema of contract.json itself, by which editors complete and check a contract while it is written.

    python -m fivefold.exports.contract_file_schema [FILE]

It is wider than the parser, never narrower: what it refuses the parser refuses, and what needs more than one place to
see (a default that breaks a pattern, the same name twice) only the parser says. `make generate` writes
docs/contract.schema.json.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import numpy as np

from fivefold.core.fields.field import DTYPES, FLOATS, INTEGERS
from fivefold.exports.contract_keywords import OF_A_CONTRACT, OF_A_FIELD
from fivefold.exports.json_schema import DIALECT, Schema
from fivefold.exports.naming import document

PAGE: Final = "docs/contract.schema.json"

_NAME: Schema = {"type": "string", "pattern": r"^[A-Za-z_][A-Za-z0-9_.\-]{0,127}$"}
_TEXT: Schema = {"type": "string", "minLength": 1}
_NAMES: Schema = {"type": "array", "items": _TEXT, "uniqueItems": True}
_NUMBERS = (*INTEGERS, *FLOATS)


def schema() -> Schema:
    """The schema, self-contained."""
    top: dict[str, Schema] = {
        "format": {"const": 1},
        "name": _NAME,
        "version": {"type": "string", "pattern": r"^[0-9A-Za-z][0-9A-Za-z.+\-]{0,63}$"},
        "description": _or_null(_TEXT),
        "inputs": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/input"}},
        "outputs": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/output"}},
    }
    return {
        "$schema": DIALECT,
        "$id": "urn:fivefold:contract:1",
        "title": "A contract of fivefold: contract.json",
        "type": "object",
        "properties": {each.name: {"description": each.says, **top[each.name]} for each in OF_A_CONTRACT},
        "required": ["format", "name", "version", "inputs", "outputs"],
        "additionalProperties": False,
        "$defs": {
            "field": _field(),
            "input": {"$ref": "#/$defs/field", "properties": {"unknown": {"type": "null"}}},
            "output": {
                "$ref": "#/$defs/field",
                "properties": {"default": False, "allow_nan": {"const": False}},
            },
        },
    }


def _field() -> Schema:
    properties: dict[str, Schema] = {
        "name": _NAME,
        "dtype": {"enum": list(DTYPES)},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 1}, "maxItems": 8},
        "minimum": _or_null({"type": "number"}),
        "maximum": _or_null({"type": "number"}),
        "enum": {"type": ["array", "null"], "minItems": 1, "uniqueItems": True},
        "nullable": {"type": "boolean"},
        "null_value": {"type": ["boolean", "number", "string"]},
        "default": {},
        "allow_nan": {"type": "boolean"},
        "minLength": _or_null({"type": "integer", "minimum": 0}),
        "maxLength": _or_null({"type": "integer", "minimum": 0}),
        "pattern": _or_null(_TEXT),
        "unit": _or_null(_TEXT),
        "description": _or_null(_TEXT),
        "aliases": _NAMES,
        "labels": _NAMES,
        "unknown": {"type": ["string", "null"]},
    }
    return {
        "type": "object",
        "properties": {each.name: {"description": each.says, **properties[each.name]} for each in OF_A_FIELD},
        "required": ["name", "dtype"],
        "additionalProperties": False,
        "allOf": [*_by_dtype(), *_together()],
    }


def _or_null(schema: Schema) -> Schema:
    """A keyword that may be null is as good as absent then."""
    return {**schema, "type": [schema["type"], "null"]}


def _by_dtype() -> list[Schema]:
    """What values of each dtype may be, and which keywords have no meaning under it."""
    out = [_when(dtype, _values(_integer(dtype))) for dtype in INTEGERS]
    out.append(_when(FLOATS, _values({"type": "number"}) | {"null_value": False}))
    out.append(_when("string", _values({"type": "string"}) | _never("minimum", "maximum")))
    text: Schema = {"type": "string", "pattern": "^[A-Za-z0-9+/=]*$"}
    wrapped: Schema = {"type": "object"}
    given = _values(text, {"anyOf": [text, wrapped]})
    out.append(_when("bytes", given | _never("minimum", "maximum", "enum")))
    out.append(_when("bool", _values({"type": "boolean"}) | _never("minimum", "maximum", "enum")))
    others = [dtype for dtype in DTYPES if dtype not in ("string", "bytes")]
    out.append(_when(others, _never("minLength", "maxLength")))
    out.append(_when([dtype for dtype in DTYPES if dtype != "string"], _never("pattern")))
    out.append(_when([dtype for dtype in DTYPES if dtype not in FLOATS], {"allow_nan": {"const": False}}))
    return out


def _when(dtypes: Any, properties: dict[str, Any]) -> Schema:
    words = [dtypes] if isinstance(dtypes, str) else list(dtypes)
    return {
        "if": {"properties": {"dtype": {"enum": words}}, "required": ["dtype"]},
        "then": {"properties": properties},
    }


def _integer(dtype: str) -> Schema:
    info = np.iinfo(dtype)
    return {"type": "integer", "minimum": int(info.min), "maximum": int(info.max)}


def _values(one: Schema, default: Schema | None = None) -> dict[str, Any]:
    """The keywords that hold a value of the dtype."""
    default = default or one
    bound: Schema = {"anyOf": [one, {"type": "null"}]}
    return {
        "minimum": bound,
        "maximum": bound,
        "enum": {"items": one},
        "null_value": one,
        "default": {"anyOf": [default, {"type": ["array", "null"]}]},
    }


def _never(*keywords: str) -> dict[str, Any]:
    return {keyword: {"type": "null"} for keyword in keywords}


def _together() -> list[Schema]:
    """What one keyword asks of others."""
    nullable: Schema = {"properties": {"nullable": {"const": True}}, "required": ["nullable"]}
    no_float: Schema = {"properties": {"dtype": {"enum": [dtype for dtype in DTYPES if dtype not in FLOATS]}}}
    shaped: Schema = {"properties": {"shape": {"minItems": 1}}, "required": ["shape"]}
    return [
        {"if": {"allOf": [nullable, no_float]}, "then": {"required": ["null_value"]}},
        {"if": {"required": ["null_value"]}, "then": nullable},
        {"if": {"properties": {"default": {"type": "null"}}, "required": ["default"]}, "then": nullable},
        {"if": {"properties": {"labels": {"minItems": 1}}, "required": ["labels"]}, "then": shaped},
        {
            "if": {"properties": {"allow_nan": {"const": True}}, "required": ["allow_nan"]},
            "then": {"properties": _never("enum")},
        },
        {
            "if": shaped,
            "then": {"properties": {"default": {"type": ["array", "null"]}}},
            "else": {"properties": {"default": {"not": {"type": "array"}}}},
        },
    ]


def text() -> bytes:
    """The schema as a file."""
    return document(schema())


def main() -> None:
    """Write the schema."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[3] / PAGE
    target.write_bytes(text())


if __name__ == "__main__":
    main()
