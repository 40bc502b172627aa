"""Rows in every form, answered in the same form, over both transports; and the one model that is served."""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from tests.support.both_transports import serving
from tests.support.serve_process import SERVICES

from fivefold.client import AsyncClient, Client
from fivefold.core.bundle.bundle import Bundle
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import ContractError, NotFound
from fivefold.core.readers.records import Records

_ECHO = b"""
class Echo:
    def predict(self, columns):
        return {name: columns[name] for name in columns}
"""
_MIXED: list[dict[str, Any]] = [
    {"name": "x", "dtype": "float64", "nullable": True},
    {"name": "n", "dtype": "int16", "nullable": True, "null_value": -1, "minimum": 0},
    {"name": "site", "dtype": "string", "nullable": True, "null_value": "?", "enum": ["left", "right"]},
    {"name": "pair", "dtype": "float32", "shape": [2]},
]
_NUMBERS: list[dict[str, Any]] = [{"name": name, "dtype": "float64", "minimum": 0} for name in "abc"]
_IMAGE: list[dict[str, Any]] = [{"name": "image", "dtype": "float32", "shape": [2, 2]}]
_FLAG: list[dict[str, Any]] = [
    {"name": "old", "dtype": "bool", "nullable": True, "null_value": False},
    {"name": "y", "dtype": "float64"},
]


def echo(place: Any, name: str, fields: list[dict[str, Any]], row: dict[str, Any]) -> Bundle:
    """A bundle whose outputs are its inputs."""
    contract = Contract.from_json({"format": 1, "name": name, "version": "1.0.0", "inputs": fields, "outputs": fields})
    return Bundle.write(
        place / name,
        contract=contract,
        model={"model/echo_model.py": _ECHO},
        runtime="python",
        entry="echo_model:Echo",
        golden=([row], [row]),
        tolerance=0.0,
    )


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    place = tmp_path_factory.mktemp("forms")
    bundles = [
        echo(place, "mixed", _MIXED, {"x": 1.0, "n": 2, "site": "left", "pair": [1.0, 2.0]}),
        echo(place, "numbers", _NUMBERS, {"a": 1.0, "b": 2.0, "c": 3.0}),
        echo(place, "image", _IMAGE, {"image": [[1.0, 2.0], [3.0, 4.0]]}),
        echo(place, "flag", _FLAG, {"old": True, "y": 1.0}),
    ]
    with serving(bundles) as found:
        yield found


@pytest.fixture(params=["http", "grpc"])
def client(request: pytest.FixtureRequest, urls: dict[str, str]) -> Iterator[Client]:
    with Client(urls[request.param]) as opened:
        yield opened


def test_a_frame(client: Client) -> None:
    """Under its own index, whatever dtypes pandas has for the columns; missing is null."""
    frame = pd.DataFrame(
        {
            "site": pd.Categorical(["left", None, "right"]),
            "x": [0.5, math.nan, 2.5],
            "n": pd.array([1, None, 3], "Int64"),
            "pair": [[1.0, 2.0], np.array([3, 4]), (5, 6)],
        },
        index=["p", "q", "r"],
    )
    found = client.predict(frame, model="mixed").predictions

    assert list(found.columns) == ["x", "n", "site", "pair"]
    assert found.index.equals(frame.index)
    assert found["x"].tolist()[::2] == [0.5, 2.5]
    assert found["x"].isna().tolist() == [False, True, False]
    assert (str(found["n"].dtype), found["n"].tolist()) == ("Int16", [1, pd.NA, 3])
    assert found["site"].tolist() == ["left", None, "right"]
    assert found["pair"].map(list).tolist() == [[1, 2], [3, 4], [5, 6]]
    floats = client.predict(frame.assign(n=[1.0, math.nan, 3.0]), model="mixed").predictions
    assert floats.equals(found)


@pytest.mark.parametrize(
    ("change", "code", "path"),
    [
        ({"a": [1.0, math.nan]}, "not_finite", "inputs.a[1]"),
        ({"a": [1.0, -1.0]}, "out_of_range", "inputs.a[1]"),
        ({"a": ["1", "2"]}, "wrong_type", "inputs.a[0]"),
        ({"a": pd.to_datetime(["2024-02-29", "2024-03-01"])}, "wrong_type", "inputs.a[0]"),
        ({"a": [True, False]}, "wrong_type", "inputs.a[0]"),
        ({"a": pd.array([1, None], "Int8")}, "null_not_allowed", "inputs.a[1]"),
        ({"d": [1.0, 2.0]}, "unknown_field", "inputs.d"),
    ],
)
def test_a_frame_that_breaks_the_contract(client: Client, change: dict[str, Any], code: str, path: str) -> None:
    """The field and the row are named; a column that is no field's is refused, for it may be a misspelt one."""
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3, 4], "c": np.float32([5, 6])}).assign(**change)
    with pytest.raises(ContractError) as caught:
        client.predict(frame, model="numbers")

    assert (caught.value.code, caught.value.path) == (code, path)


def test_frames_without_columns_or_rows(client: Client) -> None:
    """A missing column is a missing field; twice the same is one too many; no rows are none."""
    frame = pd.DataFrame({"a": [1.0], "b": [2.0], "c": [3.0]})
    for broken, code in ((frame[["a", "b"]], "missing_field"), (frame[["a", "b", "c", "a"]], "duplicate_field")):
        with pytest.raises(ContractError) as caught:
            client.predict(broken, model="numbers")
        assert caught.value.code == code

    assert client.predict(frame.iloc[:0], model="numbers").predictions.shape == (0, 3)


def test_an_arrow_table(client: Client) -> None:
    """Chunked, dictionaries and decimals too; nulls are nulls, and an unknown column is refused."""
    table = pa.table(
        {
            "x": pa.chunked_array([[0.5], [None, 2.5]]),
            "n": pa.array([1, None, 3], pa.int64()),
            "site": pa.array(["left", None, "right"]).dictionary_encode(),
            "pair": pa.array([[1, 2], [3, 4], [5, 6]], pa.list_(pa.float64(), 2)),
        }
    )
    found = client.predict(table, model="mixed").predictions

    assert found.schema.field("pair").type == pa.list_(pa.float32(), 2)
    assert found.schema.field("n").type == pa.int16()
    assert found.to_pydict() == table.to_pydict()
    assert client.predict(table.to_batches()[0], model="mixed").predictions.num_rows == 1
    assert client.predict(table.slice(0, 0), model="mixed").predictions.num_rows == 0
    with pytest.raises(ContractError) as caught:
        client.predict(table.append_column("sight", pa.array([1, 2, 3])), model="mixed")
    assert (caught.value.code, caught.value.path, caught.value.help) == (
        "unknown_field",
        "inputs.sight",
        "did you mean 'site'?",
    )


def test_arrays_in_field_order(client: Client) -> None:
    """[rows, fields] of numbers or objects, and of a single field its own shape."""
    numbers = np.arange(6.0).reshape(2, 3)
    found = client.predict(numbers, model="numbers").predictions
    assert (found.dtype, found.tolist()) == (np.float64, numbers.tolist())
    assert client.predict(numbers.astype(object), model="numbers").predictions.tolist() == numbers.tolist()
    assert client.predict(numbers.astype(">f4"), model="numbers").predictions.tolist() == numbers.tolist()
    images = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
    assert np.array_equal(client.predict(images, model="image").predictions, images)
    for wrong, model in ((numbers[:, :2], "numbers"), (numbers[0], "numbers"), (numbers, "image"), (numbers, "mixed")):
        with pytest.raises(ContractError) as caught:
            client.predict(wrong, model=model)
        assert (caught.value.code, caught.value.path) == ("wrong_shape", "inputs")


def test_structured_arrays(client: Client) -> None:
    """A member a field, in any order."""
    rows = np.array(
        [(1, 0.5, "left", [1, 2]), (2, math.nan, "right", [3, 4])],
        [("n", "i8"), ("x", "f8"), ("site", "U9"), ("pair", "f4", (2,))],
    )
    found = client.predict(rows, model="mixed").predictions

    assert found.dtype.names == ("x", "n", "site", "pair")
    assert found["n"].tolist() == [1, 2]
    assert math.isnan(found["x"][1])
    assert found["site"].tolist() == ["left", "right"]
    assert found["pair"].tolist() == [[1, 2], [3, 4]]


def test_columns_by_name_and_a_single_record(client: Client) -> None:
    """Arrays, lists and series of one length are columns; single values are a record."""
    columns = {"x": np.array([0.5, math.nan]), "n": [1, None], "site": pd.Series(["left", None]), "pair": [[1, 2]] * 2}
    found = client.predict(columns, model="mixed").predictions
    assert {name: values.tolist() for name, values in found.items() if name != "x"} == {
        "n": [1, None],
        "site": ["left", None],
        "pair": [[1, 2], [1, 2]],
    }
    assert isinstance(found["x"], np.ndarray)
    record = {"x": 1.0, "n": None, "site": "left", "pair": [1.0, 2.0]}
    assert client.predict(record, model="mixed").predictions == record
    image = {"image": [[1.0, 2.0], [3.0, 4.0]]}
    assert client.predict(image, model="image").predictions == image
    several = client.predict({"image": np.ones((3, 2, 2))}, model="image").predictions
    assert several["image"].shape == (3, 2, 2)
    with pytest.raises(ContractError) as caught:
        client.predict({"a": [1.0], "b": [1.0, 2.0], "c": [1.0]}, model="numbers")
    assert (caught.value.code, caught.value.path) == ("malformed", "inputs.b")
    with pytest.raises(ContractError) as missing:
        client.predict({}, model="numbers")
    assert missing.value.code == "missing_field"


def test_null_where_a_tensor_has_none(client: Client) -> None:
    """Over HTTP it goes as a record; gRPC has no spelling, which is said."""
    frame = pd.DataFrame({"old": pd.array([True, None, False], "boolean"), "y": [1.0, 2.0, 3.0]})
    if client.url.startswith("http"):
        found = client.predict(frame, model="flag").predictions
        assert found["y"].tolist() == [1.0, 2.0, 3.0]
    else:
        with pytest.raises(ContractError) as caught:
            client.predict(frame, model="flag")
        assert (caught.value.code, caught.value.path) == ("null_not_allowed", "inputs.old[1]")


def test_columns_of_a_bundle(urls: dict[str, str]) -> None:
    """Null among them stays null, also where the array has a legal value in its place."""
    fields = Contract.from_json(
        {"format": 1, "name": "flag", "version": "1.0.0", "inputs": _FLAG, "outputs": _FLAG}
    ).inputs
    columns = Records(fields).read([{"old": None, "y": 1.0}, {"old": False, "y": 2.0}]).accept()
    assert columns["old"].tolist() == [False, False]
    with Client(urls["grpc"]) as client, pytest.raises(ContractError) as caught:
        client.predict(columns, model="flag")
    with Client(urls["http"]) as client:
        found = client.predict(columns, model="flag").predictions

    assert (caught.value.code, caught.value.path) == ("null_not_allowed", "inputs.old[0]")
    assert found["y"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize("data", ["text", b"bytes", 7, {1, 2}, iter([])])
def test_what_is_no_rows(client: Client, data: Any) -> None:
    """A mistake of the program, and no data."""
    with pytest.raises(TypeError, match="expected records"):
        client.predict(data, model="numbers")


def test_several_models_want_a_name(client: Client) -> None:
    """They are listed."""
    with pytest.raises(NotFound, match=r"4 models are served \(.*mixed") as caught:
        client.predict([{}])

    assert (caught.value.code, caught.value.help) == ("model_not_found", "say which: model=…")


def test_the_only_model_need_not_be_named(tmp_path: Any) -> None:
    """By any call, over both transports, blocking and awaited."""
    row = {"a": 1.0, "b": 2.0, "c": 3.0}
    with serving([echo(tmp_path, "numbers", _NUMBERS, row)]) as urls:
        for url in urls.values():
            with Client(url) as client:
                assert client.predict([row]).predictions == [row]
                assert client.contract().name == "numbers"
                assert client.contracts() == ["1.0.0"]
                assert client.infer({name: [1.0] for name in "abc"}).outputs["a"].tolist() == [1.0]

            async def ask(url: str) -> Any:
                async with AsyncClient(url) as client:
                    frame = await client.predict(pd.DataFrame([row]))
                    return frame.predictions.to_dict("records"), (await client.contract()).name

            assert asyncio.run(ask(url)) == ([row], "numbers")


def test_neither_pandas_nor_pyarrow_is_needed() -> None:
    """The client loads neither by itself."""
    program = "import sys, fivefold.client; print({'pandas', 'pyarrow'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={"PYTHONPATH": str(SERVICES)}, check=True
    )

    assert done.stdout == "set()\n"
