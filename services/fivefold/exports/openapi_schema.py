"""OpenAPI 3.1: the typed components and the predict operation of one model.

OpenAPI 3.1 schemas are JSON Schema 2020-12, so the components are those of `fivefold.exports.json_schema` under names
of the model's own. A server merges `components` and `operation` of each of its models into its document; `files`
writes a document for one contract alone. Routes that are the same for every model are left to the server.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fivefold.core.contract.contract import Contract
from fivefold.core.errors import CODES
from fivefold.core.view import View
from fivefold.exports import json_schema
from fivefold.exports.naming import document, pascal

BASE = "#/components/schemas/"

ERROR: dict[str, Any] = {
    "type": "object",
    "description": "every error of every route",
    "properties": {
        "error": {"type": "string", "description": "a sentence: where, what was expected, what came"},
        "code": {"type": "string", "enum": list(CODES)},
        "path": {"type": "string", "description": "such as inputs.amount[3]; empty for the whole request"},
        "help": {"type": "string"},
        "details": {
            "type": "array",
            "description": "the first violations, in the contract's order",
            "maxItems": 16,
            "items": {
                "type": "object",
                "properties": {name: {"type": "string"} for name in ("code", "path", "error", "help")},
                "required": ["code", "path", "error"],
            },
        },
        "request_id": {"type": "string"},
    },
    "required": ["error", "code", "path"],
}
"""The schema of an error body, the component `Error`."""


def files(contract: Contract) -> dict[str, bytes]:
    """One OpenAPI document with the typed predict operation of the contract."""
    prefix = pascal(contract.name)
    info = {"title": contract.name, "version": contract.version}
    if contract.description is not None:
        info["description"] = contract.description
    out = {
        "openapi": "3.1.0",
        "info": info,
        "paths": {f"/v1/models/{contract.name}:predict": {"post": operation(contract, prefix)}},
        "components": {"schemas": {**components(contract, prefix), "Error": ERROR}},
    }
    return {f"{contract.name}.openapi.json": document(out)}


def components(contract: Contract | View, prefix: str) -> dict[str, dict[str, Any]]:
    """The schemas `{prefix}Record`, `{prefix}Prediction`, `{prefix}Request` and `{prefix}Response`.

    `prefix` keeps the models and versions of one document apart; letters, digits, `.`, `-` and `_`.
    """
    parts = json_schema.schemas(contract, BASE + prefix)
    return {f"{prefix}{name}": schema for name, schema in parts.items()}


def operation(
    contract: Contract,
    prefix: str,
    *,
    examples: Mapping[str, Any] | None = None,
    responses: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The POST operation that takes records and answers predictions, over the components of the same `prefix`.

    `examples` has JSON values under `request` and `response` (golden rows, where there is a bundle). `responses` are
    further responses by status; an error of any other status is the component `Error`.
    """
    given = examples or {}
    error = {"description": "an error", "content": {"application/json": {"schema": {"$ref": f"{BASE}Error"}}}}
    return {
        "operationId": f"predict_{prefix}",
        "summary": f"Predict with {contract.name} {contract.version}",
        "tags": [contract.name],
        "requestBody": {"required": True, "content": _json(f"{prefix}Request", given.get("request"))},
        "responses": {
            "200": {
                "description": "one prediction for each instance, in order",
                "content": _json(f"{prefix}Response", given.get("response")),
            },
            **(responses or {}),
            "default": error,
        },
    }


def _json(component: str, example: Any) -> dict[str, Any]:
    media: dict[str, Any] = {"schema": {"$ref": f"{BASE}{component}"}}
    if example is not None:
        media["example"] = example
    return {"application/json": media}
