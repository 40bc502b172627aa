"""The OpenAPI document: complete, valid, typed, with examples that are true."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from tests.conformance import models
from tests.support.grpc_calls import echo_bundle, gate_bundle
from tests.support.http_calls import World, dumps, world

from fivefold.serving.http.routes import Interface


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    place = tmp_path_factory.mktemp("openapi")
    bundles = [
        models.bundle("classifier", place),
        echo_bundle(place / "echo"),
        *(gate_bundle(place / f"gate-{v}", v) for v in ("1", "2.0", "2-0")),
    ]
    with world(bundles) as out:
        yield out


@pytest.fixture(scope="module")
def document(served: World) -> dict[str, Any]:
    out: dict[str, Any] = served.get("/openapi.json").json
    return out


def validator(document: dict[str, Any], schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": document["components"]})


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_every_route_is_described_and_every_description_is_a_route(served: World, document: dict[str, Any]) -> None:
    """For each model and version; what is not implemented and V1's foreign verbs stay out."""
    surface = Interface(served.serving)
    expected = {(m, p) for m, p, _ in surface.server_routes() if p != "/v2/" and not p.endswith("load")}
    for method, path, _ in surface.model_routes():
        if "{verb}" in path:
            continue
        for name in served.serving.models.names():
            for version in served.serving.models.versions(name):
                concrete = path.replace("{name}", name).replace("{version}", version).replace(":path}", "}")
                expected.add((method, concrete))

    assert {(method.upper(), path) for path, method, _ in operations(document)} == expected


def test_names_are_unique_and_legal(document: dict[str, Any]) -> None:
    """Also for versions that differ in punctuation only."""
    names = [operation["operationId"] for _, _, operation in operations(document)]

    assert document["openapi"] == "3.1.0"
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in document["components"]["schemas"])


def test_schemas_are_schemas_and_references_resolve(document: dict[str, Any]) -> None:
    """Each component is a legal 2020-12 schema and can be used."""
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
        list(validator(document, schema).iter_errors({}))
    for reference in re.findall(r'"\$ref": *"#/components/schemas/([^"/]+)', json.dumps(document)):
        assert reference in document["components"]["schemas"]


def test_examples_are_valid_and_true(served: World, document: dict[str, Any]) -> None:
    """The golden rows: each example request passes its schema, and gives the example answer."""
    seen = 0
    for path, _, operation in operations(document):
        if "requestBody" not in operation:
            continue
        asked = operation["requestBody"]["content"]["application/json"]
        answered = operation["responses"]["200"]["content"]["application/json"]
        validator(document, asked["schema"]).validate(asked["example"])
        validator(document, answered["schema"]).validate(answered["example"])

        reply = served.post(path, asked["example"], x_request_id="1")

        assert reply.json == answered["example"]
        validator(document, answered["schema"]).validate(reply.json)
        seen += 1
    # Two protocols, with and without the version, and two versions that are nobody's default.
    assert seen == 2 * (3 * 2 + 2)


def test_the_schema_refuses_what_the_server_refuses(served: World, document: dict[str, Any]) -> None:
    """The types are the contract's own, in both spellings."""
    path = "/v1/models/gate:predict"
    schema = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    for instance, fine in (
        ({"x": 1000}, True),
        ({"x": 1001}, False),
        ({"x": "1"}, False),
        ({}, False),
        ({"ex": 1}, True),
    ):
        body = {"instances": [instance]}

        assert validator(document, schema).is_valid(body) is fine
        assert (served.post(path, body).status == 200) is fine


def test_errors_have_the_described_body(served: World, document: dict[str, Any]) -> None:
    """Every error body is an `Error`."""
    schema = document["components"]["schemas"]["Error"]
    for reply in (
        served.ask("POST", "/v1/models/gate:predict", b"{"),
        served.post("/v1/models/gate:predict", {"instances": [{"x": 1001}, {"why": 1}]}),
        served.get("/nothing"),
        served.ask("PUT", "/v2", dumps({})),
    ):
        validator(document, schema).validate(reply.json)
