"""The lines of one request: each an event with its place in the lane, or a poison line and why it is one.

A poison line keeps its place, so that it can be acknowledged and never blocks a lane: from its own beginning, which
senders write as `{"seq": N`, or from the lines around it. Only a request in which no line has a readable place is
refused as a whole. Which lines are known, missing or new is `event_ledger`'s.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, TypeGuard

import msgspec

from fivefold.core.errors import ContractError, first_line

MAX_BODY_BYTES: Final = 1 << 20
"""Of one request, inflated."""

MAX_LINES: Final = 500
MAX_LINE_BYTES: Final = 256 << 10
MAX_SEQ: Final = 2**53 - 1
"""What every language's JSON reads exactly."""

KINDS: Final = ("prediction", "refusal", "gap")
REASONS: Final = ("quota", "hub_lost", "corrupt")

_BEGINNING: Final = re.compile(rb'\s*\{\s*"seq"\s*:\s*([1-9][0-9]{0,15})\s*[,}]')
_ID: Final = re.compile(r"[A-Za-z0-9._:\-]{1,64}")
_TIME: Final = re.compile(r"[0-9T:.Z+\-]{10,40}")


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a line is no event."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class BatchLine:
    """One line: it stands for the places `first` to `seq` of its lane, which are the same but for a gap record."""

    first: int
    seq: int
    raw: bytes
    kind: str = ""
    id: str = ""
    fault: Fault | None = None


def parse_batch(body: bytes) -> list[BatchLine]:
    """The lines of an inflated body in their order; empty lines count for nothing.

    Raises `ContractError` `too_large` for more than `MAX_LINES`, `malformed` where there is no line, or none that says
    where in its lane it is.
    """
    raws = [raw for raw in body.split(b"\n") if raw.strip()]
    if len(raws) > MAX_LINES:
        raise ContractError(
            "too_large", f"expected at most {MAX_LINES} lines, got {len(raws)}", help="send them in several requests"
        )
    if not raws:
        raise ContractError("malformed", "expected at least one line, got none", help="one JSON object a line")
    found = [_line(raw) for raw in raws]
    known = next((index for index, line in enumerate(found) if line.seq), None)
    if known is None:
        raise ContractError(
            "malformed",
            f"expected a sequence number in at least one line: {_said(found[0])}",
            path="line 1",
            help='each line begins with {"seq": N',
        )
    # What cannot say its own place has the one beside it.
    for index in range(known - 1, -1, -1):
        found[index] = _placed(found[index], found[index + 1].first - 1)
    if found[0].seq < 1:
        raise ContractError("malformed", "more lines before the first sequence number than there can be", path="line 1")
    for index in range(known + 1, len(found)):
        if not found[index].seq:
            found[index] = _placed(found[index], found[index - 1].seq + 1)
    return found


def _said(line: BatchLine) -> str:
    return line.fault.message if line.fault is not None else ""


def _placed(line: BatchLine, seq: int) -> BatchLine:
    return BatchLine(seq, seq, line.raw, fault=line.fault)


def _line(raw: bytes) -> BatchLine:
    """One line; `seq` is 0 where it cannot be read."""
    raw = raw.rstrip(b"\r")
    begun = _BEGINNING.match(raw[:256])
    seq = int(begun[1]) if begun and int(begun[1]) <= MAX_SEQ else 0
    if len(raw) > MAX_LINE_BYTES:
        message = f"expected at most {MAX_LINE_BYTES} bytes a line, got {len(raw)}"
        return BatchLine(seq, seq, raw, fault=Fault("too_large", message))
    try:
        # The whole text is looked at: JSON strings may hold bytes that are no UTF-8 without the reader's noticing.
        raw.decode()
        value = msgspec.json.decode(raw)
    except UnicodeDecodeError:
        return BatchLine(seq, seq, raw, fault=Fault("not_utf8", "expected UTF-8"))
    except (msgspec.MsgspecError, RecursionError, ValueError) as err:
        return BatchLine(seq, seq, raw, fault=Fault("malformed", f"expected a JSON object: {first_line(err)}"))
    if not isinstance(value, dict):
        return BatchLine(seq, seq, raw, fault=Fault("malformed", f"expected a JSON object, got {_kind(value)}"))
    if not _is_seq(value.get("seq")):
        return BatchLine(seq, seq, raw, fault=Fault("malformed", "seq: expected an integer of at least 1"))
    seq = value["seq"]
    fault = _fault(value)
    if fault is not None:
        return BatchLine(seq, seq, raw, fault=fault)
    first = value["from_seq"] if value["kind"] == "gap" else seq
    return BatchLine(first, seq, raw, value["kind"], value.get("id") or "")


def _fault(value: dict[str, Any]) -> Fault | None:
    """What is wrong with an object that has a place; None where it is an event."""
    kind = value.get("kind")
    if kind not in KINDS:
        return Fault("not_in_enum", f"kind: expected {', '.join(KINDS)}, got {_kind(kind)}")
    if not _matches(_TIME, value.get("at")):
        return Fault("wrong_type", "at: expected a time such as 2030-01-31T12:00:00.000Z")
    if kind == "gap":
        return _gap_fault(value)
    if not _matches(_ID, value.get("id")):
        return Fault("wrong_type", "id: expected text of 1 to 64 letters, digits and .:_-")
    if kind == "refusal":
        if not isinstance(value.get("refusal"), dict):
            return Fault("wrong_type", f"refusal: expected an object, got {_kind(value.get('refusal'))}")
        return None
    for name in ("model", "version", "contract", "bundle"):
        if not isinstance(value.get(name), str) or not value[name]:
            return Fault("wrong_type", f"{name}: expected text, got {_kind(value.get(name))}")
    for name in ("input", "output"):
        if not isinstance(value.get(name), dict):
            return Fault("wrong_type", f"{name}: expected an object, got {_kind(value.get(name))}")
    return None


def _gap_fault(value: dict[str, Any]) -> Fault | None:
    first, last, count = (value.get(name) for name in ("from_seq", "to_seq", "count"))
    if not _is_seq(first) or not _is_seq(last) or not first <= last == value["seq"]:
        return Fault("out_of_range", "expected 1 <= from_seq <= to_seq, and to_seq to be seq")
    if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= last - first + 1:
        return Fault("out_of_range", f"count: expected 0 to {last - first + 1}, what from_seq to to_seq hold")
    if value.get("reason") not in REASONS:
        return Fault("not_in_enum", f"reason: expected {', '.join(REASONS)}")
    return None


def _is_seq(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_SEQ


def _matches(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _kind(value: Any) -> str:
    """What came, without quoting a device's data."""
    names = {dict: "an object", list: "an array", str: "text", bool: "a boolean", int: "a number", float: "a number"}
    return "nothing" if value is None else names.get(type(value), type(value).__name__)
