"""Writes docs/contract.md: every keyword of a contract with an example that was run while it was written.

    python -m fivefold.exports.contract_page [FILE]

`make generate` writes it, `make check` holds it against the code.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from fivefold.core.contract.contract import Contract
from fivefold.core.errors import ContractInvalid
from fivefold.core.readers.records import Records
from fivefold.exports.contract_keywords import ABSENT, OF_A_CONTRACT, OF_A_FIELD, ContractKeyword

PAGE: Final = "docs/contract.md"

_CONTRACT: Final[dict[str, Any]] = {
    "format": 1,
    "name": "churn",
    "version": "1.0.0",
    "inputs": [
        {"name": "age", "dtype": "int16", "minimum": 0, "maximum": 120, "unit": "years"},
        {"name": "plan", "dtype": "string", "enum": ["free", "team"], "default": "free"},
    ],
    "outputs": [{"name": "risk", "dtype": "float32", "minimum": 0, "maximum": 1}],
}

_HEAD = """\
# The contract, keyword by keyword

Written by `python -m fivefold.exports.contract_page`; every example was run.

`contract.json` says what a row may be and what an answer is. The same value is accepted or refused, with the same code
and path, whether it comes as JSON, protobuf, a tensor, a cell of a file, an event or a form in the browser. A file of
two inputs and one output:

```json
{contract}
```

Keywords that JSON Schema has keep its names and its meaning. A contract that cannot be enforced everywhere alike is
refused before anything is packed, with the path of what is wrong. `fivefold contract draft` writes one from data
([drafts.md](drafts.md)), `fivefold contract show` prints one as a table, `fivefold contract export` translates it.

Editors complete and check a contract by its JSON Schema, [contract.schema.json](contract.schema.json), which
`fivefold contract schema` prints too. In Visual Studio Code, for all files of that name:

```json
{{"json.schemas": [{{"fileMatch": ["contract.json"], "url": "./contract.schema.json"}}]}}
```

What the schema refuses fivefold refuses; a few rules, such as that a default is a legal value, only fivefold knows.

## Of the contract
"""

_FIELD = """
## Of a field

Below each field is what happens to rows that have the value for it, and then a field that is refused.
"""


def page() -> str:
    """The page as Markdown."""
    lines = [_HEAD.format(contract=json.dumps(_CONTRACT, indent=2))]
    for each in OF_A_CONTRACT:
        lines += [
            f"### `{each.name}` of a contract",
            "",
            each.says,
            "",
            *_refused(each, _CONTRACT | (each.wrong or {})),
            "",
        ]
    lines.append(_FIELD)
    for each in OF_A_FIELD:
        lines += [f"### `{each.name}`", "", each.says, "", *_shown(each), ""]
    return "\n".join(lines).rstrip() + "\n"


def _shown(keyword: ContractKeyword) -> Iterator[str]:
    assert keyword.field is not None  # of a field
    fields = Contract.from_json(_with(keyword.field, keyword.side))
    yield from ("```json", _json(keyword.field), "```", "")
    if keyword.rows:
        reader, name = Records(fields.inputs), keyword.field["name"]
        yield "```text"
        for row in keyword.rows:
            yield _answer(reader, row if isinstance(row, dict) else {} if row is ABSENT else {name: row})
        yield from ("```", "")
    yield from _refused(keyword, _with(keyword.wrong or {}, keyword.side))


def _with(field: dict[str, Any], side: str) -> dict[str, Any]:
    return _CONTRACT | {side: [field]}


def _answer(reader: Records, record: dict[str, Any]) -> str:
    reading = reader.read([record])
    shown = _json(record)
    if not reading.violations:
        read = _json(reading.columns.to_records()[0])
        return f"{shown} is accepted" + ("" if read == shown else f", and is {read}")
    found = reading.violations[0]
    return f"{shown} is refused: {found.code} at {found.path}: {found.message}" + (
        f" ({found.help})" if found.help else ""
    )


def _refused(keyword: ContractKeyword, contract: dict[str, Any]) -> Iterator[str]:
    try:
        Contract.from_json(contract)
    except ContractInvalid as error:
        yield from ("```text", f"{_json(keyword.wrong)} is refused: {error}", "```")
        return
    raise ValueError(f"the wrong example of {keyword.name} is right")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def main() -> None:
    """Write the page."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[3] / PAGE
    target.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
