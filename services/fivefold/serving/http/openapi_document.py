"""OpenAPI 3.1 of the whole server: one typed operation for each model, version and protocol.

The V1 schemas are `fivefold.exports`'; here are those of the Open Inference Protocol, the routes around them and the
golden rows as examples. Registering the routes is left to `routes`, showing the document to people to `docs`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fivefold.core.columns import Columns, json_values
from fivefold.core.fields.field import Field
from fivefold.core.view import View
from fivefold.exports.json_schema import scalar
from fivefold.exports.naming import pascal
from fivefold.exports.openapi_schema import BASE, ERROR, components, operation
from fivefold.serving.contract_version import PREFIX
from fivefold.serving.dataplane import Dataplane
from fivefold.serving.example_rows import example_rows
from fivefold.serving.oip import metadata
from fivefold.serving.oip.metadata import NAMES, PLATFORMS, RAW_ONLY
from fivefold.serving.oip.selection import ELSEWHERE
from fivefold.serving.repository import Model

Schema = dict[str, Any]

_PARAMETERS: Final[Schema] = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}
_ASKED: Final[Schema] = {
    "type": ["object", "null"],
    "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
}
"""The parameters of a request: in those, as in all that may be left out of one, null is as good as absent."""
_REFUSED: Final[dict[str, Schema]] = {name: {"type": "null"} for name in ELSEWHERE}
"""Parameters of tensors that are answered with `not_implemented`."""
_TEXT: Final[Schema] = {"type": "string"}
_FAILED: Final[Schema] = {
    "default": {"description": "an error", "content": {"application/json": {"schema": {"$ref": f"{BASE}Error"}}}}
}
_NOTES: Final = (
    "Headers: `x-request-id` (yours comes back, otherwise one is made), `x-request-timeout` (seconds from now), "
    "`traceparent`, `content-encoding` gzip or deflate, `accept-encoding` gzip (for large answers), "
    "`x-contract-version` (the version of the contract that you speak, where the model answers several)."
)
_COLUMNS: Final = (
    'By column, as TensorFlow Serving has it: `{"inputs": {"field": [one value a row, …]}}` in place of `instances` '
    'is answered by `{"outputs": {…}, "metadata": {…}}`; a single field may be the array alone, and a single output '
    "is."
)
_BINARY: Final = (
    "More rows: the first size of every shape. Tensors may also travel raw behind the JSON, by the binary tensor "
    "extension (`Inference-Header-Content-Length`, `binary_data_size`, `binary_data_output`)."
)

_SCHEMES: Final[Schema] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, or a token of the issuer."},
    "header": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "An API key."},
}
_OPEN: Final = ("/livez", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready")
_HIDDEN: Final = "Models are described to who asks for openapi.json with a key."


def document(dataplane: Dataplane, *, models: bool = True) -> dict[str, Any]:
    """The whole document, as JSON values; without `models` it says nothing of what is served."""
    paths: dict[str, Any] = dict(_server())
    schemas: dict[str, Any] = {"Error": ERROR}
    names = _prefixes(dataplane)
    for model in dataplane.models if models else ():
        prefix = names[model.name, model.version]
        schemas |= components(model.view, prefix) | _tensors(model, model.view, prefix)
        versioned = f"{model.name}/versions/{model.version}"
        paths |= _model(model, prefix, versioned, prefix)
        if model.version == dataplane.models.default(model.name):
            paths |= _model(model, prefix, model.name, f"{prefix}_default")
        for view in model.views.values():
            if view is not model.view:
                other = f"{prefix}_contract_{_word(view.version)}"
                schemas |= components(view, other) | _tensors(model, view, other)
                paths |= _under(model, view, other, versioned)
    about = "Models under typed contracts: records (V1) and the Open Inference Protocol (V2)."
    described = {
        "openapi": "3.1.0",
        "info": {
            "title": "Fivefold",
            "version": metadata.server_metadata()["version"],
            "description": about if models else f"{about} {_HIDDEN}",
        },
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": schemas},
    }
    return described if dataplane.guard is None else described | _secured(described)


def _secured(described: Mapping[str, Any]) -> dict[str, Any]:
    """The members of a document that say which operations want a key."""
    paths = {
        path: {method: {**said, "security": []} for method, said in methods.items()} if path in _OPEN else methods
        for path, methods in described["paths"].items()
    }
    # One of them is enough.
    security: list[dict[str, list[str]]] = [{name: []} for name in _SCHEMES]
    return {"paths": paths, "components": described["components"] | {"securitySchemes": _SCHEMES}, "security": security}


def described_inference(model: Model, protocol: str, suffix: str) -> tuple[dict[str, Any], dict[str, Schema]]:
    """One inference operation and the components that it refers to, for another application's document.

    `suffix` ends the operation's id.
    """
    view, prefix = model.view, prefix_of(model)
    described = _predict(model, view, prefix, suffix) if protocol == "v1" else _infer(model, view, prefix, suffix)
    return described, {"Error": ERROR} | components(view, prefix) | _tensors(model, view, prefix)


def prefix_of(model: Model) -> str:
    """A name for the model's schemas and operations, out of letters, digits and underscores."""
    return f"{pascal(model.name)}_{_word(model.version)}"


def _word(version: str) -> str:
    return re.sub("[^0-9A-Za-z]", "_", version)


def _prefixes(dataplane: Dataplane) -> dict[tuple[str, str], str]:
    out: dict[tuple[str, str], str] = {}
    for model in dataplane.models:
        prefix, count = prefix_of(model), 1
        while prefix in out.values():
            count += 1
            prefix = f"{prefix_of(model)}_{count}"
        out[model.name, model.version] = prefix
    return out


def inlined(value: Any, known: Mapping[str, Any]) -> Any:
    """`value` with what its references mean in their place; schemas here never refer to themselves."""
    if isinstance(value, list):
        return [inlined(item, known) for item in value]
    if not isinstance(value, dict):
        return value
    reference = value.get("$ref")
    if isinstance(reference, str) and reference.startswith(BASE):
        target: Any = known
        for part in reference[len(BASE) :].split("/"):
            target = target[part]
        return inlined(target, known)
    return {key: inlined(item, known) for key, item in value.items()}


def _model(model: Model, prefix: str, below: str, suffix: str) -> dict[str, Any]:
    v1, v2 = f"/v1/models/{below}", f"/v2/models/{below}"
    tag = model.name
    files = {"name": "file", "in": "path", "required": True, "schema": {"enum": list(model.bundle.names())}}
    return {
        f"{v1}:predict": {"post": _predict(model, model.view, prefix, suffix)},
        v1: {"get": _get(f"status_{suffix}", "Name, versions and readiness", tag)},
        f"{v1}/contract": {"get": _get(f"contract_{suffix}", "The contract", tag)},
        f"{v1}/input-statistics": {
            "get": _get(f"input_statistics_{suffix}", "What came in, counted in the process that answers", tag)
        },
        f"{v1}/bundle": {"get": _get(f"bundle_{suffix}", "The bundle's manifest", tag)},
        f"{v1}/bundle/{{file}}": {
            "get": _get(
                f"bundle_file_{suffix}",
                "A file of the bundle",
                tag,
                media_types=("application/octet-stream", "application/json"),
            )
            | {"parameters": [files]}
        },
        f"{v2}/infer": {"post": _infer(model, model.view, prefix, suffix)},
        v2: {"get": _get(f"metadata_{suffix}", "Names, datatypes and shapes of the tensors", tag, _metadata(model))},
        f"{v2}/ready": {"get": _get(f"ready_{suffix}", "Whether the model is ready", tag, _flag("ready"), down=True)},
        f"{v2}/stats": {"get": _get(f"stats_{suffix}", "What the model has done in the process that answers", tag)},
        f"{v2}/config": {"get": _get(f"config_{suffix}", "The model's configuration", tag)},
    }


def _under(model: Model, view: View, prefix: str, below: str) -> dict[str, Any]:
    """What is other under a contract version that is not the default one; the header says the same as the path."""
    base = f"{PREFIX}{view.version}"
    return {
        f"{base}/v1/models/{below}:predict": {"post": _predict(model, view, prefix, prefix)},
        f"{base}/v1/models/{below}/contract": {"get": _get(f"contract_{prefix}", "The contract", model.name)},
        f"{base}/v2/models/{below}/infer": {"post": _infer(model, view, prefix, prefix)},
        f"{base}/v2/models/{below}": {
            "get": _get(
                f"metadata_{prefix}", "Names, datatypes and shapes of the tensors", model.name, _metadata(model)
            )
        },
    }


def _server() -> dict[str, Any]:
    names: Schema = {
        "type": "object",
        "properties": {"models": {"type": "array", "items": _TEXT}},
        "required": ["models"],
    }
    index: Schema = {
        "type": "array",
        "items": {"type": "object", "properties": dict.fromkeys(("name", "version", "state", "reason"), _TEXT)},
    }
    server: Schema = {
        "type": "object",
        "properties": {"name": _TEXT, "version": _TEXT, "extensions": {"type": "array", "items": _TEXT}},
        "required": ["name", "version", "extensions"],
    }
    texts = ("text/plain", "application/openmetrics-text")
    listed = _get("repository_index", "Every model and version", "server", index)
    return {
        "/livez": {"get": _get("livez", "Whether the process lives", "server", _flag("live"))},
        "/readyz": {"get": _get("readyz", "Whether to send requests here", "server", _flag("ready"), down=True)},
        "/metrics": {"get": _get("metrics", "Metrics of the process that answers", "server", _TEXT, media_types=texts)},
        "/v1/models": {"get": _get("v1_models", "The models' names", "server", names)},
        "/v2": {"get": _get("v2_server", "The server and its extensions", "server", server)},
        "/v2/health/live": {"get": _get("v2_live", "Whether the process lives", "server", _flag("live"))},
        "/v2/health/ready": {"get": _get("v2_ready", "Whether models answer", "server", _flag("ready"), down=True)},
        "/v2/models": {"get": _get("v2_models", "The models' names", "server", names)},
        "/v2/models/stats": {"get": _get("v2_statistics", "What all models have done", "server")},
        "/v2/repository/index": {"post": listed},
    }


def _get(
    name: str,
    summary: str,
    tag: str,
    schema: Schema | None = None,
    *,
    media_types: Sequence[str] = ("application/json",),
    down: bool = False,
) -> dict[str, Any]:
    content = {media_type: {"schema": schema or {}} for media_type in media_types}
    responses: dict[str, Any] = {"200": {"description": "the answer", "content": content}, **_FAILED}
    if down:
        responses["503"] = {"description": "not now", "content": content}
    return {"operationId": name, "summary": summary, "tags": [tag], "responses": responses}


def _flag(name: str) -> Schema:
    return {"type": "object", "properties": {name: {"type": "boolean"}}, "required": [name]}


def _predict(model: Model, view: View, prefix: str, suffix: str) -> dict[str, Any]:
    given, answers = example_rows(model.bundle, view, 2)
    examples = {
        "request": {"instances": given.to_records()},
        "response": {"predictions": answers.to_records(), "metadata": _example_metadata(model, view)},
    }
    out: dict[str, Any] = operation(view.contract, prefix, examples=examples if given.rows else None)
    out |= {"operationId": f"predict_{suffix}", "tags": [model.name], "description": f"{_COLUMNS} {_NOTES}"}
    out["summary"] = f"Predict with {model.name} {model.version}: records{_named(model, view)}"
    return out


def _named(model: Model, view: View) -> str:
    """Which contract version an operation is of, where there are several."""
    return f", contract {view.version}" if model.marks else ""


def _infer(model: Model, view: View, prefix: str, suffix: str) -> dict[str, Any]:
    given, answers = example_rows(model.bundle, view, 1)
    body: dict[str, Any] = {"schema": {"$ref": f"{BASE}{prefix}InferRequest"}}
    answer: dict[str, Any] = {"schema": {"$ref": f"{BASE}{prefix}InferResponse"}}
    if given.rows:
        body["example"] = {"inputs": _example_tensors(view.inputs, given, wire=True)}
        answer["example"] = {
            "model_name": model.name,
            "model_version": model.version,
            "parameters": _example_metadata(model, view),
            "outputs": _example_tensors(view.outputs, answers),
        }
    content = {"application/json": answer, "application/octet-stream": {"schema": {}}}
    return {
        "operationId": f"infer_{suffix}",
        "summary": f"Predict with {model.name} {model.version}: tensors{_named(model, view)}",
        "description": f"{_BINARY} {_NOTES}",
        "tags": [model.name],
        "requestBody": {"required": True, "content": {"application/json": body}},
        "responses": {"200": {"description": "one tensor for each output", "content": content}, **_FAILED},
    }


def _tensors(model: Model, view: View, prefix: str) -> dict[str, Schema]:
    """The bodies of `infer`. JSON Schema cannot tie data to a shape, so a request of one row is described."""
    inputs = [_tensor(field) for field in view.inputs]
    names = [field.name for field in view.outputs]
    asked: Schema = {
        "type": "object",
        "properties": {"name": {"enum": names}, "parameters": _parameters("binary_data", _REFUSED)},
        "required": ["name"],
    }
    answered: Schema = {
        "type": "object",
        "properties": {
            "name": {"enum": names},
            "datatype": {"enum": sorted({NAMES[field.dtype] for field in view.outputs})},
            "shape": {"type": "array", "items": {"type": "integer"}},
            "parameters": _PARAMETERS,
            "data": {"type": "array"},
        },
        "required": ["name", "datatype", "shape"],
    }
    return {
        f"{prefix}InferRequest": {
            "type": "object",
            "properties": {
                "id": {"type": ["string", "null"]},
                "parameters": _parameters("binary_data_output"),
                "inputs": {
                    "type": "array",
                    "prefixItems": inputs,
                    "items": False,
                    "minItems": len(inputs),
                    "maxItems": len(inputs),
                },
                "outputs": {"type": ["array", "null"], "items": asked},
            },
            "required": ["inputs"],
        },
        f"{prefix}InferResponse": {
            "type": "object",
            "properties": {
                "model_name": {"const": model.name},
                "model_version": {"const": model.version},
                "id": _TEXT,
                "parameters": _PARAMETERS,
                "outputs": {"type": "array", "items": answered},
            },
            "required": ["model_name", "model_version", "parameters", "outputs"],
        },
    }


def _parameters(flag: str, more: Mapping[str, Schema] | None = None) -> Schema:
    return _ASKED | {"properties": {flag: {"type": ["boolean", "null"]}, **(more or {})}}


def _tensor(field: Field) -> Schema:
    data = {"type": "array", "items": scalar(field), "minItems": field.size, "maxItems": field.size}
    return {
        "type": "object",
        "properties": {
            "name": {"const": field.name},
            "datatype": {"const": _json_datatype(field)},
            "shape": {"const": [1, *field.shape]},
            "data": data,
            # The size of a binary tensor stands in the place of its data.
            "parameters": _ASKED | {"properties": {"binary_data_size": {"type": "null"}, **_REFUSED}},
        },
        "required": ["name", "datatype", "shape", "data"],
    }


def _json_datatype(field: Field) -> str:
    name = NAMES[field.dtype]
    return "FP32" if name in RAW_ONLY else name


def _example_tensors(fields: Sequence[Field], columns: Columns, *, wire: bool = False) -> list[dict[str, Any]]:
    return [
        {
            "name": field.name,
            "datatype": _json_datatype(field) if wire else NAMES[field.dtype],
            "shape": list(columns[field.name].shape),
            "data": json_values(field, columns[field.name].reshape(-1), columns.nulls(field.name).reshape(-1)),
        }
        for field in fields
    ]


def _example_metadata(model: Model, view: View) -> dict[str, str]:
    return model.metadata | {"contract": view.name, "transport": "http", "request_id": "1"}


def _metadata(model: Model) -> Schema:
    tensor: Schema = {
        "type": "object",
        "properties": {"name": _TEXT, "datatype": _TEXT, "shape": {"type": "array", "items": {"type": "integer"}}},
    }
    many: Schema = {"type": "array", "items": tensor}
    return {
        "type": "object",
        "properties": {
            "name": {"const": model.name},
            "versions": {"type": "array", "items": _TEXT},
            "platform": {"enum": sorted(PLATFORMS.values())},
            "inputs": many,
            "outputs": many,
        },
        "required": ["name", "versions", "platform", "inputs", "outputs"],
    }
