"""`fivefold contract`: show, draft, export, and the schema of contracts."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from fivefold.commands.selection import add_selection
from fivefold.commands.words import add, add_group, add_json, print_json
from fivefold.core.errors import ProtocolError


def _contract_export(arguments: argparse.Namespace) -> None:
    from fivefold.commands.places import contract_of
    from fivefold.exports import export

    files = export(contract_of(arguments.contract, arguments.version), arguments.to)
    if arguments.output is None:
        if len(files) > 1:
            message = f"{arguments.to} is several files: {', '.join(files)}"
            raise ProtocolError("not_acceptable", message, help="write them: --output DIR")
        for content in files.values():
            try:
                sys.stdout.write(content.decode())
            except UnicodeDecodeError as err:
                message = f"{arguments.to} is not text"
                raise ProtocolError("not_acceptable", message, help="write files: --output DIR") from err
        return
    directory = Path(arguments.output)
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(content)
        print(directory / name)


def _contract_schema(arguments: argparse.Namespace) -> None:
    from fivefold.exports import contract_file_schema

    if arguments.output is None:
        sys.stdout.write(contract_file_schema.text().decode())
        return
    Path(arguments.output).write_bytes(contract_file_schema.text())
    print(arguments.output)


def _contract_draft(arguments: argparse.Namespace) -> None:
    from fivefold.commands.selection import selected
    from fivefold.exports.draft import drafted

    outputs = arguments.answer or arguments.target
    if not outputs:
        raise ProtocolError(
            "not_acceptable", "a contract has outputs", help="name the column that holds the answers: --answer COLUMN"
        )
    found = drafted(arguments.data, arguments.name, outputs=outputs, version=arguments.version, **selected(arguments))
    for note in found.notes:
        print(f"note: {note}", file=sys.stderr)
    if arguments.output is None:
        sys.stdout.write(found.contract.to_bytes().decode())
        return
    Path(arguments.output).write_bytes(found.contract.to_bytes())
    print(f"drafted {arguments.output}: read it, correct ranges, units and descriptions")


def _contract_show(arguments: argparse.Namespace) -> None:
    from fivefold.commands.places import contract_of
    from fivefold.exports.naming import rules_cell

    found = contract_of(arguments.contract, arguments.version)
    if arguments.json:
        print_json(found.to_json())
        return
    print(f"{found.name}@{found.version}  sha256 {found.digest}")
    if found.description:
        print(found.description)
    for side, fields in (("inputs", found.inputs), ("outputs", found.outputs)):
        print(f"\n{side}")
        rows = [
            [
                f.name,
                f.dtype + (str(list(f.shape)) if f.shape else ""),
                rules_cell(f),
                f.unit or "",
                f.description or "",
            ]
            for f in fields
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        for row in rows:
            print(
                "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True) if width).rstrip()
            )
    for warning in found.warnings():
        print(f"warning: {warning}")


def add_contract(commands: Any) -> None:
    group = add_group(
        commands,
        "contract",
        "show, draft and translate contracts",
        "fivefold contract show bundles/demo",
        "fivefold contract export --help",
    )
    show = add(
        group,
        "show",
        _contract_show,
        "show a contract as a table",
        "fivefold contract show bundles/demo",
        "fivefold contract show contract.json --json",
        "fivefold contract show bundles/demo --version 1.0.0",
    )
    show.add_argument("contract", metavar="FILE|BUNDLE")
    _add_version(show)
    add_json(show)
    draft = add(
        group,
        "draft",
        _contract_draft,
        "draft a contract from data, for a person to edit",
        "fivefold contract draft train.parquet --name fraud --answer label --output contract.json",
        "fivefold contract draft train.csv --name fraud --target label --drop id,created --margin 0.1",
        "fivefold contract draft train.csv --name fraud --answer score --features amount,country",
    )
    draft.add_argument("data", metavar="DATA", help="a .parquet, .csv, .tsv, .json or .jsonl file")
    draft.add_argument("--name", required=True, help="the contract's name")
    draft.add_argument("--version", default="1.0.0", help="the contract's version (default: 1.0.0)")
    draft.add_argument(
        "--answer",
        metavar="COLUMN",
        action="append",
        default=[],
        help="a column that holds what the model answers; repeatable (default: the target)",
    )
    add_selection(draft)
    draft.add_argument("--output", metavar="FILE", help="default: standard output")
    schema = add(
        group,
        "schema",
        _contract_schema,
        "write the JSON Schema of contract.json, for editors",
        "fivefold contract schema --output contract.schema.json",
    )
    schema.add_argument("--output", metavar="FILE", help="default: standard output")
    export = add(
        group,
        "export",
        _contract_export,
        "write a contract in another language",
        "fivefold contract export bundles/demo --to typescript",
        "fivefold contract export contract.json --to json-schema --output generated",
    )
    export.add_argument("contract", metavar="FILE|BUNDLE")
    _add_version(export)
    from fivefold.exports import FORMATS

    export.add_argument("--to", choices=FORMATS, required=True)
    export.add_argument("--output", metavar="DIR", help="default: standard output")


def _add_version(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--version", metavar="VERSION", help="of a bundle that answers several (default: the model's own)"
    )
