"""The option that reads a cell of CSV which was refused for how it is spelled, as pandas and others write it."""

from __future__ import annotations

from collections.abc import Mapping

from fivefold.core.errors import ContractError
from fivefold.core.fields.field import Field
from fivefold.exports.sample_cells import MISSING

_PAIRS = (("true", "false"), ("yes", "no"), ("y", "n"), ("t", "f"), ("1", "0"))


def hinted(error: ContractError, cells: Mapping[str, str | None], fields: Mapping[str, Field]) -> ContractError:
    """The error of a row, with a help line where an option would read the cell that it is about.

    `cells` are the row's by the header's names, `fields` the contract's by every name that a file may have them under.
    """
    if error.code != "wrong_type" or error.help:
        return error
    name = error.path.removeprefix("inputs.").partition("[")[0]
    for header, cell in cells.items():
        field = fields.get(header)
        if field is not None and field.name == name and cell is not None and (help := _option(field, cell)):
            return ContractError(error.code, error.message, path=error.path, help=help, details=error.details)
    return error


def _option(field: Field, cell: str) -> str | None:
    if field.kind == "bool":
        pair = next((pair for pair in _PAIRS if cell.lower() in pair), None)
        if pair is not None:
            style = str.upper if cell.isupper() and len(cell) > 1 else str.title if cell[:1].isupper() else str.lower
            return f"--booleans {','.join(map(style, pair))} reads these words"
    if cell.lower() in MISSING and field.kind in ("int", "float", "bool"):
        return f"--na {cell} reads it as null" + ("" if field.nullable else ", which the contract does not allow here")
    return None
