"""ONNX graphs: what is put right, and what is warned of."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from fivefold.core.errors import BundleInvalid
from fivefold.packing import graph


def model(nodes: list[Any], inputs: list[Any], outputs: list[Any], ml: bool = False) -> Any:
    opsets = [helper.make_opsetid("", 18)] + ([helper.make_opsetid("ai.onnx.ml", 3)] if ml else [])
    return helper.make_model(helper.make_graph(nodes, "g", inputs, outputs), opset_imports=opsets, ir_version=8)


def run(made: Any, feed: dict[str, Any]) -> list[Any]:
    return list(onnxruntime.InferenceSession(made.SerializeToString()).run(None, feed))


def test_the_same_model_has_the_same_bytes() -> None:
    """In whatever order its converter has named the operator sets; or a bundle's digest would change by chance."""
    made = [model([], [], [], ml=True) for _ in range(2)]
    made[1].opset_import.reverse()
    assert made[0].SerializeToString() != made[1].SerializeToString()

    first, second = map(graph.encoded, made)

    assert first == second
    assert {opset.domain: opset.version for opset in onnx.load_from_string(first).opset_import} == graph.OPSETS


def test_a_zipmap_becomes_the_tensor_that_it_hides() -> None:
    """The probabilities stay the same numbers, and the output gets a shape."""
    data, target = load_iris(return_X_y=True)
    made = to_onnx(
        LogisticRegression(max_iter=300).fit(data, target), data[:1].astype(np.float32), target_opset=graph.OPSETS
    )
    label, maps = run(made, {"X": data.astype(np.float32)})

    assert graph.without_zipmap(made)

    onnx.checker.check_model(made)
    again, tensor = run(made, {"X": data.astype(np.float32)})
    assert np.array_equal(label, again)
    assert np.array_equal(tensor, np.array([list(row.values()) for row in maps], np.float32))
    assert str(graph.ports(made)[1][1]) == "output_probability: float32 [?, 3]"
    assert not graph.without_zipmap(made)


def test_clipping_ends_a_sum_of_votes_at_one() -> None:
    """1.0000001 becomes 1, everything inside stays bit-equal."""
    floats = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", 2]) for name in "xp"]
    made = model([helper.make_node("Identity", ["x"], ["p"])], [floats[0]], [floats[1]])
    graph.clip(made, "p")

    (answer,) = run(made, {"x": np.array([[1.0000001, -1e-9], [0.3, 0.7]], np.float32)})

    assert answer.tolist() == np.array([[1, 0], [0.3, 0.7]], np.float32).tolist()


def test_text_changes_case_without_a_locale() -> None:
    """By default the operator asks for en_US, which a slim container lacks: the model would not even open."""
    text = [helper.make_tensor_value_info(name, TensorProto.STRING, ["rows"]) for name in "xy"]
    node = helper.make_node("StringNormalizer", ["x"], ["y"], case_change_action="LOWER", locale="xx_XX")
    made = model([node], [text[0]], [text[1]])

    assert "xx_XX" in graph.lints(made)[0]
    assert graph.portable_case(made)

    assert graph.lints(made) == []
    assert run(made, {"x": np.array(["ABC"], object)})[0].tolist() == ["abc"]


def test_operators_of_one_runtime_are_warned_of() -> None:
    """Browsers know the standard operators only."""
    floats = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows"]) for name in "xy"]
    made = model([helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")], [floats[0]], [floats[1]])

    assert "com.microsoft" in graph.lints(made)[0]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.bool_(True), 1),
        ([np.int64(2), np.int32(3)], [2, 3]),
        (np.array([1.5, 2.5]), [1.5, 2.5]),
        ([np.str_("a")], ["a"]),
    ],
)
def test_numpy_scalars_become_plain_in_attributes(value: Any, expected: Any) -> None:
    """What a converter copies out of a fitted model is accepted, and only while it converts."""
    before = helper.make_attribute
    with graph.plain_numbers():
        attribute = helper.make_attribute("a", value)

    assert helper.make_attribute is before
    got = helper.get_attribute_value(attribute)
    assert (
        [item.decode() if isinstance(item, bytes) else item for item in got] == expected
        if isinstance(expected, list)
        else got == expected
    )


def test_numpy_booleans_are_refused_without_the_wrapping() -> None:
    """The trap is real: this is what the converters meet."""
    with pytest.raises(TypeError):
        helper.make_attribute("a", np.bool_(True))


def test_bytes_that_are_no_model_are_refused() -> None:
    """With the name of the file."""
    with pytest.raises(BundleInvalid, match=r"m\.onnx is not a valid ONNX model"):
        graph.load(b"nonsense", "m.onnx")
