"""The lines of one request: each an event with its place in the lane, or a poison line and why it is one.

A poison line keeps its place, so that it can be acknowledged and never blocks a lane: from its own beginning, which
senders write as `{"seq": N`, or from the lines around it. Only a request in which no line has a readable place is
refused as a whole. Which lines are known, missing or new is `event_ledger`'s.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Final, TypeGuard

import msgspec

from fivefold.core.errors import ContractError, first_line
from fivefold.edge.outbox.stored import GAP_REASONS, Gap
from fivefold.edge.sync.event_bodies import GAP, KINDS, REFUSAL
from fivefold.edge.sync.lane_batches import LaneLine, Poison
from fivefold.edge.sync.lane_protocol import MAX_LINE_BYTES, MAX_LINES, MAX_SEQ

_BEGINNING: Final = re.compile(rb'\s*\{\s*"seq"\s*:\s*([1-9][0-9]{0,15})\s*[,}]')
_ID: Final = re.compile(r"[A-Za-z0-9._:\-]{1,64}")
_TIME: Final = re.compile(r"[0-9T:.Z+\-]{10,40}")


def parse_batch(body: bytes) -> list[LaneLine]:
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


def _said(line: LaneLine) -> str:
    return line.poison.message if line.poison is not None else ""


def _placed(line: LaneLine, seq: int) -> LaneLine:
    return replace(line, first=seq, seq=seq)


def _line(raw: bytes) -> LaneLine:
    """One line; `seq` is 0 where it cannot be read."""
    raw = raw.rstrip(b"\r")
    begun = _BEGINNING.match(raw[:256])
    seq = int(begun[1]) if begun and int(begun[1]) <= MAX_SEQ else 0
    if len(raw) > MAX_LINE_BYTES:
        message = f"expected at most {MAX_LINE_BYTES} bytes a line, got {len(raw)}"
        return _poison(seq, raw, Poison("too_large", message))
    try:
        # The whole text is looked at: JSON strings may hold bytes that are no UTF-8 without the reader's noticing.
        raw.decode()
        value = msgspec.json.decode(raw)
    except UnicodeDecodeError:
        return _poison(seq, raw, Poison("not_utf8", "expected UTF-8"))
    except (msgspec.MsgspecError, RecursionError, ValueError) as err:
        return _poison(seq, raw, Poison("malformed", f"expected a JSON object: {first_line(err)}"))
    if not isinstance(value, dict):
        return _poison(seq, raw, Poison("malformed", f"expected a JSON object, got {_kind(value)}"))
    if not _is_seq(value.get("seq")):
        return _poison(seq, raw, Poison("malformed", "seq: expected an integer of at least 1"))
    seq = value["seq"]
    poison = _fault(value)
    if poison is not None:
        # What a gap record covers is covered, whatever else is wrong with it: it must not look like a hole.
        begin = value.get("from_seq") if value.get("kind") == GAP else seq
        return replace(_poison(seq, raw, poison), first=begin if _is_seq(begin) and begin <= seq else seq)
    kind, id = value["kind"], value.get("id") or ""
    if kind == GAP:
        gap = Gap(value["from_seq"], value["count"], value["reason"])
        return LaneLine(gap.first, seq, kind, id, value["at"], raw, gap=gap)
    return LaneLine(seq, seq, kind, id, value["at"], raw)


def _poison(seq: int, raw: bytes, poison: Poison) -> LaneLine:
    return LaneLine(seq, seq, "", "", "", raw, poison=poison)


def _fault(value: dict[str, Any]) -> Poison | None:
    """What is wrong with an object that has a place; None where it is an event."""
    kind = value.get("kind")
    if kind not in KINDS:
        return Poison("not_in_enum", f"kind: expected {', '.join(KINDS)}, got {_kind(kind)}")
    if not _matches(_TIME, value.get("at")):
        return Poison("wrong_type", "at: expected a time such as 2030-01-31T12:00:00.000Z")
    if kind == GAP:
        return _gap_fault(value)
    if not _matches(_ID, value.get("id")):
        return Poison("wrong_type", "id: expected text of 1 to 64 letters, digits and .:_-")
    if kind == REFUSAL:
        if not isinstance(value.get("refusal"), dict):
            return Poison("wrong_type", f"refusal: expected an object, got {_kind(value.get('refusal'))}")
        return None
    for name in ("model", "version", "contract", "bundle"):
        if not isinstance(value.get(name), str) or not value[name]:
            return Poison("wrong_type", f"{name}: expected text, got {_kind(value.get(name))}")
    for name in ("input", "output"):
        if value.get(name) is None:
            return Poison("missing_field", f"{name}: expected it, got nothing")
    return None


def _gap_fault(value: dict[str, Any]) -> Poison | None:
    first, last, count = (value.get(name) for name in ("from_seq", "to_seq", "count"))
    if not _is_seq(first) or not _is_seq(last) or not first <= last == value["seq"]:
        return Poison("out_of_range", "expected 1 <= from_seq <= to_seq, and to_seq to be seq")
    if value.get("id") is not None and not _matches(_ID, value["id"]):
        return Poison("wrong_type", "id: expected text of 1 to 64 letters, digits and .:_-")
    if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= last - first + 1:
        return Poison("out_of_range", f"count: expected 0 to {last - first + 1}, what from_seq to to_seq hold")
    if value.get("reason") not in GAP_REASONS:
        return Poison("not_in_enum", f"reason: expected {', '.join(GAP_REASONS)}")
    return None


def _is_seq(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_SEQ


def _matches(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _kind(value: Any) -> str:
    """What came, without quoting a device's data."""
    names = {dict: "an object", list: "an array", str: "text", bool: "a boolean", int: "a number", float: "a number"}
    return "nothing" if value is None else names.get(type(value), type(value).__name__)
