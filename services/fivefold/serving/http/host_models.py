"""Request and answer models of a model's operations, for another FastAPI application's OpenAPI document.

FastAPI collects the components of its document from pydantic models. The models here say what `openapi_document` says
and check nothing: what may be asked is the contract's to say, and reading requests is left to the endpoints.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import BaseModel

from fivefold.exports.openapi_schema import BASE
from fivefold.serving.http.openapi_document import Schema, described_inference, inlined
from fivefold.serving.repository import Model

_ERROR: Final = "FivefoldError"
_REQUEST: Final = "x-request"
"""The member of an answer's schema that names the request it answers: what nothing names is no component."""

_made: dict[str, dict[str, type[BaseModel]]] = {}
"""Name -> what the schema says -> its model: equal contracts that are mounted twice have one."""


def typed(model: Model, protocol: str, suffix: str) -> dict[str, Any]:
    """`responses` and `openapi_extra` of one inference operation, whose request and answers are named models.

    `protocol` is `v1` or `v2`; `suffix` ends the operation's id.
    """
    operation, known = described_inference(model, protocol, suffix)
    body = operation["requestBody"]["content"]["application/json"]
    good, failed = operation["responses"]["200"], operation["responses"]["default"]
    answered = good["content"].pop("application/json")
    request = _model(_name(body["schema"]), known)
    answer = _model(_name(answered.pop("schema")), known, request)
    body["schema"] = {"$ref": BASE + request.__name__}
    content = {**good["content"], **({"application/json": answered} if answered else {})}
    return {
        "responses": {
            200: {"model": answer, "description": good["description"], "content": content},
            "default": {"model": _model("Error", known), "description": failed["description"]},
        },
        "openapi_extra": {name: said for name, said in operation.items() if name != "responses"},
    }


def _name(schema: Schema) -> str:
    return str(schema["$ref"]).removeprefix(BASE)


def _model(name: str, known: Mapping[str, Schema], request: type[BaseModel] | None = None) -> type[BaseModel]:
    """The model of a component, and of those that it names; `request` is what it answers."""
    schema = known[name]
    used = {other: _model(other, known) for other in sorted(_references(schema))}
    said = json.dumps([inlined(schema, known), request.__name__ if request else None], sort_keys=True)
    title = _ERROR if name == "Error" else name
    made = _made.setdefault(title, {})
    if said not in made:
        fields = {f"used_{place}": other for place, other in enumerate(used.values())}
        places = {BASE + other: f"used_{place}" for place, other in enumerate(used)}
        if request is not None:
            fields["request"] = request
        word = title if not made else f"{title}_{len(made) + 1}"
        made[said] = _pydantic(word, fields, lambda refs: _linked(schema, places, refs, known))
    return made[said]


def _pydantic(name: str, fields: dict[str, Any], build: Callable[[Mapping[str, Any]], Schema]) -> type[BaseModel]:
    """A pydantic model whose schema is what `build` makes of the references to the models of its fields."""

    def schema(_cls: Any, core: Any, handler: Any) -> Schema:
        own = handler.resolve_ref_schema(handler(core))
        return build(own.get("properties", {}))

    members = {"__module__": __name__, "__qualname__": name, "__annotations__": fields}
    made: type[BaseModel] = type(name, (BaseModel,), members | {"__get_pydantic_json_schema__": classmethod(schema)})
    return made


def _references(schema: Any) -> set[str]:
    """The components that a schema refers to as a whole."""
    if isinstance(schema, list):
        return set().union(*map(_references, schema))
    if not isinstance(schema, dict):
        return set()
    found = set().union(*map(_references, schema.values()))
    reference = schema.get("$ref")
    if isinstance(reference, str) and "/" not in (name := reference.removeprefix(BASE)):
        found.add(name)
    return found


def _linked(schema: Schema, places: Mapping[str, str], refs: Mapping[str, Any], known: Mapping[str, Schema]) -> Schema:
    """The schema with pydantic's references; a part of a component is written out where it is named."""

    def linked(value: Any) -> Any:
        if isinstance(value, list):
            return [linked(item) for item in value]
        if not isinstance(value, dict):
            return value
        reference = value.get("$ref")
        if isinstance(reference, str):
            place = places.get(reference)
            return inlined(value, known) if place is None else {"$ref": refs[place]["$ref"]}
        return {key: linked(item) for key, item in value.items()}

    out: Schema = linked(schema)
    if "request" in refs:
        out[_REQUEST] = {"$ref": refs["request"]["$ref"]}
    return out
