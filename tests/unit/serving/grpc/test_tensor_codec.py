"""Tensors over gRPC: every dtype there and back, raw and typed, and what is refused on the way."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tests.support import grpc_calls
from tests.support.grpc_calls import DTYPES, World, request_of

from fivefold.serving.grpc.proto import inference_pb2 as wire
from fivefold.serving.oip import metadata
from fivefold.serving.oip.metadata import CONTENTS

NUMERIC = [dtype for dtype in DTYPES if dtype not in ("string", "bytes")]


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("echo")
    with grpc_calls.world([grpc_calls.echo_bundle(directory / "e"), grpc_calls.gate_bundle(directory / "g")]) as world:
        yield world


def values(dtype: str, rows: int) -> st.SearchStrategy[Any]:
    """Arrays of finite values of a numeric dtype, or lists of texts or bytes."""
    if dtype == "string":
        return st.lists(st.text(st.characters(codec="utf-8"), max_size=6), min_size=rows, max_size=rows)
    if dtype == "bytes":
        return st.lists(st.binary(max_size=6), min_size=rows, max_size=rows)
    elements = {"allow_nan": False, "allow_infinity": False} if dtype.startswith("float") else {}
    return arrays.arrays(np.dtype(dtype), rows, elements=elements or None)


@st.composite
def rows_of_everything(draw: st.DrawFn) -> dict[str, Any]:
    rows = draw(st.integers(0, 5))
    out = {dtype: draw(values(dtype, rows)) for dtype in DTYPES}
    out["matrix"] = draw(
        arrays.arrays(np.float32, (rows, 2, 3), elements={"allow_nan": False, "allow_infinity": False})
    )
    return out


def raw_of(data: Any) -> bytes:
    if isinstance(data, np.ndarray):
        return data.astype(data.dtype.newbyteorder("<")).tobytes()
    items = [item.encode() if isinstance(item, str) else item for item in data]
    return b"".join(struct.pack("<I", len(item)) + item for item in items)


def request_for(columns: dict[str, Any], *, raw: bool) -> wire.ModelInferRequest:
    request = wire.ModelInferRequest(model_name="echo")
    for name, data in columns.items():
        datatype = metadata.NAMES["float32" if name == "matrix" else name]
        if not raw and datatype == "FP16":
            # float16 has no typed form; any other float may carry its values.
            datatype, data = "FP32", data.astype(np.float32)
        tensor = request.inputs.add(name=name, datatype=datatype, shape=np.shape(data) or (0,))
        if raw:
            request.raw_input_contents.append(raw_of(data))
        else:
            flat = data.ravel().tolist() if isinstance(data, np.ndarray) else data
            flat = [item.encode() if isinstance(item, str) else item for item in flat]
            getattr(tensor.contents, CONTENTS[datatype]).extend(flat)
    return request


def columns_of(answer: wire.ModelInferResponse) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for index, tensor in enumerate(answer.outputs):
        count = int(np.prod(tensor.shape))
        if answer.raw_output_contents:
            flat = metadata.unpack(tensor.datatype, answer.raw_output_contents[index], count, "")
        else:
            items = list(getattr(tensor.contents, CONTENTS[tensor.datatype]))
            flat = np.array(items, object if tensor.datatype == "BYTES" else metadata.DATATYPES[tensor.datatype])
        out[tensor.name] = flat.reshape(tuple(tensor.shape))
    return out


def same(sent: Any, got: Any, name: str) -> bool:
    if name in ("string", "bytes"):
        return [item.encode() if isinstance(item, str) else item for item in sent] == list(got)
    return bool(np.array_equal(sent, got.astype(sent.dtype)))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows_of_everything())
def test_every_dtype_comes_back_as_it_went_in_raw_form(echo: World, columns: dict[str, Any]) -> None:
    """Raw in, raw out, bit for bit."""
    reply = echo.infer(request_for(columns, raw=True))

    assert reply.code is grpc.StatusCode.OK, reply.message
    assert len(reply.answer.raw_output_contents) == len(reply.answer.outputs) == len(columns)
    assert not any(tensor.HasField("contents") for tensor in reply.answer.outputs)
    got = columns_of(reply.answer)
    assert all(same(sent, got[name], name) for name, sent in columns.items())


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows_of_everything())
def test_every_dtype_comes_back_as_it_went_in_typed_form(echo: World, columns: dict[str, Any]) -> None:
    """Typed in, typed out, where no output is FP16."""
    request = request_for(columns, raw=False)
    for name in columns:
        if name != "float16":
            request.outputs.add(name=name)
    reply = echo.infer(request)

    assert reply.code is grpc.StatusCode.OK, reply.message
    assert not reply.answer.raw_output_contents
    got = columns_of(reply.answer)
    assert set(got) == set(columns) - {"float16"}
    assert all(same(columns[name], got[name], name) for name in got)


def one_row() -> dict[str, Any]:
    out: dict[str, Any] = {dtype: np.ones(1, dtype) for dtype in NUMERIC}
    return out | {"string": ["ä"], "bytes": [b"\xff\x00"], "matrix": np.ones((1, 2, 3), np.float32)}


def test_an_answer_with_an_fp16_output_is_raw_as_a_whole(echo: World) -> None:
    """FP16 has no typed form, so the answer to a typed request is raw where it holds one."""
    reply = echo.infer(request_for(one_row(), raw=False))

    assert len(reply.answer.raw_output_contents) == len(reply.answer.outputs)


def test_outputs_that_are_asked_for_come_in_that_order_and_no_others(echo: World) -> None:
    """The selection is the answer's order; one that is named again has its place already."""
    request = request_for(one_row(), raw=True)
    for name in ("string", "bool", "string"):
        request.outputs.add(name=name)
    reply = echo.infer(request)

    assert [tensor.name for tensor in reply.answer.outputs] == ["string", "bool"]
    assert list(reply.answer.raw_output_contents) == [raw_of(["ä"]), b"\x01"]


def test_bf16_is_read_and_widened(echo: World) -> None:
    """bfloat16 is the upper half of a binary32."""
    request = wire.ModelInferRequest(model_name="gate", raw_input_contents=[b"\xc0\x3f\x80\x3f"])
    request.inputs.add(name="x", datatype="BF16", shape=[2])
    reply = echo.infer(request)

    assert columns_of(reply.answer)["y"].tolist() == [3.0, 2.0]


def test_an_alias_and_a_trailing_dimension_of_one_are_accepted(echo: World) -> None:
    """As other servers' clients send them."""
    request = request_of(1, 2, name="ex")
    request.inputs[0].shape[:] = [2, 1]

    assert columns_of(echo.infer(request).answer)["y"].tolist() == [2.0, 4.0]


def edited(what: str) -> wire.ModelInferRequest:
    """A good request, spoilt in one way."""
    request = request_of(1, 2)
    tensor = request.inputs[0]
    if what == "raw and contents":
        request.raw_input_contents.append(b"\0" * 16)
    elif what == "too few raw":
        request.inputs.add(name="x2", datatype="FP64", shape=[1])
        tensor.ClearField("contents")
        request.raw_input_contents.append(b"\0" * 16)
    elif what == "raw too short":
        tensor.ClearField("contents")
        request.raw_input_contents.append(b"\0" * 15)
    elif what == "wrong list":
        tensor.datatype = "FP32"
    elif what == "typed fp16":
        tensor.datatype = "FP16"
    elif what == "no such datatype":
        tensor.datatype = "FLOAT"
    elif what == "negative size":
        tensor.shape[:] = [-2]
    elif what == "too few elements":
        tensor.shape[:] = [3]
    elif what == "unknown input":
        tensor.name = "xx"
    elif what == "twice":
        request.inputs.add().CopyFrom(tensor)
    elif what == "no tensors":
        del request.inputs[:]
    elif what == "unknown output":
        request.outputs.add(name="why")
    elif what == "bool for a number":
        tensor.datatype = "BOOL"
        tensor.ClearField("contents")
        tensor.contents.bool_contents.extend([True, False])
    elif what == "nan":
        tensor.contents.fp64_contents[1] = float("nan")
    elif what == "shared memory":
        tensor.parameters["shared_memory_region"].string_param = "r"
    elif what == "classification":
        request.outputs.add(name="y").parameters["classification"].int64_param = 2
    else:
        raise AssertionError(what)
    return request


@pytest.mark.parametrize(
    ("what", "code", "path"),
    [
        ("raw and contents", "malformed", "inputs.x"),
        ("too few raw", "malformed", "inputs"),
        ("raw too short", "malformed", "inputs.x"),
        ("wrong list", "malformed", "inputs.x"),
        ("typed fp16", "malformed", "inputs.x"),
        ("no such datatype", "malformed", "inputs.x"),
        ("negative size", "malformed", "inputs.x"),
        ("too few elements", "malformed", "inputs.x"),
        ("unknown input", "unknown_field", "inputs.xx"),
        ("twice", "duplicate_field", "inputs.x"),
        ("no tensors", "missing_field", "inputs.x"),
        ("unknown output", "unknown_field", "outputs.why"),
        ("bool for a number", "wrong_type", "inputs.x[0]"),
        ("nan", "not_finite", "inputs.x[1]"),
        ("shared memory", "not_implemented", "inputs.x"),
        ("classification", "not_implemented", "outputs.y"),
    ],
)
def test_a_spoilt_request_is_refused_with_its_code_and_path(echo: World, what: str, code: str, path: str) -> None:
    """Each way of being wrong has one answer."""
    reply = echo.infer(edited(what))

    assert (reply.fivefold, reply.message.partition(": ")[0]) == (code, path)


@given(st.binary(max_size=200))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_bytes_that_are_no_request_never_end_in_an_internal_error(echo: World, raw: bytes) -> None:
    """Whatever arrives is refused by the caller's own fault."""
    reply = echo.infer(raw)

    assert reply.code is not grpc.StatusCode.OK
    assert reply.fivefold not in ("internal", "model_failed")
