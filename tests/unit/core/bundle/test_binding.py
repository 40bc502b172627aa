"""A binding feeds every field once and loses no value on the way."""

import pytest
from tests.support.bundles import contract, field

from fivefold.core.bundle.binding import Binding, InputBinding, OutputBinding, check, lossy
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import BundleInvalid

CONTRACT = contract(
    [field("a"), field("b"), field("n", "int64"), field("site", "string"), field("image", shape=[2, 2])],
    [field("p"), field("v", shape=[2]), field("raw", "bytes")],
)


def one(name, dtype="float32", model_input=None):
    return InputBinding(model_input or name, (name,), dtype)


INPUTS = (InputBinding("X", ("a", "b"), "float32", stack=True), one("n", "int64"), one("site", "string"), one("image"))

WRONG_INPUTS = {
    "a field that is unknown": ((*INPUTS, one("c")), r"inputs\[4\]\.fields\[0\]: .*no input field 'c'"),
    "a field of the outputs": ((*INPUTS, one("p")), r"no input field 'p'"),
    "a field twice": ((*INPUTS, one("a")), r"inputs\[4\]\.fields\[0\]: .*already bound by binding.inputs\[0\]"),
    "a field twice in one": ((InputBinding("X", ("a", "a"), "float32", stack=True),), r"fields\[1\]: .*already bound"),
    "an input twice": ((*INPUTS[:3], one("image", model_input="X")), r"inputs\[3\]\.model_input: .*fed twice"),
    "a field left out": (INPUTS[:3], "'image' feeds no input"),
    "no inputs": ((), "'a' feeds no input"),
    "no fields": ((InputBinding("X", (), "float32"),), r"fields: expected one field, got 0"),
    "no fields to stack": ((InputBinding("X", (), "float32", stack=True),), "got 0"),
    "several without stack": ((InputBinding("X", ("a", "b"), "float32"),), "expected one field, got 2"),
    "a stack of arrays": ((InputBinding("X", ("a", "image"), "float32", stack=True),), r"'image' has shape \[2, 2\]"),
    "an unknown dtype": ((InputBinding("X", ("a", "b"), "float", stack=True),), "'float' is not an element type"),
    "a wire name": ((InputBinding("X", ("a", "b"), "FP32", stack=True),), "'FP32' is not"),
    "bytes": ((InputBinding("X", ("a", "b"), "bytes", stack=True),), "'bytes' is not"),
    "text into numbers": ((*INPUTS[:2], one("site", "float32"), INPUTS[3]), "string and does not convert to float32"),
    "numbers into text": ((*INPUTS[:1], one("n", "string"), *INPUTS[2:]), "int64 and does not convert to string"),
    "text in a stack of numbers": (
        (InputBinding("X", ("a", "site"), "float32", stack=True),),
        r"inputs\[0\]\.fields\[1\]: .*string",
    ),
    "a float cut to an integer": ((InputBinding("X", ("a", "b"), "int64", stack=True),), "float32 and does not"),
    "an integer that wraps": (
        (INPUTS[0], one("n", "int32"), *INPUTS[2:]),
        "set minimum and maximum inside -2147483648",
    ),
}


@pytest.mark.parametrize("case", WRONG_INPUTS)
def test_wrong_inputs_are_refused_with_their_place(case):
    """Each says where in bundle.json."""
    inputs, message = WRONG_INPUTS[case]

    with pytest.raises(BundleInvalid, match=message) as caught:
        check(Binding(inputs, ()), CONTRACT)

    assert caught.value.path == "bundle.json"


WRONG_OUTPUTS = {
    "a field that is unknown": ((OutputBinding("q", "p"),), r"outputs\[0\]\.field: .*no output field 'q'"),
    "a field of the inputs": ((OutputBinding("a", "p"),), "no output field 'a'"),
    "a field twice": ((OutputBinding("p", "p"), OutputBinding("p", "q")), r"outputs\[1\]\.field: .*answered twice"),
    "a field left out": ((OutputBinding("p", "p"),), "no output of the model answers .*'v'"),
    "a column of an array": ((OutputBinding("v", "v", 0),), r"outputs\[0\]\.column: .*shape \[2\]"),
    "bytes": ((OutputBinding("raw", "raw"),), "'raw' is bytes"),
}


@pytest.mark.parametrize("case", WRONG_OUTPUTS)
def test_wrong_outputs_are_refused_with_their_place(case):
    """Each says where in bundle.json."""
    outputs, message = WRONG_OUTPUTS[case]

    with pytest.raises(BundleInvalid, match=message) as caught:
        check(Binding(INPUTS, outputs), CONTRACT)

    assert caught.value.path == "bundle.json"


def test_the_error_helps_with_a_misspelt_name():
    """The nearest known name is offered."""
    with pytest.raises(BundleInvalid) as caught:
        check(Binding((one("imaeg"),), ()), CONTRACT)

    assert caught.value.help == "did you mean 'image'?"


@pytest.mark.parametrize(
    ("rules", "dtype", "whole"),
    [
        ({"dtype": "float64"}, "float32", True),
        ({"dtype": "float32"}, "float64", True),
        ({"dtype": "float32"}, "int32", False),
        ({"dtype": "float32"}, "bool", False),
        ({"dtype": "bool"}, "bool", True),
        ({"dtype": "bool"}, "float32", True),
        ({"dtype": "bool"}, "int64", True),
        ({"dtype": "bool"}, "string", False),
        ({"dtype": "int64"}, "float32", True),
        ({"dtype": "int64"}, "bool", False),
        ({"dtype": "int32"}, "int64", True),
        ({"dtype": "uint32"}, "int64", True),
        ({"dtype": "uint64"}, "int64", False),
        ({"dtype": "int8"}, "uint8", False),
        ({"dtype": "int64", "minimum": 0, "maximum": 255}, "uint8", True),
        ({"dtype": "int64", "minimum": 0, "maximum": 256}, "uint8", False),
        ({"dtype": "int64", "minimum": -1, "maximum": 255}, "uint8", False),
        ({"dtype": "int64", "maximum": 255}, "uint8", False),
        ({"dtype": "int64", "enum": [1, 2, 3]}, "int8", True),
        ({"dtype": "int64", "enum": [1, 2, 300]}, "int8", False),
        ({"dtype": "int64", "minimum": 0, "maximum": 9, "nullable": True, "null_value": -1}, "int8", True),
        ({"dtype": "int64", "minimum": 0, "maximum": 9, "nullable": True, "null_value": -1}, "uint8", False),
        ({"dtype": "string"}, "string", True),
        ({"dtype": "string"}, "float32", False),
        ({"dtype": "bytes"}, "string", False),
        ({"dtype": "bytes"}, "bytes", False),
    ],
)
def test_a_conversion_that_loses_values_is_known(rules, dtype, whole):
    """Rounding a float is how models are trained; wrapping, cutting and parsing are not."""
    made = Contract.from_json(
        {"format": 1, "name": "c", "version": "1", "inputs": [{"name": "x", **rules}], "outputs": [field("y")]}
    )

    assert (lossy(made.inputs[0], dtype) is None) is whole
