"""Null and a null_value that is legal itself: one meaning in every spelling, and it reaches the model."""

import base64
import json
import pickle

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.bundles import contract, field, graph, node

from fivefold.core.bundle.binding import Binding, InputBinding, OutputBinding
from fivefold.core.bundle.bundle import Bundle
from fivefold.core.columns import Columns
from fivefold.core.errors import BundleInvalid
from fivefold.core.readers.arrow import Arrow
from fivefold.core.readers.lines import Lines
from fivefold.core.readers.records import Records
from fivefold.core.readers.tensors import JsonText, Tensor, Tensors
from fivefold.core.readers.text import Text
from fivefold.core.runtime.scorer import Scorer
from fivefold.exports.arrow_schema import arrow_type

_VALUES = {
    "bool": st.booleans(),
    "int8": st.integers(-3, 3),
    "uint16": st.integers(0, 3),
    "int64": st.sampled_from([-(2**63), -1, 0, 1, 2**63 - 1]),
    "float32": st.sampled_from([-1.5, 0.0, 2.0]),
    "string": st.sampled_from(["", "a", "null", "é", "\0"]),
    "bytes": st.sampled_from(["", "AA==", "YQ=="]),
}


@st.composite
def _fields(draw, name):
    dtype = draw(st.sampled_from(list(_VALUES)))
    scalar = _VALUES[dtype]
    rules = {"shape": draw(st.sampled_from([[], [], [2], [1, 2]]))}
    if draw(st.booleans()):
        rules["nullable"] = True
        if dtype != "float32":
            rules["null_value"] = draw(scalar)
    if dtype in ("int8", "uint16") and draw(st.booleans()):
        rules |= {"minimum": 1}
    if dtype == "string" and draw(st.booleans()):
        rules |= draw(st.sampled_from([{"minLength": 1}, {"enum": ["a", "é"]}, {"pattern": "^[a-z]{0,9}$"}]))
    out = field(name, dtype, **rules)
    kind = contract([out], [field("y")]).inputs[0]
    if draw(st.booleans()):
        default = draw(_cell(kind))
        if not Records((kind,)).read([{name: default}]).violations:
            out["default"] = default
    return out


def _cell(kind):
    """One row's value in JSON, null where the field may be null."""
    scalar = _VALUES[kind.dtype]
    element = scalar | st.none() if kind.nullable else scalar
    out = element
    for size in reversed(kind.shape):
        out = st.lists(out, min_size=size, max_size=size)
    return out | st.none() if kind.nullable else out


@st.composite
def _rows(draw):
    """A contract and good records, each with the fields that it has to have and some of the others."""
    terms = contract([draw(_fields(name)) for name in "abc"[: draw(st.integers(1, 3))]], [field("y")])
    good = []
    for _ in range(draw(st.integers(1, 5))):
        row = {}
        for kind in terms.inputs:
            if kind.required or draw(st.booleans()):
                row[kind.name] = draw(_cell(kind))
        if not Records(terms.inputs).read([row]).violations:
            good.append(row)
    return terms, good


def _full(value, shape):
    """Null for a whole array as an array of nulls."""
    if value is None and shape:
        return [_full(None, shape[1:])] * shape[0]
    return value


def _meaning(terms, rows):
    """What each cell is by the law itself: None where null, else the value."""

    def one(kind, value):
        if isinstance(value, list):
            return [one(kind, item) for item in value]
        if value is None or (kind.nullable and kind.kind != "float" and value == kind.null_value):
            return value if value is None or kind.null_is_value else None
        return value

    out = {}
    for kind in terms.inputs:
        cells = [row.get(kind.name, kind.default) for row in rows]
        out[kind.name] = [one(kind, _full(cell, kind.shape)) for cell in cells]
    return out


def _flat(value):
    return [item for part in value for item in _flat(part)] if isinstance(value, list) else [value]


def _bytes(kind, value):
    if isinstance(value, list):
        return [_bytes(kind, item) for item in value]
    return base64.b64decode(value) if kind.kind == "bytes" and value is not None else value


@given(_rows())
@settings(max_examples=150, deadline=None)
def test_every_spelling_means_the_same(drawn):
    """Records on both paths, lines, JSON and binary tensors, Arrow and cells: equal columns with equal nulls."""
    terms, rows = drawn
    meaning = _meaning(terms, rows)
    body = json.dumps({"instances": rows}).encode()
    records = Records(terms.inputs).read_json(body).accept()

    assert records.to_lists() == meaning
    for name in records:
        wanted = np.array([item is None for item in _flat(meaning[name])], bool)
        assert np.array_equal(records.nulls(name).reshape(-1), wanted)
    if not rows:
        return
    _same(Records(terms.inputs).read(rows).accept(), records)
    lines = [json.dumps(row).encode() for row in rows]
    ends = np.cumsum([len(line) + 1 for line in lines]).tolist()
    places = [(end - len(line) - 1, end) for end, line in zip(ends, lines, strict=True)]
    _same(Lines(terms.inputs).read(b"\n".join(lines) + b"\n", places).columns, records)
    shapes = {kind.name: (len(rows), *kind.shape) for kind in terms.inputs}
    dtypes = {kind.name: "bytes" if kind.kind in ("string", "bytes") else kind.dtype for kind in terms.inputs}
    spelt = [Tensor(n, dtypes[n], shapes[n], JsonText(json.dumps(_flat(meaning[n])).encode())) for n in meaning]
    _same(Tensors(terms.inputs).read(spelt).accept(), records)
    batch = pa.record_batch(
        [pa.array(_bytes(kind, meaning[kind.name]), arrow_type(kind)) for kind in terms.inputs], list(meaning)
    )
    _same(Arrow(terms.inputs).read(batch).accept(), records)
    cells = [[_text(kind, meaning[kind.name][row]) for kind in terms.inputs] for row in range(len(rows))]
    _same(Text(terms.inputs).read(list(meaning), cells).accept(), records)


@given(_rows())
@settings(max_examples=100, deadline=None)
def test_raw_tensors_have_values_only(drawn):
    """An array without a null of its own says null only by a null_value that is no value of the field."""
    terms, rows = drawn
    records = Records(terms.inputs).read_json(json.dumps({"instances": rows}).encode()).accept()
    raw = [
        Tensor(k.name, "bytes" if k.kind in ("string", "bytes") else k.dtype, records[k.name].shape, records[k.name])
        for k in terms.inputs
    ]
    found = Tensors(terms.inputs).read(raw).accept()

    for kind in terms.inputs:
        assert np.array_equal(found[kind.name], records[kind.name], equal_nan=kind.kind == "float")
        wanted = records.nulls(kind.name) & (not kind.null_is_value)
        assert np.array_equal(found.nulls(kind.name), wanted)


def _same(found, records):
    assert found.equals(records)
    assert found.to_lists() == records.to_lists()


def _text(kind, value):
    if kind.shape:
        return json.dumps(value)
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)


@given(_rows(), st.data())
@settings(max_examples=60, deadline=None)
def test_nulls_travel_with_their_rows(drawn, data):
    """take, slice, concat and pickling keep each row's nulls; equality sees them."""
    terms, rows = drawn
    columns = Records(terms.inputs).read(rows).accept()
    records = columns.to_records()
    order = data.draw(st.permutations(range(len(rows))))
    cut = data.draw(st.integers(0, len(rows)))
    keep = np.array([row % 2 == 0 for row in range(len(rows))], bool)

    assert columns.take(np.array(order, np.int64)).to_records() == [records[row] for row in order]
    assert columns.take(keep).to_records() == records[::2]
    assert columns.slice(cut, len(rows)).to_records() == records[cut:]
    both = Columns.concat([columns.slice(cut, len(rows)), columns.slice(0, cut)])
    assert both.to_records() == records[cut:] + records[:cut]
    assert pickle.loads(pickle.dumps(columns)).equals(columns)


def test_columns_without_a_mask_join_those_with_one():
    """A model's answer or columns made by hand say null by their values, also once they are joined to a reader's."""
    terms = contract([field("b", "bool", nullable=True, null_value=False)], [field("y")])
    read = Records(terms.inputs).read([{"b": False}, {"b": None}]).accept()
    made = Columns(terms.inputs, {"b": np.array([False, True])}, 2)

    assert Columns.concat([read, made]).to_lists() == {"b": [False, None, None, True]}
    assert not read.equals(Columns(terms.inputs, {"b": read["b"]}, 2))
    assert made.equals(Columns.concat([made, made]).slice(0, 2))


@pytest.mark.parametrize(
    ("rules", "legal"),
    [
        ({"dtype": "bool", "null_value": True}, True),
        ({"dtype": "int8", "null_value": 0}, True),
        ({"dtype": "int8", "null_value": -1, "minimum": 0}, False),
        ({"dtype": "int8", "null_value": 0, "minimum": 0}, True),
        ({"dtype": "int8", "null_value": 9, "maximum": 8}, False),
        ({"dtype": "int64", "null_value": 3, "enum": [1, 2]}, False),
        ({"dtype": "int64", "null_value": 2, "enum": [1, 2]}, True),
        ({"dtype": "string", "null_value": ""}, True),
        ({"dtype": "string", "null_value": "", "minLength": 1}, False),
        ({"dtype": "string", "null_value": "none", "maxLength": 3}, False),
        ({"dtype": "string", "null_value": "é", "maxLength": 1}, True),
        ({"dtype": "string", "null_value": "?", "pattern": "^[a-z]{1,9}$"}, False),
        ({"dtype": "string", "null_value": "?", "enum": ["a", "?"]}, True),
        ({"dtype": "bytes", "null_value": "AAA=", "maxLength": 1}, False),
        ({"dtype": "bytes", "null_value": "AA==", "maxLength": 1}, True),
    ],
)
def test_a_contract_warns_where_tensors_cannot_say_null(rules, legal):
    """null_is_value is the field's own law asked about null_value; the contract warns of inputs, not of outputs."""
    outputs = [field("y", "bool", nullable=True, null_value=False)]
    made = contract([{"name": "x", "nullable": True, **rules}], outputs)

    assert made.inputs[0].null_is_value is legal
    told = [warning for warning in made.warnings() if "cannot say null" in warning]
    assert [warning.startswith("inputs.x: the null_value ") for warning in told] == [True] * legal


# ------------------------------------------------------------------------------------------------ models


def _opened(tmp_path, inputs, model, binding, outputs):
    """The scorer of a model, whose one golden row is all nulls and its own answer."""
    terms = contract(inputs, outputs)
    given = {kind.name: None for kind in terms.inputs}
    common = {
        "contract": terms,
        "model": {"model.onnx": model},
        "runtime": "onnx",
        "binding": binding,
        "tolerance": 0.0,
    }
    empty = {kind.name: _full("" if kind.kind == "string" else False, ()) for kind in terms.outputs}
    for kind in terms.outputs:
        for size in reversed(kind.shape):
            empty[kind.name] = [empty[kind.name]] * size
    draft = Bundle.write(tmp_path / "draft", golden=([given], [empty]), **common)
    with Scorer.open(draft, self_test=False) as scorer:
        answers = scorer.score(draft.golden()[0]).to_records()
    return Scorer.open(Bundle.write(tmp_path / "bundle", golden=([given], answers), **common))


@pytest.mark.parametrize("target", ["float16", "float32", "float64"])
@pytest.mark.parametrize(("dtype", "null", "value"), [("bool", False, True), ("int8", -1, 0), ("uint16", 0, 3)])
def test_null_reaches_a_float_input_as_nan(tmp_path, target, dtype, null, value):
    """Stacked with others, alone, and in one element of an array; null_value itself arrives as the number."""
    rest = {"nullable": True, "null_value": null}
    model = graph(
        [node("IsNaN", "X", "x"), node("IsNaN", "S", "s"), node("IsNaN", "A", "a")],
        [("X", target, ["N", 2]), ("S", target, ["N", 1]), ("A", target, ["N", 2, 1])],
        [("x", "bool", ["N", 2]), ("s", "bool", ["N", 1]), ("a", "bool", ["N", 2, 1])],
    )
    binding = Binding(
        (
            InputBinding("X", ("f", "n"), target, stack=True),
            InputBinding("S", ("s",), target),
            InputBinding("A", ("a",), target),
        ),
        tuple(OutputBinding(name, name) for name in ("x", "s", "a")),
    )
    inputs = [
        field("f", target, nullable=True),
        field("n", dtype, **rest),
        field("s", dtype, **rest),
        field("a", dtype, shape=[2], **rest),
    ]
    outputs = [field("x", "bool", shape=[2]), field("s", "bool"), field("a", "bool", shape=[2])]
    rows = [
        {"f": None, "n": None, "s": None, "a": None},
        {"f": 1, "n": null, "s": null, "a": [null, None]},
        {"f": None, "n": value, "s": value, "a": [None, value]},
    ]
    with _opened(tmp_path, inputs, model, binding, outputs) as scorer:
        columns = Records(scorer.contract.inputs).read(rows).accept()
        kept = columns["n"].tolist()
        answers = scorer.score(columns).to_records()

        assert answers == [
            {"x": [True, True], "s": True, "a": [True, True]},
            {"x": [False, False], "s": False, "a": [False, True]},
            {"x": [True, False], "s": False, "a": [True, False]},
        ]
        assert columns["n"].tolist() == kept == [null, null, value]
        one = [scorer.score(columns.slice(row, row + 1)).to_records()[0] for row in range(3)]
        assert one == answers


def test_a_text_input_gets_the_binding_s_word_for_null(tmp_path):
    """Alone, stacked and in an array; without a word null_value arrives, and the columns keep what they hold."""
    model = graph(
        [node("Identity", name.upper(), name) for name in "abcd"],
        [("A", "string", ["N"]), ("B", "string", ["N", 2]), ("C", "string", ["N", 2]), ("D", "string", ["N"])],
        [("a", "string", ["N"]), ("b", "string", ["N", 2]), ("c", "string", ["N", 2]), ("d", "string", ["N"])],
    )
    binding = Binding(
        (
            InputBinding("A", ("a",), "string", null="nan"),
            InputBinding("B", ("b1", "b2"), "string", stack=True, null="None"),
            InputBinding("C", ("c",), "string", null="?"),
            InputBinding("D", ("d",), "string"),
        ),
        tuple(OutputBinding(name, name) for name in "abcd"),
    )
    text = {"nullable": True, "null_value": ""}
    inputs = [
        field("a", "string", **text),
        field("b1", "string", **text),
        field("b2", "string"),
        field("c", "string", shape=[2], **text),
        field("d", "string", **text),
    ]
    outputs = [
        field("a", "string"),
        field("b", "string", shape=[2]),
        field("c", "string", shape=[2]),
        field("d", "string"),
    ]
    rows = [
        {"a": None, "b1": None, "b2": "", "c": ["", None], "d": None},
        {"a": "", "b1": "", "b2": "z", "c": ["x", ""], "d": "y"},
    ]
    terms = contract(inputs, outputs)
    answers = [
        {"a": "nan", "b": ["None", ""], "c": ["", "?"], "d": ""},
        {"a": "", "b": ["", "z"], "c": ["x", ""], "d": "y"},
    ]
    bundle = Bundle.write(
        tmp_path / "bundle",
        contract=terms,
        model={"model.onnx": model},
        runtime="onnx",
        binding=binding,
        golden=(rows, answers),
        tolerance=0.0,
    )
    with Scorer.open(bundle) as scorer:
        columns = bundle.golden()[0]
        assert scorer.score(columns).to_records() == answers
        assert columns["a"].tolist() == ["", ""]


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (InputBinding("X", ("i",), "float32", null="?"), "a text for null needs an input of strings"),
        (InputBinding("X", ("s",), "string", null="?"), "none of the fields is nullable"),
    ],
)
def test_a_word_for_null_needs_a_text_that_may_be_null(tmp_path, item, said):
    """A binding whose word for null could never be asked for is refused."""
    kind = {"i": field("i", "int8", nullable=True, null_value=0), "s": field("s", "string")}[item.fields[0]]
    with pytest.raises(BundleInvalid) as refused:
        Bundle.write(
            tmp_path / "bundle",
            contract=contract([kind], [field("y")]),
            model={"model.onnx": b"never read"},
            runtime="onnx",
            binding=Binding((item,), (OutputBinding("y", "y"),)),
            golden=([{item.fields[0]: 1 if item.fields[0] == "i" else "a"}], [{"y": 0.0}]),
            tolerance=0.0,
        )
    assert str(refused.value).startswith("bundle.json: binding.inputs[0].null: ")
    assert said in str(refused.value)
