"""Binding: inferred where there is one way, refused with the words to write where there is not."""

from __future__ import annotations

from typing import Any

import pytest

from fivefold.core.bundle.binding import InputBinding, OutputBinding
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import ContractInvalid
from fivefold.packing.bind import Bind, infer, normal
from fivefold.packing.graph import Port

X2 = Port("X", "float32", (None, 2))
LABEL = Port("label", "int64", (None,))
PROBABILITIES = Port("probabilities", "float32", (None, 3))


def contract(inputs: list[Any], outputs: list[Any]) -> Contract:
    """Fields as names (float64 scalars) or whole."""
    sides = [[{"name": f, "dtype": "float64"} if isinstance(f, str) else f for f in side] for side in (inputs, outputs)]
    return Contract.from_json({"format": 1, "name": "c", "version": "1.0.0", "inputs": sides[0], "outputs": sides[1]})


def field(name: str, dtype: str, *shape: int) -> dict[str, Any]:
    return {"name": name, "dtype": dtype, **({"shape": list(shape)} if shape else {})}


def refused(made: Contract, inputs: list[Port], outputs: list[Port], *said: str) -> ContractInvalid:
    with pytest.raises(ContractInvalid) as caught:
        infer(made, inputs, outputs, Bind.parse(said, made))
    return caught.value


def test_scalar_fields_stack_into_the_only_input() -> None:
    """Thirty scalars and one [rows, 30] input need no words."""
    binding = infer(contract(["a", "b"], [field("y", "int64")]), [X2], [LABEL], Bind())

    assert binding.inputs == (InputBinding("X", ("a", "b"), "float32", stack=True),)
    assert binding.outputs == (OutputBinding("y", "label"),)


def test_inputs_bind_by_name_however_it_is_spelled() -> None:
    """`mean radius` is `mean_radius`; aliases count; the model's order is kept."""
    made = contract([{**field("b", "float64"), "aliases": ["beta"]}, "mean_radius"], [field("y", "int64")])
    ports = [Port("Mean radius", "float32", (None, 1)), Port("beta", "float32", (None,))]

    binding = infer(made, ports, [LABEL], Bind())

    assert [item.fields for item in binding.inputs] == [("mean_radius",), ("b",)]
    assert normal("Mean radius ") == "mean_radius"


def test_a_shaped_field_feeds_the_input_of_its_shape() -> None:
    """An image goes in as it is."""
    made = contract([field("image", "float32", 8, 8)], [field("y", "int64")])

    binding = infer(made, [Port("x", "float32", (None, 8, 8))], [LABEL], Bind())

    assert binding.inputs == (InputBinding("x", ("image",), "float32"),)


def test_outputs_bind_by_family_and_shape() -> None:
    """A label and probabilities find their fields whatever these are called."""
    made = contract(["a", "b"], [field("chance", "float32", 3), field("class", "int64")])

    binding = infer(made, [X2], [LABEL, PROBABILITIES], Bind())

    assert binding.outputs == (OutputBinding("chance", "probabilities"), OutputBinding("class", "label"))


def test_a_regressor_of_one_column_answers_a_scalar() -> None:
    """[rows, 1] is one number a row."""
    binding = infer(contract(["a", "b"], ["y"]), [X2], [Port("variable", "float32", (None, 1))], Bind())

    assert binding.outputs == (OutputBinding("y", "variable", 0),)


def test_columns_of_the_only_output_answer_scalars_in_order() -> None:
    """Two targets, two fields."""
    binding = infer(contract(["a", "b"], ["y", "z"]), [X2], [Port("variable", "float32", (None, 2))], Bind())

    assert [item.column for item in binding.outputs] == [0, 1]


def test_words_decide_what_cannot_be_inferred() -> None:
    """--bind gives the order of the fields and picks a column."""
    made = contract(["a", "b"], [field("p", "float32")])
    said = Bind.parse(["X=b, a", "p=probabilities[2]"], made)

    binding = infer(made, [X2], [LABEL, PROBABILITIES], said)

    assert binding.inputs[0].fields == ("b", "a")
    assert binding.outputs == (OutputBinding("p", "probabilities", 2),)


@pytest.mark.parametrize(
    ("inputs", "outputs", "ports", "path", "help"),
    [
        (["a", "b", "c"], [field("y", "int64")], [X2], "inputs", "--bind X=FIELD"),
        (
            ["a"],
            [field("y", "int64")],
            [Port("u", "float32", (None,)), Port("v", "float32", (None,))],
            "inputs",
            "--bind u=a",
        ),
        ([field("a", "float64", 3)], [field("y", "int64")], [X2], "inputs", '"shape": [2]'),
        (["a", "b"], [field("y", "int64")], [Port("X", "float32", (1, 2))], "inputs", "dynamic first axis"),
        (["a", "b"], [field("p", "float32")], [X2], "outputs.p", "--bind p=probabilities[COLUMN]"),
        (["a", "b"], [field("p", "float32", 2)], [X2], "outputs.p", '"shape": [3]'),
        (["a", "b"], [field("p", "string")], [X2], "outputs.p", '"dtype": "int64"'),
        (["a", "b"], [field("p", "int64"), field("q", "int64")], [X2], "outputs.p", "--bind p=label"),
    ],
)
def test_what_is_ambiguous_says_what_to_write(
    inputs: list[Any], outputs: list[Any], ports: list[Port], path: str, help: str
) -> None:
    """The error points at the field and its help line can be pasted."""
    error = refused(contract(inputs, outputs), ports, [LABEL, PROBABILITIES])

    assert error.path == path
    assert help in (error.help or "")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("nonsense", "is not a binding"),
        ("X=", "is not a binding"),
        ("X=a,zz", "no input field 'zz'"),
        ("Q=a", "neither an input"),
        ("y=labell", "no output 'labell'"),
    ],
)
def test_words_that_name_nothing_are_refused(said: str, message: str) -> None:
    """A misspelt binding never falls back to guessing."""
    made = contract(["a", "b"], [field("y", "int64")])

    assert message in str(refused(made, [X2], [LABEL], said))


def test_a_sequence_of_maps_is_not_a_tensor() -> None:
    """An output that is no tensor is named in what the model gives."""
    error = refused(contract(["a", "b"], [field("p", "float32", 2)]), [X2], [LABEL, Port("maps", "sequence", None)])

    assert "maps: sequence" in str(error)
