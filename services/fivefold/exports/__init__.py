"""One contract in other languages: schemas, types and a client, each a few files made from the contract alone.

`export` is the whole interface; a format is a module with `files(contract)`. Equal contracts give equal bytes:
nothing here reads a clock, an environment or a set's order. Where a format can express a rule of the contract, it
accepts and refuses the same values; where it cannot, the rule travels along as text. Drafting a contract from data is
`fivefold.exports.draft`; packing and serving are left to others.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fivefold.core.contract.contract import Contract

_MODULES = {
    "json-schema": "json_schema",
    "openapi": "openapi_schema",
    "proto": "proto_schema",
    "avro": "avro",
    "arrow": "arrow_schema",
    "typescript": "typescript",
    "python-client": "python_client",
}

FORMATS: tuple[str, ...] = tuple(_MODULES)
"""What `export` writes."""


def export(contract: Contract, to: str) -> dict[str, bytes]:
    """The contract as the files of one of `FORMATS`: file name to content.

    Raises ValueError for another format and ModuleNotFoundError where `arrow` needs pyarrow and there is none.
    """
    if to not in _MODULES:
        # Here: the command line reads `FORMATS`, and should not wait for numpy with every command.
        from fivefold.core.fields.suggestion import nearest

        raise ValueError(f"unknown format {to!r}: {nearest(to, FORMATS) or 'expected one of ' + ', '.join(FORMATS)}")
    # Each format is imported only when it is asked for: the Arrow one needs a library of its own.
    files: dict[str, bytes] = import_module(f"fivefold.exports.{_MODULES[to]}").files(contract)
    return files


__all__ = ["FORMATS", "export"]
