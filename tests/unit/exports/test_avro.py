"""The Avro schemas parse, carry rows without loss, and resolve old writers as the contract treats old clients."""

from __future__ import annotations

import json
import math
from typing import Any

import fastavro
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.support.avro_rows import row_of, written
from tests.support.contract_values import case_contracts, contracts, every_rule, good_rows

from fivefold.core.contract.contract import Contract
from fivefold.core.fields.field import Field
from fivefold.core.readers.records import Records
from fivefold.exports import avro, export


def schema_of(contract: Contract, kind: str = "record") -> Any:
    return json.loads(export(contract, "avro")[f"{contract.name}.{kind}.avsc"])


@pytest.mark.parametrize("contract", [every_rule(), *case_contracts()], ids=lambda contract: contract.name)
@pytest.mark.parametrize("kind", ["record", "prediction"])
def test_every_schema_parses(contract: Contract, kind: str) -> None:
    """Names and defaults are legal under Avro; each field keeps its own rules with its real name."""
    schema = schema_of(contract, kind)
    fields = contract.inputs if kind == "record" else contract.outputs

    fastavro.parse_schema(json.loads(json.dumps(schema)), _force=True)

    assert [member["fivefold"] for member in schema["fields"]] == [field.to_json() for field in fields]


@pytest.mark.full
@given(st.data())
def test_rows_survive_the_wire(data: st.DataObject) -> None:
    """A legal row validates, and comes back from Avro's bytes as it was."""
    contract = data.draw(contracts())
    record = data.draw(good_rows(contract))
    assume(record is not None)
    schema = fastavro.parse_schema(schema_of(contract), _force=True)
    row = row_of(contract.inputs, record)

    assert fastavro.validate(row, schema, raise_errors=False)
    assert repr(fastavro.schemaless_reader(written(schema, row), schema, None)) == repr(row)


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        (Field("x", "int8"), -128, "1"),
        (Field("x", "int32"), 2**31 - 1, 2**31),
        (Field("x", "uint32"), 2**32 - 1, 2**63),
        (Field("x", "int64"), -(2**63), 2**63),
        (Field("x", "float64"), 0.5, "0.5"),
        (Field("x", "float32"), 0.5, True),
        (Field("x", "bool"), True, 1),
        (Field("x", "string"), "é", 1),
        (Field("x", "string"), "é", None),
        (Field("x", "bytes"), b"\xff", "text"),
        (Field("x", "string", enum=("left", "right")), "left", "middle"),
        (Field("x", "int32", shape=(2,)), [1, 2], 1),
        (Field("x", "int32", shape=(2, 1)), [[1], [2]], [1, 2]),
        (Field("x", "int32", shape=(2,), nullable=True, null_value=0), [1, None], ["1", None]),
        (Field("x", "float64", nullable=True), None, "null"),
    ],
    ids=lambda value: value.dtype if isinstance(value, Field) else None,
)
def test_types_refuse_what_the_contract_refuses(field: Field, good: Any, bad: Any) -> None:
    """Families, nulls, shapes, symbols and the range of the wire type are Avro's own rules."""
    contract = Contract("one", "1.0.0", (field,), (Field("y", "bool"),))
    schema = fastavro.parse_schema(schema_of(contract), _force=True)

    assert fastavro.validate({"x": good}, schema, raise_errors=False)
    assert not fastavro.validate({"x": bad}, schema, raise_errors=False)


@pytest.mark.parametrize(
    ("field", "default", "kind"),
    [
        (Field("x", "bool", nullable=True, null_value=False, default=False), False, ["boolean", "null"]),
        (Field("x", "bool", nullable=True, null_value=False, default=None), None, ["null", "boolean"]),
        (Field("x", "int32", nullable=True, null_value=-1, minimum=0, default=-1), None, ["null", "int"]),
        (Field("x", "string", nullable=True, null_value="", default=""), "", ["string", "null"]),
    ],
)
def test_a_default_is_null_only_where_it_is_one(field: Field, default: Any, kind: list[str]) -> None:
    """A default that equals null_value is that value where it is legal, and null where it is not."""
    (member,) = schema_of(Contract("one", "1.0.0", (field,), (Field("y", "bool"),)))["fields"]

    assert (member["default"], member["type"]) == (default, kind)


def test_an_old_writer_gets_the_defaults() -> None:
    """Rows of a writer that knows only the required fields resolve to the contract's defaults."""
    contract = every_rule()
    names = avro.field_names(contract.inputs)
    required = tuple(field for field in contract.inputs if field.required)
    old = Contract(contract.name, "1.0.0", required, contract.outputs)
    record = {
        "mean-radius": 1,
        "mean_radius": 0.5,
        "meanRadius": 2,
        "grade": None,
        "code": "AB-123",
        "id": 5,
        "wide": [0] * 12,
    }
    writer, reader = schema_of(old), schema_of(contract)
    row = fastavro.schemaless_reader(written(writer, row_of(old.inputs, record)), writer, reader)

    columns = Records(contract.inputs).read([record]).accept()
    for field in contract.inputs:
        expected = columns[field.name].tolist()[0]
        got = row[names[field.name]]
        if columns.nulls(field.name).all():
            assert got is None
        elif field.kind == "bytes":
            assert (got.encode("latin-1") if isinstance(got, str) else got) == expected
        elif field.dtype == "uint64":
            # fastavro hands out a default as it is written; the spelling is Avro's: two's complement, big endian.
            assert int.from_bytes(got.encode("latin-1"), "big", signed=True) == expected
        else:
            assert got == expected


def test_an_alias_resolves() -> None:
    """A writer that uses another accepted name of a field is read under the field's own name."""
    field = Field("site", "string", aliases=("side", "s-i"))
    new = Contract("one", "2.0.0", (field,), (Field("y", "bool"),))
    for alias in field.aliases:
        old = Contract("one", "1.0.0", (Field(alias, "string"),), (Field("y", "bool"),))
        [name] = avro.field_names(old.inputs).values()
        sent = written(schema_of(old), {name: "left"})

        assert fastavro.schemaless_reader(sent, schema_of(old), schema_of(new)) == {"site": "left"}


def test_null_in_a_float_stays_null() -> None:
    """NaN and null are one in a nullable float, and both have a place in the schema."""
    contract = Contract("one", "1.0.0", (Field("x", "float64", nullable=True),), (Field("y", "bool"),))
    schema = fastavro.parse_schema(schema_of(contract), _force=True)

    assert fastavro.schemaless_reader(written(schema, {"x": None}), schema, None) == {"x": None}
    assert math.isnan(fastavro.schemaless_reader(written(schema, {"x": math.nan}), schema, None)["x"])
