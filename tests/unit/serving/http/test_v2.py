"""The Open Inference Protocol over HTTP: JSON tensors and the binary tensor extension."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tests.conformance import models
from tests.support.grpc_calls import echo_bundle, gate_bundle
from tests.support.http_calls import Reply, World, dumps, world

from fivefold.serving.oip import metadata

GATE = "/v2/models/gate/infer"
LENGTH = "inference-header-content-length"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    place = tmp_path_factory.mktemp("v2")
    bundles = [models.bundle("classifier", place), echo_bundle(place / "echo"), gate_bundle(place / "gate")]
    with world(bundles) as out:
        yield out


def x(*values: Any, **rest: Any) -> dict[str, Any]:
    return {"name": "x", "datatype": "FP64", "shape": [len(values)], "data": list(values), **rest}


def binary(world: World, path: str, head: dict[str, Any], *raw: bytes, **headers: str) -> Reply:
    text = dumps(head)
    given = {LENGTH: str(len(text)), "content-type": "application/octet-stream", **headers}
    return world.ask("POST", path, text + b"".join(raw), headers=given)


def split(reply: Reply) -> tuple[dict[str, Any], bytes]:
    """The JSON and the raw part of a binary answer."""
    assert reply.headers["content-type"] == "application/octet-stream"
    length = int(reply.headers[LENGTH])
    head: dict[str, Any] = json.loads(reply.body[:length])
    return head, reply.body[length:]


def test_json_tensors(served: World) -> None:
    """The whole answer: id echoed, metadata in the parameters."""
    model = served.serving.models.find("gate")

    reply = served.post(GATE, {"id": "mine", "inputs": [x(1, 2.5)]}, x_request_id="7")

    assert reply.json == {
        "model_name": "gate",
        "model_version": "1",
        "id": "mine",
        "parameters": model.metadata | {"transport": "http", "request_id": "7"},
        "outputs": [{"name": "y", "datatype": "FP64", "shape": [2], "data": [2.0, 5.0]}],
    }
    assert "id" not in served.post(GATE, {"inputs": [x(1)]}).json


def test_nested_data_and_a_trailing_one_are_accepted(served: World) -> None:
    """As other servers' clients send scalars."""
    nested = {"inputs": [{"name": "x", "datatype": "FP64", "shape": [2, 1], "data": [[1], [2]]}]}

    assert served.post(GATE, nested).json["outputs"][0]["data"] == [2.0, 4.0]


def test_the_asked_outputs_in_the_asked_order(served: World) -> None:
    """Exactly those, each once; none asked means all."""
    inputs = [{"name": "w", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 1]}]
    path = "/v2/models/classifier/infer"

    chosen = served.post(
        path, {"inputs": inputs, "outputs": [{"name": name} for name in ("share", "label", "share")]}
    ).json
    every = served.post(path, {"inputs": inputs, "outputs": []}).json
    unknown = served.post(path, {"inputs": inputs, "outputs": [{"name": "lable"}]})

    assert [(out["name"], out["shape"], out["data"]) for out in chosen["outputs"]] == [
        ("share", [1, 3], [0.25, 0.5, 0.25]),
        ("label", [1], ["middle"]),
    ]
    assert [out["name"] for out in every["outputs"]] == ["label", "index", "share"]
    assert (unknown.code, unknown.json["path"], unknown.json["help"]) == (
        "unknown_field",
        "outputs.lable",
        "did you mean 'label'?",
    )


def test_binary_tensors_both_ways(served: World) -> None:
    """Raw in by `binary_data_size`, raw out where it is asked for."""
    raw = np.array([1, 2], "<f8").tobytes()
    head = {"inputs": [{"name": "x", "datatype": "FP64", "shape": [2], "parameters": {"binary_data_size": 16}}]}

    as_json = binary(served, GATE, head, raw).json
    answer, tail = split(binary(served, GATE, head | {"parameters": {"binary_data_output": True}}, raw))
    chosen = {
        "outputs": [{"name": "y", "parameters": {"binary_data": False}}],
        "parameters": {"binary_data_output": True},
    }

    assert as_json["outputs"][0]["data"] == [2.0, 4.0]
    assert answer["outputs"] == [
        {"name": "y", "datatype": "FP64", "shape": [2], "parameters": {"binary_data_size": 16}}
    ]
    assert tail == np.array([2, 4], "<f8").tobytes()
    assert binary(served, GATE, head | chosen, raw).json["outputs"][0]["data"] == [2.0, 4.0]


def test_every_datatype_travels_raw(served: World) -> None:
    """The golden row of a model that echoes every dtype, out as it went in."""
    model = served.serving.models.find("echo")
    columns, _ = model.bundle.golden()
    raw = {field.name: metadata.pack(columns[field.name]) for field in model.contract.inputs}
    inputs = [
        metadata.tensor_metadata(field)
        | {"shape": [1, *field.shape], "parameters": {"binary_data_size": len(raw[field.name])}}
        for field in model.contract.inputs
    ]

    reply = binary(
        served, "/v2/models/echo/infer", {"inputs": inputs, "parameters": {"binary_data_output": True}}, *raw.values()
    )
    answer, tail = split(reply)

    assert [out["datatype"] for out in answer["outputs"]] == [item["datatype"] for item in inputs]
    assert tail == b"".join(raw.values())


def test_bfloat16_is_read(served: World) -> None:
    """BF16 is the upper half of FP32, and exists on the wire only."""
    raw = struct.pack("<f", 1.5)[2:]
    head = {"inputs": [{"name": "x", "datatype": "BF16", "shape": [1], "parameters": {"binary_data_size": 2}}]}

    assert binary(served, GATE, head, raw).json["outputs"][0]["data"] == [3.0]


def test_a_raw_only_request(served: World) -> None:
    """A header length of 0: the body is the one input's one row, and all outputs come back raw."""
    reply = served.ask("POST", GATE, struct.pack("<d", 4), headers={LENGTH: "0"})
    answer, tail = split(reply)

    assert answer["outputs"][0]["shape"] == [1]
    assert struct.unpack("<d", tail) == (8.0,)
    assert served.ask("POST", GATE, b"1234", headers={LENGTH: "0"}).code == "malformed"
    assert served.ask("POST", "/v2/models/echo/infer", b"1234", headers={LENGTH: "0"}).code == "malformed"


@pytest.mark.parametrize(
    ("head", "raw", "path"),
    [
        ({"inputs": [x(1)]}, b"rest", ""),
        (
            {"inputs": [{"name": "x", "datatype": "FP64", "shape": [1], "parameters": {"binary_data_size": 8}}]},
            b"1234",
            "inputs.x",
        ),
        (
            {"inputs": [{"name": "x", "datatype": "FP64", "shape": [1], "parameters": {"binary_data_size": 4}}]},
            b"1234",
            "inputs.x",
        ),
        (
            {"inputs": [{"name": "x", "datatype": "FP64", "shape": [-1], "parameters": {"binary_data_size": 4}}]},
            b"1234",
            "inputs.x",
        ),
        (
            {"inputs": [{"name": "x", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 4}}]},
            b"\xff" * 4,
            "inputs.x",
        ),
        ({"inputs": [x(1, parameters={"binary_data_size": 0})]}, b"", "inputs.x"),
        ({"inputs": [x(1, parameters={"binary_data_size": -1})]}, b"", "inputs.x"),
        ({"inputs": [x(1, parameters={"binary_data_size": True})]}, b"1", "inputs.x"),
        ({"inputs": [x(1, parameters={"binary_data_size": "8"})]}, b"12345678", "inputs.x"),
    ],
)
def test_binary_bodies_that_do_not_add_up_are_malformed(served: World, head: Any, raw: bytes, path: str) -> None:
    """Sizes, shapes and the bytes that are there have to agree."""
    reply = binary(served, GATE, head, raw)

    assert (reply.status, reply.code, reply.json["path"]) == (400, "malformed", path)


@pytest.mark.parametrize("length", ["-1", "1.5", "many", "", "99999", "9" * 30, "+1"])
def test_a_header_length_that_cannot_be_is_malformed(served: World, length: str) -> None:
    """No number, or more than there is."""
    reply = served.ask("POST", GATE, dumps({"inputs": [x(1)]}), headers={LENGTH: length})

    assert (reply.status, reply.code) == (400, "malformed")


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ([], ""),
        ({}, "inputs"),
        ({"inputs": None}, "inputs"),
        ({"inputs": [1]}, "inputs[0]"),
        ({"inputs": [{}]}, "inputs[0].name"),
        ({"inputs": [{"name": 1}]}, "inputs[0].name"),
        ({"inputs": [{"name": "x"}]}, "inputs.x"),
        ({"inputs": [{"name": "x", "shape": [1.5]}]}, "inputs.x"),
        ({"inputs": [{"name": "x", "shape": [True]}]}, "inputs.x"),
        ({"inputs": [{"name": "x", "shape": [1e300]}]}, "inputs.x"),
        ({"inputs": [{"name": "x", "shape": [1]}]}, "inputs.x.datatype"),
        ({"inputs": [{"name": "x", "shape": [1], "datatype": "FLOAT"}]}, "inputs.x"),
        ({"inputs": [{"name": "x", "shape": [1], "datatype": "FP64"}]}, "inputs.x"),
        ({"inputs": [{"name": "x", "shape": [1], "datatype": "FP16", "data": [1]}]}, "inputs.x"),
        ({"inputs": [{"name": "x", "shape": [1], "datatype": "BF16", "data": [1]}]}, "inputs.x"),
        ({"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": 1}]}, "inputs.x"),
        ({"inputs": [{"name": "x", "shape": [1.0], "datatype": "FP64", "data": {"a": 1}}]}, "inputs.x"),
        ({"inputs": [{"name": "x", "shape": [2], "datatype": "FP64", "data": [1]}]}, "inputs.x"),
        ({"inputs": [{"name": "x", "shape": [-1], "datatype": "FP64", "data": [1]}]}, "inputs.x"),
        ({"inputs": [x(1, parameters={"binary_data_size": 8})]}, "inputs.x"),
        ({"inputs": [x(1, parameters=[])]}, "inputs.x.parameters"),
        ({"inputs": [x(1, parameters={"a": [None]})]}, "inputs.x.parameters"),
        ({"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": None}]}, "inputs.x"),
        ({"inputs": [x(1) | {"shape": None}]}, "inputs.x"),
        ({"inputs": [x(1) | {"datatype": None}]}, "inputs.x.datatype"),
        ({"inputs": [None]}, "inputs[0]"),
        ({"inputs": [x(1)], "outputs": [None]}, "outputs[0]"),
        ({"inputs": [x(1)], "outputs": [{"name": None}]}, "outputs[0].name"),
        ({"inputs": [x(1)], "id": 7}, "id"),
        ({"inputs": [x(1)], "id": "\ud800"}, "id"),
        ({"inputs": [x(1)], "parameters": {"a": [1]}}, "parameters"),
        ({"inputs": [x(1)], "parameters": {"binary_data_output": "yes"}}, "parameters.binary_data_output"),
        ({"inputs": [x(1)], "outputs": {}}, "outputs"),
        ({"inputs": [x(1)], "outputs": ["y"]}, "outputs[0]"),
        ({"inputs": [x(1)], "outputs": [{"name": "y", "parameters": {"binary_data": 1}}]}, "outputs.y.binary_data"),
    ],
)
def test_a_request_that_is_none_is_malformed_at_its_place(served: World, body: Any, path: str) -> None:
    """The path of what is wrong with the JSON."""
    reply = served.post(GATE, body)

    assert (reply.status, reply.code, reply.json["path"]) == (400, "malformed", path)


NULLS: dict[str, Any] = {"id": None, "parameters": None, "outputs": None}


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": [x(1)]} | NULLS,
        {"inputs": [x(1, parameters=None)]} | NULLS,
        {"inputs": [x(1, parameters={"binary_data_size": None, "shared_memory_region": None, "mine": None})]},
        {"inputs": [x(1)], "parameters": {"binary_data_output": None, "mine": None}},
        {"inputs": [x(1)], "outputs": [{"name": "y", "parameters": None}]},
        {"inputs": [x(1)], "outputs": [{"name": "y", "parameters": {"binary_data": None, "classification": None}}]},
        # As the exact reader has it, which a size such as 1.0 calls.
        {"inputs": [x(1, parameters={"mine": None}) | {"shape": [1.0]}]} | NULLS,
        {"inputs": [x(1, parameters=None) | {"shape": [1.0]}], "outputs": [{"name": "y", "parameters": None}]},
        {"inputs": [x(1)], "mine": None},
    ],
)
def test_null_is_absent_wherever_a_member_may_be_left_out(served: World, body: Any) -> None:
    """As clients send it that write down every member of their types: the answer is that of the request without."""
    answer, plain = served.post(GATE, body).json, served.post(GATE, {"inputs": [x(1)]}).json

    for each in (answer, plain):
        del each["parameters"]["request_id"]
    assert answer == plain


@pytest.mark.parametrize("field", ["w", "x"])
def test_null_is_absent_in_the_usual_request_too(served: World, field: str) -> None:
    """One tensor of numbers, which has a reader of its own, and one that has not."""
    model = "classifier" if field == "w" else "gate"
    tensor = {"name": field, "datatype": "FP32", "shape": [1, 3] if field == "w" else [1, 1], "data": [1, 2, 1][:3]}
    if field == "x":
        tensor["data"] = [1]

    given = served.post(f"/v2/models/{model}/infer", {"inputs": [tensor | {"parameters": None}]} | NULLS)
    plain = served.post(f"/v2/models/{model}/infer", {"inputs": [tensor]})

    assert given.status == 200
    assert given.json["outputs"] == plain.json["outputs"]
    assert "id" not in given.json


def test_null_data_stands_beside_raw_bytes(served: World) -> None:
    """A tensor whose data is null and whose bytes follow the JSON."""
    head = x() | {"shape": [1], "data": None, "parameters": {"binary_data_size": 8, "mine": None}}

    reply = binary(served, GATE, {"inputs": [head]} | NULLS, struct.pack("<d", 2))

    assert reply.json["outputs"][0]["data"] == [4.0]


def test_a_body_that_is_no_json_is_malformed(served: World) -> None:
    """Not JSON, not UTF-8, empty."""
    for body in (b"", b"{", b'{"inputs": [\xff]}', b"\xef\xbb\xbf{}", b'{"inputs": NaN}'):
        assert served.ask("POST", GATE, body).code == "malformed"


def test_what_the_typed_decoder_refuses_but_is_right_is_answered(served: World) -> None:
    """Sizes such as 1.0, and members that the protocol does not know."""
    body = {"inputs": [x(1) | {"shape": [1.0], "mine": {}}], "mine": []}

    assert served.post(GATE, body).json["outputs"][0]["data"] == [2.0]


@pytest.mark.parametrize("where", ["inputs", "outputs"])
@pytest.mark.parametrize("name", ["shared_memory_region", "classification"])
def test_extensions_that_are_not_here_are_not_passed_over(served: World, where: str, name: str) -> None:
    """Shared memory and classification would change the answer: 501."""
    body: dict[str, Any] = {"inputs": [x(1)], "outputs": [{"name": "y"}]}
    body[where][0]["parameters"] = {name: "1"}

    reply = served.post(GATE, body)

    assert (reply.status, reply.code) == (501, "not_implemented")


def test_a_tensor_in_shared_memory_is_told_so_and_not_that_its_data_are_missing(served: World) -> None:
    """As clients send it: the region as parameters, no data."""
    parameters = {"shared_memory_region": "region", "shared_memory_byte_size": 8}
    tensor = {"name": "x", "shape": [1], "datatype": "FP64", "parameters": parameters}

    reply = served.post(GATE, {"inputs": [tensor]})

    assert (reply.code, reply.json["path"]) == ("not_implemented", "inputs.x")
