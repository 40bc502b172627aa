"""The scorer gives the model's answers under the contract, or says neutrally that it cannot."""

import gc
import math
import pickle
import re
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from tests.support import bundles
from tests.support.bundles import contract, field, graph, node, write_python, write_sum

from fivefold.core.bundle.bundle import Binding, Bundle, InputBinding, OutputBinding
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import BundleInvalid, ContractError, ModelFailed
from fivefold.core.readers.records import Records
from fivefold.core.runtime import scorer as scorer_module
from fivefold.core.runtime.scorer import Scorer, within


def read(bundle, *records):
    return Records(bundle.contract.inputs).read(list(records)).accept()


def answer(scorer, *records):
    return scorer.score(read(scorer.bundle, *records)).to_records()


@pytest.fixture
def summing(tmp_path):
    """The scorer of a + b."""
    with Scorer.open(write_sum(tmp_path / "sum")) as scorer:
        yield scorer


# ------------------------------------------------------------------------------------------------ ONNX


def test_rows_are_scored_in_order(summing):
    """One row and many give the same answers; [rows, 1] of the model is a scalar of the contract."""
    records = [{"a": float(row), "b": 0.25} for row in range(-50, 50)]

    together = answer(summing, *records)

    assert together == [{"total": row + 0.25, "label": int(row + 0.25 > 0)} for row in range(-50, 50)]
    assert together == [answer(summing, record)[0] for record in records]


def test_records_are_predicted_as_they_are_scored(summing):
    """Objects or positional arrays in, one object of the outputs a row out; no rows are no answers."""
    records = [{"a": 1, "b": 2}, [-3.5, 0.25]]

    assert summing.predict(records) == answer(summing, *records)
    assert summing.predict(records) == [{"total": 3.0, "label": 1}, {"total": -3.25, "label": 0}]
    assert summing.predict([]) == []


def test_a_refused_prediction_says_what_and_where(summing):
    """Every value that breaks the contract, by its row; and what is no list of records at all."""
    with pytest.raises(ContractError) as caught:
        summing.predict([{"a": 1, "b": 2}, {"a": 1, "b": None}, {"a": 101, "b": 0}])
    assert [(each.code, each.path) for each in caught.value.details] == [
        ("null_not_allowed", "inputs.b[1]"),
        ("out_of_range", "inputs.a[2]"),
    ]

    for wrong, got in (({"a": 1, "b": 2}, "an object"), ("ab", '"ab"'), (None, "null")):
        with pytest.raises(ContractError, match=f"^inputs: expected a list of records, got {got}$") as caught:
            summing.predict(wrong)
        assert (caught.value.code, caught.value.path) == ("malformed", "inputs")


def test_nulls_are_predicted_as_nulls(tmp_path):
    """None on both sides, in a field whose null is a number of its own and in one of floats."""
    fields = [field("a", nullable=True), field("b", "int64", nullable=True, null_value=-1)]
    echo = graph(
        [node("Identity", "a", "c"), node("Identity", "b", "d")],
        [("a", "float32", ["N", 1]), ("b", "int64", ["N", 1])],
        [("c", "float32", ["N", 1]), ("d", "int64", ["N", 1])],
    )
    outputs = [each | {"name": name} for each, name in zip(fields, "cd")]
    rows = [{"a": None, "b": 3}, {"a": 0.5, "b": None}]
    answers = [{"c": None, "d": 3}, {"c": 0.5, "d": None}]
    binding = Binding(
        (InputBinding("a", ("a",), "float32"), InputBinding("b", ("b",), "int64")),
        (OutputBinding("c", "c"), OutputBinding("d", "d")),
    )
    made = write_sum(
        tmp_path / "echo",
        contract=contract(fields, outputs),
        model={"model.onnx": echo},
        binding=binding,
        golden=(rows, answers),
    )

    with Scorer.open(made) as scorer:
        assert scorer.predict(rows) == answers


def test_outputs_have_the_contract_s_types(summing):
    """Arrays of the declared dtype, one axis for rows and no more."""
    columns = summing.score(read(summing.bundle, {"a": 1, "b": 2}, {"a": 3, "b": 4}))

    assert columns.fields == summing.contract.outputs
    assert (columns["total"].dtype, columns["total"].shape) == (np.float32, (2,))
    assert (columns["label"].dtype, columns["label"].shape) == (np.int64, (2,))


def test_no_rows_give_no_rows(summing, tmp_path):
    """Without calling the model, which may dislike an empty batch."""
    source = b"""
class Sum:
    def predict(self, columns):
        assert len(columns["a"]) > 0
        return {"total": columns["a"] + columns["b"], "label": (columns["a"] + columns["b"] > 0).astype(int)}
"""
    with Scorer.open(write_python(tmp_path / "python", source)) as python:
        for scorer in (summing, python):
            nothing = scorer.score(read(scorer.bundle))

            assert nothing.rows == 0
            assert nothing.to_records() == []
            assert nothing["total"].dtype == np.float32


def kinds_bundle(directory):
    """Every way to feed and to answer: by name, [rows], [rows, 1], an image, text, booleans, a chosen column."""
    made = contract(
        [
            field("n", "int64"),
            field("x", "float64"),
            field("site", "string"),
            field("flag", "bool"),
            field("image", shape=[2, 3]),
        ],
        [
            field("double", "int64"),
            field("half", "float64"),
            field("place", "string"),
            field("not", "bool"),
            field("second"),
            field("flat", shape=[6]),
            field("small", "int8"),
        ],
    )
    model = graph(
        [
            node("Add", "n n", "double"),
            node("Mul", "x point_five", "half"),
            node("Identity", "site", "place"),
            node("Not", "flag", "not"),
            node("Flatten", "image", "flat"),
            node("Cast", "n", "small", to=TensorProto.FLOAT),
        ],
        [
            ("n", "int64", ["N", 1]),
            ("x", "float64", ["N"]),
            ("site", "string", ["N", 1]),
            ("flag", "bool", ["N"]),
            ("image", "float32", ["N", 1, 2, 3]),
        ],
        [
            ("double", "int64", ["N", 1]),
            ("half", "float64", ["N"]),
            ("place", "string", ["N", 1]),
            ("not", "bool", ["N"]),
            ("flat", "float32", ["N", 6]),
            ("small", "float32", ["N", 1]),
        ],
        point_five=np.array([0.5], np.float64),
    )
    dtypes = {item.name: item.dtype for item in made.inputs}
    binding = Binding(
        tuple(InputBinding(name, (name,), dtype) for name, dtype in dtypes.items()),
        (
            *(OutputBinding(name, name) for name in ("double", "half", "place", "not", "flat", "small")),
            OutputBinding("second", "flat", 1),
        ),
    )
    given_rows = [
        {
            "n": row,
            "x": row + 0.5,
            "site": f"é{row}\0",
            "flag": bool(row % 2),
            "image": [[row, 1, 2], [3, 4, 5]],
        }
        for row in range(-3, 3)
    ]
    answers = [
        {
            "double": 2 * item["n"],
            "half": item["x"] / 2,
            "place": item["site"],
            "not": not item["flag"],
            "second": 1,
            "flat": [item["n"], 1, 2, 3, 4, 5],
            "small": item["n"],
        }
        for item in given_rows
    ]
    return Bundle.write(
        directory,
        contract=made,
        model={"model.onnx": model},
        runtime="onnx",
        binding=binding,
        golden=(given_rows, answers),
        tolerance=0,
    )


def test_fields_of_every_kind_are_bound_by_name(tmp_path):
    """Golden rows prove it at opening; a zero byte in a text survives too."""
    with Scorer.open(kinds_bundle(tmp_path / "kinds")) as scorer:
        got = answer(scorer, {"n": 4, "x": 3, "site": "a\0b", "flag": True, "image": [[1, 2, 3], [4, 5, 6]]})

    assert got == [
        {
            "double": 8,
            "half": 1.5,
            "place": "a\0b",
            "not": False,
            "second": 2.0,
            "flat": [1, 2, 3, 4, 5, 6],
            "small": 4,
        }
    ]


def identity(directory, given_field, model_dtype, answer_field, model_output=None, golden=((1,), (1,)), nodes=None):
    """A model of one input and one output that hands on what it gets."""
    made = contract([given_field], [answer_field])
    model = graph(
        nodes or [node("Identity", "X", "Y")],
        [("X", model_dtype, ["N"])],
        [("Y", model_output or model_dtype, ["N"])],
    )
    return Bundle.write(
        directory,
        contract=made,
        model={"model.onnx": model},
        runtime="onnx",
        binding=Binding((InputBinding("X", (given_field["name"],), model_dtype),), (OutputBinding("y", "Y"),)),
        golden=([{given_field["name"]: value} for value in golden[0]], [{"y": value} for value in golden[1]]),
        tolerance=0,
    )


def test_an_answer_converts_by_its_values(tmp_path):
    """A float tensor of whole numbers answers an integer field; one with a fraction has left the contract."""
    bundle = identity(tmp_path / "b", field("x", "float64"), "float64", field("y", "int64"))
    with Scorer.open(bundle) as scorer:
        assert answer(scorer, {"x": 2**53}, {"x": -7}) == [{"y": 2**53}, {"y": -7}]
        with pytest.raises(ModelFailed) as caught:
            answer(scorer, {"x": 1}, {"x": 2.5})

    assert (caught.value.code, caught.value.path) == ("model_failed", "outputs.y[1]")


@pytest.mark.parametrize(
    ("rules", "value"),
    [
        ({"minimum": 0}, -1),
        ({"maximum": 5}, 6),
        ({"enum": [1, 2]}, 3),
        ({"dtype": "int8"}, 200),
        ({"dtype": "float32"}, 1e300),
    ],
)
def test_an_answer_outside_the_contract_is_never_given(tmp_path, rules, value):
    """Range, enum, dtype and finiteness of every answer are checked."""
    bundle = identity(tmp_path / "b", field("x", "float64"), "float64", field("y", **{"dtype": "float64"} | rules))
    with Scorer.open(bundle) as scorer, pytest.raises(ModelFailed) as caught:
        answer(scorer, {"x": 1}, {"x": value})

    assert caught.value.path == "outputs.y[1]"


def test_an_answer_that_is_not_a_number_needs_a_nullable_field(tmp_path):
    """Elsewhere NaN is a failed model."""
    for nullable in (True, False):
        bundle = identity(
            tmp_path / "b", field("x", "float64", nullable=True), "float64", field("y", "float64", nullable=nullable)
        )
        with Scorer.open(bundle) as scorer:
            if nullable:
                assert answer(scorer, {"x": None}, {"x": 1}) == [{"y": None}, {"y": 1}]
            else:
                with pytest.raises(ModelFailed):
                    answer(scorer, {"x": None})


def test_a_number_that_the_model_s_type_cannot_hold_is_out_of_range(tmp_path):
    """Passed on as infinity it would be answered wrongly; a declared infinity is passed on."""
    bundle = identity(tmp_path / "b", field("x", "float64", nullable=True), "float32", field("y", nullable=True))
    with Scorer.open(bundle) as scorer:
        with pytest.raises(ContractError) as caught:
            answer(scorer, {"x": 1}, {"x": None}, {"x": -1e39})

        assert (caught.value.code, caught.value.path) == ("out_of_range", "inputs.x[2]")
        assert answer(scorer, {"x": 3.4e38})[0]["y"] == float(np.float32(3.4e38))


def test_the_cell_that_does_not_fit_a_stack_is_named(tmp_path):
    """The field, not only the row."""
    inputs = [field("a", "float64", allow_nan=True), field("b", "float64")]
    bundle = write_sum(tmp_path / "b", contract=contract(inputs, bundles.SUM_CONTRACT.to_json()["outputs"]))
    infinite = Records(bundle.contract.inputs)
    columns = infinite.read([{"a": 0, "b": 0}, {"a": 1, "b": 1e40}]).accept()
    with Scorer.open(bundle) as scorer, pytest.raises(ContractError) as caught:
        scorer.score(columns)

    assert caught.value.path == "inputs.b[1]"


def test_integers_reach_a_float_model_through_binary64(tmp_path):
    """Rounded as the contract says, and as a browser does it, where one step would round differently."""
    value = 2**60 + 2**36 + 1
    assert np.int64(value).astype(np.float32) != np.float32(np.float64(value))
    bundle = identity(tmp_path / "b", field("x", "int64"), "float32", field("y"))
    with Scorer.open(bundle) as scorer:
        assert answer(scorer, {"x": value}) == [{"y": float(np.float32(np.float64(value)))}]


def test_columns_that_are_views_are_fed_whole(summing):
    """Slices and selections of columns score like the rows they are."""
    records = [{"a": row / 8, "b": row} for row in range(40)]
    columns = read(summing.bundle, *records)
    whole = summing.score(columns)

    assert summing.score(columns.slice(10, 20)).equals(whole.slice(10, 20))
    assert summing.score(columns.take(np.arange(39, -1, -3))).equals(whole.take(np.arange(39, -1, -3)))


@pytest.mark.parametrize("runtime", [write_sum, write_python])
def test_one_scorer_serves_many_threads(tmp_path, runtime):
    """Every answer belongs to its own question."""
    wrong = []

    def ask(scorer, offset):
        for row in range(60):
            records = [{"a": (offset + index) / 10, "b": row} for index in range(1 + row % 5)]
            got = answer(scorer, *records)
            expected = [float(np.float32(record["a"]) + np.float32(record["b"])) for record in records]
            if [item["total"] for item in got] != expected:
                wrong.append((offset, row))

    with Scorer.open(runtime(tmp_path / "b")) as scorer:
        threads = [threading.Thread(target=ask, args=(scorer, offset)) for offset in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert wrong == []


def test_the_cost_is_measured_at_load(summing):
    """Seconds for a number of rows: positive, never falling, beyond the measured sizes too."""
    costs = [summing.seconds(rows) for rows in (1, 2, 16, 100, 1024, 10**6)]

    assert summing.seconds(0) == 0.0
    assert all(cost > 0 for cost in costs)
    assert costs == sorted(costs)


def test_a_slow_model_is_measured_with_few_calls(tmp_path):
    """A second for a row is not tried with a thousand rows."""
    source = b"""
import time

class Sum:
    def __init__(self):
        self.rows = []

    def predict(self, columns):
        self.rows.append(len(columns["a"]))
        time.sleep(0.06)
        total = columns["a"] + columns["b"]
        return {"total": total, "label": (total > 0).astype("int64")}
"""
    with Scorer.open(write_python(tmp_path / "b", source)) as scorer:
        assert max(scorer._runner._model.rows) == 8
        assert 0.06 <= scorer.seconds(1) < scorer.seconds(2) == 2 * scorer.seconds(1)


def test_large_rows_are_measured_a_few_at_a_time(tmp_path, monkeypatch):
    """Rows of eight bytes, where sixteen of them are as much as is tried: no batch is made that is larger."""
    monkeypatch.setattr(scorer_module, "COST_BYTES", 16 * 8)
    with Scorer.open(identity(tmp_path / "b", field("x", "float64"), "float64", field("y", "float64"))) as scorer:
        assert [rows for rows, _ in scorer._cost] == [1, 16]
        assert scorer.seconds(1024) >= scorer.seconds(16) > 0

    monkeypatch.setattr(scorer_module, "COST_BYTES", 1)
    with Scorer.open(Bundle.open(tmp_path / "b")) as scorer:
        assert [rows for rows, _ in scorer._cost] == [1]


def test_a_closed_scorer_says_so(tmp_path):
    """A call after close fails like any failed call."""
    for scorer in (Scorer.open(write_sum(tmp_path / "a")), Scorer.open(write_python(tmp_path / "b"))):
        scorer.close()
        scorer.close()

        with pytest.raises(ModelFailed):
            answer(scorer, {"a": 1, "b": 2})


# ------------------------------------------------------------------------------------------- self-test


def test_a_model_that_leaves_its_golden_answers_is_refused(tmp_path):
    """Row, field, expected and got are named."""
    given_rows, answers = bundles.SUM_GOLDEN
    wrong = [dict(row) for row in answers]
    wrong[2]["total"] += 0.25
    bundle = write_sum(tmp_path / "b", golden=(given_rows, wrong))

    with pytest.raises(BundleInvalid, match=r"row 2, outputs\.total: expected 2\.75 within 0, got 2\.5") as caught:
        Scorer.open(bundle)

    assert caught.value.path == "golden.jsonl"
    Scorer.open(bundle, self_test=False).close()


def test_a_label_is_compared_exactly(tmp_path):
    """The tolerance is for floats only."""
    given_rows, answers = bundles.SUM_GOLDEN
    wrong = [dict(row) for row in answers]
    wrong[7]["label"] = 1
    bundle = write_sum(tmp_path / "b", golden=(given_rows, wrong), tolerance=1)

    with pytest.raises(BundleInvalid, match=r"row 7, outputs\.label: expected 1, got 0"):
        Scorer.open(bundle)


def test_a_difference_within_the_tolerance_is_accepted(tmp_path):
    """As much as the bundle allows, relative to numbers above one."""
    given_rows, answers = bundles.SUM_GOLDEN
    near = [row | {"total": row["total"] * 1.0005} for row in answers]

    Scorer.open(write_sum(tmp_path / "b", golden=(given_rows, near), tolerance=1e-3)).close()
    with pytest.raises(BundleInvalid, match=r"within 0\.0001"):
        Scorer.open(write_sum(tmp_path / "b", golden=(given_rows, near), tolerance=1e-4))


def test_golden_rows_that_fail_refuse_the_bundle(tmp_path):
    """Also without a self-test, where the cost cannot be measured."""
    source = b"class Sum:\n    def predict(self, columns):\n        raise KeyError('secret')\n"
    for self_test in (True, False):
        with pytest.raises(BundleInvalid, match="cannot be scored") as caught:
            Scorer.open(write_python(tmp_path / "b", source), self_test=self_test)

        assert caught.value.path == "golden.jsonl"


def test_a_model_that_mixes_rows_is_caught_by_the_first_row_alone(tmp_path):
    """A batch statistic gives other answers for one row than for many."""
    source = b"""
class Sum:
    def predict(self, columns):
        total = columns["a"] + columns["b"] - (0.25 if len(columns["a"]) == 1 else 0)
        return {"total": total, "label": (total > 0).astype("int64")}
"""
    with pytest.raises(BundleInvalid, match=r"row 0, outputs\.total"):
        Scorer.open(write_python(tmp_path / "b", source))


FLOAT = Contract.from_json(
    {"format": 1, "name": "c", "version": "1", "inputs": [field("x")], "outputs": [field("y", "float64")]}
).outputs[0]


@settings(max_examples=200)
@given(st.floats(), st.floats(), st.floats(0, 1))
def test_within_is_the_written_rule(got, expected, tolerance):
    """|got - expected| <= tolerance * max(1, |expected|); NaN equals NaN, an infinity only itself."""
    agreed = bool(within(FLOAT, np.array([got]), np.array([expected]), tolerance)[0])

    if math.isfinite(got) and math.isfinite(expected):
        assert agreed == (abs(got - expected) <= tolerance * max(1, abs(expected)))
    elif math.isinf(expected) and tolerance == 0:
        assert agreed == (got == expected)
    elif math.isnan(got) or math.isnan(expected):
        assert agreed == (math.isnan(got) and math.isnan(expected))
    elif math.isinf(got) and math.isfinite(expected):
        assert not agreed


# ----------------------------------------------------------------------------- models that do not fit


def sum_with(inputs=None, outputs=None, model=bundles.SUM_MODEL):
    binding = Binding(inputs or bundles.SUM_BINDING.inputs, outputs or bundles.SUM_BINDING.outputs)
    return {"binding": binding, "model": {"model.onnx": model}}


def stack(name="X", dtype="float32", fields=("a", "b")):
    return (InputBinding(name, fields, dtype, stack=True),)


def outputs(total="total", column=None, label="label"):
    return (OutputBinding("total", total, column), OutputBinding("label", label))


def declared(inputs, total=("float32", ["N", 1]), extra=()):
    """The sum with other declared shapes."""
    return graph(
        [
            node("ReduceSum", "X one", "total", keepdims=1),
            node("Greater", "total zero", "positive"),
            node("Cast", "positive", "label", to=TensorProto.INT64),
        ],
        [("X", "float32", inputs), *extra],
        [("total", *total), ("label", "int64", ["N", 1])],
        one=np.array([1], np.int64),
        zero=np.array([0], np.float32),
    )


def flat():
    """An input of one number a row."""
    return graph(
        [node("Neg", "X", "total"), node("Cast", "X", "label", to=TensorProto.INT64)],
        [("X", "float32", ["N"])],
        [("total", "float32", ["N"]), ("label", "int64", ["N"])],
    )


def zipmap():
    made = helper.make_graph(
        [
            node("ReduceSum", "X one", "total", keepdims=1),
            helper.make_node("ZipMap", ["X"], ["label"], domain="ai.onnx.ml", classlabels_int64s=[0, 1]),
        ],
        "graph",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["N", 2])],
        [
            helper.make_tensor_value_info("total", TensorProto.FLOAT, ["N", 1]),
            helper.make_value_info(
                "label",
                helper.make_sequence_type_proto(
                    helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
                ),
            ),
        ],
        [helper.make_tensor("one", TensorProto.INT64, [1], [1])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 1)]
    return helper.make_model(made, opset_imports=opsets, ir_version=8).SerializeToString()


def external():
    """The sum with its weights in a file of the working directory, where ONNX Runtime would find them."""
    weights = helper.make_tensor("W", TensorProto.FLOAT, [2, 1], bytes(8), raw=True)
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "weights.bin"), ("offset", "0"), ("length", "8")):
        entry = weights.external_data.add()
        entry.key, entry.value = key, value
    made = helper.make_graph(
        [node("MatMul", "X W", "total"), node("Cast", "total", "label", to=TensorProto.INT64)],
        "graph",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["N", 2])],
        [
            helper.make_tensor_value_info("total", TensorProto.FLOAT, ["N", 1]),
            helper.make_tensor_value_info("label", TensorProto.INT64, ["N", 1]),
        ],
        [weights],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


UNFIT = {
    "no model at all": (sum_with(model=b""), "model.onnx", "ONNX Runtime .* refuses"),
    "noise": (sum_with(model=bytes(range(256)) * 4), "model.onnx", "refuses"),
    "half a model": (sum_with(model=bundles.SUM_MODEL[: len(bundles.SUM_MODEL) // 2]), "model.onnx", "refuses"),
    "an operator that is none": (
        sum_with(
            model=graph([node("Sorcery", "X", "total")], [("X", "float32", ["N", 2])], [("total", "float32", ["N"])])
        ),
        "model.onnx",
        "refuses",
    ),
    "weights outside the bundle": (sum_with(model=external()), "model.onnx", "refuses"),
    "an input of another name": (sum_with(stack("Y")), "bundle.json", r"inputs\[0\]\.model_input: .*it has 'X'"),
    "an input of another dtype": (
        sum_with(stack(dtype="float64")),
        "bundle.json",
        "is float32, the binding says float64",
    ),
    "an input that is not bound": (
        sum_with(model=declared(["N", 2], extra=[("Z", "float32", ["N"])])),
        "bundle.json",
        "'Z' is not bound",
    ),
    "more columns than fields": (sum_with(model=declared(["N", 3])), "bundle.json", r"takes \[3\] a row, .* stacks 2"),
    "an input without columns": (sum_with(model=flat()), "bundle.json", r"takes \[\] a row"),
    "a fixed number of rows": (sum_with(model=declared([1, 2])), "bundle.json", "takes 1 rows only"),
    "two inputs for one matrix": (
        sum_with((InputBinding("X", ("a",), "float32"), InputBinding("Y", ("b",), "float32"))),
        "bundle.json",
        r"takes \[2\] a row, 'a' is \[\]",
    ),
    "an output of another name": (sum_with(outputs=outputs("sum")), "bundle.json", "it has 'total', 'label'"),
    "an output inside the graph": (sum_with(outputs=outputs("positive")), "bundle.json", "no output 'positive'"),
    "a column beyond": (sum_with(outputs=outputs(column=1)), "bundle.json", r"outputs\[0\]\.column"),
    "an output that is no tensor": (
        sum_with(model=zipmap()),
        "bundle.json",
        r"outputs\[1\]\.model_output: .*not a tensor",
    ),
    "an output of another family": (
        sum_with(
            model=graph(
                [node("ReduceSum", "X one", "total", keepdims=1), node("Cast", "total", "label", to=TensorProto.BOOL)],
                [("X", "float32", ["N", 2])],
                [("total", "float32", ["N", 1]), ("label", "bool", ["N", 1])],
                one=np.array([1], np.int64),
            )
        ),
        "bundle.json",
        "is bool, the contract's 'label' is int64",
    ),
    "an answer of another shape": (
        sum_with(
            model=graph(
                [node("Identity", "X", "total"), node("ArgMax", "X", "label", axis=1, keepdims=0)],
                [("X", "float32", ["N", 2])],
                [("total", "float32", ["N", 2]), ("label", "int64", ["N"])],
            )
        ),
        "golden.jsonl",
        r"outputs\.total: expected shape \[8\] from the model, got \[8, 2\]",
    ),
    "an answer with fewer rows": (
        sum_with(
            model=graph(
                [
                    node("ReduceSum", "X zero", "total", keepdims=0),
                    node("Cast", "total", "label", to=TensorProto.INT64),
                ],
                [("X", "float32", ["N", 2])],
                [("total", "float32", ["M"]), ("label", "int64", ["M"])],
                zero=np.array([0], np.int64),
            )
        ),
        "golden.jsonl",
        r"expected shape \[8\] from the model, got \[2\]",
    ),
}


@pytest.mark.parametrize("case", UNFIT)
def test_a_model_that_does_not_fit_its_bundle_is_refused(tmp_path, monkeypatch, case):
    """At opening, with the file and the place inside it."""
    changes, path, message = UNFIT[case]
    (tmp_path / "weights.bin").write_bytes(bytes(8))
    monkeypatch.chdir(tmp_path)
    bundle = write_sum(tmp_path / "b", **changes)

    with pytest.raises(BundleInvalid, match=message) as caught:
        Scorer.open(bundle)

    assert (caught.value.code, caught.value.path) == ("bundle_invalid", path)


def test_a_classifier_with_a_zipmap_gets_the_cure(tmp_path):
    """The usual mistake of converting is named with its remedy."""
    with pytest.raises(BundleInvalid) as caught:
        Scorer.open(write_sum(tmp_path / "b", **sum_with(model=zipmap())))

    assert caught.value.help == "convert the classifier with zipmap=False"


# ------------------------------------------------------------------------------------- Python classes


def python(body):
    return f"import numpy as np\n\nclass Sum:\n    def predict(self, columns):\n        {body}\n".encode()


def test_a_python_class_answers_like_the_onnx_model(tmp_path, summing):
    """The same contract, the same answers."""
    with Scorer.open(write_python(tmp_path / "python")) as scorer:
        for record in ({"a": 1, "b": 2}, {"a": -3.5, "b": 0.25}):
            assert answer(scorer, record) == answer(summing, record)


def test_lists_and_columns_of_one_are_answers_too(tmp_path):
    """What a class gives is read as an array; [rows, 1] is a scalar."""
    body = (
        'total = columns["a"] + columns["b"]; '
        'return {"total": total[:, None], "label": [int(value > 0) for value in total]}'
    )

    with Scorer.open(write_python(tmp_path / "b", python(body))) as scorer:
        assert answer(scorer, {"a": 1, "b": 2}) == [{"total": 3, "label": 1}]


def test_text_and_bytes_come_back_whole(tmp_path):
    """Trailing zero bytes too, which numpy's fixed-width text would drop."""
    made = contract([field("t", "string"), field("b", "bytes")], [field("t2", "string"), field("b2", "bytes")])
    source = b"""
class Echo:
    def predict(self, columns):
        return {"t2": list(columns["t"]), "b2": list(columns["b"])}
"""
    bundle = write_python(
        tmp_path / "b",
        source,
        contract=made,
        entry="adder:Echo",
        golden=([{"t": "a\0", "b": "YQA="}], [{"t2": "a\0", "b2": "YQA="}]),
    )
    with Scorer.open(bundle) as scorer:
        assert answer(scorer, {"t": "é\0\0", "b": "AAA="}, {"t": "", "b": ""}) == [
            {"t2": "é\0\0", "b2": "AAA="},
            {"t2": "", "b2": ""},
        ]


def test_a_class_may_spoil_its_input(tmp_path):
    """It gets copies: the caller's columns stay."""
    body = 'columns["a"] += columns["b"]; return {"total": columns["a"], "label": (columns["a"] > 0).astype(int)}'
    with Scorer.open(write_python(tmp_path / "b", python(body))) as scorer:
        columns = read(scorer.bundle, {"a": 1, "b": 2})
        scorer.score(columns)

        assert columns.to_records() == [{"a": 1.0, "b": 2.0}]


def test_two_bundles_never_share_a_module(tmp_path):
    """The same module and class names, other code: each scorer keeps its own."""
    minus = bundles.PYTHON_SUM.replace(b"+", b"-")
    golden = ([{"a": 1, "b": 2}], [{"total": -1, "label": 0}])
    with (
        Scorer.open(write_python(tmp_path / "plus")) as one,
        Scorer.open(write_python(tmp_path / "minus", minus, golden=golden)) as two,
        Scorer.open(one.bundle) as again,
    ):
        assert answer(one, {"a": 1, "b": 2})[0]["total"] == 3
        assert answer(two, {"a": 1, "b": 2})[0]["total"] == -1
        assert type(one._runner._model) is not type(again._runner._model)
        assert "adder" not in sys.modules


def test_a_class_finds_its_neighbours_and_its_files(tmp_path):
    """Relative imports, also later ones, and files beside the module."""
    source = b"""
from pathlib import Path

from .parts.names import FIRST


class Sum:
    def __init__(self):
        self.bias = float((Path(__file__).parent / "weights.txt").read_text())

    def predict(self, columns):
        from .parts import late

        total = late.add(columns[FIRST], columns["b"]) + self.bias
        return {"total": total, "label": (total > 0).astype("int64")}
"""
    model = {
        "model/kit/adder.py": source,
        "model/kit/weights.txt": b"0",
        "model/kit/parts/names.py": b"FIRST = 'a'\n",
        "model/kit/parts/late.py": b"def add(a, b):\n    return a + b\n",
    }
    with Scorer.open(write_python(tmp_path / "b", model=model, entry="kit.adder:Sum")) as scorer:
        assert answer(scorer, {"a": 1, "b": 2})[0]["total"] == 3


def test_the_text_of_a_model_s_error_is_not_told(tmp_path):
    """The caller reads a neutral sentence; the log finds the exception as the cause."""
    body = (
        'assert columns["a"][0] != 13, "the password is hunter2"; total = columns["a"] + columns["b"]; '
        'return {"total": total, "label": (total > 0).astype(int)}'
    )
    with Scorer.open(write_python(tmp_path / "b", python(body))) as scorer, pytest.raises(ModelFailed) as caught:
        answer(scorer, {"a": 13, "b": 2})

    assert str(caught.value) == "the model 'demo' failed on this input"
    assert "hunter2" in str(caught.value.__cause__)
    assert pickle.loads(pickle.dumps(caught.value)).code == "model_failed"


BAD_ANSWERS = {
    "none": "return None",
    "a list": "return [1, 2]",
    "no such output": 'return {"total": columns["a"]}',
    "a scalar": 'return {"total": 1.0, "label": 1}',
    "too many rows": 'return {"total": np.zeros(99), "label": np.zeros(99, int)}',
    "ragged rows": 'return {"total": [[1], [1, 2]] + [[1]] * 6, "label": [1] * 8}',
    "text for a number": 'return {"total": np.array(["x"] * len(columns["a"])), "label": columns["a"].astype(int)}',
    "booleans for labels": 'return {"total": columns["a"], "label": columns["a"] > 0}',
    "labels outside": 'return {"total": columns["a"], "label": columns["a"].astype(int) * 0 + 7}',
    "labels with fractions": 'return {"total": columns["a"], "label": columns["a"] * 0 + 0.5}',
    "not a number": 'return {"total": columns["a"] * np.nan, "label": columns["a"].astype(int) * 0}',
    "objects": 'return {"total": np.array([{}] * len(columns["a"])), "label": columns["a"].astype(int) * 0}',
    "an exit": "raise ValueError",
}


@pytest.mark.parametrize("case", BAD_ANSWERS)
def test_an_answer_that_is_none_fails_the_golden_rows(tmp_path, case):
    """A class that does not keep to the contract is not served."""
    with pytest.raises(BundleInvalid, match="cannot be scored") as caught:
        Scorer.open(write_python(tmp_path / "b", python(BAD_ANSWERS[case])))

    assert caught.value.path == "golden.jsonl"


BAD_CLASSES = {
    "a syntax error": (b"class Sum(:\n", "SyntaxError"),
    "bytes that are not text": (b"\xff\xfe\x00", "SyntaxError|UnicodeDecodeError|ValueError"),
    "no class": (b"class Other:\n    pass\n", "has no attribute 'Sum'"),
    "a class that wants arguments": (b"class Sum:\n    def __init__(self, x):\n        pass\n", "TypeError"),
    "a class that raises": (b"class Sum:\n    def __init__(self):\n        raise OSError('no')\n", "OSError: no"),
    "a module that raises": (b"1 / 0\n", "ZeroDivisionError"),
    "a module that exits": (b"raise SystemExit(3)\n", "SystemExit"),
    "a class without predict": (b"class Sum:\n    pass\n", "no method predict"),
    "a predict that is a value": (b"class Sum:\n    predict = 7\n", "no method predict"),
    "a package that is not installed": (b"import no_such_package_at_all\n", "ModuleNotFoundError"),
}


@pytest.mark.parametrize("case", BAD_CLASSES)
def test_a_class_that_cannot_be_made_refuses_the_bundle(tmp_path, monkeypatch, case):
    """With the module's file, and nothing left of it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    source, message = BAD_CLASSES[case]

    with pytest.raises(BundleInvalid, match=message) as caught:
        Scorer.open(write_python(tmp_path / "b", source))

    assert caught.value.path == "model/adder.py"
    assert not list((tmp_path / "temporary").iterdir())
    assert not [name for name in sys.modules if re.match(r"fivefold_model_.*adder", name)]


def test_an_absolute_import_of_a_neighbour_gets_the_cure(tmp_path):
    """The help says how a module of the bundle imports another."""
    model = {"model/adder.py": b"import parts\n", "model/parts.py": b""}

    with pytest.raises(BundleInvalid) as caught:
        Scorer.open(write_python(tmp_path / "b", model=model))

    assert caught.value.help is not None
    assert "from . import parts" in caught.value.help


@pytest.mark.parametrize("end", ["close", "forget"])
def test_a_python_model_leaves_nothing_behind(tmp_path, monkeypatch, end):
    """Its private directory and its modules go with the scorer, closed or only forgotten."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    # Other tests' scorers may still be open in this process.
    before = set(sys.modules)
    scorer = Scorer.open(write_python(tmp_path / "b"))
    (private,) = (tmp_path / "temporary").iterdir()
    assert private.stat().st_mode & 0o077 == 0
    if end == "close":
        scorer.close()
    del scorer
    gc.collect()

    assert not list((tmp_path / "temporary").iterdir())
    assert not [name for name in set(sys.modules) - before if name.startswith("fivefold_model_")]


def test_no_code_runs_before_the_scorer_opens(tmp_path):
    """Opening a bundle only reads it."""
    trap = tmp_path / "ran"
    source = f"from pathlib import Path\nPath({str(trap)!r}).touch()\n".encode() + bundles.PYTHON_SUM
    bundle = write_python(tmp_path / "b", source)
    Bundle.open(tmp_path / "b")

    assert not trap.exists()
    Scorer.open(bundle).close()
    assert Path(trap).exists()
