"""The schemas of Kubernetes and of the resources that the chart uses, from the modules that publish them.

Go's module cache keeps what it has downloaded, so only the first run needs a network. Schemas are closed here: a field
that they do not name is an error, as it is for `kubectl apply --validate=strict`.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

MODULES = {
    "k8s.io/kubernetes": "v1.34.3",
    "github.com/ray-project/kuberay/ray-operator": "v1.6.0",
    "sigs.k8s.io/gateway-api": "v1.6.1",
    "github.com/prometheus-operator/prometheus-operator": "v0.85.0",
    "github.com/cert-manager/cert-manager": "v1.21.2",
    "github.com/kedacore/keda/v2": "v2.18.1",
}
CRDS = {
    "github.com/ray-project/kuberay/ray-operator": "config/crd/bases",
    "sigs.k8s.io/gateway-api": "config/crd/standard",
    "github.com/prometheus-operator/prometheus-operator": "example/prometheus-operator-crd",
    "github.com/cert-manager/cert-manager": "deploy/crds",
    "github.com/kedacore/keda/v2": "config/crd/bases",
}


@cache
def module(path: str) -> Path:
    """The directory of a module, downloaded where it is not there."""
    environ = {**os.environ, "GOFLAGS": "-mod=mod"}
    asked = f"{path}@{MODULES[path]}"
    done = subprocess.run(
        ["go", "mod", "download", "-json", asked], capture_output=True, text=True, cwd="/", env=environ, timeout=280
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return Path(json.loads(done.stdout)["Dir"])


@cache
def schema_of(api: str, kind: str) -> dict[str, Any]:
    """The schema of a kind; `api` is an apiVersion."""
    group, _, version = api.rpartition("/")
    for found in _kubernetes(group, version, kind):
        return found
    for found in _custom(group, version, kind):
        return found
    raise LookupError(f"no schema for {api} {kind}")


def errors(item: dict[str, Any]) -> list[str]:
    """What the schema of an object's kind says against it, each with its place."""
    validator = jsonschema.Draft7Validator(schema_of(item["apiVersion"], item["kind"]))
    return [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(item)]


@cache
def _definitions() -> dict[str, Any]:
    document = json.loads((module("k8s.io/kubernetes") / "api/openapi-spec/swagger.json").read_text())
    return {name: _closed(definition) for name, definition in document["definitions"].items()}


def _kubernetes(group: str, version: str, kind: str) -> Iterator[dict[str, Any]]:
    wanted = {"group": group, "version": version, "kind": kind}
    for name, definition in _definitions().items():
        if wanted in definition.get("x-kubernetes-group-version-kind", []):
            yield {"$ref": f"#/definitions/{name}", "definitions": _definitions()}


def defaults(item: dict[str, Any]) -> list[str]:
    """What the API would add to an object of a kind that a CustomResourceDefinition describes: its paths, sorted.

    Kinds of Kubernetes itself are left out: whoever compares objects with Git knows their defaults.
    """
    group, _, version = item["apiVersion"].rpartition("/")
    for schema in _described(group, version, item["kind"]):
        spec = schema["properties"].get("spec", {})
        return sorted(_absent(item.get("spec", {}), spec, "$.spec"))
    return []


def _absent(value: Any, schema: dict[str, Any], path: str) -> Iterator[str]:
    """A default counts where the object that it is in is there."""
    if isinstance(value, dict):
        for name, found in schema.get("properties", {}).items():
            if name in value:
                yield from _absent(value[name], found, f"{path}.{name}")
            elif "default" in found:
                yield f"{path}.{name}"
        others = schema.get("additionalProperties")
        if isinstance(others, dict):
            for name in value.keys() - schema.get("properties", {}).keys():
                yield from _absent(value[name], others, f"{path}.{name}")
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _absent(each, schema.get("items", {}), f"{path}[{index}]")


def _custom(group: str, version: str, kind: str) -> Iterator[dict[str, Any]]:
    for schema in _described(group, version, kind):
        yield _closed(schema, top=True)


def _described(group: str, version: str, kind: str) -> Iterator[dict[str, Any]]:
    """The schema as the CustomResourceDefinition has it."""
    for path, folder in CRDS.items():
        plural = f"{kind.lower()}s".replace("policys", "policies")
        for file in (module(path) / folder).glob(f"{group}_{plural}.yaml"):
            for document in yaml.safe_load_all(file.read_text()):
                names = (document or {}).get("spec", {}).get("names", {})
                if names.get("kind") != kind or document["spec"]["group"] != group:
                    continue
                for served in document["spec"]["versions"]:
                    if served["name"] == version:
                        yield served["schema"]["openAPIV3Schema"]


def _closed(schema: Any, *, top: bool = False) -> Any:
    """A schema that refuses fields it does not name, and knows what OpenAPI writes in its own way."""
    schema = copy.copy(schema)
    if schema.get("x-kubernetes-int-or-string") or schema.get("format") == "int-or-string":
        schema.pop("type", None)
        schema["type"] = ["integer", "string"]
    elif schema.get("nullable"):
        schema["type"] = [schema["type"], "null"]
    schema.pop("format", None)
    schema.pop("default", None)
    if "properties" in schema:
        schema["properties"] = {name: _closed(found) for name, found in schema["properties"].items()}
        if top:
            schema["properties"]["metadata"] = {"type": "object"}
        if not schema.get("x-kubernetes-preserve-unknown-fields") and not schema.get("x-kubernetes-embedded-resource"):
            schema.setdefault("additionalProperties", False)
    if isinstance(schema.get("additionalProperties"), dict):
        schema["additionalProperties"] = _closed(schema["additionalProperties"])
    if isinstance(schema.get("items"), dict):
        schema["items"] = _closed(schema["items"])
    # Quantities are strings that may be written as numbers.
    if schema.get("type") == "string" and "Quantity is a fixed-point" in schema.get("description", ""):
        schema["type"] = ["string", "number"]
    return schema
