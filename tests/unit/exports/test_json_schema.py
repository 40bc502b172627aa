"""JSON Schema accepts and refuses what the record reader accepts and refuses."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import jsonschema_rs
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, validators
from tests.support.contract_values import case_contracts, contracts, every_rule, good_record, records

from fivefold.core.check.outputs import check_outputs
from fivefold.core.contract.contract import Contract
from fivefold.core.fields.field import Field
from fivefold.core.fields.pattern import Pattern
from fivefold.core.readers.records import Records
from fivefold.exports import export, json_schema


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Any:
    # Python's `$` also matches before a last newline; ECMAScript's, which JSON Schema means, does not.
    if isinstance(instance, str) and not re.search(re.sub(r"(?<!\\)\$", r"\\Z", pattern), instance):
        yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")


Reader = validators.extend(Draft202012Validator, {"pattern": _pattern})


def schema_of(contract: Contract, kind: str) -> Any:
    return json.loads(export(contract, "json-schema")[f"{contract.name}.{kind}.schema.json"])


@pytest.mark.parametrize("contract", [every_rule(), *case_contracts()], ids=lambda contract: contract.name)
@pytest.mark.parametrize("kind", ["record", "prediction", "request", "response"])
def test_every_schema_is_one(contract: Contract, kind: str) -> None:
    """Each exported schema is legal under the 2020-12 meta-schema."""
    schema = schema_of(contract, kind)

    Draft202012Validator.check_schema(schema)
    jsonschema_rs.meta.validate(schema)


@pytest.mark.full
@pytest.mark.parametrize("examples", [100, pytest.param(400, marks=pytest.mark.full)])
def test_a_record_is_judged_alike(examples: int) -> None:
    """Two JSON Schema readers give the verdict of the record reader, whatever the contract and the row."""

    @settings(max_examples=examples, deadline=None)
    @given(st.data())
    def judged(data: st.DataObject) -> None:
        contract = data.draw(contracts())
        record = data.draw(records(contract))
        schema = schema_of(contract, "record")

        accepted = not Records(contract.inputs).read([record]).violations

        assert Reader(schema).is_valid(record) == accepted
        assert jsonschema_rs.is_valid(schema, record) == accepted

    judged()


@pytest.mark.full
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_request_takes_every_spelling(data: st.DataObject) -> None:
    """The request's schema takes objects and positional arrays as the reader does."""
    contract = data.draw(contracts(most=2))
    row = data.draw(records(contract))
    instance = data.draw(st.sampled_from([row, list(row.values()), *row.values()]))

    accepted = not Records(contract.inputs).read([instance]).violations

    assert Reader(schema_of(contract, "request")).is_valid({"instances": [instance]}) == accepted


def test_the_envelope_is_closed() -> None:
    """The request allows what the reader allows beside its instances, and nothing else."""
    reader = Reader(schema_of(every_rule(), "request"))

    assert reader.is_valid({"instances": [good_record()], "parameters": {}, "signature_name": "x"})
    assert reader.is_valid({"instances": []})
    assert not reader.is_valid({"instances": [good_record()], "instance": 1})
    assert not reader.is_valid({"instances": good_record()})
    assert not reader.is_valid({})


def test_a_number_beyond_binary64_is_refused() -> None:
    """A JSON number that overflows in the reader breaks the schema of a float field without bounds too."""
    contract = Contract.from_json(
        {
            "format": 1,
            "name": "one",
            "version": "1",
            "inputs": [{"name": "x", "dtype": "float64"}],
            "outputs": [{"name": "y", "dtype": "bool"}],
        }
    )
    reader = Reader(schema_of(contract, "record"))

    assert reader.is_valid(json.loads('{"x": 1e308}'))
    assert not reader.is_valid(json.loads('{"x": 1e400}'))


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_every_legal_answer_passes(data: st.DataObject) -> None:
    """What the output check lets through is never refused by the prediction's schema, rounding included."""
    dtype = data.draw(st.sampled_from(["float16", "float32", "float64", "int8", "uint64"]))
    kind = np.dtype(dtype).type
    bounds = sorted(data.draw(st.lists(st.sampled_from([0.1, 0.3, 0.7, 0, 1, 2]), min_size=2, max_size=2)))
    if dtype[0] != "f":
        bounds = [int(bound) for bound in bounds]
    field = Field("y", dtype, shape=(2,), minimum=bounds[0], maximum=bounds[1])
    answer = np.array([[kind(bound) for bound in bounds]])
    records_out = check_outputs((field,), {"y": answer}, 1).to_records()

    assert Reader(json_schema.prediction((field,))).is_valid(json.loads(json.dumps(records_out[0])))


def test_answers_are_closed_and_complete() -> None:
    """A prediction has exactly the output fields, nested, with null only where declared."""
    reader = Reader(schema_of(every_rule(), "prediction"))
    answer = {"label": "benign", "probability": [0.25, 0.75], "score": None, "raw": "QQ==", "rank": None}

    assert reader.is_valid(answer)
    assert not reader.is_valid({**answer, "more": 1})
    assert not reader.is_valid({**answer, "label": None})
    assert not reader.is_valid({**answer, "probability": [1]})
    assert not reader.is_valid({key: answer[key] for key in answer if key != "raw"})


@given(st.sampled_from([r"\x00-é", "^a/b$", r"[\-a&&b~]", r"\t\.\{", "[Ā-ſ]"]), st.text(max_size=4))
@example(r"^[\]\-]$", "-")
def test_the_portable_spelling_means_the_same(text: str, value: str) -> None:
    """A pattern in portable spelling finds what RE2 finds."""
    pattern = Pattern.parse(text.replace("\\x00", "q"))

    assert (re.search(json_schema.portable(pattern), value) is not None) == pattern.matches(value)


def test_documentation_survives() -> None:
    """Units, descriptions, defaults and the declared bounds of rounded floats stand in the schema."""
    properties = schema_of(every_rule(), "record")["properties"]

    assert properties["mean-radius"]["x-unit"] == "mm"
    assert properties["mean-radius"]["maximum"] == 60.5
    assert properties["mean_radius"]["x-minimum"] == 0.1
    assert properties["site"]["default"] == "left"
    assert properties["side"] == {"$ref": "#/properties/site"}
    assert schema_of(every_rule(), "prediction")["properties"]["probability"]["x-labels"] == ["benign", "malignant"]
