"""V1 by column, as TensorFlow Serving has it, bytes as its clients spell them, and null in the envelope."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conformance import models
from tests.support.grpc_calls import echo_bundle, gate_bundle
from tests.support.http_calls import World, world

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.contract.contract import Contract

GATE, SITE, BLOB = (f"/v1/models/{name}:predict" for name in ("gate", "site", "blob"))
CLASSIFIER = "/v1/models/classifier:predict"

_MODEL = b"class Model:\n    def predict(self, columns):\n        return {name: columns[name] for name in columns}\n"
_FIELDS: list[dict[str, Any]] = [
    {"name": "x", "dtype": "float64", "aliases": ["ex"], "maximum": 60},
    {"name": "image", "dtype": "float32", "shape": [2, 2]},
    {"name": "site", "dtype": "string", "default": "left"},
    {"name": "n", "dtype": "int16", "nullable": True, "null_value": -1, "default": None},
]


def _bundle(directory: Path, name: str, fields: list[dict[str, Any]], row: dict[str, Any]) -> Bundle:
    outputs = [{key: field[key] for key in field if key not in ("default", "aliases")} for field in fields]
    contract = {"format": 1, "name": name, "version": "1.0.0", "inputs": fields, "outputs": outputs}
    return Bundle.write(
        directory,
        contract=Contract.from_json(contract),
        model={f"model/{name}_model.py": _MODEL},
        runtime="python",
        entry=f"{name}_model:Model",
        golden=([row], [row]),
        tolerance=0.0,
    )


ROWS = [
    {"x": 1.5, "image": [[1.0, 2.0], [3.0, 4.0]], "site": "right", "n": 7},
    {"x": 2.5, "image": [[0.0, 0.0], [0.0, 1.0]], "site": "left", "n": None},
]
COLUMNS = {name: [row[name] for row in ROWS] for name in ROWS[0]}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    place = tmp_path_factory.mktemp("columns")
    bundles = [
        gate_bundle(place / "gate"),
        models.bundle("classifier", place),
        echo_bundle(place / "echo"),
        _bundle(place / "site", "site", _FIELDS, ROWS[0]),
        _bundle(place / "blob", "blob", [{"name": "blob", "dtype": "bytes", "maxLength": 4}], {"blob": "AQI="}),
    ]
    with world(bundles) as out:
        yield out


def test_columns_in_columns_out(served: World) -> None:
    """Each output's array beside the same metadata, with shapes, defaults and nulls as in records."""
    reply = served.post(SITE, {"inputs": COLUMNS}, x_request_id="7")
    short = served.post(SITE, {"inputs": {"ex": [1], "image": [[1, 2, 3, 4]]}, "instances": None})

    assert set(reply.json) == {"outputs", "metadata"}
    assert reply.json["outputs"] == COLUMNS
    assert reply.json["metadata"] == served.post(SITE, {"instances": ROWS}, x_request_id="7").json["metadata"]
    assert short.json["outputs"] == {"x": [1.0], "image": [[[1.0, 2.0], [3.0, 4.0]]], "site": ["left"], "n": [None]}


@pytest.mark.parametrize("inputs", [[1, 2.5], {"x": [1, 2.5]}, {"ex": [1, 2.5]}])
def test_one_field_and_one_output_need_no_names(served: World, inputs: Any) -> None:
    """As TensorFlow Serving: the array alone, in where there is one field, out where there is one output."""
    assert served.post(GATE, {"inputs": inputs, "signature_name": "serving_default"}).json["outputs"] == [2.0, 5.0]


def test_one_field_and_several_outputs(served: World) -> None:
    """A bare list in, an object out; a model of three numbers takes them under their names."""
    contract = served.serving.models.find("classifier").contract
    rows = [[1, 2, 1], [3, 2, 1]]
    inputs: Any = rows
    if len(contract.inputs) > 1:
        inputs = {field.name: [row[at] for row in rows] for at, field in enumerate(contract.inputs)}

    by_row = served.post(CLASSIFIER, {"instances": rows}).json["predictions"]
    by_column = served.post(CLASSIFIER, {"inputs": inputs}).json["outputs"]

    assert by_column == {name: [row[name] for row in by_row] for name in by_row[0]}


def test_no_rows_by_column(served: World) -> None:
    """Empty arrays are a valid request; what is unknown, missing or doubled among them is so without a row too."""
    assert served.post(GATE, {"inputs": []}).json["outputs"] == []
    assert served.post(SITE, {"inputs": {"x": [], "image": []}}).json["outputs"] == {name: [] for name in COLUMNS}
    for inputs, code, path in (
        ({"x": []}, "missing_field", "inputs.image"),
        ({}, "missing_field", "inputs.x"),
        ({"x": [], "image": [], "sight": []}, "unknown_field", "inputs.sight"),
        ({"x": [], "ex": [], "image": []}, "duplicate_field", "inputs.x"),
    ):
        reply = served.post(SITE, {"inputs": inputs})
        assert (reply.status, reply.code, reply.json["path"]) == (422, code, path)


@pytest.mark.parametrize(
    ("inputs", "code", "path"),
    [
        (5, "malformed", "inputs"),
        ("x", "malformed", "inputs"),
        ([1, 2], "malformed", "inputs"),
        (COLUMNS | {"x": 1.5}, "malformed", "inputs.x"),
        (COLUMNS | {"x": None}, "malformed", "inputs.x"),
        (COLUMNS | {"x": {"b64": "AA=="}}, "malformed", "inputs.x"),
        (COLUMNS | {"n": [1]}, "malformed", "inputs.n"),
        (COLUMNS | {"sight": ["left", "left"]}, "unknown_field", "inputs.sight"),
        (COLUMNS | {"ex": [1, 2]}, "duplicate_field", "inputs.x"),
        ({"x": [1]}, "missing_field", "inputs.image"),
        (COLUMNS | {"x": [1, 61]}, "out_of_range", "inputs.x[1]"),
        (COLUMNS | {"x": [1, None]}, "null_not_allowed", "inputs.x[1]"),
        (COLUMNS | {"x": [[1], [2]]}, "wrong_shape", "inputs.x[0]"),
        (COLUMNS | {"image": [[1, 2, 3], [1, 2, 3, 4]]}, "wrong_shape", "inputs.image[0]"),
        (COLUMNS | {"n": ["1", 2.5]}, "wrong_type", "inputs.n[0]"),
    ],
)
def test_bad_columns_have_codes_and_paths(served: World, inputs: Any, code: str, path: str) -> None:
    """Of the cell, the field, or the whole where lengths disagree."""
    reply = served.post(SITE, {"inputs": inputs})

    assert (reply.status, reply.code, reply.json["path"]) == (400 if code == "malformed" else 422, code, path)


def test_rows_are_bounded_by_column_too(tmp_path: Path) -> None:
    """As they are in records."""
    with world([gate_bundle(tmp_path / "gate")], max_rows=3) as served:
        assert served.post(GATE, {"inputs": [1, 2, 3]}).status == 200
        assert served.post(GATE, {"inputs": [1, 2, 3, 4]}).code == "too_large"


def test_rows_or_columns_and_not_both(served: World) -> None:
    """One of them; null is as good as absent."""
    both = served.post(GATE, {"inputs": [1], "instances": [1]})
    neither = served.post(GATE, {"inputs": None, "instances": None})

    assert (both.code, neither.code, neither.json["path"]) == ("malformed", "malformed", "instances")
    for rest in ({"inputs": None}, {"parameters": None, "signature_name": None}, {"parameters": {}}):
        assert served.post(GATE, {"instances": [{"x": 1}], **rest}).json["predictions"] == [{"y": 2.0}]


cells = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 70), st.floats(-1, 70), st.text(max_size=2), st.just([[1, 2], [3, 4]])
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.fixed_dictionaries(dict.fromkeys(("x", "image", "site", "n"), cells)), min_size=1, max_size=3))
def test_a_value_means_the_same_by_row_and_by_column(served: World, rows: list[dict[str, Any]]) -> None:
    """Accepted with the same answer, or refused with the same codes at the same paths."""
    by_row = served.post(SITE, {"instances": rows})
    by_column = served.post(SITE, {"inputs": {name: [row[name] for row in rows] for name in rows[0]}})

    assert by_row.status == by_column.status
    if by_row.status == 200:
        outputs = by_column.json["outputs"]
        assert by_row.json["predictions"] == [
            {name: outputs[name][row] for name in outputs} for row in range(len(rows))
        ]
    else:
        assert by_row.json["details"] == by_column.json["details"]


@pytest.mark.parametrize(
    "body",
    [
        {"instances": [{"b64": "AQI="}]},
        {"instances": ["AQI="]},
        {"instances": [["AQI="]]},
        {"instances": [[{"b64": "AQI="}]]},
        {"instances": [{"blob": {"b64": "AQI="}}]},
        {"instances": [{"blob": "AQI="}]},
        {"inputs": ["AQI="]},
        {"inputs": [{"b64": "AQI="}]},
        {"inputs": {"blob": [{"b64": "AQI="}]}},
    ],
)
def test_bytes_as_text_or_wrapped(served: World, body: Any) -> None:
    """TensorFlow's `{"b64": …}` wherever base64 text may stand; the answer is base64 text."""
    answer = served.post(BLOB, body).json

    assert answer.get("predictions", [{"blob": "AQI="}]) == [{"blob": "AQI="}]
    assert answer.get("outputs", ["AQI="]) == ["AQI="]


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ({"b64": "A"}, "wrong_type"),
        ({"b64": "AQI=", "more": 1}, "unknown_field"),
        ({"b64": None}, "unknown_field"),
        ({"blob": {"b64": 5}}, "wrong_type"),
        ({"blob": {"b64": {"b64": "AQI="}}}, "wrong_type"),
        ({"blob": {"B64": "AQI="}}, "wrong_type"),
        ({"blob": {}}, "wrong_type"),
        ({"b64": base64.b64encode(b"12345").decode()}, "too_long"),
    ],
)
def test_what_only_looks_like_wrapped_bytes_is_refused(served: World, value: Any, code: str) -> None:
    """With the codes that any other value gets."""
    reply = served.post(BLOB, {"instances": [value]})

    assert (reply.status, reply.code) == (422, code)


def test_wrapped_text_is_no_text(served: World) -> None:
    """Only a field of bytes has that spelling."""
    reply = served.post(SITE, {"instances": [ROWS[0] | {"site": {"b64": "bGVmdA=="}}]})

    assert (reply.code, reply.json["path"]) == ("wrong_type", "inputs.site[0]")


def test_every_dtype_by_column(served: World) -> None:
    """The golden row of a model that echoes every dtype."""
    given, _ = served.serving.models.find("echo").bundle.golden()
    wrapped = given.to_lists()
    wrapped["bytes"] = [{"b64": text} for text in wrapped["bytes"]]

    reply = served.post("/v1/models/echo:predict", {"inputs": wrapped})

    assert reply.json["outputs"] == given.to_lists()
