"""A line of recorded requests: `{"contract": "NAME@VERSION", "inputs": record}`, or a record alone.

`fivefold serve --record` writes the first form; `contract` may be missing, null, or a version alone. What a record
means under which contract is left to who replays it, and so is a record that is none.
"""

from __future__ import annotations

import msgspec

from fivefold.core.errors import ContractError
from fivefold.core.readers.exact_json import loads


class _RecordedLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    inputs: msgspec.Raw
    contract: str | None = None


_RECORDED = msgspec.json.Decoder(_RecordedLine)
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


def recorded_line(line: bytes) -> tuple[str | None, bytes]:
    """The contract that a line names, if it names one, and the bytes of its record.

    Raises `ContractError` `malformed` where the line is not JSON, or names a contract that is no text.
    """
    try:
        request = _RECORDED.decode(line)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return _alone(line)
    return request.contract or None, bytes(request.inputs)


def _alone(line: bytes) -> tuple[None, bytes]:
    """A line that is a record by itself."""
    try:
        members = set(_OBJECT.decode(line))
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        value = loads(line)
        members = set(value) if isinstance(value, dict) else set()
    if "inputs" in members and members <= {"contract", "inputs"}:
        raise ContractError("malformed", "expected NAME@VERSION or VERSION, as text", path="contract")
    return None, line
