"""A cell that pandas would have written is refused with the option that reads it."""

from __future__ import annotations

import pytest
from tests.support.bundles import contract, field

from fivefold.batch.formats.dialect_hints import hinted
from fivefold.core.errors import ContractError
from fivefold.core.fields.field import Field


def error(code: str = "wrong_type", path: str = "inputs.a[0]", help: str | None = None) -> ContractError:
    return ContractError(code, "expected another", path=path, help=help)


def fields(**rules: object) -> dict[str, Field]:
    made = contract([field("a", **rules)], [field("y")]).inputs[0]
    return {"a": made, "first": made}


@pytest.mark.parametrize(
    ("rules", "cell", "help"),
    [
        ({"dtype": "bool"}, "False", "--booleans True,False reads these words"),
        ({"dtype": "bool"}, "TRUE", "--booleans TRUE,FALSE reads these words"),
        ({"dtype": "bool"}, "no", "--booleans yes,no reads these words"),
        ({"dtype": "bool"}, "Y", "--booleans Y,N reads these words"),
        ({"dtype": "bool"}, "maybe", None),
        ({"dtype": "float64", "nullable": True}, "NA", "--na NA reads it as null"),
        ({"dtype": "float64"}, "NaN", "--na NaN reads it as null, which the contract does not allow here"),
        ({"dtype": "float64"}, "1,5", None),
        ({"dtype": "float64"}, None, None),
    ],
)
@pytest.mark.parametrize("header", ["a", "first"])
def test_the_option_that_would_read_the_cell(
    rules: dict[str, object], cell: str | None, help: str | None, header: str
) -> None:
    """By the field's type and the word; under an alias too."""
    got = hinted(error(), {header: cell, "other": "True"}, fields(**rules))

    assert (got.help, got.code, got.path) == (help, "wrong_type", "inputs.a[0]")


def test_other_errors_stay_as_they_are() -> None:
    """What has a help line already, or is about something else."""
    known = fields(dtype="bool")
    for given in (error(help="x"), error("null_not_allowed"), error(path="inputs.b[0]")):
        assert hinted(given, {"a": "True"}, known) is given
