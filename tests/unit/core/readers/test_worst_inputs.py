"""What a reader costs: the worst input beside a valid one of the same size, in calls, in time and in memory."""

import contextlib
import json
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings, target
from hypothesis import strategies as st

from fivefold.core.contract.contract import Contract
from fivefold.core.errors import ContractError, FivefoldError, Interrupted
from fivefold.core.fields.suggestion import nearest
from fivefold.core.readers.arrow import Arrow
from fivefold.core.readers.exact_json import loads
from fivefold.core.readers.lines import Lines
from fivefold.core.readers.records import Records
from fivefold.core.readers.tensors import JsonText, Tensor, Tensors
from fivefold.core.readers.text import Text

SIZE = 60_000
ROWS = 100_000

Read = Callable[[], Any]


def inputs(*fields: dict[str, Any]) -> Any:
    """Input fields from their JSON."""
    outputs = [{"name": "y", "dtype": "float32"}]
    return Contract.from_json(
        {"format": 1, "name": "t", "version": "1", "inputs": list(fields), "outputs": outputs}
    ).inputs


ONE = inputs({"name": "x", "dtype": "float64"})
INTEGER = inputs({"name": "x", "dtype": "int64"})
THIRTY = inputs(*({"name": f"mean_radius_{i}", "dtype": "float64"} for i in range(30)))
THOUSAND = inputs(*({"name": f"mean_radius_{i}", "dtype": "float64"} for i in range(1000)))
CHOICE = inputs({"name": "x", "dtype": "string", "enum": [f"value_{i:03d}" for i in range(200)]})
IMAGE = inputs({"name": "x", "dtype": "float64", "shape": [28, 28]})
TEXT = inputs({"name": "x", "dtype": "string", "pattern": "^(a|b){1,8}c$", "maxLength": 9})


def body(unit: str, size: int = SIZE) -> bytes:
    """A V1 body of about `size` bytes: one instance again and again."""
    return f'{{"instances":[{",".join([unit] * max(1, size // (len(unit) + 1)))}]}}'.encode()


def record(fields: Any) -> str:
    return json.dumps({field.name: 1.5 for field in fields}, separators=(",", ":"))


def names(count: int, name: str = "mean_radius_{}x") -> str:
    return "{" + ",".join(f'"{name.format(i)}":1' for i in range(count)) + "}"


def records(fields: Any, text: bytes) -> Read:
    return lambda: Records(fields).read_json(text, max_rows=ROWS)


def tensor(fields: Any, shape: tuple[int, ...], data: Any) -> Read:
    data = JsonText(data.encode()) if isinstance(data, str) else data
    return lambda: Tensors(fields).read([Tensor("x", "float64", shape, data)], max_rows=ROWS)


def array(item: str, count: int) -> str:
    return f"[{','.join([item] * count)}]"


def lines(fields: Any, line: str, count: int) -> Read:
    text = f"{line}\n".encode() * count
    width = len(line) + 1
    return lambda: Lines(fields).read(text, [(at * width, at * width + width - 1) for at in range(count)])


def cells(fields: Any, rows: list[list[str | None]]) -> Read:
    return lambda: Text(fields).read([field.name for field in fields], rows)


def tensors(fields: Any, name: str, count: int) -> Read:
    one = np.ones(1)
    return lambda: Tensors(fields).read([Tensor(name.format(i), "float64", (1,), one) for i in range(count)])


def table(fields: Any, rows: int, value: Any) -> Read:
    batch = pa.record_batch({field.name: [value] * rows for field in fields})
    return lambda: Arrow(fields).read(batch)


WORST: dict[str, Read] = {
    "names that nearly fit": records(THIRTY, f'{{"instances":[{names(SIZE // 21)}]}}'.encode()),
    "names that nearly fit one of a thousand": records(THOUSAND, f'{{"instances":[{names(SIZE // 21)}]}}'.encode()),
    "long names that nearly fit": records(
        THOUSAND, f'{{"instances":[{names(SIZE // 140, "mean_radius_" * 10 + "{}")}]}}'.encode()
    ),
    "other names in every row": records(
        THIRTY, f'{{"instances":[{",".join(names(1, f"x{i}") for i in range(SIZE // 11))}]}}'.encode()
    ),
    "empty arrays": records(THIRTY, body("[]")),
    "empty objects": records(THIRTY, body("{}")),
    "empty arrays for a thousand fields": records(THOUSAND, body("[]")),
    "empty objects for a thousand fields": records(THOUSAND, body("{}")),
    "empty arrays for images": records(IMAGE, body("[]")),
    "text for numbers": records(ONE, body('""')),
    "nulls": records(ONE, body("null")),
    "positional text": records(THIRTY, body(array('""', 30))),
    "text outside of the enumeration": records(CHOICE, body('{"x":"valu"}')),
    "long text outside of the enumeration": records(CHOICE, body(f'{{"x":"{"value_" * 500}"}}')),
    "text against a pattern": records(TEXT, body('{"x":"ababab"}')),
    "a number of many digits": records(ONE, body("9" * (SIZE - 20))),
    "an integer with many noughts": records(INTEGER, body("9007199254740993." + "0" * (SIZE - 40))),
    "numbers of many digits": records(ONE, body("9" * 399)),
    "large exponents": records(INTEGER, body("1e308")),
    "small exponents": records(ONE, body("1e-999999999")),
    "an exponent of many digits": records(ONE, body("1e" + "9" * (SIZE - 20))),
    "a long string": records(ONE, body('"' + "a" * (SIZE - 20) + '"')),
    "escapes": records(ONE, body('"' + "\\\\" * (SIZE // 2 - 20) + '"')),
    "surrogates": records(CHOICE, body('{"x":"\\ud800"}')),
    "deep nesting": records(ONE, b'{"instances":' + b"[" * SIZE),
    "one name again and again": records(
        THIRTY, b'{"instances":[{' + b'"mean_radius_1":1,' * (SIZE // 18) + b'"x":1}]}'
    ),
    "members beside the instances": records(THIRTY, names(SIZE // 14, "instance{}").encode()),
    "tensor: empty arrays": tensor(IMAGE, (SIZE // 3 // 784, 28, 28), array("[]", SIZE // 3 // 784 * 784)),
    "tensor: text": tensor(IMAGE, (SIZE // 3 // 784, 28, 28), array('""', SIZE // 3 // 784 * 784)),
    "tensor: a shape of many dimensions": tensor(IMAGE, (2,) * 30_000, "[1]"),
    "tensor: a shape of many ones": tensor(ONE, (1,) * 30_000, "[1]"),
    "tensor: a shape of many large sizes": tensor(ONE, (1, *[2**52] * 10_000), np.ones(1)),
    "tensor: rows that are not there": tensor(IMAGE, (ROWS, 28, 28), "[]"),
    "tensors that nearly fit": tensors(THIRTY, "mean_radius_{}x", SIZE // 60),
    "one tensor again and again": tensors(THIRTY, "mean_radius_1", SIZE // 60),
    "cells: text for numbers": cells(THIRTY, [["x"] * 30 for _ in range(SIZE // 60)]),
    "cells: rows too short": cells(THIRTY, [[] for _ in range(SIZE // 30)]),
    "cells: a number of many digits": cells(INTEGER, [["9" * SIZE]]),
    "cells: many digits each": cells(INTEGER, [["9" * 400]] * (SIZE // 400)),
    "table: null everywhere": table(THIRTY, SIZE // 60, None),
    "table: text for numbers": table(THIRTY, SIZE // 60, "x"),
}


def answered(read: Read) -> None:
    """Read; what is refused is refused in few and short words."""
    try:
        reading = read()
        reading.accept()
    except FivefoldError as error:
        told = error.to_json()
        assert len(json.dumps(told)) < 16 * 1024
        assert len(told["error"]) < 1024


class Calls:
    """How many functions are called in a `with` block, Python's and C's."""

    count = 0

    def __enter__(self) -> "Calls":
        sys.setprofile(self._seen)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _seen(self, _frame: object, event: str, _arg: object) -> None:
        self.count += event in ("call", "c_call")


def seconds(read: Read) -> float:
    """This thread's own time, the best of three."""
    best = float("inf")
    for _ in range(3):
        start = time.thread_time()
        answered(read)
        best = min(best, time.thread_time() - start)
    return best


@pytest.fixture(scope="module")
def plain() -> float:
    """The time of reading a valid body of the same size exactly: positional records."""
    read = records(THIRTY, body(array("1.5", 30)))
    best = float("inf")
    for _ in range(5):
        start = time.thread_time()
        read().accept()
        best = min(best, time.thread_time() - start)
    return best


@pytest.mark.parametrize("name", WORST)
def test_the_worst_input_costs_a_small_multiple_of_a_valid_one(name: str, plain: float) -> None:
    """Neither calls without end nor, in C, time without end; the error stays short."""
    read = WORST[name]

    with Calls() as calls:
        answered(read)

    assert calls.count < 100_000 + 4 * SIZE
    assert seconds(read) < 40 * plain + 0.05


@pytest.mark.parametrize("line", ["{}", "[", '{"mean_radius_1x":1}', "[]", '""'])
def test_a_line_that_is_refused_costs_a_bounded_number_of_calls(line: str) -> None:
    """Each refused line has an error of its own, so lines are counted, not bytes."""
    read = lines(THIRTY, line, 200)
    with Calls() as calls:
        found = read()

    assert len(found.refused) == 200
    assert calls.count < 200 * 1500
    assert all(error.__traceback__ is None for _, error in found.refused)


def test_a_shape_beyond_every_count_is_malformed() -> None:
    """The product of a shape is not worked out where nothing can be that large, and the shape is not shown whole."""
    (violation,) = tensor(ONE, (1, *[2**52] * 10_000), np.ones(1))().violations

    assert (violation.code, violation.path) == ("malformed", "inputs.x")
    assert violation.message.startswith("expected more than 2^62 elements for shape [1, 4503599627370496,")
    assert "(10001 dimensions)" in violation.message


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["mean_radius_1", "mean_radius", "x", "aaaa", "", "\ud800", "_1"]), max_size=40))
def test_a_suggestion_has_a_bounded_cost(parts: list[str]) -> None:
    """Whatever the name, a thousand known ones are compared with few calls."""
    known = [field.name for field in THOUSAND]
    nearest("warm", known)
    with Calls() as calls:
        nearest("".join(parts), known)

    target(float(calls.count))
    assert calls.count < 20_000


@given(st.sampled_from([field.name for field in THIRTY]), st.integers(0, 14), st.sampled_from(["x", "_", "é", ""]))
def test_a_slip_of_the_pen_is_recognised(name: str, at: int, slip: str) -> None:
    """One letter too many, or one left out, and a name that is known is suggested."""
    wrong = name[:at] + slip + name[at + (not slip) :]
    known = [field.name for field in THIRTY]

    suggested = nearest(wrong, known)

    assert suggested is not None
    if wrong in known:
        assert suggested == f"did you mean {wrong!r}?"


_VALUES = st.sampled_from(
    ["0", "1.5", '""', "null", "[]", "{}", "1e999", "[[]]", '{"":0}', "true", "9" * 30, '"\\ud800"']
)
_RECORDS = st.one_of(
    _VALUES,
    st.lists(_VALUES, max_size=4).map(lambda items: f"[{','.join(items)}]"),
    st.dictionaries(st.sampled_from(["x", "mean_radius_1", "mean_radius_1x", "", "é"]), _VALUES, max_size=4).map(
        lambda items: "{" + ",".join(f"{json.dumps(key)}:{value}" for key, value in items.items()) + "}"
    ),
)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([ONE, INTEGER, THIRTY, CHOICE, IMAGE, TEXT]), st.lists(_RECORDS, min_size=1, max_size=6))
def test_no_mixture_of_records_makes_more_calls_than_its_bytes_allow(fields: Any, units: list[str]) -> None:
    """A search for the record that costs most a byte."""
    text = body(",".join(units), 8_000)
    reader = Records(fields)

    with Calls() as calls, contextlib.suppress(ContractError):
        reader.read_json(text, max_rows=ROWS)

    target(calls.count / len(text))
    assert calls.count < 30_000 + 12 * len(text)


class Late:
    """Somebody who waits no longer after a few looks."""

    def __init__(self, looks: int) -> None:
        self.left = looks

    def begin(self, seconds: float, /) -> None:
        assert seconds > 0

    def look(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Interrupted("deadline_exceeded", "the time for this request is up")


def test_a_long_reading_looks_whether_anybody_waits() -> None:
    """Between some rows and between columns; what it raises ends the reading."""
    text = body(array('""', 30), 400_000)
    patient, late = Late(1_000_000), Late(1)

    Records(THIRTY).read_json(text, watch=patient)
    with pytest.raises(Interrupted, match="is up"):
        Records(THIRTY).read_json(text, watch=late)

    assert patient.left < 1_000_000 - 30


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        (b'{"instances":[' + b"[]," * 200_000 + b"[]]}", {"max_rows": 100_000}),
        (b'{"inst\\u0061nces":[' + b"[]," * 200_000 + b"[]]}", {"max_rows": 100_000}),
        (b'{"instances":[[' + b"[]," * 200_000 + b"[]]]}", {"max_rows": 100_000, "per_row": 1}),
        (b'{"inputs":[' + b"{}," * 200_000 + b"{}]}", {}),
        (b'{"parameters":{"\\"[":[' + b'{"a":[0]},' * 200_000 + b"0]}}", {}),
    ],
)
def test_json_of_many_small_containers_is_refused_before_it_is_parsed(text: bytes, limits: dict[str, int]) -> None:
    """An empty array takes thirty times the bytes that spell it: counting them takes a fraction of the text's own."""
    tracemalloc.start()
    with pytest.raises(ContractError) as refusal:
        loads(text, **limits)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert refusal.value.code == "too_large"
    assert peak < 4 * len(text) + 4_000_000


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (ONE, body('{"y":1.5}', 900_000)),
        (IMAGE, body(array(array("1", 28), 28), 600_000)),
        (THIRTY, body(array("2", 30), 600_000)),
    ],
)
def test_as_many_containers_as_the_contract_gives_a_reason_for_are_read(fields: Any, text: bytes) -> None:
    """The bound is the contract's own: rows, and the arrays that spell a shape."""
    if fields is ONE:
        fields = inputs({"name": "x", "dtype": "float64", "aliases": ["y"]})

    assert Records(fields).read_json(text, max_rows=ROWS).accept().rows > 0


MEMORY = """
import json, resource, sys
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import ContractError
from fivefold.core.readers.records import Records
from fivefold.core.readers.tensors import JsonText, Tensor, Tensors
fields = Contract.from_json({"format": 1, "name": "t", "version": "1", "outputs": [{"name": "y", "dtype": "float32"}],
    "inputs": [{"name": "x", "dtype": "float64", "shape": [30]}]}).inputs
reader, way, size = Records(fields), sys.argv[1], 12_000_000
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
unit = sys.argv[2]
data = ",".join([unit] * (size // (len(unit) + 1)))
if way == "records":
    text = ('{"instances":[' + data + "]}").encode()
    read = lambda: reader.read_json(text, max_rows=100_000).accept()
else:
    text = ("[" + data + "]").encode()
    read = lambda: Tensors(fields).read([Tensor("x", "float64", (size // 90, 30), JsonText(text))]).accept()
del data
before = peak()
try:
    read()
except ContractError as error:
    assert error.code in ("too_large", "malformed", "wrong_shape"), error.code
print((peak() - before) / len(text))
"""


@pytest.mark.parametrize("way", ["records", "tensors"])
def test_a_body_of_empty_arrays_is_refused_within_a_small_multiple_of_its_bytes(way: str) -> None:
    """12 MB of `[],` in a process of its own: its peak grows by less than five times as much."""
    out = subprocess.run(
        [sys.executable, "-c", MEMORY, way, "[]"], capture_output=True, text=True, check=True, timeout=60
    )

    assert float(out.stdout) < 5
