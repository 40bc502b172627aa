"""Labelled rows: JSON lines of `{"in": record, "out": {OUTPUT: true value}}`, as golden rows are written.

Every line names the same outputs, one at least. Reading values is the contract's own reader's.
"""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from fivefold.core.columns import Columns
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import ContractError, NotFound, RunFailed
from fivefold.core.readers.records import Records


class _Labelled(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"given": "in", "truth": "out"}):
    given: msgspec.Raw
    truth: dict[str, msgspec.Raw]


def read_holdout(path: str | Path, contract: Contract) -> tuple[Columns, Columns]:
    """Inputs, and the true values of the outputs that the lines name.

    Raises `ContractError` with the line of what is wrong, and `NotFound` or `RunFailed` for a file that cannot be read.
    """
    place = Path(path)
    given: list[bytes] = []
    truths: list[bytes] = []
    named: list[str] = []
    try:
        with place.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    row = _LINE.decode(line)
                except (msgspec.MsgspecError, UnicodeError, RecursionError) as err:
                    says = f'line {number}: expected {{"in": record, "out": {{OUTPUT: value}}}}: {err}'
                    raise ContractError("malformed", says, path=place.name) from err
                named = named or sorted(row.truth)
                if sorted(row.truth) != named or not named:
                    says = f"line {number}: expected the true {', '.join(named) or 'outputs'}"
                    raise ContractError("missing_field", says, path=place.name)
                given.append(bytes(row.given))
                members = (json.dumps(name).encode() + b":" + bytes(row.truth[name]) for name in named)
                truths.append(b"{" + b",".join(members) + b"}")
    except FileNotFoundError:
        raise NotFound("not_found", f"there is no file {place}") from None
    except OSError as err:
        raise RunFailed("input_broken", f"cannot read {place}: {err.strerror}") from err
    if not given:
        raise ContractError("malformed", "no labelled rows", path=place.name)
    known = {field.name: field for field in contract.outputs}
    unknown = [name for name in named if name not in known]
    if unknown:
        says = f"the contract has no output {unknown[0]!r}, it has {', '.join(known)}"
        raise ContractError("unknown_field", says, path=place.name)
    fields = [known[name] for name in named]
    inputs = Records(contract.inputs).read_json(_body(given)).accept()
    return inputs, Records(fields).read_json(_body(truths)).accept()


_LINE = msgspec.json.Decoder(_Labelled)


def _body(records: list[bytes]) -> bytes:
    return b'{"instances":[' + b",".join(records) + b"]}"
