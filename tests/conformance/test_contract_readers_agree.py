"""Other languages beside the core, on drawn contracts and bodies: the same values, codes, paths, sentences."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fivefold.core.check.outputs import check_outputs
from fivefold.core.columns import Array, Columns
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import ContractError, FivefoldError
from fivefold.core.evolution.adapter import Adapter, NotAdaptable
from fivefold.core.fields.field import Field
from fivefold.core.readers.exact_json import loads
from fivefold.core.readers.records import Records
from fivefold.core.readers.tensors import Tensor, Tensors
from fivefold.serving.oip.metadata import DATATYPES, NAMES
from tests.conformance.bad_contracts import CONTRACTS
from tests.conformance.conftest import READERS
from tests.conformance.contract_readers import (
    SPELLINGS,
    ContractReader,
    columns_of,
    contract_bytes,
    hexadecimal,
    number,
    packed,
    tensors_of,
)
from tests.support.contract_values import contracts, good_rows, records, scalars, values
from tests.support.evolving_contracts import evolving

T = TypeVar("T")

EXAMPLES = settings(max_examples=40, suppress_health_check=list(HealthCheck))


def _same(reply: dict[str, Any], fields: tuple[Field, ...], ours: Columns | FivefoldError) -> None:
    """Fail where the process' answer is another one than ours."""
    if isinstance(ours, FivefoldError):
        assert reply.get("error") == ours.to_json()
    else:
        assert "error" not in reply
        assert columns_of(fields, reply["answer"]).equals(ours)


def _tried(step: Callable[..., T], *given: Any, **more: Any) -> T | Any:
    """What the step gives, or the error that it raises."""
    try:
        return step(*given, **more)
    except (FivefoldError, NotAdaptable) as err:
        return err


def _read(fields: tuple[Field, ...], body: bytes) -> Columns | FivefoldError:
    ours: Columns | FivefoldError = _tried(lambda: Records(fields).read_json(body).accept())
    return ours


def _spelt(source: Any, value: Any) -> str:
    """JSON with numbers spelled as callers do: with exponents, fractions that are none, more digits than there are."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)}:{_spelt(source, each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_spelt(source, each) for each in value) + "]"
    text = json.dumps(value, ensure_ascii=source(st.booleans()))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return text
    kind = source(st.sampled_from(["plain"] * 6 + ["point", "exponent", "beyond", "digits"]))
    if kind == "point" and isinstance(value, int):
        return f"{text}.0"
    if kind == "exponent":
        return f"{text}{source(st.sampled_from(['e0', 'E+1', 'e-1', 'e-400', 'e400', 'e+22']))}"
    if kind == "digits":
        return f"{text}.000000000000000000001" if isinstance(value, int) else f"{text}"
    return (
        source(st.sampled_from(["1e400", "-1e400", "9007199254740993", "9" * 420, "-0", "-0.0"]))
        if kind == "beyond"
        else text
    )


@EXAMPLES
@given(st.data())
def test_records(reader: ContractReader, data: st.DataObject) -> None:
    """V1 bodies, by row, by column and as rows alone: columns bit by bit, or the whole error with help and details."""
    contract = data.draw(contracts())
    rows = data.draw(st.lists(records(contract), max_size=4))
    if data.draw(st.integers(0, 3)):
        given_: Any = {"instances": rows}
        if len(contract.inputs) == 1 or not data.draw(st.integers(0, 4)):
            given_ = {"instances": [list(row.values()) for row in rows]}
    else:
        given_ = {"inputs": {field.name: data.draw(st.lists(values(field), max_size=3)) for field in contract.inputs}}
    if rows and not data.draw(st.integers(0, 4)):
        given_ = data.draw(st.sampled_from([rows, {**rows[0], "more": 1}, {**rows[0], "inputs": None}]))
    body = _spelt(data.draw, given_).encode()
    reply = reader.ask("records", contract=contract_bytes(contract), body=packed(body))

    _same(reply, contract.inputs, _read(contract.inputs, body))


@pytest.mark.parametrize("reader", [name for name in READERS if "tensors" in SPELLINGS[name]], indirect=True)
@EXAMPLES
@given(st.data())
def test_tensors(reader: ContractReader, data: st.DataObject) -> None:
    """V2 bodies: any datatype, shapes that fit and do not, names that are unknown, doubled or missing."""
    contract = data.draw(contracts())
    rows = data.draw(st.integers(0, 3))
    inputs = []
    for field in contract.inputs:
        if not data.draw(st.integers(0, 9)):
            continue
        datatype = data.draw(st.sampled_from([NAMES[field.dtype]] * 8 + ["FP64", "BYTES", "BOOL", "INT64"]))
        shape = data.draw(st.sampled_from([[rows, *field.shape]] * 8 + [[rows, 1], [rows + 1, *field.shape], [], [-1]]))
        count = rows * field.size
        cells = data.draw(st.lists(scalars(field), min_size=count, max_size=count))
        name = data.draw(st.sampled_from([field.name, *field.aliases]))
        inputs.append(
            {"name": name, "datatype": "FP32" if datatype == "FP16" else datatype, "shape": shape, "data": cells}
        )
    if inputs and not data.draw(st.integers(0, 9)):
        inputs.append(
            inputs[0] | {"name": data.draw(st.sampled_from([inputs[0]["name"], "unheard", contract.inputs[0].name]))}
        )
    head = ("name", "datatype", "shape")
    texts = [
        ", ".join(
            [*(f'"{key}": {json.dumps(item[key])}' for key in head), f'"data": {_spelt(data.draw, item["data"])}']
        )
        for item in inputs
    ]
    body = ('{"inputs": [' + ", ".join(f"{{{text}}}" for text in texts) + "]}").encode()
    reply = reader.ask("tensors", contract=contract_bytes(contract), body=packed(body))

    try:
        ours: Columns | FivefoldError = (
            Tensors(contract.inputs)
            .read(
                [
                    Tensor(item["name"], DATATYPES[item["datatype"]], tuple(item["shape"]), item["data"])
                    for item in loads(body)["inputs"]
                ]
            )
            .accept()
        )
    except FivefoldError as err:
        ours = err
    _same(reply, contract.inputs, ours)


WORDS = r'{ } [ ] , : "a" " 1 - 0 .5 e1 1e400 true null NaN \ \u12 \ud800 é 😀 [{}] -Infinity {"instances":['
PIECES = st.sampled_from(WORDS.split(" ")) | st.sampled_from(" \n\t\x01\x00")


@settings(EXAMPLES, max_examples=100)
@given(st.lists(PIECES, max_size=12).map("".join).map(str.encode) | st.binary(max_size=12))
def test_bodies_that_are_no_json(reader: ContractReader, body: bytes) -> None:
    """The same sentence, line and column."""
    contract = Contract.from_json(
        {
            "format": 1,
            "name": "n",
            "version": "1",
            "inputs": [{"name": "a", "dtype": "string", "default": "b"}],
            "outputs": [{"name": "o", "dtype": "bool"}],
        }
    )
    for text in (body, b'{"instances": [{"a": ' + body + b"}]}"):
        reply = reader.ask("records", contract=contract_bytes(contract), body=packed(text))

        _same(reply, contract.inputs, _read(contract.inputs, text))


@EXAMPLES
@given(st.data())
def test_answers_of_a_model(reader: ContractReader, data: st.DataObject) -> None:
    """What a model gives is accepted or refused alike, and is the same JSON, byte for byte."""
    drawn = data.draw(contracts())
    raw = drawn.to_json()
    outputs = [{k: v for k, v in each.items() if k not in ("default", "allow_nan")} for each in raw["inputs"]]
    contract = Contract.from_json({**raw, "outputs": outputs})
    rows = data.draw(st.integers(1, 3))
    arrays: dict[str, Array] = {}
    for field in contract.outputs:
        arrays[field.name] = data.draw(_arrays(field, (rows, *field.shape)))
    asked = {"answer": tensors_of(arrays), "rows": rows, "metadata": {"model": 'm"é'}}
    reply = reader.ask("outputs", contract=contract_bytes(contract), **asked)

    ours = _tried(check_outputs, contract.outputs, arrays, rows)
    if isinstance(ours, FivefoldError):
        assert reply.get("error") == ours.to_json()
        return
    answer = reply["answer"]
    assert columns_of(contract.outputs, answer).equals(ours)
    assert answer["predictions"].encode() == msgspec.json.encode(ours.to_records())
    body = {"predictions": ours.to_records(), "metadata": {"model": 'm"é'}}
    assert answer["v1"].encode() == msgspec.json.encode(body)


def _arrays(field: Field, shape: tuple[int, ...]) -> st.SearchStrategy[Array]:
    size = int(np.prod(shape))
    if field.kind in ("string", "bytes"):
        one: Any = st.text(max_size=4) if field.kind == "string" else st.binary(max_size=4)
        members = [value for value in (*(field.enum or ()), field.null) if value is not None]
        if members:
            one |= st.sampled_from(members)
        return st.lists(one, min_size=size, max_size=size).map(lambda found: _objects(found, shape))
    if field.kind == "bool":
        return st.lists(st.booleans(), min_size=size, max_size=size).map(lambda found: np.array(found).reshape(shape))
    dtypes = [field.dtype] * 4 + ["float64", "float32", "int64", "uint8"]

    def made(dtype: str) -> st.SearchStrategy[Array]:
        kind = np.dtype(dtype).kind
        if kind == "f":
            width = int(dtype[5:])
            cells: Any = st.floats(width=width) | st.floats(-3, 3, width=width) | st.integers(-3, 3).map(float)  # type: ignore[arg-type]
        else:
            info = np.iinfo(dtype)
            cells = st.integers(max(int(info.min), -4), 4) | st.integers(int(info.min), int(info.max))
        return st.lists(cells, min_size=size, max_size=size).map(lambda found: np.array(found, dtype).reshape(shape))

    return st.sampled_from(dtypes).flatmap(made)


def _objects(found: list[Any], shape: tuple[int, ...]) -> Array:
    out = np.empty(len(found), object)
    out[:] = found
    return out.reshape(shape)


@EXAMPLES
@given(st.data())
def test_adapters(reader: ContractReader, data: st.DataObject) -> None:
    """There is an adapter or there is none, for the same reasons; it takes rows to the same values."""
    old, new = data.draw(evolving())
    caller, own = (old, new) if data.draw(st.booleans()) else (new, old)
    question: dict[str, Any] = {"newer": caller is new}
    rows = [row for row in data.draw(st.lists(good_rows(caller), max_size=2)) if row is not None]
    sent = json.dumps({"instances": rows}).encode()
    columns = _read(caller.inputs, sent)
    if isinstance(columns, Columns):
        question["given"] = packed(sent)
    asked = reader.ask("adapter", caller=contract_bytes(caller), own=contract_bytes(own), **question)

    adapter = _tried(Adapter.between, caller, own, newer=question["newer"])
    if isinstance(adapter, NotAdaptable):
        assert asked.get("reasons") == list(adapter.reasons)
        return
    assert asked["answer"]["ignored"] == list(adapter.ignored)
    if isinstance(columns, Columns):
        ours = columns if adapter.into is None else adapter.into(columns)
        assert columns_of(own.inputs, asked["answer"]["into"]).equals(ours)


@settings(EXAMPLES, max_examples=80)
@given(st.data())
def test_contracts(reader: ContractReader, data: st.DataObject) -> None:
    """A contract is one, or is refused with the same path and sentence."""
    raw = data.draw(contracts()).to_json()
    field = data.draw(st.sampled_from(raw["inputs"] + raw["outputs"]))
    for _ in range(data.draw(st.integers(0, 2))):
        keyword = data.draw(
            st.sampled_from(
                [
                    "name",
                    "dtype",
                    "shape",
                    "minimum",
                    "maximum",
                    "enum",
                    "nullable",
                    "default",
                    "null_value",
                    "allow_nan",
                    "minLength",
                    "maxLength",
                    "pattern",
                    "unit",
                    "aliases",
                    "labels",
                    "unknown",
                    "maxlength",
                ]
            )
        )
        field[keyword] = data.draw(
            st.sampled_from(
                [None, 0, 1, -1, 2.5, 3.0, True, "", "a", "int8", "float16", [], [1], [2.0], ["a"], [0, 0.0], [1, "a"]]
            )
            | st.sampled_from(
                [{}, 1e300, 2**63, 70000, "a{2,1}", "[b-a]", "(?i)a", "a+", "(a{40}){40}", "\\s", "^a|b{3}$", "QQ=="]
            )
        )
    text = json.dumps(raw).encode()
    reply = reader.ask("parse", contract=packed(text))

    ours = _tried(Contract.from_json, text)
    if isinstance(ours, FivefoldError):
        assert reply.get("error") == ours.to_json()
    else:
        assert reply.get("answer", {}).get("inputs") == [each.name for each in ours.inputs], reply


def test_contracts_that_are_wrong_in_one_thing(reader: ContractReader) -> None:
    """Each is refused at the path of that thing."""
    for name, (wrong, path) in CONTRACTS.items():
        text = wrong if isinstance(wrong, bytes) else (wrong if isinstance(wrong, str) else json.dumps(wrong)).encode()
        reply = reader.ask("parse", contract=packed(text))

        assert (reply.get("error", {}).get("code"), reply["error"]["path"]) == ("contract_invalid", path), name


@settings(EXAMPLES, max_examples=80)
@given(st.lists(st.floats() | st.floats(width=16) | st.floats(-7e4, 7e4), min_size=1, max_size=20))
def test_halves(reader: ContractReader, numbers: list[float]) -> None:
    """Binary16 is rounded once, ties to even, and read back."""
    reply = reader.ask("halves", values=[hexadecimal(value) for value in numbers])["answer"]
    with np.errstate(over="ignore"):
        halves = np.array(numbers).astype(np.float16)

    got = np.array(reply["bits"], np.uint16).view(np.float16)
    assert np.array_equal(np.isnan(got), np.isnan(halves))
    assert (got.view(np.uint16) == halves.view(np.uint16))[~np.isnan(halves)].all()
    back = np.array([number(text) for text in reply["back"]])
    assert np.array_equal(back, halves.astype(np.float64), equal_nan=True)


@settings(EXAMPLES, max_examples=80)
@given(st.text("ab|(){},^$.?0123[]-\\d", max_size=14), st.lists(st.text("ab1-\n😀", max_size=6), max_size=6))
def test_patterns(reader: ContractReader, pattern: str, texts: list[str]) -> None:
    """The subset is the same, and so is what a pattern finds."""
    raw = {
        "format": 1,
        "name": "n",
        "version": "1",
        "inputs": [{"name": "a", "dtype": "string", "pattern": pattern}],
        "outputs": [{"name": "o", "dtype": "bool"}],
    }
    text = json.dumps(raw).encode()
    body = json.dumps({"instances": [{"a": each} for each in texts]}).encode()
    contract = _tried(Contract.from_json, text)
    if isinstance(contract, FivefoldError):
        assert reader.ask("parse", contract=packed(text)).get("error") == contract.to_json()
        return
    reply = reader.ask("records", contract=packed(text), body=packed(body))

    _same(reply, contract.inputs, _read(contract.inputs, body))


def test_a_pattern_that_a_backtracking_engine_would_never_finish(reader: ContractReader) -> None:
    """What a value is decides nothing about how long its check takes."""
    inputs = [{"name": "a", "dtype": "string", "pattern": "^(?:(?:a?){30}a{30}|(?:(?:a{0,9}){0,9}){0,9}b)$"}]
    raw = {"format": 1, "name": "n", "version": "1", "inputs": inputs, "outputs": [{"name": "o", "dtype": "bool"}]}
    contract = Contract.from_json(raw)
    body = json.dumps({"instances": [{"a": "a" * 200 + "c"}]}).encode()
    reply = reader.ask("records", contract=contract_bytes(contract), body=packed(body))

    ours = _read(contract.inputs, body)
    assert isinstance(ours, ContractError)
    _same(reply, contract.inputs, ours)
