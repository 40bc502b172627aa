"""The Arrow schemas are read by Arrow, hold every legal row and refuse other types."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.support.contract_values import case_contracts, contracts, every_rule, good_rows

from fivefold.core.contract.contract import Contract
from fivefold.core.fields.field import Field
from fivefold.core.readers.arrow import Arrow
from fivefold.core.readers.records import Records
from fivefold.exports import arrow_schema, export


def schema_of(contract: Contract, kind: str = "record") -> Any:
    with pa.ipc.open_stream(export(contract, "arrow")[f"{contract.name}.{kind}.arrows"]) as reader:
        return reader.schema


@pytest.mark.parametrize("contract", [every_rule(), *case_contracts()], ids=lambda contract: contract.name)
def test_the_schema_comes_back_with_the_law(contract: Contract) -> None:
    """Names, nullability and shapes are Arrow's own; the rest of each field is in its metadata."""
    for kind, fields in (("record", contract.inputs), ("prediction", contract.outputs)):
        schema = schema_of(contract, kind)

        assert schema.names == [field.name for field in fields]
        assert [member.nullable for member in schema] == [field.nullable for field in fields]
        assert [json.loads(member.metadata[b"fivefold"]) for member in schema] == [field.to_json() for field in fields]
        assert json.loads(schema.metadata[b"fivefold"]) == {"contract": f"{contract.name}@{contract.version}"}


@pytest.mark.full
@given(st.data())
def test_rows_survive_the_table(data: st.DataObject) -> None:
    """A legal row fits the schema, and the contract's Arrow reader gives the row that its record reader gave."""
    contract = data.draw(contracts())
    record = data.draw(good_rows(contract))
    assume(record is not None)
    before = Records(contract.inputs).read([record]).accept()
    cells = {}
    for field in contract.inputs:
        nulls = before.nulls(field.name).tolist()[0]
        cells[field.name] = _cell(before[field.name].tolist()[0], nulls)

    batch = pa.RecordBatch.from_pylist([cells], schema=schema_of(contract))
    batch.validate(full=True)

    assert Arrow(contract.inputs).read(batch).accept().equals(before)


def _cell(value: Any, null: Any) -> Any:
    if isinstance(value, list):
        return [_cell(*pair) for pair in zip(value, null, strict=True)]
    return None if null else value


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        (Field("x", "int8"), 127, 128),
        (Field("x", "uint64"), 2**64 - 1, -1),
        (Field("x", "int32"), 1, "1"),
        (Field("x", "float32"), 0.5, "0.5"),
        (Field("x", "bool"), True, "true"),
        (Field("x", "string"), "é", 1),
        (Field("x", "bytes"), b"\xff", 1),
        (Field("x", "float64", shape=(2,)), [1, 2], [1, 2, 3]),
        (Field("x", "float64", shape=(2, 1)), [[1], [2]], [1, 2]),
    ],
    ids=lambda value: value.dtype if isinstance(value, Field) else None,
)
def test_types_refuse_what_the_contract_refuses(field: Field, good: Any, bad: Any) -> None:
    """Families, ranges of the dtype and fixed sizes are Arrow's own rules."""
    pa.array([good], arrow_schema.arrow_type(field))

    with pytest.raises((pa.ArrowException, OverflowError)):
        pa.array([bad], arrow_schema.arrow_type(field))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_null_in_a_float_stays_null(dtype: str) -> None:
    """A null cell of a float column is null to the contract, never a zero."""
    contract = Contract("one", "1.0.0", (Field("x", dtype, nullable=True),), (Field("y", "bool"),))
    batch = pa.RecordBatch.from_pylist([{"x": None}, {"x": 0.0}], schema=schema_of(contract))

    assert Arrow(contract.inputs).read(batch).accept().to_records() == [{"x": None}, {"x": 0.0}]
