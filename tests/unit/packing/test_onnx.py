"""ONNX files as they come from other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper, numpy_helper

import fivefold
from fivefold.core.errors import BundleInvalid, ContractInvalid
from fivefold.packing import golden

FRAME = pd.DataFrame({"a": [0.5, 1.5, -2.0] * 12, "b": [1.0, 2.0, 3.0] * 12})


def made(nodes: list[Any], outputs: list[Any], inputs: list[Any], constants: Any = (), **more: Any) -> Any:
    body = helper.make_graph(nodes, "g", inputs, outputs, list(constants))
    return helper.make_model(body, **{"opset_imports": [helper.make_opsetid("", 13)], "ir_version": 8, **more})


def floats(name: str, shape: Any, kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def answers(path: Path, data: pd.DataFrame = FRAME) -> Any:
    with fivefold.open(path) as scorer:
        return scorer.score(golden.from_data(data, scorer.bundle.contract).columns)


@pytest.mark.parametrize("rows", [-1, 0, "N", None])
def test_outputs_are_drafted_from_what_the_model_answers(rows: Any, tmp_path: Path) -> None:
    """A width that the model does not declare, a name that no contract allows, and text among them."""
    weights = numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(2, 3), "w")
    words = numpy_helper.from_array(np.array(["low", "mid", "top"], object), "words")
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["dense/Scores:0"]),
        helper.make_node("ArgMax", ["dense/Scores:0"], ["best"], axis=1, keepdims=0),
        helper.make_node("Gather", ["words", "best"], ["word"]),
    ]
    outputs = [floats("dense/Scores:0", [rows, None]), floats("word", [rows], TensorProto.STRING)]
    model = made(nodes, outputs, [floats("x", [rows, 2])], [weights, words])

    fivefold.pack(model, output=tmp_path / "b", draft_from=FRAME)

    got = answers(tmp_path / "b")
    wanted = FRAME.to_numpy(np.float32) @ np.arange(6, dtype=np.float32).reshape(2, 3)
    assert tuple(got) == ("dense_Scores_0", "word")
    assert got["dense_Scores_0"] == pytest.approx(wanted)
    assert got["word"].tolist() == [["low", "mid", "top"][index] for index in wanted.argmax(axis=1)]


def test_initialisers_among_the_inputs_are_no_inputs(tmp_path: Path) -> None:
    """How every model of IR version 3 is written."""
    weights = numpy_helper.from_array(np.ones((2, 1), np.float32), "w")
    model = made(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [floats("y", ["N", 1])],
        [floats("x", ["N", 2]), floats("w", [2, 1])],
        [weights],
        ir_version=3,
        opset_imports=[helper.make_opsetid("", 9)],
    )

    fivefold.pack(model, output=tmp_path / "b", draft_from=FRAME)

    assert answers(tmp_path / "b")["y"] == pytest.approx(FRAME.sum(axis=1).to_numpy())


def test_a_null_number_is_nan_to_a_float_input(tmp_path: Path) -> None:
    """The session that is asked for the original's answer is fed as the bundle's is."""
    nodes = [
        helper.make_node("IsNaN", ["x"], ["missing"]),
        helper.make_node("Cast", ["missing"], ["y"], to=TensorProto.FLOAT),
    ]
    model = made(nodes, [floats("y", ["N", 1])], [floats("x", ["N", 1])])
    data = pd.DataFrame({"a": pd.array([1, None, 3] * 12, "Int64")})

    fivefold.pack(model, output=tmp_path / "b", draft_from=data)

    assert answers(tmp_path / "b", data)["y"].tolist() == [0, 1, 0] * 12


def test_weights_beside_the_model_come_along_or_are_missed_by_name(tmp_path: Path) -> None:
    """Inside a branch as well as in the graph."""
    weights = numpy_helper.from_array(np.full((2, 2), 2.0, np.float32), "w")
    model = made(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], [floats("y", ["N", 2])], [floats("x", ["N", 2])], [weights]
    )
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="m.bin", size_threshold=0)

    fivefold.pack(tmp_path / "m.onnx", output=tmp_path / "b", draft_from=FRAME)

    assert answers(tmp_path / "b")["y"][:, 0] == pytest.approx(2 * FRAME.sum(axis=1).to_numpy())
    (tmp_path / "m.bin").unlink()
    with pytest.raises(BundleInvalid, match=r"m\.bin|m\.onnx"):
        fivefold.pack(tmp_path / "m.onnx", output=tmp_path / "c", draft_from=FRAME)


def test_a_model_without_a_row_s_answer_has_nothing_to_draft(tmp_path: Path) -> None:
    """One number for all rows together."""
    node = helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)
    model = made([node], [floats("y", [])], [floats("x", ["N", 2])])

    with pytest.raises(ContractInvalid, match="one row for each") as caught:
        fivefold.pack(model, output=tmp_path / "b", draft_from=FRAME)

    assert "dynamic first axis" in (caught.value.help or "")
