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


@pytest.mark.parametrize("version", [6, 9, 11, 13, 18])
@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.DOUBLE])
def test_clipping_holds_for_every_operator_set_and_float(version: int, kind: int) -> None:
    """Clip takes its bounds in another way before 11, and float64 from 12 on; names that are taken stay whose they
    are, and who else reads the output reads what it read."""
    if version < 8 and kind == TensorProto.DOUBLE:
        version = 8
    ports = [helper.make_tensor_value_info(name, kind, ["rows", 2]) for name in ("x", "p", "p_unclipped")]
    nodes = [helper.make_node("Identity", ["x"], ["p"]), helper.make_node("Identity", ["p"], ["p_unclipped"])]
    body = helper.make_graph(nodes, "g", ports[:1], ports[1:])
    made = helper.make_model(body, opset_imports=[helper.make_opsetid("", version)], ir_version=8)

    graph.clip(made, "p")

    dtype = helper.tensor_dtype_to_np_dtype(kind)
    clipped, whole = run(made, {"x": np.array([[1.5, -1], [0.25, 0.75]], dtype)})
    assert clipped.tolist() == [[1, 0], [0.25, 0.75]]
    assert whole.tolist() == [[1.5, -1], [0.25, 0.75]]
    assert clipped.dtype == dtype


def test_case_changes_without_a_locale_inside_a_branch() -> None:
    """An edit reaches what stands in the body of an If."""
    text = [helper.make_tensor_value_info(name, TensorProto.STRING, ["rows"]) for name in ("x", "y")]
    inner = helper.make_tensor_value_info("z", TensorProto.STRING, ["rows"])
    lower = helper.make_node("StringNormalizer", ["x"], ["z"], case_change_action="LOWER", locale="xx_XX")
    branch = helper.make_graph([lower], "b", [], [inner])
    flag = helper.make_tensor_value_info("flag", TensorProto.BOOL, [1])
    node = helper.make_node("If", ["flag"], ["y"], then_branch=branch, else_branch=branch)
    made = model([node], [text[0], flag], [text[1]])

    assert "xx_XX" in graph.lints(made)[0]
    assert graph.portable_case(made)

    assert run(made, {"x": np.array(["AB"], object), "flag": np.array([True])})[0].tolist() == ["ab"]


def test_a_zipmap_whose_maps_are_read_on_stays() -> None:
    """Another operator takes the sequence: it would get a tensor."""
    made = to_onnx(
        LogisticRegression(max_iter=300).fit(*load_iris(return_X_y=True)), np.zeros((1, 4), np.float32), target_opset=18
    )
    maps = made.graph.output[1].name
    made.graph.node.append(helper.make_node("SequenceLength", [maps], ["length"]))
    made.graph.output.append(helper.make_tensor_value_info("length", TensorProto.INT64, []))

    assert not graph.without_zipmap(made)


@pytest.mark.parametrize("size", [-1, 0, "batch", None])
def test_a_free_dimension_is_free_however_it_is_written(size: Any) -> None:
    """As -1 (Paddle's way), 0, a name, or not at all."""
    floats = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [size, 2]) for name in "xy"]
    made = model([helper.make_node("Identity", ["x"], ["y"])], [floats[0]], [floats[1]])

    assert graph.ports(made)[0][0].shape == (None, 2)
    assert graph.free_dimensions(made) == (size in (-1, 0))

    assert run(made, {"x": np.zeros((3, 2), np.float32)})[0].shape == (3, 2)


def test_outputs_are_declared_as_the_runtime_gives_them() -> None:
    """Another type, another width, one row of labels for a column of them."""
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 2])
    wide = helper.make_tensor_value_info("wide", TensorProto.DOUBLE, ["rows", 1])
    label = helper.make_tensor_value_info("label", TensorProto.FLOAT, [1, None])
    nodes = [
        helper.make_node("Identity", ["x"], ["wide"]),
        helper.make_node("ArgMax", ["x"], ["column"], axis=1),
        helper.make_node("Transpose", ["column"], ["label"]),
    ]
    made = model(nodes, [given], [wide, label])

    graph.learnt_shapes(made)

    assert [str(port) for port in graph.ports(made)[1]] == ["wide: float32 [?, 2]", "label: int64 [?]"]
    assert run(made, {"x": np.array([[0, 1], [1, 0]], np.float32)})[1].tolist() == [1, 0]
