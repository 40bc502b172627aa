"""The OpenAPI export is a document that OpenAPI tools read, and its components hold the contract's rules."""

from __future__ import annotations

import json
from typing import Any

import pytest
import schemathesis
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012
from tests.support.contract_values import case_contracts, every_rule, good_record

from fivefold.core.contract.contract import Contract
from fivefold.core.errors import CODES, ContractError, Violation
from fivefold.exports import export, openapi_schema


def document_of(contract: Contract) -> Any:
    return json.loads(export(contract, "openapi")[f"{contract.name}.openapi.json"])


def component(document: Any, name: str) -> Draft202012Validator:
    registry = Registry().with_resource("urn:document", DRAFT202012.create_resource(document))
    return Draft202012Validator({"$ref": f"urn:document#/components/schemas/{name}"}, registry=registry)


@pytest.mark.parametrize("contract", [every_rule(), *case_contracts()], ids=lambda contract: contract.name)
def test_a_reader_finds_the_operation(contract: Contract) -> None:
    """Schemathesis loads the document, resolves every reference and finds the typed operation."""
    schema = schemathesis.openapi.from_dict(document_of(contract))

    operations = [result.ok() for result in schema.get_all_operations()]

    assert [(operation.method, operation.path) for operation in operations] == [
        ("post", f"/v1/models/{contract.name}:predict")
    ]


def test_the_request_is_typed() -> None:
    """The request component takes what the contract takes, by reference to the record's own component."""
    reader = component(document_of(every_rule()), "EveryRuleV2Request")

    assert reader.is_valid({"instances": [good_record()]})
    assert not reader.is_valid({"instances": [{**good_record(), "mean-radius": 61}]})
    assert not reader.is_valid({"instances": [{**good_record(), "meanRadius": 2}]})


def test_errors_are_typed() -> None:
    """The error component takes the body of a real error and knows every code."""
    document = document_of(every_rule())
    violation = Violation("out_of_range", "inputs.x[0]", "expected less", "try less")
    body = ContractError.of([violation]).to_json("abc")

    assert component(document, "Error").is_valid(body)
    assert not component(document, "Error").is_valid({**body, "code": "else"})
    assert document["components"]["schemas"]["Error"]["properties"]["code"]["enum"] == list(CODES)


def test_models_share_a_document() -> None:
    """Two models under prefixes of their own never share a component or an operation's name."""
    left, right = (openapi_schema.components(every_rule(), prefix) for prefix in ("First", "Second"))
    operations = [
        openapi_schema.operation(every_rule(), prefix, examples={"request": {"instances": []}})
        for prefix in ("First", "Second")
    ]

    assert not set(left) & set(right)
    assert operations[0]["operationId"] != operations[1]["operationId"]
    assert operations[0]["requestBody"]["content"]["application/json"]["example"] == {"instances": []}
    assert "First" not in json.dumps(right)
