"""The schema of contract.json refuses nothing that the parser takes, and says what it can of the rest."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from tests.support.contract_values import case_contracts, contracts, every_rule

from fivefold.cli import main
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import ContractInvalid
from fivefold.core.fields.field import DTYPES, KEYWORDS
from fivefold.exports import contract_file_schema, contract_page
from fivefold.exports.contract_file_schema import schema
from fivefold.exports.contract_keywords import OF_A_CONTRACT, OF_A_FIELD

SCHEMA = schema()
VALIDATOR = Draft202012Validator(SCHEMA)
RUST = jsonschema_rs.validator_for(SCHEMA)


def parser_takes(document: Any) -> bool:
    try:
        Contract.from_json(json.dumps(document))
    except ContractInvalid:
        return False
    return True


def schema_takes(document: Any) -> bool:
    taken = VALIDATOR.is_valid(document)
    assert taken == RUST.is_valid(document)
    return taken


def test_it_is_a_schema() -> None:
    """Legal under the meta-schema, with a text for every keyword, each of which has an example."""
    Draft202012Validator.check_schema(SCHEMA)

    assert [each.name for each in OF_A_FIELD] == list(KEYWORDS)
    assert [each.name for each in OF_A_CONTRACT] == list(SCHEMA["properties"])
    assert list(SCHEMA["$defs"]["field"]["properties"]) == list(KEYWORDS)


_NUMBERS = [0, 1, -1, 3.0, 0.5, 300, 2**63, -(2**70), 1e300]
_LISTS = [[], [1], [2, 2], ["a"], ["a", "a"], ["a", ""], [1, 1.0], [0.5, "a"], [None], [True], [-1]]
_JUNK: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, False, *_NUMBERS, *_LISTS, "", "a", "x y", "YQ==", "?", {}, {"b64": "YQ=="}, "1.0.0", *DTYPES]
)


@st.composite
def documents(draw: st.DrawFn) -> Any:
    """A contract in which a few keywords have been given another value, taken away or added."""
    document = copy.deepcopy(draw(contracts()).to_json() if draw(st.booleans()) else every_rule().to_json())
    if draw(st.booleans()):
        document["outputs"] = draw(contracts()).to_json()["inputs"]
        for field in document["outputs"]:
            for keyword in ("default", "allow_nan"):
                field.pop(keyword, None)
    for _ in range(draw(st.integers(0, 3))):
        side = draw(st.sampled_from(["inputs", "outputs"]))
        there = document.get(side)
        # A side that is something else by now has no fields.
        fields = there if isinstance(there, list) else []
        places = [document, *(each for each in fields if isinstance(each, dict))]
        place = draw(st.sampled_from(places))
        keyword = draw(st.sampled_from([*(SCHEMA["properties"] if place is document else KEYWORDS), "other"]))
        if draw(st.integers(0, 3)) == 0:
            place.pop(keyword, None)
        else:
            place[keyword] = draw(_JUNK)
        if not isinstance(document.get(side), list):
            break
    return document


@settings(max_examples=400, deadline=None)
@given(documents())
def test_what_it_refuses_the_parser_refuses(document: Any) -> None:
    """So an editor never marks a contract that is one."""
    assert schema_takes(document) or not parser_takes(document)


@pytest.mark.parametrize("contract", [every_rule(), *case_contracts()], ids=lambda contract: contract.name)
def test_contracts_are_taken(contract: Contract) -> None:
    """Those that every rule is tried on."""
    assert schema_takes(contract.to_json())


ONLY_THE_PARSER = {"maximum", "pattern", "default", "aliases", "labels", "unknown", "maxLength"}
"""Keywords whose wrong example takes two values to see, or another language to read."""


@pytest.mark.parametrize("keyword", OF_A_FIELD, ids=lambda keyword: keyword.name)
def test_it_says_what_is_wrong(keyword: Any) -> None:
    """Of each keyword's wrong example, as far as a schema can."""
    sound = {"format": 1, "name": "n", "version": "1"}
    sound |= {"inputs": [{"name": "i", "dtype": "bool"}], "outputs": [{"name": "o", "dtype": "bool"}]}

    assert schema_takes(sound | {keyword.side: [keyword.field]})
    assert schema_takes(sound | {keyword.side: [keyword.wrong]}) == (keyword.name in ONLY_THE_PARSER)


@pytest.mark.parametrize("keyword", OF_A_CONTRACT, ids=lambda keyword: keyword.name)
def test_it_says_what_is_wrong_with_a_contract(keyword: Any) -> None:
    """Of each keyword of the contract itself."""
    assert not schema_takes(every_rule().to_json() | keyword.wrong)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_keyword_has_the_dtypes_that_it_has(dtype: str) -> None:
    """The schema and the parser agree on which keyword a dtype has."""
    kinds = {"minimum": 1, "maximum": 1, "enum": ["a"], "minLength": 1, "maxLength": 1, "pattern": "^a$"}
    kinds |= {"allow_nan": True}
    number = dtype not in ("bool", "string", "bytes")
    for name, value in kinds.items():
        field = {"name": "x", "dtype": dtype, name: [1] if name == "enum" and number else value}
        document = every_rule().to_json() | {"inputs": [field]}
        assert schema_takes(document) == parser_takes(document), field


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    """As it is published."""
    assert main(["contract", "schema"]) == 0
    assert json.loads(capsys.readouterr().out) == SCHEMA


def test_the_pages_are_what_the_code_says() -> None:
    """Every example of docs/contract.md gives what it shows; the schema beside it is this one."""
    root = Path(__file__).parents[3]

    assert (root / contract_page.PAGE).read_text("utf-8") == contract_page.page()
    assert (root / contract_file_schema.PAGE).read_bytes() == contract_file_schema.text()


def test_an_example_that_is_not_wrong_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page cannot be written with an example that does not show what it says."""
    keyword = type(OF_A_FIELD[0])("name", "says", {"name": "x", "dtype": "bool"}, (), {"name": "x", "dtype": "bool"})
    monkeypatch.setattr(contract_page, "OF_A_FIELD", (keyword,))
    with pytest.raises(ValueError, match="is right"):
        contract_page.page()
