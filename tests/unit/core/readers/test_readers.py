"""The four readers: the same rules, whatever a value came in."""

import base64
import contextlib
import json
import math
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fivefold.core.contract.contract import Contract
from fivefold.core.errors import ContractError
from fivefold.core.readers.arrow import Arrow
from fivefold.core.readers.exact_json import loads
from fivefold.core.readers.records import Records
from fivefold.core.readers.tensors import JsonText, Tensor, Tensors
from fivefold.core.readers.text import Text


def fields(*inputs):
    """Input fields from their JSON."""
    outputs = [{"name": "y", "dtype": "float32"}]
    return Contract.from_json(
        {"format": 1, "name": "t", "version": "1", "inputs": list(inputs), "outputs": outputs}
    ).inputs


def found(reading):
    """Codes and paths."""
    return [(violation.code, violation.path) for violation in reading.violations]


NUMBERS = fields(*({"name": n, "dtype": "float64", "minimum": -10, "maximum": 10} for n in "abc"))
MIXED = fields(
    {"name": "x", "dtype": "float32", "minimum": 0, "maximum": 0.1},
    {"name": "n", "dtype": "int16", "nullable": True, "null_value": -1, "minimum": 0},
    {"name": "s", "dtype": "string", "enum": ["l", "r"], "default": "l", "aliases": ["side"]},
    {"name": "v", "dtype": "float64", "shape": [2], "nullable": True},
    {"name": "b", "dtype": "bool", "default": True},
)

_json_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.integers(-3, 12),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.1, 0.05, 3.0, 2.5]),
    st.sampled_from(["l", "r", "x", "", "😀"]),
    st.lists(st.one_of(st.none(), st.integers(-3, 3), st.floats(-2, 2)), max_size=3),
)
_records = st.dictionaries(st.sampled_from(["x", "n", "s", "v", "b", "side", "zz"]), _json_values, max_size=7)
_good = st.fixed_dictionaries(
    {
        "x": st.sampled_from([0, 0.05, 0.1]),
        "n": st.one_of(st.none(), st.integers(0, 300)),
        "v": st.one_of(st.none(), st.just([1, None])),
    },
    optional={"s": st.sampled_from(["l", "r"]), "b": st.booleans()},
)


@pytest.mark.full
@given(st.lists(st.one_of(_good, _records), max_size=6))
@settings(max_examples=300)
def test_typed_and_exact_reading_agree(instances):
    """The typed decoder accepts nothing that the exact reader refuses, and both give the same columns."""
    reader = Records(MIXED)
    through_body = reader.read_json(json.dumps({"instances": instances}).encode())
    exact = reader.read(instances)

    assert found(through_body) == found(exact)
    assert through_body.columns.equals(exact.columns)
    assert np.array_equal(through_body.bad, exact.bad)


@given(st.lists(st.lists(st.floats(-12, 12), min_size=3, max_size=3), min_size=1, max_size=20))
def test_block_path_agrees_with_the_exact_reader(rows):
    """Rows of plain numbers, read as one block, get the same verdict and the same bits as one by one."""
    instances = [dict(zip("abc", row, strict=True)) for row in rows]
    reader = Records(NUMBERS)
    block = reader.read_json(json.dumps({"instances": instances}).encode())
    exact = reader.read(instances)

    assert found(block) == found(exact)
    assert block.columns.equals(exact.columns)
    good = [row for row in rows if all(-10 <= value <= 10 for value in row)]
    assert np.array_equal(block.columns.block(["a", "b", "c"], "float64"), np.array(good).reshape(-1, 3))


PLAIN = fields(
    {"name": "x", "dtype": "float32", "minimum": 0, "maximum": 0.1},
    {"name": "y", "dtype": "float32"},
    {"name": "n", "dtype": "int32", "minimum": -2},
    {"name": "u", "dtype": "uint64"},
    {"name": "v", "dtype": "float64", "shape": [2], "maximum": 3},
)
_edge = st.one_of(
    st.sampled_from([0, 0.0, 0.1, 0.1 + 1e-9, 1.0, -2, -3, 3, 2**31, 2**53 + 1, 2**64 - 1, 2**64, 3.4028235e38, 1e39]),
    st.sampled_from(["1", None, True, [1]]),
    st.floats(allow_nan=False, allow_infinity=False),
)


@pytest.mark.full
@given(
    st.fixed_dictionaries(
        {"x": _edge, "y": _edge, "n": _edge, "u": _edge, "v": st.lists(_edge, min_size=2, max_size=2)}
    )
)
@settings(max_examples=300)
def test_a_few_values_get_the_same_verdict_as_many(row):
    """One row has short ways of its own: codes, paths, sentences and bits are those that it has among others."""
    good = {"x": 0.05, "y": 1.5, "n": 1, "u": 2**60, "v": [1.5, 2]}
    parsed = loads(json.dumps(row).encode())
    many = Records(PLAIN).read([parsed, *[good] * 80])
    bodies = Records(PLAIN).read_json(json.dumps({"instances": [row]}).encode())

    def tensors(rows):
        def tensor(field):
            values = [r[field.name] for r in rows]
            flat = [value for cell in values for value in cell] if field.shape else values
            shape = (len(rows), *field.shape)
            return Tensor(field.name, field.dtype, shape, JsonText(json.dumps(flat).encode()))

        return Tensors(PLAIN).read([tensor(field) for field in PLAIN])

    for alone in (Records(PLAIN).read([parsed]), bodies):
        assert alone.violations == many.violations
        assert alone.bad[0] == many.bad[0]
        assert alone.columns.equals(many.columns.slice(0, alone.columns.rows))
    if [1] in (row["x"], row["y"], row["n"], row["u"], *row["v"]):
        # An array among flat values is another way to nest them.
        return
    alone, among = tensors([row]), tensors([row, *[good] * 80])
    assert alone.violations == among.violations == many.violations
    assert alone.columns.equals(among.columns.slice(0, alone.columns.rows))


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "x": st.floats(-1, 1),
                "n": st.one_of(st.none(), st.integers(-5, 40_000)),
                "s": st.sampled_from(["l", "r", "q"]),
                "v": st.lists(st.floats(-9, 9), min_size=2, max_size=2),
                "b": st.booleans(),
            }
        ),
        min_size=1,
        max_size=8,
    )
)
def test_records_tensors_arrow_and_text_agree(instances):
    """The same rows in four spellings get the same codes, paths and columns."""
    rows = len(instances)
    by_record = Records(MIXED).read(instances)
    tensors = [
        Tensor("x", "float64", (rows,), np.array([r["x"] for r in instances])),
        Tensor("n", "int32", (rows,), np.array([-1 if r["n"] is None else r["n"] for r in instances], np.int32)),
        Tensor("side", "bytes", (rows, 1), np.array([r["s"].encode() for r in instances], object)),
        Tensor("v", "float64", (rows, 2), JsonText(json.dumps([r["v"] for r in instances]).encode())),
        Tensor("b", "bool", (rows,), [r["b"] for r in instances]),
    ]
    by_tensor = Tensors(MIXED).read(tensors)
    batch = pa.RecordBatch.from_pylist(
        instances,
        schema=pa.schema(
            {"x": pa.float64(), "n": pa.int64(), "s": pa.string(), "v": pa.list_(pa.float64(), 2), "b": pa.bool_()}
        ),
    )
    by_arrow = Arrow(MIXED).read(batch)
    cells = [
        [json.dumps(r["x"]), None if r["n"] is None else str(r["n"]), r["s"], json.dumps(r["v"]), json.dumps(r["b"])]
        for r in instances
    ]
    by_text = Text(MIXED).read(["x", "n", "s", "v", "b"], cells)

    for other in (by_tensor, by_arrow, by_text):
        assert found(other) == found(by_record)
        assert other.columns.equals(by_record.columns)


@pytest.mark.parametrize("dtype", ["int8", "int64", "uint8", "uint64"])
def test_integer_edges_from_every_source(dtype):
    """The largest and smallest integers fit, one beyond does not, from JSON and from binary."""
    info = np.iinfo(dtype)
    reader = Records(fields({"name": "i", "dtype": dtype}))
    ok = reader.read([{"i": int(info.min)}, {"i": int(info.max)}])
    beyond = reader.read([{"i": int(info.min) - 1}, {"i": int(info.max) + 1}, {"i": 10**400}])

    assert ok.columns["i"].tolist() == [info.min, info.max]
    assert found(beyond) == [("out_of_range", f"inputs.i[{row}]") for row in range(3)]
    wide = Tensors(reader.fields).read([Tensor("i", "float64", (2,), np.array([float(info.max) + 1, -(2.0**70)]))])
    assert [code for code, _ in found(wide)] == ["out_of_range", "out_of_range"]


def test_floats_round_once_from_binary64():
    """A decimal goes to binary64 and then to the dtype, ties to even, whatever carries it."""
    text = "1.00000005960464488"  # above the float32 midpoint; its binary64 is the midpoint itself
    field = fields({"name": "x", "dtype": "float32"})
    by_json = Records(field).read_json(f'{{"instances": [{{"x": {text}}}]}}'.encode())
    by_tensor = Tensors(field).read([Tensor("x", "float64", (1,), np.array([float(text)]))])

    assert by_json.columns["x"].tobytes() == by_tensor.columns["x"].tobytes() == np.float32(np.float64(text)).tobytes()


def test_nan_is_null_only_where_nullable():
    """NaN in a binary tensor is null in a nullable float and not_finite elsewhere."""
    nan = np.array([1.0, math.nan, math.inf])
    plain = Tensors(fields({"name": "x", "dtype": "float64"})).read([Tensor("x", "float64", (3,), nan)])
    nullable = Tensors(fields({"name": "x", "dtype": "float64", "nullable": True})).read(
        [Tensor("x", "float64", (3,), nan)]
    )
    allowed = Tensors(fields({"name": "x", "dtype": "float64", "allow_nan": True})).read(
        [Tensor("x", "float64", (3,), nan)]
    )

    assert found(plain) == [("not_finite", "inputs.x[1]"), ("not_finite", "inputs.x[2]")]
    assert found(nullable) == [("not_finite", "inputs.x[2]")]
    assert nullable.columns.nulls("x").tolist() == [False, True]
    assert nullable.columns.to_records() == [{"x": 1.0}, {"x": None}]
    assert found(allowed) == []


def test_bytes_round_trip_and_bad_base64():
    """Bytes travel as base64 in JSON and raw in tensors."""
    field = fields({"name": "b", "dtype": "bytes", "maxLength": 3})
    raw = b"\x00\xff\x01"
    by_record = Records(field).read([{"b": base64.b64encode(raw).decode()}, {"b": "****"}, {"b": "AAAAAAA="}])

    assert by_record.columns["b"].tolist() == [raw]
    assert found(by_record) == [("wrong_type", "inputs.b[1]"), ("too_long", "inputs.b[2]")]
    assert by_record.columns.to_records() == [{"b": "AP8B"}]


def test_good_rows_survive_bad_ones():
    """A reading keeps the good rows in order and masks the bad ones."""
    reading = Records(NUMBERS).read([{"a": 1, "b": 1, "c": 1}, {"a": 11, "b": 1, "c": 1}, {"a": 2, "b": 2, "c": 2}])

    assert reading.bad.tolist() == [False, True, False]
    assert reading.columns["a"].tolist() == [1.0, 2.0]
    with pytest.raises(ContractError) as caught:
        reading.accept()
    assert caught.value.code == "out_of_range"


def test_tables_ignore_and_name_other_columns():
    """A table may carry columns outside the contract; they are named."""
    assert Arrow(NUMBERS).ignored(["a", "id", "b", "c"]) == ["id"]


def test_arrow_types_convert_by_value():
    """Dictionary, decimal, null and narrow columns read like the values they hold."""
    batch = pa.RecordBatch.from_arrays(
        [
            pa.array(["l", "r", "l"]).dictionary_encode(),
            pa.array([1, None, 300], pa.int64()),
            pa.array([0.05, 0.1, 0.0], pa.float32()),
            pa.array([None, None, None], pa.null()),
        ],
        names=["s", "n", "x", "v"],
    )

    reading = Arrow(MIXED).read(batch)

    assert found(reading) == []
    assert reading.columns["n"].tolist() == [1, -1, 300]
    assert reading.columns.nulls("v").all()
    assert reading.columns["b"].tolist() == [True] * 3


def test_arrow_refuses_other_families():
    """A text column never becomes a number."""
    batch = pa.RecordBatch.from_pydict({"a": ["1", "2"], "b": [True, False], "c": [1, 2]})

    assert found(Arrow(NUMBERS).read(batch)) == [
        ("wrong_type", "inputs.a[0]"),
        ("wrong_type", "inputs.a[1]"),
        ("wrong_type", "inputs.b[0]"),
        ("wrong_type", "inputs.b[1]"),
    ]


def arrow_found(array, **rules):
    """What the Arrow reader finds in one column under one field `v`; without findings, its values."""
    reading = Arrow(fields({"name": "v", **rules})).read(pa.RecordBatch.from_arrays([array], names=["v"]))
    return found(reading) or reading.columns["v"].tolist()


LISTS = [lambda kind: pa.list_(kind), lambda kind: pa.list_(kind, 2), lambda kind: pa.large_list(kind)]


@pytest.mark.parametrize("list_of", LISTS, ids=["list", "fixed", "large"])
def test_arrow_lists_follow_the_same_law(list_of):
    """A list column is checked like the scalars it holds, whichever list type carries it."""
    floats = pa.array([[1.5, math.inf], [math.nan, 2.0]], list_of(pa.float64()))

    assert arrow_found(floats, dtype="float32", shape=[2]) == [
        ("not_finite", "inputs.v[0][1]"),
        ("not_finite", "inputs.v[1][0]"),
    ]
    assert arrow_found(floats, dtype="int32", shape=[2]) == [
        ("wrong_type", "inputs.v[0][0]"),
        ("not_finite", "inputs.v[0][1]"),
        ("not_finite", "inputs.v[1][0]"),
    ]
    raw = pa.array([[b"\x00\xff", b""]], list_of(pa.binary()))
    assert arrow_found(raw, dtype="bytes", shape=[2]) == [[b"\x00\xff", b""]]
    assert arrow_found(raw, dtype="string", shape=[2]) == [("wrong_type", f"inputs.v[0][{i}]") for i in range(2)]
    exact = pa.array([[Decimal("1.00"), Decimal("2.00")]], list_of(pa.decimal128(9, 2)))
    assert arrow_found(exact, dtype="int8", shape=[2]) == [[1, 2]]


def test_arrow_lists_of_other_lengths_are_refused_by_row():
    """A row whose list is too long, or nested otherwise, is refused alone; nulls follow the field."""
    ragged = pa.array([[1, 2], [1, 2, 3], None, [None, 4]], pa.list_(pa.int64()))

    assert arrow_found(ragged, dtype="int32", shape=[2]) == [
        ("null_not_allowed", "inputs.v[2]"),
        ("null_not_allowed", "inputs.v[3][0]"),
        ("wrong_shape", "inputs.v[1]"),
    ]
    rules = {"dtype": "int32", "shape": [2], "nullable": True, "null_value": -1}
    assert arrow_found(ragged, **rules) == [("wrong_shape", "inputs.v[1]")]
    assert arrow_found(ragged.take([0, 2, 3]), **rules) == [[1, 2], [-1, -1], [-1, 4]]


def test_arrow_scalars_are_no_lists():
    """A scalar column under a shaped field has the wrong shape, or the wrong type where its family differs."""
    assert arrow_found(pa.array([b"a"]), dtype="bytes", shape=[2]) == [("wrong_shape", "inputs.v[0]")]
    assert arrow_found(pa.array(["a"]), dtype="int8", shape=[1]) == [("wrong_type", "inputs.v[0][0]")]
    assert arrow_found(pa.array([[1]]), dtype="int8", shape=[]) == [("wrong_type", "inputs.v[0]")]
    empty = pa.array([[None, None]], pa.list_(pa.null()))
    assert arrow_found(empty, dtype="int8", shape=[2], nullable=True, null_value=-1) == [[-1, -1]]


def test_text_rows_of_other_width_are_malformed():
    """A torn CSV row is refused as a whole; the others are read."""
    reading = Text(NUMBERS).read(["a", "b", "c"], [["1", "2", "3"], ["1", "2"], ["1e0", "+2", "03"]])

    assert found(reading) == [("malformed", "inputs[1]"), ("wrong_type", "inputs.b[2]"), ("wrong_type", "inputs.c[2]")]
    assert reading.columns.rows == 1


@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()),
        lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
        max_leaves=10,
    )
)
def test_exact_json_reads_what_json_writes(value):
    """The exact reader loses nothing of ordinary JSON."""
    assert loads(json.dumps(value).encode()) == value


def test_depth_is_counted_outside_strings():
    """Brackets in strings are not nesting; brackets outside are."""
    assert loads(b'["[[[[", "\\"[["]', max_depth=1) == ["[[[[", '"[[']
    with pytest.raises(ContractError) as caught:
        loads(b"[" * 100_000)
    assert caught.value.code == "too_large"


@given(st.binary(max_size=200))
def test_any_bytes_get_a_contract_error_or_a_reading(body):
    """No body, however broken, raises anything else."""
    with contextlib.suppress(ContractError):
        assert Records(MIXED).read_json(body).rows >= 0
