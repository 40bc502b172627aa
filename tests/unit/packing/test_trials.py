"""What a trial holds against a model: rows that influence each other, answers that change, reasons that are honest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from sklearn.svm import OneClassSVM

import fivefold
from fivefold.core.errors import BundleInvalid


def _onnx(nodes: list[Any], constants: dict[str, Any] | None = None) -> Any:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 4])
    made = [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()]
    body = helper.make_graph(nodes, "g", [x], [y], made)
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def _flowers(contract_of: Any) -> Any:
    return contract_of(outputs=[{"name": "y", "dtype": "float32", "shape": [4]}])


@pytest.mark.parametrize(
    "model",
    [
        _onnx([helper.make_node("Softmax", ["x"], ["y"], axis=0)]),
        _onnx(
            [
                helper.make_node("ReduceMean", ["x", "axes"], ["m"], keepdims=1),
                helper.make_node("Sub", ["x", "m"], ["y"]),
            ],
            {"axes": np.array([0], np.int64)},
        ),
        _onnx([helper.make_node("CumSum", ["x", "axis"], ["y"])], {"axis": np.array(0, np.int64)}),
        _onnx([helper.make_node("LpNormalization", ["x"], ["y"], axis=0)]),
    ],
    ids=["softmax over rows", "mean of rows", "running sum", "norm over rows"],
)
def test_rows_that_influence_each_other_are_named_as_that(contract_of: Any, tmp_path: Path, model: Any) -> None:
    """A server puts rows of several callers together: such a model would answer each from the others' rows."""
    with pytest.raises(BundleInvalid, match="rows influence each other") as caught:
        fivefold.pack(model, _flowers(contract_of), tmp_path / "b")

    assert "belongs into fit" in (caught.value.help or "")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return {'y': rows - rows.mean(axis=0)}", "rows influence each other"),
        ("return {'y': np.argsort(np.argsort(rows, axis=0), axis=0) / 7.0}", "rows influence each other"),
        ("return {'y': rows if len(rows) > 1 else 1 / 0}", "fails on it alone|ZeroDivisionError"),
        ("self.n += 1; return {'y': rows + self.n}", "differently from call to call|disagree"),
    ],
)
def test_a_class_that_mixes_rows_is_named_too(
    contract_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, words: str
) -> None:
    """The same holds for Python."""
    (tmp_path / "mixing_x.py").write_text(
        "import numpy as np\n\n\nclass Model:\n    n = 0\n\n    def predict(self, columns):\n"
        f"        rows = np.stack([columns[name] for name in 'abcd'], axis=1)\n        {body}\n"
    )
    monkeypatch.chdir(tmp_path)

    with pytest.raises(BundleInvalid, match=words):
        fivefold.pack("mixing_x:Model", _flowers(contract_of), tmp_path / "b")


def test_rounding_in_another_order_is_no_influence(iris: Any, contract_of: Any, tmp_path: Path) -> None:
    """float32 sums of many terms differ with the number of rows; that is measured, and never called influence."""
    model = OneClassSVM().fit(np.asarray(iris[0]) * 3)
    detector = contract_of(
        outputs=[{"name": "label", "dtype": "int64", "enum": [-1, 1]}, {"name": "score", "dtype": "float32"}]
    )

    report = fivefold.pack(model, detector, tmp_path / "b", tolerance=1e-3)

    assert report.difference < 1e-3


def test_what_was_tried_is_in_the_report(logistic: Any, contract_of: Any, tmp_path: Path) -> None:
    """One line for each conversion, with its distance."""
    report = fivefold.pack(logistic, contract_of(), tmp_path / "b")

    assert [line.partition(":")[0] for line in report.tried] in (["float32"], ["float32", "float64"])
    assert all("largest difference" in line for line in report.tried)


def test_stages_are_told_while_they_happen(logistic: Any, contract_of: Any, tmp_path: Path) -> None:
    """Loading, each conversion with its result, writing."""
    heard: list[str] = []

    fivefold.pack(logistic, contract_of(), tmp_path / "b", say=heard.append)

    assert heard[0] == "loading the model"
    assert any(line.startswith("converting and measuring: float32") for line in heard)
    assert any("largest difference" in line and line.endswith(" s)") for line in heard)
    assert heard[-1].startswith("writing")
